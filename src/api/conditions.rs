//! What a service's records amount to: counts, steadiness, and the one word a table shows. Pure functions of the state and
//! the time, so that `get`, `describe`, `apply`, the live table and the API all say the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::controller::{Phase as Standing, TaskView, standing};
use crate::model::{
    ClusterName, ClusterSpec, DesiredStatus, HealthStatus, LastStatus, NoticeKind, RolloutState,
    SchedulingStrategy, ServiceName, ServiceRecord, ServiceStatus, StopCode, Timestamp,
};
use crate::store::{State, TaskEntry};

use super::context::HeldResource;

/// How a service is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// One deployment, COMPLETED, and as many healthy tasks as desired.
    Steady,
    /// A deployment is under way.
    #[default]
    Deploying,
    /// The deployment is done, but tasks are missing, unhealthy or too many.
    Converging,
    /// Starts are held back, because tasks ended by themselves again and again.
    Throttled,
    /// The newest deployment was given up.
    Failed,
    /// It was removed from the folder; its tasks are going.
    Draining,
    /// It was removed, and its tasks are gone.
    Inactive,
}

impl Phase {
    /// As a table shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Deploying => "deploying",
            Self::Converging => "converging",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
            Self::Draining => "draining",
            Self::Inactive => "inactive",
        }
    }
}

/// A task that ended when it should not have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskFailure {
    /// The task's id.
    pub task: String,
    /// What it ran, `web:3`.
    pub revision: String,
    /// ECS's `stopCode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// Why it stopped, and what its containers said of it.
    pub reason: String,
    /// When it stopped.
    #[serde(with = "super::time::rfc3339_option")]
    pub at: Option<Timestamp>,
    /// The last lines it wrote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_log_lines: Vec<String>,
}

/// A service at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSummary {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its name.
    pub name: String,
    /// ACTIVE, DRAINING or INACTIVE.
    pub status: String,
    /// Tasks wanted.
    pub desired: u32,
    /// Tasks that run.
    pub running: u32,
    /// Tasks on their way to running.
    pub pending: u32,
    /// Tasks that run, are to go on running and count as healthy.
    pub healthy: u32,
    /// What its newest deployment rolls out, `web:3`.
    pub revision: String,
    /// Deployments there are: 1, or more during a rollout.
    pub deployments: u32,
    /// The newest deployment's `rolloutState`.
    pub rollout: String,
    /// ECS's sentence for it.
    pub rollout_reason: String,
    /// One deployment, COMPLETED, healthy == desired.
    pub steady: bool,
    /// The same and more in a word.
    pub phase: Phase,
    /// No task is started before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(with = "super::time::rfc3339_option")]
    pub throttled_until: Option<Timestamp>,
    /// What it said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event: Option<String>,
    /// When it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(with = "super::time::rfc3339_option")]
    pub last_event_at: Option<Timestamp>,
    /// What is wrong at present, as it was said: the condition's name and its sentence.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notices: BTreeMap<String, String>,
    /// The newest failed task of the newest deployment, while the service is not steady (P7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<TaskFailure>,
}

/// The health of what may have ended: that it was healthy once says nothing of it now. That it was not may be why it ended.
pub const fn health(reported: HealthStatus, stopped: bool) -> HealthStatus {
    match reported {
        HealthStatus::Healthy if stopped => HealthStatus::Unknown,
        reported => reported,
    }
}

/// Whether a task counts as healthy, as the controller judges it (semantics §4.19).
pub fn is_healthy(state: &State, task: &TaskEntry, now: Timestamp) -> bool {
    let record = &task.record;
    let view = TaskView {
        record,
        status: task.status.as_ref().map(|status| &*status.value),
        lost: task.lost.is_some(),
        spec: state.specs.get(&record.spec).map(AsRef::as_ref),
        protected_until: None,
    };
    let healthy_after = state
        .clusters
        .get(&record.cluster)
        .map_or(ClusterSpec::HEALTHY_AFTER, |spec| spec.healthy_after);
    let grace = record
        .service
        .as_ref()
        .and_then(|name| state.service(&record.cluster, name))
        .map_or(0, |service| service.spec.health_check_grace_period);
    standing(&view, healthy_after, grace, now) == Standing::Healthy
}

/// Whether it counts into ECS's `runningCount`.
pub fn is_running(task: &TaskEntry) -> bool {
    task.lost.is_none()
        && task
            .status
            .as_ref()
            .is_some_and(|status| status.last_status == LastStatus::Running)
}

