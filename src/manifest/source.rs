//! The folder's files as they are right now: which there are, what they hold, and what could not be read.
//!
//! Reading decides nothing. A file that cannot be read is part of the [`Scan`] like any other, because what it declares is
//! then unknown, which is not the same as undeclared.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::diagnostic::{Diagnostic, Label, Severity, SourceFile, Span, codes};

pub(super) mod walk;

/// The size, in bytes, above which a file is not read.
pub const MAX_FILE_SIZE: u64 = 4 * 1024 * 1024;

/// A folder of manifests as it was read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The folder, as given.
    pub root: PathBuf,
    /// Whether it is there.
    pub state: FolderState,
    /// Its manifest files by their path, with `/` between names: below the folder for [`scan`], as given for
    /// [`scan_paths`]. A subfolder that cannot be listed is here too, as a problem.
    pub files: BTreeMap<String, FileContent>,
}

/// Whether the folder could be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderState {
    /// It is there.
    Present,
    /// Nothing is at its path.
    Missing,
    /// Something else is at its path.
    NotADirectory,
    /// The system refused, with this reason.
    Unreadable(String),
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// Its text; the path in it is the file's key in [`Scan::files`].
    Text(Arc<SourceFile>),
    /// Why there is none.
    Problem(ReadProblem),
}

/// Why a file has no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadProblem {
    /// The system refused, with this reason.
    Unreadable(String),
    /// It was listed, and gone when it was read.
    Vanished,
    /// It was named, and is not there.
    Missing,
    /// The byte at `offset`, which is at `line` and `column`, is not UTF-8. `utf16` when the file looks like that.
    NotUtf8 {
        /// 0-based byte.
        offset: usize,
        /// 1-based.
        line: u32,
        /// 1-based, in characters.
        column: u32,
        /// It begins with UTF-16's byte-order mark.
        utf16: bool,
    },
    /// Its size in bytes is above [`MAX_FILE_SIZE`].
    TooLarge(u64),
    /// It has no bytes, or only zero bytes, which is what a failed write leaves.
    Empty,
}

/// Reads every `*.yaml`, `*.yml` and `*.json` below `root`, through links too, each real file and folder once. Hidden
/// names and editors' backups are left out. Never fails: what could not be read is in the result. Blocks.
pub fn scan(root: &Path) -> Scan {
    walk::Walker::default().walk(root).scan
}

/// Reads what `longshore validate PATH…` was given: folders like [`scan`], files whatever their name, and `-` from
/// `stdin`. Paths in the result are as a shell in the working directory would write them. Blocks.
pub fn scan_paths(paths: &[PathBuf], mut stdin: impl Read) -> Scan {
    let mut whole = Scan {
        root: paths.first().cloned().unwrap_or_default(),
        state: FolderState::Present,
        files: BTreeMap::new(),
    };
    for path in paths {
        let shown = shown(path);
        if path.as_os_str() == "-" {
            let content = walk::read_from(&mut stdin, "<stdin>");
            whole.files.insert("<stdin>".into(), content);
        } else if path.is_dir() {
            let scan = scan(path).shown_below(&shown);
            if paths.len() == 1 {
                whole.state = scan.state;
            } else if scan.state != FolderState::Present {
                let problem = ReadProblem::Unreadable("the folder cannot be listed".into());
                whole
                    .files
                    .insert(shown.clone(), FileContent::Problem(problem));
            }
            whole.files.extend(scan.files);
        } else if paths.len() == 1 && std::fs::symlink_metadata(path).is_err() {
            whole.state = FolderState::Missing;
        } else {
            let content = match walk::read_file(path, &shown) {
                FileContent::Problem(ReadProblem::Vanished) => {
                    FileContent::Problem(ReadProblem::Missing)
                }
                content => content,
            };
            whole.files.insert(shown, content);
        }
    }
    whole
}

/// `./manifests/` as `manifests`, `.` as nothing.
fn shown(path: &Path) -> String {
    let clean: PathBuf = path
        .components()
        .filter(|part| !matches!(part, std::path::Component::CurDir))
        .collect();
    clean.to_string_lossy().into_owned()
}

impl Scan {
    /// The same scan with `prefix/` before every path.
    #[must_use]
    pub fn shown_below(mut self, prefix: &str) -> Self {
        if prefix.is_empty() {
            return self;
        }
        let below = |path: &str| {
            if prefix.ends_with('/') {
                format!("{prefix}{path}")
            } else {
                format!("{prefix}/{path}")
            }
        };
        self.files = std::mem::take(&mut self.files)
            .into_iter()
            .map(|(path, content)| {
                let path = below(&path);
                let content = match content {
                    FileContent::Text(file) => FileContent::Text(Arc::new(SourceFile {
                        path: path.clone(),
                        text: file.text.clone(),
                    })),
                    problem @ FileContent::Problem(_) => problem,
                };
                (path, content)
            })
            .collect();
        self
    }

