//! Enveloped documents: what a manifest says, with a `status` of what came of it. What `get -o yaml` prints and what the tables
//! are made of.
//!
//! A Cluster, TaskDefinition or Service is the document of the folder as it was last accepted, so that what comes out can be
//! put back in; its `status` is ignored there. Tasks, deployments and container instances are declared by nobody and have a
//! status only.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::manifest::export;
use crate::manifest::load::LastGoodDoc;
use crate::model::arn::deployment_number;
use crate::model::{
    ClusterName, Deployment, Family, LastStatus, Resources, RevisionRef, ServiceRecord,
    ServiceStatus, Source, TaskDefinitionRecord, TaskSpec, Timestamp,
};
use crate::store::{LastGoodKey, State, TaskEntry};

use crate::api::conditions::{conditions, held_of, serving_last_good};
use crate::api::context::{HeldResource, InstanceTrouble};
use crate::api::failures::{failure, stopped_because};
use crate::api::kinds::Kind;
use crate::api::shapes;
use crate::api::shapes::service::deployment_counts;
use crate::api::shapes::task::{Overrides, container_status, containers};
use crate::api::standing::{desired_status, health, is_healthy, last_status};
use crate::api::summary::{ServiceSummary, summary};

mod instance;
mod status;

pub use status::{
    ClusterStatus, ContainerStatusDoc, DeploymentStatusDoc, InstanceStatusDoc, ServiceStatusDoc,
    TaskDefinitionStatusDoc, TaskStatusDoc,
};

/// The envelope's `apiVersion`.
pub const API_VERSION: &str = "longshore/v1";

/// A document. `S` is the kind's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<S = Value> {
    /// [`API_VERSION`]
    pub api_version: String,
    /// The kind, as manifests write it.
    pub kind: String,
    /// Its name, and its labels where it has some.
    pub metadata: Metadata,
    /// What was declared; absent where nobody declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Value>,
    /// What came of it.
    pub status: S,
}

/// A document's `metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The name.
    pub name: String,
    /// The user's labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whatever else the manifest has there.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl Metadata {
    fn named(name: impl std::fmt::Display) -> Self {
        Self {
            name: name.to_string(),
            ..Self::default()
        }
    }
}

impl<S: Serialize> Document<S> {
    fn new(kind: Kind, metadata: Metadata, spec: Option<Value>, status: S) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: kind.to_string(),
            metadata,
            spec,
            status,
        }
    }

    fn untyped(self) -> Document {
        Document {
            api_version: self.api_version,
            kind: self.kind,
            metadata: self.metadata,
            spec: self.spec,
            // The statuses are plain data with text keys, which always become JSON.
            status: serde_json::to_value(self.status).unwrap_or_default(),
        }
    }
}

impl Document {
    /// The document with its status read as `S`.
    ///
    /// # Errors
    /// It is of another kind, or of a Longshore that writes it otherwise.
    pub fn typed<S: DeserializeOwned>(self) -> serde_json::Result<Document<S>> {
        Ok(Document {
            api_version: self.api_version,
            kind: self.kind,
            metadata: self.metadata,
            spec: self.spec,
            status: serde_json::from_value(self.status)?,
        })
    }
}

/// Which documents are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only of this cluster.
    pub cluster: Option<ClusterName>,
    /// Stopped tasks, services that are gone and older revisions too.
    pub all: bool,
}

/// The documents of a kind, by cluster and name; tasks and deployments by service, the newest first.
pub fn documents(
    state: &State,
    held: &[HeldResource],
    troubles: &[InstanceTrouble],
    kind: Kind,
    selection: &Selection,
    now: Timestamp,
) -> Vec<Document> {
    let here = |cluster: &ClusterName| selection.cluster.as_ref().is_none_or(|c| c == cluster);
    match kind {
        Kind::Cluster => shapes::cluster::names(state)
            .iter()
            .filter(|name| here(name))
            .map(|name| cluster(state, held, troubles, name).untyped())
            .collect(),
        Kind::Service => state
            .services
            .values()
            .filter(|service| here(&service.spec.cluster))
            .filter(|service| selection.all || service.status != ServiceStatus::Inactive)
            .map(|record| service(state, held, record, now).untyped())
            .collect(),
        Kind::TaskDefinition => {
            let newest = |id: &RevisionRef| {
                state
                    .newest_revision(&id.family)
                    .is_some_and(|record| record.id == *id)
            };
            state
                .revisions
                .values()
                .filter(|record| selection.all || newest(&record.id))
                .map(|record| task_definition(state, held, record, newest(&record.id)).untyped())
                .collect()
        }
        Kind::Task => {
            let mut tasks: Vec<&TaskEntry> = state
                .tasks
                .values()
                .map(AsRef::as_ref)
                .filter(|task| here(&task.record.cluster))
                .filter(|task| {
                    selection.all || last_status(task) < crate::model::LastStatus::Stopped
                })
                .collect();
            tasks.sort_by_key(|task| {
                let record = &task.record;
                (
                    record.cluster.clone(),
                    record.service.clone(),
                    std::cmp::Reverse(record.created_at),
                    record.id.clone(),
                )
            });
            tasks
                .into_iter()
                .map(|entry| task(state, entry, now).untyped())
                .collect()
        }
        Kind::Deployment => state
            .services
            .values()
            .filter(|service| here(&service.spec.cluster))
            .flat_map(|record| {
                record
                    .deployments
                    .iter()
                    .map(|d| deployment(state, record, d, now).untyped())
            })
            .collect(),
        Kind::ContainerInstance => instance::documents(state, troubles, here),
    }
}

