// SPDX-License-Identifier: Apache-2.0
//! RouteConfiguration: which clusters an ordinary request reaches.

use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::{
    Route as ProtoRoute, RouteAction, RouteConfiguration, RouteMatch, WeightedCluster, route::Action as ProtoAction,
    route_action::ClusterSpecifier, route_match::PathSpecifier,
};
use prost::Message;

use super::References;
use crate::{
    model::{Action, Route, RouteTable, Share},
    protocol::Kind,
};

pub(super) fn decode(body: &[u8], references: &References) -> Result<RouteTable, String> {
    convert(&RouteConfiguration::decode(body).map_err(|error| format!("does not decode: {error}"))?, references)
}

pub(super) fn convert(proto: &RouteConfiguration, references: &References) -> Result<RouteTable, String> {
    // Under a name of the `host:port` kind there is one virtual host; Istio rewrites its domains to `*`.
    let Some(host) = proto.virtual_hosts.first() else {
        return Ok(RouteTable::default());
    };
    let routes = host.routes.iter().map(route).collect::<Result<Vec<_>, _>>()?;
    for route in &routes {
        if let Action::Forward(shares) = &route.action {
            shares.iter().try_for_each(|share| references.check(Kind::Cluster, &share.cluster))?;
        }
    }
    Ok(RouteTable { has_host: true, routes: routes.into() })
}

fn route(proto: &ProtoRoute) -> Result<Route, String> {
    let at = || if proto.name.is_empty() { "a route".to_owned() } else { format!("route {:?}", proto.name) };
    let condition = proto.r#match.as_ref().ok_or_else(|| format!("{} has no match", at()))?;
    let action = match &proto.action {
        Some(ProtoAction::Route(action)) => forward(action).map_err(|reason| format!("{}: {reason}", at()))?,
        _ => Action::Other,
    };
    Ok(Route { unconditional: is_unconditional(condition), action })
}

fn is_unconditional(condition: &RouteMatch) -> bool {
    let any_path = match &condition.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => prefix.is_empty() || prefix == "/",
        _ => false,
    };
    any_path
        && condition.headers.is_empty()
        && condition.query_parameters.is_empty()
        && condition.runtime_fraction.is_none()
        && condition.grpc.is_none()
        && condition.tls_context.is_none()
        && condition.dynamic_metadata.is_empty()
}

fn forward(action: &RouteAction) -> Result<Action, String> {
    match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) if name.is_empty() => Err("its cluster name is empty".into()),
        Some(ClusterSpecifier::Cluster(name)) => {
            Ok(Action::Forward(Arc::new([Share { cluster: name.as_str().into(), weight: 1 }])))
        }
        Some(ClusterSpecifier::WeightedClusters(weighted)) => shares(weighted).map(Action::Forward),
        _ => Ok(Action::Other),
    }
}

fn shares(weighted: &WeightedCluster) -> Result<Arc<[Share]>, String> {
    let mut shares = Vec::with_capacity(weighted.clusters.len());
    let mut total = 0u64;
    for cluster in &weighted.clusters {
        let weight = cluster.weight.as_ref().map_or(0, |weight| weight.value);
        total += u64::from(weight);
        if weight > 0 && !cluster.name.is_empty() {
            shares.push(Share { cluster: cluster.name.as_str().into(), weight });
        }
    }
    match total {
        0 => Err("the weights of its clusters are all zero".into()),
        1..=0xffff_ffff => Ok(shares.into()),
        _ => Err(format!("the weights of its clusters sum to {total}, above 2^32-1")),
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::{
        envoy::config::route::v3::{HeaderMatcher, RedirectAction, VirtualHost, weighted_cluster::ClusterWeight},
        google::protobuf::UInt32Value,
    };

    use super::*;

    fn prefix(path: &str) -> RouteMatch {
        RouteMatch { path_specifier: Some(PathSpecifier::Prefix(path.into())), ..Default::default() }
    }

    fn to(specifier: ClusterSpecifier) -> Option<ProtoAction> {
        Some(ProtoAction::Route(RouteAction { cluster_specifier: Some(specifier), ..Default::default() }))
    }

    fn table(routes: Vec<ProtoRoute>) -> Result<RouteTable, String> {
        let host = VirtualHost { routes, ..Default::default() };
        decode(&RouteConfiguration { virtual_hosts: vec![host], ..Default::default() }.encode_to_vec(), &References::default())
    }

    fn weighted(parts: &[(&str, u32)]) -> Option<ProtoAction> {
        let clusters = parts
            .iter()
            .map(|(name, weight)| ClusterWeight {
                name: (*name).into(),
                weight: Some(UInt32Value { value: *weight }),
                ..Default::default()
            })
            .collect();
        to(ClusterSpecifier::WeightedClusters(WeightedCluster { clusters, ..Default::default() }))
    }

    fn shares_of(table: &RouteTable) -> Vec<(&str, u32)> {
        table.default_shares().expect("forwards").iter().map(|s| (&*s.cluster, s.weight)).collect()
    }

    #[test]
    fn the_first_unconditional_route_decides() {
        let conditional = ProtoRoute {
            r#match: Some(RouteMatch { headers: vec![HeaderMatcher::default()], ..prefix("/") }),
            action: to(ClusterSpecifier::Cluster("header".into())),
            ..Default::default()
        };
        let path =
            ProtoRoute { r#match: Some(prefix("/a")), action: to(ClusterSpecifier::Cluster("path".into())), ..Default::default() };
        let all =
            ProtoRoute { r#match: Some(prefix("/")), action: weighted(&[("v1", 80), ("v0", 0), ("v2", 20)]), ..Default::default() };
        let table = table(vec![conditional, path, all]).expect("valid");
        assert_eq!(shares_of(&table), [("v1", 80), ("v2", 20)]);
    }

    #[test]
    fn a_redirect_or_only_conditional_routes_lead_nowhere() {
        let redirect = ProtoRoute {
            r#match: Some(prefix("/")),
            action: Some(ProtoAction::Redirect(RedirectAction::default())),
            ..Default::default()
        };
        assert!(table(vec![redirect]).expect("valid").default_shares().is_none());
        let path =
            ProtoRoute { r#match: Some(prefix("/a")), action: to(ClusterSpecifier::Cluster("c".into())), ..Default::default() };
        assert!(table(vec![path]).expect("valid").default_shares().is_none());
    }

    #[test]
    fn weights_that_cannot_be_honoured_reject_the_routes() {
        let all = |action| table(vec![ProtoRoute { r#match: Some(prefix("")), action, ..Default::default() }]);
        assert!(all(weighted(&[("a", 0)])).is_err());
        assert!(all(weighted(&[("a", u32::MAX), ("b", 1)])).is_err());
        assert!(table(vec![ProtoRoute::default()]).is_err(), "a route without a match");
    }

    #[test]
    fn no_virtual_host_is_a_table_without_host() {
        let table = decode(&RouteConfiguration::default().encode_to_vec(), &References::default()).expect("valid");
        assert!(!table.has_host);
    }
}
