// SPDX-License-Identifier: Apache-2.0
//! What the library does to the process that it lives in: nothing.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    os::unix::net::UnixListener,
    process::{Command, Output},
    thread,
};

use proxyless_tests::{ControlPlane, Endpoint, MeshFile, compile, repository};
use tempfile::TempDir;

fn host(arguments: &[&str]) -> Output {
    let folder = TempDir::new().unwrap();
    let program = compile(&repository().join("ffi-c/tests/host.c"), &folder, &[]);
    Command::new(program).args(arguments).output().unwrap()
}

#[test]
fn a_host_lives_when_a_peer_closes_its_socket_while_we_write() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("XDS");
    let listener = UnixListener::bind(&socket).unwrap();
    // Everybody who comes is sent away.
    thread::spawn(move || listener.incoming().for_each(drop));
    let options = format!(r#"{{"server": "unix://{}", "backoff_ms": 1, "backoff_max_ms": 1}}"#, socket.display());
    let output = host(&["pipe", &options]);
    assert!(output.status.success() && output.stdout == b"alive\n", "{output:?}");
}

#[test]
fn a_forked_child_that_opens_a_client_with_the_same_settings_has_one_of_its_own() {
    let mesh = MeshFile::default();
    let endpoints =
        [Endpoint { ip: "127.0.0.11", port: 9001, version: "v1" }, Endpoint { ip: "127.0.0.12", port: 9002, version: "v2" }];
    mesh.service(&endpoints, &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    let output = host(&["fork", &format!(r#"{{"server": "{}"}}"#, control_plane.url()), "go-sc-a"]);
    assert!(output.status.success() && output.stdout == b"both\n", "{output:?}");
}
