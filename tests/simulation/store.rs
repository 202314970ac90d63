//! The store as one process sees it: in memory or on a disk in memory, with commits that fail and power that goes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use longshore::store::redb::SimDisk;
use longshore::store::{
    Epoch, Guard, Listing, Memory, Op, Redb, Revision, SharedStore, Store, StoreError, Watch,
};
use tokio::sync::Notify;

use super::dice::Dice;
use super::oracles::Oracle;
use super::record::Record;

tokio::task_local! {
    /// Set while a plan is asked for: nothing may be written for it.
    pub static PLANNING: ();
}

/// What outlives the processes.
#[derive(Debug, Clone)]
pub enum Kept {
    Memory(Arc<Memory>),
    Disk(SimDisk),
}

impl Kept {
    /// Opens it; it may fail, as a disk may that is full.
    pub fn open(&self) -> Result<SharedStore, StoreError> {
        Ok(match self {
            Self::Memory(memory) => Arc::clone(memory) as SharedStore,
            Self::Disk(disk) => Redb::simulated(disk)?,
        })
    }
}

/// So many commits from now fail.
#[derive(Debug, Default)]
pub struct Refused(Mutex<u64>);

impl Refused {
    pub fn set(&self, commits: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = commits;
    }

    /// Whether the next commit fails.
    fn next(&self) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refuses = *left > 0;
        *left = left.saturating_sub(1);
        refuses
    }
}

/// A store whose commits fail.
#[derive(Debug)]
pub struct FaultyStore {
    pub inner: SharedStore,
    /// The disk that it is on.
    pub disk: Option<SimDisk>,
    /// Told when the power is gone.
    pub dark: Arc<Notify>,
    pub record: Arc<Record>,
    pub dice: Dice,
    /// Commits of a thousand whose answer is an error; half of them are applied.
    pub faults: u64,
    pub refused: Arc<Refused>,
}

impl FaultyStore {
    /// Who asks a machine without power waits for ever.
    async fn has_power(&self) {
        if self.disk.as_ref().is_some_and(|disk| !disk.has_power()) {
            self.dark.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn is_planning(&self, what: &str) {
        if PLANNING.try_with(|()| ()).is_ok() {
            let what = format!("{what} for a plan");
            self.record.found(Oracle::PlanIsPure.broken(what));
        }
    }

    /// Whether what was put is there, where the answer does not tell.
    async fn is_there(&self, ops: &[Op]) -> bool {
        for op in ops {
            let (key, wanted) = match op {
                Op::Put(key, value) => (key, Some(value)),
                Op::Delete(key) => (key, None),
            };
            let listing = self.inner.list(key).await;
            let items = listing.map(|listing| listing.items).unwrap_or_default();
            let found = items.into_iter().find(|item| item.key == *key);
            if found.map(|item| item.value).as_ref() != wanted {
                return false;
            }
        }
        true
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn acquire(&self, name: &str) -> Result<Epoch, StoreError> {
        self.is_planning("an epoch was acquired");
        let acquired = self.inner.acquire(name).await;
        self.has_power().await;
        acquired
    }

    async fn commit(
        &self,
        epoch: &Epoch,
        guards: &[Guard],
        ops: Vec<Op>,
    ) -> Result<Revision, StoreError> {
        self.is_planning("something was written");
        // A disk takes its time.
        if self.disk.is_some() {
            tokio::time::sleep(Duration::from_millis(self.dice.below(12))).await;
        }
        let refused = self.refused.next();
        let fails = refused || self.dice.below(1000) < self.faults;
        let applied = !refused && (!fails || self.dice.chance(50));
        let failed = Err(StoreError::Unavailable {
            operation: "commit",
            message: "a fault of the simulation".to_owned(),
            maybe_applied: true,
        });
        if fails {
            self.record.reach("a commit that failed");
        }
        if !applied {
            return failed;
        }
        let kept = ops.clone();
        let done = self.inner.commit(epoch, guards, ops).await;
        match &done {
            Ok(revision) => self.record.committed(&epoch.name, *revision, &kept),
            Err(StoreError::Unavailable { maybe_applied, .. }) => {
                self.record.reach("a disk that failed");
                self.has_power().await;
                if *maybe_applied && self.is_there(&kept).await {
                    self.record.committed(&epoch.name, 0, &kept);
                }
            }
            Err(_) => {}
        }
        self.has_power().await;
        // A refusal is an answer; what fails is the way back of a success.
        match fails && done.is_ok() {
            true => failed,
            false => done,
        }
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.inner.list(prefix).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        self.inner.watch(prefix, after).await
    }
}
