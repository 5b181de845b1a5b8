// SPDX-License-Identifier: Apache-2.0
//! Against the real istiod. `make test-istio` builds it and runs these.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use proxyless_core::{
    Client,
    config::{Config, Sources},
    store::Entry,
};
use proxyless_tests::{Istiod, Mesh, PATIENCE, Process, Relay, compile, eventually, open, repository};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What is known about a target, in words: `ready 127.0.0.1:80 127.0.0.2:80*3 p1:127.0.0.3:80`.
fn shown(entry: &Entry) -> String {
    let endpoint = |e: &proxyless_core::model::Endpoint| {
        let address = e.socket_addr().map_or_else(|| "name".to_owned(), |address| address.to_string());
        let weight = if e.weight == 1 { String::new() } else { format!("*{}", e.weight) };
        let priority = if e.priority == 0 { String::new() } else { format!("p{}:", e.priority) };
        format!("{priority}{address}{weight}")
    };
    let mut list: Vec<String> = entry.list.endpoints().iter().map(endpoint).collect();
    list.sort();
    format!("{} {}", entry.state, list.join(" ")).trim_end().to_owned()
}

/// Waits until a target shows as this.
fn until(client: &Client, target: &str, expected: &str) {
    proxyless_tests::until(client, target, expected, |entry| shown(entry) == expected);
}

/// Both profiles show this.
fn both(mesh: &Mesh, target: &str, expected: &str) {
    for client in &mesh.clients {
        until(client, target, expected);
    }
}

/// A pod that is ready, with its labels, and the slice that lists it.
fn pod(service: &str, name: &str, ip: &str, version: &str, ready: bool) -> String {
    let phase = if ready { "True" } else { "False" };
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: demo, labels: {{app: {service}, version: {version}}}}}
spec: {{serviceAccountName: {service}, containers: [{{name: c, image: i}}]}}
status: {{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}], conditions: [{{type: Ready, status: '{phase}'}}]}}
"
    )
}

fn slice(service: &str, ports: &[(&str, u16)], endpoints: &[(&str, &str, bool)]) -> String {
    let ports: Vec<String> = ports.iter().map(|(name, port)| format!("{{name: {name}, port: {port}, protocol: TCP}}")).collect();
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|(pod, ip, ready)| {
            // istiod waits for a pod that is referred to.
            let pod = if *pod == "-" { String::new() } else { format!(", targetRef: {{kind: Pod, name: {pod}, namespace: demo}}") };
            format!("{{addresses: [{ip}], conditions: {{ready: {ready}}}{pod}}}")
        })
        .collect();
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {service}-1, namespace: demo, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: IPv4
ports: [{}]
endpoints: [{}]
",
        ports.join(", "),
        endpoints.join(", ")
    )
}

fn service(namespace: &str, name: &str, extra: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 8080, targetPort: 8080}}]{extra}}}\n"
    )
}

/// `echo:8080` with two pods, v1 and v2.
fn echo() -> String {
    [
        service("demo", "echo", ", clusterIP: 10.0.0.10"),
        pod("echo", "echo-1", "127.0.0.31", "v1", true),
        pod("echo", "echo-2", "127.0.0.32", "v2", true),
        slice("echo", &[("http", 8080)], &[("echo-1", "127.0.0.31", true), ("echo-2", "127.0.0.32", true)]),
    ]
    .join("---\n")
}

fn entry(name: &str, host: &str, rest: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: demo}}\nspec:\n  hosts: [{host}]\n  \
         location: MESH_INTERNAL\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n{rest}"
    )
}

fn rule(rest: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: echo, namespace: demo}}\nspec: {{host: echo.demo.svc.cluster.local, {rest}}}\n"
    )
}

