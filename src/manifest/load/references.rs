//! Duplicates, unknown references, and the rules between documents.

use std::cell::Cell;

use super::*;
use crate::diagnostic::codes;
use crate::manifest::report::{Reporting, listed, nearest};
use crate::manifest::rules::attributes::Declared;
use crate::manifest::rules::secrets::Places;

/// How many unknown references of a folder get a suggestion. Each is compared with every name there is, and a folder with
/// more of them lacks a file rather than a letter.
const SUGGESTIONS: u32 = 50;

/// Checks documents against each other. Returns the files that are at fault without an error of their own.
pub(super) fn check(
    entries: &[Entry],
    opaque: &[Option<Arc<SourceFile>>],
    last_good: &LastGood,
    found: &mut Vec<Diagnostic>,
) -> BTreeSet<String> {
    let mut at_fault = BTreeSet::new();
    let mut first: HashMap<&ResourceKey, &Entry> = HashMap::new();
    let mut twice: BTreeSet<&ResourceKey> = BTreeSet::new();
    for entry in entries {
        let Some(key) = &entry.key else { continue };
        let Some(before) = first.get(key) else {
            first.insert(key, entry);
            continue;
        };
        twice.insert(key);
        at_fault.insert(before.document.file.path.clone());
        let place = key
            .cluster
            .as_ref()
            .map(|cluster| format!(" in cluster `{cluster}`"))
            .unwrap_or_default();
        found.push(
            entry
                .document
                .error(
                    codes::DUPLICATE_RESOURCE,
                    entry.document.name_span,
                    format!(
                        "{} `{}` is declared twice{place}",
                        key.kind.noun(),
                        key.name
                    ),
                )
                .related(
                    &before.document.file,
                    before.document.name_span,
                    "declared here first",
                )
                .help("remove or rename one of them"),
        );
    }

    let folder = Folder {
        first: &first,
        opaque,
        broken: found
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .map(|d| d.primary.file.path.clone())
            .chain(at_fault.iter().cloned())
            .collect(),
        last_good,
        suggestions: Cell::new(SUGGESTIONS),
    };
    // Last good definitions that services refer to, read once.
    let mut kept: BTreeMap<ResourceKey, Option<TaskDefinition>> = BTreeMap::new();
    let mut referring = Vec::new();
    for entry in entries {
        let Some(Typed::Service(service)) = &entry.typed else {
            continue;
        };
        let reference = service
            .task_definition
            .as_deref()
            .and_then(resolve::definition_reference);
        let cluster = resolve::cluster_reference(service.cluster.as_deref());
        if cluster != ClusterName::default() {
            // What `describe-services` prints has the cluster's ARN instead.
            let pointer = match entry.document.node("/cluster") {
                Some(_) => "/cluster",
                None => "/clusterArn",
            };
            folder.refer(entry, &cluster_key(&cluster), pointer, found);
        }
        if let Some((family, revision)) = reference {
            let key = definition_key(&family);
            match revision {
                Some(revision) => folder.pinned(entry, &key, revision, found),
                None => folder.refer(entry, &key, "/taskDefinition", found),
            }
            if revision.is_none() {
                if folder.written(&key).is_none() {
                    kept.entry(key.clone()).or_insert_with(|| {
                        let document = last_good.get(&key)?;
                        read(&document.document["spec"])
                    });
                }
                referring.push((entry, service, cluster, Some(key)));
                continue;
            }
        }
        referring.push((entry, service, cluster, None));
    }

    let definitions = referring
        .iter()
        .filter_map(|(_, _, cluster, key)| Some((key.as_ref()?, cluster)));
    unresolved(entries, definitions, last_good, found);
    let subjects: Vec<Subject<'_>> = referring
        .into_iter()
        .filter(|(entry, ..)| entry.sound && !entry.key.as_ref().is_some_and(|k| twice.contains(k)))
        .map(|(entry, service, cluster, key)| Subject {
            document: &entry.document,
            service,
            cluster,
            definition: key.and_then(|key| match folder.written(&key) {
                Some(entry) => match &entry.typed {
                    Some(Typed::TaskDefinition(definition)) => Some(Definition {
                        document: Some(&entry.document),
                        definition,
                    }),
                    _ => None,
                },
                None => kept
                    .get(&key)
                    .and_then(Option::as_ref)
                    .map(|definition| Definition {
                        document: None,
                        definition,
                    }),
            }),
        })
        .collect();
    let clusters = clusters(entries, last_good);
    let definitions: Vec<(&Document, &TaskDefinition)> = entries
        .iter()
        .filter(|entry| entry.sound)
        .filter_map(|entry| match &entry.typed {
            Some(Typed::TaskDefinition(definition)) => Some((&entry.document, definition.as_ref())),
            _ => None,
        })
        .collect();
    let known = file_systems(entries, last_good);
    rules::file_systems::check(&definitions, &subjects, &known, found);
    let known = of_clusters(entries, last_good, Declared::of);
    rules::attributes::check(&definitions, &subjects, &known, found);
    let written = of_clusters(entries, last_good, Cluster::clone);
    for subject in &subjects {
        let mut unknown = Vec::new();
        rules::unknown_providers(
            subject.document,
            "/capacityProviderStrategy",
            &subject.service.capacity_provider_strategy,
            written.get(&subject.cluster),
            &mut unknown,
        );
        if !unknown.is_empty() {
            at_fault.insert(subject.document.file.path.clone());
        }
        found.extend(unknown);
    }
    let mut findings = Vec::new();
    cross::check(&subjects, &clusters, &mut findings);
    for finding in findings {
        if finding.diagnostic.severity == Severity::Error {
            for subject in finding.at_fault {
                at_fault.insert(subjects[subject].document.file.path.clone());
            }
        }
        found.push(finding.diagnostic);
    }
    at_fault
}

