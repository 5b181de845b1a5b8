// SPDX-License-Identifier: Apache-2.0
//! The agent on the real Ribbon, in small programs (tests/jvm-lab).
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod every_jdk;
mod registry;
mod ribbon;
mod start;

use std::{path::PathBuf, process::Command, thread, time::Duration};

use proxyless_tests::{ControlPlane, Endpoint, MeshFile, Process, eventually, repository};

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

/// The lines on standard error, without those that the JVM itself has to say: four from 24 on when a native library is loaded, and
/// one about the boot class path.
fn said(program: &Process) -> Vec<String> {
    let err = program.err();
    let (warnings, lines): (Vec<&str>, Vec<&str>) =
        err.lines().filter(|line| !line.is_empty()).partition(|line| line.starts_with("WARNING: "));
    assert!(matches!(warnings.len(), 0 | 4), "{err}");
    let shared = "VM warning: Sharing is only supported for boot loader classes because bootstrap classpath has been appended";
    lines.into_iter().filter(|line| !line.ends_with(shared)).map(str::to_owned).collect()
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

fn agent() -> PathBuf {
    repository().join("java-shim/dist/target/proxyless-agent.jar")
}
