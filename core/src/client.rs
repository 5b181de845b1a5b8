// SPDX-License-Identifier: Apache-2.0
//! The public handle: open, watch, wait, snapshot, describe, shut down.
//!
//! Handles with the same control plane and node share one driver thread and one ADS stream; each has its own watch set and its
//! own shutdown. The thread ends with the last handle.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    authority::{Authorities, Plan},
    backoff::Backoff,
    catalog::{Catalog, ListenerNames, Listing, Rules},
    certificate::Certificate,
    config::{Config, Place, Profile, Server},
    driver::{Command, Driver, ServerReport, Status, Window},
    error::{Code, Error, Result},
    observe::Event,
    protocol::{Settings, Variant, Xdstp},
    resource::{References, ResourceDecoder},
    store::{Snapshot, Store, Wake, Writer},
    target::Target,
    transport::remedy,
};

/// One user's view of a control plane.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    /// How often each target is watched through this handle.
    watched: Mutex<BTreeMap<String, Target>>,
    stopped: AtomicBool,
    process: u32,
}

/// What all handles of one stream have in common.
#[derive(Debug)]
struct Shared {
    commands: mpsc::UnboundedSender<Command>,
    store: Arc<Store>,
    window: Arc<Window>,
    config: Arc<Config>,
    opened: Instant,
}

/// How much longer a name is waited for that a full answer lacks.
const UNLISTED: Duration = Duration::from_secs(1);

/// The authority of old-style names in gRFC A78.
const OLD_STYLE: &str = "#old";

/// Streams by everything that makes them different.
static STREAMS: LazyLock<Mutex<HashMap<String, Weak<Shared>>>> = LazyLock::new(Mutex::default);

impl Client {
    /// Opens a handle. Returns before anything is connected; an unreachable control plane is not an error but a state.
    ///
    /// # Errors
    /// [`Code::System`] when the thread cannot be started.
    pub fn open(config: Config) -> Result<Self> {
        let identity = identity(&config);
        let mut streams = lock(&STREAMS);
        let shared = match streams.get(&identity).and_then(Weak::upgrade) {
            Some(shared) => shared,
            None => {
                refuse_second_stream(&config, &streams)?;
                let shared = Arc::new(Shared::start(config)?);
                streams.retain(|_, shared| shared.strong_count() > 0);
                streams.insert(identity, Arc::downgrade(&shared));
                shared
            }
        };
        Ok(Self { shared, watched: Mutex::default(), stopped: AtomicBool::new(false), process: std::process::id() })
    }

    /// Starts watching a target. Watching it again through the same handle changes nothing.
    ///
    /// # Errors
    /// [`Code::Target`] when the spelling does not follow the grammar.
    pub fn watch(&self, spelling: &str) -> Result<()> {
        self.check()?;
        let target = Target::parse(spelling)?;
        let mut watched = lock(&self.watched);
        if watched.contains_key(spelling) {
            return Ok(());
        }
        watched.insert(spelling.into(), target.clone());
        self.shared.store.asked().add(spelling);
        self.send(Command::Watch { target, spelling: spelling.into() })
    }

    /// Stops watching a target that was watched under this spelling.
    ///
    /// # Errors
    /// [`Code::Shutdown`] or [`Code::Forked`].
    pub fn unwatch(&self, spelling: &str) -> Result<()> {
        self.check()?;
        match lock(&self.watched).remove(spelling) {
            Some(target) => self.take_back(spelling, target),
            None => Ok(()),
        }
    }

