// SPDX-License-Identifier: Apache-2.0
//! What the control plane has told us, and what each watched target makes of it.
//!
//! Owns the accepted clusters, assignments and routes, and for every target the chain route → clusters → assignments. A target
//! is answered when its chain is complete; when a chain changes, the old answer stands until the new one is complete (make before
//! break). Only targets that a change touches are looked at again. A value: no I/O, time is an argument; subscriptions that a
//! target needs come back as changes.

mod answer;
mod chain;
mod port;
mod routed;
mod watched;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use hashbrown::HashMap;

use crate::{
    model::{Assignment, Cluster, ClusterName, Discovery, ListenerRoutes, RouteTable},
    observe::Level,
    protocol::{Effect, Gone, Kind, Time, fill_template},
    resource::Resource,
    store::Entry,
    target::{Directory, Naming, Service, Subject, Target},
};
use answer::Answer;
use watched::Watched;

/// How targets are answered.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Name resolution.
    pub naming: Naming,
    /// The control plane serves routes by `host:port`.
    pub routes: bool,
    /// Hosts (or `host:port`) whose demand for TLS may be ignored.
    pub allow_plaintext: Vec<String>,
    /// Listeners, and from them routes and clusters, are asked for by name, as gRPC clients do.
    pub by_name: bool,
    /// Who has which listener names.
    pub listeners: ListenerNames,
    /// How long an old answer stands in for an incomplete new one.
    pub patience: Duration,
    /// How long a port choice waits for routes.
    pub port_wait: Duration,
    /// How long a name that may be meant is waited for while a lesser one has a listener.
    pub name_wait: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            naming: Naming::default(),
            routes: true,
            allow_plaintext: Vec::new(),
            by_name: false,
            listeners: ListenerNames::default(),
            patience: Duration::from_secs(15),
            port_wait: Duration::from_secs(1),
            name_wait: Duration::from_millis(200),
        }
    }
}

/// How targets become listener names (gRFC A47). In a template `%s` is the target.
#[derive(Clone, Debug)]
pub struct ListenerNames {
    /// For targets without an authority.
    pub template: String,
    /// For targets with one.
    pub authorities: BTreeMap<String, String>,
}

impl Default for ListenerNames {
    fn default() -> Self {
        Self { template: "%s".into(), authorities: BTreeMap::new() }
    }
}

impl ListenerNames {
    /// The listener of a target; `None` when there is no such authority.
    pub fn of(&self, authority: Option<&str>, target: &str) -> Option<Arc<str>> {
        let template = match authority {
            None => &self.template,
            Some(authority) => self.authorities.get(authority)?,
        };
        Some(fill_template(template, target).into())
    }
}

/// What must happen after changes were applied.
#[derive(Debug, Default)]
pub struct Changes {
    /// Resources to ask for (`true`) or to let go (`false`), in order.
    pub subscriptions: Vec<(Kind, Arc<str>, bool)>,
    /// New content of slots.
    pub entries: Vec<(usize, Entry)>,
    /// For the event ring.
    pub notes: Vec<(Level, String)>,
}

/// Why a server may say nothing about a name that it has.
const WITHHELD: &str = "no answer in time, though the server is there: it has none of this name, or it gives snapshots whole \
                        (go-control-plane with ads) and says nothing until all names of its snapshot are asked for";

/// How many names a message lists.
const NAMED: usize = 5;

/// What the control plane lists, whether it is watched or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Hosts with their ports and subsets.
    pub hosts: BTreeMap<Arc<str>, Service>,
    /// Clusters with names of another kind.
    pub clusters: BTreeSet<Arc<str>>,
}

/// A resource that a target depends on.
type Need = (Kind, Arc<str>);

