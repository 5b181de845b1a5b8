// SPDX-License-Identifier: Apache-2.0
//! The state machine: inputs, subscriptions, timers, reconnecting.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::{
    Decode, Effect, End, Gone, Kind, Lost, ResourceStatus, Time, TypeStatus,
    types::{Name, Pending, REQUERIES, Trouble, TypeState},
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

/// How "everything" is spelled in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wildcard {
    /// As an empty list in the first request of the type: what every server knows, but it cannot be taken back or joined with names.
    Empty,
    /// As the name `*`.
    Star,
}

/// What a server asks its clients to make of bad news (gRFC A53, A88).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Go on with a resource that the server no longer has (`ignore_resource_deletion`).
    pub ignore_resource_deletion: bool,
    /// Do not go on with a resource whose newer content is bad, or that the server no longer has.
    pub fail_on_data_errors: bool,
    /// An answer that does not come is a passing failure, not absence; the wait is twice as long.
    pub resource_timer_is_transient_error: bool,
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
    /// The spelling of "everything"; `None`: [`Wildcard::Empty`] in the state of the world, [`Wildcard::Star`] in delta.
    pub wildcard: Option<Wildcard>,
    /// What bad news mean.
    pub policy: Policy,
    /// In delta, the first answer to a wildcard on a new stream is complete: what it lacks is gone. `None`: it is when it repeats
    /// unchanged what we said to hold, as servers do that ignore what we said.
    pub full_state_on_reconnect: Option<bool>,
    /// State of the world: the server answers with everything that was asked for, so that a name which such an answer lacks is waited
    /// for only so much longer (the answer may have crossed the question). `None`: as long as any other.
    pub unlisted_timeout: Option<Duration>,
    /// The server serves one stream at a time and closes the older one: when that happens to us twice in a row, keep away.
    pub yields: bool,
}

impl Settings {
    /// What a server gets of which nothing special is known.
    pub fn new(variant: Variant, node: Bytes) -> Self {
        Self {
            variant,
            node,
            resource_timeout: Duration::from_secs(15),
            first_response_timeout: Duration::from_secs(30),
            backoff: Backoff::default(),
            seed: 1,
            wildcard: None,
            policy: Policy::default(),
            full_state_on_reconnect: None,
            unlisted_timeout: None,
            yields: false,
        }
    }
}

/// How the server is doing (gRFC A78).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// A stream was opened, and there was no failure since its last response.
    pub connected: bool,
    /// How often the server went from healthy to unreachable.
    pub server_failures: u64,
    /// Streams opened.
    pub streams: u64,
    /// Another client uses the socket, and we keep away.
    pub yielding: bool,
}

