//! ECS `Task` and `Container`.

use serde::Serialize;

use crate::api::failures::stopped_because;
use crate::api::standing::{desired_status, health, last_status};
use crate::model::{
    self, ContainerStatus, DesiredStatus, Gpus, LastStatus, Resources, TaskRecord, TaskSpec, arn,
};
use crate::store::{State, TaskEntry};

use super::{Empty, Epoch, KeyValue, LAUNCH_TYPE, Tag, tags};

/// ECS `Task`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct Task {
    pub attachments: Empty,
    pub attributes: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_provider_name: Option<String>,
    pub cluster_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connectivity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connectivity_at: Option<Epoch>,
    pub container_instance_arn: String,
    pub containers: Vec<Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    pub created_at: Epoch,
    pub desired_status: DesiredStatus,
    pub enable_execute_command: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_stopped_at: Option<Epoch>,
    pub group: String,
    pub health_status: &'static str,
    pub last_status: &'static str,
    /// Absent where a capacity provider strategy decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    pub overrides: Overrides,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_started_at: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_stopped_at: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping_at: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    pub task_arn: String,
    pub task_definition_arn: String,
    pub version: u64,
}

/// ECS `TaskOverride`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct Overrides {
    pub container_overrides: Vec<ContainerOverride>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    pub inference_accelerator_overrides: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

/// ECS `ContainerOverride`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct ContainerOverride {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<KeyValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_requirements: Vec<ResourceRequirement>,
}

/// ECS `ResourceRequirement`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct ResourceRequirement {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub value: String,
}

impl Overrides {
    /// What a task runs otherwise than its revision says.
    pub fn of(record: &TaskRecord) -> Self {
        let Some(asked) = &record.standalone else {
            return Self::default();
        };
        let overrides = &asked.overrides;
        Self {
            container_overrides: overrides
                .containers
                .iter()
                .map(|over| ContainerOverride {
                    name: over.name.clone(),
                    command: over.command.clone(),
                    environment: over
                        .environment
                        .iter()
                        .map(|(name, value)| KeyValue {
                            name: name.clone(),
                            value: value.clone(),
                        })
                        .collect(),
                    cpu: over.cpu,
                    memory: over.memory,
                    memory_reservation: over.memory_reservation,
                    resource_requirements: over
                        .gpus
                        .map(|gpus| ResourceRequirement {
                            kind: "GPU",
                            value: match gpus {
                                Gpus::Count(count) => count.to_string(),
                                Gpus::All => "ALL".to_owned(),
                            },
                        })
                        .into_iter()
                        .collect(),
                })
                .collect(),
            cpu: overrides.cpu.map(|cpu| cpu.to_string()),
            inference_accelerator_overrides: Empty,
            memory: overrides.memory.map(|memory| memory.to_string()),
        }
    }
}

/// A task's own tags. Those of a service are not propagated, so only a standalone task has some.
pub fn tags_of(task: &TaskEntry) -> Vec<Tag> {
    let asked = task.record.standalone.as_ref();
    asked.map(|asked| tags(&asked.tags)).unwrap_or_default()
}

/// ECS `Container`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct Container {
    pub container_arn: String,
    pub task_arn: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<String>,
    pub last_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub network_bindings: Vec<NetworkBinding>,
    pub network_interfaces: Vec<NetworkInterface>,
    pub health_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<String>,
}

/// ECS `NetworkBinding`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct NetworkBinding {
    #[serde(rename = "bindIP")]
    pub bind_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_port_range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port_range: Option<String>,
    pub protocol: &'static str,
}

impl From<&model::NetworkBinding> for NetworkBinding {
    /// A range has no single ports: ECS reports the one or the other.
    fn from(binding: &model::NetworkBinding) -> Self {
        let single = |port: u16| (binding.count <= 1).then_some(port);
        let range = |first: u16| {
            (binding.count > 1)
                .then(|| format!("{first}-{}", first.saturating_add(binding.count - 1)))
        };
        Self {
            bind_ip: binding.bind_ip.clone(),
            container_port: single(binding.container_port),
            host_port: single(binding.host_port),
            container_port_range: range(binding.container_port),
            host_port_range: range(binding.host_port),
            protocol: binding.protocol.as_str(),
        }
    }
}

/// ECS `NetworkInterface`: the container's address on the cluster's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct NetworkInterface {
    pub private_ipv4_address: String,
}

/// ECS knows three statuses of a container; a task's finer ones fall under them.
pub const fn container_status(status: LastStatus) -> &'static str {
    match status {
        LastStatus::Provisioning | LastStatus::Pending | LastStatus::Activating => "PENDING",
        LastStatus::Running | LastStatus::Deactivating | LastStatus::Stopping => "RUNNING",
        LastStatus::Deprovisioning | LastStatus::Stopped => "STOPPED",
    }
}

