// SPDX-License-Identifier: Apache-2.0
//! The commands that read lists.

use std::time::Duration;

use clap::Args;
use proxyless_core::{model::State, store::Entry};
use serde_json::Value;

use crate::{
    output::{Failure, line},
    session::{Connection, entries, wait_for},
};

pub(crate) const TARGET_HELP: &str = "host[:port][/subset], for instance echo.demo:8080/v1; or cluster:<name>";

pub(crate) const ENDPOINTS_EXAMPLES: &str = "Examples:
  proxyless endpoints go-sc-a                    the service of this name, its only or its HTTP port
  proxyless endpoints echo.demo:8080/v1          port 8080, subset v1 of its DestinationRule
  proxyless endpoints go-sc-a --json | jq -r '.[].endpoints[] | \"\\(.host):\\(.port)\"'";

pub(crate) const ROUTES_EXAMPLES: &str = "Examples:
  proxyless routes go-sc-a
  proxyless routes go-sc-a --json | jq '.[].routes'";

const WAIT_EXAMPLES: &str = "Examples:
  proxyless wait go-sc-a && ./start-what-calls-it
  proxyless wait go-sc-a/v2 --timeout 300";

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

/// `proxyless wait`
#[derive(Debug, Args)]
#[command(after_help = WAIT_EXAMPLES)]
pub(crate) struct Wait {
    #[command(flatten)]
    connection: Connection,
    #[arg(required = true, value_name = "TARGET", help = TARGET_HELP)]
    targets: Vec<String>,
    /// Seconds to wait
    #[arg(long, default_value_t = 60.0, value_parser = seconds, value_name = "SECONDS")]
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

impl Wait {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.connection.open(&self.targets)?;
        wait_for(&client, &self.targets, Duration::from_secs_f64(self.timeout), |state| state == State::Ready)?;
        let found = entries(&client, &self.targets)?;
        match found.iter().find(|(_, entry)| entry.state != State::Ready) {
            Some((target, entry)) => {
                let detail = if entry.detail.is_empty() { String::new() } else { format!(": {}", entry.detail) };
                Err(Failure::Answer(format!("{target} is {} after {} s{detail}", entry.state, self.timeout)))
            }
            None => Ok(()),
        }
    }
}
