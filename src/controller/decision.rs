//! What a plan decides, as data with one stable line of text each.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::{
    ClusterName, DeploymentId, DesiredStatus, EventLevel, EventName, InstanceId, PortClaim,
    RevisionRef, ServiceName, ServiceOverrides, ServiceRecord, SpecHash, StopCode, TaskId,
    TaskRecord, Timestamp,
};

/// One thing to record, and so to do. Its `Display` is the line that golden tests, `longshore plan` and the log show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Order a new task. Its id is given by whoever records the decision.
    StartTask {
        /// Where.
        instance: InstanceId,
        /// The deployment that starts it.
        deployment: DeploymentId,
        /// What it runs, by number.
        revision: RevisionRef,
        /// What it runs, by content.
        spec: SpecHash,
        /// The capacity provider whose share it is.
        capacity_provider: Option<String>,
        /// The host ports it gets.
        ports: Vec<PortClaim>,
        /// The GPUs its containers get.
        gpus: BTreeMap<String, Vec<String>>,
        /// The names it answers to on the cluster's network.
        dns_names: Vec<String>,
        /// The generation of its deployment's tasks.
        generation: u32,
        /// The digests its deployment is pinned to, by container, as far as they are known.
        images: BTreeMap<String, String>,
        /// Why.
        cause: String,
    },
    /// Order a task to stop, or record that it ended by itself.
    StopTask {
        /// Which one.
        id: TaskId,
        /// What it runs.
        revision: RevisionRef,
        /// Where it runs.
        instance: InstanceId,
        /// Who wanted it, as ECS says it.
        code: StopCode,
        /// What ECS shows as `stoppedReason`.
        reason: String,
        /// Why, in this plan.
        cause: String,
    },
    /// Count a task no more whose instance vanished: it may run on there, until its agent returns and stops it.
    GiveUpTask {
        /// Which one.
        id: TaskId,
        /// What it runs.
        revision: RevisionRef,
        /// Where it ran.
        instance: InstanceId,
        /// Why, as its record says it.
        reason: String,
    },
    /// Forget a task that is over.
    DeleteTask {
        /// Which one.
        id: TaskId,
        /// Why.
        cause: String,
    },
}

impl Decision {
    /// Whether it stops a task on the service's behalf; a task that ended by itself is only recorded as over.
    pub fn stops_for_the_service(&self) -> bool {
        matches!(
            self,
            Self::StopTask {
                code: StopCode::ServiceSchedulerInitiated,
                ..
            }
        )
    }

    /// The record of the task that a start orders; none of any other decision.
    pub fn ordered(
        &self,
        id: TaskId,
        (cluster, service): (&ClusterName, &ServiceName),
        now: Timestamp,
    ) -> Option<TaskRecord> {
        let Self::StartTask {
            instance,
            deployment,
            revision,
            spec,
            capacity_provider,
            ports,
            gpus,
            dns_names,
            generation,
            images,
            cause: _,
        } = self
        else {
            return None;
        };
        Some(TaskRecord {
            id,
            cluster: cluster.clone(),
            instance: instance.clone(),
            group: format!("service:{service}"),
            service: Some(service.clone()),
            deployment: Some(deployment.clone()),
            standalone: None,
            family: revision.family.clone(),
            revision: revision.revision,
            spec: spec.clone(),
            desired: DesiredStatus::Running,
            stop: None,
            created_at: now,
            dns_names: dns_names.clone(),
            ports: ports.clone(),
            capacity_provider: capacity_provider.clone(),
            gpus: gpus.clone(),
            generation: *generation,
            images: images.clone(),
        })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartTask {
                instance,
                revision,
                cause,
                ..
            } => write!(f, "start {revision} on {instance}: {cause}"),
            Self::StopTask {
                id,
                revision,
                instance,
                cause,
                ..
            } => write!(f, "stop {revision} {} on {instance}: {cause}", id.short()),
            Self::GiveUpTask {
                id,
                revision,
                instance,
                ..
            } => write!(
                f,
                "give up {revision} {} on {instance}: its engine does not answer",
                id.short()
            ),
            Self::DeleteTask { id, cause } => write!(f, "delete {}: {cause}", id.short()),
        }
    }
}

/// An event to be said about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// ECS's name for it, where ECS has one.
    pub name: Option<EventName>,
    /// How much attention it wants.
    pub level: EventLevel,
    /// One sentence that starts with `(service X)`.
    pub message: String,
}

impl fmt::Display for NewEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What is to be done for a service now. It is recorded whole: record and events speak of these decisions and no others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In the order in which they are to be recorded.
    pub decisions: Vec<Decision>,
    /// The service's record after this plan; `None`: as it is.
    pub record: Option<ServiceRecord>,
    /// What people asked for after this plan, where it takes some of that back; `None`: as it is.
    pub overrides: Option<ServiceOverrides>,
    /// The record is to be removed, with the service's events.
    pub forget: bool,
    /// What there is to say, apart from which tasks were started and stopped: that is said by who gives tasks their ids.
    pub events: Vec<NewEvent>,
    /// There is more to be done now than one plan holds: plan again once this is recorded.
    pub more: bool,
    /// When to plan again even if nothing changes.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty()
            && self.record.is_none()
            && self.overrides.is_none()
            && !self.forget
            && self.events.is_empty()
    }
}
