// SPDX-License-Identifier: Apache-2.0
//! The embedded control plane beside the real istiod: the same YAML must come out as the same states, lists and weights.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use proxyless_control_plane::{Server, ads, istio};
use proxyless_core::{Client, model::State, store::Entry};
use proxyless_tests::{Istiod, PATIENCE};
use serde_json::{Value, json};

/// Name, YAML without its namespace, targets to compare.
type Case = (&'static str, &'static str, &'static [&'static str]);

/// `a` with two endpoints, v1 and v2; what most cases build on.
const A: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: demo}
spec:
  hosts: [a.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints:
  - {address: 127.0.0.21, ports: {http: 9001}, labels: {version: v1}}
  - {address: 127.0.0.22, ports: {http: 9002}, labels: {version: v2}}
---
";

const RULE: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec: {host: a.demo.svc.cluster.local, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
";

/// The head of a VirtualService for `a`; routes follow.
const ROUTES: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: demo}
spec:
  hosts: [a.demo.svc.cluster.local]
  http:
";

const CASES: &[Case] = &[
    ("a static service entry", A, &["a:80", "a", "a.demo", "a.demo.svc.cluster.local", "a:81", "nobody"]),
    ("a rule with subsets", "A+RULE", &["a", "a/v1", "a/v2", "a/v3"]),
    (
        "a rule without subsets",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec: {host: a.demo.svc.cluster.local}
",
        &["a", "a/v1"],
    ),
    (
        "a rule by short host",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec: {host: a, subsets: [{name: v1, labels: {version: v1}}]}
",
        &["a", "a/v1", "a/v2"],
    ),
    (
        "a subset that nobody is in",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec: {host: a.demo.svc.cluster.local, subsets: [{name: v9, labels: {version: v9}}]}
",
        &["a", "a/v9"],
    ),
    (
        "a subset of two labels",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec: {host: a.demo.svc.cluster.local, subsets: [{name: both, labels: {version: v1, zone: x}}]}
",
        &["a/both"],
    ),
    (
        "a subset without labels",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec: {host: a.demo.svc.cluster.local, subsets: [{name: all}]}
",
        &["a/all"],
    ),
    (
        "mutual TLS demanded",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec: {host: a.demo.svc.cluster.local, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
",
        &["a"],
    ),
    (
        "TLS switched off",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec: {host: a.demo.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}
",
        &["a"],
    ),
    (
        "mutual TLS for one subset",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec:
  host: a.demo.svc.cluster.local
  subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}, {name: v2, labels: {version: v2}}]
",
        &["a", "a/v1", "a/v2"],
    ),
    (
        "a load balancer",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec: {host: a.demo.svc.cluster.local, trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}}
",
        &["a"],
    ),
    (
        "weights over subsets",
        "A+RULE+ROUTES+  - route:
    - {destination: {host: a.demo.svc.cluster.local, subset: v1}, weight: 20}
    - {destination: {host: a.demo.svc.cluster.local, subset: v2}, weight: 80}
",
        &["a", "a/v1", "a/v2"],
    ),
    (
        "all to one subset",
        "A+RULE+ROUTES+  - route: [{destination: {host: a.demo.svc.cluster.local, subset: v2}}]
",
        &["a", "a/v1"],
    ),
    (
        "a weight of zero",
        "A+RULE+ROUTES+  - route:
    - {destination: {host: a.demo.svc.cluster.local, subset: v1}, weight: 0}
    - {destination: {host: a.demo.svc.cluster.local, subset: v2}, weight: 100}
",
        &["a"],
    ),
    (
        "short hosts in routes",
        "A+RULE+
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: demo}
spec: {hosts: [a], http: [{route: [{destination: {host: a, subset: v1}}]}]}
",
        &["a"],
    ),
    (
        "a header match before the rest",
        "A+RULE+ROUTES+  - match: [{headers: {x-test: {exact: 'yes'}}}]
    route: [{destination: {host: a.demo.svc.cluster.local, subset: v2}}]
  - route: [{destination: {host: a.demo.svc.cluster.local, subset: v1}}]
",
        &["a"],
    ),
    (
        "only a header match",
        "A+RULE+ROUTES+  - match: [{headers: {x-test: {exact: 'yes'}}}]
    route: [{destination: {host: a.demo.svc.cluster.local, subset: v2}}]
",
        &["a"],
    ),
    (
        "a path match before the rest",
        "A+RULE+ROUTES+  - match: [{uri: {prefix: /api}}]
    route: [{destination: {host: a.demo.svc.cluster.local, subset: v2}}]
  - route: [{destination: {host: a.demo.svc.cluster.local, subset: v1}}]
",
        &["a"],
    ),
    (
        "a prefix of a slash takes everything",
        "A+RULE+ROUTES+  - match: [{uri: {prefix: /}}]
    route: [{destination: {host: a.demo.svc.cluster.local, subset: v2}}]
",
        &["a"],
    ),
    (
        "a route to an undefined subset",
        "A+RULE+ROUTES+  - route: [{destination: {host: a.demo.svc.cluster.local, subset: v9}}]
",
        &["a"],
    ),
    (
        "limits of connections and requests",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec:
  host: a.demo.svc.cluster.local
  trafficPolicy:
    connectionPool:
      tcp: {maxConnections: 11, connectTimeout: 3s, maxConnectionDuration: 1h30m, idleTimeout: 20s, tcpKeepalive: {probes: 5, time: 2h, interval: 75s}}
      http: {http1MaxPendingRequests: 12, http2MaxRequests: 13, maxRequestsPerConnection: 14, maxRetries: 15, maxConcurrentStreams: 16, h2UpgradePolicy: UPGRADE}
",
        &["a"],
    ),
    (
        "the protocol of the client",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec: {host: a.demo.svc.cluster.local, trafficPolicy: {connectionPool: {http: {useClientProtocol: true, idleTimeout: 1.5s, maxConcurrentStreams: 7}}}}
",
        &["a"],
    ),
    (
        "outlier detection",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec:
  host: a.demo.svc.cluster.local
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 3, interval: 5s, baseEjectionTime: 1m, maxEjectionPercent: 40,
      minHealthPercent: 20, splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 4}
