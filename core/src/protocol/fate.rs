// SPDX-License-Identifier: Apache-2.0
//! What becomes of one resource: accepted, the same as before, rejected, gone, refused, no longer wanted.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Decode, Effect, Engine, Gone, Kind, ResourceError, Time, Variant, nack,
    name::canonical,
    types::{Held, Name, Trouble},
};

/// gRPC codes that mean "there is none for you" (xDS TP3).
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;

impl<D: Decode> Engine<D> {
    /// Starts, moves or stops the time to live of what is held under `name`.
    pub(super) fn live_for(&mut self, kind: Kind, name: &str, ttl: Option<Duration>, now: Time) {
        let key = self.types[kind.index()].key(name);
        let Some(held) = self.types[kind.index()].entries.get_mut(name).and_then(|entry| entry.held.as_mut()) else { return };
        let expires = ttl.map(|ttl| now + ttl);
        let before = std::mem::replace(&mut held.expires, expires);
        if before == expires {
            return;
        }
        if let Some(before) = before {
            self.deadlines.remove(&(before, kind, Arc::clone(&key)));
        }
        self.deadlines.extend(expires.map(|expires| (expires, kind, key)));
    }

    /// Decides the fate of one received resource. The error goes into the NACK.
    pub(super) fn absorb(&mut self, kind: Kind, received: Received<'_>, now: Time, out: &mut Vec<Effect<D::Value>>) -> Absorbed {
        let name = &*canonical(received.name);
        let state = &mut self.types[kind.index()];
        if !state.wants(name) {
            return Absorbed::Ignored;
        }
        let responses = self.responses;
        let twice = std::mem::replace(&mut state.entry(name).seen, responses) == responses;
        let absorbed = self.absorb_wanted(kind, Received { name, ..received }, now, out);
        // The last one counts, and the server is told all the same.
        if twice { Absorbed::Rejected(format!("{name}: listed twice in one response")) } else { absorbed }
    }

