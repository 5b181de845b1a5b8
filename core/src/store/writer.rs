// SPDX-License-Identifier: Apache-2.0
//! The one writer of a [`Store`].

use std::sync::Arc;

use hashbrown::HashMap;

use super::{
    Entry, Snapshot, Store,
    snapshot::{CHUNK, Chunk, Names},
};
use crate::model::State;

/// Collects changes and publishes them as one snapshot.
#[derive(Debug)]
pub struct Writer {
    store: Arc<Store>,
    next: Snapshot,
    dirty: bool,
    /// What an earlier writer published, for targets of which nothing is known yet.
    earlier: HashMap<Arc<str>, Arc<Entry>>,
}

impl Writer {
    /// The writer of `store`. There must be only one.
    pub fn new(store: Arc<Store>) -> Self {
        let next = (*store.snapshot()).clone();
        Self { store, next, dirty: false, earlier: HashMap::new() }
    }

    /// The writer after one that was lost. It starts without targets; what that one has published stands for each of them until
    /// there is an answer again.
    pub fn successor(store: Arc<Store>) -> Self {
        let last = store.snapshot();
        let earlier = last.entries().map(|entry| (Arc::clone(&entry.target), Arc::clone(entry))).collect();
        let (epoch, asked) = (last.epoch, Arc::clone(&last.asked));
        let next = Snapshot { epoch, shrunk_at: epoch + 1, asked, ..Snapshot::default() };
        Self { store, next, dirty: true, earlier }
    }

    /// An earlier writer has left answers.
    pub fn has_earlier(&self) -> bool {
        self.earlier.values().any(|entry| entry.state != State::Pending)
    }

    /// Makes `spelling` another name of the target in `slot`.
    pub fn name(&mut self, spelling: &Arc<str>, slot: usize) {
        if self.next.index.get(spelling) == Some(&slot) {
            return;
        }
        if let Some(before) = Arc::make_mut(&mut self.next.index).insert(Arc::clone(spelling), slot) {
            self.names(before).all.retain(|name| name != spelling);
        }
        let epoch = self.next.epoch + 1;
        let names = self.names(slot);
        names.all.push(Arc::clone(spelling));
        names.given_at = epoch;
        self.chunk(slot).changed_at = epoch;
        self.dirty = true;
    }

    /// Sets what is known about the target in `slot`. Saying the same again changes nothing.
    pub fn set(&mut self, slot: usize, mut entry: Entry) {
        if entry.state != State::Pending {
            self.earlier.remove(&entry.target);
        } else if let Some(earlier) = self.earlier.get(&entry.target) {
            entry = Entry::clone(earlier);
        }
        let epoch = self.next.epoch + 1;
        if self.next.slot(slot).is_some_and(|old| old.says_the_same(&entry)) {
            return;
        }
        entry.changed_at = epoch;
        let chunk = self.chunk(slot);
        if chunk.slots.len() <= slot % CHUNK {
            chunk.slots.resize(slot % CHUNK + 1, None);
        }
        chunk.slots[slot % CHUNK] = Some(Arc::new(entry));
        chunk.changed_at = epoch;
        self.dirty = true;
    }

    /// Drops the target in `slot` and every name of it.
    pub fn drop_slot(&mut self, slot: usize) {
        if let Some(entry) = self.chunk(slot).slots.get_mut(slot % CHUNK).and_then(Option::take) {
            self.earlier.remove(&entry.target);
        }
        let names = std::mem::take(&mut self.names(slot).all);
        let index = Arc::make_mut(&mut self.next.index);
        for name in names {
            index.remove(&name);
        }
        self.next.shrunk_at = self.next.epoch + 1;
        self.dirty = true;
    }

    /// Publishes what was collected, if anything was. Returns whether the epoch moved.
    pub fn publish(&mut self) -> bool {
        if !std::mem::take(&mut self.dirty) {
            return false;
        }
        self.next.epoch += 1;
        self.store.publish(self.next.clone());
        true
    }

    /// The chunk of a slot, to be changed.
    fn chunk(&mut self, slot: usize) -> &mut Chunk {
        while self.next.chunks.len() <= slot / CHUNK {
            self.next.chunks.push(Arc::default());
        }
        Arc::make_mut(&mut self.next.chunks[slot / CHUNK])
    }

    fn names(&mut self, slot: usize) -> &mut Names {
        let names = Arc::make_mut(&mut self.chunk(slot).names);
        if names.len() <= slot % CHUNK {
            names.resize_with(slot % CHUNK + 1, Names::default);
        }
        &mut names[slot % CHUNK]
    }
}
