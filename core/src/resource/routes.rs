// SPDX-License-Identifier: Apache-2.0
//! RouteConfiguration: which requests go where, and how.

use std::{collections::HashMap, sync::Arc};

use envoy_types::pb::{
    envoy::{
        config::route::v3::{
            RedirectAction, RetryPolicy as ProtoRetry, Route as ProtoRoute, RouteAction, RouteConfiguration,
            VirtualHost as ProtoHost, WeightedCluster,
            redirect_action::RedirectResponseCode,
            retry_policy::retry_priority,
            route::Action as ProtoAction,
            route_action::{ClusterSpecifier, RequestMirrorPolicy},
        },
        extensions::{
            filters::{
                common::fault::v3::{FaultDelay, fault_delay::FaultDelaySecifier},
                http::fault::v3::{FaultAbort, HttpFault, fault_abort::ErrorType},
            },
            retry::priority::previous_priorities::v3::PreviousPrioritiesConfig,
        },
    },
    google::protobuf::Any,
};
use prost::Message;

use super::{
    References,
    condition::{self, fraction, runtime_fraction},
    policy::{duration, number},
};
use crate::{
    model::{
        Abort, AbortStatus, Action, Delay, Fault, Forward, Fraction, Mirror, OtherAction, RetryPolicy, Route, RouteTable, Share,
        VirtualHost,
    },
    protocol::Kind,
};

/// The filter whose settings of a route are its faults.
pub(super) const FAULT: &str = "envoy.filters.http.fault";
pub(super) const FAULT_TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
const PREVIOUS_HOSTS: &str = "envoy.retry_host_predicates.previous_hosts";
pub(super) const PREVIOUS_PRIORITIES: &str = "envoy.retry_priorities.previous_priorities";

pub(super) fn decode(body: &[u8], references: &References) -> Result<RouteTable, String> {
    convert(&RouteConfiguration::decode(body).map_err(|error| format!("does not decode: {error}"))?, references)
}

pub(super) fn convert(proto: &RouteConfiguration, references: &References) -> Result<RouteTable, String> {
    let hosts = proto.virtual_hosts.iter().map(|host| virtual_host(proto, host, references));
    Ok(RouteTable { hosts: hosts.collect::<Result<_, _>>()? })
}

fn virtual_host(table: &RouteConfiguration, proto: &ProtoHost, references: &References) -> Result<VirtualHost, String> {
    let inherited = Inherited {
        retry: proto.retry_policy.as_ref(),
        mirrors: [&proto.request_mirror_policies, &table.request_mirror_policies],
        filters: [&proto.typed_per_filter_config, &table.typed_per_filter_config],
    };
    let routes = proto.routes.iter().map(|route| inherited.route(route)).collect::<Result<Vec<_>, _>>()?;
    for route in &routes {
        if let Action::Forward(forward) = &route.action {
            forward.clusters.iter().try_for_each(|share| references.check(Kind::Cluster, &share.cluster))?;
        }
    }
    let domains = proto.domains.iter().map(|domain| domain.to_ascii_lowercase().into());
    Ok(VirtualHost { domains: domains.collect(), routes: routes.into() })
}

