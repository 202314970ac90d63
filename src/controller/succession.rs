//! One deployment after another: which is PRIMARY, what becomes of the one before, and their ids.

use super::breaker;
use super::events;
use super::plan::Draft;
use super::service::primary_mut;
use super::target::{Target, Why};
use crate::model::{
    BlockedRevision, Deployment, DeploymentId, DeploymentStatus, EventLevel, EventName, Rollback,
    RolloutState, ServiceDeploymentStatus, hex_sha256,
};

/// Makes `target` PRIMARY, if it is not.
pub(super) fn make_primary(draft: &mut Draft<'_>, target: Target) {
    let now = draft.input.now;
    let again = |deployment: &Deployment| {
        deployment.runs(&target.spec, target.generation)
            && deployment.rollout != RolloutState::Failed
    };
    if let Some(primary) = primary_mut(&mut draft.record)
        && again(primary)
    {
        if primary.revision != target.revision {
            primary.revision = target.revision;
        }
        return;
    }
    // A revert finds the deployment it reverts to, so its tasks stay what they are.
    let known = draft.record.deployments.iter().position(again);
    let known = known.map(|at| draft.record.deployments.remove(at));
    let id = deployment_for(draft, &target, known.as_ref());
    let images = match known {
        Some(known) if target.images.is_empty() => known.images,
        _ => target.images.clone(),
    };
    let from = failed_from(draft, target.why);
    let reason = match from {
        None => events::in_progress(&id),
        Some(_) => events::rolling_back_to(&id),
    };
    let primary = Deployment {
        id,
        status: DeploymentStatus::Primary,
        revision: target.revision.clone(),
        spec: target.spec.clone(),
        generation: target.generation,
        rollout: RolloutState::InProgress,
        rollout_reason: reason,
        desired_count: 0,
        failed_tasks: 0,
        failed_at: None,
        images,
        created_at: now,
        updated_at: now,
    };
    let old = draft.record.primary().cloned();
    if let Some(old) = &old {
        retire(draft, old, &primary);
    }
    if target.why == Why::Undo
        && let Some(old) = old
            .as_ref()
            .filter(|old| old.rollout == RolloutState::InProgress)
    {
        take_back(draft, old, &primary);
    }
    announce(draft, &primary, old.as_ref(), from);
    // What failed and is tried again is another deployment, and its tasks are that one's.
    draft
        .record
        .deployments
        .retain(|other| !other.runs(&primary.spec, primary.generation));
    draft.record.deployments.insert(0, primary);
    draft.record.steady = false;
}

/// The id of the deployment of `target`: going back from a failure takes up the one that was completed; whatever else was over
/// before begins as another one.
fn deployment_for(
    draft: &mut Draft<'_>,
    target: &Target,
    known: Option<&Deployment>,
) -> DeploymentId {
    let record = &draft.record;
    let over = |id: &DeploymentId| record.history.iter().any(|ended| ended.id == *id);
    let used = |id: &DeploymentId| record.deployments.iter().any(|d| d.id == *id);
    let completed = record
        .last_completed
        .as_ref()
        .filter(|completed| {
            completed.spec == target.spec && completed.generation == target.generation
        })
        .map(|completed| &completed.id);
    let found = match target.why {
        Why::Rollback => known
            .map(|known| &known.id)
            .or(completed.filter(|id| !used(id))),
        Why::Folder | Why::Undo => known.map(|known| &known.id).filter(|id| !over(id)),
    };
    match found.cloned() {
        Some(id) => id,
        None => fresh_id(draft),
    }
}

/// The deployment that was PRIMARY is an older one from now on.
fn retire(draft: &mut Draft<'_>, old: &Deployment, by: &Deployment) {
    let now = draft.input.now;
    let serving = draft.count(|seen| seen.serves() && old.owns(seen.view.record));
    let superseded = events::superseded(&old.id, &by.id);
    if old.rollout == RolloutState::InProgress {
        let stopped = ServiceDeploymentStatus::Stopped;
        if !breaker::end_rollback(draft, old, stopped) {
            let ended = breaker::ended(old, stopped, superseded.clone(), now);
            draft.record.remember(ended);
        }
    }
    if let Some(old) = primary_mut(&mut draft.record) {
        old.status = DeploymentStatus::Active;
        old.desired_count = match old.rollout {
            RolloutState::Failed => 0,
            _ => serving,
        };
        old.updated_at = now;
        if old.rollout == RolloutState::InProgress {
            old.rollout_reason = superseded;
        }
    }
}

