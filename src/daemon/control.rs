//! What the socket asks the daemon to do.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use super::Shared;
use super::clusters::Clusters;
use crate::agent::Protector;
use crate::api::{Control, InstanceTrouble, LeaderStatus, PullStatus};
use crate::controller::{
    DrainError, RolloutError, RolloutOutcome, RunError, RunOutcome, RunRequest, StopError,
};
use crate::model::{
    Asked, ClusterName, InstanceDesired, InstanceId, ProtectionError, ProtectionRequest,
    RolloutVerb, ServiceName, TaskId, TaskProtection,
};
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

    async fn rollout(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        verb: &RolloutVerb,
        asked: Asked,
    ) -> Result<RolloutOutcome, RolloutError> {
        let controller = &self.shared.controller;
        controller.rollout(cluster, service, verb, asked).await
    }

    async fn set_instance(
        &self,
        cluster: &ClusterName,
        instance: &InstanceId,
        wanted: InstanceDesired,
        asked: Asked,
    ) -> Result<Revision, DrainError> {
        let controller = &self.shared.controller;
        controller
            .set_instance(cluster, instance, wanted, asked)
            .await
    }

    fn pulls(&self) -> Vec<PullStatus> {
        self.shared.pulls.all()
    }

    fn held_up(&self) -> Vec<(ClusterName, ServiceName)> {
        self.clusters.held_up()
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
            return super::state::back_up(&self.shared.store, to).await;
        };
        file.backup(to).await.map(|_| ()).map_err(|e| e.to_string())
    }

    fn shutdown(&self) {
        self.shared.shutdown.cancel();
    }

    fn troubles(&self) -> watch::Receiver<Vec<InstanceTrouble>> {
        self.clusters.troubles()
    }

    fn leader(&self) -> Option<LeaderStatus> {
        let leadership = self.shared.leadership.as_ref();
        leadership.map(|leadership| leadership.status())
    }
}
