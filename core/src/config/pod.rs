// SPDX-License-Identifier: Apache-2.0
//! What a pod says about itself: the variables and files that Istio's injection and the downward API leave there.

use std::{fs, path::PathBuf};

use super::{Sources, value::Draft};

const ISTIOD: &str = "https://istiod.istio-system.svc:15012";
const TOKEN: &str = "var/run/secrets/tokens/istio-token";
const ROOT: &str = "var/run/secrets/istio/root-cert.pem";
const AGENT_SOCKET: &str = "etc/istio/proxy/XDS";
const NAMESPACE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";

pub(super) fn add(draft: &mut Draft, sources: &Sources) {
    for (key, names) in [
        ("pod_name", &["POD_NAME", "HOSTNAME"][..]),
        ("namespace", &["POD_NAMESPACE"]),
        ("pod_ip", &["INSTANCE_IP", "POD_IP"]),
        ("service_account", &["SERVICE_ACCOUNT"]),
        ("node_name", &["NODE_NAME", "ISTIO_META_NODE_NAME"]),
        ("cluster_id", &["ISTIO_META_CLUSTER_ID"]),
    ] {
        if let Some((name, text)) = names.iter().find_map(|name| Some((name, sources.environment.get(*name)?))) {
            draft.offer_text(key, text, &format!("environment {name}"));
        }
    }
    let file = |path: &str| -> Option<PathBuf> {
        let root = if sources.root.as_os_str().is_empty() { PathBuf::from("/") } else { sources.root.clone() };
        Some(root.join(path)).filter(|path| path.exists())
    };
    if let Some(namespace) = file(NAMESPACE).and_then(|path| fs::read_to_string(path).ok()) {
        draft.offer_text("namespace", namespace.trim(), "pod");
    }
    match (file(TOKEN), file(ROOT)) {
        // Also for an istiod of another name: the token goes only to a server that the mesh's own root vouches for.
        (Some(token), Some(root)) if draft.bootstrap.is_none() && !draft.has("ca_file") && !draft.has("token_file") => {
            draft.offer_text("server", ISTIOD, "pod");
            draft.offer_text("token_file", token.to_string_lossy(), "pod");
            draft.offer_text("ca_file", root.to_string_lossy(), "pod");
        }
        _ => {
            if let Some(socket) = file(AGENT_SOCKET) {
                draft.offer_text("server", format!("unix://{}", socket.display()), "pod");
            }
        }
    }
}