fn last_good<'a>(
    state: &'a State,
    kind: Kind,
    cluster: Option<&ClusterName>,
    name: &str,
) -> Option<&'a Value> {
    let key = LastGoodKey {
        kind: kind.to_string(),
        cluster: cluster.cloned(),
        name: name.to_owned(),
    };
    state.last_good.get(&key).map(|stored| &*stored.value)
}

/// Where the folder declares a resource: a manifest's kind, its cluster where the kind has one, its name.
pub fn source_of(
    state: &State,
    kind: &str,
    cluster: Option<&ClusterName>,
    name: &str,
) -> Option<Source> {
    let good = last_good(state, kind.parse().ok()?, cluster, name)?;
    serde_json::from_value(good.get("source")?.clone()).ok()
}

fn source_text(
    state: &State,
    kind: Kind,
    cluster: Option<&ClusterName>,
    name: &str,
) -> Option<String> {
    source_of(state, kind.as_str(), cluster, name).map(|source| source.to_string())
}

/// `metadata` and `spec` of the document as the folder has it.
fn declared(
    state: &State,
    kind: Kind,
    cluster: Option<&ClusterName>,
    name: &str,
) -> Option<(Metadata, Value)> {
    let kept = last_good(state, kind, cluster, name)?;
    let kept: LastGoodDoc = serde_json::from_value(kept.clone()).ok()?;
    let mut document = export::document(&kept, None);
    let metadata = serde_json::from_value(document["metadata"].take()).ok()?;
    Some((metadata, document["spec"].take()))
}

fn cluster(
    state: &State,
    held: &[HeldResource],
    troubles: &[InstanceTrouble],
    name: &ClusterName,
) -> Document<ClusterStatus> {
    let shape = shapes::Cluster::of(state, name, shapes::cluster::Include::default());
    let (metadata, spec) = declared(state, Kind::Cluster, None, name.as_str())
        .unwrap_or_else(|| (Metadata::named(name), json!({})));
    let status = ClusterStatus {
        status: shape.status.to_owned(),
        instances: shape.registered_container_instances_count,
        services: shape.active_services_count,
        running_tasks: shape.running_tasks_count,
        pending_tasks: shape.pending_tasks_count,
        source: source_text(state, Kind::Cluster, None, name.as_str()),
        conditions: held
            .iter()
            .filter(|h| h.kind == "Cluster" && h.name == name.as_str())
            .map(serving_last_good)
            .chain(instance::missing(troubles, name))
            .collect(),
    };
    Document::new(Kind::Cluster, metadata, Some(spec), status)
}

/// One service's document.
pub fn service(
    state: &State,
    held: &[HeldResource],
    record: &ServiceRecord,
    now: Timestamp,
) -> Document<ServiceStatusDoc> {
    let (cluster, name) = (&record.spec.cluster, &record.spec.name);
    let (metadata, spec) = declared(state, Kind::Service, Some(cluster), name.as_str())
        .unwrap_or_else(|| (service_metadata(record), service_spec(record)));
    let s: ServiceSummary = summary(state, record, now);
    let held = held_of(held, cluster, name, record.spec.family.as_str());
    let images = record
        .primary()
        .and_then(|d| state.specs.get(&d.spec))
        .map(|spec| images(spec))
        .unwrap_or_default();
    let status = ServiceStatusDoc {
        cluster: cluster.to_string(),
        conditions: conditions(&s, &held),
        status: s.status,
        phase: s.phase.as_str().to_owned(),
        steady: s.steady,
        desired_count: s.desired,
        running_count: s.running,
        healthy_count: s.healthy,
        pending_count: s.pending,
        task_definition: s.revision,
        images,
        created_at: Some(record.created_at.into()),
        source: source_text(state, Kind::Service, Some(cluster), name.as_str()),
        last_event: s.last_event,
        deployments: record
            .deployments
            .iter()
            .map(|d| deployment(state, record, d, now).status)
            .collect(),
    };
    Document::new(Kind::Service, metadata, Some(spec), status)
}

