// SPDX-License-Identifier: Apache-2.0
//! State of one resource type: who is subscribed, what is held, what the server has been told.

use std::{borrow::Borrow, sync::Arc};

use hashbrown::{HashMap, HashSet, hash_map::EntryRef};

use super::Time;

/// A resource name as a map key that can be looked up by `&str` and created from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name(pub(super) Arc<str>);

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Name(name.into())
    }
}

/// The accepted content of a resource.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) hash: u128,
    pub(super) version: Box<str>,
    pub(super) at: Time,
    /// When its time to live is over.
    pub(super) expires: Option<Time>,
}

/// A standing error.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// The last content was bad. Its hash is kept, so that an identical resend is not decoded again.
    Rejected { hash: u128, error: Arc<str> },
    /// The server does not have it, whether or not it is still held.
    Absent,
    /// The server gave an error instead of it.
    Refused(Arc<str>),
    /// The server did not answer in time, which is held for a passing failure.
    TimedOut,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Asked for by name.
    pub(super) subscribed: bool,
    /// The server has been told of the name on this stream.
    pub(super) told: bool,
    pub(super) held: Option<Held>,
    pub(super) trouble: Option<Trouble>,
    /// When waiting for it ends.
    pub(super) deadline: Option<Time>,
    /// Number of the response that last contained it.
    pub(super) seen: u64,
}

impl Entry {
    pub(super) fn is_unresolved(&self) -> bool {
        self.held.is_none() && self.trouble.is_none()
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self.trouble, Some(Trouble::Absent))
    }

    fn state(&self) -> CacheState {
        match (&self.held, &self.trouble) {
            (None, None) => CacheState::Requested,
            (Some(_), None | Some(Trouble::TimedOut)) => CacheState::Acked,
            (None, Some(Trouble::Rejected { .. })) => CacheState::Nacked,
            (Some(_), Some(Trouble::Rejected { .. })) => CacheState::NackedButCached,
            (None, Some(Trouble::Absent)) => CacheState::DoesNotExist,
            (Some(_), Some(Trouble::Absent)) => CacheState::DoesNotExistButCached,
            (None, Some(Trouble::Refused(_))) => CacheState::ReceivedError,
            (Some(_), Some(Trouble::Refused(_))) => CacheState::ReceivedErrorButCached,
            (None, Some(Trouble::TimedOut)) => CacheState::Timeout,
        }
    }
}

/// State of a resource in the terms of gRFC A78 and A88.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CacheState {
    /// Asked for, not answered.
    Requested,
    /// Known not to exist.
    DoesNotExist,
    /// In use.
    Acked,
    /// Only bad content was ever received.
    Nacked,
    /// In use, though newer content was bad.
    NackedButCached,
    /// In use, though the server no longer has it.
    DoesNotExistButCached,
    /// The server gave an error instead.
    ReceivedError,
    /// In use, though the server gave an error since.
    ReceivedErrorButCached,
    /// Not answered in time, which the server asks to take for a passing failure.
    Timeout,
}

impl CacheState {
    /// The name in gRFC A78.
    pub fn name(self) -> &'static str {
        match self {
            CacheState::Requested => "requested",
            CacheState::DoesNotExist => "does_not_exist",
            CacheState::Acked => "acked",
            CacheState::Nacked => "nacked",
            CacheState::NackedButCached => "nacked_but_cached",
            CacheState::DoesNotExistButCached => "does_not_exist_but_cached",
            CacheState::ReceivedError => "received_error",
            CacheState::ReceivedErrorButCached => "received_error_but_cached",
            CacheState::Timeout => "timeout",
        }
    }
}

/// One resource, for introspection.
#[derive(Clone, Debug)]
pub struct ResourceStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Its state.
    pub state: CacheState,
    /// Version of the content in use; empty when none is.
    pub version: Box<str>,
    /// When the content in use was last received.
    pub at: Option<Time>,
    /// The standing error.
    pub error: Option<Arc<str>>,
}

/// Counters and position of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeStatus {
    /// Resources known, whatever their state.
    pub resources: u64,
    /// Resources held.
    pub held: u64,
    /// Last accepted version (state of the world).
    pub version: String,
    /// Responses received.
    pub responses: u64,
    /// Responses rejected, wholly or in part.
    pub nacks: u64,
    /// Resources accepted with new content.
    pub accepted: u64,
    /// Resources received again without a change; these are not decoded.
    pub identical: u64,
    /// Resources rejected.
    pub rejected: u64,
    /// Resources that the server gave an error for.
    pub refused: u64,
    /// The error of the last NACK; empty after the next ACK.
    pub error: String,
}

/// What a subscription change must still tell a delta server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Add,
    Drop,
}

