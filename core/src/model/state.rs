// SPDX-License-Identifier: Apache-2.0
//! The state of a target: five answers that are never collapsed into one another.

use std::fmt;

/// Why a target that was asked for must not be widened into something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Invalid {
    /// No DestinationRule defines the subset.
    UndefinedSubset = 1,
    /// The service has no such port.
    NoSuchPort = 2,
    /// A DestinationRule demands TLS, which this client does not originate.
    TlsRequired = 3,
    /// Several hosts match a name that was to be matched by its first label.
    Ambiguous = 4,
    /// The route leads to a cluster that the control plane does not list.
    RouteToUnknownCluster = 5,
    /// There is no endpoint list by nature: an original destination, a cluster that each request names, a host without routes.
    NoList = 6,
    /// Every request is answered by the route itself, and so reaches no endpoint.
    NotForwarded = 7,
}

impl Invalid {
    /// The name used in JSON and messages.
    pub fn name(self) -> &'static str {
        match self {
            Invalid::UndefinedSubset => "undefined_subset",
            Invalid::NoSuchPort => "no_such_port",
            Invalid::TlsRequired => "tls_required",
            Invalid::Ambiguous => "ambiguous",
            Invalid::RouteToUnknownCluster => "route_to_unknown_cluster",
            Invalid::NoList => "no_list",
            Invalid::NotForwarded => "not_forwarded",
        }
    }
}

/// What is known about a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No answer yet.
    Pending,
    /// The control plane has answered and has no such service.
    Unknown,
    /// The list, possibly empty.
    Ready,
    /// It was there and has gone; the old list is not served.
    Removed,
    /// It must not be widened; never falls through to another source.
    Invalid(Invalid),
}

impl State {
    /// The name used in JSON and messages.
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Unknown => "unknown",
            State::Ready => "ready",
            State::Removed => "removed",
            State::Invalid(_) => "invalid",
        }
    }

    /// Number of the state in the flat format and the C ABI.
    pub fn number(self) -> u8 {
        match self {
            State::Pending => 0,
            State::Unknown => 1,
            State::Ready => 2,
            State::Removed => 3,
            State::Invalid(_) => 4,
        }
    }

    /// Number of the reason; 0 unless invalid.
    pub fn reason_number(self) -> u8 {
        match self {
            State::Invalid(reason) => reason as u8,
            _ => 0,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Invalid(reason) => write!(f, "invalid ({})", reason.name()),
            other => f.write_str(other.name()),
        }
    }
}
