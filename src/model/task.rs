//! Tasks: what the controller orders ([`TaskRecord`]) and what the agent reports ([`TaskStatus`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{
    ClusterName, DeploymentId, Family, InstanceId, RevisionRef, ServiceName, SpecHash, TaskId,
};
use super::instance::PortClaim;
use super::standalone::Standalone;
use super::task_spec::Protocol;
use super::time::Timestamp;

/// What the controller wants of a task. From RUNNING to STOPPED, never back (semantics §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DesiredStatus {
    /// It should run.
    Running,
    /// It should be stopped and taken apart.
    Stopped,
}

/// Where a task is in its life; the order is the order of the variants, and it only moves forward (semantics §4.1).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum LastStatus {
    /// Placed; the agent has not taken it up yet.
    #[default]
    Provisioning,
    /// The agent has it; its images are pulled and its containers created.
    Pending,
    /// Created and starting in order of dependence.
    Activating,
    /// Every container runs, or has run as its dependants needed.
    Running,
    /// Ordered to stop; being taken out of discovery.
    Deactivating,
    /// Its containers are being stopped.
    Stopping,
    /// Stopped; what belonged to it alone is being removed.
    Deprovisioning,
    /// Over.
    Stopped,
}

impl LastStatus {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Provisioning,
        Self::Pending,
        Self::Activating,
        Self::Running,
        Self::Deactivating,
        Self::Stopping,
        Self::Deprovisioning,
        Self::Stopped,
    ];

    /// As ECS writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Health of a container or of a task (semantics §4.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthStatus {
    /// Its health check passes.
    Healthy,
    /// Its health check has failed as often as its retries allow.
    Unhealthy,
    /// No health check, or no verdict yet.
    #[default]
    Unknown,
}

impl HealthStatus {
    /// As ECS writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Why a task stopped, as ECS's `stopCode` (semantics §4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopCode {
    /// It never reached RUNNING.
    TaskFailedToStart,
    /// An essential container ended.
    EssentialContainerExited,
    /// Somebody asked for it.
    UserInitiated,
    /// Its service did: scale-in, a deployment, an unhealthy task.
    ServiceSchedulerInitiated,
    /// Its instance vanished.
    TerminationNotice,
    /// Its infrastructure failed, for example the pause container was removed.
    InfrastructureHealth,
}

impl StopCode {
    /// As ECS writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskFailedToStart => "TaskFailedToStart",
            Self::EssentialContainerExited => "EssentialContainerExited",
            Self::UserInitiated => "UserInitiated",
            Self::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
            Self::TerminationNotice => "TerminationNotice",
            Self::InfrastructureHealth => "InfrastructureHealth",
        }
    }
}

/// The controller's order to stop a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// Who wanted it.
    pub code: StopCode,
    /// Why, in ECS's words where it has some (semantics §4.8).
    pub reason: String,
    /// When it was ordered.
    pub at: Timestamp,
}

/// `clusters/<c>/tasks/<id>`: a task as ordered. Written by the controller only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its identity for ever.
    pub id: TaskId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// The container instance it is placed on.
    pub instance: InstanceId,
    /// `service:<name>` or, standalone, `family:<family>` unless the caller chose one.
    pub group: String,
    /// The service it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The deployment that started it (ECS `startedBy`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// What it was asked for with, where no service started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standalone: Option<Standalone>,
    /// The revision it runs.
    pub family: Family,
    /// The revision's number.
    pub revision: u32,
    /// `specs/<hash>` holds what to run.
    pub spec: SpecHash,
    /// Which generation of its deployment's tasks it is of (see [`Deployment::generation`](super::Deployment::generation)).
    #[serde(default, skip_serializing_if = "super::rollout::is_zero")]
    pub generation: u32,
    /// What is wanted of it.
    pub desired: DesiredStatus,
    /// Why it is to stop; there exactly when `desired` is STOPPED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopOrder>,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// Names it answers to on the cluster's network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<String>,
    /// Host ports booked for it, fixed and dynamic, in the order of containers and their mappings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortClaim>,
    /// The capacity provider whose share it is (ECS `capacityProviderName`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_provider: Option<String>,
    /// GPUs booked for it, by container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gpus: BTreeMap<String, Vec<String>>,
    /// The digests its deployment is pinned to, by container: those images are run, whatever their tags mean by now (ECS
    /// `versionConsistency`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
}

impl TaskRecord {
    /// The revision it runs.
    pub fn revision_ref(&self) -> RevisionRef {
        RevisionRef {
            family: self.family.clone(),
            revision: self.revision,
        }
    }

    /// Who started it, as ECS says it: its deployment, or what RunTask was told.
    pub fn started_by(&self) -> Option<&str> {
        let asked = self.standalone.as_ref();
        self.deployment
            .as_ref()
            .map(DeploymentId::as_str)
            .or_else(|| asked.and_then(|asked| asked.started_by.as_deref()))
    }
}

/// A port of a running container as it can be reached (ECS `networkBindings`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkBinding {
    /// Address on the host it is bound to.
    pub bind_ip: String,
    /// Port inside.
    pub container_port: u16,
    /// Port on the host.
    pub host_port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// How many ports from these on, at least one; more than one is a range that the definition asked for as such.
    #[serde(default = "one")]
    pub count: u16,
}

const fn one() -> u16 {
    1
}

/// One container of a task as its agent saw it last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    /// Its name in the definition.
    pub name: String,
    /// The engine's id, once created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<String>,
    /// The image's digest, where a registry gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// `PENDING`, `RUNNING` or `STOPPED` (semantics §4.3), by way of the task's statuses.
    pub last_status: LastStatus,
    /// Its health.
    pub health: HealthStatus,
    /// Once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// `<ErrorName>: <message>` (semantics §4.9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How it can be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_bindings: Vec<NetworkBinding>,
    /// Its address on the cluster's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// When it last started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Restarts in place under its restart policy.
    pub restart_count: u32,
    /// When it was last restarted in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_restart_at: Option<Timestamp>,
}

/// `clusters/<c>/tasks/<id>/status`: a task as it is. Written by its agent only; `last_status` only moves forward.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskStatus {
    /// Where it is in its life.
    pub last_status: LastStatus,
    /// Its health.
    pub health: HealthStatus,
    /// In the definition's order.
    pub containers: Vec<ContainerStatus>,
    /// When the first image pull began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_started_at: Option<Timestamp>,
    /// When the last image pull ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_stopped_at: Option<Timestamp>,
    /// When it became RUNNING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was first counted healthy by its own health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_at: Option<Timestamp>,
    /// When its stopping began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping_at: Option<Timestamp>,
    /// When the essential container ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_stopped_at: Option<Timestamp>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// Why it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<StopCode>,
    /// Why it stopped, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// The last lines that the container at fault wrote, when the task ended by itself (P7).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_log_lines: Vec<String>,
}

/// `clusters/<c>/tasks/<id>/lost`: the task's instance vanished. Written by the controller only; an agent that returns stops
/// such a task before it starts anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLost {
    /// When the controller gave it up.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
}

impl TaskStatus {
    /// Whether it is over.
    pub fn is_stopped(&self) -> bool {
        self.last_status == LastStatus::Stopped
    }

    /// The status of the container of that name.
    pub fn container(&self, name: &str) -> Option<&ContainerStatus> {
        self.containers
            .iter()
            .find(|container| container.name == name)
    }
}
