//! The folder's way to the controller: scan → load → remember what is good → clusters → controller → status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::clusters::Clusters;
use crate::api::{FolderDiagnostic, FolderStatus, HeldResource};
use crate::diagnostic::{Diagnostic, Severity, human};
use crate::manifest::load::{LastGood, LoadOptions, Loaded, Pruning, ResourceKey};
use crate::manifest::source::Scan;
use crate::manifest::types::Kind;
use crate::model::{ClusterName, Desired, ServiceStatus, Timestamp};
use crate::store::{Epoch, LastGoodKey, State, StoreError, Txn, keys};

/// Pause before a reading is taken again whose state could not be kept.
const TAKE_AGAIN: Duration = Duration::from_secs(1);

/// Follows readings of the folder until `stop`, or until everything is to be removed.
pub async fn follow(
    shared: Arc<Shared>,
    clusters: Arc<Clusters>,
    mut scans: mpsc::Receiver<Scan>,
    stop: CancellationToken,
) {
    // Whoever removes everything waits for this.
    let _reading = shared.reading.lock().await;
    let epoch = match shared.store.acquire("folder").await {
        Ok(epoch) => epoch,
        Err(error) => {
            shared.fatal.send_replace(Some(error.to_string()));
            return;
        }
    };
    let mut said = BTreeSet::new();
    let follow = async {
        let mut next = scans.recv().await;
        while let Some(scan) = next {
            next = match take(&shared, &clusters, &epoch, &scan, &mut said).await {
                Ok(()) => scans.recv().await,
                Err(error @ StoreError::Superseded { .. }) => {
                    shared.fatal.send_replace(Some(error.to_string()));
                    return;
                }
                // A content is told of once only: it is taken again, unless there is a newer one by then.
                Err(error) => {
                    tracing::error!("the folder was read, but its state cannot be kept: {error}");
                    let newer = tokio::time::timeout(TAKE_AGAIN, scans.recv()).await;
                    newer.unwrap_or(Some(scan))
                }
            };
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = shared.removing.cancelled() => {}
        () = follow => {}
    }
}

/// Takes one reading of the folder all the way to the controller.
async fn take(
    shared: &Arc<Shared>,
    clusters: &Arc<Clusters>,
    epoch: &Epoch,
    scan: &Scan,
    said: &mut BTreeSet<String>,
) -> Result<(), StoreError> {
    let last_good = last_good(&shared.view.read());
    let options = LoadOptions {
        allow_empty: shared.options.allow_empty,
        now: shared.clock.now(),
    };
    let loaded = crate::manifest::load(scan, &last_good, &options);
    say(&loaded.diagnostics, said);
    if let Pruning::Withheld(reason) = &loaded.pruning {
        tracing::warn!("nothing is removed: {reason}");
    }
    let mut status = status_of(&loaded, shared.clock.now());
    shared.status.send_replace(status.clone());

    remember(shared, epoch, &last_good, &loaded).await?;
    let desired = Arc::new(loaded.desired);
    clusters.follow(&desired).await;
    shared.controller.set_desired(Arc::clone(&desired));
    reflected(shared, &desired).await;
    status.applied = true;
    shared.status.send_replace(status);
    Ok(())
}

/// Waits until the controller has taken every service's manifest, so that whoever asks afterwards is not told about the
/// folder as it was before. It takes milliseconds; a service that cannot be taken holds nobody up for longer than this.
async fn reflected(shared: &Shared, desired: &Desired) {
    const AT_MOST: Duration = Duration::from_secs(2);
    let mut changes = shared.view.subscribe();
    let all = async {
        while !is_reflected(shared, &shared.view.read(), desired) {
            if let Err(RecvError::Closed) = changes.recv().await {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(AT_MOST, all).await;
}

fn is_reflected(shared: &Shared, state: &State, desired: &Desired) -> bool {
    let open = |cluster: &ClusterName| !shared.controller.is_closed(cluster);
    let mut followed = desired
        .all_services()
        .filter(|(spec, _)| open(&spec.cluster));
    let taken = followed.all(|(spec, _)| {
        state
            .service(&spec.cluster, &spec.name)
            .is_some_and(|record| {
                let definition = desired
                    .task_definitions
                    .get(&spec.family)
                    .filter(|_| spec.revision.is_none());
                let rolls = |hash| record.primary().is_some_and(|primary| primary.spec == hash);
                record.spec == *spec
                    && definition.is_none_or(|(definition, _)| rolls(definition.hash.clone()))
            })
    });
    taken
        && state.services.iter().all(|((cluster, name), record)| {
            record.status != ServiceStatus::Active
                || !open(cluster)
                || desired
                    .services
                    .get(cluster)
                    .is_some_and(|services| services.contains_key(name))
        })
}

/// Writes the new set of last good documents over the old one: P1 holds across a restart.
async fn remember(
    shared: &Shared,
    epoch: &Epoch,
    old: &LastGood,
    loaded: &Loaded,
) -> Result<(), StoreError> {
    let mut puts = BTreeMap::new();
    for (key, document) in &loaded.good {
        if old.get(key) != Some(document) {
            puts.insert(store_key(key), Some(document));
        }
    }
    for key in old.keys().filter(|key| !loaded.good.contains_key(*key)) {
        puts.insert(store_key(key), None);
    }
    let puts: Vec<_> = puts.into_iter().collect();
    // One document at a time is a valid state, so a large folder may take several commits.
    for chunk in puts.chunks(40) {
        let mut txn = Txn::new(epoch);
        for (key, document) in chunk {
            txn = match document {
                Some(document) => txn.put_json(keys::last_good(key), document),
                None => txn.delete(keys::last_good(key)),
            };
        }
        let revision = txn.commit(&shared.store).await?;
        // The next reading compares with what this one wrote.
        let _ = shared.view.caught_up(revision).await;
    }
    Ok(())
}

/// What the store remembers. A document that cannot be read any more is as good as none.
pub fn last_good(state: &State) -> LastGood {
    state
        .last_good
        .iter()
        .filter_map(|(key, stored)| {
            let key = ResourceKey {
                kind: Kind::ALL
                    .into_iter()
                    .find(|kind| kind.as_str() == key.kind)?,
                cluster: key.cluster.clone(),
                name: key.name.clone(),
            };
            let document = serde_json::from_value((*stored.value).clone()).ok()?;
            Some((key, document))
        })
        .collect()
}

fn store_key(key: &ResourceKey) -> LastGoodKey {
    LastGoodKey {
        kind: key.kind.to_string(),
        cluster: key.cluster.clone(),
        name: key.name.clone(),
    }
}

/// Says what is new among the findings, and what is mended.
fn say(diagnostics: &[Diagnostic], said: &mut BTreeSet<String>) {
    let now: BTreeSet<String> = diagnostics.iter().map(ToString::to_string).collect();
    for diagnostic in diagnostics {
        if said.contains(&diagnostic.to_string()) {
            continue;
        }
        match diagnostic.severity {
            Severity::Error => tracing::error!("{diagnostic}"),
            Severity::Warning => tracing::warn!("{diagnostic}"),
        }
    }
    if !said.is_empty() && now.is_empty() {
        tracing::info!("every manifest is valid");
    }
    *said = now;
}

fn status_of(loaded: &Loaded, now: Timestamp) -> FolderStatus {
    FolderStatus {
        folder_hash: loaded.folder_hash.clone(),
        loaded_at: Some(now),
        applied: false,
        diagnostics: loaded
            .diagnostics
            .iter()
            .map(FolderDiagnostic::from)
            .collect(),
        rendered: human::render(&loaded.diagnostics, human::Options::default()),
        held: loaded
            .held
            .iter()
            .map(|(key, held)| HeldResource {
                kind: key.kind.to_string(),
                cluster: key.cluster.clone(),
                name: key.name.clone(),
                since: held.since,
                accepted_at: held.accepted_at,
                because: held.because.clone(),
            })
            .collect(),
        pruning_withheld: match &loaded.pruning {
            Pruning::Allowed => None,
            Pruning::Withheld(reason) => Some(reason.clone()),
        },
    }
}
