//! Watching the folder: every [`Scan`] that differs from the one before, from files that are whole.
//!
//! The system's notifications are a hint to look again and never the truth: they miss files written right after their
//! folder was made, overflow in a burst, end when a folder is replaced, and do not exist on network file systems. So the
//! folder is also read on a timer, and every decision ([`gate`]) compares what was read. What notifications do give is
//! speed, and the knowledge that a file's writer has closed it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::source::Scan;
use super::source::walk::{Walked, is_ignored, is_manifest};

mod eyes;
mod gate;
mod hints;
mod places;
pub mod simulated;

use eyes::{Eyes, Followed, State};
use gate::{Gate, Write};
use hints::Hint;
use places::Places;
pub use places::network_file_system;

/// From the first hint to looking, so that hints which come together are one look.
const COALESCE: Duration = Duration::from_millis(2);
/// A file that is being written is looked at again when its writer closes it, and at the latest after this time.
const WRITER_CHECK: Duration = Duration::from_secs(1);
/// More marks than this are worth less than looking again.
const MAX_MARKS: usize = 50_000;

/// How a folder is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    /// How often the folder is read without any hint, where hints work.
    pub rescan_interval: Duration,
    /// How often it is read where they do not: network file systems, inotify limits used up, `poll_only`.
    pub poll_interval: Duration,
    /// Use no notifications.
    pub poll_only: bool,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            rescan_interval: Duration::from_secs(10),
            poll_interval: Duration::from_secs(2),
            poll_only: false,
        }
    }
}

/// Watches the folder at `root` until `cancel`, or until the receiver is dropped; must be called inside a runtime.
///
/// The first scan comes at once, the next ones when their content differs from the last one received; a receiver that is
/// slow gets the newest and skips those between. A file is in a scan as it was when its writer closed it or it was renamed
/// into place, or else when two readings agreed; a deletion when two readings of the whole folder agreed.
pub fn watch(
    root: PathBuf,
    options: WatchOptions,
    cancel: CancellationToken,
) -> mpsc::Receiver<Scan> {
    watch_with(Eyes::Real(State::default()), root, options, cancel)
}

fn watch_with(
    eyes: Eyes,
    root: PathBuf,
    options: WatchOptions,
    cancel: CancellationToken,
) -> mpsc::Receiver<Scan> {
    let (to, receiver) = mpsc::channel(1);
    // Notifications name absolute paths; and the working directory may change, the folder must not.
    let absolute = std::path::absolute(&root).unwrap_or_else(|_| root.clone());
    let watcher = Watcher {
        to,
        pending: None,
        sent: None,
        root,
        absolute: absolute.clone(),
        options,
        eyes: Some(eyes),
        places: Places::new(absolute),
        gate: Gate::default(),
        marks: HashMap::new(),
        moved: Vec::new(),
        hint_source: None,
        warned: false,
    };
    tokio::spawn(watcher.run(cancel));
    receiver
}

struct Watcher {
    to: mpsc::Sender<Scan>,
    /// The newest scan, which the receiver has no room for yet.
    pending: Option<Scan>,
    sent: Option<Scan>,
    /// As given.
    root: PathBuf,
    absolute: PathBuf,
    options: WatchOptions,
    /// What it looks with; taken while a look is under way.
    eyes: Option<Eyes>,
    places: Places,
    gate: Gate,
    /// What is known about writers, by real path.
    marks: HashMap<PathBuf, Write>,
    /// Folders and links that were renamed into place since the last look: all in them is finished.
    moved: Vec<PathBuf>,
    hint_source: Option<mpsc::UnboundedReceiver<Hint>>,
    /// That hints do not work was said.
    warned: bool,
}

