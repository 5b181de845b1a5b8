// SPDX-License-Identifier: Apache-2.0
//! A cluster as the bridge needs it, and Istio's way of naming one.

use std::sync::Arc;

use serde::Serialize;

use super::{Assignment, Policy};

/// Where the endpoints of a cluster come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// From the EDS resource of this name.
    Eds(Arc<str>),
    /// Listed in the cluster itself: static addresses, or host names to resolve.
    Inline(Arc<Assignment>),
    /// The original destination of a connection, for Envoy. Behind the EDS resource of this name istiod lists the pods of a headless
    /// service all the same; it is empty for what has no list by nature.
    OriginalDst(Arc<str>),
    /// Not a list: a kind this version does not know, or a source that is not asked.
    None(Arc<str>),
}

/// What a cluster says about TLS towards its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Plaintext.
    Off,
    /// Per endpoint: mutual TLS where the endpoint offers it (auto mTLS).
    Auto,
    /// Demanded for every endpoint (a DestinationRule says so).
    Required,
}

/// One CDS resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Source of its endpoints.
    pub discovery: Discovery,
    /// TLS towards its endpoints.
    pub tls: Tls,
    /// Locality weights count (`locality_weighted_lb_config`).
    pub locality_weighted: bool,
    /// What it asks of its callers; equal ones are shared.
    pub policy: Arc<Policy>,
}

/// Istio's cluster name `outbound|port|subset|host`, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClusterName<'a> {
    /// Mesh FQDN or any host of a ServiceEntry.
    pub host: &'a str,
    /// Service port.
    pub port: u16,
    /// DestinationRule subset; empty for the whole service.
    pub subset: &'a str,
}

impl<'a> ClusterName<'a> {
    /// Parses an outbound name; `None` for inbound ones and for free-form names.
    pub fn parse(name: &'a str) -> Option<Self> {
        let mut parts = name.strip_prefix("outbound|")?.splitn(3, '|');
        let port = parts.next()?.parse().ok()?;
        let subset = parts.next()?;
        let host = parts.next()?;
        (!host.is_empty()).then_some(Self { host, port, subset })
    }
}

impl std::fmt::Display for ClusterName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "outbound|{}|{}|{}", self.port, self.subset, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbound_name_parses_and_prints_back() {
        let name = "outbound|8080|v1|echo.demo.svc.cluster.local";
        let parsed = ClusterName::parse(name).expect("well formed");
        assert_eq!(parsed, ClusterName { host: "echo.demo.svc.cluster.local", port: 8080, subset: "v1" });
        assert_eq!(parsed.to_string(), name);
    }

    #[test]
    fn other_names_are_not_istio_names() {
        for name in ["inbound|8080||", "BlackHoleCluster", "outbound|x||h", "outbound|80|", "outbound|80||", ""] {
            assert_eq!(ClusterName::parse(name), None, "{name}");
        }
    }
}
