// SPDX-License-Identifier: Apache-2.0
//! What a Cluster asks of its callers.

use std::time::Duration;

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{Cluster as Proto, OutlierDetection as ProtoOutliers, cluster::LbPolicy},
            core::v3::{RoutingPriority, TcpKeepalive as ProtoKeepalive},
        },
        extensions::upstreams::http::v3::{
            HttpProtocolOptions,
            http_protocol_options::{UpstreamProtocolOptions, explicit_http_config::ProtocolConfig},
        },
    },
    google::protobuf::{Duration as ProtoDuration, UInt32Value},
};
use prost::Message;

use crate::model::{CircuitBreakers, Fraction, HttpOptions, HttpProtocol, OutlierDetection, Policy, TcpKeepalive};

/// The key of [`HttpProtocolOptions`] among the extension options, which is its type, too.
pub(super) const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

pub(super) fn convert(proto: &Proto) -> Result<Policy, String> {
    let panic = proto.common_lb_config.as_ref().and_then(|config| config.healthy_panic_threshold);
    let keepalive = proto.upstream_connection_options.as_ref().and_then(|options| options.tcp_keepalive.as_ref());
    Ok(Policy {
        lb_policy: LbPolicy::try_from(proto.lb_policy).map_or("UNKNOWN", |policy| policy.as_str_name()),
        connect_timeout: duration("connect_timeout", proto.connect_timeout.as_ref())?,
        circuit_breakers: circuit_breakers(proto),
        http: http(proto)?,
        tcp_keepalive: keepalive.map(tcp_keepalive),
        outlier_detection: proto.outlier_detection.as_ref().map(outlier_detection).transpose()?,
        healthy_panic_threshold: panic.map(|percent| Fraction::from_percent(percent.value)),
    })
}

fn circuit_breakers(proto: &Proto) -> CircuitBreakers {
    let thresholds = proto.circuit_breakers.iter().flat_map(|breakers| &breakers.thresholds);
    let mut default = thresholds.filter(|threshold| threshold.priority == RoutingPriority::Default as i32);
    default.next().map_or_else(CircuitBreakers::default, |t| CircuitBreakers {
        max_connections: number(t.max_connections),
        max_pending_requests: number(t.max_pending_requests),
        max_requests: number(t.max_requests),
        max_retries: number(t.max_retries),
    })
}

fn http(proto: &Proto) -> Result<HttpOptions, String> {
    let Some(any) = proto.typed_extension_protocol_options.get(HTTP_OPTIONS) else { return Ok(HttpOptions::default()) };
    let options = HttpProtocolOptions::decode(any.value.as_slice()).map_err(|error| format!("its HttpProtocolOptions: {error}"))?;
    let (protocol, max_concurrent_streams) = protocol(options.upstream_protocol_options.as_ref());
    let common = options.common_http_protocol_options.unwrap_or_default();
    Ok(HttpOptions {
        idle_timeout: duration("idle_timeout", common.idle_timeout.as_ref())?,
        max_connection_duration: duration("max_connection_duration", common.max_connection_duration.as_ref())?,
        max_requests_per_connection: number(common.max_requests_per_connection),
        protocol,
        max_concurrent_streams,
    })
}

fn protocol(options: Option<&UpstreamProtocolOptions>) -> (HttpProtocol, Option<u32>) {
    match options {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => match &explicit.protocol_config {
            Some(ProtocolConfig::Http2ProtocolOptions(http2)) => (HttpProtocol::Http2, number(http2.max_concurrent_streams)),
            _ => (HttpProtocol::Http1, None),
        },
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(config)) => {
            let http2 = config.http2_protocol_options.as_ref();
            (HttpProtocol::AsCaller, number(http2.and_then(|http2| http2.max_concurrent_streams)))
        }
        Some(UpstreamProtocolOptions::AutoConfig(config)) => {
            let http2 = config.http2_protocol_options.as_ref();
            (HttpProtocol::Auto, number(http2.and_then(|http2| http2.max_concurrent_streams)))
        }
        None => (HttpProtocol::Http1, None),
    }
}

