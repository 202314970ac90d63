//! What is asked for, and what comes of it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{
    ClusterName, Family, InstanceId, OverrideError, PlacementConstraint, PlacementStrategy,
    ProviderShare, RunToken, TaskId, TaskOverrides, hex_sha256,
};
use crate::store::{Revision, StoreError};

/// A request to run tasks once (ECS RunTask), read and checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRequest {
    /// Where.
    pub cluster: ClusterName,
    /// What, by family.
    pub family: Family,
    /// Its revision; absent: what the folder says now.
    pub revision: Option<u32>,
    /// How many tasks, 1–10.
    pub count: u32,
    /// Their group; absent: `family:<family>`.
    pub group: Option<String>,
    /// ECS `startedBy`.
    pub started_by: Option<String>,
    /// ECS `clientToken`: a request that was made before is not made again.
    #[serde(skip)]
    pub token: Option<String>,
    /// What they run otherwise than the revision says.
    pub overrides: TaskOverrides,
    /// ECS `tags`.
    pub tags: BTreeMap<String, String>,
    /// Whether they get the definition's tags too.
    pub propagate_tags: bool,
    /// What an instance must meet, besides what the definition asks for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<PlacementConstraint>,
    /// Which instances are preferred; empty: ECS's default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strategy: Vec<PlacementStrategy>,
    /// Which capacity providers they go to; empty: the cluster's default, unless a launch type is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderShare>,
    /// Whether a launch type is named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub names_launch_type: bool,
}

impl RunRequest {
    /// Their group.
    pub fn group(&self) -> String {
        match &self.group {
            Some(group) => group.clone(),
            None => format!("family:{}", self.family),
        }
    }

    /// What its tasks are known by when it is made again.
    pub(super) fn run_token(&self) -> Option<RunToken> {
        // Maps and lists of text: they always become JSON.
        let content = serde_json::to_vec(self).unwrap_or_default();
        Some(RunToken {
            token: self.token.clone()?,
            content: hex_sha256(&content),
        })
    }
}

/// What was recorded of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutcome {
    /// The tasks, in the order of their ids; fewer than asked for where not all could be placed.
    pub tasks: Vec<TaskId>,
    /// Tasks that found no place.
    pub missing: u32,
    /// Why each instance did not take another task; empty where none is missing.
    pub refusals: Vec<NotPlaced>,
    /// The store's revision that all of it can be seen at.
    pub revision: Revision,
}

/// Why an instance did not take a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotPlaced {
    /// The instance.
    pub instance: InstanceId,
    /// ECS's word: `RESOURCE:MEMORY`, `RESOURCE:CPU`, `RESOURCE:PORTS`, `AGENT`, `ATTRIBUTE`, ….
    pub reason: &'static str,
    /// The same as a sentence.
    pub detail: String,
}

/// Why a request was not taken; nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder has not been read yet.
    #[error("the folder was not read yet, so nothing is known that could be run; try again")]
    NotReady,
    /// There is no such revision.
    #[error("there is no task definition {0}")]
    Unknown(String, Vec<Family>),
    /// The folder no longer declares the family.
    #[error("task definition {0} is INACTIVE: the folder no longer declares its family")]
    Inactive(String),
    /// The cluster has no container instance.
    #[error("No Container Instances were found in your cluster.")]
    NoInstances,
    /// The overrides do not fit the definition.
    #[error(transparent)]
    Overrides(#[from] OverrideError),
    /// The token was used for another request.
    #[error("the clientToken was used for tasks {} with other parameters", .0.iter().map(TaskId::short).collect::<Vec<_>>().join(", "))]
    TokenReused(Vec<TaskId>),
    /// It could not be recorded, or it is not known whether it was: with the same token it may be asked for again.
    #[error("the tasks could not be recorded: {0}")]
    Store(StoreError),
    /// The process is ending.
    #[error("this Longshore is ending")]
    Ending,
}

/// Why a task was not ordered to stop.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// There is no such task.
    #[error("The referenced task was not found.")]
    Unknown,
    /// It could not be recorded.
    #[error("the order to stop could not be recorded: {0}")]
    Store(StoreError),
    /// The process is ending.
    #[error("this Longshore is ending")]
    Ending,
}
