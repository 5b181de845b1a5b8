// SPDX-License-Identifier: Apache-2.0
//! The only async loop: moves bytes between transports and engines, executes effects, arms timers, publishes.
//!
//! One lane per server. Never waits for a consumer. Holds no policy: what to send and whom to ask is the business of
//! [`Authorities`], what a target means the catalog's.

mod disk;
mod lane;
mod ledger;
mod supervise;
mod window;

use std::{
    collections::hash_map::RandomState,
    future::{Future, poll_fn},
    hash::BuildHasher,
    io,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use tokio::{sync::mpsc, time::Instant};

use disk::{Disk, Restored};
use lane::{Lane, Link, poll_lanes};
use ledger::Ledger;
pub(crate) use supervise::supervise;
pub(crate) use window::Window;

use crate::{
    authority::{Acts, Authorities, ServerId},
    cache::Cache,
    catalog::{Catalog, Changes, Listing},
    certificate,
    config::{Config, Profile},
    observe::Level,
    protocol::{Effect, End, Health, Kind, Lost, Request, ResourceStatus, Time, TypeStatus, Variant},
    resource::{Resource, ResourceDecoder},
    store::Writer,
    target::Target,
    transport::{Connection, Dialer, Responses, remedy},
};

/// A server that nobody needs keeps its connection for so long: a name that is let go is often wanted again.
const GRACE: Duration = Duration::from_secs(1);

/// What handles ask of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// Watch a target; the spelling becomes another name of it.
    Watch { target: Arc<Target>, spelling: Arc<str> },
    /// Take one watch back.
    Unwatch { target: Arc<Target>, spelling: Arc<str> },
    /// Tell what the engines hold.
    Describe { answer: std::sync::mpsc::SyncSender<Vec<ServerReport>> },
    /// Tell what the control plane lists.
    List { answer: std::sync::mpsc::SyncSender<Listing> },
    /// Fail as a defect would make it.
    #[cfg(test)]
    Panic,
}

/// One server, for introspection.
#[derive(Debug)]
pub(crate) struct ServerReport {
    pub(crate) place: String,
    pub(crate) in_charge: bool,
    pub(crate) variant: &'static str,
    pub(crate) health: Health,
    pub(crate) kinds: Vec<(Kind, TypeStatus, Vec<ResourceStatus>)>,
}

pub(crate) struct Driver {
    config: Arc<Config>,
    authorities: Authorities<ResourceDecoder>,
    catalog: Catalog,
    writer: Writer,
    window: Arc<Window>,
    started: Instant,
    lanes: Vec<Lane>,
    /// The disk, if it is used.
    disk: Option<Disk>,
}

impl Driver {
    pub(crate) fn new(
        config: Arc<Config>,
        authorities: Authorities<ResourceDecoder>,
        catalog: Catalog,
        writer: Writer,
        window: Arc<Window>,
        started: Instant,
    ) -> Self {
        let lane = |server| Lane {
            dialer: Dialer::new(Arc::clone(&config), server).with_certificate(window.certificate.clone()),
            link: Link::Off,
            requests: None,
            unneeded_since: None,
        };
        let lanes = (0..authorities.servers()).map(lane).collect();
        let cache =
            config.cache_dir.as_ref().map(|folder| Cache::new(folder, &config.cache_identity, config.profile != Profile::Grpc));
        // What was published before is newer than what was saved.
        let read_at = (!writer.has_earlier()).then_some(config.cache_wait);
        let disk = cache.map(|cache| Disk::new(cache, read_at));
        Self { config, authorities, catalog, writer, window, started, lanes, disk }
    }

