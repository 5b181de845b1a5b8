// SPDX-License-Identifier: Apache-2.0
//! Plain values: endpoints, localities, clusters, routes, states.
//!
//! Nothing here knows protobuf, streams or where a value came from.

mod cluster;
mod endpoint;
mod route;
mod state;

pub use cluster::{Cluster, ClusterName, Discovery, Tls};
pub use endpoint::{Assignment, Endpoint, EndpointFlags, Extension, Family, Health, Locality};
pub use route::{Action, ListenerRoutes, Route, RouteTable, Share};
pub use state::{Invalid, State};
