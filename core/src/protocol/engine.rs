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
    Decode, Effect, End, Gone, Health, Kind, Lost, ResourceStatus, Settings, Time, TypeStatus, Variant, Wildcard,
    types::{Name, Pending, REQUERIES, Trouble, TypeState},
};
use crate::backoff::Jitter;

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
    /// Everything was asked for in a spelling of our choice, and so long an answer is waited for.
    everything_deadline: Option<Time>,
}

/// The ADS client as a value. See the module documentation for the rules of use.
pub struct Engine<D: Decode> {
    pub(super) settings: Settings,
    pub(super) types: [TypeState; 4],
    pub(super) decoder: D,
    stream: Option<Stream>,
    /// The variant in use, after a server without delta not the one of the settings.
    pub(super) variant: Variant,
    /// The server did not understand the spelling of "everything": the other one is tried.
    other_spelling: bool,
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
            variant: settings.variant,
            other_spelling: false,
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
        self.variant
    }

    /// Should the server not know the method of the current stream, there is another one to try.
    pub fn falls_back(&self) -> bool {
        self.variant == Variant::Delta && !self.is_synced()
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
        let entry = state.entries.entry(Name(Arc::clone(name))).or_default();
        if !entry.subscribed {
            // One that is still held was let go and has not been told so yet.
            if entry.is_unresolved() && state.dropped.take(name) {
                state.requery.insert(Name(Arc::clone(name)), REQUERIES);
            }
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
        self.stream = Some(Stream {
            opened_at: now,
            responses: 0,
            node_sent: false,
            first_response_deadline: None,
            everything_deadline: None,
        });
        self.streams += 1;
        for state in &mut self.types {
            state.on_new_stream();
        }
        self.flush(now, out);
    }

    /// A message arrived. Returns whether it was a response of a kind that is known: anything else proves nothing about the server.
    pub fn on_response(&mut self, now: Time, message: Bytes, out: &mut Vec<Effect<D::Value>>) -> bool {
        let Some(before) = self.stream.as_ref().map(|stream| stream.responses) else { return false };
        self.responses += 1;
        let handled = match self.variant {
            Variant::Sotw => self.on_sotw(now, message, out),
            Variant::Delta => self.on_delta(now, message, out),
        };
        if let Err(error) = &handled {
            out.push(Effect::Close(format!("response does not decode: {error}")));
        }
        self.stream.as_ref().is_some_and(|stream| stream.responses > before)
    }

    /// Takes note of a response that decodes; its kind, if something of that kind was asked for on this stream.
    pub(super) fn take_response(&mut self, type_url: &str) -> Option<Kind> {
        let kind = Some(Kind::from_type_url(type_url)?).filter(|kind| self.types[kind.index()].opened);
        let stream = self.stream.as_mut()?;
        stream.responses += 1;
        stream.first_response_deadline = None;
        if kind.is_some_and(|kind| self.types[kind.index()].wildcard) {
            stream.everything_deadline = None;
        }
        self.failures = 0;
        self.healthy = true;
        kind
    }

    /// The stream, or the attempt to open one, has ended.
    pub fn on_lost(&mut self, now: Time, lost: &Lost, out: &mut Vec<Effect<D::Value>>) {
        let falls_back = self.falls_back();
        let stream = self.stream.take();
        for state in &mut self.types {
            state.stop_timers();
        }
        let useful = stream.as_ref().is_some_and(|stream| stream.responses > 0);
        if lost.how == End::Unimplemented && falls_back {
            self.variant = Variant::Sotw;
            out.push(Effect::Connect { after: Duration::ZERO });
            return;
        }
        // The next server at this place may know what this one does not.
        self.variant = self.settings.variant;
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
            let everything = stream.everything_deadline.take().is_some();
            self.other_spelling ^= everything;
            out.push(Effect::Close("no response to the first request".into()));
        } else if let Some(stream) = &mut self.stream
            && stream.everything_deadline.is_some_and(|deadline| deadline <= now)
        {
            stream.everything_deadline = None;
            self.other_spelling ^= true;
            out.push(Effect::Close("everything was asked for and is not answered; the other way to ask is tried".into()));
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
        let stream = self.stream.as_ref();
        let first = stream.and_then(|stream| stream.first_response_deadline);
        let everything = stream.and_then(|stream| stream.everything_deadline);
        [resource, first, everything].into_iter().flatten().min()
    }

    /// States pending subscription changes, at most one request per type, in dependency order. Does nothing while disconnected:
    /// the first requests of the next stream carry everything.
    pub fn flush(&mut self, now: Time, out: &mut Vec<Effect<D::Value>>) {
        for kind in Kind::ALL {
            if !self.types[kind.index()].changed {
                continue;
            }
            if self.stream.is_some() {
                match self.variant {
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

    /// How "everything" is spelled: as the settings say, else as this variant prefers, or the other way if that was not answered.
    pub(super) fn spelling(&self, preferred: Wildcard) -> Wildcard {
        self.settings.wildcard.unwrap_or(match (preferred, self.other_spelling && self.variant == Variant::Delta) {
            (Wildcard::Star, true) => Wildcard::Empty,
            (Wildcard::Empty, true) => Wildcard::Star,
            (_, false) => preferred,
        })
    }

    /// A server that does not know the spelling of our choice takes it for a name, and is silent.
    pub(super) fn await_everything(&mut self, now: Time) {
        let patience = self.settings.first_response_timeout;
        if self.settings.wildcard.is_none()
            && let Some(stream) = &mut self.stream
        {
            stream.everything_deadline = Some(now + patience);
        }
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
