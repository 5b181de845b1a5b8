// SPDX-License-Identifier: Apache-2.0
//! The only async loop: moves bytes between transport and engine, executes effects, arms timers, publishes.
//!
//! Never waits for a consumer. Holds no policy: what to send is the engine's business, what a target means the catalog's.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use tokio::{sync::mpsc, time::Instant};
use tonic::transport::Channel;

use crate::{
    catalog::{Catalog, Changes},
    config::Config,
    observe::{Events, Level},
    protocol::{Effect, Engine, Kind, Lost, Request, ResourceStatus, Time, TypeStatus, Variant},
    resource::{Resource, ResourceDecoder},
    store::Writer,
    target::Target,
    transport::{self, Responses},
};

/// What handles ask of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// Watch a target; the spelling becomes another name of it.
    Watch { target: Target, spelling: Arc<str> },
    /// Take one watch back.
    Unwatch { target: Target },
    /// Tell what the engine holds.
    Describe { answer: std::sync::mpsc::SyncSender<Vec<Report>> },
}

/// One kind of resource, for introspection.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) kind: Kind,
    pub(crate) status: TypeStatus,
    pub(crate) resources: Vec<ResourceStatus>,
}

/// How the connection stands; what `describe` shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    pub(crate) connected: bool,
    /// Since when there has been no synced stream; `None` while there is one.
    pub(crate) stale_since: Option<Time>,
    pub(crate) streams: u64,
    pub(crate) failures: u64,
    pub(crate) last_error: String,
    pub(crate) variant: &'static str,
    pub(crate) hosts: usize,
}

/// What the driver shows to handles.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) status: Mutex<Status>,
    pub(crate) events: Mutex<Events>,
}

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Lost>>>>;

#[expect(clippy::large_enum_variant, reason = "there is one link per driver")]
enum Link {
    /// Nothing until then.
    Waiting(Time),
    Connecting(Pending<Channel>),
    /// The first requests are queued; the server's headers are awaited.
    Opening(Pending<Responses>),
    Open(Responses),
}

pub(crate) struct Driver {
    config: Arc<Config>,
    engine: Engine<ResourceDecoder>,
    catalog: Catalog,
    writer: Writer,
    window: Arc<Window>,
    started: Instant,
    link: Link,
    /// Towards the current stream.
    requests: Option<mpsc::UnboundedSender<Bytes>>,
}

impl Driver {
    pub(crate) fn new(
        config: Arc<Config>,
        engine: Engine<ResourceDecoder>,
        catalog: Catalog,
        writer: Writer,
        window: Arc<Window>,
    ) -> Self {
        Self {
            config,
            engine,
            catalog,
            writer,
            window,
            started: Instant::now(),
            link: Link::Waiting(Duration::ZERO),
            requests: None,
        }
    }

