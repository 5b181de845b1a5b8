// SPDX-License-Identifier: Apache-2.0
//! The node: who we say we are.

use std::{collections::HashMap, net::IpAddr};

use bytes::Bytes;
use envoy_types::pb::{
    envoy::config::core::v3::{BuildVersion, Locality, Node, node::UserAgentVersionType},
    envoy::r#type::v3::SemanticVersion,
    google::protobuf::{ListValue, Struct, Value as Proto, value::Kind},
};
use prost::Message;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_128;

use super::{Profile, value::Draft};
use crate::error::{Code, Error, Result};

/// The version of istiod that this client was last tested with; istiod gates features by it.
const ISTIO_VERSION: &str = "1.30.0";

/// The node id: a configured or prescribed one, else `sidecar~ip~pod.namespace~namespace.svc.domain`.
pub(super) fn id(draft: &Draft) -> Result<String> {
    if let Some(id) = draft.text("node_id")? {
        return Ok(id);
    }
    if let Some(id) = draft.node.as_ref().and_then(|node| node.get("id")).and_then(Value::as_str) {
        return Ok(id.to_owned());
    }
    let text = |key| draft.text(key).map(Option::unwrap_or_default);
    let (ip, namespace, domain) = (text("pod_ip")?, text("namespace")?, text("cluster_domain")?);
    if ip.parse::<IpAddr>().is_err() {
        return Err(Error::new(Code::Config, format!("pod_ip = {ip:?}: an IP address is expected")));
    }
    let pod = match text("pod_name")? {
        pod if pod.is_empty() => "proxyless".to_owned(),
        pod => pod,
    };
    Ok(format!("sidecar~{ip}~{pod}.{namespace}~{namespace}.svc.{domain}"))
}

/// The node as it goes into the first request of every stream, and as text that is equal for equal nodes (protobuf maps have no
/// order).
pub(super) fn encode(draft: &Draft) -> Result<(Bytes, String)> {
    let metadata = metadata(draft)?;
    let locality = locality(draft)?;
    let text = format!("{} {} {locality:?}", id(draft)?, Value::Object(metadata.clone()));
    let version = |part: &str| part.parse().unwrap_or_default();
    let mut parts = env!("CARGO_PKG_VERSION").split('.').map(version);
    let mut next = || parts.next().unwrap_or_default();
    let node = Node {
        id: id(draft)?,
        metadata: Some(structure(&metadata)),
        locality,
        user_agent_name: "proxyless".into(),
        user_agent_version_type: Some(UserAgentVersionType::UserAgentBuildVersion(BuildVersion {
            version: Some(SemanticVersion { major_number: next(), minor_number: next(), patch: next() }),
            metadata: None,
        })),
        client_features: vec![
            "envoy.lb.does_not_support_overprovisioning".into(),
            "xds.config.resource-in-sotw".into(),
            "xds.config.supports-resource-ttl".into(),
        ],
        ..Default::default()
    };
    Ok((node.encode_to_vec().into(), text))
}

/// What all pods of a workload have in common, and others have not.
pub(super) fn workload(draft: &Draft) -> Result<String> {
    let metadata = metadata(draft)?;
    let of = |key: &str| metadata.get(key).cloned().unwrap_or_default();
    let labels = xxh3_128(of("LABELS").to_string().as_bytes());
    let profile = draft.text("profile")?.unwrap_or_default();
    let namespace = draft.text("namespace")?.unwrap_or_default();
    let (account, cluster, locality) = (of("SERVICE_ACCOUNT"), of("CLUSTER_ID"), locality(draft)?);
    Ok(format!("{profile} {namespace} {account} {cluster} {locality:?} {labels:032x}"))
}

fn metadata(draft: &Draft) -> Result<Map<String, Value>> {
    let mut metadata = Map::new();
    if let Some(prescribed) = draft.node.as_ref().and_then(|node| node.get("metadata")).and_then(Value::as_object) {
        metadata.extend(prescribed.clone());
        if draft.is(Profile::Istio)? {
            // With GENERATOR istiod answers as if to a gRPC client, by name and without subsets unasked.
            metadata.remove("GENERATOR");
        }
    } else if draft.is_for_istiod()? {
        let labels: Map<String, Value> = draft.map("labels")?.into_iter().map(|(k, v)| (k, Value::String(v))).collect();
        metadata.insert("NAMESPACE".into(), json!(draft.text("namespace")?.unwrap_or_default()));
        metadata.insert("CLUSTER_ID".into(), json!(draft.text("cluster_id")?.unwrap_or_default()));
        metadata.insert("ISTIO_VERSION".into(), json!(ISTIO_VERSION));
        metadata.insert("LABELS".into(), Value::Object(labels));
        metadata.insert("INSTANCE_IPS".into(), json!(draft.text("pod_ip")?.unwrap_or_default()));
        if let Some(account) = draft.text("service_account")? {
            metadata.insert("SERVICE_ACCOUNT".into(), json!(account));
        }
        if let Some(node) = draft.text("node_name")? {
            metadata.insert("NODE_NAME".into(), json!(node));
        }
    }
    if draft.is(Profile::Grpc)? && draft.node.is_none() {
        metadata.insert("GENERATOR".into(), json!("grpc"));
    }
    if draft.is(Profile::Istio)? {
        // An empty PROXY_CONFIG makes `istioctl proxy-status` list us; HBONE endpoints could not be dialled.
        metadata.entry("PROXY_CONFIG").or_insert_with(|| json!({}));
        metadata.insert("DISABLE_HBONE_SEND".into(), json!("true"));
    }
    metadata.extend(draft.object("node_metadata")?);
    Ok(metadata)
}

fn locality(draft: &Draft) -> Result<Option<Locality>> {
    if let Some(text) = draft.text("locality")? {
        if text.split('/').count() > 3 {
            return Err(draft.error("locality", "region/zone/sub_zone is expected"));
        }
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        return Ok(Some(Locality { region: next(), zone: next(), sub_zone: next() }));
    }
    let prescribed = draft.node.as_ref().and_then(|node| node.get("locality"));
    Ok(prescribed.map(|locality| {
        let text = |key: &str| locality.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Locality { region: text("region"), zone: text("zone"), sub_zone: text("sub_zone") }
    }))
}

fn structure(object: &Map<String, Value>) -> Struct {
    Struct { fields: object.iter().map(|(key, value)| (key.clone(), proto(value))).collect::<HashMap<_, _>>() }
}

fn proto(value: &Value) -> Proto {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(proto).collect() }),
        Value::Object(object) => Kind::StructValue(structure(object)),
    };
    Proto { kind: Some(kind) }
}
