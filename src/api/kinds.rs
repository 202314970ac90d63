//! The kinds of things that can be asked for, and every way people write them.

use std::fmt;
use std::str::FromStr;

/// A kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `Cluster`
    Cluster,
    /// `Service`
    Service,
    /// `TaskDefinition`
    TaskDefinition,
    /// `Task`
    Task,
    /// `Deployment`
    Deployment,
    /// `ContainerInstance`
    ContainerInstance,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Cluster,
        Self::Service,
        Self::TaskDefinition,
        Self::Task,
        Self::Deployment,
        Self::ContainerInstance,
    ];

    /// As a manifest writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Service => "Service",
            Self::TaskDefinition => "TaskDefinition",
            Self::Task => "Task",
            Self::Deployment => "Deployment",
            Self::ContainerInstance => "ContainerInstance",
        }
    }

    /// As a command line writes it, in the plural.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Cluster => "clusters",
            Self::Service => "services",
            Self::TaskDefinition => "task-definitions",
            Self::Task => "tasks",
            Self::Deployment => "deployments",
            Self::ContainerInstance => "instances",
        }
    }

    /// As a sentence writes one of it.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Service => "service",
            Self::TaskDefinition => "task definition",
            Self::Task => "task",
            Self::Deployment => "deployment",
            Self::ContainerInstance => "instance",
        }
    }

    /// Short forms and other names, in lower case without dashes, besides the ones above.
    const fn others(self) -> &'static [&'static str] {
        match self {
            Self::Service => &["svc", "svcs"],
            Self::TaskDefinition => &[
                "td",
                "tds",
                "taskdef",
                "taskdefs",
                "definition",
                "definitions",
            ],
            Self::Deployment => &["deploy", "servicedeployment", "servicedeployments"],
            Self::ContainerInstance => &["containerinstances", "ci"],
            Self::Cluster | Self::Task => &[],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no kind {given:?}{}; kinds are clusters, services, task-definitions, tasks, deployments, instances", .nearest.map(|kind| format!(", did you mean {}?", kind.plural())).unwrap_or_default())]
pub struct UnknownKind {
    /// The word.
    pub given: String,
    /// The kind that looks most like it.
    pub nearest: Option<Kind>,
}

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Singular, plural, short or as in manifests; case, dashes and underscores do not matter.
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let plain = |text: &str| text.replace(['-', '_', ' '], "").to_ascii_lowercase();
        let word = plain(text);
        let names = |kind: Kind| {
            [kind.as_str(), kind.plural(), kind.singular()]
                .into_iter()
                .map(plain)
                .chain(kind.others().iter().map(|name| (*name).to_owned()))
        };
        if let Some(kind) = Self::ALL
            .into_iter()
            .find(|kind| names(*kind).any(|name| name == word))
        {
            return Ok(kind);
        }
        let nearest = Self::ALL
            .into_iter()
            .flat_map(|kind| names(kind).map(move |name| (kind, name)))
            .map(|(kind, name)| (strsim::damerau_levenshtein(&word, &name), name.len(), kind))
            .filter(|(distance, length, _)| *distance <= length / 3)
            .min();
        Err(UnknownKind {
            given: text.to_owned(),
            nearest: nearest.map(|(_, _, kind)| kind),
        })
    }
}

/// The one of `candidates` that looks most like `given`, if any does.
pub fn nearest<'a>(given: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(given, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance
                <= candidate
                    .chars()
                    .count()
                    .max(given.chars().count())
                    .div_ceil(3)
        })
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_however_it_is_written() {
        for (kind, words) in [
            (
                Kind::Service,
                &["service", "services", "svc", "Service", "SERVICES"][..],
            ),
            (
                Kind::TaskDefinition,
                &[
                    "task-definition",
                    "taskdefinition",
                    "taskDefinitions",
                    "TaskDefinition",
                    "td",
                    "task_definition",
                ],
            ),
            (
                Kind::ContainerInstance,
                &[
                    "instances",
                    "instance",
                    "container-instances",
                    "ContainerInstance",
                ],
            ),
            (Kind::Cluster, &["cluster", "clusters", "Cluster"]),
            (Kind::Task, &["task", "tasks", "Task"]),
            (
                Kind::Deployment,
                &["deployment", "deployments", "Deployment"],
            ),
        ] {
            for word in words {
                assert_eq!(word.parse(), Ok(kind), "{word}");
            }
        }
    }

    #[test]
    fn a_word_that_is_no_kind_names_the_nearest() {
        let error = "servcies".parse::<Kind>().unwrap_err();
        assert_eq!(error.nearest, Some(Kind::Service));
        assert!(error.to_string().contains("did you mean services?"));
        assert_eq!("pods".parse::<Kind>().unwrap_err().nearest, None);
    }

    #[test]
    fn the_nearest_name_is_one_that_looks_like_it_or_none() {
        let names = ["web", "worker", "edge"];
        assert_eq!(nearest("wrker", names.into_iter()), Some("worker"));
        assert_eq!(nearest("database", names.into_iter()), None);
    }
}
