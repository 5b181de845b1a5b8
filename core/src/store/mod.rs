// SPDX-License-Identifier: Apache-2.0
//! Where answers are published: one writer builds immutable snapshots, any number of readers take them without a lock.
//!
//! Invariants: the epoch only grows; a snapshot taken after reading an epoch is at least that new; no waiter sleeps past a
//! change. Publishing costs what changed: targets lie in small shared chunks, and only touched chunks are copied.

mod asked;
mod snapshot;
mod sync;
mod waiters;
mod writer;

pub use asked::Asked;
pub use snapshot::{Entry, Named, Snapshot};
pub use waiters::{Store, Wake};
pub use writer::Writer;
