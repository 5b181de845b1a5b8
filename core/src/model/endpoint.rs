// SPDX-License-Identifier: Apache-2.0
//! An endpoint in 32 bytes, and the assignment (one EDS resource) that holds many of them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// Address family of [`Endpoint::ip`]; the numbers are part of the C ABI and of the flat format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// The first four bytes of `ip` are an IPv4 address.
    V4 = 4,
    /// All sixteen bytes of `ip` are an IPv6 address.
    V6 = 6,
    /// No address in `ip`: the extension holds a host name to resolve.
    Name = 0,
}

/// Health as EDS reports it; the numbers are those of `envoy.config.core.v3.HealthStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Health {
    /// Not reported; usable.
    Unknown = 0,
    /// Usable.
    Healthy = 1,
    /// Not usable.
    Unhealthy = 2,
    /// Finishing what it has; not usable for new requests.
    Draining = 3,
    /// Its health check timed out; not usable.
    Timeout = 4,
    /// Usable when healthy ones do not suffice.
    Degraded = 5,
}

impl Health {
    /// From the wire number; a number that this version does not know counts as unhealthy.
    pub fn from_wire(value: u64) -> Self {
        match value {
            0 => Health::Unknown,
            1 => Health::Healthy,
            3 => Health::Draining,
            4 => Health::Timeout,
            5 => Health::Degraded,
            _ => Health::Unhealthy,
        }
    }

    /// Whether new requests may go there while healthy endpoints exist.
    pub fn is_usable(self) -> bool {
        matches!(self, Health::Unknown | Health::Healthy)
    }
}

/// Bits of [`Endpoint::flags`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EndpointFlags(pub u8);

impl EndpointFlags {
    /// The endpoint may take mutual TLS (`tlsMode: istio`).
    pub const MAY_TLS: u8 = 1;
}

/// One endpoint, as it is stored, handed to C and written to the flat format.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Endpoint {
    /// Address bytes in network order; see [`Family`].
    pub ip: [u8; 16],
    /// Port to dial.
    pub port: u16,
    /// [`Family`] as a number.
    pub family: u8,
    /// [`Health`] as a number.
    pub health: u8,
    /// Priority level, 0 first. Lists hold only the level in use; the number says which.
    pub priority: u8,
    /// [`EndpointFlags`].
    pub flags: u8,
    /// Index into the list's localities.
    pub locality: u16,
    /// Weight among the endpoints of the same list, at least 1.
    pub weight: u32,
    /// Index into the list's extensions, plus one; 0 is none.
    pub extension: u32,
}

const _: () = assert!(size_of::<Endpoint>() == 32, "the C ABI and the flat format store endpoints in 32 bytes");

impl Endpoint {
    /// An endpoint at `address` with weight 1 and unknown health.
    pub fn at(address: SocketAddr) -> Self {
        let mut endpoint = Self {
            ip: [0; 16],
            port: address.port(),
            family: 0,
            health: Health::Unknown as u8,
            priority: 0,
            flags: 0,
            locality: 0,
            weight: 1,
            extension: 0,
        };
        endpoint.set_ip(address.ip());
        endpoint
    }

    /// Stores an IP address.
    pub fn set_ip(&mut self, ip: IpAddr) {
        self.ip = [0; 16];
        match ip {
            IpAddr::V4(v4) => {
                self.ip[..4].copy_from_slice(&v4.octets());
                self.family = Family::V4 as u8;
            }
            IpAddr::V6(v6) => {
                self.ip = v6.octets();
                self.family = Family::V6 as u8;
            }
        }
    }

    /// The IP address; `None` when only a host name is known.
    pub fn ip_addr(&self) -> Option<IpAddr> {
        match self.family {
            4 => Some(IpAddr::V4(Ipv4Addr::new(self.ip[0], self.ip[1], self.ip[2], self.ip[3]))),
            6 => Some(IpAddr::V6(Ipv6Addr::from(self.ip))),
            _ => None,
        }
    }

    /// Address and port; `None` when only a host name is known.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.ip_addr().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// Health as a value.
    pub fn health(&self) -> Health {
        Health::from_wire(self.health.into())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket_addr() {
            Some(address) => write!(f, "{address}")?,
            None => write!(f, "name:{}", self.port)?,
        }
        write!(
            f,
            " {:?} p{} w{} l{} x{} f{:x}",
            self.health(),
            self.priority,
            self.weight,
            self.locality,
            self.extension,
            self.flags
        )
    }
}

/// A region, zone and sub-zone with its load-balancing weight.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// For instance `cn-hangzhou`.
    pub region: Arc<str>,
    /// For instance `cn-hangzhou-i`.
    pub zone: Arc<str>,
    /// Often empty.
    pub sub_zone: Arc<str>,
    /// As sent; 0 when none was sent.
    pub weight: u32,
}

/// What does not fit into 32 bytes and most endpoints of a list share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Extension {
    /// Host name of the endpoint, or the name to resolve when it has no address.
    pub hostname: Arc<str>,
    /// Istio's `workload;namespace;canonical name;canonical revision;cluster`.
    pub workload: Arc<str>,
    /// Further addresses of the same endpoint (dual stack).
    pub additional: Vec<SocketAddr>,
}

/// One EDS resource: all endpoints of one cluster, whatever their health and priority.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Assignment {
    /// In the order they were sent.
    pub endpoints: Arc<[Endpoint]>,
    /// What [`Endpoint::locality`] points into.
    pub localities: Arc<[Locality]>,
    /// What [`Endpoint::extension`] points into, minus one.
    pub extensions: Arc<[Extension]>,
    /// Endpoints left out because they cannot be dialled as they are: HBONE or internal addresses, gateways of other networks.
    pub unreachable: u32,
    /// Endpoints left out because one with the same address and port stands before them.
    pub repeated: u32,
}
