//! The store: a small, strict, watchable key-value map that controller and agents meet in.
//!
//! Three things implement [`Store`]: [`memory`] (tests, simulation), [`redb`](mod@redb) (a file; the default) and [`etcd`] (shared
//! by several processes). One conformance suite holds all of them to the contract below.
//!
//! * A [`Store::commit`] is all or nothing: its guards are checked and its operations applied as one step, at one new
//!   revision. It is refused when the epoch it names is no longer the holder's, so a process that was thought dead can
//!   never write.
//! * Revisions rise by commits and never fall, also across a reopening.
//! * A [`Store::watch`] delivers every commit after the revision it is given, in order and each in one piece, so that a
//!   reader never sees half of one; or it says [`WatchEvent::Compacted`]: then list again and watch from that listing's
//!   revision.
//! * Keys are `/`-separated UTF-8; prefixes match by bytes. What fits into one commit is said by [`Epoch::limits`]: nothing may
//!   need more than [`Limits::SHARED`], which every store takes; more at once is only quicker.
//!
//! In reading order: [`keys`] (what is kept where), [`typed`] (building commits), [`state`] and [`view`] (the tree in
//! memory, typed, kept up to date), [`dir`] and [`mod@meta`] (where a store is and whose), then the stores themselves.

pub mod dir;
pub mod etcd;
pub mod keys;
pub mod memory;
pub mod meta;
pub mod redb;
pub mod state;
pub mod typed;
pub mod view;

mod decoded;
mod history;

pub use dir::{DirError, StateDir};
pub use etcd::Etcd;
pub use keys::{Key, LastGoodKey};
pub use memory::Memory;
pub use meta::{Claim, ClaimError, Claimant, Meta, claim};
pub use redb::Redb;
pub use state::{InstanceEntry, State, Stored, TaskEntry};
pub use typed::Txn;
pub use view::{Changed, KeyChange, View};

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::Stream;

/// What a store takes in one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Most guards plus operations.
    pub ops: usize,
    /// Most bytes of keys and values.
    pub bytes: usize,
}

impl Limits {
    /// What every store takes: etcd's `--max-txn-ops` is 128 and its request limit 1.5 MiB by default.
    pub const SHARED: Self = Self {
        ops: 100,
        bytes: 1 << 20,
    };
    /// What a store in this process takes. Bounded, so that nobody waits long for a commit.
    pub const EMBEDDED: Self = Self {
        ops: 2_000,
        bytes: 8 << 20,
    };
}

/// A point in the store's history. 0 is before anything was written.
pub type Revision = u64;

/// A store, as it is handed around.
pub type SharedStore = Arc<dyn Store>;

/// The right to write, given by [`Store::acquire`]: a name and the number of times it was acquired.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// What was acquired, for example `controller` or `agent/local`.
    pub name: String,
    /// Rises by one with every acquisition of `name`.
    pub number: u64,
    /// What the store that gave it takes in one commit.
    pub limits: Limits,
}

/// What must hold for a commit to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// The key exists and was last written at exactly this revision.
    Unchanged(String, Revision),
    /// The key does not exist.
    Absent(String),
}

/// One change of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Write the key.
    Put(String, Vec<u8>),
    /// Remove the key; no error when it does not exist.
    Delete(String),
}

/// One key with its value and the revision it was last written at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Vec<u8>,
    /// When it was last written.
    pub revision: Revision,
}

/// All keys under a prefix as of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// In key order.
    pub items: Vec<Item>,
    /// The revision of the whole store that this is the state of.
    pub revision: Revision,
}

/// One key that a commit changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The key was written.
    Put(Item),
    /// The key, which existed, was removed.
    Delete(String),
}

impl Change {
    /// The key that changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(item) => &item.key,
            Self::Delete(key) => key,
        }
    }
}

/// What one commit changed under the watched prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The commit's revision: the watch has now delivered everything up to it.
    pub revision: Revision,
    /// Its changes, each key once, in key order. Empty: only the news that everything up to `revision` was delivered.
    pub changes: Vec<Change>,
}

/// One message of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// A commit, whole.
    Commit(Commit),
    /// The commits from the asked revision on are not known here (too old, or newer than the store): list again.
    Compacted,
}

/// The messages of a watch. It ends after an error and after [`WatchEvent::Compacted`].
pub type Watch = Pin<Box<dyn Stream<Item = Result<WatchEvent, StoreError>> + Send>>;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A guard did not hold: somebody else wrote first. Nothing was applied; look again and decide again.
    #[error("{key} changed since it was read")]
    Conflict {
        /// The first key whose guard failed.
        key: String,
    },
    /// The epoch is not the holder's any more. Nothing was applied; stop writing.
    #[error("{name} is held by somebody newer (epoch {held}, ours is {ours})")]
    Superseded {
        /// What was acquired.
        name: String,
        /// The present holder's number.
        held: u64,
        /// The number of the epoch that was refused.
        ours: u64,
    },
    /// The commit is larger than every store can take. Nothing was applied.
    #[error("a commit of {ops} operations and {bytes} bytes is more than a store takes at once")]
    TooLarge {
        /// Guards plus operations.
        ops: usize,
        /// Bytes of keys and values.
        bytes: usize,
    },
    /// Another process has the store open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The store's file.
        path: String,
    },
    /// Another process leads this store, and this one only looks. Nothing was applied.
    #[error("this Longshore stands by: {leader}")]
    StandingBy {
        /// Who leads since when, as a sentence.
        leader: String,
    },
    /// The store was written by a newer Longshore.
    #[error(
        "{path} has format {found}; this Longshore knows up to {known}. Use the Longshore that wrote it, or a newer one"
    )]
    NewerFormat {
        /// The store's file.
        path: String,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The store could not be reached, read or written. The commit *may* have been applied when `maybe_applied` is set.
    #[error("{operation}: {message}")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// The cause.
        message: String,
        /// Whether a commit that failed like this may have been applied all the same.
        maybe_applied: bool,
    },
    /// A value is not what its key says.
    #[error("{key} holds something that cannot be read: {message}")]
    Corrupt {
        /// The key.
        key: String,
        /// Why.
        message: String,
    },
}

/// See the [module's documentation](self) for the contract.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Becomes the holder of `name`; every older epoch of that name can no longer commit.
    async fn acquire(&self, name: &str) -> Result<Epoch, StoreError>;

    /// Applies `ops` as one step if every guard holds, and returns the new revision. With no `ops` it only checks, and
    /// returns a revision at which the guards held. Of several operations on one key the last one counts. One that changes nothing
    /// (it only removes keys that are not there) need not make a new revision; writing the same value again does.
    async fn commit(
        &self,
        epoch: &Epoch,
        guards: &[Guard],
        ops: Vec<Op>,
    ) -> Result<Revision, StoreError>;

    /// Everything under `prefix`, as of one revision.
    async fn list(&self, prefix: &str) -> Result<Listing, StoreError>;

    /// Every commit that touches `prefix` with a revision greater than `after`.
    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError>;
}
