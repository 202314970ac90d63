//! Carrying requests and upkeep out.

use std::time::Duration;

use super::request::{RunError, RunOutcome, RunRequest, StopError};
use super::run::{Decided, decide};
use super::upkeep::{self, Inputs};
use crate::controller::worker::{Controller, Halt};
use crate::model::{
    ClusterName, DesiredStatus, StopCode, StopOrder, TaskId, TaskRecord, Timestamp,
};
use crate::store::{Revision, StoreError, Txn, keys};

/// How long a request waits for the folder to be read for the first time.
const FOLDER_WITHIN: Duration = Duration::from_secs(30);
/// Commits that may meet somebody else's before a request is given up.
const ATTEMPTS: u32 = 20;
/// Pause after one that did.
const PAUSE: Duration = Duration::from_millis(5);

impl Controller {
    /// Records tasks that are to run once. A request with a token is recorded once, however often it is made.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn run_task(&self, request: &RunRequest) -> Result<RunOutcome, RunError> {
        let mut following = self.following.subscribe();
        let targets = tokio::time::timeout(FOLDER_WITHIN, following.wait_for(Option::is_some))
            .await
            .map_err(|_| RunError::NotReady)?
            .map_err(|_| RunError::Ending)?
            .clone()
            .ok_or(RunError::NotReady)?;
        let mut closed = self.closed.subscribe();
        let open = closed.wait_for(|closed| !closed.contains(&request.cluster));
        tokio::time::timeout(FOLDER_WITHIN, open)
            .await
            .map_err(|_| RunError::NotReady)?
            .map_err(|_| RunError::Ending)?;
        let _booking = self.booking.lock().await;
        let mut attempt = 1;
        loop {
            let decided = {
                let with = (&self.epoch, self.ids.as_ref(), self.clock.now());
                decide(&self.view.read(), &targets, request, with)?
            };
            let (txn, mut outcome) = match decided {
                Decided::Known(outcome) => return Ok(outcome),
                Decided::New(txn, outcome) if txn.is_empty() => return Ok(outcome),
                Decided::New(txn, outcome) => (txn, outcome),
            };
            match txn.commit(&self.store).await {
                Ok(revision) => {
                    outcome.revision = revision;
                    let seen = self.view.caught_up(revision).await;
                    seen.map_err(|_| RunError::Ending)?;
                    for id in &outcome.tasks {
                        tracing::debug!(cluster = %request.cluster, task = id.short(), "started once: {}", request.group());
                    }
                    return Ok(outcome);
                }
                Err(StoreError::Conflict { .. }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(RunError::Store(error)),
            }
        }
    }

    /// Orders a task to stop because somebody asked for it (`UserInitiated`). One of a service is replaced by it. Returns the
    /// revision that the order can be seen at; a task that is over, or ordered to stop already, is left as it is.
    ///
    /// # Errors
    /// See [`StopError`].
    pub async fn stop_task(
        &self,
        cluster: &ClusterName,
        id: &TaskId,
        reason: &str,
    ) -> Result<Revision, StopError> {
        let mut attempt = 1;
        loop {
            let entry = self.view.read().task(cluster, id).cloned();
            let entry = entry.ok_or(StopError::Unknown)?;
            let over = entry.status.as_ref().is_some_and(|s| s.is_stopped());
            if over || entry.record.desired == DesiredStatus::Stopped {
                return Ok(entry.record_revision());
            }
            let record = TaskRecord {
                desired: DesiredStatus::Stopped,
                stop: Some(StopOrder {
                    code: StopCode::UserInitiated,
                    reason: reason.to_owned(),
                    at: self.clock.now(),
                }),
                ..TaskRecord::clone(&entry.record)
            };
            let key = keys::task(cluster, id);
            let txn = Txn::new(&self.epoch)
                .expect_unchanged(&key, entry.record_revision())
                .put_json(&key, &record);
            match txn.commit(&self.store).await {
                Ok(revision) => {
                    let seen = self.view.caught_up(revision).await;
                    seen.map_err(|_| StopError::Ending)?;
                    return Ok(revision);
                }
                Err(StoreError::Conflict { .. }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(StopError::Store(error)),
            }
        }
    }

    /// Keeps a cluster's books and memory of standalone tasks, until there is nothing left to record now. Returns when to look
    /// again.
    pub(in crate::controller) async fn keep_standalone(
        &self,
        cluster: &ClusterName,
    ) -> Result<Option<Timestamp>, Halt> {
        loop {
            let now = self.clock.now();
            let look = || {
                let inputs = Inputs::read(&self.view.read(), cluster, self.since);
                let upkeep = upkeep::plan(&inputs, now);
                let recording = upkeep::record(&inputs, &upkeep, &self.epoch, now);
                (upkeep, recording)
            };
            if let (upkeep, None) = look() {
                return Ok(upkeep.wake_at);
            }
            let _booking = self.booking.lock().await;
            let (upkeep, recording) = look();
            let Some((txn, forgotten)) = recording else {
                return Ok(upkeep.wake_at);
            };
            let revision = txn.commit(&self.store).await?;
            for (id, cause) in upkeep.forget.iter().take(forgotten) {
                tracing::debug!(%cluster, "delete {}: {cause}", id.short());
            }
            self.view.caught_up(revision).await?;
        }
    }
}
