//! How tasks failed, and why they stopped (P7).

use serde::{Deserialize, Serialize};

use crate::model::{HealthStatus, ServiceRecord, StopCode, Timestamp};
use crate::store::{State, TaskEntry};

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

/// The newest task of the newest deployment that ended when it should not have.
pub(super) fn newest_failure(state: &State, record: &ServiceRecord) -> Option<TaskFailure> {
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
