// SPDX-License-Identifier: Apache-2.0
//! One server and the way to it: waiting, connecting, opening a stream, reading from it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{sync::mpsc, time::Sleep};

use super::Event;
use crate::{
    authority::ServerId,
    protocol::Time,
    transport::{Connection, Dialer, Pending, Responses},
};

pub(super) enum Link {
    /// Nobody needs this server.
    Off,
    Waiting(Pin<Box<Sleep>>),
    Connecting(Pending<Connection>),
    /// The first requests are queued; the server's headers are awaited.
    Opening(Pending<Responses>),
    Open(Box<Responses>),
}

/// One server and the way to it.
pub(super) struct Lane {
    pub(super) dialer: Dialer,
    pub(super) link: Link,
    /// Towards the current stream.
    pub(super) requests: Option<mpsc::UnboundedSender<Bytes>>,
    pub(super) unneeded_since: Option<Time>,
}

pub(super) fn poll_lanes(lanes: &mut [Lane], context: &mut Context<'_>) -> Poll<Event> {
    for (server, lane) in lanes.iter_mut().enumerate() {
        if let Poll::Ready(event) = lane.poll(server, context) {
            return Poll::Ready(event);
        }
    }
    Poll::Pending
}

impl Lane {
    fn poll(&mut self, server: ServerId, context: &mut Context<'_>) -> Poll<Event> {
        let lost = |lost| Event::Lost(server, lost);
        Poll::Ready(match &mut self.link {
            Link::Off => return Poll::Pending,
            Link::Waiting(sleep) => {
                ready!(sleep.as_mut().poll(context));
                Event::Due(server)
            }
            Link::Connecting(connecting) => {
                ready!(connecting.as_mut().poll(context)).map_or_else(lost, |connection| Event::Connected(server, connection))
            }
            Link::Opening(opening) => {
                ready!(opening.as_mut().poll(context)).map_or_else(lost, |responses| Event::Opened(server, responses))
            }
            Link::Open(responses) => {
                ready!(responses.poll_next(context)).map_or_else(lost, |message| Event::Message(server, message))
            }
        })
    }
}
