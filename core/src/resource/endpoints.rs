// SPDX-License-Identifier: Apache-2.0
//! ClusterLoadAssignment by wire walk into packed endpoints.
//!
//! Fields that are not in use are skipped without a look at their UTF-8 or structure: `policy`, `named_endpoints`,
//! `load_balancer_endpoints`, `leds_cluster_locality_config`, `proximity`, locality metadata, health-check configuration,
//! typed metadata and every metadata key but `istio` and `envoy.transport_socket_match`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use hashbrown::HashSet;
use prost::Message;

use super::{
    intern::Interner,
    metadata::{self, Metadata},
    wire::{Fields, WireError, last_string},
};
use crate::model::{Assignment, ClusterName, Endpoint, EndpointFlags, Extension, Family, Health, Locality};

/// Bounds on what one resource may hold; exceeding one rejects the resource and names the limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Endpoints in one assignment.
    pub endpoints_per_assignment: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { endpoints_per_assignment: 250_000 }
    }
}

/// The port of Istio's east-west gateways: mutual TLS with SNI routing, of no use to a plaintext caller.
const GATEWAY_PORT: u16 = 15443;
const MAX_PRIORITY: u64 = 128;

/// Decodes assignments; keeps interned strings between calls.
#[derive(Debug, Default)]
pub struct AssignmentDecoder {
    limits: Limits,
    strings: Interner<str>,
    /// Empty between calls; keeps its room.
    endpoints: Vec<Endpoint>,
    /// Their addresses.
    places: HashSet<Place>,
}

/// Address and port, and the extension that holds the name where there is no address.
type Place = ([u8; 16], u16, u32);

impl AssignmentDecoder {
    /// A decoder with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Decodes an EDS resource, in which every address must be an IP literal.
    pub fn decode(&mut self, body: &[u8]) -> Result<Assignment, String> {
        self.walk(body, false)
    }

    /// Decodes the `load_assignment` inside a cluster, in which host names are allowed.
    pub(super) fn decode_inline(&mut self, body: &[u8]) -> Result<Assignment, String> {
        self.walk(body, true)
    }

    fn walk(&mut self, body: &[u8], names_allowed: bool) -> Result<Assignment, String> {
        self.endpoints.clear();
        self.places.clear();
        let mut walk = Walk {
            limits: self.limits,
            strings: &mut self.strings,
            names_allowed,
            has_gateways: ClusterName::parse(last_string(body, 1).map_err(|error| error.to_string())?).is_some(),
            endpoints: &mut self.endpoints,
            places: &mut self.places,
            localities: Vec::new(),
            extensions: Vec::new(),
            last: Default::default(),
            metadata: Default::default(),
            unreachable: 0,
            repeated: 0,
        };
        match walk.assignment(body) {
            Ok(()) => {}
            // Legal and never seen: parts of one message that must be merged. Rewritten in its usual form, it walks.
            Err(Fault::Repeated) => {
                let merged = ClusterLoadAssignment::decode(body).map_err(|error| error.to_string())?;
                return self.walk(&merged.encode_to_vec(), names_allowed);
            }
            Err(fault) => return Err(fault.to_string()),
        }
        Ok(Assignment {
            endpoints: (&walk.endpoints[..]).into(),
            localities: walk.localities.into(),
            extensions: walk.extensions.into(),
            unreachable: walk.unreachable,
            repeated: walk.repeated,
        })
    }
}

/// Why an assignment is rejected.
pub(super) enum Fault {
    Wire(WireError),
    /// A field that holds one message is there twice.
    Repeated,
    Invalid(String),
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        Fault::Wire(error)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Wire(error) => error.fmt(f),
            Fault::Repeated => f.write_str("a field that holds one message is there twice"),
            Fault::Invalid(reason) => f.write_str(reason),
        }
    }
}

/// Refuses the second occurrence of a field.
pub(super) fn once(seen: &mut bool) -> Result<(), Fault> {
    if std::mem::replace(seen, true) { Err(Fault::Repeated) } else { Ok(()) }
}

/// The shareable part of an endpoint, still as bytes, with its place in the table.
#[derive(Clone, Copy, Default)]
struct RawExtension<'a> {
    hostname: &'a str,
    workload: &'a str,
    index: u32,
}

