// SPDX-License-Identifier: Apache-2.0
//! The command line as a user meets it.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::process::{Command, Output};

use proxyless_tests::{ControlPlane, Endpoint, MeshFile, Process, eventually, target, with_policies};

const V1: Endpoint = Endpoint { ip: "127.0.0.11", port: 9001, version: "v1" };
const V2: Endpoint = Endpoint { ip: "127.0.0.12", port: 9002, version: "v2" };

fn proxyless(args: &[&str]) -> Output {
    Command::new(target("proxyless")).args(args).env_remove("PROXYLESS_SERVER").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn endpoints_prints_lists_and_scripts_can_tell_what_happened() {
    let mesh = MeshFile::default();
    mesh.service(&[V1, V2], &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    let url = control_plane.url();
    let good = proxyless(&["endpoints", "--server", &url, "go-sc-a/v1", "--json"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    let value: serde_json::Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!(value[0]["state"], "ready");
    assert_eq!((&value[0]["endpoints"][0]["host"], &value[0]["endpoints"][0]["port"]), (&"127.0.0.11".into(), &9001.into()));
    let plain = text(&proxyless(&["endpoints", "--server", &url, "go-sc-a"]).stdout);
    assert!(plain.contains("127.0.0.12:9002") && !plain.contains('\u{1b}'), "no colours into a pipe: {plain}");

    let subset = proxyless(&["endpoints", "--server", &url, "go-sc-a/v9"]);
    assert_eq!(subset.status.code(), Some(1));
    assert!(
        text(&subset.stdout).contains("it has v1, v2") && !text(&subset.stdout).contains("127.0.0.1"),
        "{}",
        text(&subset.stdout)
    );
    let port = proxyless(&["endpoints", "--server", &url, "go-sc-a:99"]);
    assert_eq!(port.status.code(), Some(1));
    assert!(text(&port.stdout).contains("it has 80"));
    let unknown = proxyless(&["endpoints", "--server", &url, "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("nobody is unknown"));
}

#[test]
fn routes_prints_what_stands_beside_a_list() {
    let mesh = MeshFile::default();
    mesh.write(&with_policies("3s"));
    let control_plane = ControlPlane::start(&mesh.path());
    let url = control_plane.url();
    let plain = proxyless(&["routes", "--server", &url, "go-sc-a"]);
    assert_eq!(plain.status.code(), Some(0), "{}", text(&plain.stderr));
    let expected = "go-sc-a  ready  go-sc-a.default.svc.cluster.local:80
  /api*, :method=GET, x-user=joe
    to outbound|80||go-sc-a.default.svc.cluster.local
    retry_policy avoid_previous_hosts true, num_retries 4, per_try_timeout 1s, retry_on 5xx,reset
    timeout 3s
    fault abort (http_status 503, percentage 30)
  /*
    to outbound|80||go-sc-a.default.svc.cluster.local
    retry_policy avoid_previous_hosts true, num_retries 2, retry_on connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes
    timeout 0s
  outbound|80||go-sc-a.default.svc.cluster.local  LEAST_REQUEST
    circuit_breakers max_connections 11
    connect_timeout 10s
    healthy_panic_threshold 0
    outlier_detection consecutive_5xx 7, enforcing_consecutive_5xx 100, enforcing_success_rate 0, interval 5s
";
    assert_eq!(text(&plain.stdout), expected);
    let json: serde_json::Value =
        serde_json::from_slice(&proxyless(&["routes", "--server", &url, "go-sc-a", "--json"]).stdout).unwrap();
    assert_eq!((&json[0]["state"], &json[0]["routes"][0]["route"]["timeout"]), (&"ready".into(), &"3s".into()));
    let unknown = proxyless(&["routes", "--server", &url, "nobody"]);
    assert_eq!((unknown.status.code(), text(&unknown.stderr).contains("nobody is unknown")), (Some(1), true));
}

#[test]
fn wrong_usage_and_a_silent_control_plane_have_codes_of_their_own() {
    let nobody = format!("http://{}", ControlPlane::reserve());
    let silent = proxyless(&["endpoints", "--server", &nobody, "a", "--timeout", "0.3"]);
    assert_eq!(silent.status.code(), Some(3));
    assert!(text(&silent.stderr).contains("refused"), "{}", text(&silent.stderr));
    let key = proxyless(&["endpoints", "--server", &nobody, "--set", "servre=x", "a"]);
    assert_eq!(key.status.code(), Some(2));
    assert!(text(&key.stderr).contains("servre"));
    let target = proxyless(&["endpoints", "--server", &nobody, "a:b"]);
    assert_eq!(target.status.code(), Some(2));
    assert_eq!(proxyless(&["endpoints"]).status.code(), Some(2));
    assert_eq!(proxyless(&["--version"]).status.code(), Some(0));
    assert!(text(&proxyless(&["completions", "bash"]).stdout).contains("proxyless"));
}

#[test]
fn config_shows_every_value_with_its_origin() {
    let output = Command::new(target("proxyless"))
        .args(["config", "--set", "namespace=demo"])
        .env("PROXYLESS_SERVER", "http://127.0.0.1:1")
        .output()
        .unwrap();
    let shown = text(&output.stdout);
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("server ").ends_with("environment PROXYLESS_SERVER"), "{shown}");
    assert!(line("namespace ").ends_with("document namespace"), "{shown}");
    assert!(line("profile ").ends_with("default"), "{shown}");
}

#[test]
fn a_malformed_file_is_refused_at_start_and_changes_nothing_later() {
    let mesh = MeshFile::default();
    mesh.write("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: [a], prts: []}\n");
    let refused = proxyless(&["serve", mesh.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(2));
    let why = text(&refused.stderr);
    assert!(why.contains("mesh.yaml: document 1 (ServiceEntry default/a): spec") && why.contains("prts"), "{why}");

    mesh.service(&[V1], &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    mesh.write("kind: [\n");
    eventually("the complaint", || control_plane.process.err().contains("version 1 stays in force").then_some(()));
    let still = proxyless(&["endpoints", "--server", &control_plane.url(), "go-sc-a"]);
    assert_eq!(still.status.code(), Some(0));
    mesh.service(&[V2], &[]);
    eventually("the mended file", || {
        text(&proxyless(&["endpoints", "--server", &control_plane.url(), "go-sc-a"]).stdout).contains("127.0.0.12").then_some(())
    });
}

#[test]
fn watch_follows_and_wait_waits() {
    let mesh = MeshFile::default();
    mesh.service(&[V1], &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    let mut watch =
        Process::start(Command::new(target("proxyless")).args(["watch", "--json", "--server", &control_plane.url(), "go-sc-a"]));
    watch.line("the first list", |line| line.contains("127.0.0.11"));
    let late = proxyless(&["wait", "--server", &control_plane.url(), "late", "--timeout", "0.2"]);
    assert_eq!(late.status.code(), Some(1));
    let mut wait = Process::start(Command::new(target("proxyless")).args(["wait", "--server", &control_plane.url(), "go-sc-a/v2"]));
    mesh.service(&[V1, V2], &[("v2", 1)]);
    watch.line("the new list", |line| line.contains("127.0.0.12") && !line.contains("127.0.0.11"));
    assert!(wait.wait().success());
}
