// SPDX-License-Identifier: Apache-2.0
//! From a new state in the embedded control plane to the new list in the hands of a reader: in C's view (a waiting thread) and in
//! Ribbon's (a balancer in a JVM with the agent). Prints p50 and p99 of each. Needs `make build`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark program: its output is its purpose")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use proxyless_benches::monotonic_ns;
use proxyless_control_plane::{Server, ads::State, istio};
use proxyless_core::{
    Client,
    config::{Config, Sources},
};

const CHANGES: usize = 500;
const WARM_UP: usize = 50;

fn state(number: usize) -> State {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a}}\nspec:\n  hosts: [go-sc-a.default.svc.cluster.local]\n  \
         resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  endpoints: [{{address: 127.0.0.1, ports: {{http: {}}}}}]\n",
        10_000 + number
    );
    istio::generate(&istio::parse(Path::new("bench"), &text).unwrap(), number as u64)
}

fn report(what: &str, mut nanoseconds: Vec<i64>) {
    nanoseconds.drain(..WARM_UP.min(nanoseconds.len()));
    nanoseconds.sort_unstable();
    let at = |share: f64| nanoseconds[((nanoseconds.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    println!("push -> visible in {what}: p50 {:.2} ms, p99 {:.2} ms ({} changes)", at(0.5), at(0.99), nanoseconds.len());
}

/// Publishes state after state, each as soon as the one before was seen; returns the delays.
fn drive(server: &Server, seen: &mpsc::Receiver<i64>) -> Vec<i64> {
    (1..=CHANGES)
        .map(|number| {
            // Off the beat of whatever runs next to us.
            thread::sleep(Duration::from_micros(2000 + (number as u64 * 7919) % 4000));
            let fresh = state(number + 1);
            let published = monotonic_ns();
            server.publish(fresh);
            seen.recv_timeout(Duration::from_secs(20)).unwrap() - published
        })
        .collect()
}

fn in_c(server: &Server) {
    let document = format!("{{\"server\": \"http://{}\"}}", server.address());
    let client = Client::open(Config::load(&Sources { document, ..Default::default() }).unwrap()).unwrap();
    client.watch("go-sc-a").unwrap();
    let (tell, seen) = mpsc::channel();
    let (up, ready) = mpsc::channel();
    thread::spawn(move || {
        let (mut since, mut last) = (0, 0);
        loop {
            client.wait(since, None).unwrap();
            let snapshot = client.snapshot();
            since = snapshot.epoch();
            let port = snapshot.get("go-sc-a").and_then(|entry| entry.list.endpoints().first().map(|endpoint| endpoint.port));
            if let Some(port) = port.filter(|port| *port != last) {
                let now = monotonic_ns();
                if last == 0 {
                    up.send(()).unwrap()
                } else if tell.send(now).is_err() {
                    return;
                }
                last = port;
            }
        }
    });
    ready.recv().unwrap();
    report("C", drive(server, &seen));
}

fn in_ribbon(server: &Server) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let lab = root.join("tests/jvm-lab/target");
    let mut java = Command::new("java")
        .arg(format!("-javaagent:{}", root.join("java-shim/dist/target/proxyless-agent.jar").display()))
        .arg("-Dprofile.micro.service.envoy.xds.enable=true")
        .arg(format!("-Dproxyless.server=http://{}", server.address()))
        .args([
            "-cp",
            &format!("{}/jvm-lab.jar:{}/lib/*", lab.display(), lab.display()),
            "lab.Lab",
            "push-latency",
            &CHANGES.to_string(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(java.stdout.take().unwrap());
    let (tell, seen) = mpsc::channel();
    let (up, ready) = mpsc::channel();
    thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let mut words = line.split(' ');
            match (words.next(), words.next()) {
                (Some("ready"), _) => up.send(()).unwrap(),
                (Some("seen"), Some(time)) => tell.send(time.parse().unwrap()).unwrap(),
                _ => {}
            }
        }
    });
    ready.recv().unwrap();
    let delays = drive(server, &seen);
    let _ = java.kill();
    let _ = java.wait();
    report("Ribbon", delays);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Server::start("127.0.0.1:0".parse().unwrap(), state(1), true)).unwrap();
    in_c(&server);
    server.publish(state(1));
    in_ribbon(&server);
}
