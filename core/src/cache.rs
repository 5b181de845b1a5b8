// SPDX-License-Identifier: Apache-2.0
//! The last known good on disk, for a start without a control plane.
//!
//! One file per identity (server, namespace, service account, cluster, locality, labels, profile: not the pod's name or address),
//! readable by its owner only: magic, version, checksum, then a protobuf message. Written whole beside the old one and renamed
//! over it. Of every resource only the fields that this client reads are kept, so that no inline secret of a cluster gets there.
//!
//! What is kept outlives the run that has seen it: a resource goes when a server says that it is gone, or when nobody has seen it
//! for [`LIFE`], not because this run has not asked for it yet, or no longer does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use prost::Message;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    authority::Saved,
    protocol::{Effect, Gone, Kind, Time},
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
/// What no run has seen for so long is dropped.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// A file that was begun so long ago has lost its writer.
const ABANDONED: Duration = Duration::from_secs(60);
/// So long one writer waits for another.
const LOCKED: Duration = Duration::from_secs(5);

/// Names of files that are being written, within this process.
static ATTEMPTS: AtomicU64 = AtomicU64::new(0);

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
    /// When a server last had it.
    #[prost(uint64, tag = "4")]
    seen_at: u64,
}

impl Entry {
    /// A file of an older version has one time for all.
    fn seen_at(&self, saved_at: u64) -> u64 {
        if self.seen_at == 0 { saved_at } else { self.seen_at }
    }
}

/// What a file held.
#[derive(Debug)]
pub struct Found {
    /// The resources.
    pub saved: Vec<Saved>,
    /// How long ago a server last had them; that of the oldest.
    pub age: Duration,
}

/// A resource.
type Key = (Kind, Arc<str>);

/// Collects what is accepted and says when it must be written.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    identity: String,
    entries: BTreeMap<Key, Bytes>,
    /// Those of them that nobody asks for any more: the file keeps them.
    unasked: BTreeSet<Key>,
    /// What a server has said to be gone since the last writing.
    gone: BTreeSet<Key>,
    /// Clusters are asked for as a whole, and since when there has been an answer.
    whole: Whole,
    changed_at: Option<Time>,
    written_at: Option<Time>,
}

/// Whether what a run knows of clusters is all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// They are asked for by name.
    Never,
    Unanswered,
    AnsweredAt(Time),
}

impl Cache {
    /// The file of this identity in a folder. Nothing is read or written yet. `all_clusters`: they are asked for as a whole.
    pub fn new(folder: &Path, identity: &str, all_clusters: bool) -> Self {
        let path = folder.join(format!("proxyless-{:032x}.cache", xxh3_128(identity.as_bytes())));
        Self {
            path,
            identity: identity.into(),
            entries: BTreeMap::new(),
            unasked: BTreeSet::new(),
            gone: BTreeSet::new(),
            whole: if all_clusters { Whole::Unanswered } else { Whole::Never },
            changed_at: None,
            written_at: None,
        }
    }

    /// Where it is kept, and as whose.
    pub fn place(&self) -> (PathBuf, String) {
        (self.path.clone(), self.identity.clone())
    }

    /// Takes note of what a live server said.
    pub fn note<V>(&mut self, effect: &Effect<V>, now: Time) {
        match effect {
            Effect::Update { kind, name, body, .. } => {
                let key = (*kind, Arc::clone(name));
                self.unasked.remove(&key);
                self.gone.remove(&key);
                self.entries.insert(key, kept_fields(*kind, body));
            }
            // Silence says nothing about what was there.
            Effect::Remove { gone: Gone::Unanswered, .. } => return,
            Effect::Remove { kind, name, .. } => {
                let key = (*kind, Arc::clone(name));
                self.entries.remove(&key);
                self.gone.insert(key);
            }
            Effect::Forget { kind, name } => {
                let key = (*kind, Arc::clone(name));
                if self.entries.contains_key(&key) {
                    self.unasked.insert(key);
                }
                return;
            }
            Effect::Answered(Kind::Cluster) if self.whole == Whole::Unanswered => {
                self.whole = Whole::AnsweredAt(now);
                // Written when the answer counts, even an empty one: it says what is gone.
                self.changed_at = Some(now);
                return;
            }
            _ => return,
        }
        self.changed_at.get_or_insert(now);
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
        let seen_at = since_1970(SystemTime::now());
        let entries = self.entries.iter().map(|((kind, name), body)| Entry {
            kind: *kind as u32,
            name: name.to_string(),
            body: body.clone(),
            seen_at,
        });
        let contents = Contents { identity: self.identity.clone(), saved_at: seen_at, entries: entries.collect() };
        let unasked = std::mem::take(&mut self.unasked);
        let unasked = unasked.into_iter().filter_map(|key| self.entries.remove_entry(&key)).collect();
        // A server may give its first state in parts.
        let all_clusters = matches!(self.whole, Whole::AnsweredAt(at) if now.saturating_sub(at) >= COLLECT);
        Some(Unwritten { path: self.path.clone(), contents, unasked, gone: std::mem::take(&mut self.gone), all_clusters })
    }

    /// Takes back a file that could not be written: what only it knows is written later, unless something newer is known.
    pub fn put_back(&mut self, file: Unwritten) {
        for (key, body) in file.unasked {
            if !self.entries.contains_key(&key) && !self.gone.contains(&key) {
                self.entries.insert(key.clone(), body);
                self.unasked.insert(key);
            }
        }
        self.gone.extend(file.gone.into_iter().filter(|key| !self.entries.contains_key(key)));
        self.changed_at = self.changed_at.or(self.written_at);
    }
}

