// SPDX-License-Identifier: Apache-2.0
//! Waiting for answers.

use super::*;

#[test]
fn c_021_a_name_that_is_not_answered_in_time_is_absent_and_may_still_come() {
    for variant in [Sotw, Delta] {
        each(variant, |t| {
            let kind = t.kind();
            t.watch(kind, &["a"]);
            t.open();
            t.out.clear();
            t.advance(14);
            t.expect(&[]);
            t.advance(1);
            t.expect(&["remove a Unanswered"]);
            assert_eq!(t.state("a"), "does_not_exist");
            match variant {
                Sotw => t.sotw(kind, "1", "n", &["a=1"]),
                Delta => t.delta(kind, "n", &[("a=1", "")], &[]),
            }
            assert!(line(&t.out[0]).ends_with("a 1"), "{:?}", t.out);
        });
    }
}

#[test]
fn c_022_a_response_without_a_name_that_never_came_leaves_it_to_the_timer() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.out.clear();
        t.advance(10);
        t.sotw(kind, "1", "n", &["a=1"]);
        t.expect(&["update a 1", r#"> xDS ["a", "b"] v"1" n"n""#, "answered xDS"]);
        assert_eq!(t.state("b"), "requested");
        t.advance(5);
        t.expect(&["remove b Unanswered"]);
    });
}

#[test]
fn c_022_from_a_server_that_lists_everything_a_missing_name_is_not_waited_for_long() {
    let settings = Settings { unlisted_timeout: Some(Duration::from_secs(1)), ..settings(Sotw) };
    each_of(&[CDS, LDS], &settings, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.out.clear();
        t.advance(5);
        t.sotw(kind, "1", "n", &["a=1"]);
        t.expect(&["update a 1", r#"> xDS ["a", "b"] v"1" n"n""#, "answered xDS"]);
        assert_eq!(t.engine.next_deadline(), Some(Duration::from_secs(6)));
        t.advance(1);
        t.expect(&["remove b Unanswered"]);
    });
    each_of(&[EDS, RDS], &settings, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.sotw(kind, "1", "n", &["a=1"]);
        assert_eq!(t.engine.next_deadline(), Some(Duration::from_secs(15)), "there absence means nothing");
    });
}

#[test]
fn c_023_the_timer_starts_when_the_request_is_written() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        assert_eq!(t.engine.next_deadline(), None);
        t.advance(100);
        t.open();
        t.out.clear();
        t.advance(14);
        t.expect(&[]);
        t.advance(1);
        t.expect(&["remove a Unanswered"]);
    });
}

#[test]
fn c_023_a_name_let_go_and_watched_again_is_waited_for_anew() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.advance(10);
        t.cancel(kind, "a");
        t.watch(kind, &["a"]);
        t.out.clear();
        t.advance(14);
        t.expect(&[]);
        t.advance(1);
        t.expect(&["remove a Unanswered"]);
    });
}

#[test]
fn c_024_the_timer_stops_with_the_stream_and_starts_anew_for_what_is_unresolved() {
    for variant in [Sotw, Delta] {
        each(variant, |t| {
            let kind = t.kind();
            t.watch(kind, &["a", "b"]);
            t.open();
            match variant {
                Sotw => t.sotw(kind, "1", "n", &["b=1"]),
                Delta => t.delta(kind, "n", &[("b=1", "")], &[]),
            }
            t.advance(10);
            t.lose(&closed());
            assert_eq!(t.engine.next_deadline(), None);
            t.advance(100);
            t.open();
            t.out.clear();
            t.advance(14);
            t.expect(&[]);
            t.advance(1);
            t.expect(&["remove a Unanswered"]);
            assert_eq!(t.state("b"), "acked");
        });
    }
}

#[test]
fn c_025_with_the_server_feature_an_answer_that_does_not_come_is_a_passing_failure() {
    let policy = Policy { resource_timer_is_transient_error: true, ..Policy::default() };
    each_of(&Kind::ALL, &Settings { policy, ..settings(Sotw) }, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.sotw(kind, "1", "n", &["b=1"]);
        t.out.clear();
        t.advance(29);
        t.expect(&[]);
        t.advance(1);
        t.expect(&["trouble a: no answer in time"]);
        assert_eq!((t.state("a"), t.state("b")), ("timeout", "acked"));
    });
}

#[test]
fn a_stream_without_any_response_is_given_up() {
    let mut t = Trace::new(Delta);
    t.engine.subscribe_all(CDS);
    t.open();
    t.out.clear();
    assert_eq!(t.engine.next_deadline(), Some(Duration::from_secs(30)));
    t.advance(29);
    t.expect(&[]);
    t.advance(1);
    t.expect(&["close no response to the first request"]);
}
