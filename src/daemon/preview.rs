//! What `run` would do for a folder, from the state as it is. Writes nothing and asks no engine for anything (P6).

use std::path::Path;
use std::sync::Arc;

use super::folder::last_good;
use super::state;
use crate::api::{self, client::Client};
use crate::clock::{Clock, SystemClock};
use crate::controller;
use crate::diagnostic::Diagnostic;
use crate::manifest::load::{LoadOptions, Pruning};
use crate::manifest::source::{self, Scan};
use crate::model::Timestamp;
use crate::store::redb::{self, FILE};
use crate::store::{State, StoreError};

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

/// Of a folder and the state that belongs to it. Where a Longshore runs on that state, it is asked for it; it is
/// about to do by itself what this says.
pub async fn of(
    folder: &Path,
    state_dir: Option<&Path>,
    socket: Option<&Path>,
) -> Result<Preview, String> {
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
    let dump = match redb::dump(&file) {
        Ok(dump) => dump,
        // Whoever has it open tells what is in it.
        Err(StoreError::InUse { .. }) => {
            let client = Client::at(socket.map_or_else(
                || api::socket_path(&state::name_of(&directory)),
                Path::to_owned,
            ));
            client.state().await.map_err(|e| e.to_string())?
        }
        Err(error) => return Err(error.to_string()),
    };
    let listing = redb::read_dump(&dump).ok_or("the state's dump cannot be read")?;
    Ok(compute(&scan, &State::of(listing), now))
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
