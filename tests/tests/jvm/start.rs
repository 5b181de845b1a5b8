// SPDX-License-Identifier: Apache-2.0
//! The switch, settings and the way into the JVM.

use std::{thread, time::Duration};

use proxyless_tests::{ControlPlane, MeshFile, Process, eventually, java, jvm};

use crate::{V1, agent, ends_clean, lab, said, served};

#[test]
fn the_switch_may_be_an_environment_variable_with_dots_or_in_upper_case_and_the_property_wins() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    let run = |variable: &str, property: Option<&str>| {
        let mut command = java();
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
    let lines = said(&program);
    assert!(lines.len() == 1 && lines[0].contains("server") && lines[0].contains("http://"), "{lines:?}");
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
fn the_agent_is_one_file_that_may_lie_anywhere() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    let folder = tempfile::TempDir::new().unwrap();
    let alone = folder.path().join("agent.jar");
    std::fs::copy(agent(), &alone).unwrap();
    let mut command = java();
    command
        .arg(format!("-javaagent:{}", alone.display()))
        .arg("-Dprofile.micro.service.envoy.xds.enable=true")
        .arg(format!("-Dproxyless.server={}", control_plane.url()));
    let mut program = Process::start(lab(&mut command, &["exit"]));
    ends_clean(&mut program);
    assert!(program.out().contains("list [127.0.0.11:9001]"), "{}{}", program.out(), program.err());
}

#[test]
fn a_second_agent_of_this_kind_says_so_and_steps_aside() {
    let (_mesh, control_plane) = served(&[V1], &[]);
    let mut command = jvm(&control_plane.url());
    command.arg(format!("-javaagent:{}", agent().display()));
    let mut program = Process::start(lab(&mut command, &["exit"]));
    ends_clean(&mut program);
    let err = program.err();
    assert_eq!(err.matches("another agent of this kind is already active").count(), 1, "{err}");
    assert_eq!(err.matches(" on by property ").count(), 1, "{err}");
    assert!(program.out().contains("list [127.0.0.11:9001]"), "{}", program.out());
}
