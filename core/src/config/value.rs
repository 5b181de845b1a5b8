// SPDX-License-Identifier: Apache-2.0
//! Offers collected from the sources, and their conversion into a [`Config`].

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Display,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use serde_json::{Map, Value};

use super::{CertificateRequest, Config, Directory, Origin, Place, Profile, SETTINGS, Server, Setting, node};
use crate::{
    backoff::Backoff,
    error::{Code, Error, Result},
    protocol::{Policy, Wildcard},
    resource::Limits,
    target::{Naming, Target},
};

/// A year.
const LONGEST_MS: u64 = 365 * 24 * 3600 * 1000;

/// A value as a source has it.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    Json(Value),
    Text(String),
}

impl Raw {
    fn shown(&self) -> String {
        match self {
            Raw::Json(Value::String(text)) | Raw::Text(text) => text.clone(),
            Raw::Json(value) => value.to_string(),
        }
    }

    /// For messages: what stands before an `@` in a server's address may be a password.
    fn said(&self) -> String {
        let shown = self.shown();
        match (shown.find("://"), shown.rfind('@')) {
            (Some(start), Some(end)) if start < end => format!("{}://…{}", &shown[..start], &shown[end..]),
            _ => shown,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Raw::Text(text) | Raw::Json(Value::String(text)) if text.is_empty())
            || matches!(self, Raw::Json(Value::Null))
    }
}

#[derive(Debug)]
struct Offer {
    raw: Raw,
    origin: String,
}

/// First offers win.
#[derive(Debug, Default)]
pub(super) struct Draft {
    offers: HashMap<&'static str, Offer>,
    /// A node that a bootstrap prescribes as it is.
    pub(super) node: Option<Value>,
    /// The servers of a bootstrap.
    pub(super) bootstrap: Option<(Vec<Server>, Directory)>,
    warnings: Vec<String>,
}

impl Draft {
    /// Takes a value unless an earlier source had one. An empty text is no value.
    pub(super) fn offer(&mut self, setting: &'static Setting, raw: Raw, origin: String) {
        if !raw.is_empty() {
            self.offers.entry(setting.key).or_insert(Offer { raw, origin });
        }
    }

    pub(super) fn offer_text(&mut self, key: &str, text: impl Into<String>, origin: &str) {
        let setting = Setting::by_key(key).expect("callers name settings of the table");
        self.offer(setting, Raw::Text(text.into()), origin.to_owned());
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.offers.contains_key(key)
    }

