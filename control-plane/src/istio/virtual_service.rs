// SPDX-License-Identifier: Apache-2.0
//! VirtualService as it stands in YAML, with exactly the fields that are supported.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, de::IgnoredAny};

use super::{duration::duration, objects::Everywhere, rule::PortSelector};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct VirtualService {
    pub(super) hosts: Vec<String>,
    #[serde(default)]
    gateways: Vec<String>,
    #[serde(default)]
    pub(super) http: Vec<HttpRoute>,
    /// Routes of connections are for sidecars; no list follows them.
    #[serde(default)]
    pub(super) tcp: Vec<IgnoredAny>,
    #[serde(default)]
    pub(super) tls: Vec<IgnoredAny>,
    #[serde(default, rename = "exportTo")]
    _export_to: Everywhere,
}

/// The gateway that stands for every caller in the mesh.
const MESH: &str = "mesh";

impl VirtualService {
    /// Whether callers in the mesh follow it.
    pub(super) fn is_for_the_mesh(&self) -> bool {
        concerns_the_mesh(&self.gateways)
    }
}

fn concerns_the_mesh(gateways: &[String]) -> bool {
    gateways.is_empty() || gateways.iter().any(|gateway| gateway == MESH)
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HttpRoute {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, rename = "match")]
    pub(super) matches: Vec<HttpMatch>,
    #[serde(default)]
    pub(super) route: Vec<RouteDestination>,
    #[serde(default)]
    pub(super) redirect: Option<Redirect>,
    #[serde(default)]
    pub(super) direct_response: Option<DirectResponse>,
    #[serde(default, deserialize_with = "duration")]
    pub(super) timeout: Option<Duration>,
    #[serde(default)]
    pub(super) retries: Option<Retries>,
    #[serde(default)]
    pub(super) fault: Option<Fault>,
    #[serde(default)]
    pub(super) mirror: Option<Destination>,
    #[serde(default)]
    pub(super) mirror_percentage: Option<Percent>,
    #[serde(default)]
    pub(super) mirrors: Vec<Mirror>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HttpMatch {
    pub(super) name: String,
    pub(super) uri: Option<StringMatch>,
    pub(super) ignore_uri_case: bool,
    pub(super) method: Option<StringMatch>,
    pub(super) authority: Option<StringMatch>,
    pub(super) scheme: Option<StringMatch>,
    pub(super) headers: BTreeMap<String, StringMatch>,
    pub(super) without_headers: BTreeMap<String, StringMatch>,
    pub(super) query_params: BTreeMap<String, StringMatch>,
    port: Option<u16>,
    gateways: Vec<String>,
}

