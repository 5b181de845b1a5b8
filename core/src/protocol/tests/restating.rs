// SPDX-License-Identifier: Apache-2.0
//! Saying again what may not have been heard.

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
