//! A service: its percentages, how it is rolled out, and where its tasks are placed.

use std::collections::BTreeMap;

use super::{cluster_reference, definition_reference, tags};
use crate::manifest::types as raw;
use crate::model::{
    BinpackField, CircuitBreaker, EarlySuccess, PlacementConstraint, PlacementStrategy,
    ProviderShare, Query, SchedulingStrategy, ServiceName, ServiceSpec, SpreadField, Threshold,
    ceil_percent, floor_percent,
};

/// A service's percentages with ECS's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentages {
    /// `minimumHealthyPercent`.
    pub minimum: u32,
    /// `maximumPercent`.
    pub maximum: u32,
}

impl Percentages {
    /// Those of a service.
    pub fn of(service: &raw::Service) -> Self {
        let (minimum, maximum) = match service.scheduling_strategy {
            Some(raw::SchedulingStrategy::Daemon) => (0, 100),
            _ => (100, 200),
        };
        let written = service.deployment_configuration.as_ref();
        Self {
            minimum: written
                .and_then(|d| d.minimum_healthy_percent)
                .unwrap_or(minimum),
            maximum: written.and_then(|d| d.maximum_percent).unwrap_or(maximum),
        }
    }

    /// The fewest healthy tasks of `desired`.
    pub fn floor(self, desired: u32) -> u32 {
        ceil_percent(desired, self.minimum)
    }

    /// The most tasks of `desired`.
    pub fn cap(self, desired: u32) -> u32 {
        floor_percent(desired, self.maximum)
    }

    /// Whether a rollout may start a task before it stops one.
    pub fn can_start(self, desired: u32) -> bool {
        self.cap(desired) > desired
    }

    /// Whether a rollout may stop a task before it starts one.
    pub fn can_stop(self, desired: u32) -> bool {
        self.floor(desired) < desired
    }

    /// The greatest `minimumHealthyPercent` that lets one of `desired` tasks stop first.
    pub fn stop_one_first(desired: u32) -> u32 {
        let desired = u64::from(desired.max(1));
        u32::try_from((desired - 1) * 100 / desired).unwrap_or(0)
    }

    /// The least `maximumPercent` that lets one task more than `desired` start.
    pub fn start_one_first(desired: u32) -> u32 {
        let desired = u64::from(desired.max(1));
        u32::try_from(((desired + 1) * 100).div_ceil(desired)).unwrap_or(200)
    }
}

/// A capacity provider strategy.
pub fn shares(strategy: &[raw::CapacityProviderStrategyItem]) -> Vec<ProviderShare> {
    strategy
        .iter()
        .map(|item| ProviderShare {
            provider: item.capacity_provider.clone(),
            weight: item.weight.unwrap_or(0),
            base: item.base.unwrap_or(0),
        })
        .collect()
}

/// A service; none if it names no task definition.
pub fn service(
    name: ServiceName,
    service: &raw::Service,
    labels: BTreeMap<String, String>,
    manifest_hash: &str,
) -> Option<ServiceSpec> {
    let (family, revision) = definition_reference(service.task_definition.as_deref()?)?;
    let percent = Percentages::of(service);
    let daemon = service.scheduling_strategy == Some(raw::SchedulingStrategy::Daemon);
    Some(ServiceSpec {
        cluster: cluster_reference(service.cluster.as_deref()),
        name,
        family,
        revision,
        desired_count: if daemon {
            0
        } else {
            service.desired_count.unwrap_or(0)
        },
        scheduling: if daemon {
            SchedulingStrategy::Daemon
        } else {
            SchedulingStrategy::Replica
        },
        minimum_healthy_percent: percent.minimum,
        maximum_percent: percent.maximum,
        circuit_breaker: breaker(service),
        early_success: early_success(service, percent),
        health_check_grace_period: service.health_check_grace_period_seconds.unwrap_or(0),
        placement_constraints: service
            .placement_constraints
            .iter()
            .filter_map(
                |constraint| match (constraint.kind?, &constraint.expression) {
                    (raw::PlacementConstraintType::DistinctInstance, _) => {
                        Some(PlacementConstraint::DistinctInstance)
                    }
                    (raw::PlacementConstraintType::MemberOf, Some(expression)) => Some(
                        PlacementConstraint::MemberOf(Query::new(expression.as_str())),
                    ),
                    (raw::PlacementConstraintType::MemberOf, None) => None,
                },
            )
            .collect(),
        zone_rebalancing: !daemon
            && service.availability_zone_rebalancing != Some(raw::Switch::Disabled)
            && spreads_over_zones(service),
        placement_strategy: service
            .placement_strategy
            .iter()
            .filter_map(placement_strategy)
            .collect(),
        capacity_providers: shares(&service.capacity_provider_strategy),
        names_launch_type: service.launch_type.is_some(),
        tags: tags(&service.tags),
        labels,
        enable_execute_command: service.enable_execute_command.unwrap_or(false),
        manifest_hash: manifest_hash.to_owned(),
    })
}