    /// The newest snapshot. Lock-free.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.store.snapshot()
    }

    /// Epoch of the newest snapshot; grows by one with every change. Wait-free.
    pub fn epoch(&self) -> u64 {
        self.shared.store.epoch()
    }

    /// Blocks until the epoch is above `since` or `timeout` has passed (`None`: no limit); returns the epoch.
    ///
    /// # Errors
    /// [`Code::Shutdown`] when this handle is shut down, before or while waiting.
    pub fn wait(&self, since: u64, timeout: Option<Duration>) -> Result<Wake> {
        self.check()?;
        match self.shared.store.wait(since, timeout, || self.stopped.load(Ordering::Acquire)) {
            Wake::Stopped => Err(shut_down()),
            woken => Ok(woken),
        }
    }

    /// How long there has been no synced stream; `None` while there is one. Lists served meanwhile are the last known good. Before
    /// the first one it is the time since the client was opened, and in a forked child there is none.
    pub fn stale_for(&self) -> Option<Duration> {
        // Another thread may have held the lock at the fork.
        if self.check_process().is_err() {
            return Some(self.shared.opened.elapsed());
        }
        let status = lock(&self.shared.window.status);
        let (since, already) = (status.stale_since?, status.stale_already);
        Some(self.shared.opened.elapsed().saturating_sub(since) + already)
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Events with a number above `since`; none in a forked child.
    pub fn events(&self, since: u64) -> Vec<Event> {
        if self.check_process().is_err() {
            return Vec::new();
        }
        lock(&self.shared.window.events).since(since).cloned().collect()
    }

    /// Everything worth knowing as JSON, for people and for debugging; its shape is not promised.
    ///
    /// # Errors
    /// [`Code::Shutdown`] or [`Code::Forked`].
    pub fn describe(&self) -> Result<Value> {
        self.check()?;
        let (answer, report) = sync_channel(1);
        self.send(Command::Describe { answer })?;
        let reports = report.recv_timeout(Duration::from_secs(5)).map_err(|_| shut_down())?;
        let status: Status = lock(&self.shared.window.status).clone();
        let events: Vec<String> = self.events(0).iter().map(Event::to_string).collect();
        let types = reports.iter().find(|report| report.in_charge).map(types).unwrap_or_default();
        let servers: Vec<Value> = reports.iter().map(server).collect();
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "server": self.shared.config.server_list(),
            "node": self.shared.config.node_id,
            "profile": self.shared.config.profile.name(),
            "variant": status.variant,
            "connected": status.connected,
            "stale_s": self.stale_for().map(|age| age.as_secs_f64()),
            "streams": status.streams,
            "failures": status.failures,
            "last_error": status.last_error,
            "remedy": remedy(&status.last_error),
            "hosts": status.hosts,
            "epoch": self.epoch(),
            "warnings": self.shared.config.warnings,
            "certificate": self.shared.window.certificate.get().map(|certificate| certificate_json(&certificate)),
            "servers": servers,
            "types": types,
            "events": events,
        }))
    }

    /// Every service that the control plane lists, watched or not. Nothing before its first answer, and nothing where all is asked
    /// for by name ([`Profile::Grpc`]). Blocks until the driver has answered, five seconds at most.
    ///
    /// # Errors
    /// [`Code::Shutdown`] or [`Code::Forked`].
    pub fn services(&self) -> Result<Listing> {
        self.check()?;
        let (answer, listing) = sync_channel(1);
        self.send(Command::List { answer })?;
        listing.recv_timeout(Duration::from_secs(5)).map_err(|_| shut_down())
    }

    /// Wakes every waiter of this handle and takes its watches back. Other handles go on. Safe from any thread, any number of times.
    pub fn shutdown(&self) {
        if self.check_process().is_err() || self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        for (spelling, target) in std::mem::take(&mut *lock(&self.watched)) {
            let _ = self.take_back(&spelling, target);
        }
        self.shared.store.wake_all();
    }

    /// The process that opened this handle is the one calling, and the handle is not shut down.
    ///
    /// # Errors
    /// [`Code::Forked`], [`Code::Shutdown`].
    pub fn check(&self) -> Result<()> {
        self.check_process()?;
        if self.stopped.load(Ordering::Acquire) { Err(shut_down()) } else { Ok(()) }
    }

    /// The process that opened this handle is the one calling. What [`Client::snapshot`] and [`Client::epoch`] give in a forked
    /// child never changes again: a bridge that may be called there asks first.
    ///
    /// # Errors
    /// [`Code::Forked`].
    pub fn check_process(&self) -> Result<()> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(Error::new(Code::Forked, "the client was opened before a fork; open one in the child"))
    }

    fn take_back(&self, spelling: &str, target: Target) -> Result<()> {
        self.shared.store.asked().remove(spelling);
        self.send(Command::Unwatch { target })
    }

    fn send(&self, command: Command) -> Result<()> {
        self.shared.commands.send(command).map_err(|_| shut_down())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shutdown();
        if self.check_process().is_err() {
            // The thread at the other end of its queue does not exist here, and may have held locks at the fork: nothing may be
            // taken down in its place.
            let _leaked = Arc::into_raw(Arc::clone(&self.shared));
        }
    }
}

impl Shared {
    fn start(config: Config) -> Result<Self> {
        let config = Arc::new(config);
        let store = Arc::new(Store::default());
        let window = Arc::new(Window::default());
        let (commands, queue) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(Code::System, "the client's event loop cannot be made").because(error))?;
        let (thread_config, writer, thread_window) = (Arc::clone(&config), Writer::new(Arc::clone(&store)), Arc::clone(&window));
        thread::Builder::new()
            .name("proxyless".into())
            .spawn(move || {
                runtime.block_on(async {
                    let authorities = Authorities::new(plan(&thread_config), || decoder(&thread_config));
                    let catalog = Catalog::new(rules(&thread_config));
                    Driver::new(thread_config, authorities, catalog, writer, thread_window).run(queue).await;
                });
                // Dropping the runtime closes the connection.
                runtime.shutdown_background();
            })
            .map_err(|error| Error::new(Code::System, "the client's thread cannot be started").because(error))?;
        Ok(Self { commands, store, window, config, opened: Instant::now() })
    }
}

