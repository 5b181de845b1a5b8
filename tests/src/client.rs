// SPDX-License-Identifier: Apache-2.0
//! Clients in the process of the test.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proxyless_core::{
    Client,
    config::{Config, Sources},
    store::Entry,
};
use serde_json::{Value, json};

use crate::Istiod;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn open(settings: &Value) -> Arc<Client> {
    let document = settings.to_string();
    Arc::new(Client::open(Config::load(&Sources { document, ..Default::default() }).unwrap()).unwrap())
}

/// Watches a target and waits until its entry is as wanted.
pub fn until(client: &Client, target: &str, what: &str, wanted: impl Fn(&Entry) -> bool) -> Arc<Entry> {
    client.watch(target).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let snapshot = client.snapshot();
        let entry = snapshot.get(target).cloned();
        if let Some(entry) = entry.as_ref().filter(|entry| wanted(entry)) {
            return Arc::clone(entry);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let profile = client.config().profile.name();
        assert!(!left.is_zero(), "{profile} {target} is not {what}: {entry:#?}\n{:#}", client.describe().unwrap());
        let _ = client.wait(snapshot.epoch(), Some(left));
    }
}

/// An istiod with a client of each profile in namespace `demo`: `istio`, `grpc`.
#[derive(Debug)]
pub struct Mesh {
    pub istiod: Istiod,
    pub clients: [Arc<Client>; 2],
}

impl Mesh {
    pub fn start() -> Self {
        Self::with(Istiod::start(), &json!({}))
    }

    /// With these settings, too.
    pub fn with(istiod: Istiod, extra: &Value) -> Self {
        istiod.apply("{apiVersion: v1, kind: Namespace, metadata: {name: demo}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: other}}");
        let client = |profile: &str| {
            let mut settings =
                json!({"server": istiod.plaintext(), "namespace": "demo", "pod_ip": "127.0.0.9", "profile": profile});
            settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            open(&settings)
        };
        let clients = [client("istio"), client("grpc")];
        Self { istiod, clients }
    }

    pub fn apply(&self, yaml: &str) {
        self.istiod.apply(yaml);
    }
}
