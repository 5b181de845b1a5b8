// SPDX-License-Identifier: Apache-2.0
//! Random histories against a naive model: a server that answers as istiod does (it drops requests with a stale nonce whole, and
//! ignores the names of a NACK), messages in flight both ways, streams that break. When everything has been delivered the client
//! must hold exactly what the server has for what is subscribed. `PROPTEST_CASES` says how many histories.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use super::*;

/// Resources are `name=value`; a value that begins with `!` is rejected.
#[derive(Debug)]
struct Text;

impl Decode for Text {
    type Value = String;

    fn name(&mut self, _: Kind, body: &Bytes) -> Result<String, String> {
        Ok(String::from_utf8_lossy(body).split('=').next().unwrap_or_default().to_owned())
    }

    fn decode(&mut self, _: Kind, _: &str, body: &Bytes) -> Result<String, String> {
        let text = String::from_utf8_lossy(body);
        let value = text.split_once('=').map_or("", |(_, value)| value);
        if value.starts_with('!') { Err("bad".into()) } else { Ok(value.to_owned()) }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Subscribe(u8),
    Unsubscribe(u8),
    /// The server gets a value; odd ones of ten are bad.
    Set(u8, u8),
    Remove(u8),
    ToServer,
    ToClient,
    Break,
    Open,
    Flush,
    Pass(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..5u8;
    prop_oneof![
        3 => name.clone().prop_map(Step::Subscribe),
        2 => name.clone().prop_map(Step::Unsubscribe),
        4 => (name.clone(), 0..10u8).prop_map(|(name, value)| Step::Set(name, value)),
        1 => name.prop_map(Step::Remove),
        5 => Just(Step::ToServer),
        5 => Just(Step::ToClient),
        1 => Just(Step::Break),
        2 => Just(Step::Open),
        3 => Just(Step::Flush),
        1 => (0..20u8).prop_map(Step::Pass),
    ]
}

/// What the server keeps for one stream.
#[derive(Debug, Default)]
struct ServerStream {
    opened: bool,
    wildcard: bool,
    names: BTreeSet<String>,
    nonce: String,
}

#[derive(Debug)]
struct World {
    variant: Variant,
    kind: Kind,
    engine: Engine<Text>,
    now: Time,
    values: BTreeMap<String, String>,
    stream: Option<ServerStream>,
    to_server: VecDeque<Request>,
    to_client: VecDeque<Bytes>,
    counter: u64,
    subscribed: BTreeSet<String>,
    /// What the client's effects add up to.
    held: BTreeMap<String, String>,
}

impl World {
    fn new(variant: Variant, kind: Kind) -> Self {
        let settings = Settings { first_response_timeout: Duration::from_secs(3600), ..trace_tests::settings(variant) };
        let mut engine = Engine::new(settings, Text);
        if kind == Kind::Cluster {
            engine.subscribe_all(kind);
        }
        Self {
            variant,
            kind,
            engine,
            now: Duration::ZERO,
            values: BTreeMap::new(),
            stream: None,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            counter: 0,
            subscribed: BTreeSet::new(),
            held: BTreeMap::new(),
        }
    }

    fn act(&mut self, input: impl FnOnce(&mut Engine<Text>, Time, &mut Vec<Effect<String>>)) {
        let mut effects = Vec::new();
        input(&mut self.engine, self.now, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send(request) => self.to_server.push_back(request),
                Effect::Update { name, value, .. } => drop(self.held.insert(name.to_string(), value)),
                Effect::Remove { name, .. } | Effect::Forget { name, .. } => drop(self.held.remove(&*name)),
                _ => {}
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let wildcard = self.kind == Kind::Cluster;
        match step {
            Step::Subscribe(n) if !wildcard => {
                self.subscribed.insert(n.to_string());
                self.engine.subscribe(self.kind, &Arc::from(n.to_string()));
            }
            Step::Unsubscribe(n) if !wildcard => {
                self.subscribed.remove(&n.to_string());
                self.engine.unsubscribe(self.kind, &n.to_string());
            }
            Step::Subscribe(_) | Step::Unsubscribe(_) => {}
            Step::Set(n, v) => {
                self.counter += 1;
                let value = format!("{}{}", if v % 10 < 3 { "!" } else { "" }, self.counter);
                self.values.insert(n.to_string(), value);
                self.push(&n.to_string());
            }
            // A state-of-the-world server does not say that an assignment is gone: its cluster goes.
            Step::Remove(n) if wildcard || self.variant == Variant::Delta => {
                if self.values.remove(&n.to_string()).is_some() {
                    self.push(&n.to_string());
                }
            }
            Step::Remove(_) => {}
            Step::ToServer => self.server_step(),
            Step::ToClient => {
                if let Some(message) = self.to_client.pop_front() {
                    self.act(|engine, now, out| _ = engine.on_response(now, message, out));
                }
            }
            Step::Break => self.break_stream(),
            Step::Open => self.open(),
            Step::Flush => self.act(|engine, now, out| engine.flush(now, out)),
            Step::Pass(seconds) => {
                self.now += Duration::from_secs(u64::from(*seconds));
                self.act(|engine, now, out| engine.on_tick(now, out));
            }
        }
    }

    fn break_stream(&mut self) {
        if self.stream.take().is_some() {
            self.to_server.clear();
            self.to_client.clear();
            let lost = Lost { reason: String::new(), how: End::Broken };
            self.act(|engine, now, out| engine.on_lost(now, &lost, out));
        }
    }

    fn open(&mut self) {
        if self.stream.is_none() {
            self.stream = Some(ServerStream::default());
            self.act(|engine, now, out| engine.on_open(now, out));
        }
    }

    fn server_step(&mut self) {
        let Some(request) = self.to_server.pop_front() else { return };
        match request {
            Request::Sotw(request) => self.server_sotw(&request),
            Request::Delta(request) => self.server_delta(request),
        }
    }

    fn server_sotw(&mut self, request: &DiscoveryRequest) {
        let Some(stream) = &mut self.stream else { return };
        let first = !std::mem::replace(&mut stream.opened, true);
        if !first && (request.response_nonce != stream.nonce || request.error_detail.is_some()) {
            return;
        }
        stream.wildcard = first && request.resource_names.is_empty() || stream.wildcard;
        let names: BTreeSet<String> = request.resource_names.iter().cloned().collect();
        let added: BTreeSet<String> = names.difference(&stream.names).cloned().collect();
        stream.names = names;
        if first || !added.is_empty() {
            self.respond(&added);
        }
    }

    fn server_delta(&mut self, request: DeltaDiscoveryRequest) {
        let Some(stream) = &mut self.stream else { return };
        if !request.response_nonce.is_empty() {
            return;
        }
        let mut asked: BTreeSet<String> = request.resource_names_subscribe.into_iter().collect();
        if asked.remove("*") {
            stream.wildcard = true;
            asked.extend(self.values.keys().cloned());
        } else {
            stream.names.extend(asked.iter().cloned());
        }
        for name in &request.resource_names_unsubscribe {
            stream.names.remove(name);
        }
        asked.extend(request.initial_resource_versions.into_keys());
        if !asked.is_empty() {
            self.respond(&asked);
        }
    }

    fn push(&mut self, name: &str) {
        let Some(stream) = &self.stream else { return };
        if stream.wildcard || stream.names.contains(name) {
            self.respond(&BTreeSet::from([name.to_owned()]));
        }
    }

    /// Answers with these names; a state-of-the-world answer about clusters holds all of them.
    fn respond(&mut self, names: &BTreeSet<String>) {
        let Some(stream) = &mut self.stream else { return };
        self.counter += 1;
        stream.nonce = format!("n{}", self.counter);
        let url = self.kind.type_url();
        let any =
            |name: &String, value: &String| Any { type_url: url.into(), value: format!("{name}={value}").into_bytes().into() };
        let full = self.kind.is_full_state();
        let message = match self.variant {
            Variant::Sotw => DiscoveryResponse {
                version_info: self.counter.to_string(),
                resources: self.values.iter().filter(|(name, _)| full || names.contains(*name)).map(|(n, v)| any(n, v)).collect(),
                type_url: url.into(),
                nonce: stream.nonce.clone(),
                resource_errors: Vec::new(),
            }
            .encode_to_vec(),
            Variant::Delta => DeltaDiscoveryResponse {
                resources: names
                    .iter()
                    .filter_map(|n| self.values.get_key_value(n))
                    .map(|(n, v)| Resource { name: n.clone(), version: v.clone(), resource: Some(any(n, v)), ttl: None })
                    .collect(),
                removed_resources: names.iter().filter(|n| !self.values.contains_key(*n)).cloned().collect(),
                type_url: url.into(),
                nonce: stream.nonce.clone(),
                ..Default::default()
            }
            .encode_to_vec(),
        };
        self.to_client.push_back(message.into());
    }

    fn deliver(&mut self) {
        for _ in 0..1000 {
            self.step(&Step::ToServer);
            self.step(&Step::ToClient);
        }
        assert!(self.to_server.is_empty() && self.to_client.is_empty(), "client and server talk for ever");
    }

    /// Delivers everything, then compares.
    fn settle(&mut self) {
        self.open();
        self.step(&Step::Flush);
        self.deliver();
        // What the client may still be waiting for, it gives up, or asks for once more.
        self.step(&Step::Pass(15));
        self.step(&Step::Flush);
        self.deliver();
        for n in 0..5u8 {
            let name = n.to_string();
            let wanted = self.kind == Kind::Cluster || self.subscribed.contains(&name);
            match (wanted, self.values.get(&name)) {
                (false, _) => assert_eq!(self.held.get(&name), None, "{name} is not asked for"),
                (true, Some(bad)) if bad.starts_with('!') => {}
                (true, Some(good)) => assert_eq!(self.held.get(&name), Some(good), "{name}"),
                (true, None) if self.kind == Kind::Cluster || self.variant == Variant::Delta => {
                    assert_eq!(self.held.get(&name), None, "{name} is gone");
                }
                (true, None) => {}
            }
        }
    }
}

fn history(variant: Variant, kind: Kind, steps: &[Step]) {
    let mut world = World::new(variant, kind);
    for step in steps {
        world.step(step);
    }
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_of_named_resources_ends_with_what_the_server_has(
        steps in prop::collection::vec(step(), 0..80),
        delta in any::<bool>(),
    ) {
        history(if delta { Variant::Delta } else { Variant::Sotw }, Kind::Endpoints, &steps);
    }

    #[test]
    fn any_history_of_a_wildcard_ends_with_what_the_server_has(
        steps in prop::collection::vec(step(), 0..80),
        delta in any::<bool>(),
    ) {
        history(if delta { Variant::Delta } else { Variant::Sotw }, Kind::Cluster, &steps);
    }
}

/// Histories that once ended wrongly.
mod regressions {
    use super::{
        Step::{Flush, Open, Pass, Set, Subscribe, ToClient, ToServer, Unsubscribe},
        *,
    };

    #[test]
    fn a_list_told_under_two_crossing_pushes_is_said_again_after_the_nack() {
        let steps = [Subscribe(4), Open, ToServer, Set(3, 3), Subscribe(0), Set(4, 0), Subscribe(3)];
        history(Variant::Sotw, Kind::Endpoints, &steps);
    }

    #[test]
    fn a_name_let_go_and_wanted_again_behind_the_servers_back_is_asked_for_anew() {
        let steps = [Subscribe(3), Subscribe(0), Set(0, 3), Open, ToServer, Set(3, 0), Unsubscribe(0), ToClient, Subscribe(0)];
        history(Variant::Sotw, Kind::Endpoints, &steps);
    }

    #[test]
    fn also_after_its_absence_was_concluded() {
        let steps = [
            Subscribe(0),
            Subscribe(2),
            Open,
            ToServer,
            Unsubscribe(0),
            Set(0, 3),
            ToClient,
            ToClient,
            Set(2, 0),
            Subscribe(0),
            ToClient,
            Pass(15),
            Set(2, 0),
        ];
        history(Variant::Sotw, Kind::Endpoints, &steps);
    }

    #[test]
    fn also_when_more_pushes_cross_than_there_are_questions() {
        let pushes = |count| std::iter::repeat_n(Set(1, 0), count);
        let begin = [Set(0, 3), Subscribe(1), Subscribe(0), Open, ToServer];
        let again = [ToClient, Unsubscribe(0), Flush, Subscribe(0), Open];
        let steps: Vec<Step> = begin.into_iter().chain(pushes(3)).chain(again).chain(pushes(20)).collect();
        history(Variant::Sotw, Kind::Endpoints, &steps);
    }

    #[test]
    fn also_when_it_was_let_go_twice() {
        let steps = [
            Subscribe(4),
            Subscribe(2),
            Open,
            ToServer,
            Unsubscribe(2),
            Set(2, 3),
            Set(4, 0),
            ToClient,
            Subscribe(2),
            Unsubscribe(2),
            ToClient,
            Subscribe(2),
        ];
        history(Variant::Sotw, Kind::Endpoints, &steps);
    }
}
