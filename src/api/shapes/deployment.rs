//! ECS `ServiceDeployment` and its short form.

use serde::Serialize;

use crate::model::{Deployment, DeploymentStatus, RolloutState, ServiceRecord, Timestamp, arn};
use crate::store::State;

use super::Epoch;
use super::service::{DeploymentConfiguration, deployment_counts};

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

/// ECS's status of a service deployment. One that a newer one replaced before it was done was stopped.
pub fn status(deployment: &Deployment) -> &'static str {
    match (deployment.rollout, deployment.status) {
        (RolloutState::Completed, _) => "SUCCESSFUL",
        (RolloutState::InProgress, DeploymentStatus::Primary) => "IN_PROGRESS",
        (RolloutState::Failed, _) | (RolloutState::InProgress, DeploymentStatus::Active) => {
            "STOPPED"
        }
    }
}

fn finished_at(deployment: &Deployment) -> Option<Epoch> {
    (deployment.rollout != RolloutState::InProgress).then(|| deployment.updated_at.into())
}

impl ServiceDeploymentBrief {
    /// In short.
    pub fn of(record: &ServiceRecord, deployment: &Deployment) -> Self {
        let (cluster, name) = (&record.spec.cluster, &record.spec.name);
        Self {
            service_deployment_arn: arn::service_deployment(cluster, name, &deployment.id),
            service_arn: arn::service(cluster, name),
            cluster_arn: arn::cluster(cluster),
            started_at: deployment.created_at.into(),
            created_at: deployment.created_at.into(),
            finished_at: finished_at(deployment),
            target_service_revision_arn: arn::service_revision(cluster, name, &deployment.id),
            status: status(deployment),
            status_reason: deployment.rollout_reason.clone(),
        }
    }
}

impl ServiceDeployment {
    /// At length.
    pub fn of(
        state: &State,
        record: &ServiceRecord,
        deployment: &Deployment,
        now: Timestamp,
    ) -> Self {
        let (cluster, name) = (&record.spec.cluster, &record.spec.name);
        let revision = |deployment: &Deployment| {
            let (requested, counts) = deployment_counts(state, record, deployment, now);
            ServiceRevision {
                arn: arn::service_revision(cluster, name, &deployment.id),
                requested_task_count: requested,
                running_task_count: counts.running,
                pending_task_count: counts.pending,
            }
        };
        Self {
            service_deployment_arn: arn::service_deployment(cluster, name, &deployment.id),
            service_arn: arn::service(cluster, name),
            cluster_arn: arn::cluster(cluster),
            created_at: deployment.created_at.into(),
            started_at: deployment.created_at.into(),
            finished_at: finished_at(deployment),
            updated_at: deployment.updated_at.into(),
            source_service_revisions: record
                .deployments
                .iter()
                .filter(|other| other.created_at < deployment.created_at)
                .map(revision)
                .collect(),
            target_service_revision: revision(deployment),
            status: status(deployment),
            status_reason: deployment.rollout_reason.clone(),
            deployment_configuration: DeploymentConfiguration::of(record),
        }
    }
}
