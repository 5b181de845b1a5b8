// SPDX-License-Identifier: Apache-2.0
//! RouteMatch: which requests a route takes.

use std::sync::Arc;

use envoy_types::pb::envoy::{
    config::{
        core::v3::RuntimeFractionalPercent,
        route::v3::{
            HeaderMatcher, QueryParameterMatcher, RouteMatch, header_matcher::HeaderMatchSpecifier,
            query_parameter_matcher::QueryParameterMatchSpecifier, route_match::PathSpecifier,
        },
    },
    r#type::{
        matcher::v3::{StringMatcher, string_matcher::MatchPattern},
        v3::{FractionalPercent, fractional_percent::DenominatorType},
    },
};

use crate::model::{Condition, Fraction, HeaderMatch, HeaderValue, PathMatch, Pattern, QueryMatch, TextMatch};

pub(super) fn convert(proto: &RouteMatch) -> Result<Condition, String> {
    let mut headers = proto.headers.iter().map(header).collect::<Result<Vec<_>, _>>()?;
    let mut query_parameters = proto.query_parameters.iter().map(query).collect::<Result<Vec<_>, _>>()?;
    // All must hold, in whatever order: istiod's changes from push to push, and the same must stay the same.
    headers.sort_by(|a, b| (&a.name, a.invert_match).cmp(&(&b.name, b.invert_match)));
    query_parameters.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Condition {
        path: match &proto.path_specifier {
            Some(PathSpecifier::Prefix(prefix)) => PathMatch::Prefix(prefix.as_str().into()),
            Some(PathSpecifier::Path(path)) => PathMatch::Path(path.as_str().into()),
            Some(PathSpecifier::SafeRegex(regex)) => PathMatch::SafeRegex(regex.regex.as_str().into()),
            Some(PathSpecifier::PathSeparatedPrefix(prefix)) => PathMatch::PathSeparatedPrefix(prefix.as_str().into()),
            Some(PathSpecifier::ConnectMatcher(_) | PathSpecifier::PathMatchPolicy(_)) | None => PathMatch::UnknownPath(()),
        },
        ignore_case: proto.case_sensitive.is_some_and(|sensitive| !sensitive.value),
        headers,
        query_parameters,
        runtime_fraction: proto.runtime_fraction.as_ref().map(runtime_fraction).transpose()?,
        unknown: proto.grpc.is_some()
            || proto.tls_context.is_some()
            || !proto.dynamic_metadata.is_empty()
            || !proto.cookies.is_empty()
            || !proto.filter_state.is_empty(),
    })
}

#[expect(deprecated, reason = "servers send both spellings")]
fn header(proto: &HeaderMatcher) -> Result<HeaderMatch, String> {
    let at = |reason: String| format!("header {:?}: {reason}", proto.name);
    let exactly = |pattern| Ok(HeaderValue::StringMatch(TextMatch { pattern, ignore_case: false }));
    let value = match &proto.header_match_specifier {
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => text(matcher).map(HeaderValue::StringMatch),
        Some(HeaderMatchSpecifier::PresentMatch(present)) => Ok(HeaderValue::PresentMatch(*present)),
        Some(HeaderMatchSpecifier::RangeMatch(range)) => Ok(HeaderValue::RangeMatch { start: range.start, end: range.end }),
        Some(HeaderMatchSpecifier::ExactMatch(text)) => exactly(Pattern::Exact(text.as_str().into())),
        Some(HeaderMatchSpecifier::SafeRegexMatch(regex)) => exactly(Pattern::SafeRegex(regex.regex.as_str().into())),
        Some(HeaderMatchSpecifier::PrefixMatch(text)) => part("prefix", text).map(Pattern::Prefix).and_then(exactly),
        Some(HeaderMatchSpecifier::SuffixMatch(text)) => part("suffix", text).map(Pattern::Suffix).and_then(exactly),
        Some(HeaderMatchSpecifier::ContainsMatch(text)) => part("contains", text).map(Pattern::Contains).and_then(exactly),
        None => Err("a condition of a kind that this version does not know".into()),
    };
    Ok(HeaderMatch {
        name: proto.name.to_ascii_lowercase().into(),
        value: value.map_err(at)?,
        invert_match: proto.invert_match,
        treat_missing_header_as_empty: proto.treat_missing_header_as_empty,
    })
}

fn query(proto: &QueryParameterMatcher) -> Result<QueryMatch, String> {
    let string_match = match &proto.query_parameter_match_specifier {
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => {
            Some(text(matcher).map_err(|reason| format!("query parameter {:?}: {reason}", proto.name))?)
        }
        Some(QueryParameterMatchSpecifier::PresentMatch(_)) | None => None,
    };
    Ok(QueryMatch { name: proto.name.as_str().into(), string_match })
}

