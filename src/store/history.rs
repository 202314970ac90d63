//! The recent commits of a store that lives in this process, and the watches that read them.
//!
//! Watches pull: each keeps only the revision it has reached and reads the shared ring from there. A slow watch therefore
//! costs nothing and delays nobody; when the ring has moved past it, it is told [`WatchEvent::Compacted`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Change, Commit, Revision, Watch, WatchEvent};

/// How much a history keeps: whichever bound is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Most commits.
    pub commits: usize,
    /// Most bytes of keys and values.
    pub bytes: usize,
}

impl Default for Capacity {
    /// 4,096 commits, 8 MiB.
    fn default() -> Self {
        Self {
            commits: 4096,
            bytes: 8 << 20,
        }
    }
}

/// Recent commits, oldest first. Clones share one history.
#[derive(Debug, Clone)]
pub(super) struct History {
    ring: Arc<Mutex<Ring>>,
    /// The newest revision; watches wait on it. It ends when the store is dropped.
    newest: Arc<watch::Sender<Revision>>,
}

#[derive(Debug)]
struct Ring {
    commits: VecDeque<(Arc<Commit>, usize)>,
    bytes: usize,
    capacity: Capacity,
    /// Commits up to and including this revision are not known any more.
    floor: Revision,
    /// Rises with every [`History::restart`]; a watch of an earlier era cannot go on.
    era: u64,
}

/// Whether a watch from `after` can go on, and with what.
enum Next {
    Commit(Arc<Commit>),
    Nothing,
    Compacted,
}

impl History {
    /// A history that begins after `revision`.
    pub(super) fn new(revision: Revision, capacity: Capacity) -> Self {
        Self {
            ring: Arc::new(Mutex::new(Ring {
                commits: VecDeque::new(),
                bytes: 0,
                capacity,
                floor: revision,
                era: 0,
            })),
            newest: Arc::new(watch::Sender::new(revision)),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a commit whose revision is above all others'.
    pub(super) fn push(&self, commit: Commit) {
        let revision = commit.revision;
        {
            let mut ring = self.ring();
            let size = commit.changes.iter().map(size_of_change).sum();
            ring.bytes += size;
            ring.commits.push_back((Arc::new(commit), size));
            while ring.commits.len() > ring.capacity.commits || ring.bytes > ring.capacity.bytes {
                ring.drop_oldest();
            }
        }
        self.newest.send_replace(revision);
    }

    /// Forgets every commit, so that every watch that has not read them is told to list again.
    pub(super) fn compact(&self) {
        let mut ring = self.ring();
        while !ring.commits.is_empty() {
            ring.drop_oldest();
        }
    }

    /// Begins anew after `revision`: whatever was known before is forgotten, and every watch is told to list again.
    pub(super) fn restart(&self, revision: Revision) {
        let mut ring = self.ring();
        ring.commits.clear();
        ring.bytes = 0;
        ring.floor = revision;
        ring.era += 1;
        drop(ring);
        self.newest.send_replace(revision);
    }

    /// The commits after `after` that touch `prefix`.
    pub(super) fn watch(&self, prefix: &str, after: Revision) -> Watch {
        let cursor = Cursor {
            ring: Arc::clone(&self.ring),
            newest: self.newest.subscribe(),
            prefix: prefix.to_owned(),
            after,
            era: self.ring().era,
            ended: false,
        };
        Box::pin(futures_util::stream::unfold(cursor, |mut cursor| async {
            let event = cursor.next().await?;
            Some((Ok(event), cursor))
        }))
    }
}

impl Ring {
    fn drop_oldest(&mut self) {
        if let Some((commit, size)) = self.commits.pop_front() {
            self.bytes -= size;
            self.floor = commit.revision;
        }
    }

    fn after(&self, after: Revision, era: u64) -> Next {
        let newest = self
            .commits
            .back()
            .map_or(self.floor, |(commit, _)| commit.revision);
        if era != self.era || after < self.floor || after > newest {
            return Next::Compacted;
        }
        let index = self
            .commits
            .partition_point(|(commit, _)| commit.revision <= after);
        self.commits
            .get(index)
            .map_or(Next::Nothing, |(commit, _)| {
                Next::Commit(Arc::clone(commit))
            })
    }
}

struct Cursor {
    ring: Arc<Mutex<Ring>>,
    newest: watch::Receiver<Revision>,
    prefix: String,
    after: Revision,
    era: u64,
    ended: bool,
}

impl Cursor {
    /// The next message; `None` after `Compacted` and once the store is gone.
    async fn next(&mut self) -> Option<WatchEvent> {
        while !self.ended {
            // Marked as seen before the ring is read: a commit that lands in between wakes the wait below at once.
            self.newest.borrow_and_update();
            let next = self
                .ring
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .after(self.after, self.era);
            match next {
                Next::Compacted => {
                    self.ended = true;
                    return Some(WatchEvent::Compacted);
                }
                Next::Commit(commit) => {
                    self.after = commit.revision;
                    if let Some(commit) = under(&commit, &self.prefix) {
                        return Some(WatchEvent::Commit(commit));
                    }
                }
                Next::Nothing => self.ended = self.newest.changed().await.is_err(),
            }
        }
        None
    }
}

/// What of `commit` is under `prefix`; `None` when nothing is.
fn under(commit: &Commit, prefix: &str) -> Option<Commit> {
    let changes: Vec<Change> = commit
        .changes
        .iter()
        .filter(|change| change.key().starts_with(prefix))
        .cloned()
        .collect();
    (!changes.is_empty()).then_some(Commit {
        revision: commit.revision,
        changes,
    })
}

fn size_of_change(change: &Change) -> usize {
    match change {
        Change::Put(item) => item.key.len() + item.value.len(),
        Change::Delete(key) => key.len(),
    }
}
