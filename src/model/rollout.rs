//! How a service's rollouts are watched, stopped, gone back from and steered: the circuit breaker, what people asked for on top
//! of the folder, and the deployments that are over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{DeploymentId, RevisionRef, SpecHash, TaskId};
use super::service::{ServiceSpec, ceil_percent};
use super::task_spec::hex_sha256;
use super::time::Timestamp;

/// Deployments that are over and remembered, of each service.
pub const HISTORY_KEPT: usize = 20;

/// When a deployment has failed too often (ECS `thresholdConfiguration`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Threshold {
    /// So many failed tasks.
    Count(u32),
    /// A percentage of `desiredCount`, rounded up, from 3 to 200 tasks.
    BoundedPercent(u32),
    /// A percentage of `desiredCount`, rounded up, at least one task.
    UnboundedPercent(u32),
}

impl Threshold {
    /// Fewest and most failed tasks that a [`Threshold::BoundedPercent`] comes to (semantics §3b).
    pub const BOUNDS: (u32, u32) = (3, 200);

    /// How many failed tasks of `desired` are too many; at least 1.
    pub fn tasks(self, desired: u32) -> u32 {
        match self {
            Self::Count(count) => count.max(1),
            Self::BoundedPercent(percent) => {
                ceil_percent(desired, percent).clamp(Self::BOUNDS.0, Self::BOUNDS.1)
            }
            Self::UnboundedPercent(percent) => ceil_percent(desired, percent).max(1),
        }
    }
}

impl Default for Threshold {
    /// ECS's: half of the tasks, at least 3 and at most 200.
    fn default() -> Self {
        Self::BoundedPercent(50)
    }
}

/// ECS `deploymentCircuitBreaker`, where it is enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    /// A deployment that failed goes back to the last one that was completed.
    pub rollback: bool,
    /// A task that becomes healthy sets the count of failed ones back to zero.
    pub reset_on_healthy_task: bool,
    /// How many failed tasks are too many.
    pub threshold: Threshold,
}

/// ECS `earlySuccessCriteria`, where they are enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlySuccess {
    /// The percentage of `desiredCount`, rounded up, that has to be healthy.
    pub healthy_percent: u32,
    /// Tasks of older deployments are stopped after the deployment is done, not before (`DEFERRED`).
    pub deferred_cleanup: bool,
}

/// Who asked for something, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Who, as far as they said.
    pub by: String,
    /// When, by the controller's clock.
    pub at: Timestamp,
    /// Why, if they said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.by.as_str() {
            "" => write!(f, "since {}", self.at)?,
            by => write!(f, "by {by}, since {}", self.at)?,
        }
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

/// A rollout that is to stand still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// What the folder asked for then ([`basis`]); once it asks for something else, this no longer holds.
    pub basis: String,
    /// How many tasks it asked for then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    /// Who wanted it.
    pub asked: Asked,
}

/// New tasks of what runs already (ECS `forceNewDeployment`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// What is to be started anew; tasks of anything else are not concerned.
    pub spec: SpecHash,
    /// Tasks of an earlier generation are replaced.
    pub generation: u32,
    /// Who wanted it.
    pub asked: Asked,
}

/// A revision to go back to in place of what the folder says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// What the folder asked for then ([`basis`]); once it asks for something else, this no longer holds.
    pub basis: String,
    /// Which one.
    pub revision: RevisionRef,
    /// What it comes down to.
    pub spec: SpecHash,
    /// The generation of its tasks then.
    #[serde(default)]
    pub generation: u32,
    /// The digests that its tasks ran.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Who wanted it.
    pub asked: Asked,
}

/// What failed is to be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// What the folder asked for then ([`basis`]); once it asks for something else, this no longer holds.
    pub basis: String,
    /// Who wanted it.
    pub asked: Asked,
}

/// `clusters/<c>/services/<name>/overrides`: what people asked for on top of what the folder says. Written by the controller
/// only; absent: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceOverrides {
    /// Nothing at all is started or stopped, until somebody resumes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Asked>,
    /// The rollout stands still: nothing is started or stopped for it. What dies is replaced from its own revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Tasks are to be replaced by new ones of the same revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// Another revision than the folder's is to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// What failed is to be tried again. Taken back by the plan that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

impl ServiceOverrides {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What of it still holds where the folder asks for `basis`: a changed manifest wins over a pause, an undo and a retry.
    #[must_use]
    pub fn holding(&self, basis: &str) -> Self {
        Self {
            suspended: self.suspended.clone(),
            paused: self.paused.clone().filter(|pause| pause.basis == basis),
            restart: self.restart.clone(),
            undo: self.undo.clone().filter(|undo| undo.basis == basis),
            retry: self.retry.clone().filter(|retry| retry.basis == basis),
        }
    }
}

