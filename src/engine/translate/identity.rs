//! Labels: whose an object is, and from what it was made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Context;
use crate::engine::labels;
use crate::model::{ClusterName, DesiredStatus, InstanceId, TaskRecord, TaskSpec, arn};

/// The value of `longshore.spec`: what a lost store is made from again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// What the task runs.
    pub spec: TaskSpec,
    /// The task as it was ordered to run.
    pub record: TaskRecord,
}

impl Recovery {
    /// The label's value. It says nothing that changes in a task's life, so that a repeated create gives the same body.
    pub fn label(spec: &TaskSpec, record: &TaskRecord) -> String {
        let recovery = Self {
            spec: spec.clone(),
            record: TaskRecord {
                desired: DesiredStatus::Running,
                stop: None,
                ..record.clone()
            },
        };
        serde_json::to_string(&recovery).unwrap_or_default()
    }

    /// Reads it back; `None` when it is not one.
    pub fn parse(label: &str) -> Option<Self> {
        serde_json::from_str(label).ok()
    }
}

/// Whether a container with these labels is this very container of this task: same owner, task, container and
/// specification. Only such a one may be adopted when a create meets its name.
pub fn is_same(
    found: &BTreeMap<String, String>,
    record: &TaskRecord,
    container: &str,
    owner: &str,
) -> bool {
    let has = |label: &str, value: &str| found.get(label).is_some_and(|v| v == value);
    has(labels::OWNER, owner)
        && has(labels::TASK, record.id.as_str())
        && has(labels::CONTAINER, container)
        && has(labels::SPEC_HASH, record.spec.as_str())
}

/// Labels of what belongs to a cluster and outlives its tasks.
pub(super) fn of_cluster(
    cluster: &ClusterName,
    owner: &str,
    instance: &InstanceId,
) -> BTreeMap<String, String> {
    [
        (labels::SCHEMA, labels::SCHEMA_VERSION),
        (labels::OWNER, owner),
        (labels::INSTANCE, instance.as_str()),
        (labels::CLUSTER, cluster.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Labels of what belongs to a task: everything but `longshore.container` and ECS's `container-name`.
pub(super) fn of_task(record: &TaskRecord, context: &Context) -> BTreeMap<String, String> {
    let mut all = of_cluster(&record.cluster, &context.owner, &context.instance);
    let mut put = |name: &str, value: String| {
        all.insert(name.to_owned(), value);
    };
    match &record.service {
        Some(service) => put(labels::SERVICE, service.to_string()),
        None => put(labels::GROUP, record.group.clone()),
    }
    if let Some(deployment) = &record.deployment {
        put(labels::DEPLOYMENT, deployment.to_string());
    }
    put(labels::TASK, record.id.to_string());
    put(labels::FAMILY, record.family.to_string());
    put(labels::REVISION, record.revision.to_string());
    put(labels::SPEC_HASH, record.spec.to_string());
    put(labels::SEQ, context.seq.to_string());
    put(labels::ECS_TASK_ARN, arn::task(&record.cluster, &record.id));
    put(
        labels::ECS_TASK_DEFINITION_FAMILY,
        record.family.to_string(),
    );
    put(
        labels::ECS_TASK_DEFINITION_VERSION,
        record.revision.to_string(),
    );
    put(labels::ECS_CLUSTER, record.cluster.to_string());
    all
}

/// Labels of one container. The user's come first and lose: a definition cannot claim to be somebody else's container.
pub(super) fn of_container(
    user: &BTreeMap<String, String>,
    spec: &TaskSpec,
    record: &TaskRecord,
    container: &str,
    context: &Context,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = user
        .iter()
        .filter(|(name, _)| !name.starts_with(RESERVED))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    all.extend(of_task(record, context));
    all.insert(labels::CONTAINER.to_owned(), container.to_owned());
    all.insert(labels::ECS_CONTAINER_NAME.to_owned(), container.to_owned());
    if carries_recovery(spec, container) {
        all.insert(labels::SPEC.to_owned(), Recovery::label(spec, record));
    }
    all
}

/// What starts like this is Longshore's: a user's `longshore.lease` would make a container look like a lease.
const RESERVED: &str = "longshore.";

/// Exactly one container a task carries `longshore.spec`: the pause container, else the first essential one (a task lives no
/// longer than that).
fn carries_recovery(spec: &TaskSpec, container: &str) -> bool {
    if super::needs_pause(spec) {
        return container == labels::PAUSE_CONTAINER;
    }
    let bearer = spec
        .containers
        .iter()
        .find(|c| c.essential)
        .or(spec.containers.first());
    bearer.is_some_and(|bearer| bearer.name == container)
}
