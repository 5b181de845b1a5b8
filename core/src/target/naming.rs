// SPDX-License-Identifier: Apache-2.0
//! From the name a caller uses to a host of the mesh, so that every runtime agrees.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Directory, Subject, Target, nearest};

/// How many hosts a hint names.
const NAMED: usize = 3;

/// Rules for finding a host.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// Namespace of this process.
    pub namespace: String,
    /// For instance `cluster.local`.
    pub cluster_domain: String,
    /// Namespaces tried after the own one, in order.
    pub search_namespaces: Vec<String>,
    /// Explicit names; win over everything.
    pub targets: BTreeMap<String, Target>,
    /// As a last resort take the only host whose first label is the name.
    pub match_first_label: bool,
}

/// Outcome of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMatch {
    /// The host, as CDS spells it.
    Found(Arc<str>),
    /// No such host.
    None,
    /// Several hosts share the first label.
    Ambiguous(Vec<Arc<str>>),
}

impl Naming {
    /// The target that a caller's target stands for: the explicit map, and Nacos' `GROUP@@` in front of a name.
    pub fn rewrite(&self, target: &Target) -> Target {
        let Subject::Service { host, port, subset } = target.subject() else { return target.clone() };
        let plain = host.rsplit("@@").next().unwrap_or(host);
        if let Some(mapped) = self.targets.get(host.as_str()).or_else(|| self.targets.get(plain)) {
            return target.mapped_to(mapped);
        }
        Target::service(plain.to_owned(), *port, subset.clone())
    }

    /// Hosts that a name may mean, in order of preference; in lower case, as names are.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        let domain = self.cluster_domain.to_lowercase();
        let mut hosts = vec![name.to_owned()];
        if name.contains('.') {
            hosts.push(format!("{name}.svc.{domain}"));
            hosts.push(format!("{name}.{domain}"));
        } else {
            let namespaces = std::iter::once(&self.namespace).chain(&self.search_namespaces);
            hosts.extend(namespaces.filter(|ns| !ns.is_empty()).map(|ns| format!("{name}.{}.svc.{domain}", ns.to_lowercase())));
        }
        hosts
    }

    /// Finds the host that a name means. Never decides by the first label alone unless told to.
    pub fn find(&self, directory: &Directory, name: &str) -> HostMatch {
        for candidate in self.candidates(name) {
            if let Some((host, _)) = directory.get(&candidate) {
                return HostMatch::Found(Arc::clone(host));
            }
        }
        if !self.match_first_label || name.contains('.') {
            return HostMatch::None;
        }
        match directory.with_first_label(name).as_slice() {
            [] => HostMatch::None,
            [only] => HostMatch::Found(Arc::clone(only)),
            several => HostMatch::Ambiguous(several.iter().map(|host| Arc::clone(host)).collect()),
        }
    }

    /// What to say about a name that means no host: the hosts that may have been meant.
    pub fn hint(&self, directory: &Directory, name: &str) -> String {
        let label = name.split('.').next().unwrap_or(name);
        let mut same: Vec<&str> = directory.with_first_label(label).into_iter().map(|host| self.short(host)).collect();
        same.sort_unstable();
        if same.is_empty() { self.nearly(directory, name) } else { elsewhere(name, &same) }
    }

    /// Of a name that is nearly a host's, or nearly its first label.
    fn nearly(&self, directory: &Directory, name: &str) -> String {
        let written = |host: &str| if name.contains('.') { host.len() } else { host.find('.').unwrap_or(host.len()) };
        let shorts = directory.hosts().map(|(host, _)| self.short(host));
        let hosts: BTreeSet<(&str, &str)> = shorts.map(|host| (&host[..written(host)], host)).collect();
        let near = nearest(name, hosts.iter().map(|(written, _)| *written));
        let host = near.and_then(|near| hosts.iter().find(|(written, _)| *written == near));
        host.map_or_else(String::new, |(_, host)| format!("did you mean {host}?"))
    }

    /// A host as it may be written: a service of Kubernetes by its name and namespace.
    fn short<'a>(&self, host: &'a str) -> &'a str {
        host.strip_suffix(self.cluster_domain.as_str()).and_then(|host| host.strip_suffix(".svc.")).unwrap_or(host)
    }
}

