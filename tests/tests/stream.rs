// SPDX-License-Identifier: Apache-2.0
//! The client over real sockets, against the embedded control plane and against a scripted one.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{
                Cluster,
                cluster::{ClusterDiscoveryType, DiscoveryType, LbPolicy, TransportSocketMatch},
            },
            core::v3::TransportSocket,
        },
        service::discovery::v3::{DeltaDiscoveryResponse, Resource},
    },
    google::protobuf::Any,
};
use prost::Message;
use proxyless_control_plane::{
    Server,
    ads::{CLUSTER, ENDPOINTS, ROUTES, State as Resources},
    istio,
    scripted::Script,
};
use proxyless_core::{
    Client,
    config::{Config, Sources},
    model::{Invalid, State},
    store::Wake,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

fn mesh(number: u64, endpoints: &[u16], shares: &[(&str, u32)]) -> Resources {
    let list: String = endpoints
        .iter()
        .map(|port| format!("  - {{address: 127.0.0.1, ports: {{http: {port}}}, labels: {{version: v{}}}}}\n", port % 10))
        .collect();
    let mut text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a}}\nspec:\n  hosts: [a.default.svc.cluster.local]\n  \
         resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  endpoints:\n{list}---\napiVersion: networking.istio.io/v1\n\
         kind: DestinationRule\nmetadata: {{name: a}}\nspec: {{host: a, subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]}}\n"
    );
    if !shares.is_empty() {
        let routes: Vec<String> =
            shares.iter().map(|(s, w)| format!("{{destination: {{host: a, subset: {s}}}, weight: {w}}}")).collect();
        text += &format!(
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\nspec: {{hosts: [a], http: [{{route: [{}]}}]}}\n",
            routes.join(", ")
        );
    }
    istio::generate(&istio::parse(Path::new("mesh.yaml"), &text).unwrap(), number)
}

async fn serve(state: Resources, delta: bool) -> Server {
    Server::start("127.0.0.1:0".parse().unwrap(), state, delta).await.unwrap()
}

fn open(address: std::net::SocketAddr, extra: &str) -> Client {
    let document = format!("{{\"server\": \"http://{address}\"{extra}}}");
    Client::open(Config::load(&Sources { document, ..Default::default() }).unwrap()).unwrap()
}

/// Waits, off the event loop, until the target's state and ports satisfy `wanted`.
async fn until(client: &Arc<Client>, target: &'static str, wanted: impl Fn(State, &[u16]) -> bool + Send + 'static) {
    let client = Arc::clone(client);
    let waited = tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let snapshot = client.snapshot();
            let found = snapshot.get(target).map(|entry| (entry.state, ports(entry.list.endpoints())));
            if let Some((state, ports)) = &found
                && wanted(*state, ports)
            {
                return;
            }
            let woken = client.wait(snapshot.epoch(), Some(deadline.saturating_duration_since(Instant::now()))).unwrap();
            assert!(!matches!(woken, Wake::TimedOut(_)), "{target}: {found:?}\n{:#}", client.describe().unwrap());
        }
    });
    waited.await.unwrap();
}

