// SPDX-License-Identifier: Apache-2.0
//! `proxyless serve`: the embedded control plane.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use clap::Args;
use proxyless_control_plane::{
    Server,
    watch::{FileWatch, LoadError, load},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::{Failure, line};

/// `proxyless serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Istio YAML: ServiceEntry, WorkloadEntry, DestinationRule, VirtualService
    file: PathBuf,
    /// Address to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:15010", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Write the address that is listened on to this file
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// Answer Unimplemented to delta streams
    #[arg(long)]
    no_delta: bool,
    /// Read the file, say what is wrong with it, and end
    #[arg(long)]
    check: bool,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let state = load(&self.file, 1).map_err(usage)?;
        if self.check {
            return line(&format!("{} is fine", self.file.display()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut changes = FileWatch::new(&self.file).map_err(|error| Failure::Usage(error.to_string()))?;
            let server = Server::start(self.listen, state, !self.no_delta).await?;
            if let Some(path) = &self.port_file {
                std::fs::write(path, server.address().to_string())?;
            }
            line(&format!("serving {} on http://{} (plaintext)", self.file.display(), server.address()))?;
            let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            loop {
                tokio::select! {
                    () = changes.changed() => self.reload(&server)?,
                    _ = terminate.recv() => return Ok(()),
                    _ = interrupt.recv() => return Ok(()),
                }
            }
        })
    }

    fn reload(&self, server: &Server) -> Result<(), Failure> {
        match load(&self.file, server.number() + 1) {
            Ok(state) => {
                server.publish(state);
                line(&format!("{} changed, now version {}", self.file.display(), server.number()))
            }
            Err(error) => {
                let _ = writeln!(io::stderr(), "proxyless: {error}; version {} stays in force", server.number());
                Ok(())
            }
        }
    }
}

fn usage(error: LoadError) -> Failure {
    Failure::Usage(error.to_string())
}
