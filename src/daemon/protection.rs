//! Protection of tasks, as agents and the API ask for it: the view tells, the controller grants.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::agent::Protector;
use crate::clock::SharedClock;
use crate::controller::{self, Controller};
use crate::model::{ClusterName, ProtectionError, ProtectionRequest, TaskId, TaskProtection};
use crate::store::View;

/// See the module.
#[derive(Clone)]
pub struct Protections {
    pub controller: Arc<Controller>,
    pub view: Arc<View>,
    pub clock: SharedClock,
}

impl fmt::Debug for Protections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protections")
    }
}

#[async_trait]
impl Protector for Protections {
    fn protection(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
    ) -> Result<Option<TaskProtection>, ProtectionError> {
        let state = self.view.read();
        Ok(controller::protection(
            &state,
            cluster,
            task,
            self.clock.now(),
        )?)
    }

    async fn protect(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
        request: ProtectionRequest,
    ) -> Result<Option<TaskProtection>, ProtectionError> {
        self.controller.protect(cluster, task, request).await
    }
}