pub(crate) fn plan(config: &Config) -> Plan {
    let authorities = config.directory.authorities.iter();
    Plan {
        servers: config.servers.iter().map(|server| settings(config, server)).collect(),
        default: config.directory.default.clone(),
        authorities: authorities.map(|(name, authority)| (name.clone(), authority.servers.clone())).collect(),
    }
}

fn settings(config: &Config, server: &Server) -> Settings {
    Settings {
        variant: if config.profile == Profile::Grpc { Variant::Sotw } else { Variant::Delta },
        node: config.node.clone(),
        resource_timeout: config.resource_timeout,
        first_response_timeout: config.first_response_timeout,
        backoff: Backoff::default(),
        // Jitter must differ between processes and needs no secrecy: the standard library's hash seed will do.
        seed: RandomState::new().hash_one(&config.node),
        wildcard: config.wildcard,
        policy: server.policy,
        full_state_on_reconnect: config.full_state_on_reconnect,
        // istiod's gRPC generator answers with the whole watched set.
        unlisted_timeout: (config.profile == Profile::Grpc && config.node_id.split('~').count() == 4).then_some(UNLISTED),
        yields: matches!(server.place, Place::Unix(_)),
    }
}

pub(crate) fn decoder(config: &Config) -> ResourceDecoder {
    ResourceDecoder::new(config.limits, References::new(config.directory.authorities.keys().cloned()))
}

pub(crate) fn rules(config: &Config) -> Rules {
    let authorities = config.directory.authorities.iter();
    Rules {
        naming: config.naming.clone(),
        routes: config.profile == Profile::Istio,
        allow_plaintext: config.allow_plaintext.clone(),
        by_name: config.profile == Profile::Grpc,
        listeners: ListenerNames {
            template: config.directory.listener_template.clone(),
            authorities: authorities.map(|(name, authority)| (name.clone(), authority.listener_template.clone())).collect(),
        },
        ..Rules::default()
    }
}

/// Everything that makes a stream, or what is read from it, another one: every setting, wherever it came from.
fn identity(config: &Config) -> String {
    // The encoded node has no order; its text has.
    let config = Config { node: Bytes::new(), origins: Vec::new(), warnings: Vec::new(), ..config.clone() };
    format!("{config:?}")
}

/// The socket of an istio-agent serves one stream: two would evict one another for ever.
fn refuse_second_stream(config: &Config, streams: &HashMap<String, Weak<Shared>>) -> Result<()> {
    let sockets = |config: &Config| -> Vec<Place> {
        config.servers.iter().map(|server| server.place.clone()).filter(|place| matches!(place, Place::Unix(_))).collect()
    };
    let taken = streams.values().filter_map(Weak::upgrade).flat_map(|shared| sockets(&shared.config));
    let taken: Vec<Place> = taken.collect();
    match sockets(config).into_iter().find(|place| taken.contains(place)) {
        None => Ok(()),
        Some(place) => Err(Error::new(
            Code::Config,
            format!("server {place} is in use in this process with other settings; it serves one stream"),
        )),
    }
}

fn certificate_json(certificate: &Certificate) -> Value {
    let since_1970 = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let left = certificate.not_after.duration_since(SystemTime::now()).unwrap_or_default();
    json!({"identity": certificate.identity, "obtained": since_1970(certificate.obtained), "not_after": since_1970(certificate.not_after), "expires_in_s": left.as_secs()})
}

fn types(report: &ServerReport) -> Vec<Value> {
    let kinds = report.kinds.iter().map(|(kind, s, resources)| {
        let mut states = BTreeMap::<(String, &str), u64>::new();
        for resource in resources {
            let authority = match Xdstp::parse(&resource.name) {
                Some(Ok(name)) => name.authority.to_owned(),
                _ => OLD_STYLE.into(),
            };
            *states.entry((authority, resource.state.name())).or_default() += 1;
        }
        let states: Vec<Value> = states
            .into_iter()
            .map(|((authority, state), count)| json!({"authority": authority, "cache_state": state, "resources": count}))
            .collect();
        let list: Vec<Value> = resources
            .iter()
            .map(|r| {
                json!({"name": &*r.name, "state": r.state.name(), "version": &*r.version,
                    "received_s": r.at.map(|at| at.as_secs_f64()), "error": r.error.as_deref()})
            })
            .collect();
        json!({"type": kind.short(), "version": s.version, "resources": s.resources, "held": s.held, "states": states,
            "responses": s.responses, "nacks": s.nacks, "accepted": s.accepted, "identical": s.identical,
            "updates_valid": s.accepted + s.identical, "updates_invalid": s.rejected,
            "rejected": s.rejected, "refused": s.refused, "error": s.error, "list": list})
    });
    kinds.collect()
}

fn server(report: &ServerReport) -> Value {
    json!({"server": report.place, "in_charge": report.in_charge, "variant": report.variant,
        "connected": report.health.connected, "server_failures": report.health.server_failures,
        "streams": report.health.streams, "yielding": report.health.yielding})
}

fn shut_down() -> Error {
    Error::new(Code::Shutdown, "the client is shut down")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
