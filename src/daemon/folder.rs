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
use crate::manifest::source::{FolderState, Scan};
use crate::manifest::types::Kind;
use crate::model::{ClusterName, Desired, ServiceName, ServiceSpec, ServiceStatus, Timestamp};
use crate::store::{Epoch, LastGoodKey, Meta, State, StoreError, Txn, keys};

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
    let mut following = Following {
        said: BTreeSet::new(),
        // Whoever asks for one content by hand means that one.
        current: shared.leadership.is_none()
            || !shared.options.stand_by
            || shared.options.take_over,
    };
    let follow = async {
        let mut next = scans.recv().await;
        while let Some(scan) = next {
            let taken = take(
                &shared,
                &clusters,
                &epoch,
                &scan,
                &mut scans,
                &mut following,
            );
            next = match taken.await {
                Ok(None) => scans.recv().await,
                Ok(newer) => newer,
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

/// What is known from one reading of the folder to the next.
struct Following {
    /// The findings that were told of.
    said: BTreeSet<String>,
    /// Whether what the folder says now is the newest there is, also where it goes back to what it was. Of a copy it is not known
    /// before it has said something that no leader applied and left behind.
    current: bool,
}

/// Takes one reading of the folder all the way to the controller, or returns the newer one that came while engines were waited for:
/// what is acted on is the folder as it is by then.
async fn take(
    shared: &Arc<Shared>,
    clusters: &Arc<Clusters>,
    epoch: &Epoch,
    scan: &Scan,
    scans: &mut mpsc::Receiver<Scan>,
    following: &mut Following,
) -> Result<Option<Scan>, StoreError> {
    if let Some(only) = &shared.options.only
        && *only != scan.hash()
    {
        let reason = "the folder was changed since the plan was made; the change was not taken";
        shared.fatal.send_replace(Some(reason.to_owned()));
        return Ok(None);
    }
    let behind = behind(shared, scan, following);
    let last_good = last_good(&shared.view.read());
    let options = LoadOptions {
        allow_empty: shared.options.allow_empty,
        now: shared.clock.now(),
    };
    let loaded = match &behind {
        None => crate::manifest::load(scan, &last_good, &options),
        Some(why) => as_remembered(scan, &last_good, &options, why),
    };
    say(&loaded.diagnostics, &mut following.said);
    if let Pruning::Withheld(reason) = &loaded.pruning {
        tracing::warn!("nothing is removed: {reason}");
    }
    let mut status = status_of(&loaded, shared.clock.now());
    shared.status.send_replace(status.clone());

    remember(shared, epoch, &last_good, &loaded).await?;
    if behind.is_none() && scan.is_whole() {
        note_content(shared, epoch, &loaded.folder_hash).await?;
        following.current = true;
    }
    let desired = Arc::new(loaded.desired);
    clusters.take_up(&desired).await;
    tokio::select! {
        biased;
        Some(newer) = scans.recv() => return Ok(Some(newer)),
        () = clusters.known() => {}
    }
    shared.controller.set_desired(Arc::clone(&desired));
    reflected(shared, &desired).await;
    status.applied = true;
    shared.status.send_replace(status);
    Ok(None)
}

/// Why a copy of the folder is older than what was applied last, if it is: the leader before followed a copy that had gone on from
/// this content.
fn behind(shared: &Shared, scan: &Scan, following: &Following) -> Option<String> {
    if following.current || !scan.is_whole() {
        return None;
    }
    let meta = shared.view.read().meta.clone()?;
    let (found, newest) = meta.overtaken(&scan.hash())?;
    Some(format!(
        "this copy of the folder is as it was applied {}, and a newer one was applied {}: what was applied last is kept until this \
         copy is brought up to date, or changes (--take-over takes it as it is)",
        found.at, newest.at
    ))
}

/// What was applied last, whatever the folder says.
fn as_remembered(scan: &Scan, last_good: &LastGood, options: &LoadOptions, why: &str) -> Loaded {
    let nothing = Scan {
        root: scan.root.clone(),
        state: FolderState::Missing,
        files: BTreeMap::new(),
    };
    let options = LoadOptions {
        allow_empty: false,
        ..*options
    };
    let mut loaded = crate::manifest::load(&nothing, last_good, &options);
    loaded.diagnostics.clear();
    for held in loaded.held.values_mut() {
        why.clone_into(&mut held.because);
    }
    loaded.pruning = Pruning::Withheld(why.to_owned());
    loaded.folder_hash = scan.hash();
    loaded
}

/// Writes down that this content was applied, where others follow copies of the folder.
async fn note_content(shared: &Shared, epoch: &Epoch, hash: &str) -> Result<(), StoreError> {
    if shared.leadership.is_none() {
        return Ok(());
    }
    let meta = shared.view.read().meta.clone();
    let newest = |meta: &Meta| meta.seen.last().is_some_and(|seen| seen.hash == hash);
    let Some(meta) = meta.filter(|meta| !newest(meta)) else {
        return Ok(());
    };
    let noted = meta.having_seen(hash, shared.clock.now());
    let put = Txn::new(epoch).put_json(keys::META, &noted);
    let revision = put.commit(&shared.store).await?;
    let _ = shared.view.caught_up(revision).await;
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

/// Services of the folder of which nothing is decided yet: their cluster waits until it is known what runs there, or has only just
/// ended to.
pub(super) fn held_up(shared: &Shared, desired: &Desired) -> Vec<(ClusterName, ServiceName)> {
    let state = shared.view.read();
    desired
        .all_services()
        .filter(
            |(spec, _)| match shared.controller.is_closed(&spec.cluster) {
                true => !is_taken(&state, desired, spec),
                false => state.service(&spec.cluster, &spec.name).is_none(),
            },
        )
        .map(|(spec, _)| (spec.cluster.clone(), spec.name.clone()))
        .collect()
}

/// Whether the service's record follows its manifest as it is now.
fn is_taken(state: &State, desired: &Desired, spec: &ServiceSpec) -> bool {
    let Some(record) = state.service(&spec.cluster, &spec.name) else {
        return false;
    };
    let definition = desired
        .task_definitions
        .get(&spec.family)
        .filter(|_| spec.revision.is_none());
    let key = (spec.cluster.clone(), spec.name.clone());
    let overrides = state.overrides.get(&key);
    // Then the folder is taken, though something else runs.
    let stands_still =
        overrides.is_some_and(|overrides| overrides.undo.is_some() || overrides.paused.is_some());
    if overrides.is_some_and(|overrides| overrides.suspended.is_some()) {
        return true;
    }
    let rolls = |hash| {
        let failed = record.failure().is_some_and(|failed| failed.spec == hash);
        let primary = record.primary();
        stands_still || failed || primary.is_some_and(|primary| primary.spec == hash)
    };
    record.spec == *spec && definition.is_none_or(|(definition, _)| rolls(definition.hash.clone()))
}

fn is_reflected(shared: &Shared, state: &State, desired: &Desired) -> bool {
    let open = |cluster: &ClusterName| !shared.controller.is_closed(cluster);
    let mut followed = desired
        .all_services()
        .filter(|(spec, _)| open(&spec.cluster));
    let taken = followed.all(|(spec, _)| is_taken(state, desired, spec));
    taken
        && state.services.iter().all(|((cluster, name), record)| {
            let overrides = state.overrides.get(&(cluster.clone(), name.clone()));
            record.status != ServiceStatus::Active
                || overrides.is_some_and(|overrides| overrides.suspended.is_some())
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
