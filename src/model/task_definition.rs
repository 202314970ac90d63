//! Task definitions as they were registered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{RevisionRef, SpecHash};
use super::time::Timestamp;

/// `revisions/<family>/<n>`: one registered revision of a family. Its resolved specification is kept once, by hash, under
/// `specs/`. Written by the controller only, and never changed but for `deregistered_at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDefinitionRecord {
    /// Which one it is.
    #[serde(flatten)]
    pub id: RevisionRef,
    /// RegisterTaskDefinition's input as written, without `null` members.
    pub input: serde_json::Value,
    /// `specs/<hash>` holds what it resolves to.
    pub spec: SpecHash,
    /// `metadata.labels` of its manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When its family left the folder or it was deregistered; there: ECS's status INACTIVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deregistered_at: Option<Timestamp>,
}
