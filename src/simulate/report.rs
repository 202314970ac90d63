//! What a simulation says in the end. Pure: the same recording gives the same report.

use serde::Serialize;

use super::history::Outcome;

mod make;

pub use make::{history, loss, named, report};

/// What is not looked at.
pub const NOT_SIMULATED: [&str; 4] = [
    "whether images exist, start and serve (an image is good unless the scenario says otherwise)",
    "secrets, files of variables and registry credentials (every one that is named is taken to be there)",
    "load: how much CPU, memory, disk and network containers really use",
    "engines' faults and lost calls (`make sim` tries those)",
];

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FindingKind {
    /// The folder that runs before does not converge.
    Before,
    /// Longshore itself gave up.
    GaveUp,
    /// What is declared does not run at the end.
    NotConverged,
    /// A task finds no place.
    Unplaceable,
    /// A rollout was given up.
    RolloutFailed,
    /// A promise was broken.
    Promise,
    /// An expectation did not hold.
    Expectation,
    /// Without one of the instances not everything runs.
    Loss,
}

impl FindingKind {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "the folder before does not converge",
            Self::GaveUp => "Longshore gave up",
            Self::NotConverged => "does not converge",
            Self::Unplaceable => "cannot be placed",
            Self::RolloutFailed => "rollout failed",
            Self::Promise => "promise broken",
            Self::Expectation => "not as expected",
            Self::Loss => "needs every instance",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Of which service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// In words.
    pub message: String,
    /// Whether the scenario expects it, so that it is none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expected: bool,
}

/// Seconds after time 0.
pub type Seconds = f64;

/// A number of tasks at a time, against what is promised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Extreme {
    /// How many.
    pub tasks: u32,
    /// How many are promised, at least or at most.
    pub promised: u32,
    /// When.
    pub at: Seconds,
}

/// A time with fewer healthy tasks than are promised: nobody's fault where tasks or instances failed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dip {
    /// From when on.
    pub from: Seconds,
    /// Until when; none: to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Seconds>,
    /// The fewest.
    pub healthy: u32,
    /// How many are promised then.
    pub floor: u32,
}

/// A rollout.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutReport {
    /// The deployment's id.
    pub deployment: String,
    /// `family:revision`.
    pub revision: String,
    /// From when on.
    pub from: Seconds,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Seconds>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceReport {
    /// Its cluster.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// How many tasks are declared at the end.
    pub desired: u32,
    /// Since when it has been as declared; none: it is not.
    pub converged_at: Option<Seconds>,
    /// The least healthy tasks against the floor, from its first convergence on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest: Option<Extreme>,
    /// The most tasks against the cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<Extreme>,
    /// Times below the floor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dips: Vec<Dip>,
    /// Its rollouts.
    pub rollouts: Vec<RolloutReport>,
    /// Why a task finds no place at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unplaceable: Option<String>,
    /// What is in the way of it, where it has not converged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// A step that changed something.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// When.
    pub at: Seconds,
    /// What.
    pub what: String,
    /// After how long everything had converged (again); none: it had not before the next step, or the end.
    pub settled_after: Option<Seconds>,
}

/// An expectation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectationReport {
    /// When it was to hold from.
    pub at: Seconds,
    /// What.
    pub expected: String,
    /// Whether it held.
    pub held: bool,
    /// How it was instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    /// `file:line:col`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// A line of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineReport {
    /// When.
    pub at: Seconds,
    /// A service's or an instance's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// In words.
    pub text: String,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceReport {
    /// Its cluster.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// ECS CPU units.
    pub cpu: u64,
    /// MiB.
    pub memory: u64,
}

/// What the loss of one instance comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LossReport {
    /// The instance, or instances of one engine.
    pub instance: String,
    /// After how long everything has converged again; none: it has not.
    pub settled_after: Option<Seconds>,
    /// What becomes of the services that it touches.
    pub services: Vec<LossOfService>,
}

/// What the loss of an instance comes to for one service.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LossOfService {
    /// `cluster/name`.
    pub service: String,
    /// How many tasks are declared.
    pub desired: u32,
    /// The fewest that were healthy.
    pub lowest: u32,
    /// How many are healthy at the end.
    pub healthy: u32,
    /// Since when it is as declared again.
    pub converged_at: Option<Seconds>,
    /// What is in the way, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

impl LossReport {
    /// What is wrong with it, if something is.
    pub fn finding(&self) -> Option<Finding> {
        if self.settled_after.is_some() {
            return None;
        }
        let missing = self
            .services
            .iter()
            .filter(|service| service.because.is_some());
        let missing: Vec<String> = missing
            .map(|service| {
                format!(
                    "{} ({} of {} healthy)",
                    service.service, service.healthy, service.desired
                )
            })
            .collect();
        Some(Finding {
            kind: FindingKind::Loss,
            service: None,
            message: format!("without {}: {}", self.instance, missing.join(", ")),
            expected: false,
        })
    }
}

/// What a simulation says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether there is no finding.
    pub ok: bool,
    /// The folder.
    pub folder: String,
    /// The seed.
    pub seed: u64,
    /// How long it went on, after time 0.
    pub duration: Seconds,
    /// How long what ran first took to converge, before time 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Seconds>,
    /// Since when everything has been as declared; none: it is not.
    pub converged_at: Option<Seconds>,
    /// On what.
    pub instances: Vec<InstanceReport>,
    /// What of.
    pub services: Vec<ServiceReport>,
    /// What was done.
    pub steps: Vec<StepReport>,
    /// What was expected.
    pub expectations: Vec<ExpectationReport>,
    /// What the loss of each instance comes to, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<LossReport>,
    /// What happened.
    pub timeline: Vec<TimelineReport>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What was assumed.
    pub assumed: Vec<String>,
    /// What was not looked at.
    pub not_simulated: Vec<String>,
}

impl Report {
    /// Adds what the loss of each instance comes to.
    pub fn add(&mut self, losses: Vec<LossReport>) {
        self.findings
            .extend(losses.iter().filter_map(LossReport::finding));
        self.ok = self.findings.iter().all(|finding| finding.expected);
        self.losses = losses;
    }

    /// Findings that nobody expected.
    pub fn unexpected(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.expected)
    }
}
