// SPDX-License-Identifier: Apache-2.0
//! ServiceEntry and WorkloadEntry as they stand in YAML, with exactly the fields that are supported.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) name: String,
    #[serde(default = "default_namespace")]
    pub(super) namespace: String,
    // Labels, annotations and whatever else tools put into metadata have no effect on what is served.
}

fn default_namespace() -> String {
    "default".into()
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ServiceEntry {
    pub(super) hosts: Vec<String>,
    pub(super) ports: Vec<ServicePort>,
    #[serde(default)]
    pub(super) resolution: Resolution,
    #[serde(default, rename = "location")]
    pub(super) _location: Location,
    #[serde(default)]
    pub(super) endpoints: Vec<WorkloadEntry>,
    #[serde(default)]
    pub(super) workload_selector: Option<Selector>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ServicePort {
    pub(super) number: u16,
    pub(super) name: String,
    #[serde(default)]
    pub(super) protocol: Protocol,
    #[serde(default)]
    pub(super) target_port: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) enum Protocol {
    #[serde(rename = "HTTP", alias = "http")]
    Http,
    #[serde(rename = "HTTP2", alias = "http2")]
    Http2,
    #[serde(rename = "GRPC", alias = "grpc")]
    Grpc,
    #[default]
    #[serde(rename = "TCP", alias = "tcp")]
    Tcp,
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
}