fn tcp_keepalive(proto: &ProtoKeepalive) -> TcpKeepalive {
    let seconds = |value| number(value).map(|seconds| Duration::from_secs(seconds.into()));
    TcpKeepalive {
        probes: number(proto.keepalive_probes),
        time: seconds(proto.keepalive_time),
        interval: seconds(proto.keepalive_interval),
    }
}

fn outlier_detection(proto: &ProtoOutliers) -> Result<OutlierDetection, String> {
    let percent = |field: &str, value| match number(value) {
        Some(percent) if percent > 100 => Err(format!("outlier_detection.{field}: {percent} is above 100 percent")),
        value => Ok(value),
    };
    let duration = |field: &str, value: &Option<ProtoDuration>| duration(&format!("outlier_detection.{field}"), value.as_ref());
    Ok(OutlierDetection {
        interval: duration("interval", &proto.interval)?,
        base_ejection_time: duration("base_ejection_time", &proto.base_ejection_time)?,
        max_ejection_time: duration("max_ejection_time", &proto.max_ejection_time)?,
        max_ejection_percent: percent("max_ejection_percent", proto.max_ejection_percent)?,
        consecutive_5xx: number(proto.consecutive_5xx),
        enforcing_consecutive_5xx: percent("enforcing_consecutive_5xx", proto.enforcing_consecutive_5xx)?,
        consecutive_gateway_failure: number(proto.consecutive_gateway_failure),
        enforcing_consecutive_gateway_failure: percent(
            "enforcing_consecutive_gateway_failure",
            proto.enforcing_consecutive_gateway_failure,
        )?,
        split_external_local_origin_errors: proto.split_external_local_origin_errors,
        consecutive_local_origin_failure: number(proto.consecutive_local_origin_failure),
        enforcing_consecutive_local_origin_failure: percent(
            "enforcing_consecutive_local_origin_failure",
            proto.enforcing_consecutive_local_origin_failure,
        )?,
        enforcing_success_rate: percent("enforcing_success_rate", proto.enforcing_success_rate)?,
        success_rate_minimum_hosts: number(proto.success_rate_minimum_hosts),
        success_rate_request_volume: number(proto.success_rate_request_volume),
        success_rate_stdev_factor: number(proto.success_rate_stdev_factor),
        failure_percentage_threshold: percent("failure_percentage_threshold", proto.failure_percentage_threshold)?,
        enforcing_failure_percentage: percent("enforcing_failure_percentage", proto.enforcing_failure_percentage)?,
        failure_percentage_minimum_hosts: number(proto.failure_percentage_minimum_hosts),
        failure_percentage_request_volume: number(proto.failure_percentage_request_volume),
    })
}

pub(super) fn number(value: Option<UInt32Value>) -> Option<u32> {
    value.map(|value| value.value)
}

/// The longest duration that protobuf allows, in seconds.
const MAX_SECONDS: i64 = 315_576_000_000;

