//! The state that a daemon works on: the directory, its store, its owner, and that it belongs to this folder.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{EngineChoice, Options, StartError};
use crate::agent::EndpointKey;
use crate::clock::SharedIds;
use crate::model::{Timestamp, hex_sha256};
use crate::store::dir::{Surroundings, default_path};
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
    dir: Option<StateDir>,
}

impl Kept {
    /// The directory, for people.
    pub fn path(&self) -> String {
        self.dir.as_ref().map_or_else(
            || "memory".to_owned(),
            |dir| dir.path().display().to_string(),
        )
    }
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
        Some(path) => Ok(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
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
            dir: None,
        });
    }
    let dir = StateDir::open(&path).map_err(|e| StartError::Other(e.to_string()))?;
    let file = match Redb::open(dir.path()).await {
        Ok(file) => file,
        Err(error @ StoreError::InUse { .. }) => return Err(StartError::InUse(error.to_string())),
        Err(error) => return Err(StartError::Other(error.to_string())),
    };
    Ok(Kept {
        store: Arc::clone(&file) as SharedStore,
        file: Some(file),
        name: name_of(&path),
        dir: Some(dir),
    })
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
