// SPDX-License-Identifier: Apache-2.0
use std::fs;

use envoy_types::pb::envoy::config::core::v3::Node;
use prost::Message;

use super::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

fn origin_of<'a>(config: &'a Config, key: &str) -> &'a str {
    &config.origins.iter().find(|origin| origin.key == key).expect("in force").origin
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("proxyless-config-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).expect("a scratch folder");
    dir
}

fn node_of(config: &Config) -> Node {
    Node::decode(&config.node[..]).expect("encoded by us")
}

#[test]
fn the_first_source_wins_and_its_name_is_kept() {
    let mut sources = Sources {
        document: r#"{"namespace": "from-document"}"#.into(),
        properties: map(&[("proxyless.namespace", "x"), ("proxyless.server", "http://127.0.0.1:1"), ("user.dir", "/")]),
        environment: map(&[("PROXYLESS_SERVER", "http://127.0.0.1:2"), ("PROXYLESS_CLUSTER_DOMAIN", "mesh"), ("POD_NAME", "p-0")]),
        ..Default::default()
    };
    let config = Config::load(&sources).expect("valid");
    assert_eq!(config.servers[0].place, Place::Plaintext("127.0.0.1:1".into()));
    assert_eq!(origin_of(&config, "server"), "property proxyless.server");
    assert_eq!(origin_of(&config, "namespace"), "document namespace");
    assert_eq!(origin_of(&config, "cluster_domain"), "environment PROXYLESS_CLUSTER_DOMAIN");
    assert_eq!(origin_of(&config, "profile"), "default");
    assert_eq!(config.node_id, "sidecar~127.0.0.1~p-0.from-document~from-document.svc.mesh");
    sources.document.clear();
    assert_eq!(Config::load(&sources).expect("valid").naming.namespace, "x");
}

