// SPDX-License-Identifier: Apache-2.0
//! Following one target: host → port → route → clusters → assignments → list.

use std::sync::Arc;

use super::{
    Catalog, Found, Need, WITHHELD,
    answer::{Answer, Settled, Verdict},
    port::Port,
    routes_name,
    watched::Watched,
};
use crate::{
    model::{Cluster, ClusterName, Discovery, Invalid, ListenerRoutes, Reached, Route, Share, State, Tls, Traffic},
    protocol::{Kind, Time},
    select::{Part, effective},
    target::{HostMatch, Service, Subject},
};

/// Which of the names that may be meant has a listener.
enum Chosen {
    /// This one. A better name that is not answered keeps nobody waiting for long: servers say nothing about names that they do not
    /// have.
    Listener {
        host: String,
        listener: Arc<str>,
        better_may_come: bool,
    },
    Nothing,
    Waiting,
}

impl Catalog {
    pub(super) fn follow(&self, watched: &mut Watched, now: Time) -> Verdict {
        let mut needs = Vec::new();
        let answer = self.follow_into(watched, now, &mut needs);
        Verdict { needs, answer }
    }

    fn follow_into(&self, watched: &mut Watched, now: Time, needs: &mut Vec<Need>) -> Answer {
        // Set again below, and only while a choice really waits.
        let choice_deadline = watched.choice_deadline.take();
        let (host, port, subset) = match watched.meant.subject().clone() {
            Subject::Cluster(name) => return self.follow_cluster(&name, needs),
            Subject::Listener { authority, target } => {
                let unknown =
                    || Settled::without_list(State::Unknown, "".into(), format!("the bootstrap has no authority {authority:?}"));
                return match self.rules.listeners.of(Some(&authority), &target) {
                    None => Answer::Complete(unknown()),
                    Some(name) => match self.follow_listener(&name, &target, &name, &[], needs) {
                        Found::Yes(answer) => answer,
                        Found::No => Answer::Complete(Settled::without_list(State::Unknown, name, String::new())),
                        Found::NotYet => Answer::Waiting,
                    },
                };
            }
            Subject::Service { host, port, subset } if self.rules.by_name => {
                let port = port.unwrap_or(80);
                let (answer, better_may_come) = match self.choose_listener(&host, port, needs) {
                    Chosen::Listener { host, listener, better_may_come } => {
                        (self.follow_by_name(&host, &listener, port, subset.as_deref(), needs), better_may_come)
                    }
                    Chosen::Nothing => {
                        let detail = if self.withheld { WITHHELD } else { "" };
                        (Answer::Complete(Settled::without_list(State::Unknown, "".into(), detail.into())), false)
                    }
                    Chosen::Waiting => return Answer::Waiting,
                };
                let deadline = choice_deadline.unwrap_or(now + self.rules.name_wait);
                if better_may_come && !watched.has_list() && now < deadline {
                    watched.choice_deadline = Some(deadline);
                    return Answer::Waiting;
                }
                return answer;
            }
            Subject::Service { host, port, subset } => (host, port, subset),
        };
        if !self.clusters_answered {
            return Answer::Waiting;
        }
        let invalid = |reason, resolved: &str, detail: String| {
            Answer::Complete(Settled::without_list(State::Invalid(reason), resolved.into(), detail))
        };
        let found = match self.rules.naming.find(&self.directory, &host) {
            HostMatch::Found(found) => found,
            HostMatch::None => {
                let hint = self.hint(watched, &host);
                return Answer::Complete(Settled::without_list(State::Unknown, "".into(), hint));
            }
            HostMatch::Ambiguous(hosts) => {
                return invalid(Invalid::Ambiguous, "", format!("{host} may be any of {}", hosts.join(", ")));
            }
        };
        let Some((_, service)) = self.directory.get(&found) else { return Answer::Waiting };
        let port = match port {
            Some(port) if !service.ports.contains_key(&port) => {
                let ports: Vec<String> = service.ports.keys().map(u16::to_string).collect();
                return invalid(Invalid::NoSuchPort, &found, format!("{found} has no port {port}; it has {}", ports.join(", ")));
            }
            Some(port) => port,
            None => {
                let deadline = choice_deadline.unwrap_or(now + self.rules.port_wait);
                match self.choose_port(watched, &found, service, now, deadline, needs) {
                    Port::Chosen(port) => port,
                    Port::Waiting => return Answer::Waiting,
                }
            }
        };
        let base = ClusterName { host: &found, port, subset: "" };
        match &subset {
            Some(subset) => self.follow_subset(base, subset, service, needs),
            None => self.follow_route(base, needs),
        }
    }

