// SPDX-License-Identifier: Apache-2.0
//! Which server answers for which names: authorities (gRFC A47), each with an ordered list of servers (gRFC A71).
//!
//! Every server has one engine, whatever the number of authorities that name it. An authority is served by the first server of its
//! list; it falls back to the next one when that server cannot be reached and something has never been answered, and returns with
//! the first response of a better one. Below the last server stands what was saved on disk. A value: no I/O, time is an argument.

mod served;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use hashbrown::HashMap;

use crate::protocol::{Decode, Effect, Engine, Gone, Kind, Lost, Settings, Time, Xdstp};
use served::{Served, Source};

/// Position of a server in [`Plan::servers`].
pub type ServerId = usize;

/// Servers and who asks which.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Every server once.
    pub servers: Vec<Settings>,
    /// Servers of old-style names, best first. At least one.
    pub default: Vec<ServerId>,
    /// Servers of new-style names by authority, best first.
    pub authorities: BTreeMap<String, Vec<ServerId>>,
}

/// A resource as it was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// What it is decoded from.
    pub body: Bytes,
}

/// Effects with the server that they are for or come from. Those about resources are only passed on from the server in charge.
pub type Acts<V> = Vec<(ServerId, Effect<V>)>;

/// See the module documentation.
#[derive(Debug)]
pub struct Authorities<D: Decode> {
    engines: Vec<Engine<D>>,
    unreachable: Vec<bool>,
    /// The first one is that of old-style names.
    served: Vec<Served>,
    by_authority: HashMap<String, usize>,
    saved: HashMap<(Kind, Arc<str>), Bytes>,
}

impl<D: Decode> Authorities<D> {
    /// Nothing is subscribed and no stream is open.
    pub fn new(plan: Plan, mut decoder: impl FnMut() -> D) -> Self {
        let mut served = vec![Served::new(plan.default)];
        let mut by_authority = HashMap::new();
        for (authority, servers) in plan.authorities {
            by_authority.insert(authority, served.len());
            served.push(Served::new(servers));
        }
        Self {
            unreachable: vec![false; plan.servers.len()],
            engines: plan.servers.into_iter().map(|settings| Engine::new(settings, decoder())).collect(),
            served,
            by_authority,
            saved: HashMap::new(),
        }
    }

    /// The engine of a server, for introspection.
    pub fn engine(&self, server: ServerId) -> &Engine<D> {
        &self.engines[server]
    }

    /// Number of servers.
    pub fn servers(&self) -> usize {
        self.engines.len()
    }

    /// The server in charge of old-style names.
    pub fn in_charge(&self) -> ServerId {
        self.served[0].in_charge()
    }

    /// Old-style names are served by a live stream.
    pub fn is_synced(&self) -> bool {
        self.engines[self.in_charge()].is_synced()
    }

    /// A server has answered since the start: what was saved no longer counts.
    pub fn is_alive(&self) -> bool {
        self.served[0].alive
    }

    /// Asks for every old-style resource of a kind.
    pub fn subscribe_all(&mut self, kind: Kind) {
        self.served[0].all[kind as usize] = true;
        for server in self.served[0].asked().to_vec() {
            self.engines[server].subscribe_all(kind);
        }
    }

    /// Asks for one resource. A name that nobody can answer for is answered at once.
    pub fn subscribe(&mut self, kind: Kind, name: &str, out: &mut Acts<D::Value>) {
        let (served, name) = match self.locate(kind, name) {
            Ok(found) => found,
            Err(error) => {
                let name: Arc<str> = name.into();
                out.push((0, Effect::Trouble { kind, name: Arc::clone(&name), error: error.into() }));
                out.push((0, Effect::Remove { kind, name, gone: Gone::Refused }));
                return;
            }
        };
        self.served[served].names[kind as usize].insert(Arc::clone(&name));
        for server in self.served[served].asked().to_vec() {
            self.engines[server].subscribe(kind, &name);
        }
        self.offer_saved(served, kind, &name, out);
        self.fall_back(served);
    }