/// Each time fails only if another push crosses it; a server that answers with nothing must not be asked for ever. When as many have
/// failed, the name is asked for once more when waiting for it ends.
pub(super) const REQUERIES: u8 = 8;

/// Names that were let go on a stream. When they are too many to remember, any name may be one of them.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    names: HashSet<Name>,
    too_many: bool,
}

impl Dropped {
    const MOST: usize = 1024;

    pub(super) fn note(&mut self, name: Name) {
        if self.names.len() == Self::MOST {
            self.names.clear();
            self.too_many = true;
        }
        if !self.too_many {
            self.names.insert(name);
        }
    }

    /// The name is wanted again; returns whether it may have been let go on this stream.
    pub(super) fn take(&mut self, name: &str) -> bool {
        self.names.remove(name) || self.too_many
    }
}

#[derive(Debug, Default)]
pub(super) struct TypeState {
    pub(super) wildcard: bool,
    /// The wildcard was told on this stream, as the empty list.
    pub(super) told_empty: bool,
    /// The wildcard was told on this stream, as `*`.
    pub(super) told_star: bool,
    /// Names were told on this stream, after which an empty list means "nothing".
    pub(super) told_names: bool,
    pub(super) entries: HashMap<Name, Entry>,
    /// Last accepted version (state of the world); survives streams.
    pub(super) version: String,
    /// Nonce of the latest response on this stream.
    pub(super) nonce: String,
    /// A request of this type was sent on this stream.
    pub(super) opened: bool,
    /// Something about the subscription is not yet told.
    pub(super) changed: bool,
    pub(super) pending: HashMap<Name, Pending>,
    /// State of the world: the list has changed since the first request of the stream, so that what was told may have been dropped.
    pub(super) doubt: bool,
    /// State of the world: names that were let go on this stream.
    pub(super) dropped: Dropped,
    /// State of the world: names of those that are wanted again. The server may not have seen that they were let go, and then would
    /// not send them again: until they come, every list is preceded by one without them, so many times at most.
    pub(super) requery: HashMap<Name, u8>,
    pub(super) answered_on_stream: bool,
    pub(super) status: TypeStatus,
}

impl TypeState {
    pub(super) fn entry(&mut self, name: &str) -> &mut Entry {
        match self.entries.entry_ref(name) {
            EntryRef::Occupied(entry) => entry.into_mut(),
            EntryRef::Vacant(entry) => entry.insert(Entry::default()),
        }
    }

    pub(super) fn key(&self, name: &str) -> Arc<str> {
        self.entries.get_key_value(name).map_or_else(|| name.into(), |(key, _)| Arc::clone(&key.0))
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        // An entry that is no longer subscribed, but not yet told so, may be wanted again: what comes meanwhile is not sent twice.
        self.wildcard || self.entries.contains_key(name)
    }

    pub(super) fn has_interest(&self) -> bool {
        self.wildcard || self.entries.values().any(|entry| entry.subscribed)
    }

    /// The wait for `name`, or its time to live, ends at `deadline`.
    pub(super) fn ends_at(&self, name: &str, deadline: Time) -> bool {
        let Some(entry) = self.entries.get(name) else { return false };
        entry.deadline == Some(deadline) || entry.held.as_ref().is_some_and(|held| held.expires == Some(deadline))
    }

    /// Without a stream nothing is waited for.
    pub(super) fn stop_timers(&mut self) {
        for entry in self.entries.values_mut() {
            entry.deadline = None;
        }
    }

    /// A new stream knows nothing of the old one.
    pub(super) fn on_new_stream(&mut self) {
        self.nonce.clear();
        self.opened = false;
        self.told_empty = false;
        self.told_star = false;
        self.told_names = false;
        self.doubt = false;
        self.answered_on_stream = false;
        self.changed = true;
        self.pending.clear();
        self.dropped = Dropped::default();
        self.requery.clear();
        for entry in self.entries.values_mut() {
            entry.told = false;
            entry.deadline = None;
        }
    }

    pub(super) fn resources(&self) -> Vec<ResourceStatus> {
        let mut list: Vec<_> = self
            .entries
            .iter()
            .map(|(name, entry)| ResourceStatus {
                name: Arc::clone(&name.0),
                state: entry.state(),
                version: entry.held.as_ref().map(|held| held.version.clone()).unwrap_or_default(),
                at: entry.held.as_ref().map(|held| held.at),
                error: match &entry.trouble {
                    Some(Trouble::Rejected { error, .. } | Trouble::Refused(error)) => Some(Arc::clone(error)),
                    Some(Trouble::Absent | Trouble::TimedOut) | None => None,
                },
            })
            .collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }
}
