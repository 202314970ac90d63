//! Looking at a store that no Longshore has open, and copying one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ::redb::StorageBackend;
use ::redb::backends::{FileBackend, InMemoryBackend};
use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::database::{Database, FORMAT};
use super::storage::{Open, Storage};
use crate::store::{Item, Listing, Revision, StoreError};

/// Everything in the store at `path` (the file, or the state directory), as one JSON document: `format`, `revision` and, by
/// key, `items` with their `revision` and `value`. The file is only read, also when it was not closed properly.
/// [`StoreError::InUse`] while a Longshore has it open.
pub fn dump(path: &Path) -> Result<Value, StoreError> {
    let mut database = read(path)?;
    let path = database.path().to_owned();
    let listing = database
        .list("")
        .map_err(|failure| failure.into_error("reading the store", &path))?;
    Ok(dump_listing(&listing))
}

/// A listing as [`dump`] writes it. A value that is no JSON stands there as `base64`.
pub fn dump_listing(listing: &Listing) -> Value {
    let items: Map<String, Value> = listing
        .items
        .iter()
        .map(|item| {
            let entry = match serde_json::from_slice::<Value>(&item.value) {
                // What JSON does not keep, such as a member that stands twice, would be lost on the way.
                Ok(value) if value.to_string().len() == item.value.len() => {
                    json!({"revision": item.revision, "value": value})
                }
                _ => json!({
                    "revision": item.revision,
                    "base64": base64::engine::general_purpose::STANDARD.encode(&item.value),
                }),
            };
            (item.key.clone(), entry)
        })
        .collect();
    json!({"format": FORMAT, "revision": listing.revision, "items": items})
}

/// Reads what [`dump_listing`] wrote; `None` where it is something else.
pub fn read_dump(dump: &Value) -> Option<Listing> {
    let item = |(key, entry): (&String, &Value)| {
        let value = match entry.get("value") {
            Some(value) => serde_json::to_vec(value).ok()?,
            None => base64::engine::general_purpose::STANDARD
                .decode(entry.get("base64")?.as_str()?)
                .ok()?,
        };
        let revision = entry.get("revision")?.as_u64()?;
        Some(Item {
            key: key.clone(),
            value,
            revision,
        })
    };
    Some(Listing {
        revision: dump.get("revision")?.as_u64()?,
        items: dump
            .get("items")?
            .as_object()?
            .iter()
            .map(item)
            .collect::<Option<_>>()?,
    })
}

/// Copies the store at `path` (the file, or the state directory), of which only the last state that was committed whole is
/// taken, to the file `to`, which must not exist. [`StoreError::InUse`] while a Longshore has it open: ask that one.
pub fn backup(path: &Path, to: &Path) -> Result<Revision, StoreError> {
    copy(&mut read(path)?, to)
}

/// Copies an open store to a new file.
pub(super) fn copy(database: &mut Database, to: &Path) -> Result<Revision, StoreError> {
    let failed = |error: io::Error| StoreError::Unavailable {
        operation: "copying the store",
        message: match error.kind() {
            io::ErrorKind::AlreadyExists => format!(
                "{} exists already, and is not written over: remove it, or name another file",
                to.display()
            ),
            _ => format!("{}: {error}", to.display()),
        },
        maybe_applied: false,
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(failed)?;
    // From here on the file is ours: a copy that is not whole is taken away again.
    database
        .copy_to(&NewFile(Mutex::new(Some(file))))
        .inspect_err(|_| {
            let _ = std::fs::remove_file(to);
        })
}

/// Writes a listing of another store to the file `to`, which must not exist, with its revision.
pub fn write_new(listing: &Listing, to: &Path) -> Result<(), StoreError> {
    let mut empty = Database::open(Box::new(Image(Vec::new())), "a new store".to_owned())?;
    empty
        .fill(listing)
        .map_err(|failure| failure.into_error("copying the store", "a new store"))?;
    copy(&mut empty, to).map(|_| ())
}

/// The file's content, in memory: redb would repair a file that was not closed properly by writing to it.
fn read(path: &Path) -> Result<Database, StoreError> {
    let path = if path.is_dir() {
        path.join(super::FILE)
    } else {
        path.to_owned()
    };
    let name = path.display().to_string();
    let failed = |error: io::Error| StoreError::Unavailable {
        operation: "reading the store",
        message: format!("{name}: {error}"),
        maybe_applied: false,
    };
    let mut file = File::open(&path).map_err(failed)?;
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: name }),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.is_empty() {
        return Err(failed(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is empty",
        )));
    }
    Database::open(Box::new(Image(bytes)), name)
}

/// A file's content.
struct Image(Vec<u8>);

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} bytes)", self.0.len())
    }
}

impl Open for Image {
    fn open(&self) -> Result<Storage, StoreError> {
        let backend = InMemoryBackend::new();
        let filled = backend
            .set_len(self.0.len() as u64)
            .and_then(|()| backend.write(0, &self.0));
        match filled {
            Ok(()) => Ok(Storage::new(backend)),
            Err(error) => Err(StoreError::Unavailable {
                operation: "reading the store",
                message: error.to_string(),
                maybe_applied: false,
            }),
        }
    }
}

/// A file that was just made; it is opened once.
#[derive(Debug)]
struct NewFile(Mutex<Option<File>>);

impl Open for NewFile {
    fn open(&self) -> Result<Storage, StoreError> {
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let backend = file
            .ok_or_else(|| "it was opened before".to_owned())
            .and_then(|file| FileBackend::new(file).map_err(|error| error.to_string()));
        backend
            .map(Storage::new)
            .map_err(|message| StoreError::Unavailable {
                operation: "copying the store",
                message,
                maybe_applied: false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_json_does_not_keep_is_dumped_byte_for_byte() {
        for value in [r#"{"a":1,"b":[2]}"#, r#"{"a":1,"a":2}"#, "{", " 1"] {
            let listing = Listing {
                items: vec![Item {
                    key: "meta".to_owned(),
                    value: value.as_bytes().to_vec(),
                    revision: 3,
                }],
                revision: 3,
            };
            let read = read_dump(&dump_listing(&listing)).expect("a dump is one");
            assert_eq!(read, listing, "{value}");
        }
    }
}
