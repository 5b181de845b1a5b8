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
    let locality =
        eds::LocalityLbEndpoints { lb_endpoints: vec![internal, gateway, lb_endpoint("10.0.0.1", 80)], ..Default::default() };
    let mut of_istio =
        eds::ClusterLoadAssignment { cluster_name: "outbound|80||a".into(), endpoints: vec![locality], ..Default::default() };
    let got = decode(&of_istio.encode_to_vec()).expect("decodes");
    assert_eq!((got.endpoints.len(), got.unreachable), (1, 2));
    of_istio.cluster_name = "free form".into();
    let got = decode(&of_istio.encode_to_vec()).expect("decodes");
    assert_eq!((got.endpoints.len(), got.unreachable), (2, 1), "elsewhere 15443 is a port like any other");
}

#[test]
fn an_address_that_is_there_twice_is_listed_once_and_the_first_one_counts() {
    let weighing =
        |ip, port, value| eds::LbEndpoint { load_balancing_weight: Some(UInt32Value { value }), ..lb_endpoint(ip, port) };
    let near = vec![weighing("10.0.0.1", 80, 7), lb_endpoint("10.0.0.1", 81), lb_endpoint("10.0.0.1", 80)];
    let far = vec![weighing("10.0.0.1", 80, 9), lb_endpoint("10.0.0.2", 80), lb_endpoint("::ffff:10.0.0.2", 80)];
    let bytes = assignment(vec![
        eds::LocalityLbEndpoints { lb_endpoints: near, ..Default::default() },
        eds::LocalityLbEndpoints { lb_endpoints: far, priority: 1, ..Default::default() },
    ]);
    let got = decode(&bytes).expect("decodes");
    let seen: Vec<_> = got.endpoints.iter().map(|e| (e.port, e.weight, e.priority)).collect();
    assert_eq!(seen, [(80, 7, 0), (81, 1, 0), (80, 1, 1), (80, 1, 1)], "whatever locality and priority");
    assert_eq!(got.repeated, 2);
    let names = one_locality(vec![lb_endpoint("a.example", 1), lb_endpoint("b.example", 1), lb_endpoint("a.example", 1)]);
    let got = AssignmentDecoder::default().decode_inline(&names).expect("decodes");
    assert_eq!((got.endpoints.len(), got.repeated), (2, 1));
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

#[test]
fn what_the_short_way_takes_for_an_address_is_one() {
    let octets = [
        "0", "1", "9", "10", "99", "100", "127", "199", "249", "250", "255", "256", "300", "999", "00", "01", "010", "1000", "",
        "a", "-1", " 1",
    ];
    for a in octets {
        for b in octets {
            for text in [
                format!("{a}.{b}.0.1"),
                format!("1.2.{a}.{b}"),
                format!("{a}.{b}"),
                format!("1.{a}.3.{b}."),
                format!(".1.{a}.{b}.2"),
                format!("1.2.3.4.{a}"),
            ] {
                if let Some(ip) = dotted(text.as_bytes()) {
                    assert_eq!(text.parse(), Ok(ip), "{text}");
                } else {
                    assert!(text.parse::<Ipv4Addr>().is_err(), "{text} is taken the long way");
                }
            }
        }
    }
}