/// What the folder asks a service to roll out, as a hash: the same for as long as its manifest and the definition that it
/// comes down to are. How many tasks there are to be, tags and labels are no part of it: they are not rolled out.
pub fn basis(spec: &ServiceSpec, definition: Option<&SpecHash>) -> String {
    let mut rolled = spec.clone();
    rolled.desired_count = 0;
    rolled.tags.clear();
    rolled.labels.clear();
    rolled.manifest_hash.clear();
    let text = serde_json::to_string(&rolled).unwrap_or_default();
    let definition = definition.map_or("", SpecHash::as_str);
    let mut hash = hex_sha256(format!("{definition} {text}").as_bytes());
    hash.truncate(32);
    hash
}

/// What somebody asks for about a service's rollouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutVerb {
    /// No action at all from now on.
    Suspend,
    /// Takes that back.
    Resume,
    /// The rollout stands still from now on.
    Pause,
    /// Takes that back.
    Unpause,
    /// New tasks of what runs, their tags resolved anew.
    Restart,
    /// Back to an earlier revision: that number of the service's family, or the one before.
    Undo {
        /// The number.
        to: Option<u32>,
    },
    /// What failed is tried again, and what is held back is no longer.
    Retry,
    /// Back to what was completed last, if that deployment is still under way.
    Stop {
        /// The one that is to be stopped.
        deployment: DeploymentId,
    },
}

impl RolloutVerb {
    /// Its word, as in the socket's paths.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Restart => "restart",
            Self::Undo { .. } => "undo",
            Self::Retry => "retry",
            Self::Stop { .. } => "stop",
        }
    }

    /// Reads its word; `to` is an undo's number.
    pub fn parse(word: &str, to: Option<u32>) -> Option<Self> {
        Some(match word {
            "suspend" => Self::Suspend,
            "resume" => Self::Resume,
            "pause" => Self::Pause,
            "unpause" => Self::Unpause,
            "restart" => Self::Restart,
            "undo" => Self::Undo { to },
            "retry" => Self::Retry,
            _ => return None,
        })
    }
}

/// A target that failed and is not started again, until the folder asks for something else or somebody says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedRevision {
    /// What the folder asked for when it failed ([`basis`]).
    pub basis: String,
    /// The deployment that failed.
    pub deployment: DeploymentId,
    /// What it rolled out.
    pub revision: RevisionRef,
    /// What its tasks ran.
    pub spec: SpecHash,
    /// The generation of its tasks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
    /// Tasks of it that had failed.
    pub failed_tasks: u32,
    /// The task that failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Why that one failed.
    pub reason: String,
    /// The last lines that this task wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_log_lines: Vec<String>,
    /// When it was given up.
    pub at: Timestamp,
}

/// ECS `ServiceDeploymentStatus`, as far as a deployment can have it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceDeploymentStatus {
    /// Under way.
    InProgress,
    /// Completed.
    Successful,
    /// A newer one took its place before it was done, or it failed and there was nothing to go back to.
    Stopped,
    /// It failed, and an earlier one is being gone back to.
    RollbackInProgress,
    /// It failed, and an earlier one runs again.
    RollbackSuccessful,
    /// It failed, and so did going back.
    RollbackFailed,
}

impl ServiceDeploymentStatus {
    /// As ECS writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Successful => "SUCCESSFUL",
            Self::Stopped => "STOPPED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
        }
    }
}

/// What a failed deployment goes back to (ECS `Rollback`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// The deployment that is gone back to.
    pub to: DeploymentId,
    /// What that rolls out.
    pub revision: RevisionRef,
    /// Why.
    pub reason: String,
    /// When it began.
    pub at: Timestamp,
}

/// A deployment that is over, or that failed and is being gone back from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedDeployment {
    /// Its id.
    pub id: DeploymentId,
    /// What it rolled out.
    pub revision: RevisionRef,
    /// What its tasks ran.
    pub spec: SpecHash,
    /// The generation of its tasks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
    /// The digests it was pinned to, by container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over.
    pub finished_at: Timestamp,
    /// How it ended.
    pub status: ServiceDeploymentStatus,
    /// ECS's sentence for that, or more.
    pub reason: String,
    /// Its tasks that had failed.
    #[serde(default)]
    pub failed_tasks: u32,
    /// How many failed ones were too many, where that was watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
    /// What was gone back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
}

/// For fields that are left out while they are 0.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_a_number_or_a_share_of_the_tasks_rounded_up() {
        assert_eq!(Threshold::Count(7).tasks(1), 7);
        assert_eq!(Threshold::default().tasks(25), 13);
        assert_eq!(Threshold::default().tasks(1), 3, "at least 3");
        assert_eq!(Threshold::default().tasks(1000), 200, "at most 200");
        assert_eq!(Threshold::UnboundedPercent(50).tasks(1000), 500);
        assert_eq!(Threshold::UnboundedPercent(50).tasks(3), 2);
        assert_eq!(Threshold::UnboundedPercent(1).tasks(1), 1);
        assert_eq!(
            Threshold::Count(0).tasks(9),
            1,
            "none would be no deployment"
        );
    }
}
