//! What the server is given by the daemon: whom it speaks for, what it may read, and whom it asks to do things.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::controller::{
    DrainError, RolloutError, RolloutOutcome, RunError, RunOutcome, RunRequest, StopError,
};
use crate::engine::SharedEngine;
use crate::model::{
    Asked, ClusterName, InstanceDesired, InstanceId, ProtectionError, ProtectionRequest,
    RolloutVerb, ServiceName, TaskId, TaskProtection, Timestamp,
};
use crate::store::{Revision, View};

/// Who answers on the socket. It never changes while the process lives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Identity {
    /// Longshore's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    #[serde(with = "super::time::rfc3339")]
    pub started_at: Timestamp,
    /// The owner id that everything it creates is labelled with.
    pub owner: String,
    /// The folder of manifests, absolute.
    pub folder: String,
    /// The state directory, absolute; a simulated engine leaves nothing in it.
    pub state_dir: String,
    /// `docker` or `simulated`.
    pub engine: String,
    /// Who holds the clusters: this process, as its lease says it.
    pub holder: String,
}

/// A finding about the folder, as it is shown to others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FolderDiagnostic {
    /// `LS0101`
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// Relative to the folder.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
}

impl From<&crate::diagnostic::Diagnostic> for FolderDiagnostic {
    fn from(diagnostic: &crate::diagnostic::Diagnostic) -> Self {
        Self {
            code: diagnostic.code.to_string(),
            severity: match diagnostic.severity {
                crate::diagnostic::Severity::Error => "error".to_owned(),
                crate::diagnostic::Severity::Warning => "warning".to_owned(),
            },
            file: diagnostic.primary.file.path.clone(),
            line: diagnostic.primary.span.line,
            column: diagnostic.primary.span.column,
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
        }
    }
}

impl FolderDiagnostic {
    /// Whether it keeps its file from being taken.
    pub fn is_error(&self) -> bool {
        self.severity == "error"
    }
}

impl std::fmt::Display for FolderDiagnostic {
    /// `web.yaml:12:3: a service has no member …`; without line and column where it is about a whole file or the folder.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 if self.message.contains(&self.file) => {}
            0 => write!(f, "{}: ", self.file)?,
            line => write!(f, "{}:{line}:{}: ", self.file, self.column)?,
        }
        f.write_str(&self.message)
    }
}

/// A resource that is kept at its last good version (P1).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeldResource {
    /// The manifest's kind: `Service`, `TaskDefinition`, `Cluster`.
    pub kind: String,
    /// Its cluster, where the kind has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// Its name.
    pub name: String,
    /// Since when the folder has had no valid version of it.
    #[serde(with = "super::time::rfc3339")]
    pub since: Timestamp,
    /// When the version that is kept was accepted.
    #[serde(with = "super::time::rfc3339")]
    pub accepted_at: Timestamp,
    /// `file:line:col: …`
    pub because: String,
}

impl HeldResource {
    /// `Service web: serving last good since …, accepted …`; the cause is not in it.
    pub fn standing(&self) -> String {
        format!(
            "{} {}: serving last good since {}, accepted {}",
            self.kind, self.name, self.since, self.accepted_at
        )
    }
}

/// The folder as it was read last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FolderStatus {
    /// Hash of what was read; `apply` waits for its own folder's.
    pub folder_hash: String,
    /// When it was read.
    #[serde(with = "super::time::rfc3339_option")]
    pub loaded_at: Option<Timestamp>,
    /// Whether it has been handed to the controllers, in full.
    pub applied: bool,
    /// All findings, in order of file and position.
    pub diagnostics: Vec<FolderDiagnostic>,
    /// The same for people, with the lines they are about.
    pub rendered: String,
    /// What is kept at its last good version.
    pub held: Vec<HeldResource>,
    /// Why nothing is removed at present, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruning_withheld: Option<String>,
}

impl FolderStatus {
    /// What is wrong with the folder, so that something of it was not taken.
    pub fn errors(&self) -> impl Iterator<Item = &FolderDiagnostic> {
        self.diagnostics.iter().filter(|d| d.is_error())
    }

