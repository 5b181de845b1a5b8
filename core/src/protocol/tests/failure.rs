// SPDX-License-Identifier: Apache-2.0
//! Streams that end.

use super::*;

#[test]
fn c_032_the_end_of_an_answered_stream_is_no_news() {
    for reason in ["closed by the server", "Unavailable: going away", "Internal: broken"] {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["a"]);
            t.open();
            t.sotw(kind, "1", "n1", &["a=x"]);
            t.out.clear();
            t.lose(&Lost { reason: reason.into(), ..closed() });
            t.expect(&[]);
            let health = t.engine.health();
            assert_eq!((health.connected, health.server_failures), (true, 0));
        });
    }
}

#[test]
fn c_033_the_end_of_a_stream_without_an_answer_is_a_failure_even_in_order() {
    each(Delta, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.delta(kind, "n1", &[("a=x", "")], &[]);
        assert!(t.engine.is_synced());
        t.reconnect();
        assert!(!t.engine.is_synced());
        t.out.clear();
        t.lose(&closed());
        t.expect(&["unreachable closed by the server"]);
        let health = t.engine.health();
        assert_eq!((health.connected, health.server_failures, t.state("a")), (false, 1, "acked"));
        t.open();
        t.lose(&closed());
        assert_eq!(t.engine.health().server_failures, 1, "counted when the server goes from healthy to not");
        t.open();
        assert!(!t.engine.health().connected, "only a response proves anything");
        t.delta(kind, "n2", &[], &[]);
        assert!(t.engine.health().connected);
    });
}

#[test]
fn c_034_delays_grow_without_responses_and_start_over_after_one_less_the_time_on_the_stream() {
    let near = |delay: Duration, seconds: f64| (delay.as_secs_f64() / seconds - 1.0).abs() <= 0.2001;
    let mut t = Trace::new(Delta);
    t.engine.subscribe_all(CDS);
    let mut expected: f64 = 1.0;
    for _ in 0..14 {
        t.open();
        let delay = t.lose(&closed());
        assert!(near(delay, expected.min(120.0)), "{delay:?} is not about {expected} s");
        expected *= 1.6;
    }
    t.open();
    t.delta(CDS, "n", &[], &[]);
    assert!(near(t.lose(&closed()), 1.0));
    t.open();
    t.delta(CDS, "n", &[], &[]);
    t.now += Duration::from_millis(500);
    let delay = t.lose(&closed());
    assert!(near(delay + Duration::from_millis(500), 1.0), "{delay:?}");
    t.open();
    t.delta(CDS, "n", &[], &[]);
    t.advance(1800);
    assert_eq!(t.lose(&closed()), Duration::ZERO);
}

#[test]
fn after_an_abrupt_loss_clients_do_not_all_come_back_at_once() {
    let delays: std::collections::BTreeSet<Duration> = (0..20)
        .map(|seed| {
            let mut t = Trace::with(Settings { seed, ..settings(Delta) });
            t.engine.subscribe_all(CDS);
            t.open();
            t.delta(CDS, "n", &[], &[]);
            t.advance(1800);
            t.lose(&Lost { how: End::Broken, ..closed() })
        })
        .collect();
    assert!(delays.len() == 20 && delays.iter().all(|delay| *delay < Duration::from_secs(1)), "{delays:?}");
    assert!(delays.last().expect("some").saturating_sub(*delays.first().expect("some")) > Duration::from_millis(500));
}

