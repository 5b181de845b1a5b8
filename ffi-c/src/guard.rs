// SPDX-License-Identifier: Apache-2.0
//! The one guard of every entry: panics and errors become statuses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proxyless_core::Error;

use crate::{
    status::{
        of_code, pxl_status,
        pxl_status_code::{self, *},
    },
    types::{pxl_error, pxl_str},
};

/// No text that a caller means is longer; a length above it is a mistake, and is refused before a byte is read.
const LONGEST_TEXT: usize = 16 << 20;

/// Why an entry does not return `PXL_OK`.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: pxl_status_code,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: pxl_status_code, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn null(name: &str) -> Self {
        Self::new(PXL_ERR_NULL, format!("{name} is NULL"))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(of_code(error.code()), error.to_string())
    }
}

/// Runs the body of an entry that can fail, and tells how it went: also that it went well.
///
/// # Safety
/// `err` is NULL or points to a `pxl_error` that may be written.
pub(crate) unsafe fn run(err: *mut pxl_error, body: impl FnOnce() -> Result<(), Refusal>) -> pxl_status {
    let result = catch(body).unwrap_or_else(|| Err(Refusal::new(PXL_ERR_PANIC, "a defect of libproxyless; it was contained")));
    let (status, message) = match &result {
        Ok(()) => (PXL_OK, ""),
        Err(refusal) => (refusal.status, refusal.message.as_str()),
    };
    // SAFETY: NULL or writable, by this function's contract.
    if let Some(err) = unsafe { err.as_mut() } {
        err.set(status as pxl_status, message);
    }
    status as pxl_status
}

/// Runs the body of an entry that returns a value; `otherwise` when it panics.
pub(crate) fn value<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch(body).unwrap_or(otherwise)
}

fn catch<T>(body: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| {
        #[cfg(feature = "testing")]
        crate::testing::panic_if_asked_to();
        body()
    }))
    .ok()
}

/// Borrows what a caller's pointer points to.
///
/// # Safety
/// `pointer` is NULL or valid for reads during `'a`.
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Refusal> {
    // SAFETY: NULL or valid, by this function's contract.
    unsafe { pointer.as_ref() }.ok_or_else(|| Refusal::null(name))
}

/// Borrows an out-parameter.
///
/// # Safety
/// `pointer` is NULL or valid for writes during `'a`, and nobody else uses it meanwhile.
pub(crate) unsafe fn out<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T, Refusal> {
    // SAFETY: NULL or valid, by this function's contract.
    unsafe { pointer.as_mut() }.ok_or_else(|| Refusal::null(name))
}

/// Borrows a caller's text.
///
/// # Safety
/// `text.ptr` is NULL or valid for reads of `text.len` bytes during `'a`.
pub(crate) unsafe fn text<'a>(text: pxl_str, name: &str) -> Result<&'a str, Refusal> {
    if text.ptr.is_null() {
        return if text.len == 0 { Ok("") } else { Err(Refusal::null(name)) };
    }
    if text.len > LONGEST_TEXT {
        let message = format!("{name} has a length of {} bytes; at most {LONGEST_TEXT} are read", text.len);
        return Err(Refusal::new(PXL_ERR_RANGE, message));
    }
    // SAFETY: not NULL, and readable for its length by this function's contract.
    let bytes = unsafe { std::slice::from_raw_parts(text.ptr.cast::<u8>(), text.len) };
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(Refusal::new(PXL_ERR_UTF8, format!("{name} has a NUL at byte {at}")));
    }
    std::str::from_utf8(bytes).map_err(|error| Refusal::new(PXL_ERR_UTF8, format!("{name} is not UTF-8: {error}")))
}
