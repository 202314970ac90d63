//! What the commands that write manifests share: finding a document, changing values of it in place, and putting the new file
//! where the old one was.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Failure, Globals, output};
use crate::clock::{Clock, SystemClock};
use crate::diagnostic::{Diagnostic, Severity, SourceFile, Span};
use crate::manifest::document::{self, Document};
use crate::manifest::edit::{Edited, Refusal};
use crate::manifest::load::{LastGood, LoadOptions};
use crate::manifest::resolve;
use crate::manifest::source::{self, FileContent, FolderState, Scan};
use crate::manifest::types::Kind;
use crate::manifest::yaml;

/// A folder, or a file, with what its documents declare, whatever is wrong with them.
#[derive(Debug)]
pub struct Folder {
    scan: Scan,
    /// Every manifest in it.
    pub found: Vec<Found>,
}

/// A manifest and where in its file it is.
#[derive(Debug, Clone)]
pub struct Found {
    /// The manifest.
    pub document: Document,
    /// Which of the file's YAML documents holds it.
    pub index: usize,
}

impl Found {
    /// Its name; empty where it has none.
    pub fn name(&self) -> &str {
        self.document.name.as_deref().unwrap_or_default()
    }

    /// Of a service: its cluster.
    pub fn cluster(&self) -> String {
        let cluster = self.document.spec["cluster"].as_str();
        resolve::cluster_reference(cluster).to_string()
    }

    /// `file:line:column` of where it begins.
    pub fn place(&self) -> String {
        place(&self.document.file, self.document.start())
    }
}

/// `file:line:column`
pub fn place(file: &SourceFile, at: Span) -> String {
    format!("{}:{}:{}", file.path, at.line, at.column)
}

impl Folder {
    /// Reads a folder or a file.
    ///
    /// # Errors
    /// There is nothing, or nothing readable, at the path; exit code 2.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let scan = source::scan_paths(&[path.to_owned()], io::empty());
        let missing = scan.state != FolderState::Present;
        let unreadable = scan.files.len() == 1 && !path.is_dir();
        if (missing || unreadable)
            && let Some(problem) = scan.diagnostics().first()
        {
            return Err(Failure::could_not_run(format!(
                "{}. Name the folder or file with --dir",
                problem.message
            )));
        }
        let mut found = Vec::new();
        for content in scan.files.values() {
            let FileContent::Text(file) = content else {
                continue;
            };
            for (index, root) in yaml::parse(file).documents.into_iter().enumerate() {
                let documents = document::read(file, root, &mut Vec::new());
                found.extend(
                    documents
                        .into_iter()
                        .map(|document| Found { document, index }),
                );
            }
        }
        Ok(Self { scan, found })
    }

    /// The manifests of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(move |f| f.document.kind == kind)
    }

    /// What could not be read, as a sentence to add where something was not found.
    pub fn unread(&self) -> String {
        let errors = self.errors(&self.scan);
        let Some(first) = errors.first() else {
            return String::new();
        };
        format!(
            "\nnot everything could be read, as {}:{}: {}",
            first.path(),
            first.primary.span.line,
            first.message
        )
    }

    fn errors(&self, scan: &Scan) -> Vec<Diagnostic> {
        let mut all = load(scan);
        all.retain(|d| d.severity == Severity::Error);
        all
    }

    /// Puts `file` in the place of the one that was read, once it is seen that it would be taken.
    ///
    /// # Errors
    /// The file would not be taken as it is then (exit code 1), or cannot be written (exit code 2); it is left as it was.
    pub fn replace(
        &self,
        file: &Arc<SourceFile>,
        write: bool,
        globals: &Globals,
    ) -> Result<(), Failure> {
        let Some(FileContent::Text(before)) = self.scan.files.get(&file.path) else {
            return Err(Failure::could_not_run(format!("{} is gone", file.path)));
        };
        let mut after = self.scan.clone();
        after
            .files
            .insert(file.path.clone(), FileContent::Text(Arc::clone(file)));
        let known: Vec<String> = load(&self.scan).iter().map(ToString::to_string).collect();
        let (errors, warnings): (Vec<Diagnostic>, Vec<Diagnostic>) = load(&after)
            .into_iter()
            .partition(|d| d.severity == Severity::Error);
        let is_new = |d: &Diagnostic| !known.contains(&d.to_string());
        let (mut in_the_way, elsewhere): (Vec<Diagnostic>, Vec<Diagnostic>) = errors
            .into_iter()
            .partition(|d| d.path() == file.path || is_new(d));
        if !in_the_way.is_empty() {
            in_the_way.extend(warnings.into_iter().filter(|d| is_new(d)));
            let text = super::validate::human(&in_the_way, globals.colour_on_stderr());
            output::write_stderr(text.as_bytes());
            return Err(Failure::findings(format!(
                "{} was not changed: with errors in it, it would not be taken",
                file.path
            )));
        }
        let new: Vec<Diagnostic> = warnings.into_iter().filter(is_new).collect();
        if !new.is_empty() {
            let text = super::validate::human(&new, globals.colour_on_stderr());
            output::write_stderr(text.as_bytes());
        }
        if let Some(first) = elsewhere.first() {
            output::message(&format!(
                "warning: another file has an error: {first}. `longshore validate` shows all"
            ));
        }
        if write {
            put(Path::new(&file.path), &before.text, &file.text).map_err(Failure::could_not_run)?;
        }
        Ok(())
    }
}

fn load(scan: &Scan) -> Vec<Diagnostic> {
    let options = LoadOptions {
        allow_empty: true,
        now: SystemClock.now(),
    };
    crate::manifest::load(scan, &LastGood::default(), &options).diagnostics
}

/// A refused edit as a finding: `file:line:column: …`.
pub fn refused(file: &SourceFile, what: &str, refusal: &Refusal) -> Failure {
    Failure::findings(format!(
        "{}: {what}: {refusal}. Nothing was changed",
        place(file, refusal.at())
    ))
}

/// The line that tells of a change.
pub fn told(edited: &Edited, old: &str, new: &str) -> String {
    format!("{} {old} → {new}", place(&edited.file, edited.at))
}

/// Writes a new content beside the file that `path` leads to, links followed, and puts it in its place: whoever reads sees the old
/// content or the new one, whole. Its mode stays, and its owner where that is allowed.
fn put(path: &Path, before: &str, after: &str) -> Result<(), String> {
    let shown = path.display();
    let failed = |what: &str, error: &io::Error| format!("cannot {what} {shown}: {error}");
    let real = fs::canonicalize(path).map_err(|e| failed("find", &e))?;
    let meta = fs::metadata(&real).map_err(|e| failed("look at", &e))?;
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    // A hidden name: no manifest, also not for a moment.
    let beside = real.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = write_beside(&beside, after, &meta).and_then(|()| {
        // Somebody else may have written it since it was read.
        if fs::read(&real)? != before.as_bytes() {
            return Err(io::Error::other(
                "somebody else has changed it meanwhile; nothing was changed",
            ));
        }
        fs::rename(&beside, &real)
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(failed("write", &error));
    }
    if let Some(parent) = real.parent()
        && let Ok(folder) = fs::File::open(parent)
    {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn write_beside(beside: &PathBuf, text: &str, like: &fs::Metadata) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        // Only root may give a file away; else it belongs to who changed it, as with any editor.
        let _ = std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()));
    }
    file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
