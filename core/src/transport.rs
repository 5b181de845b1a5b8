// SPDX-License-Identifier: Apache-2.0
//! One ADS stream over tonic: TLS, Unix sockets, a token per stream, keepalive, bounds. Messages are bytes here.

use std::{fs, sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::AsciiMetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    config::{Config, Profile, Server},
    protocol::{Lost, Variant},
};

const SOTW: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
const DELTA: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// Responses of an open stream.
#[derive(Debug)]
pub struct Responses(Streaming<Bytes>);

impl Responses {
    /// The next message, or how the stream ended.
    ///
    /// # Errors
    /// The end of the stream, in order or not.
    pub async fn next(&mut self) -> Result<Bytes, Lost> {
        match self.0.message().await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(Lost { reason: "closed by the server".into(), unimplemented: false, abrupt: false }),
            Err(status) => Err(lost(&status)),
        }
    }
}

/// Dials. Every stream gets a connection of its own: that spreads clients over the replicas of a control plane and reads
/// certificates that have changed.
///
/// # Errors
/// Why there is no connection; for people, with the cause.
pub async fn connect(config: Arc<Config>) -> Result<Channel, Lost> {
    dial(&config).await.map_err(refused)
}

/// Opens a stream of the given variant on a connection. Requests are taken from `queue` and should be there already: servers
/// may hold their headers back until they have read one.
///
/// # Errors
/// Why there is no stream; for people, with the cause.
pub async fn open(
    config: Arc<Config>,
    channel: Channel,
    variant: Variant,
    queue: UnboundedReceiver<Bytes>,
) -> Result<Responses, Lost> {
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(config.max_message_bytes);
    grpc.ready().await.map_err(|error| refused(describe(&error)))?;
    let mut call = Request::new(UnboundedReceiverStream::new(queue));
    add_headers(&config, call.metadata_mut()).map_err(refused)?;
    let path = PathAndQuery::from_static(match variant {
        Variant::Sotw => SOTW,
        Variant::Delta => DELTA,
    });
    let response = grpc.streaming(call, path, BytesCodec).await.map_err(|status| lost(&status))?;
    Ok(Responses(response.into_inner()))
}

fn refused(reason: String) -> Lost {
    Lost { reason, unimplemented: false, abrupt: false }
}

async fn dial(config: &Config) -> Result<Channel, String> {
    let uri = config.server.to_string();
    let invalid = |error: tonic::transport::Error| describe(&error);
    let (interval, timeout) = match config.profile {
        Profile::Istio => (Duration::from_secs(30), Duration::from_secs(10)),
        Profile::Envoy => (Duration::from_secs(300), Duration::from_secs(20)),
    };
    let mut endpoint = Endpoint::from_shared(uri)
        .map_err(invalid)?
        .connect_timeout(config.connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(interval))
        .http2_keep_alive_interval(interval)
        .keep_alive_timeout(timeout)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20);
    if let Server::Tls(_) = config.server {
        endpoint = endpoint.tls_config(tls(config)?).map_err(invalid)?;
    }
    endpoint.connect().await.map_err(invalid)
}

fn tls(config: &Config) -> Result<ClientTlsConfig, String> {
    let mut tls = ClientTlsConfig::new();
    tls = match &config.ca_file {
        Some(path) => {
            let pem = fs::read(path).map_err(|error| format!("ca_file {}: {error}", path.display()))?;
            tls.ca_certificate(Certificate::from_pem(pem))
        }
        None => tls.with_native_roots(),
    };
    if let Some(name) = &config.server_name {
        tls = tls.domain_name(name);
    }
    Ok(tls)
}

fn add_headers(config: &Config, headers: &mut tonic::metadata::MetadataMap) -> Result<(), String> {
    if config.profile == Profile::Istio
        && let Ok(id) = config.cluster_id.parse()
    {
        headers.insert("clusterid", id);
    }
    // Over a Unix socket the agent adds its own; over plaintext a token must never go.
    let (Server::Tls(_), Some(path)) = (&config.server, &config.token_file) else { return Ok(()) };
    let token = fs::read_to_string(path).map_err(|error| format!("token_file {}: {error}", path.display()))?;
    let mut value: AsciiMetadataValue =
        format!("Bearer {}", token.trim()).parse().map_err(|_| format!("token_file {}: not a token", path.display()))?;
    value.set_sensitive(true);
    headers.insert("authorization", value);
    Ok(())
}

fn lost(status: &Status) -> Lost {
    let broken = std::error::Error::source(status).is_some();
    let cause = std::error::Error::source(status).map(|source| format!(" ({})", describe(source))).unwrap_or_default();
    Lost {
        reason: format!("{:?}: {}{cause}", status.code(), status.message()),
        unimplemented: status.code() == Code::Unimplemented,
        abrupt: broken,
    }
}

/// The whole chain of causes: the outermost error alone says "transport error".
fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[derive(Clone, Copy, Debug)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
