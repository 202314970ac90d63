//! A folder that exists only in memory, with its notifications and what is wrong with them: what the watcher looks at in a
//! simulation. The watcher itself, with all that it believes and when, is the real one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::eyes::{Eyes, Followed};
use super::hints::Hint;
use super::{WatchOptions, watch_with};
use crate::diagnostic::SourceFile;
use crate::manifest::source::walk::{Folder, Walked};
use crate::manifest::source::{FileContent, FolderState, ReadProblem, Scan};

/// How notifications of a change go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// At once.
    Told,
    /// They get lost, and nobody says so.
    Lost,
    /// They overflow: that some were lost is told.
    Overflown,
}

/// A folder in memory. Clones of it are the same folder.
#[derive(Debug, Clone)]
pub struct SimFolder(Arc<Mutex<Inside>>);

#[derive(Debug)]
struct Inside {
    root: PathBuf,
    /// `None` while the folder is away.
    files: Option<BTreeMap<String, String>>,
    /// Rises each time the folder is made, as its inode would change.
    made: u64,
    /// Who listens to the folder as it was made then.
    listeners: Vec<(u64, mpsc::UnboundedSender<Hint>)>,
    looks: u64,
    hints: u64,
}

impl SimFolder {
    /// An empty folder at `root`, which is absolute.
    pub fn new(root: &Path) -> Self {
        Self(Arc::new(Mutex::new(Inside {
            root: root.to_owned(),
            files: Some(BTreeMap::new()),
            made: 1,
            listeners: Vec::new(),
            looks: 0,
            hints: 0,
        })))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `text` into the file `name`, with the writer still at it.
    pub fn write(&self, name: &str, text: &str, noticed: Noticed) {
        self.inside().put(name, text);
        self.tell(name, noticed, Hint::Writing);
    }

    /// The writer closes the file, which then holds `text`.
    pub fn close(&self, name: &str, text: &str, noticed: Noticed) {
        self.inside().put(name, text);
        self.tell(name, noticed, Hint::Writing);
        self.tell(name, noticed, Hint::Finished);
    }

    /// A finished file takes the name, as `mv` and careful editors do it.
    pub fn replace(&self, name: &str, text: &str, noticed: Noticed) {
        self.inside().put(name, text);
        self.tell(name, noticed, Hint::Moved);
    }

    /// The file is called otherwise from now on.
    pub fn rename(&self, from: &str, to: &str, noticed: Noticed) {
        let mut inside = self.inside();
        let text = inside.files.as_mut().and_then(|files| files.remove(from));
        let Some(text) = text else {
            return;
        };
        inside.put(to, &text);
        drop(inside);
        self.tell(from, noticed, Hint::Gone);
        self.tell(to, noticed, Hint::Moved);
    }

    /// The file is removed.
    pub fn remove(&self, name: &str, noticed: Noticed) {
        let mut inside = self.inside();
        if let Some(files) = &mut inside.files {
            files.remove(name);
        }
        drop(inside);
        self.tell(name, noticed, Hint::Gone);
    }

    /// The folder is removed with all that is in it.
    pub fn vanish(&self, noticed: Noticed) {
        self.inside().files = None;
        self.tell("", noticed, Hint::Gone);
        // Watches end with what they watch.
        self.inside().listeners.clear();
    }

    /// The folder is made anew, empty. Nobody is told: there was nothing to watch.
    pub fn make(&self) {
        let mut inside = self.inside();
        if inside.files.is_none() {
            inside.files = Some(BTreeMap::new());
            inside.made += 1;
        }
    }

    /// Names of the files that are there; `None` while the folder is away.
    pub fn names(&self) -> Option<Vec<String>> {
        let inside = self.inside();
        let files = inside.files.as_ref()?;
        Some(files.keys().cloned().collect())
    }

    /// The text of a file.
    pub fn text(&self, name: &str) -> Option<String> {
        self.inside().files.as_ref()?.get(name).cloned()
    }

    /// What reading it gives now.
    pub fn scan(&self) -> Scan {
        let inside = self.inside();
        inside.walk(&inside.root).scan
    }

    /// How often watchers looked, and how many notifications they were sent.
    pub fn seen(&self) -> (u64, u64) {
        let inside = self.inside();
        (inside.looks, inside.hints)
    }

    /// [`watch`](super::watch) for this folder.
    pub fn watch(&self, options: WatchOptions, cancel: CancellationToken) -> mpsc::Receiver<Scan> {
        let sight = Sight {
            folder: self.clone(),
            listens_to: None,
        };
        let root = self.inside().root.clone();
        watch_with(Eyes::Simulated(sight), root, options, cancel)
    }

    fn tell(&self, name: &str, noticed: Noticed, hint: fn(PathBuf) -> Hint) {
        let mut inside = self.inside();
        let path = match name {
            "" => inside.root.clone(),
            name => inside.root.join(name),
        };
        let made = inside.made;
        let mut sent = 0;
        inside.listeners.retain(|(of, listener)| {
            let hint = match noticed {
                Noticed::Told => hint(path.clone()),
                Noticed::Overflown => Hint::Lost,
                Noticed::Lost => return !listener.is_closed(),
            };
            sent += 1;
            *of == made && listener.send(hint).is_ok()
        });
        inside.hints += sent;
    }
}

impl Inside {
    fn put(&mut self, name: &str, text: &str) {
        if let Some(files) = &mut self.files {
            files.insert(name.to_owned(), text.to_owned());
        }
    }

