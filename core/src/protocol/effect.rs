// SPDX-License-Identifier: Apache-2.0
//! What the engine wants done.

use std::{sync::Arc, time::Duration};

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
    /// The server removed it.
    Removed,
    /// The server has never had it: it said so, or did not answer in time.
    Absent,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Text for people.
    pub reason: String,
    /// The server answered Unimplemented.
    pub unimplemented: bool,
    /// The connection broke instead of being closed in order.
    pub abrupt: bool,
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
    },
    /// A resource does not exist (any more).
    Remove {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Arc<str>,
        /// Since when.
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
    /// Nobody subscribes any more and the server has been told: drop what is held.
    Forget {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Arc<str>,
    },
    /// All effects of one response of this kind have been listed.
    Answered(Kind),
    /// Close the stream: the server breaks the protocol or is silent. `on_lost` must follow.
    Close(String),
    /// Open a stream after this delay, in the variant that the engine then names.
    Connect {
        /// How long to wait.
        after: Duration,
    },
}
