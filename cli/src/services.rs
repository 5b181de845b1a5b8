// SPDX-License-Identifier: Apache-2.0
//! `proxyless services`: everything that the control plane lists.

use std::{sync::Arc, time::Duration};

use clap::Args;
use proxyless_core::{
    catalog::Listing,
    config::{Config, Profile},
    target::Service,
};
use serde_json::{Value, json};

use crate::{
    endpoints::seconds,
    output::{Failure, line},
    session::{Connection, first_answer},
};

const EXAMPLES: &str = "Examples:
  proxyless services
  proxyless services orders            only hosts with `orders` in their name
  proxyless services --json | jq -r '.[].host'";

/// Options of `proxyless services`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Services {
    #[command(flatten)]
    connection: Connection,
    /// Only what has this text in its name
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 5.0, value_parser = seconds, value_name = "SECONDS")]
    timeout: f64,
}

impl Services {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let client = self.connection.open(&[])?;
        refuse_by_name(client.config())?;
        first_answer(&client, Duration::from_secs_f64(self.timeout))?;
        let mut listing = client.services()?;
        if client.config().profile == Profile::Istio {
            // Those are for Envoy: BlackHoleCluster, PassthroughCluster and their like.
            listing.clusters.clear();
        }
        let all = listing.hosts.len() + listing.clusters.len();
        if let Some(filter) = self.filter.as_deref().map(str::to_lowercase) {
            listing.hosts.retain(|host, _| host.to_lowercase().contains(&filter));
            listing.clusters.retain(|cluster| cluster.to_lowercase().contains(&filter));
        }
        let text = if self.json { to_json(&listing).to_string() } else { to_text(&listing) };
        if !text.is_empty() {
            line(&text)?;
        }
        match &self.filter {
            _ if !listing.hosts.is_empty() || !listing.clusters.is_empty() => Ok(()),
            Some(filter) => Err(Failure::Answer(format!("none of the {all} services has {filter:?} in its name"))),
            None => Err(Failure::Answer("the control plane lists no service for this node".into())),
        }
    }
}

fn refuse_by_name(config: &Config) -> Result<(), Failure> {
    if config.profile == Profile::Grpc {
        return Err(Failure::Usage(
            "with profile grpc a control plane lists nothing, it answers by name: use profile istio or envoy".into(),
        ));
    }
    Ok(())
}

fn to_json(listing: &Listing) -> Value {
    let port = |(port, subsets): (&u16, &Vec<Arc<str>>)| json!({"port": port, "subsets": named(subsets)});
    let hosts = listing.hosts.iter();
    let hosts = hosts.map(|(host, service)| json!({"host": &**host, "ports": service.ports.iter().map(port).collect::<Value>()}));
    hosts.chain(listing.clusters.iter().map(|name| json!({"cluster": &**name}))).collect()
}

fn to_text(listing: &Listing) -> String {
    let width = listing.hosts.keys().map(|host| host.len()).max().unwrap_or_default();
    let hosts = listing.hosts.iter().map(|(host, service)| format!("{host:<width$}  {}", ports_text(service)));
    hosts.chain(listing.clusters.iter().map(|name| format!("cluster:{name}"))).collect::<Vec<_>>().join("\n")
}

/// `80 (v1, v2), 9090`
fn ports_text(service: &Service) -> String {
    let port = |(port, subsets): (&u16, &Vec<Arc<str>>)| match named(subsets).join(", ") {
        none if none.is_empty() => port.to_string(),
        subsets => format!("{port} ({subsets})"),
    };
    service.ports.iter().map(port).collect::<Vec<_>>().join(", ")
}

/// The subsets that have a name, sorted; the one without is the whole service.
fn named(subsets: &[Arc<str>]) -> Vec<&str> {
    let mut named: Vec<&str> = subsets.iter().map(|subset| &**subset).filter(|subset| !subset.is_empty()).collect();
    named.sort_unstable();
    named
}
