// SPDX-License-Identifier: Apache-2.0
//! The committed header is what cbindgen makes of the sources, in the words of C. `PROXYLESS_WRITE_HEADER=1` writes it anew.

use std::{fs, path::Path};

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn generated() -> String {
    let config = cbindgen::Config::from_file(folder().join("cbindgen.toml")).expect("cbindgen.toml");
    let mut bytes = Vec::new();
    let builder = cbindgen::Builder::new().with_config(config).with_src(folder().join("src/lib.rs"));
    builder.generate().expect("the sources make a header").write(&mut bytes);
    in_c90(&String::from_utf8(bytes).expect("UTF-8"))
}

/// Comments without the parts that only Rust asks for and without `//`, enums without a comma at their end, and a guard that has a
/// value, which readers of a header that are no compilers ask for.
fn in_c90(header: &str) -> String {
    let (mut lines, mut skipping): (Vec<String>, bool) = (Vec::new(), false);
    for line in header.lines() {
        if line.trim() == "# Safety" {
            skipping = true;
            while lines.last().is_some_and(|last| last.trim().is_empty()) {
                lines.pop();
            }
        }
        skipping &= line.trim() != "*/";
        if skipping {
            continue;
        }
        if line.starts_with('}')
            && let Some(last) = lines.last_mut()
        {
            last.truncate(last.trim_end_matches(',').len());
        }
        lines.push(match line.split_once("//") {
            Some((code, comment)) => format!("{}/* {} */", code.trim_end().to_owned() + " ", comment.trim()),
            None if line == "#define PROXYLESS_H" => format!("{line} 1"),
            None => line.to_owned(),
        });
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_committed_header_is_what_the_sources_say() {
    let made = generated();
    let path = folder().join("include/proxyless.h");
    if std::env::var_os("PROXYLESS_WRITE_HEADER").is_some() {
        fs::write(&path, &made).expect("writable");
    }
    assert_eq!(fs::read_to_string(&path).expect("include/proxyless.h"), made, "run `make header` and commit the result");
}

#[test]
fn the_header_speaks_c_and_not_rust() {
    let header = fs::read_to_string(folder().join("include/proxyless.h")).expect("include/proxyless.h");
    for word in ["# Safety", "`*out", "//", "stdbool", "Option<", "Box", "unsafe", "__attribute__"] {
        assert!(!header.contains(word), "{word} is no word of a C header");
    }
}

#[test]
fn every_entry_is_made_to_panic_by_a_test() {
    let read = |file: &str| fs::read_to_string(folder().join(file)).expect("a committed file");
    let (symbols, panics) = (read("symbols.txt"), read("tests/panics.c"));
    for entry in symbols.lines() {
        assert!(panics.contains(&format!("{entry}(")), "{entry}: tests/panics.c does not call it");
    }
}