/// A duration within protobuf's bounds and not negative.
pub(super) fn duration(field: &str, value: Option<&ProtoDuration>) -> Result<Option<Duration>, String> {
    let Some(value) = value else { return Ok(None) };
    match (u64::try_from(value.seconds), u32::try_from(value.nanos)) {
        (Ok(seconds), Ok(nanos @ 0..1_000_000_000)) if value.seconds <= MAX_SECONDS => Ok(Some(Duration::new(seconds, nanos))),
        _ => Err(format!("{field}: {} s and {} ns are no duration above zero", value.seconds, value.nanos)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use envoy_types::pb::{
        envoy::{
            config::{
                cluster::v3::{
                    CircuitBreakers as ProtoBreakers, UpstreamConnectionOptions, circuit_breakers::Thresholds,
                    cluster::CommonLbConfig,
                },
                core::v3::{Http2ProtocolOptions, HttpProtocolOptions as CommonOptions},
            },
            extensions::upstreams::http::v3::http_protocol_options::ExplicitHttpConfig,
            r#type::v3::Percent,
        },
        google::protobuf::Any,
    };

    use super::*;

    fn some(value: u32) -> Option<UInt32Value> {
        Some(UInt32Value { value })
    }

    fn seconds(seconds: i64) -> Option<ProtoDuration> {
        Some(ProtoDuration { seconds, nanos: 0 })
    }

    #[test]
    fn limits_are_those_of_the_default_priority() {
        let threshold = |priority: RoutingPriority, limit| Thresholds {
            priority: priority as i32,
            max_connections: some(limit),
            max_retries: some(limit + 1),
            ..Default::default()
        };
        let thresholds = vec![threshold(RoutingPriority::High, 1), threshold(RoutingPriority::Default, 11)];
        let breakers = ProtoBreakers { thresholds, ..Default::default() };
        let policy = convert(&Proto { circuit_breakers: Some(breakers), ..Default::default() }).expect("valid");
        let expected = CircuitBreakers { max_connections: Some(11), max_retries: Some(12), ..Default::default() };
        assert_eq!(policy.circuit_breakers, expected);
    }

    #[test]
    fn connections_are_described_by_the_extension_and_the_cluster_itself() {
        let http2 = Http2ProtocolOptions { max_concurrent_streams: some(16), ..Default::default() };
        let explicit = ExplicitHttpConfig { protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(http2)) };
        let options = HttpProtocolOptions {
            common_http_protocol_options: Some(CommonOptions {
                idle_timeout: seconds(45),
                max_requests_per_connection: some(14),
                ..Default::default()
            }),
            upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)),
            ..Default::default()
        };
        let any = Any { type_url: format!("type.googleapis.com/{HTTP_OPTIONS}"), value: options.encode_to_vec() };
        let keepalive = ProtoKeepalive { keepalive_probes: some(5), keepalive_time: some(7200), ..Default::default() };
        let policy = convert(&Proto {
            connect_timeout: seconds(3),
            typed_extension_protocol_options: HashMap::from([(HTTP_OPTIONS.to_owned(), any)]),
            upstream_connection_options: Some(UpstreamConnectionOptions { tcp_keepalive: Some(keepalive), ..Default::default() }),
            common_lb_config: Some(CommonLbConfig { healthy_panic_threshold: Some(Percent { value: 20.0 }), ..Default::default() }),
            ..Default::default()
        })
        .expect("valid");
        let http = HttpOptions {
            idle_timeout: Some(Duration::from_secs(45)),
            max_requests_per_connection: Some(14),
            protocol: HttpProtocol::Http2,
            max_concurrent_streams: Some(16),
            ..Default::default()
        };
        let keepalive = TcpKeepalive { probes: Some(5), time: Some(Duration::from_secs(7200)), interval: None };
        assert_eq!((policy.http, policy.tcp_keepalive), (http, Some(keepalive)));
        assert_eq!(policy.connect_timeout, Some(Duration::from_secs(3)));
        assert_eq!(policy.healthy_panic_threshold, Some(Fraction::from_percent(20.0)));
    }

    #[test]
    fn an_outlier_detection_that_nobody_could_carry_out_is_refused_with_its_field() {
        let given = |change: fn(&mut ProtoOutliers)| {
            let mut outliers = ProtoOutliers { consecutive_5xx: some(7), interval: seconds(5), ..Default::default() };
            change(&mut outliers);
            convert(&Proto { outlier_detection: Some(outliers), ..Default::default() }).map(|policy| policy.outlier_detection)
        };
        let expected = OutlierDetection { consecutive_5xx: Some(7), interval: Some(Duration::from_secs(5)), ..Default::default() };
        assert_eq!(given(|_| {}), Ok(Some(expected)));
        type Change = fn(&mut ProtoOutliers);
        let wrong: [(Change, &str); 4] = [
            (|o| o.max_ejection_percent = some(101), "outlier_detection.max_ejection_percent: 101"),
            (|o| o.enforcing_failure_percentage = some(200), "outlier_detection.enforcing_failure_percentage: 200"),
            (|o| o.interval = seconds(-1), "outlier_detection.interval: -1 s"),
            (|o| o.base_ejection_time = seconds(i64::MAX), "outlier_detection.base_ejection_time: 9223372036854775807 s"),
        ];
        for (change, message) in wrong {
            let error = given(change).expect_err(message);
            assert!(error.starts_with(message), "{error}");
        }
    }
}
