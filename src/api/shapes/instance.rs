//! ECS `ContainerInstance`.

use serde::Serialize;

use crate::api::standing::{is_pending, is_running};
use crate::model::{
    ClusterName, InstanceDesired, InstanceId, PortSet, Protocol, Reserved, Resources, arn,
};
use crate::store::{InstanceEntry, State};

use super::{Attribute, Empty, Epoch, Tag};

/// ECS `ContainerInstance`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct ContainerInstance {
    pub container_instance_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_provider_name: Option<String>,
    pub version: u64,
    pub version_info: VersionInfo,
    pub remaining_resources: Vec<Resource>,
    pub registered_resources: Vec<Resource>,
    pub status: InstanceDesired,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    pub agent_connected: bool,
    pub running_tasks_count: usize,
    pub pending_tasks_count: usize,
    pub attributes: Vec<Attribute>,
    pub registered_at: Epoch,
    pub attachments: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
}

/// ECS `VersionInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct VersionInfo {
    pub agent_version: String,
    pub docker_version: String,
}

/// ECS `Resource`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct Resource {
    pub name: &'static str,
    pub r#type: &'static str,
    pub double_value: f64,
    pub long_value: u64,
    pub integer_value: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_set_value: Option<Vec<String>>,
}

impl Resource {
    fn integer(name: &'static str, value: u64) -> Self {
        Self {
            name,
            r#type: "INTEGER",
            double_value: 0.0,
            long_value: 0,
            integer_value: value,
            string_set_value: None,
        }
    }

    fn set(name: &'static str, ports: impl Iterator<Item = u16>) -> Self {
        Self {
            name,
            r#type: "STRINGSET",
            double_value: 0.0,
            long_value: 0,
            integer_value: 0,
            string_set_value: Some(ports.map(|port| port.to_string()).collect()),
        }
    }
}

/// ECS's four resources: CPU, memory, and the ports that are taken, by transport.
fn resources(amount: Resources, taken: &PortSet) -> Vec<Resource> {
    let ports = |protocol: Protocol| {
        taken
            .iter()
            .filter(move |(p, _)| *p == protocol)
            .map(|(_, port)| *port)
    };
    vec![
        Resource::integer("CPU", amount.cpu),
        Resource::integer("MEMORY", amount.memory),
        Resource::set("PORTS", ports(Protocol::Tcp)),
        Resource::set("PORTS_UDP", ports(Protocol::Udp)),
    ]
}

/// What is left of an instance when everything booked on it is taken away.
pub fn remaining(registered: Resources, reserved: &Reserved) -> Resources {
    let booked = reserved.total();
    Resources {
        cpu: registered.cpu.saturating_sub(booked.cpu),
        memory: registered.memory.saturating_sub(booked.memory),
    }
}

impl ContainerInstance {
    /// An instance as ECS describes it; `None` until its agent has registered it.
    pub fn of(
        state: &State,
        cluster: &ClusterName,
        id: &InstanceId,
        entry: &InstanceEntry,
        with_tags: bool,
    ) -> Option<Self> {
        let instance = entry.instance.as_ref()?;
        let reserved = entry
            .reserved
            .as_ref()
            .map(|reserved| Reserved::clone(&reserved.value))
            .unwrap_or_default();
        let mut taken = instance.reserved_ports.clone();
        let before = taken.clone();
        taken.extend(reserved.ports().into_keys());
        let tasks = || state.tasks_of_instance(cluster, id).map(|(_, task)| task);
        let declared = state.clusters.get(cluster);
        let provider = declared.and_then(|declared| declared.provider_of(id));
        Some(Self {
            capacity_provider_name: provider.map(str::to_owned),
            container_instance_arn: arn::container_instance(cluster, id),
            version: instance.revision,
            version_info: VersionInfo {
                agent_version: instance.agent_version.clone(),
                docker_version: format!("DockerVersion: {}", instance.engine_version),
            },
            remaining_resources: resources(remaining(instance.registered, &reserved), &taken),
            registered_resources: resources(instance.registered, &before),
            status: entry
                .desired
                .as_ref()
                .map(|desired| *desired.value)
                .unwrap_or_default(),
            status_reason: entry.asked.as_ref().map(|asked| asked.asked.to_string()),
            agent_connected: instance.connected,
            running_tasks_count: tasks().filter(|task| is_running(task)).count(),
            pending_tasks_count: tasks().filter(|task| is_pending(task)).count(),
            attributes: instance
                .attributes
                .iter()
                .map(|(name, value)| Attribute {
                    name: name.clone(),
                    value: (!value.is_empty()).then(|| value.clone()),
                })
                .collect(),
            registered_at: instance.registered_at.into(),
            attachments: Empty,
            tags: with_tags.then(Vec::new),
        })
    }
}
