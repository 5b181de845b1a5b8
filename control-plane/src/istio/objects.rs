// SPDX-License-Identifier: Apache-2.0
//! Metadata, ServiceEntry and WorkloadEntry as they stand in YAML, with exactly the fields that are supported.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error};

/// What else tools put into metadata has no effect on what is served.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    #[serde(default = "default_namespace")]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    /// Of two rules for one thing, the older counts.
    #[serde(default)]
    pub(super) creation_timestamp: String,
}

fn default_namespace() -> String {
    "default".into()
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ServiceEntry {
    pub(super) hosts: Vec<String>,
    #[serde(default)]
    pub(super) ports: Vec<ServicePort>,
    #[serde(default)]
    pub(super) resolution: Resolution,
    #[serde(default, rename = "location")]
    pub(super) _location: Location,
    #[serde(default)]
    pub(super) endpoints: Vec<WorkloadEntry>,
    #[serde(default)]
    pub(super) workload_selector: Option<Selector>,
    #[serde(default, rename = "exportTo")]
    pub(super) _export_to: Everywhere,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ServicePort {
    pub(super) number: u16,
    pub(super) name: String,
    #[serde(default)]
    pub(super) protocol: Protocol,
    #[serde(default)]
    target_port: Option<u16>,
}

impl ServicePort {
    /// Where endpoints that do not say otherwise listen; 0 is as good as not said.
    pub(super) fn target(&self) -> u16 {
        self.target_port.filter(|port| *port > 0).unwrap_or(self.number)
    }
}

/// What is spoken on a port, as far as it decides about routes and options of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    /// gRPC too.
    Http2,
    /// Whatever is no HTTP to those between, TLS too.
    Tcp,
    Udp,
    /// Nobody says; a sidecar would look at what is sent.
    #[default]
    Unsaid,
}

impl Protocol {
    /// By the name that Istio knows it by.
    pub(super) fn named(text: &str) -> Option<Self> {
        match text.to_lowercase().as_str() {
            "http" | "http_proxy" => Some(Self::Http),
            "http2" | "grpc" | "grpc-web" => Some(Self::Http2),
            "tcp" | "https" | "tls" | "mongo" | "redis" | "mysql" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            "" => Some(Self::Unsaid),
            _ => None,
        }
    }

    /// Whether it has routes.
    pub(super) fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Unsaid)
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "HTTP, HTTP2, GRPC, GRPC-WEB, TCP, TLS, HTTPS, MONGO, REDIS, MYSQL or UDP is expected";
        Self::named(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no protocol; {expected}")))
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) enum Resolution {
    #[default]
    #[serde(rename = "NONE")]
    None,
    #[serde(rename = "STATIC")]
    Static,
    #[serde(rename = "DNS")]
    Dns,
}

/// Accepted and without effect on lists, in istiod too.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) enum Location {
    #[default]
    #[serde(rename = "MESH_EXTERNAL")]
    MeshExternal,
    #[serde(rename = "MESH_INTERNAL")]
    MeshInternal,
}

/// `exportTo` that says what is so anyway.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(super) struct Everywhere;

impl TryFrom<Vec<String>> for Everywhere {
    type Error = String;

    fn try_from(namespaces: Vec<String>) -> Result<Self, Self::Error> {
        match namespaces.iter().find(|namespace| *namespace != "*") {
            Some(other) => Err(format!("{other:?} is not supported; \"*\" is")),
            None => Ok(Self),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Selector {
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WorkloadEntry {
    pub(super) address: String,
    #[serde(default)]
    pub(super) ports: BTreeMap<String, u16>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) locality: String,
    #[serde(default)]
    pub(super) weight: u32,
    #[serde(default)]
    pub(super) service_account: String,
}

impl WorkloadEntry {
    /// istiod says `istio` of workloads that have an identity.
    pub(super) fn tls_mode(&self) -> Option<String> {
        let by_account = || (!self.service_account.is_empty()).then(|| "istio".to_owned());
        self.labels.get("security.istio.io/tlsMode").cloned().or_else(by_account)
    }
}

pub(super) fn has_labels(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
