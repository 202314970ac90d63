//! When everything is at rest (P4): of each service exactly what the folder says runs, and nothing is left over that nobody
//! remembers.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;
use longshore::engine::{ContainerState, ObservedContainer, labels};
use longshore::model::HealthStatus;
use longshore::store::{Key, Store};

use super::folder::{Folder, Service};
use super::judge::VERSION;
use super::process::Outside;
use super::world::is_ours;

/// Why it is not at rest.
pub fn check(outside: &Outside, folder: &Folder) -> Result<(), String> {
    let containers: Vec<ObservedContainer> = outside
        .engines
        .iter()
        .flat_map(|(_, engine)| engine.containers())
        .filter(|container| is_ours(&container.labels))
        .collect();
    let mut tasks: BTreeMap<&str, Vec<&ObservedContainer>> = BTreeMap::new();
    for container in &containers {
        match container.labels.get(labels::TASK) {
            Some(task) => tasks.entry(task).or_default().push(container),
            None if container.state == ContainerState::Running => {}
            None => return Err(format!("{} is left over", container.name)),
        }
    }
    leases(outside, &containers)?;
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (task, containers) in &tasks {
        if !containers.iter().any(|container| is_running(container)) {
            continue;
        }
        let service = label(containers[0], labels::SERVICE);
        let wanted = folder
            .services
            .get(service)
            .ok_or_else(|| format!("{task} runs for {service:?}"))?;
        is_as_wanted(task, containers, wanted)?;
        *counts.entry(service).or_default() += 1;
    }
    for (name, service) in &folder.services {
        let count = counts.get(name.as_str()).copied().unwrap_or(0);
        if count != service.desired {
            return Err(format!(
                "{name} has {count} tasks and wants {}",
                service.desired
            ));
        }
    }
    remembered(outside, tasks.into_keys())
}

fn is_running(container: &ObservedContainer) -> bool {
    container.state == ContainerState::Running
}

fn label<'a>(container: &'a ObservedContainer, name: &str) -> &'a str {
    container.labels.get(name).map_or("", String::as_str)
}

fn is_as_wanted(
    task: &str,
    containers: &[&ObservedContainer],
    wanted: &Service,
) -> Result<(), String> {
    for name in wanted.essential() {
        let mut of_name = containers
            .iter()
            .filter(|c| label(c, labels::CONTAINER) == *name);
        let (Some(container), None) = (of_name.next(), of_name.next()) else {
            return Err(format!("{task} has not exactly one {name}"));
        };
        if !is_running(container) {
            return Err(format!("{name} of {task} does not run"));
        }
        if *name != "app" {
            continue;
        }
        if label(container, VERSION) != wanted.version.to_string() {
            return Err(format!(
                "{task} runs version {}, not {}",
                label(container, VERSION),
                wanted.version
            ));
        }
        if wanted.check && container.health != HealthStatus::Healthy {
            return Err(format!("{task} is {:?}", container.health));
        }
    }
    Ok(())
}

/// One lease an engine, no more.
fn leases(outside: &Outside, containers: &[ObservedContainer]) -> Result<(), String> {
    let held = containers
        .iter()
        .filter(|c| c.labels.contains_key(labels::LEASE))
        .count();
    match held <= outside.engines.len() {
        true => Ok(()),
        false => Err(format!("{held} leases")),
    }
}

/// What is left of tasks that are over, volumes, networks: everything has a task in the store.
fn remembered<'a>(outside: &Outside, tasks: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let listing = outside
        .store
        .list("")
        .now_or_never()
        .and_then(Result::ok)
        .expect("a memory store answers at once");
    let known: BTreeSet<String> = listing
        .items
        .iter()
        .filter_map(|item| match Key::parse(&item.key)? {
            Key::Task(_, id) => Some(id.to_string()),
            _ => None,
        })
        .collect();
    for task in tasks {
        if !known.contains(task) {
            return Err(format!(
                "containers of {task} are left, and nobody knows it"
            ));
        }
    }
    for (name, engine) in &outside.engines {
        for volume in engine
            .volumes()
            .iter()
            .filter(|volume| is_ours(&volume.labels))
        {
            if !volume
                .labels
                .get(labels::TASK)
                .is_some_and(|task| known.contains(task))
            {
                return Err(format!("volume {} on {name} is left over", volume.name));
            }
        }
        let networks = engine
            .networks()
            .iter()
            .filter(|network| is_ours(&network.labels))
            .count();
        if networks > 1 {
            return Err(format!("{networks} networks on {name}"));
        }
    }
    Ok(())
}
