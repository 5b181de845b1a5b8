// SPDX-License-Identifier: Apache-2.0
//! Our JSON document: settings in order, none of them twice.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::Value;

pub(super) struct Document(pub(super) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Settings)
    }
}

struct Settings;

impl<'de> Visitor<'de> for Settings {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut settings: Vec<(String, Value)> = Vec::new();
        while let Some((key, value)) = map.next_entry()? {
            if settings.iter().any(|(other, _)| *other == key) {
                return Err(A::Error::custom(format_args!("key {key:?} is there twice")));
            }
            settings.push((key, value));
        }
        Ok(Document(settings))
    }
}
