//! Which revision a service is to run: the folder's, or one that somebody went back to, or, where that failed, the last one that
//! was completed (semantics §4.26).

use std::collections::BTreeMap;

use super::plan::Draft;
use crate::model::{
    CompletedDeployment, RevisionRef, RolloutState, ServiceOverrides, ServiceSpec, SpecHash,
};

/// Why it is this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The folder says so.
    Folder,
    /// Somebody went back to it.
    Undo,
    /// What was wanted failed.
    Rollback,
}

/// What the PRIMARY deployment is to roll out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub revision: RevisionRef,
    pub spec: SpecHash,
    pub generation: u32,
    /// Digests that are settled.
    pub images: BTreeMap<String, String>,
    pub why: Why,
}

/// What is to be made of a service's deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// That is to be PRIMARY.
    Target(Target),
    /// The PRIMARY stays what it is: it failed and there is nothing to go back to, it is paused, or nothing is known of
    /// what the folder asks for.
    AsItIs,
}

/// The first of what may be wanted that did not fail.
pub(super) fn wanted(
    draft: &Draft<'_>,
    spec: &ServiceSpec,
    overrides: &ServiceOverrides,
) -> Wanted {
    let Some(folder) = draft.input.definition else {
        return Wanted::AsItIs;
    };
    // Of what the folder names nothing is known: what runs goes on, whatever it is.
    let lost = draft.input.unregistered.is_some();
    if draft.record.primary().is_some() && (lost || overrides.paused.is_some()) {
        return Wanted::AsItIs;
    }
    let first = match &overrides.undo {
        Some(undo) => {
            let generation = restarted(overrides, &undo.spec).max(undo.generation);
            Target {
                revision: undo.revision.clone(),
                spec: undo.spec.clone(),
                generation,
                images: images(&undo.images, generation == undo.generation),
                why: Why::Undo,
            }
        }
        None => Target {
            revision: folder.revision.clone(),
            spec: folder.hash.clone(),
            generation: generation(draft, overrides, folder.hash),
            images: BTreeMap::new(),
            why: Why::Folder,
        },
    };
    let mut all = vec![first];
    let rolls_back = spec.circuit_breaker.is_some_and(|breaker| breaker.rollback);
    if let Some(completed) = draft.record.last_completed.as_ref().filter(|_| rolls_back) {
        let generation = restarted(overrides, &completed.spec).max(completed.generation);
        if generation != completed.generation {
            all.push(back_to(completed, generation));
        }
        all.push(back_to(completed, completed.generation));
    }
    let found = all.into_iter().find(|target| {
        let failed = draft.record.is_blocked(&target.spec, target.generation);
        let known = *folder.hash == target.spec || draft.spec_of(&target.spec).is_some();
        known && !failed
    });
    found.map_or(Wanted::AsItIs, Wanted::Target)
}

fn back_to(completed: &CompletedDeployment, generation: u32) -> Target {
    Target {
        revision: completed.revision.clone(),
        spec: completed.spec.clone(),
        generation,
        images: images(&completed.images, generation == completed.generation),
        why: Why::Rollback,
    }
}

fn images(pinned: &BTreeMap<String, String>, same: bool) -> BTreeMap<String, String> {
    if same {
        pinned.clone()
    } else {
        BTreeMap::new()
    }
}

fn restarted(overrides: &ServiceOverrides, spec: &SpecHash) -> u32 {
    let restart = overrides.restart.as_ref();
    restart
        .filter(|restart| restart.spec == *spec)
        .map_or(0, |restart| restart.generation)
}

/// The generation of tasks of that specification that is wanted: the one that was ordered last, as far as overrides, deployments
/// and tasks tell. After a lost store only tasks do.
fn generation(draft: &Draft<'_>, overrides: &ServiceOverrides, spec: &SpecHash) -> u32 {
    let failed = |generation: u32| {
        let mut blocked = draft.record.blocked.iter();
        blocked.any(|b| b.spec == *spec && b.generation == generation)
    };
    let deployments = draft
        .record
        .deployments
        .iter()
        .filter(|d| d.spec == *spec && d.rollout != RolloutState::Failed)
        .map(|d| d.generation);
    let tasks = draft
        .seen
        .iter()
        .map(|seen| seen.view.record)
        .filter(|task| task.spec == *spec && !failed(task.generation))
        .map(|task| task.generation);
    deployments
        .chain(tasks)
        .chain([restarted(overrides, spec)])
        .max()
        .unwrap_or(0)
}
