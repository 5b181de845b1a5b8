// SPDX-License-Identifier: Apache-2.0
//! What is tested on every JDK: weaving, push, weights, the end, and that off is off. `PXL_JAVA` names the `java`.

use proxyless_tests::{Process, java, jvm};

use crate::{V1, V1B, V1C, V2, agent, ask_until, ends_clean, lab, said, served};

#[test]
fn the_jvm_exits_when_main_ends() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["exit"]));
    ends_clean(&mut program);
    assert!(program.out().contains("list [127.0.0.11:9001]"), "{}", program.out());
    let lines = said(&program);
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
        let lines: Vec<&str> = output.lines().collect();
        // Java 8 warns of natives of its own.
        let ours = |pair: &[&str]| {
            pair[0].starts_with("WARNING in native method")
                && pair[1].starts_with("\tat ")
                && !pair[1].starts_with("\tat sun.management.")
        };
        assert!(!lines.windows(2).any(ours) && !output.contains("FATAL"), "{output}");
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

#[test]
fn weights_reach_the_choice_over_unequal_numbers_of_instances() {
    let (_mesh, control_plane) = served(&[V1, V1B, V1C, V2], &[("v1", 80), ("v2", 20)]);
    let mut program = Process::start(lab(&mut jvm(&control_plane.url()), &["weights"]));
    ends_clean(&mut program);
    let counts = "counts {127.0.0.11:9001=800, 127.0.0.12:9002=600, 127.0.0.13:9001=800, 127.0.0.14:9001=800}";
    assert!(program.out().contains(counts), "{}", program.out());
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
        let mut command = java();
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
