// SPDX-License-Identifier: Apache-2.0
//! [`Mesh`] to clusters, assignments and routes, named as istiod names them.

use super::{
    Mesh,
    clusters::cluster,
    effective::EffectiveRule,
    endpoints::assignment,
    objects::{Protocol, Resolution},
    routes::routes,
    rule::Subset,
    service::{Port, Service},
};
use crate::ads::{CLUSTER, ENDPOINTS, ROUTES, State};

/// Everything that the mesh says, as resources; to callers of namespaces with rules of their own, what those say.
pub fn generate(mesh: &Mesh, number: u64) -> State {
    let mut state = view(mesh, None, number);
    for namespace in mesh.namespaces_with_rules() {
        state.insert_view(namespace, view(mesh, Some(namespace), number));
    }
    state
}

fn view(mesh: &Mesh, client: Option<&str>, number: u64) -> State {
    let mut state = State::new(number);
    for service in &mesh.services {
        let rule = mesh.rule_for(service, client);
        let virtual_services = mesh.virtual_services_of(&service.host);
        // Nobody balances what is sent by UDP.
        for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
            add_clusters(&mut state, service, port, rule.as_ref());
            // istiod knows hosts in lower case here.
            let name = format!("{}:{}", service.host, port.number);
            state.insert(ROUTES, name.clone(), &routes(&name, &service.host, port, &virtual_services));
        }
    }
    state
}

fn add_clusters(state: &mut State, service: &Service, port: &Port, rule: Option<&EffectiveRule<'_>>) {
    let mut add = |subset: Option<&Subset>| {
        let name = cluster_name(&service.spelled, port.number, subset.map_or("", |subset| subset.name.as_str()));
        let assignment = assignment(&name, &port.chosen(subset));
        // A cluster of names without a name is none.
        if service.resolution == Resolution::Dns && assignment.endpoints.is_empty() {
            return;
        }
        let settings = rule.map(|rule| rule.settings(subset, port.number)).unwrap_or_default();
        state.insert(CLUSTER, name.clone(), &cluster(&name, service.resolution, port.protocol, &assignment, settings));
        if service.resolution != Resolution::Dns {
            // istiod answers for what has no list by nature, too: with an empty one.
            state.insert(ENDPOINTS, name, &assignment);
        }
    };
    add(None);
    rule.iter().flat_map(|rule| rule.subsets()).for_each(|subset| add(Some(subset)));
}

pub(super) fn cluster_name(host: &str, port: u16, subset: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use envoy_types::pb::envoy::config::{
        cluster::v3::Cluster,
        core::v3::{Address, address::Address as Kind, socket_address::PortSpecifier},
        endpoint::v3::{ClusterLoadAssignment, Endpoint, lb_endpoint::HostIdentifier},
        route::v3::{RouteAction, RouteConfiguration, route::Action, route_action::ClusterSpecifier},
    };
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
}
