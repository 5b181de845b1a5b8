// SPDX-License-Identifier: Apache-2.0
//! TLS is verified, always; a token goes over TLS only and is read anew for every stream; Unix sockets work.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use proxyless_control_plane::scripted::Script;
use proxyless_core::{
    Client,
    config::{Config, Sources},
};
use proxyless_tests::Authority;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn open(settings: &serde_json::Value) -> Arc<Client> {
    let document = settings.to_string();
    Arc::new(Client::open(Config::load(&Sources { document, ..Default::default() }).unwrap()).unwrap())
}

/// Why the client is not connected, once it has tried.
async fn refusal(client: &Arc<Client>) -> String {
    let client = Arc::clone(client);
    tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let status = client.describe().unwrap();
            if status["failures"].as_u64() > Some(0) {
                return status["last_error"].as_str().unwrap().to_owned();
            }
            assert!(Instant::now() < deadline, "{status:#}");
            std::thread::sleep(Duration::from_millis(5));
        }
    })
    .await
    .unwrap()
}

async fn nobody_comes(script: &mut Script) {
    assert!(tokio::time::timeout(Duration::from_millis(200), script.accept()).await.is_err(), "a stream was opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn c_056_a_verified_stream_carries_the_token_as_it_is_now() {
    let authority = Authority::new();
    let (certificate, key) = authority.server("localhost", 2099);
    let mut script = Script::start_tls(&certificate, &key).await.unwrap();
    let token = authority.file("token", "first\n");
    let _client = open(&serde_json::json!({
        "server": format!("https://localhost:{}", script.address().port()),
        "ca_file": authority.root_file(), "token_file": token, "cluster_id": "east",
    }));
    let mut stream = script.accept().await;
    assert_eq!(stream.header("authorization"), Some("Bearer first"));
    assert_eq!(stream.header("clusterid"), Some("east"));
    stream.request().await;
    fs::write(&token, "second").unwrap();
    stream.fail(tonic::Status::unavailable("rotate"));
    assert_eq!(script.accept().await.header("authorization"), Some("Bearer second"), "read anew for every stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_root_another_name_or_another_time_is_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (what, identity) in [
        ("BadSignature", stranger.server("localhost", 2099)),
        ("not valid for name", authority.server("istiod.elsewhere.svc", 2099)),
        ("expired", authority.server("localhost", 2021)),
    ] {
        let mut script = Script::start_tls(&identity.0, &identity.1).await.unwrap();
        let client = open(&serde_json::json!({
            "server": format!("https://localhost:{}", script.address().port()),
            "ca_file": authority.root_file(), "token_file": authority.file("token", "secret"),
        }));
        let why = refusal(&client).await;
        assert!(why.to_lowercase().contains(&what.to_lowercase()) && !why.contains("secret"), "{what}: {why}");
        nobody_comes(&mut script).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_to_check_can_be_said() {
    let authority = Authority::new();
    let (certificate, key) = authority.server("istiod.istio-system.svc", 2099);
    let mut script = Script::start_tls(&certificate, &key).await.unwrap();
    let _client = open(&serde_json::json!({
        "server": format!("https://{}", script.address()), "ca_file": authority.root_file(), "server_name": "istiod.istio-system.svc",
    }));
    script.accept().await;
}

/// What the client says about a server that it cannot speak to, and what to do.
async fn advice(settings: serde_json::Value) -> (String, String) {
    let client = open(&settings);
    let why = refusal(&client).await;
    let remedy = client.describe().unwrap()["remedy"].as_str().unwrap_or_default().to_owned();
    (why, remedy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_something_else_is_named_with_what_to_do() {
    let authority = Authority::new();
    let (certificate, key) = authority.server("localhost", 2099);
    let plain_script = Script::start().await.unwrap();
    let tls_script = Script::start_tls(&certificate, &key).await.unwrap();
    let old = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let old_port = old.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = old.accept().await.unwrap();
            let mut bytes = [0; 16];
            let _ = stream.read(&mut bytes).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let root = authority.root_file();
    let (plain, tls) = (plain_script.address().port(), tls_script.address().port());
    for (server, what, remedy) in [
        (format!("https://localhost:{plain}"), "speaks plaintext, and is asked over TLS", "is this a TLS port?"),
        (format!("http://localhost:{tls}"), "speaks TLS, and is asked in plaintext", "https://"),
        (format!("http://localhost:{old_port}"), "speaks HTTP/1", "no ADS server"),
        (format!("https://localhost:{old_port}"), "speaks HTTP/1", "no ADS server"),
    ] {
        let said = advice(serde_json::json!({"server": server, "ca_file": root})).await;
        assert!(said.0.contains(what) && said.1.contains(remedy), "{server}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_file_that_cannot_do_is_named_with_what_to_do() {
    let authority = Authority::new();
    // The server shows the root itself.
    let (certificate, key) = authority.self_signed("localhost");
    let script = Script::start_tls(&certificate, &key).await.unwrap();
    let server = format!("https://localhost:{}", script.address().port());
    let said = advice(serde_json::json!({"server": server, "ca_file": authority.file("leaf.pem", &certificate)})).await;
    assert!(said.0.contains("CaUsedAsEndEntity") && said.1.contains("leaf that a CA has signed"), "{said:?}");
    let file = authority.file("der.pem", "no PEM at all");
    let said = advice(serde_json::json!({"server": server, "ca_file": file})).await;
    assert!(said.0.contains("der.pem: it holds no PEM") && said.1.contains("-----BEGIN"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_fall_back_to_plaintext() {
    let authority = Authority::new();
    let mut script = Script::start().await.unwrap();
    let client = open(&serde_json::json!({
        "server": format!("https://localhost:{}", script.address().port()),
        "ca_file": authority.root_file(), "token_file": authority.file("token", "secret"),
    }));
    assert!(!refusal(&client).await.is_empty());
    nobody_comes(&mut script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_serves_and_gets_no_token() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("XDS");
    let mut script = Script::start_unix(&socket).await.unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "secret").unwrap();
    let _client = open(&serde_json::json!({"server": format!("unix://{}", socket.display()), "token_file": token}));
    let mut stream = script.accept().await;
    assert_eq!(stream.header("authorization"), None);
    assert!(!stream.request().await.resource_names_subscribe.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn c_057_roots_certificate_and_key_are_read_anew_for_every_connection() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.server("localhost", 2099);
    let mut script = Script::start_mutual_tls(&certificate, &key, &authority.root).await.unwrap();
    let ours = authority.client("us");
    let (cert_file, key_file) = (authority.file("client.pem", &ours.0), authority.file("client.key", &ours.1));
    let root = authority.file("rotating-root.pem", &authority.root);
    let client = open(&serde_json::json!({
        "server": format!("https://localhost:{}", script.address().port()),
        "ca_file": root, "cert_file": cert_file, "key_file": key_file,
    }));
    let mut stream = script.accept().await;
    stream.request().await;
    // A client certificate of somebody else is refused by the server, roots of somebody else refuse the server.
    let theirs = stranger.client("them");
    authority.file("client.pem", &theirs.0);
    authority.file("client.key", &theirs.1);
    stream.fail(tonic::Status::unavailable("rotate"));
    refusal(&client).await;
    nobody_comes(&mut script).await;
    authority.file("client.pem", &ours.0);
    authority.file("client.key", &ours.1);
    let mut stream = script.accept().await;
    stream.request().await;
    authority.file("rotating-root.pem", &stranger.root);
    stream.fail(tonic::Status::unavailable("rotate"));
    nobody_comes(&mut script).await;
    authority.file("rotating-root.pem", &authority.root);
    script.accept().await.request().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_certificate_that_a_server_demands_there_is_no_stream() {
    let authority = Authority::new();
    let (certificate, key) = authority.server("localhost", 2099);
    let mut script = Script::start_mutual_tls(&certificate, &key, &authority.root).await.unwrap();
    let client = open(&serde_json::json!({
        "server": format!("https://localhost:{}", script.address().port()), "ca_file": authority.root_file(),
    }));
    refusal(&client).await;
    nobody_comes(&mut script).await;
}
