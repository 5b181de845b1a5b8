// SPDX-License-Identifier: Apache-2.0
//! Who we are to istiod: tokens, roots, workload certificates, and what the doctor says of them.

use std::time::{Duration, Instant};

use proxyless_core::{
    Client,
    config::{Config, Sources},
};
use proxyless_tests::{Istiod, PATIENCE, open};
use serde_json::{Value, json};

use crate::{echo, until};

#[test]
fn a_pod_finds_istiod_with_its_token_and_root_and_the_common_failures_are_told_apart() {
    let istiod = Istiod::start();
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    let settings = |token: std::path::PathBuf| json!({"server": istiod.secure(), "namespace": "demo", "pod_ip": "127.0.0.9", "ca_file": istiod.root_file(), "token_file": token});
    until(&open(&settings(istiod.token_file("demo", "echo"))), "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    let refused = |settings: Value, reason: &str, remedy: &str| {
        let client = open(&settings);
        // Where people look: in the client's description, in what a target says, and in the events that bridges log.
        let entry = proxyless_tests::until(&client, "echo:8080", "told why", |entry| !entry.detail.is_empty());
        let status = client.describe().unwrap();
        let events = status["events"].to_string();
        for text in [&*entry.detail, &format!("{} {}", status["last_error"], status["remedy"]), &events] {
            assert!(text.contains(reason) && text.contains(remedy), "{reason}, {remedy}: {text}");
        }
        assert!(!status.to_string().contains("test:elsewhere"), "the token is not shown");
    };
    refused(settings(istiod.token_file("elsewhere", "echo")), "PermissionDenied", "namespace or service account is not the one");
    let bad = istiod.token_file("demo", "bad");
    std::fs::write(&bad, "of another audience").unwrap();
    refused(settings(bad), "Unauthenticated", "audience (istio-ca)");
    refused(settings("/nowhere/token".into()), "token_file /nowhere/token", "mount a projected token");
    let mut other_root = settings(istiod.token_file("demo", "echo"));
    other_root["ca_file"] = Value::Null;
    refused(other_root, "UnknownIssuer", "istio-ca-root-cert");
    let mut other_name = settings(istiod.token_file("demo", "echo"));
    other_name["server_name"] = "istiod.elsewhere.svc".into();
    refused(other_name, "not valid for name", "set server_name");
}

