// SPDX-License-Identifier: Apache-2.0
//! `libproxyless`: the C ABI.
//!
//! Converts, guards, and nothing else: no policy lives here. `include/proxyless.h` is generated from these files and committed;
//! tests compare it, the exported symbols and the layout of every struct.

#![allow(non_camel_case_types, reason = "C names; the compiler asks for them only where no `repr(C)` stands")]

use std::ffi::CStr;

mod client;
mod guard;
mod layout;
mod snapshot;
mod status;
#[cfg(feature = "testing")]
mod testing;
mod types;

pub use client::{
    pxl_client, pxl_client_describe, pxl_client_epoch, pxl_client_free, pxl_client_open, pxl_client_shutdown, pxl_client_snapshot,
    pxl_client_stale_ms, pxl_client_unwatch, pxl_client_wait, pxl_client_watch,
};
pub use snapshot::{
    pxl_snapshot, pxl_snapshot_epoch, pxl_snapshot_extension, pxl_snapshot_free, pxl_snapshot_locality, pxl_snapshot_target,
    pxl_snapshot_traffic,
};
pub use status::*;
pub use types::{pxl_buf, pxl_buf_free, pxl_endpoint, pxl_error, pxl_extension, pxl_locality, pxl_str, pxl_target};

/// Version of this ABI. Equals the SONAME; a program built against another one must not use the library.
pub const PXL_ABI_VERSION: u32 = 1;

/// The ABI version of the loaded library; compare it with `PXL_ABI_VERSION`.
#[unsafe(no_mangle)]
pub extern "C" fn pxl_abi_version() -> u32 {
    guard::value(0, || PXL_ABI_VERSION)
}

/// The version of the loaded library, for people. Static and NUL-terminated.
#[unsafe(no_mangle)]
pub extern "C" fn pxl_version() -> pxl_str {
    guard::value(pxl_str::fixed(c""), || {
        let text = CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes());
        pxl_str::fixed(text.expect("a version has no NUL inside"))
    })
}
