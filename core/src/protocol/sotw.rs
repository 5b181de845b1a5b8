// SPDX-License-Identifier: Apache-2.0
//! The state-of-the-world variant: every request carries the complete list of names.

use bytes::Bytes;
use prost::Message;

use super::{
    Any, Decode, DiscoveryRequest, DiscoveryResponse, Effect, Engine, Kind, Request, Resource, Status, Time, engine::Absorbed,
    message::RESOURCE_URL,
};

/// gRPC's INVALID_ARGUMENT, the code of every NACK.
pub(super) const INVALID_ARGUMENT: i32 = 3;

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
        let Some(kind) = Kind::from_type_url(&response.type_url).filter(|kind| self.types[kind.index()].opened) else {
            return Ok(());
        };
        self.types[kind.index()].nonce = response.nonce;
        let mut errors = Vec::new();
        for (index, any) in response.resources.into_iter().enumerate() {
            if let Err(error) = self.on_sotw_resource(kind, any, now, out) {
                errors.push(if error.named { error.text } else { format!("resource #{index}: {}", error.text) });
            }
        }
        // Absence is deletion only where the list is known to be whole: an entry without a readable name may be any of them.
        if kind.is_full_state() && !errors.iter().any(|error| error.starts_with("resource #")) {
            self.remove_unseen(kind, out);
        }
        self.answer_sotw(kind, response.version_info, errors, now, out);
        out.push(Effect::Answered(kind));
        Ok(())
    }

    fn on_sotw_resource(&mut self, kind: Kind, any: Any, now: Time, out: &mut Vec<Effect<D::Value>>) -> Result<(), EntryError> {
        let (wrapped_name, version, any) = if any.type_url == RESOURCE_URL {
            let wrapper =
                Resource::decode(any.value).map_err(|error| EntryError::unnamed(format!("wrapper does not decode: {error}")))?;
            let inner = wrapper.resource.ok_or_else(|| EntryError::unnamed("wrapper without a resource".into()))?;
            (wrapper.name, wrapper.version, inner)
        } else {
            (String::new(), String::new(), any)
        };
        if any.type_url != kind.type_url() {
            return Err(EntryError::unnamed(format!("type {} in a response of {}", any.type_url, kind.short())));
        }
        let name =
            if wrapped_name.is_empty() { self.name_of(kind, &any.value).map_err(EntryError::unnamed)? } else { wrapped_name };
        match self.absorb(kind, &name, &version, &any.value, now, out) {
            Absorbed::Rejected(text) => Err(EntryError { text, named: true }),
            Absorbed::Accepted | Absorbed::Identical { .. } | Absorbed::Ignored => Ok(()),
        }
    }

    fn answer_sotw(&mut self, kind: Kind, version: String, errors: Vec<String>, now: Time, out: &mut Vec<Effect<D::Value>>) {
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
        let text = errors.join("; ");
        state.status.nacks += 1;
        state.status.error.clone_from(&text);
        state.doubt |= std::mem::take(&mut state.changed);
        let restate = state.doubt || !state.requery.is_empty();
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
        let without = error_detail.is_none() && !self.types[kind.index()].requery.is_empty();
        if without {
            self.push_sotw(kind, None, true, now, out);
            self.types[kind.index()].requery.retain(|_, left| {
                *left -= 1;
                *left > 0
            });
        }
        self.push_sotw(kind, error_detail, false, now, out);
        self.arm_timers(kind, now);
    }

    /// One request with the whole list, or with the list without what must be asked for anew.
    fn push_sotw(&mut self, kind: Kind, error_detail: Option<Status>, without: bool, now: Time, out: &mut Vec<Effect<D::Value>>) {
        let node = self.take_node(now);
        let state = &mut self.types[kind.index()];
        state.opened = true;
        let mut resource_names = Vec::new();
        if !state.wildcard {
            for (name, entry) in state.entries.iter_mut().filter(|(_, entry)| entry.subscribed) {
                if without && state.requery.contains_key(&*name.0) {
                    continue;
                }
                entry.told = true;
                resource_names.push(name.0.to_string());
            }
            resource_names.sort_unstable();
        }
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
