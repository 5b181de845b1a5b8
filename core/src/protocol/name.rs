// SPDX-License-Identifier: Apache-2.0
//! Names of resources: old-style ones are free text, new ones say their authority (gRFC A47, xDS TP1).

use std::{borrow::Cow, collections::BTreeMap};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Kind;

/// An `xdstp` name in its parts: `xdstp://<authority>/<type>/<id>?<context parameters>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xdstp<'a> {
    /// Who is asked; may be empty, which is an authority of its own.
    pub authority: &'a str,
    /// The type without `type.googleapis.com/`.
    pub kind: &'a str,
    /// The rest of the path.
    pub id: &'a str,
    /// Context parameters in order; of two with one key the last counts.
    pub context: BTreeMap<&'a str, &'a str>,
}

const SCHEME: &str = "xdstp:";

/// Everything but the characters that RFC 3986 lets stand in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

impl<'a> Xdstp<'a> {
    /// Parses a new-style name; `None` for an old-style one.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn parse(name: &'a str) -> Option<Result<Self, String>> {
        name.strip_prefix(SCHEME).map(|rest| Self::parse_rest(rest).map_err(|what| format!("resource name {name:?}: {what}")))
    }

    fn parse_rest(rest: &'a str) -> Result<Self, &'static str> {
        let rest = rest.strip_prefix("//").ok_or("no authority: xdstp://authority/type/id is expected")?;
        let (authority, path) = rest.split_once('/').ok_or("no type after the authority")?;
        let path = path.split_once('#').map_or(path, |(path, _)| path);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (kind, id) = path.split_once('/').ok_or("no id after the type")?;
        if id.is_empty() {
            return Err("its id is empty");
        }
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Ok(Self { authority, kind, id, context: pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect() })
    }

    /// Checks that the name is one of this kind.
    ///
    /// # Errors
    /// That it is not.
    pub fn check(&self, kind: Kind) -> Result<(), String> {
        let expected = kind.type_name();
        if self.kind == expected { Ok(()) } else { Err(format!("a name of type {} where {expected} is expected", self.kind)) }
    }
}

impl std::fmt::Display for Xdstp<'_> {
    /// The one spelling under which the resource is asked for and kept.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "xdstp://{}/{}/{}", self.authority, self.kind, self.id)?;
        for (number, (key, value)) in self.context.iter().enumerate() {
            write!(f, "{}{key}={value}", if number == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// The spelling under which a name is kept: context parameters sorted. Other names are what they are.
pub(super) fn canonical(name: &str) -> Cow<'_, str> {
    match Xdstp::parse(name) {
        Some(Ok(parsed)) => parsed.to_string().into(),
        _ => name.into(),
    }
}

/// Puts a target into a listener name template: percent-encoded into a new-style one, verbatim into others.
pub fn fill_template(template: &str, target: &str) -> String {
    if template.starts_with(SCHEME) {
        template.replace("%s", &utf8_percent_encode(target, PATH).to_string())
    } else {
        template.replace("%s", target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> Result<Xdstp<'_>, String> {
        Xdstp::parse(name).expect("new style")
    }

    #[test]
    fn a_name_has_authority_type_id_and_context() {
        let name = parse("xdstp://a.b/envoy.config.cluster.v3.Cluster/x/y?b=2&a=1&b=3#frag").expect("valid");
        assert_eq!((name.authority, name.kind, name.id), ("a.b", "envoy.config.cluster.v3.Cluster", "x/y"));
        assert_eq!(name.to_string(), "xdstp://a.b/envoy.config.cluster.v3.Cluster/x/y?a=1&b=3");
        assert!(name.check(Kind::Cluster).is_ok());
        assert!(name.check(Kind::Listener).expect_err("another type").contains("envoy.config.listener.v3.Listener"));
    }

    #[test]
    fn the_empty_authority_is_one_and_old_names_have_none() {
        assert_eq!(parse("xdstp:///envoy.config.cluster.v3.Cluster/x").expect("valid").authority, "");
        assert!(Xdstp::parse("outbound|80||a").is_none());
        assert_eq!(canonical("outbound|80||a?b=1&a=2"), "outbound|80||a?b=1&a=2");
    }

    #[test]
    fn c_052_a_target_is_encoded_into_a_new_style_template_and_verbatim_in_others() {
        assert_eq!(fill_template("xdstp://a/t/%s?x=1", "a b:80/c"), "xdstp://a/t/a%20b:80/c?x=1");
        assert_eq!(fill_template("p/%s", "a b:80/c"), "p/a b:80/c");
    }

    #[test]
    fn malformed_names_say_what_is_wrong() {
        for bad in ["xdstp:", "xdstp:a/b/c", "xdstp://a", "xdstp://a/t", "xdstp://a/t/", "xdstp://a/t/?x=1"] {
            assert!(parse(bad).expect_err(bad).contains(bad), "{bad}");
        }
    }
}
