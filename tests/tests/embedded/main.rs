// SPDX-License-Identifier: Apache-2.0
//! The embedded control plane beside the real istiod: the same YAML must come out as the same states, lists and weights.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod cases;
mod samples;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use cases::{CASES, yaml};
use proxyless_control_plane::{Server, ads, istio};
use proxyless_core::{Client, model::State, store::Entry};
use proxyless_tests::{Istiod, PATIENCE};
use samples::samples;
use serde_json::{Value, json};

fn open(server: &str) -> Arc<Client> {
    proxyless_tests::open(&json!({"server": server, "namespace": "demo", "pod_ip": "127.0.0.9", "locality": "r1/z1"}))
}

/// State, what it resolved to, endpoints with weight, priority and place, routes and policies.
fn shown(entry: &Entry) -> String {
    let list = &entry.list;
    let endpoint = |e: &proxyless_core::model::Endpoint| {
        let place = &list.localities()[usize::from(e.locality)];
        let host = e.extension.checked_sub(1).map(|at| list.extensions()[at as usize].hostname.to_string()).unwrap_or_default();
        let address = e.socket_addr().map_or_else(|| format!("{host}:{}", e.port), |address| address.to_string());
        format!("{address}*{} p{} {}/{}/{}", e.weight, e.priority, place.region, place.zone, place.sub_zone)
    };
    let mut endpoints: Vec<String> = list.endpoints().iter().map(endpoint).collect();
    endpoints.sort();
    // istiod offers mutual TLS everywhere, the embedded one nowhere; where it is demanded there is no list.
    let traffic = entry.traffic.as_ref().map(|traffic| traffic.to_json().to_string().replace(r#""tls":"auto""#, r#""tls":"off""#));
    format!("{} {} partial:{} {endpoints:?} {traffic:?}", entry.state, entry.resolved, entry.partial)
}

/// Every target's state once none is pending any more and nothing has changed for a moment.
fn settled(client: &Client, targets: &[String]) -> Vec<String> {
    for target in targets {
        client.watch(target).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    let mut epoch = client.epoch();
    loop {
        let _ = client.wait(epoch, Some(Duration::from_millis(300)));
        let snapshot = client.snapshot();
        let entries: Vec<_> = targets.iter().filter_map(|target| snapshot.get(target)).collect();
        let complete = entries.len() == targets.len() && entries.iter().all(|entry| entry.state != State::Pending);
        if complete && snapshot.epoch() == epoch {
            return entries.iter().map(|entry| shown(entry)).collect();
        }
        epoch = snapshot.epoch();
        assert!(Instant::now() < deadline, "{targets:?} do not settle");
    }
}

/// A program that asks a server for resources and prints them as JSON.
struct Dump(PathBuf);

type Resources = BTreeMap<String, Value>;

impl Dump {
    fn new() -> Self {
        Self(Path::new(&std::env::var("PXL_ISTIOD").unwrap()).with_file_name("xdsdump"))
    }

    /// One answer for each question.
    fn ask(&self, address: SocketAddr, questions: &[String]) -> Vec<Resources> {
        let mut child = Command::new(&self.0)
            .args(["-server", &address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(questions.join("\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{questions:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Outbound clusters, their endpoints, and the routes of their hosts.
    fn all(&self, address: SocketAddr) -> BTreeMap<&'static str, Resources> {
        let mut clusters = self.ask(address, &["clusters".into()]).remove(0);
        clusters.retain(|name, _| name.starts_with("outbound|"));
        let eds = clusters.iter().filter(|(_, cluster)| cluster["type"] == "EDS").map(|(name, _)| name.clone());
        let hosts: BTreeSet<String> = clusters
            .keys()
            .filter_map(|name| {
                let parts: Vec<&str> = name.split('|').collect();
                (parts[2].is_empty()).then(|| format!("{}:{}", parts[3], parts[1]))
            })
            .collect();
        let ask = |kind: &str, names: Vec<String>| {
            if names.is_empty() { Resources::new() } else { self.ask(address, &[format!("{kind} {}", names.join(" "))]).remove(0) }
        };
        let (endpoints, routes) = (ask("endpoints", eds.collect()), ask("routes", hosts.into_iter().collect()));
        BTreeMap::from([("clusters", clusters), ("endpoints", endpoints), ("routes", routes)])
    }
}

/// What `tests/istio/fields.txt` says.
struct Fields(Vec<(String, String, bool)>);

impl Fields {
    fn read() -> Self {
        let text = std::fs::read_to_string(proxyless_tests::repository().join("tests/istio/fields.txt")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(
            lines
                .map(|line| {
                    let mut words = line.splitn(3, ' ');
                    let (kind, path, verdict) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
                    assert!(verdict == "used" || verdict.starts_with("ignored: "), "{line}");
                    (kind.to_owned(), path.to_owned(), verdict == "used")
                })
                .collect(),
        )
    }

    /// Whether a field is used; `None` when no line covers it.
    fn used(&self, kind: &str, path: &str) -> Option<bool> {
        let covers = |line: &str| path.strip_prefix(line).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        let fits = self.0.iter().filter(|(of, line, _)| of == kind && covers(line));
        fits.max_by_key(|(_, line, _)| line.len()).map(|(.., used)| *used)
    }
}

/// Every leaf of a resource by its path, lists without their positions.
fn leaves(value: &Value, path: &str, into: &mut BTreeMap<String, Vec<String>>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            object.iter().for_each(|(key, value)| leaves(value, &format!("{path}.{key}"), into));
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, &format!("{path}[]"), into)),
        leaf => into.entry(path.to_owned()).or_default().push(leaf.to_string()),
    }
}

/// Differences in fields that are used, and fields that nobody has thought of.
fn compare(case: &str, fields: &Fields, real: &BTreeMap<&str, Resources>, ours: &BTreeMap<&str, Resources>) -> BTreeSet<String> {
    let mut wrong = BTreeSet::new();
    for (kind, resources) in real {
        let (theirs, ours) = (resources.keys().collect::<Vec<_>>(), ours[kind].clone());
        if theirs != ours.keys().collect::<Vec<_>>() {
            wrong.insert(format!("{case}: {kind}: istiod has {theirs:?}, the embedded one {:?}", ours.keys().collect::<Vec<_>>()));
        }
        for (name, resource) in resources {
            let Some(own) = ours.get(name) else { continue };
            let (mut theirs, mut own_leaves) = (BTreeMap::new(), BTreeMap::new());
            leaves(resource, "", &mut theirs);
            leaves(own, "", &mut own_leaves);
            let paths: BTreeSet<&String> = theirs.keys().chain(own_leaves.keys()).collect();
            for path in paths {
                match fields.used(kind, path) {
                    None => drop(wrong.insert(format!("{kind} {path} is on neither list"))),
                    Some(false) => {}
                    Some(true) => {
                        let sorted = |leaves: &BTreeMap<String, Vec<String>>| {
                            let mut values = leaves.get(path).cloned().unwrap_or_default();
                            values.sort();
                            values
                        };
                        let (theirs, ours) = (sorted(&theirs), sorted(&own_leaves));
                        if theirs != ours {
                            wrong.insert(format!("{case}: {kind} {name} {path}: istiod {theirs:?}, embedded {ours:?}"));
                        }
                    }
                }
            }
        }
    }
    wrong
}

const NAMESPACES: &str =
    "{apiVersion: v1, kind: Namespace, metadata: {name: demo}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: other}}";

/// Name, YAML and targets of every case and sample.
fn all() -> Vec<(String, String, Vec<String>)> {
    let cases = CASES.iter().map(|(name, text, targets)| {
        ((*name).to_owned(), yaml(text), targets.iter().map(|target| (*target).to_owned()).collect::<Vec<_>>())
    });
    cases.chain(samples().into_iter().map(|sample| (sample.name, sample.yaml, sample.targets))).collect()
}

#[test]
fn every_sample_lists_something_and_every_virtual_service_changes_an_answer() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let answers = |yaml: &str, targets: &[String]| {
        let state = istio::generate(&istio::parse(Path::new("sample"), yaml).unwrap(), 1);
        let server = runtime.block_on(Server::start("127.0.0.1:0".parse().unwrap(), state, true)).unwrap();
        settled(&open(&format!("http://{}", server.address())), targets)
    };
    let samples = samples();
    assert!(samples.len() >= 25);
    for sample in samples {
        let shown = answers(&sample.yaml, &sample.targets);
        let has_list = shown.iter().any(|answer| answer.starts_with("ready") && !answer.contains("[]"));
        assert!(has_list || !sample.has_workloads(), "{}: {shown:?}", sample.name);
        for (name, rest) in sample.without_each_virtual_service() {
            let changes = answers(&rest, &sample.targets) != shown;
            assert_eq!(changes, !sample.is_for_gateways(), "{}: {name}", sample.name);
        }
    }
}

#[test]
fn the_embedded_control_plane_sends_what_istiod_sends_in_every_field_that_is_used() {
    let istiod = Istiod::start();
    istiod.apply(NAMESPACES);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let embedded = runtime.block_on(Server::start("127.0.0.1:0".parse().unwrap(), ads::State::new(0), true)).unwrap();
    let (dump, fields) = (Dump::new(), Fields::read());
    let mut wrong = BTreeSet::new();
    for (number, (name, yaml, _)) in all().into_iter().enumerate() {
        istiod.apply(&yaml);
        embedded.publish(istio::generate(&istio::parse(Path::new(&name), &yaml).unwrap(), number as u64 + 1));
        let ours = dump.all(embedded.address());
        // istiod may still be busy with the case before.
        let deadline = Instant::now() + Duration::from_millis(1500);
        wrong.extend(loop {
            let found = compare(&name, &fields, &dump.all(istiod.address()), &ours);
            if found.is_empty() || Instant::now() >= deadline {
                break found;
            }
        });
        istiod.delete(&yaml);
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_embedded_control_plane_says_what_istiod_says() {
    let istiod = Istiod::start();
    istiod.apply(NAMESPACES);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let embedded = runtime.block_on(Server::start("127.0.0.1:0".parse().unwrap(), ads::State::new(0), true)).unwrap();
    let mut different = Vec::new();
    for (number, (name, yaml, targets)) in all().into_iter().enumerate() {
        istiod.apply(&yaml);
        embedded.publish(istio::generate(&istio::parse(Path::new(&name), &yaml).unwrap(), number as u64 + 1));
        // A handle of its own for each, so that no case sees what the one before has left.
        let (real, ours) = (open(&istiod.plaintext()), open(&format!("http://{}", embedded.address())));
        // istiod may still be busy with the case before, and an old answer may stand in for one that leads nowhere.
        let deadline = Instant::now() + PATIENCE;
        let (real, ours) = loop {
            let both = (settled(&real, &targets), settled(&ours, &targets));
            if both.0 == both.1 || Instant::now() >= deadline {
                break both;
            }
        };
        for ((target, real), ours) in targets.iter().zip(real).zip(ours) {
            if real != ours {
                different.push(format!("{name}: {target}\n  istiod:   {real}\n  embedded: {ours}"));
            }
        }
        istiod.delete(&yaml);
    }
    assert!(different.is_empty(), "{} differences\n{}", different.len(), different.join("\n"));
}
