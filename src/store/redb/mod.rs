//! The store in a file: the default, for one machine.
//!
//! `state.redb` in the state directory, readable by its owner only. A thread of its own does all reading and writing; what
//! arrives while it waits for the disk becomes one transaction, so that many writers cost little more than one. A commit that
//! was answered is on the disk.
//!
//! * One process at a time ([`StoreError::InUse`]); a file of a newer format is refused ([`StoreError::NewerFormat`]).
//! * Watches reach back to when the store was opened, at most; before that they are told `Compacted`.
//! * After an error of the disk (it is full, for example) the failed writes are answered with
//!   [`StoreError::Unavailable`], the file is opened again at the next use, and the store goes on by itself.
//! * [`backup`](fn@backup) and [`dump`] read the file of a Longshore that is not running; [`Redb::backup`] the one in use.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::history::{Capacity, History};
use super::{Epoch, Guard, Limits, Listing, Op, Revision, Store, StoreError, Watch, typed};

mod database;
mod disk;
mod offline;
mod storage;

#[cfg(test)]
mod faults;

pub use database::FORMAT;
pub use disk::SimDisk;
pub use offline::{backup, dump, dump_listing, read_dump, write_new};

use database::{Database, Failure, Group, Outcome, Write};
use storage::{FileAt, Open};

/// The store's file in the state directory.
pub const FILE: &str = "state.redb";

/// Most writes that become one transaction.
const GROUP: usize = 64;

/// A store in a file. Dropping it waits until the file is closed, so that it can be opened again at once.
#[derive(Debug)]
pub struct Redb {
    path: PathBuf,
    history: History,
    hands: Hands,
}

/// Who reads and writes.
#[derive(Debug)]
enum Hands {
    /// A thread of its own.
    Thread {
        /// `None` only while it is dropped.
        requests: Option<mpsc::Sender<Request>>,
        thread: Option<JoinHandle<()>>,
    },
    /// Whoever asks, at once: a simulation has one thread, whose order is its own.
    Asker(Box<Mutex<Worker>>),
}

#[derive(Debug)]
enum Request {
    Write(Write, oneshot::Sender<Result<Outcome, StoreError>>),
    List(String, oneshot::Sender<Result<Listing, StoreError>>),
    Backup(PathBuf, oneshot::Sender<Result<Revision, StoreError>>),
}

impl Redb {
    /// Opens `state.redb` in `directory`, which exists; creates the file when it is not there.
    pub async fn open(directory: &Path) -> Result<Arc<Self>, StoreError> {
        Self::open_with(directory, Capacity::default()).await
    }

    /// As [`open`](Self::open), with so much history for watches.
    pub async fn open_with(directory: &Path, history: Capacity) -> Result<Arc<Self>, StoreError> {
        let path = directory.join(FILE);
        Self::open_storage(Box::new(FileAt(path.clone())), path, history).await
    }

    async fn open_storage(
        file: Box<dyn Open>,
        path: PathBuf,
        capacity: Capacity,
    ) -> Result<Arc<Self>, StoreError> {
        let (requests, receiver) = mpsc::channel();
        let (opened, answer) = oneshot::channel();
        let name = path.display().to_string();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || match Database::open(file, name) {
                Ok(database) => {
                    let history = History::new(database.revision(), capacity);
                    if opened.send(Ok(history.clone())).is_ok() {
                        Worker { database, history }.run(&receiver);
                    }
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(|error| StoreError::Unavailable {
                operation: "opening the store",
                message: error.to_string(),
                maybe_applied: false,
            })?;
        // A file that is damaged badly enough makes redb panic; the thread then ends without an answer.
        let history = answer.await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable {
                operation: "opening the store",
                message: format!("{}: the file is damaged", path.display()),
                maybe_applied: false,
            })
        })?;
        Ok(Arc::new(Self {
            path,
            history,
            hands: Hands::Thread {
                requests: Some(requests),
                thread: Some(thread),
            },
        }))
    }

    /// Opens the store on a disk in memory. Everything is done by whoever asks for it, before anybody else goes on.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn simulated(disk: &SimDisk) -> Result<Arc<Self>, StoreError> {
        let path = PathBuf::from("disk");
        let database = Database::open(Box::new(disk.clone()), path.display().to_string())?;
        let history = History::new(database.revision(), Capacity::default());
        let worker = Worker {
            database,
            history: history.clone(),
        };
        Ok(Arc::new(Self {
            path,
            history,
            hands: Hands::Asker(Box::new(Mutex::new(worker))),
        }))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the store, as of one revision, to the file `to`, which must not exist, and returns that revision. Commits wait
    /// meanwhile.
    pub async fn backup(&self, to: &Path) -> Result<Revision, StoreError> {
        self.ask("copying the store", false, |reply| {
            Request::Backup(to.to_owned(), reply)
        })
        .await?
    }

    async fn ask<T>(
        &self,
        operation: &'static str,
        maybe_applied: bool,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, StoreError> {
        let ended = |maybe_applied| StoreError::Unavailable {
            operation,
            message: format!("{}: the store has ended", self.path.display()),
            maybe_applied,
        };
        let (reply, answer) = oneshot::channel();
        let request = request(reply);
        let sent = match &self.hands {
            Hands::Thread { requests, .. } => requests
                .as_ref()
                .is_some_and(|requests| requests.send(request).is_ok()),
            Hands::Asker(worker) => {
                let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
                worker.serve(request, std::iter::empty());
                true
            }
        };
        if !sent {
            return Err(ended(false));
        }
        answer.await.map_err(|_| ended(maybe_applied))
    }
}

