// SPDX-License-Identifier: Apache-2.0
//! What must not be served: objects that say nothing sensible, and rules whose effect depends on what is not known here.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    effective::EffectiveRule,
    host::is_well_formed,
    mesh::{Mesh, Object, Spec},
    objects::{Resolution, ServiceEntry, ServicePort, WorkloadEntry},
    parse::{At, ParseError},
    rule::{DestinationRule, H2Upgrade},
    service::Service,
    virtual_service::{HttpMatch, HttpRoute, Redirect, StringMatch, VirtualService},
};

/// One object for itself. What of it has no effect is noted.
pub(super) fn check_object(object: &Object, notes: &mut Vec<String>) -> Result<(), ParseError> {
    match &object.spec {
        Spec::ServiceEntry(entry) => check_entry(&object.at, entry),
        Spec::WorkloadEntry(workload) if workload.address.is_empty() => {
            Err(object.at.fail("spec.address", "an address is expected"))
        }
        Spec::DestinationRule(rule) => check_rule(&object.at, rule),
        Spec::VirtualService(service) => check_routes(object, service, notes),
        Spec::Service(service) if service.r#type == "ExternalName" => {
            note(notes, object, "spec.type", "ExternalName is a name for another service, and no target itself");
            Ok(())
        }
        _ => Ok(()),
    }
}

fn note(notes: &mut Vec<String>, object: &Object, field: &str, what: &str) {
    notes.push(object.at.fail(field, what).to_string());
}

fn check_entry(at: &At, entry: &ServiceEntry) -> Result<(), ParseError> {
    if entry.hosts.is_empty() {
        return Err(at.fail("spec.hosts", "at least one host is expected"));
    }
    if let Some(host) = entry.hosts.iter().find(|host| host.contains('*')) {
        return Err(at.fail("spec.hosts", format!("wildcard host {host} is not supported")));
    }
    check_ports(at, &entry.ports)?;
    if entry.workload_selector.is_some() && !entry.endpoints.is_empty() {
        return Err(at.fail("spec.workloadSelector", "stands beside endpoints; only one of them may be set"));
    }
    if entry.resolution == Resolution::None && !entry.endpoints.is_empty() {
        return Err(at.fail("spec.resolution", "NONE (the default) with endpoints; STATIC or DNS is expected"));
    }
    let must_be_ip = entry.resolution != Resolution::Dns;
    let mut endpoints = entry.endpoints.iter().enumerate();
    endpoints.try_for_each(|(index, endpoint)| check_endpoint(at, &format!("spec.endpoints[{index}]"), endpoint, must_be_ip))
}

fn check_ports(at: &At, ports: &[ServicePort]) -> Result<(), ParseError> {
    for (index, port) in ports.iter().enumerate() {
        let fail = |field: &str, problem: String| Err(at.fail(format!("spec.ports[{index}].{field}"), problem));
        if port.number == 0 {
            return fail("number", "0 is no port".into());
        }
        if ports[..index].iter().any(|other| other.number == port.number) {
            return fail("number", format!("{} is there already", port.number));
        }
        if ports[..index].iter().any(|other| other.name == port.name) {
            return fail("name", format!("{:?} is there already", port.name));
        }
    }
    Ok(())
}

fn check_endpoint(at: &At, field: &str, endpoint: &WorkloadEntry, must_be_ip: bool) -> Result<(), ParseError> {
    if must_be_ip && endpoint.address.parse::<IpAddr>().is_err() {
        return Err(at.fail(format!("{field}.address"), format!("{:?} is not an IP address", endpoint.address)));
    }
    Ok(())
}

