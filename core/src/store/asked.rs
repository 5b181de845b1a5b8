// SPDX-License-Identifier: Apache-2.0
//! Spellings that are watched, known at once: the snapshot learns of them with the writer's next step.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use super::Entry;

/// Says no more than that there is no answer yet.
static PENDING: LazyLock<Arc<Entry>> = LazyLock::new(|| Arc::new(Entry::pending("".into())));

/// How often each spelling is watched.
#[derive(Debug, Default)]
pub struct Asked(Mutex<HashMap<Box<str>, usize>>);

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
        self.counts().contains_key(spelling).then(|| &*PENDING)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
