// SPDX-License-Identifier: Apache-2.0
//! A control plane server: where it is, how it is trusted, what it asks of its clients.

use std::{collections::BTreeMap, path::PathBuf};

use crate::protocol::Policy;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Plaintext HTTP/2, said so explicitly.
    Plaintext(String),
    /// TLS, verified.
    Tls(String),
    /// A Unix socket, for instance an istio-agent's.
    Unix(PathBuf),
}

impl Place {
    /// Parses `http://host:port`, `https://host:port` or `unix:///path`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.trim_start_matches('/');
            return if path.is_empty() {
                Err("a path is expected after unix:".into())
            } else {
                Ok(Self::Unix(format!("/{path}").into()))
            };
        }
        let (authority, tls) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(authority), _) => (authority, false),
            (_, Some(authority)) => (authority, true),
            _ => return Err("http:// (plaintext), https:// (TLS) or unix: is expected in front".into()),
        };
        let authority = authority.trim_end_matches('/');
        if authority.contains('@') {
            return Err("user and password are not supported; a token_file is".into());
        }
        let parsed: http::uri::Authority = authority.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        if parsed.port_u16().is_none() || parsed.host().is_empty() {
            return Err("host:port is expected".into());
        }
        Ok(if tls { Self::Tls(authority.into()) } else { Self::Plaintext(authority.into()) })
    }

    /// Tokens may be sent there.
    pub fn is_tls(&self) -> bool {
        matches!(self, Place::Tls(_))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Plaintext(authority) => write!(f, "http://{authority}"),
            Place::Tls(authority) => write!(f, "https://{authority}"),
            Place::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// One server. Two that are equal are one: they share a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Where it is.
    pub place: Place,
    /// Certificate authorities for TLS; none: those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and its key, read anew for every connection.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Name checked in the server's certificate; none: the host.
    pub server_name: Option<String>,
    /// Token sent over TLS, read anew for every stream.
    pub token_file: Option<PathBuf>,
    /// What it asks its clients to make of bad news.
    pub policy: Policy,
}

impl Server {
    pub(super) fn at(place: Place) -> Self {
        Self { place, ca_file: None, identity: None, server_name: None, token_file: None, policy: Policy::default() }
    }
}

impl Policy {
    /// The features that mean something here.
    pub(super) const FEATURES: [&str; 3] = ["ignore_resource_deletion", "fail_on_data_errors", "resource_timer_is_transient_error"];

    /// From the server features of a bootstrap; unknown ones mean nothing.
    pub(super) fn from_features<'a>(features: impl IntoIterator<Item = &'a str>) -> Self {
        let mut policy = Self::default();
        for feature in features {
            match feature {
                "ignore_resource_deletion" => policy.ignore_resource_deletion = true,
                "fail_on_data_errors" => policy.fail_on_data_errors = true,
                "resource_timer_is_transient_error" => policy.resource_timer_is_transient_error = true,
                _ => {}
            }
        }
        policy
    }
}

/// Who serves which names. Positions are those of [`super::Config::servers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Servers of old-style names, best first.
    pub default: Vec<usize>,
    /// Servers of new-style names, by authority.
    pub authorities: BTreeMap<String, Authority>,
    /// Listener name of a target without an authority; `%s` is the target.
    pub listener_template: String,
}

/// One authority of new-style names (gRFC A47).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its servers, best first.
    pub servers: Vec<usize>,
    /// Listener name of a target of this authority; `%s` is the target.
    pub listener_template: String,
}
