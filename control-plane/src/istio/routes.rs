// SPDX-License-Identifier: Apache-2.0
//! A VirtualService, or none, to the RouteConfiguration of a host and port, as istiod makes it for a sidecar.

use std::collections::HashMap;

use envoy_types::pb::{
    envoy::{
        config::{
            core::v3::{DataSource, RuntimeFractionalPercent, data_source::Specifier},
            route::v3::{
                DirectResponseAction, RedirectAction, RetryPolicy, Route, RouteAction, RouteConfiguration, VirtualHost,
                WeightedCluster,
                redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier},
                retry_policy::{RetryBackOff, RetryHostPredicate, RetryPriority, retry_host_predicate, retry_priority},
                route::Action,
                route_action::{ClusterSpecifier, RequestMirrorPolicy},
                weighted_cluster::ClusterWeight,
            },
        },
        extensions::{
            filters::{
                common::fault::v3::{FaultDelay, fault_delay::FaultDelaySecifier},
                http::fault::v3::{FaultAbort, HttpFault, fault_abort::ErrorType},
            },
            retry::{
                host::previous_hosts::v3::PreviousHostsPredicate, priority::previous_priorities::v3::PreviousPrioritiesConfig,
            },
        },
        r#type::v3::{FractionalPercent, fractional_percent::DenominatorType},
    },
    google::protobuf::{Any, UInt32Value},
};
use prost::Message;

use super::{
    duration::to_proto,
    generate::cluster_name,
    host::spelled_host,
    mesh::Object,
    route_match::{any_path, route_match, takes_everything},
    service::Port,
    virtual_service::{
        AbortStatus, DerivePort, Destination, Fault, HttpMatch, HttpRoute, Percent, Redirect, RedirectCode, Retries,
        RouteDestination, VirtualService,
    },
};

/// What istiod retries on when nobody says.
const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

pub(super) fn routes(name: &str, host: &str, port: &Port, services: &[(&Object, &VirtualService)]) -> RouteConfiguration {
    if !port.protocol.is_http() {
        return RouteConfiguration { name: name.into(), ..Default::default() };
    }
    let of_service = |(object, service): &(&Object, &VirtualService)| {
        let context = Context { namespace: &object.namespace, port: port.number };
        Some(context.all_routes(service)).filter(|routes| !routes.is_empty())
    };
    // Routes for other ports only are none.
    let routes = services.iter().find_map(of_service).unwrap_or_else(|| vec![default_route(host, port.number)]);
    let virtual_host = VirtualHost { name: name.into(), domains: vec!["*".into()], routes, ..Default::default() };
    RouteConfiguration { name: name.into(), virtual_hosts: vec![virtual_host], ..Default::default() }
}

