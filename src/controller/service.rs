//! A service's record through its life: which deployment is PRIMARY, what has failed, when it is steady, how it goes.

use std::collections::BTreeMap;

use super::breaker::{self, Recoveries};
use super::decision::Plan;
use super::observe::Phase;
use super::plan::{Draft, PlanInput, Seen};
use super::succession::{fresh_id, make_primary};
use super::target::{self, Wanted};
use super::{events, instances, retention, throttle};
use crate::model::{
    CompletedDeployment, Deployment, DeploymentId, DeploymentStatus, EndedDeployment, EventLevel,
    EventName, NoticeKind, RolloutState, SchedulingStrategy, ServiceDeploymentStatus,
    ServiceOverrides, ServiceRecord, ServiceSpec, ServiceStatus, StopCode, TaskId, Throttle, basis,
    ceil_percent,
};

/// Brings the record up to what the manifest, and what people asked for on top of it, say: settles what was under way, then makes
/// the wanted revision PRIMARY.
pub(super) fn follow(draft: &mut Draft<'_>, spec: &ServiceSpec) {
    revive(draft);
    adopt(draft);
    let definition = draft
        .input
        .definition
        .filter(|_| draft.input.unregistered.is_none());
    draft.basis = basis(spec, definition.map(|definition| definition.hash));
    take_overrides(draft);
    let wanted = target::wanted(draft, spec, &draft.overrides);
    let supersedes = match &wanted {
        Wanted::Target(target) => draft
            .record
            .primary()
            .is_some_and(|primary| !primary.runs(&target.spec, target.generation)),
        Wanted::AsItIs => false,
    };
    if supersedes {
        settle(draft);
    } else {
        scale_out_old(draft, spec);
    }
    if draft.record.spec != *spec {
        draft.record.spec = spec.clone();
    }
    if let Wanted::Target(target) = wanted {
        make_primary(draft, target);
    }
    if !draft.stands_still() {
        draft.record.paused_at = None;
    }
    let unregistered = draft
        .input
        .unregistered
        .map(|revision| events::unregistered(draft.input.service, revision));
    draft.notice(NoticeKind::Definition, EventLevel::Error, unregistered);
    let about = match draft.record.primary() {
        Some(primary) if primary.generation > 0 => format!(
            "{} {} {}",
            spec.manifest_hash, primary.spec, primary.generation
        ),
        Some(primary) => format!("{} {}", spec.manifest_hash, primary.spec),
        None => spec.manifest_hash.clone(),
    };
    draft.record.throttle.rebase(&about);
}

/// A changed manifest wins over what people asked for before, and over what failed before; what is to be tried again is.
fn take_overrides(draft: &mut Draft<'_>) {
    draft.overrides = draft.overrides.holding(&draft.basis);
    let basis = &draft.basis;
    draft
        .record
        .blocked
        .retain(|blocked| blocked.basis == *basis);
    if draft.overrides.retry.take().is_some() {
        draft.record.blocked.clear();
        draft.record.throttle.clear();
    }
}

/// A service that was removed and stands in the folder again begins anew; what is still stopping goes on stopping.
fn revive(draft: &mut Draft<'_>) {
    if draft.record.status != ServiceStatus::Active {
        let record = &mut draft.record;
        record.status = ServiceStatus::Active;
        record.inactive_at = None;
        record.deployments.clear();
        record.notices.clear();
        record.blocked.clear();
        record.paused_at = None;
        record.throttle = Throttle::default();
        record.steady = false;
        record.created_at = draft.input.now;
    }
}

/// Gives every running task a deployment: after the store was lost, tasks are there that no record speaks of.
fn adopt(draft: &mut Draft<'_>) {
    for at in draft.newest(Seen::stays) {
        let task = draft.seen[at].view.record;
        if draft.record.deployments.iter().any(|d| d.owns(task)) {
            continue;
        }
        let used = |id: &DeploymentId| draft.record.deployments.iter().any(|d| d.id == *id);
        let id = match task.deployment.clone().filter(|id| !used(id)) {
            Some(id) => id,
            None => fresh_id(draft),
        };
        let serving = draft.count(|seen| {
            let other = seen.view.record;
            seen.serves() && other.spec == task.spec && other.generation == task.generation
        });
        draft.record.deployments.push(Deployment {
            rollout_reason: events::in_progress(&id),
            id,
            status: DeploymentStatus::Active,
            revision: task.revision_ref(),
            spec: task.spec.clone(),
            rollout: RolloutState::InProgress,
            desired_count: serving,
            generation: task.generation,
            failed_tasks: 0,
            failed_at: None,
            images: BTreeMap::new(),
            created_at: task.created_at,
            updated_at: draft.input.now,
        });
    }
}