",
        &["a"],
    ),
    (
        "outlier detection that leaves all open",
        "A+
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: demo}
spec: {host: a.demo.svc.cluster.local, trafficPolicy: {outlierDetection: {}}}
",
        &["a"],
    ),
    (
        "settings of ports and subsets",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: b, namespace: demo}
spec:
  hosts: [b.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: grpc, protocol: GRPC}, {number: 82, name: tcp, protocol: TCP}]
  endpoints: [{address: 127.0.0.36, labels: {version: v1}}, {address: 127.0.0.37, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: b, namespace: demo}
spec:
  host: b.demo.svc.cluster.local
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    connectionPool: {http: {http2MaxRequests: 1, maxConcurrentStreams: 5}}
    outlierDetection: {consecutive5xxErrors: 5}
    portLevelSettings:
    - {port: {number: 82}, connectionPool: {tcp: {maxConnections: 9}}}
  subsets:
  - {name: plain, labels: {version: v2}}
  - name: v1
    labels: {version: v1}
    trafficPolicy:
      connectionPool: {http: {http2MaxRequests: 2}}
      portLevelSettings:
      - {port: {number: 81}, connectionPool: {http: {http2MaxRequests: 3}}, loadBalancer: {simple: ROUND_ROBIN}}
",
        &["b:80", "b:81/v1", "b:82/v1", "b:82/plain"],
    ),
    (
        "outlier detection without an order of localities",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: places, namespace: demo}
