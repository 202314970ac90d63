//! ECS `Service`, `Deployment` and `ServiceEvent`.

use serde::Serialize;

use crate::api::standing::{Counts, desired_count};
use crate::model::{
    BinpackField, Deployment as ModelDeployment, DeploymentStatus, PlacementConstraint as Place,
    PlacementStrategy as Strategy, SchedulingStrategy, ServiceRecord, SpreadField, Threshold,
    Timestamp, arn,
};
use crate::store::State;

use super::{CapacityProviderStrategyItem, Empty, Epoch, LAUNCH_TYPE, Tag, strategy, tags};

/// ECS `Service`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct Service {
    pub service_arn: String,
    pub service_name: String,
    pub cluster_arn: String,
    pub load_balancers: Empty,
    pub service_registries: Empty,
    pub status: &'static str,
    pub desired_count: u32,
    pub running_count: u32,
    pub pending_count: u32,
    /// Absent where a capacity provider strategy decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    pub task_definition: String,
    pub deployment_configuration: DeploymentConfiguration,
    pub deployments: Vec<Deployment>,
    pub events: Vec<ServiceEvent>,
    pub created_at: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_service_deployment: Option<String>,
    pub placement_constraints: Vec<PlacementConstraint>,
    pub placement_strategy: Vec<PlacementStrategy>,
    pub health_check_grace_period_seconds: u32,
    pub scheduling_strategy: SchedulingStrategy,
    pub deployment_controller: DeploymentController,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    #[serde(rename = "enableECSManagedTags")]
    pub enable_ecs_managed_tags: bool,
    pub propagate_tags: &'static str,
    pub enable_execute_command: bool,
    pub availability_zone_rebalancing: &'static str,
}

/// ECS `DeploymentConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct DeploymentConfiguration {
    pub maximum_percent: u32,
    pub minimum_healthy_percent: u32,
    pub strategy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_circuit_breaker: Option<DeploymentCircuitBreaker>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_success_criteria: Option<EarlySuccessCriteria>,
}

/// ECS `DeploymentCircuitBreaker`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct DeploymentCircuitBreaker {
    pub enable: bool,
    pub rollback: bool,
    pub reset_on_healthy_task: bool,
    /// `type` and `value`.
    pub threshold_configuration: Threshold,
}

/// ECS `DeploymentEarlySuccessCriteria`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct EarlySuccessCriteria {
    pub enable: bool,
    pub healthy_percent: u32,
    pub source_service_revision_cleanup: &'static str,
}

impl DeploymentConfiguration {
    /// Of a service.
    pub fn of(record: &ServiceRecord) -> Self {
        Self {
            maximum_percent: record.spec.maximum_percent,
            minimum_healthy_percent: record.spec.minimum_healthy_percent,
            strategy: "ROLLING",
            deployment_circuit_breaker: record.spec.circuit_breaker.map(|breaker| {
                DeploymentCircuitBreaker {
                    enable: true,
                    rollback: breaker.rollback,
                    reset_on_healthy_task: breaker.reset_on_healthy_task,
                    threshold_configuration: breaker.threshold,
                }
            }),
            early_success_criteria: record.spec.early_success.map(|early| EarlySuccessCriteria {
                enable: true,
                healthy_percent: early.healthy_percent,
                source_service_revision_cleanup: match early.deferred_cleanup {
                    true => "DEFERRED",
                    false => "BLOCKING",
                },
            }),
        }
    }
}

/// ECS `DeploymentController`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeploymentController {
    /// `ECS`: rolling deployments by the scheduler itself.
    pub r#type: &'static str,
}

/// ECS `PlacementConstraint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlacementConstraint {
    /// `distinctInstance` or `memberOf`.
    pub r#type: &'static str,
    /// Of `memberOf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

/// ECS `PlacementStrategy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlacementStrategy {
    /// `random`, `spread` or `binpack`.
    pub r#type: &'static str,
    /// Not of `random`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl From<&Strategy> for PlacementStrategy {
    fn from(strategy: &Strategy) -> Self {
        let (r#type, field) = match strategy {
            Strategy::Random => ("random", None),
            Strategy::Spread(SpreadField::InstanceId) => ("spread", Some("instanceId".to_owned())),
            Strategy::Spread(SpreadField::Attribute(name)) => {
                ("spread", Some(format!("attribute:{name}")))
            }
            Strategy::Binpack(BinpackField::Cpu) => ("binpack", Some("CPU".to_owned())),
            Strategy::Binpack(BinpackField::Memory) => ("binpack", Some("MEMORY".to_owned())),
        };
        Self { r#type, field }
    }
}

/// ECS `Deployment`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct Deployment {
    pub id: String,
    pub status: DeploymentStatus,
    pub task_definition: String,
    pub desired_count: u32,
    pub pending_count: u32,
    pub running_count: u32,
    pub failed_tasks: u32,
    pub created_at: Epoch,
    pub updated_at: Epoch,
    pub launch_type: &'static str,
    pub rollout_state: &'static str,
    pub rollout_state_reason: String,
}

