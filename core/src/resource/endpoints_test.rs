// SPDX-License-Identifier: Apache-2.0
use std::collections::HashMap;

use envoy_types::pb::{
    envoy::config::{
        core::v3::{self as core, address::Address as Kind, socket_address::PortSpecifier},
        endpoint::v3::{self as eds, lb_endpoint::HostIdentifier},
    },
    google::protobuf::{Struct, UInt32Value, Value as StructValue, value::Kind as StructKind},
};
use prost::Message;

use super::*;

fn address(ip: &str, port: u32) -> core::Address {
    let socket =
        core::SocketAddress { address: ip.into(), port_specifier: Some(PortSpecifier::PortValue(port)), ..Default::default() };
    core::Address { address: Some(Kind::SocketAddress(socket)) }
}

fn lb_endpoint(ip: &str, port: u32) -> eds::LbEndpoint {
    eds::LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(eds::Endpoint { address: Some(address(ip, port)), ..Default::default() })),
        ..Default::default()
    }
}

fn with_istio_metadata(mut endpoint: eds::LbEndpoint, workload: &str) -> eds::LbEndpoint {
    let text = |s: &str| StructValue { kind: Some(StructKind::StringValue(s.into())) };
    let one = |key: &str, value: &str| Struct { fields: HashMap::from([(key.into(), text(value))]) };
    endpoint.metadata = Some(core::Metadata {
        filter_metadata: HashMap::from([
            ("istio".into(), one("workload", workload)),
            ("envoy.transport_socket_match".into(), one("tlsMode", "istio")),
        ]),
        ..Default::default()
    });
    endpoint
}

fn assignment(localities: Vec<eds::LocalityLbEndpoints>) -> Vec<u8> {
    eds::ClusterLoadAssignment { cluster_name: "c".into(), endpoints: localities, ..Default::default() }.encode_to_vec()
}

fn one_locality(endpoints: Vec<eds::LbEndpoint>) -> Vec<u8> {
    assignment(vec![eds::LocalityLbEndpoints { lb_endpoints: endpoints, ..Default::default() }])
}

fn decode(bytes: &[u8]) -> Result<Assignment, String> {
    AssignmentDecoder::default().decode(bytes)
}

#[test]
fn every_field_in_use_is_read() {
    let mut first = with_istio_metadata(lb_endpoint("10.0.0.1", 8080), "w;ns;canon;v1;c");
    first.health_status = 5;
    first.load_balancing_weight = Some(UInt32Value { value: 7 });
    let bytes = assignment(vec![
        eds::LocalityLbEndpoints {
            locality: Some(core::Locality { region: "r".into(), zone: "z".into(), sub_zone: "s".into() }),
            lb_endpoints: vec![first, with_istio_metadata(lb_endpoint("2001:db8::1", 81), "w;ns;canon;v1;c")],
            load_balancing_weight: Some(UInt32Value { value: 9 }),
            priority: 0,
            ..Default::default()
        },
        eds::LocalityLbEndpoints { lb_endpoints: vec![lb_endpoint("10.0.0.2", 82)], priority: 1, ..Default::default() },
    ]);
    let got = decode(&bytes).expect("decodes");
    assert_eq!(got.localities[0], Locality { region: "r".into(), zone: "z".into(), sub_zone: "s".into(), weight: 9 });
    let text: Vec<String> = got.endpoints.iter().map(|e| format!("{e:?}")).collect();
    assert_eq!(
        text,
        ["10.0.0.1:8080 Degraded p0 w7 l0 x1 f1", "[2001:db8::1]:81 Unknown p0 w1 l0 x1 f1", "10.0.0.2:82 Unknown p1 w1 l1 x0 f0"]
    );
    assert_eq!(got.extensions.len(), 1, "equal extensions are stored once");
    assert_eq!(&*got.extensions[0].workload, "w;ns;canon;v1;c");
}

#[test]
fn bad_endpoints_reject_the_assignment_and_say_why() {
    let reason = |endpoint| decode(&one_locality(vec![endpoint])).expect_err("rejected");
    assert_eq!(reason(lb_endpoint("db.example.com", 1)), "endpoint address \"db.example.com\" is not an IP address");
    assert_eq!(reason(lb_endpoint("10.0.0.1", 70000)), "endpoint 10.0.0.1: port 70000 is above 65535");
    assert_eq!(reason(eds::LbEndpoint::default()), "an endpoint has no address");
    let mut zero = lb_endpoint("10.0.0.1", 1);
    zero.load_balancing_weight = Some(UInt32Value { value: 0 });
    assert_eq!(reason(zero), "an endpoint has weight 0");
}

#[test]
fn the_limit_is_named_when_it_is_exceeded() {
    let bytes = one_locality((0..3).map(|n| lb_endpoint("10.0.0.1", 80 + n)).collect());
    let error = AssignmentDecoder::new(Limits { endpoints_per_assignment: 2 }).decode(&bytes).expect_err("too many");
    assert!(error.contains("endpoints_per_assignment"), "{error}");
}

#[test]
fn host_names_are_allowed_inline_only() {
    let bytes = one_locality(vec![lb_endpoint("db.example.com", 5432)]);
    let got = AssignmentDecoder::default().decode_inline(&bytes).expect("decodes");
    assert_eq!(got.endpoints[0].family, Family::Name as u8);
    assert_eq!(&*got.extensions[0].hostname, "db.example.com");
}

