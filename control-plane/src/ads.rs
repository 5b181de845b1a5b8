// SPDX-License-Identifier: Apache-2.0
//! The server side of one ADS stream as a value.
//!
//! Behaves as istiod does towards a sidecar: CDS is always everything; EDS and RDS are answered by name, at once, also for
//! names that do not exist (an empty assignment, a route configuration without virtual hosts); after a reconnect everything is
//! sent again and what the client still names but the server has lost is listed as removed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use envoy_types::pb::{
    envoy::{
        config::{core::v3::Node, endpoint::v3::ClusterLoadAssignment, route::v3::RouteConfiguration},
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource},
    },
    google::protobuf::{Any, value::Kind},
};
use prost::Message;

/// CDS.
pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// EDS.
pub const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// RDS.
pub const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

/// Order in which changes are pushed.
const PUSH_ORDER: [&str; 3] = [CLUSTER, ENDPOINTS, ROUTES];

/// Every resource that is served, encoded, by type and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Running number of the state; the version of state-of-the-world responses.
    pub number: u64,
    types: HashMap<&'static str, BTreeMap<String, Bytes>>,
    /// What clients of these namespaces are served instead.
    views: BTreeMap<String, Arc<State>>,
}

impl State {
    /// An empty state with this number.
    pub fn new(number: u64) -> Self {
        Self { number, types: HashMap::new(), views: BTreeMap::new() }
    }

    /// Serves this to clients of a namespace.
    pub fn insert_view(&mut self, namespace: &str, state: State) {
        if state.types != self.types {
            self.views.insert(namespace.to_owned(), Arc::new(state));
        }
    }

    /// Whether everybody is served the same by another state.
    pub fn says_the_same(&self, other: &State) -> bool {
        let same_view =
            |(namespace, view): (&String, &Arc<State>)| other.views.get(namespace).is_some_and(|own| own.types == view.types);
        self.types == other.types && self.views.len() == other.views.len() && self.views.iter().all(same_view)
    }

    fn for_client(self: &Arc<Self>, namespace: &str) -> Arc<Self> {
        Arc::clone(self.views.get(namespace).unwrap_or(self))
    }

    /// Adds a resource.
    pub fn insert(&mut self, type_url: &'static str, name: String, message: &impl Message) {
        self.types.entry(type_url).or_default().insert(name, message.encode_to_vec().into());
    }

    /// The resources of a type.
    pub fn of(&self, type_url: &str) -> impl Iterator<Item = (&String, &Bytes)> {
        self.types.get(type_url).into_iter().flatten()
    }

    fn get(&self, type_url: &str, name: &str) -> Option<Bytes> {
        if let Some(found) = self.types.get(type_url).and_then(|names| names.get(name)) {
            return Some(found.clone());
        }
        // istiod answers any name of these types.
        match type_url {
            ENDPOINTS => Some(ClusterLoadAssignment { cluster_name: name.into(), ..Default::default() }.encode_to_vec().into()),
            ROUTES => Some(RouteConfiguration { name: name.into(), ..Default::default() }.encode_to_vec().into()),
            _ => None,
        }
    }
}

/// What a client has asked for of one type, and what it was sent.
#[derive(Debug, Default)]
struct Subscription {
    wildcard: bool,
    names: BTreeSet<String>,
    sent: HashMap<String, Bytes>,
    nonce: String,
}

/// One stream, of either variant.
#[derive(Debug)]
pub struct Stream {
    state: Arc<State>,
    /// Of the client, which says it once.
    namespace: String,
    types: HashMap<&'static str, Subscription>,
    nonces: u64,
}

fn known(type_url: &str) -> Option<&'static str> {
    PUSH_ORDER.into_iter().find(|known| *known == type_url)
}

impl Stream {
    /// A stream that has seen no request yet.
    pub fn new(state: Arc<State>) -> Self {
        Self { state, namespace: String::new(), types: HashMap::new(), nonces: 0 }
    }

    fn meet(&mut self, node: Option<&Node>) {
        if let Some(namespace) = node.and_then(namespace_of) {
            self.state = self.state.for_client(&namespace);
            self.namespace = namespace;
        }
    }

