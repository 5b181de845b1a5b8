// SPDX-License-Identifier: Apache-2.0
//! A TCP relay that misbehaves on demand: the network between a client and its control plane.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What the relay does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Passes them on.
    Pass,
    /// Takes none and says nothing.
    Stall,
    /// Passes them on late.
    Late(Duration),
}

/// How connections end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// On both sides.
    Cut,
    /// Towards the client only: the server goes on for a while, beside the client's next connection.
    Abandon(Duration),
}

/// Passes connections on to another address. Dropping it cuts them all.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    mood: watch::Sender<Mood>,
    to: watch::Sender<SocketAddr>,
    /// How the connections of now end.
    ends: watch::Sender<End>,
    /// Bytes towards the client after which the connection is cut, in the middle of whatever it is; 0: none.
    budget: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on a free loopback port.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (to, tos) = watch::channel(to);
        let (mood, moods) = watch::channel(Mood::Pass);
        let (ends, end) = watch::channel(End::Cut);
        let budget = Arc::new(AtomicU64::new(0));
        let left = Arc::clone(&budget);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(connection(near, *tos.borrow(), moods.clone(), end.clone(), Arc::clone(&left)));
            }
        });
        Self { address, mood, to, ends, budget, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections elsewhere.
    pub fn lead_to(&self, to: SocketAddr) {
        self.to.send_replace(to);
    }

    /// Passes no more bytes, in either direction, and closes nothing.
    pub fn stall(&self) {
        self.mood.send_replace(Mood::Stall);
    }

    /// Passes every piece on after this time.
    pub fn delay(&self, by: Duration) {
        self.mood.send_replace(Mood::Late(by));
    }

    /// Passes bytes on as they come.
    pub fn resume(&self) {
        self.mood.send_replace(Mood::Pass);
    }

    /// Ends every connection at once.
    pub fn cut(&self) {
        self.ends.send_replace(End::Cut);
    }

    /// Ends every connection towards the client; towards the server they live on for this time, so that an older stream overlaps a
    /// newer one.
    pub fn abandon(&self, lingering: Duration) {
        self.ends.send_replace(End::Abandon(lingering));
    }

    /// Ends the connection that next has passed so many bytes to the client.
    pub fn truncate_after(&self, bytes: u64) {
        self.budget.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(
    near: TcpStream,
    to: SocketAddr,
    mood: watch::Receiver<Mood>,
    mut end: watch::Receiver<End>,
    budget: Arc<AtomicU64>,
) {
    end.mark_unchanged();
    let Ok(far) = TcpStream::connect(to).await else { return };
    let ((near_in, near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pass(near_in, &mut far_out, mood.clone(), None) => return,
        () = pass(&mut far_in, near_out, mood, Some(budget)) => return,
        _ = end.changed() => {}
    }
    let end = *end.borrow();
    if let End::Abandon(lingering) = end {
        tokio::time::sleep(lingering).await;
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mood: watch::Receiver<Mood>,
    budget: Option<Arc<AtomicU64>>,
) {
    let mut buffer = vec![0; 4096];
    loop {
        let now = *mood.borrow_and_update();
        match now {
            Mood::Stall => {
                if mood.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Mood::Late(by) => tokio::time::sleep(by).await,
            Mood::Pass => {}
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = mood.changed() => continue,
        };
        let Ok(mut length @ 1..) = read else { return };
        let mut last = false;
        if let Some(budget) = &budget {
            let left = budget.load(Ordering::Relaxed);
            if left > 0 {
                last = left <= length as u64;
                length = length.min(left as usize);
                budget.store(left - length as u64, Ordering::Relaxed);
            }
        }
        if to.write_all(&buffer[..length]).await.is_err() || last {
            return;
        }
    }
}