    /// Runs until every handle is gone. What stands in the ledger is watched from the beginning.
    async fn run(mut self, commands: &mut mpsc::UnboundedReceiver<Command>, ledger: &mut Ledger) {
        if self.config.profile != Profile::Grpc {
            self.authorities.subscribe_all(Kind::Cluster);
        }
        let mut changes = Changes::default();
        for command in ledger.watches() {
            self.command(command, &mut changes);
        }
        self.settle(Vec::new(), changes);
        let mut renewal = self.renewal();
        loop {
            self.tend_lanes();
            let deadline = self.next_deadline();
            let (lanes, disk) = (&mut self.lanes, &mut self.disk);
            let event = tokio::select! {
                biased;
                command = commands.recv() => Event::Command(command),
                event = poll_fn(|context| poll_lanes(lanes, context)) => event,
                event = poll_fn(|context| disk.as_mut().map_or(Poll::Pending, |disk| disk.poll(context))) => event,
                () = &mut renewal => Event::Tick,
                () = sleep_until(self.started, deadline) => Event::Tick,
            };
            let mut acts = Vec::new();
            let mut changes = Changes::default();
            match event {
                Event::Command(None) => return self.finish().await,
                Event::Command(Some(command)) => {
                    let mut next = Ok(command);
                    while let Ok(command) = next {
                        ledger.note(&command);
                        self.command(command, &mut changes);
                        next = commands.try_recv();
                    }
                }
                Event::Due(server) => self.lanes[server].link = Link::Connecting(self.lanes[server].dialer.connect()),
                Event::Connected(server, connection) => self.open(server, connection, &mut acts),
                Event::Opened(server, responses) => self.lanes[server].link = Link::Open(Box::new(responses)),
                Event::Message(server, message) => self.authorities.on_response(server, self.now(), message, &mut acts),
                Event::Lost(server, lost) => self.lost(server, &lost, &mut acts),
                Event::Restored(restored) => self.restored(restored, &mut acts),
                Event::NotWritten(error) => self.note(Level::Warn, format!("the last known good is not saved: {error}")),
                Event::Tick => {
                    self.authorities.on_tick(self.now(), &mut acts);
                    self.catalog.on_tick(self.now());
                    let now = self.now();
                    self.disk.iter_mut().for_each(|disk| disk.tend(now));
                }
            }
            self.settle(acts, changes);
        }
    }

    /// Obtains a certificate from the CA of the first server and keeps it fresh, if one is wanted. Never ends.
    fn renewal(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        if !self.config.workload_certificate {
            return Box::pin(std::future::pending());
        }
        let dialer = self.lanes[self.config.directory.default[0]].dialer.clone();
        let (config, window, started) = (Arc::clone(&self.config), Arc::clone(&self.window), self.started);
        let seed = RandomState::new().hash_one(&config.node_text);
        Box::pin(async move {
            let obtain = async || dialer.obtain(&config.certificate).await;
            let note = |level, text| window.note(started.elapsed(), level, text);
            certificate::keep(obtain, window.certificate.clone(), seed, note).await;
        })
    }

    fn now(&self) -> Time {
        self.started.elapsed()
    }

    fn next_deadline(&mut self) -> Option<Time> {
        let unneeded = self.lanes.iter().filter_map(|lane| Some(lane.unneeded_since? + GRACE)).min();
        let disk = self.disk.as_ref().and_then(Disk::next_deadline);
        [self.authorities.next_deadline(), self.catalog.next_deadline(), unneeded, disk].into_iter().flatten().min()
    }

    /// Starts what is needed and ends what nobody needs.
    fn tend_lanes(&mut self) {
        let now = self.now();
        let mut closed = false;
        for (server, lane) in self.lanes.iter_mut().enumerate() {
            if self.authorities.engine(server).has_interest() {
                lane.unneeded_since = None;
                if let Link::Off = lane.link {
                    lane.link = Link::Connecting(lane.dialer.connect());
                }
            } else if !matches!(lane.link, Link::Off) && *lane.unneeded_since.get_or_insert(now) + GRACE <= now {
                lane.link = Link::Off;
                lane.requests = None;
                lane.unneeded_since = None;
                self.authorities.on_closed(server);
                closed = true;
            }
        }
        if closed {
            self.show();
        }
    }

