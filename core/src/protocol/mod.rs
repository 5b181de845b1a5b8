// SPDX-License-Identifier: Apache-2.0
//! The ADS protocol as a value: inputs in, effects out.
//!
//! Owns subscriptions, nonces, versions, ACK and NACK, does-not-exist timers and the decision to reconnect, for the
//! state-of-the-world and the delta variant behind one face. Refuses to know sockets, tokio, clocks and randomness: time is an
//! argument, the random draw for jitter too. What a resource means is the business of a [`Decode`].
//!
//! Data flow: `subscribe` and `on_response` change state, `flush` states pending subscription changes in one request per type,
//! and everything that must happen outside comes back as a list of [`Effect`]s.
//!
//! Source: Envoy's xDS protocol description; gRFC A27, A30, A46, A47, A53, A57, A78, A88; xDS TP1, TP3.

mod delta;
mod effect;
mod engine;
mod fate;
mod istiod;
mod message;
mod nack;
mod name;
mod settings;
mod sotw;
mod types;

pub use effect::{Effect, End, Gone, Lost, Request};
pub use engine::Engine;
pub use message::{
    Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource, ResourceError, ResourceName,
    Status, Ttl,
};
pub use name::{Xdstp, fill_template};
pub use settings::{Health, Policy, Settings, Variant, Wildcard};
pub use types::{CacheState, ResourceStatus, TypeStatus};

use std::time::Duration;

use bytes::Bytes;

/// Monotonic time since the client was opened.
pub type Time = Duration;

/// The kinds of resource this client asks for, in the order in which requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// CDS.
    Cluster,
    /// EDS.
    Endpoints,
    /// LDS.
    Listener,
    /// RDS.
    Routes,
}

impl Kind {
    /// Every kind, in request order.
    pub const ALL: [Kind; 4] = [Kind::Cluster, Kind::Endpoints, Kind::Listener, Kind::Routes];

    /// The type URL in requests, responses and `Any`s.
    pub fn type_url(self) -> &'static str {
        match self {
            Kind::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Kind::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Kind::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Kind::Routes => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The type URL without its prefix, as in new-style names.
    pub fn type_name(self) -> &'static str {
        self.type_url().trim_start_matches("type.googleapis.com/")
    }

    /// `CDS`, `EDS`, `LDS` or `RDS`.
    pub fn short(self) -> &'static str {
        match self {
            Kind::Cluster => "CDS",
            Kind::Endpoints => "EDS",
            Kind::Listener => "LDS",
            Kind::Routes => "RDS",
        }
    }

    /// A state-of-the-world response of this kind is the complete state, so that absence means deletion.
    pub fn is_full_state(self) -> bool {
        matches!(self, Kind::Cluster | Kind::Listener)
    }

    fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// Gives resources their meaning, in two phases: first the name, then the value.
pub trait Decode {
    /// What a resource becomes.
    type Value;

    /// The name inside the resource, for responses that do not carry it outside.
    fn name(&mut self, kind: Kind, body: &Bytes) -> Result<String, String>;

    /// Validates and converts. The error text goes into the NACK.
    fn decode(&mut self, kind: Kind, name: &str, body: &Bytes) -> Result<Self::Value, String>;
}

#[cfg(test)]
#[path = "trace_test.rs"]
mod trace_tests;

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "model_test.rs"]
mod model_tests;
