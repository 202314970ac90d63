//! From a scan of the folder to what it declares, keeping what was last good (P1). Pure.
//!
//! A file is taken whole or not at all: one error anywhere in it, and every resource of it keeps its last good version.
//! While anything is wrong anywhere, or the folder is missing or empty, no resource is dropped. References are checked
//! against what is written; where that is broken, against what was last good, so that one mistake is one error.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::document::{Document, labels_of};
use super::resolve;
use super::rules::cross::{self, Definition, Engines, Subject};
use super::rules::{self};
use super::shape;
use super::source::{FolderState, Scan};
use super::types::{Cluster, Kind, TaskDefinition};
use crate::diagnostic::{Diagnostic, Severity, SourceFile};
use crate::model::{
    ClusterName, ClusterSpec, Desired, Family, RegisteredDefinition, ServiceName, Source,
    Timestamp, hex_sha256,
};

mod reading;
mod references;

use reading::{Entry, Reading, Typed, read, read_all, typed};

#[cfg(test)]
pub(crate) mod tests;

/// Which resource a document declares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    /// Its kind.
    pub kind: Kind,
    /// Its cluster; services only.
    pub cluster: Option<ClusterName>,
    /// Its name.
    pub name: String,
}

/// The last valid version of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastGoodDoc {
    /// In the envelope; the spec without `null`.
    pub document: Json,
    /// Where it was written.
    pub source: Source,
    /// Of `document`.
    pub hash: String,
    /// When this content was first taken.
    pub accepted_at: Timestamp,
    /// The first reading of the folder in which there was no valid version of it; none while there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Timestamp>,
}

/// The last valid version of every resource.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LastGood(pub BTreeMap<ResourceKey, LastGoodDoc>);

impl Deref for LastGood {
    type Target = BTreeMap<ResourceKey, LastGoodDoc>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<(ResourceKey, LastGoodDoc)> for LastGood {
    fn from_iter<I: IntoIterator<Item = (ResourceKey, LastGoodDoc)>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// A folder that is missing or empty means that nothing is wanted.
    pub allow_empty: bool,
    /// The time, for [`LastGoodDoc::accepted_at`] and [`LastGoodDoc::held_since`].
    pub now: Timestamp,
}

/// A resource that is kept at its last good version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The first reading of the folder that had no valid version of it.
    pub since: Timestamp,
    /// When the version that is kept was first taken.
    pub accepted_at: Timestamp,
    /// Why, as `file:line:col: …` or a sentence about the folder.
    pub because: String,
}

/// Whether resources that are not declared may be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pruning {
    /// Everything was read and is valid.
    Allowed,
    /// With the reason.
    Withheld(String),
}

/// What a folder declares.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What is to run: valid documents, and last good versions of what is held. A service's family is always in it, unless
    /// the service names a fixed revision.
    pub desired: Desired,
    /// Everything that was found, by file and line.
    pub diagnostics: Vec<Diagnostic>,
    /// Resources that are not as the folder now says, or says no more.
    pub held: BTreeMap<ResourceKey, Held>,
    /// The whole new set of last good documents.
    pub good: BTreeMap<ResourceKey, LastGoodDoc>,
    /// Of the scan.
    pub folder_hash: String,
    /// Whether what is not declared was dropped from `good`.
    pub pruning: Pruning,
}

/// Loads a scan.
pub fn load(scan: &Scan, last_good: &LastGood, options: &LoadOptions) -> Loaded {
    let mut found = scan.diagnostics();
    let Reading {
        entries,
        opaque,
        found: of_files,
    } = read_all(scan);
    found.extend(of_files);
    let mut at_fault = references::check(&entries, &opaque, last_good, &mut found);
    at_fault.extend(
        found
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .map(|d| d.primary.file.path.clone()),
    );
    found.sort_by(|a, b| {
        let place = |d: &Diagnostic| (d.primary.file.path.clone(), d.primary.span.start, d.code);
        place(a).cmp(&place(b))
    });
    let pruning = pruning(scan, &entries, &found, last_good, options);
    Settling {
        entries,
        found,
        at_fault,
        last_good,
        pruning,
    }
    .settle(scan.hash(), options)
}

