//! What `run` would do for a folder, from the state as it is. Writes nothing and asks no engine for anything (P6).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::last_good;
use super::state;
use crate::api::client::{Client, Lookup};
use crate::api::summary::{self, ServiceSummary};
use crate::clock::{Clock, SystemClock};
use crate::controller::{self, Plan};
use crate::diagnostic::Diagnostic;
use crate::manifest::load::{LoadOptions, Pruning};
use crate::manifest::source::{self, Scan};
use crate::model::{ClusterName, ServiceName, Timestamp};
use crate::store::dir::known_as;
use crate::store::redb::{self, FILE};
use crate::store::{State, etcd};

mod compare;
pub mod diff;
mod document;

pub use document::{PlanDocument, PlannedAction, PlannedService};

/// The answer.
#[derive(Debug, Default)]
pub struct Preview {
    /// The folder, as an absolute path.
    pub folder: String,
    /// When it was made.
    pub at: Timestamp,
    /// What was found in the folder.
    pub diagnostics: Vec<Diagnostic>,
    /// What is kept at its last good version, and why.
    pub held: Vec<String>,
    /// Every service, by cluster and name.
    pub services: Vec<PlannedService>,
    /// What else to know.
    pub notes: Vec<String>,
    /// Services of which what the folder asks for failed, and stays given up: `prod/web`.
    pub failed: Vec<String>,
}

/// A folder as it was read, and the state that belongs to it.
#[derive(Debug)]
pub struct Looked {
    /// The folder, as an absolute path.
    pub folder: PathBuf,
    /// Its content.
    pub scan: Scan,
    /// Everything in the store; nothing where there is none yet.
    pub state: State,
    /// What to know about where that is from.
    pub notes: Vec<String>,
}

/// Reads a folder and the state that belongs to it. Where a Longshore runs for it, that one is asked; it is about to do by
/// itself what a plan says.
///
/// # Errors
/// The state cannot be read, or several Longshores run for the folder.
pub async fn look(
    folder: &Path,
    lookup: &Lookup,
    store: Option<etcd::Options>,
) -> Result<Looked, String> {
    let folder = known_as(folder);
    let scan = source::scan(&folder);
    let mut notes = Vec::new();
    let state = match dump(&folder, lookup, store).await? {
        Some(dump) => {
            let listing = redb::read_dump(&dump).ok_or("the state's dump cannot be read")?;
            State::of(listing)
        }
        None => {
            notes.push("no state yet: planned from nothing".to_owned());
            if let Some((_, other)) = Client::running(None, Some(&folder)).await.first() {
                notes.push(format!(
                    "a Longshore runs for this folder with its state in {}",
                    other.state_dir
                ));
            }
            State::default()
        }
    };
    Ok(Looked {
        folder,
        scan,
        state,
        notes,
    })
}

/// The plan for what was read.
pub fn of(looked: &Looked) -> Preview {
    let mut preview = compute(&looked.scan, &looked.state, SystemClock.now());
    preview.folder = looked.folder.display().to_string();
    preview.notes.extend(looked.notes.iter().cloned());
    preview
}

/// The state that belongs to a folder, from the Longshore that runs for it, else from etcd or its file; none where there is neither.
async fn dump(
    folder: &Path,
    lookup: &Lookup,
    store: Option<etcd::Options>,
) -> Result<Option<serde_json::Value>, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let directory = state::directory(lookup.state_dir.as_deref(), folder)?;
    if let Some(running) = Client::telling(lookup, folder, &directory)
        .await
        .map_err(|e| said(&e))?
    {
        return running.state().await.map(Some).map_err(|e| said(&e));
    }
    if let Some(store) = store {
        let listing = state::listing(store).await?;
        return Ok(Some(redb::dump_listing(&listing)));
    }
    let file = directory.join(FILE);
    if !file.exists() {
        return Ok(None);
    }
    redb::dump(&file).map(Some).map_err(|e| said(&e))
}

/// Of what was read and a state. Pure.
pub fn compute(scan: &Scan, state: &State, now: Timestamp) -> Preview {
    let options = LoadOptions {
        allow_empty: false,
        now,
    };
    let loaded = crate::manifest::load(scan, &last_good(state), &options);
    let mut notes = Vec::new();
    if let Pruning::Withheld(reason) = &loaded.pruning {
        notes.push(format!("nothing is removed: {reason}"));
    }
    let services = controller::preview(&Arc::new(loaded.desired), state, now);
    let mut failed = Vec::new();
    for preview in &services {
        let (cluster, service) = &preview.key;
        let Some(summary) = after(state, cluster, service, &preview.plan, now) else {
            continue;
        };
        let why = summary.differs().into_iter();
        notes.extend(why.map(|why| format!("{cluster}/{service}: {why}")));
        if summary.failed.is_some() && summary.undone.is_none() {
            failed.push(format!("{cluster}/{service}"));
        }
    }
    let held = loaded
        .held
        .iter()
        .map(|(key, held)| format!("{} {}, because {}", key.kind, key.name, held.because));
    Preview {
        folder: String::new(),
        at: now,
        held: held.collect(),
        diagnostics: loaded.diagnostics,
        services: services.iter().map(PlannedService::of).collect(),
        notes,
        failed,
    }
}

/// A service at a glance once this plan is recorded; none where it is forgotten then.
fn after(
    state: &State,
    cluster: &ClusterName,
    service: &ServiceName,
    plan: &Plan,
    now: Timestamp,
) -> Option<ServiceSummary> {
    let known = state.service(cluster, service).map(|stored| &*stored.value);
    let record = plan.record.as_ref().or(known).filter(|_| !plan.forget)?;
    let mut summary = summary::summary(state, record, now);
    if let Some(overrides) = &plan.overrides {
        summary.paused = summary.paused.filter(|_| overrides.paused.is_some());
        summary.undone = summary.undone.filter(|_| overrides.undo.is_some());
    }
    Some(summary)
}
