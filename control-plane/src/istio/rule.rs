// SPDX-License-Identifier: Apache-2.0
//! DestinationRule as it stands in YAML, with exactly the fields that are supported.

use std::{collections::BTreeMap, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny},
};

use super::{duration::duration, objects::Everywhere};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DestinationRule {
    pub(super) host: String,
    #[serde(default)]
    pub(super) traffic_policy: Option<TrafficPolicy>,
    #[serde(default)]
    pub(super) subsets: Vec<Subset>,
    #[serde(default, rename = "exportTo")]
    _export_to: Everywhere,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Subset {
    pub(super) name: String,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) traffic_policy: Option<TrafficPolicy>,
}

/// Settings of a rule or subset, and of single ports of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TrafficPolicy {
    load_balancer: Option<LoadBalancer>,
    connection_pool: Option<ConnectionPool>,
    outlier_detection: Option<OutlierDetection>,
    tls: Option<Tls>,
    port_level_settings: Vec<PortPolicy>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PortPolicy {
    port: PortSelector,
    #[serde(default)]
    load_balancer: Option<LoadBalancer>,
    #[serde(default)]
    connection_pool: Option<ConnectionPool>,
    #[serde(default)]
    outlier_detection: Option<OutlierDetection>,
    #[serde(default)]
    tls: Option<Tls>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PortSelector {
    pub(super) number: u16,
}

/// The settings that count for one cluster.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings<'a> {
    pub(super) load_balancer: Option<&'a LoadBalancer>,
    pub(super) connection_pool: Option<&'a ConnectionPool>,
    pub(super) outlier_detection: Option<&'a OutlierDetection>,
    pub(super) tls: Option<&'a Tls>,
}

impl DestinationRule {
    /// Every group of settings as it is written, with the path of its field.
    pub(super) fn all_settings(&self) -> Vec<(String, Settings<'_>)> {
        let own = self.traffic_policy.iter().map(|policy| ("spec.trafficPolicy".to_owned(), policy));
        let of_subsets =
            self.subsets.iter().enumerate().filter_map(|(index, subset)| {
                Some((format!("spec.subsets[{index}].trafficPolicy"), subset.traffic_policy.as_ref()?))
            });
        let policies = own.chain(of_subsets);
        let mut all = Vec::new();
        for (field, policy) in policies {
            all.extend(
                policy
                    .port_level_settings
                    .iter()
                    .enumerate()
                    .map(|(index, own)| (format!("{field}.portLevelSettings[{index}]"), own.settings())),
            );
            all.push((field, policy.settings()));
        }
        all
    }

    /// Where this outlier detection is written.
    pub(super) fn field_of(&self, outliers: &OutlierDetection) -> Option<String> {
        let is_there = |settings: &Settings<'_>| settings.outlier_detection.is_some_and(|own| std::ptr::eq(own, outliers));
        let found = self.all_settings().into_iter().find(|(_, settings)| is_there(settings));
        found.map(|(field, _)| format!("{field}.outlierDetection"))
    }
}

impl Settings<'_> {
    /// Nothing says not to.
    pub(super) fn orders_by_locality(&self) -> bool {
        self.load_balancer.is_none_or(|balancer| balancer.locality_lb_setting.is_none())
    }
}

impl PortPolicy {
    fn settings(&self) -> Settings<'_> {
        Settings {
            load_balancer: self.load_balancer.as_ref(),
            connection_pool: self.connection_pool.as_ref(),
            outlier_detection: self.outlier_detection.as_ref(),
            tls: self.tls.as_ref(),
        }
    }
}

