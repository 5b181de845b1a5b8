// SPDX-License-Identifier: Apache-2.0
//! The conformance catalogue as traces: what a client must do on one stream, in the state of the world (`c_…`) and in delta (`e_…`).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;

use super::{
    Kind::{Cluster as CDS, Endpoints as EDS, Listener as LDS, Routes as RDS},
    Variant::{Delta, Sotw},
    trace_tests::*,
    *,
};

mod stream {
    use super::*;

    #[test]
    fn c_001_a_watch_is_requested_once_and_its_response_acknowledged() {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["a"]);
            t.expect(&[]);
            t.open();
            t.expect(&[r#"> xDS node ["a"] v"" n"""#]);
            t.sotw(kind, "1", "n1", &["a=x"]);
            t.expect(&["update a x", r#"> xDS ["a"] v"1" n"n1""#, "answered xDS"]);
            assert_eq!(t.state("a"), "acked");
        });
    }

    #[test]
    fn c_002_a_nack_carries_the_old_version_and_every_error_and_leaves_nothing_behind() {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["a", "b"]);
            t.open();
            t.sotw(kind, "1", "n1", &["a=x", "b=y"]);
            t.out.clear();
            t.sotw(kind, "2", "n2", &["a=bad", "b=bad-too"]);
            t.expect(&[
                "reject a: it is bad",
                "reject b: it is bad-too",
                r#"> xDS ["a", "b"] v"1" n"n2" NACK[a: it is bad; b: it is bad-too]"#,
                "answered xDS",
            ]);
            t.sotw(kind, "3", "n3", &["a=z", "b=z"]);
            t.expect(&["update a z", "update b z", r#"> xDS ["a", "b"] v"3" n"n3""#, "answered xDS"]);
            assert_eq!(t.engine.status(kind).error, "");
        });
    }