spec:
  hosts: [places.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.29, locality: r1/z1}, {address: 127.0.0.30, locality: r2/z1/s1}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: places, namespace: demo}
spec:
  host: places.demo.svc.cluster.local
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}, loadBalancer: {localityLbSetting: {enabled: false}}}
",
        &["places"],
    ),
    (
        "conditions of every kind",
        "A+RULE+ROUTES+  - name: all
    match:
    - name: first
      uri: {prefix: /api}
      ignoreUriCase: true
      method: {exact: GET}
      authority: {prefix: x}
      scheme: {exact: http}
      headers: {x-a: {exact: one}, x-b: {prefix: two}, x-c: {regex: 't.*'}, x-e: {}, x-f: {regex: '*'}}
      withoutHeaders: {x-d: {exact: four}, x-g: {}}
      queryParams: {q: {exact: '1'}, r: {prefix: x}, s: {}}
    - uri: {regex: '/r.*'}
    - uri: {exact: /e}
    route: [{destination: {host: a.demo.svc.cluster.local, subset: v2}}]
  - route: [{destination: {host: a.demo.svc.cluster.local, subset: v1}}]
",
        &["a"],
    ),
    (
        "timeouts and retries",
        "A+ROUTES+  - match: [{uri: {prefix: /a}}]
    timeout: 3s
    retries: {attempts: 4, perTryTimeout: 750ms, retryOn: '5xx, reset,503', retryRemoteLocalities: true, backoff: 50ms, retryIgnorePreviousHosts: false}
    route: [{destination: {host: a.demo.svc.cluster.local}}]
  - match: [{uri: {prefix: /b}}]
    retries: {attempts: 0}
    route: [{destination: {host: a.demo.svc.cluster.local}}]
  - match: [{uri: {prefix: /c}}]
    retries: {attempts: 2}
    route: [{destination: {host: a.demo.svc.cluster.local}}]
  - route: [{destination: {host: a.demo.svc.cluster.local}}]
",
        &["a"],
    ),
    (
        "faults",
        "A+ROUTES+  - match: [{uri: {prefix: /a}}]
    fault: {delay: {fixedDelay: 2s, percentage: {value: 12.5}}, abort: {httpStatus: 503, percentage: {value: 30}}}
    route: [{destination: {host: a.demo.svc.cluster.local}}]
  - match: [{uri: {prefix: /b}}]
    fault: {delay: {fixedDelay: 2s}, abort: {grpcStatus: UNAVAILABLE}}
    route: [{destination: {host: a.demo.svc.cluster.local}}]
  - fault: {abort: {httpStatus: 404, percentage: {value: 100}}}
    route: [{destination: {host: a.demo.svc.cluster.local}}]
",
        &["a"],
    ),
    (
        "mirrors",
        "A+RULE+ROUTES+  - match: [{uri: {prefix: /a}}]
    mirror: {host: a.demo.svc.cluster.local, subset: v1}
    mirrorPercentage: {value: 12.5}
    route: [{destination: {host: a.demo.svc.cluster.local, subset: v2}}]
  - match: [{uri: {prefix: /b}}]
    mirrors: [{destination: {host: a.demo.svc.cluster.local, subset: v1}, percentage: {value: 0}}, {destination: {host: a.demo.svc.cluster.local}}]
    route: [{destination: {host: a.demo.svc.cluster.local, subset: v2}}]
  - mirror: {host: a.demo.svc.cluster.local, subset: v1}
    route: [{destination: {host: a.demo.svc.cluster.local, subset: v2}}]
",
        &["a"],
    ),
    (
        "a route to another service",
        "A+
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: b, namespace: demo}
spec:
  hosts: [b.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.23, ports: {http: 9003}}]
---
ROUTES+  - route: [{destination: {host: b.demo.svc.cluster.local}}]
",
        &["a", "b"],
    ),
    (
        "two ports",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: two, namespace: demo}