fn text(proto: &StringMatcher) -> Result<TextMatch, String> {
    let pattern = match &proto.match_pattern {
        Some(MatchPattern::Exact(text)) => Pattern::Exact(text.as_str().into()),
        Some(MatchPattern::Prefix(text)) => Pattern::Prefix(part("prefix", text)?),
        Some(MatchPattern::Suffix(text)) => Pattern::Suffix(part("suffix", text)?),
        Some(MatchPattern::Contains(text)) => Pattern::Contains(part("contains", text)?),
        Some(MatchPattern::SafeRegex(regex)) => Pattern::SafeRegex(regex.regex.as_str().into()),
        Some(MatchPattern::Custom(_)) | None => return Err("a text is compared in a way that this version does not know".into()),
    };
    Ok(TextMatch { pattern, ignore_case: proto.ignore_case })
}

/// An empty part would fit everything, which nobody means.
fn part(what: &str, text: &str) -> Result<Arc<str>, String> {
    if text.is_empty() { Err(format!("its {what} is empty")) } else { Ok(text.into()) }
}

/// Runtime keys are Envoy's own; the default counts.
pub(super) fn runtime_fraction(proto: &RuntimeFractionalPercent) -> Result<Fraction, String> {
    proto.default_value.as_ref().map_or(Ok(Fraction::default()), fraction)
}

pub(super) fn fraction(proto: &FractionalPercent) -> Result<Fraction, String> {
    let denominator = match DenominatorType::try_from(proto.denominator) {
        Ok(DenominatorType::Hundred) => 100,
        Ok(DenominatorType::TenThousand) => 10_000,
        Ok(DenominatorType::Million) => 1_000_000,
        Err(_) => return Err(format!("the denominator {} of a fraction is unknown", proto.denominator)),
    };
    Ok(Fraction::new(proto.numerator, denominator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::takes_every_request;

    fn matcher(specifier: Option<HeaderMatchSpecifier>) -> RouteMatch {
        let header = HeaderMatcher { name: "X-A".into(), header_match_specifier: specifier, ..Default::default() };
        RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), headers: vec![header], ..Default::default() }
    }

    #[expect(deprecated, reason = "servers send both spellings")]
    #[test]
    fn every_way_to_write_a_header_condition_comes_to_the_same() {
        let exact = StringMatcher { match_pattern: Some(MatchPattern::Exact("one".into())), ignore_case: false };
        let new = convert(&matcher(Some(HeaderMatchSpecifier::StringMatch(exact)))).expect("valid");
        let old = convert(&matcher(Some(HeaderMatchSpecifier::ExactMatch("one".into())))).expect("valid");
        assert_eq!(new, old);
        assert_eq!(&*new.headers[0].name, "x-a");
        assert!(!takes_every_request(&new));
    }

    #[test]
    fn the_order_of_conditions_makes_no_difference() {
        let query = |name: &str| QueryParameterMatcher { name: name.into(), ..Default::default() };
        let with = |names: [&str; 2]| RouteMatch { query_parameters: names.map(query).into(), ..Default::default() };
        assert_eq!(convert(&with(["a", "b"])), convert(&with(["b", "a"])));
        // One header may have to be something and not to be something else.
        let header = |invert_match| HeaderMatcher {
            name: "h".into(),
            invert_match,
            header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
            ..Default::default()
        };
        let with = |inverted: [bool; 2]| RouteMatch { headers: inverted.map(header).into(), ..Default::default() };
        assert_eq!(convert(&with([true, false])), convert(&with([false, true])));
    }

    #[expect(deprecated, reason = "servers send both spellings")]
    #[test]
    fn a_condition_that_cannot_be_judged_is_refused_or_never_met() {
        for wrong in [None, Some(HeaderMatchSpecifier::PrefixMatch(String::new()))] {
            assert!(convert(&matcher(wrong)).expect_err("refused").starts_with("header \"X-A\": "));
        }
        let fraction = RuntimeFractionalPercent {
            default_value: Some(FractionalPercent { numerator: 1, denominator: 7 }),
            ..Default::default()
        };
        let wrong = RouteMatch { runtime_fraction: Some(fraction), ..Default::default() };
        assert!(convert(&wrong).expect_err("refused").contains("denominator 7"));
        let connect = RouteMatch { path_specifier: Some(PathSpecifier::ConnectMatcher(Default::default())), ..Default::default() };
        assert!(!takes_every_request(&convert(&connect).expect("valid")));
        let grpc = RouteMatch { grpc: Some(Default::default()), headers: vec![], ..matcher(None) };
        assert!(!takes_every_request(&convert(&grpc).expect("valid")));
    }
}
