// SPDX-License-Identifier: Apache-2.0
//! `make install`, and programs built with nothing but what it installed; the lines that the documents tell people to type.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use proxyless_tests::{ControlPlane, MeshFile, Process, repository, tool, with_policies};
use tempfile::TempDir;

fn run(command: &mut Command) -> Output {
    let output = command.current_dir(repository()).output().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&text));
    output
}

/// What `make build` has built, installed.
fn install(prefix: &Path, destination: &Path) {
    let mut make = Command::new("make");
    make.args(["--no-print-directory", "-o", "native", "install"]);
    make.arg(format!("PREFIX={}", prefix.display())).arg(format!("DESTDIR={}", destination.display()));
    run(make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL"));
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path.strip_prefix(folder).unwrap().display().to_string()) }
        }
    }
    found.sort();
    found
}

#[test]
fn everything_is_installed_below_destdir_to_be_found_at_prefix() {
    let stage = TempDir::new().unwrap();
    install(Path::new("/opt/proxyless"), stage.path());
    let root = stage.path().join("opt/proxyless");
    let installed = files(&root);
    for file in [
        "bin/proxyless",
        "include/proxyless.h",
        "lib/libproxyless.a",
        "lib/libproxyless.so",
        "lib/libproxyless.so.1",
        "lib/pkgconfig/proxyless.pc",
        "share/bash-completion/completions/proxyless",
        "share/fish/vendor_completions.d/proxyless.fish",
        "share/man/man1/proxyless-endpoints.1",
        "share/man/man1/proxyless.1",
        "share/zsh/site-functions/_proxyless",
    ] {
        assert!(installed.iter().any(|other| other == file), "{file} is missing: {installed:#?}");
        assert!(fs::metadata(root.join(file)).unwrap().len() > 0, "{file} is empty");
    }
    assert_eq!(fs::read_link(root.join("lib/libproxyless.so")).unwrap(), Path::new("libproxyless.so.1"));
    let described = fs::read_to_string(root.join("lib/pkgconfig/proxyless.pc")).unwrap();
    assert!(described.starts_with("prefix=/opt/proxyless\n"), "{described}");
    assert!(!described.contains('@') && !described.contains(&stage.path().display().to_string()), "{described}");
    assert!(described.contains(concat!("\nVersion: ", env!("CARGO_PKG_VERSION"), "\n")), "{described}");
}

/// Builds the C example by a line for the shell in which `pkg-config` is all that knows where things are, and sees it follow.
fn example_runs(prefix: &Path, line: &str, library_path: Option<PathBuf>) {
    let program = prefix.join("endpoints");
    run(Command::new("sh")
        .args(["-euc", line, "sh"])
        .arg(repository().join("examples/c/endpoints.c"))
        .arg(&program)
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")));
    let mesh = MeshFile::default();
    mesh.write(&with_policies("1s"));
    let control_plane = ControlPlane::start(&mesh.path());
    let mut command = Command::new(program);
    command.args([&format!("{{\"server\": \"{}\"}}", control_plane.url()), "go-sc-a", "1"]).env_remove("LD_LIBRARY_PATH");
    if let Some(folder) = library_path {
        command.env("LD_LIBRARY_PATH", folder);
    }
    let mut example = Process::start(&mut command);
    assert!(example.wait().success(), "{}{}", example.out(), example.err());
    assert!(example.out().contains("127.0.0.11:9001 weight 1"), "{}", example.out());
}

#[test]
fn the_c_example_is_built_with_pkg_config_only_dynamically_and_statically() {
    if !tool("pkg-config") {
        return;
    }
    let prefix = TempDir::new().unwrap();
    install(prefix.path(), Path::new(""));
    let (prefix, libraries) = (prefix.path(), prefix.path().join("lib"));
    example_runs(prefix, "cc \"$1\" $(pkg-config --cflags --libs proxyless) -o \"$2\"", Some(libraries));
    let needed = run(Command::new("readelf").arg("-d").arg(prefix.join("endpoints"))).stdout;
    assert!(String::from_utf8_lossy(&needed).contains("[libproxyless.so.1]"));
    example_runs(prefix, "cc -static \"$1\" $(pkg-config --static --cflags --libs proxyless) -o \"$2\"", None);
    let static_libs = "$(pkg-config --variable=static_libs proxyless)";
    example_runs(prefix, &format!("cc \"$1\" $(pkg-config --cflags proxyless) {static_libs} -o \"$2\""), None);
}

/// The code of a document in this language.
fn code(document: &str, language: &str) -> String {
    let text = fs::read_to_string(repository().join(document)).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

#[test]
fn the_lines_that_build_in_a_checkout_work_as_they_are_written() {
    let lines = code("docs/c.md", "sh");
    let lines: Vec<&str> = lines.lines().filter(|line| !line.contains("pkg-config") && !line.contains("PKG_CONFIG")).collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for line in lines {
        let needs_go = line.contains("go build");
        if !needs_go || Command::new("go").arg("version").output().is_ok_and(|output| output.status.success()) {
            run(Command::new("sh").args(["-euc", line]));
        }
    }
    let program = repository().join("target/endpoints");
    let output = Command::new(program).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: "), "{output:?}");
}

#[test]
fn python_reads_the_header_and_calls_the_library_through_cffi() {
    if !Command::new("python3").args(["-c", "import cffi"]).output().is_ok_and(|output| output.status.success()) {
        tool("cffi");
        return;
    }
    let output = run(Command::new("python3").args(["-c", &code("docs/c.md", "python")]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "True True\n");
}
