// SPDX-License-Identifier: Apache-2.0
//! What happens to a connection, and to istiod, in a long life.

use std::time::{Duration, Instant};

use proxyless_tests::{Istiod, Mesh, PATIENCE, Relay, open};
use serde_json::json;

use crate::{both, echo, entry, slice, until};

#[test]
fn a_limit_on_new_streams_only_delays() {
    let istiod = Istiod::start_with(&[], &[("PILOT_MAX_REQUESTS_PER_SECOND", "0.5")]);
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    // Each has a node of its own, and so a stream of its own.
    let clients: Vec<_> = (1..=4)
        .map(|n| {
            open(&json!({"server": istiod.plaintext(), "namespace": "demo", "pod_ip": "127.0.0.9", "pod_name": format!("p{n}")}))
        })
        .collect();
    for client in &clients {
        until(client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    }
    let refused =
        clients.iter().filter(|client| client.describe().unwrap()["events"].to_string().contains("ResourceExhausted")).count();
    assert!(refused > 0, "istiod has limited nobody");
}

#[test]
fn connections_that_istiod_ends_every_second_change_nothing() {
    let mesh = Mesh::with(Istiod::start_with(&["-max-age", "1s"], &[]), &json!({}));
    mesh.apply(&echo());
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    let epochs: Vec<u64> = mesh.clients.iter().map(|client| client.epoch()).collect();
    // Each goes on for ten more seconds, in which a client may end what it has begun.
    let deadline = Instant::now() + 3 * PATIENCE;
    for client in &mesh.clients {
        let streams = || client.describe().unwrap()["servers"][0]["streams"].as_u64().unwrap();
        while streams() < 3 {
            assert!(Instant::now() < deadline, "{:#}", client.describe().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(client.describe().unwrap()["servers"][0]["server_failures"], 0);
    }
    assert_eq!(mesh.clients.iter().map(|client| client.epoch()).collect::<Vec<_>>(), epochs, "no list has changed");
    mesh.apply(&slice("echo", &[("http", 8080)], &[("echo-1", "127.0.0.31", true)]));
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080");
}

#[test]
fn istiod_may_restart_and_what_went_meanwhile_is_gone() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    let gone = entry("gone", "gone.example", "  resolution: STATIC\n  endpoints: [{address: 127.0.0.67, ports: {http: 9007}}]\n");
    mesh.apply(&gone);
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    both(&mesh, "gone.example:80", "ready 127.0.0.67:9007");
    let places = mesh.istiod.same_places();
    let Mesh { istiod, clients } = mesh;
    drop(istiod);
    for client in &clients {
        while client.stale_for().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        until(client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    }
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let istiod = Istiod::start_with(&places, &[]);
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    istiod.apply(&slice("echo", &[("http", 8080)], &[("echo-2", "127.0.0.32", true)]));
    for client in &clients {
        until(client, "echo:8080", "ready 127.0.0.32:8080");
        until(client, "gone.example:80", "removed");
    }
}

#[test]
fn a_forced_disconnect_is_no_event() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    let epochs = || mesh.clients.iter().map(|client| client.epoch()).collect::<Vec<_>>();
    let before = epochs();
    // Both have the same node, so that either may be meant.
    let answer = mesh.istiod.debug("/debug/force_disconnect?proxyID=proxyless.demo");
    assert!(answer.to_lowercase().contains("ok"), "{answer}");
    let deadline = Instant::now() + PATIENCE;
    let streams =
        || mesh.clients.iter().map(|client| client.describe().unwrap()["servers"][0]["streams"].as_u64().unwrap()).sum::<u64>();
    while streams() < 3 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(epochs(), before);
}

#[test]
fn a_storm_of_changes_ends_with_the_last_one() {
    let mesh = Mesh::start();
    mesh.apply(&echo());
    both(&mesh, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    for round in 0..500u32 {
        let ip = format!("127.0.{}.{}", 1 + round / 200, 1 + round % 200);
        mesh.apply(&slice("echo", &[("http", 8080)], &[("echo-1", &ip, true)]));
    }
    both(&mesh, "echo:8080", "ready 127.0.3.100:8080");
    let status = mesh.clients[0].describe().unwrap();
    let nacks: u64 = status["types"].as_array().unwrap().iter().map(|t| t["nacks"].as_u64().unwrap()).sum();
    assert_eq!(nacks, 0, "{status:#}");
}

#[test]
fn two_replicas_behind_one_address_are_one_control_plane() {
    let (one, two) = (Istiod::start(), Istiod::start());
    for istiod in [&one, &two] {
        istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
        istiod.apply(&echo());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let relay = runtime.block_on(Relay::start(one.address()));
    let client = open(&json!({"server": format!("http://{}", relay.address()), "namespace": "demo", "pod_ip": "127.0.0.9"}));
    until(&client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    let epoch = client.epoch();
    for (round, istiod) in [&two, &one, &two].into_iter().enumerate() {
        relay.lead_to(istiod.address());
        relay.cut();
        let deadline = Instant::now() + PATIENCE;
        while client.describe().unwrap()["servers"][0]["streams"].as_u64() < Some(round as u64 + 2) || client.stale_for().is_some()
        {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(client.epoch(), epoch, "they say the same");
    }
    two.apply(&slice("echo", &[("http", 8080)], &[("echo-1", "127.0.0.31", true)]));
    until(&client, "echo:8080", "ready 127.0.0.31:8080");
}