    pub(super) fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    pub(super) fn finish(mut self) -> Result<Config> {
        // istiod allows frequent probes; other servers take them for an attack (gRPC's default is five minutes).
        let (keepalive, timeout) = if self.is_offered("profile", "istio") { ("30000", "10000") } else { ("300000", "20000") };
        self.offer_text("keepalive_ms", keepalive, "default");
        self.offer_text("keepalive_timeout_ms", timeout, "default");
        for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
            self.offer(setting, Raw::Text(setting.default.into()), "default".into());
        }
        let (node, node_text) = node::encode(&self)?;
        let (servers, directory) = self.servers()?;
        let places: Vec<String> = servers.iter().map(|server| server.place.to_string()).collect();
        let config = Config {
            cache_identity: format!("{} {}", places.join(","), node::workload(&self)?),
            servers,
            directory,
            profile: self.profile()?,
            node,
            node_text,
            node_id: node::id(&self)?,
            naming: self.naming()?,
            allow_plaintext: self.list("allow_plaintext")?,
            cluster_id: self.text("cluster_id")?.unwrap_or_default(),
            certificate: self.certificate()?,
            workload_certificate: self.flag("workload_certificate")?,
            connect_timeout: self.milliseconds("connect_timeout_ms")?,
            keepalive: self.milliseconds("keepalive_ms")?,
            keepalive_timeout: self.milliseconds("keepalive_timeout_ms")?,
            first_response_timeout: self.milliseconds("first_response_timeout_ms")?,
            resource_timeout: self.milliseconds("resource_timeout_ms")?,
            backoff: self.backoff()?,
            wildcard: match self.choice("wildcard", &["auto", "empty", "star"])? {
                0 => None,
                1 => Some(Wildcard::Empty),
                _ => Some(Wildcard::Star),
            },
            full_state_on_reconnect: match self.choice("reconnect_full_state", &["auto", "true", "false"])? {
                0 => None,
                at => Some(at == 1),
            },
            cache_dir: self.cache_dir()?,
            cache_wait: self.milliseconds("cache_wait_ms")?,
            max_message_bytes: self.number("max_message_bytes")?,
            limits: Limits { endpoints_per_assignment: self.number("max_endpoints")? },
            origins: self.origins(),
            warnings: std::mem::take(&mut self.warnings),
        };
        Ok(config)
    }

    /// The value is this one, or will be by default.
    fn is_offered(&self, key: &str, value: &str) -> bool {
        match self.offers.get(key) {
            Some(offer) => offer.raw.shown() == value,
            None => Setting::by_key(key).is_some_and(|setting| setting.default == value),
        }
    }

    fn is_found(&self, key: &str) -> bool {
        self.offers.get(key).is_none_or(|offer| offer.origin == "pod")
    }

    /// Position of the value among those that are possible.
    fn choice(&self, key: &str, choices: &[&str]) -> Result<usize> {
        let text = self.text(key)?.unwrap_or_default();
        let (last, first) = choices.split_last().expect("there are choices");
        let found = choices.iter().position(|choice| *choice == text);
        found.ok_or_else(|| self.error(key, format!("{} or {last} is expected", first.join(", "))))
    }

    fn origins(&self) -> Vec<Origin> {
        let known = SETTINGS.iter().filter_map(|setting| Some((setting, self.offers.get(setting.key)?)));
        known.map(|(setting, offer)| Origin { key: setting.key, value: offer.raw.shown(), origin: offer.origin.clone() }).collect()
    }

    pub(super) fn error(&self, key: &str, what: impl Display) -> Error {
        match self.offers.get(key) {
            Some(offer) => Error::new(Code::Config, format!("{key} = {:?} (from {}): {what}", offer.raw.said(), offer.origin)),
            None => Error::new(Code::Config, format!("{key}: {what}")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        match self.offers.get(key).map(|offer| &offer.raw) {
            None => Ok(None),
            Some(Raw::Text(text) | Raw::Json(Value::String(text))) => Ok(Some(text.clone())),
            Some(Raw::Json(Value::Number(number))) => Ok(Some(number.to_string())),
            Some(Raw::Json(Value::Bool(flag))) => Ok(Some(flag.to_string())),
            Some(Raw::Json(_)) => Err(self.error(key, "a text is expected")),
        }
    }

    fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        Ok(self.text(key)?.map(PathBuf::from))
    }

    /// With a warning when nothing can be kept there.
    fn cache_dir(&mut self) -> Result<Option<PathBuf>> {
        let folder = self.path("cache_dir")?;
        let nearest = folder.as_ref().and_then(|folder| folder.ancestors().find_map(|path| Some((path, path.metadata().ok()?))));
        if let Some((path, found)) = nearest
            && (!found.is_dir() || found.permissions().readonly())
        {
            let why = if found.is_dir() { "cannot be written to" } else { "is no folder" };
            let error = self.error("cache_dir", format!("{} {why}; nothing will be kept", path.display()));
            self.warnings.push(error.to_string());
        }
        Ok(folder)
    }

    fn number<T: FromStr>(&self, key: &str) -> Result<T> {
        self.text(key)?.and_then(|text| text.parse().ok()).ok_or_else(|| self.error(key, "a number is expected"))
    }

    fn milliseconds(&self, key: &str) -> Result<Duration> {
        match self.number(key)? {
            0u64 => Err(self.error(key, "at least 1 is expected")),
            ms if ms > LONGEST_MS => Err(self.error(key, format!("at most {LONGEST_MS} (a year) is expected"))),
            ms => Ok(Duration::from_millis(ms)),
        }
    }

    fn backoff(&self) -> Result<Backoff> {
        let backoff = Backoff { initial: self.milliseconds("backoff_ms")?, max: self.milliseconds("backoff_max_ms")? };
        if backoff.initial > backoff.max {
            return Err(self.error("backoff_ms", format!("at most backoff_max_ms ({}) is expected", backoff.max.as_millis())));
        }
        Ok(backoff)
    }

    fn flag(&self, key: &str) -> Result<bool> {
        match self.text(key)?.as_deref() {
            Some("true") => Ok(true),
            Some("false") | None => Ok(false),
            Some(_) => Err(self.error(key, "true or false is expected")),
        }
    }

    /// `a,b` or `["a", "b"]`.
    fn list(&self, key: &str) -> Result<Vec<String>> {
        match self.offers.get(key).map(|offer| &offer.raw) {
            Some(Raw::Json(Value::Array(items))) => {
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().ok_or_else(|| self.error(key, "a list of texts is expected"))
            }
            _ => {
                let text = self.text(key)?.unwrap_or_default();
                Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
            }
        }
    }

    /// `a=b,c=d` or `{"a": "b", "c": "d"}`.
    pub(super) fn map(&self, key: &str) -> Result<BTreeMap<String, String>> {
        if let Some(Raw::Json(Value::Object(object))) = self.offers.get(key).map(|offer| &offer.raw) {
            let pairs = object.iter().map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())));
            return pairs.collect::<Option<_>>().ok_or_else(|| self.error(key, "texts are expected as values"));
        }
        let pairs = self.list(key)?.into_iter().map(|item| {
            let (name, value) =
                item.split_once('=').ok_or_else(|| self.error(key, format!("{item:?} is not of the form name=value")))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        });
        pairs.collect()
    }

    pub(super) fn object(&self, key: &str) -> Result<Map<String, Value>> {
        let value = match self.offers.get(key).map(|offer| &offer.raw) {
            None => return Ok(Map::new()),
            Some(Raw::Json(value)) if !value.is_string() => value.clone(),
            Some(raw) => serde_json::from_str(&raw.shown())
                .map_err(|error| self.error(key, format!("a JSON object is expected: {error}")))?,
        };
        match value {
            Value::Object(object) => Ok(object),
            _ => Err(self.error(key, "a JSON object is expected")),
        }
    }

    fn profile(&self) -> Result<Profile> {
        Ok([Profile::Istio, Profile::Envoy, Profile::Grpc][self.choice("profile", &["istio", "envoy", "grpc"])?])
    }

    pub(super) fn is(&self, profile: Profile) -> Result<bool> {
        Ok(self.profile()? == profile)
    }

    /// A node that istiod understands.
    pub(super) fn is_for_istiod(&self) -> Result<bool> {
        Ok(!self.is(Profile::Envoy)?)
    }

    fn servers(&self) -> Result<(Vec<Server>, Directory)> {
        let Some(offer) = self.offers.get("server") else {
            return Err(Error::new(
                Code::Config,
                "no control plane: set server (--server, PROXYLESS_SERVER, -Dproxyless.server), GRPC_XDS_BOOTSTRAP, or mount istiod's token and root",
            ));
        };
        let (mut servers, directory) = match &self.bootstrap {
            // The bootstrap is only looked at when nobody before it named a server.
            Some(found) => found.clone(),
            None => {
                let mut servers: Vec<Server> = Vec::new();
                for text in self.list("server")? {
                    let server = Server::at(Place::parse(&text).map_err(|what| self.error("server", what))?);
                    if !servers.contains(&server) {
                        servers.push(server);
                    }
                }
                if servers.is_empty() {
                    return Err(self.error("server", "at least one server is expected"));
                }
                let default = (0..servers.len()).collect();
                (servers, Directory { default, authorities: BTreeMap::new(), listener_template: "%s".into() })
            }
        };
        let identity = match (self.path("cert_file")?, self.path("key_file")?) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => return Err(self.error("cert_file", "a key_file is expected beside it")),
            (None, Some(_)) => return Err(self.error("key_file", "a cert_file is expected beside it")),
        };
        let token = self.path("token_file")?;
        if token.is_some() && !self.is_found("token_file") && servers.iter().any(|s| matches!(s.place, Place::Plaintext(_))) {
            return Err(self.error("token_file", format!("a token is sent over TLS only, and the server is {}", offer.raw.said())));
        }
        let features = self.list("server_features")?;
        if let Some(unknown) = features.iter().find(|feature| !Policy::FEATURES.contains(&feature.as_str())) {
            return Err(self.error("server_features", format!("{unknown:?} is none of {}", Policy::FEATURES.join(", "))));
        }
        let policy = Policy::from_features(features.iter().map(String::as_str));
        for server in &mut servers {
            server.ca_file = self.path("ca_file")?.or(server.ca_file.take());
            server.identity = identity.clone().or(server.identity.take());
            server.server_name = self.text("server_name")?.or(server.server_name.take());
            server.token_file = token.clone().or(server.token_file.take());
            if !features.is_empty() {
                server.policy = policy;
            }
        }
        Ok((servers, directory))
    }

    fn certificate(&self) -> Result<CertificateRequest> {
        let of = |key, default: &str| self.text(key).map(|text| text.unwrap_or_else(|| default.into()));
        let (domain, namespace, account) = (of("trust_domain", "")?, of("namespace", "")?, of("service_account", "default")?);
        let life = match self.number("certificate_life_s")? {
            0u64 => return Err(self.error("certificate_life_s", "at least 1 is expected")),
            seconds => Duration::from_secs(seconds),
        };
        Ok(CertificateRequest { identity: format!("spiffe://{domain}/ns/{namespace}/sa/{account}"), life })
    }

    fn naming(&self) -> Result<Naming> {
        let mut targets = BTreeMap::new();
        for (name, spelling) in self.map("targets")? {
            let target = Target::parse(&spelling).map_err(|error| self.error("targets", error))?;
            targets.insert(name.to_lowercase(), target);
        }
        Ok(Naming {
            namespace: self.text("namespace")?.unwrap_or_default(),
            cluster_domain: self.text("cluster_domain")?.unwrap_or_default(),
            search_namespaces: self.list("search_namespaces")?,
            targets,
            match_first_label: self.flag("match_first_label")?,
        })
    }
}
