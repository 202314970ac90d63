//! What a task is worth at an instant: the one reading of records and statuses that all decisions share.

use std::time::Duration;

use crate::model::{
    ClusterSpec, DesiredStatus, HealthStatus, LastStatus, TaskRecord, TaskSpec, TaskStatus,
    Timestamp,
};

/// A task as a plan sees it.
#[derive(Debug, Clone, Copy)]
pub struct TaskView<'a> {
    /// As ordered.
    pub record: &'a TaskRecord,
    /// As its agent reported it; `None` until it first does.
    pub status: Option<&'a TaskStatus>,
    /// When it was given up with its instance, if it was: it counts as gone.
    pub lost: Option<Timestamp>,
    /// What it runs; `None` when the store has lost it.
    pub spec: Option<&'a TaskSpec>,
    /// Until when it may not be chosen to go, if that was asked for.
    pub protected_until: Option<Timestamp>,
}

/// Where a task stands for its service, from least to most useful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// STOPPED, or lost: nothing of it exists.
    Gone,
    /// Ordered to stop; its containers may exist.
    Ordered,
    /// Ending by itself; its containers may exist.
    Ending,
    /// Not RUNNING yet.
    Starting,
    /// RUNNING, and its health check says no.
    Unhealthy,
    /// RUNNING, and too early to say.
    Warming,
    /// RUNNING and counted healthy (semantics §4.19).
    Healthy,
}

impl Phase {
    /// Whether its containers may still exist: such tasks count towards `maximumPercent`.
    pub fn exists(self) -> bool {
        self != Self::Gone
    }

    /// On its way out, whoever wanted it.
    pub fn leaves(self) -> bool {
        matches!(self, Self::Ordered | Self::Ending)
    }

    /// RUNNING, and as far as is known it works.
    pub fn serves(self) -> bool {
        matches!(self, Self::Warming | Self::Healthy)
    }
}

/// The rules by which health is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge {
    /// Time after RUNNING until a task without a health check counts as healthy.
    pub healthy_after: Duration,
    /// Time after RUNNING during which an unhealthy verdict is ignored.
    pub grace: Duration,
    pub now: Timestamp,
}

impl Judge {
    pub fn new(cluster: &ClusterSpec, grace_seconds: u32, now: Timestamp) -> Self {
        Self {
            healthy_after: Duration::from_secs(u64::from(cluster.healthy_after)),
            grace: Duration::from_secs(u64::from(grace_seconds)),
            now,
        }
    }

    /// Where `task` stands, and when time alone will next change that.
    pub fn phase(&self, task: &TaskView<'_>) -> (Phase, Option<Timestamp>) {
        let Some(status) = task.status else {
            let phase = match task.record.desired {
                _ if task.lost.is_some() => Phase::Gone,
                DesiredStatus::Running => Phase::Starting,
                DesiredStatus::Stopped => Phase::Ordered,
            };
            return (phase, None);
        };
        if task.lost.is_some() || status.is_stopped() {
            return (Phase::Gone, None);
        }
        if task.record.desired == DesiredStatus::Stopped {
            return (Phase::Ordered, None);
        }
        let ends = status.last_status > LastStatus::Running
            || status.execution_stopped_at.is_some()
            || status.stop_code.is_some();
        if ends {
            return (Phase::Ending, None);
        }
        if status.last_status < LastStatus::Running {
            return (Phase::Starting, None);
        }
        self.running(task, status)
    }

    fn running(&self, task: &TaskView<'_>, status: &TaskStatus) -> (Phase, Option<Timestamp>) {
        let started = status.started_at.unwrap_or(task.record.created_at);
        let wait = |until: Timestamp| (self.now < until).then_some(until);
        if !has_check(task, status) {
            return match wait(started.plus(self.healthy_after)) {
                Some(until) => (Phase::Warming, Some(until)),
                None => (Phase::Healthy, None),
            };
        }
        match status.health {
            HealthStatus::Healthy => (Phase::Healthy, None),
            HealthStatus::Unknown => (Phase::Warming, None),
            HealthStatus::Unhealthy => match wait(started.plus(self.grace)) {
                Some(until) => (Phase::Warming, Some(until)),
                None => (Phase::Unhealthy, None),
            },
        }
    }

    /// Whether `task` has ever been counted healthy.
    pub fn was_healthy(&self, task: &TaskView<'_>) -> bool {
        self.healthy_since(task).is_some()
    }

    /// When `task` was first counted healthy, by its agent's clock.
    pub fn healthy_since(&self, task: &TaskView<'_>) -> Option<Timestamp> {
        let status = task.status?;
        if has_check(task, status) {
            let now = (status.health == HealthStatus::Healthy).then_some(self.now);
            return status.healthy_at.or(now);
        }
        let end = status
            .execution_stopped_at
            .or(status.stopping_at)
            .or(status.stopped_at)
            .unwrap_or(self.now);
        status
            .started_at
            .filter(|started| end.since(*started) >= self.healthy_after)
            .map(|started| started.plus(self.healthy_after))
    }
}

/// Where `task` stands at `now`, as every plan judges it: a task without a health check counts as healthy `healthy_after` seconds
/// after RUNNING, an unhealthy verdict is ignored for `grace` seconds.
pub fn standing(task: &TaskView<'_>, healthy_after: u32, grace: u32, now: Timestamp) -> Phase {
    let judge = Judge {
        healthy_after: Duration::from_secs(u64::from(healthy_after)),
        grace: Duration::from_secs(u64::from(grace)),
        now,
    };
    judge.phase(task).0
}

/// Whether health checks decide about `task`. Where its specification is lost, a verdict shows that it has one.
fn has_check(task: &TaskView<'_>, status: &TaskStatus) -> bool {
    task.spec.map_or(
        status.health != HealthStatus::Unknown || status.healthy_at.is_some(),
        TaskSpec::has_health_check,
    )
}
