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
    /// Until when a choice of the port or of the name waits for answers.
    pub(super) choice_deadline: Option<Time>,
    /// What was said about a name that means no host, and after how many changes of the directory: all hosts are looked at for it.
    pub(super) hint: Option<(u64, String)>,
    /// For the event ring.
    pub(super) notes: Vec<String>,
    /// Until when an old answer stands in for an incomplete new one.
    held_until: Option<Time>,
    said: State,
    was_ready: bool,
    entry_published: bool,
    /// The last answer with a list: what stands in.
    served: Option<Settled>,
}

impl Watched {
    pub(super) fn new(target: &Target, meant: Target) -> Self {
        Self {
            name: target.to_string().into(),
            meant,
            watchers: 1,
            needs: Vec::new(),
            port: None,
            choice_deadline: None,
            hint: None,
            notes: Vec::new(),
            held_until: None,
            said: State::Pending,
            was_ready: false,
            entry_published: false,
            served: None,
        }
    }

    pub(super) fn has_list(&self) -> bool {
        self.said == State::Ready
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        [self.choice_deadline, self.held_until].into_iter().flatten().min()
    }

    /// Publishes an answer or lets the old one stand; returns whether the old one stands in. `reasons` say why there may be no
    /// answer: what goes wrong, and what has not been answered.
    pub(super) fn accept(
        &mut self,
        answer: Answer,
        now: Time,
        rules: &Rules,
        reasons: [&str; 2],
        changes: &mut Changes,
        slot: usize,
    ) -> bool {
        let [reason, unanswered] = reasons;
        let has_list = self.has_list();
        match answer {
            Answer::Complete(settled) => self.say(settled, changes, slot),
            Answer::Waiting if !self.entry_published || self.said == State::Pending => {
                let pending = Settled::without_list(State::Pending, "".into(), reason.into());
                self.say(pending, changes, slot);
            }
            // Last known good: an answer that does not come does not take away what is served.
            Answer::Waiting => {
                self.held_until = None;
                if has_list && !unanswered.is_empty() {
                    self.stand_in(format!("the last list stands; not answered yet: {unanswered}"), changes, slot);
                }
                return has_list;
            }
            Answer::Doubtful(settled) => {
                let until = *self.held_until.get_or_insert(now + rules.patience);
                if has_list && now < until {
                    let patience = rules.patience.as_secs();
                    self.stand_in(format!("the last list stands for {patience} s at most: {}", settled.detail), changes, slot);
                    return true;
                }
                self.say(settled, changes, slot);
            }
        }
        self.held_until = None;
        false
    }

    /// The old answer again, with the reason why it is old.
    fn stand_in(&mut self, detail: String, changes: &mut Changes, slot: usize) {
        if let Some(served) = &self.served {
            let settled = Settled { detail, ..served.clone() };
            changes.entries.push((slot, self.entry(settled)));
        }
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
        self.served = (settled.state == State::Ready).then(|| settled.clone());
        changes.entries.push((slot, self.entry(settled)));
    }

    fn entry(&self, settled: Settled) -> Entry {
        Entry {
            target: Arc::clone(&self.name),
            resolved: settled.resolved,
            state: settled.state,
            detail: settled.detail.into(),
            partial: settled.partial,
            list: settled.list,
            traffic: settled.traffic,
            changed_at: 0,
        }
    }
}
