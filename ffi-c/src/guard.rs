// SPDX-License-Identifier: Apache-2.0
//! The one guard of every entry: panics and errors become statuses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proxyless_core::Error;

use crate::{
    status::{PXL_ERR_NULL, PXL_ERR_PANIC, PXL_ERR_UTF8, PXL_OK, of_code, pxl_status},
    types::{pxl_error, pxl_str},
};

/// Why an entry does not return `PXL_OK`.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: pxl_status,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: pxl_status, message: impl Into<String>) -> Self {
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

/// Runs an entry's body.
///
/// # Safety
/// `err` is NULL or points to a `pxl_error` that may be written.
pub(crate) unsafe fn run(err: *mut pxl_error, body: impl FnOnce() -> Result<(), Refusal>) -> pxl_status {
    let refusal = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return PXL_OK,
        Ok(Err(refusal)) => refusal,
        Err(_) => Refusal::new(PXL_ERR_PANIC, "a defect of libproxyless; it was contained"),
    };
    // SAFETY: NULL or writable, by this function's contract.
    if let Some(err) = unsafe { err.as_mut() } {
        err.set(refusal.status, &refusal.message);
    }
    refusal.status
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
    if text.len > isize::MAX as usize {
        return Err(Refusal::new(crate::status::PXL_ERR_RANGE, format!("{name} has a length that no text can have")));
    }
    // SAFETY: not NULL, and readable for its length by this function's contract.
    let bytes = unsafe { std::slice::from_raw_parts(text.ptr.cast::<u8>(), text.len) };
    std::str::from_utf8(bytes).map_err(|error| Refusal::new(PXL_ERR_UTF8, format!("{name} is not UTF-8: {error}")))
}
