//! What a Longshore answers on its socket while another leads: everything that the store knows, and nothing that would change it.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::state;
use crate::api::{Control, LeaderStatus, PullStatus};
use crate::controller::{
    DrainError, RolloutError, RolloutOutcome, RunError, RunOutcome, RunRequest, StopError,
};
use crate::model::{
    Asked, ClusterName, InstanceDesired, InstanceId, ProtectionError, ProtectionRequest,
    RolloutVerb, ServiceName, TaskId, TaskProtection,
};
use crate::store::{Revision, SharedStore, StoreError, redb};

/// The standby's side of [`Control`].
#[derive(Debug)]
pub struct StandingBy {
    /// The store that it waits for.
    pub store: SharedStore,
    /// Who leads, as far as is known.
    pub leader: watch::Receiver<Option<LeaderStatus>>,
    /// Ends the process as SIGTERM does.
    pub shutdown: CancellationToken,
}

impl StandingBy {
    fn refused(&self) -> StoreError {
        let leader = match &*self.leader.borrow() {
            Some(leader) => format!("{} leads since {}", leader.name, leader.since),
            None => "nobody leads yet".to_owned(),
        };
        StoreError::StandingBy { leader }
    }
}

#[async_trait]
impl Control for StandingBy {
    async fn run_task(&self, _: &RunRequest) -> Result<RunOutcome, RunError> {
        Err(RunError::Store(self.refused()))
    }

    async fn stop_task(&self, _: &ClusterName, _: &TaskId, _: &str) -> Result<Revision, StopError> {
        Err(StopError::Store(self.refused()))
    }

    fn protection(
        &self,
        _: &ClusterName,
        _: &TaskId,
    ) -> Result<Option<TaskProtection>, ProtectionError> {
        Err(ProtectionError::Failed(self.refused().to_string()))
    }

    async fn protect(
        &self,
        _: &ClusterName,
        _: &TaskId,
        _: ProtectionRequest,
    ) -> Result<Option<TaskProtection>, ProtectionError> {
        Err(ProtectionError::Failed(self.refused().to_string()))
    }

    async fn rollout(
        &self,
        _: &ClusterName,
        _: &ServiceName,
        _: &RolloutVerb,
        _: Asked,
    ) -> Result<RolloutOutcome, RolloutError> {
        Err(RolloutError::Store(self.refused()))
    }

    async fn set_instance(
        &self,
        _: &ClusterName,
        _: &InstanceId,
        _: InstanceDesired,
        _: Asked,
    ) -> Result<Revision, DrainError> {
        Err(DrainError::Store(self.refused()))
    }

    fn pulls(&self) -> Vec<PullStatus> {
        Vec::new()
    }

    async fn down(&self, _: bool, _: mpsc::UnboundedSender<String>) -> Result<Vec<String>, String> {
        Err(self.refused().to_string())
    }

    async fn dump(&self) -> Result<serde_json::Value, String> {
        let listing = self.store.list("").await.map_err(|e| e.to_string())?;
        Ok(redb::dump_listing(&listing))
    }

    async fn backup(&self, to: &Path) -> Result<(), String> {
        state::back_up(&self.store, to).await
    }

    fn shutdown(&self) {
        self.shutdown.cancel();
    }

    fn leader(&self) -> Option<LeaderStatus> {
        self.leader.borrow().clone()
    }
}

/// The control of a Longshore that stands by, and where it is told who leads.
pub fn control(
    store: &SharedStore,
    shutdown: &CancellationToken,
) -> (Arc<StandingBy>, watch::Sender<Option<LeaderStatus>>) {
    let (tell, leader) = watch::channel(None);
    let control = StandingBy {
        store: Arc::clone(store),
        leader,
        shutdown: shutdown.clone(),
    };
    (Arc::new(control), tell)
}
