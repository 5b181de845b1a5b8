// SPDX-License-Identifier: Apache-2.0
//! Host names as rules write them: short, in full, or with a wildcard; and which of several is the most specific.

use std::{cmp::Reverse, net::IpAddr};

/// The domain under which short host names are completed.
const CLUSTER_DOMAIN: &str = "cluster.local";

/// A host as it stands in a rule: one without a dot is completed with the rule's namespace.
/// In lower case, in which hosts are compared.
pub(super) fn full_host(host: &str, namespace: &str) -> String {
    spelled_host(host, namespace).to_lowercase()
}

/// The same, with its capitals.
pub(super) fn spelled_host(host: &str, namespace: &str) -> String {
    let is_full = host.contains('.') || host == "*" || host.parse::<IpAddr>().is_ok();
    if is_full { host.to_owned() } else { kubernetes_host(host, namespace) }
}

/// The host of a Kubernetes Service.
pub(super) fn kubernetes_host(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}.svc.{CLUSTER_DOMAIN}")
}

/// Whether a full host of a rule means this host.
pub(super) fn covers(pattern: &str, host: &str) -> bool {
    pattern.strip_prefix('*').map_or(pattern == host, |suffix| host.ends_with(suffix))
}

/// Sorts the most specific first: without a wildcard, then the longest, then by the alphabet.
pub(super) fn specificity(pattern: &str) -> (bool, Reverse<usize>, &str) {
    (pattern.starts_with('*'), Reverse(pattern.len()), pattern)
}

/// A wildcard is the first label or the whole.
pub(super) fn is_well_formed(host: &str) -> bool {
    match host.strip_prefix('*') {
        Some(rest) => rest.is_empty() || (rest.starts_with('.') && rest.len() > 1 && !rest.contains('*')),
        None => !host.is_empty() && !host.contains('*'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_host_is_completed_and_a_wildcard_is_not() {
        for (host, full) in
            [("a", "a.demo.svc.cluster.local"), ("A.Example", "a.example"), ("*", "*"), ("*.local", "*.local"), ("::1", "::1")]
        {
            assert_eq!(full_host(host, "demo"), full);
        }
    }

    #[test]
    fn the_most_specific_host_comes_first() {
        let mut hosts = ["*", "*.local", "a.b.local", "*.b.local"];
        hosts.sort_by_key(|host| specificity(host));
        assert_eq!(hosts, ["a.b.local", "*.b.local", "*.local", "*"]);
    }

    #[test]
    fn a_wildcard_covers_what_ends_alike() {
        assert!(covers("*.local", "a.local") && covers("*", "a") && covers("a", "a"));
        assert!(!covers("*.a.local", "a.local") && !covers("a", "b.a"));
    }
}
