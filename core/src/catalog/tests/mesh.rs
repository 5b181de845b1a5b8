// SPDX-License-Identifier: Apache-2.0
//! A catalog with a harness around it, and what a control plane says of `go-sc-a`.

use bytes::Bytes;

use super::super::*;
use crate::{
    model::{Action, Condition, Endpoint, Forward, Locality, Route, Share, State, Tls, VirtualHost},
    store::Entry,
};

pub(super) const HOST: &str = "go-sc-a.demo.svc.cluster.local";

/// A catalog with the harness around it: what it asked for, what it said last about each target.
pub(super) struct Mesh {
    pub(super) catalog: Catalog,
    pub(super) subscribed: Vec<String>,
    pub(super) said: HashMap<String, Entry>,
    pub(super) notes: Vec<String>,
    pub(super) now: Time,
}

impl Mesh {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Rules)) -> Self {
        let naming = Naming { namespace: "demo".into(), cluster_domain: "cluster.local".into(), ..Default::default() };
        let mut rules = Rules { naming, ..Rules::default() };
        change(&mut rules);
        Self { catalog: Catalog::new(rules), subscribed: vec![], said: HashMap::new(), notes: vec![], now: Duration::ZERO }
    }

    pub(super) fn watch(&mut self, target: &str) {
        self.catalog.watch(&Target::parse(target).expect("valid"));
        self.settle(Changes::default());
    }

    pub(super) fn apply(&mut self, effects: Vec<Effect<Resource>>) {
        let mut changes = Changes::default();
        for effect in effects {
            self.catalog.apply(effect, &mut changes);
        }
        self.settle(changes);
    }

    pub(super) fn settle(&mut self, mut changes: Changes) {
        self.catalog.settle(self.now, &mut changes);
        assert!(
            self.catalog.next_deadline().is_none_or(|deadline| deadline > self.now),
            "a deadline that has passed would never let go"
        );
        for (kind, name, wanted) in changes.subscriptions {
            let text = format!("{} {name}", kind.short());
            if wanted {
                self.subscribed.push(text);
            } else {
                self.subscribed.retain(|known| *known != text);
            }
        }
        for (_, entry) in changes.entries {
            self.said.insert(entry.target.to_string(), entry);
        }
        self.notes.extend(changes.notes.into_iter().map(|(_, text)| text));
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now += by;
        self.catalog.on_tick(self.now);
        self.settle(Changes::default());
    }

    pub(super) fn state(&self, target: &str) -> State {
        self.said[target].state
    }

    /// Last octet and weight of every endpoint.
    pub(super) fn list(&self, target: &str) -> Vec<(u8, u32)> {
        self.said[target].list.endpoints().iter().map(|e| (e.ip[3], e.weight)).collect()
    }
}

pub(super) fn name(port: u16, subset: &str, host: &str) -> String {
    ClusterName { host, port, subset }.to_string()
}

pub(super) fn cluster_with_tls(cluster: &str, tls: Tls) -> Effect<Resource> {
    let value = Cluster { discovery: Discovery::Eds(cluster.into()), tls, locality_weighted: false, policy: Arc::default() };
    Effect::Update { kind: Kind::Cluster, name: cluster.into(), value: Resource::Cluster(Arc::new(value)), body: Bytes::new() }
}

pub(super) fn cluster(name: &str) -> Effect<Resource> {
    cluster_with_tls(name, Tls::Off)
}

pub(super) fn assignment(name: &str, octets: &[u8]) -> Effect<Resource> {
    let endpoints: Vec<Endpoint> = octets.iter().map(|octet| Endpoint::at(([10, 0, 0, *octet], 80).into())).collect();
    let value = Assignment { endpoints: endpoints.into(), localities: Arc::new([Locality::default()]), ..Default::default() };
    Effect::Update { kind: Kind::Endpoints, name: name.into(), value: Resource::Assignment(Arc::new(value)), body: Bytes::new() }
}

pub(super) fn routes(name: &str, shares: &[(&str, u32)]) -> Effect<Resource> {
    let shares: Vec<Share> = shares.iter().map(|(cluster, weight)| Share { cluster: (*cluster).into(), weight: *weight }).collect();
    let action = Action::Forward(Forward { clusters: shares.into(), ..Default::default() });
    table(name, if action == Action::Forward(Forward::default()) { vec![] } else { vec![host("*", action)] })
}

/// A virtual host that does this with every request.
pub(super) fn host(domain: &str, action: Action) -> VirtualHost {
    let route = Route { name: "".into(), condition: Condition::default(), action, fault: None };
    VirtualHost { domains: Box::new([domain.into()]), routes: Arc::new([route]) }
}

pub(super) fn table(name: &str, hosts: Vec<VirtualHost>) -> Effect<Resource> {
    let table = RouteTable { hosts: hosts.into() };
    Effect::Update { kind: Kind::Routes, name: name.into(), value: Resource::Routes(Arc::new(table)), body: Bytes::new() }
}

pub(super) fn gone(kind: Kind, name: &str) -> Effect<Resource> {
    Effect::Remove { kind, name: name.into(), gone: Gone::Removed }
}

pub(super) const ANSWERED: Effect<Resource> = Effect::Answered(Kind::Cluster);

/// `go-sc-a:8080` with subsets v1 and v2, watched and answered: base at .1 and .2.
pub(super) fn served(target: &str) -> Mesh {
    let mut mesh = Mesh::new();
    mesh.watch(target);
    let (base, v1, v2) = (name(8080, "", HOST), name(8080, "v1", HOST), name(8080, "v2", HOST));
    mesh.apply(vec![cluster(&base), cluster(&v1), cluster(&v2), ANSWERED]);
    mesh.apply(vec![routes(&format!("{HOST}:8080"), &[(&base, 1)])]);
    mesh.apply(vec![assignment(&base, &[1, 2])]);
    mesh
}
