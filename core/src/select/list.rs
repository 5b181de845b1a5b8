// SPDX-License-Identifier: Apache-2.0
//! The effective list of a target.

use std::sync::{Arc, OnceLock};

use super::order;
use crate::model::{Assignment, Endpoint, Extension, Locality};

/// One cluster's contribution to a list.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its endpoints.
    pub assignment: &'a Arc<Assignment>,
    /// Its share of the traffic, relative to the other parts.
    pub share: u32,
    /// Locality weights count.
    pub locality_weighted: bool,
}

/// Endpoints to use, with all that their indices point into.
#[derive(Debug, Default)]
pub struct List {
    endpoints: Arc<[Endpoint]>,
    localities: Arc<[Locality]>,
    extensions: Arc<[Extension]>,
    order: OnceLock<Box<[u32]>>,
}

impl List {
    /// A list of these parts.
    pub fn new(endpoints: Arc<[Endpoint]>, localities: Arc<[Locality]>, extensions: Arc<[Extension]>) -> Self {
        Self { endpoints, localities, extensions, order: OnceLock::new() }
    }

    /// The endpoints, contiguous.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// What [`Endpoint::locality`] points into.
    pub fn localities(&self) -> &[Locality] {
        &self.localities
    }

    /// What [`Endpoint::extension`] points into, minus one.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The extension of an endpoint of this list.
    pub fn extension(&self, endpoint: &Endpoint) -> Option<&Extension> {
        self.extensions.get(usize::try_from(endpoint.extension.checked_sub(1)?).ok()?)
    }

    /// The locality of an endpoint of this list.
    pub fn locality(&self, endpoint: &Endpoint) -> Option<&Locality> {
        self.localities.get(usize::from(endpoint.locality))
    }

    /// Indices into the endpoints, each as often as its weight asks for and spread evenly: picking is `order[n % len]` with a
    /// counter. Empty when all weights are equal: then `n % endpoints` does. Computed by the first caller.
    pub fn order(&self) -> &[u32] {
        self.order.get_or_init(|| order::spread(&self.endpoints))
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: *const [Endpoint], b: *const [Endpoint]| std::ptr::eq(a, b);
        (same(&*self.endpoints, &*other.endpoints) || self.endpoints == other.endpoints)
            && self.localities == other.localities
            && self.extensions == other.extensions
    }
}
