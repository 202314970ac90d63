//! Removing images that nobody needs any more, a few at a time and now and then; [`disused`] decides which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::disused::{Disused, Look, Removal, disused};
use super::gate::Priority;
use super::shared::Shared;
use crate::engine::reference::Reference;
use crate::engine::{EngineResult, ErrorKind, translate};
use crate::model::{ImageCleanup, Timestamp};

/// The settings are looked at anew this often.
const LOOK: Duration = Duration::from_secs(600);

/// Looks for such images as often as the cluster's settings say, for as long as it is polled.
pub(super) async fn sweep(shared: Arc<Shared>) {
    let mut untracked = BTreeMap::new();
    let mut last = shared.clock.now();
    loop {
        let interval = shared.cluster().images.cleanup.interval;
        let due = last.plus(Duration::from_secs(u64::from(interval)));
        let now = shared.clock.now();
        if now < due {
            tokio::time::sleep(due.since(now).min(LOOK)).await;
            continue;
        }
        last = now;
        let cluster = shared.cluster();
        let policy = &cluster.images;
        if !policy.cleans_up() || !shared.link.is_up() {
            continue;
        }
        if let Err(error) = cycle(&shared, &policy.cleanup, &mut untracked).await {
            tracing::warn!(%error, "unused images could not be looked for; the next cycle does it");
        }
    }
}

async fn cycle(
    shared: &Shared,
    cleanup: &ImageCleanup,
    untracked: &mut BTreeMap<String, Timestamp>,
) -> EngineResult<()> {
    let at = shared.clock.now();
    let wanted = wanted(shared);
    // Anybody's containers, and before the images: one that is created in between has its image.
    let containers = shared.engine.list_containers(&[]).await?;
    let used: BTreeSet<String> = containers.into_iter().map(|found| found.image_id).collect();
    let listed = shared.engine.list_images().await?;
    let look = Look {
        cleanup,
        listed: &listed,
        used: &used,
        wanted: &wanted,
        untracked,
        at,
    };
    let mut removals = Vec::new();
    let mut seen = BTreeMap::new();
    shared.images.review(|pulled| {
        let Disused {
            removals: decided,
            pulled,
            untracked,
        } = disused(pulled, &look);
        (removals, seen) = (decided, untracked);
        pulled
    });
    *untracked = seen;
    for removal in removals {
        match remove(shared, &removal).await {
            Ok(()) => {
                tracing::info!(
                    "image {} was removed: nothing has used it since {}",
                    removal.references.join(", "),
                    removal.unused_since
                );
                shared.images.removed(&removal.id);
                untracked.remove(&removal.id);
            }
            // Somebody has begun to use it.
            Err(error) if error.kind == ErrorKind::Conflict => {
                tracing::debug!(%error, "an unused image is kept");
            }
            Err(error) => tracing::warn!(%error, "an unused image could not be removed"),
        }
    }
    Ok(())
}

/// What the tasks of this instance that are not over are created from.
fn wanted(shared: &Shared) -> BTreeSet<String> {
    let state = shared.view.read();
    let config = &shared.config;
    let mut wanted = BTreeSet::new();
    for (_, entry) in state.tasks_of_instance(&config.cluster, &config.instance.name) {
        let status = entry.status.as_ref();
        let Some(spec) = state.specs.get(&entry.record.spec) else {
            continue;
        };
        if status.is_some_and(|status| status.is_stopped()) {
            continue;
        }
        for container in &spec.containers {
            wanted.insert(translate::image(&entry.record, container));
            let told = status
                .and_then(|status| status.container(&container.name)?.image_digest.as_ref())
                .zip(Reference::parse(&container.image).ok());
            if let Some((digest, reference)) = told {
                wanted.insert(reference.at_digest(digest));
            }
        }
    }
    wanted
}

async fn remove(shared: &Shared, removal: &Removal) -> EngineResult<()> {
    for reference in &removal.references {
        // A name that went with another one, or that means another image by now.
        let found = shared.engine.image(reference).await?;
        if found.is_none_or(|found| found.id != removal.id) {
            continue;
        }
        let _permit = shared.gate.enter(Priority::Finish).await;
        match shared.engine.remove_image(reference).await {
            Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
