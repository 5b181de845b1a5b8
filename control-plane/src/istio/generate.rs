// SPDX-License-Identifier: Apache-2.0
//! [`Mesh`] to clusters, assignments and routes, named as istiod names them.

use std::collections::{BTreeMap, HashMap};

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{
                Cluster,
                cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy},
            },
            core::v3::{
                Address, AggregatedConfigSource, ConfigSource, Locality, Metadata, SocketAddress, TransportSocket,
                address::Address as Kind, config_source::ConfigSourceSpecifier, socket_address::PortSpecifier,
            },
            endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
            route::v3::{
                HeaderMatcher, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, WeightedCluster,
                header_matcher::HeaderMatchSpecifier, route::Action, route_action::ClusterSpecifier, route_match::PathSpecifier,
                weighted_cluster::ClusterWeight,
            },
        },
        r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher::MatchPattern},
    },
    google::protobuf::{BoolValue, Struct, UInt32Value, Value, value::Kind as ValueKind},
};

use super::{
    Mesh,
    mesh::{full_host, has_labels},
    objects::{
        Destination, DestinationRule, HttpMatch, HttpRoute, Protocol, Resolution, ServiceEntry, ServicePort, Simple, StringMatch,
        TlsMode, TrafficPolicy, VirtualService, WorkloadEntry,
    },
};
use crate::ads::{CLUSTER, ENDPOINTS, ROUTES, State};

/// Everything that the mesh says, as resources.
pub fn generate(mesh: &Mesh, number: u64) -> State {
    let mut state = State::new(number);
    for (object, entry) in mesh.services() {
        let workloads = mesh.workloads(object, entry);
        for host in entry.hosts.iter().map(|host| host.to_lowercase()) {
            let rule = mesh.destination_rule(&host);
            for port in &entry.ports {
                add_clusters(&mut state, entry, &host, port, rule, &workloads);
                let name = format!("{host}:{}", port.number);
                state.insert(ROUTES, name.clone(), &routes(&name, &host, port, mesh.virtual_service(&host)));
            }
        }
    }
    state
}

fn add_clusters(
    state: &mut State,
    entry: &ServiceEntry,
    host: &str,
    port: &ServicePort,
    rule: Option<&DestinationRule>,
    workloads: &[&WorkloadEntry],
) {
    let policy = rule.map(|rule| &rule.traffic_policy);
    let mut add = |subset: &str, chosen: Vec<&WorkloadEntry>, own: Option<&TrafficPolicy>| {
        let name = cluster_name(host, port.number, subset);
        let assignment = assignment(&name, port, &chosen);
        state.insert(CLUSTER, name.clone(), &cluster(&name, entry.resolution, &assignment, policy, own));
        if entry.resolution == Resolution::Static {
            state.insert(ENDPOINTS, name, &assignment);
        }
    };
    add("", workloads.to_vec(), None);
    for subset in rule.map(|rule| rule.subsets.as_slice()).unwrap_or_default() {
        let chosen = workloads.iter().filter(|workload| has_labels(&workload.labels, &subset.labels)).copied().collect();
        add(&subset.name, chosen, subset.traffic_policy.as_ref());
    }
}

