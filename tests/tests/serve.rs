// SPDX-License-Identifier: Apache-2.0
//! `proxyless serve` as a user meets it: files that are saved, several files, folders, standard input, `--check`.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use proxyless_core::{Client, model::State};
use proxyless_tests::{ControlPlane, Endpoint, MeshFile, eventually, open, target, until};
use serde_json::json;
use tempfile::TempDir;

const V1: Endpoint = Endpoint { ip: "127.0.0.11", port: 9001, version: "v1" };
const V2: Endpoint = Endpoint { ip: "127.0.0.12", port: 9002, version: "v2" };
const TARGET: &str = "go-sc-a:80";

/// Saves, as a shell script: `$1` is what is saved, `$2` where.
const SAVES: [(&str, &str); 4] = [
    ("a shell empties it first", "sed s/x/x/ \"$1\" > \"$2\""),
    ("an editor puts another in its place", "mv \"$2\" \"$2~\"; cat \"$1\" > \"$2\"; rm \"$2~\""),
    ("a tool renames", "cp \"$1\" \"$2.new\"; mv \"$2.new\" \"$2\""),
    ("a generator takes its time", "{ head -c 170 \"$1\"; sleep 0.15; tail -c +171 \"$1\"; } > \"$2\""),
];

fn save(way: &str, from: &Path, to: &Path) {
    let status = Command::new("sh").args(["-euc", way, "save"]).args([from, to]).status().unwrap();
    assert!(status.success(), "{way}");
}

/// Every state that a target is ever in, until it is told to stop.
fn states(client: &Arc<Client>, stop: &Arc<AtomicBool>) -> thread::JoinHandle<Vec<State>> {
    let (client, stop) = (Arc::clone(client), Arc::clone(stop));
    thread::spawn(move || {
        let (mut seen, mut epoch) = (Vec::new(), 0);
        while !stop.load(Ordering::Relaxed) {
            let _ = client.wait(epoch, Some(Duration::from_millis(100)));
            let snapshot = client.snapshot();
            if snapshot.epoch() != epoch {
                epoch = snapshot.epoch();
                seen.extend(snapshot.get(TARGET).map(|entry| entry.state));
            }
        }
        seen
    })
}

#[test]
fn a_file_that_is_saved_twenty_times_in_each_of_the_usual_ways_is_never_served_by_halves() {
    let mesh = MeshFile::default();
    mesh.service(&[V1, V2], &[]);
    let same = mesh.path().with_file_name("same");
    fs::copy(mesh.path(), &same).unwrap();
    let control_plane = ControlPlane::start(&mesh.path());
    let client = open(&json!({"server": control_plane.url()}));
    until(&client, TARGET, "ready", |entry| entry.state == State::Ready);
    let stop = Arc::new(AtomicBool::new(false));
    let seen = states(&client, &stop);
    for (_, way) in SAVES {
        (0..20).for_each(|_| save(way, &same, &mesh.path()));
    }
    // A change shows that the saves before it have been looked at.
    mesh.service(&[V1], &[]);
    until(&client, TARGET, "one endpoint", |entry| entry.list.endpoints().len() == 1);
    stop.store(true, Ordering::Relaxed);
    let seen = seen.join().unwrap();
    assert!(seen.iter().all(|state| *state == State::Ready), "{seen:?}");
    let out = control_plane.process.out();
    assert_eq!(out.matches("changed, now version").count(), 1, "{out}\n{}", control_plane.process.err());
}

