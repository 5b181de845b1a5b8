// SPDX-License-Identifier: Apache-2.0
//! What a cluster asks of those who call it: balancing, limits, timeouts of connections, outlier detection.
//!
//! Data for whoever makes the calls: nothing in this crate enforces it. `None` is what the control plane has not said; Envoy's
//! defaults are named, not filled in. In JSON the names are those of xDS, durations are written as in protobuf's JSON (`1.5s`).

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Fraction;

/// Everything that a CDS resource says about calling the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Policy {
    /// Envoy's name of the load-balancing policy, for instance `ROUND_ROBIN`.
    pub lb_policy: &'static str,
    /// Envoy: 5 s.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub connect_timeout: Option<Duration>,
    /// Of the default routing priority.
    #[serde(skip_serializing_if = "is_default")]
    pub circuit_breakers: CircuitBreakers,
    /// Of HTTP connections.
    #[serde(skip_serializing_if = "is_default")]
    pub http: HttpOptions,
    /// Off when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Off when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<OutlierDetection>,
    /// Share of usable endpoints under which all count as usable; zero never. Envoy: 50 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_panic_threshold: Option<Fraction>,
}

/// Limits at once. Envoy: 1024, retries 3; istiod says `u32::MAX` for what a DestinationRule leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct CircuitBreakers {
    /// Connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pending_requests: Option<u32>,
    /// Requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u32>,
    /// Retries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
}

/// Of HTTP connections to the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct HttpOptions {
    /// A connection without requests is closed after it; zero never. Envoy: 1 h.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub idle_timeout: Option<Duration>,
    /// A connection is drained after it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub max_connection_duration: Option<Duration>,
    /// A connection is drained after as many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests_per_connection: Option<u32>,
    /// Spoken to the endpoints.
    #[serde(skip_serializing_if = "is_default")]
    pub protocol: HttpProtocol,
    /// Of one HTTP/2 connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_streams: Option<u32>,
}

/// What is spoken to the endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpProtocol {
    /// HTTP/1.1, as when nothing is said.
    #[default]
    Http1,
    /// HTTP/2 without asking first.
    Http2,
    /// As TLS negotiates.
    Auto,
    /// What the caller speaks.
    AsCaller,
}

/// Keepalive of TCP; the system's values where not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct TcpKeepalive {
    /// Probes without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<u32>,
    /// Before the first probe.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub time: Option<Duration>,
    /// Between probes.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub interval: Option<Duration>,
}

/// When an endpoint is left out for its failures (gRFC A50). The numbers of `enforcing_…` are percent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct OutlierDetection {
    /// Between two looks. 10 s.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub interval: Option<Duration>,
    /// Times the number of ejections. 30 s.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub base_ejection_time: Option<Duration>,
    /// The larger of 300 s and the base.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub max_ejection_time: Option<Duration>,
    /// Percent of the endpoints. 10, and at least one endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ejection_percent: Option<u32>,
    /// Answers of 5xx, with failures of connections among them unless they are split off. 5; zero never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_5xx: Option<u32>,
    /// 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcing_consecutive_5xx: Option<u32>,
    /// Answers of 502, 503, 504. 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_gateway_failure: Option<u32>,
    /// 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcing_consecutive_gateway_failure: Option<u32>,
    /// Failures without an answer count on their own.
    #[serde(skip_serializing_if = "is_default")]
    pub split_external_local_origin_errors: bool,
    /// Failures without an answer, when split off. 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_local_origin_failure: Option<u32>,
    /// 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcing_consecutive_local_origin_failure: Option<u32>,
    /// 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcing_success_rate: Option<u32>,
    /// Endpoints with enough requests. 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_rate_minimum_hosts: Option<u32>,
    /// Requests of one interval. 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_rate_request_volume: Option<u32>,
    /// Thousandths. 1900.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_rate_stdev_factor: Option<u32>,
    /// Percent. 85.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_percentage_threshold: Option<u32>,
    /// 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcing_failure_percentage: Option<u32>,
    /// 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_percentage_minimum_hosts: Option<u32>,
    /// Requests of one interval. 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_percentage_request_volume: Option<u32>,
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// As protobuf's JSON writes durations.
pub(super) fn duration<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(duration) => serializer.collect_str(&format_args!("{}s", duration.as_secs_f64())),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_said_is_not_printed_and_durations_read_as_in_protobuf() {
        let policy = Policy {
            lb_policy: "LEAST_REQUEST",
            connect_timeout: Some(Duration::from_millis(1500)),
            outlier_detection: Some(OutlierDetection { consecutive_5xx: Some(7), ..Default::default() }),
            ..Default::default()
        };
        let expected =
            json!({"lb_policy": "LEAST_REQUEST", "connect_timeout": "1.5s", "outlier_detection": {"consecutive_5xx": 7}});
        assert_eq!(serde_json::to_value(policy).expect("plain values"), expected);
    }
}
