// SPDX-License-Identifier: Apache-2.0
//! What rules, services and files come to together, as callers of a namespace get it.

use std::sync::Arc;

use envoy_types::pb::envoy::{
    config::{
        cluster::v3::{Cluster, cluster::LbPolicy},
        core::v3::{HealthStatus, address::Address as Kind, socket_address::PortSpecifier},
        endpoint::v3::{ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier},
        route::v3::{RouteConfiguration, route::Action, route_action::ClusterSpecifier},
    },
    service::discovery::v3::DeltaDiscoveryRequest,
};
use prost::Message;

use super::{Mesh, Options, Source, generate, read};
use crate::ads::{CLUSTER, ENDPOINTS, ROUTES, State, Stream};

/// `a` in `demo`, v1 and v2.
const A: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: demo}
spec:
  hosts: [a.demo.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.21, labels: {version: v1}}, {address: 127.0.0.22, labels: {version: v2}}]
";

fn rule(name: &str, namespace: &str, spec: &str) -> String {
    object("DestinationRule", name, namespace, spec)
}

fn routes(name: &str, spec: &str) -> String {
    object("VirtualService", name, "demo", spec)
}

fn object(kind: &str, name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

fn with(text: &str, options: &Options) -> Result<Mesh, String> {
    read(&[Source { name: "mesh.yaml".into(), text: text.into() }], options).map_err(|error| error.to_string())
}

fn mesh(text: &str) -> Mesh {
    with(text, &Options::default()).expect("valid")
}

/// What a client in this namespace is sent of a type.
fn asked(mesh: &Mesh, namespace: &str, type_url: &str, names: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut stream = Stream::new(Arc::new(generate(mesh, 1)));
    let mut request = DeltaDiscoveryRequest { type_url: type_url.into(), ..Default::default() };
    request.node.get_or_insert_default().id = format!("sidecar~127.0.0.9~x.{namespace}~{namespace}.svc.cluster.local");
    request.resource_names_subscribe = names.iter().map(|name| (*name).to_owned()).collect();
    let answer = stream.on_delta(&request).expect("an answer");
    answer.resources.into_iter().map(|resource| (resource.name, resource.resource.expect("a body").value)).collect()
}

fn clusters(mesh: &Mesh, namespace: &str) -> Vec<Cluster> {
    asked(mesh, namespace, CLUSTER, &["*"]).iter().map(|(_, body)| Cluster::decode(&body[..]).expect("ours")).collect()
}

fn subsets(mesh: &Mesh, namespace: &str) -> Vec<String> {
    let names = clusters(mesh, namespace).into_iter().map(|cluster| cluster.name);
    names.filter_map(|name| name.split('|').nth(2).filter(|subset| !subset.is_empty()).map(str::to_owned)).collect()
}

/// The cluster of each route of `a`, or how it answers.
fn route_clusters(mesh: &Mesh) -> Vec<String> {
    let (_, body) = asked(mesh, "demo", ROUTES, &["a.demo.svc.cluster.local:80"]).remove(0);
    let table = RouteConfiguration::decode(&body[..]).expect("ours");
    let routes = table.virtual_hosts.into_iter().flat_map(|host| host.routes);
    routes
        .map(|route| match route.action.expect("an action") {
            Action::Route(action) => match action.cluster_specifier {
                Some(ClusterSpecifier::Cluster(cluster)) => cluster,
                other => format!("{other:?}"),
            },
            Action::Redirect(_) => "redirect".into(),
            Action::DirectResponse(response) => response.status.to_string(),
            other => format!("{other:?}"),
        })
        .collect()
}

fn addresses_in(assignment: &ClusterLoadAssignment) -> Vec<String> {
    let endpoints = assignment.endpoints.iter().flat_map(|part| &part.lb_endpoints);
    let shown = |endpoint: &LbEndpoint| {
        let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else { return None };
        let Kind::SocketAddress(socket) = host.address.as_ref()?.address.as_ref()? else { return None };
        let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else { return None };
        let health = if endpoint.health_status == HealthStatus::Unhealthy as i32 { " unhealthy" } else { "" };
        Some(format!("{}:{port}{health}", socket.address))
    };
    endpoints.filter_map(shown).collect()
}

fn addresses(mesh: &Mesh, cluster: &str) -> Vec<String> {
    let state: State = generate(mesh, 1);
    let (_, body) = state.of(ENDPOINTS).find(|(name, _)| *name == cluster).unwrap_or_else(|| panic!("{cluster}"));
    addresses_in(&ClusterLoadAssignment::decode(&body[..]).expect("ours"))
}

const V1: &str = "outbound|80|v1|a.demo.svc.cluster.local";
const V2: &str = "outbound|80|v2|a.demo.svc.cluster.local";
const BASE: &str = "outbound|80||a.demo.svc.cluster.local";

#[test]
fn a_rule_with_a_wildcard_counts_where_none_is_more_specific() {
    let wild = rule("all", "demo", "{host: '*.local', trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}");
    assert!(clusters(&mesh(&format!("{A}{wild}")), "demo")[0].transport_socket.is_some());
    let nearer = rule("near", "demo", "{host: '*.demo.svc.cluster.local', trafficPolicy: {loadBalancer: {simple: RANDOM}}}");
    let near = &clusters(&mesh(&format!("{A}{wild}{nearer}")), "demo")[0];
    assert!(near.transport_socket.is_none() && near.lb_policy == LbPolicy::Random as i32);
    let own = rule("a", "demo", "{host: a}");
    assert_eq!(clusters(&mesh(&format!("{A}{wild}{nearer}{own}")), "demo")[0].lb_policy, LbPolicy::LeastRequest as i32);
    let error = with(&rule("x", "demo", "{host: 'a*.local'}"), &Options::default()).expect_err("no wildcard of Istio's");
    assert!(error.contains("spec.host: \"a*.local\" is neither a host nor a wildcard"), "{error}");
}

#[test]
fn routes_with_a_wildcard_count_where_none_are_more_specific() {
    let subsets = rule("a", "demo", "{host: a, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}");
    let to = |subset: &str| format!("http: [{{route: [{{destination: {{host: a, subset: {subset}}}}}]}}]");
    let wild = routes("all", &format!("{{hosts: ['*.demo.svc.cluster.local'], {}}}", to("v1")));
    assert_eq!(route_clusters(&mesh(&format!("{A}{subsets}{wild}"))), [V1]);
    let own = routes("own", &format!("{{hosts: [a], {}}}", to("v2")));
    assert_eq!(route_clusters(&mesh(&format!("{A}{subsets}{wild}{own}"))), [V2]);
}

#[test]
fn a_rule_counts_for_callers_of_its_namespace_then_of_the_services_then_of_the_root() {
    let subset = |name: &str| format!("{{host: a.demo.svc.cluster.local, subsets: [{{name: {name}, labels: {{version: v1}}}}]}}");
    let foreign = rule("a", "other", &subset("foreign"));
    let own = rule("a", "demo", &subset("own"));
    let root = rule("a", "istio-system", &subset("root"));
    let only_foreign = mesh(&format!("{A}{foreign}"));
    assert_eq!((subsets(&only_foreign, "demo"), subsets(&only_foreign, "other")), (vec![], vec!["foreign".to_owned()]));
    let rooted = mesh(&format!("{A}{foreign}{root}"));
    assert_eq!((subsets(&rooted, "demo"), subsets(&rooted, "third")), (vec!["root".to_owned()], vec!["root".to_owned()]));
    let all = mesh(&format!("{A}{foreign}{root}{own}"));
    let seen = ["demo", "other", "third", "istio-system"].map(|namespace| subsets(&all, namespace).join(" "));
    assert_eq!(seen, ["own", "foreign", "own", "own"]);
}

#[test]
fn a_name_without_endpoints_is_its_own_endpoint() {
    let entry = |rest: &str| object("ServiceEntry", "gh", "demo", &format!("{{hosts: [github.example], resolution: DNS, {rest}}}"));
    let plain = mesh(&entry("ports: [{number: 443, name: tcp, protocol: TCP, targetPort: 8443}]"));
    let list = clusters(&plain, "demo")[0].load_assignment.clone().expect("names");
    assert_eq!(addresses_in(&list), ["github.example:8443"]);
    let selecting = entry("ports: [{number: 80, name: http}], workloadSelector: {labels: {app: gh}}");
    assert!(clusters(&mesh(&selecting), "demo").is_empty(), "a cluster of names without a name is none");
    let workload = object("WorkloadEntry", "w", "demo", "{address: one.example, labels: {app: gh}}");
    let list = clusters(&mesh(&format!("{selecting}{workload}")), "demo")[0].load_assignment.clone().expect("names");
    assert_eq!(addresses_in(&list), ["one.example:80"]);
    let error =
        with(&format!("{}{workload}", selecting.replace("DNS", "STATIC")), &Options::default()).expect_err("a name in a list");
    assert!(error.contains("spec.resolution: selects document 2 (WorkloadEntry demo/w), whose address"), "{error}");
}

#[test]
fn a_port_that_does_not_say_its_protocol_has_routes() {
    let quiet = mesh(&format!(
        "{}{}",
        A.replace(", protocol: HTTP", ""),
        routes("a", "{hosts: [a], http: [{directResponse: {status: 503}}]}")
    ));
    assert_eq!(route_clusters(&quiet), ["503"]);
    assert!(!clusters(&quiet, "demo")[0].typed_extension_protocol_options.is_empty(), "whatever the client speaks");
    let tls = mesh(&A.replace("HTTP", "HTTPS"));
    assert!(route_clusters(&tls).is_empty() && clusters(&tls, "demo").len() == 1);
    assert!(clusters(&mesh(&A.replace("HTTP", "UDP")), "demo").is_empty());
}

#[test]
fn two_rules_for_one_host_are_merged_and_the_older_says_what_both_say() {
    let one = rule(
        "b",
        "demo",
        "{host: a, trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: v1, labels: {version: v1}}]}",
    );
    let two = rule("a", "demo", "{host: a.demo.svc.cluster.local, subsets: [{name: v1}, {name: v2, labels: {version: v2}}]}");
    let both = mesh(&format!("{A}{one}{two}"));
    assert_eq!(subsets(&both, "demo"), ["v1", "v2"]);
    assert_eq!(addresses(&both, V1).len(), 2, "the one whose name is first");
    let aged = one.replace("name: b,", "name: b, creationTimestamp: '2020-01-01T00:00:00Z',");
    let two = two.replace("name: a,", "name: a, creationTimestamp: '2021-01-01T00:00:00Z',");
    assert_eq!(addresses(&mesh(&format!("{A}{aged}{two}")), V1), ["127.0.0.21:80"]);
    assert_eq!(clusters(&both, "demo")[0].lb_policy, LbPolicy::Random as i32);
}

#[test]
fn a_host_with_capitals_names_clusters_as_it_is_written_and_routes_in_lower_case() {
    let capital = A.replace("[a.demo", "[A.demo");
    let text =
        format!("{capital}{}", routes("a", "{hosts: [a], http: [{route: [{destination: {host: A.demo.svc.cluster.local}}]}]}"));
    let served = mesh(&format!("{text}{}", rule("a", "demo", "{host: a, subsets: [{name: v1, labels: {version: v1}}]}")));
    assert_eq!(clusters(&served, "demo")[1].name, "outbound|80||A.demo.svc.cluster.local");
    assert_eq!(
        (subsets(&served, "demo"), route_clusters(&served)),
        (vec!["v1".into()], vec!["outbound|80||A.demo.svc.cluster.local".into()])
    );
}

#[test]
fn one_host_may_stand_short_and_in_full_in_one_virtual_service() {
    let twice = routes("a", "{hosts: [a, a.demo.svc.cluster.local], http: [{directResponse: {status: 404}}]}");
    assert_eq!(route_clusters(&mesh(&format!("{A}{twice}"))), ["404"]);
}

#[test]
fn routes_behind_one_that_takes_everything_are_cut() {
    let cut = |first: &str| {
        let spec =
            format!("{{hosts: [a], http: [{{{first} directResponse: {{status: 201}}}}, {{directResponse: {{status: 202}}}}]}}");
        route_clusters(&mesh(&format!("{A}{}", routes("a", &spec))))
    };
    for all in ["", "match: [{uri: {prefix: /}}],", "match: [{uri: {regex: '.*'}}, {uri: {exact: /x}}],"] {
        assert_eq!(cut(all), ["201"], "{all}");
    }
    for some in ["match: [{uri: {prefix: /x}}],", "match: [{uri: {prefix: /}, headers: {x: {}}}],"] {
        assert_eq!(cut(some), ["201", "202"], "{some}");
    }
}

#[test]
fn routes_of_gateways_and_of_other_ports_are_none_in_the_mesh() {
    let answer = "http: [{directResponse: {status: 503}}]";
    let outside = mesh(&format!("{A}{}", routes("a", &format!("{{hosts: [a], gateways: [front], {answer}}}"))));
    assert_eq!(route_clusters(&outside), [BASE]);
    assert!(outside.notes()[0].contains("spec.gateways: without mesh among them"), "{:?}", outside.notes());
    let both = mesh(&format!("{A}{}", routes("a", &format!("{{hosts: [a], gateways: [front, mesh], {answer}}}"))));
    assert_eq!(route_clusters(&both), ["503"]);
    let matched = |condition: &str| {
        let spec = format!("{{hosts: [a], http: [{{match: [{condition}], directResponse: {{status: 503}}}}]}}");
        route_clusters(&mesh(&format!("{A}{}", routes("a", &spec))))
    };
    assert_eq!(matched("{port: 80}"), ["503"]);
    assert_eq!(matched("{port: 81}"), [BASE], "no route is left for this port");
    assert_eq!(matched("{gateways: [front]}"), [BASE]);
    assert_eq!(matched("{gateways: [mesh]}"), ["503"]);
}

/// `shop` in `demo`: a Service alone.
const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: demo}
spec: {selector: {app: shop}, ports: [{name: http-web, port: 80, targetPort: web}, {name: dns, port: 53, protocol: UDP}]}
";

