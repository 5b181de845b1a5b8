// SPDX-License-Identifier: Apache-2.0
//! Istio's and Kubernetes' YAML to xDS, in istiod's naming.
//!
//! What could change which endpoints, routes and policies a caller gets, and is not supported, is an error that names file, document
//! and field: a field that has no effect here would have one in production. What has no effect there either is passed over, and
//! said.

mod advice;
mod check;
mod cluster_service;
mod clusters;
mod document;
mod duration;
mod effective;
mod endpoints;
mod generate;
mod host;
mod kind;
mod kubernetes;
mod local;
mod mesh;
mod objects;
mod parse;
mod route_match;
mod routes;
mod rule;
mod service;
#[cfg(test)]
mod tests;
mod virtual_service;

pub use generate::generate;
pub use local::LocalEndpoint;
pub use mesh::Mesh;
pub use parse::{Options, ParseError, Source, parse, read};
