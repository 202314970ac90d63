//! What ECS's API answers: its own shapes, and how they are made of the model and the state.
//!
//! This is the fourth set of types (manifest, model, engine-observed, API). A shape holds only members that Longshore can
//! fill truthfully, and those lists that ECS always writes even when they are empty, because clients index into them. Every
//! member is one of ECS's API model; a test holds the shapes against it.

pub mod cluster;
pub mod deployment;
pub mod instance;
pub mod service;
pub mod task;
pub mod task_definition;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{ProviderShare, Timestamp};

pub use cluster::Cluster;
pub use deployment::{ServiceDeployment, ServiceDeploymentBrief};
pub use instance::ContainerInstance;
pub use service::Service;
pub use task::Task;

/// Every instance here is of ECS's launch type EC2: a container instance that runs an agent.
pub const LAUNCH_TYPE: &str = "EC2";

/// An instant as JSON 1.1 writes it: seconds since the epoch, with a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Epoch(f64);

impl From<Timestamp> for Epoch {
    fn from(at: Timestamp) -> Self {
        Self(at.as_secs_f64())
    }
}

/// ECS `Tag`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// ECS's list of tags, in order of their keys.
pub fn tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag {
            key: key.clone(),
            value: value.clone(),
        })
        .collect()
}

/// ECS `KeyValuePair`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyValue {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// ECS `CapacityProviderStrategyItem`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityProviderStrategyItem {
    /// The capacity provider.
    pub capacity_provider: String,
    /// Its share above every base.
    pub weight: u32,
    /// How many tasks it gets first.
    pub base: u32,
}

/// ECS's capacity provider strategy.
pub fn strategy(shares: &[ProviderShare]) -> Vec<CapacityProviderStrategyItem> {
    shares
        .iter()
        .map(|share| CapacityProviderStrategyItem {
            capacity_provider: share.provider.clone(),
            weight: share.weight,
            base: share.base,
        })
        .collect()
}

/// ECS `Attribute`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value; absent where the attribute has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// ECS `Failure`: what was asked for and is not there, or could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its ARN; of a task that was not placed, the container instance's.
    pub arn: String,
    /// `MISSING`, `RESOURCE:MEMORY`, …
    pub reason: String,
    /// The same as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Failure {
    /// It is not there.
    pub fn missing(arn: String) -> Self {
        Self {
            arn,
            reason: "MISSING".to_owned(),
            detail: None,
        }
    }
}

/// A list that is always empty, where ECS always writes one and Longshore has nothing to put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Empty;

impl Serialize for Empty {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(std::iter::empty::<()>())
    }
}
