// SPDX-License-Identifier: Apache-2.0
//! What the driver shows to handles.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    certificate::Slot,
    observe::{Events, Level},
    protocol::Time,
};

/// How the connection stands; what `describe` shows.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) connected: bool,
    /// Since when there has been no synced stream, at first since the start; `None` while there is one.
    pub(crate) stale_since: Option<Time>,
    /// How old the lists were when they were read from disk.
    pub(crate) stale_already: Duration,
    pub(crate) streams: u64,
    pub(crate) failures: u64,
    /// How often the driver itself failed and was replaced.
    pub(crate) defects: u64,
    /// Why there is no synced stream; empty while there is one.
    pub(crate) last_error: String,
    pub(crate) variant: &'static str,
    pub(crate) hosts: usize,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            connected: false,
            stale_since: Some(Time::ZERO),
            stale_already: Duration::ZERO,
            streams: 0,
            failures: 0,
            defects: 0,
            last_error: String::new(),
            variant: "",
            hosts: 0,
        }
    }
}

/// What the driver shows to handles.
#[derive(Debug, Default)]
pub(crate) struct Window {
    status: Mutex<Status>,
    events: Mutex<Events>,
    pub(crate) certificate: Slot,
}

impl Window {
    pub(crate) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, at: Time, level: Level, text: String) {
        self.events().push(at, level, text);
    }
}
