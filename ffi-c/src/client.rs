// SPDX-License-Identifier: Apache-2.0
//! The client family.

use std::time::Duration;

use proxyless_core::{
    Client,
    config::{Config, Sources},
    store::Wake,
};

use crate::{
    guard::{Refusal, borrow, out, run, text, value},
    snapshot::pxl_snapshot,
    status::{pxl_status, pxl_status_code::*},
    types::{pxl_buf, pxl_error, pxl_str},
};

/// A handle to a control plane. Handles opened with equal settings share one stream.
#[derive(Debug)]
pub struct pxl_client {
    inner: Client,
}

/// Opens a client. Returns before anything is connected: an unreachable control plane is not an error. Blocks only for the files that
/// the settings name.
///
/// `options_json` is a JSON object (or empty); its keys are those that `proxyless config` lists, unknown ones are an error.
/// Settings that it lacks come from the environment.
///
/// Ownership: the client is the caller's until `pxl_client_free`.
/// Errors: `PXL_ERR_CONFIG`, `PXL_ERR_SYSTEM`.
///
/// # Safety
/// The text is readable; `out` and `err` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_client_open(
    options_json: pxl_str,
    out_client: *mut *mut pxl_client,
    err: *mut pxl_error,
) -> pxl_status {
    // SAFETY: the pointers are as this function demands.
    unsafe {
        run(err, || {
            let place = out(out_client, "out_client")?;
            let sources = Sources {
                document: text(options_json, "options_json")?.to_owned(),
                environment: std::env::vars_os()
                    .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                    .collect(),
                ..Sources::default()
            };
            let client = Client::open(Config::load(&sources)?)?;
            *place = Box::into_raw(Box::new(pxl_client { inner: client }));
            Ok(())
        })
    }
}

/// Watches a target: `host[:port][/subset]` or `cluster:<name>`. Watching it again changes nothing. Does not block; snapshots that are
/// taken from now on have the target, `PXL_STATE_PENDING` until there is an answer.
///
/// Errors: `PXL_ERR_TARGET`, `PXL_SHUTDOWN`, `PXL_ERR_FORKED`, `PXL_ERR_SYSTEM` (the client's thread is gone).
///
/// # Safety
/// `client` is NULL or open; the text is readable; `err` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_client_watch(client: *const pxl_client, target: pxl_str, err: *mut pxl_error) -> pxl_status {
    // SAFETY: the pointers are as this function demands.
    unsafe { run(err, || Ok(borrow(client, "client")?.inner.watch(text(target, "target")?)?)) }
}

/// Stops watching a target, by the spelling that was watched. One that is not watched is fine. Does not block; soon after, unless
/// another handle watches the target, new snapshots lack it.
///
/// Errors: `PXL_SHUTDOWN`, `PXL_ERR_FORKED`.
///
/// # Safety
/// As `pxl_client_watch`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_client_unwatch(client: *const pxl_client, target: pxl_str, err: *mut pxl_error) -> pxl_status {
    // SAFETY: the pointers are as this function demands.
    unsafe { run(err, || Ok(borrow(client, "client")?.inner.unwatch(text(target, "target")?)?)) }
}

/// The epoch of the newest snapshot: 0 before anything is known, one more with every change. Wait-free. 0 for NULL and after a fork.
///
/// # Safety
/// `client` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_client_epoch(client: *const pxl_client) -> u64 {
    value(0, || {
        // SAFETY: NULL or open, by this function's contract.
        let client = unsafe { client.as_ref() }.filter(|client| client.inner.check_process().is_ok());
        client.map_or(0, |client| client.inner.epoch())
    })
}