fn default_route(host: &str, port: u16) -> Route {
    Route {
        name: "default".into(),
        r#match: Some(any_path()),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(cluster_name(host, port, ""))),
            timeout: Some(Default::default()),
            retry_policy: retry_policy(None),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// Where a VirtualService is applied.
struct Context<'a> {
    /// Completes its hosts.
    namespace: &'a str,
    /// For destinations that do not name one.
    port: u16,
}

impl Context<'_> {
    /// Up to the first that takes everything.
    fn all_routes(&self, service: &VirtualService) -> Vec<Route> {
        let mut routes: Vec<Route> = service.http.iter().flat_map(|http| self.routes(http)).collect();
        if let Some(last) = routes.iter().position(|route| route.r#match.as_ref().is_some_and(takes_everything)) {
            routes.truncate(last + 1);
        }
        routes
    }

    /// One route for every match.
    fn routes(&self, http: &HttpRoute) -> Vec<Route> {
        let action = self.action(http);
        let faults: HashMap<String, Any> = http
            .fault
            .iter()
            .map(|fault| {
                ("envoy.filters.http.fault".into(), any("envoy.extensions.filters.http.fault.v3.HTTPFault", &http_fault(fault)))
            })
            .collect();
        let to_route = |name: String, r#match| Route {
            name,
            r#match: Some(r#match),
            action: Some(action.clone()),
            typed_per_filter_config: faults.clone(),
            ..Default::default()
        };
        if http.matches.is_empty() {
            return vec![to_route(http.name.clone(), any_path())];
        }
        let name = |m: &HttpMatch| if m.name.is_empty() { http.name.clone() } else { format!("{}.{}", http.name, m.name) };
        let applied = http.matches.iter().filter(|condition| condition.applies(self.port));
        applied.map(|m| to_route(name(m), route_match(m))).collect()
    }

    fn action(&self, http: &HttpRoute) -> Action {
        if let Some(redirect) = &http.redirect {
            return Action::Redirect(self.redirect(redirect));
        }
        if let Some(response) = &http.direct_response {
            let body = response.body.as_ref();
            return Action::DirectResponse(DirectResponseAction {
                status: response.status,
                body: body
                    .map(|body| DataSource { specifier: Some(Specifier::InlineString(body.string.clone())), ..Default::default() }),
                ..Default::default()
            });
        }
        Action::Route(RouteAction {
            cluster_specifier: Some(self.specifier(&http.route)),
            timeout: Some(http.timeout.map(to_proto).unwrap_or_default()),
            retry_policy: retry_policy(http.retries.as_ref()),
            request_mirror_policies: self.mirrors(http),
            ..Default::default()
        })
    }

    fn redirect(&self, redirect: &Redirect) -> RedirectAction {
        let port = match redirect.derive_port {
            Some(DerivePort::FromRequestPort) => self.port,
            Some(DerivePort::FromProtocolDefault) => 0,
            None => redirect.port.unwrap_or_default(),
        };
        let is_default = matches!((port, redirect.scheme.as_str()), (80, "" | "http") | (443, "https"));
        RedirectAction {
            host_redirect: redirect.authority.clone(),
            path_rewrite_specifier: Some(if redirect.prefix_rewrite.is_empty() {
                PathRewriteSpecifier::PathRedirect(redirect.uri.clone())
            } else {
                PathRewriteSpecifier::PrefixRewrite(redirect.prefix_rewrite.clone())
            }),
            scheme_rewrite_specifier: Some(redirect.scheme.clone())
                .filter(|scheme| !scheme.is_empty())
                .map(SchemeRewriteSpecifier::SchemeRedirect),
            port_redirect: if is_default { 0 } else { port.into() },
            response_code: match redirect.redirect_code {
                RedirectCode::MovedPermanently => RedirectResponseCode::MovedPermanently,
                RedirectCode::Found => RedirectResponseCode::Found,
                RedirectCode::SeeOther => RedirectResponseCode::SeeOther,
                RedirectCode::TemporaryRedirect => RedirectResponseCode::TemporaryRedirect,
                RedirectCode::PermanentRedirect => RedirectResponseCode::PermanentRedirect,
            } as i32,
            ..Default::default()
        }
    }

    fn cluster(&self, destination: &Destination) -> String {
        let port = destination.port.as_ref().map_or(self.port, |port| port.number);
        cluster_name(&spelled_host(&destination.host, self.namespace), port, &destination.subset)
    }

    fn specifier(&self, destinations: &[RouteDestination]) -> ClusterSpecifier {
        let [only] = destinations else {
            // Who gets nothing is not mentioned.
            let parts = destinations.iter().filter(|part| part.weight > 0).map(|part| ClusterWeight {
                name: self.cluster(&part.destination),
                weight: Some(UInt32Value { value: part.weight }),
                ..Default::default()
            });
            return ClusterSpecifier::WeightedClusters(WeightedCluster { clusters: parts.collect(), ..Default::default() });
        };
        ClusterSpecifier::Cluster(self.cluster(&only.destination))
    }

    fn mirrors(&self, http: &HttpRoute) -> Vec<RequestMirrorPolicy> {
        let single = http.mirror.iter().map(|mirror| (mirror, http.mirror_percentage));
        let several = http.mirrors.iter().map(|mirror| (&mirror.destination, mirror.percentage));
        // A mirror of nothing is none.
        let mirrors = single.chain(several).filter(|(_, percent)| percent.is_none_or(|percent| percent.0 > 0.0));
        mirrors
            .map(|(destination, percent)| RequestMirrorPolicy {
                cluster: self.cluster(destination),
                runtime_fraction: Some(RuntimeFractionalPercent {
                    default_value: Some(
                        percent
                            .map_or(FractionalPercent { numerator: 100, denominator: DenominatorType::Hundred as i32 }, fraction),
                    ),
                    ..Default::default()
                }),
                ..Default::default()
            })
            .collect()
    }
}

