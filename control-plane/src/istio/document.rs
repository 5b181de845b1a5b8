// SPDX-License-Identifier: Apache-2.0
//! Text to documents: what stands between `---`, lists opened, and what each says that it is.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

use super::{
    kind::{Verdict, judge},
    objects::Metadata,
    parse::{At, ParseError},
};

/// One object as it was written.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) at: At,
    pub(super) kind: String,
    pub(super) api_version: String,
    pub(super) verdict: Verdict,
    fields: Map<String, Value>,
}

/// What every object has beside what it says.
const ENVELOPE: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// Every document of a file; those of a `List` one by one.
pub(super) fn documents(file: &str, text: &str) -> Result<Vec<Document>, ParseError> {
    let mut found = Vec::new();
    for (index, document) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
        let at = At { file: file.to_owned(), document: format!("document {}", index + 1) };
        // Unlike JSON's, YAML's own values know of keys that are there twice.
        let value = Yaml::deserialize(document).map_err(|error| at.fail("", error))?;
        let value = to_json(value).map_err(|problem| at.fail("", problem))?;
        if !value.is_null() {
            open(at, value, &mut found)?;
        }
    }
    Ok(found)
}

/// Keys that are numbers or truth values are texts, as in Kubernetes.
fn to_json(value: Yaml) -> Result<Value, String> {
    match value {
        Yaml::Mapping(fields) => {
            let mut object = Map::new();
            for (key, field) in fields {
                let key = match key {
                    Yaml::String(text) => text,
                    Yaml::Number(number) => number.to_string(),
                    Yaml::Bool(truth) => truth.to_string(),
                    other => return Err(format!("{other:?} is no key")),
                };
                if object.contains_key(&key) {
                    return Err(format!("duplicate entry with key {key:?}"));
                }
                object.insert(key, to_json(field)?);
            }
            Ok(Value::Object(object))
        }
        Yaml::Sequence(items) => items.into_iter().map(to_json).collect(),
        Yaml::Tagged(tagged) => Err(format!("tag {} is not supported", tagged.tag)),
        scalar => serde_json::to_value(scalar).map_err(|error| error.to_string()),
    }
}

fn open(at: At, mut value: Value, found: &mut Vec<Document>) -> Result<(), ParseError> {
    drop_nulls(&mut value);
    let Value::Object(mut fields) = value else { return Err(at.fail("", "an object with kind and apiVersion is expected")) };
    let kind = text(&at, &fields, "kind")?;
    let api_version = text(&at, &fields, "apiVersion")?;
    let verdict = judge(&api_version, &kind);
    if verdict == Verdict::List {
        let items = fields.remove("items").unwrap_or_default();
        let items: Vec<Value> = if items.is_null() { Vec::new() } else { typed(&at, "items", items)? };
        let named = |index| At { file: at.file.clone(), document: format!("{}, items[{index}]", at.document) };
        return items.into_iter().enumerate().try_for_each(|(index, item)| open(named(index), item, found));
    }
    found.push(Document { at, kind, api_version, verdict, fields });
    Ok(())
}

fn text(at: &At, fields: &Map<String, Value>, name: &str) -> Result<String, ParseError> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(at.fail(name, format!("a text is expected, not {other}"))),
        None => Err(at.fail(name, "is missing")),
    }
}

/// What is null is not there, as in Kubernetes.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

impl Document {
    /// Name, namespace and labels; from here on errors say whose they are.
    pub(super) fn metadata(&mut self) -> Result<Metadata, ParseError> {
        let metadata: Metadata = typed(&self.at, "metadata", self.fields.remove("metadata").unwrap_or_default())?;
        self.at.document = format!("{} ({} {}/{})", self.at.document, self.kind, metadata.namespace, metadata.name);
        Ok(metadata)
    }

    /// `spec`, which is all that the document may say; without these of its fields, which have no effect.
    pub(super) fn spec<T: DeserializeOwned>(&mut self, without_effect: &[&str]) -> Result<T, ParseError> {
        let mut spec = self.fields.remove("spec").ok_or_else(|| self.at.fail("spec", "is missing"))?;
        if let Some(other) = self.fields.keys().find(|field| !ENVELOPE.contains(&field.as_str())) {
            return Err(self.at.fail(other.as_str(), "unknown field"));
        }
        if let Value::Object(fields) = &mut spec {
            fields.retain(|name, _| !without_effect.contains(&name.as_str()));
        }
        typed(&self.at, "spec", spec)
    }

    /// All of it, for kinds without a `spec`.
    pub(super) fn whole<T: DeserializeOwned>(&mut self) -> Result<T, ParseError> {
        typed(&self.at, "", Value::Object(std::mem::take(&mut self.fields)))
    }
}

fn typed<T: DeserializeOwned>(at: &At, under: &str, value: Value) -> Result<T, ParseError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = match (under, path.as_str()) {
            (under, ".") => under.to_owned(),
            ("", path) => path.to_owned(),
            (under, path) => format!("{under}.{path}"),
        };
        at.fail(field, error.into_inner())
    })
}
