//! How a task comes up: images, volumes and network; then all containers created; then started in order.

use super::action::{Action, Call, CallKey, Verb};
use super::facts::{Attempt, Readiness, StepInput};
use super::known::{Containers, Failure, Known, Phase};
use super::order::{self, Gate};
use super::plan::Plan;
use super::pulling::{Need, need};
use super::retry::{self, Verdict};
use crate::engine::labels::PAUSE_CONTAINER;
use crate::engine::translate::{self, needs_network, needs_pause};
use crate::engine::{ContainerState, ErrorKind, ObservedContainer};
use crate::model::{ContainerSpec, NetworkMode, TaskSpec, VolumeKind, VolumeSpec};

/// ECS's exit code of a container that was never started because of a dependency (semantics §4.13).
const NEVER_STARTED: i64 = 143;

/// Marks the containers that will never start: what they need failed for good, or a dependency cannot be met any more.
pub(super) fn mark_failures(all: &mut Containers<'_>, input: &StepInput<'_>) {
    for known in &mut all.all {
        if let Some(failure) = call_failed(known, input) {
            known.phase = Phase::Failed(failure);
        }
    }
    // One failure can be the next one's cause; a chain is never longer than the task has containers.
    for _ in 0..all.all.len() {
        let before = all.clone();
        for known in &mut all.all {
            if !matches!(known.phase, Phase::Absent | Phase::Created) || known.busy {
                continue;
            }
            if let Gate::Never(why) = order::gate(known.spec, &before, input.now) {
                known.phase = Phase::Failed(Failure {
                    reason: Some(format!("CannotStartContainerError: {why}")),
                    exit_code: Some(NEVER_STARTED),
                    fatal: false,
                });
            }
        }
    }
}

/// The call that a container waits for and that was given up.
fn call_failed(known: &Known<'_>, input: &StepInput<'_>) -> Option<Failure> {
    let name = known.spec.name.as_str();
    let given_up = |verb: Verb, target: &str| {
        let attempt = input.facts.attempts.get(&CallKey::new(verb, target))?;
        (retry::verdict(verb, Some(attempt), input.now) == Verdict::Never).then_some(attempt)
    };
    let failure = |error: &str, attempt: &Attempt, fatal: bool| {
        let message = &attempt.message;
        // ECS finds secrets for the whole task before anything else, so one that is missing is never one container's affair.
        let unresolved = attempt.kind == ErrorKind::Unresolved;
        let timed_out = attempt.kind == ErrorKind::TimedOut;
        let reason = match error {
            _ if unresolved => format!("ResourceInitializationError: {message}"),
            "CannotCreateContainerError" if timed_out => {
                format!("DockerTimeoutError: Could not transition to created; {message}")
            }
            "CannotStartContainerError" if timed_out => {
                format!("DockerTimeoutError: Could not transition to started; {message}")
            }
            _ => format!("{error}: {message}"),
        };
        Some(Failure {
            reason: Some(reason),
            exit_code: None,
            fatal: fatal || unresolved,
        })
    };
    match known.phase {
        Phase::Absent => {
            if let Need::Lost(attempt) = need(known.spec, input) {
                return failure("CannotPullContainerError", &attempt, true);
            }
            for volume in mounted(known.spec, input.spec) {
                let lost = [Verb::CreateVolume, Verb::FindVolume]
                    .into_iter()
                    .find_map(|verb| given_up(verb, &volume.name));
                if let Some(attempt) = lost {
                    return failure("CannotCreateVolumeError", attempt, true);
                }
            }
            let attempt = given_up(Verb::Create, name)?;
            failure("CannotCreateContainerError", attempt, false)
        }
        Phase::Created => {
            let attempt = given_up(Verb::Start, name)?;
            failure("CannotStartContainerError", attempt, false)
        }
        _ => None,
    }
}

/// Everything that brings the task further now.
pub(super) fn plan(all: &Containers<'_>, input: &StepInput<'_>, plan: &mut Plan<'_>) {
    for known in all.all.iter().filter(|known| wants_creating(known)) {
        pull(known.spec, input, plan);
        provide_volumes(known.spec, input, plan);
    }
    provide_network(all, input, plan);
    raise_pause(all, input, plan);
    for known in all.all.iter().filter(|known| wants_creating(known)) {
        if may_create(known, all, input) {
            let call = Call::Create {
                container: known.spec.name.clone(),
            };
            plan.want(Action::new(call, "the task is to run"));
        }
    }
    start(all, input, plan);
}

fn wants_creating(known: &Known<'_>) -> bool {
    known.phase == Phase::Absent && !known.busy
}

/// Images are pulled for all containers at once, before any dependency is looked at: the slowest of them is what the task
/// waits for (the ECS agent's `ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT`).
fn pull(container: &ContainerSpec, input: &StepInput<'_>, plan: &mut Plan<'_>) {
    if need(container, input) == Need::Pull {
        let call = Call::Pull {
            image: translate::image(input.record, container),
            platform: input
                .spec
                .architecture
                .as_ref()
                .map(|architecture| format!("linux/{architecture}")),
        };
        let cause = format!("container {} needs it", container.name);
        plan.want(Action::new(call, cause));
    }
}

