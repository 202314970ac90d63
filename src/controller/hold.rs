//! A rollout that stands still: because it is paused, or because it failed and there is nothing to go back to (semantics
//! §4.26).
//!
//! Nothing is started or stopped for it. Tasks that end, or are unhealthy, or have to leave their instance, are replaced from
//! their own revision, but for those of a deployment that failed: nothing of it is ever started again. All of that stays between
//! floor and cap; what these leave no way for is said (`stuck`), and so is a count that is not followed.

use super::observe::Phase;
use super::placement::NoFit;
use super::plan::{Definition, Draft, Seen};
use super::rolling::{Band, Blocked, report, report_protected, stop_scaled, stop_unhealthy};
use super::{events, instances, throttle};
use crate::model::{
    Deployment, DeploymentStatus, EventLevel, InstanceId, NoticeKind, RolloutState,
    SchedulingStrategy, ServiceSpec,
};

/// Keeps what is there.
pub(super) fn keep(draft: &mut Draft<'_>, spec: &ServiceSpec) {
    let Some(primary) = draft.record.primary().cloned() else {
        return;
    };
    let mut unscaled = None;
    let (desired, blocked) = match spec.scheduling {
        SchedulingStrategy::Replica => {
            let band = Band::of(spec, spec.desired_count);
            let failed = primary.rollout == RolloutState::Failed;
            if failed {
                draft.record.paused_at = None;
                trim(draft, band.desired);
                stop_surplus(draft, &primary, band);
            }
            let no_fit = keep_replicas(draft, &primary, band);
            if !failed {
                unscaled = not_scaled(draft, band.desired);
            }
            let blocked = match no_fit {
                Some(no_fit) => Some(Blocked::Placement(no_fit)),
                None => stuck(draft, &primary),
            };
            (band.desired, blocked)
        }
        SchedulingStrategy::Daemon => {
            draft.record.paused_at = None;
            // They are replaced below like those that ended.
            instances::give_up_all(draft);
            let active = instances::for_daemons(draft);
            let desired = u32::try_from(active.len()).unwrap_or(u32::MAX);
            let no_fit = keep_daemons(draft, &primary, &active, spec);
            (desired, no_fit.map(Blocked::Placement))
        }
    };
    report(draft, blocked);
    report_protected(draft, desired);
    draft.notice(NoticeKind::Scaling, EventLevel::Warn, unscaled);
}

/// That the service has another count than its manifest asks for because its rollout is paused, if it has.
fn not_scaled(draft: &mut Draft<'_>, desired: u32) -> Option<String> {
    let mut kept = 0_u32;
    for deployment in draft.record.deployments.clone() {
        kept = kept.saturating_add(wanted(draft, &deployment));
    }
    let before = draft.overrides.paused.as_ref()?.desired;
    let fewer = before.is_some_and(|before| desired < before) && kept > desired;
    (kept < desired || fewer).then(|| events::not_scaled(draft.input.service, desired, kept))
}

/// What keeps tasks on DRAINING instances, where nothing is under way that would change it.
fn stuck(draft: &Draft<'_>, primary: &Deployment) -> Option<Blocked> {
    let under_way =
        |seen: &Seen<'_>| seen.leaves() || (seen.good() && !seen.healthy() && !seen.is_stranded());
    if draft.acts() || draft.seen.iter().any(under_way) {
        return None;
    }
    let draining =
        |seen: &Seen<'_>| seen.stays() && seen.draining && seen.expendable() && !seen.is_stranded();
    let failed = draft.count(|seen| draining(seen) && is_failed(draft, seen));
    let all = draft.count(draining);
    let service = draft.input.service;
    let why = match (all, failed) {
        (0, _) => return None,
        (_, 0) => events::cannot_drain(service, all, draft.failed()),
        (_, failed) => events::failed_on_draining(service, failed, &primary.revision),
    };
    Some(Blocked::Standing(why))
}

