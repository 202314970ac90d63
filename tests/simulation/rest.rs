//! When everything is at rest (P4): of each service exactly what the folder says runs, and nothing is left over that nobody
//! remembers.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;
use longshore::engine::{ContainerState, ObservedContainer, labels};
use longshore::model::HealthStatus;
use longshore::store::Key;

use super::folder::{Folder, Kind, Service};
use super::oracles::Oracle;
use super::oracles::tasks::VERSION;
use super::process::Outside;
use super::world::is_ours;

/// Why it is not at rest: what is not so, and of which promise that is.
pub type Why = (Oracle, String);

/// Whether everything is at rest.
pub fn check(outside: &Outside, folder: &Folder) -> Result<(), Why> {
    let containers: Vec<ObservedContainer> = outside
        .engines
        .iter()
        .flat_map(|(_, engine)| engine.containers())
        .filter(|container| is_ours(&container.labels))
        .collect();
    let left = |what: String| Err((Oracle::Leftovers, what));
    let mut tasks: BTreeMap<&str, Vec<&ObservedContainer>> = BTreeMap::new();
    for container in &containers {
        match container.labels.get(labels::TASK) {
            Some(_) if is_forgotten(outside, folder, &container.labels) => {}
            Some(task) => tasks.entry(task).or_default().push(container),
            None if container.state == ContainerState::Running => {}
            None => return left(format!("{} is left over", container.name)),
        }
    }
    leases(folder, &containers)?;
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (task, containers) in &tasks {
        if !containers.iter().any(|container| is_running(container)) {
            continue;
        }
        let service = label(containers[0], labels::SERVICE);
        // What the user runs once is the user's business.
        if service.is_empty() {
            continue;
        }
        let wanted = folder.services.get(service);
        let wanted =
            wanted.ok_or_else(|| (Oracle::Converges, format!("{task} runs for {service:?}")))?;
        is_as_wanted(task, containers, wanted).map_err(|why| (Oracle::Converges, why))?;
        let instance = label(containers[0], labels::INSTANCE);
        places.entry(service).or_default().push(instance);
    }
    for (name, service) in &folder.services {
        let places = places.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        are_placed(name, service, places, folder).map_err(|why| (Oracle::Converges, why))?;
    }
    remembered(outside, folder, tasks.into_keys()).map_err(|why| (Oracle::Leftovers, why))
}

/// With a lost state went every mention of an instance that the folder no longer names: its engine is never asked again.
fn is_forgotten(outside: &Outside, folder: &Folder, of: &BTreeMap<String, String>) -> bool {
    let text = |name: &str| of.get(name).map_or("", String::as_str);
    let mut declared = folder.of_cluster(text(labels::CLUSTER));
    let is_declared = declared.any(|instance| instance.name == text(labels::INSTANCE));
    !is_declared && outside.record.seen().stores_lost > 0
}

/// As many as are wanted, and on instances that take tasks.
fn are_placed(
    name: &str,
    service: &Service,
    places: &[&str],
    folder: &Folder,
) -> Result<(), String> {
    let active: BTreeSet<&str> = folder
        .of_cluster(service.cluster)
        .filter(|instance| !instance.draining)
        .map(|instance| instance.name.as_str())
        .collect();
    let there: BTreeSet<&str> = places.iter().copied().collect();
    if let Some(other) = there.difference(&active).next() {
        return Err(format!("{name} has a task on {other}, which takes none"));
    }
    let wanted = match service.kind {
        Kind::Replica => service.desired as usize,
        Kind::Daemon => active.len(),
    };
    if places.len() != wanted {
        return Err(format!(
            "{name} has {} tasks and wants {wanted}",
            places.len()
        ));
    }
    match service.kind == Kind::Daemon && there.len() != wanted {
        true => Err(format!("{name} has two tasks on one instance")),
        false => Ok(()),
    }
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

/// One lease an instance, no more.
fn leases(folder: &Folder, containers: &[ObservedContainer]) -> Result<(), Why> {
    let held = containers
        .iter()
        .filter(|c| c.labels.contains_key(labels::LEASE))
        .count();
    // An instance that left the manifest is served for as long as its tasks are remembered, on an engine that is still there.
    match held <= folder.instances.len() + 4 {
        true => Ok(()),
        false => Err((Oracle::Leftovers, format!("{held} leases"))),
    }
}

/// What is left of tasks that are over, volumes, networks: everything has a task in the store.
fn remembered<'a>(
    outside: &Outside,
    folder: &Folder,
    tasks: impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    let store = outside.opened();
    let store = store.ok_or("the store is not open")?;
    let listing = store.list("").now_or_never().and_then(Result::ok);
    let listing = listing.ok_or("the store cannot be listed")?;
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
        let volumes = engine.volumes();
        for volume in volumes.iter().filter(|volume| is_ours(&volume.labels)) {
            let task = volume.labels.get(labels::TASK);
            let forgotten = is_forgotten(outside, folder, &volume.labels);
            if !forgotten && !task.is_some_and(|task| known.contains(task)) {
                return Err(format!("volume {} on {name} is left over", volume.name));
            }
        }
        // One a cluster, and an engine is in two at most.
        let networks = engine.networks();
        let networks = networks.iter().filter(|network| is_ours(&network.labels));
        let count = networks.count();
        if count > 2 {
            return Err(format!("{count} networks on {name}"));
        }
    }
    Ok(())
}
