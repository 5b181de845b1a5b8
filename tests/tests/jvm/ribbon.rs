// SPDX-License-Identifier: Apache-2.0
//! Lists and choices, pushes and polls.

use std::{
    thread,
    time::{Duration, Instant},
};

use proxyless_tests::{ControlPlane, Process, eventually, jvm};

use crate::{V1, V2, ask_until, ends_clean, lab, served};

#[test]
fn a_push_that_meets_a_poll_in_flight_is_not_lost() {
    let (mesh, control_plane) = served(&[V1], &[]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["lost-update"]));
    program.line("an update in flight", |line| line == "in flight");
    mesh.service(&[V2], &[]);
    // The push comes and is dropped while the poll holds its turn.
    eventually("the new mesh is served", || control_plane.process.out().contains("now version 2").then_some(()));
    thread::sleep(Duration::from_millis(200));
    program.write_line("go");
    program.line("still the old list", |line| line == "held [127.0.0.11:9001]");
    ask_until(&mut program, "list [127.0.0.12:9002]");
    program.write_line("end");
    ends_clean(&mut program);
}

#[test]
fn a_million_look_ups_allocate_nothing() {
    for shares in [&[][..], &[("v1", 80), ("v2", 20)]] {
        let (_mesh, control_plane) = served(&[V1, V2], shares);
        let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["lookups"]));
        ends_clean(&mut program);
        assert!(program.out().contains("allocated 0 "), "{}", program.out());
        // With equal weights the application's own rule picks; with unequal ones we do.
        assert!(shares.is_empty() || !program.out().contains("picked 0 "), "{}", program.out());
    }
}

#[test]
fn the_first_wait_is_bounded_when_the_control_plane_is_down() {
    let nobody = format!("http://{}", ControlPlane::reserve());
    let started = Instant::now();
    let mut program = Process::start(lab(&mut jvm(&nobody), &["exit"]));
    ends_clean(&mut program);
    assert!(program.out().contains("list []"));
    assert!(started.elapsed() < Duration::from_secs(15), "one bounded wait, not one per call");
}
