// SPDX-License-Identifier: Apache-2.0
//! Which DestinationRules count for a service, to callers of a namespace, and what they say together.

use super::{
    host::{covers, full_host, specificity},
    mesh::{Mesh, Object},
    rule::{DestinationRule, OutlierDetection, Settings, Subset, TrafficPolicy},
    service::Service,
};

/// The namespace whose rules are for all.
const ROOT_NAMESPACE: &str = "istio-system";

/// The rules of one namespace for one host, oldest first. The first that says something of all traffic is heard; subsets add up.
#[derive(Debug)]
pub(super) struct EffectiveRule<'a> {
    rules: Vec<(&'a Object, &'a DestinationRule)>,
}

impl Mesh {
    /// Namespaces whose callers may have rules of their own.
    pub(super) fn namespaces_with_rules(&self) -> Vec<&str> {
        let mut namespaces: Vec<&str> = self.rules().map(|(object, _)| object.namespace.as_str()).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        namespaces.retain(|namespace| *namespace != ROOT_NAMESPACE);
        namespaces
    }

    /// The caller's namespace comes before the service's, and that before the root namespace; no other is asked.
    pub(super) fn rule_for(&self, service: &Service, client: Option<&str>) -> Option<EffectiveRule<'_>> {
        let client = client.filter(|namespace| *namespace != ROOT_NAMESPACE);
        let namespaces = client.into_iter().chain([service.namespace.as_str(), ROOT_NAMESPACE]);
        namespaces.into_iter().find_map(|namespace| self.rules_in(namespace, &service.host))
    }

    fn rules_in(&self, namespace: &str, host: &str) -> Option<EffectiveRule<'_>> {
        let own = self.rules().filter(|(object, _)| object.namespace == namespace);
        let fitting: Vec<_> = own
            .map(|(object, rule)| (full_host(&rule.host, namespace), object, rule))
            .filter(|(own, ..)| covers(own, host))
            .collect();
        let best = fitting.iter().map(|(own, ..)| own).min_by(|one, other| specificity(one).cmp(&specificity(other)))?;
        let mut rules: Vec<_> = fitting.iter().filter(|(own, ..)| own == best).map(|(_, object, rule)| (*object, *rule)).collect();
        rules.sort_by_key(|(object, _)| object.age());
        Some(EffectiveRule { rules })
    }
}

impl<'a> EffectiveRule<'a> {
    /// Of two with one name, the first.
    pub(super) fn subsets(&self) -> Vec<&'a Subset> {
        let mut subsets: Vec<&Subset> = Vec::new();
        for subset in self.rules.iter().flat_map(|(_, rule)| &rule.subsets) {
            if !subsets.iter().any(|other| other.name == subset.name) {
                subsets.push(subset);
            }
        }
        subsets
    }

    fn policy(&self) -> Option<&'a TrafficPolicy> {
        self.rules.iter().find_map(|(_, rule)| rule.traffic_policy.as_ref())
    }

    /// A setting of the subset replaces the same setting of the rule; settings of a port stand alone, on either level.
    pub(super) fn settings(&self, subset: Option<&'a Subset>, port: u16) -> Settings<'a> {
        let rule = self.policy().map(|policy| policy.of_port(port).0).unwrap_or_default();
        let Some(own) = subset.and_then(|subset| subset.traffic_policy.as_ref()) else { return rule };
        let (own, alone) = own.of_port(port);
        if alone {
            return own;
        }
        Settings {
            load_balancer: own.load_balancer.or(rule.load_balancer),
            connection_pool: own.connection_pool.or(rule.connection_pool),
            outlier_detection: own.outlier_detection.or(rule.outlier_detection),
            tls: own.tls.or(rule.tls),
        }
    }

    /// Where this outlier detection is written.
    pub(super) fn place_of(&self, outliers: &OutlierDetection) -> Option<(&'a Object, String)> {
        self.rules.iter().find_map(|(object, rule)| rule.field_of(outliers).map(|field| (*object, field)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::istio::parse;

    #[test]
    fn a_subset_replaces_setting_by_setting_and_a_port_stands_alone() {
        let text = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    connectionPool: {http: {http2MaxRequests: 1}}
    portLevelSettings: [{port: {number: 82}, tls: {mode: DISABLE}}]
  subsets:
  - {name: plain}
  - name: v1
    trafficPolicy:
      connectionPool: {http: {http2MaxRequests: 2}}
      portLevelSettings: [{port: {number: 81}, connectionPool: {http: {http2MaxRequests: 3}}}]
";
        let mesh = parse(Path::new("mesh.yaml"), text).expect("valid");
        let rule = mesh.rules_in("default", "a.default.svc.cluster.local").expect("there");
        let shown = |subset: Option<usize>, port| {
            let settings = rule.settings(subset.map(|index| rule.subsets()[index]), port);
            let requests = settings.connection_pool.map(|pool| pool.http.http2_max_requests);
            (requests, settings.load_balancer.is_some(), settings.tls.is_some())
        };
        assert_eq!(shown(None, 80), (Some(1), true, false));
        assert_eq!(shown(Some(0), 80), (Some(1), true, false), "a subset that says nothing");
        assert_eq!(shown(Some(1), 80), (Some(2), true, false));
        assert_eq!(shown(Some(1), 81), (Some(3), false, false), "a port of a subset");
        assert_eq!(shown(None, 82), (None, false, true), "a port of the rule");
        assert_eq!(shown(Some(1), 82), (Some(2), false, true), "a subset over a port of the rule");
    }
}
