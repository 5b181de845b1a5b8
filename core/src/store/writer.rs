// SPDX-License-Identifier: Apache-2.0
//! The one writer of a [`Store`].

use std::sync::Arc;

use super::{
    Entry, Snapshot, Store,
    snapshot::{CHUNK, Chunk},
};

/// Collects changes and publishes them as one snapshot.
#[derive(Debug)]
pub struct Writer {
    store: Arc<Store>,
    next: Snapshot,
    dirty: bool,
}

impl Writer {
    /// The writer of `store`. There must be only one.
    pub fn new(store: Arc<Store>) -> Self {
        let next = (*store.snapshot()).clone();
        Self { store, next, dirty: false }
    }

    /// Makes `spelling` another name of the target in `slot`.
    pub fn name(&mut self, spelling: &Arc<str>, slot: usize) {
        if self.next.index.get(spelling) != Some(&slot) {
            Arc::make_mut(&mut self.next.index).insert(Arc::clone(spelling), slot);
            self.dirty = true;
        }
    }

    /// Sets what is known about the target in `slot`. Saying the same again changes nothing.
    pub fn set(&mut self, slot: usize, mut entry: Entry) {
        let epoch = self.next.epoch + 1;
        while self.next.chunks.len() <= slot / CHUNK {
            self.next.chunks.push(Arc::default());
        }
        let chunk = &mut self.next.chunks[slot / CHUNK];
        if chunk.slots.get(slot % CHUNK).and_then(Option::as_ref).is_some_and(|old| old.says_the_same(&entry)) {
            return;
        }
        entry.changed_at = epoch;
        let chunk = Arc::make_mut(chunk);
        if chunk.slots.len() <= slot % CHUNK {
            chunk.slots.resize(slot % CHUNK + 1, None);
        }
        chunk.slots[slot % CHUNK] = Some(Arc::new(entry));
        chunk.changed_at = epoch;
        self.dirty = true;
    }

    /// Drops the target in `slot` and every name of it.
    pub fn drop_slot(&mut self, slot: usize) {
        let Some(chunk) = self.next.chunks.get_mut(slot / CHUNK) else { return };
        let chunk: &mut Chunk = Arc::make_mut(chunk);
        if let Some(place) = chunk.slots.get_mut(slot % CHUNK) {
            *place = None;
        }
        Arc::make_mut(&mut self.next.index).retain(|_, named| *named != slot);
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
}
