// SPDX-License-Identifier: Apache-2.0
//! The `proxyless` command: a control plane for a laptop, and a client to look at any.
//!
//! Exit codes: 0 done; 1 not what was asked for (unknown service, not ready in time); 2 wrong usage or configuration; 3 the
//! control plane has not answered.

mod cert;
mod doctor;
mod endpoints;
mod output;
mod routes;
mod serve;
mod session;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use session::Connection;

/// Proxyless service mesh: endpoint lists straight from an xDS control plane.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a file of Istio YAML over ADS, and again whenever it changes
    Serve(serve::Serve),
    /// Print the endpoints of targets once they are known
    Endpoints(endpoints::Lookup),
    /// Print the endpoints of targets, and again with every change
    Watch(endpoints::Watch),
    /// Print the routes of targets, and what the clusters they reach ask of callers: limits, timeouts, outlier detection
    Routes(endpoints::Lookup),
    /// Wait until targets are ready
    Wait(endpoints::Wait),
    /// Print the connection and every resource of a client that watches targets
    Status(endpoints::Status),
    /// Check each step of the way to the control plane, and say what to do about the first that fails
    Doctor(doctor::Doctor),
    /// Obtain a workload certificate from istiod's CA, and show its identity and end
    Cert(cert::Cert),
    /// Print the effective configuration with the origin of each value
    Config {
        #[command(flatten)]
        connection: Connection,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Endpoints(lookup) => lookup.run(output::to_json, output::to_text),
        Command::Watch(watch) => watch.run(),
        Command::Routes(lookup) => lookup.run(routes::to_json, routes::to_text),
        Command::Wait(wait) => wait.run(),
        Command::Status(status) => status.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Cert(cert) => cert.run(),
        Command::Config { connection, json } => session::print_config(&connection, json),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "proxyless", &mut std::io::stdout());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