/// ECS `ServiceEvent`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEvent {
    /// Unique among the service's events.
    pub id: String,
    /// When it was last said.
    pub created_at: Epoch,
    /// The sentence.
    pub message: String,
}

/// The tasks of a deployment: how many are wanted of it, and how many there are.
pub fn deployment_counts(
    state: &State,
    record: &ServiceRecord,
    deployment: &ModelDeployment,
    now: Timestamp,
) -> (u32, Counts) {
    let tasks = state
        .tasks_of_service(&record.spec.cluster, &record.spec.name)
        .map(|(_, task)| task)
        .filter(|task| deployment.owns(&task.record));
    (deployment.desired_count, Counts::of(state, tasks, now))
}

impl Deployment {
    fn of(
        state: &State,
        record: &ServiceRecord,
        deployment: &ModelDeployment,
        now: Timestamp,
    ) -> Self {
        let (desired, counts) = deployment_counts(state, record, deployment, now);
        Self {
            id: deployment.id.to_string(),
            status: deployment.status,
            task_definition: arn::task_definition(&deployment.revision),
            desired_count: desired,
            pending_count: counts.pending,
            running_count: counts.running,
            failed_tasks: deployment.failed_tasks,
            created_at: deployment.created_at.into(),
            updated_at: deployment.updated_at.into(),
            launch_type: LAUNCH_TYPE,
            rollout_state: deployment.rollout.as_str(),
            rollout_state_reason: deployment.rollout_reason.clone(),
        }
    }
}

impl Service {
    /// A service as ECS describes it; its tags only when they were asked for.
    pub fn of(state: &State, record: &ServiceRecord, with_tags: bool, now: Timestamp) -> Self {
        let spec = &record.spec;
        let tasks = state
            .tasks_of_service(&spec.cluster, &spec.name)
            .map(|(_, task)| task);
        let counts = Counts::of(state, tasks, now);
        let primary = record.primary();
        let family_or_revision = || match spec.revision {
            Some(n) => format!("{}:{n}", spec.family),
            None => spec.family.to_string(),
        };
        let events = state.events.get(&(spec.cluster.clone(), spec.name.clone()));
        let asked = &spec.capacity_providers;
        let shares = match (state.clusters.get(&spec.cluster), spec.scheduling) {
            (Some(cluster), SchedulingStrategy::Replica) => {
                cluster.strategy(asked, spec.names_launch_type)
            }
            _ => asked,
        };
        Self {
            service_arn: arn::service(&spec.cluster, &spec.name),
            service_name: spec.name.to_string(),
            cluster_arn: arn::cluster(&spec.cluster),
            load_balancers: Empty,
            service_registries: Empty,
            status: record.status.as_str(),
            desired_count: desired_count(record),
            running_count: counts.running,
            pending_count: counts.pending,
            launch_type: shares.is_empty().then_some(LAUNCH_TYPE),
            capacity_provider_strategy: strategy(shares),
            task_definition: primary
                .map_or_else(family_or_revision, |d| arn::task_definition(&d.revision)),
            deployment_configuration: DeploymentConfiguration::of(record),
            deployments: record
                .deployments
                .iter()
                .map(|d| Deployment::of(state, record, d, now))
                .collect(),
            events: events
                .into_iter()
                .flat_map(|events| events.values().rev())
                .map(|event| ServiceEvent {
                    id: format!("{}/{}/{:020}", event.cluster, event.service, event.seq),
                    created_at: event.last_at.into(),
                    message: event.message.clone(),
                })
                .collect(),
            created_at: record.created_at.into(),
            current_service_deployment: primary
                .map(|d| arn::service_deployment(&spec.cluster, &spec.name, &d.id)),
            placement_constraints: spec
                .placement_constraints
                .iter()
                .map(|constraint| match constraint {
                    Place::DistinctInstance => PlacementConstraint {
                        r#type: "distinctInstance",
                        expression: None,
                    },
                    Place::MemberOf(expression) => PlacementConstraint {
                        r#type: "memberOf",
                        expression: Some(expression.to_string()),
                    },
                })
                .collect(),
            placement_strategy: spec.placement_strategy.iter().map(Into::into).collect(),
            health_check_grace_period_seconds: spec.health_check_grace_period,
            scheduling_strategy: spec.scheduling,
            deployment_controller: DeploymentController { r#type: "ECS" },
            tags: with_tags.then(|| tags(&spec.tags)),
            enable_ecs_managed_tags: false,
            propagate_tags: "NONE",
            enable_execute_command: spec.enable_execute_command,
            availability_zone_rebalancing: match spec.zone_rebalancing {
                true => "ENABLED",
                false => "DISABLED",
            },
        }
    }
}
