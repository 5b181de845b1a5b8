// SPDX-License-Identifier: Apache-2.0
//! gRPC's bootstrap file, so that one file serves gRPC programs and us (gRFC A27, A30, A65, A97).

use std::fs;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Sources, value::Draft};
use crate::error::{Code, Error, Result};

const PATH_VARIABLE: &str = "GRPC_XDS_BOOTSTRAP";
const TEXT_VARIABLE: &str = "GRPC_XDS_BOOTSTRAP_CONFIG";

/// Unknown keys are ignored: the file is not ours alone.
#[derive(Deserialize)]
struct Bootstrap {
    xds_servers: Vec<XdsServer>,
    #[serde(default)]
    node: Option<Value>,
}

#[derive(Deserialize)]
struct XdsServer {
    server_uri: String,
    #[serde(default)]
    channel_creds: Vec<Credentials>,
    #[serde(default)]
    call_creds: Vec<Credentials>,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    config: Map<String, Value>,
}

impl Credentials {
    fn text(&self, key: &str) -> Option<&str> {
        self.config.get(key).and_then(Value::as_str)
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
    let server = bootstrap
        .xds_servers
        .first()
        .ok_or_else(|| Error::new(Code::Config, format!("{origin}: xds_servers: at least one server is expected")))?;
    add_server(draft, server, &origin)?;
    add_node(draft, bootstrap.node, &origin);
    Ok(())
}

fn add_server(draft: &mut Draft, server: &XdsServer, origin: &str) -> Result<()> {
    let fail = |field: &str, what: String| Error::new(Code::Config, format!("{origin}: xds_servers[0].{field}: {what}"));
    if server.server_uri.is_empty() {
        return Err(fail("server_uri", "is empty".into()));
    }
    let kinds = || server.channel_creds.iter().map(|c| c.kind.as_str()).collect::<Vec<_>>().join(", ");
    let credentials = server
        .channel_creds
        .iter()
        .find(|credentials| matches!(credentials.kind.as_str(), "insecure" | "tls"))
        .ok_or_else(|| fail("channel_creds", format!("none of [{}] is supported; insecure and tls are", kinds())))?;
    let place = server.server_uri.strip_prefix("dns:///").unwrap_or(&server.server_uri);
    let scheme = match (place.starts_with("unix:"), credentials.kind == "tls") {
        (true, _) => "",
        (false, true) => "https://",
        (false, false) => "http://",
    };
    draft.offer_text("server", format!("{scheme}{place}"), origin);
    if let Some(file) = credentials.text("ca_certificate_file") {
        draft.offer_text("ca_file", file, origin);
    }
    for call in server.call_creds.iter().filter(|call| call.kind == "jwt_token_file") {
        let file = call
            .text("jwt_token_file")
            .filter(|file| !file.is_empty())
            .ok_or_else(|| fail("call_creds", "jwt_token_file needs a path".into()))?;
        if credentials.kind == "tls" {
            draft.offer_text("token_file", file, origin);
        }
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
        draft.offer_text("profile", "envoy", origin);
    }
    draft.node = Some(node);
}
