// SPDX-License-Identifier: Apache-2.0
//! An immutable view of every watched target.

use std::sync::Arc;

use hashbrown::HashMap;

use super::Asked;
use crate::{
    model::{State, Traffic},
    select::List,
};

/// What is known about one target.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The target in canonical form.
    pub target: Arc<str>,
    /// What it resolved to, for instance `echo.demo.svc.cluster.local:8080/v1`; empty until it has.
    pub resolved: Arc<str>,
    /// Its state.
    pub state: State,
    /// For people: why it is invalid, or a warning beside a ready list. Often empty.
    pub detail: Arc<str>,
    /// Part of its route leads nowhere; the rest carries the traffic.
    pub partial: bool,
    /// The list; empty unless the state is ready.
    pub list: Arc<List>,
    /// Routes and policies behind the list; of a target whose routes answer themselves, those routes.
    pub traffic: Option<Arc<Traffic>>,
    /// Epoch at which it last changed.
    pub changed_at: u64,
}

impl Entry {
    /// An entry without an answer.
    pub fn pending(target: Arc<str>) -> Self {
        Self {
            target,
            resolved: "".into(),
            state: State::Pending,
            detail: "".into(),
            partial: false,
            list: Arc::default(),
            traffic: None,
            changed_at: 0,
        }
    }

    /// Everything but `changed_at` is equal.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.state == other.state
            && self.resolved == other.resolved
            && self.detail == other.detail
            && self.partial == other.partial
            && (Arc::ptr_eq(&self.list, &other.list) || self.list == other.list)
            && self.traffic == other.traffic
    }
}

pub(super) const CHUNK: usize = 64;

/// Neighbouring targets, copied together when one of them changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    pub(super) slots: Vec<Option<Arc<Entry>>>,
    /// The names of each slot, shared by all copies until one is given.
    pub(super) names: Arc<Vec<Names>>,
    pub(super) changed_at: u64,
}

/// The names that one target goes by.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) all: Vec<Arc<str>>,
    /// Epoch at which the last one was given.
    pub(super) given_at: u64,
}

impl Chunk {
    fn named(&self, since: u64) -> impl Iterator<Item = Named<'_>> {
        self.slots.iter().enumerate().filter_map(move |(place, entry)| {
            let (entry, names) = (entry.as_ref()?, self.names.get(place));
            let newest = names.map_or(0, |names| names.given_at).max(entry.changed_at);
            (newest > since).then(|| (entry, names.map_or(&[][..], |names| &names.all)))
        })
    }
}

/// An entry with every name of its target: the canonical form, and the spellings that were used to watch it.
pub type Named<'a> = (&'a Arc<Entry>, &'a [Arc<str>]);

/// Every watched target at one epoch. Cheap to hold. What is published in it never changes; a spelling that it lacks and that is watched
/// by now is pending, and only the look-up of such a spelling takes a lock.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) epoch: u64,
    /// Targets were dropped at this epoch; a difference to an older one is not a list of changes.
    pub(super) shrunk_at: u64,
    pub(super) index: Arc<HashMap<Arc<str>, usize>>,
    pub(super) chunks: Vec<Arc<Chunk>>,
    /// Shared by all snapshots of a store.
    pub(super) asked: Arc<Asked>,
}

impl Snapshot {
    /// Number of this snapshot; 0 before anything was published.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The entry of a target, by its canonical form or by a spelling that was used to watch it. Without a name while a spelling that
    /// has just been watched is not in any snapshot.
    pub fn get(&self, target: &str) -> Option<&Arc<Entry>> {
        match self.index.get(target) {
            Some(slot) => self.slot(*slot),
            None => self.asked.entry(target),
        }
    }

    /// Every entry once.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.chunks.iter().flat_map(|chunk| chunk.slots.iter().flatten())
    }

    /// Entries that changed, or whose target got another name, after `since` (0: all). Walks what changed, not what there is.
    pub fn changes(&self, since: u64) -> impl Iterator<Item = Named<'_>> {
        self.chunks.iter().filter(move |chunk| chunk.changed_at > since).flat_map(move |chunk| chunk.named(since))
    }

    /// Targets have been dropped after `since`: only the whole tells.
    pub fn shrank_after(&self, since: u64) -> bool {
        self.shrunk_at > since
    }

    pub(super) fn slot(&self, slot: usize) -> Option<&Arc<Entry>> {
        self.chunks.get(slot / CHUNK)?.slots.get(slot % CHUNK)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_reader_can_see_makes_an_entry_another_and_its_age_does_not() {
        let entry = Entry { state: State::Ready, traffic: Some(Arc::default()), ..Entry::pending("a".into()) };
        assert!(entry.says_the_same(&Entry { changed_at: 7, ..entry.clone() }));
        let list = Arc::new(List::default());
        assert!(entry.says_the_same(&Entry { list, traffic: Some(Arc::default()), ..entry.clone() }), "equal content elsewhere");
        for other in [
            Entry { state: State::Pending, ..entry.clone() },
            Entry { resolved: "b".into(), ..entry.clone() },
            Entry { detail: "why".into(), ..entry.clone() },
            Entry { partial: true, ..entry.clone() },
            Entry { traffic: None, ..entry.clone() },
        ] {
            assert!(!entry.says_the_same(&other), "{other:?}");
        }
    }
}