#[test]
fn in_a_pod_nothing_needs_to_be_configured_but_the_name_of_this_istiod() {
    let istiod = Istiod::start();
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    let root = tempfile::TempDir::new().unwrap();
    let put = |path: &str, from: std::path::PathBuf| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(from, path).unwrap();
    };
    put("var/run/secrets/tokens/istio-token", istiod.token_file("demo", "echo"));
    put("var/run/secrets/istio/root-cert.pem", istiod.root_file());
    let variable = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    // What the downward API and Istio's injection put into a pod; the rest is found.
    let secure = istiod.secure();
    let environment = [
        ("POD_NAME", "echo-1"),
        ("POD_NAMESPACE", "demo"),
        ("INSTANCE_IP", "127.0.0.31"),
        ("SERVICE_ACCOUNT", "echo"),
        ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
        ("PROXYLESS_SERVER", secure.as_str()),
    ];
    let environment = environment.into_iter().map(variable).collect();
    let config = Config::load(&Sources { environment, root: root.path().into(), ..Default::default() }).unwrap();
    assert_eq!(config.node_id, "sidecar~127.0.0.31~echo-1.demo~demo.svc.cluster.local");
    let client = Client::open(config).unwrap();
    until(&client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    // A token that was rotated is used with the next connection.
    let rotated = root.path().join("var/run/secrets/tokens/istio-token");
    std::fs::write(&rotated, "test:elsewhere:echo").unwrap();
    istiod.debug("/debug/force_disconnect?proxyID=echo-1.demo");
    let deadline = Instant::now() + PATIENCE;
    while !client.describe().unwrap()["last_error"].as_str().unwrap().contains("PermissionDenied") {
        assert!(Instant::now() < deadline, "{:#}", client.describe().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    std::fs::write(&rotated, "test:demo:echo").unwrap();
    while client.stale_for().is_some() {
        assert!(Instant::now() < deadline, "{:#}", client.describe().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    until(&client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
}

#[test]
fn a_workload_certificate_is_obtained_shown_renewed_and_connected_with() {
    let istiod = Istiod::start();
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    let token = istiod.token_file("demo", "echo");
    let settings = json!({
        "server": istiod.secure(), "namespace": "demo", "service_account": "echo", "pod_ip": "127.0.0.9", "ca_file": istiod.root_file(),
        "token_file": token, "certificate_life_s": "3600",
    });
    let folder = tempfile::TempDir::new().unwrap();
    let mut command = std::process::Command::new(proxyless_tests::target("proxyless"));
    command.args(["cert", "--json", "--write"]).arg(folder.path());
    for (key, value) in settings.as_object().unwrap() {
        command.arg("--set").arg(format!("{key}={}", value.as_str().unwrap()));
    }
    let output = command.output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(shown["identity"], "spiffe://cluster.local/ns/demo/sa/echo");
    let (left, renewal) = (shown["expires_in_s"].as_u64().unwrap(), shown["renew_in_s"].as_u64().unwrap());
    assert!((3500..=3600).contains(&left) && (1700..=1800).contains(&renewal), "{shown:#}");
    for file in ["cert-chain.pem", "key.pem", "root-cert.pem"] {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join(file);
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("-----BEGIN"), "{file}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    // A client renews its own again and again; once it has one, the token may go.
    let mut short = settings;
    short["certificate_life_s"] = "4".into();
    short["workload_certificate"] = true.into();
    let client = open(&short);
    until(&client, "echo:8080", "ready 127.0.0.31:8080 127.0.0.32:8080");
    let deadline = Instant::now() + PATIENCE;
    let events = |text: &str| {
        let events = client.describe().unwrap()["events"].as_array().unwrap().clone();
        events.iter().filter(|event| event.as_str().unwrap().contains(text)).count()
    };
    let wait_for = |what: &str, holds: &dyn Fn() -> bool| {
        while !holds() {
            assert!(Instant::now() < deadline, "{what}: {:#}", client.describe().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait_for("a certificate", &|| {
        client.describe().unwrap()["certificate"]["identity"] == "spiffe://cluster.local/ns/demo/sa/echo"
    });
    std::fs::remove_file(&token).unwrap();
    let renewals = events("certificate of spiffe://");
    wait_for("two renewals without a token", &|| events("certificate of spiffe://") >= renewals + 2);
    istiod.debug("/debug/force_disconnect?proxyID=proxyless.demo");
    wait_for("a stream without a token", &|| {
        client.describe().unwrap()["servers"][0]["streams"].as_u64() >= Some(2) && client.stale_for().is_none()
    });
    assert_eq!(events("no certificate"), 0);
    drop(istiod);
    wait_for("renewal fails, and what is held stays", &|| events("the one in use stays") > 0);
}

/// Output and exit code of `proxyless doctor` with these settings.
fn doctor(settings: &Value, targets: &[&str]) -> (Vec<Value>, i32) {
    let mut command = std::process::Command::new(proxyless_tests::target("proxyless"));
    command.arg("doctor").arg("--json").args(targets);
    for (key, value) in settings.as_object().unwrap() {
        command.arg("--set").arg(format!("{key}={}", value.as_str().unwrap()));
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")), output.status.code().unwrap())
}

#[test]
fn the_doctor_names_the_first_step_that_is_wrong_and_what_to_do() {
    let istiod = Istiod::start();
    istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}");
    istiod.apply(&echo());
    let good = json!({
        "server": istiod.secure(), "namespace": "demo", "pod_ip": "127.0.0.9",
        "ca_file": istiod.root_file(), "token_file": istiod.token_file("demo", "echo"),
    });
    let (steps, code) = doctor(&good, &["echo:8080"]);
    let verdicts: Vec<(&str, &str)> =
        steps.iter().map(|step| (step["step"].as_str().unwrap(), step["verdict"].as_str().unwrap())).collect();
    let expected = ["settings", "node", "resolve", "connect", "tls", "token", "stream", "endpoints"];
    assert_eq!(verdicts.iter().map(|(step, _)| *step).collect::<Vec<_>>(), expected);
    assert!(code == 0 && verdicts.iter().all(|(_, verdict)| *verdict != "wrong"), "{steps:#?}");
    assert!(steps.last().unwrap()["found"].as_str().unwrap().contains("2 endpoints"), "{steps:#?}");

    let claims = |claims: &str| {
        use base64::Engine;
        let path = istiod.token_file("demo", &format!("jwt-{}", claims.len()));
        std::fs::write(&path, format!("e30.{}.x", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))).unwrap();
        path.to_string_lossy().into_owned()
    };
    let elsewhere = istiod.token_file("elsewhere", "echo").to_string_lossy().into_owned();
    let later = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 3600;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (key, value, step, remedy) in [
        ("server", "https://nobody.invalid:15012".to_owned(), "resolve", "DNS"),
        ("server", format!("https://localhost:{free}"), "connect", "is the control plane running"),
        ("server", istiod.plaintext().replace("http://", "https://"), "tls", "is this a TLS port?"),
        ("ca_file", "/nowhere/root.pem".into(), "tls", "mount the file"),
        ("server_name", "istiod.elsewhere.svc".into(), "tls", "server_name"),
        ("token_file", "/nowhere/token".into(), "token", "projected token"),
        (
            "token_file",
            claims(r#"{"aud": ["https://kubernetes.default.svc"], "sub": "system:serviceaccount:demo:echo"}"#),
            "token",
            "audience istio-ca",
        ),
        ("token_file", claims(r#"{"aud": ["istio-ca"], "exp": 1}"#), "token", "renews"),
        (
            "token_file",
            claims(&format!(r#"{{"aud": ["istio-ca"], "sub": "system:serviceaccount:other:echo", "exp": {later}}}"#)),
            "token",
            "another namespace",
        ),
        ("token_file", elsewhere, "stream", "namespace or service account"),
        ("node_id", "nobody".into(), "node", "sidecar~ip~pod"),
    ] {
        let mut bad = good.clone();
        bad[key] = value.clone().into();
        let (steps, code) = doctor(&bad, &[]);
        let wrong = steps.iter().find(|step| step["verdict"] == "wrong").unwrap_or_else(|| panic!("{key}={value}: {steps:#?}"));
        assert_eq!((code, wrong["step"].as_str().unwrap()), (1, step), "{key}={value}: {steps:#?}");
        let text = wrong["remedy"].as_str().unwrap();
        assert!(text.contains(remedy), "{key}={value}: {text}");
        assert!(!steps.iter().any(|step| step.to_string().contains("test:elsewhere")), "the token is not shown");
    }
    let (steps, code) = doctor(&good, &["nobody.demo:80"]);
    assert_eq!((code, steps.last().unwrap()["verdict"].as_str()), (1, Some("wrong")));
}