fn slice(endpoints: &str) -> String {
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: shop-1, namespace: demo, labels: {{kubernetes.io/service-name: shop}}}}\n\
         addressType: IPv4\nports: [{{name: http-web, port: 8080}}]\nendpoints: [{endpoints}]\n"
    )
}

const SHOP_CLUSTER: &str = "outbound|80||shop.demo.svc.cluster.local";

#[test]
fn a_kubernetes_service_is_where_its_slices_say() {
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop-1, namespace: demo, labels: {version: v1}}\nspec: {}\n";
    let subsets = rule("shop", "demo", "{host: shop, subsets: [{name: v1, labels: {version: v1}}]}");
    let endpoints = "{addresses: [127.0.0.61], conditions: {ready: true}, targetRef: {kind: Pod, name: shop-1}}, {addresses: [127.0.0.62]}, \
        {addresses: [127.0.0.63], conditions: {ready: false}}, {addresses: [127.0.0.64], conditions: {ready: false, terminating: false}}";
    let served = mesh(&format!("{SHOP}{}{pod}{subsets}", slice(endpoints)));
    assert_eq!(
        addresses(&served, SHOP_CLUSTER),
        ["127.0.0.61:8080", "127.0.0.62:8080", "127.0.0.64:8080 unhealthy"],
        "who is leaving is left out"
    );
    assert_eq!(addresses(&served, "outbound|80|v1|shop.demo.svc.cluster.local"), ["127.0.0.61:8080"]);
    assert_eq!(clusters(&served, "demo").len(), 2, "none for UDP");
}

