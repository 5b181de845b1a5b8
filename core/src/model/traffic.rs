// SPDX-License-Identifier: Apache-2.0
//! What the control plane says about the traffic to one target, beside its list.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::{Policy, Route, Tls};

/// Data for whoever makes the calls.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Traffic {
    /// The routes of its host and port; `None` where there are none: for a subset, a cluster by its name, a port without HTTP.
    pub routes: Option<Arc<[Route]>>,
    /// The clusters whose endpoints are in the list; none where the routes lead to none.
    pub clusters: Box<[Reached]>,
}

impl Traffic {
    /// In the words of xDS; the same for every language.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("plain values with text for keys")
    }
}

/// A cluster that a target reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// Its name.
    #[serde(rename = "name")]
    pub cluster: Arc<str>,
    /// Its share among the others.
    pub weight: u32,
    /// TLS towards its endpoints.
    pub tls: Tls,
    /// What it asks of its callers.
    #[serde(flatten)]
    pub policy: Arc<Policy>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::model::{
        Action, Condition, Forward, HeaderMatch, HeaderValue, OtherAction, PathMatch, Pattern, RetryPolicy, Share, TextMatch,
    };

    #[test]
    fn json_says_it_in_the_words_of_xds() {
        let exact = TextMatch { pattern: Pattern::Exact("one".into()), ignore_case: false };
        let header = HeaderMatch {
            name: "x-a".into(),
            value: HeaderValue::StringMatch(exact),
            invert_match: true,
            treat_missing_header_as_empty: false,
        };
        let condition = Condition { path: PathMatch::Prefix("/api".into()), headers: vec![header], ..Default::default() };
        let retry_policy = Some(RetryPolicy { retry_on: "5xx".into(), num_retries: Some(4), ..Default::default() });
        let clusters = Arc::new([Share { cluster: "c".into(), weight: 1 }]);
        let forward = Forward { clusters, timeout: Some(Duration::from_millis(2500)), retry_policy, ..Default::default() };
        let to = |condition, action| Route { name: "".into(), condition, action, fault: None };
        let redirect = Action::Other(OtherAction { action: "redirect", status: Some(301) });
        let routes = Arc::new([to(condition, Action::Forward(forward)), to(Condition::default(), redirect)]);
        let traffic = Traffic {
            routes: Some(routes),
            clusters: Box::new([Reached { cluster: "c".into(), weight: 1, tls: Tls::Auto, policy: Arc::default() }]),
        };
        let expected = json!({
            "routes": [
                {
                    "match": {"prefix": "/api", "headers": [{"name": "x-a", "string_match": {"exact": "one"}, "invert_match": true}]},
                    "route": {
                        "clusters": [{"name": "c", "weight": 1}],
                        "timeout": "2.5s",
                        "retry_policy": {"retry_on": "5xx", "num_retries": 4},
                    },
                },
                {"match": {"prefix": "/"}, "action": "redirect", "status": 301},
            ],
            "clusters": [{"name": "c", "weight": 1, "tls": "auto", "lb_policy": ""}],
        });
        assert_eq!(traffic.to_json(), expected);
    }
}
