// SPDX-License-Identifier: Apache-2.0
//! gRPC's bootstrap file, so that one file serves gRPC programs and us (gRFC A27, A30, A47, A53, A65, A71, A88, A97).

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Sources,
    server::{Authority, Directory, Place, Server},
    value::Draft,
};
use crate::{
    error::{Code, Error, Result},
    protocol::Policy,
};

/// What is wrong is said by the caller, with the field before it.
type Field<T> = std::result::Result<T, String>;

const PATH_VARIABLE: &str = "GRPC_XDS_BOOTSTRAP";
const TEXT_VARIABLE: &str = "GRPC_XDS_BOOTSTRAP_CONFIG";

/// Unknown keys are ignored: the file is not ours alone.
#[derive(Deserialize)]
struct Bootstrap {
    xds_servers: Vec<XdsServer>,
    #[serde(default)]
    node: Option<Map<String, Value>>,
    #[serde(default)]
    authorities: BTreeMap<String, AuthorityEntry>,
    #[serde(default = "verbatim")]
    client_default_listener_resource_name_template: String,
    // Not used by a client; of the wrong type they are an error all the same, as in gRPC.
    #[serde(default, rename = "server_listener_resource_name_template")]
    _server_template: String,
    #[serde(default, rename = "certificate_providers")]
    _certificate_providers: Map<String, Value>,
}

fn verbatim() -> String {
    "%s".into()
}

#[derive(Deserialize)]
struct XdsServer {
    server_uri: String,
    #[serde(default)]
    channel_creds: Vec<Credentials>,
    #[serde(default)]
    call_creds: Vec<Credentials>,
    #[serde(default)]
    server_features: Vec<Value>,
}

#[derive(Deserialize)]
struct AuthorityEntry {
    #[serde(default)]
    xds_servers: Vec<XdsServer>,
    #[serde(default)]
    client_listener_resource_name_template: Option<String>,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    config: Map<String, Value>,
}

impl Credentials {
    fn text(&self, key: &str) -> Field<Option<&str>> {
        match self.config.get(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => Err(format!("{key}: a non-empty text is expected, not {other}")),
        }
    }
}

pub(super) fn add(draft: &mut Draft, sources: &Sources) -> Result<()> {
    let variable = |name: &str| sources.environment.get(name).filter(|text| !text.is_empty());
    let (text, origin) = match (variable(PATH_VARIABLE), variable(TEXT_VARIABLE)) {
        // A server said outright needs no bootstrap: one that is broken or not there yet must not get in its way.
        _ if draft.has("server") => return Ok(()),
        (Some(path), _) => {
            let text = fs::read_to_string(path).map_err(|error| {
                Error::new(Code::Config, format!("{PATH_VARIABLE} names {path}, which cannot be read")).because(error)
            })?;
            (text, format!("{PATH_VARIABLE} {path}"))
        }
        (None, Some(text)) => (text.clone(), TEXT_VARIABLE.to_owned()),
        (None, None) => return Ok(()),
    };
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let bootstrap: Bootstrap = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| Error::new(Code::Config, format!("{origin}: {}: {}", error.path(), error.inner())))?;
    let found = found_in(&bootstrap).map_err(|what| Error::new(Code::Config, format!("{origin}: {what}")))?;
    let places: Vec<String> = found.1.default.iter().map(|at| found.0[*at].place.to_string()).collect();
    draft.offer_text("server", places.join(","), &origin);
    draft.bootstrap = Some(found);
    add_node(draft, bootstrap.node.map(Value::Object), &origin);
    Ok(())
}

/// Every server once, and who asks which.
fn found_in(bootstrap: &Bootstrap) -> Field<(Vec<Server>, Directory)> {
    let mut servers = Vec::new();
    if bootstrap.xds_servers.is_empty() {
        return Err("xds_servers: at least one server is expected".into());
    }
    let default = numbers(&bootstrap.xds_servers, "xds_servers", &mut servers)?;
    let mut authorities = BTreeMap::new();
    for (name, entry) in &bootstrap.authorities {
        let field = format!("authorities.{name}");
        let own = format!("xdstp://{name}/");
        let listener_template = match &entry.client_listener_resource_name_template {
            None => format!("{own}envoy.config.listener.v3.Listener/%s"),
            Some(template) if template.starts_with(&own) => template.clone(),
            Some(template) => {
                return Err(format!("{field}.client_listener_resource_name_template: {template:?} does not start with {own}"));
            }
        };
        let own = numbers(&entry.xds_servers, &format!("{field}.xds_servers"), &mut servers)?;
        let servers = if own.is_empty() { default.clone() } else { own };
        authorities.insert(name.clone(), Authority { servers, listener_template });
    }
    let listener_template = bootstrap.client_default_listener_resource_name_template.clone();
    Ok((servers, Directory { default, authorities, listener_template }))
}