#[test]
fn endpoints_of_the_older_kind_are_read_where_there_are_no_slices() {
    let older = "---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: shop, namespace: demo}\n\
        subsets: [{addresses: [{ip: 127.0.0.64}], ports: [{name: http-web, port: 8081}]}]\n";
    assert_eq!(addresses(&mesh(&format!("{SHOP}{older}")), SHOP_CLUSTER), ["127.0.0.64:8081"]);
    let both = mesh(&format!("{SHOP}{older}{}", slice("{addresses: [127.0.0.61]}")));
    assert_eq!(addresses(&both, SHOP_CLUSTER), ["127.0.0.61:8080"]);
}

#[test]
fn an_endpoint_that_is_given_takes_the_place_of_those_in_files() {
    let given = |texts: &[&str]| {
        let endpoints = texts.iter().map(|text| text.parse().expect("valid")).collect();
        with(&format!("{SHOP}{}", slice("{addresses: [10.1.2.3]}")), &Options { endpoints, ..Options::default() })
    };
    let two = given(&["shop:80=127.0.0.1:8080,version=v1", "shop.demo:http-web=127.0.0.1:8081"]).expect("valid");
    assert_eq!(addresses(&two, SHOP_CLUSTER), ["127.0.0.1:8080", "127.0.0.1:8081"]);
    for (text, expected) in [
        ("shop=127.0.0.1:1", "shop.demo.svc.cluster.local has the ports 80 (http-web), 53 (dns); say which"),
        ("shop:81=127.0.0.1:1", "has the ports 80 (http-web), 53 (dns); say which"),
        ("shoe=127.0.0.1:1", "there is no service shoe"),
    ] {
        let error = given(&[text]).expect_err(text);
        assert!(error.starts_with(&format!("--endpoint: {text}: ")) && error.contains(expected), "{error}");
    }
}

