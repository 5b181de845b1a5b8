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
fn a_document_is_an_object_without_a_key_twice() {
    for (document, named) in [
        (r#"{"server": "http://a:1", "namespace": "n", "server": "http://b:1"}"#, "key \"server\" is there twice"),
        ("[]", "expected a JSON object"),
        ("7", "expected a JSON object"),
    ] {
        let error = Config::load(&Sources { document: document.into(), ..Default::default() }).expect_err(document);
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn an_unknown_key_is_an_error_in_our_document_and_a_warning_elsewhere() {
    let error = Config::load(&Sources { document: r#"{"servre": "x"}"#.into(), ..Default::default() }).expect_err("unknown key");
    assert_eq!(error.code(), Code::Config);
    assert!(error.to_string().contains("\"servre\"; did you mean server?"), "{error}");
    let unknown = |key: &str| {
        let document = serde_json::json!({ key: "x" }).to_string();
        Config::load(&Sources { document, ..Default::default() }).expect_err("unknown key").to_string()
    };
    assert!(unknown("keep_alive").ends_with("did you mean keepalive_ms?"), "{}", unknown("keep_alive"));
    assert!(unknown("namespaces").ends_with("did you mean namespace?"), "{}", unknown("namespaces"));
    assert!(unknown("colour").ends_with("`proxyless config` lists those that there are"), "{}", unknown("colour"));
    let config = Config::load(&Sources {
        properties: map(&[("proxyless.server", "http://h:1"), ("proxyless.sevrer", "x")]),
        environment: map(&[("PROXYLESS_NAMESAPCE", "x")]),
        ..Default::default()
    });
    assert_eq!(
        config.expect("valid").warnings,
        [
            "unknown property proxyless.sevrer; did you mean proxyless.server?",
            "unknown environment variable PROXYLESS_NAMESAPCE; did you mean PROXYLESS_NAMESPACE?"
        ]
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
        ("server_features", "ignore_deletions", "ignore_resource_deletion"),
        ("connect_timeout_ms", "soon", "number"),
        ("connect_timeout_ms", "0", "at least 1"),
        ("match_first_label", "yes", "true or false"),
        ("targets", "a", "name=value"),
        ("targets", "a=b:c", "port"),
        ("pod_ip", "here", "IP address"),
        ("node_metadata", "[]", "object"),
        ("node_metadata", "{", "object"),
        ("locality", "a/b/c/d/e", "region/zone/sub_zone"),
    ] {
        let mut document = serde_json::json!({"server": "http://h:1"});
        document[key] = value.into();
        let error = Config::load(&Sources { document: document.to_string(), ..Default::default() }).expect_err(value);
        let text = error.to_string();
        assert!(text.contains(key) && text.contains(value) && text.contains(what), "{text}");
    }
}

#[test]
fn the_node_that_a_pod_runs_on_is_in_its_metadata() {
    let text_of = |environment: &[(&str, &str)]| {
        let environment = map(environment).into_iter().chain(map(&[("PROXYLESS_SERVER", "http://h:1")])).collect();
        let config = Config::load(&Sources { environment, ..Default::default() }).expect("valid");
        let metadata = node_of(&config).metadata.expect("for istiod");
        metadata.fields.get("NODE_NAME").map(|value| format!("{:?}", value.kind))
    };
    assert_eq!(text_of(&[("NODE_NAME", "n1")]), Some("Some(StringValue(\"n1\"))".into()));
    assert_eq!(text_of(&[("ISTIO_META_NODE_NAME", "n2")]), Some("Some(StringValue(\"n2\"))".into()));
    assert_eq!(text_of(&[]), None);
}

#[test]
fn node_metadata_may_be_an_object_or_its_text() {
    let load = |metadata: serde_json::Value| {
        let document = serde_json::json!({"server": "http://h:1", "node_metadata": metadata}).to_string();
        let config = Config::load(&Sources { document, ..Default::default() }).expect("valid");
        node_of(&config).metadata.expect("for istiod").fields.contains_key("X")
    };
    assert!(load(serde_json::json!({"X": "1"})));
    assert!(load(serde_json::json!(r#"{"X": "1"}"#)));
}

#[test]
fn a_cache_folder_that_nothing_can_be_written_to_is_warned_about() {
    let root = scratch("cache-folder");
    let file = root.join("file");
    fs::write(&file, "").expect("writable");
    let warnings = |folder: &std::path::Path| {
        let document = serde_json::json!({"server": "http://h:1", "cache_dir": folder.to_string_lossy()}).to_string();
        Config::load(&Sources { document, ..Default::default() }).expect("valid").warnings
    };
    assert!(warnings(&root.join("not/there/yet")).is_empty());
    let said = warnings(&file.join("below"));
    assert!(said.len() == 1 && said[0].contains("is no folder; nothing will be kept"), "{said:?}");
    let said = warnings("/proc/nope".as_ref());
    assert!(said.len() == 1 && said[0].contains("/proc cannot be written to"), "{said:?}");
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

#[test]
fn token_and_root_of_a_pod_serve_an_istiod_of_another_name_too() {
    let root = scratch("pod-other");
    for (path, text) in [(pod_file("tokens/istio-token"), "t"), (pod_file("istio/root-cert.pem"), "r")] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("has one")).expect("a folder");
        fs::write(path, text).expect("writable");
    }
    let load = |pairs: &[(&str, &str)]| {
        Config::load(&Sources { environment: map(pairs), root: root.clone(), ..Default::default() })
            .expect("valid")
            .servers
            .remove(0)
    };
    let server = load(&[("PROXYLESS_SERVER", "https://istiod.mesh:15012")]);
    assert_eq!(server.place.to_string(), "https://istiod.mesh:15012");
    assert!(server.token_file.is_some() && server.ca_file.is_some());
    let own_root = load(&[("PROXYLESS_SERVER", "https://elsewhere:1"), ("PROXYLESS_CA_FILE", "/own.pem")]);
    assert_eq!(
        (own_root.ca_file, own_root.token_file),
        (Some("/own.pem".into()), None),
        "a server with roots of its own gets no token of the mesh"
    );
}

fn pod_file(path: &str) -> String {
    format!("var/run/secrets/{path}")
}

#[test]
fn a_token_is_never_sent_in_plaintext() {
    let document = r#"{"server": "http://h:1", "token_file": "/t"}"#;
    assert!(Config::load(&Sources { document: document.into(), ..Default::default() }).is_err());
}

mod bootstrap {
    use super::*;

    fn load(text: &str) -> Result<Config> {
        Config::load(&Sources { environment: map(&[("GRPC_XDS_BOOTSTRAP_CONFIG", text)]), ..Default::default() })
    }

    /// A bootstrap with this server entry.
    fn with_server(server: &str) -> Result<Config> {
        load(&format!(r#"{{"xds_servers": [{server}], "node": {{"id": "n"}}}}"#))
    }

    fn error(text: &str) -> String {
        load(text).expect_err(text).to_string()
    }

    const INSECURE: &str = r#""channel_creds": [{"type": "insecure"}]"#;

    #[test]
    fn c_053_the_path_wins_and_what_cannot_be_read_is_an_error_that_says_so() {
        let path = scratch("c053").join("b.json");
        fs::write(&path, format!(r#"{{"xds_servers": [{{"server_uri": "file:1", {INSECURE}}}]}}"#)).expect("writable");
        let inline = format!(r#"{{"xds_servers": [{{"server_uri": "inline:1", {INSECURE}}}]}}"#);
        let both = map(&[("GRPC_XDS_BOOTSTRAP", &path.to_string_lossy()), ("GRPC_XDS_BOOTSTRAP_CONFIG", &inline)]);
        let load = |environment| Config::load(&Sources { environment, root: scratch("c053-none"), ..Default::default() });
        assert_eq!(load(both.clone()).expect("valid").server_list(), "http://file:1");
        assert_eq!(load(map(&[("GRPC_XDS_BOOTSTRAP_CONFIG", &inline)])).expect("valid").server_list(), "http://inline:1");
        let mut explicit = both;
        explicit.insert("PROXYLESS_SERVER".into(), "http://said:1".into());
        assert_eq!(load(explicit).expect("valid").server_list(), "http://said:1", "what is said outright wins over both");
        let missing = load(map(&[("GRPC_XDS_BOOTSTRAP", "/nowhere/b.json"), ("GRPC_XDS_BOOTSTRAP_CONFIG", &inline)]));
        let text = missing.expect_err("no silent second choice").to_string();
        assert!(text.contains("GRPC_XDS_BOOTSTRAP") && text.contains("/nowhere/b.json"), "{text}");
        assert!(load(map(&[])).expect_err("neither").to_string().contains("GRPC_XDS_BOOTSTRAP"));
        assert!(error("{").contains("GRPC_XDS_BOOTSTRAP_CONFIG"));
    }

    #[test]
    fn c_054_servers_need_an_address_and_supported_credentials_and_the_unknown_is_ignored() {
        for (text, field) in [
            (r#"{"xds_servers": []}"#, "xds_servers: at least one"),
            (r#"{}"#, "xds_servers"),
            (r#"{"xds_servers": [{"server_uri": "", "channel_creds": [{"type": "insecure"}]}]}"#, "xds_servers[0].server_uri"),
            (r#"{"xds_servers": [{"channel_creds": [{"type": "insecure"}]}]}"#, "server_uri"),
            (r#"{"xds_servers": [{"server_uri": "h:1"}]}"#, "xds_servers[0].channel_creds"),
            (r#"{"xds_servers": [{"server_uri": "h:1", "channel_creds": [{"type": "alts"}]}]}"#, "none of [alts]"),
            (
                r#"{"xds_servers": [{"server_uri": "no port", "channel_creds": [{"type": "insecure"}]}]}"#,
                "xds_servers[0].server_uri",
            ),
            (r#"{"xds_servers": [], "certificate_providers": 3}"#, "certificate_providers"),
            (r#"{"xds_servers": [], "server_listener_resource_name_template": 3}"#, "server_listener_resource_name_template"),
        ] {
            assert!(error(text).contains(field), "{text}: {}", error(text));
        }
        let config = load(
            r#"{"xds_servers": [{"server_uri": "dns:///h:1", "channel_creds": [{"type": "google_default"}, {"type": "insecure"}, {"type": "tls"}],
                 "server_features": ["xds_v3", "from_the_future", 7, "ignore_resource_deletion", "resource_timer_is_transient_error"], "new": 1}],
                "node": {"id": "any", "user_agent_name": "ignored"}, "new": {"a": []}, "allowed_grpc_services": {}}"#,
        )
        .expect("valid");
        assert_eq!(config.servers[0].place, Place::Plaintext("h:1".into()), "the first supported one");
        let policy = config.servers[0].policy;
        assert!(policy.ignore_resource_deletion && policy.resource_timer_is_transient_error && !policy.fail_on_data_errors);
        assert_eq!((config.profile, config.node_id.as_str()), (Profile::Grpc, "any"));
        assert_eq!(node_of(&config).user_agent_name, "proxyless");
        let unix = with_server(&format!(r#"{{"server_uri": "unix:///etc/istio/XDS", {INSECURE}}}"#)).expect("valid");
        assert_eq!(unix.servers[0].place, Place::Unix("/etc/istio/XDS".into()));
    }

    #[test]
    fn servers_are_tried_in_order_and_equal_ones_are_one() {
        let a = format!(r#"{{"server_uri": "a:1", {INSECURE}}}"#);
        let b = format!(r#"{{"server_uri": "b:1", {INSECURE}}}"#);
        let config =
            load(&format!(r#"{{"xds_servers": [{a}, {b}], "authorities": {{"x": {{"xds_servers": [{b}]}}}}}}"#)).expect("valid");
        assert_eq!(config.server_list(), "http://a:1,http://b:1");
        assert_eq!((config.servers.len(), config.directory.authorities["x"].servers.clone()), (2, vec![1]));
        let document = r#"{"server": "http://a:1, https://b:2,unix:///c"}"#;
        let config = Config::load(&Sources { document: document.into(), ..Default::default() }).expect("valid");
        assert_eq!(config.server_list(), "http://a:1,https://b:2,unix:///c");
    }

    #[test]
    fn c_055_authorities_have_servers_and_templates_of_their_own_or_those_of_the_top() {
        let top = format!(r#""xds_servers": [{{"server_uri": "top:1", {INSECURE}}}]"#);
        let config = load(&format!(
            r#"{{{top}, "client_default_listener_resource_name_template": "xdstp://a/envoy.config.listener.v3.Listener/%s",
                "authorities": {{"a": {{}}, "b": {{"xds_servers": [{{"server_uri": "b:1", {INSECURE}}}],
                "client_listener_resource_name_template": "xdstp://b/envoy.config.listener.v3.Listener/x/%s"}}}}}}"#
        ))
        .expect("valid");
        let directory = &config.directory;
        assert_eq!(directory.listener_template, "xdstp://a/envoy.config.listener.v3.Listener/%s");
        assert_eq!(directory.authorities["a"].servers, directory.default);
        assert_eq!(directory.authorities["a"].listener_template, "xdstp://a/envoy.config.listener.v3.Listener/%s");
        assert_eq!(config.servers[directory.authorities["b"].servers[0]].place.to_string(), "http://b:1");
        assert_eq!(directory.authorities["b"].listener_template, "xdstp://b/envoy.config.listener.v3.Listener/x/%s");
        for (entry, field) in [
            (r#"{"client_listener_resource_name_template": "%s"}"#, "does not start with xdstp://a/"),
            (r#"{"client_listener_resource_name_template": "xdstp://b/%s"}"#, "does not start with xdstp://a/"),
            (r#"{"xds_servers": [{"server_uri": "h:1"}]}"#, "authorities.a.xds_servers[0].channel_creds"),
            (r#"{"xds_servers": 3}"#, "authorities.a.xds_servers"),
        ] {
            let text = error(&format!(r#"{{{top}, "authorities": {{"a": {entry}}}}}"#));
            assert!(text.contains(field), "{entry}: {text}");
        }
    }

    #[test]
    fn c_056_call_credentials_are_applied_ignored_or_refused_and_never_go_over_plaintext() {
        let server = |channel: &str, calls: &str| {
            with_server(&format!(r#"{{"server_uri": "h:1", "channel_creds": [{{"type": "{channel}"}}], "call_creds": [{calls}]}}"#))
        };
        let jwt = |path: &str| format!(r#"{{"type": "jwt_token_file", "config": {{"jwt_token_file": "{path}"}}}}"#);
        let token = |config: Result<Config>| config.expect("valid").servers[0].token_file.clone();
        assert_eq!(token(server("tls", &jwt("/t"))), Some("/t".into()));
        assert_eq!(token(server("tls", &format!("{}, {}", jwt("/t"), r#"{"type": "from_the_future"}"#))), Some("/t".into()));
        assert_eq!(token(server("tls", r#"{"type": "from_the_future"}"#)), None);
        assert_eq!(token(server("insecure", &jwt("/t"))), None);
        for bad in [
            jwt(""),
            r#"{"type": "jwt_token_file"}"#.into(),
            r#"{"type": "jwt_token_file", "config": {"jwt_token_file": 3}}"#.into(),
        ] {
            let text = server("tls", &bad).expect_err(&bad).to_string();
            assert!(text.contains("xds_servers[0].call_creds") && text.contains("jwt_token_file"), "{text}");
        }
    }

    #[test]
    fn c_057_tls_credentials_are_files_and_certificate_and_key_come_together() {
        let tls = |config: &str| {
            with_server(&format!(r#"{{"server_uri": "h:1", "channel_creds": [{{"type": "tls", "config": {{{config}}}}}]}}"#))
        };
        let config =
            tls(r#""ca_certificate_file": "/ca", "certificate_file": "/c", "private_key_file": "/k", "refresh_interval": "600s""#);
        let server = config.expect("valid").servers.remove(0);
        assert_eq!((server.ca_file, server.identity), (Some("/ca".into()), Some(("/c".into(), "/k".into()))));
        let empty = tls("").expect("the system's roots").servers.remove(0);
        assert_eq!((empty.ca_file, empty.identity), (None, None));
        for (bad, what) in [
            (r#""certificate_file": "/c""#, "private_key_file"),
            (r#""private_key_file": "/k""#, "certificate_file"),
            (r#""ca_certificate_file": 3"#, "ca_certificate_file"),
            (r#""refresh_interval": "soon""#, "refresh_interval"),
            (r#""refresh_interval": "-1s""#, "refresh_interval"),
        ] {
            let text = tls(bad).expect_err(bad).to_string();
            assert!(text.contains("xds_servers[0].channel_creds") && text.contains(what), "{text}");
        }
    }

    #[test]
    fn the_cache_belongs_to_a_workload_and_not_to_a_pod() {
        let identity = |pairs: &[(&str, &str)]| {
            let mut environment = map(&[("PROXYLESS_SERVER", "http://h:1"), ("POD_NAMESPACE", "demo"), ("SERVICE_ACCOUNT", "a")]);
            environment.extend(map(pairs));
            Config::load(&Sources { environment, root: scratch("identity"), ..Default::default() }).expect("valid").cache_identity
        };
        let base = identity(&[]);
        assert_eq!(identity(&[("POD_NAME", "other-7"), ("INSTANCE_IP", "10.9.9.9")]), base);
        for other in [
            ("PROXYLESS_SERVER", "http://other:1"),
            ("POD_NAMESPACE", "prod"),
            ("SERVICE_ACCOUNT", "b"),
            ("PROXYLESS_CLUSTER_ID", "west"),
            ("PROXYLESS_LOCALITY", "r/z/s"),
            ("PROXYLESS_LABELS", "app=x"),
            ("PROXYLESS_PROFILE", "grpc"),
        ] {
            assert_ne!(identity(&[other]), base, "{other:?}");
        }
    }
}

#[test]
fn a_password_in_a_servers_address_is_refused_and_never_shown() {
    let bootstrap = r#"{"xds_servers": [{"server_uri": "user:hunter2@h:1", "channel_creds": [{"type": "insecure"}]}]}"#;
    for environment in [
        map(&[("PROXYLESS_SERVER", "https://user:hunter2@h:1")]),
        map(&[("PROXYLESS_SERVER", "http://a:1,http://user:hunter2@h:1")]),
        map(&[("GRPC_XDS_BOOTSTRAP_CONFIG", bootstrap)]),
    ] {
        let error = Config::load(&Sources { environment, ..Default::default() }).expect_err("a password").to_string();
        assert!(error.contains("are not supported") && error.contains("h:1") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn pauses_between_attempts_can_be_set_and_stay_below_ten_seconds_else() {
    let load = |document: &str| Config::load(&Sources { document: document.into(), ..Default::default() });
    let longest = load(r#"{"server": "http://h:1"}"#).expect("valid").backoff.delay(u32::MAX, 1.0);
    assert!(longest < Duration::from_secs(10), "{longest:?}");
    let set = load(r#"{"server": "http://h:1", "backoff_ms": 100, "backoff_max_ms": 200}"#).expect("valid").backoff;
    assert_eq!((set.delay(1, 0.5), set.delay(9, 0.5)), (Duration::from_millis(100), Duration::from_millis(200)));
    for bad in [r#""backoff_ms": 9000"#, r#""backoff_max_ms": 0"#, r#""resource_timeout_ms": 18446744073709551615"#] {
        let error = load(&format!(r#"{{"server": "http://h:1", {bad}}}"#)).expect_err(bad).to_string();
        assert!(error.contains("is expected") && error.contains(bad[1..].split('"').next().expect("a key")), "{error}");
    }
}

#[test]
fn the_documentation_has_a_row_for_every_setting() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = fs::read_to_string(&path).expect("docs/configuration.md");
    let row = |s: &Setting| {
        let default = if s.default.is_empty() { String::new() } else { format!("`{}`", s.default) };
        format!("| `{}` | `{}` | `{}` | {default} | {} |\n", s.key, s.property(), s.variable(), s.help)
    };
    let rows: String = SETTINGS.iter().map(row).collect();
    let (head, old) = text.split_once("|---|---|---|---|---|\n").expect("a table");
    let (old, tail) = old.split_once("\n\n").expect("something after the table");
    if std::env::var_os("PROXYLESS_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{head}|---|---|---|---|---|\n{rows}\n{tail}")).expect("writable");
    } else {
        assert_eq!(format!("{old}\n"), rows, "run the tests with PROXYLESS_WRITE_DOCS=1");
    }
}