    fn walk(&self, root: &Path) -> Walked {
        let mut walked = Walked {
            scan: Scan {
                root: root.to_owned(),
                state: FolderState::Missing,
                files: BTreeMap::new(),
            },
            folders: Vec::new(),
            names: HashMap::new(),
            links: Vec::new(),
        };
        let Some(files) = &self.files else {
            return walked;
        };
        walked.scan.state = FolderState::Present;
        walked.folders.push(Folder {
            real: self.root.clone(),
            device: 1,
            inode: self.made,
        });
        for (name, text) in files {
            let content = match text.is_empty() {
                true => FileContent::Problem(ReadProblem::Empty),
                false => FileContent::Text(Arc::new(SourceFile {
                    path: name.clone(),
                    text: text.clone(),
                })),
            };
            walked.scan.files.insert(name.clone(), content);
            walked.names.insert(self.root.join(name), name.clone());
        }
        walked
    }
}

/// A watcher's eyes on a folder in memory.
pub(super) struct Sight {
    folder: SimFolder,
    /// Which making of the folder it listens to.
    listens_to: Option<u64>,
}

impl Sight {
    /// Lists and reads everything. Others may come in between, as they may while a real folder is read.
    pub(super) async fn walk(&mut self, root: &Path) -> Walked {
        tokio::task::yield_now().await;
        let mut inside = self.folder.inside();
        inside.looks += 1;
        inside.walk(root)
    }

    /// Listens to the folder as it is now.
    pub(super) fn follow(&mut self, options: WatchOptions) -> Followed {
        if options.poll_only {
            return Followed::NotAsked {
                reason: "as asked for",
            };
        }
        let mut inside = self.folder.inside();
        if inside.files.is_none() {
            self.listens_to = None;
            return Followed::Partly {
                source: None,
                reason: "the folder is away".to_owned(),
            };
        }
        let made = inside.made;
        if self.listens_to == Some(made) {
            return Followed::Whole {
                source: None,
                added: false,
            };
        }
        let (to, source) = mpsc::unbounded_channel();
        inside.listeners.push((made, to));
        self.listens_to = Some(made);
        Followed::Whole {
            source: Some(source),
            added: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Watched {
        folder: SimFolder,
        scans: mpsc::Receiver<Scan>,
        _end: tokio_util::sync::DropGuard,
    }

    impl Watched {
        async fn new() -> Self {
            let folder = SimFolder::new(Path::new("/sim"));
            folder.replace("a.yaml", "a: 1", Noticed::Told);
            let end = CancellationToken::new();
            let scans = folder.watch(WatchOptions::default(), end.clone());
            let mut watched = Self {
                folder,
                scans,
                _end: end.drop_guard(),
            };
            assert_eq!(watched.next().await, ["a: 1"]);
            watched
        }

        async fn next(&mut self) -> Vec<String> {
            let scan = self.scans.recv().await.expect("it is watched");
            let text = |content: &FileContent| match content {
                FileContent::Text(file) => file.text.clone(),
                FileContent::Problem(problem) => format!("{problem:?}"),
            };
            scan.files.values().map(text).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_taken_when_its_writer_closes_it_and_not_before() {
        let mut watched = Watched::new().await;
        watched.folder.write("a.yaml", "a: ", Noticed::Told);
        let early = tokio::time::timeout(Duration::from_secs(4), watched.next());
        assert!(early.await.is_err(), "half a file was taken");
        watched.folder.close("a.yaml", "a: 2", Noticed::Told);
        assert_eq!(watched.next().await, ["a: 2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_tells_of_is_found_by_looking() {
        let mut watched = Watched::new().await;
        watched.folder.close("a.yaml", "a: 3", Noticed::Lost);
        assert_eq!(watched.next().await, ["a: 3"]);
        let (looks, hints) = watched.folder.seen();
        assert!(looks > 1, "{looks} looks");
        assert_eq!(hints, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_is_made_anew_is_followed_as_before() {
        let mut watched = Watched::new().await;
        watched.folder.vanish(Noticed::Told);
        assert_eq!(watched.next().await, [""; 0]);
        watched.folder.make();
        watched.folder.replace("b.yaml", "b: 1", Noticed::Told);
        assert_eq!(watched.next().await, ["b: 1"]);
        watched
            .folder
            .rename("b.yaml", "c.yaml", Noticed::Overflown);
        watched.folder.replace("d.yaml", "d: 1", Noticed::Told);
        assert_eq!(watched.next().await, ["b: 1", "d: 1"]);
    }
}