/// The images of a specification's containers, each once.
fn images(spec: &TaskSpec) -> Vec<String> {
    let mut images: Vec<String> = Vec::new();
    for container in &spec.containers {
        if !images.contains(&container.image) {
            images.push(container.image.clone());
        }
    }
    images
}

fn service_metadata(record: &ServiceRecord) -> Metadata {
    Metadata {
        labels: record.spec.labels.clone(),
        ..Metadata::named(&record.spec.name)
    }
}

/// The manifest of a service whose file is gone: it drains, and people still look at it.
fn service_spec(record: &ServiceRecord) -> Value {
    let spec = &record.spec;
    let mut members = Map::new();
    let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
    set("cluster", json!(spec.cluster));
    set(
        "taskDefinition",
        match spec.revision {
            Some(n) => json!(format!("{}:{n}", spec.family)),
            None => json!(spec.family),
        },
    );
    set("schedulingStrategy", json!(spec.scheduling));
    if spec.scheduling == crate::model::SchedulingStrategy::Replica {
        set("desiredCount", json!(spec.desired_count));
    }
    set(
        "deploymentConfiguration",
        json!({
            "minimumHealthyPercent": spec.minimum_healthy_percent,
            "maximumPercent": spec.maximum_percent,
        }),
    );
    Value::Object(members)
}

fn deployment(
    state: &State,
    record: &ServiceRecord,
    d: &Deployment,
    now: Timestamp,
) -> Document<DeploymentStatusDoc> {
    let (desired, counts) = deployment_counts(state, record, d, now);
    let status = DeploymentStatusDoc {
        cluster: record.spec.cluster.to_string(),
        service: record.spec.name.to_string(),
        id: d.id.to_string(),
        status: match d.status {
            crate::model::DeploymentStatus::Primary => "PRIMARY".to_owned(),
            crate::model::DeploymentStatus::Active => "ACTIVE".to_owned(),
        },
        task_definition: d.revision.to_string(),
        rollout_state: d.rollout.as_str().to_owned(),
        rollout_state_reason: d.rollout_reason.clone(),
        desired_count: desired,
        running_count: counts.running,
        healthy_count: counts.healthy,
        pending_count: counts.pending,
        failed_tasks: d.failed_tasks,
        failed_threshold: record
            .spec
            .circuit_breaker
            .map(|breaker| breaker.threshold.tasks(record.spec.desired_count)),
        digests: d.images.clone(),
        created_at: Some(d.created_at.into()),
        updated_at: Some(d.updated_at.into()),
    };
    let metadata = Metadata::named(format_args!(
        "{}-{}",
        record.spec.name,
        deployment_number(&d.id)
    ));
    Document::new(Kind::Deployment, metadata, None, status)
}

fn task_definition(
    state: &State,
    held: &[HeldResource],
    record: &TaskDefinitionRecord,
    newest: bool,
) -> Document<TaskDefinitionStatusDoc> {
    let family: &Family = &record.id.family;
    let spec = state.specs.get(&record.spec);
    let needed = spec
        .map(|spec| Resources::needed_by(spec))
        .unwrap_or_default();
    let containers = || spec.iter().flat_map(|spec| &spec.containers);
    let status = TaskDefinitionStatusDoc {
        family: family.to_string(),
        revision: record.id.revision,
        newest,
        status: shapes::task_definition::status(record).to_owned(),
        registered_at: Some(record.registered_at.into()),
        spec_hash: record.spec.to_string(),
        source: source_text(state, Kind::TaskDefinition, None, family.as_str()),
        network_mode: spec
            .and_then(|spec| serde_json::to_value(spec.network_mode).ok())
            .and_then(|mode| mode.as_str().map(str::to_owned))
            .unwrap_or_default(),
        cpu: needed.cpu,
        memory: needed.memory,
        containers: containers().map(|c| c.name.clone()).collect(),
        images: spec.map(|spec| images(spec)).unwrap_or_default(),
        conditions: held
            .iter()
            .filter(|h| newest && h.kind == "TaskDefinition" && h.name == family.as_str())
            .map(serving_last_good)
            .collect(),
    };
    let metadata = Metadata {
        labels: record.labels.clone(),
        ..Metadata::named(family)
    };
    let mut input = record.input.clone();
    if let Some(members) = input.as_object_mut() {
        // `metadata.name` says it.
        members.remove("family");
    }
    Document::new(Kind::TaskDefinition, metadata, Some(input), status)
}

