//! How long tasks that are over are remembered.

use std::time::Duration;

use super::observe::Phase;
use super::plan::{Draft, Seen};
use crate::model::{DesiredStatus, StopCode, Timestamp};

/// How long a task that is over is described, with its containers and their output (ECS: at least an hour, semantics §4.6).
pub const REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// Tasks of a service that are over and kept however long ago they ended.
pub const KEPT: usize = 10;
/// Most tasks of a service that are over and kept: of more, the oldest go before their hour is over.
pub const MOST_OF_SERVICE: usize = 50;
/// How long a removed service, its tasks and its events are kept.
pub const AFTER_REMOVAL: Duration = REMEMBERED;

/// Keeps the newest [`KEPT`] tasks that are over, and up to [`MOST_OF_SERVICE`] that ended within the last [`REMEMBERED`]. Those
/// that have nothing to tell count as older than all others.
pub(super) fn of_service(draft: &mut Draft<'_>) {
    // What was given up is remembered until its agent has stopped it: it is known by its record.
    let is_over = |seen: &Seen<'_>| {
        seen.phase == Phase::Gone
            && (!seen.may_run_on() || (seen.view.lost.is_some() && is_of_undeclared(draft, seen)))
    };
    let mut over = draft.newest(is_over);
    over.sort_by_key(|at| {
        let seen = &draft.seen[*at];
        (never_began(seen), std::cmp::Reverse(ended(seen)))
    });
    for (rank, at) in over.into_iter().enumerate() {
        let until = ended(&draft.seen[at]).0.plus(REMEMBERED);
        // An instance that is no longer declared is let go once nothing of it is remembered.
        let leaving = is_of_undeclared(draft, &draft.seen[at]);
        if rank < KEPT && !leaving {
            continue;
        }
        let cause = if leaving && until <= draft.now() {
            let instance = &draft.seen[at].view.record.instance;
            format!("it was over an hour ago, and instance {instance} is no longer declared")
        } else if rank >= MOST_OF_SERVICE {
            match never_began(&draft.seen[at]) {
                true => {
                    format!("it never began, and {MOST_OF_SERVICE} tasks of the service are kept")
                }
                false => format!("{MOST_OF_SERVICE} newer tasks of the service are over"),
            }
        } else if until <= draft.now() {
            format!("it was over an hour ago, and {KEPT} newer tasks of the service are")
        } else {
            draft.wake(Some(until));
            continue;
        };
        if !draft.has_room() {
            return;
        }
        draft.delete(at, cause);
    }
}

/// Deletes the tasks of a removed service once it has been gone long enough; returns whether it has.
pub(super) fn of_removed(draft: &mut Draft<'_>, since: Timestamp) -> bool {
    let until = since.plus(AFTER_REMOVAL);
    if draft.now() < until {
        draft.wake(Some(until));
        return false;
    }
    for at in draft.newest(|_| true) {
        if !draft.has_room() {
            break;
        }
        draft.delete(at, "the service was removed an hour ago".to_owned());
    }
    true
}

fn is_of_undeclared(draft: &Draft<'_>, seen: &Seen<'_>) -> bool {
    let declared = &draft.input.cluster.instances;
    !declared.iter().any(|i| i.name == seen.view.record.instance)
}

/// It was called off before any container of it started: there is no output of it, and no failure to explain.
fn never_began(seen: &Seen<'_>) -> bool {
    seen.view.record.desired == DesiredStatus::Stopped
        && seen.view.status.is_some_and(|status| {
            status.stop_code != Some(StopCode::TaskFailedToStart)
                && status.started_at.is_none()
                && status.containers.iter().all(|c| c.started_at.is_none())
        })
}

fn ended<'a>(seen: &'a Seen<'_>) -> (Timestamp, Timestamp, &'a str) {
    let record = seen.view.record;
    let stopped = seen.view.status.and_then(|status| status.stopped_at);
    (
        stopped.or(seen.view.lost).unwrap_or(record.created_at),
        record.created_at,
        record.id.as_str(),
    )
}
