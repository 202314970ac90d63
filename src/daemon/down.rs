//! Removing everything that this Longshore owns, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::Shared;
use super::clusters::Clusters;
use crate::controller::StopError;
use crate::engine::{ErrorKind, SharedEngine, labels};
use crate::model::{
    ClusterName, ClusterSpec, Desired, DesiredStatus, ServiceStatus, Source, TaskId,
};
use crate::store::{StoreError, TaskEntry, Txn, keys};

/// Drains every service and stops every standalone task, then removes what is left of this owner on the engines: networks, and volumes with `volumes`.
///
/// The last good manifests are forgotten first: a restart in the middle must not bring back what was asked to go.
pub async fn run(
    shared: &Arc<Shared>,
    clusters: &Arc<Clusters>,
    volumes: bool,
    say: mpsc::UnboundedSender<String>,
) -> Result<(), String> {
    let tell = |text: String| {
        let _ = say.send(text);
    };
    shared.removing.store(true, Ordering::SeqCst);
    forget(shared).await.map_err(|e| e.to_string())?;
    let nothing = nothing_but_clusters(shared, clusters).await?;
    clusters.follow(&nothing, true).await;
    shared.controller.set_desired(Arc::new(nothing));

    stopped(shared, &tell).await?;
    purge(shared).await.map_err(|e| e.to_string())?;
    let engines = shared.api_engines.all();
    for engine in &engines {
        containers_gone(shared, engine).await?;
    }
    clusters.stop().await;
    for engine in &engines {
        remove_rest(shared, engine, volumes, &tell).await?;
    }
    let epoch = shared
        .store
        .acquire("folder")
        .await
        .map_err(|e| e.to_string())?;
    let names: Vec<_> = shared.view.read().clusters.keys().cloned().collect();
    for name in names {
        Txn::new(&epoch)
            .delete(keys::cluster(&name))
            .commit(&shared.store)
            .await
            .map_err(|e| e.to_string())?;
    }
    Ok(())
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

/// Waits until every task is over.
async fn stopped(shared: &Shared, tell: &impl Fn(String)) -> Result<(), String> {
    let mut changes = shared.view.subscribe();
    let mut last = 0;
    loop {
        // Each time: one may have been taken over, or recorded just before.
        stop_standalone(shared).await?;
        let left = {
            let state = shared.view.read();
            let over = |task: &TaskEntry| {
                task.status
                    .as_ref()
                    .is_some_and(|status| status.is_stopped())
            };
            let active = state
                .services
                .values()
                .filter(|s| s.status == ServiceStatus::Active)
                .count();
            (
                state.tasks.values().filter(|task| !over(task)).count(),
                active,
            )
        };
        if left == (0, 0) {
            return Ok(());
        }
        if left.0 != last {
            tell(format!("{} tasks to stop", left.0));
            last = left.0;
        }
        // A message that was missed is made up for by the next look.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), changes.recv()).await;
    }
}

/// Forgets tasks, services and their events at once, not after the time that removed services are kept for: the agents then
/// remove what is left of the tasks.
async fn purge(shared: &Shared) -> Result<(), StoreError> {
    let epoch = shared.store.acquire("down").await?;
    loop {
        let keys: Vec<String> = {
            let state = shared.view.read();
            let tasks = state.tasks.keys().flat_map(|(cluster, id)| {
                [
                    keys::task(cluster, id),
                    keys::task_status(cluster, id),
                    keys::task_lost(cluster, id),
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
            tasks.chain(services).chain(events).collect()
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

/// A folder with no services: the clusters that the store knows, and those that only the local engine knows (a lost store).
async fn nothing_but_clusters(shared: &Shared, _clusters: &Clusters) -> Result<Desired, String> {
    let mut desired = Desired::default();
    {
        let state = shared.view.read();
        for (name, spec) in &state.clusters {
            desired
                .clusters
                .insert(name.clone(), ((*spec.value).clone(), Source::default()));
        }
    }
    let local = crate::model::EngineEndpoint::Local;
    let engine = shared
        .engines
        .get(&local)
        .await
        .map_err(|e| e.to_string())?;
    let owned = [(labels::OWNER.to_owned(), shared.owner.clone())];
    let mut names = BTreeSet::new();
    for container in engine
        .list_containers(&owned)
        .await
        .map_err(|e| e.to_string())?
    {
        names.extend(container.labels.get(labels::CLUSTER).map(ClusterName::new));
    }
    for name in names {
        desired.clusters.entry(name.clone()).or_insert_with(|| {
            let mut spec = ClusterSpec::named(name);
            // Anything but empty, so that the cluster counts as declared and its engine is looked at.
            spec.manifest_hash = "down".to_owned();
            (spec, Source::default())
        });
    }
    Ok(desired)
}

/// Waits until the agents have taken their containers away.
async fn containers_gone(shared: &Shared, engine: &SharedEngine) -> Result<(), String> {
    let owned = [
        (labels::OWNER.to_owned(), shared.owner.clone()),
        (labels::TASK.to_owned(), String::new()),
    ];
    loop {
        let left = engine
            .list_containers(&owned)
            .await
            .map_err(|e| e.to_string())?;
        if left.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn remove_rest(
    shared: &Shared,
    engine: &SharedEngine,
    volumes: bool,
    tell: &impl Fn(String),
) -> Result<(), String> {
    let owned = [(labels::OWNER.to_owned(), shared.owner.clone())];
    for network in engine
        .list_networks(&owned)
        .await
        .map_err(|e| e.to_string())?
    {
        match engine.remove_network(&network.id).await {
            Ok(()) => tell(format!("removed network {}", network.name)),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    let kept = engine
        .list_volumes(&owned)
        .await
        .map_err(|e| e.to_string())?;
    for volume in kept {
        if !volumes {
            tell(format!(
                "kept volume {} (remove it with --volumes)",
                volume.name
            ));
            continue;
        }
        match engine.remove_volume(&volume.name).await {
            Ok(()) => tell(format!("removed volume {}", volume.name)),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}
