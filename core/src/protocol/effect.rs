// SPDX-License-Identifier: Apache-2.0
//! What the engine wants done.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{DeltaDiscoveryRequest, DiscoveryRequest, Kind};

/// A request of either variant.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// For `StreamAggregatedResources`.
    Sotw(DiscoveryRequest),
    /// For `DeltaAggregatedResources`.
    Delta(DeltaDiscoveryRequest),
}

/// Why a resource is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The server removed it, or its time to live is over.
    Removed,
    /// The server has never had it.
    Absent,
    /// The server did not answer in time.
    Unanswered,
    /// The server refuses to give it.
    Refused,
    /// Newer content was bad, and the policy says not to go on with the old one.
    Rejected,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Text for people.
    pub reason: String,
    /// In which way.
    pub how: End,
}

/// The ways in which a stream, or the attempt to open one, ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server ended it with status OK.
    Closed,
    /// With an error, or there never was a connection.
    Failed,
    /// The server does not know the method.
    Unimplemented,
    /// The connection broke.
    Broken,
}

/// One thing to do or to pass on.
#[derive(Debug, PartialEq)]
pub enum Effect<V> {
    /// Write to the stream.
    Send(Request),
    /// A resource was accepted with new content.
    Update {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Arc<str>,
        /// What it decoded to.
        value: V,
        /// What it was decoded from.
        body: Bytes,
    },
    /// A resource does not exist (any more).
    Remove {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Arc<str>,
        /// Why.
        gone: Gone,
    },
    /// A resource was rejected; the last good value, if there is one, stays in use.
    Reject {
        /// Its kind.
        kind: Kind,
        /// Its name; `None` when even the name could not be read.
        name: Option<Arc<str>>,
        /// Why.
        error: Arc<str>,
    },
    /// A standing error that is no rejection: the server took the resource away, or refuses it, or does not answer. Content that
    /// is held stays in use.
    Trouble {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Arc<str>,
        /// What it is.
        error: Arc<str>,
    },
    /// The standing error of a resource is over; its content is what it was.
    Clear {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Arc<str>,
    },
    /// Nobody subscribes any more and the server has been told: drop what is held.
    Forget {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Arc<str>,
    },
    /// All effects of one response of this kind have been listed.
    Answered(Kind),
    /// A stream, or the attempt to open one, ended without any response.
    Unreachable(Arc<str>),
    /// Another client uses a socket that serves only one: it keeps it.
    Yield,
    /// Close the stream: the server breaks the protocol or is silent. `on_lost` must follow.
    Close(String),
    /// Open a stream after this delay, in the variant that the engine then names.
    Connect {
        /// How long to wait.
        after: Duration,
    },
}
