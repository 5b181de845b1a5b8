// SPDX-License-Identifier: Apache-2.0
//! One authority: what is wanted of it, who is in charge, and who answered what.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::ServerId;
use crate::protocol::Kind;

/// Where the newest answer about a resource came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Server(ServerId),
    Disk,
}

#[derive(Debug)]
pub(super) struct Served {
    /// Best first.
    servers: Vec<ServerId>,
    /// Position of the server in charge.
    position: usize,
    pub(super) all: [bool; 4],
    pub(super) names: [HashSet<Arc<str>>; 4],
    /// Who answered about a resource last, whatever the answer.
    answered: [HashMap<Arc<str>, Source>; 4],
    answered_all: [bool; 4],
    /// The next full answer of this kind is the first of the server in charge: what only others gave is gone with it.
    pub(super) sweep: [bool; 4],
    /// A server has answered since the start.
    pub(super) alive: bool,
    /// It was told that no server can be reached.
    pub(super) cut_off: bool,
}

impl Served {
    pub(super) fn new(servers: Vec<ServerId>) -> Self {
        assert!(!servers.is_empty(), "an authority has at least one server");
        Self {
            servers,
            position: 0,
            all: [false; 4],
            names: Default::default(),
            answered: Default::default(),
            answered_all: [false; 4],
            sweep: [false; 4],
            alive: false,
            cut_off: false,
        }
    }

    pub(super) fn in_charge(&self) -> ServerId {
        self.servers[self.position]
    }

    /// The server in charge and the better ones, which are asked in case they return.
    pub(super) fn asked(&self) -> &[ServerId] {
        &self.servers[..=self.position]
    }

    pub(super) fn next(&self) -> Option<ServerId> {
        self.servers.get(self.position + 1).copied()
    }

    pub(super) fn descend(&mut self) {
        self.position += 1;
        self.sweep = self.all;
    }

    /// Puts `server` in charge if it is better than the one that is; returns those that are no longer needed.
    pub(super) fn ascend_to(&mut self, server: ServerId) -> Vec<ServerId> {
        let Some(at) = self.servers[..self.position].iter().position(|better| *better == server) else { return Vec::new() };
        let lower = self.servers[at + 1..=self.position].to_vec();
        self.position = at;
        self.sweep = self.all;
        lower
    }

    pub(super) fn wants(&self, kind: Kind, name: &str) -> bool {
        self.all[kind as usize] || self.names[kind as usize].contains(name)
    }

    /// Something was asked for that no server has ever answered.
    pub(super) fn is_unanswered(&self) -> bool {
        Kind::ALL.iter().map(|kind| *kind as usize).any(|kind| {
            let live = |name: &Arc<str>| matches!(self.answered[kind].get(name), Some(Source::Server(_)));
            self.all[kind] && !self.answered_all[kind] || !self.names[kind].iter().all(live)
        })
    }

    /// Takes note of an answer; returns whether it counts.
    pub(super) fn answer(&mut self, kind: Kind, name: &Arc<str>, source: Source, gone: bool) -> bool {
        match source {
            Source::Server(server) if server != self.in_charge() => return false,
            Source::Disk if self.answered[kind as usize].contains_key(name) => return false,
            Source::Server(_) | Source::Disk => {}
        }
        if gone && !self.names[kind as usize].contains(name) {
            self.answered[kind as usize].remove(name);
        } else {
            self.answered[kind as usize].insert(Arc::clone(name), source);
        }
        true
    }

    /// Nobody wants it any more; returns whether that is the whole truth, or only that of a server that is let go.
    pub(super) fn forget(&mut self, kind: Kind, name: &str, server: ServerId) -> bool {
        if self.wants(kind, name) || server != self.in_charge() {
            return false;
        }
        self.answered[kind as usize].remove(name);
        true
    }

    /// A full answer of the server in charge: names that only others gave, and that nobody asked for by name, are gone.
    pub(super) fn swept(&mut self, kind: Kind, server: ServerId) -> Vec<Arc<str>> {
        let kind = kind as usize;
        if server != self.in_charge() || !self.all[kind] {
            return Vec::new();
        }
        self.answered_all[kind] = true;
        if !std::mem::take(&mut self.sweep[kind]) {
            return Vec::new();
        }
        let names = &self.names[kind];
        let stale = |name: &Arc<str>, source: &Source| *source != Source::Server(server) && !names.contains(name);
        self.answered[kind].extract_if(|name, source| stale(name, source)).map(|(name, _)| name).collect()
    }

    /// Neither this server nor any other can be reached, which is news.
    pub(super) fn is_cut_off(&mut self, server: ServerId, unreachable: &[bool]) -> bool {
        let cut_off = self.in_charge() == server && self.asked().iter().all(|server| unreachable[*server]);
        cut_off && !std::mem::replace(&mut self.cut_off, true)
    }
}