/// Whether the task is of a deployment that failed: nothing of it is started in its place.
fn is_failed(draft: &Draft<'_>, seen: &Seen<'_>) -> bool {
    let mut all = draft.record.deployments.iter();
    all.any(|d| d.rollout == RolloutState::Failed && d.owns(seen.view.record))
}

/// What serves in place of what failed is no more than what is wanted.
fn trim(draft: &mut Draft<'_>, desired: u32) {
    let mut left = desired;
    for deployment in &mut draft.record.deployments {
        if deployment.status == DeploymentStatus::Active {
            deployment.desired_count = deployment.desired_count.min(left);
            left -= deployment.desired_count;
        }
    }
}

/// How many tasks of a deployment there are to be while it stands still.
fn wanted(draft: &mut Draft<'_>, deployment: &Deployment) -> u32 {
    match (deployment.status, deployment.rollout) {
        (_, RolloutState::Failed) => 0,
        (DeploymentStatus::Active, _) => deployment.desired_count,
        (DeploymentStatus::Primary, _) => {
            // Those that ended in this very moment are to be replaced, like all that end from now on.
            let now = draft.count(|seen| {
                let ends = seen.stopping || seen.given_up && seen.view.lost.is_none();
                (seen.stays() || ends) && deployment.owns(seen.view.record)
            });
            *draft.record.paused_at.get_or_insert(now)
        }
    }
}

/// More tasks than are wanted in all: the count was lowered, or tasks of what failed stand beside enough others. Those of
/// what failed go first.
fn stop_surplus(draft: &mut Draft<'_>, primary: &Deployment, band: Band) {
    // What is unhealthy, or has to leave its instance, is gone once another has taken its place.
    let mut victims = draft.newest(|seen| seen.good() && !seen.draining);
    let surplus = victims.len().saturating_sub(band.desired as usize);
    victims.sort_by_key(|at| {
        let seen = &draft.seen[*at];
        (!is_failed(draft, seen), seen.worth(), seen.protected)
    });
    victims.truncate(surplus);
    for at in victims {
        let seen = &draft.seen[at];
        let healthy = draft.count(Seen::healthy);
        // One that works is not given up for others that are still to show that they do.
        let spared = match is_failed(draft, seen) {
            true => band.desired,
            false => band.floor,
        };
        let costs = seen.phase == Phase::Healthy && healthy <= spared;
        if costs || !seen.expendable() {
            continue;
        }
        if !draft.has_room() {
            return;
        }
        let cause = match is_failed(draft, &draft.seen[at]) {
            true => format!("left over of {}, which failed", primary.revision),
            false => format!("scaling in to {}", band.desired),
        };
        stop_scaled(draft, at, primary, cause);
    }
}

fn keep_replicas(draft: &mut Draft<'_>, primary: &Deployment, band: Band) -> Option<NoFit> {
    let mut problem = None;
    for deployment in draft.record.deployments.clone() {
        let wanted = wanted(draft, &deployment);
        let mine = |seen: &Seen<'_>| deployment.owns(seen.view.record);
        let started = match replace_stranded(draft, &deployment, wanted, band) {
            Ok(started) => started,
            Err((started, no_fit)) => {
                problem = Some(no_fit);
                started
            }
        };
        let good = draft.count(|seen| mine(seen) && seen.good() && !seen.draining) + started;
        let missing = wanted.saturating_sub(good);
        let due = throttled(draft, &deployment, missing);
        let mut left = due;
        while left > 0 && draft.existing() < band.cap && draft.has_room() {
            match start(draft, &deployment, None) {
                Some(Ok(())) => left -= 1,
                Some(Err(no_fit)) => {
                    problem = Some(no_fit);
                    break;
                }
                None => break,
            }
        }
        let healthy = draft.count(|seen| mine(seen) && seen.healthy() && !seen.draining);
        let full = left > 0 && draft.existing() >= band.cap;
        let replaced = |seen: &Seen<'_>| {
            mine(seen) && seen.stays() && (seen.phase == Phase::Unhealthy || seen.draining)
        };
        let mut going = draft.newest(|seen| replaced(seen) && seen.expendable());
        if healthy < wanted {
            // One by one, and only where nothing else makes room.
            let busy = !full || draft.seen.iter().any(Seen::leaves);
            going.retain(|at| !busy && may_go_first(draft, *at, band));
            going.sort_by_key(|at| draft.seen[*at].phase != Phase::Unhealthy);
            let mut first = None;
            for at in going {
                match has_another_place(draft, &deployment, at) {
                    Ok(()) => {
                        first = Some(at);
                        break;
                    }
                    Err(no_fit) => problem = problem.or(no_fit),
                }
            }
            going = first.into_iter().collect();
        } else if deployment.rollout == RolloutState::Failed {
            // It is not replaced, so it may be all that there is.
            let enough = draft.count(Seen::healthy) >= band.desired;
            going.retain(|at| enough || draft.seen[*at].draining);
        }
        for at in going {
            let costs = draft.seen[at].phase == Phase::Healthy;
            if costs && draft.count(Seen::healthy) <= band.floor {
                continue;
            }
            if !draft.has_room() {
                return problem;
            }
            leave(draft, at, primary);
        }
    }
    problem
}