    /// No longer asks for one resource.
    pub fn unsubscribe(&mut self, kind: Kind, name: &str) {
        let Ok((served, name)) = self.locate(kind, name) else { return };
        let served = &mut self.served[served];
        served.names[kind as usize].remove(&name);
        for server in served.asked() {
            self.engines[*server].unsubscribe(kind, &name);
        }
    }

    /// A server has a stream.
    pub fn on_open(&mut self, server: ServerId, now: Time, out: &mut Acts<D::Value>) {
        self.run(server, out, |engine, effects| engine.on_open(now, effects));
    }

    /// A message of a server arrived.
    pub fn on_response(&mut self, server: ServerId, now: Time, message: Bytes, out: &mut Acts<D::Value>) {
        let mut effects = Vec::new();
        if self.engines[server].on_response(now, message, &mut effects) {
            self.unreachable[server] = false;
            for at in 0..self.served.len() {
                self.on_alive(at, server);
            }
        }
        for effect in effects {
            self.pass(server, effect, out);
        }
    }

    /// A stream, or the attempt to open one, has ended.
    pub fn on_lost(&mut self, server: ServerId, now: Time, lost: &Lost, out: &mut Acts<D::Value>) {
        self.run(server, out, |engine, effects| engine.on_lost(now, lost, effects));
    }

    /// The connection to a server that nobody needs is closed.
    pub fn on_closed(&mut self, server: ServerId) {
        self.unreachable[server] = false;
        self.engines[server].on_closed();
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Time, out: &mut Acts<D::Value>) {
        for server in 0..self.engines.len() {
            self.run(server, out, |engine, effects| engine.on_tick(now, effects));
        }
    }

    /// When `on_tick` is due.
    pub fn next_deadline(&mut self) -> Option<Time> {
        self.engines.iter_mut().filter_map(Engine::next_deadline).min()
    }

    /// States pending subscription changes.
    pub fn flush(&mut self, now: Time, out: &mut Acts<D::Value>) {
        for server in 0..self.engines.len() {
            self.run(server, out, |engine, effects| engine.flush(now, effects));
        }
    }

    /// Serves what was saved, as long as nobody live answers: now what is subscribed, later what will be.
    pub fn restore(&mut self, saved: Vec<Saved>, out: &mut Acts<D::Value>) {
        if self.served[0].alive {
            return;
        }
        self.saved = saved.into_iter().map(|saved| ((saved.kind, saved.name), saved.body)).collect();
        let names: Vec<(Kind, Arc<str>)> = self.saved.keys().cloned().collect();
        for (kind, name) in names {
            let Ok((served, name)) = self.locate(kind, &name) else { continue };
            if self.served[served].wants(kind, &name) {
                self.offer_saved(served, kind, &name, out);
            }
        }
        let served = &mut self.served[0];
        served.sweep = served.all;
        out.extend(Kind::ALL.into_iter().filter(|kind| served.all[*kind as usize]).map(|kind| (0, Effect::Answered(kind))));
    }

    fn locate(&self, kind: Kind, name: &str) -> Result<(usize, Arc<str>), String> {
        let Some(parsed) = Xdstp::parse(name) else { return Ok((0, name.into())) };
        let parsed = parsed?;
        parsed.check(kind)?;
        let unknown = || format!("resource name {name:?}: the bootstrap has no authority {:?}", parsed.authority);
        Ok((*self.by_authority.get(parsed.authority).ok_or_else(unknown)?, parsed.to_string().into()))
    }

    fn served_of(&self, name: &str) -> usize {
        authority_of(name, &self.by_authority)
    }

    fn run(&mut self, server: ServerId, out: &mut Acts<D::Value>, input: impl FnOnce(&mut Engine<D>, &mut Vec<Effect<D::Value>>)) {
        let mut effects = Vec::new();
        input(&mut self.engines[server], &mut effects);
        for effect in effects {
            self.pass(server, effect, out);
        }
    }

