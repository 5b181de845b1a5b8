// SPDX-License-Identifier: Apache-2.0
//! EDS decode: our walk beside `envoy-types` and beside the floor (hashing the bytes), in one run, over 100,000 endpoints.
//! Bytes per endpoint are counted by an allocator, not estimated.
#![allow(missing_docs, clippy::print_stdout, reason = "a benchmark")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost::Message;
use proxyless_benches::assignment;
use proxyless_core::resource::AssignmentDecoder;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes every call on to the system's allocator and only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the callee's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the callee's.
        unsafe { System.dealloc(pointer, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SERVICES: usize = 1000;
const ENDPOINTS: usize = 100;

fn payload() -> Vec<Vec<u8>> {
    (0..SERVICES).map(|service| assignment(service, ENDPOINTS)).collect()
}

fn held<T>(what: &str, make: impl FnOnce() -> T) {
    let before = LIVE.load(Ordering::Relaxed);
    let value = make();
    let bytes = LIVE.load(Ordering::Relaxed) - before;
    println!("held: {what}: {} bytes per endpoint", bytes / (SERVICES * ENDPOINTS));
    drop(value);
}

fn decode(c: &mut Criterion) {
    let payload = payload();
    let bytes: usize = payload.iter().map(Vec::len).sum();
    println!("payload: {} bytes per endpoint", bytes / (SERVICES * ENDPOINTS));
    let walk =
        |decoder: &mut AssignmentDecoder| -> Vec<_> { payload.iter().map(|body| decoder.decode(body).expect("valid")).collect() };
    let prost = || -> Vec<_> { payload.iter().map(|body| ClusterLoadAssignment::decode(&body[..]).expect("valid")).collect() };
    held("proxyless", || walk(&mut AssignmentDecoder::default()));
    held("envoy-types", prost);
    let mut group = c.benchmark_group("eds-100k-endpoints");
    group.sample_size(20).throughput(Throughput::Elements((SERVICES * ENDPOINTS) as u64));
    group.bench_function("hash-only", |b| b.iter(|| payload.iter().fold(0, |acc, body| acc ^ xxhash_rust::xxh3::xxh3_128(body))));
    let mut decoder = AssignmentDecoder::default();
    group.bench_function("proxyless", |b| b.iter(|| black_box(walk(&mut decoder))));
    group.bench_function("envoy-types", |b| b.iter(|| black_box(prost())));
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
