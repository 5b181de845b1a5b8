// SPDX-License-Identifier: Apache-2.0
//! What an engine is told at birth, and how it is doing.

use std::time::Duration;

use bytes::Bytes;

use crate::backoff::Backoff;

/// Which of the two stream methods is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// `DeltaAggregatedResources`.
    Delta,
    /// `StreamAggregatedResources`.
    Sotw,
}

/// How "everything" is spelled in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wildcard {
    /// As an empty list in the first request of the type: what every server knows, but it cannot be taken back or joined with names.
    Empty,
    /// As the name `*`.
    Star,
}

/// What a server asks its clients to make of bad news (gRFC A53, A88).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Go on with a resource that the server no longer has (`ignore_resource_deletion`).
    pub ignore_resource_deletion: bool,
    /// Do not go on with a resource whose newer content is bad, or that the server no longer has.
    pub fail_on_data_errors: bool,
    /// An answer that does not come is a passing failure, not absence; the wait is twice as long.
    pub resource_timer_is_transient_error: bool,
}

/// What an engine is told at birth.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Variant of the first stream; delta falls back to state of the world when the server answers Unimplemented.
    pub variant: Variant,
    /// Encoded `envoy.config.core.v3.Node`.
    pub node: Bytes,
    /// How long a name may stay unanswered before it counts as absent.
    pub resource_timeout: Duration,
    /// How long a stream may stay without any response before it is given up.
    pub first_response_timeout: Duration,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// Seed of the jitter.
    pub seed: u64,
    /// The spelling of "everything"; `None`: [`Wildcard::Empty`] in the state of the world, [`Wildcard::Star`] in delta.
    pub wildcard: Option<Wildcard>,
    /// What bad news mean.
    pub policy: Policy,
    /// In delta, the first answer to a wildcard on a new stream is complete: what it lacks is gone. `None`: it is when it is istiod's
    /// and repeats unchanged what we said to hold.
    pub full_state_on_reconnect: Option<bool>,
    /// State of the world: the server answers with everything that was asked for, so that a name which such an answer lacks is waited
    /// for only so much longer (the answer may have crossed the question). `None`: as long as any other.
    pub unlisted_timeout: Option<Duration>,
    /// The server serves one stream at a time and closes the older one: when that happens to us twice in a row, keep away.
    pub yields: bool,
}

impl Settings {
    /// What a server gets of which nothing special is known.
    pub fn new(variant: Variant, node: Bytes) -> Self {
        Self {
            variant,
            node,
            resource_timeout: Duration::from_secs(15),
            first_response_timeout: Duration::from_secs(30),
            backoff: Backoff::default(),
            seed: 1,
            wildcard: None,
            policy: Policy::default(),
            full_state_on_reconnect: None,
            unlisted_timeout: None,
            yields: false,
        }
    }
}

/// How the server is doing (gRFC A78).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// A stream was opened, and there was no failure since its last response.
    pub connected: bool,
    /// How often the server went from healthy to unreachable.
    pub server_failures: u64,
    /// Streams opened.
    pub streams: u64,
    /// Another client uses the socket, and we keep away.
    pub yielding: bool,
}