/// Two ends of streams within this time are no accident on a socket for one client.
const EVICTION: Duration = Duration::from_secs(10);
/// How long the other client is left alone then.
const KEEP_AWAY: Duration = Duration::from_secs(300);

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
    pub(super) decoder: D,
    stream: Option<Stream>,
    failures: u32,
    jitter: Jitter,
    /// Ends of waits and of times to live. Entries whose end has moved are skipped when it is due.
    pub(super) deadlines: BTreeSet<(Time, Kind, Arc<str>)>,
    healthy: bool,
    server_failures: u64,
    streams: u64,
    yielding: bool,
    evicted_at: Option<Time>,
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
            deadlines: BTreeSet::new(),
            healthy: true,
            server_failures: 0,
            streams: 0,
            yielding: false,
            evicted_at: None,
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

    /// Decodes content that did not come over a stream.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(&mut self, kind: Kind, name: &str, body: &Bytes) -> Result<D::Value, String> {
        let decoder = &mut self.decoder;
        catch_unwind(AssertUnwindSafe(|| decoder.decode(kind, name, body)))
            .unwrap_or_else(|_| Err("the decoder failed on this resource (a defect of the client, contained)".into()))
    }

    /// Somebody wants something: a stream is needed.
    pub fn has_interest(&self) -> bool {
        self.types.iter().any(TypeState::has_interest)
    }

    /// How the server is doing.
    pub fn health(&self) -> Health {
        Health {
            connected: self.streams > 0 && self.healthy,
            server_failures: self.server_failures,
            streams: self.streams,
            yielding: self.yielding && !self.is_synced(),
        }
    }

    /// Asks for every resource of a kind. Takes effect with the next `flush`.
    pub fn subscribe_all(&mut self, kind: Kind) {
        let state = &mut self.types[kind.index()];
        state.changed |= !state.wildcard;
        state.wildcard = true;
    }

    /// No longer asks for every resource of a kind; those asked for by name stay. Takes effect with the next `flush`.
    pub fn unsubscribe_all(&mut self, kind: Kind) {
        let state = &mut self.types[kind.index()];
        state.changed |= state.wildcard;
        state.wildcard = false;
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

    /// What is held of these names counts for nothing any more, because another server has taken over: should this one come back,
    /// it is asked for everything anew.
    pub fn disown(&mut self, kind: Kind, whose: impl Fn(&str) -> bool) {
        let state = &mut self.types[kind.index()];
        state.version.clear();
        state.entries.retain(|name, entry| {
            if whose(&name.0) {
                entry.held = None;
                entry.trouble = None;
            }
            entry.subscribed || !entry.is_unresolved()
        });
    }

    /// The stream was closed because nobody wants anything of this server. What was told and held is forgotten.
    pub fn on_closed(&mut self) {
        self.stream = None;
        self.deadlines.clear();
        self.failures = 0;
        for state in &mut self.types {
            state.on_new_stream();
            state.version.clear();
        }
    }

    /// The transport has a stream. States every subscription.
    pub fn on_open(&mut self, now: Time, out: &mut Vec<Effect<D::Value>>) {
        self.stream = Some(Stream { opened_at: now, responses: 0, node_sent: false, first_response_deadline: None });
        self.streams += 1;
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
        self.healthy = true;
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
        for state in &mut self.types {
            state.stop_timers();
        }
        let useful = stream.as_ref().is_some_and(|stream| stream.responses > 0);
        if lost.how == End::Unimplemented && !useful && self.settings.variant == Variant::Delta {
            self.settings.variant = Variant::Sotw;
            out.push(Effect::Connect { after: Duration::ZERO });
            return;
        }
        // Who is evicted may not have been answered yet.
        let ended = useful || stream.is_some() && lost.how == End::Closed;
        let age = stream.map_or(Duration::ZERO, |stream| now.saturating_sub(stream.opened_at));
        if ended && self.is_evicted(now, age) {
            out.push(Effect::Yield);
            out.push(Effect::Connect { after: KEEP_AWAY });
            return;
        }
        if !useful {
            self.server_failures += u64::from(self.healthy);
            self.healthy = false;
            out.push(Effect::Unreachable(lost.reason.as_str().into()));
        }
        self.failures = if useful { 1 } else { self.failures.saturating_add(1) };
        let delay = self.settings.backoff.delay(self.failures, self.jitter.draw());
        let mut after = if useful { delay.saturating_sub(age) } else { delay };
        if useful && lost.how == End::Broken {
            // A restarting control plane loses all its clients at once: they must not come back at once.
            after += Duration::from_secs_f64(self.jitter.draw());
        }
        out.push(Effect::Connect { after });
    }

    /// Whether somebody else has the socket: our streams were ended twice within a short time, or again after we kept away.
    fn is_evicted(&mut self, now: Time, age: Duration) -> bool {
        if !self.settings.yields {
            return false;
        }
        let again = self.evicted_at.is_some_and(|at| now.saturating_sub(at) < EVICTION);
        self.evicted_at = Some(now);
        self.yielding = again || self.yielding && age < EVICTION;
        self.yielding
    }

    /// Time has passed; call at or after [`Engine::next_deadline`].
    pub fn on_tick(&mut self, now: Time, out: &mut Vec<Effect<D::Value>>) {
        if let Some(stream) = &mut self.stream
            && stream.first_response_deadline.is_some_and(|deadline| deadline <= now)
        {
            stream.first_response_deadline = None;
            out.push(Effect::Close("no response to the first request".into()));
        }
        while self.deadlines.first().is_some_and(|(deadline, ..)| *deadline <= now) {
            let Some((deadline, kind, name)) = self.deadlines.pop_first() else { break };
            let Some(entry) = self.types[kind.index()].entries.get_mut(&*name) else { continue };
            if entry.held.as_ref().is_some_and(|held| held.expires == Some(deadline)) {
                self.remove(kind, &name, Gone::Removed, "its time to live is over", out);
            } else if entry.deadline == Some(deadline) && entry.is_unresolved() {
                entry.deadline = None;
                let state = &mut self.types[kind.index()];
                if let Some(left) = state.requery.get_mut(&*name) {
                    // Pushes may have crossed every question so far: one more, should it be there all the same.
                    *left = (*left).max(1);
                    state.changed = true;
                }
                let entry = state.entry(&name);
                if self.settings.policy.resource_timer_is_transient_error {
                    entry.trouble = Some(Trouble::TimedOut);
                    out.push(Effect::Trouble { kind, name, error: "no answer in time".into() });
                } else {
                    entry.trouble = Some(Trouble::Absent);
                    out.push(Effect::Remove { kind, name, gone: Gone::Unanswered });
                }
            }
        }
    }

    /// When `on_tick` is due.
    pub fn next_deadline(&mut self) -> Option<Time> {
        while let Some((deadline, kind, name)) = self.deadlines.first() {
            if self.types[kind.index()].ends_at(name, *deadline) {
                break;
            }
            self.deadlines.pop_first();
        }
        let resource = self.deadlines.first().map(|(deadline, ..)| *deadline);
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
        let times = if self.settings.policy.resource_timer_is_transient_error { 2 } else { 1 };
        let deadline = now + self.settings.resource_timeout * times;
        let state = &mut self.types[kind.index()];
        for (name, entry) in &mut state.entries {
            if entry.subscribed && entry.told && entry.deadline.is_none() && entry.is_unresolved() {
                entry.deadline = Some(deadline);
                self.deadlines.insert((deadline, kind, Arc::clone(&name.0)));
            }
        }
    }
}
