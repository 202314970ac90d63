//! What a step is decided on.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, CallKey};
use crate::engine::{ErrorKind, ObservedContainer};
use crate::model::{PullBehavior, TaskLost, TaskRecord, TaskSpec, TaskStatus, Timestamp};

/// Everything that [`step`](super::step()) looks at. Nothing else influences what it returns.
#[derive(Debug, Clone, Copy)]
pub struct StepInput<'a> {
    /// The task as ordered.
    pub record: &'a TaskRecord,
    /// What it runs.
    pub spec: &'a TaskSpec,
    /// There when the controller gave it up with its instance.
    pub lost: Option<&'a TaskLost>,
    /// Its containers on the engine, by their name in the definition; the pause container by
    /// [`PAUSE_CONTAINER`](crate::engine::labels::PAUSE_CONTAINER). Complete: one that is not here does not exist.
    pub observed: &'a BTreeMap<String, ObservedContainer>,
    /// The status that the last step returned; the stored one after a start.
    pub prior: &'a TaskStatus,
    /// What is known besides.
    pub facts: &'a Facts,
    /// The present instant.
    pub now: Timestamp,
}

/// What an agent knows about a task's surroundings and its own attempts. All of it can be lost: it is looked up or tried
/// again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// When registries are asked.
    pub pull: PullBehavior,
    /// By the reference that containers are created from ([`image`](crate::engine::translate::image)); one that is not here
    /// is absent.
    pub images: BTreeMap<String, ImageFact>,
    /// Images that were pulled for this very task.
    pub pulled: BTreeSet<String>,
    /// Digests of containers that somebody else than this agent's run created: `None` for an image without one.
    pub digests: BTreeMap<String, Option<String>>,
    /// The cluster's network.
    pub network: Readiness,
    /// The pause image.
    pub pause_image: Readiness,
    /// Volumes by their name in the definition; one that is not here is missing.
    pub volumes: BTreeMap<String, Readiness>,
    /// Calls that failed and have not succeeded since.
    pub attempts: BTreeMap<CallKey, Attempt>,
    /// Containers on which a call is under way: nothing is decided about them.
    pub busy: BTreeSet<String>,
    /// When the engine's run began, by its own clock, where it tells.
    pub engine_began: Option<Timestamp>,
    /// Last lines of containers whose logs were read.
    pub logs: BTreeMap<String, LogFact>,
}

/// The last lines that a container wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFact {
    /// Whether it had ended when they were read: then there are no later ones.
    pub ended: bool,
    /// Oldest first; empty also where they could not be read.
    pub lines: Vec<String>,
}

/// Whether an engine has an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ImageFact {
    /// It has not.
    #[default]
    Absent,
    /// It is being pulled.
    Pulling {
        /// Since when.
        since: Timestamp,
    },
    /// It has.
    Present {
        /// `sha256:…` in the registry that the reference names; an image that never saw one has none.
        digest: Option<String>,
        /// When this agent pulled it, from and to, if it did.
        pulled: Option<(Timestamp, Timestamp)>,
        /// Whether this agent, or its earlier runs, pulled it.
        ours: bool,
    },
}

/// Whether something that containers need is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readiness {
    /// Not as far as is known.
    #[default]
    Missing,
    /// Being made or looked for.
    InProgress,
    /// It is there.
    Ready,
}

/// Failures of a call in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// How many.
    pub failures: u32,
    /// When the last one was.
    pub at: Timestamp,
    /// Its kind.
    pub kind: ErrorKind,
    /// What the engine said, one line.
    pub message: String,
}

/// What is to be done now, what to report, and when to look again though nothing happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// In a stable order; all of them can be done at once.
    pub actions: Vec<Action>,
    /// The task's status.
    pub status: TaskStatus,
    /// Absent: only a change is a reason to look again.
    pub wake_at: Option<Timestamp>,
}
