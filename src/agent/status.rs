//! What is reported of a task (semantics §4.1–10): from what is known of its containers, never backwards.

use std::collections::BTreeSet;

use super::facts::{ImageFact, StepInput};
use super::known::{Containers, Known, Phase, WITHHELD};
use super::pulling::{Need, need};
use super::stop::{self, Stop};
use crate::engine::{ContainerState, ObservedContainer, translate};
use crate::model::{
    ContainerStatus, DesiredStatus, HealthStatus, LastStatus, NetworkBinding, NetworkMode,
    PortMapping, Protocol, StopCode, TaskStatus, Timestamp,
};

const REMOVED: &str = "the container was removed from outside";
const PAUSED: &str = "the container was paused from outside";
const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

/// The status that follows. `logs_pending`: lines that explain the stop are still being read, and a stopped task's status is
/// its last.
pub(super) fn report(
    all: &Containers<'_>,
    stop: Option<&Stop>,
    lines: Vec<String>,
    logs_pending: bool,
    input: &StepInput<'_>,
) -> TaskStatus {
    let (prior, now) = (input.prior, input.now);
    let reached = match stop {
        None => coming_up(all),
        Some(_) => going_down(all, logs_pending),
    };
    let last_status = prior.last_status.max(reached);
    let health = task_health(all);
    let (pull_started_at, pull_stopped_at) = pulls(input);
    TaskStatus {
        last_status,
        health,
        containers: all
            .all
            .iter()
            .map(|known| container(known, all, last_status, input))
            .collect(),
        pull_started_at: prior.pull_started_at.or(pull_started_at),
        pull_stopped_at: pull_stopped_at.or(prior.pull_stopped_at),
        started_at: prior
            .started_at
            .or_else(|| started_at(all, stop, last_status, input)),
        healthy_at: prior
            .healthy_at
            .or_else(|| (health == HealthStatus::Healthy).then_some(now)),
        stopping_at: prior.stopping_at.or_else(|| stop.map(|_| now)),
        execution_stopped_at: prior
            .execution_stopped_at
            .or_else(|| execution_stopped_at(all)),
        stopped_at: prior
            .stopped_at
            .or_else(|| (last_status == LastStatus::Stopped).then_some(now)),
        stop_code: stop.map(|stop| stop.code),
        stopped_reason: stop.map(|stop| stop.reason.clone()),
        last_log_lines: lines,
    }
}

/// A task is RUNNING only when every container runs, or has run (semantics §4.3).
fn coming_up(all: &Containers<'_>) -> LastStatus {
    let exists = |known: &Known<'_>| known.phase != Phase::Absent;
    if all.all_up() {
        LastStatus::Running
    } else if all.all.iter().all(exists) {
        LastStatus::Activating
    } else {
        LastStatus::Pending
    }
}

/// STOPPED only when every container is (semantics §4.5), and the pause container is gone.
fn going_down(all: &Containers<'_>, logs_pending: bool) -> LastStatus {
    if !stop::is_down(all) {
        LastStatus::Stopping
    } else if all.pause.is_some() || all.pause_busy || logs_pending {
        LastStatus::Deprovisioning
    } else {
        LastStatus::Stopped
    }
}

/// When the task became RUNNING. An agent that brought it up says when; one that found it running (a store that was lost)
/// takes the engine's word. A task whose containers all ran, and ended before anybody looked, was RUNNING too.
fn started_at(
    all: &Containers<'_>,
    stop: Option<&Stop>,
    last_status: LastStatus,
    input: &StepInput<'_>,
) -> Option<Timestamp> {
    let ran =
        stop.is_some_and(|stop| stop.code == StopCode::EssentialContainerExited) && all.all_up();
    if last_status != LastStatus::Running && !ran {
        return None;
    }
    if input.prior.last_status != LastStatus::Provisioning && !ran {
        return Some(input.now);
    }
    let started = all.all.iter().filter_map(Known::started_at).max();
    Some(started.map_or(input.now, |at| at.min(input.now)))
}

/// When the essential container ended (semantics §4.5): the first of several.
fn execution_stopped_at(all: &Containers<'_>) -> Option<Timestamp> {
    all.all
        .iter()
        .filter(|known| known.spec.essential && known.phase == Phase::Ended)
        .filter_map(Known::finished_at)
        .min()
}

