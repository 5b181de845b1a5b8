// SPDX-License-Identifier: Apache-2.0
//! The whole client over connections within the process, with a clock that only the test moves on.

use std::path::Path;

use envoy_types::pb::{
    envoy::{
        config::endpoint::v3::ClusterLoadAssignment,
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryResponse, Resource as Wrapped},
    },
    google::protobuf::{Any, UInt32Value},
};
use proxyless_control_plane::{Server, ads, istio, scripted::Script};
use tokio::io::DuplexStream;
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};

use super::*;
use crate::{
    backoff::Jitter,
    client::{decoder, plan, rules},
    config::Sources,
    model::State,
    store::{Entry, Store},
    transport::memory,
};

type Connections = mpsc::UnboundedReceiver<DuplexStream>;

/// A running driver with the far ends of its connections, one receiver per server.
struct Rig {
    commands: mpsc::UnboundedSender<Command>,
    store: Arc<Store>,
    window: Arc<Window>,
    driver: tokio::task::JoinHandle<()>,
}

/// Runs a test with stopped time: it moves on when everybody waits.
fn paused(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

fn start(document: &serde_json::Value) -> (Rig, Vec<Connections>) {
    let config = Arc::new(Config::load(&Sources { document: document.to_string(), ..Default::default() }).expect("valid"));
    let store = Arc::new(Store::default());
    let window = Arc::new(Window::default());
    let (commands, queue) = mpsc::unbounded_channel();
    let (listeners, connections): (Vec<_>, Vec<_>) = config.servers.iter().map(|_| memory::listen()).unzip();
    let (driver_store, driver_window) = (Arc::clone(&store), Arc::clone(&window));
    let driver = tokio::task::spawn_local(async move {
        let build = |writer, started| {
            let authorities = Authorities::new(plan(&config), || decoder(&config));
            let catalog = Catalog::new(rules(&config));
            let window = Arc::clone(&driver_window);
            let mut driver = Driver::new(Arc::clone(&config), authorities, catalog, writer, window, started);
            for (lane, listener) in driver.lanes.iter_mut().zip(&listeners) {
                lane.dialer.in_memory = Some(listener.clone());
            }
            driver
        };
        supervise(build, queue, &driver_store, &driver_window).await;
    });
    (Rig { commands, store, window, driver }, connections)
}

fn incoming(connections: Connections) -> impl tokio_stream::Stream<Item = io::Result<DuplexStream>> {
    UnboundedReceiverStream::new(connections).map(Ok)
}

fn serve(connections: Connections, state: ads::State) -> Server {
    Server::over(incoming(connections), tonic::transport::Server::builder(), ([127, 0, 0, 1], 0).into(), state, true)
}

fn one_server() -> serde_json::Value {
    serde_json::json!({"server": "http://a:1"})
}

/// `a`, with endpoints on these ports, and `extra` further services.
fn mesh(number: u64, ports: &[u16], extra: usize) -> ads::State {
    let entry = |name: &str, ports: &[u16]| {
        let list: Vec<String> = ports.iter().map(|port| format!("{{address: 127.0.0.1, ports: {{http: {port}}}}}")).collect();
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  \
             hosts: [{name}.default.svc.cluster.local]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  \
             endpoints: [{}]\n---\n",
            list.join(", ")
        )
    };
    let others: String = (0..extra).map(|n| entry(&format!("s{n}"), &[9000])).collect();
    istio::generate(&istio::parse(Path::new("mesh.yaml"), &(entry("a", ports) + &others)).expect("valid"), number)
}

impl Rig {
    fn watch(&self, spelling: &str) {
        let target = Target::parse(spelling).expect("valid").into();
        self.commands.send(Command::Watch { target, spelling: spelling.into() }).expect("it runs");
    }

    fn unwatch(&self, spelling: &str) {
        let target = Target::parse(spelling).expect("valid").into();
        self.commands.send(Command::Unwatch { target, spelling: spelling.into() }).expect("it runs");
    }

    fn entry(&self, target: &str) -> Option<Arc<Entry>> {
        self.store.snapshot().get(target).cloned()
    }

