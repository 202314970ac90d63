//! `GET /v1/status`: what this Longshore is doing, in one document.

use serde::{Deserialize, Serialize};

use super::context::{ApiContext, FolderStatus, Identity, LeaderStatus, PullStatus};
use super::summary::{ServiceSummary, summaries};

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusReport {
    /// Who answers.
    #[serde(flatten)]
    pub identity: Identity,
    /// The folder as it was read last: its hash, what is wrong with it, what is held back because of that.
    #[serde(rename = "folderStatus")]
    pub folder: FolderStatus,
    /// Whether every service that is not INACTIVE is steady, and none is held up. A service on its way out is not steady.
    pub steady: bool,
    /// Every service at a glance, by cluster and name.
    pub services: Vec<ServiceSummary>,
    /// Services of the folder, `cluster/name`, of which nothing is decided yet: it is not known what runs in their cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_up: Vec<String>,
    /// Pulls that are under way.
    pub pulls: Vec<PullStatus>,
    /// The store's revision that this is the state of.
    pub revision: u64,
    /// Why the store cannot be followed at present, and this may be old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
    /// Who leads, where several Longshores share the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<LeaderStatus>,
}

impl StatusReport {
    /// Why something of the folder was not taken, if anything was not.
    pub fn not_taken(&self) -> Option<String> {
        self.folder.not_taken(&self.identity.folder)
    }
}

/// The report as of now.
pub fn report(context: &ApiContext) -> StatusReport {
    let now = context.clock.now();
    let (services, revision, stale) = {
        let state = context.view.read();
        (summaries(&state, now), state.revision, state.stale.clone())
    };
    let held_up = context.control.held_up();
    StatusReport {
        identity: context.identity.clone(),
        folder: context.status.borrow().clone(),
        steady: held_up.is_empty() && services.iter().all(|s| s.steady || s.status == "INACTIVE"),
        held_up: held_up
            .into_iter()
            .map(|(cluster, name)| format!("{cluster}/{name}"))
            .collect(),
        services,
        pulls: context.control.pulls(),
        revision,
        stale,
        leader: context.control.leader(),
    }
}
