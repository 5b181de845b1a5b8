// SPDX-License-Identifier: Apache-2.0
//! One ADS stream over tonic: TLS, Unix sockets, a token per stream, keepalive, bounds. Messages are bytes here.

mod probe;
mod remedy;

use std::{
    fs,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::{Stream, wrappers::UnboundedReceiverStream};
use tonic::{
    Code, Request, Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{AsciiMetadataValue, MetadataMap},
    transport::{Certificate as Root, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    certificate::{self, Certificate, Slot},
    config::{CertificateRequest, Config, Profile, Server},
    observe::cut,
    protocol::{End, Lost, Variant},
};

pub use remedy::remedy;

/// Most bytes of a server's words about a stream that are repeated.
const MESSAGE: usize = 1024;
const SOTW: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
const DELTA: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// A connection attempt, or a stream being opened.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Lost>>>>;

/// Responses of an open stream.
#[derive(Debug)]
pub struct Responses(Streaming<Bytes>);

impl Responses {
    /// The next message, or how the stream ended.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Lost>> {
        Pin::new(&mut self.0).poll_next(context).map(|next| match next {
            Some(Ok(message)) => Ok(message),
            Some(Err(status)) => Err(lost(&status)),
            None => Err(Lost { reason: "closed by the server".into(), how: End::Closed }),
        })
    }
}

/// A connection, and as whom it was made.
#[derive(Clone, Debug)]
pub struct Connection {
    channel: Channel,
    /// A certificate that was obtained is shown on it. One that arrives later is not.
    identified: bool,
}

/// How one server is reached.
#[derive(Clone, Debug)]
pub struct Dialer {
    config: Arc<Config>,
    server: usize,
    certificate: Slot,
    #[cfg(test)]
    pub(crate) in_memory: Option<memory::Listener>,
}

impl Dialer {
    /// For the server at this position of the configuration.
    pub fn new(config: Arc<Config>, server: usize) -> Self {
        Self {
            config,
            server,
            certificate: Slot::default(),
            #[cfg(test)]
            in_memory: None,
        }
    }

    /// Connects with the certificate in this slot, once there is one.
    #[must_use]
    pub fn with_certificate(mut self, slot: Slot) -> Self {
        self.certificate = slot;
        self
    }

    /// One call with one answer, on a connection of its own.
    ///
    /// # Errors
    /// Why there is no answer; for people, with the cause.
    pub async fn call(&self, method: &'static str, body: Bytes) -> Result<Bytes, String> {
        let connection = self.dial().await?;
        let mut grpc = tonic::client::Grpc::new(connection.channel);
        grpc.ready().await.map_err(|error| describe(&error))?;
        let mut call = Request::new(body);
        self.add_headers(call.metadata_mut(), connection.identified)?;
        call.set_timeout(self.config.first_response_timeout);
        let answer =
            grpc.unary(call, PathAndQuery::from_static(method), BytesCodec).await.map_err(|status| lost(&status).reason)?;
        Ok(answer.into_inner())
    }

    /// Asks the CA of this server for a certificate over a new key.
    ///
    /// # Errors
    /// Why there is none; for people, never with a secret.
    pub async fn obtain(&self, wanted: &CertificateRequest) -> Result<Certificate, String> {
        let (key, body) = certificate::ask(&wanted.identity, wanted.life)?;
        certificate::read(self.call(certificate::CREATE, body).await?, &key, wanted.life)
    }

    fn server(&self) -> &Server {
        &self.config.servers[self.server]
    }

    /// Dials. Every stream gets a connection of its own: that spreads clients over the replicas of a control plane and reads
    /// certificates that have changed. Fails with why there is no connection; for people, with the cause.
    pub fn connect(&self) -> Pending<Connection> {
        let dialer = self.clone();
        Box::pin(async move {
            match dialer.dial().await {
                Ok(connection) => Ok(connection),
                Err(reason) => Err(dialer.explained(refused(reason)).await),
            }
        })
    }

    /// Opens a stream of the given variant on a connection. Requests are taken from `queue` and should be there already: servers
    /// may hold their headers back until they have read one. Fails with why there is no stream; for people, with the cause.
    pub fn open(&self, connection: Connection, variant: Variant, queue: UnboundedReceiver<Bytes>) -> Pending<Responses> {
        let dialer = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::client::Grpc::new(connection.channel).max_decoding_message_size(dialer.config.max_message_bytes);
            grpc.ready().await.map_err(|error| refused(describe(&error)))?;
            let mut call = Request::new(UnboundedReceiverStream::new(queue));
            dialer.add_headers(call.metadata_mut(), connection.identified).map_err(refused)?;
            let path = PathAndQuery::from_static(match variant {
                Variant::Sotw => SOTW,
                Variant::Delta => DELTA,
            });
            match grpc.streaming(call, path, BytesCodec).await.map_err(|status| lost(&status)) {
                Ok(response) => Ok(Responses(response.into_inner())),
                Err(lost) if lost.how == End::Broken => Err(dialer.explained(lost).await),
                Err(lost) => Err(lost),
            }
        })
    }

    /// Says in front of the reason what the server speaks, if that is not what it was spoken to in.
    async fn explained(&self, lost: Lost) -> Lost {
        #[cfg(test)]
        if self.in_memory.is_some() {
            return lost;
        }
        let place = &self.server().place;
        let found = probe::probe(place).await.and_then(|found| probe::mismatch(place, found));
        Lost { reason: found.map_or(lost.reason.clone(), |what| format!("{what} ({})", lost.reason)), ..lost }
    }

    async fn dial(&self) -> Result<Connection, String> {
        let server = self.server();
        let invalid = |error: tonic::transport::Error| describe(&error);
        let (interval, timeout) = (self.config.keepalive, self.config.keepalive_timeout);
        let mut endpoint = Endpoint::from_shared(server.place.to_string())
            .map_err(invalid)?
            .connect_timeout(self.config.connect_timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(interval))
            .http2_keep_alive_interval(interval)
            .keep_alive_timeout(timeout)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20);
        let certificate = self.certificate.get().filter(|_| server.place.is_tls());
        if server.place.is_tls() {
            endpoint = endpoint.tls_config(tls(server, certificate.as_deref())?).map_err(invalid)?;
        }
        #[cfg(test)]
        if let Some(listener) = &self.in_memory {
            let channel = endpoint.connect_with_connector(listener.connector()).await.map_err(invalid)?;
            return Ok(Connection { channel, identified: certificate.is_some() });
        }
        let channel = endpoint.connect().await.map_err(invalid)?;
        Ok(Connection { channel, identified: certificate.is_some() })
    }

    fn add_headers(&self, headers: &mut MetadataMap, identified: bool) -> Result<(), String> {
        if self.config.profile != Profile::Envoy
            && let Ok(id) = self.config.cluster_id.parse()
        {
            headers.insert("clusterid", id);
        }
        // Over a Unix socket the agent adds its own; over plaintext a token must never go.
        let (true, Some(path)) = (self.server().place.is_tls(), &self.server().token_file) else { return Ok(()) };
        // Who has shown a certificate needs no token, which may long be gone.
        if identified {
            return Ok(());
        }
        let fail = |what: &dyn std::fmt::Display| format!("token_file {}: {what}", path.display());
        let token = fs::read_to_string(path).map_err(|error| fail(&error))?;
        let token = token.trim();
        if let Some(late) = expired_for(token, SystemTime::now()) {
            return Err(fail(&format!("the token expired {} s ago", late.as_secs())));
        }
        let mut value: AsciiMetadataValue = format!("Bearer {token}").parse().map_err(|_| fail(&"not a token"))?;
        value.set_sensitive(true);
        headers.insert("authorization", value);
        Ok(())
    }
}