    /// Runs until every handle is gone.
    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        self.engine.subscribe_all(Kind::Cluster);
        loop {
            let deadline = self.next_deadline();
            let event = tokio::select! {
                biased;
                command = commands.recv() => Event::Command(command),
                linked = step(&mut self.link, self.started) => linked,
                () = sleep_until(self.started, deadline) => Event::Tick,
            };
            let mut effects = Vec::new();
            let mut changes = Changes::default();
            match event {
                Event::Command(None) => return,
                Event::Command(Some(command)) => {
                    self.command(command, &mut changes);
                    while let Ok(command) = commands.try_recv() {
                        self.command(command, &mut changes);
                    }
                }
                Event::Due => self.link = Link::Connecting(Box::pin(transport::connect(Arc::clone(&self.config)))),
                Event::Connected(channel) => self.open(channel, &mut effects),
                Event::Opened(responses) => self.link = Link::Open(responses),
                Event::Message(message) => self.engine.on_response(self.now(), message, &mut effects),
                Event::Lost(lost) => self.lost(&lost, &mut effects),
                Event::Tick => {
                    self.engine.on_tick(self.now(), &mut effects);
                    self.catalog.on_tick(self.now());
                }
            }
            self.settle(effects, changes);
        }
    }

    fn now(&self) -> Time {
        self.started.elapsed()
    }

    fn next_deadline(&mut self) -> Option<Time> {
        [self.engine.next_deadline(), self.catalog.next_deadline()].into_iter().flatten().min()
    }

    fn command(&mut self, command: Command, changes: &mut Changes) {
        match command {
            Command::Watch { target, spelling } => {
                let slot = self.catalog.watch(&target);
                self.writer.name(&spelling, slot);
                let canonical: Arc<str> = target.to_string().into();
                self.writer.name(&canonical, slot);
            }
            Command::Unwatch { target } => {
                if let Some(slot) = self.catalog.unwatch(&target, changes) {
                    self.writer.drop_slot(slot);
                }
            }
            Command::Describe { answer } => {
                let report = |kind| Report { kind, status: self.engine.status(kind), resources: self.engine.resources(kind) };
                let _ = answer.send(Kind::ALL.into_iter().map(report).collect());
            }
        }
    }

    /// The first requests are queued before the stream is open, so that they travel with its headers.
    fn open(&mut self, channel: Channel, effects: &mut Vec<Effect<Resource>>) {
        let (requests, queue) = mpsc::unbounded_channel();
        self.requests = Some(requests);
        self.link = Link::Opening(Box::pin(transport::open(Arc::clone(&self.config), channel, self.engine.variant(), queue)));
        self.engine.on_open(self.now(), effects);
    }

    fn lost(&mut self, lost: &Lost, effects: &mut Vec<Effect<Resource>>) {
        let was_synced = self.engine.is_synced();
        self.requests = None;
        self.engine.on_lost(self.now(), lost, effects);
        let now = self.now();
        {
            let mut status = self.window.status.lock().unwrap_or_else(PoisonError::into_inner);
            status.failures += u64::from(!was_synced);
            status.last_error.clone_from(&lost.reason);
            status.stale_since.get_or_insert(now);
        }
        let level = if was_synced { Level::Info } else { Level::Warn };
        self.note(level, format!("{}: {}", self.config.server, lost.reason));
    }

    /// Executes effects until nothing is left to do, then publishes once.
    fn settle(&mut self, mut effects: Vec<Effect<Resource>>, mut changes: Changes) {
        loop {
            for effect in std::mem::take(&mut effects) {
                self.execute(effect, &mut changes, &mut effects);
            }
            let now = self.now();
            self.catalog.settle(now, &mut changes);
            for (kind, name, wanted) in changes.subscriptions.drain(..) {
                if wanted {
                    self.engine.subscribe(kind, &name);
                } else {
                    self.engine.unsubscribe(kind, &name);
                }
            }
            self.engine.flush(now, &mut effects);
            if effects.is_empty() {
                break;
            }
        }
        for (slot, entry) in changes.entries {
            self.writer.set(slot, entry);
        }
        for (level, text) in changes.notes {
            self.note(level, text);
        }
        self.show();
        self.writer.publish();
    }

    fn execute(&mut self, effect: Effect<Resource>, changes: &mut Changes, effects: &mut Vec<Effect<Resource>>) {
        match effect {
            Effect::Send(request) => {
                if let Some(requests) = &self.requests {
                    // A stream that has just ended takes nothing more; its end is the next event.
                    let _ = requests.send(encode(&request));
                }
            }
            Effect::Close(reason) => {
                let lost = Lost { reason, unimplemented: false, abrupt: false };
                self.lost(&lost, effects);
            }
            Effect::Connect { after } => self.link = Link::Waiting(self.now() + after),
            other => self.catalog.apply(other, changes),
        }
    }

    fn show(&self) {
        let mut status = self.window.status.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = self.engine.is_synced();
        status.streams += u64::from(connected && !status.connected);
        status.connected = connected;
        if connected {
            status.stale_since = None;
        }
        status.variant = match self.engine.variant() {
            Variant::Delta => "delta",
            Variant::Sotw => "sotw",
        };
        status.hosts = self.catalog.hosts();
    }

    fn note(&self, level: Level, text: String) {
        self.window.events.lock().unwrap_or_else(PoisonError::into_inner).push(self.now(), level, text);
    }
}

enum Event {
    Command(Option<Command>),
    Due,
    Connected(Channel),
    Opened(Responses),
    Message(Bytes),
    Lost(Lost),
    Tick,
}

async fn step(link: &mut Link, started: Instant) -> Event {
    match link {
        Link::Waiting(until) => {
            sleep_until(started, Some(*until)).await;
            Event::Due
        }
        Link::Connecting(connecting) => connecting.as_mut().await.map_or_else(Event::Lost, Event::Connected),
        Link::Opening(opening) => opening.as_mut().await.map_or_else(Event::Lost, Event::Opened),
        Link::Open(responses) => match responses.next().await {
            Ok(message) => Event::Message(message),
            Err(lost) => Event::Lost(lost),
        },
    }
}

async fn sleep_until(started: Instant, deadline: Option<Time>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(started + deadline).await,
        None => std::future::pending().await,
    }
}

fn encode(request: &Request) -> Bytes {
    match request {
        Request::Sotw(request) => request.encode_to_vec().into(),
        Request::Delta(request) => request.encode_to_vec().into(),
    }
}
