// SPDX-License-Identifier: Apache-2.0
//! The agent on the real Ribbon, in small programs (tests/jvm-lab).
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use proxyless_tests::{ControlPlane, Endpoint, MeshFile, Process, eventually, jvm, repository};

const V1: Endpoint = Endpoint { ip: "127.0.0.11", port: 9001, version: "v1" };
const V1B: Endpoint = Endpoint { ip: "127.0.0.13", port: 9001, version: "v1" };
const V1C: Endpoint = Endpoint { ip: "127.0.0.14", port: 9001, version: "v1" };
const V2: Endpoint = Endpoint { ip: "127.0.0.12", port: 9002, version: "v2" };

fn lab<'a>(command: &'a mut Command, arguments: &[&str]) -> &'a mut Command {
    let folder = repository().join("tests/jvm-lab/target");
    let class_path = format!("{}:{}/*", folder.join("jvm-lab.jar").display(), folder.join("lib").display());
    command.args(["-cp", &class_path, "lab.Lab"]).args(arguments)
}

fn served(endpoints: &[Endpoint], shares: &[(&str, u32)]) -> (MeshFile, ControlPlane) {
    let mesh = MeshFile::default();
    mesh.service(endpoints, shares);
    let control_plane = ControlPlane::start(&mesh.path());
    (mesh, control_plane)
}

/// Ends well, and nothing of ours was kept from the application on the way.
fn ends_clean(program: &mut Process) {
    let status = program.wait();
    assert!(status.success(), "{}{}", program.out(), program.err());
    assert!(program.out().contains("suppressed 0"), "{}", program.out());
    assert!(!program.err().contains("suppressed"), "{}", program.err());
}

#[test]
fn the_jvm_exits_when_main_ends() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["exit"]));
    ends_clean(&mut program);
    assert!(program.out().contains("list [127.0.0.11:9001]"), "{}", program.out());
    let lines: Vec<String> = program.err().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "one line at start, one for the first list: {lines:?}");
    assert!(lines[0].contains("on by property") && lines[0].contains(&control_plane.url()), "{lines:?}");
}

#[test]
fn checked_jni_finds_nothing() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    let mut command = jvm(&control_plane.url());
    command.arg("-Xcheck:jni");
    let mut program = Process::start(lab(&mut command, &["weights"]));
    ends_clean(&mut program);
    for output in [program.out(), program.err()] {
        assert!(!output.contains("WARNING in native method") && !output.contains("FATAL"), "{output}");
    }
}

#[test]
fn a_change_reaches_ribbon_by_push_though_it_polls_once_an_hour() {
    let (mesh, control_plane) = served(&[V1, V2], &[]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["follow", "go-sc-a"]));
    program.line("both versions", |line| line.contains("127.0.0.11") && line.contains("127.0.0.12"));
    mesh.service(&[V1, V2], &[("v2", 100)]);
    ask_until(&mut program, "list [127.0.0.12:9002]");
    mesh.service(&[], &[]);
    ask_until(&mut program, "list []");
    program.write_line("end");
    ends_clean(&mut program);
}

/// Asks for the list again and again until the last answer begins with `wanted`.
fn ask_until(program: &mut Process, wanted: &str) {
    let answer = eventually(wanted, || {
        program.write_line("list");
        thread::sleep(Duration::from_millis(5));
        program.out().lines().last().filter(|line| line.starts_with(wanted)).map(str::to_owned)
    });
    assert!(answer.starts_with(wanted));
}

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
fn weights_reach_the_choice_over_unequal_numbers_of_instances() {
    let (_mesh, control_plane) = served(&[V1, V1B, V1C, V2], &[("v1", 80), ("v2", 20)]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["weights"]));
    ends_clean(&mut program);
    let counts = "counts {127.0.0.11:9001=800, 127.0.0.12:9002=600, 127.0.0.13:9001=800, 127.0.0.14:9001=800}";
    assert!(program.out().contains(counts), "{}", program.out());
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
fn a_service_that_the_registry_knows_stays_the_applications_own() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["registry-known"]));
    ends_clean(&mut program);
    assert!(program.out().contains("list [127.0.0.99:1]"), "{}", program.out());
}

#[test]
fn a_registry_that_is_down_does_not_keep_the_mesh_away() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["registry-down"]));
    ends_clean(&mut program);
    assert!(program.out().contains("list [127.0.0.11:9001]"), "{}", program.out());
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

#[test]
fn undefined_subsets_and_ports_never_become_the_whole_service() {
    let (_mesh, control_plane) = served(&[V1, V2], &[]);
    for target in ["go-sc-a/v9", "go-sc-a:99"] {
        let mut command = jvm(&control_plane.url());
        command.arg(format!("-Dproxyless.targets=narrow={target}"));
        let mut program = Process::start(lab(&mut command, &["follow", "narrow"]));
        program.line("an answer", |line| line.starts_with("list"));
        program.write_line("end");
        ends_clean(&mut program);
        assert!(program.out().starts_with("list []"), "{}", program.out());
        assert!(program.err().contains("narrow has no endpoints"), "{}", program.err());
    }
}

