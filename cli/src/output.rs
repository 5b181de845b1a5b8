// SPDX-License-Identifier: Apache-2.0
//! Printing: lists for people, JSON for programs, errors to stderr with an exit code.

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anstyle::AnsiColor;
use proxyless_core::{
    Code, Error,
    model::{Endpoint, EndpointFlags, Locality, State},
    select::List,
    store::Entry,
};
use serde_json::{Value, json};

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The answer is not the one asked for; 1.
    Answer(String),
    /// Wrong usage or configuration; 2.
    Usage(String),
    /// No answer from the control plane; 3.
    Silence(String),
    /// The reader of our output has gone; nothing to say.
    ClosedPipe,
}

impl Failure {
    pub(crate) fn report(self) -> ExitCode {
        let (text, code) = match self {
            Failure::ClosedPipe => return ExitCode::SUCCESS,
            Failure::Answer(text) => (text, 1),
            Failure::Usage(text) => (text, 2),
            Failure::Silence(text) => (text, 3),
        };
        let _ = writeln!(io::stderr(), "proxyless: {text}");
        ExitCode::from(code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.code() {
            Code::Config | Code::Target => Failure::Usage(error.to_string()),
            _ => Failure::Answer(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
            _ => Failure::Usage(error.to_string()),
        }
    }
}

/// Writes one line to standard output and flushes it: the reader may be a pipe.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// A line to standard error that changes nothing.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "proxyless: warning: {text}");
}

/// Colours only on a terminal, and only if they are wanted (<https://no-color.org>).
pub(crate) fn painted(colour: AnsiColor, text: &str) -> String {
    let unwanted =
        env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || env::var_os("TERM").is_some_and(|term| term == "dumb");
    if unwanted || !io::stdout().is_terminal() {
        return text.to_owned();
    }
    let style = colour.on_default();
    format!("{style}{text}{style:#}")
}

/// One target as JSON.
pub(crate) fn to_json(spelling: &str, entry: &Entry) -> Value {
    let endpoints: Vec<Value> = entry.list.endpoints().iter().map(|e| endpoint_json(&entry.list, e)).collect();
    let mut value = json!({
        "target": spelling,
        "resolved": &*entry.resolved,
        "state": entry.state.name(),
        "partial": entry.partial,
        "endpoints": endpoints,
    });
    if let State::Invalid(reason) = entry.state {
        value["reason"] = reason.name().into();
    }
    if !entry.detail.is_empty() {
        value["detail"] = (*entry.detail).into();
    }
    value
}

fn endpoint_json(list: &List, endpoint: &Endpoint) -> Value {
    let locality = list.locality(endpoint).map(place).filter(|place| !place.is_empty());
    let mut value = json!({
        "host": host(list, endpoint),
        "port": endpoint.port,
        "weight": endpoint.weight,
        "priority": endpoint.priority,
        "health": format!("{:?}", endpoint.health()).to_lowercase(),
        "locality": locality,
        "may_tls": endpoint.flags & EndpointFlags::MAY_TLS != 0,
    });
    if let Some(extension) = list.extension(endpoint) {
        value["workload"] = workload_json(&extension.workload);
        if endpoint.ip_addr().is_some() && !extension.hostname.is_empty() {
            value["hostname"] = (*extension.hostname).into();
        }
        if !extension.additional.is_empty() {
            value["additional"] = extension.additional.iter().map(ToString::to_string).collect();
        }
    }
    value
}

/// What Istio says of an endpoint's workload: `name;namespace;canonical name;canonical revision;cluster`. The canonical ones are
/// the labels `app` and `version`, if no others were set.
fn workload_json(workload: &str) -> Value {
    let names = ["name", "namespace", "canonical_name", "canonical_revision", "cluster"];
    let parts = names.iter().zip(workload.split(';')).filter(|(_, value)| !value.is_empty());
    match parts.map(|(name, value)| ((*name).to_owned(), value.into())).collect::<serde_json::Map<_, _>>() {
        none if none.is_empty() => Value::Null,
        found => found.into(),
    }
}

fn place(locality: &Locality) -> String {
    format!("{}/{}/{}", locality.region, locality.zone, locality.sub_zone).trim_end_matches('/').to_owned()
}

fn host(list: &List, endpoint: &Endpoint) -> String {
    match (endpoint.ip_addr(), list.extension(endpoint)) {
        (Some(ip), _) => ip.to_string(),
        (None, Some(extension)) => extension.hostname.to_string(),
        (None, None) => "?".into(),
    }
}

/// Spelling, state and what it resolved to, with the detail below.
pub(crate) fn heading(spelling: &str, entry: &Entry) -> String {
    let style = match entry.state {
        State::Ready => AnsiColor::Green,
        State::Pending => AnsiColor::Yellow,
        State::Unknown | State::Removed | State::Invalid(_) => AnsiColor::Red,
    };
    let mut text = format!("{spelling}  {}", painted(style, &entry.state.to_string()));
    if !entry.resolved.is_empty() && *entry.resolved != *spelling {
        text += &format!("  {}", entry.resolved);
    }
    if !entry.detail.is_empty() {
        text += &format!("\n  {}", entry.detail);
    }
    text
}

/// One target for people: a heading and a line per endpoint.
pub(crate) fn to_text(spelling: &str, entry: &Entry) -> String {
    let mut text = heading(spelling, entry);
    for endpoint in entry.list.endpoints() {
        let host = host(&entry.list, endpoint);
        let address = if host.contains(':') { format!("[{host}]:{}", endpoint.port) } else { format!("{host}:{}", endpoint.port) };
        text += &format!("\n  {address:<22} weight {}", endpoint.weight);
        if let Some(locality) = entry.list.locality(endpoint).filter(|l| !l.region.is_empty()) {
            text += &format!("  {}", place(locality));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proxyless_core::model::Extension;

    use super::*;

    #[test]
    fn an_endpoint_is_shown_with_all_that_is_known_of_it() {
        let extension = Extension {
            hostname: "a.pods".into(),
            workload: "a-7d9f;shop;a;v1;Kubernetes".into(),
            additional: vec!["[2001:db8::1]:80".parse().expect("an address")],
        };
        let locality = Locality { region: "east".into(), zone: "east-1".into(), ..Default::default() };
        let mut endpoint = Endpoint::at(([10, 0, 0, 1], 80).into());
        endpoint.flags = EndpointFlags::MAY_TLS;
        endpoint.extension = 1;
        let list = List::new([endpoint].into(), [locality].into(), [extension].into());
        let expected = json!({
            "host": "10.0.0.1", "port": 80, "weight": 1, "priority": 0, "health": "unknown", "locality": "east/east-1",
            "may_tls": true, "hostname": "a.pods", "additional": ["[2001:db8::1]:80"],
            "workload": {"name": "a-7d9f", "namespace": "shop", "canonical_name": "a", "canonical_revision": "v1",
                         "cluster": "Kubernetes"},
        });
        assert_eq!(endpoint_json(&list, &list.endpoints()[0]), expected);
        assert_eq!(workload_json(""), Value::Null);
    }
}
