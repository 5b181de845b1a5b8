// SPDX-License-Identifier: Apache-2.0
//! Who watches what: all that a driver which starts again must be told.

use std::{collections::HashMap, sync::Arc};

use super::Command;
use crate::target::Target;

/// A spelling for every watch of a target.
#[derive(Debug, Default)]
pub(crate) struct Ledger(HashMap<Arc<Target>, Vec<Arc<str>>>);

impl Ledger {
    pub(super) fn note(&mut self, command: &Command) {
        match command {
            Command::Watch { target, spelling } => self.0.entry(Arc::clone(target)).or_default().push(Arc::clone(spelling)),
            Command::Unwatch { target, spelling } => {
                let Some(spellings) = self.0.get_mut(target) else { return };
                if let Some(at) = spellings.iter().position(|other| other == spelling) {
                    spellings.swap_remove(at);
                }
                if spellings.is_empty() {
                    self.0.remove(target);
                }
            }
            Command::Describe { .. } | Command::List { .. } => {}
            #[cfg(test)]
            Command::Panic => {}
        }
    }

    /// Every watch that stands.
    pub(super) fn watches(&self) -> impl Iterator<Item = Command> {
        let one = |target: &Arc<Target>, spelling: &Arc<str>| Command::Watch {
            target: Arc::clone(target),
            spelling: Arc::clone(spelling),
        };
        self.0.iter().flat_map(move |(target, spellings)| spellings.iter().map(move |spelling| one(target, spelling)))
    }
}
