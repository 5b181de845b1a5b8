// SPDX-License-Identifier: Apache-2.0
//! The state-of-the-world variant: every request carries the complete list of names.

use bytes::Bytes;
use prost::Message;

use super::{
    Any, Decode, DiscoveryRequest, DiscoveryResponse, Effect, Engine, Kind, Request, Resource, Status, Time, Ttl, Wildcard,
    fate::{Absorbed, Received},
    message::RESOURCE_URL,
    nack,
    name::canonical,
};

/// gRPC's INVALID_ARGUMENT, the code of every NACK.
pub(super) const INVALID_ARGUMENT: i32 = 3;
/// The name that means "everything".
pub(super) const STAR: &str = "*";

impl<D: Decode> Engine<D> {
    pub(super) fn flush_sotw(&mut self, kind: Kind, now: Time, out: &mut Vec<Effect<D::Value>>) {
        let state = &mut self.types[kind.index()];
        // Before anything was asked an empty list would mean "everything"; afterwards it means "nothing" and must be said.
        if !state.opened && !state.has_interest() {
            return;
        }
        state.doubt |= state.opened;
        self.send_sotw(kind, None, now, out);
    }

    pub(super) fn on_sotw(&mut self, now: Time, message: Bytes, out: &mut Vec<Effect<D::Value>>) -> Result<(), prost::DecodeError> {
        let response = DiscoveryResponse::decode(message)?;
        let Some(kind) = self.take_response(&response.type_url) else { return Ok(()) };
        self.types[kind.index()].nonce = response.nonce;
        let mut errors = Vec::new();
        let mut whole = kind.is_full_state();
        for (index, any) in response.resources.into_iter().enumerate() {
            match self.on_sotw_resource(kind, any, now, out) {
                Ok(is_resource) => whole &= is_resource,
                Err(error) if error.named => errors.push(error.text),
                Err(error) => {
                    // It may be any of those that are missing.
                    whole = false;
                    errors.push(format!("resource #{index}: {}", error.text));
                }
            }
        }
        self.on_resource_errors(kind, response.resource_errors, out);
        if whole {
            self.remove_unseen(kind, out);
            self.hurry_unlisted(kind, now);
        }
        self.answer_sotw(kind, response.version_info, &errors, now, out);
        out.push(Effect::Answered(kind));
        Ok(())
    }

    /// Returns whether the entry was a resource: a heartbeat is not, and a response with heartbeats is not the whole state.
    fn on_sotw_resource(&mut self, kind: Kind, any: Any, now: Time, out: &mut Vec<Effect<D::Value>>) -> Result<bool, EntryError> {
        let (wrapper, any) = if any.type_url == RESOURCE_URL {
            let mut wrapper =
                Resource::decode(any.value).map_err(|error| EntryError::unnamed(format!("wrapper does not decode: {error}")))?;
            match wrapper.resource.take() {
                Some(inner) => (wrapper, inner),
                None if wrapper.name.is_empty() => return Err(EntryError::unnamed("wrapper without a resource and a name".into())),
                None => {
                    self.on_heartbeat(kind, &wrapper, now);
                    return Ok(false);
                }
            }
        } else {
            (Resource::default(), any)
        };
        if any.type_url != kind.type_url() {
            return Err(EntryError::unnamed(format!("type {} in a response of {}", any.type_url, kind.short())));
        }
        let name =
            if wrapper.name.is_empty() { self.name_of(kind, &any.value).map_err(EntryError::unnamed)? } else { wrapper.name };
        let ttl = wrapper.ttl.and_then(Ttl::duration);
        let received = Received { name: &name, version: &wrapper.version, ttl, body: &any.value };
        match self.absorb(kind, received, now, out) {
            Absorbed::Rejected(text) => Err(EntryError { text, named: true }),
            Absorbed::Accepted | Absorbed::Identical { .. } | Absorbed::Ignored => Ok(true),
        }
    }

