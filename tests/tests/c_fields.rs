// SPDX-License-Identifier: Apache-2.0
//! What C reads is what the control plane said, field by field, and what C asks for happens.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{collections::HashMap, process::Command};

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{
                Cluster,
                cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
            },
            core::v3::{
                Address, AggregatedConfigSource, ConfigSource, HealthStatus, Locality, Metadata, SocketAddress,
                address::Address as Place, config_source::ConfigSourceSpecifier, socket_address::PortSpecifier,
            },
            endpoint::v3::{
                ClusterLoadAssignment, Endpoint as PbEndpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
            },
        },
        service::discovery::v3::{DeltaDiscoveryResponse, Resource},
    },
    google::protobuf::{Any, Struct, UInt32Value, Value, value::Kind},
};
use prost::Message;
use proxyless_control_plane::{
    ads::{CLUSTER, ENDPOINTS},
    scripted::{DeltaStream, Script},
};
use proxyless_tests::{ControlPlane, Endpoint, MeshFile, Process, compile, eventually, repository};
use tempfile::TempDir;

const NAME: &str = "outbound|80||a.default.svc.cluster.local";

fn program(folder: &TempDir, server: &str) -> Process {
    let options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let program = compile(&repository().join("ffi-c/tests/fields.c"), folder, &options);
    Process::start(Command::new(program).arg(format!("{{\"server\": \"{server}\"}}")))
}

fn cluster() -> Cluster {
    let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
    let eds_config = Some(ConfigSource { config_source_specifier: Some(ads), ..Default::default() });
    Cluster {
        name: NAME.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig { eds_config, ..Default::default() }),
        ..Default::default()
    }
}

fn endpoint(
    address: &str,
    port: u32,
    weight: u32,
    health: HealthStatus,
    hostname: &str,
    metadata: &[(&str, &str, &str)],
) -> LbEndpoint {
    let socket =
        SocketAddress { address: address.into(), port_specifier: Some(PortSpecifier::PortValue(port)), ..Default::default() };
    let filter_metadata: HashMap<_, _> = metadata
        .iter()
        .map(|(filter, key, text)| {
            let value = Value { kind: Some(Kind::StringValue((*text).into())) };
            ((*filter).to_owned(), Struct { fields: HashMap::from([((*key).into(), value)]) })
        })
        .collect();
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(PbEndpoint {
            address: Some(Address { address: Some(Place::SocketAddress(socket)) }),
            hostname: hostname.into(),
            ..Default::default()
        })),
        health_status: health as i32,
        load_balancing_weight: Some(UInt32Value { value: weight }),
        metadata: Some(Metadata { filter_metadata, ..Default::default() }),
    }
}

fn place(region: &str, zone: &str, sub_zone: &str, endpoint: LbEndpoint) -> LocalityLbEndpoints {
    LocalityLbEndpoints {
        locality: Some(Locality { region: region.into(), zone: zone.into(), sub_zone: sub_zone.into() }),
        lb_endpoints: vec![endpoint],
        load_balancing_weight: Some(UInt32Value { value: 1 }),
        ..Default::default()
    }
}

fn assignment() -> ClusterLoadAssignment {
    let workload = ("istio", "workload", "shop-1;default;shop;v2;east");
    let tls = ("envoy.transport_socket_match", "tlsMode", "istio");
    ClusterLoadAssignment {
        cluster_name: NAME.into(),
        endpoints: vec![
            place(
                "region-a",
                "zone-a",
                "rack-a",
                endpoint("10.1.2.3", 8080, 3, HealthStatus::Healthy, "one.example", &[workload, tls]),
            ),
            place("region-b", "zone-b", "", endpoint("2001:db8::2", 65535, 1, HealthStatus::Unknown, "", &[])),
        ],
        ..Default::default()
    }
}

fn delta(type_url: &str, body: Vec<u8>) -> DeltaDiscoveryResponse {
    let resource = Any { type_url: type_url.into(), value: body };
    DeltaDiscoveryResponse {
        type_url: type_url.into(),
        nonce: "1".into(),
        resources: vec![Resource { name: NAME.into(), version: "1".into(), resource: Some(resource), ..Default::default() }],
        ..Default::default()
    }
}

