// SPDX-License-Identifier: Apache-2.0
//! The snapshot family: borrowed views into an immutable snapshot. A handle is the shared snapshot itself; nothing is copied.

use std::{mem::offset_of, ptr, sync::Arc};

use proxyless_core::{
    model::Endpoint,
    store::{Entry, Snapshot},
};

use crate::{
    guard::{Refusal, borrow, out, run, text, value},
    status::{pxl_status, pxl_status_code::*, pxl_target_flag::PXL_TARGET_PARTIAL},
    types::{pxl_buf, pxl_endpoint, pxl_error, pxl_extension, pxl_locality, pxl_str, pxl_target},
};

// Endpoints are handed out as they are stored: both structs must be one.
const _: () = {
    assert!(size_of::<pxl_endpoint>() == size_of::<Endpoint>() && align_of::<pxl_endpoint>() == align_of::<Endpoint>());
    assert!(offset_of!(pxl_endpoint, port) == offset_of!(Endpoint, port));
    assert!(offset_of!(pxl_endpoint, family) == offset_of!(Endpoint, family));
    assert!(offset_of!(pxl_endpoint, health) == offset_of!(Endpoint, health));
    assert!(offset_of!(pxl_endpoint, priority) == offset_of!(Endpoint, priority));
    assert!(offset_of!(pxl_endpoint, flags) == offset_of!(Endpoint, flags));
    assert!(offset_of!(pxl_endpoint, locality) == offset_of!(Endpoint, locality));
    assert!(offset_of!(pxl_endpoint, weight) == offset_of!(Endpoint, weight));
    assert!(offset_of!(pxl_endpoint, extension) == offset_of!(Endpoint, extension));
};

/// Every watched target at one epoch. Immutable.
#[derive(Debug)]
pub struct pxl_snapshot {
    inner: Arc<Snapshot>,
}

impl pxl_snapshot {
    pub(crate) fn owned(inner: Arc<Snapshot>) -> *mut Self {
        Box::into_raw(Box::new(Self { inner }))
    }

    fn entry(&self, target: &str) -> Result<&Entry, Refusal> {
        let found = self.inner.get(target);
        found.map(|entry| &**entry).ok_or_else(|| Refusal::new(PXL_ERR_NOT_WATCHED, format!("{target} is not watched")))
    }
}

/// The epoch of a snapshot. 0 for NULL.
///
/// # Safety
/// `snapshot` is NULL or not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_snapshot_epoch(snapshot: *const pxl_snapshot) -> u64 {
    // SAFETY: NULL or alive, by this function's contract.
    value(0, || unsafe { snapshot.as_ref() }.map_or(0, |snapshot| snapshot.inner.epoch()))
}

/// What the snapshot says about a target, by the spelling that was watched or its canonical form.
///
/// Life time: everything in the result is borrowed from the snapshot.
/// Errors: `PXL_ERR_NOT_WATCHED`.
///
/// # Safety
/// `snapshot` is NULL or not freed; the text is readable; `out_target` and `err` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_snapshot_target(
    snapshot: *const pxl_snapshot,
    target: pxl_str,
    out_target: *mut pxl_target,
    err: *mut pxl_error,
) -> pxl_status {
    // SAFETY: the pointers are as this function demands.
    unsafe {
        run(err, || {
            let place = out(out_target, "out_target")?;
            let entry = borrow(snapshot, "snapshot")?.entry(text(target, "target")?)?;
            let (endpoints, order) = (entry.list.endpoints(), entry.list.order());
            *place = pxl_target {
                state: entry.state.number(),
                reason: entry.state.reason_number(),
                flags: if entry.partial { PXL_TARGET_PARTIAL as u8 } else { 0 },
                endpoints: if endpoints.is_empty() { ptr::null() } else { endpoints.as_ptr().cast() },
                endpoint_count: endpoints.len(),
                order: if order.is_empty() { ptr::null() } else { order.as_ptr() },
                order_count: order.len(),
                changed_at: entry.changed_at,
                resolved: pxl_str::of(&entry.resolved),
                detail: pxl_str::of(&entry.detail),
            };
            Ok(())
        })
    }
}