    fn hint(&self, watched: &mut Watched, host: &str) -> String {
        let changes = self.directory.changes();
        let known = watched.hint.take().filter(|(at, _)| *at == changes);
        let (_, hint) = known.unwrap_or_else(|| (changes, self.rules.naming.hint(&self.directory, host)));
        watched.hint = Some((changes, hint.clone()));
        hint
    }

    fn follow_subset(&self, base: ClusterName<'_>, subset: &str, service: &Service, needs: &mut Vec<Need>) -> Answer {
        let resolved: Arc<str> = format!("{}:{}/{subset}", base.host, base.port).into();
        if !service.lists(base.port, subset) {
            let known: Vec<&str> =
                service.ports.get(&base.port).into_iter().flatten().map(|s| &**s).filter(|s| !s.is_empty()).collect();
            let known = if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
            let detail = format!("no DestinationRule defines subset {subset} of {}; {known}", base.host);
            return Answer::Complete(Settled::without_list(State::Invalid(Invalid::UndefinedSubset), resolved, detail));
        }
        let cluster = ClusterName { subset, ..base }.to_string();
        self.follow_shares(&[Share { cluster: cluster.into(), weight: 1 }], resolved, None, String::new(), needs)
    }

    fn follow_route(&self, base: ClusterName<'_>, needs: &mut Vec<Need>) -> Answer {
        let resolved: Arc<str> = format!("{}:{}", base.host, base.port).into();
        let own = [Share { cluster: base.to_string().into(), weight: 1 }];
        if !self.rules.routes {
            return self.follow_shares(&own, resolved, None, String::new(), needs);
        }
        let routes = routes_name(base.host, base.port);
        needs.push((Kind::Routes, Arc::clone(&routes)));
        // Asked for together with the route: most routes lead to the service's own cluster, so that one answer completes both.
        let Some(table) = self.routes.get(&routes) else {
            self.want_cluster(&own[0].cluster, needs);
            return Answer::Waiting;
        };
        match table {
            Some(table) => self.follow_table(table, &resolved, &resolved, &own, needs),
            None => self.follow_shares(&own, resolved, None, String::new(), needs),
        }
    }

    /// As a gRPC client: of the names that may be meant, the first that has a listener is meant.
    fn choose_listener(&self, host: &str, port: u16, needs: &mut Vec<Need>) -> Chosen {
        let (mut best, mut better_may_come) = (None, false);
        for host in self.rules.naming.candidates(host) {
            let Some(name) = self.rules.listeners.of(None, &format!("{host}:{port}")) else { continue };
            needs.push((Kind::Listener, Arc::clone(&name)));
            match self.listeners.get(&name) {
                Some(Some(_)) if best.is_none() => best = Some((host, name)),
                None if best.is_none() => better_may_come = true,
                _ => {}
            }
        }
        match best {
            Some((host, listener)) => Chosen::Listener { host, listener, better_may_come },
            None if better_may_come => Chosen::Waiting,
            None => Chosen::Nothing,
        }
    }

