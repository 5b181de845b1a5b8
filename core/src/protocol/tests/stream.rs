// SPDX-License-Identifier: Apache-2.0
//! Requests and answers of one stream.

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
        t.expect(&["update a 1", "update a 2", r#"> xDS ["a"] v"" n"n" NACK[a: listed twice in one response]"#, "answered xDS"]);
    });
}

#[test]
fn a_nack_stays_small_whatever_is_wrong_and_what_is_kept_of_it_too() {
    for variant in [Sotw, Delta] {
        each(variant, |t| {
            let kind = t.kind();
            t.watch(kind, &["a", "b"]);
            t.open();
            t.out.clear();
            let bad = format!("a=bad-{}", "x".repeat(5_000_000));
            let message = "y".repeat(5_000_000);
            match variant {
                Sotw => t.sotw(kind, "1", "n1", &[&bad]),
                Delta => t.delta_response(DeltaDiscoveryResponse {
                    resources: vec![t.resource(kind, &bad, "1")],
                    resource_errors: vec![t.error("b", 13, &message)],
                    ..delta_response(kind, "n1")
                }),
            }
            let said: usize = t.out.iter().map(|effect| line(effect).len()).sum();
            assert!(said < 8192, "{said} bytes");
            let kept = t.engine.resources(kind).iter().filter_map(|r| r.error.as_ref().map(|error| error.len())).sum::<usize>();
            assert!((1..4096).contains(&kept) && t.engine.status(kind).error.len() < 2048, "{kept} bytes");
        });
    }
}
