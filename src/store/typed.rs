//! Building commits: a transaction of typed values, and the arithmetic that every store shares.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Epoch, Guard, Limits, Op, Revision, SharedStore, StoreError};

/// A commit being put together.
///
/// ```no_run
/// # use longshore::store::{Epoch, SharedStore, StoreError, Txn, keys};
/// # use longshore::model::{TaskRecord, TaskStatus};
/// # async fn example(store: SharedStore, epoch: Epoch, record: TaskRecord) -> Result<(), StoreError> {
/// let key = keys::task(&record.cluster, &record.id);
/// let revision = Txn::new(&epoch)
///     .expect_absent(&key)
///     .put_json(&key, &record)
///     .commit(&store)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a transaction does nothing until it is committed"]
pub struct Txn {
    epoch: Epoch,
    guards: Vec<Guard>,
    ops: Vec<Op>,
    /// The first value that could not be written as JSON; said when the transaction is committed.
    unwritable: Option<(String, String)>,
}

impl Txn {
    /// An empty transaction in the name of `epoch`.
    pub fn new(epoch: &Epoch) -> Self {
        Self {
            epoch: epoch.clone(),
            guards: Vec::new(),
            ops: Vec::new(),
            unwritable: None,
        }
    }

    /// Asks that `key` was last written at exactly `revision`.
    pub fn expect_unchanged(mut self, key: impl Into<String>, revision: Revision) -> Self {
        self.guards.push(Guard::Unchanged(key.into(), revision));
        self
    }

    /// Asks that `key` does not exist.
    pub fn expect_absent(mut self, key: impl Into<String>) -> Self {
        self.guards.push(Guard::Absent(key.into()));
        self
    }

    /// Asks that `key` is as it was seen: at that revision, or absent.
    pub fn expect(self, key: impl Into<String>, seen: Option<Revision>) -> Self {
        match seen {
            Some(revision) => self.expect_unchanged(key, revision),
            None => self.expect_absent(key),
        }
    }

    /// Writes `value` as JSON.
    pub fn put_json<T: Serialize + ?Sized>(mut self, key: impl Into<String>, value: &T) -> Self {
        let key = key.into();
        match serde_json::to_vec(value) {
            Ok(bytes) => self.ops.push(Op::Put(key, bytes)),
            Err(error) => {
                self.unwritable.get_or_insert((key, error.to_string()));
            }
        }
        self
    }

    /// Removes `key`; no error when it does not exist.
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.ops.push(Op::Delete(key.into()));
        self
    }

    /// Both in one commit.
    pub fn and(mut self, other: Self) -> Self {
        self.guards.extend(other.guards);
        self.ops.extend(other.ops);
        self.unwritable = self.unwritable.or(other.unwritable);
        self
    }

    /// Whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.unwritable.is_none()
    }

    /// Guards plus operations so far; at most its store's [`Limits::ops`] can be committed.
    pub fn len(&self) -> usize {
        self.guards.len() + self.ops.len()
    }

    /// Bytes of keys and values so far; at most its store's [`Limits::bytes`] can be committed.
    pub fn bytes(&self) -> usize {
        size(&self.guards, &self.ops)
    }

    /// What its store takes in one commit.
    pub fn limits(&self) -> Limits {
        self.epoch.limits
    }

    /// Whether its store takes this in one commit.
    pub fn fits(&self) -> bool {
        check_size(self.limits(), &self.guards, &self.ops).is_ok()
    }

    /// Of `count` parts that this is made of and that are about alike, how many a store takes in one commit.
    pub fn share_that_fits(&self, count: usize) -> usize {
        let share = |limit: usize, size: usize| count * limit / size.max(1);
        let Limits { ops, bytes } = self.limits();
        share(ops, self.len())
            .min(share(bytes, self.bytes()))
            .min(count)
    }

    /// Whether so many guards and operations with so many bytes more would still fit.
    pub fn has_room(&self, ops: usize, bytes: usize) -> bool {
        self.len() + ops <= self.limits().ops && self.bytes() + bytes <= self.limits().bytes
    }

    /// The operations so far, in the order they were added.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Commits it. One that is too large is refused here, before any store sees it.
    pub async fn commit(self, store: &SharedStore) -> Result<Revision, StoreError> {
        if let Some((key, message)) = self.unwritable {
            return Err(StoreError::Corrupt { key, message });
        }
        check_size(self.limits(), &self.guards, &self.ops)?;
        store.commit(&self.epoch, &self.guards, self.ops).await
    }
}

/// Reads a value that [`Txn::put_json`] wrote.
pub fn from_json<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|error| StoreError::Corrupt {
        key: key.to_owned(),
        message: error.to_string(),
    })
}

impl Guard {
    /// The key it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Unchanged(key, _) | Self::Absent(key) => key,
        }
    }

    /// The revision that the key must have; `None`: it must not exist.
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Self::Unchanged(_, revision) => Some(*revision),
            Self::Absent(_) => None,
        }
    }
}

/// Refuses a commit above its store's limits.
pub(super) fn check_size(limits: Limits, guards: &[Guard], ops: &[Op]) -> Result<(), StoreError> {
    let (count, bytes) = (guards.len() + ops.len(), size(guards, ops));
    if count > limits.ops || bytes > limits.bytes {
        return Err(StoreError::TooLarge { ops: count, bytes });
    }
    Ok(())
}

fn size(guards: &[Guard], ops: &[Op]) -> usize {
    let guards: usize = guards.iter().map(|guard| guard.key().len()).sum();
    let ops: usize = ops
        .iter()
        .map(|op| match op {
            Op::Put(key, value) => key.len() + value.len(),
            Op::Delete(key) => key.len(),
        })
        .sum();
    guards + ops
}

/// What a commit does to each key, in key order: `Some` to write, `None` to remove. Of several operations on one key the
/// last one counts.
pub(super) fn last_per_key(ops: Vec<Op>) -> BTreeMap<String, Option<Vec<u8>>> {
    ops.into_iter()
        .map(|op| match op {
            Op::Put(key, value) => (key, Some(value)),
            Op::Delete(key) => (key, None),
        })
        .collect()
}