/// Before a newer one takes over: a rollout that has in fact arrived is COMPLETED, so that there is something to roll back
/// to (design §8).
fn settle(draft: &mut Draft<'_>) {
    draft.sort_into_groups();
    let wanted = match draft.record.spec.scheduling {
        SchedulingStrategy::Replica => Some(draft.record.spec.desired_count),
        SchedulingStrategy::Daemon => draft.record.primary().map(|p| p.desired_count),
    };
    if wanted.is_some_and(|wanted| arrived(draft, wanted)) {
        complete(draft);
    }
}

/// More tasks wanted in the middle of a rollout: the revision that serves grows as well (semantics §4.22).
fn scale_out_old(draft: &mut Draft<'_>, spec: &ServiceSpec) {
    let more = spec
        .desired_count
        .saturating_sub(draft.record.spec.desired_count);
    let old = draft.record.deployments.iter_mut().find(|d| {
        d.status == DeploymentStatus::Active
            && d.rollout != RolloutState::Failed
            && d.desired_count > 0
    });
    if let (Some(old), true) = (old, more > 0) {
        old.desired_count = old.desired_count.saturating_add(more);
    }
}

pub(super) fn primary_mut(record: &mut ServiceRecord) -> Option<&mut Deployment> {
    record
        .deployments
        .iter_mut()
        .find(|d| d.status == DeploymentStatus::Primary)
}

/// Takes in the tasks that ended by themselves, each once: counts them, says why, and marks them as over.
pub(super) fn bury(draft: &mut Draft<'_>) {
    tell_of_the_dying(draft);
    let mut ended = draft.newest(Draft::ends_by_itself);
    ended.reverse();
    // In the order in which it happened: what became healthy in between sets the breaker back.
    ended.sort_by_key(|at| breaker::ended_at(draft, &draft.seen[*at]));
    let recoveries = Recoveries::of(draft);
    for at in ended {
        if !draft.has_room() {
            break;
        }
        let seen = &draft.seen[at];
        let (task, status, spec) = (seen.view.record, seen.view.status, seen.view.spec);
        let why = status.map_or_else(String::new, |status| events::end(status, spec));
        if !draft.record.throttle.has_counted(&task.id) {
            let healthy = draft.judge.was_healthy(&seen.view);
            let over = seen.phase == Phase::Gone;
            draft.record.throttle.counted.push(task.id.clone());
            let told = status.filter(|status| over || !status.last_log_lines.is_empty());
            match told {
                Some(status) => {
                    let message = events::died(draft.input.service, task, status, spec);
                    draft.say(EventLevel::Warn, message);
                }
                None => draft.record.dying.push(task.id.clone()),
            }
            count_end(draft, at, healthy, &why, &recoveries);
            let cause = format!("replaces {}: {why}", task.id.short());
            draft.causes.push(cause);
        }
        let code = status
            .and_then(|status| status.stop_code)
            .unwrap_or(StopCode::EssentialContainerExited);
        let reason = status
            .and_then(|status| status.stopped_reason.clone())
            .unwrap_or_else(|| why.clone());
        draft.stop(at, code, reason, format!("ended by itself: {why}"));
    }
    breaker::credit(draft, &recoveries);
    breaker::hear_last_words(draft);
    credit_the_healthy(draft);
}

/// Says why a task ended that was seen ending before all was known about it.
fn tell_of_the_dying(draft: &mut Draft<'_>) {
    let dying = std::mem::take(&mut draft.record.dying);
    if dying.is_empty() {
        return;
    }
    let places: BTreeMap<TaskId, usize> = draft
        .seen
        .iter()
        .enumerate()
        .map(|(at, seen)| (seen.id().clone(), at))
        .collect();
    for id in dying {
        let Some(seen) = places.get(&id).map(|at| &draft.seen[*at]) else {
            continue;
        };
        match seen.view.status {
            Some(status) if seen.phase == Phase::Gone || !status.last_log_lines.is_empty() => {
                let service = draft.input.service;
                let message = events::died(service, seen.view.record, status, seen.view.spec);
                draft.say(EventLevel::Warn, message);
            }
            _ => draft.record.dying.push(id),
        }
    }
}

