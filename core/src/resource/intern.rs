// SPDX-License-Identifier: Apache-2.0
//! One copy of every string that many resources share: zones, workloads, host names.

use std::sync::Arc;

use hashbrown::HashSet;

/// Hands out shared strings and drops those nobody holds any more.
#[derive(Debug, Default)]
pub(super) struct Interner {
    strings: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Interner {
    const FIRST_SWEEP: usize = 1024;

    pub(super) fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(found) = self.strings.get(text) {
            return Arc::clone(found);
        }
        if self.strings.len() >= self.sweep_at.max(Self::FIRST_SWEEP) {
            self.strings.retain(|string| Arc::strong_count(string) > 1);
            self.sweep_at = 2 * self.strings.len();
        }
        let string: Arc<str> = text.into();
        self.strings.insert(Arc::clone(&string));
        string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_one_string_and_unused_ones_go() {
        let mut interner = Interner::default();
        let kept = interner.intern("kept");
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
        for n in 0..5000 {
            interner.intern(&n.to_string());
        }
        assert!(interner.strings.len() <= Interner::FIRST_SWEEP + 1);
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
    }
}
