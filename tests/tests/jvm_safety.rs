// SPDX-License-Identifier: Apache-2.0
//! The agent in applications that are not kind to a library (tests/jvm-lab, `lab.Safety`).
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{process::Command, thread, time::Duration};

use proxyless_tests::{ControlPlane, Endpoint, MeshFile, Process, eventually, jvm, repository};

const A: Endpoint = Endpoint { ip: "127.0.0.11", port: 9001, version: "v1" };
const B: Endpoint = Endpoint { ip: "127.0.0.12", port: 8443, version: "v2" };

fn lab<'a>(command: &'a mut Command, arguments: &[&str]) -> &'a mut Command {
    let folder = repository().join("tests/jvm-lab/target");
    let class_path = format!("{}:{}/*", folder.join("jvm-lab.jar").display(), folder.join("lib").display());
    command.args(["-cp", &class_path]).args(arguments)
}

fn served(endpoints: &[Endpoint]) -> (MeshFile, ControlPlane) {
    let mesh = MeshFile::default();
    mesh.service(endpoints, &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    (mesh, control_plane)
}

fn ends_clean(program: &mut Process) {
    assert!(program.wait().success(), "{}{}", program.out(), program.err());
    assert!(program.out().contains("suppressed 0"), "{}", program.out());
}

/// Output of a program that ends by itself.
fn output(arguments: &[&str]) -> (String, String) {
    let (_mesh, control_plane) = served(&[A, B]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), arguments));
    ends_clean(&mut program);
    (program.out(), program.err())
}

fn ask_until(program: &mut Process, wanted: &str) {
    eventually(wanted, || {
        program.write_line("list");
        thread::sleep(Duration::from_millis(5));
        program.out().lines().last().filter(|line| line.starts_with(wanted)).map(str::to_owned)
    });
}

#[test]
fn the_callers_scheme_stays_whatever_the_port_of_the_endpoint() {
    let (out, _) = output(&["lab.Safety", "schemes"]);
    let mut met: Vec<&str> = out.lines().filter(|line| line.ends_with("/A?b=%2B")).collect();
    met.sort_unstable();
    let mut right: Vec<String> = ["http", "https", "ws", "wss"]
        .iter()
        .flat_map(|scheme| [A, B].map(|endpoint| format!("{scheme}://{}:{}/A?b=%2B", endpoint.ip, endpoint.port)))
        .collect();
    right.sort_unstable();
    assert_eq!(met, right);
}

#[test]
fn the_mesh_picks_when_the_applications_rule_answers_null_throws_or_casts() {
    for kind in ["null", "throws", "casts"] {
        let (out, err) = output(&["lab.Safety", "rule", kind]);
        assert!(out.contains("chosen [127.0.0.11:9001, 127.0.0.12:8443]"), "{kind}: {out}");
        assert!(err.contains("the mesh picks"), "{kind}: {err}");
    }
}

#[test]
fn an_exhausted_machine_is_the_applications_to_know_of() {
    let (out, _) = output(&["lab.Safety", "rule", "exhausted"]);
    assert!(out.contains("chosen [of the application]"), "{out}");
}

#[test]
fn a_second_spelling_of_a_service_is_answered_too() {
    let (out, _) = output(&["lab.Safety", "spellings", "go-sc-a", "GO-SC-A"]);
    assert_eq!(out.matches("list [127.0.0.11:9001, 127.0.0.12:8443]").count(), 2, "{out}");
}

#[test]
fn a_filter_that_lets_nobody_through_is_obeyed_and_said() {
    let (out, err) = output(&["lab.Safety", "filtered"]);
    assert!(out.starts_with("list []"), "{out}");
    assert!(err.contains("filter leaves out: that is obeyed"), "{err}");
}

#[test]
fn what_one_balancer_heard_from_the_registry_counts_for_the_service() {
    let (out, _) = output(&["lab.Safety", "another-balancer"]);
    assert!(out.starts_with("list [127.0.0.99:1]\nlist []\n"), "{out}");
}

#[test]
fn not_every_balancer_begins_with_the_same_endpoint() {
    let mesh = MeshFile::default();
    mesh.service(&[A, B], &[("v1", 60), ("v2", 40)]);
    let weighted = ControlPlane::start(&mesh.path());
    let mut program = Process::start(lab(&mut jvm(&weighted.url()), &["lab.Safety", "first-picks"]));
    ends_clean(&mut program);
    assert!(program.out().contains("first picks [127.0.0.11:9001, 127.0.0.12:8443]"), "{}", program.out());
}

#[test]
fn a_class_loader_that_hides_the_bridge_is_left_alone() {
    let (out, err) = output(&["lab.Isolated"]);
    assert!(out.contains("list [127.0.0.98:1] chosen 127.0.0.98:1"), "{out}");
    assert!(err.contains("bootdelegation"), "{err}");
}

#[test]
fn a_poll_that_brings_the_registrys_first_instance_wins_over_a_push_beside_it() {
    for held in ["push-beside-poll", "poll-dropped"] {
        let (mesh, control_plane) = served(&[A]);
        let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["lab.Safety", held]));
        program.line("the first list", |line| line == "list [127.0.0.11:9001]");
        mesh.service(&[A, B], &[]);
        program.line("a poll beside a push", |line| line == "polled");
        ask_until(&mut program, "list [127.0.0.99:1]");
        program.write_line("end");
        ends_clean(&mut program);
        assert!(program.out().ends_with("list [127.0.0.99:1]\nsuppressed 0\n"), "{held}: {}", program.out());
    }
}