impl HttpMatch {
    /// Whether callers in the mesh may meet it on this port.
    pub(super) fn applies(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port) && concerns_the_mesh(&self.gateways)
    }

    /// It takes every request, which it should say by not being there.
    pub(super) fn is_empty(&self) -> bool {
        let is_anywhere = self.port.is_none() && self.gateways.is_empty();
        is_anywhere
            && [&self.uri, &self.method, &self.authority, &self.scheme].iter().all(|part| part.is_none())
            && [&self.headers, &self.without_headers, &self.query_params].iter().all(|parts| parts.is_empty())
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Redirect {
    pub(super) uri: String,
    pub(super) prefix_rewrite: String,
    pub(super) authority: String,
    pub(super) port: Option<u16>,
    pub(super) derive_port: Option<DerivePort>,
    pub(super) scheme: String,
    pub(super) redirect_code: RedirectCode,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum DerivePort {
    FromProtocolDefault,
    FromRequestPort,
}

/// A status that redirects.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "u32")]
pub(super) enum RedirectCode {
    #[default]
    MovedPermanently,
    Found,
    SeeOther,
    TemporaryRedirect,
    PermanentRedirect,
}

impl TryFrom<u32> for RedirectCode {
    type Error = String;

    fn try_from(status: u32) -> Result<Self, Self::Error> {
        match status {
            0 | 301 => Ok(Self::MovedPermanently),
            302 => Ok(Self::Found),
            303 => Ok(Self::SeeOther),
            307 => Ok(Self::TemporaryRedirect),
            308 => Ok(Self::PermanentRedirect),
            other => Err(format!("{other} is none of 301, 302, 303, 307 and 308")),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DirectResponse {
    pub(super) status: u32,
    #[serde(default)]
    pub(super) body: Option<Body>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    pub(super) string: String,
}

/// How a text is compared.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "StringMatchFields")]
pub(super) enum StringMatch {
    Exact(String),
    Prefix(String),
    Regex(String),
    /// It must be there, whatever it is: nothing is said, or the regex `*`.
    Present,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StringMatchFields {
    exact: Option<String>,
    prefix: Option<String>,
    regex: Option<String>,
}

impl TryFrom<StringMatchFields> for StringMatch {
    type Error = &'static str;

    fn try_from(fields: StringMatchFields) -> Result<Self, Self::Error> {
        match (fields.exact, fields.prefix, fields.regex) {
            (None, None, None) => Ok(Self::Present),
            (Some(exact), None, None) => Ok(Self::Exact(exact)),
            (None, Some(prefix), None) if !prefix.is_empty() => Ok(Self::Prefix(prefix)),
            (None, None, Some(regex)) if regex == "*" => Ok(Self::Present),
            (None, None, Some(regex)) if !regex.is_empty() => Ok(Self::Regex(regex)),
            _ => Err("one of exact, prefix and regex is expected, the latter two not empty"),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RouteDestination {
    pub(super) destination: Destination,
    #[serde(default)]
    pub(super) weight: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Destination {
    pub(super) host: String,
    #[serde(default)]
    pub(super) subset: String,
    #[serde(default)]
    pub(super) port: Option<PortSelector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Retries {
    pub(super) attempts: u32,
    #[serde(deserialize_with = "duration")]
    pub(super) per_try_timeout: Option<Duration>,
    pub(super) retry_on: String,
    pub(super) retry_remote_localities: bool,
    pub(super) retry_ignore_previous_hosts: Option<bool>,
    #[serde(deserialize_with = "duration")]
    pub(super) backoff: Option<Duration>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) delay: Option<Delay>,
    pub(super) abort: Option<Abort>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Delay {
    #[serde(deserialize_with = "duration")]
    pub(super) fixed_delay: Option<Duration>,
    #[serde(default)]
    pub(super) percentage: Option<Percent>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "AbortFields")]
pub(super) struct Abort {
    pub(super) status: AbortStatus,
    pub(super) percentage: Option<Percent>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum AbortStatus {
    Http(u32),
    Grpc(GrpcStatus),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AbortFields {
    http_status: Option<u32>,
    grpc_status: Option<GrpcStatus>,
    percentage: Option<Percent>,
}

impl TryFrom<AbortFields> for Abort {
    type Error = String;

    fn try_from(AbortFields { http_status, grpc_status, percentage }: AbortFields) -> Result<Self, Self::Error> {
        let status = match (http_status, grpc_status) {
            (Some(status @ 200..=599), None) => AbortStatus::Http(status),
            (Some(status), None) => return Err(format!("httpStatus {status} is not between 200 and 599")),
            (None, Some(status)) => AbortStatus::Grpc(status),
            _ => return Err("one of httpStatus and grpcStatus is expected".into()),
        };
        Ok(Self { status, percentage })
    }
}

/// The statuses of gRPC, in the order of their numbers.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum GrpcStatus {
    Ok,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Mirror {
    pub(super) destination: Destination,
    #[serde(default)]
    pub(super) percentage: Option<Percent>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "PercentFields")]
pub(super) struct Percent(pub(super) f64);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PercentFields {
    #[serde(default)]
    value: f64,
}

impl TryFrom<PercentFields> for Percent {
    type Error = String;

    fn try_from(PercentFields { value }: PercentFields) -> Result<Self, Self::Error> {
        match value {
            0.0 | 0.0001..=100.0 => Ok(Self(value)),
            _ => Err(format!("{value} is no percentage; 0, or one between 0.0001 and 100 is expected")),
        }
    }
}