/// Whether a task may be stopped before there is another in its place: it does no good, or the floor holds without it.
fn may_go_first(draft: &Draft<'_>, at: usize, band: Band) -> bool {
    let seen = &draft.seen[at];
    match seen.phase {
        Phase::Healthy => draft.count(Seen::healthy) > band.floor,
        Phase::Warming => draft.count(Seen::serves) > band.floor,
        _ => true,
    }
}

/// Whether another task of the deployment would fit somewhere once that one is gone. Nothing is placed in this plan any more.
fn has_another_place(
    draft: &mut Draft<'_>,
    deployment: &Deployment,
    at: usize,
) -> Result<(), Option<NoFit>> {
    let seen = &draft.seen[at];
    let task = seen.view.record;
    if seen.phase == Phase::Unhealthy {
        return Ok(());
    }
    let spec = draft.spec_of(&deployment.spec).ok_or(None)?;
    let request = draft.request(spec);
    let held = draft.books.release(task);
    let placed = draft.books.place(&request).map(|_| ()).map_err(Some);
    if placed.is_err() {
        draft.books.restore(task, held);
    }
    placed
}

/// Tasks of a deployment on vanished instances: each that is still wanted is given up with the start of its replacement, one that
/// fits nowhere else is kept, and so is one of a deployment that failed, until others do what it did. Returns how many were
/// started.
fn replace_stranded(
    draft: &mut Draft<'_>,
    deployment: &Deployment,
    wanted: u32,
    band: Band,
) -> Result<u32, (u32, NoFit)> {
    let mine = |seen: &Seen<'_>| deployment.owns(seen.view.record);
    let mut started = 0;
    for at in draft.newest(|seen| mine(seen) && seen.is_stranded()) {
        let good = draft.seen[at].good();
        let failed = deployment.rollout == RolloutState::Failed;
        let here = |seen: &Seen<'_>| seen.good() && !seen.is_stranded();
        let needed = good
            && match failed {
                true => draft.count(here) < band.desired,
                false => draft.count(|seen| mine(seen) && here(seen)) + started < wanted,
            };
        if needed && failed {
            continue;
        }
        if needed && throttled(draft, deployment, 1) == 0 {
            return Ok(started);
        }
        // Both or none.
        if draft.room() < 1 + usize::from(needed) {
            draft.more = true;
            return Ok(started);
        }
        if needed {
            match start(draft, deployment, None) {
                Some(Ok(())) => started += 1,
                Some(Err(no_fit)) => return Err((started, no_fit)),
                // Nobody knows any more what it runs.
                None => continue,
            }
        }
        draft.give_up(at);
    }
    Ok(started)
}

