// SPDX-License-Identifier: Apache-2.0
//! A network that cuts, stalls, truncates, delays and lets an older connection overlap a newer one, and a control plane that changes all the while: what is served is always
//! something that was published for that target, never older than what was served before, and in the end the newest.
//!
//! `PXL_CHAOS_STEPS` says for how long; `PXL_CHAOS_SEED` repeats a run.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use proxyless_control_plane::{Server, ads::State as Resources, istio};
use proxyless_core::{
    Client,
    backoff::Jitter,
    config::{Config, Sources},
    model::State,
    store::Snapshot,
};
use proxyless_tests::Relay;

const TARGETS: [&str; 3] = ["a", "a/v1", "b"];

/// State `n`: every list consists of ports that say `n`, so that a mixture of two states shows.
fn mesh(n: u64) -> Resources {
    let entry = |name: &str, base: u64| {
        let port = |step: u64| base + step * 1000 + n % 1000;
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  \
             hosts: [{name}.default.svc.cluster.local]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  \
             endpoints:\n  - {{address: 127.0.0.1, ports: {{http: {}}}, labels: {{version: v1}}}}\n  \
             - {{address: 127.0.0.1, ports: {{http: {}}}, labels: {{version: v2}}}}\n---\n",
            port(0),
            port(1)
        )
    };
    let text = entry("a", 10_000)
        + &entry("b", 20_000)
        + "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\n\
           spec: {host: a, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}\n";
    istio::generate(&istio::parse(Path::new("mesh.yaml"), &text).unwrap(), n)
}

/// The number of the state that a served list belongs to.
fn number_of(target: &str, ports: &[u16]) -> Result<u64, String> {
    let (base, steps): (u16, &[u16]) = match target {
        "a" => (10_000, &[0, 1]),
        "a/v1" => (10_000, &[0]),
        _ => (20_000, &[0, 1]),
    };
    let n = ports.first().copied().unwrap_or_default().wrapping_sub(base) % 1000;
    let expected: Vec<u16> = steps.iter().map(|step| base + step * 1000 + n).collect();
    if ports == expected { Ok(u64::from(n)) } else { Err(format!("{target} is served as {ports:?}, which was never published")) }
}

fn lists(snapshot: &Snapshot) -> BTreeMap<&'static str, Vec<u16>> {
    let ready = |target: &&'static str| {
        let entry = snapshot.get(target).filter(|entry| entry.state == State::Ready)?;
        let mut ports: Vec<u16> = entry.list.endpoints().iter().map(|endpoint| endpoint.port).collect();
        ports.sort_unstable();
        Some((*target, ports))
    };
    TARGETS.iter().filter_map(ready).collect()
}

/// Looks at every snapshot until it is told to stop; returns how many it saw.
fn observe(client: &Client, published: &AtomicU64, stop: &AtomicBool, wrong: &Mutex<Vec<String>>) -> u64 {
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut epoch, mut seen) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let _ = client.wait(epoch, Some(Duration::from_millis(50)));
        let snapshot = client.snapshot();
        if snapshot.epoch() == epoch {
            continue;
        }
        epoch = snapshot.epoch();
        seen += 1;
        for (target, ports) in lists(&snapshot) {
            let before = newest.get(target).copied().unwrap_or_default();
            let verdict = number_of(target, &ports).and_then(|n| match n {
                n if n < before => Err(format!("{target} went back from {before} to {n}")),
                n if n > published.load(Ordering::SeqCst) => Err(format!("{target} shows {n} before it was published")),
                n => Ok(n),
            });
            match verdict {
                Ok(n) => drop(newest.insert(target, n)),
                Err(what) => wrong.lock().unwrap().push(what),
            }
        }
    }
    seen
}

/// Ends the observer, also when the test fails: the runtime waits for it.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn chaos(delta: bool) {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let steps = number("PXL_CHAOS_STEPS", 40).min(900);
    let seed = number("PXL_CHAOS_SEED", Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id()));
    let mut draws = Jitter::new(seed);
    let mut pick = |below: u64| (draws.draw() * below as f64) as u64;
    let server = Server::start("127.0.0.1:0".parse().unwrap(), mesh(1), delta).await.unwrap();
    let relay = Relay::start(server.address()).await;
    let document = format!(
        "{{\"server\": \"http://{}\", \"keepalive_ms\": 200, \"keepalive_timeout_ms\": 300, \"connect_timeout_ms\": 500, \
         \"first_response_timeout_ms\": 1000, \"backoff_ms\": 100, \"backoff_max_ms\": 1000}}",
        relay.address()
    );
    let client = Arc::new(Client::open(Config::load(&Sources { document, ..Default::default() }).unwrap()).unwrap());
    for target in TARGETS {
        client.watch(target).unwrap();
    }
    let (published, stop, wrong) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
    let stopping = Stop(Arc::clone(&stop));
    let observer = tokio::task::spawn_blocking({
        let (client, published, stop, wrong) = (Arc::clone(&client), Arc::clone(&published), Arc::clone(&stop), Arc::clone(&wrong));
        move || observe(&client, &published, &stop, &wrong)
    });
    for _ in 0..steps {
        match pick(9) {
            0 => relay.cut(),
            1 => relay.stall(),
            2 => relay.delay(Duration::from_millis(pick(60))),
            3 => relay.truncate_after(1 + pick(6000)),
            4 => server.end_streams(),
            5 => relay.resume(),
            6 => relay.abandon(Duration::from_millis(pick(3000))),
            _ => {
                let n = published.fetch_add(1, Ordering::SeqCst) + 1;
                server.publish(mesh(n));
            }
        }
        tokio::time::sleep(Duration::from_millis(pick(400))).await;
    }
    relay.resume();
    relay.truncate_after(0);
    let n = published.fetch_add(1, Ordering::SeqCst) + 1;
    server.publish(mesh(n));
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let snapshot = client.snapshot();
        let shown = lists(&snapshot);
        if TARGETS.iter().all(|target| shown.get(target).is_some_and(|ports| number_of(target, ports) == Ok(n))) {
            break;
        }
        assert!(Instant::now() < deadline, "PXL_CHAOS_SEED={seed}: {shown:?} is not state {n}\n{:#}", client.describe().unwrap());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(stopping);
    let seen = observer.await.unwrap();
    let wrong = wrong.lock().unwrap();
    assert!(wrong.is_empty(), "PXL_CHAOS_SEED={seed}: {wrong:?}");
    assert!(seen > 3, "the observer saw {seen} snapshots");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_through_a_bad_network_was_published_and_ends_as_the_newest_in_delta() {
    chaos(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_through_a_bad_network_was_published_and_ends_as_the_newest_in_the_state_of_the_world() {
    chaos(false).await;
}