/// A task that is stopped because its health check fails, and that was never counted healthy, failed like one that ended by
/// itself: else a service that is never healthy would be replaced for ever without a pause (semantics §4.24).
pub(super) fn count_unhealthy(draft: &mut Draft<'_>, at: usize) {
    let view = draft.seen[at].view;
    let id = &view.record.id;
    if !draft.judge.was_healthy(&view) && !draft.record.throttle.has_counted(id) {
        draft.record.throttle.counted.push(id.clone());
        let recoveries = Recoveries::of(draft);
        count_end(
            draft,
            at,
            false,
            "it failed container health checks",
            &recoveries,
        );
    }
}

fn count_end(
    draft: &mut Draft<'_>,
    at: usize,
    was_healthy: bool,
    why: &str,
    recoveries: &Recoveries,
) {
    // It is replaced at once, from its own revision.
    if !was_healthy && breaker::is_no_failure(&draft.seen[at]) {
        return;
    }
    let now = draft.input.now;
    let still = draft.stands_still();
    let task = draft.seen[at].view.record;
    let Some(deployment) = draft.record.deployments.iter_mut().find(|d| d.owns(task)) else {
        return;
    };
    let primary = deployment.status == DeploymentStatus::Primary;
    match (was_healthy, primary) {
        (true, true) => {
            draft.record.throttle.succeed(task.created_at);
        }
        // It is replaced from its own revision (semantics §4.22).
        (true, false) => {}
        (false, true) => {
            draft.record.throttle.fail(task.created_at, now);
            breaker::count(draft, at, why, recoveries);
        }
        (false, false) => {
            // While nothing is rolled out it is all that serves: then it is tried again.
            if !still {
                deployment.desired_count = deployment.desired_count.saturating_sub(1);
            }
            breaker::count(draft, at, why, recoveries);
        }
    }
}

fn credit_the_healthy(draft: &mut Draft<'_>) {
    let Some(primary) = draft.record.primary() else {
        return;
    };
    let newest = draft
        .seen
        .iter()
        .filter(|seen| seen.healthy() && primary.owns(seen.view.record))
        .map(|seen| seen.view.record.created_at)
        .max();
    if let Some(created) = newest {
        draft.record.throttle.succeed(created);
    }
    let impaired = (draft.record.throttle.failures >= throttle::IMPAIRED)
        .then(|| events::impaired(draft.input.service));
    draft.notice(NoticeKind::Impaired, EventLevel::Warn, impaired);
}

/// Whether `wanted` tasks are healthy and nothing else exists.
fn arrived(draft: &Draft<'_>, wanted: u32) -> bool {
    draft.count(|seen| seen.current && seen.healthy()) == wanted && draft.existing() == wanted
}

fn complete(draft: &mut Draft<'_>) {
    let now = draft.input.now;
    let Some(primary) = primary_mut(&mut draft.record) else {
        return;
    };
    if primary.rollout != RolloutState::InProgress {
        return;
    }
    primary.rollout = RolloutState::Completed;
    primary.rollout_reason = events::rollout_completed(&primary.id);
    primary.updated_at = now;
    let primary = primary.clone();
    let message = events::completed(draft.input.service, &primary.id);
    draft.record.last_completed = Some(CompletedDeployment {
        id: primary.id.clone(),
        revision: primary.revision.clone(),
        spec: primary.spec.clone(),
        generation: primary.generation,
        images: primary.images.clone(),
        at: now,
    });
    if !breaker::end_rollback(draft, &primary, ServiceDeploymentStatus::RollbackSuccessful) {
        let reason = primary.rollout_reason.clone();
        let threshold = breaker::threshold(draft);
        let ended = EndedDeployment {
            threshold,
            ..breaker::ended(&primary, ServiceDeploymentStatus::Successful, reason, now)
        };
        draft.record.remember(ended);
    }
    draft.say_as(
        EventName::ServiceDeploymentCompleted,
        EventLevel::Info,
        message,
    );
}

/// Whether the deployment is done by its early success criteria: enough of its tasks are healthy and, where that is waited for,
/// no older ones are left.
fn early(draft: &Draft<'_>, wanted: u32) -> bool {
    let Some(early) = draft.input.desired.and_then(|spec| spec.early_success) else {
        return false;
    };
    let healthy = draft.count(|seen| seen.current && seen.healthy());
    let enough = healthy >= ceil_percent(wanted, early.healthy_percent);
    let old = draft.count(|seen| !seen.current && seen.phase.exists());
    enough && (early.deferred_cleanup || old == 0)
}

