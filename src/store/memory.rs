//! The store in memory: for tests and the simulated engine, and the plainest reading of the contract.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

pub use super::history::Capacity;
use super::history::History;
use super::{
    Change, Commit, Epoch, Guard, Item, Limits, Listing, Op, Revision, Store, StoreError, Watch,
    typed,
};

/// A store that lives as long as this value.
#[derive(Debug)]
pub struct Memory {
    tree: Mutex<Tree>,
    history: History,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Tree {
    revision: Revision,
    items: BTreeMap<String, (Vec<u8>, Revision)>,
    epochs: BTreeMap<String, u64>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_capacity(Capacity::default())
    }
}

impl Memory {
    /// An empty store.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// An empty store that keeps only so much history for watches; a small one makes `Compacted` come soon.
    pub fn with_capacity(capacity: Capacity) -> Self {
        Self {
            tree: Mutex::default(),
            history: History::new(0, capacity),
            limits: Limits::SHARED,
        }
    }

    /// An empty store that takes so much in one commit; without it, only what every store takes.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Forgets all history: every watch that has not read it yet gets `Compacted`.
    pub fn compact(&self) {
        let _tree = self.tree();
        self.history.compact();
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tree {
    fn check(&self, epoch: &Epoch, guards: &[Guard]) -> Result<(), StoreError> {
        let held = self.epochs.get(&epoch.name).copied().unwrap_or(0);
        if held != epoch.number || held == 0 {
            return Err(StoreError::Superseded {
                name: epoch.name.clone(),
                held,
                ours: epoch.number,
            });
        }
        let failed = guards.iter().find(|guard| {
            let found = self.items.get(guard.key()).map(|(_, revision)| *revision);
            found != guard.revision()
        });
        failed.map_or(Ok(()), |guard| {
            Err(StoreError::Conflict {
                key: guard.key().to_owned(),
            })
        })
    }

    /// `None`: nothing would change, so there is no new revision.
    fn apply(&mut self, ops: Vec<Op>) -> Option<Commit> {
        let revision = self.revision + 1;
        let changes: Vec<Change> = typed::last_per_key(ops)
            .into_iter()
            .filter_map(|(key, value)| match value {
                Some(value) => {
                    self.items.insert(key.clone(), (value.clone(), revision));
                    Some(Change::Put(Item {
                        key,
                        value,
                        revision,
                    }))
                }
                None => self.items.remove(&key).map(|_| Change::Delete(key)),
            })
            .collect();
        if changes.is_empty() {
            return None;
        }
        self.revision = revision;
        Some(Commit { revision, changes })
    }
}

#[async_trait]
impl Store for Memory {
    async fn acquire(&self, name: &str) -> Result<Epoch, StoreError> {
        let mut tree = self.tree();
        let number = tree.epochs.entry(name.to_owned()).or_default();
        *number += 1;
        Ok(Epoch {
            name: name.to_owned(),
            number: *number,
            limits: self.limits,
        })
    }

    async fn commit(
        &self,
        epoch: &Epoch,
        guards: &[Guard],
        ops: Vec<Op>,
    ) -> Result<Revision, StoreError> {
        typed::check_size(self.limits, guards, &ops)?;
        let mut tree = self.tree();
        tree.check(epoch, guards)?;
        if let Some(commit) = tree.apply(ops) {
            // Pushed while the tree is locked, so that history has the order of revisions.
            self.history.push(commit);
        }
        Ok(tree.revision)
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let tree = self.tree();
        Ok(Listing {
            items: items_under(&tree.items, prefix),
            revision: tree.revision,
        })
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        Ok(self.history.watch(prefix, after))
    }
}

fn items_under(items: &BTreeMap<String, (Vec<u8>, Revision)>, prefix: &str) -> Vec<Item> {
    items
        .range(prefix.to_owned()..)
        .take_while(|(key, _)| key.starts_with(prefix))
        .map(|(key, (value, revision))| Item {
            key: key.clone(),
            value: value.clone(),
            revision: *revision,
        })
        .collect()
}
