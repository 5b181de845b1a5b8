// SPDX-License-Identifier: Apache-2.0
//! What is held, and what a watcher is told of it.

use super::*;

#[test]
fn c_015_an_identical_resend_is_silent_and_refreshes_version_and_time() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=x"]);
        t.advance(5);
        t.out.clear();
        let decoded = t.engine.decoder().decoded;
        t.sotw(kind, "2", "n2", &["a=x"]);
        t.expect(&[r#"> xDS ["a"] v"2" n"n2""#, "answered xDS"]);
        assert_eq!(t.engine.decoder().decoded, decoded, "nor is it decoded");
        assert_eq!(t.engine.resources(kind)[0].at, Some(Duration::from_secs(5)));
        assert_eq!(t.engine.status(kind).identical, 1);
    });
}

#[test]
fn c_015_an_identical_resend_ends_a_standing_error() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=x"]);
        t.sotw(kind, "2", "n2", &["a=bad"]);
        t.out.clear();
        t.sotw(kind, "3", "n3", &["a=x"]);
        t.expect(&["clear a", r#"> xDS ["a"] v"3" n"n3""#, "answered xDS"]);
        assert_eq!(t.state("a"), "acked");
    });
}

#[test]
fn c_016_a_known_absence_is_neither_asked_for_nor_waited_for_again() {
    each(Delta, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.delta(kind, "n", &[], &["a"]);
        t.out.clear();
        t.watch(kind, &["a"]);
        t.expect(&[]);
        assert_eq!((t.engine.next_deadline(), t.state("a")), (None, "does_not_exist"));
    });
}

#[test]
fn c_017_c_018_data_and_standing_error_are_both_kept_for_who_asks_later() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=x", "b=bad"]);
        t.sotw(kind, "2", "n2", &["a=bad", "b=bad"]);
        let resources = t.engine.resources(kind);
        let of = |at: usize| {
            (
                resources[at].state.name(),
                resources[at].at.is_some(),
                resources[at].error.as_deref().map(|e| e.ends_with("it is bad")),
            )
        };
        assert_eq!(of(0), ("nacked_but_cached", true, Some(true)));
        assert_eq!(of(1), ("nacked", false, Some(true)));
    });
}

#[test]
fn c_019_the_same_error_of_a_resource_is_told_once() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=bad", "b=bad"]);
        t.out.clear();
        t.sotw(kind, "2", "n2", &["a=bad", "b=bad-differently"]);
        t.expect(&[
            "reject b: it is bad-differently",
            r#"> xDS ["a", "b"] v"" n"n2" NACK[a: it is bad; b: it is bad-differently]"#,
            "answered xDS",
        ]);
    });
}

#[test]
fn c_096_content_that_is_rejected_leaves_what_is_in_use() {
    each(Delta, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.delta(kind, "n1", &[("a=x", "1")], &[]);
        t.delta(kind, "n2", &[("a=bad", "2")], &[]);
        assert!(!t.out.iter().any(|effect| matches!(effect, Effect::Remove { .. })), "{:?}", t.out);
        let held = t.engine.resources(kind).remove(0);
        assert_eq!((held.state.name(), &*held.version), ("nacked_but_cached", "1"));
    });
}

#[test]
fn c_097_each_of_several_bad_resources_has_its_own_error_and_the_nack_lists_all() {
    each(Delta, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b", "c"]);
        t.open();
        t.out.clear();
        t.delta(kind, "n1", &[("a=bad-1", ""), ("b=bad-2", ""), ("c=x", "")], &[]);
        t.expect(&[
            "reject a: it is bad-1",
            "reject b: it is bad-2",
            "update c x",
            "> xDS ack n1 NACK[a: it is bad-1; b: it is bad-2]",
            "answered xDS",
        ]);
    });
}

#[test]
fn c_094_of_ten_thousand_clusters_only_the_changed_ones_are_decoded() {
    for wildcard in [true, false] {
        let mut t = Trace::new(Sotw);
        let names: Vec<String> = (0..10_000).map(|n| format!("c{n}")).collect();
        if wildcard {
            t.engine.subscribe_all(CDS);
        } else {
            t.engine.subscribe(CDS, &"c7".into());
        }
        t.open();
        let push = |t: &mut Trace, version: &str, changed: &str| {
            let before = t.engine.decoder().decoded;
            let texts: Vec<String> = names.iter().map(|n| format!("{n}={}", if n == changed { version } else { "x" })).collect();
            t.sotw(CDS, version, version, &texts.iter().map(String::as_str).collect::<Vec<_>>());
            t.engine.decoder().decoded - before
        };
        assert_eq!(push(&mut t, "1", ""), if wildcard { 10_000 } else { 1 });
        assert_eq!(push(&mut t, "2", "c7"), 1);
        assert_eq!(push(&mut t, "3", "c8"), if wildcard { 2 } else { 1 }, "c7 goes back to what it was");
    }
}
