// SPDX-License-Identifier: Apache-2.0
//! A route configuration: which requests go where, and how. Lists follow its first unconditional route; the rest is data for
//! whoever makes the calls. In JSON the names are those of xDS.

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    Fraction,
    policy::{duration, is_default},
};

/// One route configuration: an RDS resource, or one that stands in a listener.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RouteTable {
    /// As the control plane lists them. Istio has one or none under a name of the `host:port` kind.
    pub hosts: Box<[VirtualHost]>,
}

/// The routes of the hosts that its domains name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VirtualHost {
    /// `host`, `*.suffix`, `prefix.*` or `*`, with or without a port; lower case.
    pub domains: Box<[Arc<str>]>,
    /// In matching order: the first that fits decides, whatever it does.
    pub routes: Arc<[Route]>,
}

/// One route of a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// For people. Often empty.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: Arc<str>,
    /// Which requests it takes.
    #[serde(rename = "match")]
    pub condition: Condition,
    /// What it does with them.
    #[serde(flatten)]
    pub action: Action,
    /// What is broken on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// All of it must hold.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Condition {
    /// Of the path without its query.
    #[serde(flatten)]
    pub path: PathMatch,
    /// The case of a prefix or whole path does not matter.
    #[serde(skip_serializing_if = "is_default")]
    pub ignore_case: bool,
    /// Every one must hold. `:method`, `:authority`, `:scheme` are headers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// Every one must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_parameters: Vec<QueryMatch>,
    /// Of the requests that fit otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_fraction: Option<Fraction>,
    /// A condition that this version does not know: nobody can say that it holds.
    #[serde(skip_serializing_if = "is_default")]
    pub unknown: bool,
}

/// A condition of the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// It begins so.
    Prefix(Arc<str>),
    /// It is this.
    Path(Arc<str>),
    /// All of it matches this RE2 expression.
    SafeRegex(Arc<str>),
    /// It is this, or begins with this and a slash.
    PathSeparatedPrefix(Arc<str>),
    /// A kind that this version does not know: never met.
    UnknownPath(()),
}

impl Default for PathMatch {
    fn default() -> Self {
        PathMatch::Prefix("/".into())
    }
}

/// A condition of one header; several values of a header are joined by commas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: Arc<str>,
    /// Of its value.
    #[serde(flatten)]
    pub value: HeaderValue,
    /// It must not hold.
    #[serde(skip_serializing_if = "is_default")]
    pub invert_match: bool,
    /// A header that is not there has an empty value; else it meets nothing but an absence.
    #[serde(skip_serializing_if = "is_default")]
    pub treat_missing_header_as_empty: bool,
}

/// A condition of a header's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderValue {
    /// Of its text.
    StringMatch(TextMatch),
    /// There (`true`), or not.
    PresentMatch(bool),
    /// A whole number, the end not included.
    RangeMatch {
        /// The least.
        start: i64,
        /// One above the largest.
        end: i64,
    },
}

/// A condition of a query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueryMatch {
    /// Its name.
    pub name: Arc<str>,
    /// Of its value; `None`: it must be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_match: Option<TextMatch>,
}

/// A condition of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextMatch {
    /// What it is compared with.
    #[serde(flatten)]
    pub pattern: Pattern,
    /// Its case does not matter; an expression says so itself.
    #[serde(skip_serializing_if = "is_default")]
    pub ignore_case: bool,
}

/// What a text is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// It is this.
    Exact(Arc<str>),
    /// It begins so.
    Prefix(Arc<str>),
    /// It ends so.
    Suffix(Arc<str>),
    /// This is in it.
    Contains(Arc<str>),
    /// All of it matches this RE2 expression.
    SafeRegex(Arc<str>),
}

/// What a route does with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Sends it on.
    #[serde(rename = "route")]
    Forward(Forward),
    /// Anything else.
    #[serde(untagged)]
    Other(OtherAction),
}

/// What a route does with a request that it does not send on to a cluster that it names.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct OtherAction {
    /// By xDS's name of it: `redirect`, `direct_response`, `cluster_header`, …
    pub action: &'static str,
    /// What the caller gets: the status of a direct response or a redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u32>,
}

impl OtherAction {
    /// The request is answered by the route itself.
    pub fn is_an_answer(&self) -> bool {
        matches!(self.action, "redirect" | "direct_response" | "non_forwarding_action")
    }
}

impl fmt::Display for OtherAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action)?;
        self.status.map_or(Ok(()), |status| write!(f, " {status}"))
    }
}

/// Where a request is sent, and how.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Forward {
    /// One of them.
    pub clusters: Arc<[Share]>,
    /// For the whole answer, retries and all; zero: no limit. Envoy: 15 s.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub timeout: Option<Duration>,
    /// None when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    /// Who gets a copy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_mirror_policies: Vec<Mirror>,
}

/// A cluster and its share of the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Cluster name.
    #[serde(rename = "name")]
    pub cluster: Arc<str>,
    /// Relative weight; shares of weight zero are not kept.
    pub weight: u32,
}

/// When and how a request is tried again (gRFC A44 and Envoy's `x-envoy-retry-on`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct RetryPolicy {
    /// Envoy's words, separated by commas: `5xx`, `reset`, `unavailable`, …
    pub retry_on: Arc<str>,
    /// After the first attempt. 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_retries: Option<u32>,
    /// Of one attempt; the route's timeout when not said.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub per_try_timeout: Option<Duration>,
    /// For `retriable-status-codes`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retriable_status_codes: Vec<u32>,
    /// 25 ms.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub base_interval: Option<Duration>,
    /// Ten times the base.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub max_interval: Option<Duration>,
    /// Another endpoint than those that failed is taken where there is one.
    #[serde(skip_serializing_if = "is_default")]
    pub avoid_previous_hosts: bool,
    /// Another priority (in Istio: locality) than those that failed is taken after so many attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_priorities_update_frequency: Option<u32>,
}

/// Who gets a copy of requests, whose answer nobody waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mirror {
    /// Cluster name.
    pub cluster: Arc<str>,
    /// Of the requests.
    pub runtime_fraction: Fraction,
}

/// What is broken on purpose (gRFC A33).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Fault {
    /// Comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// Drawn for anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
}

/// Requests that wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delay {
    /// How long. `None`: as the request's own header says.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub fixed_delay: Option<Duration>,
    /// Of the requests.
    pub percentage: Fraction,
}

/// Requests that are answered at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Abort {
    /// With what.
    #[serde(flatten)]
    pub status: AbortStatus,
    /// Of the requests.
    pub percentage: Fraction,
}

/// What an aborted request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortStatus {
    /// A status of HTTP.
    HttpStatus(u32),
    /// A status of gRPC.
    GrpcStatus(u32),
    /// As the request's own header says.
    HeaderAbort(()),
}

/// A client-side listener, reduced to where its routes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerRoutes {
    /// In the RDS resource of this name.
    Rds(Arc<str>),
    /// In itself.
    Inline(Arc<RouteTable>),
    /// Nowhere, and why.
    None(Arc<str>),
}
