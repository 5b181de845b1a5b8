// SPDX-License-Identifier: Apache-2.0
//! The last known good on disk, for a start without a control plane.
//!
//! One file per identity (server, namespace, service account, cluster, locality, labels, profile: not the pod's name or address),
//! readable by its owner only: magic, version, checksum, then a protobuf message. Written whole beside the old one and renamed
//! over it. Of every resource only the fields that this client reads are kept, so that no inline secret of a cluster gets there.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use prost::Message;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    authority::Saved,
    protocol::{Effect, Kind, Time},
    resource::kept_fields,
};

const MAGIC: &[u8; 4] = b"PXLC";
const VERSION: u32 = 1;
const HEADER: usize = 4 + 4 + 16;
const MAX_BYTES: u64 = 1 << 30;

/// Changes are collected for so long before they are written,
const COLLECT: Duration = Duration::from_secs(1);
/// and so long lies between two writes at least.
const REST: Duration = Duration::from_secs(10);

#[derive(Clone, PartialEq, Message)]
struct Contents {
    #[prost(string, tag = "1")]
    identity: String,
    #[prost(uint64, tag = "2")]
    saved_at: u64,
    #[prost(message, repeated, tag = "3")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

/// What a file held.
#[derive(Debug)]
pub struct Found {
    /// The resources.
    pub saved: Vec<Saved>,
    /// How long ago they were saved.
    pub age: Duration,
}

/// Collects what is accepted and says when it must be written.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    identity: String,
    entries: BTreeMap<(Kind, Arc<str>), Bytes>,
    changed_at: Option<Time>,
    written_at: Option<Time>,
}

impl Cache {
    /// The file of this identity in a folder. Nothing is read or written yet.
    pub fn new(folder: &Path, identity: &str) -> Self {
        let path = folder.join(format!("proxyless-{:032x}.cache", xxh3_128(identity.as_bytes())));
        Self { path, identity: identity.into(), entries: BTreeMap::new(), changed_at: None, written_at: None }
    }

    /// Where it is kept, and as whose.
    pub fn place(&self) -> (PathBuf, String) {
        (self.path.clone(), self.identity.clone())
    }

    /// Takes note of what a live server said.
    pub fn note<V>(&mut self, effect: &Effect<V>, now: Time) {
        let changed = match effect {
            Effect::Update { kind, name, body, .. } => {
                self.entries.insert((*kind, Arc::clone(name)), kept_fields(*kind, body));
                true
            }
            Effect::Remove { kind, name, .. } | Effect::Forget { kind, name } => {
                self.entries.remove(&(*kind, Arc::clone(name))).is_some()
            }
            _ => false,
        };
        if changed {
            self.changed_at.get_or_insert(now);
        }
    }

    /// When something must be written.
    pub fn due(&self) -> Option<Time> {
        let collected = self.changed_at? + COLLECT;
        Some(self.written_at.map_or(collected, |at| collected.max(at + REST)))
    }

    /// The file as it must be now, if there is anything new.
    pub fn take(&mut self, now: Time) -> Option<Unwritten> {
        self.changed_at.take()?;
        self.written_at = Some(now);
        let entries = self.entries.iter().map(|((kind, name), body)| Entry {
            kind: *kind as u32,
            name: name.to_string(),
            body: body.clone(),
        });
        let saved_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let contents = Contents { identity: self.identity.clone(), saved_at, entries: entries.collect() };
        Some(Unwritten { path: self.path.clone(), contents })
    }
}

/// A file that is to be written.
#[derive(Debug)]
pub struct Unwritten {
    path: PathBuf,
    contents: Contents,
}

impl Unwritten {
    /// Writes it, whole or not at all. Blocks.
    ///
    /// # Errors
    /// With the path.
    pub fn write(self) -> io::Result<()> {
        let at = |error: io::Error, path: &Path| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| at(error, folder))?;
        let bytes = sealed(&self.contents.encode_to_vec());
        // Two processes of one identity write the same thing; each needs a name of its own until it is whole.
        let next = self.path.with_extension(format!("{}.new", std::process::id()));
        let written = write_private(&next, &bytes).and_then(|()| fs::rename(&next, &self.path));
        written.map_err(|error| {
            // What is left of an attempt is of no use to anybody.
            let _ = fs::remove_file(&next);
            at(error, &next)
        })
    }
}

/// Contents behind the header that fits them.
pub fn sealed(contents: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER + contents.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&xxh3_128(contents).to_le_bytes());
    bytes.extend_from_slice(contents);
    bytes.into()
}

/// Writes a file that only its owner can read, whatever was there before: an old file would keep its mode, a link would be followed.
///
/// # Errors
/// Those of the file system.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Reads the file of an identity. `None` when there is none. Blocks.
///
/// # Errors
/// Why a file that is there is not used; for people.
pub fn read(path: &Path, identity: &str) -> Result<Option<Found>, String> {
    let fail = |what: &dyn std::fmt::Display| format!("{} is not used: {what}", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file.take(MAX_BYTES),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(&error)),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| fail(&error))?;
    parse(bytes.into(), identity).map(Some).map_err(|what| fail(&what))
}

