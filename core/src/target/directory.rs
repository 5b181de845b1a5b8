// SPDX-License-Identifier: Apache-2.0
//! What CDS lists, by host: ports and subsets.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;

use crate::model::ClusterName;

/// One host with its ports, each with the subsets that exist for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Port to subset names (the whole service is the empty name).
    pub ports: BTreeMap<u16, Vec<Arc<str>>>,
}

impl Service {
    /// Whether the cluster of this port and subset is listed.
    pub fn lists(&self, port: u16, subset: &str) -> bool {
        self.ports.get(&port).is_some_and(|subsets| subsets.iter().any(|s| **s == *subset))
    }
}

/// Every host that an outbound cluster names.
#[derive(Debug, Default)]
pub struct Directory {
    hosts: HashMap<Arc<str>, Service>,
}

impl Directory {
    /// Adds a cluster; returns whether it is new.
    pub fn add(&mut self, name: ClusterName<'_>) -> bool {
        let service = match self.hosts.get_mut(name.host) {
            Some(service) => service,
            None => self.hosts.entry(name.host.into()).or_default(),
        };
        let subsets = service.ports.entry(name.port).or_default();
        let new = !subsets.iter().any(|subset| **subset == *name.subset);
        if new {
            subsets.push(name.subset.into());
        }
        new
    }

    /// Removes a cluster; a host without clusters goes.
    pub fn remove(&mut self, name: ClusterName<'_>) {
        let Some(service) = self.hosts.get_mut(name.host) else { return };
        if let Some(subsets) = service.ports.get_mut(&name.port) {
            subsets.retain(|subset| **subset != *name.subset);
            if subsets.is_empty() {
                service.ports.remove(&name.port);
            }
        }
        if service.ports.is_empty() {
            self.hosts.remove(name.host);
        }
    }

    /// A host, exactly as CDS spells it.
    pub fn get(&self, host: &str) -> Option<(&Arc<str>, &Service)> {
        self.hosts.get_key_value(host)
    }

    /// Every host whose first label is `label`, sorted.
    pub fn with_first_label(&self, label: &str) -> Vec<&Arc<str>> {
        let mut hosts: Vec<_> = self.hosts.keys().filter(|host| host.split('.').next() == Some(label)).collect();
        hosts.sort();
        hosts
    }

    /// Number of hosts.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// No host is listed.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}
