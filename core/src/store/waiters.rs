// SPDX-License-Identifier: Apache-2.0
//! The published snapshot and those who wait for the next one.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    Asked, Snapshot,
    sync::{AtomicU64, Condvar, Current, Mutex, MutexGuard},
};

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There is a newer snapshot; its epoch.
    Changed(u64),
    /// Nothing changed in time; the epoch as it was.
    TimedOut(u64),
    /// The caller's own handle was shut down.
    Stopped,
}

/// Holds the current snapshot.
#[derive(Debug, Default)]
pub struct Store {
    current: Current<Snapshot>,
    epoch: AtomicU64,
    gate: Mutex<()>,
    changed: Condvar,
}

impl Store {
    /// The newest snapshot. Lock-free.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// What is watched: a look-up of it in any snapshot is pending at least.
    pub fn asked(&self) -> Arc<Asked> {
        Arc::clone(&self.snapshot().asked)
    }

    /// Epoch of the newest snapshot. Wait-free.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Blocks until the epoch is above `since`, `timeout` has passed (`None`: no limit), or `stopped` says so after a [`Store::wake_all`].
    pub fn wait(&self, since: u64, timeout: Option<Duration>, stopped: impl Fn() -> bool) -> Wake {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut gate = self.gate();
        loop {
            if stopped() {
                return Wake::Stopped;
            }
            let epoch = self.epoch();
            if epoch > since {
                return Wake::Changed(epoch);
            }
            gate = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Wake::TimedOut(epoch),
                Some(left) => self.changed.wait_timeout(gate, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(gate).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Lets every waiter look at its stop condition.
    pub fn wake_all(&self) {
        drop(self.gate());
        self.changed.notify_all();
    }

    pub(super) fn publish(&self, snapshot: Snapshot) {
        let epoch = snapshot.epoch();
        // The snapshot first: whoever sees the epoch finds a snapshot at least as new.
        self.current.store(Arc::new(snapshot));
        self.epoch.store(epoch, Ordering::Release);
        // Passing through the gate makes sure that nobody sits between looking at the epoch and going to sleep.
        self.wake_all();
    }

    fn gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;
    use crate::{
        model::State,
        store::{Entry, Writer},
    };

    fn entry(state: State) -> Entry {
        Entry { state, ..Entry::pending("t".into()) }
    }

    #[test]
    fn one_publication_is_one_step_and_saying_the_same_is_none() {
        let store = Arc::new(Store::default());
        let mut writer = Writer::new(Arc::clone(&store));
        writer.set(0, entry(State::Pending));
        writer.set(1, entry(State::Unknown));
        assert!(writer.publish());
        assert_eq!(store.epoch(), 1);
        writer.set(0, entry(State::Pending));
        assert!(!writer.publish());
        assert_eq!(store.epoch(), 1);
    }

    #[test]
    fn an_old_snapshot_does_not_change() {
        let store = Arc::new(Store::default());
        let mut writer = Writer::new(Arc::clone(&store));
        writer.name(&"t".into(), 0);
        writer.set(0, entry(State::Pending));
        writer.publish();
        let old = store.snapshot();
        writer.set(0, entry(State::Unknown));
        writer.publish();
        assert_eq!(old.get("t").expect("named").state, State::Pending);
        assert_eq!(store.snapshot().get("t").expect("named").state, State::Unknown);
    }

    #[test]
    fn what_has_just_been_watched_is_pending_until_the_writer_says_more() {
        let store = Arc::new(Store::default());
        let mut writer = Writer::new(Arc::clone(&store));
        let before = store.snapshot();
        let asked = store.asked();
        asked.add("t");
        asked.add("t");
        assert_eq!(before.get("t").map(|entry| entry.state), Some(State::Pending));
        assert!(before.get("other").is_none());
        writer.name(&"t".into(), 0);
        writer.set(0, entry(State::Unknown));
        writer.publish();
        assert_eq!(store.snapshot().get("t").map(|entry| entry.state), Some(State::Unknown));
        writer.drop_slot(0);
        writer.publish();
        asked.remove("t");
        assert!(store.snapshot().get("t").is_some(), "somebody else watches it");
        asked.remove("t");
        assert!(store.snapshot().get("t").is_none() && before.get("t").is_none());
    }

    #[test]
    fn changes_are_those_after_an_epoch_and_a_drop_is_told() {
        let store = Arc::new(Store::default());
        let mut writer = Writer::new(Arc::clone(&store));
        for slot in 0..130 {
            writer.set(slot, entry(State::Pending));
        }
        writer.publish();
        writer.set(129, entry(State::Unknown));
        writer.publish();
        let snapshot = store.snapshot();
        assert_eq!(snapshot.changes(1).count(), 1);
        assert_eq!(snapshot.changes(0).count(), 130);
        writer.drop_slot(3);
        writer.publish();
        assert!(store.snapshot().shrank_after(2) && !store.snapshot().shrank_after(3));
        assert_eq!(store.snapshot().changes(3).count(), 0);
        assert_eq!(store.snapshot().entries().count(), 129);
    }

    #[test]
    fn a_new_name_of_an_old_target_is_a_change_and_comes_with_every_name() {
        let store = Arc::new(Store::default());
        let mut writer = Writer::new(Arc::clone(&store));
        for (slot, name) in ["orders", "other"].into_iter().enumerate() {
            writer.name(&name.into(), slot);
            writer.set(slot, entry(State::Ready));
        }
        writer.publish();
        writer.name(&"ORDERS".into(), 0);
        assert!(writer.publish());
        let snapshot = store.snapshot();
        let changes: Vec<_> = snapshot.changes(1).map(|(entry, names)| (entry.changed_at, names.to_vec())).collect();
        assert_eq!(changes, [(1, vec!["orders".into(), "ORDERS".into()])], "its age is as before");
    }

    #[test]
    fn a_slot_that_is_used_again_has_no_name_of_its_former_target() {
        let store = Arc::new(Store::default());
        let mut writer = Writer::new(Arc::clone(&store));
        writer.name(&"old".into(), 0);
        writer.set(0, entry(State::Ready));
        writer.publish();
        writer.drop_slot(0);
        writer.name(&"new".into(), 0);
        writer.set(0, entry(State::Pending));
        writer.publish();
        let snapshot = store.snapshot();
        assert!(snapshot.get("old").is_none() && snapshot.get("new").is_some());
        assert_eq!(snapshot.changes(0).map(|(_, names)| names.to_vec()).collect::<Vec<_>>(), [vec!["new".into()]]);
    }

    #[test]
    fn a_waiter_wakes_on_a_change_on_its_timeout_and_on_its_own_stop() {
        let store = Arc::new(Store::default());
        assert_eq!(store.wait(0, Some(Duration::ZERO), || false), Wake::TimedOut(0));
        let waiter = thread::spawn({
            let store = Arc::clone(&store);
            move || store.wait(0, None, || false)
        });
        let mut writer = Writer::new(Arc::clone(&store));
        writer.set(0, entry(State::Pending));
        writer.publish();
        assert_eq!(waiter.join().expect("no panic"), Wake::Changed(1));
        let stop = Arc::new(AtomicBool::new(false));
        let waiter = thread::spawn({
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            move || store.wait(1, None, || stop.load(Ordering::Acquire))
        });
        stop.store(true, Ordering::Release);
        store.wake_all();
        assert_eq!(waiter.join().expect("no panic"), Wake::Stopped);
    }
}