spec:
  hosts: [two.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 9000, name: tcp, protocol: TCP}]
  endpoints: [{address: 127.0.0.24, ports: {http: 9004, tcp: 9005}}]
",
        &["two:80", "two:9000", "two"],
    ),
    (
        "an endpoint without the port takes the service's",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: plain, namespace: demo}
spec:
  hosts: [plain.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.25}]
",
        &["plain"],
    ),
    (
        "a target port",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: target, namespace: demo}
spec:
  hosts: [target.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8081}]
  endpoints: [{address: 127.0.0.26}]
",
        &["target"],
    ),
    (
        "weights of endpoints",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: heavy, namespace: demo}
spec:
  hosts: [heavy.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.27, weight: 7}, {address: 127.0.0.28}]
",
        &["heavy"],
    ),
    (
        "localities",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: places, namespace: demo}
spec:
  hosts: [places.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.29, locality: r1/z1}, {address: 127.0.0.30, locality: r2/z1/s1}]
",
        &["places"],
    ),
    (
        "several hosts of one entry",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: names, namespace: demo}
spec:
  hosts: [one.example, two.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.33}]
",
        &["one.example", "two.example"],
    ),
    (
        "selected workloads",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vm, namespace: demo}
spec:
  hosts: [vm.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: vm}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-1, namespace: demo}
spec: {address: 127.0.0.34, labels: {app: vm}, ports: {http: 9006}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-2, namespace: demo}
spec: {address: 127.0.0.35, labels: {app: other}}
",
        &["vm"],
    ),
    (
        "names to resolve",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: dns, namespace: demo}
spec:
  hosts: [dns.example]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: backend.example, ports: {http: 8080}}]
",
        &["dns.example"],
    ),
    (
        "no list by nature",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: none, namespace: demo}
spec:
  hosts: [none.example]
  resolution: NONE
  ports: [{number: 80, name: http, protocol: HTTP}]
",
        &["none.example"],
    ),
    (
        "an entry without endpoints",
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: empty, namespace: demo}
spec:
  hosts: [empty.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
",
        &["empty"],
    ),
];

/// The YAML with its parts written out.
fn yaml(text: &str) -> String {
    let text = text.replace("ROUTES+", ROUTES).replace("A+", A).replace("RULE+", RULE);
    if text.ends_with("RULE") { text.replace("RULE", RULE) } else { text }
}

fn open(server: &str) -> Arc<Client> {
    proxyless_tests::open(&json!({"server": server, "namespace": "demo", "pod_ip": "127.0.0.9", "locality": "r1/z1"}))
}

