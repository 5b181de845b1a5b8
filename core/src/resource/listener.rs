// SPDX-License-Identifier: Apache-2.0
//! Listener: where a client-side listener takes its routes from.

use std::sync::Arc;

use envoy_types::pb::envoy::{
    config::listener::v3::Listener,
    extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, http_connection_manager::RouteSpecifier},
};
use prost::Message;

use super::{References, is_ads, routes};
use crate::{model::ListenerRoutes, protocol::Kind};

pub(super) const MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

pub(super) fn decode(body: &[u8], references: &References) -> Result<ListenerRoutes, String> {
    let listener = Listener::decode(body).map_err(|error| format!("does not decode: {error}"))?;
    let Some(any) = listener.api_listener.and_then(|api| api.api_listener) else {
        return Ok(ListenerRoutes::None("it is not an API listener".into()));
    };
    if any.type_url != MANAGER {
        return Err(format!("its api_listener is a {}, not an HttpConnectionManager", any.type_url));
    }
    let manager = HttpConnectionManager::decode(any.value.as_slice()).map_err(|error| format!("its api_listener: {error}"))?;
    match manager.route_specifier {
        Some(RouteSpecifier::Rds(rds)) if rds.route_config_name.is_empty() => Err("its RDS name is empty".into()),
        Some(RouteSpecifier::Rds(rds)) if !is_ads(rds.config_source.as_ref()) => {
            Ok(ListenerRoutes::None("its routes come from a source other than ADS".into()))
        }
        Some(RouteSpecifier::Rds(rds)) => {
            references.check(Kind::Routes, &rds.route_config_name)?;
            Ok(ListenerRoutes::Rds(rds.route_config_name.into()))
        }
        Some(RouteSpecifier::RouteConfig(inline)) => Ok(ListenerRoutes::Inline(Arc::new(routes::convert(&inline, references)?))),
        Some(RouteSpecifier::ScopedRoutes(_)) | None => Ok(ListenerRoutes::None("it has no routes of the usual kind".into())),
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::{
        envoy::{
            config::{
                core::v3::{AggregatedConfigSource, ConfigSource, config_source::ConfigSourceSpecifier},
                listener::v3::ApiListener,
                route::v3::{RouteConfiguration, VirtualHost},
            },
            extensions::filters::network::http_connection_manager::v3::Rds,
        },
        google::protobuf::Any,
    };

    use super::*;

    fn listener(specifier: Option<RouteSpecifier>) -> Vec<u8> {
        let value = HttpConnectionManager { route_specifier: specifier, ..Default::default() }.encode_to_vec();
        let api_listener = Some(ApiListener { api_listener: Some(Any { type_url: MANAGER.into(), value }) });
        Listener { name: "l".into(), api_listener, ..Default::default() }.encode_to_vec()
    }

    fn rds(name: &str) -> Option<RouteSpecifier> {
        let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
        let config_source = Some(ConfigSource { config_source_specifier: Some(ads), ..Default::default() });
        Some(RouteSpecifier::Rds(Rds { route_config_name: name.into(), config_source }))
    }

    fn convert(body: &[u8]) -> Result<ListenerRoutes, String> {
        decode(body, &References::default())
    }

    #[test]
    fn routes_come_by_name_or_inline() {
        assert_eq!(convert(&listener(rds("r"))), Ok(ListenerRoutes::Rds("r".into())));
        let host = VirtualHost { domains: vec!["*".into()], ..Default::default() };
        let inline = RouteConfiguration { virtual_hosts: vec![host], ..Default::default() };
        let Ok(ListenerRoutes::Inline(table)) = convert(&listener(Some(RouteSpecifier::RouteConfig(inline)))) else {
            panic!("inline")
        };
        assert_eq!(&*table.hosts[0].domains[0], "*");
    }

    #[test]
    fn what_cannot_be_understood_is_an_error_and_what_is_for_others_is_not() {
        assert!(convert(&listener(rds(""))).is_err());
        assert!(convert(&[0xff]).is_err());
        let other = Any { type_url: "type.googleapis.com/x".into(), value: vec![] };
        let listener_of = |any| Listener { api_listener: Some(ApiListener { api_listener: Some(any) }), ..Default::default() };
        assert!(convert(&listener_of(other).encode_to_vec()).is_err());
        let broken = Any { type_url: MANAGER.into(), value: vec![0xff] };
        assert!(convert(&listener_of(broken).encode_to_vec()).is_err());
        for none in [Listener::default().encode_to_vec(), listener(None)] {
            assert!(matches!(convert(&none), Ok(ListenerRoutes::None(_))));
        }
    }

    #[test]
    fn c_049_a_route_name_of_an_unknown_authority_rejects_the_listener() {
        let error = convert(&listener(rds("xdstp://stranger/envoy.config.route.v3.RouteConfiguration/r"))).expect_err("unknown");
        assert!(error.contains("stranger"), "{error}");
    }
}
