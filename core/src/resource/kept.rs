// SPDX-License-Identifier: Apache-2.0
//! A resource reduced to the fields that this client reads: what may be written to disk.
//!
//! A list of what stays, not of what goes: a secret in a field that nobody thought of does not get there.

use std::collections::HashMap;

use bytes::Bytes;
use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{Cluster, cluster::TransportSocketMatch},
            core::v3::{RuntimeFractionalPercent, TransportSocket},
            listener::v3::{ApiListener, Listener},
            route::v3::{
                DirectResponseAction, RedirectAction, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
                WeightedCluster,
                retry_policy::RetryHostPredicate,
                route::Action,
                route_action::{ClusterSpecifier, RequestMirrorPolicy},
                weighted_cluster::ClusterWeight,
            },
        },
        extensions::{
            filters::{
                http::fault::v3::{FaultAbort, HttpFault},
                network::http_connection_manager::v3::{HttpConnectionManager, http_connection_manager::RouteSpecifier},
            },
            upstreams::http::v3::HttpProtocolOptions,
        },
    },
    google::protobuf::Any,
};
use prost::Message;

use super::{
    listener::MANAGER,
    policy::HTTP_OPTIONS,
    routes::{FAULT, FAULT_TYPE, PREVIOUS_PRIORITIES},
};
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
        connect_timeout: full.connect_timeout,
        circuit_breakers: full.circuit_breakers,
        outlier_detection: full.outlier_detection,
        upstream_connection_options: full.upstream_connection_options,
        typed_extension_protocol_options: full
            .typed_extension_protocol_options
            .into_iter()
            .filter(|(key, _)| key == HTTP_OPTIONS)
            .map(|(key, any)| (key, http_options(any)))
            .collect(),
        transport_socket: full.transport_socket.map(named),
        transport_socket_matches: full
            .transport_socket_matches
            .into_iter()
            .map(|m| TransportSocketMatch { name: m.name, r#match: None, transport_socket: m.transport_socket.map(named) })
            .collect(),
        ..Default::default()
    }
}

fn http_options(any: Any) -> Any {
    let full = HttpProtocolOptions::decode(any.value.as_slice()).unwrap_or_default();
    let kept = HttpProtocolOptions {
        common_http_protocol_options: full.common_http_protocol_options,
        upstream_protocol_options: full.upstream_protocol_options,
        ..Default::default()
    };
    Any { type_url: any.type_url, value: kept.encode_to_vec() }
}

fn routes(full: RouteConfiguration) -> RouteConfiguration {
    let host = |host: VirtualHost| VirtualHost {
        name: host.name,
        domains: host.domains,
        routes: host.routes.into_iter().map(route).collect(),
        retry_policy: host.retry_policy.map(retry),
        request_mirror_policies: host.request_mirror_policies.into_iter().map(mirror).collect(),
        typed_per_filter_config: faults(host.typed_per_filter_config),
        ..Default::default()
    };
    RouteConfiguration {
        name: full.name,
        virtual_hosts: full.virtual_hosts.into_iter().map(host).collect(),
        request_mirror_policies: full.request_mirror_policies.into_iter().map(mirror).collect(),
        typed_per_filter_config: faults(full.typed_per_filter_config),
        ..Default::default()
    }
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
            timeout: action.timeout,
            retry_policy: action.retry_policy.map(retry),
            request_mirror_policies: action.request_mirror_policies.into_iter().map(mirror).collect(),
            ..Default::default()
        }),
        Action::Redirect(full) => Action::Redirect(RedirectAction { response_code: full.response_code, ..Default::default() }),
        Action::DirectResponse(full) => Action::DirectResponse(DirectResponseAction { status: full.status, ..Default::default() }),
        Action::FilterAction(_) => Action::FilterAction(Default::default()),
        Action::NonForwardingAction(_) => Action::NonForwardingAction(Default::default()),
    });
    let condition = full.r#match.map(|m| RouteMatch {
        path_specifier: m.path_specifier,
        case_sensitive: m.case_sensitive,
        headers: m.headers,
        query_parameters: m.query_parameters,
        runtime_fraction: m.runtime_fraction.map(share),
        // Only whether there is one counts.
        dynamic_metadata: vec![Default::default(); m.dynamic_metadata.len().min(1)],
        cookies: vec![Default::default(); m.cookies.len().min(1)],
        filter_state: vec![Default::default(); m.filter_state.len().min(1)],
        grpc: m.grpc,
        tls_context: m.tls_context,
    });
    let typed_per_filter_config = faults(full.typed_per_filter_config);
    Route { name: full.name, r#match: condition, action, typed_per_filter_config, ..Default::default() }
}

fn retry(full: RetryPolicy) -> RetryPolicy {
    RetryPolicy {
        retry_on: full.retry_on,
        num_retries: full.num_retries,
        per_try_timeout: full.per_try_timeout,
        retry_priority: full.retry_priority.filter(|priority| priority.name == PREVIOUS_PRIORITIES),
        retry_host_predicate: full
            .retry_host_predicate
            .into_iter()
            .map(|predicate| RetryHostPredicate { name: predicate.name, config_type: None })
            .collect(),
        retriable_status_codes: full.retriable_status_codes,
        retry_back_off: full.retry_back_off,
        ..Default::default()
    }
}