    /// A delta request came; the answer, if one is due.
    pub fn on_delta(&mut self, request: &DeltaDiscoveryRequest) -> Option<DeltaDiscoveryResponse> {
        self.meet(request.node.as_ref());
        let type_url = known(&request.type_url)?;
        let first = !self.types.contains_key(type_url);
        let subscription = self.types.entry(type_url).or_default();
        // An answer to a push changes nothing; one to an older push not even that.
        if !request.response_nonce.is_empty() {
            return None;
        }
        let mut asked: BTreeSet<String> = request.resource_names_subscribe.iter().cloned().collect();
        let wildcard =
            asked.remove("*") || (first && request.resource_names_subscribe.is_empty()) || (first && type_url == CLUSTER);
        subscription.wildcard |= wildcard;
        for name in &request.resource_names_unsubscribe {
            if name == "*" {
                subscription.wildcard = false;
            }
            subscription.names.remove(name);
            subscription.sent.remove(name);
        }
        subscription.names.extend(asked.iter().cloned());
        let due: BTreeSet<String> =
            if wildcard { self.state.of(type_url).map(|(name, _)| name.clone()).chain(asked).collect() } else { asked };
        let lost: Vec<String> =
            request.initial_resource_versions.keys().filter(|name| self.state.get(type_url, name).is_none()).cloned().collect();
        if due.is_empty() && lost.is_empty() && !wildcard {
            return None;
        }
        Some(self.delta(type_url, &due, lost))
    }

    /// A state-of-the-world request came; the answer, if one is due.
    pub fn on_sotw(&mut self, request: &DiscoveryRequest) -> Option<DiscoveryResponse> {
        self.meet(request.node.as_ref());
        let type_url = known(&request.type_url)?;
        let first = !self.types.contains_key(type_url);
        let subscription = self.types.entry(type_url).or_default();
        if !first && (request.response_nonce != subscription.nonce || request.error_detail.is_some()) {
            return None;
        }
        let names: BTreeSet<String> = request.resource_names.iter().cloned().collect();
        let added: BTreeSet<String> = names.difference(&subscription.names).cloned().collect();
        subscription.names = names;
        subscription.wildcard = type_url == CLUSTER;
        if subscription.wildcard {
            return first.then(|| self.sotw(type_url, None));
        }
        (!added.is_empty()).then(|| self.sotw(type_url, Some(&added)))
    }

    /// The state has changed; pushes of what changed, in order. Only one of the two lists is ever filled.
    pub fn on_state(&mut self, state: &Arc<State>, delta: bool) -> (Vec<DeltaDiscoveryResponse>, Vec<DiscoveryResponse>) {
        let state = &state.for_client(&self.namespace);
        self.state = Arc::clone(state);
        let (mut deltas, mut sotws) = (Vec::new(), Vec::new());
        for type_url in PUSH_ORDER {
            let Some(subscription) = self.types.get(type_url) else { continue };
            let wanted: BTreeSet<String> = if subscription.wildcard {
                state.of(type_url).map(|(name, _)| name.clone()).collect()
            } else {
                subscription.names.clone()
            };
            let changed: BTreeSet<String> =
                wanted.iter().filter(|name| state.get(type_url, name).as_ref() != subscription.sent.get(*name)).cloned().collect();
            let lost: Vec<String> = subscription.sent.keys().filter(|name| !wanted.contains(*name)).cloned().collect();
            if changed.is_empty() && lost.is_empty() {
                continue;
            }
            if delta {
                deltas.push(self.delta(type_url, &changed, lost));
            } else {
                sotws.push(self.sotw(type_url, (type_url != CLUSTER).then_some(&changed)));
            }
        }
        (deltas, sotws)
    }

    fn delta(&mut self, type_url: &'static str, names: &BTreeSet<String>, removed: Vec<String>) -> DeltaDiscoveryResponse {
        let nonce = self.next_nonce();
        let found: Vec<(String, Bytes)> =
            names.iter().filter_map(|name| Some((name.clone(), self.state.get(type_url, name)?))).collect();
        let subscription = self.types.entry(type_url).or_default();
        for name in &removed {
            subscription.sent.remove(name);
        }
        subscription.sent.extend(found.iter().cloned());
        subscription.nonce.clone_from(&nonce);
        DeltaDiscoveryResponse {
            system_version_info: self.state.number.to_string(),
            resources: found
                .into_iter()
                .map(|(name, body)| Resource { name, resource: Some(any(type_url, &body)), ..Default::default() })
                .collect(),
            type_url: type_url.into(),
            nonce,
            removed_resources: removed,
            ..Default::default()
        }
    }