fn refused(reason: String) -> Lost {
    Lost { reason, how: End::Failed }
}

/// Files are read for every connection, so that what was rotated is used.
fn tls(server: &Server, obtained: Option<&Certificate>) -> Result<ClientTlsConfig, String> {
    let read = |key: &str, path: &Path| {
        let bytes = fs::read(path).map_err(|error| format!("{key} {}: {error}", path.display()))?;
        let is_pem = String::from_utf8_lossy(&bytes).contains("-----BEGIN ");
        if is_pem { Ok(bytes) } else { Err(format!("{key} {}: it holds no PEM", path.display())) }
    };
    let mut tls = ClientTlsConfig::new();
    tls = match &server.ca_file {
        Some(path) => tls.ca_certificate(Root::from_pem(read("ca_file", path)?)),
        None => tls.with_native_roots(),
    };
    if let Some(obtained) = obtained {
        tls = tls.identity(Identity::from_pem(&obtained.chain, &obtained.key));
    } else if let Some((certificate, key)) = &server.identity {
        tls = tls.identity(Identity::from_pem(read("cert_file", certificate)?, read("key_file", key)?));
    }
    if let Some(name) = &server.server_name {
        tls = tls.domain_name(name);
    }
    Ok(tls)
}

/// What a JWT says about itself. Nobody has checked its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// For whom it is.
    pub audiences: Vec<String>,
    /// Whom it names, for instance `system:serviceaccount:demo:echo`.
    pub subject: String,
    /// Until when it is valid.
    pub expires: Option<SystemTime>,
}