fn ports(endpoints: &[proxyless_core::model::Endpoint]) -> Vec<u16> {
    endpoints.iter().map(|endpoint| endpoint.port).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_follow_the_mesh_in_both_variants() {
    for delta in [true, false] {
        let server = serve(mesh(1, &[9001, 9002], &[]), delta).await;
        let client = Arc::new(open(server.address(), ""));
        client.watch("a").unwrap();
        client.watch("a/v1").unwrap();
        until(&client, "a", |state, ports| state == State::Ready && ports.len() == 2).await;
        until(&client, "a/v1", |_, ports| ports == [9001]).await;
        server.publish(mesh(2, &[9001, 9002], &[("v2", 100)]));
        until(&client, "a", |_, ports| ports == [9002]).await;
        server.publish(mesh(3, &[9001, 9012], &[("v2", 100)]));
        until(&client, "a", |_, ports| ports == [9012]).await;
        server.publish(Resources::new(4));
        until(&client, "a", |state, ports| state == State::Removed && ports.is_empty()).await;
        until(&client, "a/v1", |state, _| state == State::Removed).await;
        let variant = client.describe().unwrap()["variant"].clone();
        assert_eq!(variant, if delta { "delta" } else { "sotw" });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_widened_over_the_wire() {
    let server = serve(mesh(1, &[9001], &[]), true).await;
    let client = Arc::new(open(server.address(), ""));
    for target in ["a/v9", "a:81", "nobody", "other.a"] {
        client.watch(target).unwrap();
    }
    until(&client, "a/v9", |state, ports| state == State::Invalid(Invalid::UndefinedSubset) && ports.is_empty()).await;
    until(&client, "a:81", |state, ports| state == State::Invalid(Invalid::NoSuchPort) && ports.is_empty()).await;
    until(&client, "nobody", |state, ports| state == State::Unknown && ports.is_empty()).await;
    until(&client, "other.a", |state, _| state == State::Unknown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_in_two_namespaces_means_the_own_one() {
    let entry = |namespace: &str, port: u16| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a, namespace: {namespace}}}\nspec:\n  \
             hosts: [a.{namespace}.svc.cluster.local]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  \
             endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]\n---\n"
        )
    };
    let text = entry("one", 9001) + &entry("two", 9002);
    let state = istio::generate(&istio::parse(Path::new("mesh.yaml"), &text).unwrap(), 1);
    let server = serve(state, true).await;
    for (namespace, own, other) in [("one", 9001, 9002), ("two", 9002, 9001)] {
        let client = Arc::new(open(server.address(), &format!(", \"namespace\": \"{namespace}\"")));
        let (far, stranger) = if namespace == "one" { ("a.two", "a.three") } else { ("a.one", "a.three") };
        for target in ["a", far, stranger] {
            client.watch(target).unwrap();
        }
        until(&client, "a", move |_, ports| ports == [own]).await;
        until(&client, far, move |_, ports| ports == [other]).await;
        until(&client, stranger, |state, _| state == State::Unknown).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_survive_the_control_plane_and_recover_with_it() {
    let server = serve(mesh(1, &[9001], &[]), true).await;
    let address = server.address();
    let client = Arc::new(open(address, ""));
    client.watch("a").unwrap();
    until(&client, "a", |_, ports| ports == [9001]).await;
    let epoch = client.epoch();
    assert_eq!(client.stale_for(), None);
    server.stop().await;
    while client.stale_for().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client.epoch(), epoch, "losing the connection changes no list");
    assert_eq!(ports(client.snapshot().get("a").unwrap().list.endpoints()), [9001]);
    client.watch("a/v2").unwrap();
    let server = Server::start(address, mesh(1, &[9002], &[]), true).await.unwrap();
    until(&client, "a", |_, ports| ports == [9002]).await;
    until(&client, "a/v2", |_, ports| ports == [9002]).await;
    assert_eq!(client.stale_for(), None);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn c_090_handles_with_equal_settings_share_one_stream_and_go_separately() {
    let mut script = Script::start().await.unwrap();
    let first = open(script.address(), "");
    let second = open(script.address(), "");
    let other_node = open(script.address(), ", \"namespace\": \"elsewhere\"");
    let _one = script.accept().await;
    let _two = script.accept().await;
    assert!(tokio::time::timeout(Duration::from_millis(300), script.accept()).await.is_err(), "two nodes, two streams");
    first.shutdown();
    assert!(first.watch("a").is_err());
    second.watch("a").unwrap();
    drop((first, second, other_node));
}

fn response(type_url: &str, nonce: &str, resources: &[(&str, Vec<u8>)]) -> DeltaDiscoveryResponse {
    let wrap = |(name, body): &(&str, Vec<u8>)| Resource {
        name: (*name).into(),
        resource: Some(Any { type_url: type_url.into(), value: body.clone() }),
        ..Default::default()
    };
    DeltaDiscoveryResponse {
        type_url: type_url.into(),
        nonce: nonce.into(),
        resources: resources.iter().map(wrap).collect(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_on_the_wire_are_those_of_the_protocol() {
    let mut script = Script::start().await.unwrap();
    let client = Arc::new(open(script.address(), ""));
    client.watch("a").unwrap();
    let mut stream = script.accept().await;
    let first = stream.request().await;
    assert_eq!((first.type_url.as_str(), first.resource_names_subscribe.as_slice()), (CLUSTER, ["*".to_owned()].as_slice()));
    let node = first.node.unwrap();
    assert_eq!(node.id, "sidecar~127.0.0.1~proxyless.default~default.svc.cluster.local");

    let resources = mesh(1, &[9001], &[]);
    let all = |type_url: &'static str| resources.of(type_url).map(|(n, b)| (n.as_str(), b.to_vec())).collect::<Vec<_>>();
    stream.respond(response(CLUSTER, "c1", &all(CLUSTER)));
    let ack = stream.request().await;
    assert_eq!((ack.response_nonce.as_str(), ack.error_detail.is_none()), ("c1", true));
    let mut asked = [stream.request().await, stream.request().await];
    asked.sort_by_key(|request| request.type_url.clone());
    let base = "outbound|80||a.default.svc.cluster.local";
    assert_eq!(
        (asked[0].type_url.as_str(), asked[0].resource_names_subscribe.as_slice()),
        (ENDPOINTS, [base.to_owned()].as_slice())
    );
    assert_eq!(asked[1].type_url, ROUTES);
    assert!(asked.iter().all(|request| request.node.is_none()), "the node goes with the first request only");

    // A bad assignment is named in the NACK; the good one that follows serves.
    stream.respond(response(ENDPOINTS, "e1", &[(base, vec![0xff])]));
    let nack = stream.request().await;
    assert!(nack.error_detail.unwrap().message.contains(base));
    stream.respond(response(ROUTES, "r1", &all(ROUTES)));
    assert_eq!(stream.request().await.response_nonce, "r1");
    let good = all(ENDPOINTS).into_iter().find(|(name, _)| *name == base).unwrap();
    stream.respond(response(ENDPOINTS, "e2", &[good]));
    assert_eq!(stream.request().await.response_nonce, "e2");
    until(&client, "a", |_, ports| ports == [9001]).await;

    // The stream breaks: the next one says what is held.
    stream.fail(tonic_status());
    let mut stream = script.accept().await;
    let again = stream.request().await;
    assert!(again.initial_resource_versions.contains_key(base) && again.node.is_some());
}

/// Waits until `describe` shows what is wanted; returns it.
async fn described(client: &Arc<Client>, wanted: impl Fn(&Value) -> bool + Send + 'static) -> Value {
    let client = Arc::clone(client);
    let waited = tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = client.describe().unwrap();
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{status:#}");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    waited.await.unwrap()
}

fn has_event(status: &Value, text: &str) -> bool {
    status["events"].as_array().unwrap().iter().any(|event| event.as_str().unwrap().contains(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn c_020_a_watch_started_by_a_waiter_that_has_just_woken_is_one_like_any_other() {
    let server = serve(mesh(1, &[9001, 9002], &[]), true).await;
    let client = Arc::new(open(server.address(), ""));
    client.watch("a").unwrap();
    let waiter = Arc::clone(&client);
    tokio::task::spawn_blocking(move || {
        assert!(matches!(waiter.wait(0, Some(PATIENCE)).unwrap(), Wake::Changed(_)));
        waiter.watch("a/v1").unwrap();
    })
    .await
    .unwrap();
    until(&client, "a/v1", |_, ports| ports == [9001]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c_038_who_waits_is_told_why_nobody_answers_and_gets_the_list_when_somebody_does() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let client = Arc::new(open(address, ""));
    client.watch("a").unwrap();
    let told = Arc::clone(&client);
    let detail = tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let snapshot = told.snapshot();
            let detail =
                snapshot.get("a").map(|entry| (entry.state, entry.detail.to_string())).unwrap_or((State::Pending, String::new()));
            if !detail.1.is_empty() {
                return detail;
            }
            assert!(Instant::now() < deadline);
            told.wait(snapshot.epoch(), Some(PATIENCE)).unwrap();
        }
    });
    let (state, detail) = detail.await.unwrap();
    assert_eq!(state, State::Pending);
    for part in [&format!("http://{address}"), "node sidecar~127.0.0.1~", "refused"] {
        assert!(detail.contains(part), "{part} is not in {detail}");
    }
    let server = Server::start(address, mesh(1, &[9001], &[]), true).await.unwrap();
    until(&client, "a", |_, ports| ports == [9001]).await;
    assert_eq!(&*client.snapshot().get("a").unwrap().detail, "");
    drop(server);
    // A name that does not resolve is told in the same way.
    let document = r#"{"server": "http://nobody.invalid:1"}"#.into();
    let nobody = Arc::new(Client::open(Config::load(&Sources { document, ..Default::default() }).unwrap()).unwrap());
    let status = described(&nobody, |status| status["failures"].as_u64() > Some(0)).await;
    assert!(has_event(&status, "http://nobody.invalid:1 (node sidecar~"), "{status:#}");
    assert_eq!(status["servers"][0]["connected"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn c_091_describe_shows_version_in_use_and_standing_error_and_what_is_asked_for_and_absent() {
    let mut script = Script::start().await.unwrap();
    let client = Arc::new(open(script.address(), ", \"resource_timeout_ms\": 500"));
    for target in ["a", "cluster:outbound|80|v1|a.default.svc.cluster.local", "cluster:outbound|80|v2|a.default.svc.cluster.local"]
    {
        client.watch(target).unwrap();
    }
    let mut stream = script.accept().await;
    let resources = mesh(1, &[9001], &[]);
    let all: Vec<(&str, Vec<u8>)> = resources.of(CLUSTER).map(|(n, b)| (n.as_str(), b.to_vec())).collect();
    stream.respond(response(CLUSTER, "c1", &all));
    while stream.request().await.type_url != ENDPOINTS {}
    let base = "outbound|80||a.default.svc.cluster.local";
    let good = resources.of(ENDPOINTS).find(|(name, _)| *name == base).map(|(_, body)| body.to_vec()).unwrap();
    let mut first = response(ENDPOINTS, "e1", &[(base, good)]);
    first.resources[0].version = "7".into();
    stream.respond(first);
    stream.respond(response(ENDPOINTS, "e2", &[(base, vec![0xff])]));
    let states = |status: &Value| -> Vec<(String, String)> {
        let list = status["types"][1]["list"].as_array().unwrap().clone();
        list.iter().map(|r| (r["name"].as_str().unwrap().to_owned(), r["state"].as_str().unwrap().to_owned())).collect()
    };
    let status = described(&client, move |status| states(status).iter().any(|(_, state)| state == "nacked_but_cached")).await;
    let eds = &status["types"][1];
    let resource = eds["list"].as_array().unwrap().iter().find(|r| r["name"] == base).unwrap();
    assert_eq!((resource["version"].as_str(), resource["error"].is_string()), (Some("7"), true));
    assert!(eds["error"].as_str().unwrap().contains(base));
    let counts: Vec<_> =
        ["responses", "nacks", "updates_valid", "updates_invalid"].iter().map(|key| eds[key].as_u64().unwrap()).collect();
    assert_eq!(counts, [2, 1, 1, 1]);
    let status =
        described(&client, move |status| states(status).iter().filter(|(_, state)| state == "does_not_exist").count() == 2).await;
    let mut counted: Vec<String> = status["types"][1]["states"].as_array().unwrap().iter().map(Value::to_string).collect();
    counted.sort();
    assert_eq!(
        counted,
        [
            r##"{"authority":"#old","cache_state":"does_not_exist","resources":2}"##,
            r##"{"authority":"#old","cache_state":"nacked_but_cached","resources":1}"##,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c_093_a_callers_deadline_ends_its_wait_and_nothing_else() {
    let server = serve(mesh(1, &[9001], &[]), true).await;
    let client = Arc::new(open(server.address(), ""));
    client.watch("a").unwrap();
    until(&client, "a", |_, ports| ports == [9001]).await;
    let streams = client.describe().unwrap()["streams"].clone();
    for _ in 0..20 {
        let waiter = Arc::clone(&client);
        let epoch = client.epoch();
        let woken = tokio::task::spawn_blocking(move || waiter.wait(epoch, Some(Duration::from_millis(1))));
        assert!(matches!(woken.await.unwrap().unwrap(), Wake::TimedOut(_)));
    }
    server.publish(mesh(2, &[9002], &[]));
    until(&client, "a", |_, ports| ports == [9002]).await;
    assert_eq!(client.describe().unwrap()["streams"], streams);
}

#[tokio::test(flavor = "multi_thread")]
async fn c_098_shutdown_ends_waits_timers_and_stream_at_once_and_once() {
    let mut script = Script::start().await.unwrap();
    let client = Arc::new(open(script.address(), ""));
    client.watch("a").unwrap();
    let mut stream = script.accept().await;
    stream.request().await;
    let held = client.snapshot();
    let waiter = Arc::clone(&client);
    let waiting = tokio::task::spawn_blocking(move || waiter.wait(u64::MAX - 1, Some(PATIENCE)));
    client.shutdown();
    client.shutdown();
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), proxyless_core::Code::Shutdown);
    drop(client);
    stream.ended().await;
    drop(held);
    assert!(tokio::time::timeout(Duration::from_millis(200), script.accept()).await.is_err(), "nobody comes back");
}

#[tokio::test(flavor = "multi_thread")]
async fn e_11_what_istiod_sends_to_sidecars_is_accepted_whole() {
    let mut script = Script::start().await.unwrap();
    let client = Arc::new(open(script.address(), ""));
    client.watch("a").unwrap();
    let mut stream = script.accept().await;
    stream.request().await;
    let kind = |kind: DiscoveryType| Some(ClusterDiscoveryType::Type(kind as i32));
    let tls = |name: &str| TransportSocket { name: name.into(), ..Default::default() };
    let matched = |name: &str| TransportSocketMatch { name: name.into(), transport_socket: Some(tls(name)), ..Default::default() };
    let odd = [
        Cluster {
            name: "PassthroughCluster".into(),
            cluster_discovery_type: kind(DiscoveryType::OriginalDst),
            lb_policy: LbPolicy::ClusterProvided as i32,
            ..Default::default()
        },
        Cluster { name: "BlackHoleCluster".into(), cluster_discovery_type: kind(DiscoveryType::Static), ..Default::default() },
        Cluster {
            name: "outbound|80||dns.example".into(),
            cluster_discovery_type: kind(DiscoveryType::StrictDns),
            lb_policy: LbPolicy::LeastRequest as i32,
            ..Default::default()
        },
        Cluster { name: "inbound|80||".into(), cluster_discovery_type: kind(DiscoveryType::OriginalDst), ..Default::default() },
    ];
    let resources = mesh(1, &[9001], &[]);
    let mut all: Vec<(&str, Vec<u8>)> = odd.iter().map(|cluster| (cluster.name.as_str(), cluster.encode_to_vec())).collect();
    for (name, body) in resources.of(CLUSTER) {
        let mut cluster = Cluster::decode(&body[..]).unwrap();
        cluster.transport_socket_matches =
            vec![matched("envoy.transport_sockets.tls"), matched("envoy.transport_sockets.raw_buffer")];
        all.push((name, cluster.encode_to_vec()));
    }
    stream.respond(response(CLUSTER, "c1", &all));
    let ack = stream.request().await;
    assert_eq!((ack.response_nonce.as_str(), ack.error_detail), ("c1", None));
    for (type_url, nonce) in [(ENDPOINTS, "e1"), (ROUTES, "r1")] {
        let all: Vec<(&str, Vec<u8>)> = resources.of(type_url).map(|(n, b)| (n.as_str(), b.to_vec())).collect();
        stream.respond(response(type_url, nonce, &all));
    }
    until(&client, "a", |_, ports| ports == [9001]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e_14_on_a_socket_for_one_there_is_one_stream_and_who_is_evicted_yields() {
    let folder = tempfile::TempDir::new().unwrap();
    let socket = folder.path().join("XDS");
    let mut script = Script::start_unix(&socket).await.unwrap();
    let document = |extra: &str| format!("{{\"server\": \"unix://{}\"{extra}}}", socket.display());
    let load = |extra: &str| Config::load(&Sources { document: document(extra), ..Default::default() }).unwrap();
    let first = Arc::new(Client::open(load("")).unwrap());
    let second = Client::open(load("")).unwrap();
    let other = Client::open(load(", \"namespace\": \"elsewhere\"")).expect_err("another node");
    assert!(other.to_string().contains("it serves one stream"), "{other}");
    first.watch("a").unwrap();
    second.watch("a").unwrap();
    for _ in 0..2 {
        let mut stream = script.accept().await;
        stream.request().await;
        stream.respond(response(CLUSTER, "c1", &[]));
        stream.request().await;
        // The agent closes the older stream when somebody else comes.
        drop(stream);
    }
    let status = described(&first, |status| status["servers"][0]["yielding"] == true).await;
    assert!(has_event(&status, "another xDS client uses this socket"), "{status:#}");
    assert!(tokio::time::timeout(Duration::from_secs(3), script.accept()).await.is_err(), "and keeps away");
}

#[tokio::test(flavor = "multi_thread")]
async fn e_15_a_large_response_is_accepted_and_one_above_the_limit_is_a_clear_error() {
    let large = |clusters: usize| -> Vec<(String, Vec<u8>)> {
        let cluster = |n: usize| Cluster { name: format!("c{n}"), alt_stat_name: "x".repeat(10_000), ..Default::default() };
        (0..clusters).map(cluster).map(|cluster| (cluster.name.clone(), cluster.encode_to_vec())).collect()
    };
    let push = |all: &[(String, Vec<u8>)]| {
        response(CLUSTER, "c1", &all.iter().map(|(name, body)| (name.as_str(), body.clone())).collect::<Vec<_>>())
    };
    let mut script = Script::start().await.unwrap();
    let _client = open(script.address(), "");
    let mut stream = script.accept().await;
    stream.request().await;
    stream.respond(push(&large(5_200)));
    let ack = stream.request().await;
    assert_eq!((ack.response_nonce.as_str(), ack.error_detail), ("c1", None));
    let limited = Arc::new(open(script.address(), ", \"max_message_bytes\": 1000000"));
    let mut attempts = 0;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        let Ok(mut stream) = tokio::time::timeout(Duration::from_secs(1), script.accept()).await else { continue };
        attempts += 1;
        stream.request().await;
        stream.respond(push(&large(200)));
        stream.ended().await;
    }
    assert!((2..=4).contains(&attempts), "{attempts} attempts in three seconds");
    let status = described(&limited, |status| status["failures"].as_u64() > Some(0)).await;
    let error = status["last_error"].as_str().unwrap();
    assert!(error.contains("too large") && error.contains("1000000"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e_16_a_server_that_holds_its_headers_until_it_has_a_request_is_served_one() {
    let mut script = Script::start_holding_headers().await.unwrap();
    let _client = open(script.address(), "");
    let mut stream = script.accept().await;
    assert_eq!(stream.request().await.resource_names_subscribe, ["*"]);
    stream.respond(response(CLUSTER, "c1", &[]));
    assert_eq!(stream.request().await.response_nonce, "c1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_has_silently_gone_is_found_out() {
    // A relay that can stop passing bytes without closing anything.
    let server = serve(mesh(1, &[9001], &[]), true).await;
    let relay = proxyless_tests::Relay::start(server.address()).await;
    let client = Arc::new(open(relay.address(), ", \"keepalive_ms\": 200, \"keepalive_timeout_ms\": 300"));
    client.watch("a").unwrap();
    until(&client, "a", |_, ports| ports == [9001]).await;
    relay.stall();
    described(&client, |status| status["connected"] == false).await;
    assert_eq!(ports(client.snapshot().get("a").unwrap().list.endpoints()), [9001]);
    relay.resume();
    server.publish(mesh(2, &[9002], &[]));
    until(&client, "a", |_, ports| ports == [9002]).await;
}

fn tonic_status() -> tonic::Status {
    tonic::Status::unavailable("going away")
}
