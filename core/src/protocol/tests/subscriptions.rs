// SPDX-License-Identifier: Apache-2.0
//! What is asked for, and when.

use super::*;

#[test]
fn c_009_every_request_lists_all_current_names() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.open();
        t.watch(kind, &["a"]);
        t.watch(kind, &["b"]);
        t.watch(kind, &["c"]);
        t.cancel(kind, "b");
        t.expect(&[
            r#"> xDS node ["a"] v"" n"""#,
            r#"> xDS ["a", "b"] v"" n"""#,
            r#"> xDS ["a", "b", "c"] v"" n"""#,
            r#"> xDS ["a", "c"] v"" n"""#,
            "forget b",
        ]);
    });
}

#[test]
fn c_011_the_last_name_is_taken_back_with_an_empty_list_and_the_next_stream_does_not_mention_the_type() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.out.clear();
        t.cancel(kind, "a");
        t.expect(&[r#"> xDS [] v"" n"""#, "forget a"]);
        t.reconnect();
        t.expect(&[]);
    });
}

#[test]
fn c_012_a_name_watched_after_the_last_one_went_uses_the_latest_nonce() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=x"]);
        t.cancel(kind, "a");
        t.out.clear();
        t.watch(kind, &["b"]);
        t.expect(&[r#"> xDS ["b"] v"1" n"n1""#]);
    });
}

#[test]
fn c_011_a_name_let_go_before_anything_was_said_leaves_no_trace() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.open();
        let name = t.resource(kind, "a=", "").name;
        t.engine.subscribe(kind, &name.as_str().into());
        t.cancel(kind, "a");
        t.expect(&["forget a"]);
        t.watch(kind, &["a"]);
        t.expect(&[r#"> xDS node ["a"] v"" n"""#]);
    });
}

