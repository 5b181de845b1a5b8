// SPDX-License-Identifier: Apache-2.0
//! `proxyless watch`: lists as they change, and whether they are still kept up to date.

use std::time::{Duration, Instant};

use anstyle::AnsiColor::{Green, Yellow};
use clap::Args;
use proxyless_core::Client;
use serde_json::json;

use crate::{
    endpoints::TARGET_HELP,
    output::{Failure, line, painted, to_json, to_text},
    session::Connection,
};

const HELP: &str = "Examples:
  proxyless watch go-sc-a
  proxyless watch --json go-sc-a echo.demo:8080/v1 | jq -c '{target, state, n: (.endpoints | length)}'

When the control plane goes away a line says that the lists are stale, and another one when they are up to date again;
with --json {\"stale\": true, …} and {\"stale\": false, …}.";

/// How often the connection is looked at; lists have a wake-up of their own.
const LOOK: Duration = Duration::from_millis(200);

/// Options of `proxyless watch`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Watch {
    #[command(flatten)]
    connection: Connection,
    #[arg(required = true, value_name = "TARGET", help = TARGET_HELP)]
    targets: Vec<String>,
    /// Print one JSON object per change
    #[arg(long)]
    json: bool,
}

impl Watch {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.connection.open(&self.targets)?;
        let mut freshness = Freshness::default();
        let mut seen = 0;
        loop {
            if let Some(news) = freshness.look(&client, self.json)? {
                line(&news)?;
            }
            let snapshot = client.snapshot();
            for target in &self.targets {
                let Some(entry) = snapshot.get(target).filter(|entry| entry.changed_at > seen) else { continue };
                line(&if self.json { to_json(target, entry).to_string() } else { to_text(target, entry) })?;
            }
            seen = snapshot.epoch();
            client.wait(seen, Some(LOOK))?;
        }
    }
}

/// What has been said about the connection.
#[derive(Debug, Default)]
struct Freshness {
    was_fresh: bool,
    stale_since: Option<Instant>,
}

impl Freshness {
    /// A line when staleness begins or ends. The time before the first attempt has failed is not worth one.
    fn look(&mut self, client: &Client, json: bool) -> Result<Option<String>, Failure> {
        let Some(age) = client.stale_for() else {
            self.was_fresh = true;
            return Ok(self.stale_since.take().map(|since| fresh_again(since.elapsed(), json)));
        };
        if self.stale_since.is_some() {
            return Ok(None);
        }
        let status = client.describe()?;
        let error = status["last_error"].as_str().unwrap_or_default();
        if !self.was_fresh && error.is_empty() {
            return Ok(None);
        }
        let now = Instant::now();
        self.stale_since = Some(now.checked_sub(age).unwrap_or(now));
        Ok(Some(stale(&client.config().server_list(), error, status["remedy"].as_str(), json)))
    }
}

fn stale(server: &str, error: &str, remedy: Option<&str>, json: bool) -> String {
    if json {
        return json!({"stale": true, "server": server, "error": error, "remedy": remedy}).to_string();
    }
    let remedy = remedy.map(|remedy| format!("\n  {remedy}")).unwrap_or_default();
    format!("{}  {server}: {error}; what is known stays in use{remedy}", painted(Yellow, "stale"))
}

fn fresh_again(after: Duration, json: bool) -> String {
    if json {
        return json!({"stale": false, "after_s": after.as_secs_f64()}).to_string();
    }
    format!("{}  after {:.1} s", painted(Green, "up to date"), after.as_secs_f64())
}
