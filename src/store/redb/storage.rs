//! Where the bytes of a file store are: how its storage is opened, and opened again after an error.

use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ::redb::backends::FileBackend;
use ::redb::{BackendError, StorageBackend};

use crate::store::StoreError;

/// Something that can be opened, and opened again after an input or output error.
pub(super) trait Open: fmt::Debug + Send {
    /// Opens it. redb takes the lock afterwards.
    fn open(&self) -> Result<Storage, StoreError>;
}

/// A file, created for its owner only when it is not there.
#[derive(Debug)]
pub(super) struct FileAt(pub(super) PathBuf);

impl Open for FileAt {
    fn open(&self) -> Result<Storage, StoreError> {
        let opened = open_private(&self.0).and_then(|file| {
            FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))
        });
        opened
            .map(Storage::new)
            .map_err(|error| StoreError::Unavailable {
                operation: "opening the store",
                message: format!("{}: {error}", self.0.display()),
                maybe_applied: false,
            })
    }
}

fn open_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    if metadata.len() == 0
        && let Some(directory) = path.parent()
    {
        // So that the name of a new file outlives a power cut as its content does.
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

/// A redb storage. It starts afresh where an earlier process ended while it was laying out the file: redb writes its magic
/// number last, and would refuse the file without it for ever.
#[derive(Debug)]
pub(super) struct Storage {
    inner: Box<dyn StorageBackend>,
    looked: AtomicBool,
}

/// The bytes at the start of every redb file that was laid out whole (`redb` and five more).
const MAGIC_LENGTH: usize = 9;

impl Storage {
    pub(super) fn new(inner: impl StorageBackend) -> Self {
        Self {
            inner: Box::new(inner),
            looked: AtomicBool::new(false),
        }
    }

    fn start_afresh_if_never_laid_out(&self) -> io::Result<()> {
        let length = self.inner.len()?;
        if length == 0 {
            return Ok(());
        }
        let mut magic = [0_u8; MAGIC_LENGTH];
        let read = usize::try_from(length).map_or(MAGIC_LENGTH, |l| l.min(MAGIC_LENGTH));
        self.inner.read(0, &mut magic[..read])?;
        if magic == [0_u8; MAGIC_LENGTH] {
            self.inner.set_len(0)?;
        }
        Ok(())
    }
}

impl StorageBackend for Storage {
    /// redb asks for the length first, and once it holds the locks: nobody else is laying the file out at that moment.
    fn len(&self) -> io::Result<u64> {
        if !self.looked.swap(true, Ordering::SeqCst) {
            self.start_afresh_if_never_laid_out()?;
        }
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
