// SPDX-License-Identifier: Apache-2.0
//! The command line as a user meets it.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::process::{Command, Output};

use proxyless_tests::{ControlPlane, Endpoint, MeshFile, Process, eventually, repository, target, with_policies};

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
fn services_lists_what_the_control_plane_lists() {
    let mesh = MeshFile::default();
    mesh.service(&[V1, V2], &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    let url = control_plane.url();
    let all = proxyless(&["services", "--server", &url]);
    assert_eq!((all.status.code(), text(&all.stdout).as_str()), (Some(0), "go-sc-a.default.svc.cluster.local  80 (v1, v2)\n"));
    let json: serde_json::Value =
        serde_json::from_slice(&proxyless(&["services", "--server", &url, "--json", "GO-SC"]).stdout).unwrap();
    let expected =
        serde_json::json!([{"host": "go-sc-a.default.svc.cluster.local", "ports": [{"port": 80, "subsets": ["v1", "v2"]}]}]);
    assert_eq!(json, expected);
    let none = proxyless(&["services", "--server", &url, "orders"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("none of the 1 services has \"orders\" in its name"), "{}", text(&none.stderr));
    let by_name = proxyless(&["services", "--server", &url, "--set", "profile=grpc"]);
    assert_eq!((by_name.status.code(), text(&by_name.stderr).contains("profile istio")), (Some(2), true));
    let silent = proxyless(&["services", "--server", &format!("http://{}", ControlPlane::reserve()), "--timeout", "0.2"]);
    assert_eq!(silent.status.code(), Some(3));
}

#[test]
fn status_waits_for_the_first_answer_and_its_exit_code_says_whether_there_is_one() {
    let mesh = MeshFile::default();
    mesh.service(&[V1], &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    let up = proxyless(&["status", "--server", &control_plane.url(), "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&up.stdout).unwrap();
    assert_eq!((up.status.code(), &status["connected"], &status["hosts"]), (Some(0), &true.into(), &1.into()));
    let down = proxyless(&["status", "--server", &format!("http://{}", ControlPlane::reserve()), "--timeout", "0.2", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&down.stdout).unwrap();
    assert_eq!((down.status.code(), &status["connected"]), (Some(3), &false.into()));
    assert!(text(&down.stderr).contains("refused"), "{}", text(&down.stderr));
}

#[test]
fn the_version_is_that_of_the_product_and_completions_offer_the_settings() {
    assert_eq!(text(&proxyless(&["-V"]).stdout), format!("proxyless {}\n", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&proxyless(&["completions", shell]).stdout);
        for setting in ["cache_dir=", "search_namespaces="] {
            assert!(script.contains(setting), "{shell} does not offer {setting}");
        }
    }
}

#[test]
fn a_variable_that_is_no_setting_is_warned_about_where_it_is_used() {
    let mesh = MeshFile::default();
    mesh.service(&[V1], &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    let run = |command: &str| {
        let mut process = Command::new(target("proxyless"));
        process.args([command, "--server", &control_plane.url(), "go-sc-a"]).env("PROXYLESS_NAMESAPCE", "shop").output().unwrap()
    };
    let endpoints = run("endpoints");
    assert_eq!(endpoints.status.code(), Some(0));
    assert!(text(&endpoints.stderr).contains("warning") && text(&endpoints.stderr).contains("PROXYLESS_NAMESAPCE"));
    assert!(text(&run("doctor").stdout).contains("PROXYLESS_NAMESAPCE"));
}

#[test]
fn without_a_server_the_error_names_the_option() {
    let output = proxyless(&["endpoints", "a"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--server"), "{}", text(&output.stderr));
}

#[test]
fn colours_are_for_terminals_and_only_where_they_are_wanted() {
    let mesh = MeshFile::default();
    mesh.service(&[V1], &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    let on_a_terminal = |unwanted: &str| {
        let spawn = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
        let mut command = Command::new("python3");
        command.args(["-c", spawn]).arg(target("proxyless")).args(["endpoints", "--server", &control_plane.url(), "go-sc-a"]);
        let output = command.env("TERM", "xterm").env("NO_COLOR", unwanted).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(on_a_terminal("").contains("\u{1b}[32mready"), "{:?}", on_a_terminal(""));
    assert!(!on_a_terminal("1").contains('\u{1b}'), "{:?}", on_a_terminal("1"));
}

#[test]
fn the_shell_block_of_the_readme_works_as_it_stands() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let block = readme.split("**The shell.**").nth(1).unwrap().split("```").nth(1).unwrap();
    let free = ControlPlane::reserve();
    // Another address than a developer's own, and no command that never ends.
    let script: String = block
        .replace("127.0.0.1:15010", &free)
        .replace("proxyless serve ", &format!("proxyless serve --listen {free} "))
        .lines()
        .filter(|line| !line.starts_with("proxyless watch"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(script.matches("\nproxyless ").count() >= 7, "{script}");
    let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT; set -e\n{script}");
    let output = Command::new("bash").args(["-c", &script]).current_dir(repository()).output().unwrap();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn watch_says_when_lists_become_stale_and_when_they_are_up_to_date_again() {
    let mesh = MeshFile::default();
    mesh.service(&[V1], &[]);
    let mut control_plane = ControlPlane::start(&mesh.path());
    let start = |extra: &[&str]| {
        Process::start(Command::new(target("proxyless")).args(["watch", "--server", &control_plane.url(), "go-sc-a"]).args(extra))
    };
    let (mut plain, mut json) = (start(&[]), start(&["--json"]));
    plain.line("the list", |line| line.contains("127.0.0.11"));
    json.line("the list", |line| line.contains("127.0.0.11"));
    control_plane.process.kill();
    let stale = plain.line("staleness", |line| line.starts_with("stale  "));
    assert!(stale.contains(&control_plane.url()), "whose: {stale}");
    json.line("staleness", |line| line.contains(r#""stale":true"#));
    control_plane.restart();
    plain.line("its end", |line| line.starts_with("up to date  after "));
    json.line("its end", |line| line.contains(r#""stale":false"#));
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

#[test]
fn the_pod_of_the_documentation_has_no_variable_that_a_shell_drops() {
    let page = std::fs::read_to_string(repository().join("docs/istio.md")).unwrap();
    let pod = page.split("```yaml").nth(1).unwrap().split("```").next().unwrap();
    let variables: Vec<&str> = pod
        .split(" env:\n")
        .nth(1)
        .unwrap()
        .lines()
        .map_while(|line| line.trim().strip_prefix("- {name: "))
        .map(|rest| rest.split(',').next().unwrap())
        .collect();
    assert!(variables.contains(&"PROFILE_MICRO_SERVICE_ENVOY_XDS_ENABLE") && variables.contains(&"NODE_NAME"), "{variables:?}");
    let mut shell = Command::new("sh");
    shell.args(["-c", "env"]).envs(variables.iter().map(|name| (*name, "true")));
    let passed_on = text(&shell.output().unwrap().stdout);
    for name in variables {
        assert!(passed_on.lines().any(|line| line == format!("{name}=true")), "{name} does not get through a shell");
    }
}
