// SPDX-License-Identifier: Apache-2.0
//! A service port, or a subset of it, to a Cluster, with the settings of its DestinationRule as istiod writes them.

use std::{collections::HashMap, time::Duration};

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{
                CircuitBreakers, Cluster, OutlierDetection as ProtoOutliers, UpstreamConnectionOptions,
                circuit_breakers::Thresholds,
                cluster::{ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbPolicy},
            },
            core::v3::{
                AggregatedConfigSource, ConfigSource, Http1ProtocolOptions, Http2ProtocolOptions,
                HttpProtocolOptions as CommonOptions, TcpKeepalive as ProtoKeepalive, TransportSocket,
                config_source::ConfigSourceSpecifier,
            },
            endpoint::v3::ClusterLoadAssignment,
        },
        extensions::upstreams::http::v3::{
            HttpProtocolOptions,
            http_protocol_options::{
                ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config::ProtocolConfig,
            },
        },
        r#type::v3::Percent,
    },
    google::protobuf::{Any, Duration as ProtoDuration, UInt32Value},
};
use prost::Message;

use super::{
    duration::to_proto,
    objects::{Protocol, Resolution},
    rule::{ConnectionPool, H2Upgrade, OutlierDetection, Settings, Simple, TcpKeepalive, TlsMode},
};

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// istiod's default for the whole mesh.
const CONNECT_TIMEOUT: ProtoDuration = ProtoDuration { seconds: 10, nanos: 0 };

pub(super) fn cluster(
    name: &str,
    resolution: Resolution,
    protocol: Protocol,
    assignment: &ClusterLoadAssignment,
    settings: Settings<'_>,
) -> Cluster {
    let pool = settings.connection_pool.cloned().unwrap_or_default();
    let mut cluster = Cluster {
        name: name.into(),
        lb_policy: match (settings.load_balancer.map(|balancer| balancer.simple), resolution) {
            (_, Resolution::None) => LbPolicy::ClusterProvided,
            (Some(Simple::RoundRobin), _) => LbPolicy::RoundRobin,
            (Some(Simple::Random), _) => LbPolicy::Random,
            (Some(Simple::LeastRequest | Simple::Unspecified) | None, _) => LbPolicy::LeastRequest,
        } as i32,
        transport_socket: settings
            .tls
            .filter(|tls| tls.mode != TlsMode::Disable)
            .map(|_| TransportSocket { name: "envoy.transport_sockets.tls".into(), ..Default::default() }),
        connect_timeout: Some(pool.tcp.connect_timeout.map_or(CONNECT_TIMEOUT, to_proto)),
        circuit_breakers: Some(circuit_breakers(&pool)),
        upstream_connection_options: pool
            .tcp
            .tcp_keepalive
            .as_ref()
            .map(|keepalive| UpstreamConnectionOptions { tcp_keepalive: Some(tcp_keepalive(keepalive)), ..Default::default() }),
        typed_extension_protocol_options: http_options(&pool, protocol),
        outlier_detection: settings.outlier_detection.map(outlier_detection),
        // Zero: however few are healthy, the others are not taken.
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Percent {
                value: settings.outlier_detection.map_or(0, |outliers| outliers.min_health_percent).into(),
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let kind = match resolution {
        Resolution::Static => DiscoveryType::Eds,
        Resolution::Dns => DiscoveryType::StrictDns,
        Resolution::None => DiscoveryType::OriginalDst,
    };
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind as i32));
    match resolution {
        Resolution::Static => {
            let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
            let eds_config = ConfigSource { config_source_specifier: Some(ads), ..Default::default() };
            cluster.eds_cluster_config = Some(EdsClusterConfig { eds_config: Some(eds_config), service_name: name.into() });
        }
        Resolution::Dns => cluster.load_assignment = Some(assignment.clone()),
        Resolution::None => {}
    }
    cluster
}

fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

/// Zero is as good as not said.
fn above_zero(value: u32) -> Option<UInt32Value> {
    number(value).filter(|number| number.value > 0)
}

