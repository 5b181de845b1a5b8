// SPDX-License-Identifier: Apache-2.0
//! Settings from every source, merged into one validated [`Config`].
//!
//! First wins: our JSON document, system properties, `PROXYLESS_*` variables, a gRPC bootstrap, the pod's own environment,
//! defaults. Each value keeps its origin. The environment is handed in as a map: this module reads files that settings name,
//! never the process.

mod bootstrap;
mod document;
mod node;
mod pod;
mod server;
mod settings;
mod value;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bytes::Bytes;

use crate::{
    backoff::Backoff,
    error::{Code, Error, Result},
    protocol::Wildcard,
    resource::Limits,
    target::Naming,
};

use document::Document;
pub use server::{Authority, Directory, Place, Server};
pub use settings::{SETTINGS, Setting};
use value::{Draft, Raw};

/// What kind of control plane is spoken to, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// istiod as a sidecar would ask it: delta, wildcard CDS, EDS and routes by name.
    Istio,
    /// The same without Istio's metadata and routes; cluster names are free-form.
    Envoy,
    /// As gRPC clients ask: state of the world, everything by name, from the listener down.
    Grpc,
}

impl Profile {
    /// The name used in settings.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Istio => "istio",
            Profile::Envoy => "envoy",
            Profile::Grpc => "grpc",
        }
    }
}

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Our own JSON document; empty for none. Its keys must all be known.
    pub document: String,
    /// System properties of the runtime, or none.
    pub properties: BTreeMap<String, String>,
    /// The process environment.
    pub environment: BTreeMap<String, String>,
    /// Folder under which a pod's files are looked for; empty is the root folder.
    pub root: PathBuf,
}

/// A value that is in force, with the place it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The setting's key in our document.
    pub key: &'static str,
    /// The value as text; secrets never become values, only the files that hold them.
    pub value: String,
    /// For instance `environment PROXYLESS_SERVER`.
    pub origin: String,
}

/// What to ask istiod's CA for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Who we think we are: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
    pub identity: String,
    /// Life to ask for.
    pub life: Duration,
}

/// Everything the client needs to know, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// The control plane: every server once. At least one.
    pub servers: Vec<Server>,
    /// Who serves which names.
    pub directory: Directory,
    /// How it is spoken to.
    pub profile: Profile,
    /// The encoded node.
    pub node: Bytes,
    /// The node as text: equal nodes have equal texts.
    pub node_text: String,
    /// Identity of the node, for messages.
    pub node_id: String,
    /// Name resolution.
    pub naming: Naming,
    /// Hosts whose demand for TLS may be ignored.
    pub allow_plaintext: Vec<String>,
    /// Sent as `ClusterID`, which istiod needs to know where a token comes from.
    pub cluster_id: String,
    /// The workload certificate to ask istiod's CA for.
    pub certificate: CertificateRequest,
    /// It is obtained, and connected with.
    pub workload_certificate: bool,
    /// Bound on connecting.
    pub connect_timeout: Duration,
    /// How often a silent connection is probed while a stream is open.
    pub keepalive: Duration,
    /// How long a probe may go unanswered.
    pub keepalive_timeout: Duration,
    /// Bound on the first response of a stream.
    pub first_response_timeout: Duration,
    /// After which an unanswered name counts as absent.
    pub resource_timeout: Duration,
    /// Pauses between attempts to reach a server.
    pub backoff: Backoff,
    /// How "everything" is spelled; none: as the variant prefers.
    pub wildcard: Option<Wildcard>,
    /// After a reconnect the first answer is the whole state; none: it is when it is istiod's.
    pub full_state_on_reconnect: Option<bool>,
    /// Where the last known good is kept over restarts.
    pub cache_dir: Option<PathBuf>,
    /// As whom it is kept: the same for every pod of a workload.
    pub cache_identity: String,
    /// How long a live answer is waited for before what was kept is served.
    pub cache_wait: Duration,
    /// Largest message.
    pub max_message_bytes: usize,
    /// Bounds on one resource.
    pub limits: Limits,
    /// Every value in force with its origin.
    pub origins: Vec<Origin>,
    /// What should be looked at: unknown keys outside of our document.
    pub warnings: Vec<String>,
}

impl Config {
    /// Merges and validates.
    ///
    /// # Errors
    /// [`Code::Config`] naming the source, the field and the value.
    pub fn load(sources: &Sources) -> Result<Self> {
        let mut draft = Draft::default();
        add_document(&mut draft, &sources.document)?;
        add_properties(&mut draft, &sources.properties);
        add_environment(&mut draft, &sources.environment);
        bootstrap::add(&mut draft, sources)?;
        pod::add(&mut draft, sources);
        draft.finish()
    }
}

impl Config {
    /// The servers of old-style names as text, best first.
    pub fn server_list(&self) -> String {
        self.directory.default.iter().map(|at| self.servers[*at].place.to_string()).collect::<Vec<_>>().join(",")
    }
}

fn add_document(draft: &mut Draft, document: &str) -> Result<()> {
    if document.trim().is_empty() {
        return Ok(());
    }
    let fail = |what: String| Error::new(Code::Config, format!("configuration document: {what}"));
    let Document(settings) = serde_json::from_str(document).map_err(|error| fail(error.to_string()))?;
    for (key, value) in settings {
        let Some(setting) = Setting::by_key(&key) else {
            return Err(fail(format!("unknown key {key:?}; {}", Setting::unknown(&key, |setting| setting.key.to_owned()))));
        };
        draft.offer(setting, Raw::Json(value), format!("document {key}"));
    }
    Ok(())
}

fn add_properties(draft: &mut Draft, properties: &BTreeMap<String, String>) {
    for (name, text) in properties {
        let Some(rest) = name.strip_prefix("proxyless.") else { continue };
        match Setting::by_property(rest) {
            Some(setting) => draft.offer(setting, Raw::Text(text.clone()), format!("property {name}")),
            None => draft.warn(format!("unknown property {name}; {}", Setting::unknown(rest, Setting::property))),
        }
    }
}

fn add_environment(draft: &mut Draft, environment: &BTreeMap<String, String>) {
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix("PROXYLESS_") else { continue };
        match Setting::by_variable(rest) {
            Some(setting) => draft.offer(setting, Raw::Text(text.clone()), format!("environment {name}")),
            None => draft.warn(format!("unknown environment variable {name}; {}", Setting::unknown(rest, Setting::variable))),
        }
    }
}

#[cfg(test)]
#[path = "config_test.rs"]
mod tests;
