// SPDX-License-Identifier: Apache-2.0
//! The conditions of a VirtualService to those of a Route.

use envoy_types::pb::{
    envoy::{
        config::route::v3::{
            HeaderMatcher, QueryParameterMatcher, RouteMatch, header_matcher::HeaderMatchSpecifier,
            query_parameter_matcher::QueryParameterMatchSpecifier, route_match::PathSpecifier,
        },
        r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher::MatchPattern},
    },
    google::protobuf::BoolValue,
};

use super::virtual_service::{HttpMatch, StringMatch};

pub(super) fn any_path() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..Default::default() }
}

pub(super) fn route_match(http: &HttpMatch) -> RouteMatch {
    let path = match &http.uri {
        None | Some(StringMatch::Present) => PathSpecifier::Prefix("/".into()),
        Some(StringMatch::Exact(path)) => PathSpecifier::Path(path.clone()),
        Some(StringMatch::Prefix(path)) => PathSpecifier::Prefix(path.clone()),
        Some(StringMatch::Regex(regex)) => PathSpecifier::SafeRegex(RegexMatcher { regex: regex.clone(), ..Default::default() }),
    };
    let headers = http.headers.iter().map(|(name, value)| header(name, value));
    let without = http.without_headers.iter().map(|(name, value)| HeaderMatcher {
        invert_match: true,
        treat_missing_header_as_empty: !matches!(value, StringMatch::Present),
        ..header(name, value)
    });
    let special = [(":method", &http.method), (":authority", &http.authority), (":scheme", &http.scheme)];
    let special = special.iter().filter_map(|(name, value)| Some(header(name, value.as_ref()?)));
    RouteMatch {
        path_specifier: Some(path),
        headers: headers.chain(without).chain(special).collect(),
        query_parameters: http.query_params.iter().map(|(name, value)| query(name, value)).collect(),
        // As istiod says it, for every condition that a VirtualService states.
        case_sensitive: Some(BoolValue { value: !http.ignore_uri_case }),
        ..Default::default()
    }
}

fn header(name: &str, value: &StringMatch) -> HeaderMatcher {
    let specifier = text(value).map_or(HeaderMatchSpecifier::PresentMatch(true), HeaderMatchSpecifier::StringMatch);
    HeaderMatcher { name: name.into(), header_match_specifier: Some(specifier), ..Default::default() }
}

fn query(name: &str, value: &StringMatch) -> QueryParameterMatcher {
    let specifier = text(value).map_or(QueryParameterMatchSpecifier::PresentMatch(true), QueryParameterMatchSpecifier::StringMatch);
    QueryParameterMatcher { name: name.into(), query_parameter_match_specifier: Some(specifier) }
}

/// `None`: it must be there.
fn text(value: &StringMatch) -> Option<StringMatcher> {
    let pattern = match value {
        StringMatch::Exact(text) => MatchPattern::Exact(text.clone()),
        StringMatch::Prefix(text) => MatchPattern::Prefix(text.clone()),
        StringMatch::Regex(regex) => MatchPattern::SafeRegex(RegexMatcher { regex: regex.clone(), ..Default::default() }),
        StringMatch::Present => return None,
    };
    Some(StringMatcher { match_pattern: Some(pattern), ..Default::default() })
}

/// Nothing gets past it; what would come behind is not listed.
pub(super) fn takes_everything(condition: &RouteMatch) -> bool {
    let is_any_path = match &condition.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => prefix == "/",
        Some(PathSpecifier::SafeRegex(regex)) => regex.regex == ".*",
        _ => false,
    };
    is_any_path && condition.headers.is_empty() && condition.query_parameters.is_empty()
}