fn fraction(percent: Percent) -> FractionalPercent {
    FractionalPercent { numerator: (percent.0 * 10_000.0) as u32, denominator: DenominatorType::Million as i32 }
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

/// Retries as asked for, or istiod's own; none when none are asked for.
fn retry_policy(retries: Option<&Retries>) -> Option<RetryPolicy> {
    let mut policy = RetryPolicy {
        retry_on: RETRY_ON.into(),
        num_retries: Some(UInt32Value { value: 2 }),
        retry_host_predicate: vec![previous_hosts()],
        host_selection_retry_max_attempts: 5,
        ..Default::default()
    };
    let Some(retries) = retries else { return Some(policy) };
    if retries.attempts == 0 {
        return None;
    }
    policy.num_retries = Some(UInt32Value { value: retries.attempts });
    if !retries.retry_on.is_empty() {
        (policy.retry_on, policy.retriable_status_codes) = retry_on(&retries.retry_on);
    }
    policy.per_try_timeout = retries.per_try_timeout.map(to_proto);
    if retries.retry_ignore_previous_hosts == Some(false) {
        policy.retry_host_predicate.clear();
    }
    if retries.retry_remote_localities {
        policy.retry_priority = Some(previous_priorities());
    }
    policy.retry_back_off = retries.backoff.map(|base| RetryBackOff { base_interval: Some(to_proto(base)), max_interval: None });
    Some(policy)
}

/// Words and statuses stand in one list in a VirtualService.
fn retry_on(text: &str) -> (String, Vec<u32>) {
    let status = |word: &str| {
        word.parse::<u16>().ok().filter(|status| http::StatusCode::from_u16(*status).is_ok_and(|s| s.canonical_reason().is_some()))
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let codes: Vec<u32> = parts.clone().filter_map(status).map(u32::from).collect();
    let mut words: Vec<&str> = parts.filter(|part| status(part).is_none()).collect();
    if !codes.is_empty() && !words.contains(&"retriable-status-codes") {
        words.push("retriable-status-codes");
    }
    (words.join(","), codes)
}

fn previous_hosts() -> RetryHostPredicate {
    let config = any("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate", &PreviousHostsPredicate {});
    RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".into(),
        config_type: Some(retry_host_predicate::ConfigType::TypedConfig(config)),
    }
}

fn previous_priorities() -> RetryPriority {
    let config = PreviousPrioritiesConfig { update_frequency: 2 };
    let config = any("envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", &config);
    RetryPriority {
        name: "envoy.retry_priorities.previous_priorities".into(),
        config_type: Some(retry_priority::ConfigType::TypedConfig(config)),
    }
}

fn http_fault(fault: &Fault) -> HttpFault {
    let delay = fault.delay.as_ref().map(|delay| FaultDelay {
        // Without a percentage: none, as istiod says it.
        percentage: Some(delay.percentage.map(fraction).unwrap_or_default()),
        fault_delay_secifier: delay.fixed_delay.map(|fixed| FaultDelaySecifier::FixedDelay(to_proto(fixed))),
    });
    let abort = fault.abort.as_ref().map(|abort| FaultAbort {
        percentage: abort.percentage.map(fraction),
        error_type: Some(match abort.status {
            AbortStatus::Http(status) => ErrorType::HttpStatus(status),
            AbortStatus::Grpc(status) => ErrorType::GrpcStatus(status as u32),
        }),
        ..Default::default()
    });
    HttpFault { delay, abort, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_statuses_of_retries_are_told_apart() {
        assert_eq!(retry_on("5xx, reset,503,"), ("5xx,reset,retriable-status-codes".into(), vec![503]));
        assert_eq!(retry_on("retriable-status-codes,502"), ("retriable-status-codes".into(), vec![502]));
        assert_eq!(retry_on("999,reset"), ("999,reset".into(), vec![]), "no status of HTTP");
    }

    #[test]
    fn no_attempts_are_no_retries_and_nothing_said_is_istiods_own() {
        assert_eq!(retry_policy(Some(&Retries::default())), None);
        assert_eq!(retry_policy(None).and_then(|policy| policy.num_retries), Some(UInt32Value { value: 2 }));
    }
}
