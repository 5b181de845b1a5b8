// SPDX-License-Identifier: Apache-2.0
use std::{path::Path, sync::Arc};

use super::*;
use crate::{
    model::{Endpoint, Extension, Health, Invalid, State},
    select::List,
    store::{Entry, Store, Writer},
};

/// Two targets: one ready with two zones, unequal weights and a host name; one invalid.
fn sample() -> (Arc<Store>, Writer) {
    let endpoint = |address: &str, weight, locality, extension| Endpoint {
        weight,
        locality,
        extension,
        health: Health::Healthy as u8,
        ..Endpoint::at(address.parse().expect("an address"))
    };
    let zone = |zone: &str| Locality { region: "region".into(), zone: zone.into(), sub_zone: "".into(), weight: 0 };
    let list = List::new(
        Arc::new([endpoint("10.0.0.1:8080", 3, 0, 0), endpoint("[2001:db8::2]:8081", 1, 1, 1)]),
        Arc::new([zone("zone-a"), zone("zone-b")]),
        Arc::new([Extension { hostname: "two.example".into(), workload: "w;ns;c;r;k".into(), additional: vec![] }]),
    );
    let ready = Entry {
        resolved: "go-sc-a.demo.svc.cluster.local:8080".into(),
        state: State::Ready,
        partial: true,
        list: Arc::new(list),
        ..Entry::pending("go-sc-a".into())
    };
    let invalid = Entry {
        state: State::Invalid(Invalid::UndefinedSubset),
        detail: "no subset «v9»".into(),
        ..Entry::pending("go-sc-a/v9".into())
    };
    let store = Arc::new(Store::default());
    let mut writer = Writer::new(Arc::clone(&store));
    for (slot, entry) in [ready, invalid].into_iter().enumerate() {
        writer.name(&entry.target, slot);
        writer.set(slot, entry);
    }
    writer.name(&"GO-SC-A".into(), 0);
    writer.publish();
    (store, writer)
}

#[test]
fn what_is_encoded_reads_back() {
    let (store, _writer) = sample();
    let bytes = encode(&store.snapshot(), 0).expect("something to say");
    let flat = Flat::parse(&bytes).expect("well formed");
    assert_eq!((flat.epoch, flat.since, flat.changes_only), (1, 0, false));
    let targets = flat.targets().expect("well formed");
    assert_eq!(targets[0].target, "go-sc-a");
    assert_eq!(targets[0].resolved, "go-sc-a.demo.svc.cluster.local:8080");
    assert_eq!((targets[0].state, targets[0].partial), ((2, 0), true));
    assert_eq!(targets[0].endpoints.len(), 2);
    assert_eq!(targets[0].order, [0, 0, 1, 0]);
    assert_eq!(targets[0].zones, ["zone-a", "zone-b"]);
    assert_eq!(targets[0].hostnames, ["two.example"]);
    assert_eq!((targets[1].state, targets[1].detail), ((4, 1), "no subset «v9»"));
    let spellings = flat.spellings().expect("well formed");
    assert_eq!(spellings, [("go-sc-a", "go-sc-a"), ("GO-SC-A", "go-sc-a"), ("go-sc-a/v9", "go-sc-a/v9")]);
}

#[test]
fn only_what_changed_is_encoded_and_nothing_when_nothing_did() {
    let (store, mut writer) = sample();
    writer.set(1, Entry { state: State::Unknown, ..Entry::pending("go-sc-a/v9".into()) });
    writer.publish();
    assert!(encode(&store.snapshot(), 2).is_none());
    let bytes = encode(&store.snapshot(), 1).expect("something to say");
    let flat = Flat::parse(&bytes).expect("well formed");
    assert!(flat.changes_only);
    assert_eq!(flat.targets().expect("well formed").len(), 1);
    writer.drop_slot(1);
    writer.publish();
    let bytes = encode(&store.snapshot(), 2).expect("something to say");
    let flat = Flat::parse(&bytes).expect("well formed");
    assert!(!flat.changes_only, "after a drop only the whole tells");
    assert_eq!(flat.targets().expect("well formed").len(), 1);
}

#[test]
fn the_golden_file_is_what_is_encoded_and_java_reads_the_same_file() {
    let (store, _writer) = sample();
    let bytes = encode(&store.snapshot(), 0).expect("something to say");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/flat-v1.bin");
    if std::env::var_os("PROXYLESS_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &bytes).expect("writable");
    }
    let golden = std::fs::read(&path).expect("tests/golden/flat-v1.bin");
    assert!(bytes == golden, "run `make header` and commit the result, or mend the encoder");
}

