//! Each file by itself: its documents, their shape, their own rules. What they say of each other comes later.

use std::num::NonZero;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::ResourceKey;
use crate::diagnostic::{Diagnostic, Severity, SourceFile};
use crate::manifest::document::{self, Document};
use crate::manifest::source::{FileContent, Scan};
use crate::manifest::types::{Cluster, Kind, Service, TaskDefinition};
use crate::manifest::{resolve, rules, shape, yaml};

/// A document's spec as its type.
pub(super) enum Typed {
    Cluster(Box<Cluster>),
    TaskDefinition(Box<TaskDefinition>),
    Service(Box<Service>),
}

/// A document with what was made of it.
pub(super) struct Entry {
    pub(super) document: Document,
    /// None where its shape is wrong.
    pub(super) typed: Option<Typed>,
    /// None where its name is wrong.
    pub(super) key: Option<ResourceKey>,
    /// Whether it has no error of its own.
    pub(super) sound: bool,
}
/// What files declare, each read by itself.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) entries: Vec<Entry>,
    /// Files of which not every document is known: with their text where that could be taken apart into documents, so that a
    /// resource that it does not name is not in it.
    pub(super) opaque: Vec<Option<Arc<SourceFile>>>,
    pub(super) found: Vec<Diagnostic>,
}

/// So many files keep a thread busy for longer than it takes to start it.
const FILES_OF_A_THREAD: usize = 100;

/// Reads every file; many of them on all processors.
pub(super) fn read_all(scan: &Scan) -> Reading {
    let files: Vec<&FileContent> = scan.files.values().collect();
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    shared(&files, processors.min(files.len() / FILES_OF_A_THREAD))
}

/// Reads files on so many threads. What comes of it is in the order of the files.
fn shared(files: &[&FileContent], threads: usize) -> Reading {
    let share = files.len().div_ceil(threads.max(1)).max(1);
    let mut shares: Vec<&[&FileContent]> = files.chunks(share).collect();
    let own = shares.pop().unwrap_or_default();
    let mut all = Reading::default();
    std::thread::scope(|scope| {
        let others: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(|| Reading::of(share)))
            .collect();
        let last = Reading::of(own);
        for other in others {
            match other.join() {
                Ok(reading) => all.add(reading),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all.add(last);
    });
    all
}

impl Reading {
    fn add(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.opaque.extend(other.opaque);
        self.found.extend(other.found);
    }

    fn of(files: &[&FileContent]) -> Self {
        let mut reading = Self::default();
        for content in files {
            let known = match content {
                FileContent::Problem(_) => Known::Unparsed,
                FileContent::Text(file) => {
                    read_file(file, &mut reading.entries, &mut reading.found)
                }
            };
            match (known, content) {
                (Known::All, _) => {}
                (Known::Some, FileContent::Text(file)) => {
                    reading.opaque.push(Some(Arc::clone(file)));
                }
                (Known::Some | Known::Unparsed, _) => reading.opaque.push(None),
            }
        }
        reading
    }
}

/// How much is known of what a file declares.
enum Known {
    /// Each of its documents.
    All,
    /// Not of each document what it is.
    Some,
    /// It is no YAML, so that there may be anything in it.
    Unparsed,
}

/// Reads a file's documents.
fn read_file(
    file: &Arc<SourceFile>,
    entries: &mut Vec<Entry>,
    found: &mut Vec<Diagnostic>,
) -> Known {
    let parsed = yaml::parse(file);
    let mut known = Known::All;
    if parsed
        .diagnostics
        .iter()
        .any(|d| d.severity == Severity::Error)
    {
        known = Known::Unparsed;
    }
    found.extend(parsed.diagnostics);
    for (index, root) in parsed.documents.into_iter().enumerate() {
        let before = found.len();
        let documents = document::read(file, root, found);
        if documents.is_empty() && matches!(known, Known::All) {
            known = Known::Some;
        }
        for document in documents {
            // One envelope is one document, so what was found reading it is about it; of the several in one answer of
            // `describe-…`, each is judged by itself.
            let before = if document.plain { found.len() } else { before };
            let (typed, shaped) = check(&document, found);
            let key = key_of(&document);
            let sound = shaped
                && key.is_some()
                && !parsed.broken.contains(&index)
                && found[before..]
                    .iter()
                    .all(|d| d.severity != Severity::Error);
            entries.push(Entry {
                document,
                typed,
                key,
                sound,
            });
        }
    }
    known
}

/// Checks one document by itself. Its type, where it can be had, and whether its shape is right.
fn check(document: &Document, found: &mut Vec<Diagnostic>) -> (Option<Typed>, bool) {
    let damage = shape::check(document, found);
    rules::fate::check(document, found);
    let spec = damage.as_ref().map_or(&document.spec, |d| &d.mended);
    let typed = typed(document.kind, spec);
    let mut broken = Vec::new();
    match &typed {
        Some(Typed::Cluster(cluster)) => rules::cluster::check(document, cluster, &mut broken),
        Some(Typed::Service(service)) => rules::service::check(document, service, &mut broken),
        Some(Typed::TaskDefinition(definition)) => {
            rules::check_task_definition(document, definition, &mut broken);
        }
        None => {}
    }
    // What follows from the damage alone is not another mistake.
    if let Some(damage) = &damage {
        broken.retain(|diagnostic| damage.spares(document, diagnostic));
    }
    found.extend(broken);
    (typed, damage.is_none())
}

/// A spec as that type, where it can be had.
pub(super) fn read<T: DeserializeOwned>(spec: &Json) -> Option<T> {
    T::deserialize(spec).ok()
}

fn key_of(document: &Document) -> Option<ResourceKey> {
    Some(ResourceKey {
        kind: document.kind,
        cluster: (document.kind == Kind::Service).then(|| {
            resolve::cluster_reference(document.spec.get("cluster").and_then(Json::as_str))
        }),
        name: document.name.clone()?,
    })
}

/// A spec of that kind as its type, where it can be had.
pub(super) fn typed(kind: Kind, spec: &Json) -> Option<Typed> {
    match kind {
        Kind::Cluster => read(spec).map(Box::new).map(Typed::Cluster),
        Kind::TaskDefinition => read(spec).map(Box::new).map(Typed::TaskDefinition),
        Kind::Service => read(spec).map(|service| Typed::Service(Box::new(service))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: usize) -> FileContent {
        let text = match number % 7 {
            0 => "kind: [".to_owned(),
            1 => "apiVersion: longshore/v1\nkind: Nothing\nmetadata: {name: a}\n".to_owned(),
            _ => format!(
                "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: c{number}}}\nspec: {{unknown{number}: 1}}\n"
            ),
        };
        FileContent::Text(Arc::new(SourceFile {
            path: format!("{number:04}.yaml"),
            text,
        }))
    }

    #[test]
    fn what_many_files_declare_does_not_depend_on_how_many_read_them() {
        let files: Vec<FileContent> = (0..FILES_OF_A_THREAD * 3 + 1).map(file).collect();
        let files: Vec<&FileContent> = files.iter().collect();
        let alone = Reading::of(&files);
        for threads in [2, 3, 64] {
            let shared = shared(&files, threads);
            assert_eq!(shared.found, alone.found);
            assert_eq!(shared.opaque, alone.opaque);
            let keys = |reading: &Reading| {
                let all = reading.entries.iter();
                all.map(|entry| (entry.key.clone(), entry.sound))
                    .collect::<Vec<_>>()
            };
            assert_eq!(keys(&shared), keys(&alone));
        }
    }
}
