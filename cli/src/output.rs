// SPDX-License-Identifier: Apache-2.0
//! Printing: lists for people, JSON for programs, errors to stderr with an exit code.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use proxyless_core::{
    Error,
    model::{Endpoint, State},
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
        Failure::Usage(error.to_string())
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
    let (locality, extension) = (list.locality(endpoint), list.extension(endpoint));
    json!({
        "host": host(list, endpoint),
        "port": endpoint.port,
        "weight": endpoint.weight,
        "priority": endpoint.priority,
        "health": format!("{:?}", endpoint.health()).to_lowercase(),
        "locality": locality.map(|l| format!("{}/{}/{}", l.region, l.zone, l.sub_zone).trim_end_matches('/').to_owned()),
        "workload": extension.map(|x| &*x.workload).filter(|w| !w.is_empty()),
    })
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
        State::Ready => anstyle::AnsiColor::Green,
        State::Pending => anstyle::AnsiColor::Yellow,
        State::Unknown | State::Removed | State::Invalid(_) => anstyle::AnsiColor::Red,
    };
    let colour =
        if io::stdout().is_terminal() { anstyle::Style::new().fg_color(Some(style.into())) } else { anstyle::Style::new() };
    let mut text = format!("{spelling}  {colour}{}{colour:#}", entry.state);
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
        let place = if host.contains(':') { format!("[{host}]:{}", endpoint.port) } else { format!("{host}:{}", endpoint.port) };
        text += &format!("\n  {place:<22} weight {}", endpoint.weight);
        if let Some(locality) = entry.list.locality(endpoint).filter(|l| !l.region.is_empty()) {
            text += format!("  {}/{}/{}", locality.region, locality.zone, locality.sub_zone).trim_end_matches('/');
        }
    }
    text
}
