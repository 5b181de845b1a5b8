// SPDX-License-Identifier: Apache-2.0
//! A route configuration, reduced to the question "which clusters does an ordinary request reach?".

use std::sync::Arc;

/// A cluster and its share of the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Cluster name.
    pub cluster: Arc<str>,
    /// Relative weight; shares of weight zero are not kept.
    pub weight: u32,
}

/// What a route does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends it to one of these clusters.
    Forward(Arc<[Share]>),
    /// Anything else: redirect, direct response, a specifier that this version does not know.
    Other,
}

/// One route of a virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// It takes every request: no path, header, query or fraction condition.
    pub unconditional: bool,
    /// What it does.
    pub action: Action,
}

/// One RDS resource of the `host:port` kind: the routes of one service port.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RouteTable {
    /// The control plane has a virtual host under this name.
    pub has_host: bool,
    /// In matching order.
    pub routes: Arc<[Route]>,
}

impl RouteTable {
    /// The clusters that a request without any special property reaches: those of the first unconditional route, if it forwards.
    pub fn default_shares(&self) -> Option<&Arc<[Share]>> {
        match &self.routes.iter().find(|r| r.unconditional)?.action {
            Action::Forward(shares) => Some(shares),
            Action::Other => None,
        }
    }
}

/// A client-side listener, reduced to where its routes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerRoutes {
    /// In the RDS resource of this name.
    Rds(Arc<str>),
    /// In itself.
    Inline(RouteTable),
    /// Nowhere, and why.
    None(Arc<str>),
}
