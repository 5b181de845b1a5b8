// SPDX-License-Identifier: Apache-2.0
//! Against the real istiod. `make test-istio` builds it and runs these.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod identity;
mod life;
mod lists;
mod scale;

use proxyless_core::{Client, store::Entry};
use proxyless_tests::Mesh;

/// What is known about a target, in words: `ready 127.0.0.1:80 127.0.0.2:80*3 p1:127.0.0.3:80`.
fn shown(entry: &Entry) -> String {
    let endpoint = |e: &proxyless_core::model::Endpoint| {
        let address = e.socket_addr().map_or_else(|| "name".to_owned(), |address| address.to_string());
        let weight = if e.weight == 1 { String::new() } else { format!("*{}", e.weight) };
        let priority = if e.priority == 0 { String::new() } else { format!("p{}:", e.priority) };
        format!("{priority}{address}{weight}")
    };
    let mut list: Vec<String> = entry.list.endpoints().iter().map(endpoint).collect();
    list.sort();
    format!("{} {}", entry.state, list.join(" ")).trim_end().to_owned()
}

/// Waits until a target shows as this.
fn until(client: &Client, target: &str, expected: &str) {
    proxyless_tests::until(client, target, expected, |entry| shown(entry) == expected);
}

/// Both profiles show this.
fn both(mesh: &Mesh, target: &str, expected: &str) {
    for client in &mesh.clients {
        until(client, target, expected);
    }
}

/// A pod that is ready, with its labels, and the slice that lists it.
fn pod(service: &str, name: &str, ip: &str, version: &str, ready: bool) -> String {
    let phase = if ready { "True" } else { "False" };
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: demo, labels: {{app: {service}, version: {version}}}}}
spec: {{serviceAccountName: {service}, containers: [{{name: c, image: i}}]}}
status: {{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}], conditions: [{{type: Ready, status: '{phase}'}}]}}
"
    )
}

fn slice(service: &str, ports: &[(&str, u16)], endpoints: &[(&str, &str, bool)]) -> String {
    let ports: Vec<String> = ports.iter().map(|(name, port)| format!("{{name: {name}, port: {port}, protocol: TCP}}")).collect();
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|(pod, ip, ready)| {
            // istiod waits for a pod that is referred to.
            let pod = if *pod == "-" { String::new() } else { format!(", targetRef: {{kind: Pod, name: {pod}, namespace: demo}}") };
            format!("{{addresses: [{ip}], conditions: {{ready: {ready}}}{pod}}}")
        })
        .collect();
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {service}-1, namespace: demo, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: IPv4
ports: [{}]
endpoints: [{}]
",
        ports.join(", "),
        endpoints.join(", ")
    )
}

fn service(namespace: &str, name: &str, extra: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 8080, targetPort: 8080}}]{extra}}}\n"
    )
}

/// `echo:8080` with two pods, v1 and v2.
fn echo() -> String {
    [
        service("demo", "echo", ", clusterIP: 10.0.0.10"),
        pod("echo", "echo-1", "127.0.0.31", "v1", true),
        pod("echo", "echo-2", "127.0.0.32", "v2", true),
        slice("echo", &[("http", 8080)], &[("echo-1", "127.0.0.31", true), ("echo-2", "127.0.0.32", true)]),
    ]
    .join("---\n")
}

fn entry(name: &str, host: &str, rest: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: demo}}\nspec:\n  hosts: [{host}]\n  \
         location: MESH_INTERNAL\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n{rest}"
    )
}

fn rule(rest: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: echo, namespace: demo}}\nspec: {{host: echo.demo.svc.cluster.local, {rest}}}\n"
    )
}

const SUBSETS: &str = "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]";
