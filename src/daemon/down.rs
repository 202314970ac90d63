//! Removing everything that this Longshore owns, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Shared;
use super::clusters::Clusters;
use super::instance::InstanceState;
use crate::controller::StopError;
use crate::engine::{
    EngineError, EngineResult, ErrorKind, ObservedContainer, SharedEngine, labels,
};
use crate::model::{
    ClusterName, ClusterSpec, Desired, DesiredStatus, EngineEndpoint, InstanceId, ServiceStatus,
    Source, TaskId,
};
use crate::store::{StoreError, Txn, keys};

/// How long tasks on an instance that does not answer hold the others up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long containers that nothing knows, and networks that the engine still holds for use, are waited for.
const REST_WITHIN: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// Drains every service and stops every standalone task, then removes what is left of this owner on the engines: networks, and
/// volumes with `volumes`. Returns what could not be removed and why; all else is gone then. It comes to an end also with
/// engines that do not answer.
///
/// The last good manifests are forgotten first: a restart in the middle must not bring back what was asked to go.
pub async fn run(
    shared: &Arc<Shared>,
    clusters: &Arc<Clusters>,
    volumes: bool,
    say: mpsc::UnboundedSender<String>,
) -> Result<Vec<String>, String> {
    let tell = |text: String| {
        let _ = say.send(text);
    };
    shared.removing.cancel();
    let _reading = shared.reading.lock().await;
    forget(shared).await.map_err(|e| e.to_string())?;
    let mut left = Vec::new();
    let engines = Everywhere::find(shared, &mut left).await;
    let nothing = Arc::new(nothing_but_clusters(shared, &engines));
    clusters.follow(&nothing).await;
    shared.controller.set_desired(nothing);

    left.extend(stopped(shared, clusters, &tell).await?);
    purge(shared).await.map_err(|e| e.to_string())?;
    for engine in &engines.0 {
        left.extend(containers_gone(shared, engine).await);
    }
    clusters.stop().await;
    for engine in &engines.0 {
        left.extend(remove_rest(shared, engine, volumes, &tell).await);
    }
    if left.is_empty() {
        let epoch = shared.store.acquire("folder").await;
        let epoch = epoch.map_err(|e| e.to_string())?;
        let names: Vec<_> = shared.view.read().clusters.keys().cloned().collect();
        for name in names {
            let txn = Txn::new(&epoch).delete(keys::cluster(&name));
            txn.commit(&shared.store).await.map_err(|e| e.to_string())?;
        }
    }
    Ok(left)
}

/// Every engine that something of this owner may be on: the local one, and all that a cluster names. With the clusters that
/// its containers there are of.
struct Everywhere(Vec<SharedEngine>, BTreeSet<ClusterName>);

impl Everywhere {
    async fn find(shared: &Shared, left: &mut Vec<String>) -> Self {
        let mut endpoints = vec![EngineEndpoint::Local];
        {
            let state = shared.view.read();
            let declared = state.clusters.values().flat_map(|spec| &spec.instances);
            // Also those that left their cluster and still have tasks.
            let registered = state.instances.values();
            let registered = registered.filter_map(|entry| entry.instance.as_ref()?.spec.as_ref());
            for instance in declared.chain(registered) {
                if !endpoints.contains(&instance.endpoint) {
                    endpoints.push(instance.endpoint.clone());
                }
            }
        }
        let mut engines: Vec<SharedEngine> = Vec::new();
        let mut names = BTreeSet::new();
        let owned = [(labels::OWNER.to_owned(), shared.owner.clone())];
        for endpoint in endpoints {
            let found = async {
                let engine = shared.engines.get(&endpoint).await?;
                let containers = engine.list_containers(&owned).await?;
                Ok::<_, EngineError>((engine, containers))
            };
            match found.await {
                Ok((engine, containers)) => {
                    let of = |c: &ObservedContainer| c.labels.get(labels::CLUSTER).cloned();
                    names.extend(containers.iter().filter_map(of).map(ClusterName::new));
                    if !engines.iter().any(|known| Arc::ptr_eq(known, &engine)) {
                        engines.push(engine);
                    }
                }
                Err(error) => left.push(format!("whatever is on an engine: {error}")),
            }
        }
        Self(engines, names)
    }
}

