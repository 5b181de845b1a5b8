// SPDX-License-Identifier: Apache-2.0
//! The state machine: inputs, the fate of one resource, timers, reconnecting.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Decode, Effect, Gone, Kind, Lost, ResourceStatus, Time, TypeStatus,
    types::{Entry, Held, Name, Pending, REQUERIES, Rejected, TypeState},
};
use crate::backoff::{Backoff, Jitter};

/// Which of the two stream methods is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// `DeltaAggregatedResources`.
    Delta,
    /// `StreamAggregatedResources`.
    Sotw,
}

/// What an engine is told at birth.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Variant of the first stream; delta falls back to state of the world when the server answers Unimplemented.
    pub variant: Variant,
    /// Encoded `envoy.config.core.v3.Node`.
    pub node: Bytes,
    /// How long a name may stay unanswered before it counts as absent.
    pub resource_timeout: Duration,
    /// How long a stream may stay without any response before it is given up.
    pub first_response_timeout: Duration,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// Seed of the jitter.
    pub seed: u64,
}

#[derive(Debug)]
struct Stream {
    opened_at: Time,
    responses: u64,
    node_sent: bool,
    first_response_deadline: Option<Time>,
}

/// The ADS client as a value. See the module documentation for the rules of use.
pub struct Engine<D: Decode> {
    pub(super) settings: Settings,
    pub(super) types: [TypeState; 4],
    decoder: D,
    stream: Option<Stream>,
    failures: u32,
    jitter: Jitter,
    deadlines: VecDeque<(Time, Kind, Arc<str>)>,
    /// Running number of responses, over all streams.
    pub(super) responses: u64,
}

impl<D: Decode> std::fmt::Debug for Engine<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("stream", &self.stream).field("failures", &self.failures).finish_non_exhaustive()
    }
}

