// SPDX-License-Identifier: Apache-2.0
//! The real istiod on loopback, over an in-memory Kubernetes API (`tests/istio`).

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
};

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running istiod. Dropping it ends the process.
#[derive(Debug)]
pub struct Istiod {
    child: Child,
    pipes: Mutex<Pipes>,
    places: Places,
    folder: TempDir,
}

#[derive(Debug)]
struct Pipes {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    commands: u64,
}

/// Where it listens.
#[derive(Clone, Debug, Deserialize)]
struct Places {
    grpc: String,
    secure: String,
    http: String,
    root: String,
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
    at: u64,
    #[serde(default)]
    error: String,
}

impl Istiod {
    /// Starts it with free ports.
    pub fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// Starts it with these arguments and variables of its own.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let binary = env::var("PXL_ISTIOD").expect("PXL_ISTIOD names the istiod: `make test-istio` builds it");
        let folder = TempDir::new().unwrap();
        let errors = fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new(binary)
            .args(arguments)
            .env_remove("KUBECONFIG")
            .env_remove("KUBERNETES_SERVICE_HOST")
            .envs([
                ("PILOT_DEBOUNCE_AFTER", "10ms"),
                ("PILOT_DEBOUNCE_MAX", "200ms"),
                ("ISTIOD_CUSTOM_HOST", "localhost"),
                ("POD_NAMESPACE", "istio-system"),
                ("POD_NAME", "istiod-1"),
                ("UNSAFE_ENABLE_ADMIN_ENDPOINTS", "true"),
                // Tests open many streams at once.
                ("PILOT_MAX_REQUESTS_PER_SECOND", "1000"),
            ])
            .envs(environment.iter().copied())
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let log = || fs::read_to_string(folder.path().join("log")).unwrap();
        let places = serde_json::from_str(&line).unwrap_or_else(|error| panic!("istiod says {line:?}: {error}\n{}", log()));
        Self { child, pipes: Mutex::new(Pipes { stdin, stdout, commands: 0 }), places, folder }
    }

    /// Plaintext xDS, as a `server` setting.
    pub fn plaintext(&self) -> String {
        format!("http://{}", self.places.grpc)
    }

    /// xDS over TLS, by the name in its certificate.
    pub fn secure(&self) -> String {
        format!("https://localhost:{}", self.places.secure.rsplit_once(':').unwrap().1)
    }

    /// Arguments with which another istiod takes the place of this one.
    pub fn same_places(&self) -> Vec<String> {
        let Places { grpc, secure, http, .. } = &self.places;
        ["-grpc", grpc, "-secure", secure, "-http", http].map(str::to_owned).to_vec()
    }

    /// `host:port` of plaintext xDS.
    pub fn address(&self) -> std::net::SocketAddr {
        self.places.grpc.parse().unwrap()
    }

    /// The debug port.
    pub fn debug(&self, path: &str) -> String {
        let port = self.places.http.rsplit_once(':').unwrap().1.parse().unwrap();
        crate::get(port, path).expect("istiod answers").1
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// A file with its root certificate.
    pub fn root_file(&self) -> PathBuf {
        let path = self.folder.path().join("root-cert.pem");
        fs::write(&path, &self.places.root).unwrap();
        path
    }

    /// A file with a token of this service account.
    pub fn token_file(&self, namespace: &str, account: &str) -> PathBuf {
        let path = self.folder.path().join(format!("token-{namespace}-{account}"));
        fs::write(&path, format!("test:{namespace}:{account}")).unwrap();
        path
    }

    /// Applies every document of this YAML; returns when the API had the last one, in nanoseconds since 1970.
    pub fn apply(&self, yaml: &str) -> u64 {
        documents(yaml).into_iter().map(|object| self.command("apply", object)).last().expect("there are objects")
    }

    /// Deletes every document's object.
    pub fn delete(&self, yaml: &str) -> u64 {
        documents(yaml).into_iter().map(|object| self.command("delete", object)).last().expect("there are objects")
    }

    fn command(&self, verb: &str, object: Value) -> u64 {
        let mut pipes = self.pipes.lock().unwrap();
        pipes.commands += 1;
        let id = pipes.commands;
        let command = json!({"id": id, verb: object});
        writeln!(pipes.stdin, "{command}").unwrap();
        let mut line = String::new();
        pipes.stdout.read_line(&mut line).unwrap();
        let answer: Answer = serde_json::from_str(&line).unwrap();
        assert_eq!((answer.id, answer.error.as_str()), (id, ""), "{command}");
        answer.at
    }
}

impl Drop for Istiod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn documents(yaml: &str) -> Vec<Value> {
    let values = serde_yaml_ng::Deserializer::from_str(yaml).map(|document| Value::deserialize(document).unwrap());
    values.filter(|value| !value.is_null()).collect()
}