#[test]
fn without_the_switch_nothing_is_loaded_woven_or_started() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    for switch in [None, Some("false")] {
        let mut command = Command::new("java");
        command.arg(format!("-javaagent:{}", agent().display()));
        if let Some(value) = switch {
            command.arg(format!("-Dprofile.micro.service.envoy.xds.enable={value}"));
        }
        command.args(["-verbose:class", &format!("-Dproxyless.server={}", control_plane.url())]);
        let mut program = Process::start(lab(&mut command, &["follow", "go-sc-a"]));
        program.line("an answer", |line| line.starts_with("list"));
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", program.pid())).unwrap();
        assert!(!maps.contains("libproxyless"), "no native library");
        let threads: Vec<String> = std::fs::read_dir(format!("/proc/{}/task", program.pid()))
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .collect();
        assert!(!threads.iter().any(|name| name.starts_with("proxyless")), "no thread: {threads:?}");
        program.write_line("end");
        ends_clean(&mut program);
        let out = program.out();
        assert!(out.contains("list []"), "{out}");
        assert!(!out.contains("net.bytebuddy") && !out.contains("io.proxyless.agent"), "nothing of the agent but its first class");
        assert_eq!(program.err(), "");
    }
}

#[test]
fn the_switch_may_be_an_environment_variable_with_dots_or_in_upper_case_and_the_property_wins() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    let run = |variable: &str, property: Option<&str>| {
        let mut command = Command::new("java");
        command.arg(format!("-javaagent:{}", agent().display())).env(variable, "true").env("PROXYLESS_SERVER", control_plane.url());
        if let Some(value) = property {
            command.arg(format!("-Dprofile.micro.service.envoy.xds.enable={value}"));
        }
        let mut program = Process::start(lab(&mut command, &["exit"]));
        ends_clean(&mut program);
        program.out().contains("list [127.0.0.11:9001]")
    };
    assert!(run("profile.micro.service.envoy.xds.enable", None));
    assert!(run("PROFILE_MICRO_SERVICE_ENVOY_XDS_ENABLE", None));
    assert!(!run("profile.micro.service.envoy.xds.enable", Some("false")));
}

#[test]
fn a_missing_or_corrupt_native_library_is_one_line_and_no_agent() {
    let folder = tempfile::TempDir::new().unwrap();
    let corrupt = folder.path().join("corrupt.so");
    std::fs::write(&corrupt, b"not a library").unwrap();
    for library in [folder.path().join("missing.so"), corrupt] {
        let mut command = jvm("http://127.0.0.1:1");
        command.arg(format!("-Dproxyless.native-path={}", library.display()));
        let mut program = Process::start(lab(&mut command, &["exit"]));
        ends_clean(&mut program);
        assert!(program.out().contains("list []"));
        // The JVM has words of its own for a corrupt library.
        let lines: Vec<String> = program.err().lines().filter(|line| line.contains("[proxyless]")).map(str::to_owned).collect();
        assert!(lines.len() == 1 && lines[0].contains("native library"), "{lines:?}");
    }
}

#[test]
fn a_bad_configuration_is_one_line_and_no_agent() {
    let mut command = jvm("127.0.0.1:15010");
    let mut program = Process::start(lab(&mut command, &["exit"]));
    ends_clean(&mut program);
    let err = program.err();
    assert!(err.lines().count() == 1 && err.contains("server") && err.contains("http://"), "{err}");
}

#[test]
fn an_unknown_property_is_one_warning() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    let mut command = jvm(&control_plane.url());
    command.arg("-Dproxyless.sevrer=x");
    let mut program = Process::start(lab(&mut command, &["exit"]));
    ends_clean(&mut program);
    assert!(program.err().contains("unknown property proxyless.sevrer"), "{}", program.err());
    assert!(program.out().contains("list [127.0.0.11:9001]"));
}

#[test]
fn the_start_waits_for_lists_when_it_is_told_to() {
    let mesh = MeshFile::default();
    mesh.service(&[V1], &[]);
    let address = ControlPlane::reserve();
    let mut command = jvm(&format!("http://{address}"));
    command.args(["-Dproxyless.wait-ready=30", "-Dproxyless.wait-for=go-sc-a"]);
    let mut program = Process::start(lab(&mut command, &["exit"]));
    eventually("the agent is up", || program.err().contains("on by").then_some(()));
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(program.out(), "", "main has not run");
    let _control_plane = ControlPlane::start_late(&mesh.path(), &address);
    ends_clean(&mut program);
    assert!(program.out().contains("list [127.0.0.11:9001]"), "{}", program.out());
}

#[test]
fn the_agent_works_without_its_bridge_beside_it() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    let folder = tempfile::TempDir::new().unwrap();
    let alone = folder.path().join("agent.jar");
    std::fs::copy(agent(), &alone).unwrap();
    let mut command = Command::new("java");
    command
        .arg(format!("-javaagent:{}", alone.display()))
        .arg("-Dprofile.micro.service.envoy.xds.enable=true")
        .arg(format!("-Dproxyless.server={}", control_plane.url()));
    let mut program = Process::start(lab(&mut command, &["exit"]));
    ends_clean(&mut program);
    assert!(program.out().contains("list [127.0.0.11:9001]"), "{}{}", program.out(), program.err());
}

fn agent() -> PathBuf {
    repository().join("java-shim/dist/target/proxyless-agent.jar")
}
