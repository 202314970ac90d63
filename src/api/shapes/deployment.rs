//! ECS `ServiceDeployment`, its short form, and `ServiceRevision`.

use serde::Serialize;

use std::collections::BTreeMap;

use crate::model::{
    Deployment, DeploymentId, DeploymentStatus, EndedDeployment, RevisionRef, Rollback,
    RolloutState, ServiceDeploymentStatus, ServiceRecord, SpecHash, Timestamp, arn,
};
use crate::store::State;

use super::service::{DeploymentConfiguration, deployment_counts};
use super::{Epoch, LAUNCH_TYPE};

/// ECS `ServiceDeployment`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct ServiceDeployment {
    pub service_deployment_arn: String,
    pub service_arn: String,
    pub cluster_arn: String,
    pub created_at: Epoch,
    pub started_at: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Epoch>,
    pub updated_at: Epoch,
    pub source_service_revisions: Vec<ServiceRevision>,
    pub target_service_revision: ServiceRevision,
    pub status: &'static str,
    pub status_reason: String,
    pub deployment_configuration: DeploymentConfiguration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackShape>,
    pub deployment_circuit_breaker: CircuitBreakerShape,
}

/// ECS `Rollback`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct RollbackShape {
    pub reason: String,
    pub started_at: Epoch,
    pub service_revision_arn: String,
}

/// ECS `ServiceDeploymentCircuitBreaker`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct CircuitBreakerShape {
    pub status: &'static str,
    pub failure_count: u32,
    pub threshold: u32,
}

/// ECS `ServiceRevision`, as DescribeServiceRevisions answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct ServiceRevisionShape {
    pub service_revision_arn: String,
    pub service_arn: String,
    pub cluster_arn: String,
    pub task_definition: String,
    pub launch_type: &'static str,
    pub container_images: Vec<ContainerImage>,
    pub created_at: Epoch,
}

/// ECS `ContainerImage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct ContainerImage {
    pub container_name: String,
    pub image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
}

/// ECS `ServiceRevisionSummary`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct ServiceRevision {
    pub arn: String,
    pub requested_task_count: u32,
    pub running_task_count: u32,
    pub pending_task_count: u32,
}

/// ECS `ServiceDeploymentBrief`, as ListServiceDeployments answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct ServiceDeploymentBrief {
    pub service_deployment_arn: String,
    pub service_arn: String,
    pub cluster_arn: String,
    pub started_at: Epoch,
    pub created_at: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Epoch>,
    pub target_service_revision_arn: String,
    pub status: &'static str,
    pub status_reason: String,
}

/// A deployment of a service, whether it is under way or over.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    /// Its id.
    pub id: &'a DeploymentId,
    /// When it began.
    pub created_at: Timestamp,
    /// ECS's status.
    pub status: ServiceDeploymentStatus,
    revision: &'a RevisionRef,
    spec: &'a SpecHash,
    images: &'a BTreeMap<String, String>,
    finished_at: Option<Timestamp>,
    updated_at: Timestamp,
    reason: &'a str,
    failed_tasks: u32,
    threshold: Option<u32>,
    rollback: Option<&'a Rollback>,
    /// While there is still something of it.
    live: Option<&'a Deployment>,
}

/// All that are known of a service, newest first.
pub fn all(record: &ServiceRecord) -> Vec<Told<'_>> {
    let live = |id: &DeploymentId| record.deployments.iter().find(|d| d.id == *id);
    let over = record.history.iter().map(|ended| Told {
        live: live(&ended.id),
        ..ended.into()
    });
    let under_way = record
        .deployments
        .iter()
        .filter(|d| !record.history.iter().any(|ended| ended.id == d.id))
        .map(Told::from);
    let mut all: Vec<Told<'_>> = over.chain(under_way).collect();
    all.sort_by_key(|told| std::cmp::Reverse((told.created_at, told.id.as_str())));
    all
}

impl<'a> From<&'a EndedDeployment> for Told<'a> {
    fn from(ended: &'a EndedDeployment) -> Self {
        let rolls = ended.status == ServiceDeploymentStatus::RollbackInProgress;
        Self {
            id: &ended.id,
            created_at: ended.started_at,
            status: ended.status,
            revision: &ended.revision,
            spec: &ended.spec,
            images: &ended.images,
            finished_at: (!rolls).then_some(ended.finished_at),
            updated_at: ended.finished_at,
            reason: &ended.reason,
            failed_tasks: ended.failed_tasks,
            threshold: ended.threshold,
            rollback: ended.rollback.as_ref(),
            live: None,
        }
    }
}

