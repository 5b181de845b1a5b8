// SPDX-License-Identifier: Apache-2.0
//! Plain values: endpoints, localities, clusters with their policies, routes, states.
//!
//! Nothing here knows protobuf, streams or where a value came from.

mod cluster;
mod endpoint;
mod fraction;
mod policy;
mod route;
mod state;
mod traffic;

pub use cluster::{Cluster, ClusterName, Discovery, Tls};
pub use endpoint::{Assignment, Endpoint, EndpointFlags, Extension, Family, Health, Locality};
pub use fraction::Fraction;
pub use policy::{CircuitBreakers, HttpOptions, HttpProtocol, OutlierDetection, Policy, TcpKeepalive};
pub use route::{
    Abort, AbortStatus, Action, Condition, Delay, Fault, Forward, HeaderMatch, HeaderValue, ListenerRoutes, Mirror, OtherAction,
    PathMatch, Pattern, QueryMatch, RetryPolicy, Route, RouteTable, Share, TextMatch, VirtualHost,
};
pub use state::{Invalid, State};
pub use traffic::{Reached, Traffic};
