//! The state that a daemon works on: the directory, its store, its owner, and that it belongs to this folder.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{EngineChoice, Options, StartError};
use crate::agent::EndpointKey;
use crate::api::{self, client::Client};
use crate::clock::SharedIds;
use crate::model::{Timestamp, hex_sha256};
use crate::store::dir::{Surroundings, default_path, known_as};
use crate::store::{
    Claim, Claimant, Memory, Redb, SharedStore, StateDir, StoreError, Txn, View, keys,
};

/// An open state.
pub struct Kept {
    /// The store.
    pub store: SharedStore,
    /// The same, where it is a file.
    pub file: Option<Arc<Redb>>,
    /// What the socket is named after.
    pub name: String,
    /// The directory; nothing is in it where the engine is simulated, but its Longshore is found by it.
    pub path: PathBuf,
    dir: Option<StateDir>,
}

/// The key of the tasks' metadata endpoints; `None` where the state is in memory only.
pub fn endpoint_key(kept: &Kept, ids: &SharedIds) -> Result<Option<EndpointKey>, StartError> {
    let Some(dir) = &kept.dir else {
        return Ok(None);
    };
    let key = dir
        .ensure_endpoint_key(ids.as_ref())
        .map_err(|e| StartError::Other(e.to_string()))?;
    Ok(Some(EndpointKey::new(key.as_bytes())))
}

/// The state directory of a folder: the one that was named, else the one derived from it.
pub fn directory(named: Option<&Path>, folder: &Path) -> Result<PathBuf, String> {
    match named {
        Some(path) => Ok(known_as(path)),
        None => default_path(folder, &Surroundings::of_this_process()).map_err(|e| e.to_string()),
    }
}

/// What the socket of a state directory is named after: the directory's name and 8 hexadecimal digits of its path's hash, so
/// that two directories of one name have two sockets. It is absolute; symbolic links in it are followed where it exists.
pub fn name_of(directory: &Path) -> String {
    let directory = directory
        .canonicalize()
        .unwrap_or_else(|_| directory.to_owned());
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let digits = hex_sha256(directory.as_os_str().as_bytes());
    format!("{name}-{}", &digits[..8])
}

/// Opens the state. A simulated engine forgets everything at its end, and so does its store.
pub async fn open(options: &Options, folder: &Path) -> Result<Kept, StartError> {
    let path = directory(options.state_dir.as_deref(), folder).map_err(StartError::Other)?;
    if options.engine == EngineChoice::Simulated {
        return Ok(Kept {
            store: Arc::new(Memory::default()),
            file: None,
            name: format!("{}-simulated", name_of(&path)),
            path,
            dir: None,
        });
    }
    let dir = StateDir::open(&path).map_err(|e| StartError::Other(e.to_string()))?;
    let file = match open_file(&path, options.socket.as_deref()).await {
        Ok(file) => file,
        Err(error @ StoreError::InUse { .. }) => return Err(StartError::InUse(error.to_string())),
        Err(error) => return Err(StartError::Other(error.to_string())),
    };
    Ok(Kept {
        store: Arc::clone(&file) as SharedStore,
        file: Some(file),
        name: name_of(&path),
        path,
        dir: Some(dir),
    })
}

/// For how long a store is waited for that somebody has open and nobody answers for: one that was killed a moment ago.
const DYING: Duration = Duration::from_secs(5);
/// After this much of it the wait is said.
const SILENT: Duration = Duration::from_secs(1);

/// Opens the store's file. One whose Longshore answers is in use; a process that is ending gives its lock back in a moment.
async fn open_file(directory: &Path, socket: Option<&Path>) -> Result<Arc<Redb>, StoreError> {
    let begun = Instant::now();
    let mut said = false;
    loop {
        let error = match Redb::open(directory).await {
            Err(error @ StoreError::InUse { .. }) => error,
            done => return done,
        };
        if begun.elapsed() >= DYING || answers(directory, socket).await {
            return Err(error);
        }
        if begun.elapsed() >= SILENT && !std::mem::replace(&mut said, true) {
            tracing::warn!(
                "{error}, which does not answer; waiting up to {} s for it to end",
                DYING.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether a Longshore answers that may have the store open: on the socket that was named, or for this directory.
async fn answers(directory: &Path, socket: Option<&Path>) -> bool {
    socket.is_some_and(api::is_live) || !Client::running(Some(directory), None).await.is_empty()
}

/// Makes the state this folder's, or says why it cannot be; returns its owner.
pub async fn claim(
    kept: &Kept,
    view: &View,
    folder: &Path,
    take_over: bool,
    ids: &SharedIds,
    now: Timestamp,
) -> Result<String, StartError> {
    let other = |error: &dyn std::fmt::Display| StartError::Other(error.to_string());
    let stored = view.read().meta.clone();
    let remembered = stored.as_ref().map(|meta| meta.owner.as_str());
    let owner = match &kept.dir {
        Some(dir) => dir
            .ensure_owner(remembered, ids.as_ref())
            .map_err(|e| other(&e))?,
        None => format!("{:016x}", ids.bits()),
    };
    let claimant = Claimant {
        folder: folder.display().to_string(),
        owner: owner.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        take_over,
    };
    take(&kept.store, view, &claimant, now).await?;
    Ok(owner)
}

/// Makes the store the claimant's, or says why it cannot be. A store that nobody had says from now on when it was first taken.
pub async fn take(
    store: &SharedStore,
    view: &View,
    claimant: &Claimant,
    now: Timestamp,
) -> Result<(), StartError> {
    let other = |error: &dyn std::fmt::Display| StartError::Other(error.to_string());
    let stored = view.read().meta.clone();
    let claim = crate::store::claim(stored.as_deref(), claimant, now).map_err(|e| other(&e))?;
    if let Claim::TakenOver { from, .. } = &claim {
        tracing::warn!(
            "this state belonged to {} (owner {}); it is taken over",
            from.folder,
            from.owner
        );
    }
    if stored.as_deref() != Some(claim.meta()) {
        let epoch = store.acquire("folder").await.map_err(|e| other(&e))?;
        let put = Txn::new(&epoch).put_json(keys::META, claim.meta());
        let revision = put.commit(store).await.map_err(|e| other(&e))?;
        view.caught_up(revision).await.map_err(|e| other(&e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_state_directories_of_one_name_have_two_sockets() {
        let (one, two) = (Path::new("/srv/one/state"), Path::new("/srv/two/state"));
        assert_ne!(name_of(one), name_of(two));
        assert!(name_of(one).starts_with("state-"));
        assert_eq!(name_of(one), name_of(one));
    }

    #[tokio::test]
    async fn a_state_that_a_dying_process_has_open_is_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let dying = Redb::open(dir.path()).await.expect("it opens");
        let next = {
            let path = dir.path().to_owned();
            tokio::spawn(async move { open_file(&path, None).await })
        };
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(!next.is_finished(), "it is in use");
        drop(dying);
        next.await.expect("no panic").expect("it opens in the end");
    }

    #[test]
    fn a_state_directory_that_is_reached_by_a_link_has_the_same_socket() {
        let dir = tempfile::tempdir().expect("a directory");
        let link = dir.path().join("link");
        let real = dir.path().join("real");
        std::fs::create_dir(&real).expect("a directory");
        std::os::unix::fs::symlink(&real, &link).expect("a link");
        assert_eq!(name_of(&link), name_of(&real));
    }
}