/// Blocks until the epoch is above `since` or `timeout_ms` have passed (negative: no limit).
///
/// Errors: `PXL_TIMEOUT` (the epoch is written all the same), `PXL_SHUTDOWN`, `PXL_ERR_FORKED`, `PXL_ERR_SYSTEM` (the client's thread
/// is gone).
///
/// # Safety
/// `client` is NULL or open; `out_epoch` and `err` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_client_wait(
    client: *const pxl_client,
    since: u64,
    timeout_ms: i64,
    out_epoch: *mut u64,
    err: *mut pxl_error,
) -> pxl_status {
    // SAFETY: the pointers are as this function demands.
    unsafe {
        run(err, || {
            let place = out(out_epoch, "out_epoch")?;
            let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
            match borrow(client, "client")?.inner.wait(since, timeout)? {
                Wake::Changed(epoch) => *place = epoch,
                Wake::TimedOut(epoch) => {
                    *place = epoch;
                    return Err(Refusal::new(PXL_TIMEOUT, "nothing changed in time"));
                }
                Wake::Stopped => return Err(Refusal::new(PXL_SHUTDOWN, "the client is shut down")),
            }
            Ok(())
        })
    }
}

/// Takes the newest snapshot. Does not block.
///
/// Ownership: the snapshot is the caller's until `pxl_snapshot_free`; it may outlive the client.
/// Errors: `PXL_ERR_FORKED`.
///
/// # Safety
/// `client` is NULL or open; `out_snapshot` and `err` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_client_snapshot(
    client: *const pxl_client,
    out_snapshot: *mut *mut pxl_snapshot,
    err: *mut pxl_error,
) -> pxl_status {
    // SAFETY: the pointers are as this function demands.
    unsafe {
        run(err, || {
            let place = out(out_snapshot, "out_snapshot")?;
            let client = &borrow(client, "client")?.inner;
            client.check_process()?;
            *place = pxl_snapshot::owned(client.snapshot());
            Ok(())
        })
    }
}

/// For how many milliseconds there has been no stream in sync: also before the first one. -1 while there is one. INT64_MAX for NULL
/// and after a fork: that handle will never be in sync. Lists served meanwhile are the last known good.
///
/// # Safety
/// `client` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_client_stale_ms(client: *const pxl_client) -> i64 {
    value(i64::MAX, || {
        // SAFETY: NULL or open, by this function's contract.
        match unsafe { client.as_ref() }.filter(|client| client.inner.check_process().is_ok()) {
            Some(client) => client.inner.stale_for().map_or(-1, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
            None => i64::MAX,
        }
    })
}

/// Everything worth knowing, as JSON, for people and for debugging; its shape is not promised. Blocks until the client's thread has
/// answered: milliseconds, 5 s at most; without an answer in time it succeeds with empty `servers`.
///
/// Ownership: the text is the caller's until `pxl_buf_free`.
/// Errors: `PXL_SHUTDOWN`, `PXL_ERR_FORKED`, `PXL_ERR_SYSTEM` (the client's thread is gone).
///
/// # Safety
/// `client` is NULL or open; `out_json` and `err` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_client_describe(client: *const pxl_client, out_json: *mut pxl_buf, err: *mut pxl_error) -> pxl_status {
    // SAFETY: the pointers are as this function demands.
    unsafe {
        run(err, || {
            let place = out(out_json, "out_json")?;
            *place = pxl_buf::of(borrow(client, "client")?.inner.describe()?.to_string());
            Ok(())
        })
    }
}

/// Wakes every waiter of this client with `PXL_SHUTDOWN` and takes its watches back. Does not block. Safe beside any other call but
/// `pxl_client_free`; any number of times; NULL is fine.
///
/// # Safety
/// `client` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_client_shutdown(client: *const pxl_client) {
    value((), || {
        // SAFETY: NULL or open, by this function's contract.
        if let Some(client) = unsafe { client.as_ref() } {
            client.inner.shutdown();
        }
    });
}

/// Frees a client, once. No other call on it may be in flight or follow; to end those in flight, `pxl_client_shutdown` comes first.
/// Does not block. NULL is fine. Snapshots live on.
///
/// # Safety
/// `client` is NULL, or open and not used by anyone else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_client_free(client: *mut pxl_client) {
    value((), || {
        if !client.is_null() {
            // SAFETY: made by `pxl_client_open` and given back once, by this function's contract.
            drop(unsafe { Box::from_raw(client) });
        }
    });
}
