//! What a folder of manifests asks for, resolved and cross-checked: the input of the controller.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cluster::ClusterSpec;
use super::ids::{ClusterName, Family, ServiceName, SpecHash};
use super::service::ServiceSpec;
use super::task_spec::TaskSpec;

/// Where in the folder something was declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Source {
    /// Path relative to the folder.
    pub file: String,
    /// 1-based line of the document's first key.
    pub line: u32,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A task definition as it was registered, with what it resolves to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisteredDefinition {
    /// RegisterTaskDefinition's input as written, without `null` members.
    pub input: serde_json::Value,
    /// What it resolves to.
    pub spec: Arc<TaskSpec>,
    /// The hash of `spec`.
    pub hash: SpecHash,
    /// `metadata.labels` of its manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Everything that a folder declares. Maps are ordered, so every walk over them is the same walk.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Desired {
    /// Clusters by name; `default` is always there.
    pub clusters: BTreeMap<ClusterName, (ClusterSpec, Source)>,
    /// Task definitions by family.
    pub task_definitions: BTreeMap<Family, (RegisteredDefinition, Source)>,
    /// Services by cluster and name.
    pub services: BTreeMap<ClusterName, BTreeMap<ServiceName, (ServiceSpec, Source)>>,
    /// Something could not be read, so that what is not in here may be declared all the same. A service that is not here is
    /// then left as it is (P1): with a store that was lost there may be no last good version of it either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

impl Desired {
    /// Every service with its source.
    pub fn all_services(&self) -> impl Iterator<Item = &(ServiceSpec, Source)> {
        self.services.values().flat_map(BTreeMap::values)
    }
}