const SUBSETS: &str = "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]";

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
fn a_limit_on_new_streams_only_delays() {
    let istiod = Istiod::start_with(&[], &[("PILOT_MAX_REQUESTS_PER_SECOND", "0.5")]);
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    // Each has a node of its own, and so a stream of its own.
    let clients: Vec<_> = (1..=4)
        .map(|n| {
            open(&json!({"server": istiod.plaintext(), "namespace": "demo", "pod_ip": "127.0.0.9", "pod_name": format!("p{n}")}))
        })
        .collect();
    for client in &clients {
        until(client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    }
    let refused =
        clients.iter().filter(|client| client.describe().unwrap()["events"].to_string().contains("ResourceExhausted")).count();
    assert!(refused > 0, "istiod has limited nobody");
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

#[test]
fn a_pod_finds_istiod_with_its_token_and_root_and_the_common_failures_are_told_apart() {
    let istiod = Istiod::start();
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    let settings = |token: std::path::PathBuf| json!({"server": istiod.secure(), "namespace": "demo", "pod_ip": "127.0.0.9", "ca_file": istiod.root_file(), "token_file": token});
    until(&open(&settings(istiod.token_file("demo", "echo"))), "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    let refused = |settings: Value, reason: &str, remedy: &str| {
        let client = open(&settings);
        // Where people look: in the client's description, in what a target says, and in the events that bridges log.
        let entry = proxyless_tests::until(&client, "echo:8080", "told why", |entry| !entry.detail.is_empty());
        let status = client.describe().unwrap();
        let events = status["events"].to_string();
        for text in [&*entry.detail, &format!("{} {}", status["last_error"], status["remedy"]), &events] {
            assert!(text.contains(reason) && text.contains(remedy), "{reason}, {remedy}: {text}");
        }
        assert!(!status.to_string().contains("test:elsewhere"), "the token is not shown");
    };
    refused(settings(istiod.token_file("elsewhere", "echo")), "PermissionDenied", "namespace or service account is not the one");
    let bad = istiod.token_file("demo", "bad");
    std::fs::write(&bad, "of another audience").unwrap();
    refused(settings(bad), "Unauthenticated", "audience (istio-ca)");
    refused(settings("/nowhere/token".into()), "token_file /nowhere/token", "mount a projected token");
    let mut other_root = settings(istiod.token_file("demo", "echo"));
    other_root["ca_file"] = Value::Null;
    refused(other_root, "UnknownIssuer", "istio-ca-root-cert");
    let mut other_name = settings(istiod.token_file("demo", "echo"));
    other_name["server_name"] = "istiod.elsewhere.svc".into();
    refused(other_name, "not valid for name", "set server_name");
}

#[test]
fn in_a_pod_nothing_needs_to_be_configured_but_the_name_of_this_istiod() {
    let istiod = Istiod::start();
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    let root = tempfile::TempDir::new().unwrap();
    let put = |path: &str, from: std::path::PathBuf| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(from, path).unwrap();
    };
    put("var/run/secrets/tokens/istio-token", istiod.token_file("demo", "echo"));
    put("var/run/secrets/istio/root-cert.pem", istiod.root_file());
    let variable = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    // What the downward API and Istio's injection put into a pod; the rest is found.
    let secure = istiod.secure();
    let environment = [
        ("POD_NAME", "echo-1"),
        ("POD_NAMESPACE", "demo"),
        ("INSTANCE_IP", "127.0.0.31"),
        ("SERVICE_ACCOUNT", "echo"),
        ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
        ("PROXYLESS_SERVER", secure.as_str()),
    ];
    let environment = environment.into_iter().map(variable).collect();
    let config = Config::load(&Sources { environment, root: root.path().into(), ..Default::default() }).unwrap();
    assert_eq!(config.node_id, "sidecar~127.0.0.31~echo-1.demo~demo.svc.cluster.local");
    let client = Client::open(config).unwrap();
    until(&client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    // A token that was rotated is used with the next connection.
    let rotated = root.path().join("var/run/secrets/tokens/istio-token");
    std::fs::write(&rotated, "test:elsewhere:echo").unwrap();
    istiod.debug("/debug/force_disconnect?proxyID=echo-1.demo");
    let deadline = Instant::now() + PATIENCE;
    while !client.describe().unwrap()["last_error"].as_str().unwrap().contains("PermissionDenied") {
        assert!(Instant::now() < deadline, "{:#}", client.describe().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    std::fs::write(&rotated, "test:demo:echo").unwrap();
    while client.stale_for().is_some() {
        assert!(Instant::now() < deadline, "{:#}", client.describe().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    until(&client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
}

#[test]
fn connections_that_istiod_ends_every_second_change_nothing() {
    let mesh = Mesh::with(Istiod::start_with(&["-max-age", "1s"], &[]), &json!({}));
    mesh.apply(&echo());
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    let epochs: Vec<u64> = mesh.clients.iter().map(|client| client.epoch()).collect();
    // Each goes on for ten more seconds, in which a client may end what it has begun.
    let deadline = Instant::now() + 3 * PATIENCE;
    for client in &mesh.clients {
        let streams = || client.describe().unwrap()["servers"][0]["streams"].as_u64().unwrap();
        while streams() < 3 {
            assert!(Instant::now() < deadline, "{:#}", client.describe().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(client.describe().unwrap()["servers"][0]["server_failures"], 0);
    }
    assert_eq!(mesh.clients.iter().map(|client| client.epoch()).collect::<Vec<_>>(), epochs, "no list has changed");
    mesh.apply(&slice("echo", &[("http", 8080)], &[("echo-1", "127.0.0.31", true)]));
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080");
}

#[test]
fn istiod_may_restart_and_what_went_meanwhile_is_gone() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    let gone = entry("gone", "gone.example", "  resolution: STATIC\n  endpoints: [{address: 127.0.0.67, ports: {http: 9007}}]\n");
    mesh.apply(&gone);
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    both(&mesh, "gone.example:80", "ready 127.0.0.67:9007");
    let places = mesh.istiod.same_places();
    let Mesh { istiod, clients } = mesh;
    drop(istiod);
    for client in &clients {
        while client.stale_for().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        until(client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    }
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let istiod = Istiod::start_with(&places, &[]);
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    istiod.apply(&slice("echo", &[("http", 8080)], &[("echo-2", "127.0.0.32", true)]));
    for client in &clients {
        until(client, "echo:8080", "ready 127.0.0.32:8080");
        until(client, "gone.example:80", "removed");
    }
}

#[test]
fn a_forced_disconnect_is_no_event() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    let epochs = || mesh.clients.iter().map(|client| client.epoch()).collect::<Vec<_>>();
    let before = epochs();
    // Both have the same node, so that either may be meant.
    let answer = mesh.istiod.debug("/debug/force_disconnect?proxyID=proxyless.demo");
    assert!(answer.to_lowercase().contains("ok"), "{answer}");
    let deadline = Instant::now() + PATIENCE;
    let streams =
        || mesh.clients.iter().map(|client| client.describe().unwrap()["servers"][0]["streams"].as_u64().unwrap()).sum::<u64>();
    while streams() < 3 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(epochs(), before);
}

#[test]
fn a_storm_of_changes_ends_with_the_last_one() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    for round in 0..500u32 {
        let ip = format!("127.0.{}.{}", 1 + round / 200, 1 + round % 200);
        mesh.apply(&slice("echo", &[("http", 8080)], &[("echo-1", &ip, true)]));
    }
    both(&mesh, "echo:8080", "ready 127.0.3.100:8080");
    let status = mesh.clients[0].describe().unwrap();
    let nacks: u64 = status["types"].as_array().unwrap().iter().map(|t| t["nacks"].as_u64().unwrap()).sum();
    assert_eq!(nacks, 0, "{status:#}");
}

#[test]
fn two_replicas_behind_one_address_are_one_control_plane() {
    let (one, two) = (Istiod::start(), Istiod::start());
    for istiod in [&one, &two] {
        istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
        istiod.apply(&echo());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let relay = runtime.block_on(Relay::start(one.address()));
    let client = open(&json!({"server": format!("http://{}", relay.address()), "namespace": "demo", "pod_ip": "127.0.0.9"}));
    until(&client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    let epoch = client.epoch();
    for (round, istiod) in [&two, &one, &two].into_iter().enumerate() {
        relay.lead_to(istiod.address());
        relay.cut();
        let deadline = Instant::now() + PATIENCE;
        while client.describe().unwrap()["servers"][0]["streams"].as_u64() < Some(round as u64 + 2) || client.stale_for().is_some()
        {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(client.epoch(), epoch, "they say the same");
    }
    two.apply(&slice("echo", &[("http", 8080)], &[("echo-1", "127.0.0.31", true)]));
    until(&client, "echo:8080", "ready 127.0.0.31:8080");
}

/// Resident memory of a process in MiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// How long istiod waited for more changes before each of its pushes, in milliseconds, as it logs it.
fn debounced(log: &str) -> Vec<f64> {
    let lines = log.lines().filter(|line| line.contains("Push debounce stable"));
    let waits = lines.map(|line| line.split(" since last push").next().unwrap().rsplit(' ').next().unwrap());
    waits
        .map(|wait| {
            let (number, millis) = match (wait.strip_suffix("ms"), wait.strip_suffix("µs")) {
                (Some(number), _) => (number, 1.0),
                (_, Some(number)) => (number, 0.001),
                _ => (wait.trim_end_matches('s'), 1000.0),
            };
            millis * number.parse::<f64>().unwrap()
        })
        .collect()
}

/// For the runner of all tests to show: figures for the documentation, not a verdict.
fn measured(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "MEASURED: {text}");
}

#[test]
fn a_thousand_services_of_twenty_endpoints_are_synced_in_c_and_a_change_among_them_arrives() {
    let istiod = Istiod::start_with(&["-log", "info"], &[]);
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    let address = |n: usize, last: usize| format!("10.{}.{}.{last}", n / 250, n % 250);
    let slice_of = |n: usize, last: usize| {
        let list: Vec<String> = (1..=19).chain([last]).map(|e| address(n, e)).collect();
        let list: Vec<(&str, &str, bool)> = list.iter().map(|ip| ("-", ip.as_str(), true)).collect();
        slice(&format!("s{n}"), &[("http", 8080)], &list)
    };
    for n in 0..1000 {
        let service = service("demo", &format!("s{n}"), &format!(", clusterIP: 10.100.{}.{}", n / 250, 1 + n % 250));
        istiod.apply(&(service + "---\n" + &slice_of(n, 20)));
    }
    let folder = TempDir::new().unwrap();
    let program = compile(&repository().join("ffi-c/tests/follow.c"), &folder, &["-O2"]);
    let settings = json!({"server": istiod.plaintext(), "namespace": "demo", "pod_ip": "127.0.0.9"}).to_string();
    let mut follow = Process::start(Command::new(program).arg(settings));
    follow.line("its start", |line| line == "started");
    let before = resident(follow.pid());
    (0..1000).for_each(|n| follow.write_line(&format!("s{n}:8080")));
    follow.write_line("");
    let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let complete = |out: &str| {
        out.lines().map(fields).filter(|f| f.len() == 6 && f[4] == "20").map(|f| f[2].clone()).collect::<BTreeSet<_>>().len()
            == 1000
    };
    eventually("all lists", || complete(&follow.out()).then_some(()));
    let out = follow.out();
    let time = |line: &str| fields(line)[1].parse::<u64>().unwrap();
    let opened = time(out.lines().find(|line| line.starts_with("open ")).unwrap());
    let synced = time(out.lines().rfind(|line| line.starts_with("list ")).unwrap());
    measured(&format!(
        "1,000 services of 20 endpoints from istiod: all lists in C after {} ms, {} MiB of memory more",
        (synced - opened) / 1_000_000,
        resident(follow.pid()).saturating_sub(before)
    ));
    let (mut delays, mut own): (Vec<f64>, Vec<f64>) = (0..100)
        .map(|round| {
            let (n, last) = (round * 7, 100 + round);
            let pushes = debounced(&istiod.log()).len();
            let at = istiod.apply(&slice_of(n, last));
            let (target, address) = (format!(" s{n}:8080 "), address(n, last));
            let line = follow.line(&address, |line| line.contains(&target) && line.ends_with(&address));
            let delay = time(&line).saturating_sub(at) as f64 / 1e6;
            let wait = debounced(&istiod.log()).split_off(pushes).pop().expect("istiod logs its pushes");
            (delay, delay - wait)
        })
        .unzip();
    delays.sort_by(f64::total_cmp);
    own.sort_by(f64::total_cmp);
    measured(&format!(
        "EndpointSlice change to new list in C: p50 {:.1} ms, p99 {:.1} ms; without the wait that istiod logs: p50 {:.1} ms, p99 {:.1} ms",
        delays[49], delays[98], own[49], own[98]
    ));
}

#[test]
fn a_workload_certificate_is_obtained_shown_renewed_and_connected_with() {
    let istiod = Istiod::start();
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    let token = istiod.token_file("demo", "echo");
    let settings = json!({
        "server": istiod.secure(), "namespace": "demo", "service_account": "echo", "pod_ip": "127.0.0.9", "ca_file": istiod.root_file(),
        "token_file": token, "certificate_life_s": "3600",
    });
    let folder = tempfile::TempDir::new().unwrap();
    let mut command = std::process::Command::new(proxyless_tests::target("proxyless"));
    command.args(["cert", "--json", "--write"]).arg(folder.path());
    for (key, value) in settings.as_object().unwrap() {
        command.arg("--set").arg(format!("{key}={}", value.as_str().unwrap()));
    }
    let output = command.output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(shown["identity"], "spiffe://cluster.local/ns/demo/sa/echo");
    let (left, renewal) = (shown["expires_in_s"].as_u64().unwrap(), shown["renew_in_s"].as_u64().unwrap());
    assert!((3500..=3600).contains(&left) && (1700..=1800).contains(&renewal), "{shown:#}");
    for file in ["cert-chain.pem", "key.pem", "root-cert.pem"] {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join(file);
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("-----BEGIN"), "{file}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    // A client renews its own again and again; once it has one, the token may go.
    let mut short = settings;
    short["certificate_life_s"] = "4".into();
    short["workload_certificate"] = true.into();
    let client = open(&short);
    until(&client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    let deadline = Instant::now() + PATIENCE;
    let events = |text: &str| {
        let events = client.describe().unwrap()["events"].as_array().unwrap().clone();
        events.iter().filter(|event| event.as_str().unwrap().contains(text)).count()
    };
    let wait_for = |what: &str, holds: &dyn Fn() -> bool| {
        while !holds() {
            assert!(Instant::now() < deadline, "{what}: {:#}", client.describe().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait_for("a certificate", &|| {
        client.describe().unwrap()["certificate"]["identity"] == "spiffe://cluster.local/ns/demo/sa/echo"
    });
    std::fs::remove_file(&token).unwrap();
    let renewals = events("certificate of spiffe://");
    wait_for("two renewals without a token", &|| events("certificate of spiffe://") >= renewals + 2);
    istiod.debug("/debug/force_disconnect?proxyID=proxyless.demo");
    wait_for("a stream without a token", &|| {
        client.describe().unwrap()["servers"][0]["streams"].as_u64() >= Some(2) && client.stale_for().is_none()
    });
    assert_eq!(events("no certificate"), 0);
    drop(istiod);
    wait_for("renewal fails, and what is held stays", &|| events("the one in use stays") > 0);
}

/// Output and exit code of `proxyless doctor` with these settings.
fn doctor(settings: &Value, targets: &[&str]) -> (Vec<Value>, i32) {
    let mut command = std::process::Command::new(proxyless_tests::target("proxyless"));
    command.arg("doctor").arg("--json").args(targets);
    for (key, value) in settings.as_object().unwrap() {
        command.arg("--set").arg(format!("{key}={}", value.as_str().unwrap()));
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")), output.status.code().unwrap())
}

#[test]
fn the_doctor_names_the_first_step_that_is_wrong_and_what_to_do() {
    let istiod = Istiod::start();
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    let good = json!({
        "server": istiod.secure(), "namespace": "demo", "pod_ip": "127.0.0.9",
        "ca_file": istiod.root_file(), "token_file": istiod.token_file("demo", "echo"),
    });
    let (steps, code) = doctor(&good, &["echo:8080"]);
    let verdicts: Vec<(&str, &str)> =
        steps.iter().map(|step| (step["step"].as_str().unwrap(), step["verdict"].as_str().unwrap())).collect();
    let expected = ["settings", "node", "resolve", "connect", "tls", "token", "stream", "endpoints"];
    assert_eq!(verdicts.iter().map(|(step, _)| *step).collect::<Vec<_>>(), expected);
    assert!(code == 0 && verdicts.iter().all(|(_, verdict)| *verdict != "wrong"), "{steps:#?}");
    assert!(steps.last().unwrap()["found"].as_str().unwrap().contains("2 endpoints"), "{steps:#?}");

    let claims = |claims: &str| {
        use base64::Engine;
        let path = istiod.token_file("demo", &format!("jwt-{}", claims.len()));
        std::fs::write(&path, format!("e30.{}.x", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))).unwrap();
        path.to_string_lossy().into_owned()
    };
    let elsewhere = istiod.token_file("elsewhere", "echo").to_string_lossy().into_owned();
    let later = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 3600;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (key, value, step, remedy) in [
        ("server", "https://nobody.invalid:15012".to_owned(), "resolve", "DNS"),
        ("server", format!("https://localhost:{free}"), "connect", "is the control plane running"),
        ("server", istiod.plaintext().replace("http://", "https://"), "tls", "15010 is plaintext"),
        ("ca_file", "/nowhere/root.pem".into(), "tls", "mount the file"),
        ("server_name", "istiod.elsewhere.svc".into(), "tls", "server_name"),
        ("token_file", "/nowhere/token".into(), "token", "projected token"),
        (
            "token_file",
            claims(r#"{"aud": ["https://kubernetes.default.svc"], "sub": "system:serviceaccount:demo:echo"}"#),
            "token",
            "audience istio-ca",
        ),
        ("token_file", claims(r#"{"aud": ["istio-ca"], "exp": 1}"#), "token", "renews"),
        (
            "token_file",
            claims(&format!(r#"{{"aud": ["istio-ca"], "sub": "system:serviceaccount:other:echo", "exp": {later}}}"#)),
            "token",
            "another namespace",
        ),
        ("token_file", elsewhere, "stream", "namespace or service account"),
        ("node_id", "nobody".into(), "node", "sidecar~ip~pod"),
    ] {
        let mut bad = good.clone();
        bad[key] = value.clone().into();
        let (steps, code) = doctor(&bad, &[]);
        let wrong = steps.iter().find(|step| step["verdict"] == "wrong").unwrap_or_else(|| panic!("{key}={value}: {steps:#?}"));
        assert_eq!((code, wrong["step"].as_str().unwrap()), (1, step), "{key}={value}: {steps:#?}");
        let text = wrong["remedy"].as_str().unwrap();
        assert!(text.contains(remedy), "{key}={value}: {text}");
        assert!(!steps.iter().any(|step| step.to_string().contains("test:elsewhere")), "the token is not shown");
    }
    let (steps, code) = doctor(&good, &["nobody.demo:80"]);
    assert_eq!((code, steps.last().unwrap()["verdict"].as_str()), (1, Some("wrong")));
}
