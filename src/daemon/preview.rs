//! What `run` would do for a folder, from the state as it is. Writes nothing and asks no engine for anything (P6).

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::folder::last_good;
use super::state;
use crate::clock::{Clock, IdGen, RandomIds, SystemClock};
use crate::controller;
use crate::diagnostic::Diagnostic;
use crate::manifest::load::{LoadOptions, Pruning};
use crate::manifest::source::{self, Scan};
use crate::model::Timestamp;
use crate::store::redb::{self, FILE};
use crate::store::{Redb, SharedStore, State, View};

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

/// Of a folder and the state that belongs to it. Where a Longshore runs on that state, its state is what it was at its last
/// commit; it is about to do by itself what this says.
pub async fn of(folder: &Path, state_dir: Option<&Path>) -> Result<Preview, String> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let directory = state::directory(state_dir, &folder)?;
    let scan = source::scan(&folder);
    let now = SystemClock.now();
    let file = directory.join(FILE);
    if !file.exists() {
        let mut preview = compute(&scan, &State::default(), now);
        preview
            .notes
            .push("no state yet: planned from nothing".to_owned());
        return Ok(preview);
    }
    let copy = Copy::of(&file)?;
    let store: SharedStore = Redb::open(&copy.0).await.map_err(|e| e.to_string())?;
    let stop = CancellationToken::new();
    let view = View::start(store, stop.clone());
    view.caught_up(0).await.map_err(|e| e.to_string())?;
    let state = view.read().clone();
    stop.cancel();
    Ok(compute(&scan, &state, now))
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
            let lines = plan.decisions.iter().map(ToString::to_string).collect();
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

/// A copy of a state file in a directory of its own, gone when dropped: reading must not write to the original, and opening
/// a store may.
struct Copy(std::path::PathBuf);

impl Copy {
    fn of(file: &Path) -> Result<Self, String> {
        let copy =
            Self(std::env::temp_dir().join(format!("longshore-plan-{:016x}", RandomIds.bits())));
        std::fs::create_dir(&copy.0)
            .map_err(|e| format!("cannot make {}: {e}", copy.0.display()))?;
        redb::backup(file, &copy.0.join(FILE)).map_err(|e| e.to_string())?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What cannot be removed from the temporary directory is removed with it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
