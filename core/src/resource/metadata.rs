// SPDX-License-Identifier: Apache-2.0
//! The metadata of an endpoint: the keys `istio` and `envoy.transport_socket_match` of its filter metadata.

use super::{
    endpoints::{Fault, once},
    wire::{Fields, Value},
};

/// What is read of an endpoint's metadata.
#[derive(Clone, Copy, Default)]
pub(super) struct Metadata<'a> {
    /// Istio's `workload;namespace;…`.
    pub(super) workload: &'a str,
    /// It may take mutual TLS.
    pub(super) may_tls: bool,
}

pub(super) fn read(body: &[u8]) -> Result<Metadata<'_>, Fault> {
    let mut metadata = Metadata::default();
    let mut fields = Fields::of(body);
    while let Some((number, value)) = fields.next()? {
        if number != 1 {
            continue;
        }
        let (key, structure) = map_entry(value)?;
        match key {
            "istio" => metadata.workload = struct_string(structure, "workload")?,
            "envoy.transport_socket_match" => metadata.may_tls = struct_string(structure, "tlsMode")? == "istio",
            _ => {}
        }
    }
    Ok(metadata)
}

/// Key and value of a map entry.
fn map_entry<'a>(value: Value<'a>) -> Result<(&'a str, &'a [u8]), Fault> {
    let mut fields = Fields::of(value.bytes()?);
    let (mut key, mut found, mut seen) = ("", &[][..], false);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => key = value.str()?,
            2 => {
                once(&mut seen)?;
                found = value.bytes()?;
            }
            _ => {}
        }
    }
    Ok((key, found))
}

/// The string under `wanted` in a `google.protobuf.Struct`; empty when it is not there or not a string.
fn struct_string<'a>(structure: &'a [u8], wanted: &str) -> Result<&'a str, Fault> {
    let mut fields = Fields::of(structure);
    let mut found = "";
    while let Some((number, value)) = fields.next()? {
        if number != 1 {
            continue;
        }
        let (key, value) = map_entry(value)?;
        if key != wanted {
            continue;
        }
        found = "";
        let mut fields = Fields::of(value);
        while let Some((number, value)) = fields.next()? {
            match number {
                3 => found = value.str()?,
                // Another kind of value replaces the string; two structures or lists would be merged, and are no string.
                1 | 2 | 4..=6 => found = "",
                _ => {}
            }
        }
    }
    Ok(found)
}