fn task(state: &State, entry: &TaskEntry, now: Timestamp) -> Document<TaskStatusDoc> {
    let record = &entry.record;
    let reported = entry.status.as_ref();
    let spec = state.specs.get(&record.spec).map(AsRef::as_ref);
    let stopped = stopped_because(entry);
    let exit_code = exit_code(entry, spec);
    let status = TaskStatusDoc {
        cluster: record.cluster.to_string(),
        id: record.id.to_string(),
        service: record.service.as_ref().map(ToString::to_string),
        group: record.group.clone(),
        deployment: record.deployment.as_ref().map(ToString::to_string),
        started_by: record.started_by().map(str::to_owned),
        overrides: record
            .standalone
            .as_ref()
            .filter(|asked| !asked.overrides.is_empty())
            .and_then(|_| serde_json::to_value(Overrides::of(record)).ok()),
        tags: record
            .standalone
            .as_ref()
            .map(|asked| asked.tags.clone())
            .unwrap_or_default(),
        task_definition: record.revision_ref().to_string(),
        instance: record.instance.to_string(),
        desired_status: match desired_status(entry) {
            crate::model::DesiredStatus::Running => "RUNNING".to_owned(),
            crate::model::DesiredStatus::Stopped => "STOPPED".to_owned(),
        },
        last_status: last_status(entry).as_str().to_owned(),
        health_status: reported
            .map_or("UNKNOWN", |s| health(s.health, s.is_stopped()).as_str())
            .to_owned(),
        healthy: is_healthy(state, entry, now),
        created_at: Some(record.created_at.into()),
        started_at: reported.and_then(|s| s.started_at).map(Into::into),
        protected_until: entry
            .protection
            .as_ref()
            .filter(|protection| protection.holds(now))
            .map(|protection| protection.expires_at.into()),
        stopped_at: reported
            .and_then(|s| s.stopped_at)
            .or(entry.lost.as_ref().map(|lost| lost.at))
            .map(Into::into),
        stop_code: stopped
            .as_ref()
            .and_then(|(code, _)| code.map(|c| c.as_str().to_owned())),
        stopped_reason: stopped.map(|(_, reason)| reason),
        exit_code,
        // A standalone task is there to end.
        failed: failure(entry).is_some() && !(record.service.is_none() && exit_code == Some(0)),
        containers: containers(entry, spec)
            .into_iter()
            .map(|c| {
                let declared = spec.and_then(|spec| spec.container(&c.name));
                ContainerStatusDoc {
                    image: declared.map(|d| d.image.clone()).unwrap_or_default(),
                    essential: declared.is_none_or(|d| d.essential),
                    last_status: container_status(c.last_status).to_owned(),
                    health_status: health(c.health, c.last_status == LastStatus::Stopped)
                        .as_str()
                        .to_owned(),
                    ports: c
                        .network_bindings
                        .iter()
                        .map(|b| {
                            let host = if b.bind_ip.contains(':') {
                                format!("[{}]", b.bind_ip)
                            } else {
                                b.bind_ip.clone()
                            };
                            let range = |first: u16| match b.count {
                                0 | 1 => first.to_string(),
                                more => format!("{first}-{}", first.saturating_add(more - 1)),
                            };
                            format!(
                                "{host}:{}->{}/{}",
                                range(b.host_port),
                                range(b.container_port),
                                b.protocol.as_str()
                            )
                        })
                        .collect(),
                    name: c.name,
                    image_digest: c.image_digest,
                    exit_code: c.exit_code,
                    reason: c.reason,
                    restart_count: c.restart_count,
                    runtime_id: c.runtime_id,
                    address: c.address,
                }
            })
            .collect(),
        last_log_lines: reported
            .map(|s| s.last_log_lines.clone())
            .unwrap_or_default(),
    };
    let metadata = Metadata::named(&record.id);
    Document::new(Kind::Task, metadata, None, status)
}

/// The exit code of the essential container that ended first: the others ended because it did.
fn exit_code(entry: &TaskEntry, spec: Option<&TaskSpec>) -> Option<i64> {
    let essential = |name: &str| {
        spec.and_then(|spec| spec.container(name))
            .is_none_or(|container| container.essential)
    };
    let status = entry.status.as_ref()?;
    status
        .containers
        .iter()
        .filter(|c| essential(&c.name) && c.exit_code.is_some())
        .min_by_key(|c| (c.finished_at.is_none(), c.finished_at))
        .and_then(|c| c.exit_code)
}
