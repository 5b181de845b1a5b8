// SPDX-License-Identifier: Apache-2.0
//! Lists of everything that makes a service in Istio, in both profiles.

use std::time::{Duration, Instant};

use proxyless_core::Client;
use proxyless_tests::{Istiod, Mesh, PATIENCE};
use serde_json::json;

use crate::{SUBSETS, both, echo, entry, pod, rule, service, slice, until};

#[test]
fn services_follow_their_pods_readiness_and_deletion() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    both(&mesh, "echo.demo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    both(&mesh, "echo.demo.svc.cluster.local:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    mesh.apply(&slice("echo", &[("http", 8080)], &[("echo-1", "127.0.0.31", true), ("echo-2", "127.0.0.32", false)]));
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080");
    mesh.apply(&slice("echo", &[("http", 8080)], &[]));
    both(&mesh, "echo:8080", "ready");
    mesh.apply(&slice("echo", &[("http", 8080)], &[("echo-2", "127.0.0.32", true)]));
    both(&mesh, "echo:8080", "ready 127.0.0.32:8080");
    mesh.istiod.delete(&service("demo", "echo", ""));
    both(&mesh, "echo:8080", "removed");
    both(&mesh, "nobody:8080", "unknown");
}

#[test]
fn a_service_with_several_ports_has_a_list_for_each() {
    let mesh = Mesh::start();
    let several = service("demo", "multi", ", clusterIP: 10.0.0.11").replace(
        "ports: [{name: http, port: 8080, targetPort: 8080}]",
        "ports: [{name: http, port: 80, targetPort: 8080}, {name: http-admin, port: 81, targetPort: 9090}]",
    );
    mesh.apply(&several);
    mesh.apply(&slice("multi", &[("http", 8080), ("http-admin", 9090)], &[("-", "127.0.0.41", true)]));
    both(&mesh, "multi:80", "ready 127.0.0.41:8080");
    both(&mesh, "multi:81", "ready 127.0.0.41:9090");
    both(&mesh, "multi", "ready 127.0.0.41:8080");
    until(&mesh.clients[0], "multi:82", "invalid (no_such_port)");
    until(&mesh.clients[1], "multi:82", "unknown");
}

#[test]
fn one_name_in_two_namespaces_means_the_own_one() {
    let mesh = Mesh::start();
    mesh.apply(&service("demo", "twin", ", clusterIP: 10.0.0.12"));
    mesh.apply(&slice("twin", &[("http", 8080)], &[("-", "127.0.0.51", true)]));
    mesh.apply(&service("other", "twin", ", clusterIP: 10.0.0.13"));
    mesh.apply(&slice("twin", &[("http", 8080)], &[("-", "127.0.0.52", true)]).replace("namespace: demo", "namespace: other"));
    both(&mesh, "twin:8080", "ready 127.0.0.51:8080");
    both(&mesh, "twin.other.svc.cluster.local:8080", "ready 127.0.0.52:8080");
    until(&mesh.clients[0], "twin.other:8080", "ready 127.0.0.52:8080");
}

#[test]
fn service_entries_and_workload_entries_are_services() {
    let mesh = Mesh::start();
    let endpoints = "  resolution: STATIC\n  endpoints:\n  - {address: 127.0.0.61, ports: {http: 9001}, labels: {version: v1}, weight: 3}\n  - {address: 127.0.0.62, ports: {http: 9002}}\n";
    mesh.apply(&entry("static", "static.example", endpoints));
    both(&mesh, "static.example:80", "ready 127.0.0.61:9001*3 127.0.0.62:9002");
    mesh.apply(&entry("selected", "selected.example", "  resolution: STATIC\n  workloadSelector: {labels: {app: vm}}\n"));
    mesh.apply("apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm-1, namespace: demo}\nspec: {address: 127.0.0.63, labels: {app: vm}, ports: {http: 9003}}\n");
    both(&mesh, "selected.example:80", "ready 127.0.0.63:9003");
    // A name to resolve is a name in the list; asked as gRPC clients do, istiod has no endpoints for it.
    mesh.apply(&entry("dns", "dns.example", "  resolution: DNS\n  endpoints:\n  - {address: backend.internal.example}\n"));
    until(&mesh.clients[0], "dns.example:80", "ready name");
    until(&mesh.clients[1], "dns.example:80", "ready");
}