/// What counts for a route that does not say it itself; nearest first.
struct Inherited<'a> {
    retry: Option<&'a ProtoRetry>,
    mirrors: [&'a Vec<RequestMirrorPolicy>; 2],
    filters: [&'a HashMap<String, Any>; 2],
}

impl Inherited<'_> {
    fn route(&self, proto: &ProtoRoute) -> Result<Route, String> {
        let at = |reason| match proto.name.as_str() {
            "" => format!("a route: {reason}"),
            name => format!("route {name:?}: {reason}"),
        };
        self.parts(proto).map_err(at)
    }

    fn parts(&self, proto: &ProtoRoute) -> Result<Route, String> {
        let condition = condition::convert(proto.r#match.as_ref().ok_or("it has no match")?)?;
        let action = match &proto.action {
            Some(ProtoAction::Route(action)) => self.forward(action)?,
            Some(ProtoAction::Redirect(redirect)) => other("redirect", Some(redirect_status(redirect))),
            Some(ProtoAction::DirectResponse(response)) => other("direct_response", Some(response.status)),
            Some(ProtoAction::FilterAction(_)) => other("filter_action", None),
            Some(ProtoAction::NonForwardingAction(_)) => other("non_forwarding_action", None),
            None => other("unknown", None),
        };
        let [host, table] = self.filters;
        let any = [&proto.typed_per_filter_config, host, table]
            .into_iter()
            .find_map(|filters| filters.get(FAULT).filter(|any| any.type_url == FAULT_TYPE));
        let fault = any.map(fault).transpose()?;
        Ok(Route { name: proto.name.as_str().into(), condition, action, fault })
    }

    fn forward(&self, action: &RouteAction) -> Result<Action, String> {
        let clusters = match &action.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) if name.is_empty() => return Err("its cluster name is empty".into()),
            Some(ClusterSpecifier::Cluster(name)) => Arc::new([Share { cluster: name.as_str().into(), weight: 1 }]),
            Some(ClusterSpecifier::WeightedClusters(weighted)) => shares(weighted)?,
            Some(ClusterSpecifier::ClusterHeader(_)) => return Ok(other("cluster_header", None)),
            _ => return Ok(other("unknown", None)),
        };
        let [host, table] = self.mirrors;
        let mirrors = [&action.request_mirror_policies, host, table].into_iter().find(|mirrors| !mirrors.is_empty());
        Ok(Action::Forward(Forward {
            clusters,
            timeout: duration("timeout", action.timeout.as_ref())?,
            retry_policy: action.retry_policy.as_ref().or(self.retry).map(retry).transpose()?,
            request_mirror_policies: mirrors.into_iter().flatten().map(mirror).collect::<Result<_, _>>()?,
        }))
    }
}

fn other(action: &'static str, status: Option<u32>) -> Action {
    Action::Other(OtherAction { action, status })
}

