// SPDX-License-Identifier: Apache-2.0
//! All objects of a mesh, and the services that come of them.

use std::collections::BTreeMap;

use super::{
    check::{check_effects, check_object},
    cluster_service,
    host::{covers, full_host, specificity},
    kubernetes::{self, EndpointSlice, Endpoints, Pod},
    local::{self, LocalEndpoint},
    objects::{Metadata, ServiceEntry, WorkloadEntry},
    parse::{At, ParseError},
    rule::DestinationRule,
    service::{self, Service},
    virtual_service::VirtualService,
};

#[derive(Clone, Debug)]
pub(super) enum Spec {
    ServiceEntry(ServiceEntry),
    WorkloadEntry(WorkloadEntry),
    DestinationRule(DestinationRule),
    VirtualService(VirtualService),
    Service(kubernetes::Service),
    EndpointSlice(EndpointSlice),
    Endpoints(Endpoints),
    Pod(Pod),
    Node,
}

impl Spec {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Spec::ServiceEntry(_) => "ServiceEntry",
            Spec::WorkloadEntry(_) => "WorkloadEntry",
            Spec::DestinationRule(_) => "DestinationRule",
            Spec::VirtualService(_) => "VirtualService",
            Spec::Service(_) => "Service",
            Spec::EndpointSlice(_) => "EndpointSlice",
            Spec::Endpoints(_) => "Endpoints",
            Spec::Pod(_) => "Pod",
            Spec::Node => "Node",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) at: At,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
}

impl Object {
    /// Of two objects that say the same thing differently, istiod takes the older, then the one whose name is first.
    pub(super) fn age(&self) -> (&str, &str, &str) {
        (&self.metadata.creation_timestamp, &self.name, &self.namespace)
    }
}

/// A parsed and checked configuration.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    pub(super) objects: Vec<Object>,
    pub(super) services: Vec<Service>,
    /// Objects that took the place of others.
    pub(super) duplicates: Vec<ParseError>,
    notes: Vec<String>,
}

impl Mesh {
    pub(super) fn new(
        objects: Vec<Object>,
        duplicates: Vec<ParseError>,
        mut notes: Vec<String>,
        given: &[LocalEndpoint],
    ) -> Result<Self, ParseError> {
        objects.iter().try_for_each(|object| check_object(object, &mut notes))?;
        let mut services = services(&objects)?;
        local::replace(&mut services, given)?;
        let mesh = Self { objects, services, duplicates, notes };
        check_effects(&mesh)?;
        Ok(mesh)
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// No object at all.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// What was passed over, in words.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = (&Object, &DestinationRule)> {
        self.objects.iter().filter_map(|object| match &object.spec {
            Spec::DestinationRule(rule) => Some((object, rule)),
            _ => None,
        })
    }

    /// VirtualServices that callers in the mesh follow, in the order in which istiod takes them.
    fn virtual_services(&self) -> Vec<(&Object, &VirtualService)> {
        let bound = self.objects.iter().filter_map(|object| match &object.spec {
            Spec::VirtualService(service) if service.is_for_the_mesh() => Some((object, service)),
            _ => None,
        });
        let mut bound: Vec<_> = bound.collect();
        bound.sort_by_key(|(object, _)| object.age());
        bound
    }

    /// The VirtualServices of a host, in the order in which they are tried: those that name it, else the one whose wildcard is the
    /// most specific.
    pub(super) fn virtual_services_of(&self, host: &str) -> Vec<(&Object, &VirtualService)> {
        let hosts = |object: &Object, service: &VirtualService| {
            service.hosts.iter().map(|own| full_host(own, &object.namespace)).filter(|own| covers(own, host)).collect::<Vec<_>>()
        };
        let fitting: Vec<_> = self
            .virtual_services()
            .into_iter()
            .map(|(object, service)| ((object, service), hosts(object, service)))
            .filter(|(_, hosts)| !hosts.is_empty())
            .collect();
        let named = fitting.iter().filter(|(_, hosts)| hosts.iter().any(|own| own == host)).map(|(found, _)| *found);
        let named: Vec<_> = named.collect();
        if !named.is_empty() {
            return named;
        }
        let candidates = fitting.iter().flat_map(|(found, hosts)| hosts.iter().map(move |own| (own, *found)));
        candidates
            .min_by(|(one, _), (other, _)| specificity(one).cmp(&specificity(other)))
            .map(|(_, found)| found)
            .into_iter()
            .collect()
    }
}

/// Every service, in the order in which they are written.
fn services(objects: &[Object]) -> Result<Vec<Service>, ParseError> {
    let mut services: Vec<Service> = Vec::new();
    let mut owners: BTreeMap<String, &Object> = BTreeMap::new();
    for object in objects {
        let (kind, found) = match &object.spec {
            Spec::ServiceEntry(entry) => ("ServiceEntry", service::of_entry(object, entry, objects)?),
            Spec::Service(written) => ("Service", cluster_service::of_service(object, written, objects)?.into_iter().collect()),
            _ => continue,
        };
        for service in found {
            if let Some(first) = owners.insert(service.host.clone(), object) {
                let field = if kind == "ServiceEntry" { "spec.hosts" } else { "metadata.name" };
                let first = format!("{} {} in {}", first.spec.kind(), first.at.document, first.at.file);
                return Err(object.at.fail(field, format!("host {} already has a {first}", service.host)));
            }
            services.push(service);
        }
    }
    Ok(services)
}