/// On each instance: what is there stays, and what ended is replaced from its own revision.
fn keep_daemons(
    draft: &mut Draft<'_>,
    primary: &Deployment,
    active: &[InstanceId],
    spec: &ServiceSpec,
) -> Option<NoFit> {
    for at in draft.newest(|seen| seen.stays() && seen.draining && seen.expendable()) {
        if !draft.has_room() {
            return None;
        }
        leave(draft, at, primary);
    }
    let band = Band::of(spec, u32::try_from(active.len()).unwrap_or(u32::MAX));
    let mut problem = None;
    for instance in active {
        let here = |seen: &Seen<'_>| seen.view.record.instance == *instance;
        let unhealthy = draft.newest(|seen| {
            here(seen) && seen.stays() && seen.phase == Phase::Unhealthy && seen.expendable()
        });
        if draft.count(|seen| here(seen) && seen.phase.exists()) > 0 {
            for at in unhealthy {
                let owner = owner(draft, at);
                if owner.is_some_and(|owner| owner.rollout != RolloutState::Failed)
                    && draft.has_room()
                {
                    stop_unhealthy(draft, at, "unhealthy, making room for its replacement");
                }
            }
            continue;
        }
        let newest = draft.newest(|seen| here(seen));
        let last = newest.first().and_then(|at| owner(draft, *at));
        let Some(deployment) = last.filter(|last| last.rollout != RolloutState::Failed) else {
            continue;
        };
        if draft.existing() >= band.cap
            || throttled(draft, &deployment, 1) == 0
            || !draft.has_room()
        {
            continue;
        }
        if let Some(Err(no_fit)) = start(draft, &deployment, Some(instance)) {
            problem = Some(no_fit);
        }
    }
    problem
}

fn owner(draft: &Draft<'_>, at: usize) -> Option<Deployment> {
    let task = draft.seen[at].view.record;
    let mut all = draft.record.deployments.iter();
    all.find(|deployment| deployment.owns(task)).cloned()
}

/// How many of `missing` may be started now. The throttle is about the PRIMARY deployment; another one whose tasks fail waits as
/// long for its own failures, until one of it is healthy again.
fn throttled(draft: &mut Draft<'_>, deployment: &Deployment, missing: u32) -> u32 {
    let now = draft.now();
    if deployment.status != DeploymentStatus::Primary {
        let Some(failed_at) = deployment.failed_at.filter(|_| missing > 0) else {
            return missing;
        };
        let recovered = draft.seen.iter().any(|seen| {
            let healthy = draft.judge.healthy_since(&seen.view);
            deployment.owns(seen.view.record) && healthy.is_some_and(|at| at > failed_at)
        });
        let until = failed_at.plus(throttle::delay(deployment.failed_tasks));
        if recovered || until <= now {
            return missing;
        }
        draft.wake(Some(until));
        return 0;
    }
    let due = draft.record.throttle.allowed(missing, now);
    if due < missing {
        draft.wake(draft.record.throttle.not_before);
    }
    due
}

/// Starts a task of a deployment; `None` where nobody knows any more what it runs.
fn start(
    draft: &mut Draft<'_>,
    deployment: &Deployment,
    only: Option<&InstanceId>,
) -> Option<Result<(), NoFit>> {
    let spec = draft.spec_of(&deployment.spec)?;
    let definition = Definition {
        revision: &deployment.revision,
        hash: &deployment.spec,
        spec,
    };
    let mut request = draft.request(spec);
    request.only = only;
    Some(match draft.books.place(&request) {
        Ok(placed) => {
            let cause = "replaces one of its own revision, while the rollout stands still";
            let cause = cause.to_owned();
            draft.start(placed, deployment, &definition, cause);
            Ok(())
        }
        Err(no_fit) => Err(no_fit),
    })
}

fn leave(draft: &mut Draft<'_>, at: usize, primary: &Deployment) {
    let seen = &draft.seen[at];
    if seen.phase == Phase::Unhealthy {
        stop_unhealthy(draft, at, "unhealthy, and replaced from its own revision");
        return;
    }
    let cause = format!("instance {} is draining", seen.view.record.instance);
    stop_scaled(draft, at, primary, cause);
}
