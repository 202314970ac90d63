//! Walking a folder and reading its files, remembering what did not change since the last time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{FileContent, FolderState, MAX_FILE_SIZE, ReadProblem, Scan};
use crate::diagnostic::SourceFile;

/// Entries of all kinds below the folder, above which it is taken for something else (`/`, a home directory).
const MAX_ENTRIES: usize = 100_000;
/// How deep folders are entered.
const MAX_FOLDERS_DEEP: usize = 64;
/// File systems give times in steps of up to two seconds, so a file can change without its stamp changing for as long
/// after the stamp was first seen.
const STAMP_SETTLES: Duration = Duration::from_secs(2);

/// What tells one version of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

#[derive(Clone)]
struct Cached {
    stamp: Stamp,
    content: FileContent,
    /// When this stamp was first seen.
    since: Instant,
    /// Read once more after the stamp had settled, so equal stamps mean equal content from now on.
    settled: bool,
}

/// Reads folders, and knows what it read before.
#[derive(Default)]
pub(crate) struct Walker {
    cache: HashMap<PathBuf, Cached>,
    /// Open a file before looking at its stamp: on network file systems, only that asks the server.
    pub(crate) open_first: bool,
}

/// A folder that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    /// Its path without links.
    pub(crate) real: PathBuf,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// A scan and what a watcher needs to know about how it came about.
pub(crate) struct Walked {
    pub(crate) scan: Scan,
    /// Every folder that was listed.
    pub(crate) folders: Vec<Folder>,
    /// Every file's path without links in its folders, and what it is called in the scan.
    pub(crate) names: HashMap<PathBuf, String>,
    /// Files and folders reached through a link: name in the scan (of a folder, with a `/` at the end), path of the link.
    pub(crate) links: Vec<(String, PathBuf)>,
}

impl Walker {
    /// Lists and reads everything below `root`.
    pub(crate) fn walk(&mut self, root: &Path) -> Walked {
        let mut walk = Walk {
            before: std::mem::take(&mut self.cache),
            after: HashMap::new(),
            open_first: self.open_first,
            files: BTreeMap::new(),
            folders: Vec::new(),
            names: HashMap::new(),
            links: Vec::new(),
            later: Vec::new(),
            seen: HashSet::new(),
            entries: 0,
        };
        let state = match walk.root(root) {
            Ok(()) if walk.entries > MAX_ENTRIES => FolderState::Unreadable(format!(
                "more than {MAX_ENTRIES} entries are below it, so it is no folder of manifests"
            )),
            Ok(()) => FolderState::Present,
            Err(error) if error.kind() == ErrorKind::NotFound => FolderState::Missing,
            Err(error) if error.kind() == ErrorKind::NotADirectory => FolderState::NotADirectory,
            Err(error) => FolderState::Unreadable(reason(&error)),
        };
        if state != FolderState::Present {
            walk.files.clear();
        }
        self.cache = walk.after;
        Walked {
            scan: Scan {
                root: root.to_owned(),
                state,
                files: walk.files,
            },
            folders: walk.folders,
            names: walk.names,
            links: walk.links,
        }
    }
}

struct Walk {
    before: HashMap<PathBuf, Cached>,
    after: HashMap<PathBuf, Cached>,
    open_first: bool,
    files: BTreeMap<String, FileContent>,
    folders: Vec<Folder>,
    names: HashMap<PathBuf, String>,
    links: Vec<(String, PathBuf)>,
    /// Links are followed after everything that is really in the folder, so that a real file keeps its own name.
    later: Vec<(String, PathBuf, usize)>,
    seen: HashSet<(u64, u64)>,
    entries: usize,
}

impl Walk {
    fn root(&mut self, root: &Path) -> io::Result<()> {
        let real = root.canonicalize()?;
        let meta = std::fs::metadata(&real)?;
        if !meta.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        self.seen.insert((meta.dev(), meta.ino()));
        self.folder(String::new(), &real, &meta, 0)?;
        // A linked folder may bring more links.
        while !self.later.is_empty() {
            let mut batch = std::mem::take(&mut self.later);
            batch.sort();
            for (name, path, depth) in batch {
                self.link(name, path, depth);
            }
        }
        Ok(())
    }

