// SPDX-License-Identifier: Apache-2.0
//! `libproxyless`: the C ABI.
//!
//! Converts, guards, and nothing else: no policy lives here. `include/proxyless.h` is generated from these files and committed;
//! tests compare it, the exported symbols and the layout of every struct.

#![allow(non_camel_case_types, reason = "C names; the compiler asks for them only where no `repr(C)` stands")]

mod client;
mod guard;
mod layout;
mod snapshot;
mod status;
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
    PXL_ABI_VERSION
}

/// The version of the loaded library, for people. Static.
#[unsafe(no_mangle)]
pub extern "C" fn pxl_version() -> pxl_str {
    pxl_str::of(env!("CARGO_PKG_VERSION"))
}

/// Panics on purpose, to show that a panic becomes a status.
#[cfg(feature = "testing")]
#[unsafe(no_mangle)]
pub extern "C" fn pxl_testing_panic(err: *mut pxl_error) -> pxl_status {
    // SAFETY: `err` is NULL or valid, by this function's contract.
    unsafe { guard::run(err, || panic!("on purpose")) }
}