/// HEALTHY when all essential containers with a health check are; one that is not decides (semantics §4.10).
fn task_health(all: &Containers<'_>) -> HealthStatus {
    let judged: Vec<HealthStatus> = all
        .all
        .iter()
        .filter(|known| known.spec.essential && known.spec.health_check.is_some())
        .map(Known::health)
        .collect();
    if judged.contains(&HealthStatus::Unhealthy) {
        HealthStatus::Unhealthy
    } else if judged.is_empty() || judged.contains(&HealthStatus::Unknown) {
        HealthStatus::Unknown
    } else {
        HealthStatus::Healthy
    }
}

/// The first pull's beginning, and the last one's end once none is under way.
fn pulls(input: &StepInput<'_>) -> (Option<Timestamp>, Option<Timestamp>) {
    let images: BTreeSet<String> = input
        .spec
        .containers
        .iter()
        .map(|container| translate::image(input.record, container))
        .collect();
    let mut started: Option<Timestamp> = None;
    let mut stopped: Option<Timestamp> = None;
    let mut under_way = false;
    for fact in images.iter().filter_map(|i| input.facts.images.get(i)) {
        let (from, to) = match fact {
            ImageFact::Pulling { since } => {
                under_way = true;
                (*since, None)
            }
            // Pulled before this task was ordered: for some other task.
            ImageFact::Present {
                pulled: Some((from, to)),
                ..
            } if *to >= input.record.created_at => (*from, Some(*to)),
            _ => continue,
        };
        started = Some(started.map_or(from, |at| at.min(from)));
        stopped = stopped.max(to);
    }
    (started, stopped.filter(|_| !under_way))
}

fn container(
    known: &Known<'_>,
    all: &Containers<'_>,
    task: LastStatus,
    input: &StepInput<'_>,
) -> ContainerStatus {
    let nothing = ContainerStatus::default();
    let prior = known.prior.unwrap_or(&nothing);
    let ended = matches!(known.phase, Phase::Ended | Phase::Failed(_));
    let restarted = restarted(known, prior);
    let network = network_of(known, all, input.spec.network_mode);
    ContainerStatus {
        name: known.spec.name.clone(),
        runtime_id: known
            .observed
            .map(|found| found.id.clone())
            .or_else(|| prior.runtime_id.clone()),
        image_digest: prior.image_digest.clone().or_else(|| digest(known, input)),
        last_status: match known.phase {
            Phase::Running | Phase::Restarting => LastStatus::Running,
            Phase::Ended | Phase::Failed(_) => LastStatus::Stopped,
            // Its turn never came.
            Phase::Absent | Phase::Created if task == LastStatus::Stopped => LastStatus::Stopped,
            Phase::Absent | Phase::Created => LastStatus::Pending,
        },
        health: known.health(),
        exit_code: known.exit_code(),
        reason: reason(known, prior, input),
        network_bindings: network.as_ref().map_or_else(
            || prior.network_bindings.clone(),
            |found| bindings(known, found, input.spec.network_mode),
        ),
        address: network.and_then(address).or_else(|| prior.address.clone()),
        started_at: known.started_at(),
        finished_at: if !ended {
            None
        } else if known.phase == Phase::Ended {
            known.finished_at().or(Some(input.now))
        } else {
            known.finished_at()
        },
        restart_count: prior.restart_count + u32::from(restarted.is_some()),
        last_restart_at: restarted.or(prior.last_restart_at),
    }
}

/// The digest of the image that the container has, or is about to be created from.
fn digest(known: &Known<'_>, input: &StepInput<'_>) -> Option<String> {
    if let Some(seen) = input.facts.digests.get(&known.spec.name) {
        return seen.clone();
    }
    let image = translate::image(input.record, known.spec);
    match input.facts.images.get(&image)? {
        // What the engine has while a registry is still to be asked may not be what will be run.
        ImageFact::Present { digest, .. } if need(known.spec, input) == Need::Ready => {
            digest.clone()
        }
        _ => None,
    }
}

/// When the container was started again since the last look: the same container with another start. Seen rather than
/// remembered, so a crash between a restart and its record changes nothing.
fn restarted(known: &Known<'_>, prior: &ContainerStatus) -> Option<Timestamp> {
    let found = known.observed?;
    let same = prior.runtime_id.as_deref() == Some(&found.id);
    let (before, after) = (prior.started_at?, found.started_at?);
    (same && before != after).then_some(after)
}