impl TrafficPolicy {
    fn settings(&self) -> Settings<'_> {
        Settings {
            load_balancer: self.load_balancer.as_ref(),
            connection_pool: self.connection_pool.as_ref(),
            outlier_detection: self.outlier_detection.as_ref(),
            tls: self.tls.as_ref(),
        }
    }

    /// The settings for a port, and whether they are its own.
    pub(super) fn of_port(&self, port: u16) -> (Settings<'_>, bool) {
        match self.port_level_settings.iter().find(|settings| settings.port.number == port) {
            Some(own) => (own.settings(), true),
            None => (self.settings(), false),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LoadBalancer {
    #[serde(default)]
    pub(super) simple: Simple,
    #[serde(default)]
    pub(super) locality_lb_setting: Option<LocalityOff>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Simple {
    #[default]
    Unspecified,
    RoundRobin,
    LeastRequest,
    Random,
}

/// Endpoints are not ordered by the caller's locality, which is not known here.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "LocalityFields")]
pub(super) struct LocalityOff;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalityFields {
    enabled: bool,
}

impl TryFrom<LocalityFields> for LocalityOff {
    type Error = &'static str;

    fn try_from(fields: LocalityFields) -> Result<Self, Self::Error> {
        if fields.enabled { Err("only enabled: false is supported, the clients' localities are not known here") } else { Ok(Self) }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) mode: TlsMode,
    // What TLS would be; it is not originated by those who are served.
    #[serde(default, rename = "sni")]
    _sni: IgnoredAny,
    #[serde(default, rename = "subjectAltNames")]
    _subject_alt_names: IgnoredAny,
    #[serde(default, rename = "caCertificates")]
    _ca_certificates: IgnoredAny,
    #[serde(default, rename = "clientCertificate")]
    _client_certificate: IgnoredAny,
    #[serde(default, rename = "privateKey")]
    _private_key: IgnoredAny,
    #[serde(default, rename = "credentialName")]
    _credential_name: IgnoredAny,
    #[serde(default, rename = "insecureSkipVerify")]
    _insecure_skip_verify: IgnoredAny,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum TlsMode {
    Disable,
    Simple,
    Mutual,
    IstioMutual,
}

/// In all of it, zero is as good as not said.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ConnectionPool {
    pub(super) tcp: TcpSettings,
    pub(super) http: HttpSettings,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TcpSettings {
    pub(super) max_connections: u32,
    #[serde(deserialize_with = "duration")]
    pub(super) connect_timeout: Option<Duration>,
    pub(super) tcp_keepalive: Option<TcpKeepalive>,
    #[serde(deserialize_with = "duration")]
    pub(super) max_connection_duration: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(super) idle_timeout: Option<Duration>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TcpKeepalive {
    pub(super) probes: u32,
    #[serde(deserialize_with = "duration")]
    pub(super) time: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(super) interval: Option<Duration>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HttpSettings {
    pub(super) http1_max_pending_requests: u32,
    pub(super) http2_max_requests: u32,
    pub(super) max_requests_per_connection: u32,
    pub(super) max_retries: u32,
    #[serde(deserialize_with = "duration")]
    pub(super) idle_timeout: Option<Duration>,
    pub(super) h2_upgrade_policy: H2Upgrade,
    pub(super) use_client_protocol: bool,
    pub(super) max_concurrent_streams: u32,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum H2Upgrade {
    #[default]
    Default,
    DoNotUpgrade,
    Upgrade,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OutlierDetection {
    pub(super) split_external_local_origin_errors: bool,
    pub(super) consecutive_local_origin_failures: u32,
    pub(super) consecutive_gateway_errors: Option<u32>,
    #[serde(rename = "consecutive5xxErrors")]
    pub(super) consecutive_5xx_errors: Option<u32>,
    #[serde(deserialize_with = "duration")]
    pub(super) interval: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(super) base_ejection_time: Option<Duration>,
    #[serde(deserialize_with = "percent")]
    pub(super) max_ejection_percent: u32,
    #[serde(deserialize_with = "percent")]
    pub(super) min_health_percent: u32,
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        percent @ 0..=100 => Ok(percent),
        other => Err(D::Error::custom(format!("{other} is above 100 percent"))),
    }
}
