// SPDX-License-Identifier: Apache-2.0
//! The discovery messages, trimmed to the fields in use, with bodies as shared bytes instead of copies.
//!
//! Field numbers are those of `envoy/service/discovery/v3/discovery.proto`. The node is encoded once by its owner and travels as
//! bytes: an embedded message and a byte string look the same on the wire.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Any {
    /// Type of the value.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The encoded message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `google.rpc.Status`, without details.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Status {
    /// gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// Text for people.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// State-of-the-world request.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DiscoveryRequest {
    /// Last accepted version.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// Encoded `envoy.config.core.v3.Node`; in the first request of a stream only.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub node: Option<Bytes>,
    /// All names of interest; empty is "everything" in the first request of a type.
    #[prost(string, repeated, tag = "3")]
    pub resource_names: Vec<String>,
    /// The type.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Nonce of the latest response of the type on this stream.
    #[prost(string, tag = "5")]
    pub response_nonce: String,
    /// Present in a NACK.
    #[prost(message, optional, tag = "6")]
    pub error_detail: Option<Status>,
}

/// State-of-the-world response.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DiscoveryResponse {
    /// Version of the whole response.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// Resources, plain or wrapped in [`Resource`].
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Any>,
    /// The type.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// To be echoed.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Resources that the server cannot or will not give (xDS TP3).
    #[prost(message, repeated, tag = "7")]
    pub resource_errors: Vec<ResourceError>,
}

/// Delta request.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeltaDiscoveryRequest {
    /// Encoded node; in the first request of a stream only.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub node: Option<Bytes>,
    /// The type.
    #[prost(string, tag = "2")]
    pub type_url: String,
    /// Names to add.
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    /// Names to drop.
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    /// What is held, in the first request of a type on a stream.
    #[prost(map = "string, string", tag = "5")]
    pub initial_resource_versions: HashMap<String, String>,
    /// Set in ACK and NACK only.
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    /// Present in a NACK.
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<Status>,
}

/// Delta response.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DeltaDiscoveryResponse {
    /// For debugging only.
    #[prost(string, tag = "1")]
    pub system_version_info: String,
    /// Added and changed resources.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Resource>,
    /// The type.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// To be echoed.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Names that are gone.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
    /// Resources that the server cannot or will not give (xDS TP3).
    #[prost(message, repeated, tag = "9")]
    pub resource_errors: Vec<ResourceError>,
}

/// One resource with its own name and version.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Resource {
    /// Version of this resource.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The resource; absent in a heartbeat.
    #[prost(message, optional, tag = "2")]
    pub resource: Option<Any>,
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// How long it is valid without being sent again.
    #[prost(message, optional, tag = "6")]
    pub ttl: Option<Ttl>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Ttl {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The rest.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Ttl {
    /// The longest duration that protobuf knows, 10,000 years.
    const LONGEST: u64 = 315_576_000_000;

    /// `None` when it is negative or out of range: such a resource does not expire.
    pub(super) fn duration(self) -> Option<Duration> {
        let seconds = u64::try_from(self.seconds).ok().filter(|seconds| *seconds <= Self::LONGEST)?;
        Some(Duration::new(seconds, u32::try_from(self.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?))
    }
}

/// Why a resource is not in the response.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ResourceError {
    /// Which one.
    #[prost(message, optional, tag = "1")]
    pub resource_name: Option<ResourceName>,
    /// The reason; gRPC codes.
    #[prost(message, optional, tag = "2")]
    pub error_detail: Option<Status>,
}

/// A name, without dynamic parameters.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ResourceName {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Type URL of a [`Resource`] that wraps an entry of a state-of-the-world response.
pub(super) const RESOURCE_URL: &str = "type.googleapis.com/envoy.service.discovery.v3.Resource";
