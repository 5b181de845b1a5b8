// SPDX-License-Identifier: Apache-2.0
//! `proxyless routes`: what the control plane says about the traffic to a target, beside its list.

use proxyless_core::{
    model::{Action, Condition, HeaderValue, PathMatch, Pattern, Reached, Route, Share, State, TextMatch},
    store::Entry,
};
use serde_json::{Map, Value, json};

use crate::output::heading;

pub(crate) fn to_json(spelling: &str, entry: &Entry) -> Value {
    let mut value = json!({"target": spelling, "resolved": &*entry.resolved, "state": entry.state.name()});
    if let State::Invalid(reason) = entry.state {
        value["reason"] = reason.name().into();
    }
    if let Some(Value::Object(traffic)) = entry.traffic.as_ref().map(|traffic| traffic.to_json()) {
        traffic.into_iter().for_each(|(key, part)| value[key] = part);
    }
    value
}

pub(crate) fn to_text(spelling: &str, entry: &Entry) -> String {
    let mut text = heading(spelling, entry);
    let Some(traffic) = &entry.traffic else { return text };
    for route in traffic.routes.iter().flat_map(|routes| &**routes) {
        text += &format!("\n  {}", route_text(route));
    }
    for reached in &traffic.clusters {
        text += &format!("\n  {}", cluster_text(reached));
    }
    text
}

fn route_text(route: &Route) -> String {
    let mut text = condition_text(&route.condition);
    match &route.action {
        Action::Other(what) => text += &format!("\n    {what}"),
        Action::Forward(forward) => {
            text += &format!("\n    to {}", shares_text(&forward.clusters));
            let mut settings = json!(forward);
            settings.as_object_mut().expect("a struct").remove("clusters");
            text += &settings_text(&settings);
        }
    }
    text + &route.fault.as_ref().map_or_else(String::new, |fault| settings_text(&json!({"fault": fault})))
}

fn shares_text(shares: &[Share]) -> String {
    let total: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    let percent = |share: &Share| (f64::from(share.weight) * 10_000.0 / total.max(1) as f64).round() / 100.0;
    let part = |share: &Share| match shares {
        [only] => only.cluster.to_string(),
        _ => format!("{} {} %", share.cluster, percent(share)),
    };
    shares.iter().map(part).collect::<Vec<_>>().join(", ")
}

fn condition_text(condition: &Condition) -> String {
    let mut text = match &condition.path {
        PathMatch::Prefix(prefix) => format!("{prefix}*"),
        PathMatch::Path(path) => path.to_string(),
        PathMatch::SafeRegex(regex) => format!("~{regex}"),
        PathMatch::PathSeparatedPrefix(prefix) => format!("{prefix}[/*]"),
        PathMatch::UnknownPath(()) => "a path of an unknown kind".into(),
    };
    if condition.ignore_case {
        text += " in any case";
    }
    for header in &condition.headers {
        let not = if header.invert_match { "not " } else { "" };
        let value = match &header.value {
            HeaderValue::StringMatch(matcher) => pattern_text(matcher),
            HeaderValue::PresentMatch(true) => " is there".into(),
            HeaderValue::PresentMatch(false) => " is not there".into(),
            HeaderValue::RangeMatch { start, end } => format!(" in {start}..{end}"),
        };
        text += &format!(", {not}{}{value}", header.name);
    }
    for query in &condition.query_parameters {
        text += &format!(", ?{}{}", query.name, query.string_match.as_ref().map_or_else(String::new, pattern_text));
    }
    if let Some(fraction) = condition.runtime_fraction {
        text += &format!(", {} % of them", fraction.percent());
    }
    if condition.unknown {
        text += ", and a condition of an unknown kind";
    }
    text
}

fn pattern_text(matcher: &TextMatch) -> String {
    let text = match &matcher.pattern {
        Pattern::Exact(text) => format!("={text}"),
        Pattern::Prefix(text) => format!("={text}*"),
        Pattern::Suffix(text) => format!("=*{text}"),
        Pattern::Contains(text) => format!("=*{text}*"),
        Pattern::SafeRegex(regex) => format!("~{regex}"),
    };
    if matcher.ignore_case { text + " in any case" } else { text }
}

fn cluster_text(reached: &Reached) -> String {
    let mut settings = json!(reached.policy);
    settings.as_object_mut().expect("a struct").remove("lb_policy");
    format!("{}  {}{}", reached.cluster, reached.policy.lb_policy, settings_text(&settings))
}

/// A line for every setting; a group of settings shares one. Limits that are none are left out.
fn settings_text(settings: &Value) -> String {
    let lines = settings.as_object().into_iter().flatten().filter_map(|(key, value)| {
        let text = match value {
            Value::Object(group) => group_text(group)?,
            single => setting_text(single)?,
        };
        Some(format!("\n    {key} {text}"))
    });
    lines.collect()
}

fn group_text(group: &Map<String, Value>) -> Option<String> {
    let parts: Vec<String> = group.iter().filter_map(|(key, value)| Some(format!("{key} {}", setting_text(value)?))).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn setting_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.as_u64() == Some(u32::MAX.into()) => None,
        Value::Number(number) => Some(number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string())),
        Value::Array(items) => Some(items.iter().filter_map(setting_text).collect::<Vec<_>>().join(" ")),
        Value::Object(group) => group_text(group).map(|text| format!("({text})")),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percent_of_all() {
        let share = |cluster: &str, weight| Share { cluster: cluster.into(), weight };
        assert_eq!(shares_text(&[share("a", 7)]), "a");
        assert_eq!(shares_text(&[share("a", 1), share("b", 2)]), "a 33.33 %, b 66.67 %");
        assert_eq!(shares_text(&[share("a", 80), share("b", 20)]), "a 80 %, b 20 %");
    }

    #[test]
    fn settings_are_a_line_each_and_groups_in_brackets() {
        let settings = json!({"timeout": "3s", "limits": {"a": 1, "none": u32::MAX}, "fault": {"abort": {"status": 503, "part": 12.5}},
            "mirrors": [{"cluster": "c", "part": 100.0}], "unlimited": {"x": u32::MAX}});
        let expected =
            "\n    fault abort (part 12.5, status 503)\n    limits a 1\n    mirrors (cluster c, part 100)\n    timeout 3s";
        assert_eq!(settings_text(&settings), expected);
    }
}
