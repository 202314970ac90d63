//! What is on the other side of the process: the engines, and a store that fails now and then.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use longshore::clock::{SharedClock, SharedIds};
use longshore::engine::simulated::Simulated;
use longshore::model::EngineEndpoint;
pub use longshore::simulate::process::OWNER;
use longshore::simulate::process::{self, Process};
use longshore::store::{Epoch, Guard, Listing, Memory, Op, Revision, Store, StoreError, Watch};

use super::dice::Dice;
use super::folder::Folder;
use super::record::Record;

/// A store whose commits fail, as one process sees it.
#[derive(Debug)]
struct FaultyStore {
    inner: Arc<Memory>,
    record: Arc<Record>,
    dice: Dice,
    /// Commits of a thousand whose answer is an error; half of them are applied.
    faults: u64,
    refused: Arc<Refused>,
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

#[async_trait]
impl Store for FaultyStore {
    async fn acquire(&self, name: &str) -> Result<Epoch, StoreError> {
        self.inner.acquire(name).await
    }

    async fn commit(
        &self,
        epoch: &Epoch,
        guards: &[Guard],
        ops: Vec<Op>,
    ) -> Result<Revision, StoreError> {
        let refused = self.refused.next();
        let fails = refused || self.dice.below(1000) < self.faults;
        let applied = !refused && (!fails || self.dice.chance(50));
        let mut result = Err(StoreError::Unavailable {
            operation: "commit",
            message: "a fault of the simulation".to_owned(),
            maybe_applied: true,
        });
        if applied {
            let kept = ops.clone();
            let done = self.inner.commit(epoch, guards, ops).await;
            if let Ok(revision) = &done {
                self.record.committed(*revision, &kept);
            }
            // A refusal is an answer; what fails is the way back of a success.
            if !fails || done.is_err() {
                result = done;
            }
        }
        result
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.inner.list(prefix).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        self.inner.watch(prefix, after).await
    }
}

/// What outlives every process.
pub struct Outside {
    pub engines: Vec<(String, Arc<Simulated>)>,
    pub store: Arc<Memory>,
    pub clock: SharedClock,
    pub ids: SharedIds,
    pub record: Arc<Record>,
    pub dice: Dice,
    pub refused: Arc<Refused>,
}

impl Outside {
    /// Starts a process. Of a thousand of its commits so many fail.
    pub fn start(&self, folder: &Folder, store_faults: u64) -> Process {
        let store = FaultyStore {
            inner: Arc::clone(&self.store),
            record: Arc::clone(&self.record),
            dice: self.dice.clone(),
            faults: store_faults,
            refused: Arc::clone(&self.refused),
        };
        let at = |(name, engine): &(String, Arc<Simulated>)| {
            let endpoint = EngineEndpoint::Address(Folder::address(name));
            (endpoint, Arc::clone(engine))
        };
        let engines: Vec<_> = self.engines.iter().map(at).collect();
        let outside = process::Outside {
            engines: &engines,
            store: Arc::new(store),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
        };
        Process::start(&outside, folder.scan())
    }
}
