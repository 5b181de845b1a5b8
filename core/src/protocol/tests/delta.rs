// SPDX-License-Identifier: Apache-2.0
//! The incremental variant.

use super::*;

#[test]
fn e_01_the_first_request_says_names_and_after_a_reconnect_what_is_held_and_later_ones_neither() {
    each(Delta, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b", "c"]);
        t.open();
        t.expect(&[r#"> xDS node +["a", "b", "c"]"#]);
        t.delta(kind, "n1", &[("a=1", "7"), ("b=1", "8")], &["c"]);
        t.delta(kind, "n2", &[("a=2", "9")], &[]);
        t.lose(&closed());
        t.out.clear();
        t.open();
        t.expect(&[r#"> xDS node +["a", "b", "c"] held ["a:9", "b:8"]"#]);
        t.watch(kind, &["d"]);
        t.expect(&[r#"> xDS +["d"]"#]);
    });
}

#[test]
fn e_02_answers_and_subscriptions_travel_apart() {
    each(Delta, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.out.clear();
        t.delta(kind, "n1", &[("a=1", "7")], &[]);
        t.expect(&["update a 1", "> xDS ack n1", "answered xDS"]);
        t.watch(kind, &["b"]);
        t.expect(&[r#"> xDS +["b"]"#]);
        t.cancel(kind, "a");
        t.expect(&[r#"> xDS -["a"]"#, "forget a"]);
        t.delta(kind, "n2", &[("b=bad", "7")], &[]);
        t.expect(&["reject b: it is bad", "> xDS ack n2 NACK[b: it is bad]", "answered xDS"]);
        let status = t.engine.status(kind);
        assert_eq!((status.responses, status.nacks, status.rejected), (2, 1, 1));
    });
}

#[test]
fn e_03_a_removed_name_stays_subscribed_and_one_that_never_comes_is_timed() {
    each(Delta, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "never"]);
        t.open();
        t.delta(kind, "n1", &[("a=1", "")], &[]);
        t.out.clear();
        t.delta(kind, "n2", &[], &["a"]);
        t.expect(&["remove a Removed", "> xDS ack n2", "answered xDS"]);
        t.delta(kind, "n3", &[("a=2", "")], &[]);
        t.expect(&["update a 2", "> xDS ack n3", "answered xDS"]);
        t.advance(15);
        t.expect(&["remove never Unanswered"]);
    });
}

#[test]
fn e_04_unsubscribe_and_subscribe_before_a_send_is_sent_as_subscribe() {
    each(Delta, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.delta(kind, "n1", &[("a=1", "5")], &[]);
        t.out.clear();
        t.engine.unsubscribe(kind, &t.resource(kind, "a=", "").name);
        t.watch(kind, &["a"]);
        t.expect(&[r#"> xDS +["a"]"#]);
        t.delta(kind, "n2", &[("a=1", "5")], &[]);
        t.expect(&["> xDS ack n2", "answered xDS"]);
    });
}

#[test]
fn e_05_names_and_wildcard_come_and_go_apart() {
    let mut t = Trace::new(Delta);
    t.engine.subscribe_all(CDS);
    t.watch(CDS, &["named"]);
    t.open();
    t.expect(&[r#"> CDS node +["*", "named"]"#]);
    t.delta(CDS, "n1", &[("named=1", "1"), ("other=1", "1")], &[]);
    t.out.clear();
    // Dropped by name, it may still be covered by the wildcard: it stays until the server tells.
    t.cancel(CDS, "named");
    t.expect(&[r#"> CDS -["named"]"#]);
    assert_eq!(t.states(CDS), [("named".to_owned(), "acked"), ("other".to_owned(), "acked")]);
    t.delta(CDS, "n2", &[], &["named"]);
    t.expect(&["remove named Removed", "> CDS ack n2", "answered CDS"]);
    // The wildcard goes, and with it what only it covers.
    t.watch(CDS, &["named"]);
    t.delta(CDS, "n3", &[("named=2", "2")], &[]);
    t.out.clear();
    t.engine.unsubscribe_all(CDS);
    t.watch(CDS, &[]);
    t.expect(&[r#"> CDS -["*"]"#, "forget other"]);
    assert_eq!(t.states(CDS), [("named".to_owned(), "acked")]);
    t.engine.subscribe_all(CDS);
    t.watch(CDS, &[]);
    t.expect(&[r#"> CDS +["*"]"#]);
}

#[test]
fn e_06_a_name_twice_or_in_both_lists_or_of_a_wrong_type_is_nacked_and_the_good_ones_apply() {
    each(Delta, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b", "c", "d", "e"]);
        t.open();
        t.delta(kind, "n1", &[("b=0", "1"), ("c=0", "1"), ("d=0", "1"), ("e=0", "1")], &[]);
        t.out.clear();
        let mut wrong = t.resource(kind, "d=1", "2");
        wrong.resource = Some(Any { type_url: "type.googleapis.com/other".into(), value: Bytes::new() });
        let nameless = Resource { name: String::new(), ..t.resource(kind, "e=1", "2") };
        let resources = vec![
            t.resource(kind, "a=1", "2"),
            t.resource(kind, "b=1", "2"),
            t.resource(kind, "b=2", "3"),
            t.resource(kind, "c=1", "2"),
            wrong,
            nameless,
        ];
        let removed_resources = vec![resources[3].name.clone()];
        t.delta_response(DeltaDiscoveryResponse { resources, removed_resources, ..delta_response(kind, "n2") });
        let type_error = "resource #4: type type.googleapis.com/other in a response of xDS";
        t.expect(&[
            "update a 1",
            "update b 1",
            "update b 2",
            "update c 1",
            &format!(
                "> xDS ack n2 NACK[b: listed twice in one response; {type_error}; resource #5: its name is empty; c: both listed and removed in one response]"
            ),
            "answered xDS",
        ]);
        t.reconnect();
        t.expect(&[r#"> xDS node +["a", "b", "c", "d", "e"] held ["a:2", "b:3", "c:2", "d:1", "e:1"]"#]);
    });
}

#[test]
fn e_07_a_heartbeat_renews_the_time_to_live_and_its_end_is_a_deletion() {
    let ttl = |seconds| Some(Ttl { seconds, nanos: 0 });
    for variant in [Sotw, Delta] {
        each(variant, |t| {
            let kind = t.kind();
            let send = |t: &mut Trace, nonce: &str, resource: Resource| match variant {
                Delta => t.delta_response(DeltaDiscoveryResponse { resources: vec![resource], ..delta_response(kind, nonce) }),
                Sotw => {
                    let wrapped = Any { type_url: message::RESOURCE_URL.into(), value: resource.encode_to_vec().into() };
                    t.sotw_response(DiscoveryResponse { resources: vec![wrapped], ..sotw_response(kind, nonce, nonce) });
                }
            };
            t.watch(kind, &["a"]);
            t.open();
            send(t, "n1", Resource { ttl: ttl(10), ..t.resource(kind, "a=1", "1") });
            t.out.clear();
            t.advance(8);
            send(t, "n2", Resource { resource: None, ttl: ttl(10), ..t.resource(kind, "a=1", "1") });
            assert!(!t.out.iter().any(|effect| matches!(effect, Effect::Update { .. } | Effect::Remove { .. })), "{:?}", t.out);
            t.out.clear();
            // A heartbeat for another version is none.
            t.advance(8);
            send(t, "n3", Resource { resource: None, ttl: ttl(10), ..t.resource(kind, "a=1", "other") });
            t.out.clear();
            assert_eq!(t.engine.next_deadline(), Some(Duration::from_secs(18)));
            t.advance(2);
            t.expect(&["remove a Removed"]);
            send(t, "n4", Resource { ttl: ttl(10), ..t.resource(kind, "a=1", "2") });
            send(t, "n5", t.resource(kind, "a=2", "3"));
            t.out.clear();
            t.advance(100);
            t.expect(&[]);
            assert_eq!((t.engine.next_deadline(), t.state("a")), (None, "acked"));
        });
    }
}

#[test]
fn e_07_a_time_to_live_that_is_none_is_ignored() {
    let duration = |seconds, nanos| Ttl { seconds, nanos }.duration();
    assert_eq!(duration(1, 999_999_999), Some(Duration::new(1, 999_999_999)));
    for (seconds, nanos) in [(1, 1_000_000_000), (-1, 0), (1, -1), (i64::MAX, 0), (315_576_000_001, 0)] {
        assert_eq!(duration(seconds, nanos), None, "{seconds} s {nanos} ns");
    }
}

#[test]
fn e_07_a_time_to_live_goes_on_without_a_stream() {
    let mut t = Trace::new(Delta);
    t.watch(EDS, &["a"]);
    t.open();
    let resources = vec![Resource { ttl: Some(Ttl { seconds: 10, nanos: 0 }), ..t.resource(EDS, "a=1", "1") }];
    t.delta_response(DeltaDiscoveryResponse { resources, ..delta_response(EDS, "n1") });
    t.lose(&closed());
    t.out.clear();
    t.advance(10);
    t.expect(&["remove a Removed"]);
}

/// An answer that can only be istiod's.
fn istiod(t: &mut Trace, resources: &[(&str, &str)]) {
    let resources = resources.iter().map(|(text, version)| t.resource(CDS, text, version)).collect();
    let system_version_info: String = "2026-01-01T00:00:00Z/1".into();
    let nonce = format!("{system_version_info}-uuid");
    t.delta_response(DeltaDiscoveryResponse { resources, system_version_info, ..delta_response(CDS, &nonce) });
}

#[test]
fn e_08_a_server_that_gives_its_first_state_in_parts_takes_nothing_away_between_them() {
    let mut t = Trace::new(Delta);
    t.engine.subscribe_all(CDS);
    t.open();
    t.delta(CDS, "n1", &[("x=1", "1"), ("y=1", "1")], &[]);
    t.reconnect();
    t.out.clear();
    t.delta(CDS, "m1", &[("x=1", "1")], &[]);
    t.delta(CDS, "m2", &[("y=1", "1")], &[]);
    t.expect(&["> CDS ack m1", "answered CDS", "> CDS ack m2", "answered CDS"]);
}

#[test]
fn e_08_what_was_deleted_while_disconnected_disappears_after_the_reconnect() {
    // A server that names what is gone.
    let mut t = Trace::new(Delta);
    t.engine.subscribe_all(CDS);
    t.open();
    t.delta(CDS, "n1", &[("x=1", "1"), ("y=1", "1")], &[]);
    t.reconnect();
    t.expect(&[r#"> CDS node +["*"] held ["x:1", "y:1"]"#]);
    t.delta(CDS, "m1", &[], &["x"]);
    t.expect(&["remove x Removed", "> CDS ack m1", "answered CDS"]);
    // istiod, which sends its whole state again.
    t.delta(CDS, "m2", &[("x=1", "")], &[]);
    t.reconnect();
    t.out.clear();
    istiod(&mut t, &[("y=1", "1")]);
    t.expect(&["remove x Removed", "> CDS ack 2026-01-01T00:00:00Z/1-uuid", "answered CDS"]);
    // One of which it was said that it does.
    let mut t = Trace::with(Settings { full_state_on_reconnect: Some(true), ..settings(Delta) });
    t.engine.subscribe_all(CDS);
    t.open();
    t.delta(CDS, "n1", &[("x=1", "1"), ("y=1", "1")], &[]);
    t.reconnect();
    t.out.clear();
    t.delta(CDS, "m1", &[("y=2", "2")], &[]);
    t.expect(&["update y 2", "remove x Removed", "> CDS ack m1", "answered CDS"]);
}

#[test]
fn e_08_a_server_that_honours_versions_takes_nothing_away_by_silence() {
    let mut t = Trace::new(Delta);
    t.engine.subscribe_all(CDS);
    t.open();
    t.delta(CDS, "n1", &[("x=1", "1"), ("y=1", "1")], &[]);
    t.reconnect();
    t.out.clear();
    t.delta(CDS, "m1", &[("y=2", "2")], &[]);
    t.expect(&["update y 2", "> CDS ack m1", "answered CDS"]);
}

#[test]
fn a_server_that_is_silent_when_asked_for_everything_in_one_way_is_asked_in_the_other() {
    let mut t = Trace::new(Delta);
    t.engine.subscribe_all(CDS);
    t.watch(EDS, &["a"]);
    for asked in [r#"> CDS node +["*"]"#, "> CDS node", r#"> CDS node +["*"]"#] {
        t.open();
        t.expect(&[asked, r#"> EDS +["a"]"#]);
        // It is no mute peer: it answers about what it understands.
        t.delta(EDS, "e", &[], &["a"]);
        t.out.clear();
        t.advance(29);
        t.expect(&[]);
        t.advance(1);
        t.expect(&["close everything was asked for and is not answered; the other way to ask is tried"]);
        t.lose(&closed());
        t.out.clear();
    }
    // The spelling that was answered is kept.
    t.open();
    t.delta(CDS, "n1", &[("x=1", "1")], &[]);
    t.advance(3600);
    assert!(!t.out.iter().any(|effect| matches!(effect, Effect::Close(_))));
    t.lose(&closed());
    t.out.clear();
    t.open();
    t.expect(&[r#"> CDS node held ["x:1"]"#, r#"> EDS +["a"]"#]);
}

#[test]
fn a_mute_server_is_asked_for_everything_in_the_other_way_and_a_spelling_that_was_set_stays() {
    for (wildcard, next) in [(None, "> CDS node"), (Some(Wildcard::Star), r#"> CDS node +["*"]"#)] {
        let mut t = Trace::with(Settings { wildcard, ..settings(Delta) });
        t.engine.subscribe_all(CDS);
        t.open();
        for next in [next, r#"> CDS node +["*"]"#] {
            t.out.clear();
            t.advance(30);
            t.expect(&["close no response to the first request"]);
            t.lose(&closed());
            t.out.clear();
            t.open();
            t.expect(&[next]);
        }
    }
}

#[test]
fn e_13_a_stream_that_ends_every_half_hour_changes_nothing() {
    each(Delta, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.delta(kind, "replica-1-n1", &[("a=1", "1")], &[]);
        for replica in 2..5 {
            t.advance(1800);
            t.out.clear();
            assert_eq!(t.lose(&closed()), Duration::ZERO);
            t.expect(&[]);
            t.open();
            t.out.clear();
            let nonce = format!("replica-{replica}-n1");
            t.delta(kind, &nonce, &[("a=1", &format!("{replica}.1"))], &[]);
            t.expect(&[&format!("> xDS ack {nonce}"), "answered xDS"]);
        }
    });
}
