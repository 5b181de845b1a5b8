// SPDX-License-Identifier: Apache-2.0
//! A module of the core uses only modules below it. `ARCHITECTURE.md` has the same table.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{collections::BTreeSet, fs, path::Path};

const FLOORS: [&str; 19] = [
    "error",
    "model",
    "backoff",
    "observe",
    "protocol",
    "authority",
    "route",
    "select",
    "store",
    "target",
    "resource",
    "config",
    "cache",
    "catalog",
    "wire",
    "certificate",
    "transport",
    "driver",
    "client",
];

fn sources(path: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && !entry.ends_with("tests") {
            sources(&entry, into);
        } else if entry.is_file() && !entry.to_string_lossy().ends_with("_test.rs") {
            let text = fs::read_to_string(&entry).unwrap();
            into.push(text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned());
        }
    }
}

/// Names after `crate::`, also inside of braces.
fn used(text: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + 7..];
        let end = rest.find(';').unwrap_or(rest.len());
        let part = if rest.starts_with('{') { &rest[..end] } else { rest.split([':', ';', ' ', ')', '>']).next().unwrap() };
        let depth_one = part.trim_start_matches('{').split('\n').map(str::trim);
        for name in FLOORS {
            let starts = |piece: &str| {
                piece.strip_prefix(name).is_some_and(|after| after.is_empty() || after.starts_with([':', ',', ' ', ';']))
            };
            if starts(part) || depth_one.clone().any(starts) {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn a_module_uses_only_those_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for (floor, module) in FLOORS.iter().enumerate() {
        let mut texts = Vec::new();
        let folder = root.join(module);
        if folder.is_dir() {
            sources(&folder, &mut texts);
        } else {
            texts.push(
                fs::read_to_string(root.join(format!("{module}.rs")))
                    .unwrap()
                    .split("#[cfg(test)]\nmod tests")
                    .next()
                    .unwrap()
                    .to_owned(),
            );
        }
        for name in texts.iter().flat_map(|text| used(text)) {
            let at = FLOORS.iter().position(|other| *other == name).unwrap();
            assert!(at <= floor, "{module} uses {name}, which stands above it");
            seen += 1;
        }
    }
    assert!(seen > 20, "the test reads the sources: it saw {seen} uses");
}