/// See the module documentation.
#[derive(Debug)]
pub struct Catalog {
    rules: Rules,
    /// `None` where clusters are asked for by name and there is none of this one.
    clusters: HashMap<Arc<str>, Option<Arc<Cluster>>>,
    clusters_answered: bool,
    listeners: HashMap<Arc<str>, Option<Arc<ListenerRoutes>>>,
    /// No listener that was asked for by name has ever been answered.
    withheld: bool,
    /// Why no server answers, if none does.
    unreachable: Arc<str>,
    /// Why a resource is not there, as far as a server or its content says so.
    troubles: HashMap<Need, Arc<str>>,
    directory: Directory,
    /// `None`: the server has said, or let us conclude, that there is none.
    assignments: HashMap<Arc<str>, Option<Arc<Assignment>>>,
    routes: HashMap<Arc<str>, Option<Arc<RouteTable>>>,
    targets: Vec<Option<Watched>>,
    /// Slots without a target.
    free: Vec<usize>,
    by_target: HashMap<Target, usize>,
    /// Who depends on a resource.
    users: HashMap<Need, Vec<usize>>,
    /// Who may mean a host.
    by_candidate: HashMap<String, Vec<usize>>,
    touched: BTreeSet<usize>,
    /// Who waits until when.
    deadlines: BTreeSet<(Time, usize)>,
}

