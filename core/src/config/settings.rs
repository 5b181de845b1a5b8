// SPDX-License-Identifier: Apache-2.0
//! The one table of settings: names, defaults, meaning.

use crate::target::nearest;

/// A setting.
#[derive(Debug)]
pub struct Setting {
    /// Key in our JSON document. The property is `proxyless.` plus the key with `-` for `_`; the environment variable
    /// `PROXYLESS_` plus the key in upper case.
    pub key: &'static str,
    /// Value when no source has one; empty: none.
    pub default: &'static str,
    /// One line for people.
    pub help: &'static str,
}

/// Every setting, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    setting("server", "", "control plane: http://host:port, https://host:port or unix:///path; several, best first: a,b"),
    setting("profile", "istio", "istio; envoy for any other ADS server; grpc to ask by name as gRPC clients do"),
    setting("namespace", "default", "namespace of this process; short names are looked up there first"),
    setting("cluster_domain", "cluster.local", "domain of the Kubernetes cluster"),
    setting("search_namespaces", "", "further namespaces for short names, in order: a,b"),
    setting("targets", "", "explicit names: name=target,name=target"),
    setting("match_first_label", "false", "take the only host whose first label is the name, as a last resort"),
    setting("allow_plaintext", "", "hosts or host:port whose demand for TLS is ignored: a,b"),
    setting("pod_name", "", "name of this process in the node id"),
    setting("pod_ip", "127.0.0.1", "address of this process in the node id"),
    setting("service_account", "", "service account in the node metadata"),
    setting("node_name", "", "Kubernetes node in the node metadata: istiod needs it for services with internalTrafficPolicy Local"),
    setting("cluster_id", "Kubernetes", "cluster id in the node metadata and in the ClusterID header"),
    setting("labels", "", "labels in the node metadata: a=b,c=d"),
    setting("locality", "", "region/zone/sub_zone of this process"),
    setting("node_id", "", "node id, instead of the one made from pod, address and namespace"),
    setting("node_metadata", "", "further node metadata, a JSON object"),
    setting("ca_file", "", "certificate authorities for https, PEM; else those of the system"),
    setting("cert_file", "", "our own certificate for https, PEM, read anew for every connection"),
    setting("key_file", "", "its private key, PEM"),
    setting("server_name", "", "name to check in the server's certificate, if not the host"),
    setting("token_file", "", "bearer token sent over TLS, read anew for every stream"),
    setting("server_features", "", "ignore_resource_deletion, fail_on_data_errors, resource_timer_is_transient_error: a,b"),
    setting("wildcard", "auto", "how everything is asked for: auto, empty (the empty list) or star (*)"),
    setting("reconnect_full_state", "auto", "after a reconnect the first delta answer is everything there is: auto, true or false"),
    setting("cache_dir", "", "folder where the last known good is kept over restarts"),
    setting("cache_wait_ms", "3000", "how long a live answer is waited for before the kept one is served"),
    setting("workload_certificate", "false", "obtain a certificate from istiod's CA and connect with it: true or false"),
    setting("certificate_life_s", "86400", "life to ask for; it is renewed at half of what is given"),
    setting("trust_domain", "cluster.local", "trust domain of the identity that is asked for"),
    setting("connect_timeout_ms", "5000", "bound on connecting"),
    setting("keepalive_ms", "", "how often a silent connection is probed; 30000 with profile istio, else 300000"),
    setting("keepalive_timeout_ms", "", "how long a probe may go unanswered; 10000 with profile istio, else 20000"),
    setting("first_response_timeout_ms", "30000", "a stream without any response for so long is given up"),
    setting("resource_timeout_ms", "15000", "a name without an answer for so long counts as absent"),
    setting(
        "backoff_ms",
        "1000",
        "pause before the second attempt to reach a server; 1.6 times as long before each further one, ±20 %",
    ),
    setting("backoff_max_ms", "8000", "longest pause between two attempts, ±20 %; the first response starts over"),
    setting("max_message_bytes", "268435456", "largest message from the control plane"),
    setting("max_endpoints", "250000", "most endpoints in one assignment"),
];

/// Shorter beginnings say nothing.
const SHORTEST: usize = 4;

const fn setting(key: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { key, default, help }
}

impl Setting {
    /// The setting with this key.
    pub fn by_key(key: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// What to say about a name that is none of these, with what a source puts before it.
    pub(super) fn unknown(name: &str, written: fn(&Setting) -> String) -> String {
        let plain = |text: &str| text.to_lowercase().replace(['_', '-', '.'], "");
        let wanted = plain(name);
        let keys: Vec<String> = SETTINGS.iter().map(|setting| plain(setting.key)).collect();
        let begins = |key: &&String| wanted.len() >= SHORTEST && (key.starts_with(&wanted) || wanted.starts_with(key.as_str()));
        let near = nearest(&wanted, keys.iter().map(String::as_str));
        let near = near.or_else(|| keys.iter().filter(begins).min_by_key(|key| key.len()).map(String::as_str));
        let meant = near.and_then(|near| SETTINGS.iter().zip(&keys).find(|(_, key)| *key == near));
        meant.map_or_else(
            || "`proxyless config` lists those that there are".to_owned(),
            |(setting, _)| format!("did you mean {}?", written(setting)),
        )
    }

    pub(super) fn by_property(rest: &str) -> Option<&'static Setting> {
        Self::by_key(&rest.replace('-', "_"))
    }

    pub(super) fn by_variable(rest: &str) -> Option<&'static Setting> {
        Self::by_key(&rest.to_lowercase())
    }

    /// Name as a system property.
    pub fn property(&self) -> String {
        format!("proxyless.{}", self.key.replace('_', "-"))
    }

    /// Name as an environment variable.
    pub fn variable(&self) -> String {
        format!("PROXYLESS_{}", self.key.to_uppercase())
    }
}
