// SPDX-License-Identifier: Apache-2.0
//! A resource reduced to the fields that this client reads: what may be written to disk.
//!
//! A list of what stays, not of what goes: a secret in a field that nobody thought of does not get there.

use bytes::Bytes;
use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{Cluster, cluster::TransportSocketMatch},
            core::v3::TransportSocket,
            listener::v3::{ApiListener, Listener},
            route::v3::{
                Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, WeightedCluster, route::Action,
                route_action::ClusterSpecifier, weighted_cluster::ClusterWeight,
            },
        },
        extensions::filters::network::http_connection_manager::v3::{
            HttpConnectionManager, http_connection_manager::RouteSpecifier,
        },
    },
    google::protobuf::Any,
};
use prost::Message;

use super::listener::MANAGER;
use crate::protocol::Kind;

/// The same resource for this client, without anything else. What does not decode, and so was never accepted, becomes empty.
pub fn kept_fields(kind: Kind, body: &Bytes) -> Bytes {
    match kind {
        // Addresses, weights and metadata: all of it is read.
        Kind::Endpoints => Bytes::copy_from_slice(body),
        Kind::Cluster => Cluster::decode(&body[..]).map(cluster).unwrap_or_default().encode_to_vec().into(),
        Kind::Routes => RouteConfiguration::decode(&body[..]).map(routes).unwrap_or_default().encode_to_vec().into(),
        Kind::Listener => Listener::decode(&body[..]).map(listener).unwrap_or_default().encode_to_vec().into(),
    }
}

