// SPDX-License-Identifier: Apache-2.0
//! One copy of what many resources share: zones, workloads, host names, policies.

use std::{borrow::Borrow, hash::Hash, sync::Arc};

use hashbrown::HashSet;

/// Hands out shared values and drops those nobody holds any more.
#[derive(Debug)]
pub(super) struct Interner<T: ?Sized> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self { values: HashSet::default(), sweep_at: 0 }
    }
}

impl<T: ?Sized + Eq + Hash> Interner<T> {
    const FIRST_SWEEP: usize = 1024;

    pub(super) fn intern(&mut self, value: impl Borrow<T> + Into<Arc<T>>) -> Arc<T> {
        if let Some(found) = self.values.get(value.borrow()) {
            return Arc::clone(found);
        }
        if self.values.len() >= self.sweep_at.max(Self::FIRST_SWEEP) {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = 2 * self.values.len();
        }
        let value: Arc<T> = value.into();
        self.values.insert(Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_one_string_and_unused_ones_go() {
        let mut interner = Interner::<str>::default();
        let kept = interner.intern("kept");
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
        for n in 0..5000 {
            interner.intern(n.to_string());
        }
        assert!(interner.values.len() <= Interner::<str>::FIRST_SWEEP + 1);
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
    }
}
