// SPDX-License-Identifier: Apache-2.0
//! The numbers of the ABI: statuses in families with gaps, states, reasons and flags. Never reused.

use std::ffi::CStr;

use proxyless_core::Code;

use crate::types::pxl_str;
use pxl_status_code::*;

/// Result of a fallible function: a `pxl_status_code`. 0 is success, above 0 is fine but nothing new, below 0 is an error; a later
/// version may return numbers that this header does not name.
pub type pxl_status = i32;

/// The values of `pxl_status`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum pxl_status_code {
    /// Success.
    PXL_OK = 0,
    /// Nothing changed in time.
    PXL_TIMEOUT = 1,
    /// The client was shut down.
    PXL_SHUTDOWN = 2,
    /// A pointer that must not be NULL is.
    PXL_ERR_NULL = -1,
    /// A text is not UTF-8, or has a NUL inside.
    PXL_ERR_UTF8 = -2,
    /// A value is outside of its range.
    PXL_ERR_RANGE = -3,
    /// A setting is missing, unknown or has a value that cannot be used.
    PXL_ERR_CONFIG = -10,
    /// A target does not follow the grammar.
    PXL_ERR_TARGET = -11,
    /// The target is not watched.
    PXL_ERR_NOT_WATCHED = -12,
    /// The process has forked since the client was opened.
    PXL_ERR_FORKED = -20,
    /// The operating system refused something.
    PXL_ERR_SYSTEM = -21,
    /// A defect of the library; it was contained.
    PXL_ERR_PANIC = -30,
}

const NAMES: [(pxl_status_code, &CStr); 12] = [
    (PXL_OK, c"PXL_OK"),
    (PXL_TIMEOUT, c"PXL_TIMEOUT"),
    (PXL_SHUTDOWN, c"PXL_SHUTDOWN"),
    (PXL_ERR_NULL, c"PXL_ERR_NULL"),
    (PXL_ERR_UTF8, c"PXL_ERR_UTF8"),
    (PXL_ERR_RANGE, c"PXL_ERR_RANGE"),
    (PXL_ERR_CONFIG, c"PXL_ERR_CONFIG"),
    (PXL_ERR_TARGET, c"PXL_ERR_TARGET"),
    (PXL_ERR_NOT_WATCHED, c"PXL_ERR_NOT_WATCHED"),
    (PXL_ERR_FORKED, c"PXL_ERR_FORKED"),
    (PXL_ERR_SYSTEM, c"PXL_ERR_SYSTEM"),
    (PXL_ERR_PANIC, c"PXL_ERR_PANIC"),
];

pub(crate) fn of_code(code: Code) -> pxl_status_code {
    match code {
        Code::Config => PXL_ERR_CONFIG,
        Code::Target => PXL_ERR_TARGET,
        Code::Shutdown => PXL_SHUTDOWN,
        Code::Forked => PXL_ERR_FORKED,
        Code::System | Code::Malformed => PXL_ERR_SYSTEM,
        _ => PXL_ERR_SYSTEM,
    }
}

/// The name of a status, for instance `PXL_ERR_CONFIG`; "unknown status" for a number that this version does not know. Static and
/// NUL-terminated.
#[unsafe(no_mangle)]
pub extern "C" fn pxl_status_name(status: pxl_status) -> pxl_str {
    crate::guard::value(pxl_str::fixed(c""), || {
        let known = NAMES.iter().find(|(code, _)| *code as pxl_status == status);
        pxl_str::fixed(known.map_or(c"unknown status", |(_, name)| name))
    })
}

/// States of a target: `pxl_target.state`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum pxl_state {
    /// No answer yet.
    PXL_STATE_PENDING = 0,
    /// The control plane has no such service.
    PXL_STATE_UNKNOWN = 1,
    /// The list, possibly empty.
    PXL_STATE_READY = 2,
    /// It was there and has gone.
    PXL_STATE_REMOVED = 3,
    /// It must not be widened into something else; `reason` and `detail` say why.
    PXL_STATE_INVALID = 4,
}

/// Reasons of `PXL_STATE_INVALID`: `pxl_target.reason`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum pxl_reason {
    /// Not invalid.
    PXL_REASON_NONE = 0,
    /// No DestinationRule defines the subset.
    PXL_REASON_UNDEFINED_SUBSET = 1,
    /// The service has no such port.
    PXL_REASON_NO_SUCH_PORT = 2,
    /// TLS is demanded, which this client does not originate.
    PXL_REASON_TLS_REQUIRED = 3,
    /// Several hosts match the name.
    PXL_REASON_AMBIGUOUS = 4,
    /// The route leads to a cluster that is not listed.
    PXL_REASON_ROUTE_TO_UNKNOWN_CLUSTER = 5,
    /// There is no endpoint list by nature.
    PXL_REASON_NO_LIST = 6,
    /// Every request is answered by the route itself (a direct response, a redirect).
    PXL_REASON_NOT_FORWARDED = 7,
}

/// Flags of a target: `pxl_target.flags`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum pxl_target_flag {
    /// Part of its route leads nowhere; the rest carries the traffic.
    PXL_TARGET_PARTIAL = 1,
}

/// Flags of an endpoint: `pxl_endpoint.flags`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum pxl_endpoint_flag {
    /// It may take mutual TLS.
    PXL_ENDPOINT_MAY_TLS = 1,
}

#[cfg(test)]
mod tests {
    use proxyless_core::model::{EndpointFlags, Invalid, State};

    use super::{pxl_endpoint_flag::*, pxl_reason::*, pxl_state::*, *};

    #[test]
    fn states_reasons_and_flags_have_the_numbers_of_the_core() {
        let states = [State::Pending, State::Unknown, State::Ready, State::Removed, State::Invalid(Invalid::NoList)];
        let ours = [PXL_STATE_PENDING, PXL_STATE_UNKNOWN, PXL_STATE_READY, PXL_STATE_REMOVED, PXL_STATE_INVALID];
        assert_eq!(states.map(State::number), ours.map(|state| state as u8));
        assert_eq!(State::Ready.reason_number(), PXL_REASON_NONE as u8);
        let reasons = [
            (Invalid::UndefinedSubset, PXL_REASON_UNDEFINED_SUBSET),
            (Invalid::NoSuchPort, PXL_REASON_NO_SUCH_PORT),
            (Invalid::TlsRequired, PXL_REASON_TLS_REQUIRED),
            (Invalid::Ambiguous, PXL_REASON_AMBIGUOUS),
            (Invalid::RouteToUnknownCluster, PXL_REASON_ROUTE_TO_UNKNOWN_CLUSTER),
            (Invalid::NoList, PXL_REASON_NO_LIST),
            (Invalid::NotForwarded, PXL_REASON_NOT_FORWARDED),
        ];
        for (core, ours) in reasons {
            assert_eq!(State::Invalid(core).reason_number(), ours as u8, "{core:?}");
        }
        assert_eq!(EndpointFlags::MAY_TLS, PXL_ENDPOINT_MAY_TLS as u8);
    }

    #[test]
    fn every_status_has_its_own_name_and_the_text_ends_with_nul() {
        for (code, name) in NAMES {
            assert_eq!(format!("{code:?}"), name.to_str().expect("ASCII"));
            let text = pxl_status_name(code as pxl_status);
            // SAFETY: a static text with its NUL.
            let read = unsafe { std::slice::from_raw_parts(text.ptr.cast::<u8>(), text.len + 1) };
            assert_eq!(read, name.to_bytes_with_nul());
        }
        assert_eq!(pxl_status_name(77).len, "unknown status".len());
    }
}
