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

/// Modules named after `crate::`, in whatever form the braces have.
fn used(text: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for (at, start) in text.match_indices("crate::") {
        let rest = &text[at + start.len()..];
        for piece in rest.strip_prefix('{').map_or_else(|| vec![rest], pieces) {
            let name: String = piece.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.extend(FLOORS.iter().find(|floor| **floor == name));
        }
    }
    found
}

/// What stands between the commas of a list of uses, up to the brace that closes it.
fn pieces(list: &str) -> Vec<&str> {
    let (mut pieces, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                pieces.push(&list[from..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                pieces.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces
}

#[test]
fn every_form_of_a_use_is_read() {
    let all = ["error", "model", "store", "target"];
    for text in [
        "use crate::{error::Result, model::{Action, store}, store::Entry, target};",
        "use crate::{\n    error::{Code, Error},\n    model::State,\n    store,\n    target::*,\n};",
        "use crate::error; fn f(a: crate::model::State) -> crate::store::Entry { crate::target::parse(a) }",
    ] {
        assert_eq!(used(text).into_iter().collect::<Vec<_>>(), all, "{text}");
    }
    assert!(used("use crate::{model::{error, store}, models}; use other::{crate_error, target};").contains("model"));
    assert_eq!(used("use crate::{model::{error, store}, models};").len(), 1, "what stands deeper is no module");
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
