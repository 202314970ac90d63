//! A disk that exists only in memory, with a cache that a power cut may drop, and no more room than it is given: what the file
//! store stands on in its own tests and in simulations.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redb::{BackendError, StorageBackend};

use super::storage::{Open, Storage};
use crate::clock::{IdGen, SeededIds};
use crate::store::StoreError;

const SECTOR: usize = 512;

/// A disk with one file. Clones of it are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<Disk>>);

/// What was written since the last sync may or may not outlive a power cut, sector by sector.
#[derive(Debug)]
pub(super) struct Disk {
    /// What the process sees.
    pub(super) seen: Vec<u8>,
    /// What is on the platters.
    safe: Vec<u8>,
    unsynced: Vec<Unsynced>,
    random: Arc<SeededIds>,
    /// The power goes at the change with this number.
    pub(super) cut_at: Option<u64>,
    /// The change with this number fails, once.
    pub(super) fail_at: Option<u64>,
    pub(super) changes: u64,
    syncs: u64,
    /// Longer than this the file cannot become.
    pub(super) capacity: usize,
    /// Rises with every end of who has it open; what was opened before it only fails.
    pub(super) boot: u64,
    powered: bool,
}

#[derive(Debug)]
enum Unsynced {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Disk {
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        if self.cut_at == Some(self.changes) {
            self.powered = false;
            return Err(io::Error::other("the power went"));
        }
        if self.fail_at == Some(self.changes) {
            return Err(io::Error::other("the disk failed"));
        }
        Ok(())
    }

    /// What is in the cache reaches the platters, each sector at the given odds of 256.
    fn flush(&mut self, odds: u64) {
        let random = Arc::clone(&self.random);
        let kept = || odds >= 256 || random.bits() % 256 < odds;
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Unsynced::Length(length) => {
                    if kept() {
                        self.safe.resize(length, 0);
                    }
                }
                Unsynced::Write(offset, data) => {
                    for (n, sector) in data.chunks(SECTOR).enumerate() {
                        let from = offset + n * SECTOR;
                        if kept() && from + sector.len() <= self.safe.len() {
                            self.safe[from..from + sector.len()].copy_from_slice(sector);
                        }
                    }
                }
            }
        }
    }
}

impl SimDisk {
    /// An empty disk; what a power cut drops follows from `random`.
    pub fn new(random: Arc<SeededIds>) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            seen: Vec::new(),
            safe: Vec::new(),
            unsynced: Vec::new(),
            random,
            cut_at: None,
            fail_at: None,
            changes: 0,
            syncs: 0,
            capacity: usize::MAX,
            boot: 0,
            powered: true,
        })))
    }

    pub(super) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power off, then on: each unsynced sector made it, or not, at the given odds of 256. Whoever had the file open has lost it.
    pub fn lose_power(&self, odds: u64) {
        let mut disk = self.disk();
        disk.flush(odds);
        disk.seen = disk.safe.clone();
        disk.boot += 1;
        disk.powered = true;
        disk.cut_at = None;
    }

    /// The power goes at the `nth` change of the file from now.
    pub fn cut_power_at(&self, nth: u64) {
        let mut disk = self.disk();
        disk.cut_at = Some(disk.changes + nth.max(1));
    }

    /// Whether there is power.
    pub fn has_power(&self) -> bool {
        self.disk().powered
    }

    /// Whoever has the file open is dead, and nothing of what was written is lost.
    pub fn let_go(&self) {
        let mut disk = self.disk();
        disk.boot += 1;
        disk.cut_at = None;
    }

    /// From now on the file can become no longer than it is, or as long as it likes again.
    pub fn fill(&self, full: bool) {
        let mut disk = self.disk();
        disk.capacity = match full {
            true => disk.seen.len(),
            false => usize::MAX,
        };
    }

    /// How often what was written was made safe.
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }
}

impl Open for SimDisk {
    fn open(&self) -> Result<Storage, StoreError> {
        let boot = self.disk().boot;
        Ok(Storage::new(File {
            boot,
            disk: self.clone(),
        }))
    }
}

#[derive(Debug)]
struct File {
    disk: SimDisk,
    boot: u64,
}

impl File {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk.disk();
        if disk.powered && disk.boot == self.boot {
            Ok(disk)
        } else {
            Err(io::Error::other("there is no power"))
        }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl StorageBackend for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk()?.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = index(offset);
        let disk = self.disk()?;
        let bytes = disk.seen.get(from..from.saturating_add(out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.change()?;
        let length = index(len);
        if length > disk.capacity && length > disk.seen.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.seen.resize(length, 0);
        disk.unsynced.push(Unsynced::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.change()?;
        disk.flush(256);
        disk.syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.disk()?;
        let from = index(offset);
        let cut = disk.change();
        if cut.is_ok() || !disk.powered {
            // A write during which the power goes may have begun.
            disk.unsynced.push(Unsynced::Write(from, data.to_vec()));
        }
        cut?;
        let place = disk.seen.get_mut(from..from.saturating_add(data.len()));
        place
            .ok_or(io::ErrorKind::UnexpectedEof)?
            .copy_from_slice(data);
        Ok(())
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}