fn redirect_status(proto: &RedirectAction) -> u32 {
    match proto.response_code() {
        RedirectResponseCode::MovedPermanently => 301,
        RedirectResponseCode::Found => 302,
        RedirectResponseCode::SeeOther => 303,
        RedirectResponseCode::TemporaryRedirect => 307,
        RedirectResponseCode::PermanentRedirect => 308,
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

fn retry(proto: &ProtoRetry) -> Result<RetryPolicy, String> {
    let num_retries = number(proto.num_retries);
    if num_retries == Some(0) {
        return Err("retry_policy.num_retries: 0 is no number of retries".into());
    }
    let (mut base_interval, mut max_interval) = (None, None);
    if let Some(backoff) = &proto.retry_back_off {
        base_interval = duration("retry_policy.retry_back_off.base_interval", backoff.base_interval.as_ref())?;
        max_interval = duration("retry_policy.retry_back_off.max_interval", backoff.max_interval.as_ref())?;
        if base_interval.is_none_or(|base| base.is_zero()) || max_interval.is_some_and(|max| max.is_zero()) {
            return Err("retry_policy.retry_back_off: intervals above zero are expected".into());
        }
    }
    let priority = proto.retry_priority.as_ref().filter(|priority| priority.name == PREVIOUS_PRIORITIES);
    let update_frequency = priority.and_then(|priority| priority.config_type.as_ref()).map(|config| {
        let retry_priority::ConfigType::TypedConfig(any) = config;
        PreviousPrioritiesConfig::decode(any.value.as_slice()).map(|config| config.update_frequency)
    });
    Ok(RetryPolicy {
        retry_on: proto.retry_on.as_str().into(),
        num_retries,
        per_try_timeout: duration("retry_policy.per_try_timeout", proto.per_try_timeout.as_ref())?,
        retriable_status_codes: proto.retriable_status_codes.clone(),
        base_interval,
        max_interval,
        avoid_previous_hosts: proto.retry_host_predicate.iter().any(|predicate| predicate.name == PREVIOUS_HOSTS),
        previous_priorities_update_frequency: update_frequency
            .transpose()
            .map_err(|error| format!("retry_policy.retry_priority: {error}"))?
            .and_then(|frequency| u32::try_from(frequency).ok()),
    })
}

fn mirror(proto: &RequestMirrorPolicy) -> Result<Mirror, String> {
    let share = proto.runtime_fraction.as_ref().map(runtime_fraction).transpose()?;
    Ok(Mirror { cluster: proto.cluster.as_str().into(), runtime_fraction: share.unwrap_or(Fraction::ALL) })
}

fn fault(any: &Any) -> Result<Fault, String> {
    let proto = HttpFault::decode(any.value.as_slice()).map_err(|error| format!("its fault: {error}"))?;
    Ok(Fault { delay: proto.delay.as_ref().map(delay).transpose()?, abort: proto.abort.as_ref().map(abort).transpose()? })
}

fn delay(proto: &FaultDelay) -> Result<Delay, String> {
    let fixed = match &proto.fault_delay_secifier {
        Some(FaultDelaySecifier::FixedDelay(fixed)) => Some(fixed),
        _ => None,
    };
    Ok(Delay {
        fixed_delay: duration("fault.delay.fixed_delay", fixed)?,
        percentage: proto.percentage.as_ref().map_or(Ok(Fraction::default()), fraction)?,
    })
}

fn abort(proto: &FaultAbort) -> Result<Abort, String> {
    let status = match &proto.error_type {
        Some(ErrorType::HttpStatus(status)) => AbortStatus::HttpStatus(*status),
        Some(ErrorType::GrpcStatus(status)) => AbortStatus::GrpcStatus(*status),
        Some(ErrorType::HeaderAbort(_)) => AbortStatus::HeaderAbort(()),
        None => return Err("fault.abort: it does not say with what".into()),
    };
    Ok(Abort { status, percentage: proto.percentage.as_ref().map_or(Ok(Fraction::default()), fraction)? })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use envoy_types::pb::{
        envoy::{
            config::route::v3::{
                DirectResponseAction, HeaderMatcher, RouteMatch,
                header_matcher::HeaderMatchSpecifier,
                retry_policy::{RetryBackOff, RetryHostPredicate},
                route_match::PathSpecifier,
                weighted_cluster::ClusterWeight,
            },
            r#type::v3::{FractionalPercent, fractional_percent::DenominatorType},
        },
        google::protobuf::{Duration as ProtoDuration, UInt32Value},
    };

    use super::*;
    use crate::route::default_route;

    fn prefix(path: &str) -> RouteMatch {
        RouteMatch { path_specifier: Some(PathSpecifier::Prefix(path.into())), ..Default::default() }
    }

    fn to(specifier: ClusterSpecifier) -> Option<ProtoAction> {
        Some(ProtoAction::Route(RouteAction { cluster_specifier: Some(specifier), ..Default::default() }))
    }

    fn table(routes: Vec<ProtoRoute>) -> Result<RouteTable, String> {
        let host = ProtoHost { routes, ..Default::default() };
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

    fn default_action(table: &RouteTable) -> Option<&Action> {
        Some(&default_route(&table.hosts[0].routes)?.action)
    }

    fn shares_of(table: &RouteTable) -> Vec<(&str, u32)> {
        let Some(Action::Forward(forward)) = default_action(table) else { panic!("forwards") };
        forward.clusters.iter().map(|s| (&*s.cluster, s.weight)).collect()
    }

    #[test]
    fn the_first_unconditional_route_decides() {
        let header = HeaderMatcher {
            name: "x".into(),
            header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
            ..Default::default()
        };
        let conditional = ProtoRoute {
            r#match: Some(RouteMatch { headers: vec![header], ..prefix("/") }),
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
    fn a_route_that_answers_itself_says_with_which_status() {
        let answered = |action| {
            let table = table(vec![ProtoRoute { r#match: Some(prefix("/")), action: Some(action), ..Default::default() }]);
            let Some(Action::Other(other)) = default_action(&table.expect("valid")).cloned() else { panic!("not forwarded") };
            (other.to_string(), other.is_an_answer())
        };
        let direct = DirectResponseAction { status: 503, ..Default::default() };
        assert_eq!(answered(ProtoAction::DirectResponse(direct)), ("direct_response 503".into(), true));
        let status_of = |code: RedirectResponseCode| {
            answered(ProtoAction::Redirect(RedirectAction { response_code: code as i32, ..Default::default() })).0
        };
        let all = [
            (RedirectResponseCode::MovedPermanently, "redirect 301"),
            (RedirectResponseCode::Found, "redirect 302"),
            (RedirectResponseCode::SeeOther, "redirect 303"),
            (RedirectResponseCode::TemporaryRedirect, "redirect 307"),
            (RedirectResponseCode::PermanentRedirect, "redirect 308"),
        ];
        for (code, said) in all {
            assert_eq!(status_of(code), said);
        }
        let header = to(ClusterSpecifier::ClusterHeader("x".into())).expect("an action");
        assert_eq!(answered(header), ("cluster_header".into(), false));
        let path = ProtoRoute { r#match: Some(prefix("/a")), action: weighted(&[("c", 1)]), ..Default::default() };
        assert_eq!(default_action(&table(vec![path]).expect("valid")), None, "only some requests");
    }

    #[test]
    fn every_virtual_host_comes_with_its_domains_and_its_own_settings() {
        let host = |domain: &str, count| ProtoHost {
            domains: vec![domain.into()],
            routes: vec![forwarding(|_| {})],
            retry_policy: Some(retries(count)),
            ..Default::default()
        };
        let proto = RouteConfiguration { virtual_hosts: vec![host("A.b", 3), host("*", 4)], ..Default::default() };
        let table = convert(&proto, &References::default()).expect("valid");
        let seen = table.hosts.iter().map(|host| {
            let Action::Forward(forward) = &host.routes[0].action else { panic!("forwards") };
            (&*host.domains[0], forward.retry_policy.as_ref().and_then(|retry| retry.num_retries))
        });
        assert_eq!(seen.collect::<Vec<_>>(), [("a.b", Some(3)), ("*", Some(4))], "domains in lower case");
    }

    #[test]
    fn weights_that_cannot_be_honoured_reject_the_routes() {
        let all = |action| table(vec![ProtoRoute { r#match: Some(prefix("")), action, ..Default::default() }]);
        assert!(all(weighted(&[("a", 0)])).is_err());
        assert!(all(weighted(&[("a", u32::MAX), ("b", 1)])).is_err());
        assert!(table(vec![ProtoRoute::default()]).is_err(), "a route without a match");
    }

    fn seconds(seconds: i64) -> Option<ProtoDuration> {
        Some(ProtoDuration { seconds, nanos: 0 })
    }

    fn retries(count: u32) -> ProtoRetry {
        ProtoRetry {
            retry_on: "5xx,reset".into(),
            num_retries: Some(UInt32Value { value: count }),
            per_try_timeout: seconds(1),
            retry_host_predicate: vec![RetryHostPredicate { name: PREVIOUS_HOSTS.into(), config_type: None }],
            ..Default::default()
        }
    }

    fn forwarding(change: impl FnOnce(&mut RouteAction)) -> ProtoRoute {
        let mut action = RouteAction { cluster_specifier: Some(ClusterSpecifier::Cluster("c".into())), ..Default::default() };
        change(&mut action);
        ProtoRoute { r#match: Some(prefix("/")), action: Some(ProtoAction::Route(action)), ..Default::default() }
    }

    fn first(host: ProtoHost) -> Result<(Forward, Option<Fault>), String> {
        let table = convert(&RouteConfiguration { virtual_hosts: vec![host], ..Default::default() }, &References::default())?;
        let route = &table.hosts[0].routes[0];
        let Action::Forward(forward) = route.action.clone() else { panic!("forwards") };
        Ok((forward, route.fault.clone()))
    }

    #[test]
    fn how_a_request_is_sent_comes_with_its_route() {
        let share =
            |numerator, denominator: DenominatorType| Some(FractionalPercent { numerator, denominator: denominator as i32 });
        let mut route = forwarding(|action| {
            action.timeout = seconds(3);
            action.retry_policy = Some(retries(4));
            action.request_mirror_policies = vec![RequestMirrorPolicy { cluster: "shadow".into(), ..Default::default() }];
        });
        let fault = HttpFault {
            delay: Some(FaultDelay {
                percentage: share(125_000, DenominatorType::Million),
                fault_delay_secifier: seconds(2).map(FaultDelaySecifier::FixedDelay),
            }),
            abort: Some(FaultAbort {
                percentage: share(30, DenominatorType::Hundred),
                error_type: Some(ErrorType::HttpStatus(503)),
                ..Default::default()
            }),
            ..Default::default()
        };
        let any = Any { type_url: FAULT_TYPE.into(), value: fault.encode_to_vec() };
        route.typed_per_filter_config.insert(FAULT.into(), any);
        let (forward, fault) = first(ProtoHost { routes: vec![route], ..Default::default() }).expect("valid");
        assert_eq!(forward.timeout, Some(Duration::from_secs(3)));
        let retry = forward.retry_policy.expect("retries");
        assert_eq!((&*retry.retry_on, retry.num_retries, retry.avoid_previous_hosts), ("5xx,reset", Some(4), true));
        assert_eq!(retry.per_try_timeout, Some(Duration::from_secs(1)));
        let shadow = Mirror { cluster: "shadow".into(), runtime_fraction: Fraction::ALL };
        assert_eq!(forward.request_mirror_policies, [shadow]);
        let expected = Fault {
            delay: Some(Delay { fixed_delay: Some(Duration::from_secs(2)), percentage: Fraction::from_percent(12.5) }),
            abort: Some(Abort { status: AbortStatus::HttpStatus(503), percentage: Fraction::from_percent(30.0) }),
        };
        assert_eq!(fault, Some(expected));
    }

    #[test]
    fn a_route_that_says_nothing_itself_is_sent_as_its_virtual_host_says() {
        let routes = vec![forwarding(|_| {}), forwarding(|action| action.retry_policy = Some(retries(1)))];
        let host = ProtoHost { routes, retry_policy: Some(retries(7)), ..Default::default() };
        let retries_of = |host: ProtoHost| first(host).expect("valid").0.retry_policy.expect("retries").num_retries;
        assert_eq!(retries_of(host.clone()), Some(7));
        let own = ProtoHost { routes: host.routes[1..].to_vec(), ..host };
        assert_eq!(retries_of(own), Some(1));
    }

    #[test]
    fn retries_that_make_no_sense_reject_the_routes() {
        let with = |retry: ProtoRetry| {
            first(ProtoHost { routes: vec![forwarding(|action| action.retry_policy = Some(retry))], ..Default::default() })
        };
        let backoff = |base, max| Some(RetryBackOff { base_interval: base, max_interval: max });
        assert!(with(ProtoRetry { retry_back_off: backoff(seconds(1), None), ..retries(1) }).is_ok());
        for wrong in [
            retries(0),
            ProtoRetry { retry_back_off: backoff(None, None), ..retries(1) },
            ProtoRetry { retry_back_off: backoff(seconds(1), seconds(0)), ..retries(1) },
            ProtoRetry { per_try_timeout: seconds(-1), ..retries(1) },
        ] {
            let error = with(wrong).expect_err("refused");
            assert!(error.starts_with("a route: retry_policy"), "{error}");
        }
    }

    #[test]
    fn a_table_without_a_virtual_host_is_valid() {
        let table = decode(&RouteConfiguration::default().encode_to_vec(), &References::default()).expect("valid");
        assert!(table.hosts.is_empty());
    }
}
