//! ECS `Cluster`.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::api::standing::{is_pending, is_running};
use crate::model::{ClusterName, ServiceStatus, arn};
use crate::store::State;

use super::{CapacityProviderStrategyItem, Empty, KeyValue, Tag, strategy, tags};

/// ECS `Cluster`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the members are ECS's own, and documented there"
)]
pub struct Cluster {
    pub cluster_arn: String,
    pub cluster_name: String,
    pub status: &'static str,
    pub registered_container_instances_count: usize,
    pub running_tasks_count: usize,
    pub pending_tasks_count: usize,
    pub active_services_count: usize,
    pub statistics: Vec<KeyValue>,
    pub tags: Vec<Tag>,
    pub settings: Empty,
    pub capacity_providers: Vec<String>,
    pub default_capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
}

/// What of a cluster was asked for beyond its counts (`include`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Include {
    /// `STATISTICS`
    pub statistics: bool,
    /// `TAGS`
    pub tags: bool,
}

/// Every cluster that is known, by name; `default` exists without a manifest, as on ECS.
pub fn names(state: &State) -> BTreeSet<ClusterName> {
    let mut names: BTreeSet<ClusterName> = state.clusters.keys().cloned().collect();
    names.insert(ClusterName::default());
    names.extend(state.services.keys().map(|(cluster, _)| cluster.clone()));
    names.extend(state.instances.keys().map(|(cluster, _)| cluster.clone()));
    names
}

impl Cluster {
    /// A cluster as ECS describes it.
    pub fn of(state: &State, name: &ClusterName, include: Include) -> Self {
        let spec = state.clusters.get(name);
        let tasks = || state.tasks_of_cluster(name).map(|(_, task)| task);
        let services = |status: ServiceStatus| {
            state
                .services_of_cluster(name)
                .filter(|(_, service)| service.status == status)
                .count()
        };
        let running = tasks().filter(|task| is_running(task)).count();
        let pending = tasks().filter(|task| is_pending(task)).count();
        let active = services(ServiceStatus::Active);
        let statistic = |name: &str, value: usize| KeyValue {
            name: name.to_owned(),
            value: value.to_string(),
        };
        Self {
            cluster_arn: arn::cluster(name),
            cluster_name: name.to_string(),
            status: "ACTIVE",
            registered_container_instances_count: state
                .instances_of_cluster(name)
                .filter(|(_, entry)| entry.instance.is_some())
                .count(),
            running_tasks_count: running,
            pending_tasks_count: pending,
            active_services_count: active,
            statistics: if include.statistics {
                vec![
                    statistic("runningEC2TasksCount", running),
                    statistic("runningFargateTasksCount", 0),
                    statistic("pendingEC2TasksCount", pending),
                    statistic("pendingFargateTasksCount", 0),
                    statistic("activeEC2ServiceCount", active),
                    statistic("activeFargateServiceCount", 0),
                    statistic("drainingEC2ServiceCount", services(ServiceStatus::Draining)),
                    statistic("drainingFargateServiceCount", 0),
                ]
            } else {
                Vec::new()
            },
            tags: match spec {
                Some(spec) if include.tags => tags(&spec.tags),
                _ => Vec::new(),
            },
            settings: Empty,
            capacity_providers: spec.map_or_else(Vec::new, |spec| spec.capacity_providers.clone()),
            default_capacity_provider_strategy: spec
                .map_or_else(Vec::new, |spec| strategy(&spec.default_strategy)),
        }
    }
}
