//! The deployment circuit breaker (semantics §3b, §4.24–27): counts a deployment's failed tasks, and gives it up when there
//! are too many.
//!
//! A failed task is one that ended by itself, or was stopped because its health check fails, before it was ever counted
//! healthy; what decides are the times that its agent reported, not whether anybody saw it RUNNING. Each counts once, for the
//! deployment that started it. Tasks that vanished with their instance, or that somebody stopped, do not. Where the manifest has
//! no breaker, they are counted all the same, and nothing comes of it.

use super::events;
use super::observe::Phase;
use super::plan::{Draft, Seen};
use crate::model::{
    BlockedRevision, Deployment, DeploymentStatus, EndedDeployment, EventLevel, EventName,
    RolloutState, SchedulingStrategy, ServiceDeploymentStatus, StopCode, Timestamp,
};

/// When tasks of the PRIMARY deployment became healthy, in order: what sets its count back.
#[derive(Debug, Clone, Default)]
pub(super) struct Recoveries(Vec<Timestamp>);

impl Recoveries {
    pub fn of(draft: &Draft<'_>) -> Self {
        let resets = breaker_of(draft).is_none_or(|breaker| breaker.reset_on_healthy_task);
        let Some(primary) = draft.record.primary().filter(|_| resets) else {
            return Self::default();
        };
        let mut all: Vec<Timestamp> = draft
            .seen
            .iter()
            .filter(|seen| primary.owns(seen.view.record))
            .filter_map(|seen| draft.judge.healthy_since(&seen.view))
            .collect();
        all.sort_unstable();
        Self(all)
    }

    /// Whether a task became healthy after `failed` and not after `until`.
    fn between(&self, failed: Option<Timestamp>, until: Timestamp) -> bool {
        let after = self
            .0
            .partition_point(|at| failed.is_some_and(|f| *at <= f));
        self.0.get(after).is_some_and(|at| *at <= until)
    }
}

fn breaker_of(draft: &Draft<'_>) -> Option<crate::model::CircuitBreaker> {
    draft.input.desired.and_then(|spec| spec.circuit_breaker)
}

/// When a task ended, or was found to be of no use.
pub(super) fn ended_at(draft: &Draft<'_>, seen: &Seen<'_>) -> Timestamp {
    let status = seen.view.status;
    let said = status.and_then(|s| s.execution_stopped_at.or(s.stopping_at).or(s.stopped_at));
    match seen.phase {
        Phase::Gone | Phase::Ending => said.unwrap_or(draft.now()),
        _ => draft.now(),
    }
}

/// Whether the task ended through no fault of its own: with its instance or its engine, or because somebody wanted it to.
pub(super) fn is_no_failure(seen: &Seen<'_>) -> bool {
    let code = seen.view.status.and_then(|status| status.stop_code);
    matches!(
        code,
        Some(
            StopCode::TerminationNotice | StopCode::InfrastructureHealth | StopCode::UserInitiated
        )
    )
}

/// Takes in that a task of a deployment failed, and gives the deployment up if it is one too many.
pub(super) fn count(draft: &mut Draft<'_>, at: usize, why: &str, recoveries: &Recoveries) {
    let seen = &draft.seen[at];
    let (task, ended) = (seen.view.record, ended_at(draft, seen));
    let Some(deployment) = draft.record.deployments.iter_mut().find(|d| d.owns(task)) else {
        return;
    };
    // What was given up is not counted any further, and what an earlier attempt at the same had started says nothing of this one.
    let started = task.deployment.as_ref() == Some(&deployment.id);
    if !started || deployment.rollout == RolloutState::Failed {
        return;
    }
    let primary = deployment.status == DeploymentStatus::Primary;
    if primary && recoveries.between(deployment.failed_at, ended) {
        deployment.failed_tasks = 0;
    }
    deployment.failed_tasks = deployment.failed_tasks.saturating_add(1);
    deployment.failed_at = deployment.failed_at.max(Some(ended));
    if primary && deployment.rollout == RolloutState::InProgress {
        trip(draft, at, why);
    }
}

/// After all failures were taken in: whether a task has become healthy since the last of them.
pub(super) fn credit(draft: &mut Draft<'_>, recoveries: &Recoveries) {
    let now = draft.now();
    if let Some(primary) = primary_mut(draft)
        && primary.failed_tasks > 0
        && primary.rollout != RolloutState::Failed
        && recoveries.between(primary.failed_at, now)
    {
        primary.failed_tasks = 0;
    }
}