    #[test]
    fn c_003_a_first_response_that_is_bad_is_nacked_with_an_empty_version() {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["a"]);
            t.open();
            t.out.clear();
            t.sotw(kind, "1", "n1", &["a=bad"]);
            t.expect(&["reject a: it is bad", r#"> xDS ["a"] v"" n"n1" NACK[a: it is bad]"#, "answered xDS"]);
            assert_eq!(t.state("a"), "nacked");
        });
    }

    #[test]
    fn c_004_a_good_resource_beside_a_bad_one_is_applied_under_one_nack() {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["a", "b"]);
            t.open();
            t.out.clear();
            t.sotw(kind, "1", "n1", &["a=x", "b=bad"]);
            t.expect(&["update a x", "reject b: it is bad", r#"> xDS ["a", "b"] v"" n"n1" NACK[b: it is bad]"#, "answered xDS"]);
        });
    }

    #[test]
    fn c_005_entries_without_a_readable_name_are_listed_by_index_and_the_others_apply() {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["a", "held"]);
            t.open();
            t.sotw(kind, "1", "n1", &["a=x", "held=y"]);
            t.out.clear();
            let wrong_type = Any { type_url: "type.googleapis.com/other".into(), value: Bytes::new() };
            let unreadable = Any { type_url: kind.type_url().into(), value: Bytes::from_static(&[0xff, 0xfe]) };
            let nameless = Any { type_url: kind.type_url().into(), value: Bytes::from_static(b"=x") };
            let broken_wrapper = Any { type_url: message::RESOURCE_URL.into(), value: Bytes::from_static(&[0xff]) };
            let empty_wrapper = Any { type_url: message::RESOURCE_URL.into(), value: Bytes::new() };
            let resources = vec![wrong_type, t.any(kind, "a=z"), unreadable, nameless, broken_wrapper, empty_wrapper];
            t.sotw_response(DiscoveryResponse { resources, ..sotw_response(kind, "2", "n2") });
            let lines: Vec<String> = t.out.iter().map(line).collect();
            assert!(lines[0].starts_with("update") && lines[0].ends_with(" z"), "{lines:?}");
            assert_eq!(lines.len(), 3, "nothing is concluded from what is missing: {lines:?}");
            for index in [0, 2, 3, 4, 5] {
                assert!(lines[1].contains(&format!("resource #{index}: ")), "{lines:?}");
            }
            assert!(!lines[1].contains("resource #1"), "{lines:?}");
        });
    }

    #[test]
    fn c_006_wrapped_resources_are_unwrapped_and_the_name_outside_wins() {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["outer"]);
            t.open();
            t.out.clear();
            let inner = Resource { name: t.resource(kind, "outer=", "").name, ..t.resource(kind, "inner=1", "5") };
            let wrapped = Any { type_url: message::RESOURCE_URL.into(), value: inner.encode_to_vec().into() };
            t.sotw_response(DiscoveryResponse { resources: vec![wrapped], ..sotw_response(kind, "1", "n") });
            t.expect(&["update outer 1", r#"> xDS ["outer"] v"1" n"n""#, "answered xDS"]);
        });
    }

    #[test]
    fn c_007_a_response_of_a_type_that_was_not_asked_for_is_neither_answered_nor_the_end() {
        for variant in [Sotw, Delta] {
            let mut t = Trace::new(variant);
            t.watch(CDS, &["a"]);
            t.open();
            t.out.clear();
            for type_url in [EDS.type_url(), "type.googleapis.com/unknown"] {
                match variant {
                    Sotw => t.sotw_response(DiscoveryResponse { type_url: type_url.into(), ..sotw_response(EDS, "1", "n1") }),
                    Delta => t.delta_response(DeltaDiscoveryResponse { type_url: type_url.into(), ..delta_response(EDS, "n1") }),
                }
            }
            t.expect(&[]);
            match variant {
                Sotw => t.sotw(CDS, "1", "n2", &["a=1"]),
                Delta => t.delta(CDS, "n2", &[("a=1", "")], &[]),
            }
            assert_eq!(line(&t.out[0]), "update a 1");
        }
    }

    #[test]
    fn c_008_a_decoder_that_panics_rejects_its_resource_and_nothing_else() {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["a", "b"]);
            t.open();
            t.out.clear();
            t.sotw(kind, "1", "n1", &["a=panic", "b=x"]);
            let contained = "a: the decoder failed on this resource (a defect of the client, contained)";
            t.expect(&[
                &format!("reject {contained}"),
                "update b x",
                &format!(r#"> xDS ["a", "b"] v"" n"n1" NACK[{contained}]"#),
                "answered xDS",
            ]);
        });
    }

    #[test]
    fn a_message_that_does_not_decode_is_the_end_of_the_stream() {
        for variant in [Sotw, Delta] {
            let mut t = Trace::new(variant);
            t.watch(EDS, &["a"]);
            t.open();
            t.out.clear();
            t.receive(&[0xff]);
            assert!(matches!(t.out.as_slice(), [Effect::Close(_)]), "{:?}", t.out);
        }
    }

    #[test]
    fn one_name_twice_is_an_error_and_the_last_counts() {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["a"]);
            t.open();
            t.out.clear();
            t.sotw(kind, "1", "n", &["a=1", "a=2"]);
            t.expect(&[
                "update a 1",
                "update a 2",
                r#"> xDS ["a"] v"" n"n" NACK[a: listed twice in one response]"#,
                "answered xDS",
            ]);
        });
    }
}

mod subscriptions {
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
}

mod cache {
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
                let texts: Vec<String> =
                    names.iter().map(|n| format!("{n}={}", if n == changed { version } else { "x" })).collect();
                t.sotw(CDS, version, version, &texts.iter().map(String::as_str).collect::<Vec<_>>());
                t.engine.decoder().decoded - before
            };
            assert_eq!(push(&mut t, "1", ""), if wildcard { 10_000 } else { 1 });
            assert_eq!(push(&mut t, "2", "c7"), 1);
            assert_eq!(push(&mut t, "3", "c8"), if wildcard { 2 } else { 1 }, "c7 goes back to what it was");
        }
    }
}

mod timers {
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
}

mod deletion {
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
        for policy in [Policy::default(), Policy { fail_on_data_errors: true, ignore_resource_deletion: true, ..Policy::default() }]
        {
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
}

mod failure {
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
                assert!(
                    !t.out.iter().any(|effect| matches!(effect, Effect::Remove { .. } | Effect::Trouble { .. })),
                    "{:?}",
                    t.out
                );
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
}

mod restating {
    use super::*;

