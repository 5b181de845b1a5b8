// SPDX-License-Identifier: Apache-2.0
//! Istio YAML to xDS, in istiod's naming.
//!
//! Reads ServiceEntry, WorkloadEntry, DestinationRule and VirtualService. What it does not support is an error that names file,
//! document and field: nothing is silently ignored, because a field that has no effect here would have one in production.

mod clusters;
mod duration;
mod endpoints;
mod generate;
mod mesh;
mod objects;
mod parse;
mod routes;
mod rule;
mod virtual_service;

pub use generate::generate;
pub use mesh::Mesh;
pub use parse::{ParseError, parse};
