// SPDX-License-Identifier: Apache-2.0
//! All objects of a file, with the look-ups that generation needs and the checks across objects.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    objects::{Resolution, ServiceEntry, WorkloadEntry},
    parse::{At, ParseError},
    rule::{DestinationRule, H2Upgrade, Subset},
    virtual_service::{HttpRoute, StringMatch, VirtualService},
};

/// The domain under which short host names are completed.
const CLUSTER_DOMAIN: &str = "cluster.local";

#[derive(Clone, Debug)]
pub(super) enum Spec {
    ServiceEntry(ServiceEntry),
    WorkloadEntry(WorkloadEntry),
    DestinationRule(DestinationRule),
    VirtualService(VirtualService),
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) at: At,
    pub(super) namespace: String,
    pub(super) spec: Spec,
}

/// A parsed and checked configuration.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    pub(super) objects: Vec<Object>,
}

impl Mesh {
    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// No object at all.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub(super) fn services(&self) -> impl Iterator<Item = (&Object, &ServiceEntry)> {
        self.objects.iter().filter_map(|object| match &object.spec {
            Spec::ServiceEntry(entry) => Some((object, entry)),
            _ => None,
        })
    }

    /// The endpoints of a service: its own, or the workloads of its namespace that its selector matches.
    pub(super) fn workloads<'a>(&'a self, object: &Object, entry: &'a ServiceEntry) -> Vec<&'a WorkloadEntry> {
        let Some(selector) = &entry.workload_selector else { return entry.endpoints.iter().collect() };
        let same_namespace = self.objects.iter().filter(|other| other.namespace == object.namespace);
        let workloads = same_namespace.filter_map(|other| match &other.spec {
            Spec::WorkloadEntry(workload) => Some(workload),
            _ => None,
        });
        workloads.filter(|workload| has_labels(&workload.labels, &selector.labels)).collect()
    }

    pub(super) fn destination_rule(&self, host: &str) -> Option<&DestinationRule> {
        self.objects.iter().find_map(|object| match &object.spec {
            Spec::DestinationRule(rule) if full_host(&rule.host, &object.namespace) == host => Some(rule),
            _ => None,
        })
    }

    /// The virtual service of a host, with its namespace.
    pub(super) fn virtual_service(&self, host: &str) -> Option<(&VirtualService, &str)> {
        self.objects.iter().find_map(|object| match &object.spec {
            Spec::VirtualService(service) if service.hosts.iter().any(|h| full_host(h, &object.namespace) == host) => {
                Some((service, object.namespace.as_str()))
            }
            _ => None,
        })
    }

    pub(super) fn check(&self) -> Result<(), ParseError> {
        let mut owners: BTreeMap<(&str, String), &At> = BTreeMap::new();
        for object in &self.objects {
            for (what, field, host) in hosts_of(object) {
                if let Some(first) = owners.insert((what, host.clone()), &object.at) {
                    return Err(object.at.fail(field, format!("host {host} already has a {what}: {}", first.document)));
                }
            }
            check_object(object)?;
        }
        self.objects.iter().try_for_each(|object| self.check_localities(object))
    }

    /// With outlier detection istiod puts endpoints of other localities than the caller's behind; the callers' are not known here.
    fn check_localities(&self, object: &Object) -> Result<(), ParseError> {
        let Spec::DestinationRule(rule) = &object.spec else { return Ok(()) };
        let host = full_host(&rule.host, &object.namespace);
        let subsets = || std::iter::once(None).chain(rule.subsets.iter().map(Some));
        for (owner, entry) in self.services().filter(|(_, entry)| entry.hosts.iter().any(|own| own.to_lowercase() == host)) {
            let workloads = self.workloads(owner, entry);
            for (port, subset) in entry.ports.iter().flat_map(|port| subsets().map(move |subset| (port.number, subset))) {
                let settings = rule.settings(subset, port);
                let Some(outliers) = settings.outlier_detection.filter(|_| settings.orders_by_locality()) else { continue };
                let chosen = chosen(&workloads, subset);
                let localities: BTreeSet<&str> = chosen.iter().map(|workload| workload.locality.as_str()).collect();
                if localities.len() > 1 {
                    return Err(object.at.fail(
                        rule.field_of(outliers),
                        format!(
                            "{host} has endpoints in several localities, and its callers' are not known here; \
                             loadBalancer.localityLbSetting.enabled: false is expected"
                        ),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The workloads of a subset, or all.
pub(super) fn chosen<'a>(workloads: &[&'a WorkloadEntry], subset: Option<&Subset>) -> Vec<&'a WorkloadEntry> {
    let is_chosen = |workload: &&&WorkloadEntry| subset.is_none_or(|subset| has_labels(&workload.labels, &subset.labels));
    workloads.iter().filter(is_chosen).copied().collect()
}

fn hosts_of(object: &Object) -> Vec<(&'static str, String, String)> {
    let full = |host: &String| full_host(host, &object.namespace);
    match &object.spec {
        Spec::ServiceEntry(entry) => {
            entry.hosts.iter().enumerate().map(|(i, h)| ("ServiceEntry", format!("spec.hosts[{i}]"), h.to_lowercase())).collect()
        }
        Spec::DestinationRule(rule) => vec![("DestinationRule", "spec.host".into(), full(&rule.host))],
        Spec::VirtualService(service) => {
            service.hosts.iter().enumerate().map(|(i, h)| ("VirtualService", format!("spec.hosts[{i}]"), full(h))).collect()
        }
        Spec::WorkloadEntry(_) => Vec::new(),
    }
}

fn check_object(object: &Object) -> Result<(), ParseError> {
    let at = &object.at;
    match &object.spec {
        Spec::ServiceEntry(entry) => {
            if entry.hosts.is_empty() {
                return Err(at.fail("spec.hosts", "at least one host is expected"));
            }
            if let Some(host) = entry.hosts.iter().find(|host| host.contains('*')) {
                return Err(at.fail("spec.hosts", format!("wildcard host {host} is not supported")));
            }
            if entry.workload_selector.is_some() && !entry.endpoints.is_empty() {
                return Err(at.fail("spec.workloadSelector", "stands beside endpoints; only one of them may be set"));
            }
            if entry.resolution == Resolution::None && !entry.endpoints.is_empty() {
                return Err(at.fail("spec.resolution", "NONE (the default) with endpoints; STATIC or DNS is expected"));
            }
            for (index, endpoint) in entry.endpoints.iter().enumerate() {
                check_workload(at, &format!("spec.endpoints[{index}]"), endpoint, entry.resolution != Resolution::Dns)?;
            }
            Ok(())
        }
        Spec::WorkloadEntry(workload) => check_workload(at, "spec", workload, true),
        Spec::DestinationRule(rule) => check_rule(at, rule),
        Spec::VirtualService(service) => {
            service.http.iter().enumerate().try_for_each(|(index, route)| check_route(at, &format!("spec.http[{index}]"), route))
        }
    }
}

fn check_rule(at: &At, rule: &DestinationRule) -> Result<(), ParseError> {
    if let Some(index) = rule.subsets.iter().position(|subset| subset.name.is_empty() || subset.name.contains('|')) {
        return Err(at.fail(format!("spec.subsets[{index}].name"), "a name without `|` is expected"));
    }
    for (field, settings) in rule.all_settings() {
        if let Some(outliers) = settings.outlier_detection
            && outliers.consecutive_local_origin_failures > 0
            && !outliers.split_external_local_origin_errors
        {
            let field = format!("{field}.outlierDetection.consecutiveLocalOriginFailures");
            return Err(at.fail(field, "counts only with splitExternalLocalOriginErrors"));
        }
        if let Some(pool) = settings.connection_pool
            && pool.http.use_client_protocol
            && pool.http.h2_upgrade_policy == H2Upgrade::Upgrade
        {
            return Err(at.fail(format!("{field}.connectionPool.http.useClientProtocol"), "contradicts h2UpgradePolicy UPGRADE"));
        }
    }
    Ok(())
}

fn check_route(at: &At, field: &str, route: &HttpRoute) -> Result<(), ParseError> {
    let weights: u32 = route.route.iter().map(|r| r.weight).sum();
    if route.route.is_empty() || (route.route.len() > 1 && weights == 0) {
        return Err(at.fail(format!("{field}.route"), "destinations with a weight above 0 are expected"));
    }
    if route.fault.as_ref().is_some_and(|fault| fault.delay.is_none() && fault.abort.is_none()) {
        return Err(at.fail(format!("{field}.fault"), "delay or abort is expected"));
    }
    for (index, condition) in route.matches.iter().enumerate() {
        if condition.is_empty() {
            return Err(at.fail(format!("{field}.match[{index}]"), "a condition is expected"));
        }
        if matches!(condition.uri, Some(StringMatch::Present)) {
            return Err(at.fail(format!("{field}.match[{index}].uri"), "exact, prefix or regex is expected"));
        }
    }
    Ok(())
}

fn check_workload(at: &At, field: &str, workload: &WorkloadEntry, must_be_ip: bool) -> Result<(), ParseError> {
    if must_be_ip && workload.address.parse::<std::net::IpAddr>().is_err() {
        return Err(at.fail(format!("{field}.address"), format!("{:?} is not an IP address", workload.address)));
    }
    Ok(())
}

fn has_labels(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// A host as it stands in a rule: one without a dot is completed with the rule's namespace.
pub(super) fn full_host(host: &str, namespace: &str) -> String {
    let host = host.to_lowercase();
    if host.contains('.') { host } else { format!("{host}.{namespace}.svc.{CLUSTER_DOMAIN}") }
}