/// The locality that `pxl_endpoint.locality` of this target's endpoints means.
///
/// Life time: as `pxl_snapshot_target`.
/// Errors: `PXL_ERR_NOT_WATCHED`, `PXL_ERR_RANGE`.
///
/// # Safety
/// As `pxl_snapshot_target`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_snapshot_locality(
    snapshot: *const pxl_snapshot,
    target: pxl_str,
    index: u16,
    out_locality: *mut pxl_locality,
    err: *mut pxl_error,
) -> pxl_status {
    // SAFETY: the pointers are as this function demands.
    unsafe {
        run(err, || {
            let place = out(out_locality, "out_locality")?;
            let entry = borrow(snapshot, "snapshot")?.entry(text(target, "target")?)?;
            let locality = entry.list.localities().get(usize::from(index)).ok_or_else(|| outside("locality"))?;
            *place = pxl_locality {
                region: pxl_str::of(&locality.region),
                zone: pxl_str::of(&locality.zone),
                sub_zone: pxl_str::of(&locality.sub_zone),
            };
            Ok(())
        })
    }
}

/// The extension that `pxl_endpoint.extension` of this target's endpoints means (not 0).
///
/// Life time: as `pxl_snapshot_target`.
/// Errors: `PXL_ERR_NOT_WATCHED`, `PXL_ERR_RANGE`.
///
/// # Safety
/// As `pxl_snapshot_target`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_snapshot_extension(
    snapshot: *const pxl_snapshot,
    target: pxl_str,
    extension: u32,
    out_extension: *mut pxl_extension,
    err: *mut pxl_error,
) -> pxl_status {
    // SAFETY: the pointers are as this function demands.
    unsafe {
        run(err, || {
            let place = out(out_extension, "out_extension")?;
            let entry = borrow(snapshot, "snapshot")?.entry(text(target, "target")?)?;
            let index = extension.checked_sub(1).ok_or_else(|| outside("extension"))?;
            let found = entry.list.extensions().get(index as usize).ok_or_else(|| outside("extension"))?;
            *place = pxl_extension { hostname: pxl_str::of(&found.hostname), workload: pxl_str::of(&found.workload) };
            Ok(())
        })
    }
}

fn outside(what: &str) -> Refusal {
    Refusal::new(PXL_ERR_RANGE, format!("the target has no such {what}"))
}

/// The routes of a target and the policies of the clusters it reaches, as JSON in the words of xDS: what the control plane asks of
/// those who make the calls. Nothing of it is enforced here. `null` while there is nothing to say.
///
/// Ownership: the text is the caller's until `pxl_buf_free`.
/// Errors: `PXL_ERR_NOT_WATCHED`.
///
/// # Safety
/// As `pxl_snapshot_target`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_snapshot_traffic(
    snapshot: *const pxl_snapshot,
    target: pxl_str,
    out_json: *mut pxl_buf,
    err: *mut pxl_error,
) -> pxl_status {
    // SAFETY: the pointers are as this function demands.
    unsafe {
        run(err, || {
            let place = out(out_json, "out_json")?;
            let entry = borrow(snapshot, "snapshot")?.entry(text(target, "target")?)?;
            let json = entry.traffic.as_ref().map_or_else(|| "null".to_owned(), |traffic| traffic.to_json().to_string());
            *place = pxl_buf::of(json);
            Ok(())
        })
    }
}

/// Frees a snapshot, once, and ends everything borrowed from it. NULL is fine.
///
/// # Safety
/// `snapshot` is NULL, or came from `pxl_client_snapshot` and was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pxl_snapshot_free(snapshot: *mut pxl_snapshot) {
    value((), || {
        if !snapshot.is_null() {
            // SAFETY: made by `pxl_snapshot::owned` and given back once, by this function's contract.
            drop(unsafe { Box::from_raw(snapshot) });
        }
    });
}
