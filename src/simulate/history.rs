//! From a recording to what every service went through: how many of its tasks were in which state when, its rollouts, and
//! what Longshore itself did wrong. The engines' own events say what is true, the store what was ordered and why. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::folder::ServiceKey;
use super::tasks::Phase;
use super::timeline::Timeline;
use crate::model::{Desired, NoticeKind, RolloutState, ServiceRecord, ServiceSpec, ServiceStatus};

mod reader;
mod rollouts;

pub use reader::Reader;

/// A service at an instant. It stays so until the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// After time 0.
    pub at: Duration,
    /// Tasks that are ordered and not all up.
    pub pending: u32,
    /// Tasks that are up, and too early to say.
    pub starting: u32,
    /// Tasks that are healthy.
    pub healthy: u32,
    /// Tasks whose health check says no.
    pub unhealthy: u32,
    /// Tasks that end and are not over.
    pub stopping: u32,
    /// How many there are to be.
    pub desired: u32,
    /// The fewest healthy ones that are promised.
    pub floor: u32,
    /// The most that are promised.
    pub cap: u32,
    /// It is declared.
    pub declared: bool,
    /// What is declared runs, all of it healthy, and Longshore says that it is steady.
    pub converged: bool,
    /// It had converged before, so that the floor is a promise.
    pub promised: bool,
    /// A task finds no place.
    pub unplaceable: bool,
    /// What is declared was given up on.
    pub failed: bool,
    /// What ran before it runs again.
    pub rolled_back: bool,
}

impl Sample {
    /// Tasks that there are.
    pub const fn tasks(&self) -> u32 {
        self.pending + self.starting + self.healthy + self.unhealthy + self.stopping
    }

    /// Tasks that run.
    pub const fn running(&self) -> u32 {
        self.starting + self.healthy + self.unhealthy
    }
}

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It did not.
    InProgress,
    /// All is as it was to be.
    Completed,
    /// It was given up.
    Failed,
    /// It was given up, and what ran before runs again.
    RolledBack,
    /// Another took its place.
    Superseded,
}

impl Outcome {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::RolledBack => "rolled back",
            Self::Superseded => "superseded",
        }
    }
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Its id.
    pub deployment: String,
    /// `family:revision`.
    pub revision: String,
    /// When it began; before time 0, time 0.
    pub from: Duration,
    /// When it ended.
    pub until: Option<Duration>,
    /// How.
    pub outcome: Outcome,
    /// Why, where it did not go well.
    pub reason: Option<String>,
    /// Whether it was over at time 0.
    pub before: bool,
}

/// Something that lasted, in Longshore's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What.
    pub kind: NoticeKind,
    /// In words.
    pub message: String,
    /// From when on.
    pub from: Duration,
    /// Until when; none: to the end.
    pub until: Option<Duration>,
}

/// What one service went through.
#[derive(Debug, Clone, Default)]
pub struct ServiceHistory {
    /// In the order of time; the first is at time 0.
    pub samples: Vec<Sample>,
    /// In their order.
    pub rollouts: Vec<Rollout>,
    /// In their order.
    pub troubles: Vec<Trouble>,
    /// Promises that Longshore broke, with when.
    pub broken: Vec<(Duration, String)>,
    /// Tasks, in the order in which they were ordered.
    pub tasks: Vec<TaskLine>,
    /// It is a DAEMON.
    pub daemon: bool,
    /// What Longshore says of it at the end, if it says so.
    pub impaired: bool,
}

/// One task's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLine {
    /// Its id.
    pub id: String,
    /// `family:revision`.
    pub revision: String,
    /// The instance.
    pub instance: String,
    /// From when on it was what; the last is where it is over, or the end.
    pub phases: Vec<(Duration, Phase)>,
}

/// Everything that happened.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// By service.
    pub services: BTreeMap<ServiceKey, ServiceHistory>,
    /// What there is to tell, in the order of time.
    pub timeline: Timeline,
}

/// Whether a record is about what is declared, and that was rolled out.
pub fn is_taken(record: &ServiceRecord, spec: &ServiceSpec, desired: &Desired) -> bool {
    let Some(primary) = record.primary() else {
        return false;
    };
    let of_family = desired.task_definitions.get(&spec.family);
    let runs_it = match spec.revision {
        Some(revision) => primary.revision.revision == revision,
        None => of_family.is_none_or(|(definition, _)| definition.hash == primary.spec),
    };
    record.status == ServiceStatus::Active
        && record.spec == *spec
        && primary.rollout == RolloutState::Completed
        && runs_it
        && record.failure().is_none()
}

/// Without `(service X)` at its begin, and without ids of tasks, of which there may be many.
pub fn without_ids(message: &str, (_, service): &ServiceKey) -> String {
    let begin = format!("(service {service}) ");
    let mut rest = message.strip_prefix(begin.as_str()).unwrap_or(message);
    let mut text = String::new();
    while let Some(at) = rest.find("(task ").or_else(|| rest.find("(deployment ")) {
        text.push_str(&rest[..at]);
        rest = match rest[at..].find(')') {
            Some(end) => rest[at + end + 1..].trim_start(),
            None => "",
        };
    }
    text.push_str(rest);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}
