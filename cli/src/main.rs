// SPDX-License-Identifier: Apache-2.0
//! The `proxyless` command: a control plane for a laptop, and a client to look at any.
//!
//! [`EXIT_CODES`] says how a script tells what happened.

mod cert;
mod doctor;
mod endpoints;
mod output;
mod routes;
mod serve;
mod services;
mod session;
mod setting;
mod status;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use session::Connection;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  answered, but not what was asked for: an unknown service, not ready in time, a step of doctor that is wrong
  2  wrong usage or configuration: an option, a setting, a target, a file, an address that is in use
  3  the control plane has not answered";

const COMPLETIONS_EXAMPLES: &str = "Examples:
  source <(proxyless completions bash)
  proxyless completions zsh > ~/.zfunc/_proxyless
  proxyless completions fish > ~/.config/fish/completions/proxyless.fish";

/// Proxyless service mesh: endpoint lists straight from an xDS control plane.
#[derive(Debug, Parser)]
#[command(name = "proxyless", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve Istio and Kubernetes YAML over ADS, and again whenever it changes
    Serve(serve::Serve),
    /// Print the endpoints of targets once they are known
    #[command(after_help = endpoints::ENDPOINTS_EXAMPLES)]
    Endpoints(endpoints::Lookup),
    /// Print every service that the control plane lists: hosts, ports, subsets
    Services(services::Services),
    /// Print the endpoints of targets, and again with every change
    Watch(watch::Watch),
    /// Print the routes of targets, and what the clusters they reach ask of callers: limits, timeouts, outlier detection
    #[command(after_help = endpoints::ROUTES_EXAMPLES)]
    Routes(endpoints::Lookup),
    /// Wait until targets are ready
    Wait(endpoints::Wait),
    /// Print the connection to the control plane, and every resource of the targets
    Status(status::Status),
    /// Check each step of the way to the control plane, and say what to do about the first that fails
    Doctor(doctor::Doctor),
    /// Obtain a workload certificate from istiod's CA, and show its identity and end
    Cert(cert::Cert),
    /// Print the effective configuration with the origin of each value
    #[command(after_help = session::CONFIG_EXAMPLES)]
    Config {
        #[command(flatten)]
        connection: Connection,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print shell completions
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write a manual page of each command into a folder
    #[command(hide = true)]
    Man {
        /// The folder
        folder: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Endpoints(lookup) => lookup.run(output::to_json, output::to_text),
        Command::Services(services) => services.run(),
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
        Command::Man { folder } => clap_mangen::generate_to(Cli::command().name("proxyless"), &folder)
            .map_err(|error| output::Failure::Usage(format!("{}: {error}", folder.display()))),
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
