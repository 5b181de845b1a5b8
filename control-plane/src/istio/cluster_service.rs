// SPDX-License-Identifier: Apache-2.0
//! Services of a Kubernetes cluster: where their slices, or the workloads that they select, say that they are.

use super::{
    host::kubernetes_host,
    kubernetes::{EndpointSlice, Port as WrittenPort, Reference, Service as Written, TargetPort},
    mesh::{Object, Spec},
    objects::{Protocol, Resolution, WorkloadEntry, has_labels},
    parse::ParseError,
    service::{Endpoint, Health, Port, Service},
};

/// The label by which a slice says whose it is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Ports that say nothing of their protocol and are never looked into: mail, DNS, MySQL, MongoDB.
const NEVER_SNIFFED: [u16; 4] = [25, 53, 3306, 27017];

/// Nothing, if it is a name for another service.
pub(super) fn of_service(object: &Object, written: &Written, objects: &[Object]) -> Result<Option<Service>, ParseError> {
    check(object, written)?;
    if written.r#type == "ExternalName" {
        return Ok(None);
    }
    let slices = slices(object, objects);
    let workloads: Vec<&WorkloadEntry> = objects
        .iter()
        .filter(|other| other.namespace == object.namespace && !written.selector.is_empty())
        .filter_map(|other| match &other.spec {
            Spec::WorkloadEntry(workload) => has_labels(&workload.labels, &written.selector).then_some(workload),
            _ => None,
        })
        .collect();
    let ports = written.ports.iter().map(|port| {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for endpoint in slices.iter().flat_map(|slice| slice_endpoints(object, slice, &port.name, objects)) {
            // Slices overlap while Kubernetes moves endpoints from one to another.
            if !endpoints.iter().any(|other| (&other.address, other.port) == (&endpoint.address, endpoint.port)) {
                endpoints.push(endpoint);
            }
        }
        endpoints.extend(workloads.iter().map(|workload| Endpoint::of_workload(workload, workload_port(workload, port))));
        Port { number: port.port, name: port.name.clone(), protocol: protocol(port), endpoints }
    });
    let host = kubernetes_host(&object.name, &object.namespace);
    Ok(Some(Service {
        at: object.at.clone(),
        namespace: object.namespace.clone(),
        host: host.to_lowercase(),
        spelled: host,
        // A headless one is dialled by the addresses of its pods, and has a list all the same.
        resolution: if written.cluster_ip == "None" { Resolution::None } else { Resolution::Static },
        ports: ports.collect(),
    }))
}

/// What would need to know where the caller is.
fn check(object: &Object, written: &Written) -> Result<(), ParseError> {
    let fail = |field: &str, problem: &str| Err(object.at.fail(field, problem));
    let annotation = |name: &str| object.metadata.annotations.get(name);
    if written.internal_traffic_policy == "Local" {
        return fail("spec.internalTrafficPolicy", "Local is not supported: the node of a caller is not known here");
    }
    if !written.traffic_distribution.is_empty() {
        return fail("spec.trafficDistribution", "is not supported: the place of a caller is not known here");
    }
    if annotation("networking.istio.io/traffic-distribution").is_some() {
        return fail("metadata.annotations", "networking.istio.io/traffic-distribution is not supported");
    }
    if annotation("networking.istio.io/exportTo").is_some_and(|value| value != "*") {
        return fail("metadata.annotations", "networking.istio.io/exportTo is not supported; \"*\" is");
    }
    Ok(())
}

/// The slices of a service, or those that Kubernetes makes of its Endpoints.
fn slices(object: &Object, objects: &[Object]) -> Vec<EndpointSlice> {
    let own = || objects.iter().filter(|other| other.namespace == object.namespace);
    let slices: Vec<EndpointSlice> = own()
        .filter_map(|other| match &other.spec {
            Spec::EndpointSlice(slice) if other.metadata.labels.get(SERVICE_NAME) == Some(&object.name) => Some(slice.clone()),
            _ => None,
        })
        .collect();
    if !slices.is_empty() {
        return slices;
    }
    let endpoints = own().filter(|other| other.name == object.name).filter_map(|other| match &other.spec {
        Spec::Endpoints(endpoints) => Some(endpoints),
        _ => None,
    });
    endpoints.flat_map(|endpoints| endpoints.subsets.iter().map(|subset| subset.slice())).collect()
}