#[test]
fn an_unknown_key_is_an_error_in_our_document_and_a_warning_elsewhere() {
    let error = Config::load(&Sources { document: r#"{"servre": "x"}"#.into(), ..Default::default() }).expect_err("unknown key");
    assert_eq!(error.code(), Code::Config);
    assert!(error.to_string().contains("\"servre\""), "{error}");
    let config = Config::load(&Sources {
        properties: map(&[("proxyless.server", "http://h:1"), ("proxyless.sevrer", "x")]),
        environment: map(&[("PROXYLESS_TYPO", "x")]),
        ..Default::default()
    });
    assert_eq!(
        config.expect("valid").warnings,
        ["unknown property proxyless.sevrer", "unknown environment variable PROXYLESS_TYPO"]
    );
}

#[test]
fn bad_values_name_the_source_the_field_and_the_value() {
    for (key, value, what) in [
        ("server", "127.0.0.1:15010", "http://"),
        ("server", "http://nowhere", "host:port"),
        ("profile", "sidecar", "istio, envoy or grpc"),
        ("wildcard", "both", "auto, empty or star"),
        ("cert_file", "/c.pem", "key_file"),
        ("connect_timeout_ms", "soon", "number"),
        ("connect_timeout_ms", "0", "at least 1"),
        ("match_first_label", "yes", "true or false"),
        ("targets", "a", "name=value"),
        ("targets", "a=b:c", "port"),
        ("pod_ip", "here", "IP address"),
        ("node_metadata", "[]", "object"),
    ] {
        let mut document = serde_json::json!({"server": "http://h:1"});
        document[key] = value.into();
        let error = Config::load(&Sources { document: document.to_string(), ..Default::default() }).expect_err(value);
        let text = error.to_string();
        assert!(text.contains(key) && text.contains(value) && text.contains(what), "{text}");
    }
}

#[test]
fn without_any_server_the_error_says_how_to_name_one() {
    let root = scratch("no-server");
    let error = Config::load(&Sources { root, ..Default::default() }).expect_err("no server");
    assert!(error.to_string().contains("PROXYLESS_SERVER"), "{error}");
}

#[test]
fn a_bootstrap_file_gives_server_credentials_and_node() {
    let path = scratch("bootstrap").join("bootstrap.json");
    let text = r#"{
        "xds_servers": [{"server_uri": "dns:///istiod:15012", "channel_creds": [{"type": "google_default"},
            {"type": "tls", "config": {"ca_certificate_file": "/root.pem"}}],
            "call_creds": [{"type": "jwt_token_file", "config": {"jwt_token_file": "/token"}}], "server_features": ["xds_v3"]}],
        "node": {"id": "sidecar~10.0.0.9~p.ns~ns.svc.cluster.local", "metadata": {"GENERATOR": "grpc", "NAMESPACE": "ns"}, "locality": {}},
        "certificate_providers": {}
    }"#;
    fs::write(&path, text).expect("writable");
    let environment = map(&[("GRPC_XDS_BOOTSTRAP", &path.to_string_lossy()), ("GRPC_XDS_BOOTSTRAP_CONFIG", "ignored")]);
    let config = Config::load(&Sources { environment, ..Default::default() }).expect("valid");
    assert_eq!(config.servers[0].place, Place::Tls("istiod:15012".into()));
    assert_eq!(config.servers[0].ca_file, Some("/root.pem".into()));
    assert_eq!(config.servers[0].token_file, Some("/token".into()));
    assert_eq!((config.profile, config.naming.namespace.as_str()), (Profile::Istio, "ns"));
    let node = node_of(&config);
    assert_eq!(node.id, "sidecar~10.0.0.9~p.ns~ns.svc.cluster.local");
    assert!(!node.metadata.expect("some").fields.contains_key("GENERATOR"), "profile istio asks as a sidecar does");
}

#[test]
fn a_bad_bootstrap_names_its_field() {
    let load =
        |text: &str| Config::load(&Sources { environment: map(&[("GRPC_XDS_BOOTSTRAP_CONFIG", text)]), ..Default::default() });
    for (text, field) in [
        (r#"{"xds_servers": []}"#, "xds_servers"),
        (r#"{"xds_servers": [{"channel_creds": []}]}"#, "server_uri"),
        (r#"{"xds_servers": [{"server_uri": "h:1"}]}"#, "channel_creds"),
        (r#"{"xds_servers": [{"server_uri": 3}]}"#, "xds_servers[0].server_uri"),
        ("{", "GRPC_XDS_BOOTSTRAP_CONFIG"),
    ] {
        let error = load(text).expect_err(text).to_string();
        assert!(error.contains(field), "{error}");
    }
}

#[test]
fn a_pod_with_token_and_root_goes_to_istiod_directly_and_verified() {
    let root = scratch("pod");
    for (path, text) in [(pod_file("tokens/istio-token"), "t"), (pod_file("istio/root-cert.pem"), "r")] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("has one")).expect("a folder");
        fs::write(path, text).expect("writable");
    }
    let environment = map(&[("POD_NAMESPACE", "demo"), ("POD_NAME", "p"), ("INSTANCE_IP", "10.1.2.3")]);
    let config = Config::load(&Sources { environment, root: root.clone(), ..Default::default() }).expect("valid");
    assert_eq!(config.server_list(), "https://istiod.istio-system.svc:15012");
    assert_eq!(config.servers[0].ca_file, Some(root.join(pod_file("istio/root-cert.pem"))));
    assert_eq!(config.node_id, "sidecar~10.1.2.3~p.demo~demo.svc.cluster.local");
    let metadata = node_of(&config).metadata.expect("some").fields;
    for key in ["NAMESPACE", "CLUSTER_ID", "PROXY_CONFIG", "DISABLE_HBONE_SEND", "ISTIO_VERSION"] {
        assert!(metadata.contains_key(key), "{key}");
    }
}

fn pod_file(path: &str) -> String {
    format!("var/run/secrets/{path}")
}

#[test]
fn a_token_is_never_sent_in_plaintext() {
    let document = r#"{"server": "http://h:1", "token_file": "/t"}"#;
    assert!(Config::load(&Sources { document: document.into(), ..Default::default() }).is_err());
}