    #[test]
    fn e_09_a_list_that_changed_before_a_nack_is_said_again_after_it() {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["a"]);
            t.open();
            t.sotw(kind, "1", "n1", &["a=x"]);
            t.watch(kind, &["b"]);
            t.out.clear();
            t.sotw(kind, "2", "n2", &["a=bad"]);
            t.expect(&[
                "reject a: it is bad",
                r#"> xDS ["a", "b"] v"1" n"n2" NACK[a: it is bad]"#,
                r#"> xDS ["a", "b"] v"1" n"n2""#,
                "answered xDS",
            ]);
        });
    }

    #[test]
    fn e_10_a_list_that_changed_before_an_ack_is_in_the_ack() {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["a"]);
            t.open();
            t.sotw(kind, "1", "n1", &["a=x"]);
            t.watch(kind, &["b"]);
            t.expect(&[
                r#"> xDS node ["a"] v"" n"""#,
                "update a x",
                r#"> xDS ["a"] v"1" n"n1""#,
                "answered xDS",
                r#"> xDS ["a", "b"] v"1" n"n1""#,
            ]);
            // The server had pushed before it saw the request, and so drops it.
            t.sotw(kind, "2", "n2", &["a=y"]);
            t.expect(&["update a y", r#"> xDS ["a", "b"] v"2" n"n2""#, "answered xDS"]);
        });
    }
}

mod delta {
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
        for (seconds, nanos) in [(1, 1_000_000_000), (-1, 0), (1, -1)] {
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
        // One that sends its whole state again.
        t.delta(CDS, "m2", &[("x=1", "")], &[]);
        t.reconnect();
        t.out.clear();
        t.delta(CDS, "k1", &[("y=1", "1")], &[]);
        t.expect(&["remove x Removed", "> CDS ack k1", "answered CDS"]);
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
}

mod names {
    use super::*;

    #[test]
    fn c_048_names_that_differ_in_the_order_of_their_parameters_are_one_resource() {
        let name = |query: &str| format!("xdstp://a/{}/x?{query}", EDS.type_name());
        for variant in [Sotw, Delta] {
            let mut t = Trace::new(variant);
            t.watch(EDS, &[&name("a=1&b=2")]);
            t.open();
            t.out.clear();
            match variant {
                Sotw => t.sotw(EDS, "1", "n", &[&format!("{}=v", name("b=2&a=1"))]),
                Delta => t.delta(EDS, "n", &[(&format!("{}=v", name("b=2&a=1")), "1")], &[]),
            }
            assert_eq!(line(&t.out[0]), format!("update {} v", name("a=1&b=2")));
            assert_eq!(t.states(EDS), [(name("a=1&b=2"), "acked")]);
        }
    }

    #[test]
    fn c_095_what_is_let_go_is_forgotten() {
        each(Sotw, |t| {
            let kind = t.kind();
            t.watch(kind, &["a", "b"]);
            t.open();
            t.sotw(kind, "1", "n", &["a=1", "b=1"]);
            t.out.clear();
            t.cancel(kind, "a");
            t.expect(&[r#"> xDS ["b"] v"1" n"n""#, "forget a"]);
            assert_eq!(t.states(kind).len(), 1);
            t.reconnect();
            t.expect(&[r#"> xDS node ["b"] v"1" n"""#]);
        });
    }

    #[test]
    fn a_server_that_was_let_go_starts_from_nothing() {
        let mut t = Trace::new(Sotw);
        t.engine.subscribe_all(CDS);
        t.open();
        assert!(t.engine.has_interest());
        t.sotw(CDS, "7", "n", &["x=1"]);
        t.engine.disown(CDS, |_| true);
        assert_eq!(t.states(CDS), [], "what only the wildcard gave");
        t.sotw(CDS, "8", "n", &["x=1"]);
        t.engine.unsubscribe_all(CDS);
        t.watch(CDS, &[]);
        t.engine.on_closed();
        t.watch(CDS, &["x"]);
        t.out.clear();
        t.open();
        t.expect(&[r#"> CDS node ["x"] v"" n"""#]);
    }

    #[test]
    fn what_another_server_took_over_is_asked_for_anew() {
        let mut t = Trace::new(Delta);
        t.watch(EDS, &["a", "b"]);
        t.open();
        t.delta(EDS, "n", &[("a=1", "1"), ("b=1", "1")], &[]);
        t.engine.disown(EDS, |name| name == "a");
        t.reconnect();
        t.expect(&[r#"> EDS node +["a", "b"] held ["b:1"]"#]);
        t.delta(EDS, "m", &[("a=1", "1")], &[]);
        t.expect(&["update a 1", "> EDS ack m", "answered EDS"]);
        t.cancel(EDS, "a");
        t.cancel(EDS, "b");
        assert!(!t.engine.has_interest());
        assert!(t.engine.is_synced());
        t.engine.on_closed();
        assert!(!t.engine.is_synced());
        t.out.clear();
        t.engine.subscribe(EDS, &Arc::from("b"));
        t.open();
        t.expect(&[r#"> EDS node +["b"]"#]);
    }
}
