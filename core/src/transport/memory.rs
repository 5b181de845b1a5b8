// SPDX-License-Identifier: Apache-2.0
//! A transport without sockets, so that a test can stop the clock: connections are pipes within the process.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
};
use tonic::transport::Uri;
use tower::{Service, service_fn};

/// Takes connections; the other ends come out of the receiver of [`listen`].
#[derive(Clone, Debug)]
pub(crate) struct Listener(mpsc::UnboundedSender<DuplexStream>);

pub(crate) fn listen() -> (Listener, mpsc::UnboundedReceiver<DuplexStream>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Listener(sender), receiver)
}

impl Listener {
    pub(super) fn connector(
        &self,
    ) -> impl Service<Uri, Response = TokioIo<DuplexStream>, Error = io::Error, Future: Send> + Send + use<> {
        let sender = self.0.clone();
        service_fn(move |_: Uri| {
            let (near, far) = duplex(1 << 16);
            let sent = sender.send(far).map(|()| TokioIo::new(near)).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused));
            std::future::ready(sent)
        })
    }
}
