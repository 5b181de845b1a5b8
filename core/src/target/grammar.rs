// SPDX-License-Identifier: Apache-2.0
//! The target grammar: `[xds:///]host[:port][/subset]`, `cluster:<name>`, or `xds://authority/target` as in gRPC.

use std::{fmt, net::Ipv6Addr};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::error::{Code, Error, Result};

/// What a target names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A service, or one subset of it.
    Service {
        /// Mesh FQDN, short name or Spring application name; lower case.
        host: String,
        /// Service port, when the caller says one.
        port: Option<u16>,
        /// DestinationRule subset.
        subset: Option<String>,
    },
    /// A cluster by its own name.
    Cluster(String),
    /// What a gRPC client with an authority means (gRFC A47): the authority's template makes a listener name of the target.
    Listener {
        /// An entry of the bootstrap's `authorities`.
        authority: String,
        /// The rest, as it is.
        target: String,
    },
}

/// A parsed target. Two spellings of the same target are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    subject: Subject,
}

/// Longest spelling that is parsed; a limit, not a rule of the grammar.
const MAX_LENGTH: usize = 1024;
const RESERVED: &AsciiSet = &CONTROLS.add(b' ').add(b'/').add(b':').add(b'?').add(b'%').add(b'[').add(b']').add(b'#');

impl Target {
    /// Parses a spelling.
    ///
    /// # Errors
    /// [`Code::Target`] with the spelling and what is wrong with it.
    pub fn parse(spelling: &str) -> Result<Self> {
        let fail = |what: &str| Error::new(Code::Target, format!("target {spelling:?}: {what}"));
        if spelling.len() > MAX_LENGTH {
            return Err(Error::new(Code::Target, format!("a target of {} bytes is longer than {MAX_LENGTH}", spelling.len())));
        }
        if let Some(name) = spelling.strip_prefix("cluster:") {
            return if name.is_empty() {
                Err(fail("no cluster name"))
            } else {
                Ok(Self { subject: Subject::Cluster(name.into()) })
            };
        }
        if spelling.starts_with("xdstp:") {
            return Err(fail("write cluster:xdstp://… for a cluster, or xds://authority/target for a listener"));
        }
        if let Some((scheme, rest)) = spelling.split_once("://").filter(|(scheme, _)| *scheme != "xds") {
            let place = rest.split('/').next().unwrap_or(rest);
            return Err(fail(&format!("a target has no scheme such as {scheme}://; write {place}")));
        }
        let rest = match spelling.strip_prefix("xds://") {
            None => spelling,
            Some(rest) => match rest.split_once('/') {
                Some(("", path)) => path,
                Some((_, "")) => return Err(fail("no target after the authority")),
                Some((authority, target)) => {
                    return Ok(Self { subject: Subject::Listener { authority: authority.into(), target: target.into() } });
                }
                None => return Err(fail("no host; write xds:///host")),
            },
        };
        if rest.contains('?') {
            return Err(fail("metadata criteria (?key=value) are not supported yet"));
        }
        let (place, subset) = match rest.split_once('/') {
            Some((place, subset)) => (place, Some(subset)),
            None => (rest, None),
        };
        let (host, port) = split_port(place).map_err(fail)?;
        let host = decode(host).map_err(fail)?.to_lowercase();
        let subset = subset.map(decode).transpose().map_err(fail)?;
        check_host(&host).map_err(fail)?;
        if subset.as_ref().is_some_and(|subset| subset.is_empty() || subset.contains('/')) {
            return Err(fail("after the host one subset name may follow"));
        }
        let target = Self { subject: Subject::Service { host, port, subset } };
        // Encoding makes it longer, and the canonical form must be a spelling too.
        match target.to_string().len() {
            ..=MAX_LENGTH => Ok(target),
            length => {
                Err(Error::new(Code::Target, format!("a target of {length} bytes, written out, is longer than {MAX_LENGTH}")))
            }
        }
    }

    pub(super) fn service(host: String, port: Option<u16>, subset: Option<String>) -> Self {
        Self { subject: Subject::Service { host, port, subset } }
    }

    /// What it names.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// This target with another host, and with port and subset of `other` where it has none itself.
    pub(super) fn mapped_to(&self, other: &Target) -> Target {
        match (&self.subject, &other.subject) {
            (Subject::Service { port, subset, .. }, Subject::Service { host, port: mapped_port, subset: mapped_subset }) => {
                Target {
                    subject: Subject::Service {
                        host: host.clone(),
                        port: mapped_port.or(*port),
                        subset: subset.clone().or_else(|| mapped_subset.clone()),
                    },
                }
            }
            _ => other.clone(),
        }
    }
}

