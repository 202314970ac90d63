//! A rollout that stands still: because it is paused, or because it failed and there is nothing to go back to (semantics
//! §4.26).
//!
//! Nothing is started or stopped for it. Tasks that end, or are unhealthy, or have to leave their instance, are replaced from
//! their own revision, but for those of a deployment that failed: nothing of it is ever started again.

use super::observe::Phase;
use super::placement::NoFit;
use super::plan::{Definition, Draft, Seen};
use super::rolling::{Band, Blocked, report, report_protected, stop_scaled, stop_unhealthy};
use super::{instances, throttle};
use crate::model::{
    Deployment, DeploymentStatus, InstanceId, RolloutState, SchedulingStrategy, ServiceSpec,
};

/// Keeps what is there.
pub(super) fn keep(draft: &mut Draft<'_>, spec: &ServiceSpec) {
    let Some(primary) = draft.record.primary().cloned() else {
        return;
    };
    // They are replaced below like those that ended.
    instances::give_up_all(draft);
    let (desired, no_fit) = match spec.scheduling {
        SchedulingStrategy::Replica => {
            let band = Band::of(spec, spec.desired_count);
            let failed = primary.rollout == RolloutState::Failed;
            if failed {
                draft.record.paused_at = None;
                trim(draft, band.desired);
                stop_surplus(draft, &primary, band);
            }
            (band.desired, keep_replicas(draft, &primary, band))
        }
        SchedulingStrategy::Daemon => {
            draft.record.paused_at = None;
            let active = instances::for_daemons(draft);
            let desired = u32::try_from(active.len()).unwrap_or(u32::MAX);
            (desired, keep_daemons(draft, &primary, &active, spec))
        }
    };
    report(draft, no_fit.map(Blocked::Placement));
    report_protected(draft, desired);
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
    let of_failed = |draft: &Draft<'_>, seen: &Seen<'_>| {
        let mut all = draft.record.deployments.iter();
        all.any(|d| d.rollout == RolloutState::Failed && d.owns(seen.view.record))
    };
    // What is unhealthy, or has to leave its instance, is gone once another has taken its place.
    let mut victims = draft.newest(|seen| seen.good() && !seen.draining);
    let surplus = victims.len().saturating_sub(band.desired as usize);
    victims.sort_by_key(|at| {
        let seen = &draft.seen[*at];
        (!of_failed(draft, seen), seen.phase, seen.protected)
    });
    victims.truncate(surplus);
    for at in victims {
        let seen = &draft.seen[at];
        let healthy = draft.count(Seen::healthy);
        // One that works is not given up for others that are still to show that they do.
        let spared = match of_failed(draft, seen) {
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
        let cause = match of_failed(draft, &draft.seen[at]) {
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
        let good = draft.count(|seen| mine(seen) && seen.good() && !seen.draining);
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
            going.retain(|at| !busy && draft.seen[*at].phase == Phase::Unhealthy);
            going.truncate(1);
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
