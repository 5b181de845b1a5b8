// SPDX-License-Identifier: Apache-2.0
//! What can be served and is most likely not meant: names that lead nowhere, selectors that choose nothing.

use super::{
    host::{covers, full_host},
    mesh::{Mesh, Object, Spec},
    objects::{ServiceEntry, has_labels},
    parse::ParseError,
    rule::DestinationRule,
    service::Service,
    virtual_service::{Destination, VirtualService},
};

impl Mesh {
    /// What looks wrong.
    pub fn warnings(&self) -> Vec<ParseError> {
        let warnings = self.objects.iter().flat_map(|object| match &object.spec {
            Spec::ServiceEntry(entry) => self.of_entry(object, entry),
            Spec::DestinationRule(rule) => self.of_rule(object, rule),
            Spec::VirtualService(service) if service.is_for_the_mesh() => self.of_routes(object, service),
            Spec::Service(_) => self.of_service(object),
            _ => Vec::new(),
        });
        warnings.chain(self.duplicates.iter().cloned()).collect()
    }

    fn covered(&self, pattern: &str) -> Vec<&Service> {
        self.services.iter().filter(|service| covers(pattern, &service.host)).collect()
    }

    fn of_entry(&self, object: &Object, entry: &ServiceEntry) -> Vec<ParseError> {
        let Some(selector) = &entry.workload_selector else { return Vec::new() };
        let is_selected = |other: &Object| match &other.spec {
            Spec::WorkloadEntry(workload) => other.namespace == object.namespace && has_labels(&workload.labels, &selector.labels),
            _ => false,
        };
        let problem = format!("no WorkloadEntry in {} has these labels", object.namespace);
        let nothing = !self.objects.iter().any(is_selected);
        nothing.then(|| object.at.fail("spec.workloadSelector", problem)).into_iter().collect()
    }

    fn of_service(&self, object: &Object) -> Vec<ParseError> {
        let own = self.services.iter().find(|service| is_of(service, object));
        let is_empty = own.is_some_and(|service| service.ports.iter().all(|port| port.endpoints.is_empty()));
        let problem = format!("no endpoint; an EndpointSlice, or --endpoint {}=127.0.0.1:8080, gives it one", object.name);
        is_empty.then(|| object.at.fail("", problem)).into_iter().collect()
    }

    fn of_rule(&self, object: &Object, rule: &DestinationRule) -> Vec<ParseError> {
        let host = full_host(&rule.host, &object.namespace);
        let services = self.covered(&host);
        if services.is_empty() {
            return vec![object.at.fail("spec.host", self.nowhere(&host))];
        }
        let mut warnings = Vec::new();
        for (index, subset) in rule.subsets.iter().enumerate() {
            let field = format!("spec.subsets[{index}]");
            let mut ports = services.iter().flat_map(|service| &service.ports);
            if ports.all(|port| port.chosen(Some(subset)).is_empty()) {
                warnings.push(object.at.fail(format!("{field}.labels"), format!("no endpoint of {host} has these labels")));
            }
            if rule.subsets[..index].iter().any(|other| other.name == subset.name) {
                warnings
                    .push(object.at.fail(format!("{field}.name"), format!("{} is there already; the first counts", subset.name)));
            }
        }
        let is_seen =
            services.iter().any(|service| [service.namespace.as_str(), "istio-system"].contains(&object.namespace.as_str()));
        if !is_seen {
            let problem = format!("counts for callers in {} only", object.namespace);
            warnings.push(object.at.fail("metadata.namespace", problem));
        }
        warnings
    }

    fn of_routes(&self, object: &Object, service: &VirtualService) -> Vec<ParseError> {
        let mut warnings = Vec::new();
        for (index, host) in service.hosts.iter().enumerate() {
            let host = full_host(host, &object.namespace);
            if self.covered(&host).is_empty() {
                warnings.push(object.at.fail(format!("spec.hosts[{index}]"), self.nowhere(&host)));
            }
            let first = self.virtual_services_of(&host).into_iter().next();
            if let Some((first, _)) = first.filter(|(first, _)| !std::ptr::eq(*first, object)) {
                let problem = format!("{host} is routed by {} in {} already, which counts", first.at.document, first.at.file);
                warnings.push(object.at.fail(format!("spec.hosts[{index}]"), problem));
            }
        }
        for (index, http) in service.http.iter().enumerate() {
            let field = format!("spec.http[{index}]");
            let routes = http.route.iter().enumerate();
            let routes = routes.map(|(at, part)| (format!("{field}.route[{at}].destination"), &part.destination));
            let mirror = http.mirror.iter().map(|mirror| (format!("{field}.mirror"), mirror));
            let mirrors = http.mirrors.iter().enumerate();
            let mirrors = mirrors.map(|(at, mirror)| (format!("{field}.mirrors[{at}].destination"), &mirror.destination));
            for (field, destination) in routes.chain(mirror).chain(mirrors) {
                warnings.extend(self.of_destination(object, &field, destination));
            }
        }
        warnings
    }

    fn of_destination(&self, object: &Object, field: &str, destination: &Destination) -> Option<ParseError> {
        let host = full_host(&destination.host, &object.namespace);
        let Some(service) = self.services.iter().find(|service| service.host == host) else {
            return Some(object.at.fail(format!("{field}.host"), self.nowhere(&host)));
        };
        if let Some(port) = &destination.port
            && !service.ports.iter().any(|own| own.number == port.number)
        {
            let known: Vec<String> = service.ports.iter().map(|port| port.number.to_string()).collect();
            let problem = format!("{host} has no port {}; it has {}", port.number, known.join(", "));
            return Some(object.at.fail(format!("{field}.port.number"), problem));
        }
        if destination.subset.is_empty() {
            return None;
        }
        let rule = self.rule_for(service, Some(&object.namespace));
        let known: Vec<&str> = rule.iter().flat_map(|rule| rule.subsets()).map(|subset| subset.name.as_str()).collect();
        let problem = match known[..] {
            _ if known.contains(&destination.subset.as_str()) => return None,
            [] => format!("no DestinationRule defines subset {} of {host}", destination.subset),
            _ => format!("no DestinationRule defines subset {} of {host}; there are {}", destination.subset, known.join(", ")),
        };
        Some(object.at.fail(format!("{field}.subset"), problem))
    }

    /// That a host leads nowhere, and which one is near.
    fn nowhere(&self, host: &str) -> String {
        let near = self.services.iter().map(|service| (distance(host, &service.host), &service.host)).min();
        match near {
            Some((steps, near)) if steps <= 3 => format!("there is no service {host}; {near} is near"),
            _ => format!("there is no service {host}"),
        }
    }
}

fn is_of(service: &Service, object: &Object) -> bool {
    (&service.at.file, &service.at.document) == (&object.at.file, &object.at.document)
}

/// How many letters must be put in, taken out or replaced.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.bytes().enumerate() {
        let mut above = row[0];
        row[0] = index + 1;
        for (at, other) in other.bytes().enumerate() {
            let replaced = above + usize::from(letter != other);
            above = row[at + 1];
            row[at + 1] = replaced.min(above + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}
