// SPDX-License-Identifier: Apache-2.0
//! The primitives that the store stands on; with `--cfg proxyless_loom` those of loom, which tries every order of steps.

#[cfg(not(proxyless_loom))]
mod chosen {
    pub(in crate::store) use std::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicU64};

    pub(in crate::store) use arc_swap::ArcSwap as Current;
}

#[cfg(proxyless_loom)]
mod chosen {
    use std::sync::{Arc, PoisonError};

    pub(in crate::store) use loom::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicU64};

    /// A cell that is read and written as a whole, which is what `ArcSwap` promises.
    #[derive(Debug, Default)]
    pub(in crate::store) struct Current<T>(Mutex<Arc<T>>);

    impl<T> Current<T> {
        pub(in crate::store) fn load_full(&self) -> Arc<T> {
            Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }

        pub(in crate::store) fn store(&self, value: Arc<T>) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
        }
    }
}

pub(super) use chosen::{AtomicU64, Condvar, Current, Mutex, MutexGuard};
