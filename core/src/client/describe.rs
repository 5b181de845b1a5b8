// SPDX-License-Identifier: Apache-2.0
//! Everything worth knowing about a client, as JSON.

use std::{
    collections::BTreeMap,
    sync::mpsc::sync_channel,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use super::Client;
use crate::{
    certificate::Certificate,
    driver::{Command, ServerReport},
    error::Result,
    observe::Event,
    protocol::Xdstp,
    transport::remedy,
};

/// The authority of old-style names in gRFC A78.
const OLD_STYLE: &str = "#old";

/// How long the driver may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Client {
    /// Everything worth knowing as JSON, for people and for debugging; its shape is not promised. Without `servers` when the driver has
    /// not answered within five seconds.
    ///
    /// # Errors
    /// [`Code::Shutdown`], [`Code::Forked`], or [`Code::System`] when the client's thread is gone.
    pub fn describe(&self) -> Result<Value> {
        self.check()?;
        let (answer, report) = sync_channel(1);
        self.send(Command::Describe { answer })?;
        // After a defect nobody may be there to answer: all else is told.
        let reports = report.recv_timeout(PATIENCE).unwrap_or_default();
        let status = self.shared.window.status().clone();
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
            "defects": status.defects,
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