    /// Whether it can be known what the folder declares: it is there, has files, and each could be read.
    pub fn is_whole(&self) -> bool {
        self.state == FolderState::Present
            && !self.files.is_empty()
            && !self
                .files
                .values()
                .any(|content| matches!(content, FileContent::Problem(_)))
    }

    /// SHA-256 over the state, the paths and the contents, in 64 hexadecimal digits. Where the folder lies is no part of
    /// it.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        field(format!("{:?}", self.state).as_bytes());
        for (path, content) in &self.files {
            field(path.as_bytes());
            match content {
                FileContent::Text(file) => {
                    field(b"text");
                    field(file.text.as_bytes());
                }
                FileContent::Problem(problem) => {
                    field(b"problem");
                    field(format!("{problem:?}").as_bytes());
                }
            }
        }
        use std::fmt::Write;
        hash.finalize()
            .iter()
            .fold(String::with_capacity(64), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }

    /// A finding for everything that could not be read, the folder first.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let root = self.root.display().to_string();
        let folder = match &self.state {
            FolderState::Present if self.files.is_empty() => Some(finding(
                codes::FOLDER_EMPTY,
                &root,
                "the folder holds no `*.yaml`, `*.yml` or `*.json`".into(),
                Span::default(),
                "write a manifest, or let `longshore init` write an example",
            )),
            FolderState::Present => None,
            FolderState::Missing => Some(finding(
                codes::FOLDER_MISSING,
                &root,
                format!("there is nothing at `{root}`"),
                Span::default(),
                "check the path, or make the folder with `longshore init`",
            )),
            FolderState::NotADirectory => Some(finding(
                codes::FOLDER_UNREADABLE,
                &root,
                format!("`{root}` is not a folder"),
                Span::default(),
                "give the folder that holds the manifests",
            )),
            FolderState::Unreadable(reason) => Some(finding(
                codes::FOLDER_UNREADABLE,
                &root,
                format!("the folder cannot be listed: {reason}"),
                Span::default(),
                "let this user read and enter the folder",
            )),
        };
        let files = self
            .files
            .iter()
            .filter_map(|(path, content)| match content {
                FileContent::Text(_) => None,
                FileContent::Problem(problem) => Some(problem.diagnostic(path)),
            });
        folder.into_iter().chain(files).collect()
    }
}

impl ReadProblem {
    /// The finding for the file at `path`.
    pub fn diagnostic(&self, path: &str) -> Diagnostic {
        let top = Span::default();
        match self {
            Self::Unreadable(reason) => finding(
                codes::UNREADABLE_FILE,
                path,
                format!("the file cannot be read: {reason}"),
                top,
                "let this user read it, or remove it",
            ),
            Self::Vanished => finding(
                codes::FILE_VANISHED,
                path,
                "the file vanished while it was read".into(),
                top,
                "look again when nothing writes into the folder",
            ),
            Self::Missing => finding(
                codes::FOLDER_MISSING,
                path,
                format!("there is nothing at `{path}`"),
                top,
                "check the path",
            ),
            Self::NotUtf8 {
                offset,
                line,
                column,
                utf16,
            } => finding(
                codes::NOT_UTF8,
                path,
                format!("the byte at offset {offset} is not UTF-8"),
                Span {
                    line: *line,
                    column: *column,
                    ..top
                },
                if *utf16 {
                    "the file is UTF-16: save it as UTF-8"
                } else {
                    "save the file as UTF-8"
                },
            ),
            Self::TooLarge(bytes) => finding(
                codes::FILE_TOO_LARGE,
                path,
                format!("the file has {bytes} bytes; manifests have at most {MAX_FILE_SIZE}"),
                top,
                "move it out of the folder, or split it",
            ),
            Self::Empty => finding(
                codes::EMPTY_FILE,
                path,
                "the file is empty, as a failed write leaves it".into(),
                top,
                "delete the file if nothing is to be declared",
            ),
        }
    }
}

/// A finding about a file whose text is not known.
fn finding(
    code: &'static str,
    path: &str,
    message: String,
    span: Span,
    help: &'static str,
) -> Diagnostic {
    Diagnostic {
        code,
        severity: codes::page(code).map_or(Severity::Error, |page| page.severity),
        message,
        primary: Label {
            file: Arc::new(SourceFile {
                path: path.to_owned(),
                text: String::new(),
            }),
            span: Span {
                line: span.line.max(1),
                column: span.column.max(1),
                ..span
            },
            text: String::new(),
        },
        related: Vec::new(),
        help: vec![help.to_owned()],
    }
}

#[cfg(test)]
mod tests;