#[test]
fn a_service_that_needs_to_know_where_its_caller_is_is_refused() {
    for (field, value) in [("internalTrafficPolicy", "Local"), ("trafficDistribution", "PreferClose")] {
        let error = with(&SHOP.replace("spec: {", &format!("spec: {{{field}: {value}, ")), &Options::default()).expect_err(field);
        assert!(error.contains(&format!("(Service demo/shop): spec.{field}: ")), "{error}");
    }
    let error = with(&SHOP.replace("spec: {", "spec: {selektor: {}, "), &Options::default()).expect_err("a typo");
    assert!(error.contains("spec.selektor: unknown field"), "{error}");
}

#[test]
fn the_last_of_several_objects_with_one_name_counts() {
    let twice = mesh(&format!("{A}---{}", A.replace("127.0.0.21", "127.0.0.29")));
    assert_eq!(addresses(&twice, BASE), ["127.0.0.29:80", "127.0.0.22:80"]);
    assert!(twice.warnings()[0].to_string().ends_with("takes the place of document 1 (ServiceEntry demo/a) in mesh.yaml"));
    let error =
        with(&format!("{A}---{}", A.replace("name: a,", "name: b,")), &Options::default()).expect_err("one host, two entries");
    assert!(error.contains("spec.hosts: host a.demo.svc.cluster.local already has a ServiceEntry document 1"), "{error}");
}