    /// Lists the folder at `real`, called `prefix` (empty, or ending in `/`) in the scan.
    fn folder(
        &mut self,
        prefix: String,
        real: &Path,
        meta: &Metadata,
        depth: usize,
    ) -> io::Result<()> {
        self.folders.push(Folder {
            real: real.to_owned(),
            device: meta.dev(),
            inode: meta.ino(),
        });
        for entry in std::fs::read_dir(real)? {
            let entry = entry?;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Ok(());
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_ignored(&name) {
                continue;
            }
            let name = format!("{prefix}{name}");
            let path = real.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.subfolder(name, &path, depth + 1),
                Ok(kind) if kind.is_symlink() => self.later.push((name, path, depth)),
                Ok(_) if is_manifest(&name) => {
                    let meta = std::fs::metadata(&path);
                    self.file(name, path.clone(), path, meta);
                }
                Ok(_) => {}
                Err(error) => self.problem(name, &error),
            }
        }
        Ok(())
    }

    fn subfolder(&mut self, name: String, real: &Path, depth: usize) {
        if depth > MAX_FOLDERS_DEEP {
            let reason = format!("folders are nested deeper than {MAX_FOLDERS_DEEP}");
            let problem = FileContent::Problem(ReadProblem::Unreadable(reason));
            self.files.insert(name, problem);
            return;
        }
        let listed = std::fs::metadata(real).and_then(|meta| {
            if !self.seen.insert((meta.dev(), meta.ino())) {
                return Ok(());
            }
            self.folder(format!("{name}/"), real, &meta, depth)
        });
        if let Err(error) = listed {
            self.problem(name, &error);
        }
    }

    /// Follows the link at `path`.
    fn link(&mut self, name: String, path: PathBuf, depth: usize) {
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => match path.canonicalize() {
                Ok(real) => {
                    self.links.push((format!("{name}/"), path));
                    self.subfolder(name, &real, depth + 1);
                }
                Err(error) => self.problem(name, &error),
            },
            Ok(_) if !is_manifest(&name) => {}
            Ok(meta) => {
                if !self.seen.contains(&(meta.dev(), meta.ino())) {
                    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
                    self.links.push((name.clone(), path.clone()));
                    self.file(name, path, real, Ok(meta));
                }
            }
            // A link that leads nowhere: it may be one to a folder, too.
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
                if is_manifest(&name) {
                    self.links.push((name.clone(), path));
                    let reason = "the link leads nowhere".to_owned();
                    let problem = ReadProblem::Unreadable(reason);
                    self.files.insert(name, FileContent::Problem(problem));
                }
            }
            Err(error) => {
                if is_manifest(&name) || error.kind() != ErrorKind::NotFound {
                    self.problem(name, &error);
                }
            }
        }
    }

    fn problem(&mut self, name: String, error: &io::Error) {
        let problem = FileContent::Problem(problem(error));
        self.files.insert(name, problem);
    }

    /// Reads the file at `path`, unless it is known not to have changed.
    fn file(&mut self, name: String, path: PathBuf, real: PathBuf, meta: io::Result<Metadata>) {
        self.names.insert(path.clone(), name.clone());
        self.names.insert(real, name.clone());
        let meta = match meta {
            Ok(meta) => meta,
            Err(error) => return self.problem(name, &error),
        };
        self.seen.insert((meta.dev(), meta.ino()));
        let known = self.before.remove(&path).filter(|known| {
            // The same file under another name has another text: its name is part of it.
            match &known.content {
                FileContent::Text(file) => file.path == name,
                FileContent::Problem(_) => true,
            }
        });
        if !self.open_first
            && let Some(known) = &known
            && known.settled
            && known.stamp == Stamp::of(&meta)
        {
            self.files.insert(name, known.content.clone());
            self.after.insert(path, known.clone());
            return;
        }
        let skip = known.as_ref().filter(|known| known.settled);
        match read(
            &path,
            &name,
            skip.map(|known| (known.stamp, &known.content)),
        ) {
            Ok((stamp, mut content)) => {
                let now = Instant::now();
                let (mut since, mut settled) = (now, false);
                if let Some(known) = known {
                    if known.content == content {
                        content = known.content;
                    }
                    if known.stamp == stamp {
                        since = known.since;
                        settled = known.settled || now.duration_since(known.since) >= STAMP_SETTLES;
                    }
                }
                self.files.insert(name, content.clone());
                let cached = Cached {
                    stamp,
                    content,
                    since,
                    settled,
                };
                self.after.insert(path, cached);
            }
            Err(error) => self.problem(name, &error),
        }
    }
}