/// The inner part of [`read`], without a disk.
///
/// # Errors
/// What is wrong with the bytes.
pub fn parse(bytes: Bytes, identity: &str) -> Result<Found, String> {
    if bytes.len() < HEADER || &bytes[..4] != MAGIC {
        return Err("it is no cache of ours".into());
    }
    if bytes[4..8] != VERSION.to_le_bytes() {
        return Err(format!("its version is not {VERSION}"));
    }
    let payload = bytes.slice(HEADER..);
    if bytes[8..HEADER] != xxh3_128(&payload).to_le_bytes() {
        return Err("its checksum does not fit".into());
    }
    let contents = Contents::decode(payload).map_err(|error| error.to_string())?;
    if contents.identity != identity {
        return Err("it was saved by another identity".into());
    }
    let kind = |number: u32| Kind::ALL.into_iter().find(|kind| *kind as u32 == number);
    let saved = contents
        .entries
        .into_iter()
        .map(|entry| Some(Saved { kind: kind(entry.kind)?, name: entry.name.into(), body: entry.body }))
        .collect::<Option<_>>()
        .ok_or("it holds resources of an unknown kind")?;
    let saved_at = UNIX_EPOCH.checked_add(Duration::from_secs(contents.saved_at)).ok_or("its time is out of range")?;
    Ok(Found { saved, age: SystemTime::now().duration_since(saved_at).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(name: &str, body: &'static [u8]) -> Effect<()> {
        Effect::Update { kind: Kind::Endpoints, name: name.into(), value: (), body: Bytes::from_static(body) }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("proxyless-cache-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn what_was_written_is_read_back_and_only_by_its_owner() {
        let folder = folder("round-trip");
        let mut cache = Cache::new(&folder, "me");
        let (path, identity) = cache.place();
        assert!(read(&path, &identity).expect("no file is no error").is_none());
        cache.note(&update("a", b"\x0a\x01a"), Duration::ZERO);
        cache.note(&update("b", b"\x0a\x01b"), Duration::ZERO);
        cache.note(&Effect::<()>::Forget { kind: Kind::Endpoints, name: "b".into() }, Duration::ZERO);
        cache.take(Duration::ZERO).expect("changed").write().expect("writable");
        let found = read(&path, &identity).expect("valid").expect("there");
        assert_eq!(found.saved, [Saved { kind: Kind::Endpoints, name: "a".into(), body: Bytes::from_static(b"\x0a\x01a") }]);
        assert!(found.age < Duration::from_secs(60), "{:?}", found.age);
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("there").permissions()) & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).expect("there").count(), 1, "nothing else is left there");
        fs::remove_dir_all(folder).expect("ours");
    }

    #[cfg(unix)]
    #[test]
    fn an_old_file_that_others_may_read_does_not_lend_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder("mode");
        fs::create_dir_all(&folder).expect("writable");
        let path = folder.join("key.pem");
        fs::write(&path, "old").expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        write_private(&path, b"new").expect("writable");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).expect("there"), b"new");
        fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn changes_are_collected_and_writes_keep_apart() {
        let mut cache = Cache::new(Path::new("/nowhere"), "me");
        assert_eq!(cache.due(), None);
        cache.note(&update("a", b""), Duration::from_secs(5));
        cache.note(&update("b", b""), Duration::from_millis(5500));
        assert_eq!(cache.due(), Some(Duration::from_secs(6)));
        assert!(cache.take(Duration::from_secs(6)).is_some());
        assert_eq!(cache.due(), None);
        assert!(cache.take(Duration::from_secs(7)).is_none());
        cache.note(&update("a", b""), Duration::from_secs(8));
        assert_eq!(cache.due(), Some(Duration::from_secs(16)));
    }

    #[test]
    fn a_corrupt_or_foreign_file_is_refused_with_the_reason() {
        let folder = folder("corrupt");
        let mut cache = Cache::new(&folder, "me");
        let (path, _) = cache.place();
        cache.note(&update("a", b"\x0a\x01a"), Duration::ZERO);
        cache.take(Duration::ZERO).expect("changed").write().expect("writable");
        let good = fs::read(&path).expect("there");
        assert!(parse(good.clone().into(), "you").expect_err("another").contains("another identity"));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(parse(bad.into(), "me").is_err(), "a flipped bit at {at}");
            assert!(parse(good[..at].to_vec().into(), "me").is_err(), "cut at {at}");
        }
        fs::write(&path, b"something else").expect("writable");
        let error = read(&path, "me").expect_err("not ours");
        assert!(error.contains("no cache of ours") && error.contains(&*path.to_string_lossy()), "{error}");
        fs::remove_dir_all(folder).expect("ours");
    }
}
