// SPDX-License-Identifier: Apache-2.0
//! Workloads to a ClusterLoadAssignment.

use std::collections::{BTreeMap, HashMap};

use envoy_types::pb::{
    envoy::config::{
        core::v3::{
            Address, HealthStatus, Locality, Metadata, SocketAddress, address::Address as Kind, socket_address::PortSpecifier,
        },
        endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
    },
    google::protobuf::{Struct, UInt32Value, Value, value::Kind as ValueKind},
};

use super::service::{Endpoint as Workload, Health};

pub(super) fn assignment(name: &str, endpoints: &[&Workload]) -> ClusterLoadAssignment {
    let mut by_locality: BTreeMap<&str, Vec<LbEndpoint>> = BTreeMap::new();
    for workload in endpoints {
        by_locality.entry(&workload.locality).or_default().push(endpoint(workload));
    }
    let endpoints = by_locality.into_iter().map(|(locality, lb_endpoints)| {
        let weights = lb_endpoints.iter().filter_map(|e| e.load_balancing_weight.as_ref()).map(|w| w.value);
        let weight = weights.fold(0u32, u32::saturating_add);
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

fn endpoint(workload: &Workload) -> LbEndpoint {
    let socket = SocketAddress {
        address: workload.address.clone(),
        port_specifier: Some(PortSpecifier::PortValue(workload.port.into())),
        ..Default::default()
    };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address { address: Some(Kind::SocketAddress(socket)) }),
            ..Default::default()
        })),
        load_balancing_weight: Some(UInt32Value { value: workload.weight }),
        health_status: match workload.health {
            Health::Unsaid => HealthStatus::Unknown,
            Health::Good => HealthStatus::Healthy,
            Health::Bad => HealthStatus::Unhealthy,
        } as i32,
        metadata: tls_mode(workload),
    }
}

/// istiod says `tlsMode: istio` for workloads that carry Istio's label.
fn tls_mode(workload: &Workload) -> Option<Metadata> {
    let mode = workload.tls_mode.as_ref()?;
    let value = Value { kind: Some(ValueKind::StringValue(mode.clone())) };
    let structure = Struct { fields: HashMap::from([("tlsMode".into(), value)]) };
    Some(Metadata { filter_metadata: HashMap::from([("envoy.transport_socket_match".into(), structure)]), ..Default::default() })
}
