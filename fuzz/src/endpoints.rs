// SPDX-License-Identifier: Apache-2.0
//! The endpoint walk beside `envoy-types`: where prost accepts, both say the same; where a message of only the fields that the
//! walk reads is rejected by prost, the walk rejects it too.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use envoy_types::pb::{
    envoy::config::{
        core::v3::{self as core, address::Address as Kind, socket_address::PortSpecifier},
        endpoint::v3::{self as eds, lb_endpoint::HostIdentifier},
    },
    google::protobuf::{Value as StructValue, value::Kind as StructKind},
};
use prost::Message;
use proxyless_core::{
    model::{ClusterName, Endpoint, Extension, Health, Locality},
    resource::AssignmentDecoder,
};

/// Istio's east-west gateways, of no use to a plaintext caller.
const GATEWAY_PORT: u16 = 15443;

/// What an assignment says, in words, from either decoder.
type Said = Vec<String>;

/// A ClusterLoadAssignment.
pub fn endpoints(bytes: &[u8]) {
    let Ok(message) = eds::ClusterLoadAssignment::decode(bytes) else {
        if trimmed::Assignment::decode(bytes).is_err() {
            assert!(walked(bytes).is_err(), "prost rejects what the walk accepts");
        }
        return;
    };
    let plain = said(&message);
    let mut got = walked(bytes);
    if got.is_err() && plain.is_ok() {
        // prost does not look at the wire type of a map field, so that it accepts what is not protobuf; the walk may refuse it.
        let usual = message.encode_to_vec();
        assert_ne!(&usual[..], bytes, "{got:?}");
        got = walked(&usual);
    }
    assert_eq!(got.is_ok(), plain.is_ok(), "{got:?} {plain:?}");
    if let (Ok(got), Ok(plain)) = (got, plain) {
        assert_eq!(got, plain);
    }
}

fn walked(bytes: &[u8]) -> Result<Said, String> {
    let got = AssignmentDecoder::default().decode(bytes)?;
    let say = |e: &Endpoint| {
        let locality = &got.localities[usize::from(e.locality)];
        let extension = e.extension.checked_sub(1).map(|x| &got.extensions[x as usize]).cloned().unwrap_or_default();
        let address = e.socket_addr().expect("EDS has addresses");
        format!("{address} {:?} p{} w{} tls{} {locality:?} {extension:?}", e.health(), e.priority, e.weight, e.flags)
    };
    Ok(got.endpoints.iter().map(say).collect())
}

/// The same, slowly and plainly.
fn said(message: &eds::ClusterLoadAssignment) -> Result<Said, String> {
    let socket = |address: &core::Address| match &address.address {
        Some(Kind::SocketAddress(s)) => {
            let Some(PortSpecifier::PortValue(port)) = s.port_specifier else { return Err("port".to_owned()) };
            let port = u16::try_from(port).map_err(|_| "port".to_owned())?;
            Ok(Some(SocketAddr::new(s.address.parse::<IpAddr>().map_err(|_| "address".to_owned())?, port)))
        }
        _ => Ok(None),
    };
    let text = |metadata: &core::Metadata, key: &str, field: &str| match metadata
        .filter_metadata
        .get(key)
        .and_then(|s| s.fields.get(field))
    {
        Some(StructValue { kind: Some(StructKind::StringValue(text)) }) => text.clone(),
        _ => String::new(),
    };
    let of_istio = ClusterName::parse(&message.cluster_name).is_some();
    let (mut said, mut addresses) = (Vec::new(), HashSet::new());
    for group in &message.endpoints {
        if group.priority > 128 {
            return Err("priority".into());
        }
        let place = group.locality.clone().unwrap_or_default();
        let weight = group.load_balancing_weight.as_ref().map_or(0, |w| w.value);
        let locality = Locality { region: place.region.into(), zone: place.zone.into(), sub_zone: place.sub_zone.into(), weight };
        for endpoint in &group.lb_endpoints {
            let metadata = endpoint.metadata.clone().unwrap_or_default();
            let host = match &endpoint.host_identifier {
                Some(HostIdentifier::Endpoint(host)) => host.clone(),
                _ => eds::Endpoint::default(),
            };
            let additional: Result<Vec<_>, _> =
                host.additional_addresses.iter().filter_map(|a| a.address.as_ref()).map(socket).collect();
            let additional: Vec<SocketAddr> = additional?.into_iter().flatten().collect();
            let address = host.address.as_ref().map(socket).transpose()?;
            let weight = endpoint.load_balancing_weight.as_ref().map_or(1, |w| w.value);
            if weight == 0 || host.address.as_ref().and_then(|a| a.address.as_ref()).is_none() {
                return Err("weight or address".into());
            }
            let Some(address) = address.flatten() else { continue };
            let tls = u8::from(text(&metadata, "envoy.transport_socket_match", "tlsMode") == "istio");
            if address.port() == GATEWAY_PORT && tls == 1 && of_istio {
                continue;
            }
            if !addresses.insert(address) {
                continue;
            }
            let workload = text(&metadata, "istio", "workload");
            let extension = Extension { hostname: host.hostname.into(), workload: workload.into(), additional };
            let health = Health::from_wire(u64::from(endpoint.health_status as u32));
            said.push(format!("{address} {health:?} p{} w{weight} tls{tls} {locality:?} {extension:?}", group.priority));
        }
    }
    Ok(said)
}

/// The messages with the fields that the walk reads; what it skips is not there.
mod trimmed {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Assignment {
        #[prost(message, repeated, tag = "2")]
        endpoints: Vec<Group>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Group {
        #[prost(message, optional, tag = "1")]
        locality: Option<Locality>,
        #[prost(message, repeated, tag = "2")]
        lb_endpoints: Vec<LbEndpoint>,
        #[prost(message, optional, tag = "3")]
        load_balancing_weight: Option<Number>,
        #[prost(uint32, tag = "5")]
        priority: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Locality {
        #[prost(string, tag = "1")]
        region: String,
        #[prost(string, tag = "2")]
        zone: String,
        #[prost(string, tag = "3")]
        sub_zone: String,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Number {
        #[prost(uint32, tag = "1")]
        value: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    struct LbEndpoint {
        #[prost(message, optional, tag = "1")]
        endpoint: Option<Endpoint>,
        #[prost(int32, tag = "2")]
        health_status: i32,
        #[prost(message, optional, tag = "4")]
        load_balancing_weight: Option<Number>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Endpoint {
        #[prost(message, optional, tag = "1")]
        address: Option<Address>,
        #[prost(string, tag = "3")]
        hostname: String,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Address {
        #[prost(message, optional, tag = "1")]
        socket_address: Option<SocketAddress>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct SocketAddress {
        #[prost(string, tag = "2")]
        address: String,
        #[prost(uint32, tag = "3")]
        port_value: u32,
    }
}