async fn asked_for(stream: &mut DeltaStream, type_url: &str) {
    while stream.request().await.type_url != type_url {}
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_that_c_reads_is_what_the_control_plane_said() {
    let folder = TempDir::new().unwrap();
    let mut script = Script::start().await.unwrap();
    let mut fields = program(&folder, &format!("http://{}", script.address()));
    let target = format!("cluster:{NAME}");
    fields.write_line(&format!("watch {target}"));
    fields.write_line(&format!("look {target}"));
    let mut stream = script.accept().await;
    asked_for(&mut stream, CLUSTER).await;
    stream.respond(delta(CLUSTER, cluster().encode_to_vec()));
    asked_for(&mut stream, ENDPOINTS).await;
    stream.respond(delta(ENDPOINTS, assignment().encode_to_vec()));
    let line = fields.line("the list", |line| line.contains("state=2"));
    let expected = format!(
        "{target} PXL_OK state=2 reason=0 flags=0 resolved={NAME} detail= | ip=10.1.2.3 port=8080 family=4 health=1 priority=0 flags=1 \
         weight=3 region=region-a zone=zone-a sub_zone=rack-a hostname=one.example workload=shop-1;default;shop;v2;east | \
         ip=2001:db8::2 port=65535 family=6 health=0 priority=0 flags=0 weight=1 region=region-b zone=zone-b sub_zone= | order=0010"
    );
    assert_eq!(line, expected);
}

#[test]
fn a_target_is_pending_right_after_it_was_watched_and_not_watched_after_it_was_unwatched() {
    let folder = TempDir::new().unwrap();
    let mesh = MeshFile::default();
    mesh.write(&proxyless_tests::with_policies("1s"));
    let control_plane = ControlPlane::start(&mesh.path());
    let mut fields = program(&folder, &control_plane.url());
    for round in 1..=50 {
        fields.write_line("watch go-sc-a");
        fields.write_line("look go-sc-a");
        fields.write_line("unwatch go-sc-a");
        let lines = eventually("three lines", || {
            let out = fields.out();
            let lines: Vec<String> = out.lines().map(str::to_owned).collect();
            (lines.len() == 3 * round && out.ends_with('\n')).then_some(lines)
        });
        let [watched, looked, unwatched] = &lines[lines.len() - 3..] else { panic!("three lines") };
        assert!(watched.starts_with("go-sc-a PXL_OK state="), "{watched}");
        assert!(looked.starts_with("go-sc-a PXL_OK state=2"), "{looked}");
        assert_eq!(unwatched, "go-sc-a PXL_ERR_NOT_WATCHED");
    }
}

/// Asks for the age until it is as wanted.
fn stale(fields: &mut Process, wanted: impl Fn(i64) -> bool) -> i64 {
    eventually("another age", || {
        let before = fields.out().lines().count();
        fields.write_line("stale");
        let line = eventually("an age", || {
            let out = fields.out();
            out.lines().nth(before).filter(|_| out.ends_with('\n')).map(str::to_owned)
        });
        Some(line.strip_prefix("stale ").unwrap().parse().unwrap()).filter(|age| wanted(*age))
    })
}

#[test]
fn c_sees_staleness_before_the_first_stream_its_end_and_its_return() {
    let folder = TempDir::new().unwrap();
    let mesh = MeshFile::default();
    mesh.write(&proxyless_tests::with_policies("1s"));
    let mut control_plane = ControlPlane::start(&mesh.path());
    let mut fields = program(&folder, &control_plane.url());
    let first = stale(&mut fields, |_| true);
    assert!(first >= 0, "nothing is watched, nothing is connected: {first}");
    stale(&mut fields, |age| age > first);
    fields.write_line("watch go-sc-a");
    fields.write_line("look go-sc-a");
    fields.line("the list", |line| line.contains("state=2"));
    assert_eq!(stale(&mut fields, |age| age < 0), -1, "in sync");
    control_plane.process.kill();
    let age = stale(&mut fields, |age| age >= 0);
    stale(&mut fields, |later| later > age);
}

#[test]
fn c_sees_why_a_target_is_invalid_and_that_a_route_leads_nowhere_in_part() {
    let folder = TempDir::new().unwrap();
    let mesh = MeshFile::default();
    let endpoints = ["v1", "v2"].map(|version| Endpoint { ip: "127.0.0.11", port: 9001, version });
    mesh.service(&endpoints, &[("v1", 1), ("v9", 1)]);
    let control_plane = ControlPlane::start(&mesh.path());
    let mut fields = program(&folder, &control_plane.url());
    for target in ["go-sc-a", "go-sc-a/v8", "go-sc-a:7"] {
        fields.write_line(&format!("watch {target}"));
        fields.write_line(&format!("look {target}"));
    }
    fields.line("a part", |line| line.starts_with("go-sc-a PXL_OK state=2 reason=0 flags=1 ") && line.contains("127.0.0.11"));
    fields.line("no subset", |line| line.starts_with("go-sc-a/v8 PXL_OK state=4 reason=1 flags=0") && line.contains("v8"));
    fields.line("no port", |line| line.starts_with("go-sc-a:7 PXL_OK state=4 reason=2 flags=0") && line.contains("80"));
}