#[test]
fn c_035_a_new_stream_states_everything_with_versions_and_without_nonces_and_the_node_once() {
    let mut t = Trace::new(Sotw);
    t.engine.subscribe_all(CDS);
    t.watch(EDS, &["a"]);
    t.watch(RDS, &["r"]);
    t.open();
    t.sotw(CDS, "1", "n1", &["x=1"]);
    t.sotw(EDS, "7", "m1", &["a=x"]);
    t.sotw(EDS, "8", "m2", &["a=bad"]);
    t.cancel(RDS, "r");
    t.reconnect();
    t.expect(&[r#"> CDS node [] v"1" n"""#, r#"> EDS ["a"] v"7" n"""#]);
}

#[test]
fn c_036_what_changed_without_a_stream_shows_once_in_the_first_requests() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.cancel(kind, "b");
        t.watch(kind, &["c"]);
        t.out.clear();
        t.open();
        t.expect(&[r#"> xDS node ["a", "c"] v"" n"""#]);
        t.lose(&closed());
        t.cancel(kind, "a");
        t.watch(kind, &["d"]);
        t.out.clear();
        t.open();
        t.expect(&[r#"> xDS node ["c", "d"] v"" n"""#]);
    });
}

#[test]
fn c_037_what_a_server_does_not_send_again_stays_valid() {
    for variant in [Sotw, Delta] {
        each(variant, |t| {
            let kind = t.kind();
            t.watch(kind, &["a"]);
            t.open();
            match variant {
                Sotw => t.sotw(kind, "1", "n", &["a=x"]),
                Delta => t.delta(kind, "n", &[("a=x", "1")], &[]),
            }
            t.reconnect();
            t.out.clear();
            for _ in 0..10 {
                t.advance(60);
            }
            assert!(!t.out.iter().any(|effect| matches!(effect, Effect::Remove { .. } | Effect::Trouble { .. })), "{:?}", t.out);
            assert_eq!(t.state("a"), "acked");
        });
    }
}

#[test]
fn c_092_the_counters_are_those_of_a78() {
    let mut t = Trace::new(Sotw);
    let health = |t: &Trace| (t.engine.health().connected, t.engine.health().server_failures);
    t.watch(EDS, &["a", "b", "c"]);
    assert_eq!(health(&t), (false, 0));
    t.open();
    assert_eq!(health(&t), (true, 0), "the first stream counts as connected");
    t.sotw(EDS, "1", "n1", &["a=x", "b=bad"]);
    t.sotw(EDS, "2", "n2", &["a=x", "b=bad"]);
    let status = t.engine.status(EDS);
    assert_eq!((status.accepted + status.identical, status.rejected), (2, 2), "valid and invalid, unchanged ones too");
    assert_eq!((status.responses, status.nacks), (2, 2));
    t.sotw(EDS, "3", "n3", &["a=bad"]);
    let states: Vec<_> = t.states(EDS).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["nacked_but_cached", "nacked", "requested"]);
    t.lose(&closed());
    assert_eq!(health(&t), (true, 0));
    t.lose(&closed());
    assert_eq!(health(&t), (false, 1));
}

#[test]
fn bytes_that_are_no_response_prove_nothing_about_a_server_and_delays_go_on_growing() {
    for variant in [Sotw, Delta] {
        let mut t = Trace::new(variant);
        t.engine.subscribe_all(CDS);
        let mut last = Duration::ZERO;
        // No message at all, an empty one, one of a type (field 4 of both) that nobody knows.
        for bytes in [&b"\xffHTTP"[..], b"", b"\x22\x01x"].repeat(3) {
            t.open();
            assert!(!t.engine.on_response(t.now, Bytes::from_static(bytes), &mut t.out));
            assert!(!t.engine.is_synced() && !t.engine.health().connected || last.is_zero());
            last = t.lose(&Lost { how: End::Failed, ..closed() });
        }
        assert!(last > Duration::from_secs(30), "{last:?}");
    }
}

#[test]
fn delta_is_tried_again_on_a_later_connection_to_a_server_that_did_not_know_it() {
    let mut t = Trace::new(Delta);
    t.engine.subscribe_all(CDS);
    for round in 0..2 {
        t.open();
        t.lose(&Lost { how: End::Unimplemented, ..closed() });
        assert_eq!(t.engine.variant(), Sotw);
        t.open();
        t.sotw(CDS, "1", "n", &["x=1"]);
        t.lose(&closed());
        assert_eq!(t.engine.variant(), Delta, "round {round}");
    }
    t.out.clear();
    t.open();
    t.expect(&[r#"> CDS node +["*"] held ["x:"]"#]);
    t.delta(CDS, "n1", &[("x=1", "1")], &[]);
    t.expect(&["> CDS ack n1", "answered CDS"]);
}

#[test]
fn unimplemented_delta_falls_back_to_the_state_of_the_world_at_once() {
    let mut t = Trace::new(Delta);
    t.engine.subscribe_all(CDS);
    t.open();
    assert_eq!(t.lose(&Lost { how: End::Unimplemented, ..closed() }), Duration::ZERO);
    assert_eq!(t.engine.variant(), Sotw);
    t.out.clear();
    t.open();
    t.expect(&[r#"> CDS node [] v"" n"""#]);
}

#[test]
fn e_14_twice_evicted_from_a_socket_for_one_we_keep_away() {
    let mut t = Trace::with(Settings { yields: true, ..settings(Delta) });
    t.engine.subscribe_all(CDS);
    let serve = |t: &mut Trace, seconds| {
        t.open();
        t.delta(CDS, "n", &[("x=1", "")], &[]);
        t.out.clear();
        t.advance(seconds);
    };
    serve(&mut t, 3600);
    let after = t.lose(&closed());
    assert!(after <= Duration::from_secs(2), "once may be a restart: {after:?}");
    t.advance(1);
    serve(&mut t, 1);
    assert_eq!(t.lose(&closed()), Duration::from_secs(300));
    t.expect(&["yield"]);
    assert!(t.engine.health().yielding);
    t.advance(300);
    serve(&mut t, 1);
    assert_eq!(t.lose(&closed()), Duration::from_secs(300), "and again: the other one is still there");
    t.advance(300);
    t.open();
    t.out.clear();
    assert_eq!(t.lose(&closed()), Duration::from_secs(300), "also before it was answered");
    t.advance(300);
    t.open();
    assert!(
        t.lose(&Lost { how: End::Failed, ..closed() }) < Duration::from_secs(3),
        "an agent that cannot reach istiod is another matter"
    );
    t.advance(300);
    serve(&mut t, 10);
    assert!(!t.engine.health().yielding, "while it is served");
    assert!(t.lose(&closed()) <= Duration::from_secs(2), "it has gone");
    // Ends that lie apart are no eviction.
    t.advance(10);
    serve(&mut t, 0);
    assert!(t.lose(&closed()) <= Duration::from_secs(2));
    let mut t = Trace::new(Delta);
    t.engine.subscribe_all(CDS);
    for _ in 0..5 {
        serve(&mut t, 1);
        assert!(t.lose(&closed()) <= Duration::from_secs(2), "a server that takes many clients is another matter");
    }
}