impl Claims {
    /// Reads a token; `None` for one that is no JWT.
    pub fn of(token: &str) -> Option<Self> {
        let claims = URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1)?).ok()?;
        let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
        let texts = |value: &serde_json::Value| match value {
            serde_json::Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
            other => other.as_str().map(str::to_owned).into_iter().collect::<Vec<_>>(),
        };
        Some(Self {
            audiences: claims.get("aud").map(texts).unwrap_or_default(),
            subject: claims.get("sub").and_then(serde_json::Value::as_str).unwrap_or_default().into(),
            expires: claims
                .get("exp")
                .and_then(serde_json::Value::as_u64)
                .and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at))),
        })
    }
}

/// For how long a JWT has been expired; `None` for one that is valid and for a token that is no JWT: the server judges those.
fn expired_for(token: &str, now: SystemTime) -> Option<Duration> {
    now.duration_since(Claims::of(token)?.expires?).ok().filter(|late| !late.is_zero())
}

fn lost(status: &Status) -> Lost {
    let broken = std::error::Error::source(status).is_some();
    let cause = std::error::Error::source(status).map(|source| format!(" ({})", describe(source))).unwrap_or_default();
    Lost {
        reason: format!("{:?}: {}{cause}", status.code(), cut(status.message(), MESSAGE)),
        how: match status.code() {
            Code::Unimplemented => End::Unimplemented,
            _ if broken => End::Broken,
            _ => End::Failed,
        },
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

#[cfg(test)]
pub(crate) mod memory;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn a_certificate_that_arrives_between_dial_and_open_does_not_take_the_place_of_the_token() {
        let token = std::env::temp_dir().join(format!("proxyless-token-{}", std::process::id()));
        fs::write(&token, "opaque").expect("writable");
        let document = serde_json::json!({"server": "https://a:1", "token_file": token}).to_string();
        let config = Config::load(&Sources { document, ..Default::default() }).expect("valid");
        let dialer = Dialer::new(Arc::new(config), 0).with_certificate(Slot::holding(certificate::tests::certificate(2020, 2099)));
        for (identified, sent) in [(false, Some("Bearer opaque")), (true, None)] {
            let mut headers = MetadataMap::new();
            dialer.add_headers(&mut headers, identified).expect("readable");
            assert_eq!(headers.get("authorization").map(|value| value.to_str().expect("text")), sent);
        }
        fs::remove_file(token).expect("ours");
    }

    #[test]
    fn the_words_of_a_server_are_repeated_up_to_a_bound() {
        assert!(lost(&Status::unavailable("x".repeat(1 << 20))).reason.len() < 2 * MESSAGE);
    }

    fn token(claims: &str) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_tells_its_audience_its_subject_and_its_end() {
        let one = Claims::of(&token(r#"{"aud": "istio-ca", "sub": "system:serviceaccount:demo:echo", "exp": 7}"#)).expect("a JWT");
        assert_eq!((one.audiences, one.subject.as_str()), (vec!["istio-ca".to_owned()], "system:serviceaccount:demo:echo"));
        assert_eq!(one.expires, Some(UNIX_EPOCH + Duration::from_secs(7)));
        assert_eq!(Claims::of(&token(r#"{"aud": ["a", "b"]}"#)).expect("a JWT").audiences, ["a", "b"]);
        assert_eq!(Claims::of("test:demo:echo"), None);
    }

    #[test]
    fn c_056_an_expired_token_is_not_sent_and_what_is_no_jwt_is_the_servers_business() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        assert_eq!(expired_for(&token(r#"{"exp": 990}"#), now), Some(Duration::from_secs(10)));
        for fine in [token(r#"{"exp": 1010}"#), token("{}"), "opaque".into(), "a.b.c".into(), String::new()] {
            assert_eq!(expired_for(&fine, now), None, "{fine}");
        }
    }
}
