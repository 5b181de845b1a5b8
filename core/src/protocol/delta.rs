// SPDX-License-Identifier: Apache-2.0
//! The delta variant: subscription changes and answers travel in messages of their own.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use prost::Message;

use super::{
    Decode, DeltaDiscoveryRequest, DeltaDiscoveryResponse, Effect, Engine, Gone, Kind, Request, Resource, Status, Time, Ttl,
    Wildcard,
    fate::{Absorbed, Received},
    istiod::is_istiods,
    nack,
    name::canonical,
    sotw::{INVALID_ARGUMENT, STAR},
    types::{Pending, TypeState},
};

impl<D: Decode> Engine<D> {
    pub(super) fn flush_delta(&mut self, kind: Kind, now: Time, out: &mut Vec<Effect<D::Value>>) {
        let spelling = self.spelling(Wildcard::Star);
        let state = &mut self.types[kind.index()];
        let first = !state.opened;
        if first && !state.has_interest() {
            return;
        }
        let (subscribe, unsubscribe) = if first { (first_names(state, spelling), Vec::new()) } else { changed_names(state) };
        if !first && subscribe.is_empty() && unsubscribe.is_empty() {
            return;
        }
        let initial_resource_versions = if first { held_versions(state) } else { HashMap::new() };
        state.opened = true;
        if first && state.wildcard {
            self.await_everything(now);
        }
        let node = self.take_node(now);
        out.push(Effect::Send(Request::Delta(DeltaDiscoveryRequest {
            node,
            type_url: kind.type_url().into(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            initial_resource_versions,
            response_nonce: String::new(),
            error_detail: None,
        })));
        self.arm_timers(kind, now);
    }

    pub(super) fn on_delta(
        &mut self,
        now: Time,
        message: Bytes,
        out: &mut Vec<Effect<D::Value>>,
    ) -> Result<(), prost::DecodeError> {
        let response = DeltaDiscoveryResponse::decode(message)?;
        let Some(kind) = self.take_response(&response.type_url) else { return Ok(()) };
        let first_on_stream = !std::mem::replace(&mut self.types[kind.index()].answered_on_stream, true);
        let mut errors = Vec::new();
        let mut resent_unchanged = false;
        for (index, resource) in response.resources.into_iter().enumerate() {
            match self.on_delta_resource(kind, index, &resource, now, out) {
                Absorbed::Rejected(error) => errors.push(error),
                Absorbed::Identical { same_version } => resent_unchanged |= same_version,
                Absorbed::Accepted | Absorbed::Ignored => {}
            }
        }
        for name in &response.removed_resources {
            let entry = self.types[kind.index()].entries.get(&*canonical(name));
            if entry.is_some_and(|entry| entry.seen == self.responses) {
                errors.push(format!("{name}: both listed and removed in one response"));
            } else {
                self.remove(kind, name, Gone::Removed, "the server removed it", out);
            }
        }
        self.on_resource_errors(kind, response.resource_errors, out);
        // istiod repeats what we said to hold, and all of it at once: what it has lost since the last stream would otherwise never
        // be reported (istio/istio#41494). Others may give their state in parts.
        let istiod = is_istiods(&response.system_version_info, &response.nonce);
        let complete = self.settings.full_state_on_reconnect.unwrap_or(istiod && resent_unchanged);
        if first_on_stream && complete && self.types[kind.index()].wildcard && errors.is_empty() {
            self.remove_unseen(kind, out);
        }
        self.answer_delta(kind, response.nonce, &errors, out);
        out.push(Effect::Answered(kind));
        Ok(())
    }

    fn on_delta_resource(
        &mut self,
        kind: Kind,
        index: usize,
        resource: &Resource,
        now: Time,
        out: &mut Vec<Effect<D::Value>>,
    ) -> Absorbed {
        let Some(any) = &resource.resource else {
            self.on_heartbeat(kind, resource, now);
            return Absorbed::Ignored;
        };
        if any.type_url != kind.type_url() {
            return Absorbed::Rejected(format!("resource #{index}: type {} in a response of {}", any.type_url, kind.short()));
        }
        if resource.name.is_empty() {
            return Absorbed::Rejected(format!("resource #{index}: its name is empty"));
        }
        let ttl = resource.ttl.and_then(Ttl::duration);
        self.absorb(kind, Received { name: &resource.name, version: &resource.version, ttl, body: &any.value }, now, out)
    }

    fn answer_delta(&mut self, kind: Kind, response_nonce: String, errors: &[String], out: &mut Vec<Effect<D::Value>>) {
        let status = &mut self.types[kind.index()].status;
        status.responses += 1;
        let text = nack::text(errors);
        let error_detail = (!errors.is_empty()).then(|| {
            status.nacks += 1;
            Status { code: INVALID_ARGUMENT, message: text.clone() }
        });
        status.error = text;
        out.push(Effect::Send(Request::Delta(DeltaDiscoveryRequest {
            type_url: kind.type_url().into(),
            response_nonce,
            error_detail,
            ..Default::default()
        })));
    }
}

fn first_names(state: &mut TypeState, spelling: Wildcard) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, entry) in state.entries.iter_mut().filter(|(_, entry)| entry.subscribed) {
        entry.told = true;
        names.push(name.0.to_string());
    }
    names.sort_unstable();
    if state.wildcard {
        // The empty list cannot be joined with names.
        state.told_empty = spelling == Wildcard::Empty && names.is_empty();
        state.told_star = !state.told_empty;
        if state.told_star {
            names.insert(0, STAR.into());
        }
    }
    names
}

/// Everything that is in memory and that the server is not known to have taken back: it will not be sent again.
fn held_versions(state: &TypeState) -> HashMap<String, String> {
    let held =
        state.entries.iter().filter(|(_, entry)| !entry.is_absent()).filter_map(|(name, entry)| Some((name, entry.held.as_ref()?)));
    held.map(|(name, held)| (name.0.to_string(), held.version.to_string())).collect()
}

fn changed_names(state: &mut TypeState) -> (Vec<String>, Vec<String>) {
    let (mut subscribe, mut unsubscribe) = (Vec::new(), Vec::new());
    for (name, pending) in &state.pending {
        let Some(entry) = state.entries.get_mut(&*name.0) else { continue };
        match pending {
            Pending::Add => {
                entry.told = true;
                subscribe.push(name.0.to_string());
            }
            Pending::Drop => {
                if std::mem::take(&mut entry.told) {
                    unsubscribe.push(Arc::clone(&name.0).to_string());
                }
            }
        }
    }
    // A name said beside the empty spelling would end it.
    if state.wildcard && !state.told_star && (!state.told_empty || !subscribe.is_empty()) {
        subscribe.push(STAR.into());
        state.told_star = true;
    }
    if !state.wildcard && (std::mem::take(&mut state.told_star) | std::mem::take(&mut state.told_empty)) {
        unsubscribe.push(STAR.into());
    }
    subscribe.sort_unstable();
    unsubscribe.sort_unstable();
    (subscribe, unsubscribe)
}
