// SPDX-License-Identifier: Apache-2.0
//! Workloads to a ClusterLoadAssignment.

use std::collections::{BTreeMap, HashMap};

use envoy_types::pb::{
    envoy::config::{
        core::v3::{Address, Locality, Metadata, SocketAddress, address::Address as Kind, socket_address::PortSpecifier},
        endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
    },
    google::protobuf::{Struct, UInt32Value, Value, value::Kind as ValueKind},
};

use super::objects::{ServicePort, WorkloadEntry};

pub(super) fn assignment(name: &str, port: &ServicePort, workloads: &[&WorkloadEntry]) -> ClusterLoadAssignment {
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