fn cluster_name(host: &str, port: u16, subset: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

fn cluster(
    name: &str,
    resolution: Resolution,
    assignment: &ClusterLoadAssignment,
    policy: Option<&TrafficPolicy>,
    subset_policy: Option<&TrafficPolicy>,
) -> Cluster {
    // A setting of the subset replaces the same setting of the rule.
    let balancer = [subset_policy, policy].into_iter().flatten().find_map(|p| p.load_balancer.as_ref()).map(|b| b.simple);
    let tls = [subset_policy, policy].into_iter().flatten().find_map(|p| p.tls.as_ref()).map(|tls| tls.mode);
    let mut cluster = Cluster {
        name: name.into(),
        lb_policy: match (balancer, resolution) {
            (_, Resolution::None) => LbPolicy::ClusterProvided,
            (Some(Simple::RoundRobin), _) => LbPolicy::RoundRobin,
            (Some(Simple::Random), _) => LbPolicy::Random,
            (Some(Simple::LeastRequest | Simple::Unspecified) | None, _) => LbPolicy::LeastRequest,
        } as i32,
        transport_socket: (tls == Some(TlsMode::IstioMutual))
            .then(|| TransportSocket { name: "envoy.transport_sockets.tls".into(), ..Default::default() }),
        ..Default::default()
    };
    let kind = match resolution {
        Resolution::Static => DiscoveryType::Eds,
        Resolution::Dns => DiscoveryType::StrictDns,
        Resolution::None => DiscoveryType::OriginalDst,
    };
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind as i32));
    match resolution {
        Resolution::Static => {
            let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
            let eds_config = ConfigSource { config_source_specifier: Some(ads), ..Default::default() };
            cluster.eds_cluster_config = Some(EdsClusterConfig { eds_config: Some(eds_config), service_name: name.into() });
        }
        Resolution::Dns => cluster.load_assignment = Some(assignment.clone()),
        Resolution::None => {}
    }
    cluster
}

fn assignment(name: &str, port: &ServicePort, workloads: &[&WorkloadEntry]) -> ClusterLoadAssignment {
    let mut by_locality: BTreeMap<&str, Vec<LbEndpoint>> = BTreeMap::new();
    for workload in workloads {
        by_locality.entry(&workload.locality).or_default().push(endpoint(workload, port));
    }
    let endpoints = by_locality.into_iter().map(|(locality, lb_endpoints)| {
        let weight: u32 = lb_endpoints.iter().filter_map(|e| e.load_balancing_weight.as_ref()).map(|w| w.value).sum();
        LocalityLbEndpoints {
            locality: Some(split_locality(locality)),
            lb_endpoints,
            load_balancing_weight: Some(UInt32Value { value: weight }),
            ..Default::default()
        }
    });
    ClusterLoadAssignment { cluster_name: name.into(), endpoints: endpoints.collect(), ..Default::default() }
}

fn split_locality(text: &str) -> Locality {
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    Locality { region: next(), zone: next(), sub_zone: next() }
}

fn endpoint(workload: &WorkloadEntry, port: &ServicePort) -> LbEndpoint {
    let number = workload.ports.get(&port.name).copied().or(port.target_port).unwrap_or(port.number);
    let socket = SocketAddress {
        address: workload.address.clone(),
        port_specifier: Some(PortSpecifier::PortValue(number.into())),
        ..Default::default()
    };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address { address: Some(Kind::SocketAddress(socket)) }),
            ..Default::default()
        })),
        load_balancing_weight: Some(UInt32Value { value: workload.weight.max(1) }),
        // Its health is not reported, which counts as healthy.
        health_status: 0,
        metadata: tls_mode(workload),
    }
}

/// istiod says `tlsMode: istio` for workloads that carry Istio's label.
fn tls_mode(workload: &WorkloadEntry) -> Option<Metadata> {
    let mode = workload.labels.get("security.istio.io/tlsMode")?;
    let value = Value { kind: Some(ValueKind::StringValue(mode.clone())) };
    let structure = Struct { fields: HashMap::from([("tlsMode".into(), value)]) };
    Some(Metadata { filter_metadata: HashMap::from([("envoy.transport_socket_match".into(), structure)]), ..Default::default() })
}

