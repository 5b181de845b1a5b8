// SPDX-License-Identifier: Apache-2.0
//! Scenarios of the conformance catalogue that need a wire, over TCP, TLS and a Unix socket, in both variants.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{sync::Arc, time::Duration};

use envoy_types::pb::{
    envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource},
    google::protobuf::Any,
};
use proxyless_control_plane::{
    ads::{CLUSTER, ENDPOINTS},
    scripted::{DeltaStream, Script, SotwStream},
};
use proxyless_core::{
    Client,
    config::{Config, Sources},
};
use proxyless_tests::Authority;
use serde_json::{Value, json};
use tempfile::TempDir;

const NAME: &str = "outbound|80||a.default.svc.cluster.local";

/// A scripted server on one of the transports, and what a client must be told to reach it.
struct Place {
    script: Script,
    settings: Value,
    _files: (Option<Authority>, Option<TempDir>),
}

async fn places() -> Vec<Place> {
    let plain = Script::start().await.unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.server("localhost", 2099);
    let tls = Script::start_tls(&certificate, &key).await.unwrap();
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("XDS");
    let unix = Script::start_unix(&socket).await.unwrap();
    let plain_settings = json!({"server": format!("http://{}", plain.address())});
    let tls_settings = json!({"server": format!("https://localhost:{}", tls.address().port()), "ca_file": authority.root_file()});
    let unix_settings = json!({"server": format!("unix://{}", socket.display())});
    vec![
        Place { script: plain, settings: plain_settings, _files: (None, None) },
        Place { script: tls, settings: tls_settings, _files: (Some(authority), None) },
        Place { script: unix, settings: unix_settings, _files: (None, Some(folder)) },
    ]
}

impl Place {
    /// A client of this server that asks for one cluster by name.
    fn open(&self, extra: &[(&str, Value)]) -> Client {
        let mut settings = self.settings.clone();
        for (key, value) in extra {
            settings[*key] = value.clone();
        }
        let client =
            Client::open(Config::load(&Sources { document: settings.to_string(), ..Default::default() }).unwrap()).unwrap();
        client.watch(&format!("cluster:{NAME}")).unwrap();
        client
    }
}

fn cluster() -> Any {
    use envoy_types::pb::envoy::config::{
        cluster::v3::{
            Cluster,
            cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
        },
        core::v3::{AggregatedConfigSource, ConfigSource, config_source::ConfigSourceSpecifier},
    };
    let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
    let eds_config = Some(ConfigSource { config_source_specifier: Some(ads), ..Default::default() });
    let cluster = Cluster {
        name: NAME.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig { eds_config, ..Default::default() }),
        ..Default::default()
    };
    Any { type_url: CLUSTER.into(), value: prost::Message::encode_to_vec(&cluster) }
}

/// A body that is no resource of this type.
fn broken(type_url: &str) -> Any {
    Any { type_url: type_url.into(), value: b"\x0a\xff".to_vec() }
}

/// An assignment without endpoints, which is a valid one.
fn assignment() -> Any {
    Any { type_url: ENDPOINTS.into(), value: [&[0x0a, u8::try_from(NAME.len()).unwrap()], NAME.as_bytes()].concat() }
}

fn delta(nonce: &str, any: Any) -> DeltaDiscoveryResponse {
    let type_url = any.type_url.clone();
    let resources = vec![Resource { name: NAME.into(), version: nonce.into(), resource: Some(any), ..Default::default() }];
    DeltaDiscoveryResponse { type_url, nonce: nonce.into(), resources, ..Default::default() }
}

fn sotw(version: &str, nonce: &str, any: Any) -> DiscoveryResponse {
    DiscoveryResponse {
        type_url: any.type_url.clone(),
        version_info: version.into(),
        nonce: nonce.into(),
        resources: vec![any],
        ..Default::default()
    }
}

async fn next_delta(stream: &mut DeltaStream, type_url: &str) -> DeltaDiscoveryRequest {
    loop {
        let request = stream.request().await;
        if request.type_url == type_url {
            return request;
        }
    }
}

async fn next_sotw(stream: &mut SotwStream, type_url: &str) -> DiscoveryRequest {
    loop {
        let request = stream.request().await;
        if request.type_url == type_url {
            return request;
        }
    }
}

