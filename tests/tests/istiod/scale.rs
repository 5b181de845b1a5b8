// SPDX-License-Identifier: Apache-2.0
//! A thousand services, read from C: how long it takes, and how much memory.

use std::{collections::BTreeSet, process::Command};

use proxyless_tests::{Istiod, Process, compile, eventually, repository};
use serde_json::json;
use tempfile::TempDir;

use crate::{service, slice};

/// Resident memory of a process in MiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// How long istiod waited for more changes before each of its pushes, in milliseconds, as it logs it.
fn debounced(log: &str) -> Vec<f64> {
    let lines = log.lines().filter(|line| line.contains("Push debounce stable"));
    let waits = lines.map(|line| line.split(" since last push").next().unwrap().rsplit(' ').next().unwrap());
    waits
        .map(|wait| {
            let (number, millis) = match (wait.strip_suffix("ms"), wait.strip_suffix("µs")) {
                (Some(number), _) => (number, 1.0),
                (_, Some(number)) => (number, 0.001),
                _ => (wait.trim_end_matches('s'), 1000.0),
            };
            millis * number.parse::<f64>().unwrap()
        })
        .collect()
}

/// For the runner of all tests to show: figures for the documentation, not a verdict.
fn measured(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "MEASURED: {text}");
}

#[test]
fn a_thousand_services_of_twenty_endpoints_are_synced_in_c_and_a_change_among_them_arrives() {
    let istiod = Istiod::start_with(&["-log", "info"], &[]);
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    let address = |n: usize, last: usize| format!("10.{}.{}.{last}", n / 250, n % 250);
    let slice_of = |n: usize, last: usize| {
        let list: Vec<String> = (1..=19).chain([last]).map(|e| address(n, e)).collect();
        let list: Vec<(&str, &str, bool)> = list.iter().map(|ip| ("-", ip.as_str(), true)).collect();
        slice(&format!("s{n}"), &[("http", 8080)], &list)
    };
    for n in 0..1000 {
        let service = service("demo", &format!("s{n}"), &format!(", clusterIP: 10.100.{}.{}", n / 250, 1 + n % 250));
        istiod.apply(&(service + "---\n" + &slice_of(n, 20)));
    }
    let folder = TempDir::new().unwrap();
    let program = compile(&repository().join("ffi-c/tests/follow.c"), &folder, &["-O2"]);
    let settings = json!({"server": istiod.plaintext(), "namespace": "demo", "pod_ip": "127.0.0.9"}).to_string();
    let mut follow = Process::start(Command::new(program).arg(settings));
    follow.line("its start", |line| line == "started");
    let before = resident(follow.pid());
    (0..1000).for_each(|n| follow.write_line(&format!("s{n}:8080")));
    follow.write_line("");
    let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let complete = |out: &str| {
        out.lines().map(fields).filter(|f| f.len() == 6 && f[4] == "20").map(|f| f[2].clone()).collect::<BTreeSet<_>>().len()
            == 1000
    };
    eventually("all lists", || complete(&follow.out()).then_some(()));
    let out = follow.out();
    let time = |line: &str| fields(line)[1].parse::<u64>().unwrap();
    let opened = time(out.lines().find(|line| line.starts_with("open ")).unwrap());
    let synced = time(out.lines().rfind(|line| line.starts_with("list ")).unwrap());
    measured(&format!(
        "1,000 services of 20 endpoints from istiod: all lists in C after {} ms, {} MiB of memory more",
        (synced - opened) / 1_000_000,
        resident(follow.pid()).saturating_sub(before)
    ));
    let (mut delays, mut own): (Vec<f64>, Vec<f64>) = (0..100)
        .map(|round| {
            let (n, last) = (round * 7, 100 + round);
            let pushes = debounced(&istiod.log()).len();
            let at = istiod.apply(&slice_of(n, last));
            let (target, address) = (format!(" s{n}:8080 "), address(n, last));
            let line = follow.line(&address, |line| line.contains(&target) && line.ends_with(&address));
            let delay = time(&line).saturating_sub(at) as f64 / 1e6;
            let wait = debounced(&istiod.log()).split_off(pushes).pop().expect("istiod logs its pushes");
            (delay, delay - wait)
        })
        .unzip();
    delays.sort_by(f64::total_cmp);
    own.sort_by(f64::total_cmp);
    measured(&format!(
        "EndpointSlice change to new list in C: p50 {:.1} ms, p99 {:.1} ms; without the wait that istiod logs: p50 {:.1} ms, p99 {:.1} ms",
        delays[49], delays[98], own[49], own[98]
    ));
}