    fn command(&mut self, command: Command, changes: &mut Changes) {
        match command {
            Command::Watch { target, spelling } => {
                let slot = self.catalog.watch(&target);
                self.writer.name(&spelling, slot);
                let canonical: Arc<str> = target.to_string().into();
                self.writer.name(&canonical, slot);
            }
            Command::Unwatch { target, .. } => {
                if let Some(slot) = self.catalog.unwatch(&target, changes) {
                    self.writer.drop_slot(slot);
                }
            }
            Command::List { answer } => {
                let _ = answer.send(self.catalog.listing());
            }
            Command::Describe { answer } => {
                let _ = answer.send((0..self.lanes.len()).map(|server| self.report(server)).collect());
            }
            #[cfg(test)]
            Command::Panic => panic!("on purpose"),
        }
    }

    fn report(&self, server: ServerId) -> ServerReport {
        let engine = self.authorities.engine(server);
        ServerReport {
            place: self.config.servers[server].place.to_string(),
            in_charge: self.authorities.in_charge() == server,
            variant: engine.variant().name(),
            health: engine.health(),
            kinds: Kind::ALL.into_iter().map(|kind| (kind, engine.status(kind), engine.resources(kind))).collect(),
        }
    }

    /// The first requests are queued before the stream is open, so that they travel with its headers.
    fn open(&mut self, server: ServerId, connection: Connection, acts: &mut Acts<Resource>) {
        let (requests, queue) = mpsc::unbounded_channel();
        let lane = &mut self.lanes[server];
        lane.requests = Some(requests);
        lane.link = Link::Opening(lane.dialer.open(connection, self.authorities.engine(server).variant(), queue));
        self.authorities.on_open(server, self.now(), acts);
    }

    fn lost(&mut self, server: ServerId, lost: &Lost, acts: &mut Acts<Resource>) {
        if lost.how == End::Unimplemented && self.authorities.engine(server).falls_back() {
            self.lanes[server].requests = None;
            self.authorities.on_lost(server, self.now(), lost, acts);
            return self.note(Level::Info, self.about(server, "no delta streams here; the state of the world is asked for"));
        }
        let was_synced = self.authorities.engine(server).is_synced();
        let was_in_charge = self.authorities.in_charge() == server;
        self.lanes[server].requests = None;
        // Whoever reads of it should not have to search.
        let told = remedy(&lost.reason).map_or_else(|| lost.reason.clone(), |remedy| format!("{}: {remedy}", lost.reason));
        self.authorities.on_lost(server, self.now(), &Lost { reason: told.clone(), how: lost.how }, acts);
        let now = self.now();
        let mut status = self.window.status();
        status.failures += u64::from(!was_synced);
        status.last_error.clone_from(&lost.reason);
        let begins = was_in_charge && status.stale_since.is_none();
        if begins {
            status.stale_since = Some(now);
        }
        drop(status);
        let level = if was_synced { Level::Info } else { Level::Warn };
        self.note(level, self.about(server, &told));
        if begins {
            self.note(Level::Info, "what is served is stale from now on".into());
        }
    }

    /// A text about a server, with all that is needed to find it in its logs.
    fn about(&self, server: ServerId, text: &str) -> String {
        format!("{} (node {}): {text}", self.config.servers[server].place, self.config.node_id)
    }