    /// A resource without a body only says that it is still there.
    pub(super) fn on_heartbeat(&mut self, kind: Kind, resource: &Resource, now: Time) {
        let name = canonical(&resource.name);
        if let Some(entry) = self.types[kind.index()].entries.get_mut(&*name)
            && let Some(held) = entry.held.as_mut().filter(|held| *held.version == *resource.version)
        {
            held.at = now;
            self.live_for(kind, &name, resource.ttl.and_then(Ttl::duration), now);
        }
    }

    fn answer_sotw(&mut self, kind: Kind, version: String, errors: &[String], now: Time, out: &mut Vec<Effect<D::Value>>) {
        let state = &mut self.types[kind.index()];
        state.status.responses += 1;
        if errors.is_empty() {
            state.version = version;
            state.status.error.clear();
            state.doubt |= std::mem::take(&mut state.changed);
            self.send_sotw(kind, None, now, out);
            self.told_all(kind, out);
            return;
        }
        let text = nack::text(errors);
        state.status.nacks += 1;
        state.status.error.clone_from(&text);
        state.doubt |= std::mem::take(&mut state.changed);
        let restate = state.doubt;
        self.send_sotw(kind, Some(Status { code: INVALID_ARGUMENT, message: text }), now, out);
        if restate {
            // Servers drop the names of a NACK (istiod) and of any request that crossed a push: say them once more. Several pushes
            // may have been on their way, so an ACK in between proves nothing.
            self.send_sotw(kind, None, now, out);
            self.told_all(kind, out);
        }
    }

    /// Every change of the subscription is on its way.
    fn told_all(&mut self, kind: Kind, out: &mut Vec<Effect<D::Value>>) {
        self.types[kind.index()].pending.clear();
        self.forget_unsubscribed(kind, out);
    }

    fn send_sotw(&mut self, kind: Kind, error_detail: Option<Status>, now: Time, out: &mut Vec<Effect<D::Value>>) {
        let without = error_detail.is_none() && self.types[kind.index()].requery.values().any(|left| *left > 0);
        if without {
            self.push_sotw(kind, None, true, now, out);
            for left in self.types[kind.index()].requery.values_mut() {
                *left = left.saturating_sub(1);
            }
        }
        self.push_sotw(kind, error_detail, false, now, out);
        self.arm_timers(kind, now);
    }

    /// One request with the whole list, or with the list without what must be asked for anew.
    fn push_sotw(&mut self, kind: Kind, error_detail: Option<Status>, without: bool, now: Time, out: &mut Vec<Effect<D::Value>>) {
        let node = self.take_node(now);
        let spelling = self.spelling(Wildcard::Empty);
        let state = &mut self.types[kind.index()];
        state.opened = true;
        let mut resource_names = Vec::new();
        for (name, entry) in state.entries.iter_mut().filter(|(_, entry)| entry.subscribed) {
            if without && state.requery.contains_key(&*name.0) {
                continue;
            }
            entry.told = true;
            resource_names.push(name.0.to_string());
        }
        resource_names.sort_unstable();
        if state.wildcard {
            let empty = spelling == Wildcard::Empty;
            // Once names were said, an empty list would take everything back.
            if empty && !state.told_names && !state.told_star {
                resource_names.clear();
                state.told_empty = true;
            } else {
                resource_names.insert(0, STAR.into());
                state.told_star = true;
            }
        }
        state.told_names |= !resource_names.is_empty();
        out.push(Effect::Send(Request::Sotw(DiscoveryRequest {
            version_info: state.version.clone(),
            node,
            resource_names,
            type_url: kind.type_url().into(),
            response_nonce: state.nonce.clone(),
            error_detail,
        })));
    }
}

struct EntryError {
    text: String,
    /// The text begins with the resource's name.
    named: bool,
}

impl EntryError {
    fn unnamed(text: String) -> Self {
        Self { text, named: false }
    }
}
