// SPDX-License-Identifier: Apache-2.0
//! The public handle: open, watch, wait, snapshot, describe, shut down.
//!
//! Handles with the same control plane and node share one driver thread and one ADS stream; each has its own watch set and its
//! own shutdown. The thread ends with the last handle.

mod describe;
mod signals;
mod streams;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    time::Duration,
};

use crate::{
    authority::Plan,
    catalog::{ListenerNames, Listing, Rules},
    config::{Config, Place, Profile, Server},
    driver::Command,
    error::{Code, Error, Result},
    observe::Event,
    protocol::{Settings, Variant},
    resource::{References, ResourceDecoder},
    store::{Snapshot, Wake},
    target::Target,
};
use streams::Shared;

/// One user's view of a control plane.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    /// What is watched through this handle, by spelling.
    watched: Mutex<BTreeMap<Arc<str>, Arc<Target>>>,
    stopped: AtomicBool,
    process: u32,
}

/// How much longer a name is waited for that a full answer lacks.
const UNLISTED: Duration = Duration::from_secs(1);

impl Client {
    /// Opens a handle. Returns before anything is connected; an unreachable control plane is not an error but a state.
    ///
    /// # Errors
    /// [`Code::System`] when the thread cannot be started.
    pub fn open(config: Config) -> Result<Self> {
        let shared = streams::join(config)?;
        Ok(Self { shared, watched: Mutex::default(), stopped: AtomicBool::new(false), process: std::process::id() })
    }

    /// Starts watching a target. Watching it again through the same handle changes nothing.
    ///
    /// # Errors
    /// [`Code::Target`] when the spelling does not follow the grammar; [`Code::Shutdown`], [`Code::Forked`]; [`Code::System`] when the
    /// client's thread is gone.
    pub fn watch(&self, spelling: &str) -> Result<()> {
        self.check()?;
        let target = Arc::new(Target::parse(spelling)?);
        let mut watched = lock(&self.watched);
        // A shutdown may have come in between: what it has taken back must not be watched again.
        self.check()?;
        if watched.contains_key(spelling) {
            return Ok(());
        }
        let spelling: Arc<str> = spelling.into();
        watched.insert(Arc::clone(&spelling), Arc::clone(&target));
        self.shared.store.asked().add(&spelling);
        self.send(Command::Watch { target, spelling })
    }

    /// Stops watching a target that was watched under this spelling.
    ///
    /// # Errors
    /// [`Code::Shutdown`] or [`Code::Forked`].
    pub fn unwatch(&self, spelling: &str) -> Result<()> {
        self.check()?;
        match lock(&self.watched).remove_entry(spelling) {
            Some((spelling, target)) => self.take_back(spelling, target),
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
    /// [`Code::Shutdown`] when this handle is shut down, before or while waiting; [`Code::System`] when the client's thread is gone.
    pub fn wait(&self, since: u64, timeout: Option<Duration>) -> Result<Wake> {
        self.check()?;
        match self.shared.store.wait(since, timeout, || self.stopped.load(Ordering::Acquire) || self.shared.has_ended()) {
            Wake::Stopped => Err(self.ended()),
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
        let status = self.shared.window.status();
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
        self.shared.window.events().since(since).cloned().collect()
    }

    /// Every service that the control plane lists, watched or not. Nothing before its first answer, and nothing where all is asked
    /// for by name ([`Profile::Grpc`]). Blocks until the driver has answered, five seconds at most.
    ///
    /// # Errors
    /// [`Code::Shutdown`], [`Code::Forked`], or [`Code::System`] when the driver does not answer or is gone.
    pub fn services(&self) -> Result<Listing> {
        self.check()?;
        let (answer, listing) = sync_channel(1);
        self.send(Command::List { answer })?;
        let failed = |_| Error::new(Code::System, "the client does not answer: it has failed and starts again");
        listing.recv_timeout(Duration::from_secs(5)).map_err(failed)
    }

    /// Wakes every waiter of this handle and takes its watches back. Other handles go on. Safe from any thread, any number of times.
    pub fn shutdown(&self) {
        if self.check_process().is_err() || self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        for (spelling, target) in std::mem::take(&mut *lock(&self.watched)) {
            let _ = self.take_back(spelling, target);
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

    fn take_back(&self, spelling: Arc<str>, target: Arc<Target>) -> Result<()> {
        self.shared.store.asked().remove(&spelling);
        self.send(Command::Unwatch { target, spelling })
    }

    fn send(&self, command: Command) -> Result<()> {
        self.shared.commands.send(command).map_err(|_| self.ended())
    }

    fn ended(&self) -> Error {
        if self.stopped.load(Ordering::Acquire) {
            return shut_down();
        }
        Error::new(Code::System, "the client's thread has ended, which is a defect; open another client")
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
        backoff: config.backoff,
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

fn shut_down() -> Error {
    Error::new(Code::Shutdown, "the client is shut down")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::config::Sources;

    #[test]
    fn a_watch_beside_a_shutdown_is_taken_back_or_refused() {
        let open = || {
            let document = r#"{"server": "http://127.0.0.1:1", "pod_name": "beside"}"#.to_owned();
            Client::open(Config::load(&Sources { document, ..Default::default() }).expect("valid")).expect("a thread")
        };
        let keeper = open();
        for _ in 0..500 {
            let client = open();
            thread::scope(|scope| {
                scope.spawn(|| (0..4).map(|n| client.watch(&format!("left-{n}"))).filter(Result::is_err).count());
                scope.spawn(|| client.shutdown());
            });
        }
        keeper.watch("last").expect("open");
        // It is pending from the moment it is asked for; its entry has a name when the driver has made one.
        while keeper.snapshot().entries().all(|entry| &*entry.target != "last") {
            keeper.wait(keeper.epoch(), Some(Duration::from_secs(10))).expect("open");
        }
        assert_eq!(keeper.snapshot().entries().count(), 1, "what others have left is watched by nobody");
    }
}
