// SPDX-License-Identifier: Apache-2.0
//! The C ABI from C: compiled by the C compiler, linked, run.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{collections::BTreeSet, process::Command};

use proxyless_tests::{ControlPlane, Endpoint, MeshFile, Process, compile, eventually, repository, target, tool, with_policies};
use tempfile::TempDir;

const V1: Endpoint = Endpoint { ip: "127.0.0.11", port: 9001, version: "v1" };
const V2: Endpoint = Endpoint { ip: "127.0.0.12", port: 9002, version: "v2" };

fn follows_changes(options: &[&str]) {
    let folder = TempDir::new().unwrap();
    let program = compile(&repository().join("examples/c/endpoints.c"), &folder, options);
    let mesh = MeshFile::default();
    mesh.service(&[V1, V2], &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    let settings = format!("{{\"server\": \"{}\"}}", control_plane.url());
    let mut example = Process::start(Command::new(program).args([&settings, "go-sc-a"]));
    example.line("the first list", |line| line.contains("127.0.0.11:9001 weight 1"));
    mesh.service(&[V1, V2], &[("v2", 1)]);
    eventually("the second list", || {
        let last = "go-sc-a ready \n  127.0.0.12:9002 weight 1\n  next: 127.0.0.12:9002\n";
        (example.out().ends_with(last) && example.err().is_empty()).then_some(())
    });
}

#[test]
fn the_c_example_prints_the_list_and_follows_changes() {
    follows_changes(&[]);
}

#[test]
fn the_c_example_is_clean_under_sanitizers() {
    follows_changes(&["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
}

#[test]
fn routes_and_policies_reach_c_and_so_does_their_change() {
    let folder = TempDir::new().unwrap();
    let options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let program = compile(&repository().join("ffi-c/tests/traffic.c"), &folder, &options);
    let mesh = MeshFile::default();
    mesh.write(&with_policies("3s"));
    let control_plane = ControlPlane::start(&mesh.path());
    let settings = format!("{{\"server\": \"{}\"}}", control_plane.url());
    let mut traffic = Process::start(Command::new(program).args([&settings, "go-sc-a", "2"]));
    let first = traffic.line("the first answer", |line| line.contains(r#""timeout":"3s""#));
    assert!(first.contains(r#""num_retries":4"#) && first.contains(r#""consecutive_5xx":7"#), "{first}");
    mesh.write(&with_policies("4s"));
    assert!(traffic.wait().success(), "{}{}", traffic.out(), traffic.err());
    assert!(traffic.out().lines().last().unwrap().contains(r#""timeout":"4s""#), "{}", traffic.out());
}

#[test]
fn what_callers_get_wrong_is_a_status_and_never_a_crash() {
    let folder = TempDir::new().unwrap();
    let program = compile(
        &repository().join("ffi-c/tests/misuse.c"),
        &folder,
        &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    );
    let mut misuse = Process::start(&mut Command::new(program));
    assert!(misuse.wait().success(), "{}", misuse.err());
}

#[test]
fn the_header_is_c_from_1990_on_and_cpp() {
    for (compiler, language, standard) in [
        ("cc", "c", "-std=c90"),
        ("cc", "c", "-std=c99"),
        ("cc", "c", "-std=c11"),
        ("c++", "c++", "-std=c++98"),
        ("c++", "c++", "-std=c++17"),
    ] {
        if !tool(compiler) {
            continue;
        }
        let status = Command::new(compiler)
            .args([standard, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", language])
            .arg(repository().join("ffi-c/include/proxyless.h"))
            .status()
            .unwrap();
        assert!(status.success(), "{compiler} {standard}");
    }
}

#[test]
fn a_host_name_stands_where_an_endpoint_has_no_address() {
    let folder = TempDir::new().unwrap();
    let program = compile(&repository().join("examples/c/endpoints.c"), &folder, &["-fsanitize=address,undefined"]);
    let mesh = MeshFile::default();
    mesh.write(
        &with_policies("3s").replace("STATIC", "DNS").replace("{address: 127.0.0.11, ports", "{address: backend.example, ports"),
    );
    let control_plane = ControlPlane::start(&mesh.path());
    let settings = format!("{{\"server\": \"{}\"}}", control_plane.url());
    let mut example = Process::start(Command::new(program).args([&settings, "go-sc-a", "1"]));
    assert!(example.wait().success(), "{}{}", example.out(), example.err());
    assert!(example.out().contains("  backend.example:9001 weight 1\n  next: backend.example:9001\n"), "{}", example.out());
}

#[test]
fn processes_that_make_one_call_do_not_all_call_the_same_endpoint() {
    let folder = TempDir::new().unwrap();
    let program = compile(&repository().join("examples/c/endpoints.c"), &folder, &[]);
    let mesh = MeshFile::default();
    mesh.service(&[V1, V2], &[]);
    let control_plane = ControlPlane::start(&mesh.path());
    let settings = format!("{{\"server\": \"{}\"}}", control_plane.url());
    let mut first = BTreeSet::new();
    for _ in 0..60 {
        let output = Command::new(&program).args([&settings, "go-sc-a", "1"]).output().unwrap();
        first.insert(String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned());
        if first.len() == 2 {
            return;
        }
    }
    panic!("60 processes called {first:?}");
}

#[test]
fn the_library_exports_what_is_listed_and_nothing_else() {
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(target("libproxyless.so")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let mut exported: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    exported.sort_unstable();
    let listed = std::fs::read_to_string(repository().join("ffi-c/symbols.txt")).unwrap();
    assert_eq!(exported, listed.lines().collect::<Vec<_>>(), "an export came or went: the ABI changes with it");
}
