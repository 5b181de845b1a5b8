// SPDX-License-Identifier: Apache-2.0
//! `proxyless doctor`: the way to the control plane, step by step, with the remedy for the first step that fails.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anstyle::AnsiColor;
use clap::Args;
use proxyless_core::{
    Client,
    config::{Config, Place, Profile, Server},
    model::State,
    observe::Level,
    transport::{Claims, Dialer, remedy},
};
use serde_json::{Value, json};

use crate::{
    endpoints::seconds,
    output::{Failure, line, painted},
    session::{self, Connection},
};

const HELP: &str = "Examples:
  proxyless doctor
  proxyless doctor orders.shop:8080 payments/v2

Each step needs the one before: settings, node, resolve, connect, tls, token, stream, endpoints. `wrong` stops, `odd` goes on.";

/// Options of `proxyless doctor`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Doctor {
    #[command(flatten)]
    connection: Connection,
    /// Services whose endpoints must arrive, for instance echo.demo:8080
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    /// Seconds to wait for answers
    #[arg(long, default_value_t = 20.0, value_parser = seconds, value_name = "SECONDS")]
    timeout: f64,
}

/// What a step found.
enum Finding {
    Fine(String),
    /// It works, but is not as it is meant to be.
    Odd(String, &'static str),
    Wrong(String, &'static str),
}
use Finding::{Fine, Odd, Wrong};

/// Prints steps as they are done.
struct Report {
    json: bool,
    steps: Vec<Value>,
}

impl Report {
    /// Shows a step; returns whether to go on.
    fn step(&mut self, name: &'static str, finding: Finding) -> Result<bool, Failure> {
        let (verdict, style, text, remedy) = match finding {
            Fine(text) => ("ok", AnsiColor::Green, text, ""),
            Odd(text, remedy) => ("odd", AnsiColor::Yellow, text, remedy),
            Wrong(text, remedy) => ("wrong", AnsiColor::Red, text, remedy),
        };
        self.steps.push(json!({"step": name, "verdict": verdict, "found": text, "remedy": remedy}));
        if !self.json {
            line(&format!("{} {name:<11} {text}", painted(style, &format!("{verdict:<6}"))))?;
            if !remedy.is_empty() {
                line(&format!("{:19}{remedy}", ""))?;
            }
        }
        Ok(verdict != "wrong")
    }
}

impl Doctor {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut report = Report { json: self.json, steps: Vec::new() };
        let healthy = self.examine(&mut report)?;
        if self.json {
            line(&Value::Array(report.steps).to_string())?;
        }
        if healthy { Ok(()) } else { Err(Failure::Answer("the first step that is wrong is named above".into())) }
    }

    fn examine(&self, report: &mut Report) -> Result<bool, Failure> {
        let config = match self.connection.config() {
            Ok(config) => config,
            Err(Failure::Usage(text)) => {
                return report
                    .step("settings", Wrong(text, "`proxyless config --help` and docs/configuration.md list every setting"));
            }
            Err(other) => return Err(other),
        };
        let place = |key: &str| config.origins.iter().find(|o| o.key == key).map_or("default", |o| o.origin.as_str());
        let text = format!("{} (from {}), profile {}", config.server_list(), place("server"), config.profile.name());
        let settings = match config.warnings.as_slice() {
            [] => Fine(text),
            warnings => {
                Odd(format!("{text}; {}", warnings.join("; ")), "docs/configuration.md lists every setting with its variable")
            }
        };
        report.step("settings", settings)?;
        if !report.step("node", node(&config))? {
            return Ok(false);
        }
        // The first one is in charge; the others are for when it fails.
        let number = config.directory.default[0];
        let server = &config.servers[number];
        let steps: [(&str, &dyn Fn() -> Finding); 4] = [
            ("resolve", &|| resolve(server)),
            ("connect", &|| connect(server, config.connect_timeout)),
            ("tls", &|| tls(&config, number)),
            ("token", &|| token(&config, server)),
        ];
        for (name, step) in steps {
            if !report.step(name, step())? {
                return Ok(false);
            }
        }
        let timeout = Duration::from_secs_f64(self.timeout);
        let client = Client::open(config)?;
        if !report.step("stream", stream(&client, timeout)?)? {
            return Ok(false);
        }
        for target in &self.targets {
            if let Err(error) = client.watch(target) {
                return report
                    .step("endpoints", Wrong(error.to_string(), "docs/configuration.md, section Targets, has the grammar"));
            }
        }
        let deadline = Instant::now() + timeout;
        let mut healthy = true;
        for target in &self.targets {
            let left = deadline.saturating_duration_since(Instant::now());
            healthy &= report.step("endpoints", endpoints(&client, target, left)?)?;
        }
        if let Some(finding) = warnings(&client) {
            report.step("warnings", finding)?;
        }
        Ok(healthy)
    }
}

fn node(config: &Config) -> Finding {
    match config.profile {
        Profile::Envoy => Fine(config.node_id.clone()),
        Profile::Istio | Profile::Grpc if config.node_id.split('~').count() == 4 => {
            if config.node_id.split('~').nth(1) == Some("127.0.0.1") {
                let remedy = "in a pod, set INSTANCE_IP from status.podIP; elsewhere 127.0.0.1 will do";
                return Odd(format!("{}: the address is that of no pod", config.node_id), remedy);
            }
            Fine(config.node_id.clone())
        }
        Profile::Istio => {
            Wrong(config.node_id.clone(), "istiod wants sidecar~ip~pod.namespace~domain; unset node_id, or use profile envoy")
        }
        Profile::Grpc => Odd(config.node_id.clone(), "istiod would refuse this node id; other servers may take it"),
    }
}

fn addresses(authority: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(authority.to_socket_addrs()?.collect())
}

fn resolve(server: &Server) -> Finding {
    match &server.place {
        Place::Unix(path) if path.exists() => Fine(format!("{} is there", path.display())),
        Place::Unix(path) => {
            Wrong(format!("{} is not there", path.display()), "is an istio-agent running, and is its volume mounted here?")
        }
        Place::Plaintext(authority) | Place::Tls(authority) => match addresses(authority) {
            Ok(found) if !found.is_empty() => {
                Fine(format!("{authority} is {}", found.iter().map(|a| a.ip().to_string()).collect::<Vec<_>>().join(", ")))
            }
            Ok(_) => Wrong(format!("{authority} has no address"), "is the name of the control plane's service right?"),
            Err(error) => {
                let remedy = "is the name right (istiod.istio-system.svc:15012), and does this pod's DNS know the cluster?";
                Wrong(format!("{authority}: {error}"), remedy)
            }
        },
    }
}

fn connect(server: &Server, timeout: Duration) -> Finding {
    let tried = match &server.place {
        Place::Unix(path) => connect_unix(path).map(|()| path.display().to_string()),
        Place::Plaintext(authority) | Place::Tls(authority) => addresses(authority).and_then(|found| {
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            for address in found {
                match TcpStream::connect_timeout(&address, timeout) {
                    Ok(_) => return Ok(address.to_string()),
                    Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
                }
            }
            Err(last)
        }),
    };
    match tried {
        Ok(address) => Fine(address),
        Err(error) => Wrong(error.to_string(), "is the control plane running, the port right, and no network policy between?"),
    }
}

#[cfg(unix)]
fn connect_unix(path: &Path) -> io::Result<()> {
    std::os::unix::net::UnixStream::connect(path).map(drop)
}

#[cfg(not(unix))]
fn connect_unix(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn tls(config: &Config, number: usize) -> Finding {
    let server = &config.servers[number];
    match &server.place {
        Place::Unix(_) => return Fine("not needed on a Unix socket".into()),
        Place::Plaintext(_) => {
            return Odd(
                "plaintext, as http:// says".into(),
                "in a cluster use https:// (istiod's port 15012) with ca_file and token_file",
            );
        }
        Place::Tls(_) => {}
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Wrong(error.to_string(), ""),
    };
    let roots = server.ca_file.as_ref().map_or_else(|| "the system's roots".into(), |path| path.display().to_string());
    match runtime.block_on(Dialer::new(Arc::new(config.clone()), number).connect()) {
        Ok(_) => Fine(format!("verified with {roots}")),
        Err(lost) => {
            let remedy = remedy(&lost.reason).unwrap_or("is this a TLS port? istiod's is 15012; 15010 is plaintext");
            Wrong(lost.reason, remedy)
        }
    }
}

/// The token's audience, subject and end; never the token.
fn token(config: &Config, server: &Server) -> Finding {
    let for_istiod = config.profile != Profile::Envoy;
    let Some(path) = &server.token_file else {
        return match (&server.place, for_istiod, &server.identity) {
            (Place::Tls(_), true, None) => {
                Odd("none".into(), "istiod wants one: mount a projected token with audience istio-ca and name it in token_file")
            }
            _ => Fine("none".into()),
        };
    };
    let text = match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => {
            return Wrong(format!("{} is empty", path.display()), "has the token been projected?");
        }
        Ok(text) => text,
        Err(error) => {
            return Wrong(
                format!("{}: {error}", path.display()),
                "mount a projected token (audience istio-ca), or correct token_file",
            );
        }
    };
    if !server.place.is_tls() {
        return Fine(format!("{}: not sent, for the connection is not TLS", path.display()));
    }
    let Some(claims) = Claims::of(&text) else {
        return Odd(format!("{}: no JWT, so nothing is known about it", path.display()), "");
    };
    let audience = claims.audiences.join(", ");
    let left = match claims.expires.map(|end| end.duration_since(SystemTime::now())) {
        Some(Err(late)) => {
            let text = format!("{}: expired {} s ago", path.display(), late.duration().as_secs());
            return Wrong(text, "the kubelet renews projected tokens; was the file copied?");
        }
        Some(Ok(left)) => format!("expires in {} s", left.as_secs()),
        None => "never expires".into(),
    };
    let text = format!("{}: audience {audience:?}, {}, {left}", path.display(), claims.subject);
    if for_istiod && !claims.audiences.iter().any(|audience| audience == "istio-ca") {
        return Wrong(
            text,
            "istiod wants audience istio-ca: project the token with it; a service account's default token will not do",
        );
    }
    let subject: Vec<&str> = claims.subject.split(':').collect();
    if let ["system", "serviceaccount", namespace, _] = subject[..]
        && for_istiod
        && namespace != config.naming.namespace
    {
        return Wrong(text, "the token is of another namespace than the setting `namespace` says; istiod would refuse it");
    }
    Fine(text)
}

/// Waits until the stream has its first answer, or has failed for good.
fn stream(client: &Client, timeout: Duration) -> Result<Finding, Failure> {
    let deadline = Instant::now() + timeout;
    loop {
        let status = client.describe()?;
        if status["connected"] == true {
            let hosts = status["hosts"].as_u64().unwrap_or_default();
            let text = format!("{} answers; {hosts} hosts are listed", status["variant"].as_str().unwrap_or_default());
            return Ok(Fine(text));
        }
        let error = status["last_error"].as_str().unwrap_or_default();
        // Asked by name, a server says nothing before it is asked for something.
        if error.is_empty() && client.config().profile == Profile::Grpc && status["servers"][0]["streams"] == 0 {
            return Ok(Fine("opened with the first target".into()));
        }
        if !error.is_empty() || Instant::now() >= deadline {
            let remedy = remedy(error).unwrap_or("what does the control plane's log say?");
            let text = if error.is_empty() { "no answer in time".to_owned() } else { error.to_owned() };
            return Ok(Wrong(text, remedy));
        }
        client.wait(client.epoch(), Some(Duration::from_millis(50)))?;
    }
}

fn endpoints(client: &Client, target: &str, timeout: Duration) -> Result<Finding, Failure> {
    session::wait_for(client, &[target.to_owned()], timeout, |state| state != State::Pending)?;
    let snapshot = client.snapshot();
    let Some(entry) = snapshot.get(target) else { return Ok(Wrong(format!("{target}: no answer"), "")) };
    let count = entry.list.endpoints().len();
    let mut text = format!("{target} is {}", entry.state);
    if !entry.resolved.is_empty() && *entry.resolved != *target {
        text += &format!(": {}", entry.resolved);
    }
    text += &format!(", {count} endpoints");
    if !entry.detail.is_empty() {
        text += &format!("; {}", entry.detail);
    }
    Ok(match entry.state {
        State::Ready if count > 0 => Fine(text),
        State::Ready if client.config().profile != Profile::Envoy && !client.config().node_text.contains("NODE_NAME") => {
            Odd(text, NO_NODE)
        }
        State::Ready => Odd(text, "has the service ready pods?"),
        State::Unknown | State::Removed if client.config().profile == Profile::Grpc => {
            Wrong(text, "is this what the control plane calls the listener, and does it answer this node about it?")
        }
        State::Unknown | State::Removed => Wrong(text, UNLISTED),
        State::Invalid(_) => Wrong(text, "docs/configuration.md, section Targets, says what each reason means"),
        State::Pending => Wrong(text, UNANSWERED),
    })
}

const NO_NODE: &str = "has the service ready pods? With internalTrafficPolicy: Local istiod lists those of the own node only, and knows it by \
                       NODE_NAME: set that variable from spec.nodeName";

const UNLISTED: &str = "`proxyless services` lists what there is. Is it in another namespace (set namespace or search_namespaces, or write \
                        name.namespace), not exported to this one, or outside of its Sidecar resource?";

const UNANSWERED: &str = "the control plane does not answer about it. One that gives snapshots whole (go-control-plane with ads) answers only \
                          when all names of the snapshot are asked for: name them all here";

/// What else the client has to say, which is of no use to who has what was asked for.
fn warnings(client: &Client) -> Option<Finding> {
    let mut texts: Vec<String> = Vec::new();
    for event in client.events(0).into_iter().filter(|event| event.level == Level::Warn) {
        if !texts.contains(&event.text) {
            texts.push(event.text);
        }
    }
    let shown = texts.split_off(texts.len().saturating_sub(MOST_WARNINGS));
    let remedy = "what the client itself has remarked meanwhile; `proxyless status` has every resource with its error";
    (!shown.is_empty()).then(|| Odd(shown.join("\n                   "), remedy))
}

/// The newest ones tell the most.
const MOST_WARNINGS: usize = 5;