    fn ports(&self, target: &str) -> Vec<u16> {
        self.entry(target).map(|entry| entry.list.endpoints().iter().map(|e| e.port).collect()).unwrap_or_default()
    }

    async fn until(&self, what: &str, mut wanted: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(600);
        while !wanted(self) {
            assert!(Instant::now() < deadline, "not in ten minutes: {what}\n{}", self.events());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn events(&self) -> String {
        self.window.events().since(0).map(|event| format!("{event}\n")).collect()
    }

    async fn reports(&self) -> Vec<ServerReport> {
        let (answer, reports) = std::sync::mpsc::sync_channel(1);
        self.commands.send(Command::Describe { answer }).expect("it runs");
        loop {
            match reports.try_recv() {
                Ok(reports) => return reports,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

fn response(type_url: &str, nonce: &str, resources: &[(&str, &[u8])]) -> DeltaDiscoveryResponse {
    let wrap = |(name, body): &(&str, &[u8])| Wrapped {
        name: (*name).into(),
        resource: Some(Any { type_url: type_url.into(), value: body.to_vec() }),
        ..Default::default()
    };
    DeltaDiscoveryResponse {
        type_url: type_url.into(),
        nonce: nonce.into(),
        resources: resources.iter().map(wrap).collect(),
        ..Default::default()
    }
}

/// Plays a script's stream until the client asks for endpoints; returns what it was asked.
async fn play_clusters(stream: &mut proxyless_control_plane::scripted::DeltaStream, state: &ads::State) -> DeltaDiscoveryRequest {
    let all: Vec<(&str, &[u8])> = state.of(ads::CLUSTER).map(|(name, body)| (name.as_str(), &body[..])).collect();
    stream.respond(response(ads::CLUSTER, "c1", &all));
    loop {
        let request = stream.request().await;
        if request.type_url == ads::ENDPOINTS {
            return request;
        }
    }
}

#[test]
fn lists_arrive_and_change() {
    paused(async {
        let (rig, mut connections) = start(&one_server());
        let server = serve(connections.remove(0), mesh(1, &[9001], 0));
        rig.watch("a");
        rig.until("the list", |rig| rig.ports("a") == [9001]).await;
        server.publish(mesh(2, &[9002], 0));
        rig.until("the next list", |rig| rig.ports("a") == [9002]).await;
    });
}

#[test]
fn c_039_c_040_c_041_a_stalled_reader_delays_nothing_and_finds_the_newest_state() {
    paused(async {
        let (rig, mut connections) = start(&one_server());
        let mut script = Script::over(incoming(connections.remove(0)));
        rig.watch("a");
        let mut stream = script.accept().await;
        let name = play_clusters(&mut stream, &mesh(1, &[9000], 0)).await.resource_names_subscribe.remove(0);
        // A reader takes a snapshot and does not come back.
        let stalled = rig.store.snapshot();
        for port in 9001..=9100 {
            let state = mesh(1, &[port], 0);
            let (_, body) = state.of(ads::ENDPOINTS).find(|(other, _)| **other == name).expect("listed");
            let nonce = format!("e{port}");
            let pushed = match port % 4 {
                0 => response(ads::ENDPOINTS, &nonce, &[(&name, b"\xff")]),
                1 => DeltaDiscoveryResponse { removed_resources: vec![name.clone()], ..response(ads::ENDPOINTS, &nonce, &[]) },
                _ => response(ads::ENDPOINTS, &nonce, &[(&name, body)]),
            };
            stream.respond(response("type.googleapis.com/unknown", "ignored", &[("x", b"")]));
            stream.respond(pushed);
            let answer = loop {
                let request = stream.request().await;
                if request.type_url == ads::ENDPOINTS && !request.response_nonce.is_empty() {
                    break request;
                }
            };
            assert_eq!((answer.response_nonce, answer.error_detail.is_some()), (nonce, port % 4 == 0));
        }
        assert_eq!(stalled.get("a").expect("watched").state, State::Pending, "what it holds does not change");
        let routes = mesh(1, &[9000], 0);
        let all: Vec<(&str, &[u8])> = routes.of(ads::ROUTES).map(|(name, body)| (name.as_str(), &body[..])).collect();
        stream.respond(response(ads::ROUTES, "r1", &all));
        rig.until("the newest list", |rig| rig.ports("a") == [9099]).await;
    });
}

#[test]
fn c_099_without_a_watch_nothing_is_opened_and_with_the_last_one_it_closes() {
    paused(async {
        let (rig, mut connections) = start(&serde_json::json!({"server": "http://a:1", "profile": "grpc"}));
        let mut connections = connections.remove(0);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(connections.try_recv().is_err(), "nobody asked for anything");
        rig.watch("a:80");
        let mut far = connections.recv().await.expect("connected");
        rig.unwatch("a:80");
        rig.watch("a:80");
        rig.unwatch("a:80");
        // What the client wrote, and then the end.
        let mut bytes = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), tokio::io::AsyncReadExt::read_to_end(&mut far, &mut bytes))
            .await
            .expect("closed")
            .expect("in order");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(connections.try_recv().is_err(), "and nobody comes back");
        rig.watch("a:80");
        connections.recv().await.expect("connected again");
    });
}

#[test]
fn c_042_a_second_server_serves_until_the_first_returns() {
    paused(async {
        let (rig, mut connections) = start(&serde_json::json!({"server": "http://a:1,http://b:1"}));
        let secondary = serve(connections.remove(1), mesh(1, &[9002], 0));
        let mut first = connections.remove(0);
        rig.watch("a");
        // The primary takes connections and drops them.
        rig.until("the second server's list", |rig| {
            while first.try_recv().is_ok() {}
            rig.ports("a") == [9002]
        })
        .await;
        assert!(rig.reports().await[1].in_charge);
        let primary = serve(first, mesh(1, &[9001], 0));
        rig.until("the first server's list", |rig| rig.ports("a") == [9001]).await;
        secondary.publish(mesh(2, &[9003], 0));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(rig.ports("a"), [9001]);
        let reports = rig.reports().await;
        assert!(reports[0].in_charge && !reports[1].in_charge);
        primary.publish(mesh(2, &[9004], 0));
        rig.until("a change", |rig| rig.ports("a") == [9004]).await;
    });
}

#[test]
fn e_12_endpoints_that_a_server_keeps_back_are_diagnosed() {
    paused(async {
        let (rig, mut connections) = start(&one_server());
        let mut script = Script::over(incoming(connections.remove(0)));
        rig.watch("a");
        let mut stream = script.accept().await;
        let state = mesh(1, &[9001], 0);
        play_clusters(&mut stream, &state).await;
        rig.until("a diagnosis", |rig| rig.events().contains("until all names of its snapshot are asked for")).await;
        let pick = |kind| -> Vec<(&str, &[u8])> { state.of(kind).map(|(name, body)| (name.as_str(), &body[..])).collect() };
        stream.respond(response(ads::ENDPOINTS, "e1", &pick(ads::ENDPOINTS)));
        stream.respond(response(ads::ROUTES, "r1", &pick(ads::ROUTES)));
        rig.until("the list all the same", |rig| rig.ports("a") == [9001]).await;
    });
}

#[test]
fn e_13_a_goaway_every_half_hour_is_no_event_and_opens_no_gap() {
    paused(async {
        let (rig, mut connections) = start(&one_server());
        let builder = tonic::transport::Server::builder()
            .max_connection_age(Duration::from_secs(1800))
            .max_connection_age_grace(Duration::from_secs(10));
        let state = mesh(1, &[9001], 0);
        let server = Server::over(incoming(connections.remove(0)), builder, ([127, 0, 0, 1], 0).into(), state, true);
        rig.watch("a");
        rig.until("the list", |rig| rig.ports("a") == [9001]).await;
        let epoch = rig.store.epoch();
        for _ in 0..24 * 60 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!((rig.ports("a"), rig.store.epoch()), (vec![9001], epoch));
        }
        let report = rig.reports().await.remove(0);
        assert!(report.health.streams >= 24, "{:?}", report.health);
        assert_eq!(report.health.server_failures, 0);
        server.publish(mesh(2, &[9002], 0));
        rig.until("a change", |rig| rig.ports("a") == [9002]).await;
    });
}

#[test]
fn what_was_saved_is_served_while_nobody_answers_and_then_replaced() {
    let folder = std::env::temp_dir().join(format!("proxyless-driver-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let document = serde_json::json!({"server": "http://a:1", "cache_dir": folder});
    paused(async {
        let (rig, mut connections) = start(&document);
        let _server = serve(connections.remove(0), mesh(1, &[9001], 1));
        rig.watch("a");
        rig.watch("s0");
        rig.until("the list", |rig| rig.ports("a") == [9001]).await;
        drop(rig.commands);
        rig.driver.await.expect("it ends with its last handle, and saves");
    });
    paused(async {
        let (rig, mut connections) = start(&document);
        rig.watch("a");
        rig.until("what was saved", |rig| rig.ports("a") == [9001]).await;
        let stale = |rig: &Rig| rig.window.status().stale_since.is_some();
        assert!(stale(&rig), "and its age is known");
        rig.watch("s0");
        rig.until("also for a later watch", |rig| rig.ports("s0") == [9000]).await;
        let _server = serve(connections.remove(0), mesh(2, &[9002], 0));
        rig.until("the live list", |rig| rig.ports("a") == [9002]).await;
        rig.until("what is gone is gone", |rig| rig.entry("s0").is_some_and(|entry| entry.state == State::Removed)).await;
        assert!(!stale(&rig));
    });
    for file in std::fs::read_dir(&folder).expect("it was made") {
        std::fs::write(file.expect("readable").path(), b"rubbish").expect("writable");
    }
    paused(async {
        let (rig, _connections) = start(&document);
        rig.watch("a");
        rig.until("one message", |rig| rig.events().contains("is not used: it is no cache of ours")).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(rig.events().matches("is not used").count(), 1);
        assert_eq!(rig.entry("a").expect("watched").state, State::Pending);
    });
    std::fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn a_driver_that_fails_keeps_its_lists_as_stale_and_another_one_goes_on() {
    paused(async {
        let (rig, mut connections) = start(&one_server());
        let server = serve(connections.remove(0), mesh(1, &[9001], 2));
        for target in ["a", "a.default", "s0", "s1"] {
            rig.watch(target);
        }
        rig.until("the lists", |rig| rig.ports("a") == [9001] && rig.ports("s0") == [9000]).await;
        for _ in 0..3 {
            rig.commands.send(Command::Panic).expect("it runs");
            rig.until("its failure", |rig| rig.window.status().stale_since.is_some()).await;
            assert_eq!(rig.ports("a"), [9001], "the last list stays");
            assert!(rig.window.status().last_error.contains("on purpose (a defect, contained)"));
            rig.unwatch("s1");
            rig.watch("s0");
            server.publish(mesh(2, &[9002], 1));
            // What is published is never less than what was.
            rig.until("the next list", |rig| {
                assert_eq!(rig.entry("a").expect("watched").state, State::Ready);
                assert_eq!(rig.ports("a.default"), rig.ports("a"));
                rig.ports("a") == [9002]
            })
            .await;
            rig.until("what was let go", |rig| rig.entry("s1").is_none()).await;
            assert_eq!(rig.ports("s0"), [9000]);
            rig.until("no longer stale", |rig| rig.window.status().stale_since.is_none()).await;
            rig.watch("s1");
            server.publish(mesh(3, &[9001], 2));
            rig.until("as before", |rig| rig.ports("a") == [9001] && rig.ports("s1") == [9000]).await;
        }
        assert_eq!(rig.window.status().defects, 3);
        rig.unwatch("s0");
        drop(rig.commands);
        rig.driver.await.expect("it ends with its last handle");
    });
}

#[test]
fn a_driver_after_one_that_failed_does_not_go_back_to_what_was_saved() {
    let folder = std::env::temp_dir().join(format!("proxyless-successor-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let document = serde_json::json!({"server": "http://a:1", "cache_dir": folder});
    paused(async {
        let (rig, mut connections) = start(&document);
        let _server = serve(connections.remove(0), mesh(1, &[9001], 0));
        rig.watch("a");
        rig.until("the list", |rig| rig.ports("a") == [9001]).await;
        drop(rig.commands);
        rig.driver.await.expect("it ends with its last handle, and saves");
    });
    paused(async {
        let (rig, mut connections) = start(&document);
        let server = serve(connections.remove(0), mesh(2, &[9002], 1));
        rig.watch("a");
        rig.watch("s0");
        rig.until("the live lists", |rig| rig.ports("a") == [9002] && rig.ports("s0") == [9000]).await;
        rig.commands.send(Command::Panic).expect("it runs");
        drop(server);
        rig.until("its failure", |rig| rig.window.status().defects == 1).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!((rig.ports("a"), rig.ports("s0")), (vec![9002], vec![9000]), "{}", rig.events());
    });
    std::fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn what_could_not_be_saved_is_said_once_and_saved_when_it_can_be() {
    let folder = std::env::temp_dir().join(format!("proxyless-unsaved-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    paused(async {
        let (rig, mut connections) = start(&serde_json::json!({"server": "http://a:1", "cache_dir": folder}));
        let _server = serve(connections.remove(0), mesh(1, &[9001], 0));
        // Not a folder, whoever the user is.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::write(&folder, "in the way").expect("writable");
        rig.watch("a");
        rig.until("the failure", |rig| rig.events().contains("is not saved")).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(rig.events().matches("is not saved").count(), 1, "{}", rig.events());
        std::fs::remove_file(&folder).expect("ours");
        rig.until("the file", |_| std::fs::read_dir(&folder).is_ok_and(|files| files.count() == 1)).await;
    });
    std::fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn a_client_without_a_connection_is_stale_when_the_last_watch_has_closed_it() {
    paused(async {
        let (rig, mut connections) = start(&serde_json::json!({"server": "http://a:1", "profile": "grpc"}));
        let mut script = Script::over(incoming(connections.remove(0)));
        rig.watch("a:80");
        let stream = script.accept_sotw().await;
        stream.respond(DiscoveryResponse { type_url: Kind::Listener.type_url().into(), nonce: "l1".into(), ..Default::default() });
        rig.until("a stream in sync", |rig| rig.window.status().stale_since.is_none()).await;
        rig.unwatch("a:80");
        rig.until("staleness", |rig| !rig.window.status().connected && rig.window.status().stale_since.is_some()).await;
    });
}

#[test]
fn a_client_is_stale_until_it_is_first_in_sync_and_says_when_that_begins_and_ends() {
    paused(async {
        let (rig, mut connections) = start(&one_server());
        rig.watch("a");
        let mut far = connections[0].recv().await.expect("connected");
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(rig.window.status().stale_since, Some(Time::ZERO), "a mute peer is no control plane");
        tokio::io::AsyncWriteExt::shutdown(&mut far).await.expect("open");
        drop(far);
        let server = serve(connections.remove(0), mesh(1, &[9001], 0));
        rig.until("the list", |rig| rig.ports("a") == [9001]).await;
        assert!(rig.window.status().stale_since.is_none() && rig.window.status().last_error.is_empty());
        server.end_streams();
        rig.until("staleness", |rig| rig.events().contains("what is served is stale from now on")).await;
        rig.until("its end", |rig| rig.events().matches("in sync, after ").count() == 2).await;
    });
}

#[test]
fn a_rejected_assignment_is_named_after_a_server_without_delta() {
    paused(async {
        let (rig, mut connections) = start(&one_server());
        let mut state = mesh(1, &[9001], 0);
        let (name, body) = state.of(ads::ENDPOINTS).next().map(|(name, body)| (name.clone(), body.clone())).expect("listed");
        let mut bad = ClusterLoadAssignment::decode(&body[..]).expect("valid");
        for endpoint in bad.endpoints.iter_mut().flat_map(|locality| &mut locality.lb_endpoints) {
            endpoint.load_balancing_weight = Some(UInt32Value { value: 0 });
        }
        state.insert(ads::ENDPOINTS, name, &bad);
        let builder = tonic::transport::Server::builder();
        let _server = Server::over(incoming(connections.remove(0)), builder, ([127, 0, 0, 1], 0).into(), state, false);
        rig.watch("a");
        rig.until("the reason", |rig| rig.entry("a").is_some_and(|entry| entry.detail.contains("weight 0"))).await;
        let status = rig.window.status().clone();
        assert_eq!((status.last_error.as_str(), status.failures, status.variant), ("", 0, "sotw"));
        assert_eq!(rig.entry("a").expect("watched").state, State::Pending);
        assert!(!rig.events().contains("no ADS server"), "{}", rig.events());
    });
}

#[test]
fn a_time_to_live_without_end_is_none() {
    paused(async {
        let (rig, mut connections) = start(&one_server());
        let mut script = Script::over(incoming(connections.remove(0)));
        rig.watch("a");
        let mut stream = script.accept().await;
        let state = mesh(1, &[9001], 0);
        play_clusters(&mut stream, &state).await;
        let pick = |kind| -> Vec<(&str, &[u8])> { state.of(kind).map(|(name, body)| (name.as_str(), &body[..])).collect() };
        stream.respond(response(ads::ROUTES, "r1", &pick(ads::ROUTES)));
        let mut endless = response(ads::ENDPOINTS, "e1", &pick(ads::ENDPOINTS));
        for resource in &mut endless.resources {
            resource.ttl = Some(envoy_types::pb::google::protobuf::Duration { seconds: i64::MAX, nanos: 999_999_999 });
        }
        stream.respond(endless);
        rig.until("the list", |rig| rig.ports("a") == [9001]).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!((rig.ports("a"), rig.window.status().defects), (vec![9001], 0));
    });
}

/// Two hours in which everything happens: pushes, ends of streams, watches that come and go, one step a second.
async fn hours(rig: &Rig, server: &Server, seconds: u64, draws: &mut Jitter, number: &mut u64) {
    let names: Vec<String> = (0..8).map(|n| format!("s{n}")).collect();
    let mut pick = |below: usize| (draws.draw() * below as f64) as usize;
    for _ in 0..seconds {
        *number += 1;
        match pick(6) {
            0 | 1 => server.end_streams(),
            2 => server.publish(mesh(*number, &[9001 + pick(5) as u16, 9100], pick(8))),
            3 | 4 => rig.watch(&names[pick(8)]),
            _ => rig.unwatch(&names[pick(8)]),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Back to where it started: nothing but `a` is watched, and the mesh is the first one.
    for name in &names {
        while rig.entry(name).is_some() {
            rig.unwatch(name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    *number += 1;
    server.publish(mesh(*number, &[9001], 8));
    rig.until("the first list", |rig| rig.ports("a") == [9001]).await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
}

#[test]
fn two_hours_of_changes_leave_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let mut draws = Jitter::new(7);
    let mut number = 1;
    let (rig, server) = local.block_on(&runtime, async {
        let (rig, mut connections) = start(&one_server());
        let server = serve(connections.remove(0), mesh(1, &[9001], 8));
        rig.watch("a");
        (rig, server)
    });
    // Tables reach their size, and the ring of events its length.
    local.block_on(&runtime, hours(&rig, &server, 1800, &mut draws, &mut number));
    let tasks = runtime.metrics().num_alive_tasks();
    let streams = local.block_on(&runtime, rig.reports()).remove(0).health.streams;
    let epoch = rig.store.epoch();
    let used = allocation_counter::measure(|| local.block_on(&runtime, hours(&rig, &server, 7200, &mut draws, &mut number)));
    let streams = local.block_on(&runtime, rig.reports()).remove(0).health.streams - streams;
    assert!(streams > 1000 && rig.store.epoch() - epoch > 1000, "{streams} streams, {} epochs", rig.store.epoch() - epoch);
    assert_eq!(runtime.metrics().num_alive_tasks(), tasks);
    assert!(used.bytes_current < 16 << 10, "{} bytes were left behind by {} allocations", used.bytes_current, used.count_total);
    let deadline = local.block_on(&runtime, async {
        drop(rig.commands);
        rig.driver.await.expect("it ends with its last handle");
        runtime.metrics().num_alive_tasks()
    });
    assert!(deadline < tasks, "its tasks end with it");
}
