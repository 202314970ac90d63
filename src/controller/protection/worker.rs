//! Recording who is protected.

use std::time::Duration;

use super::grant;
use crate::controller::Controller;
use crate::model::{ClusterName, ProtectionError, ProtectionRequest, TaskId, TaskProtection};
use crate::store::{StoreError, Txn, keys};

/// Pause before a request that met somebody else's write is decided again.
const PAUSE: Duration = Duration::from_millis(5);

impl Controller {
    /// Protects a task from being chosen to go, or takes that back. Returns once the view holds it.
    ///
    /// # Errors
    /// ECS's reasons not to, or the store's.
    pub async fn protect(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
        request: ProtectionRequest,
    ) -> Result<Option<TaskProtection>, ProtectionError> {
        let failed = |error: &dyn std::fmt::Display| ProtectionError::Failed(error.to_string());
        let key = keys::task_protection(cluster, task);
        loop {
            let (granted, txn) = {
                let state = self.view.read();
                let granted = grant(&state, cluster, task, request, self.clock.now())?;
                let Some(entry) = state.task(cluster, task) else {
                    continue;
                };
                // Who is ordered to stop meanwhile is not protected any more.
                let txn = Txn::new(&self.epoch)
                    .expect_unchanged(keys::task(cluster, task), entry.record_revision());
                match &granted {
                    Some(protection) => (granted, txn.put_json(&key, protection)),
                    None if entry.protection.is_some() => (granted, txn.delete(&key)),
                    None => return Ok(None),
                }
            };
            match txn.commit(&self.store).await {
                Ok(revision) => {
                    self.view
                        .caught_up(revision)
                        .await
                        .map_err(|e| failed(&e))?;
                    return Ok(granted);
                }
                Err(StoreError::Conflict { .. }) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(failed(&error)),
            }
        }
    }
}
