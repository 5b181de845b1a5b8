// SPDX-License-Identifier: Apache-2.0
//! A server whose every stream is played by the test: it reads requests and writes responses, nothing happens by itself.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_stream::{Stream, wrappers::UnixListenerStream};
use tonic::{
    Status, Streaming,
    metadata::MetadataMap,
    transport::{
        Certificate, Identity, Server as Grpc, ServerTlsConfig,
        server::{Connected, TcpIncoming},
    },
};

use crate::service::{Handler, service};

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listening scripted server.
#[derive(Debug)]
pub struct Script {
    address: SocketAddr,
    streams: mpsc::UnboundedReceiver<DeltaStream>,
    sotw: mpsc::UnboundedReceiver<SotwStream>,
    task: JoinHandle<()>,
}

/// One stream, both ends in the test's hands. Dropping it ends the stream in order.
#[derive(Debug)]
pub struct Played<Q, R> {
    headers: MetadataMap,
    first: Option<Q>,
    requests: Streaming<Q>,
    responses: mpsc::UnboundedSender<Result<R, Status>>,
}

/// A delta stream.
pub type DeltaStream = Played<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

/// A state-of-the-world stream.
pub type SotwStream = Played<DiscoveryRequest, DiscoveryResponse>;

impl Script {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When nothing can be bound.
    pub async fn start() -> io::Result<Self> {
        Self::listen(Grpc::builder(), false).await
    }

    /// The same, but response headers are sent only once a request has come.
    ///
    /// # Errors
    /// When nothing can be bound.
    pub async fn start_holding_headers() -> io::Result<Self> {
        Self::listen(Grpc::builder(), true).await
    }

    /// Plays over connections that come from elsewhere, for instance from within the process; its address is of no meaning then.
    pub fn over<S, C, E>(incoming: S) -> Self
    where
        S: Stream<Item = Result<C, E>> + Send + 'static,
        C: AsyncRead + AsyncWrite + Connected<ConnectInfo: Clone + Send + Sync> + Unpin + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        Self::serve(Grpc::builder(), incoming, ([127, 0, 0, 1], 0).into(), false)
    }

    /// Listens with TLS and demands a client certificate of this authority (PEM).
    ///
    /// # Errors
    /// When nothing can be bound, or a certificate cannot be used.
    pub async fn start_mutual_tls(certificate: &str, key: &str, clients: &str) -> io::Result<Self> {
        let identity = Identity::from_pem(certificate, key);
        let tls = ServerTlsConfig::new().identity(identity).client_ca_root(Certificate::from_pem(clients));
        Self::listen(Grpc::builder().tls_config(tls).map_err(io::Error::other)?, false).await
    }

    /// Listens on a free loopback port with this certificate and key (PEM).
    ///
    /// # Errors
    /// When nothing can be bound, or the certificate cannot be used.
    pub async fn start_tls(certificate: &str, key: &str) -> io::Result<Self> {
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        Self::listen(Grpc::builder().tls_config(tls).map_err(io::Error::other)?, false).await
    }

    /// Listens on a Unix socket; its address is of no meaning then.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub async fn start_unix(path: &Path) -> io::Result<Self> {
        let incoming = UnixListenerStream::new(UnixListener::bind(path)?);
        Ok(Self::serve(Grpc::builder(), incoming, ([127, 0, 0, 1], 0).into(), false))
    }

    async fn listen(server: Grpc, holds_headers: bool) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok(Self::serve(server, TcpIncoming::from(listener).with_nodelay(Some(true)), address, holds_headers))
    }

    fn serve<S, C, E>(mut server: Grpc, incoming: S, address: SocketAddr, holds_headers: bool) -> Self
    where
        S: Stream<Item = Result<C, E>> + Send + 'static,
        C: AsyncRead + AsyncWrite + Connected<ConnectInfo: Clone + Send + Sync> + Unpin + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let (opened, streams) = mpsc::unbounded_channel();
        let (opened_sotw, sotw) = mpsc::unbounded_channel();
        let handler = Arc::new(Scripted { opened, opened_sotw, holds_headers });
        let task = tokio::spawn(async move {
            let _ = server.add_service(service(handler)).serve_with_incoming(incoming).await;
        });
        Self { address, streams, sotw, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next state-of-the-world stream that a client opens.
    ///
    /// # Panics
    /// When none comes in time: the test has failed.
    pub async fn accept_sotw(&mut self) -> SotwStream {
        timeout(PATIENCE, self.sotw.recv()).await.expect("a client opens a stream in time").expect("the server runs")
    }

    /// The next delta stream that a client opens.
    ///
    /// # Panics
    /// When none comes in time: the test has failed.
    pub async fn accept(&mut self) -> DeltaStream {
        timeout(PATIENCE, self.streams.recv()).await.expect("a client opens a stream in time").expect("the server runs")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<Q, R> Played<Q, R> {
    /// A header that the client sent with the stream.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next request.
    ///
    /// # Panics
    /// When none comes in time, or the stream ends.
    pub async fn request(&mut self) -> Q {
        if let Some(first) = self.first.take() {
            return first;
        }
        let message = timeout(PATIENCE, self.requests.message()).await.expect("the client sends a request in time");
        message.expect("the stream is sound").expect("the client does not end the stream")
    }

    /// Waits until the client has ended the stream.
    ///
    /// # Panics
    /// When it does not.
    pub async fn ended(&mut self) {
        loop {
            match timeout(PATIENCE, self.requests.message()).await.expect("the client ends the stream in time") {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Writes a response.
    pub fn respond(&self, response: R) {
        let _ = self.responses.send(Ok(response));
    }

    /// Ends the stream with a status.
    pub fn fail(self, status: Status) {
        let _ = self.responses.send(Err(status));
    }
}

struct Scripted {
    opened: mpsc::UnboundedSender<DeltaStream>,
    opened_sotw: mpsc::UnboundedSender<SotwStream>,
    holds_headers: bool,
}

impl Handler for Scripted {
    fn sotw(
        &self,
        headers: MetadataMap,
        requests: Streaming<DiscoveryRequest>,
        responses: mpsc::UnboundedSender<Result<DiscoveryResponse, Status>>,
    ) {
        // When the script is over the sender comes back and is dropped, which ends the stream.
        let _ = self.opened_sotw.send(Played { headers, first: None, requests, responses });
    }

    fn delta(
        &self,
        headers: MetadataMap,
        first: Option<DeltaDiscoveryRequest>,
        requests: Streaming<DeltaDiscoveryRequest>,
        responses: mpsc::UnboundedSender<Result<DeltaDiscoveryResponse, Status>>,
    ) -> Result<(), Status> {
        self.opened.send(Played { headers, first, requests, responses }).map_err(|_| Status::unavailable("the script is over"))
    }

    fn holds_headers(&self) -> bool {
        self.holds_headers
    }
}