    /// Passes an effect on if its server is in charge, and notes what it means for fallback.
    fn pass(&mut self, server: ServerId, effect: Effect<D::Value>, out: &mut Acts<D::Value>) {
        match &effect {
            Effect::Send(_) | Effect::Close(_) | Effect::Connect { .. } | Effect::Yield => {}
            Effect::Reject { name: None, .. } if self.in_charge() == server => {}
            Effect::Reject { name: None, .. } => return,
            Effect::Update { kind, name, .. }
            | Effect::Remove { kind, name, .. }
            | Effect::Reject { kind, name: Some(name), .. }
            | Effect::Trouble { kind, name, .. } => {
                let at = self.served_of(name);
                if !self.served[at].answer(*kind, name, Source::Server(server), matches!(effect, Effect::Remove { .. })) {
                    return;
                }
            }
            Effect::Clear { name, .. } => {
                if self.served[self.served_of(name)].in_charge() != server {
                    return;
                }
            }
            Effect::Forget { kind, name } => {
                let at = self.served_of(name);
                if !self.served[at].forget(*kind, name, server) {
                    return;
                }
            }
            Effect::Answered(kind) => {
                for served in &mut self.served {
                    let gone = served.swept(*kind, server);
                    out.extend(gone.into_iter().map(|name| (server, Effect::Remove { kind: *kind, name, gone: Gone::Removed })));
                }
                if self.in_charge() != server {
                    return;
                }
            }
            Effect::Unreachable(_) => {
                self.unreachable[server] = true;
                for at in 0..self.served.len() {
                    self.fall_back(at);
                }
                if !self.served.iter_mut().any(|served| served.is_cut_off(server, &self.unreachable)) {
                    return;
                }
            }
        }
        out.push((server, effect));
    }

    /// Goes down the list while the server in charge cannot be reached and something was never answered.
    fn fall_back(&mut self, at: usize) {
        while self.unreachable[self.served[at].in_charge()] && self.served[at].is_unanswered() {
            let Some(next) = self.served[at].next() else { return };
            let (before, served) = (self.served[at].in_charge(), &self.served[at]);
            for kind in Kind::ALL {
                let by_authority = &self.by_authority;
                // Should the better server return, it must send everything again: what is served then may be another's.
                self.engines[before].disown(kind, |name| authority_of(name, by_authority) == at);
                if served.all[kind as usize] {
                    self.engines[next].subscribe_all(kind);
                }
                for name in &served.names[kind as usize] {
                    self.engines[next].subscribe(kind, name);
                }
            }
            self.served[at].descend();
        }
    }

    /// A server has answered: if it is better than the one in charge it takes over, and the lower ones are let go.
    fn on_alive(&mut self, at: usize, server: ServerId) {
        if !self.served[at].asked().contains(&server) {
            return;
        }
        let served = &mut self.served[at];
        served.cut_off = false;
        for lower in served.ascend_to(server) {
            for kind in Kind::ALL {
                if served.all[kind as usize] {
                    self.engines[lower].unsubscribe_all(kind);
                }
                for name in &served.names[kind as usize] {
                    self.engines[lower].unsubscribe(kind, name);
                }
            }
        }
        if !std::mem::replace(&mut served.alive, true) {
            let by_authority = &self.by_authority;
            self.saved.retain(|(_, name), _| authority_of(name, by_authority) != at);
        }
    }

    fn offer_saved(&mut self, at: usize, kind: Kind, name: &Arc<str>, out: &mut Acts<D::Value>) {
        let Some(body) = self.saved.get(&(kind, Arc::clone(name))).cloned() else { return };
        // What was accepted once may not be by this version; then it was not saved.
        let Ok(value) = self.engines[0].decode(kind, name, &body) else { return };
        if self.served[at].answer(kind, name, Source::Disk, false) {
            out.push((0, Effect::Update { kind, name: Arc::clone(name), value, body }));
        }
    }
}

fn authority_of(name: &str, by_authority: &HashMap<String, usize>) -> usize {
    match Xdstp::parse(name) {
        Some(Ok(parsed)) => by_authority.get(parsed.authority).copied().unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
#[path = "authority_test.rs"]
mod tests;
