// SPDX-License-Identifier: Apache-2.0
//! Sizes and offsets of ABI 1 on 64-bit machines. A failure here is an ABI break: raise `PXL_ABI_VERSION`, the SONAME in
//! `build.rs`, the Go and Python packages' expectation and the flat format's major version where it shares the struct.
#![cfg(target_pointer_width = "64")]

use std::mem::offset_of;

use crate::types::{pxl_buf, pxl_endpoint, pxl_error, pxl_extension, pxl_locality, pxl_str, pxl_target};

const _: () = {
    assert!(size_of::<pxl_str>() == 16);
    assert!(size_of::<pxl_buf>() == 16);
    assert!(size_of::<pxl_error>() == 512 && offset_of!(pxl_error, message) == 8);
    assert!(size_of::<pxl_endpoint>() == 32 && offset_of!(pxl_endpoint, port) == 16 && offset_of!(pxl_endpoint, family) == 18);
    assert!(
        offset_of!(pxl_endpoint, locality) == 22
            && offset_of!(pxl_endpoint, weight) == 24
            && offset_of!(pxl_endpoint, extension) == 28
    );
    assert!(size_of::<pxl_target>() == 80 && offset_of!(pxl_target, endpoints) == 8 && offset_of!(pxl_target, order) == 24);
    assert!(
        offset_of!(pxl_target, changed_at) == 40 && offset_of!(pxl_target, resolved) == 48 && offset_of!(pxl_target, detail) == 64
    );
    assert!(size_of::<pxl_locality>() == 48);
    assert!(size_of::<pxl_extension>() == 32);
};