/// What is not limited says so with the largest number.
fn circuit_breakers(pool: &ConnectionPool) -> CircuitBreakers {
    let limit = |value| above_zero(value).or_else(|| number(u32::MAX));
    let threshold = Thresholds {
        max_connections: limit(pool.tcp.max_connections),
        max_pending_requests: limit(pool.http.http1_max_pending_requests),
        max_requests: limit(pool.http.http2_max_requests),
        max_retries: limit(pool.http.max_retries),
        ..Default::default()
    };
    CircuitBreakers { thresholds: vec![threshold], ..Default::default() }
}

fn seconds(duration: Duration) -> Option<UInt32Value> {
    u32::try_from(duration.as_secs()).ok().and_then(number)
}

fn tcp_keepalive(keepalive: &TcpKeepalive) -> ProtoKeepalive {
    ProtoKeepalive {
        keepalive_probes: above_zero(keepalive.probes),
        keepalive_time: keepalive.time.and_then(seconds),
        keepalive_interval: keepalive.interval.and_then(seconds),
    }
}

/// Nothing, for plain HTTP/1.1 without limits.
fn http_options(pool: &ConnectionPool, protocol: Protocol) -> HashMap<String, Any> {
    let (tcp, http) = (&pool.tcp, &pool.http);
    let is_http2 = protocol == Protocol::Http2 || http.h2_upgrade_policy == H2Upgrade::Upgrade && !http.use_client_protocol;
    // Where nobody says what is spoken, a sidecar goes on with what it was sent.
    let is_clients = http.use_client_protocol || (protocol == Protocol::Unsaid && !is_http2);
    let common = CommonOptions {
        idle_timeout: http.idle_timeout.or(tcp.idle_timeout).map(to_proto),
        max_connection_duration: tcp.max_connection_duration.map(to_proto),
        max_requests_per_connection: above_zero(http.max_requests_per_connection),
        ..Default::default()
    };
    let is_limited = common != CommonOptions::default() || http.max_concurrent_streams > 0;
    let http2 = Http2ProtocolOptions {
        max_concurrent_streams: above_zero(http.max_concurrent_streams).filter(|_| is_http2),
        ..Default::default()
    };
    if !is_http2 && !is_limited && !is_clients {
        return HashMap::new();
    }
    let http1 = Http1ProtocolOptions::default();
    let protocol = if is_clients {
        UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
            http_protocol_options: Some(http1),
            http2_protocol_options: Some(http2),
            ..Default::default()
        })
    } else {
        let config =
            if is_http2 { ProtocolConfig::Http2ProtocolOptions(http2) } else { ProtocolConfig::HttpProtocolOptions(http1) };
        UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(config) })
    };
    let options = HttpProtocolOptions {
        common_http_protocol_options: is_limited.then_some(common),
        upstream_protocol_options: Some(protocol),
        ..Default::default()
    };
    let any = Any { type_url: format!("type.googleapis.com/{HTTP_OPTIONS}"), value: options.encode_to_vec() };
    HashMap::from([(HTTP_OPTIONS.into(), any)])
}

/// Counts decide, rates never; a count of zero is switched off.
fn outlier_detection(outliers: &OutlierDetection) -> ProtoOutliers {
    let enforced = |count: Option<u32>| count.and_then(|count| number(if count > 0 { 100 } else { 0 }));
    let local = outliers.split_external_local_origin_errors;
    let local_failures = above_zero(outliers.consecutive_local_origin_failures).filter(|_| local);
    ProtoOutliers {
        consecutive_5xx: outliers.consecutive_5xx_errors.and_then(number),
        enforcing_consecutive_5xx: enforced(outliers.consecutive_5xx_errors),
        consecutive_gateway_failure: outliers.consecutive_gateway_errors.and_then(number),
        enforcing_consecutive_gateway_failure: enforced(outliers.consecutive_gateway_errors),
        split_external_local_origin_errors: local,
        consecutive_local_origin_failure: local_failures,
        enforcing_consecutive_local_origin_failure: local_failures.and_then(|_| number(100)),
        enforcing_local_origin_success_rate: number(0).filter(|_| local),
        enforcing_success_rate: number(0),
        interval: outliers.interval.map(to_proto),
        base_ejection_time: outliers.base_ejection_time.map(to_proto),
        max_ejection_percent: above_zero(outliers.max_ejection_percent),
        ..Default::default()
    }
}
