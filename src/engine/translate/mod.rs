//! From a task to what its containers, volumes and network are created from. Pure: the same task gives the same bodies.
//!
//! Decisions that the definition leaves open, and what they follow:
//!
//! * **Health.** An image's own `HEALTHCHECK` is left alone: Docker goes on running it, as on ECS, and nobody monitors it
//!   (semantics §4.10: the status stays UNKNOWN). Only the definition's block becomes Docker's `Healthcheck`.
//! * **Names on the cluster's network.** A task answers to its service's name. In `awsvpc` its pause container does. In
//!   `bridge` the containers that have port mappings do, so that a sidecar never answers for the server beside it; where no
//!   container has any, all do.
//! * **Links** go to the network endpoint: Docker ignores its older `HostConfig.Links` on a network that a user made.
//! * **Task-level cpu and memory** bound the task's control group where one can be made, else each container by itself
//!   ([`limits`]).
//! * **Logs.** Where nobody says how `json-file` rotates, it keeps 3 files of 10 MB, because Docker's default keeps
//!   everything. Where the definition names a driver and no `mode`, the mode is `non-blocking` with a buffer of 10 MB, ECS's
//!   defaults.

mod additions;
mod container;
pub mod firelens;
mod identity;
pub mod limits;
pub mod names;

#[cfg(test)]
mod tests;

pub use additions::Additions;
pub use container::{container_body, pause_body};
pub use identity::{Recovery, is_same};
pub use limits::{CgroupManager, TaskCgroup, task_cgroup};

use std::collections::BTreeMap;

use super::labels;
use super::reference::Reference;
use super::{EngineInfo, NetworkBody, VolumeBody};
use crate::model::{
    ClusterName, ContainerSpec, InstanceId, LogConfig, NamespaceMode, NetworkMode, NfsExport,
    TaskRecord, TaskSpec, VolumeKind, VolumeSpec,
};

/// Where a task is created, as far as its containers depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The state directory's id, 16 hexadecimal digits.
    pub owner: String,
    /// The instance that creates it.
    pub instance: InstanceId,
    /// Name of the cluster's network.
    pub network: String,
    /// The store's revision at which the task was decided on.
    pub seq: u64,
    /// Reference or id of the pause image.
    pub pause_image: String,
    /// What the engine is.
    pub facts: EngineFacts,
    /// Whether `awsvpc` ports are published on the host.
    pub publish_awsvpc_ports: bool,
    /// What stands for a log driver that a definition names.
    pub log_drivers: BTreeMap<String, LogConfig>,
    /// Where file systems are that definitions name.
    pub file_systems: BTreeMap<String, NfsExport>,
}

/// What translation needs to know of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    /// 1 or 2.
    pub cgroup_version: u8,
    /// Docker's name (`amd64`).
    pub architecture: String,
    /// The default log driver.
    pub logging_driver: String,
    /// Logical CPUs.
    pub cpus: u32,
    /// Directory of the engine's data.
    pub root_dir: String,
    /// What tasks' control groups are made with, where this process may make them. An engine does not tell: whoever runs on
    /// its host finds out.
    pub cgroups: Option<CgroupManager>,
}

impl From<&EngineInfo> for EngineFacts {
    fn from(info: &EngineInfo) -> Self {
        Self {
            cgroup_version: info.cgroup_version,
            architecture: info.architecture.clone(),
            logging_driver: info.logging_driver.clone(),
            cpus: info.cpus,
            root_dir: info.root_dir.clone(),
            cgroups: None,
        }
    }
}

/// The image that a container of a task is created from: the definition's, or the digest that its deployment is pinned to.
pub fn image(record: &TaskRecord, container: &ContainerSpec) -> String {
    record
        .images
        .get(&container.name)
        .and_then(|digest| Some(Reference::parse(&container.image).ok()?.at_digest(digest)))
        .unwrap_or_else(|| container.image.clone())
}

/// Whether a task has a pause container: one that owns the namespaces its containers share.
pub fn needs_pause(spec: &TaskSpec) -> bool {
    spec.network_mode == NetworkMode::Awsvpc
        || spec.pid_mode == Some(NamespaceMode::Task)
        || spec.ipc_mode == Some(NamespaceMode::Task)
}

/// Whether a task needs the cluster's network.
pub fn needs_network(spec: &TaskSpec) -> bool {
    matches!(spec.network_mode, NetworkMode::Awsvpc | NetworkMode::Bridge)
}

/// The volumes of a task that the engine keeps (not paths of the host) and that Longshore may create, by their name in the
/// definition. A shared volume without `autoprovision` is not among them, since somebody else makes it, nor a file system
/// that the cluster does not know.
pub fn volume_bodies(
    spec: &TaskSpec,
    record: &TaskRecord,
    context: &Context,
) -> BTreeMap<String, VolumeBody> {
    spec.volumes
        .iter()
        .filter_map(|volume| Some((volume.name.clone(), volume_body(volume, record, context)?)))
        .collect()
}

fn volume_body(volume: &VolumeSpec, record: &TaskRecord, context: &Context) -> Option<VolumeBody> {
    let no_labels = BTreeMap::new();
    let (driver, driver_opts, own, user) = match &volume.kind {
        VolumeKind::HostPath { .. }
        | VolumeKind::Shared {
            autoprovision: false,
            ..
        } => return None,
        VolumeKind::Task {
            driver,
            driver_opts,
            labels,
        } => (
            driver.clone(),
            driver_opts.clone(),
            identity::of_task(record, context),
            labels,
        ),
        VolumeKind::FileSystem { id, root_directory } => (
            Some("local".to_owned()),
            context.file_systems.get(id)?.driver_opts(root_directory),
            identity::of_task(record, context),
            &no_labels,
        ),
        // It outlives the task, so it says whose it is and nothing of the task.
        VolumeKind::Shared {
            driver,
            driver_opts,
            labels,
            ..
        } => (
            driver.clone(),
            driver_opts.clone(),
            identity::of_cluster(&record.cluster, &context.owner, &context.instance),
            labels,
        ),
    };
    let mut labels = user.clone();
    labels.extend(own);
    Some(VolumeBody {
        name: names::volume_source(record, volume),
        driver: driver.unwrap_or_default(),
        driver_opts,
        labels,
    })
}

/// The cluster's network: one bridge for all its tasks on an engine.
pub fn network_body(cluster: &ClusterName, owner: &str, instance: &InstanceId) -> NetworkBody {
    NetworkBody {
        name: names::network(cluster, owner),
        driver: "bridge".to_owned(),
        labels: identity::of_cluster(cluster, owner, instance),
        options: BTreeMap::new(),
    }
}

/// The labels by which everything of one owner, cluster and instance is found.
pub fn ours(cluster: &ClusterName, owner: &str, instance: &InstanceId) -> Vec<(String, String)> {
    vec![
        (labels::OWNER.to_owned(), owner.to_owned()),
        (labels::CLUSTER.to_owned(), cluster.to_string()),
        (labels::INSTANCE.to_owned(), instance.to_string()),
    ]
}