fn clusters(entries: &[Entry], last_good: &LastGood) -> BTreeMap<ClusterName, Engines> {
    of_clusters(entries, last_good, |cluster| Engines::of(Some(cluster)))
}

fn file_systems(entries: &[Entry], last_good: &LastGood) -> rules::file_systems::Known {
    of_clusters(entries, last_good, |cluster| {
        cluster.file_systems.keys().cloned().collect()
    })
}

/// Something of each cluster: as it is written, where that is sound, else as it was last good.
fn of_clusters<T>(
    entries: &[Entry],
    last_good: &LastGood,
    read_off: impl Fn(&Cluster) -> T,
) -> BTreeMap<ClusterName, T> {
    let mut clusters = BTreeMap::new();
    for (key, document) in last_good
        .iter()
        .filter(|(key, _)| key.kind == Kind::Cluster)
    {
        if let Some(cluster) = read::<Cluster>(&document.document["spec"]) {
            clusters.insert(ClusterName::new(key.name.as_str()), read_off(&cluster));
        }
    }
    for entry in entries.iter().filter(|entry| entry.sound) {
        if let (Some(Typed::Cluster(cluster)), Some(key)) = (&entry.typed, &entry.key) {
            clusters.insert(ClusterName::new(key.name.as_str()), read_off(cluster));
        }
    }
    clusters
}

/// Secrets and files that a definition refers to, against the clusters in which it runs. One that no service runs may run
/// anywhere, so it is enough that some cluster has a place for them.
fn unresolved<'a>(
    entries: &'a [Entry],
    referring: impl Iterator<Item = (&'a ResourceKey, &'a ClusterName)>,
    last_good: &LastGood,
    found: &mut Vec<Diagnostic>,
) {
    let mut places = of_clusters(entries, last_good, Places::of);
    places.entry(ClusterName::default()).or_default();
    let mut runs_in: HashMap<&ResourceKey, BTreeSet<&ClusterName>> = HashMap::new();
    for (key, cluster) in referring {
        runs_in.entry(key).or_default().insert(cluster);
    }
    for entry in entries.iter().filter(|entry| entry.sound) {
        let (Some(Typed::TaskDefinition(definition)), Some(key)) = (&entry.typed, &entry.key)
        else {
            continue;
        };
        let clusters: Vec<(&ClusterName, Places)> = match runs_in.get(key) {
            Some(names) => names
                .iter()
                .filter_map(|name| places.get_key_value(*name))
                .map(|(name, places)| (name, *places))
                .collect(),
            None => places
                .iter()
                .max_by_key(|(_, places)| **places)
                .map(|(name, places)| (name, *places))
                .into_iter()
                .collect(),
        };
        rules::secrets::unresolved(&entry.document, definition, &clusters, found);
    }
}

