// SPDX-License-Identifier: Apache-2.0
//! The fuzz targets without a fuzzer: every seed as it is, and damaged, in bounded number (`PROPTEST_CASES`).
//!
//! `PROXYLESS_WRITE_SEEDS=1` writes the seeds anew.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test")]

#[path = "../../fuzz/src/lib.rs"]
mod bodies;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use envoy_types::pb::{
    envoy::{
        config::{
            core::v3::{self as core, address::Address as Kind, socket_address::PortSpecifier},
            endpoint::v3::{self as eds, lb_endpoint::HostIdentifier},
        },
        service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse, Resource},
    },
    google::protobuf::{Any, Struct, UInt32Value, Value as StructValue, value::Kind as StructKind},
};
use proptest::prelude::*;
use prost::Message;
use proxyless_control_plane::{ads, istio};

type Body = fn(&[u8]);

const TARGETS: [(&str, Body); 7] = [
    ("sotw", bodies::sotw),
    ("delta", bodies::delta),
    ("endpoints", bodies::endpoints),
    ("resources", bodies::resources),
    ("config", bodies::config),
    ("target", bodies::target),
    ("cache", bodies::cache),
];

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target)
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A mesh with everything that the embedded control plane knows, as resources.
fn mesh() -> ads::State {
    let text = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [a.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints:
  - {address: 127.0.0.1, ports: {http: 9001}, labels: {version: v1}, weight: 3, locality: r/z/s}
  - {address: 127.0.0.1, ports: {http: 9002}, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
  trafficPolicy:
    loadBalancer: {simple: RANDOM, localityLbSetting: {enabled: false}}
    connectionPool:
      tcp: {maxConnections: 1, connectTimeout: 2s, tcpKeepalive: {probes: 3, time: 4s}}
      http: {http2MaxRequests: 5, idleTimeout: 6s, maxConcurrentStreams: 7, h2UpgradePolicy: UPGRADE}
    outlierDetection: {consecutive5xxErrors: 8, interval: 9s, maxEjectionPercent: 10, minHealthPercent: 11}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - name: all
    match:
    - uri: {prefix: /x}
      headers: {h: {exact: v}, i: {}}
      withoutHeaders: {j: {regex: k.*}}
      queryParams: {q: {prefix: r}}
    route: [{destination: {host: a, subset: v1}}]
    timeout: 1s
    retries: {attempts: 2, perTryTimeout: 3s, retryOn: '5xx,503', backoff: 4ms, retryRemoteLocalities: true}
    fault: {delay: {fixedDelay: 5s, percentage: {value: 6}}, abort: {httpStatus: 507, percentage: {value: 8}}}
    mirrors: [{destination: {host: a}, percentage: {value: 9}}]
  - route: [{destination: {host: a, subset: v1}, weight: 80}, {destination: {host: a, subset: v2}, weight: 20}]
";
    istio::generate(&istio::parse(Path::new("mesh.yaml"), text).unwrap(), 1)
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|m| u16::try_from(m.len()).unwrap().to_le_bytes().into_iter().chain(m.iter().copied())).collect()
}

fn write_seeds() {
    let state = mesh();
    let kinds = [ads::CLUSTER, ads::ENDPOINTS, ads::ROUTES];
    let write = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(folder(target)).unwrap();
        fs::write(folder(target).join(name), bytes).unwrap();
    };
    let any = |type_url: &str, body: &Bytes| Any { type_url: type_url.into(), value: body.to_vec() };
    let sotw = kinds.map(|type_url| {
        let resources = state.of(type_url).map(|(_, body)| any(type_url, body)).collect();
        DiscoveryResponse {
            type_url: type_url.into(),
            nonce: "n".into(),
            version_info: "1".into(),
            resources,
            ..Default::default()
        }
        .encode_to_vec()
    });
    let delta = kinds.map(|type_url| {
        let resource = |(name, body): (&String, &Bytes)| Resource {
            name: name.clone(),
            version: "1".into(),
            resource: Some(any(type_url, body)),
            ..Default::default()
        };
        let resources = state.of(type_url).map(resource).collect();
        let removed_resources = vec!["gone".to_owned()];
        DeltaDiscoveryResponse { type_url: type_url.into(), nonce: "n".into(), resources, removed_resources, ..Default::default() }
            .encode_to_vec()
    });
    write("sotw", "mesh", &framed(&sotw));
    write("sotw", "twice", &framed(&[sotw.clone(), sotw.clone()].concat()));
    write("delta", "mesh", &framed(&delta));
    write("delta", "twice", &framed(&[delta.clone(), delta.clone()].concat()));
    for (number, type_url) in kinds.into_iter().enumerate() {
        for (at, (_, body)) in state.of(type_url).take(3).enumerate() {
            // Positions of CDS, EDS and RDS among the kinds.
            let kind = [0u8, 1, 3][number];
            write("resources", &format!("{kind}-{at}"), &[&[kind], &body[..]].concat());
            if type_url == ads::ENDPOINTS {
                write("endpoints", &format!("mesh-{at}"), body);
            }
        }
    }
    write(
        "config",
        "document",
        br#"{"server": "https://h:1", "targets": {"a": "b"}, "labels": {"a": "b"}, "node_metadata": {"a": [1]}}"#,
    );
    let bootstrap = r#"{"xds_servers": [{"server_uri": "dns:///h:1", "channel_creds": [{"type": "tls", "config": {"ca_certificate_file": "/c",
        "refresh_interval": "600s"}}], "call_creds": [{"type": "jwt_token_file", "config": {"jwt_token_file": "/t"}}], "server_features": ["x"]}],
        "node": {"id": "n", "metadata": {"NAMESPACE": "x"}, "locality": {"zone": "z"}}, "authorities": {"a": {"xds_servers": []}}}"#;
    write("config", "bootstrap", bootstrap.as_bytes());
    write("config", "variable", b"TARGETS\na=b:80/v1,c=cluster:x");
    for (at, spelling) in
        ["echo.demo:8080/v1", "xds:///a%2Fb", "cluster:outbound|80||h", "xds://auth/a/b", "[::1]:80"].iter().enumerate()
    {
        write("target", &at.to_string(), spelling.as_bytes());
    }
    let contents = [&b"\x0a\x08identity\x10\x05\x1a\x07\x08\x01\x12\x01a\x1a\x00"[..]].concat();
    write("cache", "contents", &contents);
    write("cache", "file", &proxyless_core::cache::sealed(&contents));
}

