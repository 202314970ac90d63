//! Clusters as their manifests declare them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{ClusterName, InstanceId};
use super::instance::InstanceDesired;

/// A Cluster manifest, resolved. The cluster `default` has [`ClusterSpec::named`] when no file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Its name.
    pub name: ClusterName,
    /// ECS `tags`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// `metadata.labels`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Never empty: the local engine when the manifest names none.
    pub instances: Vec<InstanceSpec>,
    /// Seconds after RUNNING until a task without a health check counts as healthy (ECS: 40).
    pub healthy_after: u32,
    /// Whether `awsvpc` ports are published on the host, at ports that the engine chooses.
    pub publish_awsvpc_ports: bool,
    /// Hash of the manifest it came from; empty for the implied `default`.
    #[serde(default)]
    pub manifest_hash: String,
}

impl ClusterSpec {
    /// ECS counts a task without a health check as healthy this many seconds after RUNNING (semantics §4.19).
    pub const HEALTHY_AFTER: u32 = 40;

    /// A cluster with nothing but a name: the local engine, ECS's defaults.
    pub fn named(name: ClusterName) -> Self {
        Self {
            name,
            tags: BTreeMap::new(),
            labels: BTreeMap::new(),
            instances: vec![InstanceSpec::local()],
            healthy_after: Self::HEALTHY_AFTER,
            publish_awsvpc_ports: true,
            manifest_hash: String::new(),
        }
    }
}

/// A container instance as a Cluster manifest declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Its name in the cluster.
    pub name: InstanceId,
    /// Where its engine is.
    pub endpoint: EngineEndpoint,
    /// Attributes for placement.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// ACTIVE or DRAINING.
    #[serde(default)]
    pub desired: InstanceDesired,
}

impl InstanceSpec {
    /// The instance that a cluster has when it names none.
    pub fn local() -> Self {
        Self {
            name: InstanceId::new("local"),
            endpoint: EngineEndpoint::Local,
            attributes: BTreeMap::new(),
            desired: InstanceDesired::Active,
        }
    }
}

/// How an engine is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EngineEndpoint {
    /// What `docker` itself would use: `DOCKER_HOST`, then the current context, then the default socket.
    Local,
    /// A `unix://`, `tcp://` or `ssh://` address.
    Address(String),
}