impl Container {
    fn of(record: &TaskRecord, spec: Option<&TaskSpec>, status: &ContainerStatus) -> Self {
        let spec = spec.and_then(|spec| spec.container(&status.name));
        Self {
            container_arn: arn::container(&record.cluster, &record.id, &status.name),
            task_arn: arn::task(&record.cluster, &record.id),
            name: status.name.clone(),
            image: spec.map(|c| c.image.clone()),
            image_digest: status.image_digest.clone(),
            runtime_id: status.runtime_id.clone(),
            last_status: container_status(status.last_status),
            exit_code: status.exit_code,
            reason: status.reason.clone(),
            network_bindings: status
                .network_bindings
                .iter()
                .map(NetworkBinding::from)
                .collect(),
            network_interfaces: status
                .address
                .iter()
                .map(|address| NetworkInterface {
                    private_ipv4_address: address.clone(),
                })
                .collect(),
            health_status: health(status.health, status.last_status == LastStatus::Stopped)
                .as_str(),
            cpu: spec.map(|c| c.cpu.unwrap_or(0).to_string()),
            memory: spec.and_then(|c| c.memory).map(|m| m.to_string()),
            memory_reservation: spec
                .and_then(|c| c.memory_reservation)
                .map(|m| m.to_string()),
        }
    }
}

/// The containers of a task as reported; before the first report as its specification has them, all still to be made.
pub fn containers(task: &TaskEntry, spec: Option<&TaskSpec>) -> Vec<ContainerStatus> {
    match &task.status {
        Some(status) if !status.containers.is_empty() => status.containers.clone(),
        _ => spec
            .into_iter()
            .flat_map(|spec| &spec.containers)
            .map(|container| ContainerStatus {
                name: container.name.clone(),
                ..ContainerStatus::default()
            })
            .collect(),
    }
}

impl Task {
    /// A task as ECS describes it; its tags only when they were asked for.
    pub fn of(state: &State, task: &TaskEntry, with_tags: bool) -> Self {
        let record = &task.record;
        let status = task.status.as_ref();
        let spec = state.specs.get(&record.spec).map(AsRef::as_ref);
        let stopped = stopped_because(task);
        let instance = state
            .instance(&record.cluster, &record.instance)
            .and_then(|entry| entry.instance.as_ref());
        let resources = spec.map(Resources::needed_by);
        let service = record
            .service
            .as_ref()
            .and_then(|name| state.service(&record.cluster, name));
        Self {
            attachments: Empty,
            attributes: Empty,
            capacity_provider_name: record.capacity_provider.clone(),
            cluster_arn: arn::cluster(&record.cluster),
            connectivity: instance.map(|i| {
                if i.connected {
                    "CONNECTED"
                } else {
                    "DISCONNECTED"
                }
            }),
            connectivity_at: instance.map(|i| i.connected_at.into()),
            container_instance_arn: arn::container_instance(&record.cluster, &record.instance),
            containers: containers(task, spec)
                .iter()
                .map(|container| Container::of(record, spec, container))
                .collect(),
            cpu: resources.map(|r| r.cpu.to_string()),
            created_at: record.created_at.into(),
            desired_status: desired_status(task),
            enable_execute_command: service.is_some_and(|s| s.spec.enable_execute_command),
            execution_stopped_at: status.and_then(|s| s.execution_stopped_at).map(Into::into),
            group: record.group.clone(),
            health_status: status.map_or("UNKNOWN", |s| health(s.health, s.is_stopped()).as_str()),
            last_status: last_status(task).as_str(),
            launch_type: record.capacity_provider.is_none().then_some(LAUNCH_TYPE),
            memory: resources.map(|r| r.memory.to_string()),
            overrides: Overrides::of(record),
            pull_started_at: status.and_then(|s| s.pull_started_at).map(Into::into),
            pull_stopped_at: status.and_then(|s| s.pull_stopped_at).map(Into::into),
            started_at: status.and_then(|s| s.started_at).map(Into::into),
            started_by: record.started_by().map(str::to_owned),
            stop_code: stopped
                .as_ref()
                .and_then(|(code, _)| code.map(|c| c.as_str())),
            stopped_at: status
                .and_then(|s| s.stopped_at)
                .or(task.lost.as_ref().map(|lost| lost.at))
                .map(Into::into),
            stopped_reason: stopped.map(|(_, reason)| reason),
            stopping_at: status
                .and_then(|s| s.stopping_at)
                .or(record.stop.as_ref().map(|stop| stop.at))
                .map(Into::into),
            tags: with_tags.then(|| tags_of(task)),
            task_arn: arn::task(&record.cluster, &record.id),
            task_definition_arn: arn::task_definition(&record.revision_ref()),
            version: task
                .record_revision()
                .max(task.status_revision().unwrap_or(0)),
        }
    }
}
