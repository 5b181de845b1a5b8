// SPDX-License-Identifier: Apache-2.0
//! From a route table to the clusters whose endpoints a list has.

use std::sync::Arc;

use super::{
    Catalog, NAMED, Need,
    answer::{Answer, Settled},
};
use crate::{
    model::{Action, Invalid, OtherAction, Route, RouteTable, Share, State, Traffic},
    route::{default_route, virtual_host},
};

impl Catalog {
    /// The clusters that requests to an authority reach; `own` when nothing says where they go.
    pub(super) fn follow_table(
        &self,
        table: &RouteTable,
        authority: &str,
        resolved: &Arc<str>,
        own: &[Share],
        needs: &mut Vec<Need>,
    ) -> Answer {
        let Some(host) = virtual_host(table, authority) else {
            // Istio has no virtual host for a port without HTTP.
            return if table.hosts.is_empty() && !own.is_empty() {
                self.follow_shares(own, Arc::clone(resolved), None, String::new(), needs)
            } else {
                let detail = format!("no virtual host is for {authority}; {}", domains(table));
                refused(Invalid::NoList, resolved, detail, None)
            };
        };
        let routes = Some(&host.routes);
        match default_route(&host.routes).map(|route| &route.action) {
            Some(Action::Forward(forward)) => {
                self.follow_shares(&forward.clusters, Arc::clone(resolved), routes, String::new(), needs)
            }
            Some(Action::Other(other)) => {
                let (reason, detail) = not_forwarded(other);
                refused(reason, resolved, detail, routes)
            }
            None if own.is_empty() => refused(Invalid::NoList, resolved, "no route takes every request".into(), routes),
            None => {
                let warning = "no route takes every request; the whole service is listed".to_owned();
                self.follow_shares(own, Arc::clone(resolved), routes, warning, needs)
            }
        }
    }
}

fn not_forwarded(other: &OtherAction) -> (Invalid, String) {
    if other.is_an_answer() {
        (Invalid::NotForwarded, format!("the route answers every request itself: {other}"))
    } else {
        (Invalid::NoList, format!("the route of every request does not name its clusters: {other}"))
    }
}

fn refused(reason: Invalid, resolved: &Arc<str>, detail: String, routes: Option<&Arc<[Route]>>) -> Answer {
    let traffic = routes.map(|routes| Arc::new(Traffic { routes: Some(Arc::clone(routes)), clusters: Box::default() }));
    Answer::Complete(Settled { traffic, ..Settled::without_list(State::Invalid(reason), Arc::clone(resolved), detail) })
}

fn domains(table: &RouteTable) -> String {
    let all: Vec<&str> = table.hosts.iter().flat_map(|host| &host.domains).map(|domain| &**domain).collect();
    match all.len() {
        0 => "there is none".into(),
        count if count > NAMED => format!("their domains are {} and {} more", all[..NAMED].join(", "), count - NAMED),
        _ => format!("their domains are {}", all.join(", ")),
    }
}
