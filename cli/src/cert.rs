// SPDX-License-Identifier: Apache-2.0
//! `proxyless cert`: a workload certificate from istiod's CA, shown or written down.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use clap::Args;
use proxyless_core::{cache::write_private, certificate::Certificate, transport::Dialer};
use serde_json::json;

use crate::{
    output::{Failure, line},
    session::Connection,
};

const EXAMPLES: &str = "Examples:
  proxyless cert
  proxyless cert --write /tmp/identity && openssl x509 -in /tmp/identity/cert-chain.pem -noout -text";

/// Options of `proxyless cert`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cert {
    #[command(flatten)]
    connection: Connection,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write cert-chain.pem, key.pem and root-cert.pem there, readable by their owner only
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

impl Cert {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let config = Arc::new(self.connection.config()?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let dialer = Dialer::new(Arc::clone(&config), config.directory.default[0]);
        let certificate = runtime
            .block_on(dialer.obtain(&config.certificate))
            .map_err(|why| Failure::Silence(format!("{}: {why}; `proxyless doctor` looks at each step", config.server_list())))?;
        if let Some(folder) = &self.write {
            write(folder, &certificate)?;
        }
        let left = certificate.not_after.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
        let renewal = certificate.renew_after(0.5).as_secs();
        if self.json {
            let text =
                json!({"identity": certificate.identity, "expires_in_s": left, "renew_in_s": renewal, "chain": certificate.chain});
            return line(&text.to_string());
        }
        line(&format!("identity  {}", certificate.identity))?;
        line(&format!("expires   in {left} s, to be renewed in {renewal} s"))?;
        if certificate.identity != config.certificate.identity {
            line(&format!("asked for {}: the CA signs who the token proves", config.certificate.identity))?;
        }
        Ok(())
    }
}

fn write(folder: &Path, certificate: &Certificate) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    for (name, text) in
        [("cert-chain.pem", &certificate.chain), ("key.pem", &certificate.key), ("root-cert.pem", &certificate.roots)]
    {
        write_private(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}
