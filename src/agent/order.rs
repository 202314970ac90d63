//! In which order containers start and stop (semantics §4.11, 13–15).

use std::collections::BTreeMap;
use std::time::Duration;

use super::known::{Containers, Known, Phase};
use crate::model::{Condition, ContainerSpec, HealthStatus, TaskSpec, Timestamp};

/// What a container needs of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// That it exists (`volumesFrom`).
    Created,
    /// `dependsOn`; a link counts as START.
    Condition(Condition),
}

/// Whether a container may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gate {
    /// Now.
    Open,
    /// Not yet; at that instant a time-out falls due.
    Waiting(Option<Timestamp>),
    /// Never, and why.
    Never(String),
}

fn needs(container: &ContainerSpec) -> impl Iterator<Item = (&str, Need)> {
    let depends = container
        .depends_on
        .iter()
        .map(|d| (d.container.as_str(), Need::Condition(d.condition)));
    let links = container.links.iter().map(|link| {
        let name = link.split_once(':').map_or(link.as_str(), |(name, _)| name);
        (name, Need::Condition(Condition::Start))
    });
    let volumes = container
        .volumes_from
        .iter()
        .map(|(name, _)| (name.as_str(), Need::Created));
    depends.chain(links).chain(volumes)
}

/// Why the graph can never be resolved (a missing name, a cycle); `None`: it can.
pub(super) fn problem(spec: &TaskSpec) -> Option<String> {
    for container in &spec.containers {
        for (name, _) in needs(container) {
            if spec.container(name).is_none() {
                return Some(format!(
                    "container {} depends on {name}, which the task does not have",
                    container.name
                ));
            }
        }
    }
    // Take away what depends on nothing that is left, until nothing is left or nothing can be taken.
    let mut left: BTreeMap<&str, &ContainerSpec> = spec
        .containers
        .iter()
        .map(|container| (container.name.as_str(), container))
        .collect();
    while !left.is_empty() {
        let free: Vec<&str> = left
            .iter()
            .filter(|(_, container)| needs(container).all(|(name, _)| !left.contains_key(name)))
            .map(|(name, _)| *name)
            .collect();
        if free.is_empty() {
            let names: Vec<&str> = left.keys().copied().collect();
            return Some(format!(
                "the containers {} depend on each other in a circle",
                names.join(", ")
            ));
        }
        for name in free {
            left.remove(name);
        }
    }
    None
}

/// The containers whose volumes this one mounts: they must exist before it can be created.
pub(super) fn created_before(container: &ContainerSpec) -> impl Iterator<Item = &str> {
    container.volumes_from.iter().map(|(name, _)| name.as_str())
}

/// Whether `container` may start. HEALTHY is only looked at here, before the start: what becomes of the dependency later
/// does not matter (semantics §4.11).
pub(super) fn gate(container: &ContainerSpec, all: &Containers<'_>, now: Timestamp) -> Gate {
    let mut waiting = false;
    let mut wake: Option<Timestamp> = None;
    for (name, need) in needs(container) {
        let Some(dependency) = all.get(name) else {
            continue;
        };
        match met(need, dependency) {
            Gate::Open => {}
            Gate::Never(reason) => return Gate::Never(reason),
            Gate::Waiting(_) => {
                waiting = true;
                match deadline(need, dependency) {
                    Some(at) if at <= now => {
                        return Gate::Never(format!(
                            "dependency {name} was not {} within its startTimeout of {} s",
                            word(need),
                            dependency.spec.start_timeout.unwrap_or_default()
                        ));
                    }
                    Some(at) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                    None => {}
                }
            }
        }
    }
    if waiting {
        Gate::Waiting(wake)
    } else {
        Gate::Open
    }
}

fn met(need: Need, dependency: &Known<'_>) -> Gate {
    let name = &dependency.spec.name;
    if let Phase::Failed(_) = dependency.phase {
        return Gate::Never(format!("dependency {name} never started"));
    }
    let condition = match need {
        Need::Created if dependency.phase == Phase::Absent => return Gate::Waiting(None),
        Need::Created => return Gate::Open,
        Need::Condition(condition) => condition,
    };
    match (condition, &dependency.phase) {
        (Condition::Start, Phase::Running | Phase::Restarting | Phase::Ended)
        | (Condition::Complete, Phase::Ended) => Gate::Open,
        (Condition::Success, Phase::Ended) => match dependency.exit_code() {
            Some(0) => Gate::Open,
            Some(code) => Gate::Never(format!("dependency {name} ended with exit code {code}")),
            None => Gate::Never(format!("dependency {name} was removed")),
        },
        (Condition::Healthy, Phase::Running) if dependency.health() == HealthStatus::Healthy => {
            Gate::Open
        }
        (Condition::Healthy, Phase::Ended) => {
            Gate::Never(format!("dependency {name} ended before it was healthy"))
        }
        _ => Gate::Waiting(None),
    }
}

/// When the dependency's `startTimeout` ends, where this need is subject to it.
fn deadline(need: Need, dependency: &Known<'_>) -> Option<Timestamp> {
    match need {
        Need::Created | Need::Condition(Condition::Start) => None,
        Need::Condition(_) => {
            let seconds = dependency.spec.start_timeout?;
            let started = dependency.started_at()?;
            Some(started.plus(Duration::from_secs(u64::from(seconds))))
        }
    }
}

const fn word(need: Need) -> &'static str {
    match need {
        Need::Created => "created",
        Need::Condition(Condition::Start) => "running",
        Need::Condition(Condition::Complete) => "complete",
        Need::Condition(Condition::Success) => "successful",
        Need::Condition(Condition::Healthy) => "healthy",
    }
}

/// What let a container start, for people: `after migrate was successful`; `None` where it waited for nothing.
pub(super) fn waited_for(container: &ContainerSpec) -> Option<String> {
    let parts: Vec<String> = needs(container)
        .filter(|(_, need)| *need != Need::Created)
        .map(|(name, need)| format!("{name} is {}", word(need)))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Whether `name` may be stopped: every container that depends on it is down (semantics §4.15).
pub(super) fn may_stop(name: &str, all: &Containers<'_>) -> bool {
    all.all
        .iter()
        .filter(|other| needs(other.spec).any(|(of, _)| of == name))
        .all(Known::is_down)
}

/// The dependency that kept `container` from starting: the first that its conditions were not met by, though it ran.
pub(super) fn at_fault<'k, 'a>(
    container: &ContainerSpec,
    all: &'k Containers<'a>,
) -> Option<&'k Known<'a>> {
    needs(container)
        .filter_map(|(name, need)| Some((all.get(name)?, need)))
        .find(|(dependency, need)| {
            dependency.started_at().is_some() && met(*need, dependency) != Gate::Open
        })
        .map(|(dependency, _)| dependency)
}
