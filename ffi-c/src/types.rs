// SPDX-License-Identifier: Apache-2.0
//! The structs that cross the boundary. Frozen per ABI version; `layout.rs` holds their sizes.

use std::ffi::{CStr, c_char};

use crate::{guard, status::pxl_status};

/// A borrowed text: not NUL-terminated unless said. As an argument `ptr` may be NULL when `len` is 0; as a result it never is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pxl_str {
    /// First byte.
    pub ptr: *const c_char,
    /// Number of bytes.
    pub len: usize,
}

impl pxl_str {
    pub(crate) fn of(text: &str) -> Self {
        // The pointer of an empty text may point nowhere, which C takes amiss.
        if text.is_empty() { Self::fixed(c"") } else { Self { ptr: text.as_ptr().cast(), len: text.len() } }
    }

    pub(crate) fn fixed(text: &'static CStr) -> Self {
        Self { ptr: text.as_ptr(), len: text.count_bytes() }
    }
}

/// A caller-owned place for what went wrong. Nothing to free.
#[repr(C)]
#[derive(Debug)]
pub struct pxl_error {
    /// The status that was returned.
    pub status: pxl_status,
    /// Bytes of `message` in use; 0 after success.
    pub len: u32,
    /// UTF-8, NUL-terminated, cut if it is longer.
    pub message: [c_char; 504],
}

impl pxl_error {
    pub(crate) fn set(&mut self, status: pxl_status, message: &str) {
        let mut len = message.len().min(self.message.len() - 1);
        while !message.is_char_boundary(len) {
            len -= 1;
        }
        for (place, byte) in self.message.iter_mut().zip(&message.as_bytes()[..len]) {
            *place = *byte as c_char;
        }
        self.message[len] = 0;
        self.status = status;
        self.len = len as u32;
    }
}

/// An owned text, NUL-terminated. Free it with `pxl_buf_free`.
#[repr(C)]
#[derive(Debug)]
pub struct pxl_buf {
    /// First byte.
    pub ptr: *mut c_char,
    /// Number of bytes, without the NUL.
    pub len: usize,
}

impl pxl_buf {
    pub(crate) fn of(mut text: String) -> Self {
        let len = text.len();
        text.push('\0');
        Self { ptr: Box::into_raw(text.into_bytes().into_boxed_slice()).cast::<c_char>(), len }
    }
}

/// Frees a text that the library returned, once. One whose `ptr` is NULL is fine.
///
/// # Safety
/// `buf` came from this library and was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_buf_free(buf: pxl_buf) {
    guard::value((), || {
        if !buf.ptr.is_null() {
            let bytes = std::ptr::slice_from_raw_parts_mut(buf.ptr.cast::<u8>(), buf.len + 1);
            // SAFETY: made by `pxl_buf::of` from a boxed slice of this length and its NUL, and given back once.
            drop(unsafe { Box::from_raw(bytes) });
        }
    });
}

/// An endpoint, 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pxl_endpoint {
    /// Address in network order: 4 or 16 bytes are in use, by `family`.
    pub ip: [u8; 16],
    /// Port to dial, in host order.
    pub port: u16,
    /// 4: IPv4, 6: IPv6, 0: no address, resolve the host name of the extension.
    pub family: u8,
    /// As in `envoy.config.core.v3.HealthStatus`; lists hold usable endpoints only.
    pub health: u8,
    /// Priority level in use, 0 first.
    pub priority: u8,
    /// `PXL_ENDPOINT_*`.
    pub flags: u8,
    /// Index for `pxl_snapshot_locality`, within the target's own list.
    pub locality: u16,
    /// Weight among the endpoints of this list, at least 1.
    pub weight: u32,
    /// Index for `pxl_snapshot_extension`, within the target's own list; 0 is none.
    pub extension: u32,
}

/// What a snapshot says about a target. Everything in it is borrowed from the snapshot.
#[repr(C)]
#[derive(Debug)]
pub struct pxl_target {
    /// `PXL_STATE_*`.
    pub state: u8,
    /// `PXL_REASON_*` when the state is invalid, else 0.
    pub reason: u8,
    /// `PXL_TARGET_*`.
    pub flags: u8,
    /// The endpoints, contiguous; NULL when there are none.
    pub endpoints: *const pxl_endpoint,
    /// Number of endpoints.
    pub endpoint_count: usize,
    /// A weighted order: `order[n % order_count]` with a counter n picks by weight. NULL when all weights are equal: then
    /// `n % endpoint_count` does. Start the counter at a random number: counters that start at 0 send the first call of every
    /// process to the same endpoint, and processes that make one call never reach another.
    pub order: *const u32,
    /// Length of the order.
    pub order_count: usize,
    /// Epoch at which this target last changed.
    pub changed_at: u64,
    /// What the target resolved to, for instance `echo.demo.svc.cluster.local:8080/v1`.
    pub resolved: pxl_str,
    /// For people: why it is invalid, or a warning.
    pub detail: pxl_str,
}

/// A locality.
#[repr(C)]
#[derive(Debug)]
pub struct pxl_locality {
    /// For instance `cn-hangzhou`.
    pub region: pxl_str,
    /// For instance `cn-hangzhou-i`.
    pub zone: pxl_str,
    /// Often empty.
    pub sub_zone: pxl_str,
}

/// What does not fit into an endpoint.
#[repr(C)]
#[derive(Debug)]
pub struct pxl_extension {
    /// Host name of the endpoint; to be resolved when `family` is 0.
    pub hostname: pxl_str,
    /// Istio's `workload;namespace;canonical name;canonical revision;cluster`.
    pub workload: pxl_str,
}