#[test]
fn a_file_that_turned_empty_keeps_the_last_good_state_and_that_is_said() {
    let mesh = MeshFile::default();
    mesh.service(&[V1], &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    let client = open(&json!({"server": control_plane.url()}));
    until(&client, TARGET, "ready", |entry| entry.state == State::Ready);
    fs::write(mesh.path(), "").unwrap();
    let said = || control_plane.process.err().contains("mesh.yaml is empty").then_some(());
    eventually("that it is empty", said);
    assert!(control_plane.process.err().contains("version 1 stays in force"));
    mesh.service(&[V1, V2], &[]);
    let entry = until(&client, TARGET, "two endpoints", |entry| entry.list.endpoints().len() == 2);
    assert_eq!(entry.state, State::Ready);
}

fn serve(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(target("proxyless"))
        .arg("serve")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not read it may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {ports: [{name: http, port: 80}]}\n";
const ROUTES: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop}\nspec: {hosts: [shop], \
    http: [{route: [{destination: {host: shop, subset: v2}}]}]}\n";

#[test]
fn check_warns_about_what_looks_wrong_and_strict_makes_it_an_error() {
    let endpoint = "--endpoint=shop=127.0.0.1:8080";
    let fine = serve(&["--check", "-", endpoint], SERVICE);
    assert_eq!((fine.status.code(), text(&fine.stdout).trim()), (Some(0), "standard input is fine"), "{}", text(&fine.stderr));
    let both = format!("{SERVICE}---\n{ROUTES}");
    let warned = serve(&["--check", "-", endpoint], &both);
    assert_eq!(warned.status.code(), Some(0));
    let why = text(&warned.stderr);
    assert!(why.contains("warning: standard input: document 2 (VirtualService default/shop): spec.http[0].route[0]"), "{why}");
    let strict = serve(&["--check", "--strict", "-", endpoint], &both);
    assert_eq!(strict.status.code(), Some(1));
    assert!(text(&strict.stderr).contains("standard input: 1 warning"), "{}", text(&strict.stderr));
    assert_eq!(serve(&["--check", "-", "--endpoint=shoe=127.0.0.1:80"], SERVICE).status.code(), Some(2));
}

#[test]
fn several_files_and_folders_are_one_mesh_that_leads_to_local_processes() {
    let folder = TempDir::new().unwrap();
    let (more, other) = (folder.path().join("more"), folder.path().join("routes.json"));
    fs::create_dir(&more).unwrap();
    fs::write(more.join("shop.yaml"), SERVICE).unwrap();
    fs::write(more.join("notes.txt"), "no YAML: [").unwrap();
    fs::write(&other, r#"{"apiVersion": "v1", "kind": "List", "items": []}"#).unwrap();
    let port_file = folder.path().join("port");
    let mut command = Command::new(target("proxyless"));
    command.arg("serve").args([&more, &other]).args([
        "--listen",
        "localhost:0",
        "--endpoint",
        "shop=127.0.0.1:8080",
        "--port-file",
    ]);
    let mut control_plane = proxyless_tests::Process::start(command.arg(&port_file));
    control_plane.line("it serves", |line| line.starts_with("serving"));
    let client = open(&json!({"server": format!("http://{}", fs::read_to_string(&port_file).unwrap())}));
    let entry = until(&client, "shop", "ready", |entry| entry.state == State::Ready);
    assert_eq!(entry.list.endpoints()[0].socket_addr(), Some("127.0.0.1:8080".parse().unwrap()));
    // A file that is added to the folder is read.
    fs::write(more.join("cart.yaml"), SERVICE.replace("shop", "cart")).unwrap();
    until(&client, "cart", "ready", |entry| entry.state == State::Ready);
}

/// A control plane over these paths, with `input` on standard input, and a client of it.
fn serving(paths: &[&Path], input: &str) -> (proxyless_tests::Process, Arc<Client>) {
    let folder = TempDir::new().unwrap();
    let (port_file, standard_input) = (folder.path().join("port"), folder.path().join("input"));
    fs::write(&standard_input, input).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" < \"$0\""]).arg(&standard_input).arg(target("proxyless")).arg("serve");
    command.args(paths).args(["--listen", "127.0.0.1:0", "--port-file"]).arg(&port_file);
    let mut control_plane = proxyless_tests::Process::start(&mut command);
    control_plane.line("it serves", |line| line.starts_with("serving"));
    let client = open(&json!({"server": format!("http://{}", fs::read_to_string(&port_file).unwrap())}));
    (control_plane, client)
}

fn entry(name: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{hosts: [{name}.example], \
         resolution: STATIC, ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: [{{address: 127.0.0.1}}]}}\n"
    )
}

#[test]
fn standard_input_is_read_once_and_stays_beside_files_that_change() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("mesh.yaml");
    fs::write(&file, entry("a")).unwrap();
    let (_control_plane, client) = serving(&[Path::new("-"), &file], &entry("given"));
    until(&client, "given.example", "ready", |entry| entry.state == State::Ready);
    fs::write(&file, entry("b")).unwrap();
    until(&client, "b.example", "ready", |entry| entry.state == State::Ready);
    assert_eq!(client.snapshot().get("given.example").unwrap().state, State::Ready);
}

#[test]
fn a_link_that_leads_elsewhere_and_what_it_leads_to_are_followed() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (release, name) in [("one", "a"), ("two", "b")] {
        fs::create_dir(at(release)).unwrap();
        fs::write(at(release).join("mesh.yaml"), entry(name)).unwrap();
    }
    symlink("one", at("current")).unwrap();
    let file = at("mesh.yaml");
    symlink("current/mesh.yaml", &file).unwrap();
    let (_control_plane, client) = serving(&[&file], "");
    until(&client, "a.example", "ready", |entry| entry.state == State::Ready);
    symlink("two", at("next")).unwrap();
    fs::rename(at("next"), at("current")).unwrap();
    until(&client, "b.example", "ready", |entry| entry.state == State::Ready);
    fs::write(at("two").join("mesh.yaml"), entry("c")).unwrap();
    until(&client, "c.example", "ready", |entry| entry.state == State::Ready);
}
