// SPDX-License-Identifier: Apache-2.0
//! The client over real sockets, against the embedded control plane and against a scripted one.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use envoy_types::pb::{
    envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource},
    google::protobuf::Any,
};
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
async fn until(client: &std::sync::Arc<Client>, target: &'static str, wanted: impl Fn(State, &[u16]) -> bool + Send + 'static) {
    let client = std::sync::Arc::clone(client);
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
        let client = std::sync::Arc::new(open(server.address(), ""));
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
    let client = std::sync::Arc::new(open(server.address(), ""));
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
        let client = std::sync::Arc::new(open(server.address(), &format!(", \"namespace\": \"{namespace}\"")));
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
    let client = std::sync::Arc::new(open(address, ""));
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
async fn handles_with_equal_settings_share_one_stream_and_go_separately() {
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
    let client = std::sync::Arc::new(open(script.address(), ""));
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

fn tonic_status() -> tonic::Status {
    tonic::Status::unavailable("going away")
}