#[test]
fn a_second_spelling_of_a_known_target_is_told_with_its_list() {
    let (store, mut writer) = sample();
    writer.name(&"Go-Sc-A".into(), 0);
    writer.publish();
    let bytes = encode(&store.snapshot(), 1).expect("something to say");
    let flat = Flat::parse(&bytes).expect("well formed");
    assert!(flat.changes_only);
    let targets = flat.targets().expect("well formed");
    assert_eq!((targets.len(), targets[0].target, targets[0].endpoints.len()), (1, "go-sc-a", 2));
    let spellings = flat.spellings().expect("well formed");
    assert_eq!(spellings, [("go-sc-a", "go-sc-a"), ("GO-SC-A", "go-sc-a"), ("Go-Sc-A", "go-sc-a")]);
}

#[test]
fn a_change_costs_the_same_whatever_else_is_watched() {
    let cost = |targets: usize| {
        let store = Arc::new(Store::default());
        let mut writer = Writer::new(Arc::clone(&store));
        for slot in 0..targets {
            let name: Arc<str> = format!("svc-{slot:05}.ns.svc.cluster.local:8080").into();
            writer.name(&name, slot);
            writer.name(&format!("svc-{slot:05}").into(), slot);
            writer.set(slot, Entry::pending(name));
        }
        writer.publish();
        writer.set(0, Entry { state: State::Unknown, ..Entry::pending("svc-00000.ns.svc.cluster.local:8080".into()) });
        writer.publish();
        let snapshot = store.snapshot();
        let mut bytes = 0;
        let allocations = allocation_counter::measure(|| bytes = encode(&snapshot, 1).expect("something to say").len());
        (bytes, allocations.count_total, allocations.bytes_total)
    };
    assert_eq!(cost(2), cost(5000));
}

#[test]
fn damaged_buffers_are_refused_and_never_read_outside() {
    let (store, _writer) = sample();
    let bytes = encode(&store.snapshot(), 0).expect("something to say");
    for length in 0..bytes.len() {
        if let Ok(flat) = Flat::parse(&bytes[..length]) {
            let _ = flat.targets();
        }
    }
    for position in 0..bytes.len() {
        for value in [0, 0x7f, 0xff] {
            let mut damaged = bytes.clone();
            damaged[position] = value;
            if let Ok(flat) = Flat::parse(&damaged) {
                let _ = (flat.targets(), flat.spellings());
            }
        }
    }
    let mut newer = bytes.clone();
    newer[4] = 2;
    assert!(Flat::parse(&newer).expect_err("refused").to_string().contains("major version 2"));
}

#[test]
fn c_100_large_unsigned_numbers_keep_their_sign() {
    let weights = [u32::MAX, 1 << 31, 1];
    let endpoint = |(at, weight): (usize, &u32)| Endpoint {
        weight: *weight,
        health: Health::Healthy as u8,
        ..Endpoint::at(([10, 0, 0, at as u8], 65535).into())
    };
    let endpoints: Vec<Endpoint> = weights.iter().enumerate().map(endpoint).collect();
    let list = List::new(endpoints.into(), Arc::new([Locality::default()]), Arc::new([]));
    let store = Arc::new(Store::default());
    let mut writer = Writer::new(Arc::clone(&store));
    writer.name(&"a".into(), 0);
    writer.set(0, Entry { state: State::Ready, list: Arc::new(list), ..Entry::pending("a".into()) });
    writer.publish();
    let bytes = encode(&store.snapshot(), 0).expect("something to say");
    let targets = Flat::parse(&bytes).expect("well formed").targets().expect("well formed");
    let u32_at = |record: &[u8; 32], at: usize| u32::from_le_bytes(record[at..at + 4].try_into().expect("four bytes"));
    let read: Vec<(u32, u16)> = targets[0].endpoints.iter().map(|e| (u32_at(e, 24), u16::from_le_bytes([e[16], e[17]]))).collect();
    assert_eq!(read, weights.map(|weight| (weight, 65535)));
    let picks = |index: u32| targets[0].order.iter().filter(|other| **other == index).count();
    assert!(picks(0) > picks(1) && picks(1) > 0, "twice the weight, not a negative one: {:?}", targets[0].order);
}
