// SPDX-License-Identifier: Apache-2.0
//! The client program of a comparison between xDS clients: watches N services and says on standard output what it sees, when.
//!
//! In: `XDS_TARGET` (host:port, plaintext), `XDS_N` services, `XDS_M` endpoints each. Out, one JSON object a line: `ready` when every
//! list is published, then `seen` whenever a list holds a higher marker than before (the low 24 bits of an address in 11.0.0.0/8).
//! Answers a line `gc` on standard input.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark program: its output is its purpose")]

use std::{
    collections::HashMap,
    io::{BufRead, Write},
    thread,
};

use proxyless_benches::{monotonic_ns, name};
use proxyless_core::{
    Client,
    config::{Config, Sources},
    model::{Endpoint, State},
};

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn memory(key: &str) -> i64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key)).and_then(|line| line.split_whitespace().nth(1));
    line.and_then(|value| value.parse().ok()).unwrap_or(-1)
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

fn marker(endpoints: &[Endpoint]) -> u32 {
    let marked = endpoints.iter().filter(|endpoint| endpoint.family == 4 && endpoint.ip[0] == 11);
    marked.map(|e| u32::from_be_bytes([0, e.ip[1], e.ip[2], e.ip[3]])).max().unwrap_or(0)
}

fn main() {
    thread::spawn(|| {
        for line in std::io::stdin().lock().lines() {
            if line.is_ok_and(|line| line == "gc") {
                // SAFETY: no requirements.
                unsafe { libc::malloc_trim(0) };
                say(&format!("{{\"ev\":\"gc\",\"rss_kb\":{}}}", memory("VmRSS")));
            }
        }
    });
    let services: usize = variable("XDS_N", "100").parse().unwrap();
    let endpoints: usize = variable("XDS_M", "10").parse().unwrap();
    let document = format!("{{\"server\": \"http://{}\", \"profile\": \"envoy\"}}", variable("XDS_TARGET", "127.0.0.1:18000"));
    let client = Client::open(Config::load(&Sources { document, ..Default::default() }).unwrap()).unwrap();
    let mut numbers = HashMap::new();
    for service in 0..services {
        let target = format!("cluster:{}", name(service));
        client.watch(&target).unwrap();
        numbers.insert(target, service);
    }
    let mut markers = vec![0; services];
    let (mut since, mut ready) = (0, false);
    loop {
        client.wait(since, None).unwrap();
        let now = monotonic_ns();
        let snapshot = client.snapshot();
        if !ready {
            let entries: Vec<_> = snapshot.entries().collect();
            if entries.len() == services && entries.iter().all(|entry| entry.state == State::Ready) {
                ready = true;
                let held: usize = entries.iter().map(|entry| entry.list.endpoints().len()).sum();
                assert_eq!(held, services * endpoints);
                let (hwm, rss) = (memory("VmHWM"), memory("VmRSS"));
                say(&format!(
                    "{{\"ev\":\"ready\",\"mono_ns\":{now},\"services\":{services},\"endpoints\":{held},\"hwm_kb\":{hwm},\"rss_kb\":{rss}}}"
                ));
            }
        }
        for (entry, _) in snapshot.changes(since) {
            let seen = marker(entry.list.endpoints());
            let service = numbers[&*entry.target];
            if seen > markers[service] {
                markers[service] = seen;
                if ready {
                    say(&format!("{{\"ev\":\"seen\",\"svc\":{service},\"seq\":{seen},\"mono_ns\":{now}}}"));
                }
            }
        }
        since = snapshot.epoch();
    }
}
