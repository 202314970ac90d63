//! When a task stops, and how (semantics §4.4–9, 13–16).

use std::time::Duration;

use super::action::{Action, Call, CallKey, Verb};
use super::facts::StepInput;
use super::known::{Containers, Known, Phase};
use super::plan::Plan;
use super::{order, retry};
use crate::engine::labels::PAUSE_CONTAINER;
use crate::engine::translate::{needs_network, needs_pause};
use crate::engine::{ContainerState, ObservedContainer};
use crate::model::{DesiredStatus, HealthStatus, LastStatus, StopCode, Timestamp};

/// The ECS agent's `ECS_CONTAINER_STOP_TIMEOUT`, seconds.
const DEFAULT_TIMEOUT: u32 = 30;
/// The exit code of a container that was killed.
pub(super) const KILLED: i64 = 137;
const ENGINE_RESTARTED: &str = "The engine of the container instance was restarted";
/// How long a removal may take that began with a kill.
const EXPLAINED_WITHIN: Duration = Duration::from_millis(500);

/// Why a task stops. Decided once: a later cause does not change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    pub code: StopCode,
    pub reason: String,
}

impl Stop {
    fn new(code: StopCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

/// A stop that was decided before this look at the containers: earlier by this agent, or by the controller.
pub(super) fn decided(input: &StepInput<'_>) -> Option<Stop> {
    if let Some(code) = input.prior.stop_code {
        let reason = input.prior.stopped_reason.clone().unwrap_or_default();
        return Some(Stop { code, reason });
    }
    if input.record.desired == DesiredStatus::Stopped {
        return Some(match &input.record.stop {
            Some(order) => Stop::new(order.code, &order.reason),
            None => Stop::new(StopCode::UserInitiated, "Task stopped"),
        });
    }
    if let Some(lost) = input.lost {
        return Some(Stop::new(StopCode::TerminationNotice, &lost.reason));
    }
    None
}

/// A stop that follows from how the task's containers are.
pub(super) fn arising(all: &Containers<'_>, input: &StepInput<'_>) -> Option<Stop> {
    if let Some(problem) = order::problem(input.spec) {
        let reason = format!("TaskDependencyError: {problem}");
        return Some(Stop::new(StopCode::TaskFailedToStart, reason));
    }
    let stop = pause_lost(all, input)
        .or_else(|| surroundings_failed(all, input))
        .or_else(|| essential_ended(all))
        .or_else(|| essential_failed(all))?;
    if ended_with_engine(all, input) {
        return Some(Stop::new(StopCode::InfrastructureHealth, ENGINE_RESTARTED));
    }
    Some(stop)
}

/// Whether a container of the task that nobody has seen end was started in an earlier run of the engine. It ended with that run, as
/// far as anybody can tell, and what follows from its end is no failure of the task.
fn ended_with_engine(all: &Containers<'_>, input: &StepInput<'_>) -> bool {
    let Some(began) = input.facts.engine_began else {
        return false;
    };
    all.all.iter().any(|known| {
        let seen_before = known
            .prior
            .is_some_and(|prior| prior.last_status == LastStatus::Stopped);
        let started = known.observed.and_then(|found| found.started_at);
        known.phase == Phase::Ended && !seen_before && started.is_some_and(|at| at < began)
    })
}

/// Without its pause container a task keeps only `lo`: it is as good as gone (design §7).
fn pause_lost(all: &Containers<'_>, input: &StepInput<'_>) -> Option<Stop> {
    if !needs_pause(input.spec) || all.pause_busy {
        return None;
    }
    let reason = match all.pause {
        None if all.any_ran() => "the pause container of the task was removed",
        Some(pause) if has_ended(pause) => "the pause container of the task ended",
        _ => return None,
    };
    Some(Stop::new(StopCode::InfrastructureHealth, reason))
}

fn has_ended(container: &ObservedContainer) -> bool {
    matches!(
        container.state,
        ContainerState::Exited | ContainerState::Dead
    )
}

/// What all containers of the task need could not be made.
fn surroundings_failed(all: &Containers<'_>, input: &StepInput<'_>) -> Option<Stop> {
    let mut wanted = Vec::new();
    if needs_network(input.spec) {
        wanted.push((
            CallKey::new(Verb::CreateNetwork, ""),
            "ResourceInitializationError",
        ));
    }
    if needs_pause(input.spec) {
        wanted.push((
            CallKey::new(Verb::ImportPauseImage, ""),
            "ResourceInitializationError",
        ));
        let pause = |verb| CallKey::new(verb, PAUSE_CONTAINER);
        wanted.push((pause(Verb::Create), "ContainerNetworkingError"));
        wanted.push((pause(Verb::Start), "ContainerNetworkingError"));
    }
    // Once every container is up, an old failure does not matter.
    if all.all_up() {
        return None;
    }
    wanted.into_iter().find_map(|(key, name)| {
        let attempt = input.facts.attempts.get(&key)?;
        (retry::verdict(key.verb, Some(attempt), input.now) == retry::Verdict::Never).then(|| {
            Stop::new(
                StopCode::TaskFailedToStart,
                format!("{name}: {}", attempt.message),
            )
        })
    })
}

fn essential_ended(all: &Containers<'_>) -> Option<Stop> {
    all.all
        .iter()
        .any(|known| known.spec.essential && known.phase == Phase::Ended)
        .then(|| {
            Stop::new(
                StopCode::EssentialContainerExited,
                "Essential container in task exited",
            )
        })
}

fn essential_failed(all: &Containers<'_>) -> Option<Stop> {
    all.all.iter().find_map(|known| match &known.phase {
        Phase::Failed(failure) if known.spec.essential || failure.fatal => {
            let reason = failure.reason.clone().unwrap_or_default();
            Some(Stop::new(StopCode::TaskFailedToStart, reason))
        }
        _ => None,
    })
}

/// Stops what runs, dependants first, and then removes the pause container.
pub(super) fn plan(all: &Containers<'_>, stop: &Stop, plan: &mut Plan<'_>) {
    for known in &all.all {
        if let (Phase::Running, false, Some(found)) = (&known.phase, known.busy, known.observed)
            && order::may_stop(&known.spec.name, all)
        {
            let call = Call::Stop {
                container: known.spec.name.clone(),
                id: found.id.clone(),
                // 0 would kill at once; ECS's least is 1 (semantics §4.16).
                timeout: known.spec.stop_timeout.unwrap_or(DEFAULT_TIMEOUT).max(1),
            };
            plan.want(Action::new(call, &stop.reason));
        }
    }
    if let (true, Some(pause), false) = (is_down(all), all.pause, all.pause_busy) {
        let call = Call::Remove {
            container: PAUSE_CONTAINER.to_owned(),
            id: pause.id.clone(),
        };
        plan.want(Action::new(call, "every container of the task has ended"));
    }
}

/// Whether none of the task's own containers runs or is about to.
pub(super) fn is_down(all: &Containers<'_>) -> bool {
    all.all.iter().all(Known::is_down)
}

/// Until when the end of a killed container waits for its explanation. `docker rm -f` kills, and then removes: for a moment its
/// container looks like one that was killed and left there. Nobody removes a container of a task that has a record but somebody
/// outside, so one that is gone after that moment was removed.
pub(super) fn unexplained_until(
    all: &Containers<'_>,
    stop: Option<&Stop>,
    input: &StepInput<'_>,
) -> Option<Timestamp> {
    if stop?.code != StopCode::EssentialContainerExited
        || input.record.desired == DesiredStatus::Stopped
        || input.prior.last_status == LastStatus::Stopped
    {
        return None;
    }
    let killed = |known: &Known<'_>| {
        known.spec.essential
            && known.phase == Phase::Ended
            && known.exit_code() == Some(KILLED)
            && known.observed.is_some_and(|found| !found.oom_killed)
    };
    let since = input.prior.stopping_at.unwrap_or(input.now);
    let until = since.plus(EXPLAINED_WITHIN);
    (all.all.iter().any(killed) && input.now < until).then_some(until)
}

/// The container whose last words explain what is wrong with the task, if one's do (promise P7).
pub(super) fn culprit<'k, 'a>(
    all: &'k Containers<'a>,
    stop: Option<&Stop>,
) -> Option<&'k Known<'a>> {
    let essential = || all.all.iter().filter(|known| known.spec.essential);
    match stop.map(|stop| stop.code) {
        // The first that ended; the others ended because they were stopped.
        Some(StopCode::EssentialContainerExited) => essential()
            .filter(|known| known.phase == Phase::Ended)
            .min_by_key(|known| known.finished_at()),
        Some(StopCode::TaskFailedToStart) => all
            .all
            .iter()
            .filter(|known| matches!(known.phase, Phase::Failed(_)))
            .find_map(|known| order::at_fault(known.spec, all)),
        Some(_) => None,
        None => essential().find(|known| known.health() == HealthStatus::Unhealthy),
    }
    .filter(|known| known.observed.is_some())
}
