// SPDX-License-Identifier: Apache-2.0
//! The flat format: a snapshot, or what changed in it, as one position-independent little-endian buffer.
//!
//! Header (32 bytes): magic `PXLF`, major u16, minor u16, flags u32 (bit 0: only changes), section count u32, epoch u64,
//! since u64. Then one 16-byte entry per section: kind u32, count u32, offset u32, length u32. Sections:
//!
//! | kind | record | content |
//! |---|---|---|
//! | 1 targets | 64 B | target, resolved, detail (string references), state u8, reason u8, flags u16 (bit 0: partial), first and count of endpoints, order, localities, extensions (u32 each), reserved u32 |
//! | 2 endpoints | 32 B | [`Endpoint`] as it lies; its indices count from the target's first locality and extension |
//! | 3 order | 4 B | index into the target's endpoints |
//! | 4 localities | 28 B | region, zone, sub-zone (string references), weight u32 |
//! | 5 extensions | 16 B | host name, workload (string references) |
//! | 6 spellings | 12 B | string reference, index into the targets; all those of each target here |
//! | 7 strings | 1 B | UTF-8 |
//!
//! A string reference is offset u32 and length u32 into the strings. A reader skips sections that it does not know, refuses
//! another major version, and checks every length.

use std::{collections::HashMap, sync::Arc};

use crate::{
    error::{Code, Error, Result},
    model::{Endpoint, Locality},
    store::{Entry, Snapshot},
};

const MAGIC: [u8; 4] = *b"PXLF";
/// Raised when old readers would misread.
pub const MAJOR: u16 = 1;
/// Raised when sections are added.
pub const MINOR: u16 = 0;

const HEADER: usize = 32;
const SECTION: usize = 16;
const FLAG_CHANGES: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
enum Section {
    Targets = 1,
    Endpoints = 2,
    Order = 3,
    Localities = 4,
    Extensions = 5,
    Spellings = 6,
    Strings = 7,
}

impl Section {
    const ALL: [(Section, usize); 7] = [
        (Section::Targets, 64),
        (Section::Endpoints, 32),
        (Section::Order, 4),
        (Section::Localities, 28),
        (Section::Extensions, 16),
        (Section::Spellings, 12),
        (Section::Strings, 1),
    ];
}

/// Encodes a snapshot, or what changed in it after the epoch `since` (0: everything). `None` when nothing did. Walks and writes
/// what changed, whatever else is watched; a target that got another name has changed.
///
/// The whole is encoded, and said to be, when targets were dropped after `since`.
pub fn encode(snapshot: &Snapshot, since: u64) -> Option<Vec<u8>> {
    if since > 0 && snapshot.epoch() <= since {
        return None;
    }
    let whole = since == 0 || snapshot.shrank_after(since);
    let mut encoder = Encoder::default();
    for (position, (entry, names)) in (0u32..).zip(snapshot.changes(if whole { 0 } else { since })) {
        encoder.entry(entry);
        for name in names {
            encoder.name(name, position);
        }
    }
    Some(encoder.finish(if whole { 0 } else { FLAG_CHANGES }, snapshot.epoch(), since))
}

#[derive(Default)]
struct Encoder {
    targets: Vec<u8>,
    endpoints: Vec<u8>,
    order: Vec<u8>,
    localities: Vec<u8>,
    extensions: Vec<u8>,
    spellings: Vec<u8>,
    strings: Vec<u8>,
    known: HashMap<Arc<str>, [u8; 8]>,
}

impl Encoder {
    fn entry(&mut self, entry: &Entry) {
        let list = &entry.list;
        let texts = [self.text(&entry.target), self.text(&entry.resolved), self.text(&entry.detail)];
        for text in texts {
            self.targets.extend(text);
        }
        self.targets.extend([entry.state.number(), entry.state.reason_number()]);
        self.targets.extend(u16::from(entry.partial).to_le_bytes());
        let spans = [
            (self.endpoints.len() / 32, list.endpoints().len()),
            (self.order.len() / 4, list.order().len()),
            (self.localities.len() / 28, list.localities().len()),
            (self.extensions.len() / 16, list.extensions().len()),
        ];
        for (first, count) in spans {
            self.targets.extend((first as u32).to_le_bytes());
            self.targets.extend((count as u32).to_le_bytes());
        }
        self.targets.extend([0; 4]);
        for endpoint in list.endpoints() {
            self.endpoint(endpoint);
        }
        for index in list.order() {
            self.order.extend(index.to_le_bytes());
        }
        for locality in list.localities() {
            self.locality(locality);
        }
        for extension in list.extensions() {
            let texts = [self.text(&extension.hostname), self.text(&extension.workload)];
            self.extensions.extend(texts.as_flattened());
        }
    }