fn check_rule(at: &At, rule: &DestinationRule) -> Result<(), ParseError> {
    check_host(at, "spec.host", &rule.host)?;
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

fn check_host(at: &At, field: &str, host: &str) -> Result<(), ParseError> {
    if is_well_formed(host) {
        Ok(())
    } else {
        Err(at.fail(field, format!("{host:?} is neither a host nor a wildcard like *.demo.svc.cluster.local")))
    }
}

fn check_routes(object: &Object, service: &VirtualService, notes: &mut Vec<String>) -> Result<(), ParseError> {
    let at = &object.at;
    if service.hosts.is_empty() {
        return Err(at.fail("spec.hosts", "at least one host is expected"));
    }
    for (index, host) in service.hosts.iter().enumerate() {
        check_host(at, &format!("spec.hosts[{index}]"), host)?;
    }
    if service.http.is_empty() && service.tcp.is_empty() && service.tls.is_empty() {
        return Err(at.fail("spec.http", "routes are expected"));
    }
    if !service.is_for_the_mesh() {
        note(notes, object, "spec.gateways", "without mesh among them: no effect on callers in the mesh");
    }
    for (field, routes) in [("spec.tcp", &service.tcp), ("spec.tls", &service.tls)] {
        if !routes.is_empty() && service.is_for_the_mesh() {
            note(notes, object, field, "routes of connections have no effect on what callers get");
        }
    }
    service.http.iter().enumerate().try_for_each(|(index, route)| check_route(at, &format!("spec.http[{index}]"), route))
}

fn check_route(at: &At, field: &str, route: &HttpRoute) -> Result<(), ParseError> {
    let weights: u64 = route.route.iter().map(|part| u64::from(part.weight)).sum();
    let is_answered = route.redirect.is_some() || route.direct_response.is_some();
    if is_answered && (!route.route.is_empty() || route.redirect.is_some() && route.direct_response.is_some()) {
        return Err(at.fail(format!("{field}.route"), "only one of route, redirect and directResponse is expected"));
    }
    if !is_answered && (route.route.is_empty() || (route.route.len() > 1 && weights == 0)) {
        return Err(at.fail(format!("{field}.route"), "destinations with a weight above 0 are expected"));
    }
    if weights > u64::from(u32::MAX) {
        return Err(at.fail(format!("{field}.route"), format!("weights add up to {weights}, more than {}", u32::MAX)));
    }
    if route.mirror.is_some() && !route.mirrors.is_empty() {
        return Err(at.fail(format!("{field}.mirror"), "stands beside mirrors; only one of them may be set"));
    }
    if let Some(redirect) = &route.redirect {
        check_redirect(at, &format!("{field}.redirect"), redirect, &route.matches)?;
    }
    if let Some(response) = &route.direct_response
        && !(200..=599).contains(&response.status)
    {
        return Err(at.fail(format!("{field}.directResponse.status"), format!("{} is not between 200 and 599", response.status)));
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

fn check_redirect(at: &At, field: &str, redirect: &Redirect, matches: &[HttpMatch]) -> Result<(), ParseError> {
    let fail = |name: &str, problem: &str| Err(at.fail(format!("{field}.{name}"), problem));
    if !redirect.uri.is_empty() && !redirect.prefix_rewrite.is_empty() {
        return fail("uri", "stands beside prefixRewrite; only one of them may be set");
    }
    let is_no_prefix = |condition: &HttpMatch| condition.uri.as_ref().is_some_and(|uri| !matches!(uri, StringMatch::Prefix(_)));
    if !redirect.prefix_rewrite.is_empty() && matches.iter().any(is_no_prefix) {
        return fail("prefixRewrite", "every uri that is matched must be a prefix");
    }
    if redirect.port.is_some() && redirect.derive_port.is_some() {
        return fail("port", "stands beside derivePort; only one of them may be set");
    }
    if !["", "http", "https"].contains(&redirect.scheme.as_str()) {
        return fail("scheme", "http or https is expected");
    }
    let says_where =
        [&redirect.uri, &redirect.prefix_rewrite, &redirect.authority, &redirect.scheme].iter().any(|part| !part.is_empty());
    if !says_where && redirect.port.is_none() && redirect.derive_port.is_none() {
        return Err(at.fail(field, "uri, prefixRewrite, authority, scheme, port or derivePort is expected"));
    }
    Ok(())
}

/// Everything together, as callers of each namespace get it.
pub(super) fn check_effects(mesh: &Mesh) -> Result<(), ParseError> {
    for service in &mesh.services {
        if let Some(port) = service.ports.iter().find(|port| !port.has_countable_weights()) {
            return Err(service.at.fail("spec", format!("weights of port {} add up to more than {}", port.number, u32::MAX)));
        }
    }
    let clients = mesh.namespaces_with_rules().into_iter().map(Some).chain([None]);
    for client in clients {
        for service in &mesh.services {
            if let Some(rule) = mesh.rule_for(service, client) {
                check_localities(service, &rule)?;
            }
        }
    }
    Ok(())
}

/// With outlier detection istiod puts endpoints of other localities than the caller's behind; the callers' are not known here.
fn check_localities(service: &Service, rule: &EffectiveRule<'_>) -> Result<(), ParseError> {
    let subsets = || std::iter::once(None).chain(rule.subsets().into_iter().map(Some));
    for (port, subset) in service.ports.iter().flat_map(|port| subsets().map(move |subset| (port, subset))) {
        let settings = rule.settings(subset, port.number);
        let Some(outliers) = settings.outlier_detection.filter(|_| settings.orders_by_locality()) else { continue };
        let localities: BTreeSet<&str> = port.chosen(subset).into_iter().map(|endpoint| endpoint.locality.as_str()).collect();
        if localities.len() > 1
            && let Some((object, field)) = rule.place_of(outliers)
        {
            let problem = format!(
                "{} has endpoints in several localities, and its callers' are not known here; \
                 loadBalancer.localityLbSetting.enabled: false is expected",
                service.host
            );
            return Err(object.at.fail(field, problem));
        }
    }
    Ok(())
}