fn routes(name: &str, host: &str, port: &ServicePort, service: Option<(&VirtualService, &str)>) -> RouteConfiguration {
    if port.protocol == Protocol::Tcp {
        return RouteConfiguration { name: name.into(), ..Default::default() };
    }
    let routes = match service {
        Some((service, namespace)) => service.http.iter().flat_map(|http| http_routes(http, namespace, port.number)).collect(),
        None => vec![Route {
            name: "default".into(),
            r#match: Some(any_path()),
            action: Some(forward(ClusterSpecifier::Cluster(cluster_name(host, port.number, "")))),
            ..Default::default()
        }],
    };
    let virtual_host = VirtualHost { name: name.into(), domains: vec!["*".into()], routes, ..Default::default() };
    RouteConfiguration { name: name.into(), virtual_hosts: vec![virtual_host], ..Default::default() }
}

fn http_routes(http: &HttpRoute, namespace: &str, port: u16) -> Vec<Route> {
    let cluster = |destination: &Destination| {
        let port = destination.port.as_ref().map_or(port, |port| port.number);
        cluster_name(&full_host(&destination.host, namespace), port, &destination.subset)
    };
    let specifier = match http.route.as_slice() {
        [only] => ClusterSpecifier::Cluster(cluster(&only.destination)),
        several => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: several
                .iter()
                // Who gets nothing is not mentioned.
                .filter(|part| part.weight > 0)
                .map(|part| ClusterWeight {
                    name: cluster(&part.destination),
                    weight: Some(UInt32Value { value: part.weight }),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }),
    };
    let matches = if http.matches.is_empty() { vec![any_path()] } else { http.matches.iter().map(route_match).collect() };
    let to_route = |r#match| Route {
        name: http.name.clone(),
        r#match: Some(r#match),
        action: Some(forward(specifier.clone())),
        ..Default::default()
    };
    matches.into_iter().map(to_route).collect()
}

fn forward(specifier: ClusterSpecifier) -> Action {
    Action::Route(RouteAction { cluster_specifier: Some(specifier), ..Default::default() })
}

fn any_path() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..Default::default() }
}

fn route_match(http: &HttpMatch) -> RouteMatch {
    let path = match &http.uri {
        None => PathSpecifier::Prefix("/".into()),
        Some(StringMatch::Exact(path)) => PathSpecifier::Path(path.clone()),
        Some(StringMatch::Prefix(path)) => PathSpecifier::Prefix(path.clone()),
        Some(StringMatch::Regex(regex)) => PathSpecifier::SafeRegex(RegexMatcher { regex: regex.clone(), ..Default::default() }),
    };
    let headers = http.headers.iter().map(|(name, value)| {
        let pattern = match value {
            StringMatch::Exact(text) => MatchPattern::Exact(text.clone()),
            StringMatch::Prefix(text) => MatchPattern::Prefix(text.clone()),
            StringMatch::Regex(regex) => MatchPattern::SafeRegex(RegexMatcher { regex: regex.clone(), ..Default::default() }),
        };
        let matcher = StringMatcher { match_pattern: Some(pattern), ..Default::default() };
        HeaderMatcher {
            name: name.clone(),
            header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(matcher)),
            ..Default::default()
        }
    });
    // As istiod says it, for every condition that a VirtualService states.
    let case_sensitive = Some(BoolValue { value: true });
    RouteMatch { path_specifier: Some(path), headers: headers.collect(), case_sensitive, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prost::Message;

    use super::*;
    use crate::istio::parse;

    const MESH: &str = r"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: demo}
spec:
  hosts: [go-sc-a.demo.svc.cluster.local]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 9000}, {number: 81, name: raw, protocol: TCP}]
  resolution: STATIC
  workloadSelector: {labels: {app: a}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: one, namespace: demo}
spec: {address: 127.0.0.11, labels: {app: a, version: v1}, locality: r/z, weight: 3}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: two, namespace: demo}
spec: {address: 127.0.0.12, labels: {app: a, version: v2}, ports: {http: 9001}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: elsewhere, namespace: other}
spec: {address: 127.0.0.13, labels: {app: a}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec:
  host: go-sc-a
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: demo}
spec:
  hosts: [go-sc-a]
  http:
  - match: [{uri: {prefix: /x}}, {headers: {h: {exact: v}}}]
    route: [{destination: {host: go-sc-a, subset: v2}}]
  - route: [{destination: {host: go-sc-a, subset: v1}, weight: 80}, {destination: {host: go-sc-a, subset: v2}, weight: 20}]
