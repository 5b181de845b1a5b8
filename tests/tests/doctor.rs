// SPDX-License-Identifier: Apache-2.0
//! `proxyless doctor` beside control planes with one thing wrong.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{io::Read, net::TcpListener, process::Command, thread};

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{
                Cluster,
                cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
            },
            core::v3::{
                Address, AggregatedConfigSource, ConfigSource, SocketAddress, address, config_source::ConfigSourceSpecifier,
                socket_address::PortSpecifier,
            },
            endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
        },
        service::discovery::v3::{DeltaDiscoveryResponse, Resource},
    },
    google::protobuf::{Any, UInt32Value},
};
use prost::Message;
use proxyless_control_plane::{
    Server,
    ads::{CLUSTER, ENDPOINTS, State},
    scripted::Script,
};
use proxyless_tests::{Authority, ControlPlane, MeshFile, target};
use serde_json::Value;

const NAME: &str = "outbound|80||a.default.svc.cluster.local";
const TARGET: &str = "cluster:outbound|80||a.default.svc.cluster.local";

/// Every step, and the exit code.
fn doctor(server: &str, arguments: &[&str]) -> (Vec<Value>, Option<i32>) {
    let mut command = Command::new(target("proxyless"));
    command.args(["doctor", "--json", "--server", server]).args(arguments);
    let output = command.env_remove("NODE_NAME").output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    (serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {why}")), output.status.code())
}

async fn doctor_of(server: String, arguments: &'static [&'static str]) -> (Vec<Value>, Option<i32>) {
    tokio::task::spawn_blocking(move || doctor(&server, arguments)).await.unwrap()
}

/// Verdict, text and remedy of the last step of this name.
fn step(steps: &[Value], name: &str) -> (String, String, String) {
    let found = steps.iter().rfind(|step| step["step"] == name).unwrap_or_else(|| panic!("no step {name}: {steps:#?}"));
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("verdict"), text("found"), text("remedy"))
}

fn service(namespace: &str, endpoints: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a, namespace: {namespace}}}\nspec:\n  \
         hosts: [a.{namespace}.svc.cluster.local]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  \
         endpoints: [{endpoints}]\n"
    )
}

fn eds_cluster() -> Cluster {
    let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
    let eds_config = Some(ConfigSource { config_source_specifier: Some(ads), ..Default::default() });
    Cluster {
        name: NAME.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig { eds_config, ..Default::default() }),
        ..Default::default()
    }
}

/// An assignment whose only endpoint weighs nothing, which the protocol forbids.
fn weightless() -> ClusterLoadAssignment {
    let socket =
        SocketAddress { address: "127.0.0.1".into(), port_specifier: Some(PortSpecifier::PortValue(80)), ..Default::default() };
    let endpoint =
        Endpoint { address: Some(Address { address: Some(address::Address::SocketAddress(socket)) }), ..Default::default() };
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
        load_balancing_weight: Some(UInt32Value { value: 0 }),
        ..Default::default()
    };
    ClusterLoadAssignment {
        cluster_name: NAME.into(),
        endpoints: vec![LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..Default::default() }],
        ..Default::default()
    }
}

#[test]
fn the_doctor_names_the_host_of_another_namespace_and_the_settings_that_reach_it() {
    let mesh = MeshFile::default();
    mesh.write(&service("shop", "{address: 127.0.0.1}"));
    let control_plane = ControlPlane::start(&mesh.path());
    let (steps, code) = doctor(&control_plane.url(), &["a"]);
    let (verdict, text, remedy) = step(&steps, "endpoints");
    assert_eq!((verdict.as_str(), code), ("wrong", Some(1)));
    assert!(text.contains("a.shop is listed"), "the near host: {text}");
    assert!(remedy.contains("search_namespaces") && remedy.contains("proxyless services"), "{remedy}");
    assert_eq!(step(&doctor(&control_plane.url(), &["a.shop"]).0, "endpoints").0, "ok");
}