#[test]
fn a_host_with_capitals_is_found_and_its_routes_apply() {
    let mesh = Mesh::start();
    let istio = &mesh.clients[0];
    let endpoints = "  resolution: STATIC\n  endpoints:\n  - {address: 127.0.0.64, ports: {http: 9001}, labels: {version: v1}}\n  - {address: 127.0.0.65, ports: {http: 9002}, labels: {version: v2}}\n";
    mesh.apply(&entry("billing", "billing.GROUP.nacos", endpoints));
    until(istio, "billing.group.nacos", "ready 127.0.0.64:9001 127.0.0.65:9002");
    mesh.apply(&format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: billing, namespace: demo}}\n\
         spec: {{host: billing.GROUP.nacos, {SUBSETS}}}\n"
    ));
    mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: billing, namespace: demo}\n\
         spec: {hosts: [billing.GROUP.nacos], http: [{route: [{destination: {host: billing.GROUP.nacos, subset: v2}}]}]}\n",
    );
    for target in ["billing.group.nacos", "Billing.Group.Nacos:80", "billing.GROUP.nacos/v2"] {
        until(istio, target, "ready 127.0.0.65:9002");
    }
}

#[test]
fn a_local_service_is_the_list_of_its_endpoints_on_the_own_node() {
    let mesh = Mesh::with(Istiod::start(), &json!({"node_name": "n1"}));
    let on = |node: &str, pod: String| pod.replace("spec: {", &format!("spec: {{nodeName: {node}, "));
    mesh.apply(&service("demo", "local", ", clusterIP: 10.0.0.15, internalTrafficPolicy: Local"));
    mesh.apply(&on("n1", pod("local", "local-1", "127.0.0.81", "v1", true)));
    mesh.apply(&on("n2", pod("local", "local-2", "127.0.0.82", "v1", true)));
    mesh.apply(&slice("local", &[("http", 8080)], &[("local-1", "127.0.0.81", true), ("local-2", "127.0.0.82", true)]));
    both(&mesh, "local:8080", "ready 127.0.0.81:8080");
}

#[test]
fn a_service_without_a_list_by_nature_says_so() {
    let mesh = Mesh::start();
    mesh.apply(&entry("none", "none.example", "  resolution: NONE\n"));
    until(&mesh.clients[0], "none.example:80", "invalid (no_list)");
    mesh.apply(
        &service("demo", "external", ", type: ExternalName, externalName: backend.example")
            .replace("selector: {app: external}, ", ""),
    );
    mesh.apply(&service("demo", "headless", ", clusterIP: None"));
    until(&mesh.clients[0], "external:8080", "unknown");
}

#[test]
fn a_headless_service_is_the_list_of_its_ready_pods() {
    let mesh = Mesh::start();
    let [istio, grpc] = &mesh.clients;
    mesh.apply(&service("demo", "headless", ", clusterIP: None"));
    // A cluster of original destinations, for a sidecar: without an endpoint nobody can tell it from one that never has any.
    until(istio, "headless:8080", "invalid (no_list)");
    until(grpc, "headless:8080", "ready");
    mesh.apply(&slice("headless", &[("http", 8080)], &[("-", "127.0.0.71", true), ("-", "127.0.0.72", false)]));
    both(&mesh, "headless:8080", "ready 127.0.0.71:8080");
    mesh.apply(&slice("headless", &[("http", 8080)], &[("-", "127.0.0.71", true), ("-", "127.0.0.72", true)]));
    both(&mesh, "headless:8080", "ready 127.0.0.71:8080 127.0.0.72:8080");
    mesh.istiod.delete(&service("demo", "headless", ", clusterIP: None"));
    both(&mesh, "headless:8080", "removed");
}