fn mounted<'s>(
    container: &'s ContainerSpec,
    spec: &'s TaskSpec,
) -> impl Iterator<Item = &'s VolumeSpec> {
    spec.volumes.iter().filter(|volume| {
        container
            .mount_points
            .iter()
            .any(|mount| mount.source_volume == volume.name)
    })
}

fn readiness(volume: &VolumeSpec, input: &StepInput<'_>) -> Readiness {
    match volume.kind {
        VolumeKind::HostPath { .. } => Readiness::Ready,
        _ => input
            .facts
            .volumes
            .get(&volume.name)
            .copied()
            .unwrap_or_default(),
    }
}

fn provide_volumes(container: &ContainerSpec, input: &StepInput<'_>, plan: &mut Plan<'_>) {
    for volume in mounted(container, input.spec) {
        if readiness(volume, input) != Readiness::Missing {
            continue;
        }
        let name = volume.name.clone();
        let call = match volume.kind {
            VolumeKind::Shared {
                autoprovision: false,
                ..
            } => Call::FindVolume { volume: name },
            _ => Call::CreateVolume { volume: name },
        };
        let cause = format!("container {} mounts it", container.name);
        plan.want(Action::new(call, cause));
    }
}

/// Whether a container of its own is attached to the cluster's network.
fn on_network(container: &ContainerSpec, spec: &TaskSpec) -> bool {
    spec.network_mode == NetworkMode::Bridge && !container.disable_networking
}

fn provide_network(all: &Containers<'_>, input: &StepInput<'_>, plan: &mut Plan<'_>) {
    if input.facts.network != Readiness::Missing {
        return;
    }
    // An engine looks for the network when a container starts: it can be gone again by then.
    let of_pause = input.spec.network_mode == NetworkMode::Awsvpc
        && !all.pause_busy
        && all.pause.is_none_or(is_created);
    let of_container = all.all.iter().any(|known| {
        let starts = matches!(known.phase, Phase::Created | Phase::Restarting) && !known.busy;
        (wants_creating(known) || starts) && on_network(known.spec, input.spec)
    });
    if needs_network(input.spec) && (of_pause || of_container) {
        let cause = "containers of the task are attached to it";
        plan.want(Action::new(Call::CreateNetwork, cause));
    }
}

/// The pause container comes first: the others are created to join it.
fn raise_pause(all: &Containers<'_>, input: &StepInput<'_>, plan: &mut Plan<'_>) {
    if !needs_pause(input.spec) || all.pause_busy {
        return;
    }
    let container = PAUSE_CONTAINER.to_owned();
    let cause = "the task's containers share its namespaces";
    let networked =
        input.spec.network_mode != NetworkMode::Awsvpc || input.facts.network == Readiness::Ready;
    match all.pause {
        None => match input.facts.pause_image {
            Readiness::Missing => plan.want(Action::new(Call::ImportPauseImage, cause)),
            Readiness::Ready if networked => {
                plan.want(Action::new(Call::Create { container }, cause));
            }
            _ => {}
        },
        Some(pause) if is_created(pause) && networked => {
            let id = pause.id.clone();
            plan.want(Action::new(Call::Start { container, id }, cause));
        }
        Some(_) => {}
    }
}

fn is_created(pause: &ObservedContainer) -> bool {
    pause.state == ContainerState::Created
}

/// Whether the network that a container is attached to is there, if it is attached to any.
fn is_networked(known: &Known<'_>, input: &StepInput<'_>) -> bool {
    !on_network(known.spec, input.spec) || input.facts.network == Readiness::Ready
}

fn may_create(known: &Known<'_>, all: &Containers<'_>, input: &StepInput<'_>) -> bool {
    let network = is_networked(known, input);
    let pause = !needs_pause(input.spec) || all.pause.is_some();
    let volumes =
        mounted(known.spec, input.spec).all(|volume| readiness(volume, input) == Readiness::Ready);
    let sources = order::created_before(known.spec)
        .all(|name| all.get(name).is_none_or(|source| source.observed.is_some()));
    let image = need(known.spec, input) == Need::Ready;
    image && network && pause && volumes && sources
}

/// Starts what may start. Nothing does before everything exists: a task with a container that cannot be created has then
/// run nothing.
fn start(all: &Containers<'_>, input: &StepInput<'_>, plan: &mut Plan<'_>) {
    let pause_runs = !needs_pause(input.spec)
        || all
            .pause
            .is_some_and(|pause| pause.state == ContainerState::Running);
    let all_exist = all.all.iter().all(|known| known.phase != Phase::Absent);
    for known in &all.all {
        let Some(found) = known.observed.filter(|_| !known.busy) else {
            continue;
        };
        if !is_networked(known, input) {
            continue;
        }
        let call = Call::Start {
            container: known.spec.name.clone(),
            id: found.id.clone(),
        };
        match known.phase {
            Phase::Restarting => {
                let code = found.exit_code.unwrap_or_default();
                let cause = format!("its restart policy, after exit code {code}");
                plan.want(Action::new(call, cause));
            }
            Phase::Created => match order::gate(known.spec, all, input.now) {
                Gate::Open if all_exist && pause_runs => {
                    let cause = order::waited_for(known.spec)
                        .unwrap_or_else(|| "the task is to run".to_owned());
                    plan.want(Action::new(call, cause));
                }
                Gate::Waiting(Some(at)) => plan.wake(at),
                _ => {}
            },
            _ => {}
        }
    }
}
