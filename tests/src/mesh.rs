// SPDX-License-Identifier: Apache-2.0
//! A file of Istio YAML, and `proxyless serve` over it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::process::{Process, eventually, target};

/// `go-sc-a:80` with everything that is said beside a list: a rule, and routes with this timeout.
pub fn with_policies(timeout: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: go-sc-a}}
spec:
  hosts: [go-sc-a.default.svc.cluster.local]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.11, ports: {{http: 9001}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: go-sc-a}}
spec:
  host: go-sc-a
  trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: 11}}}}, outlierDetection: {{consecutive5xxErrors: 7, interval: 5s}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: go-sc-a}}
spec:
  hosts: [go-sc-a]
  http:
  - match: [{{uri: {{prefix: /api}}, method: {{exact: GET}}, headers: {{x-user: {{exact: joe}}}}}}]
    route: [{{destination: {{host: go-sc-a}}}}]
    timeout: {timeout}
    retries: {{attempts: 4, perTryTimeout: 1s, retryOn: '5xx,reset'}}
    fault: {{abort: {{httpStatus: 503, percentage: {{value: 30}}}}}}
  - route: [{{destination: {{host: go-sc-a}}}}]
"
    )
}

/// One endpoint of `go-sc-a`.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub ip: &'static str,
    pub port: u16,
    pub version: &'static str,
}

/// `go-sc-a.default.svc.cluster.local:80` with subsets v1 and v2.
#[derive(Debug)]
pub struct MeshFile {
    folder: TempDir,
}

impl Default for MeshFile {
    fn default() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }
}

impl MeshFile {
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mesh.yaml")
    }

    /// Replaces the file at once, as editors and config maps do.
    pub fn write(&self, text: &str) {
        let temporary = self.folder.path().join("mesh.yaml.new");
        fs::write(&temporary, text).unwrap();
        fs::rename(&temporary, self.path()).unwrap();
    }

    /// Writes the service with these endpoints and shares (subset, weight); no shares: no VirtualService.
    pub fn service(&self, endpoints: &[Endpoint], shares: &[(&str, u32)]) {
        self.write(&service(endpoints, shares));
    }
}

fn service(endpoints: &[Endpoint], shares: &[(&str, u32)]) -> String {
    let mut text = String::from(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: go-sc-a}\nspec:\n  hosts: [go-sc-a.default.svc.cluster.local]\n  \
         resolution: STATIC\n  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints:\n",
    );
    for e in endpoints {
        text += &format!("  - {{address: {}, ports: {{http: {}}}, labels: {{version: {}}}}}\n", e.ip, e.port, e.version);
    }
    if endpoints.is_empty() {
        text = text.replace("  endpoints:\n", "");
    }
    text += "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: go-sc-a}\nspec:\n  host: go-sc-a\n  \
             subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]\n";
    if !shares.is_empty() {
        text += "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: go-sc-a}\nspec:\n  hosts: [go-sc-a]\n  http:\n  - route:\n";
        for (subset, weight) in shares {
            text += &format!("    - {{destination: {{host: go-sc-a, subset: {subset}}}, weight: {weight}}}\n");
        }
    }
    text
}

/// `proxyless serve` on a port that stays the same over restarts.
#[derive(Debug)]
pub struct ControlPlane {
    pub process: Process,
    address: String,
    file: PathBuf,
}

impl ControlPlane {
    pub fn start(file: &Path) -> Self {
        Self::start_at(file, "127.0.0.1:0")
    }

    fn start_at(file: &Path, listen: &str) -> Self {
        let port_file = file.with_extension("port");
        let _ = fs::remove_file(&port_file);
        let mut command = Command::new(target("proxyless"));
        command.arg("serve").arg(file).args(["--listen", listen, "--port-file"]).arg(&port_file);
        let mut process = Process::start(&mut command);
        process.line("the control plane serves", |line| line.starts_with("serving"));
        let address = eventually("the port file", || fs::read_to_string(&port_file).ok().filter(|text| !text.is_empty()));
        Self { process, address, file: file.to_owned() }
    }

    /// A free address on which nothing listens yet; [`ControlPlane::start_late`] will.
    pub fn reserve() -> String {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
    }

    pub fn start_late(file: &Path, address: &str) -> Self {
        Self::start_at(file, address)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it and starts it again at the same address.
    pub fn restart(&mut self) {
        self.process.kill();
        *self = Self::start_at(&self.file, &self.address);
    }
}