#[test]
fn c_012_a_name_let_go_and_wanted_again_on_one_stream_is_asked_for_anew() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=x", "b=x"]);
        t.out.clear();
        t.cancel(kind, "a");
        t.watch(kind, &["a"]);
        // The server may have missed the first list, and would then not send again what it thinks we have.
        t.expect(&[r#"> xDS ["b"] v"1" n"n1""#, "forget a", r#"> xDS ["b"] v"1" n"n1""#, r#"> xDS ["a", "b"] v"1" n"n1""#]);
        t.sotw(kind, "2", "n2", &["a=x", "b=x"]);
        t.expect(&["update a x", r#"> xDS ["a", "b"] v"2" n"n2""#, "answered xDS"]);
    });
}

#[test]
fn c_012_when_every_question_was_crossed_by_a_push_the_name_is_asked_for_once_more_at_the_end_of_the_wait() {
    let mut t = Trace::new(Sotw);
    t.watch(EDS, &["a", "b"]);
    t.open();
    t.sotw(EDS, "1", "n1", &["a=x", "b=x"]);
    t.cancel(EDS, "a");
    t.watch(EDS, &["a"]);
    for push in 2..20 {
        t.out.clear();
        t.sotw(EDS, "2", "n2", &[&format!("b={push}")]);
        let lists = t.out.iter().filter(|effect| matches!(effect, Effect::Send(_))).count();
        // The first question went with the watch, seven more go with answers.
        assert_eq!(lists, if push < 9 { 2 } else { 1 }, "push {push}");
    }
    t.out.clear();
    t.advance(15);
    t.watch(EDS, &[]);
    t.expect(&["remove a Unanswered", r#"> EDS ["b"] v"2" n"n2""#, r#"> EDS ["a", "b"] v"2" n"n2""#]);
}

#[test]
fn names_that_come_and_go_on_one_stream_leave_nothing_behind_and_are_asked_for_anew_all_the_same() {
    let mut t = Trace::new(Sotw);
    t.watch(EDS, &["stays"]);
    t.open();
    let cycle = |t: &mut Trace, names: std::ops::Range<u32>| {
        for n in names {
            t.watch(EDS, &[&format!("{n}")]);
            t.cancel(EDS, &format!("{n}"));
            t.out.clear();
        }
        // What was waited for ends.
        t.advance(15);
        t.out.clear();
    };
    cycle(&mut t, 0..2000);
    let used = allocation_counter::measure(|| cycle(&mut t, 2000..20_000));
    assert!(used.bytes_current < 128 << 10, "{} bytes are left", used.bytes_current);
    t.watch(EDS, &["3"]);
    t.expect(&[r#"> EDS ["stays"] v"" n"""#, r#"> EDS ["3", "stays"] v"" n"""#]);
}

#[test]
fn c_013_a_resource_that_is_no_longer_wanted_is_ignored_and_acknowledged() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=x", "b=x"]);
        t.cancel(kind, "b");
        t.out.clear();
        let decoded = t.engine.decoder().decoded;
        t.sotw(kind, "2", "n2", &["a=y", "b=bad"]);
        t.expect(&["update a y", r#"> xDS ["a"] v"2" n"n2""#, "answered xDS"]);
        assert_eq!(t.engine.decoder().decoded, decoded + 1, "what nobody wants is not decoded");
    });
}

#[test]
fn c_013_a_name_let_go_just_before_an_answer_is_forgotten_with_it() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.out.clear();
        // Not flushed: the acknowledgement is the first to say so.
        t.engine.unsubscribe(kind, &t.resource(kind, "b=", "").name);
        t.sotw(kind, "1", "n1", &["a=x"]);
        t.expect(&["update a x", r#"> xDS ["a"] v"1" n"n1""#, "forget b", "answered xDS"]);
        t.engine.unsubscribe(kind, &t.resource(kind, "a=", "").name);
        t.watch(kind, &["c"]);
        t.expect(&[r#"> xDS ["c"] v"1" n"n1""#, "forget a"]);
        assert_eq!(t.states(kind).len(), 1);
    });
}

#[test]
fn c_014_cancel_and_watch_before_the_request_is_written_loses_nothing() {
    for variant in [Sotw, Delta] {
        each(variant, |t| {
            let kind = t.kind();
            t.watch(kind, &["a"]);
            t.open();
            match variant {
                Sotw => t.sotw(kind, "1", "n1", &["a=x"]),
                Delta => t.delta(kind, "n1", &[("a=x", "1")], &[]),
            }
            t.out.clear();
            t.engine.unsubscribe(kind, &t.resource(kind, "a=", "").name);
            t.watch(kind, &["a"]);
            assert!(t.out.iter().all(|effect| matches!(effect, Effect::Send(_))), "{:?}", t.out);
            assert_eq!(t.state("a"), "acked");
        });
    }
}

#[test]
fn both_spellings_of_the_wildcard_are_spoken() {
    for (variant, wildcard, expected) in [
        (Sotw, None, r#"> CDS node [] v"" n"""#),
        (Sotw, Some(Wildcard::Star), r#"> CDS node ["*"] v"" n"""#),
        (Delta, None, r#"> CDS node +["*"]"#),
        (Delta, Some(Wildcard::Empty), "> CDS node"),
    ] {
        let mut t = Trace::with(Settings { wildcard, ..settings(variant) });
        t.engine.subscribe_all(CDS);
        t.open();
        t.expect(&[expected]);
    }
}

#[test]
fn the_empty_wildcard_is_never_joined_with_names() {
    let mut t = Trace::new(Sotw);
    t.watch(CDS, &["a"]);
    t.open();
    t.engine.subscribe_all(CDS);
    t.watch(CDS, &[]);
    t.expect(&[r#"> CDS node ["a"] v"" n"""#, r#"> CDS ["*", "a"] v"" n"""#]);
    let mut t = Trace::with(Settings { wildcard: Some(Wildcard::Empty), ..settings(Delta) });
    t.engine.subscribe_all(CDS);
    t.open();
    t.watch(CDS, &["a"]);
    t.expect(&["> CDS node", r#"> CDS +["*", "a"]"#]);
    t.engine.unsubscribe_all(CDS);
    t.watch(CDS, &[]);
    t.expect(&[r#"> CDS -["*"]"#]);
}

#[test]
fn a_name_that_nobody_wants_any_more_is_not_remembered_under_a_wildcard() {
    let mut t = Trace::new(Delta);
    t.engine.subscribe_all(CDS);
    t.watch(CDS, &["a"]);
    t.open();
    t.cancel(CDS, "a");
    assert_eq!(t.states(CDS), []);
}