/// Orders every standalone task to stop that was not: no service's plan does.
async fn stop_standalone(shared: &Shared) -> Result<(), String> {
    let running: Vec<(ClusterName, TaskId)> = shared
        .view
        .read()
        .tasks
        .iter()
        .filter(|(_, entry)| entry.record.service.is_none())
        .filter(|(_, entry)| entry.record.desired == DesiredStatus::Running)
        .map(|(key, _)| key.clone())
        .collect();
    for (cluster, id) in running {
        let order = shared.controller.stop_task(&cluster, &id, "longshore down");
        match order.await {
            Ok(_) | Err(StopError::Unknown) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// Waits until every task is over that can be stopped; returns those that cannot.
async fn stopped(
    shared: &Shared,
    clusters: &Clusters,
    tell: &impl Fn(String),
) -> Result<Vec<String>, String> {
    let mut changes = shared.view.subscribe();
    let mut said = 0;
    let begun = tokio::time::Instant::now();
    loop {
        // Each time: one may have been taken over, or recorded just before.
        stop_standalone(shared).await?;
        let working: BTreeSet<(ClusterName, InstanceId)> = clusters
            .reports()
            .borrow()
            .iter()
            .filter(|report| matches!(report.state, InstanceState::Ready | InstanceState::Settling))
            .map(|report| (report.cluster.clone(), report.instance.clone()))
            .collect();
        let (within_reach, beyond) = {
            let state = shared.view.read();
            let mut beyond = Vec::new();
            let mut within_reach = 0;
            for ((cluster, id), task) in &state.tasks {
                if task
                    .status
                    .as_ref()
                    .is_some_and(|status| status.is_stopped())
                {
                    continue;
                }
                let instance = task.record.instance.clone();
                if working.contains(&(cluster.clone(), instance.clone())) {
                    within_reach += 1;
                } else {
                    beyond.push(format!(
                        "task {id} on instance {instance} of cluster {cluster}: its engine does not answer"
                    ));
                }
            }
            // A service that has no task left is drained in a moment, where its cluster is decided about at all.
            let draining = state.services.iter().filter(|((cluster, _), service)| {
                service.status == ServiceStatus::Active && !shared.controller.is_closed(cluster)
            });
            (within_reach + draining.count(), beyond)
        };
        if within_reach == 0 && (beyond.is_empty() || begun.elapsed() >= PATIENCE) {
            return Ok(beyond);
        }
        let count = within_reach + beyond.len();
        if count != said {
            let s = if count == 1 { "" } else { "s" };
            tell(format!("{count} task{s} to stop"));
            said = count;
        }
        // A message that was missed is made up for by the next look.
        let _ = tokio::time::timeout(Duration::from_secs(1), changes.recv()).await;
    }
}

/// Forgets tasks that are over, services and their events at once, not after the time that removed services are kept for: the agents then
/// remove what is left of the tasks.
async fn purge(shared: &Shared) -> Result<(), StoreError> {
    let epoch = shared.store.acquire("down").await?;
    loop {
        let keys: Vec<String> = {
            let state = shared.view.read();
            let over = state.tasks.iter().filter(|(_, task)| {
                let status = task.status.as_ref();
                status.is_some_and(|status| status.is_stopped())
            });
            let tasks = over.flat_map(|((cluster, id), _)| {
                [
                    keys::task(cluster, id),
                    keys::task_status(cluster, id),
                    keys::task_lost(cluster, id),
                    keys::task_protection(cluster, id),
                ]
            });
            let services = state
                .services
                .keys()
                .map(|(cluster, name)| keys::service(cluster, name));
            let events = state.events.iter().flat_map(|((cluster, name), events)| {
                events
                    .keys()
                    .map(move |seq| keys::event(cluster, name, *seq))
            });
            let overrides = state.overrides.keys();
            let overrides = overrides.map(|(cluster, name)| keys::service_overrides(cluster, name));
            tasks
                .chain(services)
                .chain(overrides)
                .chain(events)
                .collect()
        };
        if keys.is_empty() {
            return Ok(());
        }
        for chunk in keys.chunks(90) {
            let txn = chunk
                .iter()
                .fold(Txn::new(&epoch), |txn, key| txn.delete(key.clone()));
            let revision = txn.commit(&shared.store).await?;
            let _ = shared.view.caught_up(revision).await;
        }
    }
}

async fn forget(shared: &Shared) -> Result<(), StoreError> {
    let epoch = shared.store.acquire("folder").await?;
    let known: Vec<_> = shared.view.read().last_good.keys().cloned().collect();
    for chunk in known.chunks(90) {
        let txn = chunk.iter().fold(Txn::new(&epoch), |txn, key| {
            txn.delete(keys::last_good(key))
        });
        let revision = txn.commit(&shared.store).await?;
        let _ = shared.view.caught_up(revision).await;
    }
    Ok(())
}

/// A folder with no services: the clusters that the store knows, and those that only an engine knows (a lost store).
fn nothing_but_clusters(shared: &Shared, engines: &Everywhere) -> Desired {
    let mut desired = Desired::default();
    let state = shared.view.read();
    for (name, spec) in &state.clusters {
        let spec = (*spec.value).clone();
        desired
            .clusters
            .insert(name.clone(), (spec, Source::default()));
    }
    for name in &engines.1 {
        desired.clusters.entry(name.clone()).or_insert_with(|| {
            let mut spec = ClusterSpec::named(name.clone());
            // Anything but empty, so that the cluster counts as declared and its engine is looked at.
            spec.manifest_hash = "down".to_owned();
            (spec, Source::default())
        });
    }
    desired
}

/// Waits until the agents have taken their containers away; returns those that stay.
async fn containers_gone(shared: &Shared, engine: &SharedEngine) -> Vec<String> {
    let owned = [
        (labels::OWNER.to_owned(), shared.owner.clone()),
        (labels::TASK.to_owned(), String::new()),
    ];
    let begun = tokio::time::Instant::now();
    loop {
        let (left, why) = match engine.list_containers(&owned).await {
            Ok(left) if left.is_empty() => return Vec::new(),
            Ok(left) => (left, "it is still there".to_owned()),
            Err(error) => (Vec::new(), error.to_string()),
        };
        if begun.elapsed() >= REST_WITHIN {
            if left.is_empty() {
                return vec![format!("containers: {why}")];
            }
            let name = |c: &ObservedContainer| format!("container {}: {why}", c.name);
            return left.iter().map(name).collect();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Removes networks and volumes; returns what stays.
async fn remove_rest(
    shared: &Shared,
    engine: &SharedEngine,
    volumes: bool,
    tell: &impl Fn(String),
) -> Vec<String> {
    let owned = [(labels::OWNER.to_owned(), shared.owner.clone())];
    let mut left = Vec::new();
    match engine.list_networks(&owned).await {
        Ok(networks) => {
            for network in networks {
                match gone(|| engine.remove_network(&network.id)).await {
                    Ok(()) => tell(format!("removed network {}", network.name)),
                    Err(error) => left.push(format!("network {}: {}", network.name, error.message)),
                }
            }
        }
        Err(error) => left.push(format!("networks: {error}")),
    }
    match engine.list_volumes(&owned).await {
        Ok(kept) if !volumes => {
            for volume in kept {
                let name = volume.name;
                tell(format!("kept volume {name} (remove it with --volumes)"));
            }
        }
        Ok(found) => {
            for volume in found {
                match gone(|| engine.remove_volume(&volume.name)).await {
                    Ok(()) => tell(format!("removed volume {}", volume.name)),
                    Err(error) => left.push(format!("volume {}: {}", volume.name, error.message)),
                }
            }
        }
        Err(error) => left.push(format!("volumes: {error}")),
    }
    left
}

/// Removes something, again and again while the engine says that it is in use: it lets go of endpoints a moment after their
/// containers are gone.
async fn gone<'a, F>(remove: impl Fn() -> F) -> Result<(), EngineError>
where
    F: Future<Output = EngineResult<()>> + 'a,
{
    let begun = tokio::time::Instant::now();
    loop {
        match remove().await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            Err(error) if begun.elapsed() >= REST_WITHIN => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