/// Hidden names, and what editors leave beside a file: `x~`, `#x#`, `x.swp`, `x.bak`, `x.tmp`, Vim's probe `4913`.
pub(crate) fn is_ignored(name: &str) -> bool {
    name.starts_with(['.', '#'])
        || name.ends_with('~')
        || name == "4913"
        || [".swp", ".swx", ".bak", ".tmp"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// Whether the name has a manifest's ending.
pub(crate) fn is_manifest(name: &str) -> bool {
    [".yaml", ".yml", ".json"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Reads one file whatever its name; `shown` becomes the path in its text.
pub(super) fn read_file(path: &Path, shown: &str) -> FileContent {
    match read(path, shown, None) {
        Ok((_, content)) => content,
        Err(error) => FileContent::Problem(problem(&error)),
    }
}

/// Reads a stream to its end.
pub(super) fn read_from(stream: &mut impl Read, shown: &str) -> FileContent {
    let mut bytes = Vec::new();
    match stream.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes) {
        Ok(size) => content(bytes, size as u64, shown),
        Err(error) => FileContent::Problem(problem(&error)),
    }
}

/// Opens and reads, again while the file changes under the reading; `known` is taken if its stamp is still the file's.
fn read(
    path: &Path,
    shown: &str,
    known: Option<(Stamp, &FileContent)>,
) -> io::Result<(Stamp, FileContent)> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits();
    let mut attempts = 3;
    loop {
        // A pipe or a device of this name must not hang the reader.
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(nonblock).unwrap_or_default())
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other(format!(
                "it is {}, not a file",
                kind(meta.file_type())
            )));
        }
        let stamp = Stamp::of(&meta);
        if let Some((_, content)) = known.filter(|(known, _)| *known == stamp) {
            return Ok((stamp, content.clone()));
        }
        if meta.len() > MAX_FILE_SIZE {
            let problem = ReadProblem::TooLarge(meta.len());
            return Ok((stamp, FileContent::Problem(problem)));
        }
        let (bytes, size) = read_bytes(&mut file, meta.len())?;
        let after = Stamp::of(&file.metadata()?);
        attempts -= 1;
        if after == stamp || attempts == 0 {
            return Ok((after, content(bytes, size, shown)));
        }
    }
}

fn read_bytes(file: &mut File, expected: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default() + 1);
    let size = file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    Ok((bytes, size as u64))
}

fn content(bytes: Vec<u8>, size: u64, shown: &str) -> FileContent {
    if size > MAX_FILE_SIZE {
        return FileContent::Problem(ReadProblem::TooLarge(size));
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return FileContent::Problem(ReadProblem::Empty);
    }
    match String::from_utf8(bytes) {
        Ok(text) => FileContent::Text(Arc::new(SourceFile {
            path: shown.to_owned(),
            text,
        })),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            let before = std::str::from_utf8(&bytes[..offset]).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            FileContent::Problem(ReadProblem::NotUtf8 {
                offset,
                line: number(before.matches('\n').count() + 1),
                column: number(before[line_start..].chars().count() + 1),
                utf16: matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]),
            })
        }
    }
}

fn problem(error: &io::Error) -> ReadProblem {
    if error.kind() == ErrorKind::NotFound {
        ReadProblem::Vanished
    } else {
        ReadProblem::Unreadable(reason(error))
    }
}

/// The system's words without the number that Rust adds.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

fn kind(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
