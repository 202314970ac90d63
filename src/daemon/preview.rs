//! What `run` would do for a folder, from the state as it is. Writes nothing and asks no engine for anything (P6).

use std::path::Path;
use std::sync::Arc;

use super::folder::last_good;
use super::state;
use crate::api::client::{Client, Lookup};
use crate::clock::{Clock, SystemClock};
use crate::controller;
use crate::diagnostic::Diagnostic;
use crate::manifest::load::{LoadOptions, Pruning};
use crate::manifest::source::{self, Scan};
use crate::model::Timestamp;
use crate::store::State;
use crate::store::dir::known_as;
use crate::store::redb::{self, FILE};

/// The answer.
#[derive(Debug, Default)]
pub struct Preview {
    /// What was found in the folder.
    pub diagnostics: Vec<Diagnostic>,
    /// What is kept at its last good version, and why.
    pub held: Vec<String>,
    /// By service, one line an action.
    pub services: Vec<(String, Vec<String>)>,
    /// What else to know.
    pub notes: Vec<String>,
}

/// Of a folder and the state that belongs to it. Where a Longshore runs for it, that one is asked; it is about to do by itself
/// what this says.
pub async fn of(folder: &Path, lookup: &Lookup) -> Result<Preview, String> {
    let folder = known_as(folder);
    let scan = source::scan(&folder);
    let now = SystemClock.now();
    let Some(dump) = dump(&folder, lookup).await? else {
        let mut preview = compute(&scan, &State::default(), now);
        preview
            .notes
            .push("no state yet: planned from nothing".to_owned());
        if let Some((_, other)) = Client::running(None, Some(&folder)).await.first() {
            preview.notes.push(format!(
                "a Longshore runs for this folder with its state in {}",
                other.state_dir
            ));
        }
        return Ok(preview);
    };
    let listing = redb::read_dump(&dump).ok_or("the state's dump cannot be read")?;
    Ok(compute(&scan, &State::of(listing), now))
}

/// The state that belongs to a folder, from the Longshore that runs for it, else from its file; none where there is neither.
async fn dump(folder: &Path, lookup: &Lookup) -> Result<Option<serde_json::Value>, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let directory = state::directory(lookup.state_dir.as_deref(), folder)?;
    if let Some(running) = Client::telling(lookup, folder, &directory)
        .await
        .map_err(|e| said(&e))?
    {
        return running.state().await.map(Some).map_err(|e| said(&e));
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
    let services = controller::preview(&Arc::new(loaded.desired), state, now)
        .into_iter()
        .map(|((cluster, service), plan)| {
            let mut lines: Vec<String> = plan.decisions.iter().map(ToString::to_string).collect();
            if plan.more {
                lines.push("and more, which is decided after these".to_owned());
            }
            (format!("{cluster}/{service}"), lines)
        })
        .collect();
    let held = loaded
        .held
        .iter()
        .map(|(key, held)| format!("{} {}, because {}", key.kind, key.name, held.because));
    Preview {
        held: held.collect(),
        diagnostics: loaded.diagnostics,
        services,
        notes,
    }
}
