// SPDX-License-Identifier: Apache-2.0
//! Gives the shared library its SONAME: the ABI version.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libproxyless.so.1");
    println!("cargo:rerun-if-changed=build.rs");
}
