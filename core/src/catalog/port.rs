// SPDX-License-Identifier: Apache-2.0
//! The port that is meant when a target names none.

use std::sync::Arc;

use super::{Catalog, Need, routes_name, watched::Watched};
use crate::{
    protocol::{Kind, Time},
    target::Service,
};

/// Where HTTP services mostly are, first wins.
const USUAL: [u16; 2] = [80, 8080];
/// Where management interfaces mostly are: Spring's actuator, Jolokia, Prometheus' exporter for the JVM, OpenTelemetry's. Control
/// planes do not tell the names of ports.
const MANAGEMENT: [u16; 4] = [8081, 8778, 9404, 9464];

/// How far the choice is.
pub(super) enum Port {
    Chosen(u16),
    /// Waiting for the routes that tell which ports serve HTTP.
    Waiting,
}

impl Catalog {
    /// The only port; else the only one with a route for the host; else a usual one; else the lowest that is not for management.
    pub(super) fn choose_port(
        &self,
        watched: &mut Watched,
        host: &str,
        service: &Service,
        now: Time,
        deadline: Time,
        needs: &mut Vec<Need>,
    ) -> Port {
        if let Some(port) = watched.port.filter(|port| service.ports.contains_key(port)) {
            return Port::Chosen(port);
        }
        let ports: Vec<u16> = service.ports.keys().copied().collect();
        let mut http = Vec::new();
        if ports.len() > 1 && self.rules.routes {
            let names: Vec<Arc<str>> = ports.iter().map(|port| routes_name(host, *port)).collect();
            let tables: Vec<_> = names.iter().map(|name| self.routes.get(name)).collect();
            if tables.iter().any(Option::is_none) && now < deadline {
                watched.choice_deadline = Some(deadline);
                needs.extend(names.into_iter().map(|name| (Kind::Routes, name)));
                return Port::Waiting;
            }
            let has_route = |at: &usize| tables[*at].and_then(Option::as_ref).is_some_and(|table| !table.hosts.is_empty());
            http = (0..ports.len()).filter(has_route).map(|at| ports[at]).collect();
        }
        let pool = if http.is_empty() { &ports } else { &http };
        let usual = USUAL.into_iter().find(|port| pool.contains(port));
        let chosen = usual.unwrap_or_else(|| *pool.iter().find(|port| !MANAGEMENT.contains(port)).unwrap_or(&pool[0]));
        if usual.is_none() && pool.len() > 1 {
            let all = pool.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            watched.notes.push(format!(
                "{} names no port and {host} has {all}: {chosen} is taken; write {host}:{chosen} or another",
                watched.name
            ));
        }
        watched.port = Some(chosen);
        Port::Chosen(chosen)
    }
}
