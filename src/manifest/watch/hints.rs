//! The system's notifications, reduced to what is asked of them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tracing::debug;

/// Something happened at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hint {
    /// Its writer closed it.
    Finished(PathBuf),
    /// It was written to.
    Writing(PathBuf),
    /// Something was renamed to it.
    Moved(PathBuf),
    /// It was removed or renamed away.
    Gone(PathBuf),
    /// Anything else: made, rights changed.
    Other(PathBuf),
    /// Notifications were lost.
    Lost,
}

/// Watches of folders, each for itself: recursive ones miss what is written right after a folder was made.
pub(super) struct Hints {
    watcher: RecommendedWatcher,
    /// Device and inode of each folder when its watch was set.
    watched: HashMap<PathBuf, (u64, u64)>,
    /// Watches that may have followed their folder to another name.
    stale: Vec<PathBuf>,
}

impl Hints {
    /// Opens the system's facility; the error says what it lacks.
    pub(super) fn new() -> Result<(Self, mpsc::UnboundedReceiver<Hint>), String> {
        let (to, hints) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            for hint in translate(event) {
                // The receiver is gone only when watching has ended.
                let _ = to.send(hint);
            }
        })
        .map_err(|error| describe(&error))?;
        let hints_and_source = Self {
            watcher,
            watched: HashMap::new(),
            stale: Vec::new(),
        };
        Ok((hints_and_source, hints))
    }

    /// Whatever was watched at or below `path` is not watched any more.
    pub(super) fn forget(&mut self, path: &Path) {
        if self.watched.contains_key(path) {
            self.watched.retain(|watched, _| {
                let below = watched.starts_with(path);
                if below {
                    self.stale.push(watched.clone());
                }
                !below
            });
        }
    }

    /// Makes the watches be exactly those of `folders`; whether some are new. The error says why some could not be set;
    /// the others are.
    pub(super) fn follow(
        &mut self,
        folders: &BTreeMap<PathBuf, (u64, u64)>,
    ) -> Result<bool, String> {
        let unwanted = |(path, id): (&PathBuf, &(u64, u64))| {
            (folders.get(path) != Some(id)).then(|| path.clone())
        };
        let drop: Vec<PathBuf> = self.watched.iter().filter_map(unwanted).collect();
        for path in drop.into_iter().chain(std::mem::take(&mut self.stale)) {
            self.watched.remove(&path);
            // It may have ended by itself, with its folder.
            let _ = self.watcher.unwatch(&path);
        }
        let mut added = false;
        for (path, id) in folders {
            if self.watched.contains_key(path) {
                continue;
            }
            match self.watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path.clone(), *id);
                    added = true;
                }
                Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => {
                    return Err(describe(&error));
                }
                // Gone again, or not ours to look into: reading the folder will say so.
                Err(error) => debug!(path = %path.display(), %error, "a folder cannot be watched"),
            }
        }
        Ok(added)
    }
}

fn describe(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the limit of inotify watches is reached (sysctl fs.inotify.max_user_watches)".into()
        }
        ErrorKind::Io(error)
            if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) =>
        {
            "the limit of inotify instances is reached (sysctl fs.inotify.max_user_instances)"
                .into()
        }
        _ => error.to_string(),
    }
}

/// What an event says that a watcher needs. Opening and reading say nothing: reading the folder causes them.
fn translate(event: notify::Result<Event>) -> Vec<Hint> {
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            debug!(%error, "a notification failed");
            return vec![Hint::Lost];
        }
    };
    if event.need_rescan() {
        return vec![Hint::Lost];
    }
    let hint: fn(PathBuf) -> Hint = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Hint::Finished,
        EventKind::Access(_) => return Vec::new(),
        EventKind::Modify(ModifyKind::Data(_)) => Hint::Writing,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Hint::Moved,
        // The two halves come as well.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return Vec::new(),
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => Hint::Gone,
        _ => Hint::Other,
    };
    event.paths.into_iter().map(hint).collect()
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind};

    use super::*;

    #[test]
    fn only_what_is_needed_of_an_event_is_left() {
        let hints = |kind| translate(Ok(Event::new(kind).add_path("/m/a.yaml".into())));
        let path = || PathBuf::from("/m/a.yaml");
        let modify = EventKind::Modify;
        let read = AccessKind::Close(AccessMode::Read);
        let written = AccessKind::Close(AccessMode::Write);
        for (kind, expected) in [
            (EventKind::Access(written), Some(Hint::Finished(path()))),
            (EventKind::Access(read), None),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), None),
            (
                EventKind::Create(CreateKind::File),
                Some(Hint::Other(path())),
            ),
            (
                modify(ModifyKind::Data(DataChange::Any)),
                Some(Hint::Writing(path())),
            ),
            (
                modify(ModifyKind::Metadata(MetadataKind::Any)),
                Some(Hint::Other(path())),
            ),
            (
                modify(ModifyKind::Name(RenameMode::To)),
                Some(Hint::Moved(path())),
            ),
            (
                modify(ModifyKind::Name(RenameMode::From)),
                Some(Hint::Gone(path())),
            ),
            (modify(ModifyKind::Name(RenameMode::Both)), None),
            (
                EventKind::Remove(RemoveKind::File),
                Some(Hint::Gone(path())),
            ),
        ] {
            assert_eq!(
                hints(kind),
                expected.into_iter().collect::<Vec<_>>(),
                "{kind:?}"
            );
        }
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(translate(Ok(overflow)), [Hint::Lost]);
    }
}
