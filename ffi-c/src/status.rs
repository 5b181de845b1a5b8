// SPDX-License-Identifier: Apache-2.0
//! Status codes: numbered in families with gaps, never reused.

use proxyless_core::Code;

use crate::types::pxl_str;

/// Result of a fallible function: 0 is success, above 0 is fine but nothing new, below 0 is an error.
pub type pxl_status = i32;

/// Success.
pub const PXL_OK: pxl_status = 0;
/// Nothing changed in time.
pub const PXL_TIMEOUT: pxl_status = 1;
/// The client was shut down.
pub const PXL_SHUTDOWN: pxl_status = 2;
/// A pointer that must not be NULL is.
pub const PXL_ERR_NULL: pxl_status = -1;
/// A text is not UTF-8.
pub const PXL_ERR_UTF8: pxl_status = -2;
/// A value is outside of its range.
pub const PXL_ERR_RANGE: pxl_status = -3;
/// A setting is missing, unknown or has a value that cannot be used.
pub const PXL_ERR_CONFIG: pxl_status = -10;
/// A target does not follow the grammar.
pub const PXL_ERR_TARGET: pxl_status = -11;
/// The target is not watched.
pub const PXL_ERR_NOT_WATCHED: pxl_status = -12;
/// The process has forked since the client was opened.
pub const PXL_ERR_FORKED: pxl_status = -20;
/// The operating system refused something.
pub const PXL_ERR_SYSTEM: pxl_status = -21;
/// A defect of the library; it was contained.
pub const PXL_ERR_PANIC: pxl_status = -30;

pub(crate) fn of_code(code: Code) -> pxl_status {
    match code {
        Code::Config => PXL_ERR_CONFIG,
        Code::Target => PXL_ERR_TARGET,
        Code::Shutdown => PXL_SHUTDOWN,
        Code::Forked => PXL_ERR_FORKED,
        Code::System | Code::Malformed => PXL_ERR_SYSTEM,
        _ => PXL_ERR_SYSTEM,
    }
}

/// The name of a status, for instance `PXL_ERR_CONFIG`. Static.
#[unsafe(no_mangle)]
pub extern "C" fn pxl_status_name(status: pxl_status) -> pxl_str {
    pxl_str::of(match status {
        PXL_OK => "PXL_OK",
        PXL_TIMEOUT => "PXL_TIMEOUT",
        PXL_SHUTDOWN => "PXL_SHUTDOWN",
        PXL_ERR_NULL => "PXL_ERR_NULL",
        PXL_ERR_UTF8 => "PXL_ERR_UTF8",
        PXL_ERR_RANGE => "PXL_ERR_RANGE",
        PXL_ERR_CONFIG => "PXL_ERR_CONFIG",
        PXL_ERR_TARGET => "PXL_ERR_TARGET",
        PXL_ERR_NOT_WATCHED => "PXL_ERR_NOT_WATCHED",
        PXL_ERR_FORKED => "PXL_ERR_FORKED",
        PXL_ERR_SYSTEM => "PXL_ERR_SYSTEM",
        PXL_ERR_PANIC => "PXL_ERR_PANIC",
        _ => "unknown status",
    })
}

/// State of a target: no answer yet.
pub const PXL_STATE_PENDING: u8 = 0;
/// State of a target: the control plane has no such service.
pub const PXL_STATE_UNKNOWN: u8 = 1;
/// State of a target: the list, possibly empty.
pub const PXL_STATE_READY: u8 = 2;
/// State of a target: it was there and has gone.
pub const PXL_STATE_REMOVED: u8 = 3;
/// State of a target: it must not be widened into something else; `reason` and `detail` say why.
pub const PXL_STATE_INVALID: u8 = 4;

/// Reason of `PXL_STATE_INVALID`: no DestinationRule defines the subset.
pub const PXL_REASON_UNDEFINED_SUBSET: u8 = 1;
/// Reason of `PXL_STATE_INVALID`: the service has no such port.
pub const PXL_REASON_NO_SUCH_PORT: u8 = 2;
/// Reason of `PXL_STATE_INVALID`: TLS is demanded, which this client does not originate.
pub const PXL_REASON_TLS_REQUIRED: u8 = 3;
/// Reason of `PXL_STATE_INVALID`: several hosts match the name.
pub const PXL_REASON_AMBIGUOUS: u8 = 4;
/// Reason of `PXL_STATE_INVALID`: the route leads to a cluster that is not listed.
pub const PXL_REASON_ROUTE_TO_UNKNOWN_CLUSTER: u8 = 5;
/// Reason of `PXL_STATE_INVALID`: there is no endpoint list by nature.
pub const PXL_REASON_NO_LIST: u8 = 6;
/// Reason of `PXL_STATE_INVALID`: every request is answered by the route itself (a direct response, a redirect).
pub const PXL_REASON_NOT_FORWARDED: u8 = 7;

/// Flag of a target: part of its route leads nowhere; the rest carries the traffic.
pub const PXL_TARGET_PARTIAL: u8 = 1;
/// Flag of an endpoint: it may take mutual TLS.
pub const PXL_ENDPOINT_MAY_TLS: u8 = 1;