/// State, what it resolved to, endpoints with weight, priority and place, routes and policies.
fn shown(entry: &Entry) -> String {
    let list = &entry.list;
    let endpoint = |e: &proxyless_core::model::Endpoint| {
        let place = &list.localities()[usize::from(e.locality)];
        let host = e.extension.checked_sub(1).map(|at| list.extensions()[at as usize].hostname.to_string()).unwrap_or_default();
        let address = e.socket_addr().map_or_else(|| format!("{host}:{}", e.port), |address| address.to_string());
        format!("{address}*{} p{} {}/{}/{}", e.weight, e.priority, place.region, place.zone, place.sub_zone)
    };
    let mut endpoints: Vec<String> = list.endpoints().iter().map(endpoint).collect();
    endpoints.sort();
    // istiod offers mutual TLS everywhere, the embedded one nowhere; where it is demanded there is no list.
    let traffic = entry.traffic.as_ref().map(|traffic| traffic.to_json().to_string().replace(r#""tls":"auto""#, r#""tls":"off""#));
    format!("{} {} partial:{} {endpoints:?} {traffic:?}", entry.state, entry.resolved, entry.partial)
}

/// Every target's state once none is pending any more and nothing has changed for a moment.
fn settled(client: &Client, targets: &[&str]) -> Vec<String> {
    for target in targets {
        client.watch(target).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    let mut epoch = client.epoch();
    loop {
        let _ = client.wait(epoch, Some(Duration::from_millis(300)));
        let snapshot = client.snapshot();
        let entries: Vec<_> = targets.iter().filter_map(|target| snapshot.get(target)).collect();
        let complete = entries.len() == targets.len() && entries.iter().all(|entry| entry.state != State::Pending);
        if complete && snapshot.epoch() == epoch {
            return entries.iter().map(|entry| shown(entry)).collect();
        }
        epoch = snapshot.epoch();
        assert!(Instant::now() < deadline, "{targets:?} do not settle");
    }
}

/// A program that asks a server for resources and prints them as JSON.
struct Dump(PathBuf);

type Resources = BTreeMap<String, Value>;

impl Dump {
    fn new() -> Self {
        Self(Path::new(&std::env::var("PXL_ISTIOD").unwrap()).with_file_name("xdsdump"))
    }

    /// One answer for each question.
    fn ask(&self, address: SocketAddr, questions: &[String]) -> Vec<Resources> {
        let mut child = Command::new(&self.0)
            .args(["-server", &address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(questions.join("\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{questions:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Outbound clusters, their endpoints, and the routes of their hosts.
    fn all(&self, address: SocketAddr) -> BTreeMap<&'static str, Resources> {
        let mut clusters = self.ask(address, &["clusters".into()]).remove(0);
        clusters.retain(|name, _| name.starts_with("outbound|"));
        let eds = clusters.iter().filter(|(_, cluster)| cluster["type"] == "EDS").map(|(name, _)| name.clone());
        let hosts: BTreeSet<String> = clusters
            .keys()
            .filter_map(|name| {
                let parts: Vec<&str> = name.split('|').collect();
                (parts[2].is_empty()).then(|| format!("{}:{}", parts[3], parts[1]))
            })
            .collect();
        let ask = |kind: &str, names: Vec<String>| {
            if names.is_empty() { Resources::new() } else { self.ask(address, &[format!("{kind} {}", names.join(" "))]).remove(0) }
        };
        let (endpoints, routes) = (ask("endpoints", eds.collect()), ask("routes", hosts.into_iter().collect()));
        BTreeMap::from([("clusters", clusters), ("endpoints", endpoints), ("routes", routes)])
    }
}

/// What `tests/istio/fields.txt` says.
struct Fields(Vec<(String, String, bool)>);

impl Fields {
    fn read() -> Self {
        let text = std::fs::read_to_string(proxyless_tests::repository().join("tests/istio/fields.txt")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(
            lines
                .map(|line| {
                    let mut words = line.splitn(3, ' ');
                    let (kind, path, verdict) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
                    assert!(verdict == "used" || verdict.starts_with("ignored: "), "{line}");
                    (kind.to_owned(), path.to_owned(), verdict == "used")
                })
                .collect(),
        )
    }

    /// Whether a field is used; `None` when no line covers it.
    fn used(&self, kind: &str, path: &str) -> Option<bool> {
        let covers = |line: &str| path.strip_prefix(line).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        let fits = self.0.iter().filter(|(of, line, _)| of == kind && covers(line));
        fits.max_by_key(|(_, line, _)| line.len()).map(|(.., used)| *used)
    }
}

/// Every leaf of a resource by its path, lists without their positions.
fn leaves(value: &Value, path: &str, into: &mut BTreeMap<String, Vec<String>>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            object.iter().for_each(|(key, value)| leaves(value, &format!("{path}.{key}"), into));
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, &format!("{path}[]"), into)),
        leaf => into.entry(path.to_owned()).or_default().push(leaf.to_string()),
    }
}

/// Differences in fields that are used, and fields that nobody has thought of.
fn compare(case: &str, fields: &Fields, real: &BTreeMap<&str, Resources>, ours: &BTreeMap<&str, Resources>) -> BTreeSet<String> {
    let mut wrong = BTreeSet::new();
    for (kind, resources) in real {
        let (theirs, ours) = (resources.keys().collect::<Vec<_>>(), ours[kind].clone());
        if theirs != ours.keys().collect::<Vec<_>>() {
            wrong.insert(format!("{case}: {kind}: istiod has {theirs:?}, the embedded one {:?}", ours.keys().collect::<Vec<_>>()));
        }
        for (name, resource) in resources {
            let Some(own) = ours.get(name) else { continue };
            let (mut theirs, mut own_leaves) = (BTreeMap::new(), BTreeMap::new());
            leaves(resource, "", &mut theirs);
            leaves(own, "", &mut own_leaves);
            let paths: BTreeSet<&String> = theirs.keys().chain(own_leaves.keys()).collect();
            for path in paths {
                match fields.used(kind, path) {
                    None => drop(wrong.insert(format!("{kind} {path} is on neither list"))),
                    Some(false) => {}
                    Some(true) => {
                        let sorted = |leaves: &BTreeMap<String, Vec<String>>| {
                            let mut values = leaves.get(path).cloned().unwrap_or_default();
                            values.sort();
                            values
                        };
                        let (theirs, ours) = (sorted(&theirs), sorted(&own_leaves));
                        if theirs != ours {
                            wrong.insert(format!("{case}: {kind} {name} {path}: istiod {theirs:?}, embedded {ours:?}"));
                        }
                    }
                }
            }
        }
    }
    wrong
}

#[test]
fn the_embedded_control_plane_sends_what_istiod_sends_in_every_field_that_is_used() {
    let istiod = Istiod::start();
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let embedded = runtime.block_on(Server::start("127.0.0.1:0".parse().unwrap(), ads::State::new(0), true)).unwrap();
    let (dump, fields) = (Dump::new(), Fields::read());
    let mut wrong = BTreeSet::new();
    for (number, (name, text, _)) in CASES.iter().enumerate() {
        let yaml = yaml(text);
        istiod.apply(&yaml);
        embedded.publish(istio::generate(&istio::parse(Path::new(name), &yaml).unwrap(), number as u64 + 1));
        let ours = dump.all(embedded.address());
        // istiod may still be busy with the case before.
        let deadline = Instant::now() + Duration::from_millis(1500);
        wrong.extend(loop {
            let found = compare(name, &fields, &dump.all(istiod.address()), &ours);
            if found.is_empty() || Instant::now() >= deadline {
                break found;
            }
        });
        istiod.delete(&yaml);
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_embedded_control_plane_says_what_istiod_says() {
    let istiod = Istiod::start();
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let embedded = runtime.block_on(Server::start("127.0.0.1:0".parse().unwrap(), ads::State::new(0), true)).unwrap();
    let mut different = Vec::new();
    for (number, (name, text, targets)) in CASES.iter().enumerate() {
        let yaml = yaml(text);
        istiod.apply(&yaml);
        embedded.publish(istio::generate(&istio::parse(Path::new(name), &yaml).unwrap(), number as u64 + 1));
        // A handle of its own for each, so that no case sees what the one before has left.
        let (real, ours) = (open(&istiod.plaintext()), open(&format!("http://{}", embedded.address())));
        // istiod may still be busy with the case before, and an old answer may stand in for one that leads nowhere.
        let deadline = Instant::now() + PATIENCE;
        let (real, ours) = loop {
            let both = (settled(&real, targets), settled(&ours, targets));
            if both.0 == both.1 || Instant::now() >= deadline {
                break both;
            }
        };
        for ((target, real), ours) in targets.iter().zip(real).zip(ours) {
            if real != ours {
                different.push(format!("{name}: {target}\n  istiod:   {real}\n  embedded: {ours}"));
            }
        }
        istiod.delete(&yaml);
    }
    assert!(different.is_empty(), "{} differences\n{}", different.len(), different.join("\n"));
    assert!(CASES.len() >= 25);
}