/// The circuit breaker, where it is enabled.
fn breaker(service: &raw::Service) -> Option<CircuitBreaker> {
    let written = service.deployment_configuration.as_ref()?;
    let breaker = written.deployment_circuit_breaker.as_ref()?;
    let threshold = match &breaker.threshold_configuration {
        None => Threshold::default(),
        Some(threshold) => match threshold.kind {
            raw::ThresholdType::Count => Threshold::Count(threshold.value),
            raw::ThresholdType::BoundedPercent => Threshold::BoundedPercent(threshold.value),
            raw::ThresholdType::UnboundedPercent => Threshold::UnboundedPercent(threshold.value),
        },
    };
    breaker.enable.then_some(CircuitBreaker {
        rollback: breaker.rollback,
        reset_on_healthy_task: breaker.reset_on_healthy_task.unwrap_or(true),
        threshold,
    })
}

/// The criteria of early success, where they are enabled.
fn early_success(service: &raw::Service, percent: Percentages) -> Option<EarlySuccess> {
    let written = service.deployment_configuration.as_ref()?;
    let early = written.early_success_criteria.as_ref()?;
    early.enable.then_some(EarlySuccess {
        healthy_percent: early.healthy_percent.unwrap_or(percent.minimum),
        deferred_cleanup: early.source_service_revision_cleanup
            == Some(raw::RevisionCleanup::Deferred),
    })
}

/// What a `spread` strategy's field names; none if that is nothing tasks could be spread over.
pub fn spread_field(text: &str) -> Option<SpreadField> {
    if matches!(text, "instanceId" | "host") {
        return Some(SpreadField::InstanceId);
    }
    let name = text.strip_prefix("attribute:")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./\\".contains(c);
    let good = (1..=128).contains(&name.len()) && name.chars().all(plain);
    good.then(|| SpreadField::Attribute(name.to_owned()))
}

/// Whether availability zones come first in what a service is spread over: by default, or by its strategy.
pub fn spreads_over_zones(service: &raw::Service) -> bool {
    let zone = || SpreadField::Attribute(SpreadField::ZONE.to_owned());
    let first = service.placement_strategy.first();
    first.is_none_or(|first| placement_strategy(first) == Some(PlacementStrategy::Spread(zone())))
}

/// One strategy as written; none if it is not one.
pub fn placement_strategy(strategy: &raw::PlacementStrategy) -> Option<PlacementStrategy> {
    let field = strategy.field.as_deref();
    Some(match strategy.kind? {
        raw::PlacementStrategyType::Random => PlacementStrategy::Random,
        raw::PlacementStrategyType::Spread => PlacementStrategy::Spread(spread_field(field?)?),
        raw::PlacementStrategyType::Binpack => {
            PlacementStrategy::Binpack(BinpackField::parse(field?)?)
        }
    })
}
