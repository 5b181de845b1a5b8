// SPDX-License-Identifier: Apache-2.0
//! Endpoints that are given beside the files, so that a cluster's own YAML leads to processes on this machine.

use std::{collections::BTreeMap, net::SocketAddr, str::FromStr};

use super::{
    objects::Resolution,
    parse::ParseError,
    service::{Endpoint, Health, Service},
};

/// `NAME[:PORT]=ADDRESS:PORT[,LABEL=VALUE…]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEndpoint {
    text: String,
    service: String,
    /// Number or name of the service's port.
    port: Option<String>,
    address: SocketAddr,
    labels: BTreeMap<String, String>,
}

const EXPECTED: &str = "NAME=127.0.0.1:8080 is expected, or NAME.NAMESPACE:PORT=127.0.0.1:8080,version=v2";

impl FromStr for LocalEndpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |problem: String| format!("{text:?}: {problem}; {EXPECTED}");
        let (service, rest) = text.split_once('=').ok_or_else(|| fail("no `=`".into()))?;
        let (service, port) = match service.split_once(':') {
            Some((service, port)) => (service, Some(port.to_owned())),
            None => (service, None),
        };
        if service.is_empty() || port.as_ref().is_some_and(String::is_empty) {
            return Err(fail("a name is missing".into()));
        }
        let mut parts = rest.split(',');
        let address = parts.next().unwrap_or_default();
        let address: SocketAddr = address.parse().map_err(|_| fail(format!("{address:?} is no IP address with a port")))?;
        if address.port() == 0 {
            return Err(fail(format!("{address}: nobody listens on port 0")));
        }
        let label = |part: &str| match part.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(fail(format!("{part:?} is no label"))),
        };
        let labels = parts.map(label).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), service: service.to_lowercase(), port, address, labels })
    }
}

impl LocalEndpoint {
    fn means(&self, service: &Service) -> bool {
        service.host == self.service || service.host.strip_prefix(&self.service).is_some_and(|rest| rest.starts_with('.'))
    }

    fn fail(&self, problem: String) -> ParseError {
        ParseError { file: "--endpoint".into(), document: self.text.clone(), field: String::new(), problem }
    }

    /// Which service and port of it are meant.
    fn find(&self, services: &[Service]) -> Result<(usize, usize), ParseError> {
        let exact = services.iter().position(|service| service.host == self.service);
        let found: Vec<usize> = match exact {
            Some(exact) => vec![exact],
            None => (0..services.len()).filter(|at| self.means(&services[*at])).collect(),
        };
        let [service] = found[..] else {
            let hosts: Vec<&str> = found.iter().map(|at| services[*at].host.as_str()).collect();
            return Err(self.fail(match hosts[..] {
                [] => format!("there is no service {}", self.service),
                _ => format!("{} means several services: {}", self.service, hosts.join(", ")),
            }));
        };
        let ports = &services[service].ports;
        let is_meant = |port: &String, at: usize| ports[at].name == *port || ports[at].number.to_string() == *port;
        let fitting: Vec<usize> = (0..ports.len()).filter(|at| self.port.as_ref().is_none_or(|port| is_meant(port, *at))).collect();
        match fitting[..] {
            [port] => Ok((service, port)),
            _ => {
                let known: Vec<String> = ports.iter().map(|port| format!("{} ({})", port.number, port.name)).collect();
                Err(self.fail(format!("{} has the ports {}; say which", services[service].host, known.join(", "))))
            }
        }
    }
}

/// Ports that are given endpoints here have these, and no others.
pub(super) fn replace(services: &mut [Service], given: &[LocalEndpoint]) -> Result<(), ParseError> {
    let mut emptied = Vec::new();
    for local in given {
        let (service, port) = local.find(services)?;
        if services[service].resolution != Resolution::Static {
            // Names that a resolver would be asked for stand in no list.
            services[service].resolution = Resolution::Static;
            services[service].ports.iter_mut().for_each(|port| port.endpoints.clear());
        }
        let endpoints = &mut services[service].ports[port].endpoints;
        if !emptied.contains(&(service, port)) {
            endpoints.clear();
            emptied.push((service, port));
        }
        endpoints.push(Endpoint {
            address: local.address.ip().to_string(),
            port: local.address.port(),
            labels: local.labels.clone(),
            locality: String::new(),
            weight: 1,
            health: Health::Unsaid,
            tls_mode: None,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_name_an_address_and_labels() {
        let full: LocalEndpoint = "Reviews.demo:http=127.0.0.1:9081,version=v2,app=reviews".parse().expect("valid");
        assert_eq!((full.service.as_str(), full.port.as_deref()), ("reviews.demo", Some("http")));
        assert_eq!(full.address.to_string(), "127.0.0.1:9081");
        assert_eq!(full.labels["version"], "v2");
        let six: LocalEndpoint = "a=[::1]:80".parse().expect("valid");
        assert!(six.address.is_ipv6());
        for wrong in [
            "a",
            "a=",
            "=127.0.0.1:80",
            "a=127.0.0.1",
            "a=localhost:80",
            "a=127.0.0.1:0",
            "a:=127.0.0.1:80",
            "a=127.0.0.1:80,version",
        ] {
            let error = LocalEndpoint::from_str(wrong).expect_err(wrong);
            assert!(error.contains(EXPECTED), "{error}");
        }
    }
}
