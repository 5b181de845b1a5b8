// SPDX-License-Identifier: Apache-2.0
//! What becomes of an object by its kind, before anything else in it is looked at.

/// The group of Istio's rules.
pub(super) const ISTIO: &str = "networking.istio.io";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is read.
    Read(Kind),
    /// It is several objects.
    List,
    /// It cannot change which endpoints, routes and policies a caller gets.
    NoEffect,
    /// It could, and is not supported.
    NotSupported,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ServiceEntry,
    WorkloadEntry,
    DestinationRule,
    VirtualService,
    Service,
    EndpointSlice,
    Endpoints,
    Pod,
    Node,
}

/// Whole groups of which nothing has an effect.
const IDLE_GROUPS: [&str; 11] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "cert-manager.io",
    "monitoring.coreos.com",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
];

/// Single kinds without an effect.
const IDLE: [(&str, &str); 18] = [
    ("", "ConfigMap"),
    ("", "LimitRange"),
    ("", "Namespace"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "PodTemplate"),
    ("", "ReplicationController"),
    ("", "ResourceQuota"),
    ("", "Secret"),
    ("", "ServiceAccount"),
    (ISTIO, "Gateway"),
    (ISTIO, "WorkloadGroup"),
    ("security.istio.io", "AuthorizationPolicy"),
    ("security.istio.io", "RequestAuthentication"),
    ("telemetry.istio.io", "Telemetry"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("gateway.networking.k8s.io", "ReferenceGrant"),
];

/// The kinds that are read, for messages.
pub(super) const SUPPORTED: &str =
    "ServiceEntry, WorkloadEntry, DestinationRule, VirtualService, Service, EndpointSlice, Endpoints, Pod and Node";

pub(super) fn judge(api_version: &str, kind: &str) -> Verdict {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    match (group, version, kind) {
        ("", "v1", list) if list.ends_with("List") => Verdict::List,
        (ISTIO | "discovery.k8s.io", _, list) if list.ends_with("List") => Verdict::List,
        (ISTIO, "v1" | "v1beta1" | "v1alpha3", _) => match kind {
            "ServiceEntry" => Verdict::Read(Kind::ServiceEntry),
            "WorkloadEntry" => Verdict::Read(Kind::WorkloadEntry),
            "DestinationRule" => Verdict::Read(Kind::DestinationRule),
            "VirtualService" => Verdict::Read(Kind::VirtualService),
            _ => idle(group, kind),
        },
        ("", "v1", "Service") => Verdict::Read(Kind::Service),
        ("", "v1", "Endpoints") => Verdict::Read(Kind::Endpoints),
        ("", "v1", "Pod") => Verdict::Read(Kind::Pod),
        ("", "v1", "Node") => Verdict::Read(Kind::Node),
        ("discovery.k8s.io", "v1", "EndpointSlice") => Verdict::Read(Kind::EndpointSlice),
        _ => idle(group, kind),
    }
}

fn idle(group: &str, kind: &str) -> Verdict {
    if IDLE_GROUPS.contains(&group) || IDLE.contains(&(group, kind)) { Verdict::NoEffect } else { Verdict::NotSupported }
}