    fn name(&mut self, name: &Arc<str>, target: u32) {
        let text = self.text(name);
        self.spellings.extend(text);
        self.spellings.extend(target.to_le_bytes());
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        let out = &mut self.endpoints;
        out.extend(endpoint.ip);
        out.extend(endpoint.port.to_le_bytes());
        out.extend([endpoint.family, endpoint.health, endpoint.priority, endpoint.flags]);
        out.extend(endpoint.locality.to_le_bytes());
        out.extend(endpoint.weight.to_le_bytes());
        out.extend(endpoint.extension.to_le_bytes());
    }

    fn locality(&mut self, locality: &Locality) {
        let texts = [self.text(&locality.region), self.text(&locality.zone), self.text(&locality.sub_zone)];
        self.localities.extend(texts.as_flattened());
        self.localities.extend(locality.weight.to_le_bytes());
    }

    fn text(&mut self, text: &Arc<str>) -> [u8; 8] {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let mut reference = [0; 8];
        reference[..4].copy_from_slice(&(self.strings.len() as u32).to_le_bytes());
        reference[4..].copy_from_slice(&(text.len() as u32).to_le_bytes());
        self.strings.extend(text.as_bytes());
        self.known.insert(Arc::clone(text), reference);
        reference
    }

    fn finish(self, flags: u32, epoch: u64, since: u64) -> Vec<u8> {
        let bodies = [self.targets, self.endpoints, self.order, self.localities, self.extensions, self.spellings, self.strings];
        let total = HEADER + SECTION * bodies.len() + bodies.iter().map(Vec::len).sum::<usize>();
        let mut out = Vec::with_capacity(total);
        out.extend(MAGIC);
        out.extend(MAJOR.to_le_bytes());
        out.extend(MINOR.to_le_bytes());
        out.extend(flags.to_le_bytes());
        out.extend((bodies.len() as u32).to_le_bytes());
        out.extend(epoch.to_le_bytes());
        out.extend(since.to_le_bytes());
        let mut offset = HEADER + SECTION * bodies.len();
        for ((section, record), body) in Section::ALL.iter().zip(&bodies) {
            for word in [*section as usize, body.len() / record, offset, body.len()] {
                out.extend((word as u32).to_le_bytes());
            }
            offset += body.len();
        }
        for body in bodies {
            out.extend(body);
        }
        out
    }
}

/// A checked view of a flat buffer; the counterpart of [`encode`], for tests and for readers in Rust.
#[derive(Debug)]
pub struct Flat<'a> {
    sections: HashMap<u32, &'a [u8]>,
    /// Epoch of the snapshot.
    pub epoch: u64,
    /// The buffer holds what changed after this epoch, if `changes_only`.
    pub since: u64,
    /// Not the whole.
    pub changes_only: bool,
}

/// One target as read from a flat buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct FlatTarget<'a> {
    /// Canonical form.
    pub target: &'a str,
    /// What it resolved to.
    pub resolved: &'a str,
    /// For people.
    pub detail: &'a str,
    /// State and reason numbers.
    pub state: (u8, u8),
    /// Part of the route leads nowhere.
    pub partial: bool,
    /// 32-byte records.
    pub endpoints: &'a [[u8; 32]],
    /// Indices into the endpoints.
    pub order: Vec<u32>,
    /// Zones of the localities.
    pub zones: Vec<&'a str>,
    /// Host names of the extensions.
    pub hostnames: Vec<&'a str>,
}

