// SPDX-License-Identifier: Apache-2.0
//! A server over a changing [`State`].

use std::{io, net::SocketAddr, sync::Arc};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_stream::Stream;
use tonic::{
    Status, Streaming,
    metadata::MetadataMap,
    transport::{
        Server as Grpc,
        server::{Connected, TcpIncoming},
    },
};

use crate::{
    ads::{self, State},
    service::{Handler, service},
};

/// A running ADS server. Dropping it closes every connection.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: watch::Sender<Arc<State>>,
    streams: watch::Sender<()>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Binds and serves. Port 0 picks a free one; see [`Server::address`]. `delta` off answers Unimplemented to delta streams.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, state: State, delta: bool) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        Ok(Self::over(incoming, Grpc::builder(), address, state, delta))
    }

    /// Serves over connections that come from elsewhere, for instance from within the process, with these bounds on them.
    pub fn over<S, C, E>(incoming: S, mut server: Grpc, address: SocketAddr, state: State, delta: bool) -> Self
    where
        S: Stream<Item = Result<C, E>> + Send + 'static,
        C: AsyncRead + AsyncWrite + Connected<ConnectInfo: Clone + Send + Sync> + Unpin + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let (state, states) = watch::channel(Arc::new(state));
        let (streams, ends) = watch::channel(());
        let (stop, stopped) = oneshot::channel::<()>();
        let handler = Arc::new(Serving { states, ends, delta });
        let task = tokio::spawn(async move {
            let server = server.add_service(service(handler));
            tokio::select! {
                _ = server.serve_with_incoming(incoming) => {}
                _ = stopped => {}
            }
        });
        Self { address, state, streams, stop: Some(stop), task }
    }

    /// Ends every stream, in order; clients come back.
    pub fn end_streams(&self) {
        self.streams.send_replace(());
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves another state from now on; what changed is pushed.
    pub fn publish(&self, state: State) {
        self.state.send_replace(Arc::new(state));
    }

    /// Number of the state that is served.
    pub fn number(&self) -> u64 {
        self.state.borrow().number
    }

    /// Stops listening and closes every connection.
    pub async fn stop(mut self) {
        self.stop.take();
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Serving {
    states: watch::Receiver<Arc<State>>,
    ends: watch::Receiver<()>,
    delta: bool,
}

impl Handler for Serving {
    fn sotw(&self, _headers: MetadataMap, requests: Streaming<DiscoveryRequest>, responses: Answers<DiscoveryResponse>) {
        tokio::spawn(run(self.states.clone(), self.ends.clone(), requests, responses, ads::Stream::on_sotw, |stream, state| {
            stream.on_state(state, false).1
        }));
    }

    fn delta(
        &self,
        _headers: MetadataMap,
        _first: Option<DeltaDiscoveryRequest>,
        requests: Streaming<DeltaDiscoveryRequest>,
        responses: Answers<DeltaDiscoveryResponse>,
    ) -> Result<(), Status> {
        if !self.delta {
            return Err(Status::unimplemented("this server speaks the state of the world only"));
        }
        tokio::spawn(run(self.states.clone(), self.ends.clone(), requests, responses, ads::Stream::on_delta, |stream, state| {
            stream.on_state(state, true).0
        }));
        Ok(())
    }
}

type Answers<R> = mpsc::UnboundedSender<Result<R, Status>>;

/// Serves one stream until either side ends it.
async fn run<Q, R>(
    mut states: watch::Receiver<Arc<State>>,
    mut ends: watch::Receiver<()>,
    mut requests: Streaming<Q>,
    responses: Answers<R>,
    on_request: fn(&mut ads::Stream, &Q) -> Option<R>,
    on_state: fn(&mut ads::Stream, &Arc<State>) -> Vec<R>,
) {
    let mut stream = ads::Stream::new(Arc::clone(&states.borrow_and_update()));
    ends.mark_unchanged();
    loop {
        let answers: Vec<R> = tokio::select! {
            request = requests.message() => match request {
                Ok(Some(request)) => on_request(&mut stream, &request).into_iter().collect(),
                Ok(None) | Err(_) => return,
            },
            changed = states.changed() => match changed {
                Ok(()) => {
                    let state = Arc::clone(&states.borrow_and_update());
                    on_state(&mut stream, &state)
                }
                Err(_) => return,
            },
            _ = ends.changed() => return,
        };
        for answer in answers {
            if responses.send(Ok(answer)).is_err() {
                return;
            }
        }
    }
}