/// How many failed tasks are too many for the PRIMARY deployment.
pub(super) fn threshold(draft: &Draft<'_>) -> Option<u32> {
    let spec = draft.input.desired?;
    let breaker = spec.circuit_breaker?;
    let desired = match spec.scheduling {
        SchedulingStrategy::Replica => spec.desired_count,
        SchedulingStrategy::Daemon => draft.record.primary()?.desired_count,
    };
    Some(breaker.threshold.tasks(desired))
}

fn trip(draft: &mut Draft<'_>, at: usize, why: &str) {
    let Some(threshold) = threshold(draft).filter(|_| !draft.paused()) else {
        return;
    };
    let Some(primary) = draft.record.primary().cloned() else {
        return;
    };
    if primary.failed_tasks < threshold {
        return;
    }
    let now = draft.now();
    if let Some(primary) = primary_mut(draft) {
        primary.rollout = RolloutState::Failed;
        primary.rollout_reason = events::breaker_tripped();
        primary.desired_count = 0;
        primary.updated_at = now;
    }
    let status = draft.seen[at].view.status;
    forget_older(draft, &primary);
    draft.record.blocked.push(BlockedRevision {
        basis: draft.basis.clone(),
        deployment: primary.id.clone(),
        revision: primary.revision.clone(),
        spec: primary.spec.clone(),
        generation: primary.generation,
        failed_tasks: primary.failed_tasks,
        task: Some(draft.seen[at].id().clone()),
        reason: why.to_owned(),
        last_log_lines: status.map(|s| s.last_log_lines.clone()).unwrap_or_default(),
        at: now,
    });
    // What this plan had ordered of it before is not recorded yet.
    draft.take_starts_back(&primary.id);
    let message = events::deployment_failed(draft.input.service, &primary, threshold, why);
    draft.say_as(
        EventName::ServiceDeploymentFailed,
        EventLevel::Error,
        message,
    );
    if !end_rollback(draft, &primary, ServiceDeploymentStatus::RollbackFailed) {
        let ended = EndedDeployment {
            threshold: Some(threshold),
            ..ended(
                &primary,
                ServiceDeploymentStatus::Stopped,
                events::breaker_tripped_by(primary.failed_tasks, why),
                now,
            )
        };
        draft.record.remember(ended);
    }
    draft.record.steady = false;
}

/// Earlier generations of what failed are wanted no more, but for those that can be gone back to: one that is restarted again and
/// again is remembered once.
fn forget_older(draft: &mut Draft<'_>, failed: &Deployment) {
    let completed = draft.record.last_completed.as_ref();
    let completed = completed.map(|completed| completed.generation);
    let undo = draft.overrides.undo.as_ref().map(|undo| undo.generation);
    draft.record.blocked.retain(|known| {
        let kept = [completed, undo].contains(&Some(known.generation));
        known.spec != failed.spec || known.generation > failed.generation || kept
    });
}

/// What the task wrote whose end was one too many is known a moment after its end.
pub(super) fn hear_last_words(draft: &mut Draft<'_>) {
    for blocked in &mut draft.record.blocked {
        if !blocked.last_log_lines.is_empty() {
            continue;
        }
        let seen = draft
            .seen
            .iter()
            .find(|seen| blocked.task.as_ref() == Some(seen.id()));
        if let Some(status) = seen.and_then(|seen| seen.view.status) {
            blocked.last_log_lines.clone_from(&status.last_log_lines);
        }
    }
}

/// What is remembered of a deployment that is over now.
pub(super) fn ended(
    deployment: &Deployment,
    status: ServiceDeploymentStatus,
    reason: String,
    now: Timestamp,
) -> EndedDeployment {
    EndedDeployment {
        id: deployment.id.clone(),
        revision: deployment.revision.clone(),
        spec: deployment.spec.clone(),
        generation: deployment.generation,
        images: deployment.images.clone(),
        started_at: deployment.created_at,
        finished_at: now,
        status,
        reason,
        failed_tasks: deployment.failed_tasks,
        threshold: None,
        rollback: None,
    }
}

/// Where `deployment` is what a failed one goes back to: that is over now. Returns whether it was.
pub(super) fn end_rollback(
    draft: &mut Draft<'_>,
    deployment: &Deployment,
    status: ServiceDeploymentStatus,
) -> bool {
    let now = draft.now();
    let under_way = draft.record.history.iter_mut().find(|ended| {
        ended.status == ServiceDeploymentStatus::RollbackInProgress
            && ended
                .rollback
                .as_ref()
                .is_some_and(|to| to.to == deployment.id)
    });
    let Some(failed) = under_way else {
        return false;
    };
    failed.status = status;
    failed.finished_at = now;
    true
}

fn primary_mut<'d>(draft: &'d mut Draft<'_>) -> Option<&'d mut Deployment> {
    let mut all = draft.record.deployments.iter_mut();
    all.find(|d| d.status == DeploymentStatus::Primary)
}
