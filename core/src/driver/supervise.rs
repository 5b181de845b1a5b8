// SPDX-License-Identifier: Apache-2.0
//! A driver that panics is replaced: what was published stays, stale, and another one starts after a pause.
//!
//! Nothing is known of the state that a panic leaves behind, so nothing of it is used again but what readers already have and the
//! [`Ledger`] of what is watched.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use super::{Command, Driver, Window, ledger::Ledger};
use crate::{
    backoff::Backoff,
    observe::{Level, cut},
    store::{Store, Writer},
};

/// Between two drivers.
const PAUSE: Backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(10) };
/// A driver that has run for so long has not failed because of how it started.
const SETTLED: Duration = Duration::from_secs(60);

/// Runs drivers, one after another, until every handle is gone.
pub(crate) async fn supervise(
    mut build: impl FnMut(Writer, Instant) -> Driver,
    mut commands: mpsc::UnboundedReceiver<Command>,
    store: &Arc<Store>,
    window: &Window,
) {
    let started = Instant::now();
    let mut ledger = Ledger::default();
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let writer = if failures == 0 { Writer::new(Arc::clone(store)) } else { Writer::successor(Arc::clone(store)) };
        let run = async { build(writer, started).run(&mut commands, &mut ledger).await };
        let Err(what) = contained(run).await else { return };
        failures = if began.elapsed() > SETTLED { 1 } else { failures + 1 };
        let pause = PAUSE.delay(failures, 0.5);
        window.failed(started.elapsed(), &what, pause);
        if !pass(pause, &mut commands, &mut ledger).await {
            return;
        }
    }
}

/// Lets time pass; what is watched meanwhile is written down. Returns whether anybody is left.
async fn pass(pause: Duration, commands: &mut mpsc::UnboundedReceiver<Command>, ledger: &mut Ledger) -> bool {
    let until = Instant::now() + pause;
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                // Who asks how things are learns it from the window.
                Some(command) => ledger.note(&command),
                None => return false,
            },
            () = tokio::time::sleep_until(until) => return true,
        }
    }
}

/// What came out, or why it panicked.
async fn contained<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(words(&*panic))),
    })
    .await
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    cut(text.unwrap_or("without words"), 500).into_owned()
}

impl Window {
    /// The driver has panicked; the next one starts after this pause.
    fn failed(&self, now: Duration, what: &str, pause: Duration) {
        let text = format!("the client failed: {what} (a defect, contained); it starts again in {} s", pause.as_secs());
        {
            let mut status = self.status();
            status.connected = false;
            status.stale_since.get_or_insert(now);
            status.defects += 1;
            status.last_error.clone_from(&text);
        }
        self.note(now, Level::Warn, text);
    }
}
