// SPDX-License-Identifier: Apache-2.0
//! Traces: given, server sends, expect sends, expect events.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;

use super::*;
use crate::backoff::Backoff;

/// Resources are `name=value`; a value of `bad` is rejected, `panic` panics.
#[derive(Default)]
struct Text {
    decoded: usize,
}

impl Decode for Text {
    type Value = String;

    fn name(&mut self, _: Kind, body: &Bytes) -> Result<String, String> {
        let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
        Ok(text.split('=').next().unwrap_or_default().to_owned())
    }

    fn decode(&mut self, _: Kind, _: &str, body: &Bytes) -> Result<String, String> {
        self.decoded += 1;
        let text = String::from_utf8_lossy(body);
        match text.split_once('=').map_or(&*text, |(_, value)| value) {
            "bad" => Err("it is bad".into()),
            "panic" => panic!("a decoder that panics"),
            value => Ok(value.to_owned()),
        }
    }
}

struct Trace {
    engine: Engine<Text>,
    now: Time,
    out: Vec<Effect<String>>,
}

impl Trace {
    fn new(variant: Variant) -> Self {
        let settings = Settings {
            variant,
            node: Bytes::from_static(b"node"),
            resource_timeout: Duration::from_secs(15),
            first_response_timeout: Duration::from_secs(30),
            backoff: Backoff::default(),
            seed: 1,
        };
        Self { engine: Engine::new(settings, Text::default()), now: Duration::ZERO, out: Vec::new() }
    }

    fn watch(&mut self, kind: Kind, names: &[&str]) {
        for name in names {
            self.engine.subscribe(kind, &Arc::from(*name));
        }
        self.engine.flush(self.now, &mut self.out);
    }

    fn cancel(&mut self, kind: Kind, name: &str) {
        self.engine.unsubscribe(kind, name);
        self.engine.flush(self.now, &mut self.out);
    }

    fn open(&mut self) {
        self.engine.on_open(self.now, &mut self.out);
    }

    fn sotw(&mut self, kind: Kind, version: &str, nonce: &str, resources: &[&str]) {
        let any = |text: &&str| Any { type_url: kind.type_url().into(), value: Bytes::copy_from_slice(text.as_bytes()) };
        let response = DiscoveryResponse {
            version_info: version.into(),
            resources: resources.iter().map(any).collect(),
            type_url: kind.type_url().into(),
            nonce: nonce.into(),
        };
        self.receive(&response.encode_to_vec());
    }

    fn delta(&mut self, kind: Kind, nonce: &str, resources: &[(&str, &str)], removed: &[&str]) {
        let resource = |(text, version): &(&str, &str)| Resource {
            version: (*version).into(),
            name: text.split('=').next().unwrap_or_default().into(),
            resource: Some(Any { type_url: kind.type_url().into(), value: Bytes::copy_from_slice(text.as_bytes()) }),
        };
        let response = DeltaDiscoveryResponse {
            resources: resources.iter().map(resource).collect(),
            type_url: kind.type_url().into(),
            nonce: nonce.into(),
            removed_resources: removed.iter().map(|name| (*name).into()).collect(),
            ..Default::default()
        };
        self.receive(&response.encode_to_vec());
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.engine.on_response(self.now, Bytes::copy_from_slice(bytes), &mut self.out);
    }

    fn lose(&mut self, unimplemented: bool, abrupt: bool) -> Duration {
        self.engine.on_lost(self.now, &Lost { reason: "test".into(), unimplemented, abrupt }, &mut self.out);
        let after = self.out.iter().find_map(|effect| if let Effect::Connect { after } = effect { Some(*after) } else { None });
        self.out.clear();
        after.expect("a reconnect is planned")
    }

    fn advance(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.engine.on_tick(self.now, &mut self.out);
    }

    /// Everything that came out since the last call, one line each.
    fn expect(&mut self, lines: &[&str]) {
        let got: Vec<String> = std::mem::take(&mut self.out).iter().map(line).collect();
        assert_eq!(got, lines);
    }
}

fn line(effect: &Effect<String>) -> String {
    match effect {
        Effect::Send(Request::Sotw(r)) => {
            let node = if r.node.is_some() { " node" } else { "" };
            let error = r.error_detail.as_ref().map(|e| format!(" NACK[{}]", e.message)).unwrap_or_default();
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
        Effect::Forget { name, .. } => format!("forget {name}"),
        Effect::Answered(kind) => format!("answered {}", kind.short()),
        Effect::Close(reason) => format!("close {reason}"),
        Effect::Connect { .. } => "connect".into(),
    }
}

fn short(url: &str) -> &'static str {
    Kind::from_type_url(url).expect("known").short()
}

