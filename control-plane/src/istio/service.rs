// SPDX-License-Identifier: Apache-2.0
//! A service as callers see it, wherever it was written: a host with ports, each with its endpoints.

use std::collections::BTreeMap;

use super::{
    mesh::{Object, Spec},
    objects::{Protocol, Resolution, ServiceEntry, ServicePort, WorkloadEntry, has_labels},
    parse::{At, ParseError},
    rule::Subset,
};

#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) at: At,
    pub(super) namespace: String,
    /// In lower case, in which hosts are compared.
    pub(super) host: String,
    /// As it is written, in which clusters are named.
    pub(super) spelled: String,
    pub(super) resolution: Resolution,
    pub(super) ports: Vec<Port>,
}

#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) name: String,
    pub(super) protocol: Protocol,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) locality: String,
    pub(super) weight: u32,
    pub(super) health: Health,
    pub(super) tls_mode: Option<String>,
}

/// What is said of an endpoint's health; where nothing is, it counts as good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Unsaid,
    Good,
    Bad,
}

impl Port {
    /// The endpoints of a subset, or all.
    pub(super) fn chosen(&self, subset: Option<&Subset>) -> Vec<&Endpoint> {
        let is_chosen = |endpoint: &&Endpoint| subset.is_none_or(|subset| has_labels(&endpoint.labels, &subset.labels));
        self.endpoints.iter().filter(is_chosen).collect()
    }

    /// Its endpoints' weights must have a sum.
    pub(super) fn has_countable_weights(&self) -> bool {
        self.endpoints.iter().map(|endpoint| u64::from(endpoint.weight)).sum::<u64>() <= u64::from(u32::MAX)
    }
}

impl Endpoint {
    pub(super) fn of_workload(workload: &WorkloadEntry, port: u16) -> Self {
        Self {
            address: workload.address.clone(),
            port,
            labels: workload.labels.clone(),
            locality: workload.locality.clone(),
            weight: workload.weight.max(1),
            health: Health::Unsaid,
            tls_mode: workload.tls_mode(),
        }
    }
}

/// One service for each host of an entry.
pub(super) fn of_entry(object: &Object, entry: &ServiceEntry, objects: &[Object]) -> Result<Vec<Service>, ParseError> {
    let workloads = workloads(object, entry, objects)?;
    let service = |host: &String| {
        let ports = entry.ports.iter().map(|port| entry_port(entry, port, host, &workloads)).collect();
        Service {
            at: object.at.clone(),
            namespace: object.namespace.clone(),
            host: host.to_lowercase(),
            spelled: host.clone(),
            resolution: entry.resolution,
            ports,
        }
    };
    Ok(entry.hosts.iter().map(service).collect())
}

fn entry_port(entry: &ServiceEntry, port: &ServicePort, host: &str, workloads: &[&WorkloadEntry]) -> Port {
    let number =
        |workload: &WorkloadEntry| workload.ports.get(&port.name).copied().filter(|port| *port > 0).unwrap_or(port.target());
    let mut endpoints: Vec<Endpoint> = workloads.iter().map(|workload| Endpoint::of_workload(workload, number(workload))).collect();
    // A name without endpoints is its own.
    if entry.resolution == Resolution::Dns && entry.endpoints.is_empty() && entry.workload_selector.is_none() {
        endpoints.push(Endpoint {
            address: host.to_owned(),
            port: port.target(),
            labels: BTreeMap::new(),
            locality: String::new(),
            weight: 1,
            health: Health::Unsaid,
            tls_mode: None,
        });
    }
    Port { number: port.number, name: port.name.clone(), protocol: port.protocol, endpoints }
}

/// Its own endpoints, or the workloads of its namespace that its selector matches.
fn workloads<'a>(object: &Object, entry: &'a ServiceEntry, objects: &'a [Object]) -> Result<Vec<&'a WorkloadEntry>, ParseError> {
    let Some(selector) = &entry.workload_selector else { return Ok(entry.endpoints.iter().collect()) };
    let mut found = Vec::new();
    for other in objects.iter().filter(|other| other.namespace == object.namespace) {
        let Spec::WorkloadEntry(workload) = &other.spec else { continue };
        if !has_labels(&workload.labels, &selector.labels) {
            continue;
        }
        if entry.resolution == Resolution::Static && workload.address.parse::<std::net::IpAddr>().is_err() {
            let problem = format!("selects {}, whose address {:?} is a name; DNS is expected", other.at.document, workload.address);
            return Err(object.at.fail("spec.resolution", problem));
        }
        found.push(workload);
    }
    Ok(found)
}