    /// Executes effects until nothing is left to do, then publishes once.
    fn settle(&mut self, mut acts: Acts<Resource>, mut changes: Changes) {
        loop {
            for (server, effect) in std::mem::take(&mut acts) {
                self.execute(server, effect, &mut changes, &mut acts);
            }
            let now = self.now();
            self.catalog.settle(now, &mut changes);
            for (kind, name, wanted) in changes.subscriptions.drain(..) {
                if wanted {
                    self.authorities.subscribe(kind, &name, &mut acts);
                } else {
                    self.authorities.unsubscribe(kind, &name);
                }
            }
            self.authorities.flush(now, &mut acts);
            if acts.is_empty() {
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

    fn execute(&mut self, server: ServerId, effect: Effect<Resource>, changes: &mut Changes, acts: &mut Acts<Resource>) {
        match effect {
            Effect::Send(request) => {
                if let Some(requests) = &self.lanes[server].requests {
                    // A stream that has just ended takes nothing more; its end is the next event.
                    let _ = requests.send(encode(&request));
                }
            }
            Effect::Close(reason) => {
                let lost = Lost { reason, how: End::Failed };
                self.lost(server, &lost, acts);
            }
            Effect::Connect { after } => self.lanes[server].link = Link::Waiting(Box::pin(tokio::time::sleep(after))),
            Effect::Yield => {
                let text = "another xDS client uses this socket, which serves one: it keeps it, and what is known here goes stale. \
                            Connect to istiod directly, or use one client only";
                self.note(Level::Warn, self.about(server, text));
            }
            Effect::Unreachable(reason) => {
                if let Some(disk) = self.disk.as_mut().filter(|disk| disk.read_at.is_some()) {
                    disk.read_at = Some(self.started.elapsed());
                }
                self.catalog.apply(Effect::Unreachable(self.about(server, &reason).into()), changes);
            }
            other => {
                let now = self.now();
                if self.authorities.is_alive()
                    && let Some(disk) = &mut self.disk
                {
                    disk.cache.note(&other, now);
                }
                self.catalog.apply(other, changes);
            }
        }
    }

    fn show(&mut self) {
        let connected = self.authorities.is_synced();
        if connected && let Some(disk) = &mut self.disk {
            disk.read_at = None;
        }
        let now = self.now();
        let mut status = self.window.status();
        status.streams += u64::from(connected && !status.connected);
        status.connected = connected;
        status.variant = self.authorities.engine(self.authorities.in_charge()).variant().name();
        status.hosts = self.catalog.hosts();
        if !connected {
            status.stale_since.get_or_insert(now);
            return;
        }
        status.last_error.clear();
        let stale = status.stale_since.take().map(|since| now.saturating_sub(since) + std::mem::take(&mut status.stale_already));
        drop(status);
        if let Some(stale) = stale {
            self.note(Level::Info, format!("in sync, after {:.1} s without", stale.as_secs_f64()));
        }
    }

    fn note(&self, level: Level, text: String) {
        self.window.note(self.now(), level, text);
    }

    fn restored(&mut self, restored: Restored, acts: &mut Acts<Resource>) {
        let found = match restored {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(why) => return self.note(Level::Warn, why),
        };
        if self.authorities.is_alive() {
            return;
        }
        let age = found.age;
        self.note(Level::Warn, format!("no control plane answers; what was saved is served, up to {} s old", age.as_secs()));
        {
            let now = self.now();
            let mut status = self.window.status();
            status.stale_since = Some(now);
            status.stale_already = age;
        }
        self.authorities.restore(found.saved, acts);
    }

    /// The last handle has gone: what is not saved yet is saved now.
    async fn finish(self) {
        let now = self.now();
        if let Some(disk) = self.disk {
            disk.finish(now).await;
        }
    }
}

enum Event {
    Command(Option<Command>),
    Due(ServerId),
    Connected(ServerId, Connection),
    Opened(ServerId, Responses),
    Message(ServerId, Bytes),
    Lost(ServerId, Lost),
    Restored(Restored),
    NotWritten(io::Error),
    Tick,
}

async fn sleep_until(started: Instant, deadline: Option<Time>) {
    // What is too far off for the clock never comes.
    match deadline.and_then(|deadline| started.checked_add(deadline)) {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn encode(request: &Request) -> Bytes {
    match request {
        Request::Sotw(request) => request.encode_to_vec().into(),
        Request::Delta(request) => request.encode_to_vec().into(),
    }
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Variant::Delta => "delta",
            Variant::Sotw => "sotw",
        }
    }
}

#[cfg(test)]
#[path = "driver_test.rs"]
mod tests;
