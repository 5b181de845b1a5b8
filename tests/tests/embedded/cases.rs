// SPDX-License-Identifier: Apache-2.0
//! The meshes that both control planes are given.

/// Name, YAML without its namespace, targets to compare.
pub(crate) type Case = (&'static str, &'static str, &'static [&'static str]);

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

pub(crate) const CASES: &[Case] = &[
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
pub(crate) fn yaml(text: &str) -> String {
    let text = text.replace("ROUTES+", ROUTES).replace("A+", A).replace("RULE+", RULE);
    if text.ends_with("RULE") { text.replace("RULE", RULE) } else { text }
}