/// What references are sought in.
struct Folder<'a> {
    first: &'a HashMap<&'a ResourceKey, &'a Entry>,
    opaque: &'a [Option<Arc<SourceFile>>],
    broken: BTreeSet<String>,
    last_good: &'a LastGood,
    /// How many more names may be sought.
    suggestions: Cell<u32>,
}

impl<'a> Folder<'a> {
    /// The document of a resource, if it is one that can be built on.
    fn written(&self, key: &ResourceKey) -> Option<&'a Entry> {
        self.first.get(key).copied().filter(|entry| entry.sound)
    }

    /// Whether a resource may be declared where it cannot be seen: its file is broken, and it is no second error that it
    /// is missing.
    fn may_be_hidden(&self, key: &ResourceKey) -> bool {
        let was_in_broken = self
            .last_good
            .get(key)
            .is_some_and(|document| self.broken.contains(&document.source.file));
        was_in_broken
            || self.opaque.iter().any(|file| {
                file.as_ref()
                    .is_none_or(|file| file.text.contains(key.name.as_str()))
            })
    }

    fn is_known(&self, key: &ResourceKey) -> bool {
        self.first.contains_key(key) || self.may_be_hidden(key)
    }

    fn refer(&self, entry: &Entry, key: &ResourceKey, pointer: &str, found: &mut Vec<Diagnostic>) {
        if self.is_known(key) {
            return;
        }
        let code = match key.kind {
            Kind::Cluster => codes::UNKNOWN_CLUSTER,
            _ => codes::UNKNOWN_TASK_DEFINITION,
        };
        let document = &entry.document;
        let mut diagnostic = document.error(
            code,
            document.value(pointer),
            format!("no {} `{}` is declared", key.kind.noun(), key.name),
        );
        let Some(left) = self.suggestions.get().checked_sub(1) else {
            found.push(diagnostic.help(format!("add a manifest of kind {}", key.kind)));
            return;
        };
        self.suggestions.set(left);
        let others: BTreeSet<&str> = self
            .first
            .keys()
            .filter(|other| other.kind == key.kind)
            .map(|other| other.name.as_str())
            .chain((key.kind == Kind::Cluster).then_some("default"))
            .collect();
        let near = nearest(&key.name, others.iter().copied());
        let near_entry = near.and_then(|near| {
            self.first
                .iter()
                .find(|(other, _)| other.kind == key.kind && other.name == near)
                .map(|(_, entry)| *entry)
        });
        if let Some(near) = near_entry {
            diagnostic = diagnostic.related(
                &near.document.file,
                near.document.name_span,
                "a similar name is declared here",
            );
        }
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if others.is_empty() => format!("the folder declares no {}", key.kind.noun()),
            None if others.len() <= 8 => format!("declared are {}", listed(others)),
            None => format!("add a manifest of kind {}", key.kind),
        };
        found.push(diagnostic.help(help));
    }

    fn pinned(&self, entry: &Entry, key: &ResourceKey, revision: u32, found: &mut Vec<Diagnostic>) {
        let document = &entry.document;
        let span = document.value("/taskDefinition");
        let diagnostic = document.warning(
            codes::UNKNOWN_REVISION,
            span,
            format!(
                "whether revision {revision} of `{}` exists is not known here",
                key.name
            ),
        );
        let diagnostic = match self.written(key) {
            Some(written) => diagnostic.related(
                &written.document.file,
                written.document.name_span,
                "its newest content",
            ),
            None => diagnostic,
        };
        found.push(diagnostic.help(format!(
            "write `{}` to follow the newest revision",
            key.name
        )));
    }
}
