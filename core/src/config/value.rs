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

use super::{Config, Origin, Profile, SETTINGS, Server, Setting, node};
use crate::{
    error::{Code, Error, Result},
    resource::Limits,
    target::{Naming, Target},
};

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
        for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
            self.offer(setting, Raw::Text(setting.default.into()), "default".into());
        }
        let (node, node_text) = node::encode(&self)?;
        let config = Config {
            server: self.server()?,
            profile: self.profile()?,
            node,
            node_text,
            node_id: node::id(&self)?,
            naming: self.naming()?,
            allow_plaintext: self.list("allow_plaintext")?,
            ca_file: self.path("ca_file")?,
            server_name: self.text("server_name")?,
            token_file: self.path("token_file")?,
            cluster_id: self.text("cluster_id")?.unwrap_or_default(),
            connect_timeout: self.milliseconds("connect_timeout_ms")?,
            first_response_timeout: self.milliseconds("first_response_timeout_ms")?,
            resource_timeout: self.milliseconds("resource_timeout_ms")?,
            max_message_bytes: self.number("max_message_bytes")?,
            limits: Limits { endpoints_per_assignment: self.number("max_endpoints")? },
            origins: self.origins(),
            warnings: std::mem::take(&mut self.warnings),
        };
        if config.token_file.is_some() && matches!(config.server, Server::Plaintext(_)) && !self.is_default("token_file") {
            return Err(self.error("token_file", "a token is sent over TLS only, and the server is http"));
        }
        Ok(config)
    }

    fn is_default(&self, key: &str) -> bool {
        self.offers.get(key).is_none_or(|offer| offer.origin == "pod")
    }

    fn origins(&self) -> Vec<Origin> {
        let known = SETTINGS.iter().filter_map(|setting| Some((setting, self.offers.get(setting.key)?)));
        known.map(|(setting, offer)| Origin { key: setting.key, value: offer.raw.shown(), origin: offer.origin.clone() }).collect()
    }

    fn error(&self, key: &str, what: impl Display) -> Error {
        match self.offers.get(key) {
            Some(offer) => Error::new(Code::Config, format!("{key} = {:?} (from {}): {what}", offer.raw.shown(), offer.origin)),
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

    fn number<T: FromStr>(&self, key: &str) -> Result<T> {
        self.text(key)?.and_then(|text| text.parse().ok()).ok_or_else(|| self.error(key, "a number is expected"))
    }

    fn milliseconds(&self, key: &str) -> Result<Duration> {
        match self.number(key)? {
            0u64 => Err(self.error(key, "at least 1 is expected")),
            ms => Ok(Duration::from_millis(ms)),
        }
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
            Some(Raw::Json(value)) => value.clone(),
            Some(Raw::Text(text)) => serde_json::from_str(text).map_err(|error| self.error(key, error))?,
        };
        match value {
            Value::Object(object) => Ok(object),
            _ => Err(self.error(key, "a JSON object is expected")),
        }
    }

    fn profile(&self) -> Result<Profile> {
        match self.text("profile")?.as_deref() {
            Some("istio") => Ok(Profile::Istio),
            Some("envoy") => Ok(Profile::Envoy),
            Some("grpc") => Err(self.error("profile", "the grpc profile is not built yet; istio serves the same lists")),
            _ => Err(self.error("profile", "istio or envoy is expected")),
        }
    }

    pub(super) fn is_istio(&self) -> Result<bool> {
        Ok(self.profile()? == Profile::Istio)
    }

    fn server(&self) -> Result<Server> {
        let Some(text) = self.text("server")? else {
            return Err(Error::new(
                Code::Config,
                "no control plane: set server (PROXYLESS_SERVER, -Dproxyless.server), GRPC_XDS_BOOTSTRAP, or mount istiod's token and root",
            ));
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = format!("/{}", path.trim_start_matches('/'));
            return Ok(Server::Unix(path.into()));
        }
        let (authority, tls) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(authority), _) => (authority, false),
            (_, Some(authority)) => (authority, true),
            _ => return Err(self.error("server", "http:// (plaintext), https:// (TLS) or unix: is expected in front")),
        };
        let authority = authority.trim_end_matches('/');
        let parsed: http::uri::Authority = authority.parse().map_err(|error| self.error("server", error))?;
        if parsed.port_u16().is_none() || parsed.host().is_empty() {
            return Err(self.error("server", "host:port is expected"));
        }
        Ok(if tls { Server::Tls(authority.into()) } else { Server::Plaintext(authority.into()) })
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