    fn absorb_wanted(&mut self, kind: Kind, received: Received<'_>, now: Time, out: &mut Vec<Effect<D::Value>>) -> Absorbed {
        let Received { name, version, ttl, body } = received;
        let state = &mut self.types[kind.index()];
        let hash = xxh3_128(body);
        state.requery.remove(name);
        let entry = state.entry(name);
        entry.deadline = None;
        if let Some(Trouble::Rejected { hash: old, error }) = &entry.trouble
            && *old == hash
        {
            let error = error.to_string();
            state.status.rejected += 1;
            return Absorbed::Rejected(error);
        }
        if let Some(held) = entry.held.as_mut().filter(|held| held.hash == hash) {
            let same_version = &*held.version == version;
            held.version = version.into();
            held.at = now;
            let recovered = entry.trouble.take().is_some();
            state.status.identical += 1;
            if recovered {
                out.push(Effect::Clear { kind, name: state.key(name) });
            }
            self.live_for(kind, name, ttl, now);
            return Absorbed::Identical { same_version };
        }
        let decoded = self.decode(kind, name, body);
        let state = &mut self.types[kind.index()];
        let key = state.key(name);
        let entry = state.entry(name);
        match decoded {
            Ok(value) => {
                let expires = entry.held.take().and_then(|held| held.expires);
                entry.held = Some(Held { hash, version: version.into(), at: now, expires });
                entry.trouble = None;
                state.status.accepted += 1;
                out.push(Effect::Update { kind, name: key, value, body: body.clone() });
                self.live_for(kind, name, ttl, now);
                Absorbed::Accepted
            }
            Err(reason) => {
                let error = nack::error(&format!("{name}: {reason}"));
                let said = matches!(&entry.trouble, Some(Trouble::Rejected { error: old, .. }) if *old == error);
                entry.trouble = Some(Trouble::Rejected { hash, error: Arc::clone(&error) });
                let dropped = self.settings.policy.fail_on_data_errors && entry.held.take().is_some();
                state.status.rejected += 1;
                if !said {
                    out.push(Effect::Reject { kind, name: Some(Arc::clone(&key)), error: Arc::clone(&error) });
                }
                if dropped {
                    out.push(Effect::Remove { kind, name: key, gone: Gone::Rejected });
                }
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

    /// What a full answer does not list is not waited for much longer, if the server is known to list everything.
    pub(super) fn hurry_unlisted(&mut self, kind: Kind, now: Time) {
        let Some(patience) = self.settings.unlisted_timeout else { return };
        let soon = now + patience;
        for (name, entry) in &mut self.types[kind.index()].entries {
            let Some(deadline) = &mut entry.deadline else { continue };
            let sooner = soon.min(*deadline);
            if sooner != *deadline {
                *deadline = sooner;
                self.deadlines.insert((sooner, kind, Arc::clone(&name.0)));
            }
        }
    }

    /// The server does not have `name` (any more), or refuses it. What is held goes or stays as the policy says.
    pub(super) fn remove(&mut self, kind: Kind, name: &str, gone: Gone, why: &str, out: &mut Vec<Effect<D::Value>>) {
        let name = &*canonical(name);
        let policy = self.settings.policy;
        let state = &mut self.types[kind.index()];
        let key = state.key(name);
        let Some(entry) = state.entries.get_mut(name) else { return };
        entry.deadline = None;
        let trouble = if gone == Gone::Refused { Trouble::Refused(why.into()) } else { Trouble::Absent };
        let known = std::mem::discriminant(&trouble);
        let news = entry.trouble.replace(trouble).is_none_or(|before| std::mem::discriminant(&before) != known);
        if entry.held.is_some() && policy.ignore_resource_deletion && !policy.fail_on_data_errors {
            if news {
                out.push(Effect::Trouble { kind, name: key, error: why.into() });
            }
            return;
        }
        let was_held = entry.held.take().is_some();
        let subscribed = entry.subscribed;
        if was_held || news {
            let gone = if gone == Gone::Removed && !was_held { Gone::Absent } else { gone };
            out.push(Effect::Remove { kind, name: key, gone });
        }
        if !subscribed {
            self.types[kind.index()].entries.remove(name);
        }
    }

    /// What the server says instead of resources (xDS TP3). No NACK: the response is well formed.
    pub(super) fn on_resource_errors(&mut self, kind: Kind, errors: Vec<ResourceError>, out: &mut Vec<Effect<D::Value>>) {
        for error in errors {
            let name = error.resource_name.map(|name| name.name).unwrap_or_default();
            let status = error.error_detail.unwrap_or_default();
            let name = &*canonical(&name);
            let state = &mut self.types[kind.index()];
            let Some(entry) = state.entries.get_mut(name) else { continue };
            entry.seen = self.responses;
            entry.deadline = None;
            state.requery.remove(name);
            state.status.refused += 1;
            let text = nack::error(&format!("{name}: the server answers with code {}: {}", status.code, status.message));
            match status.code {
                NOT_FOUND => self.remove(kind, name, Gone::Removed, &text, out),
                PERMISSION_DENIED => self.remove(kind, name, Gone::Refused, &text, out),
                _ => {
                    let said = matches!(&entry.trouble, Some(Trouble::Refused(old)) if *old == text);
                    entry.trouble = Some(Trouble::Refused(Arc::clone(&text)));
                    if !said {
                        out.push(Effect::Trouble { kind, name: state.key(name), error: text });
                    }
                }
            }
        }
    }

    /// Everything held that the current response does not contain is gone.
    pub(super) fn remove_unseen(&mut self, kind: Kind, out: &mut Vec<Effect<D::Value>>) {
        let responses = self.responses;
        let gone: Vec<Name> = self.types[kind.index()]
            .entries
            .iter()
            .filter(|(_, entry)| entry.seen != responses && !entry.is_unresolved() && !(entry.is_absent() && entry.held.is_none()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.remove(kind, &name.0, Gone::Removed, "the server no longer lists it", out);
        }
    }

    pub(super) fn forget_unsubscribed(&mut self, kind: Kind, out: &mut Vec<Effect<D::Value>>) {
        let state = &mut self.types[kind.index()];
        if state.wildcard {
            // What was let go by name may still be covered by the wildcard; the server will tell.
            state.entries.retain(|_, entry| entry.subscribed || !entry.is_unresolved());
            return;
        }
        let (dropped, requery) = (&mut state.dropped, &mut state.requery);
        let remember = self.variant == Variant::Sotw && state.opened;
        state.entries.retain(|name, entry| {
            if !entry.subscribed {
                requery.remove(&*name.0);
                if remember {
                    dropped.note(name.clone());
                }
                out.push(Effect::Forget { kind, name: Arc::clone(&name.0) });
            }
            entry.subscribed
        });
    }
}

/// One resource as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) ttl: Option<Duration>,
    pub(super) body: &'a Bytes,
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
