// SPDX-License-Identifier: Apache-2.0
//! Through the socket of a real istio-agent, in front of the real istiod.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use proxyless_core::{
    Client,
    config::{Config, Sources},
};
use proxyless_tests::{Istiod, Network, Process, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An istio-agent without Envoy, as the `grpc-agent` template runs it.
struct Agent {
    process: Process,
    folder: TempDir,
}

/// A program that was built beside istiod.
fn built(name: &str) -> PathBuf {
    Path::new(&std::env::var("PXL_ISTIOD").unwrap()).with_file_name(name)
}

impl Agent {
    fn start(istiod: &Istiod) -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        for made in ["etc/istio/proxy", "var/run/secrets/tokens", "var/run/secrets/istio", "data"] {
            fs::create_dir_all(at(made)).unwrap();
        }
        fs::copy(istiod.token_file("demo", "echo"), at("var/run/secrets/tokens/istio-token")).unwrap();
        fs::copy(istiod.root_file(), at("root.pem")).unwrap();
        let discovery = istiod.secure().replace("https://", "");
        let proxy = json!({
            "discoveryAddress": discovery, "configPath": at("etc/istio/proxy"), "controlPlaneAuthPolicy": "MUTUAL_TLS", "statusPort": 15020,
        });
        let mut command = Command::new(built("pilot-agent"));
        command.args(["proxy", "sidecar", "--domain", "demo.svc.cluster.local"]).current_dir(folder.path()).envs([
            ("DISABLE_ENVOY", "true"),
            ("ISTIO_META_GENERATOR", "grpc"),
            ("PILOT_CERT_PROVIDER", "istiod"),
            ("CA_ADDR", discovery.as_str()),
            ("POD_NAME", "echo-1"),
            ("POD_NAMESPACE", "demo"),
            ("INSTANCE_IP", "127.0.0.31"),
            ("SERVICE_ACCOUNT", "echo"),
            ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
            ("ISTIO_META_DNS_CAPTURE", "false"),
            ("TRUST_DOMAIN", "cluster.local"),
            ("XDS_ROOT_CA", "root.pem"),
            ("CA_ROOT_CA", "root.pem"),
            ("JWT_POLICY", "third-party-jwt"),
            ("PROXY_CONFIG", proxy.to_string().as_str()),
        ]);
        command.env("OUTPUT_CERTS", at("data")).env("GRPC_XDS_BOOTSTRAP", at("etc/grpc-bootstrap.json"));
        let agent = Self { process: Process::start(&mut command), folder };
        eventually("the agent's socket and bootstrap", || (agent.socket().exists() && agent.bootstrap().exists()).then_some(()));
        agent
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("etc/istio/proxy/XDS")
    }

    /// The file that the agent writes for gRPC programs.
    fn bootstrap(&self) -> PathBuf {
        self.folder.path().join("etc/grpc-bootstrap.json")
    }

    /// A client with the agent's own bootstrap, and these variables besides.
    fn client(&self, extra: &[(&str, &str)]) -> Arc<Client> {
        let variable = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut environment: std::collections::BTreeMap<String, String> = extra.iter().copied().map(variable).collect();
        environment.insert("GRPC_XDS_BOOTSTRAP".into(), self.bootstrap().to_string_lossy().into_owned());
        let config = Config::load(&Sources { environment, root: self.folder.path().into(), ..Default::default() }).unwrap();
        Arc::new(Client::open(config).unwrap())
    }
}

const ECHO: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: demo}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: echo, namespace: demo}
spec:
  hosts: [echo.demo.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: http, protocol: HTTP}]
  endpoints:
  - {address: 127.0.0.31, ports: {http: 8080}, labels: {version: v1}}
  - {address: 127.0.0.32, ports: {http: 8080}, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo, namespace: demo}
spec: {host: echo.demo.svc.cluster.local, subsets: [{name: v1, labels: {version: v1}}]}
";

fn until(client: &Client, target: &str, endpoints: usize) {
    let what = format!("a list of {endpoints}");
    proxyless_tests::until(client, target, &what, |entry| entry.list.endpoints().len() == endpoints);
}

fn server(client: &Client) -> Value {
    client.describe().unwrap()["servers"][0].clone()
}

#[test]
fn the_agents_socket_serves_both_profiles_over_the_bootstrap_that_it_writes() {
    let _network = Network::own();
    let istiod = Istiod::start();
    istiod.apply(ECHO);
    // One after the other: the socket serves one stream.
    for profile in ["istio", "grpc"] {
        let agent = Agent::start(&istiod);
        let client = agent.client(&[("PROXYLESS_PROFILE", profile)]);
        assert!(client.config().server_list().starts_with("unix://"), "{}", client.config().server_list());
        until(&client, "echo.demo.svc.cluster.local:8080", 2);
        until(&client, "echo:8080/v1", 1);
        assert_eq!(client.config().node_id, "sidecar~127.0.0.31~echo-1.demo~demo.svc.cluster.local");
        drop(agent.process);
    }
}

#[test]
fn all_clients_of_a_process_share_the_one_stream_of_the_agent() {
    let _network = Network::own();
    let istiod = Istiod::start();
    istiod.apply(ECHO);
    let agent = Agent::start(&istiod);
    let clients: Vec<_> = (0..3).map(|_| agent.client(&[])).collect();
    for client in &clients {
        until(client, "echo:8080", 2);
    }
    // Another stream would have ended this one.
    istiod.apply(&ECHO.replace("  - {address: 127.0.0.32, ports: {http: 8080}, labels: {version: v2}}\n", ""));
    for client in &clients {
        until(client, "echo:8080", 1);
        assert_eq!(server(client)["streams"], 1);
    }
    assert_eq!(istiod.debug("/debug/connections").matches("echo-1.demo").count(), 1);
}

#[test]
fn a_grpc_client_on_the_same_socket_keeps_its_stream_and_we_yield() {
    let _network = Network::own();
    let istiod = Istiod::start();
    istiod.apply(ECHO);
    let agent = Agent::start(&istiod);
    let ours = agent.client(&[]);
    until(&ours, "echo:8080", 2);
    let mut command = Command::new(built("xdsclient"));
    command.arg("xds:///echo.demo.svc.cluster.local:8080").env("GRPC_XDS_BOOTSTRAP", agent.bootstrap());
    let _theirs = Process::start(&mut command);
    eventually("we yield", || (server(&ours)["yielding"] == true).then_some(()));
    let streams = server(&ours)["streams"].clone();
    // What is known is served on, as stale; nobody is disturbed any more.
    assert_eq!(ours.snapshot().get("echo:8080").unwrap().list.endpoints().len(), 2);
    assert!(ours.stale_for().is_some());
    let connections = || istiod.debug("/debug/connections");
    eventually("the other one has its stream", || connections().contains("echo-1.demo").then_some(()));
    let before = connections();
    // It goes on: change after change, it connects to where its list leads.
    for _ in 0..10 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let place = format!("{{address: 127.0.0.1, ports: {{http: {}}}}}", listener.local_addr().unwrap().port());
        istiod.apply(&ECHO.replace("{address: 127.0.0.31, ports: {http: 8080}, labels: {version: v1}}", &place));
        eventually("the other one follows", || listener.accept().ok());
    }
    assert_eq!(connections(), before, "the same stream as before");
    assert_eq!(server(&ours)["streams"], streams);
    let events = ours.describe().unwrap()["events"].to_string();
    assert!(events.contains("another xDS client uses this socket"), "{events}");
}
