//! The state that a daemon works on: the directory, its store, its owner, and that it belongs to this folder.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{EngineChoice, Mode, Options, StartError, source};
use crate::agent::EndpointKey;
use crate::api::{self, client::Client};
use crate::clock::SharedIds;
use crate::model::{Timestamp, hex_sha256};
use crate::store::dir::{Surroundings, default_path, known_as};
use crate::store::{
    Claim, ClaimError, Claimant, Etcd, Listing, Memory, Redb, SharedStore, StateDir, Store as _,
    StoreError, Txn, View, etcd, keys, redb,
};
use crate::{engine::lease::Holder, manifest};

/// An open state.
pub struct Kept {
    /// The store.
    pub store: SharedStore,
    /// The same, where it is a file.
    pub file: Option<Arc<Redb>>,
    /// The same, where it is in etcd.
    pub etcd: Option<Arc<Etcd>>,
    /// What the socket is named after.
    pub name: String,
    /// The directory; nothing is in it where the engine is simulated, but its Longshore is found by it.
    pub path: PathBuf,
    dir: Option<StateDir>,
}

/// The key of the tasks' metadata endpoints; `None` where the state is in memory only.
pub async fn endpoint_key(kept: &Kept, ids: &SharedIds) -> Result<Option<EndpointKey>, StartError> {
    if let Some(etcd) = &kept.etcd {
        // Whoever leads next must answer the containers that run, so it is in etcd; but beside the tree, and in no dump.
        let fresh: String = (0..4).map(|_| format!("{:016x}", ids.bits())).collect();
        let key = etcd.keep_secret("endpoint-key", &fresh).await;
        let key = key.map_err(|e| StartError::Other(e.to_string()))?;
        return Ok(Some(EndpointKey::new(key.as_bytes())));
    }
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
        if options.store.is_some() {
            let why = "a simulated engine is gone with its process, and so is its state: leave --store out";
            return Err(StartError::Other(why.to_owned()));
        }
        return Ok(Kept {
            store: Arc::new(Memory::default()),
            file: None,
            etcd: None,
            name: format!("{}-simulated", name_of(&path)),
            path,
            dir: None,
        });
    }
    if let Some(etcd) = &options.store {
        let etcd = Etcd::connect(etcd.clone()).await;
        let etcd = etcd.map_err(|e| StartError::Other(e.to_string()))?;
        return Ok(Kept {
            store: Arc::clone(&etcd) as SharedStore,
            file: None,
            etcd: Some(etcd),
            name: name_of(&path),
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
        etcd: None,
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

/// The name of this machine.
pub fn host() -> String {
    Holder::this_process("", "", "").host
}

/// Returns once it is known that another Longshore of this machine leads for this state; never for one that may stand by.
pub async fn led_here(kept: &Kept, options: &Options) {
    if options.stand_by || !answers(&kept.path, options.socket.as_deref()).await {
        std::future::pending().await
    }
}

/// Everything in a store in etcd, whoever leads it.
pub async fn listing(options: etcd::Options) -> Result<Listing, String> {
    let store = Etcd::look(options).await.map_err(|e| e.to_string())?;
    store.list("").await.map_err(|e| e.to_string())
}

/// Copies a store that is no file to a new file that a Longshore can start from.
pub async fn back_up(store: &SharedStore, to: &Path) -> Result<(), String> {
    let listing = store.list("").await.map_err(|e| e.to_string())?;
    redb::write_new(&listing, to).map_err(|e| e.to_string())
}

/// Makes the state this folder's, or says why it cannot be; returns its owner.
pub async fn claim(
    kept: &Kept,
    view: &View,
    folder: &Path,
    options: &Options,
    ids: &SharedIds,
    now: Timestamp,
) -> Result<String, StartError> {
    let other = |error: &dyn std::fmt::Display| StartError::Other(error.to_string());
    let stored = view.read().meta.clone();
    let remembered = stored.as_ref().map(|meta| meta.owner.as_str());
    let fresh = || format!("{:016x}", ids.bits());
    let owner = match (&kept.dir, &kept.etcd) {
        (Some(dir), _) => dir
            .ensure_owner(remembered, ids.as_ref())
            .map_err(|e| other(&e))?,
        // All that lead one store are one owner, one after the other.
        (None, Some(_)) => remembered.map_or_else(fresh, str::to_owned),
        (None, None) => fresh(),
    };
    let known = match &kept.etcd {
        None => folder.display().to_string(),
        Some(etcd) => {
            is_a_copy(view, folder, options)
                .map_err(|why| other(&format!("{}: {why}", etcd.place())))?;
            let named = options.source.clone();
            named.unwrap_or_else(|| source::of(folder))
        }
    };
    let claimant = Claimant {
        folder: known,
        owner: owner.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        take_over: options.take_over,
    };
    if let Some(etcd) = &kept.etcd
        && let Err(ClaimError::OtherFolder { stored, ours }) =
            crate::store::claim(stored.as_deref(), &claimant, now)
    {
        return Err(StartError::Other(format!(
            "the store {} belongs to copies of {stored}; this folder is a copy of {ours}. Follow a copy of that, or keep this one's              state under a prefix of its own (--store etcd://HOST/PREFIX). Where both are copies of one thing, say which on each              machine with --source; where this folder replaces that one, --take-over",
            etcd.place()
        )));
    }
    take(&kept.store, view, &claimant, now).await?;
    Ok(owner)
}

/// Refuses a folder that has nothing in common with what the store remembers, whatever it is called: all that runs would be
/// removed for it.
fn is_a_copy(view: &View, folder: &Path, options: &Options) -> Result<(), String> {
    if options.take_over || options.mode == Mode::Remove {
        return Ok(());
    }
    let scan = manifest::source::scan(folder);
    let remembered = super::folder::last_good(&view.read());
    if remembered.is_empty() || !scan.is_whole() {
        return Ok(());
    }
    let loaded = manifest::load(
        &scan,
        &manifest::load::LastGood::default(),
        &manifest::load::LoadOptions::default(),
    );
    if loaded.good.is_empty() || loaded.good.keys().any(|key| remembered.contains_key(key)) {
        return Ok(());
    }
    Err(format!(
        "nothing that the folder {} declares is among the {} resources that this store remembers, so it is taken for another's.          Name the store's prefix (--store etcd://HOST/PREFIX), or, where this folder replaces that one, --take-over",
        folder.display(),
        remembered.len()
    ))
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