fn slice_endpoints(object: &Object, slice: &EndpointSlice, port: &str, objects: &[Object]) -> Vec<Endpoint> {
    // istiod leaves these out, too.
    let Some(port) = slice.ports.iter().find(|own| own.name == port).filter(|_| slice.address_type != "FQDN") else {
        return Vec::new();
    };
    let stays = slice.endpoints.iter().filter(|endpoint| !endpoint.conditions.is_leaving());
    let to_endpoints = stays.flat_map(|endpoint| {
        endpoint.addresses.iter().map(|address| {
            let pod = pod(object, address, endpoint.target_ref.as_ref(), objects);
            Endpoint {
                address: address.clone(),
                port: port.port,
                labels: pod.map(|pod| pod.metadata.labels.clone()).unwrap_or_default(),
                locality: pod.map(|pod| locality(pod, objects)).unwrap_or_default(),
                weight: 1,
                health: if endpoint.conditions.ready == Some(false) { Health::Bad } else { Health::Good },
                tls_mode: pod.and_then(|pod| pod.metadata.labels.get("security.istio.io/tlsMode").cloned()),
            }
        })
    });
    to_endpoints.collect()
}

fn pod<'a>(service: &Object, address: &str, reference: Option<&Reference>, objects: &'a [Object]) -> Option<&'a Object> {
    let reference = reference.filter(|reference| reference.kind == "Pod");
    objects.iter().find(|other| match (&other.spec, reference) {
        (Spec::Pod(_), Some(reference)) => other.namespace == service.namespace && other.name == reference.name,
        (Spec::Pod(pod), None) => pod.status.pod_ip == address,
        _ => false,
    })
}

/// Region, zone and sub-zone of a pod's node.
fn locality(pod: &Object, objects: &[Object]) -> String {
    let Spec::Pod(own) = &pod.spec else { return String::new() };
    if let Some(own) = pod.metadata.labels.get("istio-locality") {
        return if own.contains('/') { own.clone() } else { own.replace('.', "/") };
    }
    let node = objects.iter().find(|other| matches!(other.spec, Spec::Node) && other.name == own.spec.node_name);
    let Some(node) = node else { return String::new() };
    let label = |name: &str| node.metadata.labels.get(name).map(String::as_str).unwrap_or_default();
    let parts = [label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"), label("topology.istio.io/subzone")];
    parts.join("/").trim_end_matches('/').to_owned()
}

fn workload_port(workload: &WorkloadEntry, port: &WrittenPort) -> u16 {
    let named = workload.ports.get(&port.name).copied();
    named.unwrap_or(match &port.target_port {
        Some(TargetPort::Number(number)) => *number,
        Some(TargetPort::Name(name)) => workload.ports.get(name).copied().unwrap_or(port.port),
        None => port.port,
    })
}

/// By what the port says, else by the beginning of its name.
fn protocol(port: &WrittenPort) -> Protocol {
    if port.protocol == "UDP" {
        return Protocol::Udp;
    }
    match port.app_protocol.as_deref() {
        Some("kubernetes.io/h2c") => return Protocol::Http2,
        Some("kubernetes.io/ws") => return Protocol::Http,
        Some("kubernetes.io/wss") => return Protocol::Tcp,
        _ => {}
    }
    let name = port.app_protocol.as_deref().unwrap_or(&port.name).to_lowercase();
    let known = if name.starts_with("grpc-web") { "grpc-web" } else { name.split('-').next().unwrap_or_default() };
    match Protocol::named(known) {
        Some(Protocol::Unsaid) | None if NEVER_SNIFFED.contains(&port.port) => Protocol::Tcp,
        known => known.unwrap_or_default(),
    }
}