fn pruning(
    scan: &Scan,
    entries: &[Entry],
    found: &[Diagnostic],
    last_good: &LastGood,
    options: &LoadOptions,
) -> Pruning {
    let folder = scan.root.display();
    let errors = || found.iter().filter(|d| d.severity == Severity::Error);
    match &scan.state {
        FolderState::Missing if options.allow_empty => return Pruning::Allowed,
        FolderState::Missing => {
            return Pruning::Withheld(format!("the folder {folder} is missing"));
        }
        FolderState::NotADirectory => {
            return Pruning::Withheld(format!("{folder} is no folder"));
        }
        FolderState::Unreadable(reason) => {
            return Pruning::Withheld(format!("the folder {folder} cannot be listed: {reason}"));
        }
        FolderState::Present => {}
    }
    if let Some(first) = errors().next() {
        return Pruning::Withheld(match errors().count() {
            1 => place(first),
            more => format!("{} (and {} more)", place(first), more - 1),
        });
    }
    if entries.is_empty() && !options.allow_empty && !last_good.is_empty() {
        return Pruning::Withheld(format!("the folder {folder} declares nothing any more"));
    }
    Pruning::Allowed
}

/// `file:line:col: message`
fn place(diagnostic: &Diagnostic) -> String {
    let primary = &diagnostic.primary;
    format!(
        "{}:{}:{}: {}",
        primary.file.path, primary.span.line, primary.span.column, diagnostic.message
    )
}

/// The last step: what is taken, what is held.
struct Settling<'a> {
    entries: Vec<Entry>,
    found: Vec<Diagnostic>,
    /// Paths of files that are not taken.
    at_fault: BTreeSet<String>,
    last_good: &'a LastGood,
    pruning: Pruning,
}

impl Settling<'_> {
    fn settle(self, folder_hash: String, options: &LoadOptions) -> Loaded {
        let errors = || {
            let found = self.found.iter();
            found.filter(|d| d.severity == Severity::Error)
        };
        let mut first_error: HashMap<&str, &Diagnostic> = HashMap::new();
        for error in errors() {
            first_error.entry(&error.primary.file.path).or_insert(error);
        }
        // Of two documents that are at fault together, one file may have no error of its own.
        for error in errors() {
            for label in &error.related {
                if self.at_fault.contains(&label.file.path) {
                    first_error.entry(&label.file.path).or_insert(error);
                }
            }
        }
        let because = |file: &str| match first_error.get(file) {
            Some(diagnostic) => place(diagnostic),
            None => match &self.pruning {
                Pruning::Withheld(reason) => reason.clone(),
                Pruning::Allowed => String::new(),
            },
        };
        let mut taken: BTreeMap<ResourceKey, &Entry> = BTreeMap::new();
        // Why a resource is not as its file says.
        let mut reasons: BTreeMap<ResourceKey, String> = BTreeMap::new();
        for entry in &self.entries {
            let Some(key) = &entry.key else { continue };
            let file = &entry.document.file.path;
            if self.at_fault.contains(file) || !entry.sound {
                reasons.entry(key.clone()).or_insert_with(|| because(file));
            } else {
                taken.insert(key.clone(), entry);
            }
        }
        self.withhold_dependants(&mut taken, &mut reasons);

        let mut good = BTreeMap::new();
        let mut held = BTreeMap::new();
        for (key, entry) in &taken {
            good.insert(
                key.clone(),
                accepted(key, &entry.document, self.last_good, options),
            );
        }
        if let Pruning::Withheld(reason) = &self.pruning {
            for (key, document) in self.last_good.iter() {
                if good.contains_key(key) {
                    continue;
                }
                let because = reasons.get(key).cloned().unwrap_or_else(|| {
                    if first_error.contains_key(document.source.file.as_str()) {
                        because(&document.source.file)
                    } else {
                        format!("nothing is removed while this stands: {reason}")
                    }
                });
                let since = document.held_since.unwrap_or(options.now);
                let kept = LastGoodDoc {
                    held_since: Some(since),
                    ..document.clone()
                };
                good.insert(key.clone(), kept);
                held.insert(
                    key.clone(),
                    Held {
                        since,
                        accepted_at: document.accepted_at,
                        because,
                    },
                );
            }
        }
        let mut desired = desired(&taken, &good);
        desired.incomplete = matches!(self.pruning, Pruning::Withheld(_));
        Loaded {
            desired,
            held,
            good,
            folder_hash,
            diagnostics: self.found,
            pruning: self.pruning,
        }
    }

    /// A service whose family or cluster is written but broken, and was never good, cannot run as it says either.
    fn withhold_dependants(
        &self,
        taken: &mut BTreeMap<ResourceKey, &Entry>,
        reasons: &mut BTreeMap<ResourceKey, String>,
    ) {
        let known = |taken: &BTreeMap<ResourceKey, &Entry>, key: &ResourceKey| {
            taken.contains_key(key) || self.last_good.contains_key(key)
        };
        let mut blocked = Vec::new();
        for (key, entry) in taken.iter() {
            let Some(Typed::Service(service)) = &entry.typed else {
                continue;
            };
            let family = service
                .task_definition
                .as_deref()
                .and_then(resolve::definition_reference)
                .filter(|(_, revision)| revision.is_none())
                .map(|(family, _)| definition_key(&family));
            let cluster = key
                .cluster
                .as_ref()
                .filter(|cluster| **cluster != ClusterName::default())
                .map(cluster_key);
            let missing = family
                .into_iter()
                .chain(cluster)
                .find(|wanted| !known(taken, wanted));
            if let Some(missing) = missing {
                blocked.push((key.clone(), missing));
            }
        }
        for (key, missing) in blocked {
            taken.remove(&key);
            let because = reasons
                .get(&missing)
                .cloned()
                .unwrap_or_else(|| match &self.pruning {
                    Pruning::Withheld(reason) => reason.clone(),
                    Pruning::Allowed => String::new(),
                });
            reasons.insert(key, because);
        }
    }
}