fn reason(known: &Known<'_>, prior: &ContainerStatus, input: &StepInput<'_>) -> Option<String> {
    // It was killed by its removal, and seen in between; nobody had ordered the task to stop.
    let killed_by_removal = prior.exit_code == Some(stop::KILLED)
        && prior.reason.is_none()
        && input.prior.last_status != LastStatus::Stopped
        && input.record.desired == DesiredStatus::Running;
    match (&known.phase, known.observed) {
        (Phase::Failed(failure), _) => failure.reason.clone(),
        (Phase::Ended, Some(found)) if found.oom_killed => Some(OUT_OF_MEMORY.to_owned()),
        (Phase::Ended, Some(found)) if !found.error.is_empty() => {
            Some(if known.spec.has_secret_options() {
                WITHHELD.to_owned()
            } else {
                found.error.clone()
            })
        }
        // An agent removes only what has no record any more, so somebody else does this.
        (Phase::Ended, Some(found)) if found.state == ContainerState::Removing => {
            Some(REMOVED.to_owned())
        }
        (Phase::Ended, Some(_)) => None,
        (Phase::Ended, None) if killed_by_removal => Some(REMOVED.to_owned()),
        // It was seen ended before it was removed: how it ended counts.
        (Phase::Ended, None) if prior.last_status == LastStatus::Stopped => prior.reason.clone(),
        (Phase::Ended, None) => Some(REMOVED.to_owned()),
        (Phase::Running, Some(found)) if found.state == ContainerState::Paused => {
            Some(PAUSED.to_owned())
        }
        (Phase::Running, Some(found)) if known.health() == HealthStatus::Unhealthy => {
            let output = found.health_output.as_deref().unwrap_or_default().trim();
            Some(match output.lines().next() {
                Some(line) => format!("the health check fails: {line}"),
                None => "the health check fails".to_owned(),
            })
        }
        _ => None,
    }
}

/// The container whose network is this one's, while it runs.
fn network_of<'a>(
    known: &Known<'a>,
    all: &Containers<'a>,
    mode: NetworkMode,
) -> Option<&'a ObservedContainer> {
    let own = known.observed.filter(|_| known.phase == Phase::Running);
    match mode {
        NetworkMode::Awsvpc => own.and(all.pause),
        _ => own,
    }
}

fn address(found: &ObservedContainer) -> Option<String> {
    found
        .addresses
        .values()
        .find(|address| !address.is_empty())
        .cloned()
}

fn bindings(
    known: &Known<'_>,
    found: &ObservedContainer,
    mode: NetworkMode,
) -> Vec<NetworkBinding> {
    let mappings = &known.spec.port_mappings;
    let mapped: BTreeSet<(u16, Protocol)> = mappings
        .iter()
        .filter(|mapping| mapping.count() == 1)
        .map(|mapping| (mapping.container_port, mapping.protocol))
        .collect();
    if mode == NetworkMode::Host {
        return mapped
            .into_iter()
            .map(|(port, protocol)| NetworkBinding {
                bind_ip: "0.0.0.0".to_owned(),
                container_port: port,
                host_port: port,
                protocol,
                count: 1,
            })
            .collect();
    }
    let mut ports: Vec<_> = found
        .ports
        .iter()
        .filter(|port| mapped.contains(&(port.container_port, port.protocol)))
        .collect();
    ports.sort();
    let single = ports.into_iter().map(|port| NetworkBinding {
        bind_ip: port.host_ip.clone(),
        container_port: port.container_port,
        host_port: port.host_port,
        protocol: port.protocol,
        count: 1,
    });
    let ranges = mappings
        .iter()
        .filter(|mapping| mapping.count() > 1)
        .flat_map(|mapping| range_bindings(mapping, found));
    single.chain(ranges).collect()
}

/// A range is one binding for each address of the host, named by its first port.
fn range_bindings(
    mapping: &PortMapping,
    found: &ObservedContainer,
) -> impl Iterator<Item = NetworkBinding> {
    let mut firsts: Vec<_> = found
        .ports
        .iter()
        .filter(|port| {
            port.container_port == mapping.container_port && port.protocol == mapping.protocol
        })
        .collect();
    firsts.sort();
    firsts.into_iter().map(|port| NetworkBinding {
        bind_ip: port.host_ip.clone(),
        container_port: port.container_port,
        host_port: port.host_port,
        protocol: port.protocol,
        count: mapping.count(),
    })
}
