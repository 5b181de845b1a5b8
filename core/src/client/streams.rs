// SPDX-License-Identifier: Apache-2.0
//! The streams of this process: one per control plane and node, shared by handles that were opened with equal settings.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
    thread,
    time::Instant,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{decoder, lock, plan, rules, signals};
use crate::{
    authority::Authorities,
    catalog::Catalog,
    config::{Config, Place},
    driver::{Command, Driver, Window, supervise},
    error::{Code, Error, Result},
    store::Store,
};

/// What all handles of one stream have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) store: Arc<Store>,
    pub(super) window: Arc<Window>,
    pub(super) config: Arc<Config>,
    pub(super) opened: Instant,
}

/// The streams of one process by everything that makes them different.
#[derive(Debug, Default)]
struct Streams {
    process: u32,
    by_settings: Mutex<HashMap<String, Weak<Shared>>>,
}

/// The streams of the process that asks.
#[derive(Debug)]
struct Registry(ArcSwapOption<Streams>);

static REGISTRY: Registry = Registry(ArcSwapOption::const_empty());

/// The stream for these settings: one that runs, or a new one.
pub(super) fn join(config: Config) -> Result<Arc<Shared>> {
    let identity = identity(&config);
    let streams = REGISTRY.of(std::process::id());
    let mut streams = lock(&streams.by_settings);
    if let Some(shared) = streams.get(&identity).and_then(Weak::upgrade).filter(|shared| !shared.has_ended()) {
        return Ok(shared);
    }
    streams.retain(|_, shared| shared.upgrade().is_some_and(|shared| !shared.has_ended()));
    refuse_second_stream(&config, &streams)?;
    let shared = Arc::new(Shared::start(config)?);
    streams.insert(identity, Arc::downgrade(&shared));
    Ok(shared)
}

impl Registry {
    /// A forked child begins without streams: the threads of those that it inherits are not there, and the lock may have been
    /// held at the fork. What it inherits is left alone, not dropped.
    fn of(&self, process: u32) -> Arc<Streams> {
        loop {
            let current = self.0.load_full();
            if let Some(streams) = current.as_ref().filter(|streams| streams.process == process) {
                return Arc::clone(streams);
            }
            self.0.compare_and_swap(&current, Some(Arc::new(Streams { process, ..Streams::default() })));
            let _leaked = current.map(Arc::into_raw);
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
            .thread_name("proxyless-io")
            .build()
            .map_err(|error| Error::new(Code::System, "the client's event loop cannot be made").because(error))?;
        let (thread_config, thread_store, thread_window) = (Arc::clone(&config), Arc::clone(&store), Arc::clone(&window));
        thread::Builder::new()
            .name("proxyless".into())
            .spawn(move || {
                // Threads that the runtime starts from here inherit it.
                signals::block_pipe();
                let _end = End(Arc::clone(&thread_store));
                let build = |writer, started| {
                    let authorities = Authorities::new(plan(&thread_config), || decoder(&thread_config));
                    let catalog = Catalog::new(rules(&thread_config));
                    Driver::new(Arc::clone(&thread_config), authorities, catalog, writer, Arc::clone(&thread_window), started)
                };
                runtime.block_on(supervise(build, queue, &thread_store, &thread_window));
                // Dropping the runtime closes the connection.
                runtime.shutdown_background();
            })
            .map_err(|error| Error::new(Code::System, "the client's thread cannot be started").because(error))?;
        Ok(Self { commands, store, window, config, opened: Instant::now() })
    }

    /// Its thread is gone, which must not happen while there are handles.
    pub(super) fn has_ended(&self) -> bool {
        self.commands.is_closed()
    }
}

/// Whoever waits for a thread that ends is told.
struct End(Arc<Store>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.wake_all();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_has_streams_of_its_own_though_a_thread_held_the_lock_at_the_fork() {
        let registry = Registry(ArcSwapOption::const_empty());
        let parents = registry.of(1);
        let held = lock(&parents.by_settings);
        let childs = registry.of(2);
        assert!(childs.by_settings.try_lock().is_ok());
        assert!(Arc::ptr_eq(&childs, &registry.of(2)), "and keeps them");
        drop(held);
    }

    #[test]
    fn a_stream_whose_thread_has_ended_is_not_handed_out() {
        let config = || {
            let document = r#"{"server": "http://127.0.0.1:1", "pod_name": "ended"}"#.to_owned();
            Config::load(&crate::config::Sources { document, ..Default::default() }).expect("valid")
        };
        let streams = REGISTRY.of(std::process::id());
        let (commands, queue) = mpsc::unbounded_channel();
        let (store, window) = (Arc::default(), Arc::default());
        let dead = Arc::new(Shared { commands, store, window, config: Arc::new(config()), opened: Instant::now() });
        lock(&streams.by_settings).insert(identity(&config()), Arc::downgrade(&dead));
        assert!(Arc::ptr_eq(&dead, &join(config()).expect("it runs")));
        drop(queue);
        let next = join(config()).expect("a new one");
        assert!(!Arc::ptr_eq(&dead, &next) && !next.has_ended());
    }
}
