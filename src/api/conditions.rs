//! What is to be known of services and what they depend on, as `describe` lists it: conditions with a sentence each.

use serde::{Deserialize, Serialize};

use super::context::HeldResource;
use super::summary::{Phase, ServiceSummary};
use crate::model::{ClusterName, NoticeKind, ServiceName};

/// A condition of a resource, as `describe` and `-o yaml` show it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Of a service `Steady`, `ServingLastGood`, `Throttled`, `DeploymentFailed`, `Paused`, `Undone`, or the name of a notice:
    /// `PlacementFailing`, `StartsImpaired`, `RolloutBlocked`, `DefinitionMissing`, `TasksProtected`, `TasksGivenUp`, `ScalingPaused`,
    /// `Suspended`; of a container instance `Connected`, `TasksGivenUp`, `Draining`, `NotDeclared`; of a cluster `ServingLastGood`,
    /// `InstancesMissing`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True` or `False`.
    pub status: String,
    /// A word for programs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl Condition {
    pub(super) fn new(kind: &str, status: bool, reason: &str, message: String) -> Self {
        Self {
            kind: kind.to_owned(),
            status: if status { "True" } else { "False" }.to_owned(),
            reason: reason.to_owned(),
            message,
        }
    }
}

/// The conditions of a service: `Steady` always, the others when they are true.
pub fn conditions(summary: &ServiceSummary, held: &[&HeldResource]) -> Vec<Condition> {
    let s = summary;
    let tasks = format!("{} of {} tasks are healthy", s.healthy, s.desired);
    let message = match s.phase {
        Phase::Steady => format!("{tasks}, all of {}", s.revision),
        Phase::Draining if s.running == 1 => "it was removed; 1 task still runs".to_owned(),
        Phase::Draining => format!("it was removed; {} tasks still run", s.running),
        Phase::Inactive => "it was removed, and its tasks are gone".to_owned(),
        _ => format!(
            "{tasks}, {} run, {} are pending; {}",
            s.running, s.pending, s.rollout_reason
        )
        .trim_end_matches([' ', ';'])
        .to_owned(),
    };
    let mut conditions = vec![Condition::new(
        "Steady",
        s.steady,
        s.phase.as_str(),
        message,
    )];
    if let Some(failed) = &s.failed {
        let reason = match failed.rolled_back_to {
            Some(_) => "RolledBack",
            None if failed.went_back.is_some() => "RollbackFailed",
            None if failed.rolls_back => "NothingToGoBackTo",
            None => "NoRollback",
        };
        let mut message = format!(
            "{} was given up after {} failed tasks, the last: {}",
            failed.revision, failed.failed_tasks, failed.reason
        );
        if let Some(revision) = &failed.rolled_back_to {
            message = format!("{message}; {revision} runs in its place");
        }
        if let Some(last) = failed.last_log_lines.last() {
            message = format!("{message}. Its last log line: {}", last.trim());
        }
        if let (Some(second), Some(words)) = (&failed.went_back, failed.went_back_in_words()) {
            message = format!("{message}; {words}");
            if let Some(last) = second.last_log_lines.last() {
                message = format!("{message}. Its last log line: {}", last.trim());
            }
        }
        conditions.push(Condition::new("DeploymentFailed", true, reason, message));
    }
    let mut stands = |kind: &str, reason: &str, message: Option<String>| {
        if let Some(message) = message {
            conditions.push(Condition::new(kind, true, reason, message));
        }
    };
    stands(
        "Paused",
        "RolloutPaused",
        s.paused
            .as_ref()
            .map(|asked| format!("the rollout of {} is paused {asked}", s.revision)),
    );
    stands("Undone", "WentBack", s.taken_back());
    if let Some(asked) = s
        .suspended
        .as_ref()
        .filter(|_| !s.notices.contains_key("Suspended"))
    {
        stands(
            "Suspended",
            "Asked",
            Some(format!("it is suspended {asked}")),
        );
    }
    if let Some(until) = s.throttled_until {
        conditions.push(Condition::new(
            "Throttled",
            true,
            "TasksEndByThemselves",
            format!("no task is started before {until}, because tasks of {} ended by themselves before they were healthy", s.revision),
        ));
    }
    for (kind, message) in &s.notices {
        conditions.push(Condition::new(kind, true, "", message.clone()));
    }
    conditions.extend(held.iter().map(|held| serving_last_good(held)));
    conditions
}

/// The condition of a resource that is kept at its last good version.
pub fn serving_last_good(held: &HeldResource) -> Condition {
    Condition::new(
        "ServingLastGood",
        true,
        "ManifestInvalid",
        format!("{}, because {}", held.standing(), held.because),
    )
}

/// What of a service is kept at its last good version: itself, the family it runs, its cluster.
pub fn held_of<'a>(
    held: &'a [HeldResource],
    cluster: &ClusterName,
    service: &ServiceName,
    family: &str,
) -> Vec<&'a HeldResource> {
    held.iter()
        .filter(|h| match h.kind.as_str() {
            "Service" => h.name == service.as_str() && h.cluster.as_ref() == Some(cluster),
            "TaskDefinition" => h.name == family,
            "Cluster" => h.name == cluster.as_str(),
            _ => false,
        })
        .collect()
}

/// The name of the condition that a notice is.
pub(super) const fn notice_condition(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Placement => "PlacementFailing",
        NoticeKind::Impaired => "StartsImpaired",
        NoticeKind::Configuration => "RolloutBlocked",
        NoticeKind::Definition => "DefinitionMissing",
        NoticeKind::Protected => "TasksProtected",
        NoticeKind::Suspended => "Suspended",
        NoticeKind::Lost => "TasksGivenUp",
        NoticeKind::Scaling => "ScalingPaused",
    }
}