#[test]
fn the_profiles_differ_as_documented() {
    // docs/differences.md
    let mesh = Mesh::start();
    mesh.apply(&echo());
    mesh.apply(&service("other", "far", ", clusterIP: 10.0.0.14"));
    mesh.apply(&slice("far", &[("http", 8080)], &[("-", "127.0.0.53", true)]).replace("namespace: demo", "namespace: other"));
    mesh.apply(&entry("dns", "dns.example", "  resolution: DNS\n  endpoints:\n  - {address: backend.internal.example}\n"));
    mesh.apply(&entry("none", "none.example", "  resolution: NONE\n"));
    let tcp = entry("tcp", "tcp.example", "  resolution: STATIC\n  endpoints: [{address: 127.0.0.68, ports: {http: 9008}}]\n");
    mesh.apply(&tcp.replace("protocol: HTTP", "protocol: TCP"));
    for (target, istio, grpc) in [
        ("far.other:8080", "ready 127.0.0.53:8080", "ready 127.0.0.53:8080"),
        ("far.other.svc.cluster.local:8080", "ready 127.0.0.53:8080", "ready 127.0.0.53:8080"),
        ("echo", "ready 127.0.0.31:8080 127.0.0.32:8080", "unknown"),
        ("echo:81", "invalid (no_such_port)", "unknown"),
        ("dns.example:80", "ready name", "ready"),
        ("none.example:80", "invalid (no_list)", "ready"),
        ("tcp.example:80", "ready 127.0.0.68:9008", "ready 127.0.0.68:9008"),
    ] {
        until(&mesh.clients[0], target, istio);
        until(&mesh.clients[1], target, grpc);
    }
}

#[test]
fn an_external_name_is_no_service_of_its_own() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    let alias = service("demo", "alias", ", type: ExternalName, externalName: echo.demo.svc.cluster.local")
        .replace("selector: {app: alias}, ", "");
    mesh.apply(&alias);
    until(&mesh.clients[0], "alias:8080", "unknown");
}

#[test]
fn what_is_not_exported_to_us_is_unknown() {
    let mesh = Mesh::start();
    let private = entry(
        "private",
        "private.example",
        "  exportTo: ['.']\n  resolution: STATIC\n  endpoints: [{address: 127.0.0.64, ports: {http: 9004}}]\n",
    );
    mesh.apply(&private.replace("namespace: demo", "namespace: other"));
    mesh.apply(&entry(
        "public",
        "public.example",
        "  resolution: STATIC\n  endpoints: [{address: 127.0.0.65, ports: {http: 9005}}]\n",
    ));
    both(&mesh, "public.example:80", "ready 127.0.0.65:9005");
    both(&mesh, "private.example:80", "unknown");
}

#[test]
fn a_sidecar_resource_narrows_what_is_seen() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    mesh.apply(&entry("far", "far.example", "  resolution: STATIC\n  endpoints: [{address: 127.0.0.66, ports: {http: 9006}}]\n"));
    both(&mesh, "far.example:80", "ready 127.0.0.66:9006");
    mesh.apply("apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: demo}\nspec: {egress: [{hosts: ['demo/echo.demo.svc.cluster.local']}]}\n");
    both(&mesh, "far.example:80", "removed");
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
}

#[test]
fn subsets_come_change_and_go_with_their_rule() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    both(&mesh, "echo:8080/v1", "invalid (undefined_subset)");
    mesh.apply(&rule(SUBSETS));
    both(&mesh, "echo:8080/v1", "ready 127.0.0.31:8080");
    both(&mesh, "echo:8080/v2", "ready 127.0.0.32:8080");
    mesh.apply(&rule("subsets: [{name: v1, labels: {version: v2}}]"));
    both(&mesh, "echo:8080/v1", "ready 127.0.0.32:8080");
    both(&mesh, "echo:8080/v2", "invalid (undefined_subset)");
    mesh.istiod.delete(&rule(SUBSETS));
    both(&mesh, "echo:8080/v1", "invalid (undefined_subset)");
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
}

#[test]
fn weights_of_a_virtual_service_are_weights_of_the_list() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    mesh.apply(&rule(SUBSETS));
    let routes = |v1: u32, v2: u32| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: echo, namespace: demo}}\nspec:\n  hosts: [echo.demo.svc.cluster.local]\n  http:\n  \
             - match: [{{headers: {{x-test: {{exact: 'yes'}}}}}}]\n    route: [{{destination: {{host: echo.demo.svc.cluster.local, subset: v2}}}}]\n    timeout: 3s\n    \
             retries: {{attempts: 3, perTryTimeout: 1s}}\n    fault: {{delay: {{fixedDelay: 1s, percentage: {{value: 50}}}}}}\n    \
             mirror: {{host: echo.demo.svc.cluster.local, subset: v1}}\n  \
             - route:\n    - {{destination: {{host: echo.demo.svc.cluster.local, subset: v1}}, weight: {v1}}}\n    - {{destination: {{host: echo.demo.svc.cluster.local, subset: v2}}, weight: {v2}}}\n"
        )
    };
    mesh.apply(&routes(20, 80));
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080*4");
    mesh.apply(&routes(100, 0));
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080");
    mesh.istiod.delete(&routes(100, 0));
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
}

