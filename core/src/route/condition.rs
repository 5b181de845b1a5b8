// SPDX-License-Identifier: Apache-2.0
//! Conditions that hold for every request, and so are none.

use crate::model::{Condition, Fraction, HeaderMatch, HeaderValue, PathMatch, Pattern};

/// Headers that no request is without.
const ALWAYS_THERE: [&str; 4] = [":authority", ":method", ":path", ":scheme"];

/// No part of the condition can fail.
pub fn takes_every_request(condition: &Condition) -> bool {
    takes_every_path(&condition.path)
        && condition.headers.iter().all(cannot_fail)
        && condition.query_parameters.is_empty()
        && condition.runtime_fraction.is_none_or(|fraction| fraction == Fraction::ALL)
        && !condition.unknown
}

fn takes_every_path(path: &PathMatch) -> bool {
    match path {
        PathMatch::Prefix(prefix) => matches!(&**prefix, "" | "/"),
        PathMatch::SafeRegex(regex) => matches!(inner(regex), ".*" | ".+" | "/.*" | "/?.*" | "/*.*"),
        PathMatch::Path(_) | PathMatch::PathSeparatedPrefix(_) | PathMatch::UnknownPath(()) => false,
    }
}

fn cannot_fail(header: &HeaderMatch) -> bool {
    let there = ALWAYS_THERE.contains(&&*header.name);
    let holds = match &header.value {
        HeaderValue::PresentMatch(present) => *present && there,
        HeaderValue::StringMatch(text) => match &text.pattern {
            Pattern::SafeRegex(regex) => match inner(regex) {
                ".*" => there || header.treat_missing_header_as_empty,
                ".+" => there,
                _ => false,
            },
            Pattern::Exact(_) | Pattern::Prefix(_) | Pattern::Suffix(_) | Pattern::Contains(_) => false,
        },
        HeaderValue::RangeMatch { .. } => false,
    };
    holds && !header.invert_match
}

/// The expression without anchors, which say nothing where all of a text must match, and without a group around all of it.
fn inner(regex: &str) -> &str {
    let bare = regex.strip_prefix('^').unwrap_or(regex);
    let bare = bare.strip_suffix('$').unwrap_or(bare);
    match bare.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(group) if !group.contains(['(', ')', '|']) => inner(group),
        _ => bare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{QueryMatch, TextMatch};

    fn by_path(path: PathMatch) -> bool {
        takes_every_request(&Condition { path, ..Default::default() })
    }

    fn by_header(name: &str, value: HeaderValue) -> HeaderMatch {
        HeaderMatch { name: name.into(), value, invert_match: false, treat_missing_header_as_empty: false }
    }

    fn with(header: HeaderMatch) -> bool {
        takes_every_request(&Condition { headers: vec![header], ..Default::default() })
    }

    fn expression(regex: &str) -> HeaderValue {
        HeaderValue::StringMatch(TextMatch { pattern: Pattern::SafeRegex(regex.into()), ignore_case: false })
    }

    #[test]
    fn an_expression_that_matches_every_path_is_no_condition() {
        for every in [".*", "^.*$", "/.*", "^/.*", ".+", "(.*)", "^(/.*)$", "/?.*"] {
            assert!(by_path(PathMatch::SafeRegex(every.into())), "{every}");
        }
        for some in ["", "*", "/", "/.+", "/a.*", ".*b", "[a-z]*", "(a)|(.*)b", "(.*)(a)", "..+"] {
            assert!(!by_path(PathMatch::SafeRegex(some.into())), "{some}");
        }
        assert!(by_path(PathMatch::Prefix("".into())) && by_path(PathMatch::Prefix("/".into())));
        for some in [PathMatch::Prefix("/a".into()), PathMatch::Path("/".into()), PathMatch::UnknownPath(())] {
            assert!(!by_path(some.clone()), "{some:?}");
        }
    }

    #[test]
    fn a_header_condition_that_cannot_fail_is_none() {
        assert!(with(by_header(":authority", expression(".*"))) && with(by_header(":method", HeaderValue::PresentMatch(true))));
        assert!(with(HeaderMatch { treat_missing_header_as_empty: true, ..by_header("x", expression("^.*$")) }));
        for header in [
            by_header("x", expression(".*")),
            by_header("x", HeaderValue::PresentMatch(true)),
            by_header(":method", expression("GET")),
            by_header(":method", HeaderValue::PresentMatch(false)),
            HeaderMatch { treat_missing_header_as_empty: true, ..by_header("x", expression(".+")) },
            HeaderMatch { invert_match: true, ..by_header(":path", expression(".*")) },
        ] {
            assert!(!with(header.clone()), "{header:?}");
        }
    }

    #[test]
    fn a_share_of_all_requests_is_no_condition_and_a_part_of_them_or_a_query_is() {
        let share = |runtime_fraction| takes_every_request(&Condition { runtime_fraction, ..Default::default() });
        assert!(share(None) && share(Some(Fraction::ALL)) && !share(Some(Fraction::from_percent(99.0))));
        let query = QueryMatch { name: "q".into(), string_match: None };
        assert!(!takes_every_request(&Condition { query_parameters: vec![query], ..Default::default() }));
        assert!(!takes_every_request(&Condition { unknown: true, ..Default::default() }));
    }
}