/// After everything was decided: the deployments' counts, COMPLETED, steady. `wanted` is how many tasks there should be,
/// where that is known.
pub(super) fn conclude(draft: &mut Draft<'_>, wanted: Option<u32>) {
    if let (Some(wanted), Some(primary)) = (wanted, primary_mut(&mut draft.record)) {
        primary.desired_count = wanted;
    }
    let settled = !draft.acts() && !draft.more;
    let steady = wanted.is_some_and(|wanted| settled && !draft.failed() && arrived(draft, wanted));
    if steady || wanted.is_some_and(|wanted| !draft.more && early(draft, wanted)) {
        complete(draft);
    }
    if steady && !draft.record.steady {
        let message = events::steady(draft.input.service);
        draft.say_as(EventName::ServiceSteadyState, EventLevel::Info, message);
    }
    draft.record.steady = steady;
    let seen = &draft.seen;
    draft.record.deployments.retain(|deployment| {
        deployment.status == DeploymentStatus::Primary
            || deployment.desired_count > 0
            || seen
                .iter()
                .any(|seen| seen.phase.exists() && deployment.owns(seen.view.record))
    });
}

/// A service that is not in the folder any more: ACTIVE → DRAINING → INACTIVE, then forgotten (semantics §4.35). Removing is
/// not bound by the floor.
pub(super) fn remove(input: &PlanInput<'_>) -> Plan {
    let Some(record) = input.record else {
        return remove_strays(input);
    };
    let mut draft = Draft::new(input, record.clone(), 0);
    instances::give_up_all(&mut draft);
    stop_removed(&mut draft);
    for deployment in &mut draft.record.deployments {
        deployment.desired_count = 0;
    }
    draft.record.steady = false;
    draft.record.notices.clear();
    draft.record.dying.clear();
    draft.record.blocked.clear();
    draft.record.paused_at = None;
    draft.overrides = ServiceOverrides::default();
    if draft.seen.iter().any(|seen| seen.phase.exists()) {
        draft.record.status = ServiceStatus::Draining;
        draft.record.inactive_at = None;
        return draft.finish();
    }
    draft.record.status = ServiceStatus::Inactive;
    draft.record.deployments.clear();
    let since = *draft.record.inactive_at.get_or_insert(input.now);
    let forget = retention::of_removed(&mut draft, since) && !draft.more;
    let mut plan = draft.finish();
    if forget {
        plan.record = None;
        plan.forget = true;
    }
    plan
}

/// Tasks of a service that neither the folder nor the store knows.
fn remove_strays(input: &PlanInput<'_>) -> Plan {
    let Some(first) = input.tasks.first() else {
        return Plan::default();
    };
    let since = input
        .tasks
        .iter()
        .filter_map(|task| task.status?.stopped_at)
        .max()
        .unwrap_or(first.record.created_at);
    // The record is only a place to work on; it is not kept.
    let mut draft = Draft::new(input, stray_record(input), 0);
    instances::give_up_all(&mut draft);
    stop_removed(&mut draft);
    if !draft.seen.iter().any(|seen| seen.phase.exists()) {
        retention::of_removed(&mut draft, since);
    }
    let mut plan = draft.finish();
    plan.record = None;
    plan
}

fn stray_record(input: &PlanInput<'_>) -> ServiceRecord {
    let family = input
        .tasks
        .first()
        .map_or_else(|| "".into(), |task| task.record.family.clone());
    let spec = ServiceSpec {
        cluster: input.cluster.name.clone(),
        name: input.service.clone(),
        family,
        revision: None,
        desired_count: 0,
        scheduling: SchedulingStrategy::Replica,
        minimum_healthy_percent: 0,
        maximum_percent: 100,
        circuit_breaker: None,
        early_success: None,
        health_check_grace_period: 0,
        placement_constraints: Vec::new(),
        placement_strategy: Vec::new(),
        capacity_providers: Vec::new(),
        names_launch_type: false,
        zone_rebalancing: false,
        tags: BTreeMap::new(),
        labels: BTreeMap::new(),
        enable_execute_command: false,
        manifest_hash: String::new(),
    };
    ServiceRecord::new(spec, input.now)
}

fn stop_removed(draft: &mut Draft<'_>) {
    for at in draft.newest(Seen::stays) {
        if !draft.has_room() {
            return;
        }
        let reason = format!("(service {}) was removed", draft.input.service);
        let cause = "the service was removed".to_owned();
        draft.stop(at, StopCode::ServiceSchedulerInitiated, reason, cause);
    }
}
