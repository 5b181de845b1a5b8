// SPDX-License-Identifier: Apache-2.0
//! Kubernetes' Service, EndpointSlice, Endpoints and Pod as they stand in YAML, as far as they say where a service is.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Fields of a Service that say nothing about its endpoints, to callers in the mesh.
pub(super) const WITHOUT_EFFECT: [&str; 14] = [
    "allocateLoadBalancerNodePorts",
    "clusterIPs",
    "externalIPs",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "ipFamilies",
    "ipFamilyPolicy",
    "loadBalancerClass",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "publishNotReadyAddresses",
    "sessionAffinity",
    "sessionAffinityConfig",
    "externalName",
];

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Service {
    #[serde(default)]
    pub(super) ports: Vec<Port>,
    #[serde(default)]
    pub(super) selector: BTreeMap<String, String>,
    #[serde(default, rename = "clusterIP")]
    pub(super) cluster_ip: String,
    #[serde(default)]
    pub(super) r#type: String,
    #[serde(default)]
    pub(super) internal_traffic_policy: String,
    #[serde(default)]
    pub(super) traffic_distribution: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Port {
    #[serde(default)]
    pub(super) name: String,
    pub(super) port: u16,
    #[serde(default)]
    pub(super) protocol: String,
    #[serde(default)]
    pub(super) app_protocol: Option<String>,
    #[serde(default)]
    pub(super) target_port: Option<TargetPort>,
    #[serde(default, rename = "nodePort")]
    pub(super) _node_port: u16,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum TargetPort {
    Number(u16),
    Name(String),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSlice {
    #[serde(default)]
    pub(super) address_type: String,
    #[serde(default)]
    pub(super) ports: Vec<SlicePort>,
    #[serde(default)]
    pub(super) endpoints: Vec<SliceEndpoint>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct SlicePort {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) port: u16,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SliceEndpoint {
    #[serde(default)]
    pub(super) addresses: Vec<String>,
    #[serde(default)]
    pub(super) conditions: Conditions,
    #[serde(default)]
    pub(super) target_ref: Option<Reference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Conditions {
    pub(super) ready: Option<bool>,
    terminating: Option<bool>,
}

impl Conditions {
    /// Not ready, and nobody says that it will be.
    pub(super) fn is_leaving(&self) -> bool {
        self.ready == Some(false) && self.terminating != Some(false)
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Reference {
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Endpoints {
    #[serde(default)]
    pub(super) subsets: Vec<EndpointSubset>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSubset {
    #[serde(default)]
    addresses: Vec<EndpointAddress>,
    #[serde(default)]
    not_ready_addresses: Vec<EndpointAddress>,
    #[serde(default)]
    ports: Vec<SlicePort>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointAddress {
    ip: String,
    #[serde(default)]
    target_ref: Option<Reference>,
}

impl EndpointSubset {
    /// The slice that Kubernetes makes of it.
    pub(super) fn slice(&self) -> EndpointSlice {
        let endpoint = |address: &EndpointAddress, ready: bool| SliceEndpoint {
            addresses: vec![address.ip.clone()],
            conditions: Conditions { ready: Some(ready), terminating: Some(false) },
            target_ref: address.target_ref.clone(),
        };
        let ready = self.addresses.iter().map(|address| endpoint(address, true));
        let not_ready = self.not_ready_addresses.iter().map(|address| endpoint(address, false));
        EndpointSlice { address_type: String::new(), ports: self.ports.clone(), endpoints: ready.chain(not_ready).collect() }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Pod {
    #[serde(default)]
    pub(super) spec: PodSpec,
    #[serde(default)]
    pub(super) status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) node_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodStatus {
    #[serde(rename = "podIP")]
    pub(super) pod_ip: String,
}