/// Polls `describe` until it shows what is wanted.
async fn described(client: &Arc<Client>, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..4000 {
        let asked = Arc::clone(client);
        let status = tokio::task::spawn_blocking(move || asked.describe().unwrap()).await.unwrap();
        if wanted(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never shows");
}

#[tokio::test(flavor = "multi_thread")]
async fn e_01_e_02_delta_requests_answers_and_restatements_on_every_transport() {
    for mut place in places().await {
        let _client = place.open(&[]);
        let mut stream = place.script.accept().await;
        let first = stream.request().await;
        assert!(first.node.is_some() && first.initial_resource_versions.is_empty());
        assert_eq!(first.resource_names_subscribe, ["*"]);
        stream.respond(delta("c1", cluster()));
        let ack = stream.request().await;
        assert_eq!((ack.response_nonce.as_str(), ack.error_detail, ack.node), ("c1", None, None));
        assert!(ack.resource_names_subscribe.is_empty() && ack.resource_names_unsubscribe.is_empty());
        let asked = next_delta(&mut stream, ENDPOINTS).await;
        assert_eq!((asked.resource_names_subscribe.as_slice(), asked.response_nonce.as_str()), (&[NAME.to_owned()][..], ""));
        stream.respond(delta("e1", assignment()));
        assert_eq!(next_delta(&mut stream, ENDPOINTS).await.response_nonce, "e1");
        stream.respond(delta("e2", broken(ENDPOINTS)));
        let nack = next_delta(&mut stream, ENDPOINTS).await;
        let error = nack.error_detail.unwrap();
        assert_eq!((nack.response_nonce.as_str(), error.code), ("e2", 3));
        assert!(error.message.contains(NAME), "{}", error.message);
        drop(stream);
        let mut stream = place.script.accept().await;
        let again = stream.request().await;
        assert!(again.node.is_some());
        assert_eq!(again.initial_resource_versions.get(NAME).map(String::as_str), Some("c1"));
        let endpoints = next_delta(&mut stream, ENDPOINTS).await;
        assert_eq!(endpoints.resource_names_subscribe, [NAME]);
        assert_eq!(endpoints.initial_resource_versions.get(NAME).map(String::as_str), Some("e1"), "the last accepted one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c_001_c_002_c_035_requests_answers_and_restatements_of_the_state_of_the_world_on_every_transport() {
    for mut place in places().await {
        let _client = place.open(&[("profile", "grpc".into())]);
        let mut stream = place.script.accept_sotw().await;
        let first = stream.request().await;
        assert!(first.node.is_some());
        assert_eq!(
            (first.resource_names.as_slice(), first.version_info.as_str(), first.response_nonce.as_str()),
            (&[NAME.to_owned()][..], "", "")
        );
        stream.respond(sotw("1", "c1", cluster()));
        let ack = stream.request().await;
        assert_eq!((ack.version_info.as_str(), ack.response_nonce.as_str(), ack.error_detail, ack.node), ("1", "c1", None, None));
        stream.respond(sotw("2", "c2", broken(CLUSTER)));
        let nack = next_sotw(&mut stream, CLUSTER).await;
        assert_eq!((nack.version_info.as_str(), nack.response_nonce.as_str()), ("1", "c2"));
        assert!(nack.error_detail.unwrap().message.contains("resource #0"), "its name cannot be read");
        stream.respond(sotw("3", "c3", cluster()));
        let ack = next_sotw(&mut stream, CLUSTER).await;
        assert_eq!((ack.version_info.as_str(), ack.error_detail), ("3", None));
        drop(stream);
        let mut stream = place.script.accept_sotw().await;
        let again = stream.request().await;
        assert!(again.node.is_some());
        assert_eq!(
            (again.resource_names.as_slice(), again.version_info.as_str(), again.response_nonce.as_str()),
            (&[NAME.to_owned()][..], "3", "")
        );
        assert_eq!(next_sotw(&mut stream, ENDPOINTS).await.resource_names, [NAME]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c_032_c_033_an_end_after_an_answer_is_no_failure_and_one_before_is_on_every_transport() {
    for mut place in places().await {
        let client = Arc::new(place.open(&[]));
        let mut stream = place.script.accept().await;
        stream.request().await;
        stream.respond(delta("c1", cluster()));
        stream.request().await;
        stream.fail(tonic::Status::internal("whatever"));
        let stream = place.script.accept().await;
        let status = described(&client, |status| status["servers"][0]["streams"] == 2).await;
        assert_eq!((&status["servers"][0]["server_failures"], &status["servers"][0]["connected"]), (&json!(0), &json!(true)));
        // On a socket for one client an end in order, so soon after another, would be taken for an eviction (E-14).
        if place.settings["server"].as_str().unwrap().starts_with("unix:") {
            stream.fail(tonic::Status::unavailable("no upstream"));
        } else {
            drop(stream);
        }
        let status = described(&client, |status| status["servers"][0]["connected"] == false).await;
        assert_eq!(status["servers"][0]["server_failures"], 1);
        let mut stream = place.script.accept().await;
        stream.request().await;
        stream.respond(delta("c2", cluster()));
        described(&client, |status| status["servers"][0]["connected"] == true).await;
    }
}
