// SPDX-License-Identifier: Apache-2.0
//! The commands that read lists.

use std::time::Duration;

use clap::Args;
use proxyless_core::{model::State, store::Entry};
use serde_json::Value;

use crate::{
    output::{Failure, line, to_json, to_text},
    session::{Connection, entries, wait_for},
};

const TARGET_HELP: &str = "host[:port][/subset], for instance echo.demo:8080/v1; or cluster:<name>";

/// `proxyless endpoints` and `proxyless routes`: what is known about targets, once.
#[derive(Debug, Args)]
pub(crate) struct Lookup {
    #[command(flatten)]
    connection: Connection,
    #[arg(required = true, value_name = "TARGET", help = TARGET_HELP)]
    targets: Vec<String>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 5.0, value_parser = seconds, value_name = "SECONDS")]
    timeout: f64,
}

/// `proxyless watch`
#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    connection: Connection,
    #[arg(required = true, value_name = "TARGET", help = TARGET_HELP)]
    targets: Vec<String>,
    /// Print one JSON object per change
    #[arg(long)]
    json: bool,
}

/// `proxyless wait`
#[derive(Debug, Args)]
pub(crate) struct Wait {
    #[command(flatten)]
    connection: Connection,
    #[arg(required = true, value_name = "TARGET", help = TARGET_HELP)]
    targets: Vec<String>,
    /// Seconds to wait
    #[arg(long, default_value_t = 60.0, value_parser = seconds, value_name = "SECONDS")]
    timeout: f64,
}

/// `proxyless status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    connection: Connection,
    #[arg(value_name = "TARGET", help = TARGET_HELP)]
    targets: Vec<String>,
    /// Print one line of JSON instead of indented JSON
    #[arg(long)]
    json: bool,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 5.0, value_parser = seconds, value_name = "SECONDS")]
    timeout: f64,
}

pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1e9).contains(&value) => Ok(value),
        _ => Err("a number of seconds is expected".into()),
    }
}

fn answered(state: State) -> bool {
    state != State::Pending
}

impl Lookup {
    /// Prints every target in one of these ways; a target that is not ready is a failure.
    pub(crate) fn run(self, to_json: fn(&str, &Entry) -> Value, to_text: fn(&str, &Entry) -> String) -> Result<(), Failure> {
        let client = self.connection.open(&self.targets)?;
        wait_for(&client, &self.targets, Duration::from_secs_f64(self.timeout), answered)?;
        let found = entries(&client, &self.targets)?;
        if self.json {
            line(&found.iter().map(|(target, entry)| to_json(target, entry)).collect::<Value>().to_string())?;
        } else {
            for (target, entry) in &found {
                line(&to_text(target, entry))?;
            }
        }
        let bad: Vec<String> =
            found.iter().filter(|(_, e)| e.state != State::Ready).map(|(target, e)| format!("{target} is {}", e.state)).collect();
        if bad.is_empty() { Ok(()) } else { Err(Failure::Answer(bad.join("; "))) }
    }
}

impl Watch {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.connection.open(&self.targets)?;
        let mut seen = 0;
        loop {
            let snapshot = client.snapshot();
            for target in &self.targets {
                let Some(entry) = snapshot.get(target).filter(|entry| entry.changed_at > seen) else { continue };
                line(&if self.json { to_json(target, entry).to_string() } else { to_text(target, entry) })?;
            }
            seen = snapshot.epoch();
            client.wait(seen, None)?;
        }
    }
}

impl Wait {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.connection.open(&self.targets)?;
        wait_for(&client, &self.targets, Duration::from_secs_f64(self.timeout), |state| state == State::Ready)?;
        let found = entries(&client, &self.targets)?;
        match found.iter().find(|(_, entry)| entry.state != State::Ready) {
            Some((target, entry)) => Err(Failure::Answer(format!("{target} is {} after {} s", entry.state, self.timeout))),
            None => Ok(()),
        }
    }
}

impl Status {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.connection.open(&self.targets)?;
        wait_for(&client, &self.targets, Duration::from_secs_f64(self.timeout), answered)?;
        let status = client.describe()?;
        line(&if self.json { status.to_string() } else { format!("{status:#}") })
    }
}
