// SPDX-License-Identifier: Apache-2.0
//! Which virtual host takes a host's requests, and which of its routes takes every request.
//!
//! Knows no streams, and of clusters no more than their names.

mod condition;
mod domain;

pub use condition::takes_every_request;
pub use domain::virtual_host;

use crate::model::Route;

/// The route of a request without any special property: the first that takes every request.
pub fn default_route(routes: &[Route]) -> Option<&Route> {
    routes.iter().find(|route| takes_every_request(&route.condition))
}