impl Catalog {
    /// A catalog that knows nothing.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            clusters: HashMap::new(),
            clusters_answered: false,
            listeners: HashMap::new(),
            withheld: false,
            unreachable: "".into(),
            troubles: HashMap::new(),
            directory: Directory::default(),
            assignments: HashMap::new(),
            routes: HashMap::new(),
            targets: Vec::new(),
            free: Vec::new(),
            by_target: HashMap::new(),
            users: HashMap::new(),
            by_candidate: HashMap::new(),
            touched: BTreeSet::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Watches a target once more; returns its slot.
    pub fn watch(&mut self, target: &Target) -> usize {
        if let Some(slot) = self.by_target.get(target) {
            if let Some(Some(watched)) = self.targets.get_mut(*slot) {
                watched.watchers += 1;
            }
            return *slot;
        }
        let meant = self.rules.naming.rewrite(target);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.targets.push(None);
            self.targets.len() - 1
        });
        for candidate in self.candidates(&meant) {
            self.by_candidate.entry(candidate).or_default().push(slot);
        }
        self.targets[slot] = Some(Watched::new(target, meant));
        self.by_target.insert(target.clone(), slot);
        self.touched.insert(slot);
        slot
    }

    /// Takes one watch back; returns the slot when it was the last one of its target.
    pub fn unwatch(&mut self, target: &Target, changes: &mut Changes) -> Option<usize> {
        let slot = *self.by_target.get(target)?;
        let watched = self.targets.get_mut(slot)?.as_mut()?;
        watched.watchers -= 1;
        if watched.watchers > 0 {
            return None;
        }
        let watched = self.targets[slot].take()?;
        self.by_target.remove(target);
        self.free.push(slot);
        self.touched.remove(&slot);
        if let Some(deadline) = watched.deadline() {
            self.deadlines.remove(&(deadline, slot));
        }
        for candidate in self.candidates(&watched.meant) {
            if let Some(slots) = self.by_candidate.get_mut(&candidate) {
                slots.retain(|other| *other != slot);
                if slots.is_empty() {
                    self.by_candidate.remove(&candidate);
                }
            }
        }
        for need in watched.needs {
            self.release(slot, need, changes);
        }
        Some(slot)
    }

    /// Applies what the engine says about a resource. Effects that are not about resources are none of the catalog's business.
    pub fn apply(&mut self, effect: Effect<Resource>, changes: &mut Changes) {
        match effect {
            Effect::Update { kind, name, value, .. } => self.update(kind, name, value, changes),
            Effect::Remove { kind, name, gone } => {
                if gone == Gone::Unanswered && self.may_be_withheld(kind) {
                    changes.notes.push((Level::Warn, format!("{} {name}: {WITHHELD}", kind.short())));
                    self.withheld = true;
                }
                if gone != Gone::Refused {
                    self.troubles.remove(&(kind, Arc::clone(&name)));
                }
                self.remove(kind, &name);
            }
            Effect::Forget { kind, name } => {
                self.troubles.remove(&(kind, Arc::clone(&name)));
                match kind {
                    Kind::Endpoints => drop(self.assignments.remove(&name)),
                    Kind::Routes => drop(self.routes.remove(&name)),
                    Kind::Cluster => drop(self.clusters.remove(&name)),
                    Kind::Listener => drop(self.listeners.remove(&name)),
                }
            }
            Effect::Reject { kind, name, error } => {
                let text = format!("{} rejected: {error}", kind.short());
                if let Some(name) = name {
                    self.trouble(kind, name, &text);
                }
                changes.notes.push((Level::Warn, text));
            }
            Effect::Trouble { kind, name, error } => {
                let text = format!("{} {name}: {error}", kind.short());
                self.trouble(kind, name, &text);
                changes.notes.push((Level::Warn, text));
            }
            Effect::Clear { kind, name } => {
                self.troubles.remove(&(kind, Arc::clone(&name)));
                self.touch_users(kind, &name);
                changes.notes.push((Level::Info, format!("{} {name}: what is in use is confirmed", kind.short())));
            }
            Effect::Answered(kind) => {
                if kind == Kind::Cluster && !std::mem::replace(&mut self.clusters_answered, true) {
                    self.touch_all();
                }
                self.set_unreachable("");
            }
            Effect::Unreachable(why) => self.set_unreachable(&why),
            Effect::Yield | Effect::Send(_) | Effect::Close(_) | Effect::Connect { .. } => {}
        }
    }

    /// A silence that a server which has the name may keep: about the endpoints of clusters that it lists, or, where all is asked for
    /// by name, about every listener.
    fn may_be_withheld(&self, kind: Kind) -> bool {
        match kind {
            Kind::Endpoints => self.clusters_answered,
            Kind::Listener => self.rules.by_name && !self.withheld && self.listeners.values().all(Option::is_none),
            Kind::Routes | Kind::Cluster => false,
        }
    }

    fn trouble(&mut self, kind: Kind, name: Arc<str>, why: &str) {
        self.touch_users(kind, &name);
        self.troubles.insert((kind, name), why.into());
    }

    /// Why what is needed does not come.
    fn reason(&self, needs: &[Need]) -> Arc<str> {
        let trouble = needs.iter().find_map(|need| self.troubles.get(need));
        Arc::clone(trouble.filter(|_| self.unreachable.is_empty()).unwrap_or(&self.unreachable))
    }

    fn set_unreachable(&mut self, why: &str) {
        if *self.unreachable != *why {
            self.unreachable = why.into();
            self.touch_all();
        }
    }

    fn touch_all(&mut self) {
        self.touched.extend((0..self.targets.len()).filter(|slot| self.targets[*slot].is_some()));
    }

    /// Looks again at every touched target.
    pub fn settle(&mut self, now: Time, changes: &mut Changes) {
        while let Some(slot) = self.touched.pop_first() {
            self.look(slot, now, changes);
        }
    }

    /// Touches the targets whose waiting is over.
    pub fn on_tick(&mut self, now: Time) {
        while let Some((deadline, slot)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.deadlines.pop_first();
            self.touched.insert(slot);
        }
    }

    /// When `on_tick` is due.
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Number of hosts that CDS lists.
    pub fn hosts(&self) -> usize {
        self.directory.len()
    }

    /// Everything that CDS lists.
    pub fn listing(&self) -> Listing {
        let free_form = self.clusters.iter().filter(|(name, cluster)| cluster.is_some() && ClusterName::parse(name).is_none());
        Listing {
            hosts: self.directory.services().map(|(host, service)| (Arc::clone(host), service.clone())).collect(),
            clusters: free_form.map(|(name, _)| Arc::clone(name)).collect(),
        }
    }

    fn candidates(&self, meant: &Target) -> Vec<String> {
        match meant.subject() {
            Subject::Service { host, .. } => self.rules.naming.candidates(host),
            Subject::Cluster(_) | Subject::Listener { .. } => Vec::new(),
        }
    }

    /// A cluster is asked for by its name; else it comes with all others.
    fn by_name(&self, cluster: &str) -> bool {
        self.rules.by_name || cluster.starts_with("xdstp:")
    }

    fn is_asked_for(&self, need: &Need) -> bool {
        need.0 != Kind::Cluster || self.by_name(&need.1)
    }

    fn update(&mut self, kind: Kind, name: Arc<str>, value: Resource, changes: &mut Changes) {
        self.touch_users(kind, &name);
        self.troubles.remove(&(kind, Arc::clone(&name)));
        match value {
            Resource::Cluster(cluster) => {
                if let Some(parsed) = ClusterName::parse(&name)
                    && self.directory.add(parsed)
                {
                    self.touch_host(parsed);
                }
                self.clusters.insert(name, Some(cluster));
            }
            Resource::Assignment(assignment) => {
                let known = self.assignments.insert(Arc::clone(&name), Some(Arc::clone(&assignment))).flatten();
                if assignment.repeated > 0 && known.is_none_or(|known| known.repeated != assignment.repeated) {
                    let text =
                        format!("EDS {name}: endpoints with an address that is there before are left out: {}", assignment.repeated);
                    changes.notes.push((Level::Warn, text));
                }
            }
            Resource::Routes(table) => drop(self.routes.insert(name, Some(table))),
            Resource::Listener(listener) => {
                self.withheld = false;
                self.listeners.insert(name, Some(listener));
            }
        }
    }

    fn remove(&mut self, kind: Kind, name: &Arc<str>) {
        self.touch_users(kind, name);
        match kind {
            Kind::Cluster => {
                if self.by_name(name) {
                    self.clusters.insert(Arc::clone(name), None);
                } else {
                    self.clusters.remove(name);
                }
                if let Some(parsed) = ClusterName::parse(name) {
                    self.directory.remove(parsed);
                    self.touch_host(parsed);
                }
            }
            Kind::Endpoints => drop(self.assignments.insert(Arc::clone(name), None)),
            Kind::Routes => drop(self.routes.insert(Arc::clone(name), None)),
            Kind::Listener => drop(self.listeners.insert(Arc::clone(name), None)),
        }
    }

    fn touch_users(&mut self, kind: Kind, name: &Arc<str>) {
        if let Some(users) = self.users.get(&(kind, Arc::clone(name))) {
            self.touched.extend(users);
        }
    }

    /// What CDS lists for a host has changed: ports are chosen anew, names resolved anew.
    fn touch_host(&mut self, name: ClusterName<'_>) {
        let host = name.host.to_lowercase();
        if host != name.host {
            // Routes may name the cluster in lower case.
            self.touch_users(Kind::Cluster, &ClusterName { host: &host, ..name }.to_string().into());
        }
        let mut slots = self.by_candidate.get(&host).cloned().unwrap_or_default();
        if self.rules.naming.match_first_label
            && let Some((label, _)) = host.split_once('.')
        {
            slots.extend(self.by_candidate.get(label).into_iter().flatten());
        }
        for slot in slots {
            if let Some(Some(watched)) = self.targets.get_mut(slot) {
                watched.port = None;
                self.touched.insert(slot);
            }
        }
    }

    fn look(&mut self, slot: usize, now: Time, changes: &mut Changes) {
        let Some(mut watched) = self.targets.get_mut(slot).and_then(Option::take) else { return };
        let waited_until = watched.deadline();
        let verdict = self.follow(&mut watched, now);
        changes.notes.extend(watched.notes.drain(..).map(|note| (Level::Warn, note)));
        let stands = matches!(verdict.answer, Answer::Waiting) && watched.has_list();
        let unanswered = if stands { self.unanswered(&verdict.needs) } else { String::new() };
        let wanted: Vec<Need> = verdict.needs;
        let added: Vec<Need> = wanted.iter().filter(|need| !watched.needs.contains(need)).cloned().collect();
        let dropped: Vec<Need> = watched.needs.iter().filter(|need| !wanted.contains(need)).cloned().collect();
        // While an old answer stands in, what it needs stays subscribed: it must not go stale.
        let reason = self.reason(&wanted);
        let keep_old = watched.accept(verdict.answer, now, &self.rules, [&reason, &unanswered], changes, slot);
        watched.needs = wanted;
        if keep_old {
            watched.needs.extend(dropped.iter().cloned());
        }
        if let Some(deadline) = waited_until {
            self.deadlines.remove(&(deadline, slot));
        }
        self.deadlines.extend(watched.deadline().map(|deadline| (deadline, slot)));
        self.targets[slot] = Some(watched);
        for need in added {
            self.require(slot, need, changes);
        }
        if !keep_old {
            for need in dropped {
                self.release(slot, need, changes);
            }
        }
    }

    fn require(&mut self, slot: usize, need: Need, changes: &mut Changes) {
        let asked_for = self.is_asked_for(&need);
        let users = self.users.entry(need.clone()).or_default();
        if users.is_empty() && asked_for {
            changes.subscriptions.push((need.0, Arc::clone(&need.1), true));
        }
        if !users.contains(&slot) {
            users.push(slot);
        }
    }

    fn release(&mut self, slot: usize, need: Need, changes: &mut Changes) {
        let Some(users) = self.users.get_mut(&need) else { return };
        users.retain(|user| *user != slot);
        if users.is_empty() {
            self.users.remove(&need);
            if self.is_asked_for(&need) {
                changes.subscriptions.push((need.0, need.1, false));
            }
        }
    }

    /// What is waited for, for people.
    fn unanswered(&self, needs: &[Need]) -> String {
        let is_open = |(kind, name): &&Need| match kind {
            Kind::Endpoints => !self.assignments.contains_key(name),
            Kind::Routes => !self.routes.contains_key(name),
            Kind::Listener => !self.listeners.contains_key(name),
            Kind::Cluster => matches!(self.cluster(name), Found::NotYet),
        };
        let mut names: Vec<String> = needs.iter().filter(is_open).map(|(kind, name)| format!("{} {name}", kind.short())).collect();
        names.dedup();
        let more = names.len().saturating_sub(NAMED);
        names.truncate(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        names.join(", ") + &more
    }

    fn cluster(&self, name: &str) -> Found<&Arc<Cluster>> {
        match self.clusters.get(name) {
            Some(Some(cluster)) => Found::Yes(cluster),
            Some(None) => Found::No,
            None if self.by_name(name) || !self.clusters_answered => Found::NotYet,
            None => Found::No,
        }
    }

    fn assignment(&self, cluster: &Cluster) -> Found<Arc<Assignment>> {
        match &cluster.discovery {
            Discovery::Inline(assignment) => Found::Yes(Arc::clone(assignment)),
            Discovery::Eds(service) | Discovery::OriginalDst(service) => match self.assignments.get(service) {
                Some(Some(assignment)) => Found::Yes(Arc::clone(assignment)),
                Some(None) => Found::No,
                None => Found::NotYet,
            },
            Discovery::None(_) => Found::No,
        }
    }
}

/// The name of the routes of a host and port: istiod knows hosts in lower case here.
fn routes_name(host: &str, port: u16) -> Arc<str> {
    format!("{}:{port}", host.to_lowercase()).into()
}

/// Outcome of looking for a resource.
#[derive(Clone, Copy)]
enum Found<T> {
    Yes(T),
    No,
    NotYet,
}

#[cfg(test)]
mod tests;