struct Walk<'a, 's> {
    limits: Limits,
    strings: &'s mut Interner<str>,
    names_allowed: bool,
    /// It is of Istio's kind: its gateway port means a gateway.
    has_gateways: bool,
    endpoints: &'s mut Vec<Endpoint>,
    places: &'s mut HashSet<Place>,
    localities: Vec<Locality>,
    extensions: Vec<Extension>,
    /// Extensions used last: most endpoints of a service repeat one of them.
    last: [RawExtension<'a>; 2],
    /// Metadata seen last, with what it says. Endpoints of a service repeat it byte for byte, in one of two orders of its keys.
    metadata: [(&'a [u8], Metadata<'a>); 2],
    unreachable: u32,
    repeated: u32,
}

/// What one `Address` message says.
enum Address<'a> {
    Missing,
    Socket(IpAddr, u16),
    Name(&'a str, u16),
    Unreachable,
}

impl<'a> Walk<'a, '_> {
    fn assignment(&mut self, body: &'a [u8]) -> Result<(), Fault> {
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    value.str()?;
                }
                2 => self.locality_endpoints(value.bytes()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn locality_endpoints(&mut self, body: &'a [u8]) -> Result<(), Fault> {
        let (mut locality, mut weight, mut priority, mut weighed) = (Locality::default(), 0, 0, false);
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.locality(value.bytes()?, &mut locality)?,
                3 => {
                    once(&mut weighed)?;
                    weight = wrapped_u32(value.bytes()?)?;
                }
                5 => priority = value.varint()? & u64::from(u32::MAX),
                _ => {}
            }
        }
        let priority = u8::try_from(priority)
            .ok()
            .filter(|p| u64::from(*p) <= MAX_PRIORITY)
            .ok_or_else(|| Fault::Invalid(format!("priority {priority} is above {MAX_PRIORITY}")))?;
        locality.weight = weight;
        let index = u16::try_from(self.localities.len()).map_err(|_| Fault::Invalid("more than 65536 localities".into()))?;
        self.localities.push(locality);
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            if number == 2 {
                self.endpoint(value.bytes()?, index, priority)?;
            }
        }
        Ok(())
    }

    fn locality(&mut self, body: &'a [u8], locality: &mut Locality) -> Result<(), Fault> {
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => locality.region = self.strings.intern(value.str()?),
                2 => locality.zone = self.strings.intern(value.str()?),
                3 => locality.sub_zone = self.strings.intern(value.str()?),
                _ => {}
            }
        }
        Ok(())
    }

    fn endpoint(&mut self, body: &'a [u8], locality: u16, priority: u8) -> Result<(), Fault> {
        let (mut host, mut health, mut weight, mut metadata) = (Host::default(), 0, None, Metadata::default());
        let (mut hosted, mut weighed, mut described) = (false, false, false);
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    once(&mut hosted)?;
                    self.host(value.bytes()?, &mut host)?;
                }
                2 => health = value.varint()? & u64::from(u32::MAX),
                3 => {
                    once(&mut described)?;
                    metadata = self.metadata(value.bytes()?)?;
                }
                4 => {
                    once(&mut weighed)?;
                    weight = Some(wrapped_u32(value.bytes()?)?);
                }
                // A name instead of an endpoint: it points into `named_endpoints`, which nobody sends.
                5 => {
                    once(&mut hosted)?;
                    value.str()?;
                }
                _ => {}
            }
        }
        if weight == Some(0) {
            return Err(Fault::Invalid("an endpoint has weight 0".into()));
        }
        let (ip, name, port) = match host.address {
            Address::Socket(ip, port) => (Some(ip), host.hostname, port),
            Address::Name(name, port) => (None, name, port),
            Address::Missing => return Err(Fault::Invalid("an endpoint has no address".into())),
            Address::Unreachable => {
                self.unreachable += 1;
                return Ok(());
            }
        };
        if port == GATEWAY_PORT && metadata.may_tls && self.has_gateways {
            self.unreachable += 1;
            return Ok(());
        }
        if self.endpoints.len() >= self.limits.endpoints_per_assignment {
            let limit = self.limits.endpoints_per_assignment;
            return Err(Fault::Invalid(format!("more than {limit} endpoints (limit endpoints_per_assignment)")));
        }
        let mut endpoint = Endpoint {
            ip: [0; 16],
            port,
            family: Family::Name as u8,
            health: Health::from_wire(health) as u8,
            priority,
            flags: if metadata.may_tls { EndpointFlags::MAY_TLS } else { 0 },
            locality,
            weight: weight.unwrap_or(1),
            extension: self.extension(name, metadata.workload, host.additional),
        };
        if let Some(ip) = ip {
            endpoint.set_ip(ip);
        }
        let named = if ip.is_none() { endpoint.extension } else { 0 };
        if self.places.insert((endpoint.ip, endpoint.port, named)) {
            self.endpoints.push(endpoint);
        } else {
            self.repeated += 1;
        }
        Ok(())
    }

    fn metadata(&mut self, body: &'a [u8]) -> Result<Metadata<'a>, Fault> {
        if let Some((_, known)) = self.metadata.iter().find(|(seen, _)| *seen == body) {
            return Ok(*known);
        }
        let read = metadata::read(body)?;
        self.metadata = [(body, read), self.metadata[0]];
        Ok(read)
    }

    /// Index plus one of the extension with this content; 0 when there is nothing to say.
    fn extension(&mut self, hostname: &'a str, workload: &'a str, additional: Vec<SocketAddr>) -> u32 {
        if hostname.is_empty() && workload.is_empty() && additional.is_empty() {
            return 0;
        }
        if additional.is_empty()
            && let Some(known) = self.last.iter().find(|l| l.index > 0 && same(l.hostname, hostname) && same(l.workload, workload))
        {
            return known.index;
        }
        let plain = additional.is_empty();
        let extension = Extension { hostname: self.strings.intern(hostname), workload: self.strings.intern(workload), additional };
        // Strings are interned, so equal ones of the recent past are found by a short look back; a miss only costs a repeated entry.
        const LOOK_BACK: usize = 8;
        let recent = self.extensions.len().saturating_sub(LOOK_BACK);
        let index = match self.extensions[recent..].iter().position(|known| *known == extension) {
            Some(found) => recent + found + 1,
            None => {
                self.extensions.push(extension);
                self.extensions.len()
            }
        } as u32;
        if plain {
            self.last = [RawExtension { hostname, workload, index }, self.last[0]];
        }
        index
    }

    fn host(&mut self, body: &'a [u8], host: &mut Host<'a>) -> Result<(), Fault> {
        let mut placed = false;
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    once(&mut placed)?;
                    host.address = self.address(value.bytes()?)?;
                }
                3 => host.hostname = value.str()?,
                4 => {
                    let mut seen = false;
                    let mut inner = Fields::of(value.bytes()?);
                    while let Some((number, value)) = inner.next()? {
                        if number == 1 {
                            once(&mut seen)?;
                            if let Address::Socket(ip, port) = self.address(value.bytes()?)? {
                                host.additional.push(SocketAddr::new(ip, port));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn address(&self, body: &'a [u8]) -> Result<Address<'a>, Fault> {
        let (mut found, mut seen) = (Address::Missing, false);
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    once(&mut seen)?;
                    found = self.socket_address(value.bytes()?)?;
                }
                // A Unix socket or an internal (HBONE) listener: not an address that a caller of ours can dial.
                2 | 3 => {
                    once(&mut seen)?;
                    value.bytes()?;
                    found = Address::Unreachable;
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn socket_address(&self, body: &'a [u8]) -> Result<Address<'a>, Fault> {
        let (mut text, mut port, mut ip) = ("", None, None);
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                2 => {
                    ip = dotted(value.bytes()?);
                    if ip.is_none() {
                        text = value.str()?;
                    }
                }
                3 => port = Some(value.varint()? & u64::from(u32::MAX)),
                4 => {
                    value.str()?;
                    port = None;
                }
                _ => {}
            }
        }
        let who = || ip.map_or_else(|| text.to_owned(), |ip| ip.to_string());
        let port = port.ok_or_else(|| Fault::Invalid(format!("endpoint {}: no numeric port", who())))?;
        let port = u16::try_from(port).map_err(|_| Fault::Invalid(format!("endpoint {}: port {port} is above 65535", who())))?;
        match ip.map_or_else(|| text.parse(), |ip| Ok(IpAddr::V4(ip))) {
            Ok(ip) => Ok(Address::Socket(ip, port)),
            Err(_) if self.names_allowed && !text.is_empty() => Ok(Address::Name(text, port)),
            Err(_) => Err(Fault::Invalid(format!("endpoint address {text:?} is not an IP address"))),
        }
    }
}

/// An IPv4 address, as nearly every endpoint has one; `None` leaves the judgement to the standard library, which takes longer.
#[inline]
fn dotted(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut rest = text;
    for (place, octet) in octets.iter_mut().enumerate() {
        let (value, length) = match rest {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
                (u32::from(a - b'0') * 100 + u32::from(b - b'0') * 10 + u32::from(c - b'0'), 3)
            }
            [a @ b'1'..=b'9', b @ b'0'..=b'9', ..] => (u32::from(a - b'0') * 10 + u32::from(b - b'0'), 2),
            [a @ b'0'..=b'9', ..] => (u32::from(a - b'0'), 1),
            _ => return None,
        };
        *octet = u8::try_from(value).ok()?;
        rest = &rest[length..];
        rest = match (rest, place) {
            ([], 3) => rest,
            ([b'.', rest @ ..], 0..=2) => rest,
            _ => return None,
        };
    }
    Some(octets.into())
}

struct Host<'a> {
    address: Address<'a>,
    hostname: &'a str,
    additional: Vec<SocketAddr>,
}

impl Default for Host<'_> {
    fn default() -> Self {
        Self { address: Address::Missing, hostname: "", additional: Vec::new() }
    }
}

/// `google.protobuf.UInt32Value`.
fn wrapped_u32(body: &[u8]) -> Result<u32, WireError> {
    let mut fields = Fields::of(body);
    let mut found = 0;
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            // As in prost, a varint that is too large for the type is cut to it.
            found = (value.varint()? & u64::from(u32::MAX)) as u32;
        }
    }
    Ok(found)
}

/// Equal, with a look at the addresses first: equal texts are mostly the same bytes.
fn same(a: &str, b: &str) -> bool {
    std::ptr::eq(a, b) || a == b
}

#[cfg(test)]
#[path = "endpoints_test.rs"]
mod tests;
