//! What the socket asks the daemon to do.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::Shared;
use super::clusters::Clusters;
use crate::agent::Protector;
use crate::api::{Control, PullStatus};
use crate::controller::{RunError, RunOutcome, RunRequest, StopError};
use crate::model::{ClusterName, ProtectionError, ProtectionRequest, TaskId, TaskProtection};
use crate::store::{Revision, redb};

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
    async fn run_task(&self, request: &RunRequest) -> Result<RunOutcome, RunError> {
        if self.shared.removing.is_cancelled() {
            return Err(RunError::Ending);
        }
        self.shared.controller.run_task(request).await
    }

    async fn stop_task(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
        reason: &str,
    ) -> Result<Revision, StopError> {
        self.shared
            .controller
            .stop_task(cluster, task, reason)
            .await
    }

    fn protection(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
    ) -> Result<Option<TaskProtection>, ProtectionError> {
        self.shared.protections().protection(cluster, task)
    }

    async fn protect(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
        request: ProtectionRequest,
    ) -> Result<Option<TaskProtection>, ProtectionError> {
        let protections = self.shared.protections();
        protections.protect(cluster, task, request).await
    }

    fn pulls(&self) -> Vec<PullStatus> {
        self.shared.pulls.all()
    }

    async fn down(
        &self,
        volumes: bool,
        say: mpsc::UnboundedSender<String>,
    ) -> Result<Vec<String>, String> {
        let result = super::down::run(&self.shared, &self.clusters, volumes, say).await;
        // Also where something is left: nothing is followed any more, and who asks again starts afresh.
        self.shared.shutdown.cancel();
        result
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
