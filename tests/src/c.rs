// SPDX-License-Identifier: Apache-2.0
//! Programs in C over `libproxyless`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{repository, target};

/// Compiles a program and links the static library; returns where it lies in the folder.
pub fn compile(source: &Path, into: &TempDir, options: &[&str]) -> PathBuf {
    let program = into.path().join(source.file_stem().unwrap());
    let output = Command::new("cc")
        .args(["-std=gnu11", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(options)
        .arg("-I")
        .arg(repository().join("ffi-c/include"))
        .arg(source)
        .arg(target("libproxyless.a"))
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}
