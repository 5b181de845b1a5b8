// SPDX-License-Identifier: Apache-2.0
//! One watched target: what it depends on, what was last said about it, what it waits for.

use std::sync::Arc;

use super::{
    Changes, Need, Rules,
    answer::{Answer, Settled},
};
use crate::{model::State, observe::Level, protocol::Time, store::Entry, target::Target};

#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: Arc<str>,
    /// The target after the explicit map.
    pub(super) meant: Target,
    pub(super) watchers: usize,
    pub(super) needs: Vec<Need>,
    /// The port chosen for a target without one; kept until CDS changes for the host.
    pub(super) port: Option<u16>,
    /// Until when the choice waits for routes.
    pub(super) port_deadline: Option<Time>,
    /// Until when an old answer stands in for an incomplete new one.
    held_until: Option<Time>,
    said: State,
    was_ready: bool,
    entry_published: bool,
}

impl Watched {
    pub(super) fn new(target: &Target, meant: Target) -> Self {
        Self {
            name: target.to_string().into(),
            meant,
            watchers: 1,
            needs: Vec::new(),
            port: None,
            port_deadline: None,
            held_until: None,
            said: State::Pending,
            was_ready: false,
            entry_published: false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        [self.port_deadline, self.held_until].into_iter().flatten().min()
    }

    /// Publishes an answer or lets the old one stand; returns whether the old one stands in.
    pub(super) fn accept(
        &mut self,
        answer: Answer,
        now: Time,
        rules: &Rules,
        unreachable: &str,
        changes: &mut Changes,
        slot: usize,
    ) -> bool {
        let has_list = self.said == State::Ready;
        match answer {
            Answer::Complete(settled) => self.say(settled, changes, slot),
            Answer::Waiting if !self.entry_published || self.said == State::Pending => {
                let pending = Settled::without_list(State::Pending, "".into(), unreachable.into());
                self.say(pending, changes, slot);
            }
            // Last known good: an answer that does not come does not take away what is served.
            Answer::Waiting => {
                self.held_until = None;
                return has_list;
            }
            Answer::Doubtful(settled) => {
                let until = *self.held_until.get_or_insert(now + rules.patience);
                if has_list && now < until {
                    return true;
                }
                self.say(settled, changes, slot);
            }
        }
        self.held_until = None;
        false
    }

    fn say(&mut self, mut settled: Settled, changes: &mut Changes, slot: usize) {
        if settled.state == State::Unknown && (self.was_ready || self.said == State::Removed) {
            settled.state = State::Removed;
        }
        self.was_ready |= settled.state == State::Ready;
        if self.said != settled.state {
            let level = if matches!(settled.state, State::Invalid(_) | State::Removed) { Level::Warn } else { Level::Info };
            let detail = if settled.detail.is_empty() { String::new() } else { format!(": {}", settled.detail) };
            changes.notes.push((level, format!("{} is {}{detail}", self.name, settled.state)));
        }
        self.said = settled.state;
        self.entry_published = true;
        changes.entries.push((
            slot,
            Entry {
                target: Arc::clone(&self.name),
                resolved: settled.resolved,
                state: settled.state,
                detail: settled.detail.into(),
                partial: settled.partial,
                list: settled.list,
                traffic: settled.traffic,
                changed_at: 0,
            },
        ));
    }
}
