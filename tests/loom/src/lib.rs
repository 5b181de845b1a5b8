// SPDX-License-Identifier: Apache-2.0
//! The store's promises, under every order of steps: the epoch only grows, a snapshot taken after reading an epoch is at least that
//! new, and no waiter sleeps past a change or past its stop.
#![cfg(test)]

use std::sync::Arc;

use loom::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use proxyless_core::{
    model::State,
    store::{Entry, Store, Wake, Writer},
};

fn publish(writer: &mut Writer, state: State) {
    writer.set(0, Entry { state, ..Entry::pending("t".into()) });
    assert!(writer.publish());
}

#[test]
fn no_waiter_sleeps_past_a_change() {
    loom::model(|| {
        let store = Arc::new(Store::default());
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let store = Arc::clone(&store);
                thread::spawn(move || {
                    let Wake::Changed(epoch) = store.wait(0, None, || false) else { panic!("nothing else ends this wait") };
                    assert!(store.snapshot().epoch() >= epoch);
                })
            })
            .collect();
        publish(&mut Writer::new(Arc::clone(&store)), State::Unknown);
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
    });
}

#[test]
fn a_snapshot_is_at_least_as_new_as_the_epoch_read_before_it() {
    loom::model(|| {
        let store = Arc::new(Store::default());
        let reader = {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                let mut before = 0;
                for _ in 0..2 {
                    let epoch = store.epoch();
                    let snapshot = store.snapshot();
                    assert!(epoch >= before && snapshot.epoch() >= epoch);
                    before = epoch;
                }
            })
        };
        let mut writer = Writer::new(Arc::clone(&store));
        publish(&mut writer, State::Unknown);
        publish(&mut writer, State::Ready);
        reader.join().expect("no panic");
        assert_eq!((store.epoch(), store.snapshot().epoch()), (2, 2));
    });
}

#[test]
fn no_waiter_sleeps_past_its_stop_whatever_is_published_meanwhile() {
    loom::model(|| {
        let store = Arc::new(Store::default());
        let stop = Arc::new(AtomicBool::new(false));
        let waiter = {
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            thread::spawn(move || store.wait(1, None, || stop.load(Ordering::Acquire)))
        };
        publish(&mut Writer::new(Arc::clone(&store)), State::Unknown);
        stop.store(true, Ordering::Release);
        store.wake_all();
        assert_eq!(waiter.join().expect("no panic"), Wake::Stopped);
    });
}