#[test]
fn every_seed_passes() {
    if std::env::var_os("PROXYLESS_WRITE_SEEDS").is_some() {
        write_seeds();
    }
    for (target, body) in TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for seed in seeds {
            body(&seed);
        }
    }
}

/// Overwrites, inserts, removes or doubles pieces.
fn damage(bytes: &mut Vec<u8>, edits: &[(prop::sample::Index, u8, u8)]) {
    for (at, byte, how) in edits {
        let at = at.index(bytes.len() + 1);
        match how {
            0 if at < bytes.len() => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => bytes.extend_from_within(at..),
        }
    }
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..5u8), 1..6)
}

fn address(ip: &str, port: u32) -> core::Address {
    let socket =
        core::SocketAddress { address: ip.into(), port_specifier: Some(PortSpecifier::PortValue(port)), ..Default::default() };
    core::Address { address: Some(Kind::SocketAddress(socket)) }
}

fn any_address() -> impl Strategy<Value = core::Address> {
    let ip = prop_oneof![8 => "10\\.[0-9]\\.0\\.[1-9]", 1 => Just("2001:db8::1".to_owned()), 1 => "[a-z.]{0,6}"];
    let port = prop_oneof![8 => 1..70u32, 1 => Just(15443u32), 1 => any::<u32>()];
    (ip, port).prop_map(|(ip, port)| address(&ip, port))
}

fn any_endpoint() -> impl Strategy<Value = eds::LbEndpoint> {
    let parts =
        (any_address(), prop::option::weighted(0.7, "w[0-2];ns"), -1..8i32, prop::option::of(0..4u32), "(h[0-2])?", 0..3usize);
    (parts, prop::collection::vec(any_address(), 0..2)).prop_map(|((address, workload, health, weight, hostname, kind), more)| {
        let additional = more.into_iter().map(|address| eds::endpoint::AdditionalAddress { address: Some(address) }).collect();
        let host = eds::Endpoint { address: Some(address), hostname, additional_addresses: additional, ..Default::default() };
        let identifier = if kind == 0 && weight.is_none() { None } else { Some(HostIdentifier::Endpoint(host)) };
        let text = |s: &str| StructValue { kind: Some(StructKind::StringValue(s.into())) };
        let one = |key: &str, value: &str| Struct { fields: HashMap::from([(key.into(), text(value))]) };
        let metadata = workload.map(|workload| core::Metadata {
            filter_metadata: HashMap::from([
                ("istio".into(), one("workload", &workload)),
                ("envoy.transport_socket_match".into(), one("tlsMode", "istio")),
            ]),
            ..Default::default()
        });
        eds::LbEndpoint {
            host_identifier: identifier,
            health_status: health,
            load_balancing_weight: weight.map(|value| UInt32Value { value }),
            metadata,
        }
    })
}

fn any_assignment() -> impl Strategy<Value = Vec<u8>> {
    let priority = prop_oneof![9 => 0..3u32, 1 => any::<u32>()];
    let group = (prop::collection::vec(any_endpoint(), 0..4), priority, "(r[0-2])?", prop::option::of(0..5u32));
    let name = prop_oneof![Just("c"), Just("outbound|80||c")];
    (name, prop::collection::vec(group, 0..3)).prop_map(|(name, groups)| {
        let groups = groups.into_iter().map(|(lb_endpoints, priority, region, weight)| eds::LocalityLbEndpoints {
            lb_endpoints,
            priority,
            locality: Some(core::Locality { region, ..Default::default() }),
            load_balancing_weight: weight.map(|value| UInt32Value { value }),
            ..Default::default()
        });
        eds::ClusterLoadAssignment { cluster_name: name.into(), endpoints: groups.collect(), ..Default::default() }.encode_to_vec()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_seeds_pass(target in 0..TARGETS.len(), seed in any::<prop::sample::Index>(), edits in edits()) {
        let (name, body) = TARGETS[target];
        let mut bytes = seed.get(&seeds(name)).clone();
        damage(&mut bytes, &edits);
        body(&bytes);
    }

    #[test]
    fn differential_the_endpoint_walk_says_what_envoy_types_says(bytes in any_assignment()) {
        bodies::endpoints(&bytes);
    }

    #[test]
    fn differential_also_when_bytes_are_damaged_or_messages_run_into_each_other(
        mut bytes in any_assignment(),
        more in any_assignment(),
        join in any::<bool>(),
        edits in edits(),
    ) {
        damage(&mut bytes, &edits);
        if join {
            bytes.extend(&more);
        }
        bodies::endpoints(&bytes);
    }
}
