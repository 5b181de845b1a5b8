// SPDX-License-Identifier: Apache-2.0
//! What istiod says beside the lists: routes with everything that a VirtualService can ask for, and policies of clusters.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::time::Duration;

use proxyless_core::{
    Client,
    model::{
        Abort, AbortStatus, Action, CircuitBreakers, Delay, Fault, Forward, Fraction, HeaderValue, HttpOptions, HttpProtocol,
        OtherAction, OutlierDetection, PathMatch, Pattern, Policy, Reached, Route, TcpKeepalive, Traffic,
    },
    route::takes_every_request,
    store::Entry,
};
use proxyless_tests::{Mesh, until};

const A: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: demo}
spec:
  hosts: [a.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: http-two, protocol: HTTP}]
  endpoints:
  - {address: 127.0.0.21, ports: {http: 9001}, labels: {version: v1}}
  - {address: 127.0.0.22, ports: {http: 9002}, labels: {version: v2}}
";

fn rule(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a, namespace: demo}}\nspec:\n  host: a.demo.svc.cluster.local\n{spec}"
    )
}

fn routes(http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a, namespace: demo}}\nspec:\n  hosts: [a.demo.svc.cluster.local]\n  http:\n{http}"
    )
}

fn traffic(entry: &Entry) -> Option<&Traffic> {
    entry.traffic.as_deref()
}

/// The policy of the only cluster that a target reaches.
fn policy(entry: &Entry) -> Option<&Policy> {
    match &*traffic(entry)?.clusters {
        [Reached { policy, .. }] => Some(policy),
        _ => None,
    }
}

fn table(entry: &Entry) -> &[Route] {
    traffic(entry).and_then(|traffic| traffic.routes.as_deref()).unwrap_or_default()
}

fn forward(route: &Route) -> &Forward {
    match &route.action {
        Action::Forward(forward) => forward,
        Action::Other(other) => panic!("{other}"),
    }
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn outlier_detection_and_connection_pools_arrive_as_data() {
    let mesh = Mesh::start();
    mesh.apply(A);
    mesh.apply(&rule(
        "  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 7, consecutiveGatewayErrors: 3, interval: 5s, baseEjectionTime: 1m, maxEjectionPercent: 40,
      minHealthPercent: 20, splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 4}
    connectionPool:
      tcp: {maxConnections: 11, connectTimeout: 3s, maxConnectionDuration: 30m, tcpKeepalive: {probes: 5, time: 7200s, interval: 75s}}
      http: {http1MaxPendingRequests: 12, http2MaxRequests: 13, maxRequestsPerConnection: 14, maxRetries: 15, idleTimeout: 45s,
        h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 16}
",
    ));
    let [istio, grpc] = &mesh.clients;
    let expected = Policy {
        lb_policy: "LEAST_REQUEST",
        connect_timeout: seconds(3),
        circuit_breakers: CircuitBreakers {
            max_connections: Some(11),
            max_pending_requests: Some(12),
            max_requests: Some(13),
            max_retries: Some(15),
        },
        http: HttpOptions {
            idle_timeout: seconds(45),
            max_connection_duration: seconds(1800),
            max_requests_per_connection: Some(14),
            protocol: HttpProtocol::Http2,
            max_concurrent_streams: Some(16),
        },
        tcp_keepalive: Some(TcpKeepalive { probes: Some(5), time: seconds(7200), interval: seconds(75) }),
        outlier_detection: Some(OutlierDetection {
            interval: seconds(5),
            base_ejection_time: seconds(60),
            max_ejection_percent: Some(40),
            consecutive_5xx: Some(7),
            enforcing_consecutive_5xx: Some(100),
            consecutive_gateway_failure: Some(3),
            enforcing_consecutive_gateway_failure: Some(100),
            split_external_local_origin_errors: true,
            consecutive_local_origin_failure: Some(4),
            enforcing_consecutive_local_origin_failure: Some(100),
            enforcing_success_rate: Some(0),
            ..Default::default()
        }),
        healthy_panic_threshold: Some(Fraction::from_percent(20.0)),
    };
    until(istio, "a:80", "of this policy", |entry| policy(entry) == Some(&expected));
    // All that istiod tells gRPC clients of it.
    let breakers = CircuitBreakers { max_requests: Some(13), ..Default::default() };
    let expected = Policy { lb_policy: "ROUND_ROBIN", circuit_breakers: breakers, ..Default::default() };
    until(grpc, "a:80", "of this policy", |entry| policy(entry) == Some(&expected));

    mesh.apply(&rule("  trafficPolicy: {connectionPool: {http: {http2MaxRequests: 99}}}\n"));
    for client in &mesh.clients {
        let changed = |entry: &Entry| policy(entry).is_some_and(|policy| policy.circuit_breakers.max_requests == Some(99));
        let entry = until(client, "a:80", "limited to 99", changed);
        assert_eq!(policy(&entry).unwrap().outlier_detection, None, "it went with the rule");
        assert_eq!(entry.list.endpoints().len(), 2, "the list is the same");
    }
}

