//! What the socket asks the daemon to do.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::Shared;
use super::clusters::Clusters;
use crate::api::{Control, PullStatus};
use crate::model::{ClusterName, DesiredStatus, StopCode, StopOrder, TaskId};
use crate::store::{Revision, Txn, keys, redb};

/// The daemon's side of [`Control`].
pub struct DaemonControl {
    shared: Arc<Shared>,
    clusters: Arc<Clusters>,
}

impl DaemonControl {
    /// Answers for the daemon that owns these.
    pub fn new(shared: Arc<Shared>, clusters: Arc<Clusters>) -> Self {
        Self { shared, clusters }
    }
}

#[async_trait]
impl Control for DaemonControl {
    async fn stop_task(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
        reason: &str,
    ) -> Result<Revision, String> {
        let entry = self.shared.view.read().task(cluster, task).cloned();
        let entry = entry.ok_or_else(|| format!("there is no task {task}"))?;
        if entry.record.desired == DesiredStatus::Stopped {
            return Ok(entry.record_revision());
        }
        let mut record = (*entry.record.value).clone();
        record.desired = DesiredStatus::Stopped;
        record.stop = Some(StopOrder {
            code: StopCode::UserInitiated,
            reason: reason.to_owned(),
            at: self.shared.clock.now(),
        });
        let epoch = self
            .shared
            .store
            .acquire("operator")
            .await
            .map_err(|e| e.to_string())?;
        let key = keys::task(cluster, task);
        Txn::new(&epoch)
            .expect_unchanged(key.clone(), entry.record_revision())
            .put_json(key, &record)
            .commit(&self.shared.store)
            .await
            .map_err(|error| error.to_string())
    }

    fn pulls(&self) -> Vec<PullStatus> {
        self.shared.pulls.all()
    }

    async fn down(&self, volumes: bool, say: mpsc::UnboundedSender<String>) -> Result<(), String> {
        super::down::run(&self.shared, &self.clusters, volumes, say).await?;
        self.shared.shutdown.cancel();
        Ok(())
    }

    async fn dump(&self) -> Result<serde_json::Value, String> {
        let listing = self
            .shared
            .store
            .list("")
            .await
            .map_err(|e| e.to_string())?;
        Ok(redb::dump_listing(&listing))
    }

    async fn backup(&self, to: &Path) -> Result<(), String> {
        let Some(file) = &self.shared.file else {
            return Err("the state of a simulated engine is in memory only".to_owned());
        };
        file.backup(to).await.map(|_| ()).map_err(|e| e.to_string())
    }

    fn shutdown(&self) {
        self.shared.shutdown.cancel();
    }
}
