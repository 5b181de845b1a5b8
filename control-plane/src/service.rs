// SPDX-License-Identifier: Apache-2.0
//! gRPC plumbing: accept a connection, hand each ADS stream's two directions to a handler.

use std::{pin::Pin, sync::Arc};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
    aggregated_discovery_service_server::{AggregatedDiscoveryService, AggregatedDiscoveryServiceServer},
};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

/// Takes care of streams as they open.
pub(crate) trait Handler: Send + Sync + 'static {
    /// A state-of-the-world stream opened.
    fn sotw(
        &self,
        headers: MetadataMap,
        requests: Streaming<DiscoveryRequest>,
        responses: mpsc::UnboundedSender<Result<DiscoveryResponse, Status>>,
    );

    /// A delta stream opened, and perhaps its first request was read already; an error refuses it.
    fn delta(
        &self,
        headers: MetadataMap,
        first: Option<DeltaDiscoveryRequest>,
        requests: Streaming<DeltaDiscoveryRequest>,
        responses: mpsc::UnboundedSender<Result<DeltaDiscoveryResponse, Status>>,
    ) -> Result<(), Status>;

    /// Sends response headers only once the client has sent a request, as some servers do.
    fn holds_headers(&self) -> bool {
        false
    }
}

/// Largest request that is read; a client with many names sends long ones.
const MAX_REQUEST: usize = 64 << 20;

pub(crate) fn service<H: Handler>(handler: Arc<H>) -> AggregatedDiscoveryServiceServer<Ads<H>> {
    AggregatedDiscoveryServiceServer::new(Ads(handler)).max_decoding_message_size(MAX_REQUEST)
}

pub(crate) struct Ads<H>(Arc<H>);

#[tonic::async_trait]
impl<H: Handler> AggregatedDiscoveryService for Ads<H> {
    type StreamAggregatedResourcesStream = Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;
    type DeltaAggregatedResourcesStream = Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (responses, queue) = mpsc::unbounded_channel();
        let headers = request.metadata().clone();
        self.0.sotw(headers, request.into_inner(), responses);
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(queue))))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (responses, queue) = mpsc::unbounded_channel();
        let headers = request.metadata().clone();
        let mut requests = request.into_inner();
        let first = if self.0.holds_headers() { requests.message().await? } else { None };
        self.0.delta(headers, first, requests, responses)?;
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(queue))))
    }
}
