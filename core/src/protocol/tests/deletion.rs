// SPDX-License-Identifier: Apache-2.0
//! What goes, and what is kept all the same.

use super::*;

const FULL: [Kind; 2] = [CDS, LDS];

fn with(policy: Policy) -> Settings {
    Settings { policy, ..settings(Sotw) }
}

#[test]
fn c_026_nack_keeps_v1_in_use_unless_the_server_says_otherwise() {
    each(Sotw, |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=x"]);
        t.out.clear();
        t.sotw(kind, "2", "n2", &["a=bad"]);
        t.expect(&["reject a: it is bad", r#"> xDS ["a"] v"1" n"n2" NACK[a: it is bad]"#, "answered xDS"]);
        assert_eq!(t.state("a"), "nacked_but_cached");
    });
    each_of(&Kind::ALL, &with(Policy { fail_on_data_errors: true, ..Policy::default() }), |t| {
        let kind = t.kind();
        t.watch(kind, &["a"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=x"]);
        t.out.clear();
        t.sotw(kind, "2", "n2", &["a=bad"]);
        t.expect(&["reject a: it is bad", "remove a Rejected", r#"> xDS ["a"] v"1" n"n2" NACK[a: it is bad]"#, "answered xDS"]);
        assert_eq!(t.state("a"), "nacked");
    });
}

#[test]
fn c_027_what_a_full_state_no_longer_lists_is_gone_and_may_return() {
    for policy in [Policy::default(), Policy { fail_on_data_errors: true, ignore_resource_deletion: true, ..Policy::default() }] {
        each_of(&FULL, &with(policy), |t| {
            let kind = t.kind();
            t.watch(kind, &["a", "b"]);
            t.open();
            t.sotw(kind, "1", "n1", &["a=x", "b=x"]);
            t.out.clear();
            t.sotw(kind, "2", "n2", &["b=x"]);
            t.expect(&["remove a Removed", r#"> xDS ["a", "b"] v"2" n"n2""#, "answered xDS"]);
            assert_eq!((t.state("a"), t.engine.next_deadline()), ("does_not_exist", None));
            t.sotw(kind, "3", "n3", &["a=x", "b=x"]);
            t.expect(&["update a x", r#"> xDS ["a", "b"] v"3" n"n3""#, "answered xDS"]);
        });
    }
}

#[test]
fn c_027_what_was_only_ever_bad_and_is_no_longer_listed_is_absent() {
    each_of(&FULL, &settings(Sotw), |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=bad", "b=x"]);
        t.out.clear();
        t.sotw(kind, "2", "n2", &["b=x"]);
        t.expect(&["remove a Absent", r#"> xDS ["a", "b"] v"2" n"n2""#, "answered xDS"]);
        assert_eq!(t.state("a"), "does_not_exist");
    });
}

#[test]
fn c_028_what_is_kept_though_it_vanished_is_not_said_to_be_held() {
    let policy = Policy { ignore_resource_deletion: true, ..Policy::default() };
    each_of(&Kind::ALL, &Settings { policy, ..settings(Delta) }, |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.delta(kind, "n1", &[("a=x", "1"), ("b=x", "1")], &[]);
        t.delta(kind, "n2", &[], &["a"]);
        t.reconnect();
        t.expect(&[r#"> xDS node +["a", "b"] held ["b:1"]"#]);
    });
}

#[test]
fn c_028_with_ignore_resource_deletion_what_vanished_stays_and_is_reported_once() {
    each_of(&FULL, &with(Policy { ignore_resource_deletion: true, ..Policy::default() }), |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=x", "b=x"]);
        t.out.clear();
        t.sotw(kind, "2", "n2", &["b=x"]);
        t.expect(&["trouble a: the server no longer lists it", r#"> xDS ["a", "b"] v"2" n"n2""#, "answered xDS"]);
        assert_eq!(t.state("a"), "does_not_exist_but_cached");
        t.sotw(kind, "3", "n3", &["b=x"]);
        t.expect(&[r#"> xDS ["a", "b"] v"3" n"n3""#, "answered xDS"]);
        t.sotw(kind, "4", "n4", &["a=x", "b=x"]);
        t.expect(&["clear a", r#"> xDS ["a", "b"] v"4" n"n4""#, "answered xDS"]);
        assert_eq!(t.state("a"), "acked");
    });
}

#[test]
fn c_029_absent_routes_and_endpoints_are_not_gone_and_an_empty_response_is_acknowledged() {
    each_of(&[EDS, RDS], &settings(Sotw), |t| {
        let kind = t.kind();
        t.watch(kind, &["a", "b"]);
        t.open();
        t.sotw(kind, "1", "n1", &["a=x", "b=x"]);
        t.out.clear();
        t.sotw(kind, "2", "n2", &["b=y"]);
        t.expect(&["update b y", r#"> xDS ["a", "b"] v"2" n"n2""#, "answered xDS"]);
        t.sotw(kind, "3", "n3", &[]);
        t.expect(&[r#"> xDS ["a", "b"] v"3" n"n3""#, "answered xDS"]);
        assert_eq!(t.state("a"), "acked");
    });
}

#[test]
fn c_030_errors_instead_of_resources_are_acknowledged_told_and_remembered() {
    const NOT_FOUND: i32 = 5;
    const PERMISSION_DENIED: i32 = 7;
    const UNAVAILABLE: i32 = 14;
    for variant in [Sotw, Delta] {
        each_of(&[EDS, RDS], &settings(variant), |t| {
            let kind = t.kind();
            t.watch(kind, &["a", "b", "c", "d"]);
            t.open();
            match variant {
                Sotw => t.sotw(kind, "1", "n1", &["d=x"]),
                Delta => t.delta(kind, "n1", &[("d=x", "1")], &[]),
            }
            t.out.clear();
            let errors =
                [("a", NOT_FOUND), ("b", PERMISSION_DENIED), ("c", UNAVAILABLE), ("d", UNAVAILABLE), ("nobody", NOT_FOUND)];
            let resource_errors: Vec<_> = errors.iter().map(|(name, code)| t.error(name, *code, "no")).collect();
            let ack = match variant {
                Sotw => {
                    t.sotw_response(DiscoveryResponse { resource_errors, ..sotw_response(kind, "2", "n2") });
                    r#"> xDS ["a", "b", "c", "d"] v"2" n"n2""#
                }
                Delta => {
                    t.delta_response(DeltaDiscoveryResponse { resource_errors, ..delta_response(kind, "n2") });
                    "> xDS ack n2"
                }
            };
            t.expect(&[
                "remove a Absent",
                "remove b Refused",
                "trouble c: c: the server answers with code 14: no",
                "trouble d: d: the server answers with code 14: no",
                ack,
                "answered xDS",
            ]);
            let states: Vec<_> = t.states(kind).into_iter().map(|(_, state)| state).collect();
            assert_eq!(states, ["does_not_exist", "received_error", "received_error", "received_error_but_cached"]);
            assert_eq!(t.engine.next_deadline(), None, "an error is an answer");
            assert_eq!(t.engine.status(kind).refused, 4);
            assert!(t.engine.resources(kind)[2].error.as_ref().expect("remembered").contains("code 14"));
            match variant {
                Sotw => t.sotw(kind, "3", "n3", &["c=y", "d=x"]),
                Delta => t.delta(kind, "n3", &[("c=y", "2"), ("d=x", "2")], &[]),
            }
            let lines: Vec<_> = t.out.iter().map(line).collect();
            assert!(lines[0].ends_with("c y") && lines[1].starts_with("clear"), "{lines:?}");
        });
    }
}
