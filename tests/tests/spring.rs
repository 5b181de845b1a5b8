// SPDX-License-Identifier: Apache-2.0
//! The unmodified Spring Cloud application of examples/spring-cloud-mesh with the agent.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::process::Command;

use proxyless_tests::{ControlPlane, Endpoint, MeshFile, Process, Service, eventually, get, java, jvm, repository};

/// Two instances of `go-sc-a`, each at an address of its own.
struct Instances {
    _running: [Service; 2],
    v1: Endpoint,
    v2: Endpoint,
}

impl Instances {
    fn start() -> Self {
        let running = [Service::start("127.0.0.11", 0, "v1"), Service::start("127.0.0.12", 0, "v2")];
        let v1 = Endpoint { ip: "127.0.0.11", port: running[0].port, version: "v1" };
        let v2 = Endpoint { ip: "127.0.0.12", port: running[1].port, version: "v2" };
        Self { _running: running, v1, v2 }
    }

    fn both(&self) -> [Endpoint; 2] {
        [self.v1.clone(), self.v2.clone()]
    }
}

/// The consumer, with Ribbon polling once an hour.
fn consumer(command: &mut Command) -> (Process, u16) {
    let jar = repository().join("examples/spring-cloud-mesh/spring/consumer/target/spring-consumer.jar");
    command.arg("-jar").arg(jar).args(["--server.port=0", "--ribbon.ServerListRefreshInterval=3600000"]);
    let mut process = Process::start(command);
    let line = process.line("the application starts", |line| line.contains("Tomcat started on port"));
    process.line("the application has started", |line| line.contains("Started Application"));
    let port = line.split("port(s): ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
    (process, port)
}

fn seen(port: u16, path: &str, calls: usize) -> Vec<String> {
    let mut answers: Vec<String> = (0..calls).map(|_| get(port, path).unwrap().1).collect();
    answers.sort();
    answers.dedup();
    answers
}

fn nothing_suppressed(process: &Process) {
    assert!(!process.err().contains("suppressed"), "{}", process.err());
}

#[test]
fn an_application_without_a_registry_reaches_both_versions_and_follows_the_mesh() {
    let instances = Instances::start();
    let mesh = MeshFile::default();
    mesh.service(&instances.both(), &[]);
    let mut control_plane = ControlPlane::start(&mesh.path());
    let (process, port) = consumer(&mut jvm(&control_plane.url()));
    let both = ["[Java Spring Cloud] -> v1", "[Java Spring Cloud] -> v2"];
    assert_eq!(seen(port, "/go", 8), both, "RestTemplate");
    assert_eq!(seen(port, "/feign", 8), both, "Feign");

    mesh.service(&instances.both(), &[("v2", 100)]);
    eventually("only v2 answers", || (seen(port, "/go", 6) == both[1..]).then_some(()));

    control_plane.process.kill();
    assert_eq!(seen(port, "/go", 6), both[1..], "calls go on without the control plane");
    mesh.service(&instances.both(), &[("v1", 100)]);
    control_plane.restart();
    eventually("only v1 answers", || (seen(port, "/go", 6) == both[..1]).then_some(()));

    let (status, _) = get(port, "/call/nobody").unwrap();
    assert_eq!(status, 500, "an unknown service is the application's own error");
    nothing_suppressed(&process);
}

#[test]
fn the_application_starts_and_fails_and_recovers_by_itself_when_the_control_plane_comes_late() {
    let instances = Instances::start();
    let mesh = MeshFile::default();
    mesh.service(&instances.both(), &[]);
    let address = ControlPlane::reserve();
    let (process, port) = consumer(&mut jvm(&format!("http://{address}")));
    assert_eq!(get(port, "/go").unwrap().0, 500);
    eventually("the application's own error", || process.out().contains("No instances available for go-sc-a").then_some(()));
    let told = || process.err().matches("no answer from the control plane, the application goes on without it: ").count();
    eventually("the log says why", || (told() == 1).then_some(()));
    let _control_plane = ControlPlane::start_late(&mesh.path(), &address);
    eventually("it recovers", || get(port, "/go").filter(|(status, _)| *status == 200));
    assert_eq!(told(), 1, "{}", process.err());
    nothing_suppressed(&process);
}

#[test]
fn without_the_switch_the_application_cannot_resolve_the_name() {
    let instances = Instances::start();
    let mesh = MeshFile::default();
    mesh.service(&instances.both(), &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    let mut command = java();
    command
        .arg(format!("-javaagent:{}", repository().join("java-shim/dist/target/proxyless-agent.jar").display()))
        .env("PROXYLESS_SERVER", control_plane.url());
    let (process, port) = consumer(&mut command);
    assert_eq!(get(port, "/go").unwrap().0, 500);
    eventually("the application's own error", || process.out().contains("No instances available for go-sc-a").then_some(()));
    assert_eq!(process.err(), "");
}