impl Drop for Redb {
    fn drop(&mut self) {
        if let Hands::Thread { requests, thread } = &mut self.hands {
            // The thread ends when there is nobody left to ask it anything.
            drop(requests.take());
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}

#[async_trait]
impl Store for Redb {
    async fn acquire(&self, name: &str) -> Result<Epoch, StoreError> {
        let write = Write::Acquire(name.to_owned());
        let asked = self.ask("acquiring", true, |reply| Request::Write(write, reply));
        match asked.await?? {
            Outcome::Acquired(epoch) => Ok(epoch),
            Outcome::Committed(_) => Err(mixed_up()),
            Outcome::Refused(error) => Err(error),
        }
    }

    async fn commit(
        &self,
        epoch: &Epoch,
        guards: &[Guard],
        ops: Vec<Op>,
    ) -> Result<Revision, StoreError> {
        typed::check_size(Limits::EMBEDDED, guards, &ops)?;
        let write = Write::Commit(epoch.clone(), guards.to_vec(), ops);
        let asked = self.ask("committing", true, |reply| Request::Write(write, reply));
        match asked.await?? {
            Outcome::Committed(revision) => Ok(revision),
            Outcome::Acquired(_) => Err(mixed_up()),
            Outcome::Refused(error) => Err(error),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.ask("listing", false, |reply| {
            Request::List(prefix.to_owned(), reply)
        })
        .await?
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        Ok(self.history.watch(prefix, after))
    }
}

/// `Database::write` answers each write with its own kind of outcome; this is what a caller gets if it ever did not.
fn mixed_up() -> StoreError {
    StoreError::Unavailable {
        operation: "writing",
        message: "the store answered another question".to_owned(),
        maybe_applied: true,
    }
}

/// Owns the file.
#[derive(Debug)]
struct Worker {
    database: Database,
    history: History,
}

impl Worker {
    fn run(mut self, requests: &mpsc::Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            self.serve(first, requests.try_iter().take(GROUP - 1));
        }
    }

    /// Answers requests. All of them were asked before any was answered, so their order is free.
    fn serve(&mut self, first: Request, more: impl Iterator<Item = Request>) {
        let mut writes = Vec::new();
        let mut others = Vec::new();
        for request in std::iter::once(first).chain(more) {
            match request {
                Request::Write(write, reply) => writes.push((write, reply)),
                other => others.push(other),
            }
        }
        if !writes.is_empty() {
            self.write(writes);
        }
        for request in others {
            self.answer(request);
        }
    }

    fn write(&mut self, requests: Vec<(Write, oneshot::Sender<Result<Outcome, StoreError>>)>) {
        let (writes, replies): (Vec<Write>, Vec<_>) = requests.into_iter().unzip();
        match self.guarded(true, |database| database.write(writes)) {
            Ok(Group { outcomes, commits }) => {
                for commit in commits {
                    self.history.push(commit);
                }
                for (outcome, reply) in outcomes.into_iter().zip(replies) {
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(failure) => {
                let failure = self.settle(failure);
                let path = self.database.path();
                tracing::error!(%path, error = %failure.message, "the store cannot be written; it is tried again at the next write");
                for reply in replies {
                    let failure = Failure {
                        message: failure.message.clone(),
                        maybe_applied: failure.maybe_applied,
                    };
                    let _ = reply.send(Err(failure.into_error("committing", path)));
                }
            }
        }
    }

    /// Opens the file again to see whether the writes that failed are there all the same.
    fn settle(&mut self, failure: Failure) -> Failure {
        if !failure.maybe_applied {
            return failure;
        }
        match self.ensure_open() {
            Ok(moved) => Failure {
                maybe_applied: moved,
                ..failure
            },
            Err(_) => failure,
        }
    }

    /// Opens the file if need be. When it does not stand where we left it, every watch is told to list again.
    fn ensure_open(&mut self) -> Result<bool, StoreError> {
        let moved = catch_unwind(AssertUnwindSafe(|| self.database.ensure_open())).unwrap_or_else(
            |_| Err(damaged().into_error("opening the store", self.database.path())),
        )?;
        if moved {
            self.history.restart(self.database.revision());
        }
        Ok(moved)
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::List(prefix, reply) => {
                let listing = self.guarded(false, |database| database.list(&prefix));
                let path = self.database.path();
                let _ = reply.send(listing.map_err(|failure| failure.into_error("listing", path)));
            }
            Request::Backup(to, reply) => {
                let copied = self
                    .ensure_open()
                    .and_then(|_| offline::copy(&mut self.database, &to));
                let _ = reply.send(copied);
            }
            // Writes were answered before.
            Request::Write(..) => {}
        }
    }

    /// Does `work` on the open file. A panic of redb, which a damaged file can cause, is a failure like any other.
    fn guarded<T>(
        &mut self,
        writes: bool,
        work: impl FnOnce(&mut Database) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.ensure_open().map_err(|error| Failure {
            message: error.to_string(),
            maybe_applied: false,
        })?;
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut self.database)));
        result.unwrap_or_else(|_| {
            let _ = catch_unwind(AssertUnwindSafe(|| self.database.close()));
            Err(Failure {
                maybe_applied: writes,
                ..damaged()
            })
        })
    }
}

fn damaged() -> Failure {
    Failure {
        message: "the file is damaged".to_owned(),
        maybe_applied: false,
    }
}