    /// `names`: only these; else everything of the type.
    fn sotw(&mut self, type_url: &'static str, names: Option<&BTreeSet<String>>) -> DiscoveryResponse {
        let nonce = self.next_nonce();
        let found: Vec<(String, Bytes)> = match names {
            Some(names) => names.iter().filter_map(|name| Some((name.clone(), self.state.get(type_url, name)?))).collect(),
            None => self.state.of(type_url).map(|(name, body)| (name.clone(), body.clone())).collect(),
        };
        let subscription = self.types.entry(type_url).or_default();
        if names.is_none() {
            subscription.sent.clear();
        }
        subscription.sent.extend(found.iter().cloned());
        subscription.nonce.clone_from(&nonce);
        DiscoveryResponse {
            version_info: self.state.number.to_string(),
            resources: found.into_iter().map(|(_, body)| any(type_url, &body)).collect(),
            type_url: type_url.into(),
            nonce,
            ..Default::default()
        }
    }

    fn next_nonce(&mut self) -> String {
        self.nonces += 1;
        format!("{}-{}", self.state.number, self.nonces)
    }
}

/// As a sidecar says it: in its metadata, or in the domain that its id ends with.
fn namespace_of(node: &Node) -> Option<String> {
    let said = node.metadata.as_ref().and_then(|metadata| metadata.fields.get("NAMESPACE"));
    if let Some(Kind::StringValue(namespace)) = said.and_then(|value| value.kind.as_ref()) {
        return Some(namespace.clone());
    }
    let domain = node.id.split('~').nth(3)?;
    domain.split('.').next().filter(|namespace| !namespace.is_empty()).map(str::to_owned)
}

fn any(type_url: &str, body: &Bytes) -> Any {
    Any { type_url: type_url.into(), value: body.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(number: u64, clusters: &[&str]) -> Arc<State> {
        let mut state = State::new(number);
        for name in clusters {
            state.insert(CLUSTER, (*name).into(), &ClusterLoadAssignment { cluster_name: (*name).into(), ..Default::default() });
        }
        Arc::new(state)
    }

    fn subscribe(type_url: &str, names: &[&str]) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            type_url: type_url.into(),
            resource_names_subscribe: names.iter().map(|n| (*n).into()).collect(),
            ..Default::default()
        }
    }

    fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
        response.resources.iter().map(|r| r.name.as_str()).collect()
    }

    #[test]
    fn only_what_changed_is_pushed() {
        let mut stream = Stream::new(state(1, &["a", "b"]));
        let first = stream.on_delta(&subscribe(CLUSTER, &["*"])).expect("an answer");
        assert_eq!(names(&first), ["a", "b"]);
        let (pushes, _) = stream.on_state(&state(2, &["b", "c"]), true);
        assert_eq!((names(&pushes[0]), &pushes[0].removed_resources), (vec!["c"], &vec!["a".to_owned()]));
        assert!(stream.on_state(&state(3, &["b", "c"]), true).0.is_empty());
    }

    #[test]
    fn unknown_endpoints_are_answered_empty_and_a_reconnecting_client_hears_of_removals() {
        let mut stream = Stream::new(state(1, &["a"]));
        assert_eq!(names(&stream.on_delta(&subscribe(ENDPOINTS, &["nobody"])).expect("an answer")), ["nobody"]);
        let mut request = subscribe(CLUSTER, &["*"]);
        request.initial_resource_versions = HashMap::from([("gone".into(), String::new()), ("a".into(), String::new())]);
        let answer = stream.on_delta(&request).expect("an answer");
        assert_eq!((names(&answer), answer.removed_resources.as_slice()), (vec!["a"], ["gone".to_owned()].as_slice()));
    }

    #[test]
    fn state_of_the_world_ignores_stale_nonces_and_answers_added_names_only() {
        let mut stream = Stream::new(state(1, &["a"]));
        let request = |names: &[&str], nonce: &str| DiscoveryRequest {
            type_url: ENDPOINTS.into(),
            resource_names: names.iter().map(|n| (*n).into()).collect(),
            response_nonce: nonce.into(),
            ..Default::default()
        };
        let first = stream.on_sotw(&request(&["x"], "")).expect("an answer");
        assert!(stream.on_sotw(&request(&["x", "y"], "stale")).is_none());
        let second = stream.on_sotw(&request(&["x", "y"], &first.nonce)).expect("an answer");
        assert_eq!(second.resources.len(), 1);
        assert!(stream.on_sotw(&request(&["x", "y"], &second.nonce)).is_none(), "a plain ACK");
    }
}