fn definition_key(family: &Family) -> ResourceKey {
    ResourceKey {
        kind: Kind::TaskDefinition,
        cluster: None,
        name: family.to_string(),
    }
}

fn cluster_key(cluster: &ClusterName) -> ResourceKey {
    ResourceKey {
        kind: Kind::Cluster,
        cluster: None,
        name: cluster.to_string(),
    }
}

/// The hash of a document in the envelope. Maps of JSON are sorted, so equal content has one hash.
fn hash_of(document: &Json) -> String {
    hex_sha256(document.to_string().as_bytes())
}

fn accepted(
    key: &ResourceKey,
    document: &Document,
    last_good: &LastGood,
    options: &LoadOptions,
) -> LastGoodDoc {
    let enveloped = document.enveloped();
    let hash = hash_of(&enveloped);
    let before = last_good.get(key).filter(|before| before.hash == hash);
    LastGoodDoc {
        document: enveloped,
        source: Source {
            file: document.file.path.clone(),
            line: document.start().line,
        },
        accepted_at: before.map_or(options.now, |before| before.accepted_at),
        held_since: None,
        hash,
    }
}

/// The model of everything that is good.
fn desired(
    taken: &BTreeMap<ResourceKey, &Entry>,
    good: &BTreeMap<ResourceKey, LastGoodDoc>,
) -> Desired {
    let mut desired = Desired::default();
    for (key, document) in good {
        let entry = taken.get(key).and_then(|entry| entry.typed.as_ref());
        let parsed;
        let typed = match entry {
            Some(typed) => typed,
            None => {
                let Some(read) = remembered(key.kind, &document.document["spec"]) else {
                    continue;
                };
                parsed = read;
                &parsed
            }
        };
        add(&mut desired, key, document, typed);
    }
    desired
        .clusters
        .entry(ClusterName::default())
        .or_insert_with(|| {
            (
                ClusterSpec::named(ClusterName::default()),
                Source::default(),
            )
        });
    desired
}

/// Reads a spec that was good once. A member that this version does not know is left out: what runs goes on running.
fn remembered(kind: Kind, spec: &Json) -> Option<Typed> {
    typed(kind, spec).or_else(|| typed(kind, &shape::mended(kind, spec)))
}

fn add(desired: &mut Desired, key: &ResourceKey, document: &LastGoodDoc, typed: &Typed) {
    let labels = document.document["metadata"]
        .as_object()
        .map(labels_of)
        .unwrap_or_default();
    let source = document.source.clone();
    match typed {
        Typed::Cluster(cluster) => {
            let name = ClusterName::new(key.name.as_str());
            let spec = resolve::cluster(name.clone(), cluster, labels, &document.hash);
            desired.clusters.insert(name, (spec, source));
        }
        Typed::TaskDefinition(definition) => {
            let family = Family::new(key.name.as_str());
            let spec = resolve::task_definition(family.clone(), definition);
            let registered = RegisteredDefinition {
                input: document.document["spec"].clone(),
                hash: spec.hash(),
                spec: Arc::new(spec),
                labels,
            };
            desired
                .task_definitions
                .insert(family, (registered, source));
        }
        Typed::Service(service) => {
            let name = ServiceName::new(key.name.as_str());
            if let Some(spec) = resolve::service(name.clone(), service, labels, &document.hash) {
                desired
                    .services
                    .entry(spec.cluster.clone())
                    .or_default()
                    .insert(name, (spec, source));
            }
        }
    }
}