/// Of a name whose first label these hosts have, too.
fn elsewhere(name: &str, hosts: &[&str]) -> String {
    if let [only] = hosts
        && !name.contains('.')
        && let Some((_, namespace)) = only.split_once('.').filter(|(_, rest)| !rest.contains('.'))
    {
        return format!(
            "{only} is listed, in another namespace: write {only}, or set namespace or search_namespaces to {namespace}"
        );
    }
    let named = hosts.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = if hosts.len() > NAMED { format!(" and {} more", hosts.len() - NAMED) } else { String::new() };
    let are = if hosts.len() == 1 { "is" } else { "are" };
    let how = if name.contains('.') { "" } else { ": write the one that is meant, or set namespace or search_namespaces" };
    format!("there is no {name}; {named}{more} {are} listed{how}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClusterName;

    fn directory(hosts: &[&str]) -> Directory {
        let mut directory = Directory::default();
        for host in hosts {
            directory.add(ClusterName { host, port: 80, subset: "" });
        }
        directory
    }

    fn naming() -> Naming {
        Naming {
            namespace: "demo".into(),
            cluster_domain: "cluster.local".into(),
            search_namespaces: vec!["shared".into()],
            ..Default::default()
        }
    }

    fn found(naming: &Naming, directory: &Directory, name: &str) -> String {
        match naming.find(directory, name) {
            HostMatch::Found(host) => host.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_first_rule_that_hits_wins() {
        let all = ["echo", "echo.demo.svc.cluster.local", "echo.shared.svc.cluster.local", "other.shared.svc.cluster.local"];
        let directory = directory(&all);
        assert_eq!(found(&naming(), &directory, "echo"), "echo", "an exact host, dot or not");
        assert_eq!(found(&naming(), &directory, "echo.demo"), "echo.demo.svc.cluster.local");
        assert_eq!(found(&naming(), &directory, "echo.shared.svc"), "echo.shared.svc.cluster.local");
        assert_eq!(found(&naming(), &directory, "other"), "other.shared.svc.cluster.local", "a search namespace");
    }

    #[test]
    fn two_namespaces_with_one_name_are_told_apart() {
        let directory = directory(&["echo.demo.svc.cluster.local", "echo.prod.svc.cluster.local"]);
        assert_eq!(found(&naming(), &directory, "echo"), "echo.demo.svc.cluster.local", "the own namespace");
        assert_eq!(found(&naming(), &directory, "echo.prod"), "echo.prod.svc.cluster.local");
        let stranger = Naming { namespace: "third".into(), search_namespaces: vec![], ..naming() };
        assert_eq!(stranger.find(&directory, "echo"), HostMatch::None, "never another namespace's by its first label");
    }

    #[test]
    fn the_first_label_decides_only_when_told_and_only_when_unique() {
        let stranger = Naming { namespace: "third".into(), search_namespaces: vec![], match_first_label: true, ..naming() };
        let one = directory(&["echo.demo.svc.cluster.local"]);
        assert_eq!(found(&stranger, &one, "echo"), "echo.demo.svc.cluster.local");
        let two = directory(&["echo.demo.svc.cluster.local", "echo.prod.svc.cluster.local"]);
        assert!(matches!(stranger.find(&two, "echo"), HostMatch::Ambiguous(hosts) if hosts.len() == 2));
    }

    #[test]
    fn a_name_that_means_no_host_is_answered_with_the_hosts_that_may_be_meant() {
        let directory = directory(&[
            "web.shop.svc.cluster.local",
            "echo.prod.svc.cluster.local",
            "echo.test.svc.cluster.local",
            "pay.example.com",
        ]);
        let hint = |name| naming().hint(&directory, name);
        assert_eq!(
            hint("web"),
            "web.shop is listed, in another namespace: write web.shop, or set namespace or search_namespaces to shop"
        );
        assert_eq!(
            hint("echo"),
            "there is no echo; echo.prod, echo.test are listed: write the one that is meant, or set namespace or search_namespaces"
        );
        assert_eq!(hint("web.shpo"), "there is no web.shpo; web.shop is listed");
        assert_eq!(hint("wbe.shop"), "did you mean web.shop?");
        assert_eq!(hint("wbe"), "did you mean web.shop?");
        assert_eq!(hint("stranger"), "");
        let many: Vec<String> = (0..9).map(|n| format!("web.ns-{n}.svc.cluster.local")).collect();
        let many = self::directory(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(naming().hint(&many, "web").contains("web.ns-2 and 6 more are listed"), "{}", naming().hint(&many, "web"));
    }

    #[test]
    fn capitals_in_settings_and_hosts_do_not_count() {
        let naming = Naming { namespace: "Demo".into(), cluster_domain: "Cluster.Local".into(), ..naming() };
        let directory = directory(&["Echo.demo.svc.cluster.local"]);
        assert_eq!(found(&naming, &directory, "echo"), "Echo.demo.svc.cluster.local", "as CDS spells it");
        let by_label = Naming { namespace: "third".into(), match_first_label: true, ..naming };
        assert_eq!(found(&by_label, &directory, "echo"), "Echo.demo.svc.cluster.local");
    }

    #[test]
    fn the_map_wins_and_a_nacos_group_is_stripped() {
        let mapped = Target::parse("echo.prod:8080/v2").expect("valid");
        let naming = Naming { targets: BTreeMap::from([("go-sc-a".into(), mapped)]), ..naming() };
        let rewritten = |spelling| naming.rewrite(&Target::parse(spelling).expect("valid")).to_string();
        assert_eq!(rewritten("go-sc-a"), "echo.prod:8080/v2");
        assert_eq!(rewritten("DEFAULT_GROUP@@go-sc-a"), "echo.prod:8080/v2");
        assert_eq!(rewritten("go-sc-a/v1"), "echo.prod:8080/v1", "what the caller says about the subset stands");
        assert_eq!(rewritten("DEFAULT_GROUP@@other:81"), "other:81");
    }
}
