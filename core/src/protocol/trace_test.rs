// SPDX-License-Identifier: Apache-2.0
//! How a trace is written: given / server sends / expect.
//!
//! Expectations are lines: `> xDS ["a"] v"1" n"n1"` is a request with version and nonce, `update a x` an event. In a trace that
//! [`each`] plays for every kind of resource and every style of name, the kind reads `xDS` and names are short.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;

use super::*;

/// Resources are `name=value`; a value of `bad` is rejected, also `bad-…`, `panic` panics.
#[derive(Default)]
pub(super) struct Text {
    pub(super) decoded: usize,
}

impl Decode for Text {
    type Value = String;

    fn name(&mut self, _: Kind, body: &Bytes) -> Result<String, String> {
        let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
        Ok(text.rsplit_once('=').map_or(text, |(name, _)| name).to_owned())
    }

    fn decode(&mut self, _: Kind, _: &str, body: &Bytes) -> Result<String, String> {
        self.decoded += 1;
        let text = String::from_utf8_lossy(body);
        match text.rsplit_once('=').map_or(&*text, |(_, value)| value) {
            "panic" => panic!("a decoder that panics"),
            value if value.starts_with("bad") => Err(format!("it is {value}")),
            value => Ok(value.to_owned()),
        }
    }
}

pub(super) struct Trace {
    pub(super) engine: Engine<Text>,
    pub(super) now: Time,
    pub(super) out: Vec<Effect<String>>,
    /// Kind and name prefix that expectations leave out.
    generic: Option<(Kind, String)>,
}

pub(super) fn settings(variant: Variant) -> Settings {
    Settings::new(variant, Bytes::from_static(b"node"))
}

/// Plays a trace for these kinds, with old-style and with new-style names.
pub(super) fn each_of(kinds: &[Kind], settings: &Settings, play: impl Fn(&mut Trace)) {
    for kind in kinds {
        for prefix in [String::new(), format!("xdstp://authority/{}/", kind.type_name())] {
            let mut trace = Trace::with(settings.clone());
            trace.generic = Some((*kind, prefix));
            play(&mut trace);
        }
    }
}

/// Plays a trace for every kind, with old-style and with new-style names.
pub(super) fn each(variant: Variant, play: impl Fn(&mut Trace)) {
    each_of(&Kind::ALL, &settings(variant), play);
}

impl Trace {
    pub(super) fn new(variant: Variant) -> Self {
        Self::with(settings(variant))
    }

    pub(super) fn with(settings: Settings) -> Self {
        Self { engine: Engine::new(settings, Text::default()), now: Duration::ZERO, out: Vec::new(), generic: None }
    }

    fn full(&self, name: &str) -> String {
        self.generic.as_ref().map_or_else(|| name.into(), |(_, prefix)| format!("{prefix}{name}"))
    }

    /// The kind that the trace is played for.
    pub(super) fn kind(&self) -> Kind {
        self.generic.as_ref().expect("played by each").0
    }

    pub(super) fn watch(&mut self, kind: Kind, names: &[&str]) {
        for name in names {
            self.engine.subscribe(kind, &Arc::from(self.full(name)));
        }
        self.engine.flush(self.now, &mut self.out);
    }

    pub(super) fn cancel(&mut self, kind: Kind, name: &str) {
        self.engine.unsubscribe(kind, &self.full(name));
        self.engine.flush(self.now, &mut self.out);
    }

    pub(super) fn open(&mut self) {
        self.engine.on_open(self.now, &mut self.out);
    }

    pub(super) fn any(&self, kind: Kind, text: &str) -> Any {
        Any { type_url: kind.type_url().into(), value: self.full(text).into_bytes().into() }
    }

    pub(super) fn sotw(&mut self, kind: Kind, version: &str, nonce: &str, resources: &[&str]) {
        let resources = resources.iter().map(|text| self.any(kind, text)).collect();
        self.sotw_response(DiscoveryResponse { resources, ..sotw_response(kind, version, nonce) });
    }

    pub(super) fn sotw_response(&mut self, response: DiscoveryResponse) {
        self.receive(&response.encode_to_vec());
    }

    pub(super) fn delta(&mut self, kind: Kind, nonce: &str, resources: &[(&str, &str)], removed: &[&str]) {
        let resources = resources.iter().map(|(text, version)| self.resource(kind, text, version)).collect();
        let removed_resources = removed.iter().map(|name| self.full(name)).collect();
        self.delta_response(DeltaDiscoveryResponse { resources, removed_resources, ..delta_response(kind, nonce) });
    }

    pub(super) fn delta_response(&mut self, response: DeltaDiscoveryResponse) {
        self.receive(&response.encode_to_vec());
    }

    pub(super) fn resource(&self, kind: Kind, text: &str, version: &str) -> Resource {
        let name = text.rsplit_once('=').map_or(text, |(name, _)| name);
        Resource { version: version.into(), name: self.full(name), resource: Some(self.any(kind, text)), ttl: None }
    }

