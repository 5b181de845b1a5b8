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

/// A host as CDS spells it, with what CDS lists for it.
type Spelled = (Arc<str>, Service);

/// Every host that an outbound cluster names. The case of a host does not count; its spelling is kept, for that is what the control
/// plane is asked by.
#[derive(Debug, Default)]
pub struct Directory {
    /// By the host in lower case; sorted by spelling, and nearly always one.
    hosts: HashMap<Arc<str>, Vec<Spelled>>,
    changes: u64,
}

impl Directory {
    /// Adds a cluster; returns whether it is new.
    pub fn add(&mut self, name: ClusterName<'_>) -> bool {
        let spelled: Arc<str> = name.host.into();
        let key = if name.host.chars().any(char::is_uppercase) { name.host.to_lowercase().into() } else { Arc::clone(&spelled) };
        let spellings = self.hosts.entry(key).or_insert_with(|| Vec::with_capacity(1));
        let at = spellings.binary_search_by(|(known, _)| known.cmp(&spelled)).unwrap_or_else(|at| {
            spellings.insert(at, (spelled, Service::default()));
            at
        });
        let subsets = spellings[at].1.ports.entry(name.port).or_default();
        let new = !subsets.iter().any(|subset| **subset == *name.subset);
        if new {
            self.changes += 1;
            subsets.push(name.subset.into());
        }
        new
    }

    /// Removes a cluster; a host without clusters goes.
    pub fn remove(&mut self, name: ClusterName<'_>) {
        self.changes += 1;
        let key = name.host.to_lowercase();
        let Some(spellings) = self.hosts.get_mut(key.as_str()) else { return };
        let Some((_, service)) = spellings.iter_mut().find(|(known, _)| **known == *name.host) else { return };
        if let Some(subsets) = service.ports.get_mut(&name.port) {
            subsets.retain(|subset| **subset != *name.subset);
            if subsets.is_empty() {
                service.ports.remove(&name.port);
            }
        }
        spellings.retain(|(_, service)| !service.ports.is_empty());
        if spellings.is_empty() {
            self.hosts.remove(key.as_str());
        }
    }

    /// A host in any case, as CDS spells it. Of several spellings the one with most small letters counts.
    pub fn get(&self, host: &str) -> Option<(&Arc<str>, &Service)> {
        let spellings = match self.hosts.get(host) {
            Some(spellings) => spellings,
            None => self.hosts.get(host.to_lowercase().as_str())?,
        };
        spellings.last().map(|(spelled, service)| (spelled, service))
    }

    /// Every host whose first label is `label`, sorted.
    pub fn with_first_label(&self, label: &str) -> Vec<&Arc<str>> {
        let mut hosts: Vec<_> =
            self.hosts().filter(|(host, _)| host.split('.').next() == Some(label)).map(|(_, host)| host).collect();
        hosts.sort();
        hosts
    }

    /// Every host in lower case, and as CDS spells it.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.hosts.iter().filter_map(|(host, spellings)| Some((&**host, &spellings.last()?.0)))
    }

    /// Every host as CDS spells it, with its ports, in no order.
    pub fn services(&self) -> impl Iterator<Item = (&Arc<str>, &Service)> {
        self.hosts.values().filter_map(|spellings| spellings.last().map(|(spelled, service)| (spelled, service)))
    }

    /// How often it has changed.
    pub fn changes(&self) -> u64 {
        self.changes
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name<'a>(host: &'a str, subset: &'a str) -> ClusterName<'a> {
        ClusterName { host, port: 80, subset }
    }

    #[test]
    fn a_host_is_found_in_any_case_and_keeps_its_spelling() {
        let mut directory = Directory::default();
        assert!(directory.add(name("Billing.GROUP.nacos", "")));
        assert!(!directory.add(name("Billing.GROUP.nacos", "")), "it is there");
        for spelling in ["billing.group.nacos", "Billing.GROUP.nacos", "BILLING.GROUP.NACOS"] {
            assert_eq!(directory.get(spelling).map(|(host, _)| &**host), Some("Billing.GROUP.nacos"), "{spelling}");
        }
        assert_eq!(directory.with_first_label("billing").len(), 1);
        directory.remove(name("billing.group.nacos", ""));
        assert_eq!(directory.len(), 1, "another spelling is another cluster");
        directory.remove(name("Billing.GROUP.nacos", ""));
        assert!(directory.is_empty());
    }

    #[test]
    fn two_spellings_of_one_host_keep_what_is_theirs() {
        let mut directory = Directory::default();
        for (host, subset) in [("ORDERS", "v1"), ("orders", "v2"), ("Orders", "v3")] {
            directory.add(name(host, subset));
        }
        let (host, service) = directory.get("Orders").expect("listed");
        assert_eq!((&**host, service.lists(80, "v2"), service.lists(80, "v1")), ("orders", true, false));
        directory.remove(name("orders", "v2"));
        assert_eq!(directory.get("orders").map(|(host, _)| &**host), Some("Orders"));
        assert_eq!(directory.len(), 1);
    }
}