#[test]
fn a_subset_and_a_port_have_policies_of_their_own() {
    let mesh = Mesh::start();
    mesh.apply(A);
    mesh.apply(&rule(
        "  trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}, outlierDetection: {consecutive5xxErrors: 5}, loadBalancer: {simple: RANDOM}}
  subsets:
  - {name: plain, labels: {version: v2}}
  - name: v1
    labels: {version: v1}
    trafficPolicy:
      connectionPool: {http: {http2MaxRequests: 2}}
      portLevelSettings:
      - {port: {number: 81}, connectionPool: {http: {http2MaxRequests: 3}}, loadBalancer: {simple: ROUND_ROBIN}}
",
    ));
    for (target, requests) in [("a:80", 1), ("a:81", 1), ("a:80/plain", 1), ("a:80/v1", 2), ("a:81/v1", 3)] {
        for client in &mesh.clients {
            until(client, target, &format!("limited to {requests}"), |entry| {
                policy(entry).is_some_and(|policy| policy.circuit_breakers.max_requests == Some(requests))
            });
        }
    }
    let policies = |client: &Client, target: &str| policy(client.snapshot().get(target).unwrap()).unwrap().clone();
    let [istio, grpc] = &mesh.clients;
    assert!(policies(istio, "a:80/v1").outlier_detection.is_some(), "a subset takes over what it does not say itself");
    assert!(policies(istio, "a:81/v1").outlier_detection.is_none(), "settings of a port stand alone");
    assert_eq!((policies(istio, "a:80/v1").lb_policy, policies(istio, "a:81/v1").lb_policy), ("RANDOM", "ROUND_ROBIN"));
    assert_eq!(policies(grpc, "a:80/v1").lb_policy, "ROUND_ROBIN", "as istiod tells gRPC clients");
}

