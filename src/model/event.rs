//! What services say about themselves.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{ClusterName, ServiceName};
use super::time::Timestamp;

/// How much attention an event wants (ECS *Service Action* event types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventLevel {
    /// All is well.
    Info,
    /// Somebody may want to look.
    Warn,
    /// Somebody must look.
    Error,
}

/// ECS's `eventName` of what has one: what programs tell events by (semantics §4.44).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventName {
    /// A deployment has begun.
    ServiceDeploymentInProgress,
    /// A deployment is done.
    ServiceDeploymentCompleted,
    /// A deployment was given up.
    ServiceDeploymentFailed,
    /// As many tasks as wanted are healthy, and nothing is under way.
    ServiceSteadyState,
    /// Tasks keep failing before they are healthy.
    ServiceTaskStartImpaired,
    /// A task fits nowhere.
    ServiceTaskPlacementFailure,
}

/// `clusters/<c>/events/<service>/<seq>`: one event; the last 100 of a service are kept, a failure that repeats
/// one of the newest is folded into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    /// The service's cluster.
    pub cluster: ClusterName,
    /// The service.
    pub service: ServiceName,
    /// Rises by one with every event of the service.
    pub seq: u64,
    /// When it was first said.
    pub at: Timestamp,
    /// When it was last said; equal to `at` unless it was repeated.
    pub last_at: Timestamp,
    /// How often it was said.
    pub count: u32,
    /// How much attention it wants.
    pub level: EventLevel,
    /// ECS's name for it, where ECS has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<EventName>,
    /// ECS's own wording where ECS has one; starts with `(service X)`.
    pub message: String,
}

impl fmt::Display for ServiceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.count > 1 {
            write!(f, " (×{})", self.count)?;
        }
        Ok(())
    }
}
