// SPDX-License-Identifier: Apache-2.0
//! Panics on purpose, to show that every entry contains one. Never part of a release.

use std::cell::Cell;

thread_local! {
    static PANICS: Cell<bool> = const { Cell::new(false) };
}

/// The next entry that this thread calls panics.
#[unsafe(no_mangle)]
pub extern "C" fn pxl_testing_panic_next() {
    PANICS.set(true);
}

/// Whether the panic that was asked for has not happened yet.
#[unsafe(no_mangle)]
pub extern "C" fn pxl_testing_panic_is_due() -> bool {
    PANICS.get()
}

pub(crate) fn panic_if_asked_to() {
    assert!(!PANICS.replace(false), "on purpose");
}
