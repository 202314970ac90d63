//! Which images are being pulled, over all instances.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::api::PullStatus;
use crate::engine::PullProgress;
use crate::model::{ClusterName, InstanceId};

/// Progress by image, as an agent tells it.
type Progress = watch::Receiver<BTreeMap<String, PullProgress>>;

/// See the module.
#[derive(Debug, Default)]
pub struct Pulls(Mutex<BTreeMap<(ClusterName, InstanceId), Progress>>);

impl Pulls {
    /// From now on the instance's agent tells its pulls there.
    pub fn of(&self, cluster: &ClusterName, instance: &InstanceId, progress: Progress) {
        let mut agents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        agents.insert((cluster.clone(), instance.clone()), progress);
    }

    /// Every pull that is under way.
    pub fn all(&self) -> Vec<PullStatus> {
        let agents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        agents
            .iter()
            .flat_map(|((cluster, instance), progress)| {
                let pulls = progress.borrow().clone();
                pulls.into_iter().map(move |(image, pull)| PullStatus {
                    cluster: cluster.clone(),
                    instance: instance.to_string(),
                    image,
                    current: pull.current,
                    total: pull.total,
                    status: pull.status,
                })
            })
            .collect()
    }
}