fn numbers(entries: &[XdsServer], field: &str, servers: &mut Vec<Server>) -> Field<Vec<usize>> {
    let mut numbers = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let server = server(entry).map_err(|what| format!("{field}[{at}].{what}"))?;
        let number = servers.iter().position(|known| *known == server).unwrap_or_else(|| {
            servers.push(server);
            servers.len() - 1
        });
        numbers.push(number);
    }
    Ok(numbers)
}

fn server(entry: &XdsServer) -> Field<Server> {
    if entry.server_uri.is_empty() {
        return Err("server_uri: is empty".into());
    }
    let kinds = || entry.channel_creds.iter().map(|c| c.kind.as_str()).collect::<Vec<_>>().join(", ");
    let channel = entry
        .channel_creds
        .iter()
        .find(|credentials| matches!(credentials.kind.as_str(), "insecure" | "tls"))
        .ok_or_else(|| format!("channel_creds: none of [{}] is supported; insecure and tls are", kinds()))?;
    let tls = channel.kind == "tls";
    let uri = entry.server_uri.as_str();
    let target = ["dns:///", "dns:"].iter().find_map(|scheme| uri.strip_prefix(scheme)).unwrap_or(uri);
    let scheme = match (target.starts_with("unix:"), tls) {
        (true, _) => "",
        (false, true) => "https://",
        (false, false) => "http://",
    };
    let place = Place::parse(&format!("{scheme}{target}")).map_err(|what| {
        // What stands before it may be a password.
        let shown = uri.rsplit_once('@').map_or(uri.to_owned(), |(_, host)| format!("…@{host}"));
        format!("server_uri: {shown:?}: {what}")
    })?;
    let mut server = Server::at(place);
    server.policy = Policy::from_features(entry.server_features.iter().filter_map(Value::as_str));
    if tls {
        add_tls(&mut server, channel).map_err(|what| format!("channel_creds: tls: {what}"))?;
    }
    for call in entry.call_creds.iter().filter(|call| call.kind == "jwt_token_file") {
        let file = call.text("jwt_token_file").and_then(|file| file.ok_or_else(|| "jwt_token_file: needs a path".into()));
        let file = file.map_err(|what| format!("call_creds: {what}"))?;
        // Over any other transport it is never sent.
        server.token_file = tls.then(|| file.into());
    }
    Ok(server)
}

fn add_tls(server: &mut Server, credentials: &Credentials) -> Field<()> {
    let path = |key| credentials.text(key).map(|text| text.map(PathBuf::from));
    server.ca_file = path("ca_certificate_file")?;
    server.identity = match (path("certificate_file")?, path("private_key_file")?) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) => return Err("certificate_file needs a private_key_file beside it".into()),
        (None, Some(_)) => return Err("private_key_file needs a certificate_file beside it".into()),
    };
    // The files are read anew for every connection, which is more often than any interval asks for; it must be one all the same.
    if let Some(interval) = credentials.text("refresh_interval")? {
        let seconds = interval.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
        seconds
            .filter(|seconds| *seconds > 0.0)
            .ok_or_else(|| format!("refresh_interval: {interval:?} is not of the form 600s"))?;
    }
    Ok(())
}

fn add_node(draft: &mut Draft, node: Option<Value>, origin: &str) {
    let Some(node) = node else { return };
    let metadata = |key: &str| node.pointer(&format!("/metadata/{key}")).and_then(Value::as_str).map(str::to_owned);
    if let Some(namespace) = metadata("NAMESPACE") {
        draft.offer_text("namespace", namespace, origin);
    }
    if let Some(cluster) = metadata("CLUSTER_ID") {
        draft.offer_text("cluster_id", cluster, origin);
    }
    let is_istio = node.get("id").and_then(Value::as_str).is_some_and(|id| id.split('~').count() == 4);
    if !is_istio {
        draft.offer_text("profile", "grpc", origin);
    }
    draft.node = Some(node);
}
