// SPDX-License-Identifier: Apache-2.0
//! `proxyless serve`: the embedded control plane.

use std::{
    io::{self, Write},
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
};

use clap::Args;
use proxyless_control_plane::{
    Files, LoadError, Server,
    ads::State,
    istio::{LocalEndpoint, Mesh, Options, generate},
    watch::FileWatch,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::{Failure, line};

/// `proxyless serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Files of Istio and Kubernetes YAML, folders of such, or - for standard input
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,
    /// Address to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:15010", value_name = "ADDRESS", value_parser = address)]
    listen: SocketAddr,
    /// Write the address that is listened on to this file
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// Answer Unimplemented to delta streams
    #[arg(long)]
    no_delta: bool,
    /// An endpoint of a service, in place of those in the files: NAME[.NAMESPACE][:PORT]=127.0.0.1:8080[,LABEL=VALUE…]
    #[arg(long = "endpoint", value_name = "NAME=ADDRESS")]
    endpoints: Vec<LocalEndpoint>,
    /// Skip objects of kinds that are not supported, instead of refusing them
    #[arg(long)]
    lenient: bool,
    /// Read the files, say what is wrong and what looks wrong, and end
    #[arg(long)]
    check: bool,
    /// With --check: what looks wrong is an error
    #[arg(long, requires = "check")]
    strict: bool,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut files = Files::new(self.paths.clone(), Options { lenient: self.lenient, endpoints: self.endpoints.clone() });
        // Before the first look at them, so that nothing is missed that is written after it.
        let changes = (!self.check).then(|| FileWatch::new(&files.places()));
        let mesh = files.load().map_err(usage)?;
        mesh.notes().iter().for_each(|note| say(note));
        let Some(changes) = changes else { return self.report(&files, &mesh) };
        let changes = changes.map_err(|error| Failure::Usage(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve(&mut files, changes, generate(&mesh, 1)))
    }

    fn report(&self, files: &Files, mesh: &Mesh) -> Result<(), Failure> {
        let warnings = mesh.warnings();
        warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
        let count = match warnings.len() {
            0 => return line(&format!("{files} is fine")),
            1 => "1 warning".to_owned(),
            more => format!("{more} warnings"),
        };
        if self.strict {
            Err(Failure::Answer(format!("{files}: {count}")))
        } else {
            line(&format!("{files} can be served; {count}"))
        }
    }

    async fn serve(&self, files: &mut Files, mut changes: FileWatch, state: State) -> Result<(), Failure> {
        let mut served = Served { number: 1, state: state.clone() };
        let server = Server::start(self.listen, state, !self.no_delta).await.map_err(|error| {
            Failure::Usage(format!("--listen {}: {error}; --listen 127.0.0.1:0 picks a free port", self.listen))
        })?;
        if let Some(path) = &self.port_file {
            std::fs::write(path, server.address().to_string())?;
        }
        line(&format!("serving {files} on http://{} (plaintext)", server.address()))?;
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        loop {
            tokio::select! {
                () = changes.changed() => {
                    if changes.renew(&files.places()) {
                        continue;
                    }
                    let read = files.load_again();
                    // What was written to meanwhile is read once more.
                    if changes.is_quiet() {
                        served.take(files, read, &server)?;
                    }
                }
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            }
        }
    }
}

/// What is in force.
struct Served {
    number: u64,
    state: State,
}

impl Served {
    /// Publishes what the files say now, if that is something else.
    fn take(&mut self, files: &Files, read: Result<Mesh, LoadError>, server: &Server) -> Result<(), Failure> {
        match read {
            Ok(mesh) => {
                let state = generate(&mesh, self.number + 1);
                if state.says_the_same(&self.state) {
                    return Ok(());
                }
                mesh.notes().iter().for_each(|note| say(note));
                self.number += 1;
                self.state = state.clone();
                server.publish(state);
                line(&format!("{files} changed, now version {}", self.number))
            }
            Err(error) => {
                say(&format!("{error}; version {} stays in force", self.number));
                Ok(())
            }
        }
    }
}

/// One line beside the output.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "proxyless: {text}");
}

/// `localhost:0` too, which is no socket address by itself.
fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().map_err(|error| format!("{error}; HOST:PORT is expected, like 127.0.0.1:0"))?;
    // A name may stand for both; the older is there nearly always.
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| "has no address".to_owned())
}

fn usage(error: LoadError) -> Failure {
    Failure::Usage(error.to_string())
}
