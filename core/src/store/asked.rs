// SPDX-License-Identifier: Apache-2.0
//! Spellings that are watched, known at once: the snapshot learns of them with the writer's next step.

use std::{
    collections::HashMap,
    process,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use super::Entry;

/// Says no more than that there is no answer yet.
static PENDING: LazyLock<Arc<Entry>> = LazyLock::new(|| Arc::new(Entry::pending("".into())));

/// How often each spelling is watched.
#[derive(Debug)]
pub struct Asked {
    counts: Mutex<HashMap<Box<str>, usize>>,
    process: u32,
}

impl Default for Asked {
    fn default() -> Self {
        Self { counts: Mutex::default(), process: process::id() }
    }
}

impl Asked {
    /// Watched once more.
    pub fn add(&self, spelling: &str) {
        *self.counts().entry(spelling.into()).or_default() += 1;
    }

    /// Watched once less.
    pub fn remove(&self, spelling: &str) {
        let mut counts = self.counts();
        if let Some(count) = counts.get_mut(spelling) {
            *count -= 1;
            if *count == 0 {
                counts.remove(spelling);
            }
        }
    }

    pub(super) fn entry(&self, spelling: &str) -> Option<&'static Arc<Entry>> {
        // In a forked child nothing is watched; another thread may have held the lock at the fork.
        (self.process == process::id() && self.counts().contains_key(spelling)).then(|| &*PENDING)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
