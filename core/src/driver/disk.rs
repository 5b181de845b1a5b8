// SPDX-License-Identifier: Apache-2.0
//! Reading and writing the last known good beside the event loop: at most one read and one write are on their way.

use std::{
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::task::{JoinHandle, spawn_blocking};

use super::Event;
use crate::{
    cache::{self, Cache, Unwritten},
    protocol::Time,
};

/// What was read from disk, or why it was not.
pub(super) type Restored = Result<Option<cache::Found>, String>;

/// A file, and how writing it went.
type Written = (Unwritten, io::Result<()>);

pub(super) struct Disk {
    pub(super) cache: Cache,
    /// When to read what was saved, unless a server has answered before.
    pub(super) read_at: Option<Time>,
    reading: Option<JoinHandle<Restored>>,
    writing: Option<JoinHandle<Written>>,
    /// The last attempt to write has failed: it is tried again, and said once.
    failing: bool,
}

impl Disk {
    pub(super) fn new(cache: Cache, read_at: Option<Time>) -> Self {
        Self { cache, read_at, reading: None, writing: None, failing: false }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let write = self.cache.due().filter(|_| self.writing.is_none());
        [self.read_at, write].into_iter().flatten().min()
    }

    /// Starts what is due.
    pub(super) fn tend(&mut self, now: Time) {
        if self.read_at.is_some_and(|at| at <= now) {
            self.read_at = None;
            let (path, identity): (PathBuf, String) = self.cache.place();
            self.reading = Some(spawn_blocking(move || cache::read(&path, &identity)));
        }
        if self.writing.is_none()
            && self.cache.due().is_some_and(|at| at <= now)
            && let Some(file) = self.cache.take(now)
        {
            self.writing = Some(spawn_blocking(move || written(file)));
        }
    }

    /// Writes what is not written yet. Nobody is left to be told how that went.
    pub(super) async fn finish(mut self, now: Time) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.await.map(|written| self.settle(written));
        }
        if let Some(mut file) = self.cache.take(now) {
            let _ = file.write();
        }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Some(reading) = &mut self.reading
            && let Poll::Ready(restored) = Pin::new(reading).poll(context)
        {
            self.reading = None;
            return Poll::Ready(Event::Restored(restored.unwrap_or_else(|error| Err(error.to_string()))));
        }
        if let Some(writing) = &mut self.writing
            && let Poll::Ready(ended) = Pin::new(writing).poll(context)
        {
            self.writing = None;
            let failure = ended.map_or_else(|error| Some(io::Error::other(error)), |written| self.settle(written));
            let known = std::mem::replace(&mut self.failing, failure.is_some());
            if let Some(error) = failure.filter(|_| !known) {
                return Poll::Ready(Event::NotWritten(error));
            }
            // The next deadline is another one now.
            return Poll::Ready(Event::Tick);
        }
        Poll::Pending
    }

    /// Takes back what could not be written; returns why.
    fn settle(&mut self, (file, outcome): Written) -> Option<io::Error> {
        outcome.inspect_err(|_| self.cache.put_back(file)).err()
    }
}

fn written(mut file: Unwritten) -> Written {
    let outcome = file.write();
    (file, outcome)
}