/// Whether it counts into ECS's `pendingCount`: ordered to run and not there yet.
pub fn is_pending(task: &TaskEntry) -> bool {
    task.lost.is_none()
        && task.record.desired == DesiredStatus::Running
        && last_status(task) < LastStatus::Running
}

/// Where a task is in its life; PROVISIONING until its agent says more, STOPPED when it was given up with its instance.
pub fn last_status(task: &TaskEntry) -> LastStatus {
    if task.lost.is_some() {
        return LastStatus::Stopped;
    }
    task.status
        .as_ref()
        .map_or(LastStatus::Provisioning, |status| status.last_status)
}

/// What is wanted of a task; one that is over is wanted stopped, as on ECS.
pub fn desired_status(task: &TaskEntry) -> DesiredStatus {
    if last_status(task) == LastStatus::Stopped {
        return DesiredStatus::Stopped;
    }
    task.record.desired
}

/// How many tasks a service is to have: its count, or for a DAEMON what its newest deployment found instances for. 0 once it
/// was removed from the folder.
pub fn desired_count(record: &ServiceRecord) -> u32 {
    if record.status != ServiceStatus::Active {
        return 0;
    }
    match record.spec.scheduling {
        SchedulingStrategy::Replica => record.spec.desired_count,
        SchedulingStrategy::Daemon => record.primary().map_or(0, |d| d.desired_count),
    }
}

/// How many tasks of some are running, pending and healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// [`is_running`]
    pub running: u32,
    /// [`is_pending`]
    pub pending: u32,
    /// [`is_healthy`]
    pub healthy: u32,
}

impl Counts {
    /// Counts tasks.
    pub fn of<'a>(
        state: &State,
        tasks: impl Iterator<Item = &'a TaskEntry>,
        now: Timestamp,
    ) -> Self {
        tasks.fold(Self::default(), |mut counts, task| {
            counts.running += u32::from(is_running(task));
            counts.pending += u32::from(is_pending(task));
            counts.healthy += u32::from(is_healthy(state, task, now));
            counts
        })
    }
}

/// Every service at a glance, by cluster and name.
pub fn summaries(state: &State, now: Timestamp) -> Vec<ServiceSummary> {
    state
        .services
        .values()
        .map(|record| summary(state, record, now))
        .collect()
}

/// One service at a glance.
pub fn summary(state: &State, record: &ServiceRecord, now: Timestamp) -> ServiceSummary {
    let (cluster, name) = (&record.spec.cluster, &record.spec.name);
    let counts = Counts::of(
        state,
        state.tasks_of_service(cluster, name).map(|(_, task)| task),
        now,
    );
    let desired = desired_count(record);
    let primary = record.primary();
    let steady = record.status == ServiceStatus::Active
        && record.deployments.len() == 1
        && primary.is_some_and(|d| d.rollout == RolloutState::Completed)
        && counts.healthy == desired
        && counts.running == desired;
    let throttled_until = record.throttle.not_before.filter(|at| *at > now && !steady);
    let phase = match record.status {
        ServiceStatus::Draining => Phase::Draining,
        ServiceStatus::Inactive => Phase::Inactive,
        ServiceStatus::Active if steady => Phase::Steady,
        ServiceStatus::Active => match primary.map(|d| d.rollout) {
            Some(RolloutState::Failed) => Phase::Failed,
            _ if throttled_until.is_some() => Phase::Throttled,
            Some(RolloutState::Completed) if record.deployments.len() == 1 => Phase::Converging,
            _ => Phase::Deploying,
        },
    };
    let last = state
        .events
        .get(&(cluster.clone(), name.clone()))
        .and_then(|events| events.values().next_back());
    ServiceSummary {
        cluster: cluster.clone(),
        name: name.to_string(),
        status: record.status.as_str().to_owned(),
        desired,
        running: counts.running,
        pending: counts.pending,
        healthy: counts.healthy,
        revision: primary.map(|d| d.revision.to_string()).unwrap_or_default(),
        deployments: u32::try_from(record.deployments.len()).unwrap_or(u32::MAX),
        rollout: primary
            .map(|d| d.rollout.as_str().to_owned())
            .unwrap_or_default(),
        rollout_reason: primary
            .map(|d| d.rollout_reason.clone())
            .unwrap_or_default(),
        steady,
        phase,
        throttled_until,
        last_event: last.map(|event| event.to_string()),
        last_event_at: last.map(|event| event.last_at),
        notices: record
            .notices
            .iter()
            .map(|(kind, notice)| (notice_condition(*kind).to_owned(), notice.message.clone()))
            .collect(),
        failure: if steady {
            None
        } else {
            newest_failure(state, record)
        },
    }
}