#[test]
fn the_doctor_of_an_empty_list_asks_for_the_node_name_while_there_is_none() {
    let mesh = MeshFile::default();
    mesh.write(&service("default", ""));
    let control_plane = ControlPlane::start(&mesh.path());
    let (steps, code) = doctor(&control_plane.url(), &["a"]);
    let (verdict, _, remedy) = step(&steps, "endpoints");
    assert_eq!((verdict.as_str(), code), ("odd", Some(0)));
    assert!(remedy.contains("NODE_NAME") && remedy.contains("spec.nodeName"), "{remedy}");
    let named = ["a", "--set", r#"node_metadata={"NODE_NAME": "n1"}"#];
    assert_eq!(
        step(&doctor(&control_plane.url(), &["a", "--set", "node_name=n1"]).0, "endpoints").2,
        "has the service ready pods?"
    );
    assert_eq!(step(&doctor(&control_plane.url(), &named).0, "endpoints").2, "has the service ready pods?");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_shows_what_was_rejected_and_no_failure_of_before() {
    let mut state = State::new(1);
    state.insert(CLUSTER, NAME.into(), &eds_cluster());
    state.insert(ENDPOINTS, NAME.into(), &weightless());
    let server = Server::start(([127, 0, 0, 1], 0).into(), state, false).await.unwrap();
    let (steps, code) = doctor_of(format!("http://{}", server.address()), &["--timeout", "1", TARGET]).await;
    assert_eq!((step(&steps, "stream").0.as_str(), step(&steps, "endpoints").0.as_str(), code), ("ok", "wrong", Some(1)));
    let all = serde_json::to_string(&steps).unwrap();
    assert!(step(&steps, "warnings").1.contains("weight") && !all.contains("this is no ADS server"), "{steps:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_of_a_withheld_snapshot_that_all_names_must_be_asked_for() {
    let mut script = Script::start().await.unwrap();
    let server = format!("http://{}", script.address());
    let playing = tokio::spawn(async move {
        let mut stream = script.accept().await;
        stream.request().await;
        let cluster = Any { type_url: CLUSTER.into(), value: eds_cluster().encode_to_vec() };
        let resources = vec![Resource { name: NAME.into(), version: "1".into(), resource: Some(cluster), ..Default::default() }];
        stream.respond(DeltaDiscoveryResponse { type_url: CLUSTER.into(), nonce: "1".into(), resources, ..Default::default() });
        stream.ended().await;
    });
    let (steps, code) = doctor_of(server, &["--set", "resource_timeout_ms=300", "--timeout", "2", TARGET]).await;
    playing.abort();
    assert_eq!((step(&steps, "endpoints").0.as_str(), code), ("odd", Some(0)));
    assert!(
        steps.iter().any(|step| step["found"].to_string().contains("until all names of its snapshot are asked for")),
        "{steps:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_a_plain_port_from_a_tls_port_from_one_of_another_protocol() {
    let plain = Script::start().await.unwrap();
    let (steps, code) = doctor_of(format!("https://localhost:{}", plain.address().port()), &[]).await;
    assert_eq!(code, Some(1));
    assert!(step(&steps, "tls").2.contains("is this a TLS port?"), "{steps:#?}");

    let authority = Authority::new();
    let (certificate, key) = authority.server("localhost", 2099);
    let tls = Script::start_tls(&certificate, &key).await.unwrap();
    let (steps, code) = doctor_of(format!("http://localhost:{}", tls.address().port()), &["--timeout", "2"]).await;
    assert_eq!(code, Some(1));
    let (_, found, remedy) = step(&steps, "stream");
    assert!(remedy.contains("https"), "{found}: {remedy}");

    let (steps, code) = doctor_of(format!("http://{}", http_1()), &["--timeout", "2"]).await;
    assert_eq!(code, Some(1));
    let (_, found, remedy) = step(&steps, "stream");
    assert!(found.contains("HTTP/1") && remedy.contains("no ADS server"), "{found}: {remedy}");
}

/// Answers whatever comes as a server of HTTP/1 does, until the test's process ends.
fn http_1() -> String {
    use std::io::Write;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

#[test]
fn a_target_that_cannot_be_read_is_a_finding_of_the_doctor_too() {
    let mesh = MeshFile::default();
    mesh.write(&service("default", ""));
    let control_plane = ControlPlane::start(&mesh.path());
    let (steps, code) = doctor(&control_plane.url(), &["a:b"]);
    assert_eq!((step(&steps, "endpoints").0.as_str(), code), ("wrong", Some(1)));
}