";

    fn state() -> State {
        generate(&parse(Path::new("mesh.yaml"), MESH).expect("valid"), 1)
    }

    fn get<T: Message + Default>(type_url: &str, name: &str) -> T {
        let state = state();
        let (_, body) = state.of(type_url).find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name} is served"));
        T::decode(&body[..]).expect("encoded by us")
    }

    fn addresses(cluster: &str) -> Vec<String> {
        let assignment: ClusterLoadAssignment = get(ENDPOINTS, cluster);
        let endpoints = assignment.endpoints.iter().flat_map(|l| &l.lb_endpoints);
        endpoints
            .map(|e| match &e.host_identifier {
                Some(HostIdentifier::Endpoint(Endpoint {
                    address: Some(Address { address: Some(Kind::SocketAddress(s)) }),
                    ..
                })) => {
                    let Some(PortSpecifier::PortValue(port)) = s.port_specifier else { panic!("a port") };
                    format!("{}:{port} w{}", s.address, e.load_balancing_weight.as_ref().expect("a weight").value)
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    const HOST: &str = "go-sc-a.demo.svc.cluster.local";

    #[test]
    fn clusters_are_named_as_istiod_names_them() {
        let state = state();
        let names: Vec<&str> = state.of(CLUSTER).map(|(name, _)| name.as_str()).collect();
        let expected: Vec<String> =
            ["80|v1|", "80|v2|", "80||", "81|v1|", "81|v2|", "81||"].iter().map(|part| format!("outbound|{part}{HOST}")).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn endpoints_follow_selector_subset_and_port() {
        let base = addresses(&format!("outbound|80||{HOST}"));
        assert_eq!(base, ["127.0.0.12:9001 w1", "127.0.0.11:9000 w3"], "by locality; another namespace's workload is not ours");
        assert_eq!(addresses(&format!("outbound|80|v1|{HOST}")), ["127.0.0.11:9000 w3"]);
        assert_eq!(addresses(&format!("outbound|81|v2|{HOST}")), ["127.0.0.12:81 w1"]);
    }

    #[test]
    fn routes_keep_matches_and_weights_and_a_tcp_port_has_none() {
        let http: RouteConfiguration = get(ROUTES, &format!("{HOST}:80"));
        let routes = &http.virtual_hosts[0].routes;
        assert_eq!(routes.len(), 3, "two matches are two routes");
        let Some(Action::Route(RouteAction { cluster_specifier: Some(ClusterSpecifier::WeightedClusters(weighted)), .. })) =
            &routes[2].action
        else {
            panic!("weighted")
        };
        let weights: Vec<u32> = weighted.clusters.iter().map(|c| c.weight.as_ref().expect("a weight").value).collect();
        assert_eq!(weights, [80, 20]);
        let tcp: RouteConfiguration = get(ROUTES, &format!("{HOST}:81"));
        assert!(tcp.virtual_hosts.is_empty());
    }

    #[test]
    fn the_policy_of_a_subset_replaces_that_of_the_rule() {
        let v1: Cluster = get(CLUSTER, &format!("outbound|80|v1|{HOST}"));
        let v2: Cluster = get(CLUSTER, &format!("outbound|80|v2|{HOST}"));
        assert!(v1.transport_socket.is_none() && v2.transport_socket.is_some());
    }

    #[test]
    fn one_host_in_two_rules_is_an_error() {
        let twice = format!("{MESH}---\n{}", MESH.split("---\n").nth(4).expect("the DestinationRule"));
        let error = parse(Path::new("mesh.yaml"), &twice).expect_err("refused").to_string();
        assert!(error.contains("already has a DestinationRule: document 5"), "{error}");
    }
}