    /// That something of the folder was not taken, or nothing of it is believed, and why; `None` when all of it was. It says so
    /// also where nothing was ever taken, so that there is nothing that is kept either.
    pub fn not_taken(&self, folder: &str) -> Option<String> {
        let Some(first) = self.errors().next() else {
            let reason = self.pruning_withheld.as_ref()?;
            return Some(format!("nothing is removed: {reason}"));
        };
        if first.file == folder {
            return Some(format!(
                "{}; nothing is removed because of that",
                first.message
            ));
        }
        Some(match self.errors().count() {
            1 => {
                format!("{folder} has an error, and the file that it is in was not taken: {first}")
            }
            more => format!(
                "{folder} has {more} errors, and the files that they are in were not taken; the first: {first} (`longshore validate \
                 {folder}` shows all)"
            ),
        })
    }

    /// Why a resource is kept at its last good version, if it is.
    pub fn held(
        &self,
        kind: &str,
        cluster: Option<&ClusterName>,
        name: &str,
    ) -> Option<&HeldResource> {
        self.held
            .iter()
            .find(|h| h.kind == kind && h.cluster.as_ref() == cluster && h.name == name)
    }
}

/// Which of several Longshores on one store decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderStatus {
    /// Whether it is the one that answers; else that one stands by.
    pub leading: bool,
    /// `process 7 on host`
    pub name: String,
    /// The folder of manifests that it follows, on its machine.
    pub folder: String,
    /// Since when it leads, by its own clock.
    #[serde(with = "super::time::rfc3339")]
    pub since: Timestamp,
}

impl std::fmt::Display for LeaderStatus {
    /// `process 7 on host leads since …, with the folder …`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} leads since {}, with the folder {}",
            self.name, self.since, self.folder
        )
    }
}

/// A container instance that is wanted and does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceTrouble {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its name.
    pub instance: InstanceId,
    /// Waiting does not help: somebody has to do something about it.
    pub refused: bool,
    /// What is wrong, as a sentence for people.
    pub why: String,
}

/// A pull that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PullStatus {
    /// The cluster whose agent pulls.
    pub cluster: ClusterName,
    /// The instance whose engine pulls.
    pub instance: String,
    /// The image.
    pub image: String,
    /// Bytes that have arrived.
    pub current: u64,
    /// Bytes in all, as far as known.
    pub total: u64,
    /// The engine's word for what it does.
    pub status: String,
}

/// What the daemon does when the server is asked to.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// Records tasks that are to run once.
    ///
    /// # Errors
    /// See [`RunError`]; nothing was recorded, but see [`RunError::Store`].
    async fn run_task(&self, request: &RunRequest) -> Result<RunOutcome, RunError>;

    /// Orders a task to stop; its service replaces it. Returns the revision that the order can be seen at.
    ///
    /// # Errors
    /// See [`StopError`].
    async fn stop_task(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
        reason: &str,
    ) -> Result<Revision, StopError>;

    /// Whether a task is protected from being chosen to go by its service.
    ///
    /// # Errors
    /// It cannot be.
    fn protection(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
    ) -> Result<Option<TaskProtection>, ProtectionError>;

    /// Changes that; returns what holds from then on, once it is recorded.
    ///
    /// # Errors
    /// ECS's reasons not to, or what does not work.
    async fn protect(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
        request: ProtectionRequest,
    ) -> Result<Option<TaskProtection>, ProtectionError>;

    /// Records what somebody asks for about a service's rollouts.
    ///
    /// # Errors
    /// See [`RolloutError`].
    async fn rollout(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        verb: &RolloutVerb,
        asked: Asked,
    ) -> Result<RolloutOutcome, RolloutError>;

    /// Makes an instance ACTIVE or DRAINING until its manifest says something new about that.
    ///
    /// # Errors
    /// See [`DrainError`].
    async fn set_instance(
        &self,
        cluster: &ClusterName,
        instance: &InstanceId,
        wanted: InstanceDesired,
        asked: Asked,
    ) -> Result<Revision, DrainError>;

    /// Pulls that are under way.
    fn pulls(&self) -> Vec<PullStatus>;

    /// Services of the folder of which nothing is decided yet, because it is not known what runs in their cluster.
    fn held_up(&self) -> Vec<(ClusterName, ServiceName)> {
        Vec::new()
    }

    /// Stops and removes everything that this Longshore owns, and its volumes with `volumes`, telling `say` about each step.
    /// Returns when all is gone; the process ends soon after.
    ///
    /// # Errors
    /// What could not be removed, as a sentence for people.
    async fn down(
        &self,
        volumes: bool,
        say: mpsc::UnboundedSender<String>,
    ) -> Result<Vec<String>, String>;

    /// The whole state, as `longshore state dump` prints it.
    ///
    /// # Errors
    /// Why it cannot be read, as a sentence for people.
    async fn dump(&self) -> Result<serde_json::Value, String>;

    /// Copies the state to a new file, absolute, that a Longshore can start from.
    ///
    /// # Errors
    /// Why it cannot be written, as a sentence for people.
    async fn backup(&self, to: &std::path::Path) -> Result<(), String>;

    /// Ends the process as SIGTERM does: containers keep running.
    fn shutdown(&self);

    /// Follows which container instances do not work.
    fn troubles(&self) -> watch::Receiver<Vec<InstanceTrouble>> {
        watch::channel(Vec::new()).1
    }

    /// Who leads, where several may; `None` where nobody else can, or nobody does.
    fn leader(&self) -> Option<LeaderStatus> {
        None
    }
}