#[test]
fn what_looks_wrong_is_warned_about() {
    let warned = |text: &str| mesh(&format!("{A}{text}")).warnings().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(warned("").is_empty());
    let good = rule("a", "demo", "{host: a, subsets: [{name: v1, labels: {version: v1}}]}");
    let good_routes = routes("a", "{hosts: [a], http: [{route: [{destination: {host: a, subset: v1, port: {number: 80}}}]}]}");
    assert!(warned(&format!("{good}{good_routes}")).is_empty());
    for (text, expected) in [
        (
            rule("a", "demo", "{host: aa}"),
            "spec.host: there is no service aa.demo.svc.cluster.local; a.demo.svc.cluster.local is near",
        ),
        (rule("a", "demo", "{host: a, subsets: [{name: v9, labels: {version: v9}}]}"), "spec.subsets[0].labels: no endpoint of"),
        (rule("a", "demo", "{host: a, subsets: [{name: x}, {name: x}]}"), "spec.subsets[1].name: x is there already"),
        (rule("a", "far", "{host: a.demo.svc.cluster.local}"), "metadata.namespace: counts for callers in far only"),
        (routes("a", "{hosts: [b], http: [{route: [{destination: {host: a}}]}]}"), "spec.hosts[0]: there is no service b.demo"),
        (
            routes("a", "{hosts: [a], http: [{route: [{destination: {host: a, subset: v1}}]}]}"),
            "spec.http[0].route[0].destination.subset: no DestinationRule defines subset v1 of a.demo.svc.cluster.local",
        ),
        (
            format!("{good}{}", routes("a", "{hosts: [a], http: [{route: [{destination: {host: a, subset: v2}}]}]}")),
            "no DestinationRule defines subset v2 of a.demo.svc.cluster.local; there are v1",
        ),
        (
            routes("a", "{hosts: [a], http: [{route: [{destination: {host: c.x.y}}]}]}"),
            "destination.host: there is no service c.x.y",
        ),
        (
            routes("a", "{hosts: [a], http: [{route: [{destination: {host: a, port: {number: 81}}}]}]}"),
            "destination.port.number: a.demo.svc.cluster.local has no port 81; it has 80",
        ),
        (
            format!("{good_routes}{}{good}", good_routes.replace("name: a,", "name: b,")),
            "spec.hosts[0]: a.demo.svc.cluster.local is routed by document 2 (VirtualService demo/a) in mesh.yaml already",
        ),
        (
            object(
                "ServiceEntry",
                "e",
                "demo",
                "{hosts: [e], ports: [], resolution: STATIC, workloadSelector: {labels: {app: e}}}",
            ),
            "spec.workloadSelector: no WorkloadEntry in demo has these labels",
        ),
        (format!("---{SHOP}"), "(Service demo/shop): no endpoint; an EndpointSlice, or --endpoint shop=127.0.0.1:8080"),
    ] {
        let warnings = warned(&text);
        assert!(warnings.len() == 1 && warnings[0].contains(expected), "{expected}\n{warnings:?}");
    }
}
