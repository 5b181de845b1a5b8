// SPDX-License-Identifier: Apache-2.0
//! What the benchmarks share: Istio-shaped payloads.
#![allow(clippy::missing_panics_doc, reason = "a benchmark that cannot go on has failed")]

use std::collections::HashMap;

use envoy_types::pb::{
    envoy::config::{
        core::v3::{
            Address, HealthStatus, Locality, Metadata, SocketAddress, address::Address as Kind, socket_address::PortSpecifier,
        },
        endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
    },
    google::protobuf::{Struct, UInt32Value, Value, value::Kind as ValueKind},
};
use prost::Message;

/// A ClusterLoadAssignment as istiod sends it: three localities, weights, health, `istio.workload` and `tlsMode` metadata.
pub fn assignment(service: usize, endpoints: usize) -> Vec<u8> {
    let endpoint = |index: usize| {
        let [_, a, b, c] = u32::try_from(service * endpoints + index).expect("small").to_be_bytes();
        let socket = SocketAddress {
            address: format!("10.{a}.{b}.{c}"),
            port_specifier: Some(PortSpecifier::PortValue(8080)),
            ..Default::default()
        };
        LbEndpoint {
            host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                address: Some(Address { address: Some(Kind::SocketAddress(socket)) }),
                ..Default::default()
            })),
            health_status: HealthStatus::Healthy as i32,
            load_balancing_weight: Some(UInt32Value { value: 1 }),
            metadata: Some(metadata(service)),
        }
    };
    let localities = (0..3).map(|zone| LocalityLbEndpoints {
        locality: Some(Locality { region: "region-1".into(), zone: format!("zone-{zone}"), sub_zone: String::new() }),
        lb_endpoints: (zone..endpoints).step_by(3).map(endpoint).collect(),
        ..Default::default()
    });
    ClusterLoadAssignment { cluster_name: name(service), endpoints: localities.collect(), ..Default::default() }.encode_to_vec()
}

/// Cluster name of a service.
pub fn name(service: usize) -> String {
    format!("outbound|8080||svc-{service}.ns.svc.cluster.local")
}

fn metadata(service: usize) -> Metadata {
    let text = |s: String| Value { kind: Some(ValueKind::StringValue(s)) };
    let one = |key: &str, value: String| Struct { fields: HashMap::from([(key.to_owned(), text(value))]) };
    let filter_metadata = HashMap::from([
        ("istio".to_owned(), one("workload", format!("svc-{service};ns;svc-{service};v1;Kubernetes"))),
        ("envoy.transport_socket_match".to_owned(), one("tlsMode", "istio".to_owned())),
    ]);
    Metadata { filter_metadata, ..Default::default() }
}

/// Nanoseconds of the machine's monotonic clock, comparable between processes and with Java's `System.nanoTime()`.
pub fn monotonic_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
