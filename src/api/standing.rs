//! Where tasks are in their lives, and how many of some are running, pending and healthy. Pure functions of the state and the
//! time.

use crate::controller::{Phase as Standing, TaskView, standing};
use crate::model::{
    ClusterSpec, DesiredStatus, HealthStatus, LastStatus, SchedulingStrategy, ServiceRecord,
    ServiceStatus, Timestamp,
};
use crate::store::{State, TaskEntry};

/// The health of what may have ended: that it was healthy once says nothing of it now. That it was not may be why it ended.
pub const fn health(reported: HealthStatus, stopped: bool) -> HealthStatus {
    match reported {
        HealthStatus::Healthy if stopped => HealthStatus::Unknown,
        reported => reported,
    }
}

/// Whether a task counts as healthy, as the controller judges it (semantics §4.19).
pub fn is_healthy(state: &State, task: &TaskEntry, now: Timestamp) -> bool {
    let record = &task.record;
    let view = TaskView {
        record,
        status: task.status.as_ref().map(|status| &*status.value),
        lost: task.lost.as_ref().map(|lost| lost.at),
        spec: state.specs.get(&record.spec).map(AsRef::as_ref),
        protected_until: None,
    };
    let healthy_after = state
        .clusters
        .get(&record.cluster)
        .map_or(ClusterSpec::HEALTHY_AFTER, |spec| spec.healthy_after);
    let grace = record
        .service
        .as_ref()
        .and_then(|name| state.service(&record.cluster, name))
        .map_or(0, |service| service.spec.health_check_grace_period);
    standing(&view, healthy_after, grace, now) == Standing::Healthy
}

/// Whether it counts into ECS's `runningCount`.
pub fn is_running(task: &TaskEntry) -> bool {
    task.lost.is_none()
        && task
            .status
            .as_ref()
            .is_some_and(|status| status.last_status == LastStatus::Running)
}

/// Whether it counts into ECS's `pendingCount`: ordered to run and not there yet.
pub fn is_pending(task: &TaskEntry) -> bool {
    task.lost.is_none()
        && task.record.desired == DesiredStatus::Running
        && last_status(task) < LastStatus::Running
}

/// Where a task is in its life; PROVISIONING until its agent says more, STOPPED when it was given up with its instance.
pub fn last_status(task: &TaskEntry) -> LastStatus {
    if task.lost.is_some() {
        return LastStatus::Stopped;
    }
    task.status
        .as_ref()
        .map_or(LastStatus::Provisioning, |status| status.last_status)
}

/// What is wanted of a task; one that is over is wanted stopped, as on ECS.
pub fn desired_status(task: &TaskEntry) -> DesiredStatus {
    if last_status(task) == LastStatus::Stopped {
        return DesiredStatus::Stopped;
    }
    task.record.desired
}

/// How many tasks a service is to have: its count, or for a DAEMON what its newest deployment found instances for. 0 once it
/// was removed from the folder.
pub fn desired_count(record: &ServiceRecord) -> u32 {
    if record.status != ServiceStatus::Active {
        return 0;
    }
    match record.spec.scheduling {
        SchedulingStrategy::Replica => record.spec.desired_count,
        SchedulingStrategy::Daemon => record.primary().map_or(0, |d| d.desired_count),
    }
}

/// How many tasks of some are running, pending and healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// [`is_running`]
    pub running: u32,
    /// [`is_pending`]
    pub pending: u32,
    /// [`is_healthy`]
    pub healthy: u32,
}

impl Counts {
    /// Counts tasks.
    pub fn of<'a>(
        state: &State,
        tasks: impl Iterator<Item = &'a TaskEntry>,
        now: Timestamp,
    ) -> Self {
        tasks.fold(Self::default(), |mut counts, task| {
            counts.running += u32::from(is_running(task));
            counts.pending += u32::from(is_pending(task));
            counts.healthy += u32::from(is_healthy(state, task, now));
            counts
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_stopped_is_not_healthy_any_more_but_may_have_stopped_for_being_unhealthy() {
        use HealthStatus::{Healthy, Unhealthy, Unknown};
        assert_eq!(
            [health(Healthy, false), health(Healthy, true)],
            [Healthy, Unknown]
        );
        assert_eq!(
            [health(Unhealthy, true), health(Unknown, true)],
            [Unhealthy, Unknown]
        );
    }
}