#[test]
fn timeouts_retries_faults_mirrors_and_conditions_of_a_virtual_service_arrive_as_data() {
    let mesh = Mesh::start();
    mesh.apply(A);
    mesh.apply(&rule("  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]\n"));
    mesh.apply(&routes(
        "  - name: all
    match:
    - uri: {prefix: /api}
      ignoreUriCase: true
      method: {exact: GET}
      headers: {x-a: {exact: one}, x-b: {prefix: two}, x-c: {regex: 't.*'}, x-e: {}}
      withoutHeaders: {x-d: {exact: four}}
      queryParams: {q: {exact: '1'}}
    route:
    - {destination: {host: a.demo.svc.cluster.local, subset: v1}, weight: 30}
    - {destination: {host: a.demo.svc.cluster.local, subset: v2}, weight: 70}
    timeout: 3s
    retries: {attempts: 4, perTryTimeout: 1s, retryOn: '5xx,reset,503', backoff: 50ms}
    fault: {delay: {fixedDelay: 2s, percentage: {value: 12.5}}, abort: {httpStatus: 503, percentage: {value: 30}}}
    mirrors: [{destination: {host: a.demo.svc.cluster.local, subset: v1}, percentage: {value: 10}}]
  - match: [{uri: {exact: /gone}}]
    redirect: {uri: /here}
  - match: [{uri: {regex: '/r.*'}}]
    retries: {attempts: 0}
    route: [{destination: {host: a.demo.svc.cluster.local, subset: v2}}]
  - route: [{destination: {host: a.demo.svc.cluster.local}}]
",
    ));
    for client in &mesh.clients {
        let entry = until(client, "a:80", "of four routes", |entry| table(entry).len() == 4);
        assert_eq!(entry.list.endpoints().len(), 2, "the list follows the last route");
        let [all, gone, expression, rest] = table(&entry) else { panic!("four") };
        assert_eq!((&*all.name, &all.condition.path, all.condition.ignore_case), ("all", &PathMatch::Prefix("/api".into()), true));
        let headers: Vec<(String, String)> = all
            .condition
            .headers
            .iter()
            .map(|header| {
                let value = match &header.value {
                    HeaderValue::StringMatch(text) => format!("{:?}", text.pattern),
                    other => format!("{other:?}"),
                };
                (header.name.to_string(), if header.invert_match { format!("not {value}") } else { value })
            })
            .collect();
        let expected = [
            (":method", "Exact(\"GET\")"),
            ("x-a", "Exact(\"one\")"),
            ("x-b", "Prefix(\"two\")"),
            ("x-c", "SafeRegex(\"t.*\")"),
            ("x-d", "not Exact(\"four\")"),
            ("x-e", "PresentMatch(true)"),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let query = &all.condition.query_parameters[0];
        assert_eq!((&*query.name, &query.string_match.as_ref().unwrap().pattern), ("q", &Pattern::Exact("1".into())));

        let sent = forward(all);
        let shares: Vec<(&str, u32)> = sent.clusters.iter().map(|share| (&*share.cluster, share.weight)).collect();
        assert_eq!(shares, [("outbound|80|v1|a.demo.svc.cluster.local", 30), ("outbound|80|v2|a.demo.svc.cluster.local", 70)]);
        assert_eq!(sent.timeout, seconds(3));
        let retry = sent.retry_policy.as_ref().unwrap();
        assert_eq!(
            (&*retry.retry_on, retry.num_retries, &*retry.retriable_status_codes),
            ("5xx,reset,retriable-status-codes", Some(4), &[503][..])
        );
        assert_eq!((retry.per_try_timeout, retry.base_interval), (seconds(1), Some(Duration::from_millis(50))));
        let mirror = &sent.request_mirror_policies[0];
        assert_eq!(
            (&*mirror.cluster, mirror.runtime_fraction),
            ("outbound|80|v1|a.demo.svc.cluster.local", Fraction::from_percent(10.0))
        );
        let fault = Fault {
            delay: Some(Delay { fixed_delay: seconds(2), percentage: Fraction::from_percent(12.5) }),
            abort: Some(Abort { status: AbortStatus::HttpStatus(503), percentage: Fraction::from_percent(30.0) }),
        };
        assert_eq!(all.fault, Some(fault));

        assert_eq!(
            (&gone.condition.path, &gone.action),
            (&PathMatch::Path("/gone".into()), &Action::Other(OtherAction { action: "redirect", status: Some(301) }))
        );
        assert_eq!(expression.condition.path, PathMatch::SafeRegex("/r.*".into()));
        assert_eq!(forward(expression).retry_policy, None, "no attempts are no retries");
        let defaults = forward(rest).retry_policy.as_ref().unwrap();
        assert_eq!((defaults.num_retries, defaults.avoid_previous_hosts), (Some(2), true), "istiod's own");
        assert!(takes_every_request(&rest.condition));
    }
}

#[test]
fn a_delegate_and_its_root_are_one_table() {
    let mesh = Mesh::start();
    mesh.apply(A);
    mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: root, namespace: demo}\nspec:\n  hosts: [a.demo.svc.cluster.local]\n  \
         http: [{match: [{uri: {prefix: /a}}], delegate: {name: part}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: part, namespace: demo}\nspec:\n  \
         http: [{match: [{uri: {prefix: /a/b}}], timeout: 7s, route: [{destination: {host: a.demo.svc.cluster.local}}]}]\n",
    );
    for client in &mesh.clients {
        until(client, "a:80", "the delegate's route", |entry| {
            let routes = table(entry);
            routes.len() == 1
                && routes[0].condition.path == PathMatch::Prefix("/a/b".into())
                && forward(&routes[0]).timeout == seconds(7)
        });
    }
}
