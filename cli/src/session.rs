// SPDX-License-Identifier: Apache-2.0
//! Options of every command that speaks to a control plane, and the client made from them.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use proxyless_core::{
    Client,
    config::{Config, SETTINGS, Sources},
    model::State,
    store::{Entry, Wake},
};
use serde_json::json;

use crate::{
    output::{Failure, line, warn},
    setting::SettingParser,
};

pub(crate) const CONFIG_EXAMPLES: &str = "Examples:
  proxyless config
  proxyless config --set namespace=shop --json | jq .settings.namespace

Where settings come from, first wins: --set and the options beside it, PROXYLESS_* variables, a gRPC bootstrap
(GRPC_XDS_BOOTSTRAP), what a pod's environment says, the default.";

/// Where the control plane is. Every setting can also come from the environment; see `proxyless config`.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// Control plane: http://host:port, https://host:port or unix:///path
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Namespace in which short names are looked up first
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// Any setting, repeatable: key=value (see `proxyless config`)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = SettingParser, hide_possible_values = true)]
    settings: Vec<String>,
}

impl Connection {
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let mut document = serde_json::Map::new();
        for setting in &self.settings {
            let (key, value) =
                setting.split_once('=').ok_or_else(|| Failure::Usage(format!("--set {setting}: key=value is expected")))?;
            document.insert(key.into(), json!(value));
        }
        for (key, value) in [("server", &self.server), ("namespace", &self.namespace)] {
            if let Some(value) = value {
                document.insert(key.into(), json!(value));
            }
        }
        let sources = Sources {
            document: serde_json::Value::Object(document).to_string(),
            properties: BTreeMap::new(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            root: "/".into(),
        };
        Ok(Config::load(&sources)?)
    }

    pub(crate) fn open(&self, targets: &[String]) -> Result<Client, Failure> {
        let config = self.config()?;
        for warning in &config.warnings {
            warn(warning);
        }
        let client = Client::open(config)?;
        for target in targets {
            client.watch(target)?;
        }
        Ok(client)
    }
}

/// How often the connection is looked at, which has no wake-up of its own.
pub(crate) const GLANCE: Duration = Duration::from_millis(20);

/// Waits until `enough` says so about every target, or the time is up.
pub(crate) fn wait_for(client: &Client, targets: &[String], timeout: Duration, enough: fn(State) -> bool) -> Result<(), Failure> {
    let deadline = Instant::now() + timeout;
    loop {
        let snapshot = client.snapshot();
        if targets.iter().all(|target| snapshot.get(target).is_some_and(|entry| enough(entry.state))) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if let Wake::TimedOut(_) = client.wait(snapshot.epoch(), Some(left))? {
            return Ok(());
        }
    }
}

/// Waits until the control plane has answered anything at all; that it has not is a failure that says why.
pub(crate) fn first_answer(client: &Client, timeout: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + timeout;
    while client.describe()?["connected"] != true {
        if Instant::now() >= deadline {
            return Err(silence(client, &[])?);
        }
        thread::sleep(GLANCE);
    }
    Ok(())
}

/// Why there is no answer: the connection's failure, or what these targets still wait for.
fn silence(client: &Client, pending: &[(&str, Arc<Entry>)]) -> Result<Failure, Failure> {
    let status = client.describe()?;
    // A connection that stands has left its failures behind.
    let error = status["last_error"].as_str().filter(|error| !error.is_empty() && status["connected"] != true);
    let remedy = error.and(status["remedy"].as_str()).map(|remedy| format!("\n  {remedy}")).unwrap_or_default();
    let mut text = format!("{}: {}{remedy}", client.config().server_list(), error.unwrap_or("no answer in time"));
    for (target, entry) in pending {
        text += &format!("\n  {target} is {}", entry.state);
        if !entry.detail.is_empty() {
            text += &format!(": {}", entry.detail);
        }
    }
    Ok(Failure::Silence(text))
}

/// Every target with its entry; a control plane that has not answered is a failure that says why.
pub(crate) fn entries<'a>(client: &Client, targets: &'a [String]) -> Result<Vec<(&'a str, Arc<Entry>)>, Failure> {
    let snapshot = client.snapshot();
    let found: Vec<_> = targets.iter().filter_map(|target| Some((target.as_str(), Arc::clone(snapshot.get(target)?)))).collect();
    if found.len() == targets.len() && found.iter().all(|(_, entry)| entry.state != State::Pending) {
        return Ok(found);
    }
    let pending: Vec<_> = found.into_iter().filter(|(_, entry)| entry.state == State::Pending).collect();
    Err(silence(client, &pending)?)
}

pub(crate) fn print_config(connection: &Connection, json: bool) -> Result<(), Failure> {
    let config = connection.config()?;
    if json {
        let values: serde_json::Map<_, _> =
            config.origins.iter().map(|o| (o.key.to_owned(), json!({"value": o.value, "origin": o.origin}))).collect();
        return line(&json!({"settings": values, "node": config.node_id, "warnings": config.warnings}).to_string());
    }
    for origin in &config.origins {
        line(&format!("{:<26} {:<40} {}", origin.key, origin.value, origin.origin))?;
    }
    line(&format!("{:<26} {}", "node", config.node_id))?;
    for setting in SETTINGS.iter().filter(|s| config.origins.iter().all(|o| o.key != s.key)) {
        line(&format!("{:<26} {:<40} {}", setting.key, "-", setting.variable()))?;
    }
    for warning in &config.warnings {
        line(&format!("warning: {warning}"))?;
    }
    Ok(())
}
