//! What the agent writes to the store: statuses of its tasks and its instance. In the background, the newest only, many in
//! one commit; no engine call ever waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::settle::Settling;
use crate::model::{
    ClusterName, Instance, InstanceId, MetadataEndpoint, PulledImages, TaskId, TaskStatus,
};
use crate::store::{Epoch, Revision, SharedStore, StoreError, Txn, View, keys};

/// Statuses in one commit: each comes with a guard, and a store takes 100 of both.
const BATCH: usize = 45;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Reporter {
    store: SharedStore,
    view: Arc<View>,
    epoch: Epoch,
    cluster: ClusterName,
    instance: InstanceId,
    waiting: Mutex<Waiting>,
    changed: Notify,
    settling: Arc<Settling>,
}

#[derive(Debug, Default)]
struct Waiting {
    statuses: BTreeMap<TaskId, TaskStatus>,
    instance: Option<Instance>,
    images: Option<PulledImages>,
}

impl Reporter {
    pub fn new(
        store: SharedStore,
        view: Arc<View>,
        epoch: Epoch,
        cluster: ClusterName,
        instance: InstanceId,
        settling: Arc<Settling>,
    ) -> Self {
        Self {
            store,
            view,
            epoch,
            cluster,
            instance,
            waiting: Mutex::default(),
            changed: Notify::new(),
            settling,
        }
    }

    /// Writes a task's status, soon.
    pub fn status(&self, task: &TaskId, status: TaskStatus) {
        self.lock().statuses.insert(task.clone(), status);
        self.changed.notify_one();
    }

    /// Writes the instance, soon.
    pub fn instance(&self, instance: Instance) {
        self.lock().instance = Some(instance);
        self.changed.notify_one();
    }

    /// Writes which images the agent has pulled, soon.
    pub fn images(&self, images: PulledImages) {
        self.lock().images = Some(images);
        self.changed.notify_one();
    }

    /// Writes where the metadata endpoint of `instance` listens, if that still stands at `seen`.
    ///
    /// # Errors
    /// The store's.
    pub async fn endpoint(
        &self,
        instance: &InstanceId,
        endpoint: MetadataEndpoint,
        seen: Option<Revision>,
    ) -> Result<Revision, StoreError> {
        let key = keys::instance_endpoint(&self.cluster, instance);
        Txn::new(&self.epoch)
            .expect(&key, seen)
            .put_json(&key, &endpoint)
            .commit(&self.store)
            .await
    }

    /// Writes what there is to write until `stop`, and then once more. A commit that was begun is finished.
    ///
    /// # Errors
    /// `Superseded`: another agent has this instance now, and this one must stop.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let batch = self.take();
            if batch.is_empty() {
                if stop.is_cancelled() {
                    return Ok(());
                }
                tokio::select! {
                    biased;
                    () = self.changed.notified() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            match self.commit(&batch).await {
                Ok(revision) => {
                    pause = FIRST_PAUSE;
                    self.settle(&batch, revision).await;
                }
                Err(error @ StoreError::Superseded { .. }) => return Err(error),
                Err(error) => {
                    // A conflict is the controller's newer record, which the view is about to see.
                    if !matches!(error, StoreError::Conflict { .. }) {
                        tracing::warn!(%error, "a report could not be written; it is tried again");
                    }
                    self.put_back(batch);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn take(&self) -> Waiting {
        let mut waiting = self.lock();
        let rest = match waiting.statuses.keys().nth(BATCH).cloned() {
            Some(next) => waiting.statuses.split_off(&next),
            None => BTreeMap::new(),
        };
        Waiting {
            statuses: std::mem::replace(&mut waiting.statuses, rest),
            instance: waiting.instance.take(),
            images: waiting.images.take(),
        }
    }

    /// What was written meanwhile is newer.
    fn put_back(&self, batch: Waiting) {
        let mut waiting = self.lock();
        for (task, status) in batch.statuses {
            waiting.statuses.entry(task).or_insert(status);
        }
        if waiting.instance.is_none() {
            waiting.instance = batch.instance;
        }
        if waiting.images.is_none() {
            waiting.images = batch.images;
        }
    }

    /// Says of which tasks everything that was handed over can be seen now.
    async fn settle(&self, batch: &Waiting, revision: Revision) {
        // A view that was stopped shows nothing to anybody.
        if !self.settling.is_looking() || self.view.caught_up(revision).await.is_err() {
            return;
        }
        for task in batch.statuses.keys() {
            let newer_waits = self.lock().statuses.contains_key(task);
            if !newer_waits {
                self.settling.written(task);
            }
        }
    }

    /// Returns the revision of what was written; 0 where nothing was.
    async fn commit(&self, batch: &Waiting) -> Result<Revision, StoreError> {
        let mut txn = Txn::new(&self.epoch);
        let mut size = 0;
        if let Some(instance) = &batch.instance {
            let key = keys::instance(&self.cluster, &instance.id);
            txn = txn.put_json(key, instance);
        }
        if let Some(images) = &batch.images {
            let key = keys::instance_images(&self.cluster, &self.instance);
            txn = txn.put_json(key, images);
        }
        for (task, status) in &batch.statuses {
            // A status without its record would stay for ever.
            let Some(revision) = self.record_revision(task) else {
                continue;
            };
            let next = txn
                .clone()
                .expect_unchanged(keys::task(&self.cluster, task), revision)
                .put_json(keys::task_status(&self.cluster, task), status);
            if !next.fits() && size > 0 {
                std::mem::replace(&mut txn, Txn::new(&self.epoch))
                    .commit(&self.store)
                    .await?;
                txn = txn
                    .expect_unchanged(keys::task(&self.cluster, task), revision)
                    .put_json(keys::task_status(&self.cluster, task), status);
                size = 1;
            } else {
                txn = next;
                size += 1;
            }
        }
        if txn.is_empty() {
            return Ok(0);
        }
        txn.commit(&self.store).await
    }

    fn record_revision(&self, task: &TaskId) -> Option<Revision> {
        let state = self.view.read();
        Some(state.task(&self.cluster, task)?.record_revision())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.statuses.is_empty() && self.instance.is_none() && self.images.is_none()
    }
}

/// The instance as it was last registered.
pub(super) fn registered(
    view: &View,
    cluster: &ClusterName,
    instance: &InstanceId,
) -> Option<Instance> {
    let state = view.read();
    let entry = state.instance(cluster, instance)?;
    Some(Instance::clone(entry.instance.as_ref()?))
}
