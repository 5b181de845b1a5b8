// SPDX-License-Identifier: Apache-2.0
//! Handles are numbers that are never used twice, not pointers: a stale one is an exception, never a crash.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use jni::sys::jlong;
use proxyless_core::Client;

use crate::Failure;

#[derive(Default)]
struct Table {
    clients: HashMap<jlong, Arc<Client>>,
    last: jlong,
}

static TABLE: LazyLock<Mutex<Table>> = LazyLock::new(Mutex::default);

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn insert(client: Client) -> jlong {
    let mut table = table();
    table.last += 1;
    let handle = table.last;
    table.clients.insert(handle, Arc::new(client));
    handle
}

pub(crate) fn get(handle: jlong) -> Result<Arc<Client>, Failure> {
    table().clients.get(&handle).cloned().ok_or(Failure::StaleHandle(handle))
}

pub(crate) fn remove(handle: jlong) -> Result<Arc<Client>, Failure> {
    table().clients.remove(&handle).ok_or(Failure::StaleHandle(handle))
}