fn cluster(full: Cluster) -> Cluster {
    let named = |socket: TransportSocket| TransportSocket { name: socket.name, ..Default::default() };
    Cluster {
        name: full.name,
        cluster_discovery_type: full.cluster_discovery_type,
        eds_cluster_config: full.eds_cluster_config,
        load_assignment: full.load_assignment,
        common_lb_config: full.common_lb_config,
        lb_policy: full.lb_policy,
        transport_socket: full.transport_socket.map(named),
        transport_socket_matches: full
            .transport_socket_matches
            .into_iter()
            .map(|m| TransportSocketMatch { name: m.name, r#match: None, transport_socket: m.transport_socket.map(named) })
            .collect(),
        ..Default::default()
    }
}

fn routes(full: RouteConfiguration) -> RouteConfiguration {
    let host = |host: VirtualHost| VirtualHost {
        name: host.name,
        domains: host.domains,
        routes: host.routes.into_iter().map(route).collect(),
        ..Default::default()
    };
    RouteConfiguration { name: full.name, virtual_hosts: full.virtual_hosts.into_iter().map(host).collect(), ..Default::default() }
}

fn route(full: Route) -> Route {
    let action = full.action.map(|action| match action {
        Action::Route(action) => Action::Route(RouteAction {
            cluster_specifier: action.cluster_specifier.map(|specifier| match specifier {
                ClusterSpecifier::WeightedClusters(weighted) => ClusterSpecifier::WeightedClusters(WeightedCluster {
                    clusters: weighted
                        .clusters
                        .into_iter()
                        .map(|c| ClusterWeight { name: c.name, weight: c.weight, ..Default::default() })
                        .collect(),
                    ..Default::default()
                }),
                other => other,
            }),
            ..Default::default()
        }),
        // Whatever else it does, it does not forward.
        _ => Action::NonForwardingAction(Default::default()),
    });
    // Only whether there is a condition counts; values of headers may be secrets.
    let condition = full.r#match.map(|m| RouteMatch {
        path_specifier: m.path_specifier,
        headers: vec![Default::default(); m.headers.len().min(1)],
        query_parameters: vec![Default::default(); m.query_parameters.len().min(1)],
        dynamic_metadata: vec![Default::default(); m.dynamic_metadata.len().min(1)],
        runtime_fraction: m.runtime_fraction,
        grpc: m.grpc,
        tls_context: m.tls_context,
        ..Default::default()
    });
    Route { name: full.name, r#match: condition, action, ..Default::default() }
}

fn listener(full: Listener) -> Listener {
    let manager = |any: Any| {
        let full = HttpConnectionManager::decode(any.value.as_slice()).unwrap_or_default();
        let route_specifier = full.route_specifier.map(|specifier| match specifier {
            RouteSpecifier::RouteConfig(inline) => RouteSpecifier::RouteConfig(routes(inline)),
            RouteSpecifier::ScopedRoutes(_) => RouteSpecifier::ScopedRoutes(Default::default()),
            rds @ RouteSpecifier::Rds(_) => rds,
        });
        Any { type_url: MANAGER.into(), value: HttpConnectionManager { route_specifier, ..Default::default() }.encode_to_vec() }
    };
    let api_listener = full.api_listener.map(|api| ApiListener { api_listener: api.api_listener.map(manager) });
    Listener { name: full.name, api_listener, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::{
        config::{
            cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
            core::v3::{
                AggregatedConfigSource, ConfigSource, DataSource, HeaderValue, HeaderValueOption,
                config_source::ConfigSourceSpecifier, data_source::Specifier, transport_socket::ConfigType,
            },
            route::v3::{HeaderMatcher, route_match::PathSpecifier},
        },
        extensions::transport_sockets::tls::v3::{CommonTlsContext, TlsCertificate, UpstreamTlsContext},
    };

    use super::*;
    use crate::{protocol::Decode, resource::ResourceDecoder};

    const SECRET: &str = "-----BEGIN PRIVATE KEY----- do not write me";

    /// What is kept decodes to the same, and does not hold the secret.
    fn check(kind: Kind, body: Vec<u8>) {
        let body = Bytes::from(body);
        assert!(body.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "the test hides a secret");
        let kept = kept_fields(kind, &body);
        assert!(!kept.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{kind:?} keeps a secret");
        let mut decoder = ResourceDecoder::default();
        assert_eq!(decoder.name(kind, &kept), decoder.name(kind, &body));
        assert_eq!(decoder.decode(kind, "n", &kept), decoder.decode(kind, "n", &body));
    }

    #[test]
    fn inline_keys_of_a_cluster_are_not_kept_and_what_is_read_is() {
        let key = DataSource { specifier: Some(Specifier::InlineString(SECRET.into())), watched_directory: None };
        let certificate = TlsCertificate { private_key: Some(key), ..Default::default() };
        let context = UpstreamTlsContext {
            common_tls_context: Some(CommonTlsContext { tls_certificates: vec![certificate], ..Default::default() }),
            ..Default::default()
        };
        let socket = || TransportSocket {
            name: "envoy.transport_sockets.tls".into(),
            config_type: Some(ConfigType::TypedConfig(Any {
                type_url: "type.googleapis.com/x".into(),
                value: context.encode_to_vec(),
            })),
        };
        let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
        let full = Cluster {
            name: "c".into(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
            eds_cluster_config: Some(EdsClusterConfig {
                eds_config: Some(ConfigSource { config_source_specifier: Some(ads), ..Default::default() }),
                service_name: "s".into(),
            }),
            ..Default::default()
        };
        check(Kind::Cluster, Cluster { transport_socket: Some(socket()), ..full.clone() }.encode_to_vec());
        let matches = vec![TransportSocketMatch { transport_socket: Some(socket()), ..Default::default() }];
        check(Kind::Cluster, Cluster { transport_socket_matches: matches, ..full }.encode_to_vec());
    }

    #[test]
    fn headers_of_routes_are_not_kept_and_where_they_lead_is() {
        let header = HeaderValue { key: "authorization".into(), value: SECRET.into(), ..Default::default() };
        let option = HeaderValueOption { header: Some(header), ..Default::default() };
        let to = |name: &str, headers| Route {
            r#match: Some(RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), headers, ..Default::default() }),
            action: Some(Action::Route(RouteAction {
                cluster_specifier: Some(ClusterSpecifier::Cluster(name.into())),
                ..Default::default()
            })),
            request_headers_to_add: vec![option.clone()],
            ..Default::default()
        };
        let secret_match = vec![HeaderMatcher { name: SECRET.into(), ..Default::default() }];
        let inline = RouteConfiguration {
            name: "r".into(),
            virtual_hosts: vec![VirtualHost { routes: vec![to("a", secret_match), to("b", vec![])], ..Default::default() }],
            ..Default::default()
        };
        check(Kind::Routes, inline.encode_to_vec());
        let manager = HttpConnectionManager { route_specifier: Some(RouteSpecifier::RouteConfig(inline)), ..Default::default() };
        let any = Any { type_url: MANAGER.into(), value: manager.encode_to_vec() };
        let full = Listener { name: "l".into(), api_listener: Some(ApiListener { api_listener: Some(any) }), ..Default::default() };
        check(Kind::Listener, full.encode_to_vec());
    }
}