    pub(super) fn error(&self, name: &str, code: i32, message: &str) -> ResourceError {
        ResourceError {
            resource_name: Some(ResourceName { name: self.full(name) }),
            error_detail: Some(Status { code, message: message.into() }),
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.engine.on_response(self.now, Bytes::copy_from_slice(bytes), &mut self.out);
    }

    /// The stream ends; what that says besides when to come back stays to be expected.
    pub(super) fn lose(&mut self, lost: &Lost) -> Duration {
        self.engine.on_lost(self.now, lost, &mut self.out);
        let Some(Effect::Connect { after }) = self.out.pop() else { panic!("a reconnect is planned: {:?}", self.out) };
        after
    }

    /// The stream ends, which is of no interest, and another one opens.
    pub(super) fn reconnect(&mut self) {
        self.lose(&closed());
        self.out.clear();
        self.open();
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.engine.on_tick(self.now, &mut self.out);
    }

    /// Everything that came out since the last call, one line each.
    pub(super) fn expect(&mut self, lines: &[&str]) {
        let mut got: Vec<String> = std::mem::take(&mut self.out).iter().map(line).collect();
        if let Some((kind, prefix)) = &self.generic {
            for text in &mut got {
                *text = text.replace(kind.short(), "xDS");
                if !prefix.is_empty() {
                    *text = text.replace(prefix.as_str(), "");
                }
            }
        }
        assert_eq!(got, lines, "{:?}", self.generic);
    }

    /// States of the resources of a kind.
    pub(super) fn states(&self, kind: Kind) -> Vec<(String, &'static str)> {
        let prefix = self.full("");
        let short = |name: &str| name.strip_prefix(prefix.as_str()).unwrap_or(name).to_owned();
        self.engine.resources(kind).iter().map(|r| (short(&r.name), r.state.name())).collect()
    }

    pub(super) fn state(&self, name: &str) -> &'static str {
        let states = self.states(self.kind());
        states.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("{name} is not in {states:?}")).1
    }
}

pub(super) fn sotw_response(kind: Kind, version: &str, nonce: &str) -> DiscoveryResponse {
    DiscoveryResponse { version_info: version.into(), type_url: kind.type_url().into(), nonce: nonce.into(), ..Default::default() }
}

pub(super) fn delta_response(kind: Kind, nonce: &str) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse { type_url: kind.type_url().into(), nonce: nonce.into(), ..Default::default() }
}

/// An end in order.
pub(super) fn closed() -> Lost {
    Lost { reason: "closed by the server".into(), how: End::Closed }
}

pub(super) fn line(effect: &Effect<String>) -> String {
    match effect {
        Effect::Send(Request::Sotw(r)) => {
            let node = if r.node.is_some() { " node" } else { "" };
            let error = r.error_detail.as_ref().map(|e| format!(" NACK[{}]", e.message)).unwrap_or_default();
            assert!(r.error_detail.as_ref().is_none_or(|e| e.code == 3), "a NACK says INVALID_ARGUMENT");
            format!("> {}{node} {:?} v{:?} n{:?}{error}", short(&r.type_url), r.resource_names, r.version_info, r.response_nonce)
        }
        Effect::Send(Request::Delta(r)) => {
            let mut text = format!("> {}", short(&r.type_url));
            if r.node.is_some() {
                text += " node";
            }
            if !r.response_nonce.is_empty() {
                text += &format!(" ack {}", r.response_nonce);
            }
            if let Some(error) = &r.error_detail {
                assert_eq!(error.code, 3, "a NACK says INVALID_ARGUMENT");
                text += &format!(" NACK[{}]", error.message);
            }
            if !r.resource_names_subscribe.is_empty() {
                text += &format!(" +{:?}", r.resource_names_subscribe);
            }
            if !r.resource_names_unsubscribe.is_empty() {
                text += &format!(" -{:?}", r.resource_names_unsubscribe);
            }
            let mut held: Vec<_> = r.initial_resource_versions.iter().map(|(n, v)| format!("{n}:{v}")).collect();
            held.sort();
            if !held.is_empty() {
                text += &format!(" held {held:?}");
            }
            text
        }
        Effect::Update { name, value, .. } => format!("update {name} {value}"),
        Effect::Remove { name, gone, .. } => format!("remove {name} {gone:?}"),
        Effect::Reject { error, .. } => format!("reject {error}"),
        Effect::Trouble { name, error, .. } => format!("trouble {name}: {error}"),
        Effect::Clear { name, .. } => format!("clear {name}"),
        Effect::Forget { name, .. } => format!("forget {name}"),
        Effect::Answered(kind) => format!("answered {}", kind.short()),
        Effect::Unreachable(error) => format!("unreachable {error}"),
        Effect::Yield => "yield".into(),
        Effect::Close(reason) => format!("close {reason}"),
        Effect::Connect { .. } => "connect".into(),
    }
}

pub(super) fn short(url: &str) -> &'static str {
    Kind::from_type_url(url).expect("known").short()
}