/// The engines of the container instances, for logs and exec. Clones share one map.
#[derive(Debug, Clone, Default)]
pub struct Engines(Arc<RwLock<BTreeMap<(ClusterName, InstanceId), SharedEngine>>>);

impl Engines {
    /// The engine of an instance.
    pub fn get(&self, cluster: &ClusterName, instance: &InstanceId) -> Option<SharedEngine> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(cluster.clone(), instance.clone()))
            .cloned()
    }

    /// Every engine once, however many instances share it.
    pub fn all(&self) -> Vec<SharedEngine> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<SharedEngine> = Vec::new();
        for engine in map.values() {
            if !all.iter().any(|known| Arc::ptr_eq(known, engine)) {
                all.push(Arc::clone(engine));
            }
        }
        all
    }

    /// Sets the engine of an instance.
    pub fn insert(&self, cluster: ClusterName, instance: InstanceId, engine: SharedEngine) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((cluster, instance), engine);
    }

    /// Forgets an instance's engine.
    pub fn remove(&self, cluster: &ClusterName, instance: &InstanceId) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(cluster.clone(), instance.clone()));
    }
}

/// Everything the server is given.
pub struct ApiContext {
    /// Who answers.
    pub identity: Identity,
    /// What the store holds.
    pub view: Arc<View>,
    /// The instances' engines.
    pub engines: Engines,
    /// The daemon.
    pub control: Arc<dyn Control>,
    /// The folder as it was read last.
    pub status: watch::Receiver<FolderStatus>,
    /// The time.
    pub clock: SharedClock,
}

impl std::fmt::Debug for ApiContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiContext({:?})", self.identity)
    }
}

/// What every request is given: the context, and the end of it all.
#[derive(Debug, Clone)]
pub(super) struct Serving {
    context: Arc<ApiContext>,
    /// Ends every stream, and then the server.
    pub(super) stop: CancellationToken,
}

impl Serving {
    pub(super) fn new(context: ApiContext, stop: CancellationToken) -> Self {
        Self {
            context: Arc::new(context),
            stop,
        }
    }
}

impl std::ops::Deref for Serving {
    type Target = ApiContext;

    fn deref(&self) -> &ApiContext {
        &self.context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_taken_is_told_with_its_place_or_as_the_folders_own() {
        let error = |file: &str, severity: &str| FolderDiagnostic {
            severity: severity.to_owned(),
            file: file.to_owned(),
            line: 7,
            column: 3,
            message: "it is wrong".to_owned(),
            ..FolderDiagnostic::default()
        };
        let of = |diagnostics: Vec<FolderDiagnostic>| {
            let status = FolderStatus {
                diagnostics,
                ..FolderStatus::default()
            };
            status.not_taken("/m")
        };
        assert_eq!(of(vec![error("a.yaml", "warning")]), None);
        assert_eq!(
            of(vec![error("a.yaml", "error")]).as_deref(),
            Some(
                "/m has an error, and the file that it is in was not taken: a.yaml:7:3: it is wrong"
            )
        );
        let two = of(vec![error("a.yaml", "error"), error("b.yaml", "error")]);
        assert!(two.is_some_and(|two| two.starts_with("/m has 2 errors, ")));
        assert_eq!(
            of(vec![error("/m", "error")]).as_deref(),
            Some("it is wrong; nothing is removed because of that")
        );
        let kept = FolderStatus {
            pruning_withheld: Some("it declares nothing any more".to_owned()),
            ..FolderStatus::default()
        };
        assert_eq!(
            kept.not_taken("/m").as_deref(),
            Some("nothing is removed: it declares nothing any more")
        );
    }
}