impl<D: Decode> Engine<D> {
    /// An engine without subscriptions and without a stream.
    pub fn new(settings: Settings, decoder: D) -> Self {
        let jitter = Jitter::new(settings.seed);
        Self {
            settings,
            types: Default::default(),
            decoder,
            stream: None,
            failures: 0,
            jitter,
            deadlines: VecDeque::new(),
            responses: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn decoder(&self) -> &D {
        &self.decoder
    }

    /// The variant that the next stream must speak.
    pub fn variant(&self) -> Variant {
        self.settings.variant
    }

    /// At least one response has arrived on the current stream.
    pub fn is_synced(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.responses > 0)
    }

    /// Asks for every resource of a kind. Takes effect with the next `flush`.
    pub fn subscribe_all(&mut self, kind: Kind) {
        let state = &mut self.types[kind.index()];
        state.changed |= !state.wildcard;
        state.wildcard = true;
    }

    /// Asks for one resource. A set: asking twice is asking once. Takes effect with the next `flush`.
    pub fn subscribe(&mut self, kind: Kind, name: &Arc<str>) {
        let state = &mut self.types[kind.index()];
        if state.dropped.remove(&**name) {
            state.requery.insert(Name(Arc::clone(name)), REQUERIES);
        }
        let entry = state.entries.entry(Name(Arc::clone(name))).or_default();
        if !entry.subscribed {
            entry.subscribed = true;
            state.changed = true;
            state.pending.insert(Name(Arc::clone(name)), Pending::Add);
        }
    }

    /// No longer asks for one resource. What is held is kept until the next `flush`, so that asking again at once loses nothing.
    pub fn unsubscribe(&mut self, kind: Kind, name: &str) {
        let state = &mut self.types[kind.index()];
        let Some(entry) = state.entries.get_mut(name).filter(|entry| entry.subscribed) else { return };
        entry.subscribed = false;
        entry.deadline = None;
        state.changed = true;
        state.pending.insert(Name(name.into()), Pending::Drop);
    }

    /// The transport has a stream. States every subscription.
    pub fn on_open(&mut self, now: Time, out: &mut Vec<Effect<D::Value>>) {
        self.stream = Some(Stream { opened_at: now, responses: 0, node_sent: false, first_response_deadline: None });
        self.deadlines.clear();
        for state in &mut self.types {
            state.on_new_stream();
        }
        self.flush(now, out);
    }

    /// A message arrived.
    pub fn on_response(&mut self, now: Time, message: Bytes, out: &mut Vec<Effect<D::Value>>) {
        let Some(stream) = &mut self.stream else { return };
        stream.responses += 1;
        stream.first_response_deadline = None;
        self.failures = 0;
        self.responses += 1;
        let handled = match self.settings.variant {
            Variant::Sotw => self.on_sotw(now, message, out),
            Variant::Delta => self.on_delta(now, message, out),
        };
        if let Err(error) = handled {
            out.push(Effect::Close(format!("response does not decode: {error}")));
        }
    }

    /// The stream, or the attempt to open one, has ended.
    pub fn on_lost(&mut self, now: Time, lost: &Lost, out: &mut Vec<Effect<D::Value>>) {
        let stream = self.stream.take();
        self.deadlines.clear();
        let useful = stream.as_ref().is_some_and(|stream| stream.responses > 0);
        if lost.unimplemented && !useful && self.settings.variant == Variant::Delta {
            self.settings.variant = Variant::Sotw;
            out.push(Effect::Connect { after: Duration::ZERO });
            return;
        }
        let age = stream.map_or(Duration::ZERO, |stream| now.saturating_sub(stream.opened_at));
        self.failures = if useful { 1 } else { self.failures.saturating_add(1) };
        let delay = self.settings.backoff.delay(self.failures, self.jitter.draw());
        let mut after = if useful { delay.saturating_sub(age) } else { delay };
        if useful && lost.abrupt {
            // A restarting control plane loses all its clients at once: they must not come back at once.
            after += Duration::from_secs_f64(self.jitter.draw());
        }
        out.push(Effect::Connect { after });
    }

    /// Time has passed; call at or after [`Engine::next_deadline`].
    pub fn on_tick(&mut self, now: Time, out: &mut Vec<Effect<D::Value>>) {
        if let Some(stream) = &mut self.stream
            && stream.first_response_deadline.is_some_and(|deadline| deadline <= now)
        {
            stream.first_response_deadline = None;
            out.push(Effect::Close("no response to the first request".into()));
        }
        while let Some((deadline, kind, _)) = self.deadlines.front()
            && *deadline <= now
        {
            let (deadline, kind) = (*deadline, *kind);
            let Some((_, _, name)) = self.deadlines.pop_front() else { break };
            let state = &mut self.types[kind.index()];
            if let Some(entry) = state.entries.get_mut(&*name).filter(|entry| entry.deadline == Some(deadline)) {
                entry.deadline = None;
                if entry.is_unresolved() {
                    entry.absent = true;
                    out.push(Effect::Remove { kind, name, gone: Gone::Absent });
                }
            }
        }
    }

    /// When `on_tick` is due.
    pub fn next_deadline(&mut self) -> Option<Time> {
        while let Some((deadline, kind, name)) = self.deadlines.front() {
            let waiting = self.types[kind.index()].entries.get(&**name).is_some_and(|entry| entry.deadline == Some(*deadline));
            if waiting {
                break;
            }
            self.deadlines.pop_front();
        }
        let resource = self.deadlines.front().map(|(deadline, ..)| *deadline);
        let stream = self.stream.as_ref().and_then(|stream| stream.first_response_deadline);
        [resource, stream].into_iter().flatten().min()
    }

    /// States pending subscription changes, at most one request per type, in dependency order. Does nothing while disconnected:
    /// the first requests of the next stream carry everything.
    pub fn flush(&mut self, now: Time, out: &mut Vec<Effect<D::Value>>) {
        for kind in Kind::ALL {
            if !self.types[kind.index()].changed {
                continue;
            }
            if self.stream.is_some() {
                match self.settings.variant {
                    Variant::Sotw => self.flush_sotw(kind, now, out),
                    Variant::Delta => self.flush_delta(kind, now, out),
                }
                let state = &mut self.types[kind.index()];
                state.changed = false;
                state.pending.clear();
            }
            self.forget_unsubscribed(kind, out);
        }
    }

    /// Counters and versions of a kind.
    pub fn status(&self, kind: Kind) -> TypeStatus {
        let state = &self.types[kind.index()];
        let mut status = state.status.clone();
        status.resources = state.entries.len() as u64;
        status.held = state.entries.values().filter(|entry| entry.held.is_some()).count() as u64;
        status.version.clone_from(&state.version);
        status
    }

    /// Every known resource of a kind, by name.
    pub fn resources(&self, kind: Kind) -> Vec<ResourceStatus> {
        self.types[kind.index()].resources()
    }

    /// The node, once per stream.
    pub(super) fn take_node(&mut self, now: Time) -> Option<Bytes> {
        let timeout = self.settings.first_response_timeout;
        let stream = self.stream.as_mut()?;
        if stream.node_sent {
            return None;
        }
        stream.node_sent = true;
        stream.first_response_deadline = Some(now + timeout);
        Some(self.settings.node.clone())
    }

    /// Starts the does-not-exist timer of every name that was told and is unresolved.
    pub(super) fn arm_timers(&mut self, kind: Kind, now: Time) {
        let deadline = now + self.settings.resource_timeout;
        let state = &mut self.types[kind.index()];
        for (name, entry) in &mut state.entries {
            if entry.subscribed && entry.told && entry.deadline.is_none() && entry.is_unresolved() {
                entry.deadline = Some(deadline);
                self.deadlines.push_back((deadline, kind, Arc::clone(&name.0)));
            }
        }
    }

    /// Decides the fate of one received resource. The error goes into the NACK.
    pub(super) fn absorb(
        &mut self,
        kind: Kind,
        name: &str,
        version: &str,
        body: &Bytes,
        now: Time,
        out: &mut Vec<Effect<D::Value>>,
    ) -> Absorbed {
        let state = &mut self.types[kind.index()];
        if !state.wants(name) {
            return Absorbed::Ignored;
        }
        let hash = xxh3_128(body);
        state.requery.remove(name);
        let entry = state.entry(name);
        entry.deadline = None;
        if entry.seen == self.responses {
            return Absorbed::Rejected(format!("{name}: listed twice in one response"));
        }
        entry.seen = self.responses;
        if let Some(rejected) = entry.rejected.as_ref().filter(|rejected| rejected.hash == hash) {
            let error = rejected.error.to_string();
            state.status.rejected += 1;
            return Absorbed::Rejected(error);
        }
        if let Some(held) = entry.held.as_mut().filter(|held| held.hash == hash) {
            let same_version = &*held.version == version;
            held.version = version.into();
            held.at = now;
            entry.rejected = None;
            state.status.identical += 1;
            return Absorbed::Identical { same_version };
        }
        let decoder = &mut self.decoder;
        let decoded = catch_unwind(AssertUnwindSafe(|| decoder.decode(kind, name, body)))
            .unwrap_or_else(|_| Err("the decoder failed on this resource (a defect of the client, contained)".into()));
        let key = state.key(name);
        let entry = state.entry(name);
        match decoded {
            Ok(value) => {
                *entry = Entry {
                    held: Some(Held { hash, version: version.into(), at: now }),
                    rejected: None,
                    absent: false,
                    deadline: None,
                    ..*entry
                };
                state.status.accepted += 1;
                out.push(Effect::Update { kind, name: key, value });
                Absorbed::Accepted
            }
            Err(reason) => {
                let error: Arc<str> = format!("{name}: {reason}").into();
                entry.rejected = Some(Rejected { hash, error: Arc::clone(&error) });
                state.status.rejected += 1;
                out.push(Effect::Reject { kind, name: Some(key), error: Arc::clone(&error) });
                Absorbed::Rejected(error.to_string())
            }
        }
    }

    /// The name inside a resource; a panic of the decoder becomes an error here too.
    pub(super) fn name_of(&mut self, kind: Kind, body: &Bytes) -> Result<String, String> {
        let decoder = &mut self.decoder;
        let name = catch_unwind(AssertUnwindSafe(|| decoder.name(kind, body)))
            .unwrap_or_else(|_| Err("its name cannot be read".into()))?;
        if name.is_empty() { Err("its name is empty".into()) } else { Ok(name) }
    }

    /// The server does not have `name` (any more).
    pub(super) fn remove(&mut self, kind: Kind, name: &str, out: &mut Vec<Effect<D::Value>>) {
        let state = &mut self.types[kind.index()];
        let Some(entry) = state.entries.get_mut(name) else { return };
        let gone = if entry.held.take().is_some() { Gone::Removed } else { Gone::Absent };
        entry.rejected = None;
        entry.deadline = None;
        let news = gone == Gone::Removed || !entry.absent;
        entry.absent = true;
        let subscribed = entry.subscribed;
        if news {
            out.push(Effect::Remove { kind, name: state.key(name), gone });
        }
        if !subscribed {
            self.types[kind.index()].entries.remove(name);
        }
    }

    /// Everything held that the current response does not contain is gone.
    pub(super) fn remove_unseen(&mut self, kind: Kind, out: &mut Vec<Effect<D::Value>>) {
        let responses = self.responses;
        let gone: Vec<Name> = self.types[kind.index()]
            .entries
            .iter()
            .filter(|(_, entry)| entry.seen != responses && (entry.held.is_some() || entry.rejected.is_some()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.remove(kind, &name.0, out);
        }
    }

    pub(super) fn forget_unsubscribed(&mut self, kind: Kind, out: &mut Vec<Effect<D::Value>>) {
        let state = &mut self.types[kind.index()];
        if state.wildcard {
            return;
        }
        let (dropped, requery) = (&mut state.dropped, &mut state.requery);
        let remember = self.settings.variant == Variant::Sotw && state.opened;
        state.entries.retain(|name, entry| {
            if !entry.subscribed {
                requery.remove(&*name.0);
                if remember {
                    dropped.insert(name.clone());
                }
                out.push(Effect::Forget { kind, name: Arc::clone(&name.0) });
            }
            entry.subscribed
        });
    }
}

/// What became of a received resource.
#[derive(Debug)]
pub(super) enum Absorbed {
    /// Nobody asked for it.
    Ignored,
    /// New content, accepted.
    Accepted,
    /// Content already held.
    Identical { same_version: bool },
    /// Bad, with the text for the NACK.
    Rejected(String),
}