fn mirror(full: RequestMirrorPolicy) -> RequestMirrorPolicy {
    RequestMirrorPolicy { cluster: full.cluster, runtime_fraction: full.runtime_fraction.map(share), ..Default::default() }
}

fn share(full: RuntimeFractionalPercent) -> RuntimeFractionalPercent {
    RuntimeFractionalPercent { default_value: full.default_value, ..Default::default() }
}

/// Settings of filters: those of the fault filter, without the body of its answers.
fn faults(full: HashMap<String, Any>) -> HashMap<String, Any> {
    let kept = |any: Any| {
        let full = HttpFault::decode(any.value.as_slice()).unwrap_or_default();
        let abort = full.abort.map(|abort| FaultAbort { response_body: String::new(), ..abort });
        Any { type_url: any.type_url, value: HttpFault { delay: full.delay, abort, ..Default::default() }.encode_to_vec() }
    };
    full.into_iter().filter(|(key, any)| key == FAULT && any.type_url == FAULT_TYPE).map(|(key, any)| (key, kept(any))).collect()
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
    use envoy_types::pb::{
        envoy::{
            config::{
                cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
                core::v3::{
                    AggregatedConfigSource, ConfigSource, DataSource, HeaderValue, HeaderValueOption, HttpProtocolOptions,
                    TypedExtensionConfig, config_source::ConfigSourceSpecifier, data_source::Specifier,
                    transport_socket::ConfigType,
                },
                route::v3::{HeaderMatcher, header_matcher::HeaderMatchSpecifier, route_match::PathSpecifier},
            },
            extensions::{
                filters::http::fault::v3::fault_abort::ErrorType,
                transport_sockets::tls::v3::{CommonTlsContext, TlsCertificate, UpstreamTlsContext},
            },
            r#type::v3::FractionalPercent,
        },
        google::protobuf::Duration,
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
        check(Kind::Cluster, Cluster { transport_socket_matches: matches, ..full.clone() }.encode_to_vec());
        let common = HttpProtocolOptions { idle_timeout: Some(Duration { seconds: 45, nanos: 0 }), ..Default::default() };
        let named = TypedExtensionConfig { name: SECRET.into(), ..Default::default() };
        let options = super::HttpProtocolOptions {
            common_http_protocol_options: Some(common),
            header_validation_config: Some(named),
            ..Default::default()
        };
        let any = Any { type_url: format!("type.googleapis.com/{HTTP_OPTIONS}"), value: options.encode_to_vec() };
        let with_options = Cluster { typed_extension_protocol_options: HashMap::from([(HTTP_OPTIONS.to_owned(), any)]), ..full };
        check(Kind::Cluster, with_options.encode_to_vec());
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
        let header = |name: &str| HeaderMatcher {
            name: name.into(),
            header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
            ..Default::default()
        };
        let abort = FaultAbort { error_type: Some(ErrorType::HttpStatus(503)), response_body: SECRET.into(), ..Default::default() };
        let fault = HttpFault { abort: Some(abort), ..Default::default() };
        let fault = Any { type_url: FAULT_TYPE.into(), value: fault.encode_to_vec() };
        let other = Any { type_url: "type.googleapis.com/x".into(), value: SECRET.into() };
        let filters = HashMap::from([(FAULT.to_owned(), fault), ("other".to_owned(), other)]);
        let retry = RetryPolicy { retry_on: "5xx".into(), retriable_headers: vec![header(SECRET)], ..Default::default() };
        let some = RuntimeFractionalPercent {
            default_value: Some(FractionalPercent { numerator: 1, denominator: 0 }),
            runtime_key: SECRET.into(),
        };
        let mut canary = to("canary", vec![]);
        canary.r#match.as_mut().expect("set").runtime_fraction = Some(some);
        let body = DataSource { specifier: Some(Specifier::InlineString(SECRET.into())), watched_directory: None };
        let direct = DirectResponseAction { status: 503, body: Some(body), ..Default::default() };
        let redirect = RedirectAction { host_redirect: SECRET.into(), response_code: 2, ..Default::default() };
        let routes = vec![
            Route { typed_per_filter_config: filters, ..to("a", vec![header("x")]) },
            canary,
            Route { action: Some(Action::DirectResponse(direct)), ..to("", vec![]) },
            Route { action: Some(Action::Redirect(redirect)), ..to("", vec![]) },
            to("b", vec![]),
        ];
        let inline = RouteConfiguration {
            name: "r".into(),
            virtual_hosts: vec![
                VirtualHost { domains: vec!["other".into()], ..Default::default() },
                VirtualHost { domains: vec!["*.shop".into()], routes, retry_policy: Some(retry), ..Default::default() },
            ],
            ..Default::default()
        };
        check(Kind::Routes, inline.encode_to_vec());
        let manager = HttpConnectionManager { route_specifier: Some(RouteSpecifier::RouteConfig(inline)), ..Default::default() };
        let any = Any { type_url: MANAGER.into(), value: manager.encode_to_vec() };
        let full = Listener { name: "l".into(), api_listener: Some(ApiListener { api_listener: Some(any) }), ..Default::default() };
        check(Kind::Listener, full.encode_to_vec());
    }
}