/// The name of the condition that a notice is.
const fn notice_condition(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Placement => "PlacementFailing",
        NoticeKind::Impaired => "StartsImpaired",
        NoticeKind::Configuration => "RolloutBlocked",
        NoticeKind::Definition => "DefinitionMissing",
        NoticeKind::Protected => "TasksProtected",
    }
}

/// The newest task of the newest deployment that ended when it should not have.
fn newest_failure(state: &State, record: &ServiceRecord) -> Option<TaskFailure> {
    let primary = record.primary()?;
    state
        .tasks_of_service(&record.spec.cluster, &record.spec.name)
        .map(|(_, task)| task)
        .filter(|task| primary.owns(&task.record))
        .filter_map(failure)
        .max_by_key(|failure| failure.at)
}

/// How a task failed, if it did: it ended by itself, was found unhealthy, or its instance vanished.
pub fn failure(task: &TaskEntry) -> Option<TaskFailure> {
    let (code, reason) = stopped_because(task)?;
    let ended_badly = match code {
        Some(
            StopCode::TaskFailedToStart
            | StopCode::EssentialContainerExited
            | StopCode::TerminationNotice
            | StopCode::InfrastructureHealth,
        ) => true,
        Some(StopCode::ServiceSchedulerInitiated) => task
            .status
            .as_ref()
            .is_some_and(|s| s.health == HealthStatus::Unhealthy),
        Some(StopCode::UserInitiated) | None => false,
    };
    if !ended_badly {
        return None;
    }
    let mut reason = reason;
    let containers = task.status.iter().flat_map(|s| &s.containers);
    for container in containers {
        let what = match (&container.reason, container.exit_code) {
            (Some(why), Some(code)) => format!("{why} (exit code {code})"),
            (Some(why), None) => why.clone(),
            (None, Some(code)) if code != 0 => format!("exit code {code}"),
            _ => continue,
        };
        reason.push_str(&format!("; {}: {what}", container.name));
    }
    Some(TaskFailure {
        task: task.record.id.to_string(),
        revision: task.record.revision_ref().to_string(),
        stop_code: code.map(|c| c.as_str().to_owned()),
        reason,
        at: task
            .status
            .as_ref()
            .and_then(|s| s.stopped_at.or(s.execution_stopped_at).or(s.stopping_at))
            .or(task.lost.as_ref().map(|lost| lost.at)),
        last_log_lines: task
            .status
            .as_ref()
            .map(|s| s.last_log_lines.clone())
            .unwrap_or_default(),
    })
}

/// Why a task stopped or is to stop: its agent's word, else the controller's.
pub fn stopped_because(task: &TaskEntry) -> Option<(Option<StopCode>, String)> {
    if let Some(lost) = &task.lost {
        return Some((Some(StopCode::TerminationNotice), lost.reason.clone()));
    }
    let status = task.status.as_ref();
    let order = task.record.stop.as_ref();
    let code = status
        .and_then(|s| s.stop_code)
        .or(order.map(|order| order.code));
    let reason = status
        .and_then(|s| s.stopped_reason.clone())
        .or(order.map(|order| order.reason.clone()));
    if code.is_none() && reason.is_none() {
        return None;
    }
    Some((code, reason.unwrap_or_default()))
}

/// A condition of a resource, as `describe` and `-o yaml` show it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// `Steady`, `ServingLastGood`, `Throttled`, `DeploymentFailed`, or the name of a notice: `PlacementFailing`,
    /// `StartsImpaired`, `RolloutBlocked`, `DefinitionMissing`.
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
    fn new(kind: &str, status: bool, reason: &str, message: String) -> Self {
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
    if s.phase == Phase::Failed {
        conditions.push(Condition::new(
            "DeploymentFailed",
            true,
            s.failure
                .as_ref()
                .and_then(|f| f.stop_code.as_deref())
                .unwrap_or("RolloutFailed"),
            s.rollout_reason.clone(),
        ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_stopped_is_not_healthy_any_more_but_may_have_stopped_for_being_unhealthy() {
        use HealthStatus::{Healthy, Unhealthy, Unknown};
        assert_eq!(
            [health(Healthy, false), health(Healthy, true)],
            [Healthy, Unknown]
        );
        assert_eq!(
            [health(Unhealthy, true), health(Unknown, true)],
            [Unhealthy, Unknown]
        );
    }
}