use Kind::{Cluster as CDS, Endpoints as EDS};

#[test]
fn a_watch_is_requested_once_and_its_response_acknowledged() {
    let mut t = Trace::new(Variant::Sotw);
    t.watch(EDS, &["a"]);
    t.expect(&[]);
    t.open();
    t.expect(&[r#"> EDS node ["a"] v"" n"""#]);
    t.sotw(EDS, "1", "n1", &["a=x"]);
    t.expect(&["update a x", r#"> EDS ["a"] v"1" n"n1""#, "answered EDS"]);
}

#[test]
fn a_nack_keeps_the_previous_version_and_names_every_failure() {
    let mut t = Trace::new(Variant::Sotw);
    t.watch(EDS, &["a", "b", "c"]);
    t.open();
    t.sotw(EDS, "1", "n1", &["a=x", "b=y"]);
    t.out.clear();
    t.sotw(EDS, "2", "n2", &["a=bad", "b=z", "c=panic"]);
    t.expect(&[
        "reject a: it is bad",
        "update b z",
        "reject c: the decoder failed on this resource (a defect of the client, contained)",
        r#"> EDS ["a", "b", "c"] v"1" n"n2" NACK[a: it is bad; c: the decoder failed on this resource (a defect of the client, contained)]"#,
        "answered EDS",
    ]);
    t.sotw(EDS, "3", "n3", &["a=ok"]);
    t.expect(&["update a ok", r#"> EDS ["a", "b", "c"] v"3" n"n3""#, "answered EDS"]);
}

#[test]
fn identical_content_is_not_decoded_again_good_or_bad() {
    let mut t = Trace::new(Variant::Sotw);
    t.watch(EDS, &["a", "b"]);
    t.open();
    t.sotw(EDS, "1", "n1", &["a=x", "b=bad"]);
    let decoded = t.engine.decoder().decoded;
    t.out.clear();
    t.sotw(EDS, "2", "n2", &["a=x", "b=bad"]);
    t.expect(&[r#"> EDS ["a", "b"] v"" n"n2" NACK[b: it is bad]"#, "answered EDS"]);
    assert_eq!(t.engine.decoder().decoded, decoded);
    assert_eq!(t.engine.status(EDS).identical, 1);
}

#[test]
fn absence_deletes_clusters_and_says_nothing_about_endpoints() {
    let mut t = Trace::new(Variant::Sotw);
    t.engine.subscribe_all(CDS);
    t.watch(EDS, &["a", "b"]);
    t.open();
    t.expect(&[r#"> CDS node [] v"" n"""#, r#"> EDS ["a", "b"] v"" n"""#]);
    t.sotw(CDS, "1", "n1", &["x=1", "y=1"]);
    t.sotw(EDS, "1", "m1", &["a=1", "b=1"]);
    t.out.clear();
    t.sotw(CDS, "2", "n2", &["y=1"]);
    t.expect(&["remove x Removed", r#"> CDS [] v"2" n"n2""#, "answered CDS"]);
    t.sotw(EDS, "2", "m2", &["b=2"]);
    t.expect(&["update b 2", r#"> EDS ["a", "b"] v"2" n"m2""#, "answered EDS"]);
}

#[test]
fn a_list_that_changed_before_a_nack_is_said_again_after_it() {
    let mut t = Trace::new(Variant::Sotw);
    t.watch(EDS, &["a"]);
    t.open();
    t.sotw(EDS, "1", "n1", &["a=x"]);
    t.watch(EDS, &["b"]);
    t.out.clear();
    t.sotw(EDS, "2", "n2", &["a=bad"]);
    t.expect(&[
        "reject a: it is bad",
        r#"> EDS ["a", "b"] v"1" n"n2" NACK[a: it is bad]"#,
        r#"> EDS ["a", "b"] v"1" n"n2""#,
        "answered EDS",
    ]);
}

#[test]
fn delta_keeps_answers_and_subscriptions_apart() {
    let mut t = Trace::new(Variant::Delta);
    t.engine.subscribe_all(CDS);
    t.watch(EDS, &["a"]);
    t.open();
    t.expect(&[r#"> CDS node +["*"]"#, r#"> EDS +["a"]"#]);
    t.delta(CDS, "n1", &[("x=1", "7")], &[]);
    t.expect(&["update x 1", "> CDS ack n1", "answered CDS"]);
    t.watch(EDS, &["b"]);
    t.expect(&[r#"> EDS +["b"]"#]);
    t.cancel(EDS, "a");
    t.expect(&[r#"> EDS -["a"]"#, "forget a"]);
}

#[test]
fn delta_applies_good_resources_of_a_rejected_response() {
    let mut t = Trace::new(Variant::Delta);
    t.watch(EDS, &["a", "b"]);
    t.open();
    t.out.clear();
    t.delta(EDS, "n1", &[("a=ok", "1"), ("b=bad", "1")], &[]);
    t.expect(&["update a ok", "reject b: it is bad", "> EDS ack n1 NACK[b: it is bad]", "answered EDS"]);
    t.lose(false, false);
    t.open();
    t.expect(&[r#"> EDS node +["a", "b"] held ["a:1"]"#]);
}

#[test]
fn delta_removes_what_is_named_and_nothing_else() {
    let mut t = Trace::new(Variant::Delta);
    t.watch(EDS, &["a", "b"]);
    t.open();
    t.delta(EDS, "n1", &[("a=1", ""), ("b=1", "")], &[]);
    t.out.clear();
    t.delta(EDS, "n2", &[], &["a"]);
    t.expect(&["remove a Removed", "> EDS ack n2", "answered EDS"]);
    t.delta(EDS, "n3", &[("a=2", "")], &[]);
    t.expect(&["update a 2", "> EDS ack n3", "answered EDS"]);
}

#[test]
fn unsubscribe_and_subscribe_before_a_flush_is_a_subscription_and_loses_nothing() {
    let mut t = Trace::new(Variant::Delta);
    t.watch(EDS, &["a"]);
    t.open();
    t.delta(EDS, "n1", &[("a=1", "")], &[]);
    t.out.clear();
    t.engine.unsubscribe(EDS, "a");
    t.watch(EDS, &["a"]);
    t.expect(&[r#"> EDS +["a"]"#]);
}

#[test]
fn clusters_lost_while_disconnected_disappear_when_the_server_resends_everything() {
    let mut t = Trace::new(Variant::Delta);
    t.engine.subscribe_all(CDS);
    t.open();
    t.delta(CDS, "n1", &[("x=1", ""), ("y=1", "")], &[]);
    t.lose(false, false);
    t.open();
    t.expect(&[r#"> CDS node +["*"] held ["x:", "y:"]"#]);
    t.delta(CDS, "m1", &[("y=1", "")], &[]);
    t.expect(&["remove x Removed", "> CDS ack m1", "answered CDS"]);
}

#[test]
fn a_server_that_honours_versions_takes_nothing_away_by_silence() {
    let mut t = Trace::new(Variant::Delta);
    t.engine.subscribe_all(CDS);
    t.open();
    t.delta(CDS, "n1", &[("x=1", "1"), ("y=1", "1")], &[]);
    t.lose(false, false);
    t.open();
    t.out.clear();
    t.delta(CDS, "m1", &[("y=2", "2")], &[]);
    t.expect(&["update y 2", "> CDS ack m1", "answered CDS"]);
}

#[test]
fn after_a_reconnect_everything_is_stated_again_with_versions_and_without_nonces() {
    let mut t = Trace::new(Variant::Sotw);
    t.watch(EDS, &["a"]);
    t.open();
    t.sotw(EDS, "1", "n1", &["a=x"]);
    t.lose(false, false);
    t.watch(EDS, &["b"]);
    t.expect(&[]);
    t.open();
    t.expect(&[r#"> EDS node ["a", "b"] v"1" n"""#]);
}

#[test]
fn types_without_subscriptions_are_silent_and_the_last_unsubscription_is_told() {
    let mut t = Trace::new(Variant::Sotw);
    t.watch(EDS, &["a"]);
    t.open();
    t.out.clear();
    t.cancel(EDS, "a");
    t.expect(&[r#"> EDS [] v"" n"""#, "forget a"]);
    t.lose(false, false);
    t.open();
    t.expect(&[]);
}

#[test]
fn a_name_that_is_not_answered_in_time_is_absent_and_may_still_come() {
    for variant in [Variant::Sotw, Variant::Delta] {
        let mut t = Trace::new(variant);
        t.watch(EDS, &["a"]);
        assert_eq!(t.engine.next_deadline(), None, "not before it was asked for");
        t.open();
        t.out.clear();
        t.advance(14);
        t.expect(&[]);
        t.advance(1);
        t.expect(&["remove a Absent"]);
        match variant {
            Variant::Sotw => t.sotw(EDS, "1", "n", &["a=1"]),
            Variant::Delta => t.delta(EDS, "n", &[("a=1", "")], &[]),
        }
        assert_eq!(line(&t.out[0]), "update a 1");
    }
}

#[test]
fn the_absence_timer_starts_anew_with_the_stream_and_not_for_what_is_held() {
    let mut t = Trace::new(Variant::Delta);
    t.watch(EDS, &["a", "b"]);
    t.open();
    t.delta(EDS, "n", &[("b=1", "")], &[]);
    t.advance(10);
    t.lose(false, false);
    assert_eq!(t.engine.next_deadline(), None);
    t.open();
    t.out.clear();
    t.advance(14);
    t.expect(&[]);
    t.advance(1);
    t.expect(&["remove a Absent"]);
}

#[test]
fn a_stream_without_any_response_is_given_up() {
    let mut t = Trace::new(Variant::Delta);
    t.engine.subscribe_all(CDS);
    t.open();
    t.out.clear();
    t.advance(30);
    t.expect(&["close no response to the first request"]);
}

#[test]
fn unimplemented_delta_falls_back_to_the_state_of_the_world_at_once() {
    let mut t = Trace::new(Variant::Delta);
    t.engine.subscribe_all(CDS);
    t.open();
    assert_eq!(t.lose(true, false), Duration::ZERO);
    assert_eq!(t.engine.variant(), Variant::Sotw);
    t.open();
    t.expect(&[r#"> CDS node [] v"" n"""#]);
}

#[test]
fn delays_grow_without_responses_and_start_over_after_one() {
    let mut t = Trace::new(Variant::Delta);
    t.engine.subscribe_all(CDS);
    let near = |delay: Duration, seconds: f64| (delay.as_secs_f64() / seconds - 1.0).abs() <= 0.2001;
    for expected in [1.0, 1.6, 2.56] {
        t.open();
        let delay = t.lose(false, false);
        assert!(near(delay, expected), "{delay:?}");
    }
    t.open();
    t.delta(CDS, "n", &[], &[]);
    t.advance(0);
    assert!(near(t.lose(false, false), 1.0));
    t.open();
    t.delta(CDS, "n", &[], &[]);
    t.advance(1800);
    assert_eq!(t.lose(false, false), Duration::ZERO, "the time on the stream counts: a GOAWAY every half hour is a non-event");
    t.open();
    t.delta(CDS, "n", &[], &[]);
    t.advance(1800);
    let delay = t.lose(false, true);
    assert!(delay <= Duration::from_secs(1), "{delay:?}");
}

#[test]
fn strange_responses_do_not_stop_the_stream() {
    let mut t = Trace::new(Variant::Delta);
    t.engine.subscribe_all(CDS);
    t.open();
    t.out.clear();
    t.delta(EDS, "n1", &[("a=1", "")], &[]);
    t.expect(&[]);
    let unknown = DeltaDiscoveryResponse { type_url: "type.googleapis.com/x".into(), ..Default::default() };
    t.receive(&unknown.encode_to_vec());
    t.expect(&[]);
    t.delta(CDS, "n2", &[("x=1", ""), ("x=2", "")], &["y"]);
    t.expect(&["update x 1", "> CDS ack n2 NACK[x: listed twice in one response]", "answered CDS"]);
    t.receive(&[0xff]);
    assert!(matches!(t.out.as_slice(), [Effect::Close(_)]));
}

#[test]
fn wrapped_resources_are_unwrapped_and_wrong_types_are_errors_by_index() {
    let mut t = Trace::new(Variant::Sotw);
    t.watch(EDS, &["outer"]);
    t.open();
    t.out.clear();
    let inner = Any { type_url: EDS.type_url().into(), value: Bytes::from_static(b"inner=1") };
    let wrapper = Resource { name: "outer".into(), version: "5".into(), resource: Some(inner) };
    let wrapped = Any { type_url: message::RESOURCE_URL.into(), value: wrapper.encode_to_vec().into() };
    let wrong = Any { type_url: "type.googleapis.com/other".into(), value: Bytes::new() };
    let response = DiscoveryResponse {
        version_info: "1".into(),
        resources: vec![wrapped, wrong],
        type_url: EDS.type_url().into(),
        nonce: "n".into(),
    };
    t.receive(&response.encode_to_vec());
    t.expect(&[
        "update outer 1",
        r#"> EDS ["outer"] v"" n"n" NACK[resource #1: type type.googleapis.com/other in a response of EDS]"#,
        "answered EDS",
    ]);
}