#[test]
fn a_delegated_route_is_merged_and_a_rule_per_port_counts_for_its_port() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    mesh.apply(&rule(SUBSETS));
    mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: root, namespace: demo}\nspec:\n  hosts: [echo.demo.svc.cluster.local]\n  \
         http: [{match: [{uri: {prefix: /}}], delegate: {name: part}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: part, namespace: demo}\nspec:\n  \
         http: [{route: [{destination: {host: echo.demo.svc.cluster.local, subset: v2}}]}]\n",
    );
    both(&mesh, "echo:8080", "ready 127.0.0.32:8080");
    mesh.apply(&rule(&format!(
        "{SUBSETS}, trafficPolicy: {{portLevelSettings: [{{port: {{number: 8080}}, tls: {{mode: ISTIO_MUTUAL}}}}]}}"
    )));
    both(&mesh, "echo:8080/v1", "invalid (tls_required)");
    mesh.apply(&rule(&format!(
        "{SUBSETS}, trafficPolicy: {{portLevelSettings: [{{port: {{number: 9999}}, tls: {{mode: ISTIO_MUTUAL}}}}]}}"
    )));
    both(&mesh, "echo:8080/v1", "ready 127.0.0.31:8080");
}

#[test]
fn what_an_endpoint_accepts_arrives_with_it() {
    let mesh = Mesh::start();
    let endpoints = "  resolution: STATIC\n  endpoints:\n  - {address: 127.0.0.91, labels: {security.istio.io/tlsMode: istio}}\n  - {address: 127.0.0.92}\n";
    mesh.apply(&entry("mixed", "mixed.example", endpoints));
    both(&mesh, "mixed.example:80", "ready 127.0.0.91:80 127.0.0.92:80");
    let flags = |client: &Client| -> Vec<(u8, bool)> {
        let snapshot = client.snapshot();
        let list = &snapshot.get("mixed.example:80").unwrap().list;
        let mut flags: Vec<_> =
            list.endpoints().iter().map(|e| (e.ip[3], e.flags & proxyless_core::model::EndpointFlags::MAY_TLS != 0)).collect();
        flags.sort_unstable();
        flags
    };
    assert_eq!(flags(&mesh.clients[0]), [(91, true), (92, false)]);
    // What a policy forbids is no longer offered.
    mesh.apply("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: demo}\nspec: {mtls: {mode: DISABLE}}\n");
    let deadline = Instant::now() + PATIENCE;
    while flags(&mesh.clients[0]) != [(91, false), (92, false)] {
        assert!(Instant::now() < deadline, "{:?}", flags(&mesh.clients[0]));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn locality_decides_priorities_and_shares() {
    let mesh = Mesh::with(Istiod::start(), &json!({"locality": "region1/zone1/a"}));
    let endpoints = "  resolution: STATIC\n  endpoints:\n  - {address: 127.0.0.81, ports: {http: 9001}, locality: region1/zone1}\n  - {address: 127.0.0.82, ports: {http: 9002}, locality: region2/zone1}\n";
    mesh.apply(&entry("near", "near.example", endpoints));
    both(&mesh, "near.example:80", "ready 127.0.0.81:9001 127.0.0.82:9002");
    let policy = |policy: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: near, namespace: demo}}\nspec:\n  host: near.example\n  trafficPolicy: {policy}\n"
        )
    };
    mesh.apply(&policy("{outlierDetection: {consecutive5xxErrors: 3}, connectionPool: {http: {http1MaxPendingRequests: 5}}}"));
    // The list is that of the best priority that has usable endpoints.
    both(&mesh, "near.example:80", "ready 127.0.0.81:9001");
    mesh.apply(&policy("{loadBalancer: {localityLbSetting: {enabled: true, distribute: [{from: region1/*, to: {'region1/*': 25, 'region2/*': 75}}]}}, outlierDetection: {consecutive5xxErrors: 3}}"));
    until(&mesh.clients[0], "near.example:80", "ready 127.0.0.81:9001 127.0.0.82:9002*3");
}

#[test]
fn a_demand_for_tls_refuses_the_list_and_permission_gives_it() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    mesh.apply(&rule("trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}"));
    both(&mesh, "echo:8080", "invalid (tls_required)");
    mesh.apply(&rule("trafficPolicy: {tls: {mode: DISABLE}}"));
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
}
