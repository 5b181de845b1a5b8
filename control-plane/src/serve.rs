// SPDX-License-Identifier: Apache-2.0
//! A server over a changing [`State`].

use std::{io, net::SocketAddr, sync::Arc};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tonic::{
    Status, Streaming,
    metadata::MetadataMap,
    transport::{Server as Grpc, server::TcpIncoming},
};

use crate::{
    ads::{State, Stream},
    service::{Handler, service},
};

/// A running ADS server. Dropping it closes every connection.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: watch::Sender<Arc<State>>,
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
        let (state, states) = watch::channel(Arc::new(state));
        let (stop, stopped) = oneshot::channel::<()>();
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let handler = Arc::new(Serving { states, delta });
        let task = tokio::spawn(async move {
            let server = Grpc::builder().add_service(service(handler));
            tokio::select! {
                _ = server.serve_with_incoming(incoming) => {}
                _ = stopped => {}
            }
        });
        Ok(Self { address, state, stop: Some(stop), task })
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
    delta: bool,
}

impl Handler for Serving {
    fn sotw(&self, mut requests: Streaming<DiscoveryRequest>, responses: mpsc::UnboundedSender<Result<DiscoveryResponse, Status>>) {
        let mut states = self.states.clone();
        tokio::spawn(async move {
            let mut stream = Stream::new(Arc::clone(&states.borrow_and_update()));
            loop {
                let answers = tokio::select! {
                    request = requests.message() => match request {
                        Ok(Some(request)) => stream.on_sotw(&request).into_iter().collect(),
                        Ok(None) | Err(_) => return,
                    },
                    changed = states.changed() => match changed {
                        Ok(()) => { let state = Arc::clone(&states.borrow_and_update()); stream.on_state(&state, false).1 }
                        Err(_) => return,
                    },
                };
                for answer in answers {
                    if responses.send(Ok(answer)).is_err() {
                        return;
                    }
                }
            }
        });
    }

    fn delta(
        &self,
        _headers: MetadataMap,
        mut requests: Streaming<DeltaDiscoveryRequest>,
        responses: mpsc::UnboundedSender<Result<DeltaDiscoveryResponse, Status>>,
    ) -> Result<(), Status> {
        if !self.delta {
            return Err(Status::unimplemented("this server speaks the state of the world only"));
        }
        let mut states = self.states.clone();
        tokio::spawn(async move {
            let mut stream = Stream::new(Arc::clone(&states.borrow_and_update()));
            loop {
                let answers = tokio::select! {
                    request = requests.message() => match request {
                        Ok(Some(request)) => stream.on_delta(&request).into_iter().collect(),
                        Ok(None) | Err(_) => return,
                    },
                    changed = states.changed() => match changed {
                        Ok(()) => { let state = Arc::clone(&states.borrow_and_update()); stream.on_state(&state, true).0 }
                        Err(_) => return,
                    },
                };
                for answer in answers {
                    if responses.send(Ok(answer)).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(())
    }
}