/// A file that is to be written.
#[derive(Debug)]
pub struct Unwritten {
    path: PathBuf,
    contents: Contents,
    /// What of it is held nowhere else.
    unasked: BTreeMap<Key, Bytes>,
    gone: BTreeSet<Key>,
    all_clusters: bool,
}

impl Unwritten {
    /// Writes it, whole or not at all, with what is there already and still counts. Blocks.
    ///
    /// # Errors
    /// With the path.
    pub fn write(&mut self) -> io::Result<()> {
        let at = |error: io::Error, path: &Path| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let folder = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        fs::create_dir_all(&folder).map_err(|error| at(error, &folder))?;
        let lock = lock(&folder);
        self.sweep(&folder);
        let written = self.replace().map_err(|(error, next)| at(error, &next));
        // Not by closing it: a forked child may have it open, too.
        if let Some(lock) = lock {
            let _ = lock.unlock();
        }
        written
    }

    /// Puts the merged file in the place of the old one.
    fn replace(&mut self) -> Result<(), (io::Error, PathBuf)> {
        self.add_earlier();
        let bytes = sealed(&self.contents.encode_to_vec());
        // Whoever did not get the lock in time writes beside another one: each needs a name of its own until the file is whole.
        let attempt = format!("{}-{}.new", std::process::id(), ATTEMPTS.fetch_add(1, Ordering::Relaxed));
        let next = self.path.with_extension(attempt);
        let written = write_private(&next, &bytes).and_then(|()| fs::rename(&next, &self.path));
        written.map_err(|error| {
            // What is left of an attempt is of no use to anybody.
            let _ = fs::remove_file(&next);
            (error, next)
        })
    }

    /// What earlier runs have seen, and this one has not been told to be gone, stays.
    fn add_earlier(&mut self) {
        // A file that cannot be read is replaced: whoever wanted it has been told why.
        let Ok(Some(earlier)) = load(&self.path, &self.contents.identity) else { return };
        let now = self.contents.saved_at;
        let known: BTreeSet<(u32, &str)> = self.contents.entries.iter().map(|entry| (entry.kind, &*entry.name)).collect();
        let gone: BTreeSet<(u32, &str)> = self.gone.iter().map(|(kind, name)| (*kind as u32, &**name)).collect();
        let counts = |entry: &Entry| {
            let key = (entry.kind, &*entry.name);
            // New-style names are asked for one by one.
            let unlisted = self.all_clusters && entry.kind == Kind::Cluster as u32 && !entry.name.starts_with("xdstp:");
            !known.contains(&key) && !gone.contains(&key) && !unlisted && now.saturating_sub(entry.seen_at) < LIFE.as_secs()
        };
        // A clock that was ahead must not make anything live longer.
        let dated = |entry: Entry| Entry { seen_at: entry.seen_at(earlier.saved_at).min(now), ..entry };
        let kept: Vec<Entry> = earlier.entries.into_iter().map(dated).filter(counts).collect();
        self.contents.entries.extend(kept);
    }

    /// Removes what processes that were killed while they wrote have left behind.
    fn sweep(&self, folder: &Path) {
        let Some(stem) = self.path.file_stem().map(|stem| format!("{}.", stem.to_string_lossy())) else { return };
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let age = file.metadata().and_then(|data| data.modified()).ok().and_then(|at| at.elapsed().ok());
            if name.starts_with(&stem) && name.ends_with(".new") && age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

/// Whoever writes into a folder reads first what is there: one after another, as long as nobody stands still. Blocks.
fn lock(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    let until = Instant::now() + LOCKED;
    loop {
        match file.try_lock() {
            Ok(()) => return Some(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
            Err(_) => return None,
        }
    }
}

fn since_1970(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
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
    let found = load(path, identity).and_then(|contents| contents.map(Found::of).transpose());
    found.map_err(|what| format!("{} is not used: {what}", path.display()))
}

/// The inner part of [`read`], without a disk.
///
/// # Errors
/// What is wrong with the bytes.
pub fn parse(bytes: Bytes, identity: &str) -> Result<Found, String> {
    Found::of(unseal(bytes, identity)?)
}

fn load(path: &Path, identity: &str) -> Result<Option<Contents>, String> {
    let mut file = match File::open(path) {
        Ok(file) => file.take(MAX_BYTES),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    unseal(bytes.into(), identity).map(Some)
}

fn unseal(bytes: Bytes, identity: &str) -> Result<Contents, String> {
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
    Ok(contents)
}

impl Found {
    fn of(contents: Contents) -> Result<Self, String> {
        let oldest = contents.entries.iter().map(|entry| entry.seen_at(contents.saved_at)).min().unwrap_or(contents.saved_at);
        let kind = |number: u32| Kind::ALL.into_iter().find(|kind| *kind as u32 == number);
        let saved = contents
            .entries
            .into_iter()
            .map(|entry| Some(Saved { kind: kind(entry.kind)?, name: entry.name.into(), body: entry.body }))
            .collect::<Option<_>>()
            .ok_or("it holds resources of an unknown kind")?;
        let age = Duration::from_secs(since_1970(SystemTime::now()).saturating_sub(oldest));
        Ok(Self { saved, age })
    }
}

#[cfg(test)]
#[path = "cache_test.rs"]
mod tests;