impl<'a> Flat<'a> {
    /// Reads the header and checks that every section lies inside.
    ///
    /// # Errors
    /// [`Code::Malformed`] with what does not fit.
    pub fn parse(buffer: &'a [u8]) -> Result<Self> {
        let bad = |what: &str| Error::new(Code::Malformed, format!("flat format: {what}"));
        let header = buffer.get(..HEADER).ok_or_else(|| bad("shorter than its header"))?;
        if header[..4] != MAGIC {
            return Err(bad("not a flat buffer"));
        }
        let major = u16::from_le_bytes([header[4], header[5]]);
        if major != MAJOR {
            return Err(bad(&format!("major version {major}, this reader knows {MAJOR}")));
        }
        let count = read_u32(header, 12) as usize;
        let mut sections = HashMap::new();
        for index in 0..count {
            let at = HEADER + SECTION * index;
            let entry = buffer.get(at..at + SECTION).ok_or_else(|| bad("shorter than its section table"))?;
            let (kind, records) = (read_u32(entry, 0), read_u32(entry, 4) as usize);
            let (offset, length) = (read_u32(entry, 8) as usize, read_u32(entry, 12) as usize);
            let body = buffer.get(offset..).and_then(|rest| rest.get(..length)).ok_or_else(|| bad("a section lies outside"))?;
            if let Some((_, record)) = Section::ALL.iter().find(|(section, _)| *section as u32 == kind)
                && records.checked_mul(*record) != Some(length)
            {
                return Err(bad("a section's length is not a multiple of its record"));
            }
            sections.insert(kind, body);
        }
        Ok(Self {
            sections,
            epoch: read_u64(header, 16),
            since: read_u64(header, 24),
            changes_only: read_u32(header, 8) & FLAG_CHANGES != 0,
        })
    }

    /// Every target.
    ///
    /// # Errors
    /// [`Code::Malformed`] when a reference points outside.
    pub fn targets(&self) -> Result<Vec<FlatTarget<'a>>> {
        let (records, _) = self.section(Section::Targets).as_chunks::<64>();
        records.iter().map(|record| self.target(record)).collect()
    }

    /// Every spelling with the canonical form that it means.
    ///
    /// # Errors
    /// [`Code::Malformed`] when a reference points outside.
    pub fn spellings(&self) -> Result<Vec<(&'a str, &'a str)>> {
        let (targets, _) = self.section(Section::Targets).as_chunks::<64>();
        let (records, _) = self.section(Section::Spellings).as_chunks::<12>();
        records
            .iter()
            .map(|record| {
                let target = targets.get(read_u32(record, 8) as usize).ok_or_else(outside)?;
                Ok((self.text(record, 0)?, self.text(target, 0)?))
            })
            .collect()
    }

    fn target(&self, record: &[u8; 64]) -> Result<FlatTarget<'a>> {
        let span = |section: Section, at: usize, size: usize| -> Result<&'a [u8]> {
            let (first, count) = (read_u32(record, at) as usize, read_u32(record, at + 4) as usize);
            let body = self.section(section);
            body.get(first * size..).and_then(|rest| rest.get(..count * size)).ok_or_else(outside)
        };
        let (endpoints, _) = span(Section::Endpoints, 28, 32)?.as_chunks::<32>();
        let order = span(Section::Order, 36, 4)?.chunks_exact(4).map(|word| read_u32(word, 0)).collect();
        let zones = span(Section::Localities, 44, 28)?.chunks_exact(28).map(|l| self.text(l, 8)).collect::<Result<_>>()?;
        let hostnames = span(Section::Extensions, 52, 16)?.chunks_exact(16).map(|x| self.text(x, 0)).collect::<Result<_>>()?;
        Ok(FlatTarget {
            target: self.text(record, 0)?,
            resolved: self.text(record, 8)?,
            detail: self.text(record, 16)?,
            state: (record[24], record[25]),
            partial: record[26] & 1 != 0,
            endpoints,
            order,
            zones,
            hostnames,
        })
    }

    fn section(&self, section: Section) -> &'a [u8] {
        self.sections.get(&(section as u32)).copied().unwrap_or_default()
    }

    fn text(&self, record: &[u8], at: usize) -> Result<&'a str> {
        let (offset, length) = (read_u32(record, at) as usize, read_u32(record, at + 4) as usize);
        let bytes = self.section(Section::Strings).get(offset..).and_then(|rest| rest.get(..length)).ok_or_else(outside)?;
        std::str::from_utf8(bytes).map_err(|error| Error::new(Code::Malformed, "flat format: a string is not UTF-8").because(error))
    }
}

fn outside() -> Error {
    Error::new(Code::Malformed, "flat format: a reference points outside")
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
#[path = "wire_test.rs"]
mod tests;