impl fmt::Display for Target {
    /// The canonical form: the key in snapshots.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Cluster(name) => write!(f, "cluster:{name}"),
            Subject::Listener { authority, target } => write!(f, "xds://{authority}/{target}"),
            Subject::Service { host, port, subset } => {
                if host.parse::<Ipv6Addr>().is_ok() {
                    write!(f, "[{host}]")?;
                } else if host == "cluster" && port.is_some() {
                    // `cluster:80` would be the cluster named 80.
                    f.write_str("%63luster")?;
                } else {
                    write!(f, "{}", utf8_percent_encode(host, RESERVED))?;
                }
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                if let Some(subset) = subset {
                    write!(f, "/{}", utf8_percent_encode(subset, RESERVED))?;
                }
                Ok(())
            }
        }
    }
}

fn check_host(host: &str) -> std::result::Result<(), &'static str> {
    if host.is_empty() {
        return Err("no host");
    }
    if host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a host has no spaces");
    }
    if host.split('.').any(str::is_empty) {
        return Err("a host has no empty part before, between or behind its dots");
    }
    Ok(())
}

fn split_port(place: &str) -> std::result::Result<(&str, Option<u16>), &'static str> {
    const BAD_PORT: &str = "the port is not a number from 1 to 65535";
    let parse = |digits: &str| match digits.parse() {
        Ok(0) | Err(_) => Err(BAD_PORT),
        Ok(port) => Ok(Some(port)),
    };
    if let Some(bracketed) = place.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or("the bracket of an IPv6 address is not closed")?;
        host.parse::<Ipv6Addr>().map_err(|_| "what stands in brackets is no IPv6 address")?;
        return match after.strip_prefix(':') {
            Some(digits) => Ok((host, parse(digits)?)),
            None if after.is_empty() => Ok((host, None)),
            None => Err("after the bracket only a port may follow"),
        };
    }
    match place.split_once(':') {
        None => Ok((place, None)),
        Some((_, digits)) if digits.contains(':') => Err("an IPv6 address needs brackets"),
        Some((host, digits)) => Ok((host, parse(digits)?)),
    }
}

fn decode(component: &str) -> std::result::Result<String, &'static str> {
    Ok(percent_decode_str(component).decode_utf8().map_err(|_| "a component does not decode to UTF-8")?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(spelling: &str) -> String {
        Target::parse(spelling).unwrap_or_else(|error| panic!("{error}")).to_string()
    }

    #[test]
    fn spellings_of_one_target_have_one_canonical_form() {
        for spelling in ["echo.demo:8080/v1", "xds:///Echo.Demo:8080/v1", "echo%2Edemo:8080/%761"] {
            assert_eq!(canonical(spelling), "echo.demo:8080/v1");
        }
        assert_eq!(canonical("go-sc-a"), "go-sc-a");
        assert_eq!(canonical("[::1]:80"), "[::1]:80");
        assert_eq!(canonical("a%2Fb/v%201"), "a%2Fb/v%201");
        assert_eq!(canonical("a%3Ab"), "a%3Ab");
        assert_eq!(canonical("Cluster:80"), "%63luster:80");
        assert_eq!(canonical("%3A%3A1:80"), "[::1]:80");
        assert_eq!(canonical("cluster:outbound|80||Host"), "cluster:outbound|80||Host");
        assert_eq!(canonical("xds://auth/a/b?c"), "xds://auth/a/b?c");
    }

    #[test]
    fn what_does_not_follow_the_grammar_says_why() {
        for (spelling, what) in [
            ("", "no host"),
            (":80", "no host"),
            ("a:0", "port"),
            ("a:x", "port"),
            ("a:99999", "port"),
            ("::1", "brackets"),
            ("[::1", "not closed"),
            ("[a:b]", "no IPv6 address"),
            ("a/b/c", "one subset"),
            ("a/", "one subset"),
            ("a?k=v", "not supported"),
            ("xds://auth", "no host"),
            ("xds://auth/", "no target"),
            ("xdstp://x/y", "cluster:xdstp://"),
            ("cluster:", "no cluster name"),
            ("a%ff", "UTF-8"),
            ("http://web.shop/a", "a target has no scheme such as http://; write web.shop"),
            ("grpc://web:80", "write web:80"),
            ("ec ho", "no spaces"),
            ("ec%09ho", "no spaces"),
            ("echo..demo", "no empty part"),
            (".echo", "no empty part"),
            ("echo.", "no empty part"),
        ] {
            let error = Target::parse(spelling).expect_err(spelling);
            assert_eq!(error.code(), Code::Target);
            assert!(error.to_string().contains(what), "{spelling}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_canonical_form_parses_to_itself(spelling in "\\PC{0,40}") {
            if let Ok(target) = Target::parse(&spelling) {
                let canonical = target.to_string();
                proptest::prop_assert_eq!(Target::parse(&canonical).expect("canonical forms parse"), target);
            }
        }
    }
}