#[test]
fn a_balancer_that_hangs_or_throws_holds_up_neither_others_nor_its_own_choice() {
    for what in ["ping", "listener", "blocking-listener"] {
        let (mesh, control_plane) = served(&[A]);
        let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["lab.Safety", "hanging", what]));
        program.line("the first list", |line| line.starts_with("list"));
        for endpoint in [B, A, B] {
            mesh.service(std::slice::from_ref(&endpoint), &[]);
            let address = format!("{}:{}", endpoint.ip, endpoint.port);
            ask_until(&mut program, &format!("list [{address}] unkind {address}"));
        }
        program.write_line("end");
        ends_clean(&mut program);
    }
}

#[test]
fn discovery_outlives_a_full_heap() {
    let (mesh, control_plane) = served(&[A]);
    let mut command = jvm(&control_plane.url());
    command.arg("-Xmx48m");
    let mut program = Process::start(lab(&mut command, &["lab.Safety", "full-heap"]));
    program.line("the heap is full", |line| line == "full");
    mesh.service(&[B], &[]);
    eventually("the new mesh is served", || control_plane.process.out().contains("now version 2").then_some(()));
    program.write_line("go");
    ask_until(&mut program, "list [127.0.0.12:8443]");
    program.write_line("end");
    ends_clean(&mut program);
}

#[test]
fn a_security_manager_without_rights_ends_in_one_line_switched_on_or_off() {
    for switch in ["true", "false"] {
        let mut command = jvm("http://127.0.0.1:1");
        command.arg(format!("-Dprofile.micro.service.envoy.xds.enable={switch}"));
        let mut program = Process::start(command.args(["-Djava.security.manager", "-version"]));
        let started = program.wait().success();
        if program.err().contains("Enabling a Security Manager is not supported") {
            return;
        }
        let lines = program.err().lines().filter(|line| line.starts_with("[proxyless]")).count();
        assert!(started && lines == 1 && program.err().contains("java.security.AllPermission"), "{}", program.err());
    }
}

#[test]
fn what_is_wrong_with_the_start_is_said_with_its_remedy() {
    let wrong = [
        ("-Dproxyless.wait-ready=abc", "proxyless.wait-ready = \"abc\": a number of seconds is expected"),
        ("-Dproxyless.wait-ready=-1", "proxyless.wait-ready = \"-1\": a number of seconds is expected"),
        ("-Djava.io.tmpdir=/nowhere", "let -Djava.io.tmpdir be a folder"),
    ];
    for (option, remedy) in wrong {
        let mut command = jvm("http://127.0.0.1:1");
        command.arg(option);
        let mut program = Process::start(lab(&mut command, &["lab.Lab", "exit"]));
        ends_clean(&mut program);
        let err = program.err();
        assert!(err.contains(remedy) && !err.contains("without it: java."), "{err}");
        assert!(program.out().starts_with("list []"), "{}", program.out());
    }
}

#[test]
fn the_agent_works_on_the_boot_class_path_too() {
    let (_mesh, control_plane) = served(&[A]);
    let mut command = jvm(&control_plane.url());
    command.arg(format!("-Xbootclasspath/a:{}", repository().join("java-shim/dist/target/proxyless-agent.jar").display()));
    let mut program = Process::start(lab(&mut command, &["lab.Lab", "exit"]));
    ends_clean(&mut program);
    assert!(program.out().starts_with("list [127.0.0.11:9001]"), "{}", program.out());
}

#[test]
fn switched_off_class_data_sharing_works_as_without_the_agent() {
    let folder = tempfile::TempDir::new().unwrap();
    let archive = folder.path().join("application.jsa");
    let shim = repository().join("java-shim");
    let lab = repository().join("tests/jvm-lab/target");
    let bootstrap = shim.join("bootstrap/target/proxyless-bootstrap-0.1.0.jar");
    let class_path = format!("{}:{}:{}/*", lab.join("jvm-lab.jar").display(), bootstrap.display(), lab.join("lib").display());
    let run = |options: &[String]| {
        let mut command = Command::new("java");
        let mut program = Process::start(command.args(options).args(["-cp", &class_path, "lab.Lab", "exit"]));
        ends_clean(&mut program);
        program.out().matches("shared objects file (top)").count()
    };
    run(&[format!("-XX:ArchiveClassesAtExit={}", archive.display())]);
    let archived = [format!("-XX:SharedArchiveFile={}", archive.display()), "-Xlog:class+load".into()];
    let without = run(&archived);
    let agent = format!("-javaagent:{}", shim.join("dist/target/proxyless-agent.jar").display());
    let with = run(&[archived.as_slice(), &[agent]].concat());
    assert!(without > 0 && with == without, "{with} of {without}");
}

#[test]
fn the_oldest_ribbon_works_too() {
    let (_mesh, control_plane) = served(&[A]);
    let lab = repository().join("tests/jvm-lab/target");
    // In front of the newer one.
    let class_path = ["old-ribbon/*", "jvm-lab.jar", "lib/*"].map(|part| lab.join(part).display().to_string()).join(":");
    let mut program = Process::start(jvm(&control_plane.url()).args(["-cp", &class_path, "lab.Lab", "exit"]));
    ends_clean(&mut program);
    assert!(program.out().starts_with("list [127.0.0.11:9001]"), "{}{}", program.out(), program.err());
}
