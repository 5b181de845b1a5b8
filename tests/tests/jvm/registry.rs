// SPDX-License-Identifier: Apache-2.0
//! A registry beside the mesh: it names instances, none, or is down.

use proxyless_tests::{ControlPlane, MeshFile, Process, eventually, jvm};

use crate::{V1, V1B, V2, ends_clean, lab, served};

/// Says a line and returns what the program answers to it.
fn ask(program: &mut Process, line: &str) -> String {
    let before = program.out().len();
    program.write_line(line);
    let wanted = format!("{line} -> ");
    eventually(line, || {
        let out = program.out();
        let answer = out[before..].lines().find(|answer| answer.starts_with(&wanted))?;
        out.ends_with('\n').then(|| answer[wanted.len()..].to_owned())
    })
}

fn ask_until(program: &mut Process, line: &str, wanted: &str) {
    eventually(wanted, || (ask(program, line) == wanted).then_some(()));
}

#[test]
fn what_the_registry_has_named_stays_its_own_through_empty_answers_and_the_log_says_that_the_mesh_stands_by() {
    let (mesh, control_plane) = served(&[V1], &[]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["registry", "names 127.0.0.99:1"]));
    program.line("its list", |line| line == "built [127.0.0.99:1 UNKNOWN #0]");
    eventually("the log says so", || {
        ask(&mut program, "poll");
        program.err().contains("the registry serves it, the mesh stands by").then_some(())
    });
    ask(&mut program, "empty");
    assert_eq!(ask(&mut program, "poll"), "[]");
    mesh.service(&[V1, V2], &[]);
    eventually("the change is served", || control_plane.process.out().contains("now version 2").then_some(()));
    assert_eq!(ask(&mut program, "poll"), "[]");
    assert_eq!(ask(&mut program, "choose"), "null");
    ask(&mut program, "names 127.0.0.98:1");
    assert_eq!(ask(&mut program, "poll"), "[127.0.0.98:1 UNKNOWN #1]");
    program.write_line("end");
    ends_clean(&mut program);
    assert_eq!(program.err().matches("the mesh stands by").count(), 1, "{}", program.err());
}

#[test]
fn a_registry_that_is_down_leaves_the_mesh_its_service_and_fails_for_its_own() {
    let (mesh, control_plane) = served(&[V1], &[]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["registry", "down"]));
    program.line("the mesh's list", |line| line == "built [127.0.0.11:9001 UNKNOWN #0]");
    mesh.service(&[V2], &[]);
    ask_until(&mut program, "poll", "[127.0.0.12:9002 UNKNOWN #1]");
    ask(&mut program, "up");
    ask(&mut program, "names 127.0.0.99:1");
    assert_eq!(ask(&mut program, "poll"), "[127.0.0.99:1 UNKNOWN #2]");
    ask(&mut program, "down");
    assert_eq!(ask(&mut program, "poll"), "the registry is down");
    program.write_line("end");
    ends_clean(&mut program);
}

#[test]
fn a_server_that_stays_is_the_same_object_over_updates() {
    let (mesh, control_plane) = served(&[V1, V2], &[]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["registry"]));
    program.line("both", |line| line == "built [127.0.0.11:9001 UNKNOWN #0, 127.0.0.12:9002 UNKNOWN #1]");
    mesh.service(&[V1B, V2, V1], &[]);
    ask_until(&mut program, "servers", "[127.0.0.11:9001 UNKNOWN #0, 127.0.0.12:9002 UNKNOWN #1, 127.0.0.13:9001 UNKNOWN #2]");
    mesh.service(&[V2], &[]);
    ask_until(&mut program, "servers", "[127.0.0.12:9002 UNKNOWN #1]");
    program.write_line("end");
    ends_clean(&mut program);
}

#[test]
fn servers_have_the_zone_of_their_locality() {
    let mesh = MeshFile::default();
    mesh.write(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: go-sc-a}
spec:
  hosts: [go-sc-a.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints:
  - {address: 127.0.0.11, ports: {http: 9001}, locality: region/Zone-A}
  - {address: 127.0.0.12, ports: {http: 9002}, locality: region/zone-b/rack}
",
    );
    let control_plane = ControlPlane::start(&mesh.path());
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["registry"]));
    program.line("both zones", |line| line == "built [127.0.0.11:9001 zone-a #0, 127.0.0.12:9002 zone-b #1]");
    program.write_line("end");
    ends_clean(&mut program);
}
