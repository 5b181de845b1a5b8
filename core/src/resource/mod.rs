// SPDX-License-Identifier: Apache-2.0
//! Bytes to model: two phases, the name first, then the validated value. Pure: no streams, no state but interned strings.
//!
//! EDS, nearly all the bytes of a mesh, is read by a wire walk straight into packed endpoints; everything else is decoded with
//! `envoy-types`, converted and dropped. Validation is lenient: only what cannot be understood is rejected, because a bridge
//! that rejects a cluster for a setting it does not use hides its endpoints.

mod cluster;
mod condition;
mod endpoints;
mod intern;
mod kept;
mod listener;
mod metadata;
mod policy;
mod reference;
mod routes;
mod wire;

use std::sync::Arc;

use bytes::Bytes;

use envoy_types::pb::envoy::config::core::v3::{ConfigSource, config_source::ConfigSourceSpecifier};

use crate::{
    model::{Assignment, Cluster, ListenerRoutes, Policy, RouteTable},
    protocol::{Decode, Kind},
};

use intern::Interner;

pub use endpoints::{AssignmentDecoder, Limits};
pub use kept::kept_fields;
pub use reference::References;

/// A decoded resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// From CDS.
    Cluster(Arc<Cluster>),
    /// From EDS.
    Assignment(Arc<Assignment>),
    /// From RDS.
    Routes(Arc<RouteTable>),
    /// From LDS.
    Listener(Arc<ListenerRoutes>),
}

/// Decodes every kind of resource this client uses.
#[derive(Debug, Default)]
pub struct ResourceDecoder {
    assignments: AssignmentDecoder,
    policies: Interner<Policy>,
    references: References,
}

impl ResourceDecoder {
    /// A decoder with these limits and authorities.
    pub fn new(limits: Limits, references: References) -> Self {
        Self { assignments: AssignmentDecoder::new(limits), policies: Interner::default(), references }
    }
}

impl Decode for ResourceDecoder {
    type Value = Resource;

    fn name(&mut self, _kind: Kind, body: &Bytes) -> Result<String, String> {
        // The name is field 1 of a Cluster, a ClusterLoadAssignment, a Listener and a RouteConfiguration alike.
        wire::last_string(body, 1).map(str::to_owned).map_err(|error| error.to_string())
    }

    fn decode(&mut self, kind: Kind, name: &str, body: &Bytes) -> Result<Resource, String> {
        match kind {
            Kind::Cluster => cluster::decode(name, body, &mut self.assignments, &mut self.policies, &self.references)
                .map(|c| Resource::Cluster(Arc::new(c))),
            Kind::Endpoints => self.assignments.decode(body).map(|a| Resource::Assignment(Arc::new(a))),
            Kind::Routes => routes::decode(body, &self.references).map(|r| Resource::Routes(Arc::new(r))),
            Kind::Listener => listener::decode(body, &self.references).map(|l| Resource::Listener(Arc::new(l))),
        }
    }
}

/// The sources that a reference to another resource may name.
fn is_ads(source: Option<&ConfigSource>) -> bool {
    let specifier = source.and_then(|source| source.config_source_specifier.as_ref());
    matches!(specifier, Some(ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_)))
}