impl Watcher {
    async fn run(mut self, cancel: CancellationToken) {
        let mut due = Instant::now();
        let to = self.to.clone();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = to.closed() => return,
                permit = to.reserve(), if self.pending.is_some() => {
                    let Ok(permit) = permit else { return };
                    if let Some(scan) = self.pending.take() {
                        permit.send(scan.clone());
                        self.sent = Some(scan);
                    }
                }
                hint = next(&mut self.hint_source) => {
                    if let Some(within) = self.note(hint) {
                        due = due.min(Instant::now() + within);
                    }
                }
                () = sleep_until(due) => due = self.look().await,
            }
        }
    }

    /// Hands a scan on, or keeps it until there is room.
    fn give(&mut self, scan: Scan) {
        self.pending = None;
        if self.sent.as_ref() == Some(&scan) {
            return;
        }
        match self.to.try_reserve() {
            Ok(permit) => {
                permit.send(scan.clone());
                self.sent = Some(scan);
            }
            // Closed is noticed by the loop.
            Err(_) => self.pending = Some(scan),
        }
    }

    /// Takes in every hint that is there.
    fn note_all(&mut self) {
        while let Some(hint) = self
            .hint_source
            .as_mut()
            .and_then(|hints| hints.try_recv().ok())
        {
            self.note(hint);
        }
    }

    /// Takes a hint in; how soon to look because of it.
    fn note(&mut self, hint: Hint) -> Option<Duration> {
        if self.marks.len() > MAX_MARKS {
            self.marks.clear();
        }
        let path = match &hint {
            Hint::Lost => {
                // A close may have been among what was lost.
                self.marks.clear();
                return Some(COALESCE);
            }
            Hint::Finished(path)
            | Hint::Writing(path)
            | Hint::Moved(path)
            | Hint::Gone(path)
            | Hint::Other(path) => path,
        };
        if let Some(eyes) = &mut self.eyes
            && matches!(hint, Hint::Gone(_) | Hint::Moved(_))
        {
            eyes.forget(path);
        }
        if !self.places.matters(path) {
            return None;
        }
        match hint {
            Hint::Finished(path) => {
                self.marks.insert(path, Write::Finished);
            }
            Hint::Writing(path) => {
                self.marks.insert(path, Write::Open);
                return Some(WRITER_CHECK);
            }
            Hint::Moved(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if is_manifest(&name) && !is_ignored(&name) {
                    self.marks.insert(path.clone(), Write::Finished);
                }
                self.moved.push(path);
            }
            Hint::Gone(path) => {
                self.marks.remove(&path);
            }
            Hint::Other(_) | Hint::Lost => {}
        }
        Some(COALESCE)
    }

    /// Reads the folder, hands on what is certain, and sees to the watches; when to look again.
    async fn look(&mut self) -> Instant {
        self.note_all();
        let eyes = self.eyes.take().unwrap_or_default();
        let started = Instant::now();
        let Some((eyes, mut walked)) = eyes.look(&self.absolute).await else {
            return self.start_over();
        };
        let ended = Instant::now();
        walked.scan.root.clone_from(&self.root);
        let offer = {
            let writes = Writes::new(&self.marks, &self.moved, &self.places, &walked);
            self.gate
                .offer(&walked.scan, started, ended, |name| writes.of(name))
        };
        // A finished write has now been read; one that goes on has not.
        self.marks.retain(|_, write| *write == Write::Open);
        self.moved.clear();
        if let Some(scan) = offer.scan {
            self.give(scan);
        }

        let places = std::mem::take(&mut self.places);
        let followed = eyes.follow(places, walked, self.options).await;
        let Some((eyes, places, followed)) = followed else {
            return self.start_over();
        };
        self.places = places;
        self.eyes = Some(eyes);
        let next = self.follow_up(followed);
        match offer.again {
            Some(again) => next.min(ended + again),
            None => next,
        }
    }

    /// After a panic while reading: everything is read and watched anew.
    fn start_over(&mut self) -> Instant {
        warn!(folder = %self.root.display(), "reading the folder of manifests failed; it is tried again");
        self.eyes = None;
        self.hint_source = None;
        self.places = Places::new(self.absolute.clone());
        Instant::now() + self.options.poll_interval
    }

    /// When to look again without a hint.
    fn follow_up(&mut self, followed: Followed) -> Instant {
        let (source, reason) = match followed {
            Followed::Whole { source, added } => {
                self.hint_source = source.or(self.hint_source.take());
                self.warned = false;
                if !added {
                    return Instant::now() + self.options.rescan_interval;
                }
                // Setting a watch anew has a gap, in which a writer may have closed its file unseen; and what was
                // written before the watch was set is found by looking once more.
                self.note_all();
                self.marks.retain(|_, write| *write == Write::Finished);
                return Instant::now();
            }
            Followed::Partly { source, reason } => (source.or(self.hint_source.take()), reason),
            Followed::NotAsked { reason } => (None, reason.to_owned()),
        };
        self.hint_source = source;
        if !std::mem::replace(&mut self.warned, true) {
            warn!(
                folder = %self.root.display(),
                reason,
                "changes are found only by reading the folder every {} ms",
                self.options.poll_interval.as_millis(),
            );
        }
        Instant::now() + self.options.poll_interval
    }
}

/// The next hint; never, while there is nobody to give one.
async fn next(source: &mut Option<mpsc::UnboundedReceiver<Hint>>) -> Hint {
    match source {
        Some(hints) => match hints.recv().await {
            Some(hint) => hint,
            None => {
                *source = None;
                Hint::Lost
            }
        },
        None => std::future::pending().await,
    }
}

/// What is known about the writers of the files of one scan.
struct Writes<'w> {
    marks: &'w HashMap<PathBuf, Write>,
    moved: HashSet<&'w Path>,
    places: &'w Places,
    /// Where a name's file is, links resolved and not; filled when there is anything to look up.
    paths: HashMap<&'w str, Vec<&'w Path>>,
}

impl<'w> Writes<'w> {
    fn new(
        marks: &'w HashMap<PathBuf, Write>,
        moved: &'w [PathBuf],
        places: &'w Places,
        walked: &'w Walked,
    ) -> Self {
        let mut paths: HashMap<&str, Vec<&Path>> = HashMap::new();
        if !marks.is_empty() || !moved.is_empty() {
            for (path, name) in &walked.names {
                paths.entry(name).or_default().push(path);
            }
        }
        Self {
            marks,
            moved: moved.iter().map(PathBuf::as_path).collect(),
            places,
            paths,
        }
    }

    fn of(&self, name: &str) -> Write {
        let paths = self.paths.get(name).map_or(&[][..], Vec::as_slice);
        let mark = |write| {
            paths
                .iter()
                .any(|path| self.marks.get(*path) == Some(&write))
        };
        if mark(Write::Open) {
            return Write::Open;
        }
        let moved = || {
            !self.moved.is_empty()
                && (paths
                    .iter()
                    .any(|path| path.ancestors().any(|part| self.moved.contains(part)))
                    || self
                        .places
                        .reached_through(name)
                        .any(|hop| self.moved.contains(hop)))
        };
        if mark(Write::Finished) || moved() {
            Write::Finished
        } else {
            Write::Unknown
        }
    }
}

#[cfg(test)]
mod tests;