#[test]
fn endpoints_that_cannot_be_dialled_are_left_out_and_counted() {
    let internal = eds::LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(eds::Endpoint {
            address: Some(core::Address { address: Some(Kind::EnvoyInternalAddress(core::EnvoyInternalAddress::default())) }),
            ..Default::default()
        })),
        ..Default::default()
    };
    let gateway = with_istio_metadata(lb_endpoint("10.9.9.9", 15443), "");
    let got = decode(&one_locality(vec![internal, gateway, lb_endpoint("10.0.0.1", 80)])).expect("decodes");
    assert_eq!((got.endpoints.len(), got.unreachable), (1, 2));
}

#[test]
fn an_unknown_health_number_counts_as_unhealthy() {
    let mut endpoint = lb_endpoint("10.0.0.1", 80);
    endpoint.health_status = 77;
    assert_eq!(decode(&one_locality(vec![endpoint])).expect("decodes").endpoints[0].health(), Health::Unhealthy);
}

#[test]
fn an_empty_assignment_is_valid() {
    assert_eq!(decode(&assignment(vec![])).expect("decodes").endpoints.len(), 0);
}

/// What an assignment says, in words, from either decoder.
type Said = Vec<String>;

fn said_by_the_walk(bytes: &[u8]) -> Result<Said, String> {
    let got = decode(bytes)?;
    let say = |e: &Endpoint| {
        let (locality, extension) =
            (&got.localities[usize::from(e.locality)], e.extension.checked_sub(1).map(|x| &got.extensions[x as usize]));
        let extension = extension.cloned().unwrap_or_default();
        let address = e.socket_addr().expect("EDS has addresses");
        format!("{address} {:?} p{} w{} tls{} {locality:?} {extension:?}", e.health(), e.priority, e.weight, e.flags)
    };
    Ok(got.endpoints.iter().map(say).collect())
}

/// The same, slowly and plainly, from `envoy-types`.
fn said_by_envoy_types(message: &eds::ClusterLoadAssignment) -> Result<Said, String> {
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
    let mut said = Vec::new();
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
            if address.port() == GATEWAY_PORT && tls == 1 {
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

mod differential {
    use proptest::prelude::*;

    use super::*;

    fn any_address() -> impl Strategy<Value = core::Address> {
        let ip = prop_oneof![8 => "10\\.[0-9]\\.0\\.[1-9]", 1 => Just("2001:db8::1".to_owned()), 1 => "[a-z.]{0,6}"];
        let port = prop_oneof![8 => 1..70u32, 1 => Just(15443u32), 1 => any::<u32>()];
        (ip, port).prop_map(|(ip, port)| address(&ip, port))
    }

    fn any_endpoint() -> impl Strategy<Value = eds::LbEndpoint> {
        let parts =
            (any_address(), prop::option::weighted(0.7, "w[0-2];ns"), -1..8i32, prop::option::of(0..4u32), "(h[0-2])?", 0..3usize);
        (parts, prop::collection::vec(any_address(), 0..2)).prop_map(
            |((address, workload, health, weight, hostname, kind), more)| {
                let additional =
                    more.into_iter().map(|address| eds::endpoint::AdditionalAddress { address: Some(address) }).collect();
                let host =
                    eds::Endpoint { address: Some(address), hostname, additional_addresses: additional, ..Default::default() };
                let identifier = if kind == 0 && weight.is_none() { None } else { Some(HostIdentifier::Endpoint(host)) };
                let endpoint = eds::LbEndpoint {
                    host_identifier: identifier,
                    health_status: health,
                    load_balancing_weight: weight.map(|value| UInt32Value { value }),
                    ..Default::default()
                };
                match workload {
                    Some(workload) => with_istio_metadata(endpoint, &workload),
                    None => endpoint,
                }
            },
        )
    }

    fn any_assignment() -> impl Strategy<Value = Vec<u8>> {
        let group = (
            prop::collection::vec(any_endpoint(), 0..4),
            prop_oneof![9 => 0..3u32, 1 => any::<u32>()],
            "(r[0-2])?",
            prop::option::of(0..5u32),
        );
        prop::collection::vec(group, 0..3).prop_map(|groups| {
            let groups = groups.into_iter().map(|(lb_endpoints, priority, region, weight)| eds::LocalityLbEndpoints {
                lb_endpoints,
                priority,
                locality: Some(core::Locality { region, ..Default::default() }),
                load_balancing_weight: weight.map(|value| UInt32Value { value }),
                ..Default::default()
            });
            assignment(groups.collect())
        })
    }

    /// Where prost accepts, both decoders say the same.
    fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
        let Ok(message) = eds::ClusterLoadAssignment::decode(bytes) else { return Ok(()) };
        let plain = said_by_envoy_types(&message);
        let mut walked = said_by_the_walk(bytes);
        if walked.is_err() && plain.is_ok() {
            // prost does not look at the wire type of a map field, so that it accepts what is not protobuf; the walk may refuse it.
            let usual = message.encode_to_vec();
            prop_assert_ne!(&usual[..], bytes, "{:?}", walked);
            walked = said_by_the_walk(&usual);
        }
        prop_assert_eq!(walked.is_ok(), plain.is_ok(), "{:?} {:?}", walked, plain);
        if let (Ok(walked), Ok(plain)) = (walked, plain) {
            prop_assert_eq!(walked, plain);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_walk_says_what_envoy_types_says(bytes in any_assignment()) {
            agree(&bytes)?;
        }

        #[test]
        fn also_when_bytes_are_damaged_or_messages_run_into_each_other(
            mut bytes in any_assignment(),
            more in any_assignment(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..4),
        ) {
            for (at, byte, how) in edits {
                let at = at.index(bytes.len() + 1);
                match how {
                    0 if at < bytes.len() => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 if at < bytes.len() => { bytes.remove(at); }
                    _ => bytes.extend(&more),
                }
            }
            agree(&bytes)?;
        }
    }
}
