// SPDX-License-Identifier: Apache-2.0
//! Reading: a look-up in a snapshot of 5,000 targets, publishing one change among them, and encoding one change among 50, 500 and
//! 5,000 for the bridges, which must take the same time.
#![allow(missing_docs, reason = "a benchmark")]

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use proxyless_core::{
    model::State,
    store::{Entry, Snapshot, Store, Writer},
    wire,
};

const TARGETS: usize = 5000;

fn target(n: usize) -> Arc<str> {
    format!("svc-{n}.ns.svc.cluster.local:8080/v1").into()
}

/// A snapshot in which one of so many targets has just changed.
fn one_changed(targets: usize) -> Arc<Snapshot> {
    let store = Arc::new(Store::default());
    let mut writer = Writer::new(Arc::clone(&store));
    for n in 0..targets {
        writer.name(&target(n), n);
        writer.set(n, Entry::pending(target(n)));
    }
    writer.publish();
    writer.set(12, Entry { state: State::Unknown, ..Entry::pending(target(12)) });
    writer.publish();
    store.snapshot()
}

fn encode(c: &mut Criterion) {
    for targets in [50, 500, 5000] {
        let snapshot = one_changed(targets);
        c.bench_function(&format!("encode: one change among {targets}"), |b| b.iter(|| black_box(wire::encode(&snapshot, 1))));
    }
}

fn lookup(c: &mut Criterion) {
    let store = Arc::new(Store::default());
    let mut writer = Writer::new(Arc::clone(&store));
    for n in 0..TARGETS {
        writer.name(&target(n), n);
        writer.set(n, Entry::pending(target(n)));
    }
    writer.publish();
    let wanted = target(1234);
    c.bench_function("snapshot: take", |b| b.iter(|| black_box(store.snapshot())));
    let snapshot = store.snapshot();
    c.bench_function("snapshot: look one of 5,000 up", |b| b.iter(|| black_box(snapshot.get(black_box(&wanted)))));
    let mut flip = false;
    c.bench_function("publish: one change among 5,000", |b| {
        b.iter(|| {
            flip = !flip;
            let state = if flip { State::Unknown } else { State::Pending };
            writer.set(1234, Entry { state, ..Entry::pending(target(1234)) });
            writer.publish()
        });
    });
}

criterion_group!(benches, lookup, encode);
criterion_main!(benches);