    fn follow_by_name(&self, host: &str, listener: &Arc<str>, port: u16, subset: Option<&str>, needs: &mut Vec<Need>) -> Answer {
        // Istio names the routes of a listener by the service's full name, which a short one was resolved to.
        let routes = self.listeners.get(listener).and_then(Option::as_ref);
        let full = match routes.map(|listener| &**listener) {
            Some(ListenerRoutes::Rds(name)) => ClusterName::parse(name),
            _ => None,
        };
        let own = full.unwrap_or(ClusterName { host, port, subset: "" });
        match subset {
            Some(subset) => self.follow_named_subset(ClusterName { subset, ..own }, needs),
            None => {
                let resolved: Arc<str> = format!("{}:{}", own.host, own.port).into();
                let shares = [Share { cluster: own.to_string().into(), weight: 1 }];
                match self.follow_listener(listener, &resolved, &resolved, &shares, needs) {
                    Found::Yes(answer) => answer,
                    Found::No | Found::NotYet => Answer::Waiting,
                }
            }
        }
    }

    fn follow_named_subset(&self, name: ClusterName<'_>, needs: &mut Vec<Need>) -> Answer {
        let resolved: Arc<str> = format!("{}:{}/{}", name.host, name.port, name.subset).into();
        let cluster: Arc<str> = name.to_string().into();
        if let Found::No = self.cluster(&cluster) {
            needs.push((Kind::Cluster, cluster));
            let detail = format!("the control plane has no subset {} of {}", name.subset, name.host);
            return Answer::Complete(Settled::without_list(State::Invalid(Invalid::UndefinedSubset), resolved, detail));
        }
        self.follow_shares(&[Share { cluster, weight: 1 }], resolved, None, String::new(), needs)
    }

    /// What a listener leads to for an authority; `own` are the clusters of a route table that leaves everything open.
    fn follow_listener(
        &self,
        name: &Arc<str>,
        authority: &str,
        resolved: &Arc<str>,
        own: &[Share],
        needs: &mut Vec<Need>,
    ) -> Found<Answer> {
        needs.push((Kind::Listener, Arc::clone(name)));
        let nowhere = |detail: String| {
            Found::Yes(Answer::Complete(Settled::without_list(State::Invalid(Invalid::NoList), Arc::clone(resolved), detail)))
        };
        let table = match self.listeners.get(name) {
            None => return Found::NotYet,
            Some(None) => return Found::No,
            Some(Some(listener)) => match &**listener {
                ListenerRoutes::None(why) => return nowhere(format!("listener {name}: {why}")),
                ListenerRoutes::Inline(table) => table,
                ListenerRoutes::Rds(routes) => {
                    needs.push((Kind::Routes, Arc::clone(routes)));
                    match self.routes.get(routes) {
                        None => return Found::Yes(Answer::Waiting),
                        Some(None) => return nowhere(format!("listener {name} names routes {routes}, which do not exist")),
                        Some(Some(table)) => table,
                    }
                }
            },
        };
        Found::Yes(self.follow_table(table, authority, resolved, own, needs))
    }

    fn follow_cluster(&self, name: &str, needs: &mut Vec<Need>) -> Answer {
        let name: Arc<str> = name.into();
        match self.cluster(&name) {
            Found::Yes(_) => {
                self.follow_shares(&[Share { cluster: Arc::clone(&name), weight: 1 }], name, None, String::new(), needs)
            }
            found => {
                needs.push((Kind::Cluster, name));
                match found {
                    Found::No => Answer::Complete(Settled::without_list(State::Unknown, "".into(), String::new())),
                    _ => Answer::Waiting,
                }
            }
        }
    }