/// What is gone back from with the next deployment, if that is why there is one. What was gone back from already stays so: then it is
/// what runs in its place that is restarted.
fn failed_from(draft: &Draft<'_>, why: Why) -> Option<BlockedRevision> {
    let failed = draft
        .record
        .blocked
        .last()
        .filter(|_| why == Why::Rollback)?;
    let mut history = draft.record.history.iter();
    let row = history.find(|ended| ended.id == failed.deployment);
    let done = row.is_some_and(|ended| ended.status == ServiceDeploymentStatus::RollbackSuccessful);
    (!done).then(|| failed.clone())
}

/// Somebody goes back from a deployment that was under way: it is over when that is (ECS `ROLLBACK_IN_PROGRESS`).
fn take_back(draft: &mut Draft<'_>, old: &Deployment, primary: &Deployment) {
    let now = draft.input.now;
    let asked = draft.overrides.undo.as_ref().map(|undo| undo.asked.clone());
    let mut history = draft.record.history.iter_mut();
    let row = history.find(|ended| ended.id == old.id && ended.rollback.is_none());
    if let (Some(row), Some(asked)) = (row, asked) {
        row.status = ServiceDeploymentStatus::RollbackInProgress;
        row.rollback = Some(Rollback {
            to: primary.id.clone(),
            revision: primary.revision.clone(),
            reason: events::taken_back_to(&primary.id, &asked),
            at: now,
        });
    }
}

/// Says that a deployment begins, and in place of which.
fn announce(
    draft: &mut Draft<'_>,
    primary: &Deployment,
    old: Option<&Deployment>,
    from: Option<BlockedRevision>,
) {
    let now = draft.input.now;
    let service = draft.input.service;
    if let Some(failed) = from {
        let message = events::rolls_back(service, &failed, &primary.id, &primary.revision);
        let name = EventName::ServiceDeploymentInProgress;
        draft.say_as(name, EventLevel::Warn, message);
        let mut history = draft.record.history.iter_mut();
        if let Some(ended) = history.find(|ended| ended.id == failed.deployment) {
            ended.status = ServiceDeploymentStatus::RollbackInProgress;
            ended.rollback = Some(Rollback {
                to: primary.id.clone(),
                revision: primary.revision.clone(),
                reason: events::rolling_back_to(&primary.id),
                at: now,
            });
        }
        return;
    }
    let replaces = old.map_or_else(String::new, |old| format!(", replacing {}", old.revision));
    let message = format!(
        "(service {service}) (deployment {}) deployment in progress: {}{replaces}.",
        primary.id, primary.revision
    );
    let name = EventName::ServiceDeploymentInProgress;
    draft.say_as(name, EventLevel::Info, message);
}

/// `ecs-svc/` and 19 digits, from the cluster, the service and a counter: unlike any that a task or a deployment has.
pub(super) fn fresh_id(draft: &mut Draft<'_>) -> DeploymentId {
    loop {
        draft.record.deployment_counter = draft.record.deployment_counter.saturating_add(1);
        let id = deployment_id(
            draft.input.cluster.name.as_str(),
            draft.input.service.as_str(),
            draft.record.deployment_counter,
        );
        let known = draft.record.deployments.iter().any(|d| d.id == id)
            || draft
                .seen
                .iter()
                .any(|seen| seen.view.record.deployment.as_ref() == Some(&id));
        if !known {
            return id;
        }
    }
}

pub(super) fn deployment_id(cluster: &str, service: &str, number: u64) -> DeploymentId {
    let hash = hex_sha256(format!("{cluster}/{service}/{number}").as_bytes());
    let bits = hash
        .get(..16)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .unwrap_or(number);
    let low = 1_000_000_000_000_000_000;
    DeploymentId::new(format!("ecs-svc/{}", low + bits % (9 * low)))
}
