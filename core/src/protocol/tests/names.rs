// SPDX-License-Identifier: Apache-2.0
//! Names of the new style (`xdstp`).

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