    pub(super) fn follow_shares(
        &self,
        shares: &[Share],
        resolved: Arc<str>,
        routes: Option<&Arc<[Route]>>,
        warning: String,
        needs: &mut Vec<Need>,
    ) -> Answer {
        let mut reached = Vec::with_capacity(shares.len());
        let mut parts = Vec::with_capacity(shares.len());
        let (mut waiting, mut missing) = (false, Vec::<Arc<str>>::new());
        for share in shares {
            let name = self.listed_name(&share.cluster);
            let cluster = match self.want_cluster(&name, needs) {
                Found::Yes(cluster) => cluster,
                Found::No => {
                    missing.push(name);
                    continue;
                }
                Found::NotYet => {
                    waiting = true;
                    continue;
                }
            };
            if let Some(refusal) = self.refuse(&name, cluster) {
                return Answer::Complete(Settled::without_list(State::Invalid(refusal.0), resolved, refusal.1));
            }
            reached.push(Reached { cluster: name, weight: share.weight, tls: cluster.tls, policy: Arc::clone(&cluster.policy) });
            match self.assignment(cluster) {
                Found::Yes(assignment) => parts.push((assignment, share.weight, cluster.locality_weighted || self.rules.by_name)),
                Found::No => {}
                Found::NotYet => waiting = true,
            }
        }
        if waiting {
            return Answer::Waiting;
        }
        if missing.len() == shares.len() {
            let detail = format!("the route leads to {}, which the control plane does not list", missing.join(", "));
            return Answer::Doubtful(Settled::without_list(State::Invalid(Invalid::RouteToUnknownCluster), resolved, detail));
        }
        let detail = if missing.is_empty() {
            warning
        } else {
            format!("part of the route leads to {}, which is not listed", missing.join(", "))
        };
        let parts: Vec<Part<'_>> = parts
            .iter()
            .map(|(assignment, share, locality_weighted)| Part { assignment, share: *share, locality_weighted: *locality_weighted })
            .collect();
        let list = Arc::new(effective(&parts));
        let traffic = Some(Arc::new(Traffic { routes: routes.map(Arc::clone), clusters: reached.into() }));
        let settled = Settled { resolved, state: State::Ready, detail, partial: !missing.is_empty(), list, traffic };
        if missing.is_empty() { Answer::Complete(settled) } else { Answer::Doubtful(settled) }
    }

    /// The name under which CDS lists a cluster: istiod lowers hosts in routes, and not in the names of clusters.
    fn listed_name(&self, name: &Arc<str>) -> Arc<str> {
        if self.by_name(name) || self.clusters.contains_key(name) {
            return Arc::clone(name);
        }
        let listed = ClusterName::parse(name).and_then(|parsed| {
            let (host, _) = self.directory.get(parsed.host)?;
            Some(ClusterName { host, ..parsed }.to_string().into())
        });
        listed.unwrap_or_else(|| Arc::clone(name))
    }

    /// The cluster, with a need for it and for its assignment.
    fn want_cluster(&self, name: &Arc<str>, needs: &mut Vec<Need>) -> Found<&Arc<Cluster>> {
        needs.push((Kind::Cluster, Arc::clone(name)));
        let found = self.cluster(name);
        if let Found::Yes(cluster) = found
            && let Discovery::Eds(service) | Discovery::OriginalDst(service) = &cluster.discovery
        {
            needs.push((Kind::Endpoints, Arc::clone(service)));
        }
        found
    }

    fn refuse(&self, name: &str, cluster: &Cluster) -> Option<(Invalid, String)> {
        match &cluster.discovery {
            Discovery::None(kind) => return Some((Invalid::NoList, format!("cluster {name} has no endpoint list ({kind})"))),
            Discovery::OriginalDst(_) => match self.assignment(cluster) {
                Found::Yes(assignment) if !assignment.endpoints.is_empty() => {}
                Found::NotYet => {}
                Found::Yes(_) | Found::No => {
                    return Some((Invalid::NoList, format!("cluster {name} has no endpoint list (ORIGINAL_DST), or no endpoint")));
                }
            },
            Discovery::Eds(_) | Discovery::Inline(_) => {}
        }
        let allowed = || {
            let parsed = ClusterName::parse(name);
            self.rules.allow_plaintext.iter().any(|allowed| {
                let means = |host: &str| allowed.eq_ignore_ascii_case(host);
                allowed == name || parsed.is_some_and(|p| means(p.host) || means(&format!("{}:{}", p.host, p.port)))
            })
        };
        (cluster.tls == Tls::Required && !allowed()).then(|| {
            let detail = format!(
                "a DestinationRule demands TLS for {name}, which this client does not originate; allow_plaintext lifts this"
            );
            (Invalid::TlsRequired, detail)
        })
    }
}