impl<'a> From<&'a Deployment> for Told<'a> {
    fn from(deployment: &'a Deployment) -> Self {
        let status = match (deployment.rollout, deployment.status) {
            (RolloutState::Completed, _) => ServiceDeploymentStatus::Successful,
            (RolloutState::InProgress, DeploymentStatus::Primary) => {
                ServiceDeploymentStatus::InProgress
            }
            (RolloutState::Failed, _) | (RolloutState::InProgress, DeploymentStatus::Active) => {
                ServiceDeploymentStatus::Stopped
            }
        };
        let over = deployment.rollout != RolloutState::InProgress;
        Self {
            id: &deployment.id,
            created_at: deployment.created_at,
            status,
            revision: &deployment.revision,
            spec: &deployment.spec,
            images: &deployment.images,
            finished_at: over.then_some(deployment.updated_at),
            updated_at: deployment.updated_at,
            reason: &deployment.rollout_reason,
            failed_tasks: deployment.failed_tasks,
            threshold: None,
            rollback: None,
            live: Some(deployment),
        }
    }
}

impl Told<'_> {
    fn circuit_breaker(&self, record: &ServiceRecord) -> CircuitBreakerShape {
        let breaker = record.spec.circuit_breaker;
        let now = breaker.map(|breaker| breaker.threshold.tasks(record.spec.desired_count));
        let threshold = self.threshold.or(now);
        let tripped = self.threshold.is_some_and(|most| self.failed_tasks >= most);
        let status = match self.status {
            _ if threshold.is_none() => "DISABLED",
            _ if tripped => "TRIGGERED",
            ServiceDeploymentStatus::InProgress => "MONITORING",
            _ => "MONITORING_COMPLETE",
        };
        CircuitBreakerShape {
            status,
            failure_count: self.failed_tasks,
            threshold: threshold.unwrap_or(0),
        }
    }
}

impl ServiceDeploymentBrief {
    /// In short.
    pub fn of(record: &ServiceRecord, told: &Told<'_>) -> Self {
        let (cluster, name) = (&record.spec.cluster, &record.spec.name);
        Self {
            service_deployment_arn: arn::service_deployment(cluster, name, told.id),
            service_arn: arn::service(cluster, name),
            cluster_arn: arn::cluster(cluster),
            started_at: told.created_at.into(),
            created_at: told.created_at.into(),
            finished_at: told.finished_at.map(Into::into),
            target_service_revision_arn: arn::service_revision(cluster, name, told.id),
            status: told.status.as_str(),
            status_reason: told.reason.to_owned(),
        }
    }
}

impl ServiceDeployment {
    /// At length.
    pub fn of(state: &State, record: &ServiceRecord, told: &Told<'_>, now: Timestamp) -> Self {
        let (cluster, name) = (&record.spec.cluster, &record.spec.name);
        let revision = |id: &DeploymentId, live: Option<&Deployment>| {
            let counts = live.map(|live| deployment_counts(state, record, live, now));
            let (requested, counts) = counts.unwrap_or_default();
            ServiceRevision {
                arn: arn::service_revision(cluster, name, id),
                requested_task_count: requested,
                running_task_count: counts.running,
                pending_task_count: counts.pending,
            }
        };
        Self {
            service_deployment_arn: arn::service_deployment(cluster, name, told.id),
            service_arn: arn::service(cluster, name),
            cluster_arn: arn::cluster(cluster),
            created_at: told.created_at.into(),
            started_at: told.created_at.into(),
            finished_at: told.finished_at.map(Into::into),
            updated_at: told.updated_at.into(),
            source_service_revisions: record
                .deployments
                .iter()
                .filter(|other| other.created_at < told.created_at)
                .map(|other| revision(&other.id, Some(other)))
                .collect(),
            target_service_revision: revision(told.id, told.live),
            status: told.status.as_str(),
            status_reason: told.reason.to_owned(),
            deployment_configuration: DeploymentConfiguration::of(record),
            rollback: told.rollback.map(|rollback| RollbackShape {
                reason: rollback.reason.clone(),
                started_at: rollback.at.into(),
                service_revision_arn: arn::service_revision(cluster, name, &rollback.to),
            }),
            deployment_circuit_breaker: told.circuit_breaker(record),
        }
    }
}

impl ServiceRevisionShape {
    /// What a deployment rolls out, or rolled out.
    pub fn of(state: &State, record: &ServiceRecord, told: &Told<'_>) -> Self {
        let (cluster, name) = (&record.spec.cluster, &record.spec.name);
        let containers = state.specs.get(told.spec).map(|spec| &spec.containers);
        Self {
            service_revision_arn: arn::service_revision(cluster, name, told.id),
            service_arn: arn::service(cluster, name),
            cluster_arn: arn::cluster(cluster),
            task_definition: arn::task_definition(told.revision),
            launch_type: LAUNCH_TYPE,
            container_images: containers
                .into_iter()
                .flatten()
                .map(|container| ContainerImage {
                    container_name: container.name.clone(),
                    image: container.image.clone(),
                    image_digest: told.images.get(&container.name).cloned(),
                })
                .collect(),
            created_at: told.created_at.into(),
        }
    }
}
