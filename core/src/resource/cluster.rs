// SPDX-License-Identifier: Apache-2.0
//! Cluster: from `envoy-types` to where its endpoints are and what it asks of its callers.

use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::{
    Cluster as Proto,
    cluster::{ClusterDiscoveryType, DiscoveryType, common_lb_config::LocalityConfigSpecifier},
};
use prost::Message;

use super::{AssignmentDecoder, References, intern::Interner, is_ads, policy};
use crate::{
    model::{Cluster, ClusterName, Discovery, Policy, Tls},
    protocol::Kind,
};

const TLS_SOCKET: &str = "envoy.transport_sockets.tls";

pub(super) fn decode(
    name: &str,
    body: &[u8],
    assignments: &mut AssignmentDecoder,
    policies: &mut Interner<Policy>,
    references: &References,
) -> Result<Cluster, String> {
    let proto = Proto::decode(body).map_err(|error| format!("does not decode: {error}"))?;
    Ok(Cluster {
        discovery: discovery(name, &proto, assignments, references)?,
        tls: tls(&proto),
        locality_weighted: proto.common_lb_config.as_ref().is_some_and(|config| {
            matches!(config.locality_config_specifier, Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)))
        }),
        policy: policies.intern(policy::convert(&proto)?),
    })
}

fn discovery(name: &str, proto: &Proto, assignments: &mut AssignmentDecoder, references: &References) -> Result<Discovery, String> {
    let kind = match proto.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(kind)) => {
            DiscoveryType::try_from(kind).map_err(|_| format!("discovery type {kind} is unknown"))?
        }
        Some(ClusterDiscoveryType::ClusterType(ref custom)) => return Ok(Discovery::None(custom.name.as_str().into())),
        None => DiscoveryType::Static,
    };
    match kind {
        DiscoveryType::Eds => {
            let config = proto.eds_cluster_config.as_ref();
            if !is_ads(config.and_then(|config| config.eds_config.as_ref())) {
                return Ok(Discovery::None("EDS from a source other than ADS".into()));
            }
            let service = config.map_or("", |config| config.service_name.as_str());
            if service.is_empty() && name.starts_with("xdstp:") {
                return Err("an xdstp cluster needs eds_cluster_config.service_name".into());
            }
            references.check(Kind::Endpoints, service)?;
            Ok(Discovery::Eds(if service.is_empty() { name.into() } else { service.into() }))
        }
        DiscoveryType::Static | DiscoveryType::StrictDns | DiscoveryType::LogicalDns => {
            let inline = proto.load_assignment.as_ref().map(Message::encode_to_vec).unwrap_or_default();
            Ok(Discovery::Inline(Arc::new(assignments.decode_inline(&inline)?)))
        }
        DiscoveryType::OriginalDst if ClusterName::parse(name).is_some() => Ok(Discovery::OriginalDst(name.into())),
        DiscoveryType::OriginalDst => Ok(Discovery::None(kind.as_str_name().into())),
    }
}

/// A socket of the cluster's own is a demand; sockets chosen per endpoint by `tlsMode` are an offer (auto mTLS).
fn tls(proto: &Proto) -> Tls {
    if proto.transport_socket.as_ref().is_some_and(|socket| socket.name == TLS_SOCKET) {
        return Tls::Required;
    }
    let offers =
        proto.transport_socket_matches.iter().any(|m| m.transport_socket.as_ref().is_some_and(|socket| socket.name == TLS_SOCKET));
    if offers { Tls::Auto } else { Tls::Off }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::{
        cluster::v3::cluster::{EdsClusterConfig, TransportSocketMatch},
        core::v3::{AggregatedConfigSource, ConfigSource, TransportSocket, config_source::ConfigSourceSpecifier},
    };

    use super::*;

    fn eds(service_name: &str) -> Proto {
        Proto {
            name: "c".into(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
            eds_cluster_config: Some(EdsClusterConfig {
                eds_config: Some(ConfigSource {
                    config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
                    ..Default::default()
                }),
                service_name: service_name.into(),
            }),
            ..Default::default()
        }
    }

    fn convert(proto: &Proto) -> Result<Cluster, String> {
        let (assignments, policies) = (&mut AssignmentDecoder::default(), &mut Interner::default());
        decode(&proto.name, &proto.encode_to_vec(), assignments, policies, &References::default())
    }

    #[test]
    fn the_eds_name_defaults_to_the_cluster_name() {
        assert_eq!(convert(&eds("")).expect("valid").discovery, Discovery::Eds("c".into()));
        assert_eq!(convert(&eds("s")).expect("valid").discovery, Discovery::Eds("s".into()));
        let mut xdstp = eds("");
        xdstp.name = "xdstp://a/envoy.config.cluster.v3.Cluster/c".into();
        assert!(convert(&xdstp).is_err());
    }

    #[test]
    fn only_a_service_of_istio_may_have_a_list_behind_an_original_destination() {
        let original = |name: &str| {
            let kind = Some(ClusterDiscoveryType::Type(DiscoveryType::OriginalDst as i32));
            convert(&Proto { name: name.into(), cluster_discovery_type: kind, ..Default::default() }).expect("valid").discovery
        };
        let headless = "outbound|80||headless.demo.svc.cluster.local";
        assert_eq!(original(headless), Discovery::OriginalDst(headless.into()));
        assert_eq!(original("PassthroughCluster"), Discovery::None("ORIGINAL_DST".into()));
    }

    #[test]
    fn a_demand_for_tls_is_told_from_an_offer() {
        let socket = || Some(TransportSocket { name: TLS_SOCKET.into(), ..Default::default() });
        let mut required = eds("");
        required.transport_socket = socket();
        let mut offered = eds("");
        offered.transport_socket_matches = vec![TransportSocketMatch { transport_socket: socket(), ..Default::default() }];
        assert_eq!(convert(&required).expect("valid").tls, Tls::Required);
        assert_eq!(convert(&offered).expect("valid").tls, Tls::Auto);
        assert_eq!(convert(&eds("")).expect("valid").tls, Tls::Off);
    }
}
