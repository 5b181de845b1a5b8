// SPDX-License-Identifier: Apache-2.0
//! The committed header is what cbindgen makes of the sources. `PROXYLESS_WRITE_HEADER=1` writes it anew.

use std::{fs, path::Path};

#[test]
fn the_committed_header_is_what_the_sources_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut bytes = Vec::new();
    let builder = cbindgen::Builder::new().with_config(config).with_src(root.join("src/lib.rs"));
    builder.generate().expect("the sources make a header").write(&mut bytes);
    let made = String::from_utf8(bytes).expect("UTF-8");
    let path = root.join("include/proxyless.h");
    if std::env::var_os("PROXYLESS_WRITE_HEADER").is_some() {
        fs::write(&path, &made).expect("writable");
    }
    assert_eq!(fs::read_to_string(&path).expect("include/proxyless.h"), made, "run `make header` and commit the result");
}
