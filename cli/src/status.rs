// SPDX-License-Identifier: Apache-2.0
//! `proxyless status`: what a client says of itself.

use std::time::Duration;

use anstyle::AnsiColor::{Green, Red};
use clap::Args;
use proxyless_core::{config::Profile, model::State};
use serde_json::Value;

use crate::{
    endpoints::{TARGET_HELP, seconds},
    output::{Failure, line, painted},
    session::{Connection, first_answer, wait_for},
};

const EXAMPLES: &str = "Examples:
  proxyless status                     is there a control plane, and does it answer?
  proxyless status go-sc-a             with what this target needs
  proxyless status go-sc-a --json | jq '.types[].list'      every resource, with its state, version and error

The JSON is for people; its shape may change.";

/// Options of `proxyless status`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Status {
    #[command(flatten)]
    connection: Connection,
    #[arg(value_name = "TARGET", help = TARGET_HELP)]
    targets: Vec<String>,
    /// Print everything, as JSON
    #[arg(long)]
    json: bool,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 5.0, value_parser = seconds, value_name = "SECONDS")]
    timeout: f64,
}

impl Status {
    /// Prints the status whether there is an answer or not: the exit code says which.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.connection.open(&self.targets)?;
        if self.targets.is_empty() && client.config().profile == Profile::Grpc {
            return Err(Failure::Usage("with profile grpc nothing is asked before there is a target: name one".into()));
        }
        let timeout = Duration::from_secs_f64(self.timeout);
        let answer = first_answer(&client, timeout);
        if answer.is_ok() {
            wait_for(&client, &self.targets, timeout, |state| state != State::Pending)?;
        }
        let status = client.describe()?;
        line(&if self.json { status.to_string() } else { to_text(&status) })?;
        answer
    }
}

fn to_text(status: &Value) -> String {
    let text = |key: &str| status[key].as_str().unwrap_or_default();
    let connected = if status["connected"] == true { painted(Green, "connected") } else { painted(Red, "not connected") };
    let mut lines = vec![
        format!("server    {}  {connected}", text("server")),
        format!("profile   {}, {}", text("profile"), text("variant")),
        format!("node      {}", text("node")),
        format!("streams   {}, failures {}", status["streams"], status["failures"]),
        format!("hosts     {}", status["hosts"]),
    ];
    if let Some(age) = status["stale_s"].as_f64() {
        lines.push(format!("stale     for {age:.1} s"));
    }
    for kind in items(&status["types"]).filter(|kind| kind["responses"] != 0) {
        let counts = ["held", "responses", "nacks", "rejected"].map(|key| format!("{key} {}", kind[key]));
        lines.push(format!("{:<9} {}", kind["type"].as_str().unwrap_or_default(), counts.join(", ")));
        let wrong = items(&kind["list"]).filter_map(|resource| Some((resource["name"].as_str()?, resource["error"].as_str()?)));
        lines.extend(wrong.map(|(name, error)| format!("          {name}: {error}")));
    }
    lines.extend(items(&status["events"]).filter_map(Value::as_str).map(|event| format!("event     {event}")));
    lines.join("\n")
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
