// SPDX-License-Identifier: Apache-2.0
//! What following a target's chain comes to.

use std::sync::Arc;

use super::Need;
use crate::{
    model::{State, Traffic},
    select::List,
};

/// An answer with everything that a reader is told.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) resolved: Arc<str>,
    pub(super) state: State,
    pub(super) detail: String,
    pub(super) partial: bool,
    pub(super) list: Arc<List>,
    pub(super) traffic: Option<Arc<Traffic>>,
}

impl Settled {
    pub(super) fn without_list(state: State, resolved: Arc<str>, detail: String) -> Self {
        Self { resolved, state, detail, partial: false, list: Arc::default(), traffic: None }
    }
}

/// How far a chain leads.
#[derive(Debug)]
pub(super) enum Answer {
    /// To an answer.
    Complete(Settled),
    /// To an answer that may be the middle of a change: an older one stands in for a while.
    Doubtful(Settled),
    /// To something that has not been answered yet.
    Waiting,
}

/// An answer with what it depends on.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) needs: Vec<Need>,
    pub(super) answer: Answer,
}
