//! The `status` of each kind of document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::conditions::Condition;
use crate::api::time::At;
use crate::model::Resources;

/// Status of a Cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterStatus {
    /// ACTIVE
    pub status: String,
    /// Container instances that are registered.
    pub instances: usize,
    /// Services that are ACTIVE.
    pub services: usize,
    /// Tasks that run.
    pub running_tasks: usize,
    /// Tasks on their way.
    pub pending_tasks: usize,
    /// Where it is declared, `file:line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What is to be known of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Status of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatusDoc {
    /// Its cluster.
    pub cluster: String,
    /// ACTIVE, DRAINING or INACTIVE.
    pub status: String,
    /// In one word.
    pub phase: String,
    /// One deployment, COMPLETED, healthy == desired.
    pub steady: bool,
    /// Tasks wanted.
    pub desired_count: u32,
    /// Tasks that run.
    pub running_count: u32,
    /// Tasks that count as healthy.
    pub healthy_count: u32,
    /// Tasks on their way.
    pub pending_count: u32,
    /// What the newest deployment rolls out, `web:3`.
    pub task_definition: String,
    /// The images of it, each once.
    pub images: Vec<String>,
    /// When it was first seen.
    pub created_at: Option<At>,
    /// Where it is declared, `file:line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event: Option<String>,
    /// What is to be known of it.
    pub conditions: Vec<Condition>,
    /// Newest first.
    pub deployments: Vec<DeploymentStatusDoc>,
}

/// Status of a Deployment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatusDoc {
    /// Its cluster.
    pub cluster: String,
    /// Its service.
    pub service: String,
    /// `ecs-svc/<n>`
    pub id: String,
    /// PRIMARY or ACTIVE.
    pub status: String,
    /// What it rolls out, `web:3`.
    pub task_definition: String,
    /// `rolloutState`
    pub rollout_state: String,
    /// Why.
    pub rollout_state_reason: String,
    /// Tasks wanted of it.
    pub desired_count: u32,
    /// Its tasks that run.
    pub running_count: u32,
    /// Its tasks that count as healthy.
    pub healthy_count: u32,
    /// Its tasks on their way.
    pub pending_count: u32,
    /// Its tasks that failed.
    pub failed_tasks: u32,
    /// How many failed ones are too many; absent: nobody counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_threshold: Option<u32>,
    /// The digests that its images' tags were resolved to, by container.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
    /// When it began.
    pub created_at: Option<At>,
    /// When it last changed.
    pub updated_at: Option<At>,
}

/// Status of a TaskDefinition's revision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskDefinitionStatusDoc {
    /// The family.
    pub family: String,
    /// Its number.
    pub revision: u32,
    /// Whether it is the family's newest.
    pub newest: bool,
    /// ACTIVE or INACTIVE.
    pub status: String,
    /// When it was registered.
    pub registered_at: Option<At>,
    /// Hash of what it resolves to.
    pub spec_hash: String,
    /// Where the family is declared, `file:line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `bridge`, `host`, `awsvpc` or `none`.
    pub network_mode: String,
    /// CPU units that a task of it books.
    pub cpu: u64,
    /// MiB that a task of it books.
    pub memory: u64,
    /// Its containers' names.
    pub containers: Vec<String>,
    /// Their images, each once.
    pub images: Vec<String>,
    /// What is to be known of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Status of a Task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStatusDoc {
    /// Its cluster.
    pub cluster: String,
    /// Its id.
    pub id: String,
    /// Its service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// `service:<name>` or `family:<family>`.
    pub group: String,
    /// The deployment that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Who started it: the deployment, or what RunTask was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// What it runs otherwise than its revision says, as ECS writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Value>,
    /// Its own tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What it runs, `web:3`.
    pub task_definition: String,
    /// Where.
    pub instance: String,
    /// RUNNING or STOPPED.
    pub desired_status: String,
    /// Where it is in its life.
    pub last_status: String,
    /// HEALTHY, UNHEALTHY or UNKNOWN.
    pub health_status: String,
    /// Whether it counts as healthy.
    pub healthy: bool,
    /// When it was ordered.
    pub created_at: Option<At>,
    /// When it was RUNNING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<At>,
    /// Until when its service does not choose it to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_until: Option<At>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<At>,
    /// ECS's word for why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// The exit code of the essential container that ended first, once one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Whether it ended when it should not have.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// In the definition's order.
    pub containers: Vec<ContainerStatusDoc>,
    /// The last lines it wrote, when it ended by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_log_lines: Vec<String>,
}

/// One container of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatusDoc {
    /// Its name.
    pub name: String,
    /// Its image, as written.
    pub image: String,
    /// The image's digest, where a registry gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// Whether the task stops when it ends.
    pub essential: bool,
    /// PENDING, RUNNING or STOPPED.
    pub last_status: String,
    /// HEALTHY, UNHEALTHY or UNKNOWN.
    pub health_status: String,
    /// Once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// What went wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was restarted in place.
    pub restart_count: u32,
    /// The engine's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<String>,
    /// Its address on the cluster's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `0.0.0.0:49153->8080/tcp`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
}

/// Status of a ContainerInstance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceStatusDoc {
    /// Its cluster.
    pub cluster: String,
    /// Its name.
    pub id: String,
    /// ACTIVE or DRAINING; before it is registered REGISTERING, or REGISTRATION_FAILED where waiting does not help.
    pub status: String,
    /// Why it does not work, if it does not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Whether its engine answers.
    pub connected: bool,
    /// When that last changed.
    pub connected_at: Option<At>,
    /// When its agent first registered it.
    pub registered_at: Option<At>,
    /// The engine's own id.
    pub engine_id: String,
    /// The engine's version.
    pub engine_version: String,
    /// The API version in use.
    pub api_version: String,
    /// All that it has.
    pub registered: Resources,
    /// What is booked on it.
    pub reserved: Resources,
    /// Host ports that are booked on it, `8080/tcp`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reserved_ports: Vec<String>,
    /// Its tasks that run.
    pub running_tasks: usize,
    /// Its tasks on their way.
    pub pending_tasks: usize,
    /// For placement.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Whether it is connected, and what else there is to say of it.
    pub conditions: Vec<Condition>,
}
