//! What services say, in ECS's own words where ECS has some (semantics §4.20, 23, 27, 29, 30).

use super::placement::NoFit;
use crate::model::{
    ContainerStatus, DeploymentId, RevisionRef, ServiceName, StopCode, TaskId, TaskRecord,
    TaskSpec, TaskStatus,
};

/// Longest piece of a container's own output in an event, in characters.
const LOG_LINE: usize = 200;

/// `(service X) has started N tasks: (task a) (task b).`
pub fn started(service: &ServiceName, tasks: &[TaskId]) -> String {
    let list = list(tasks);
    format!(
        "(service {service}) has started {} tasks:{list}.",
        tasks.len()
    )
}

/// `(service X) has stopped N running tasks: (task a) (task b).`
pub fn stopped(service: &ServiceName, tasks: &[TaskId]) -> String {
    let list = list(tasks);
    format!(
        "(service {service}) has stopped {} running tasks:{list}.",
        tasks.len()
    )
}

fn list(tasks: &[TaskId]) -> String {
    use std::fmt::Write as _;
    tasks.iter().fold(String::new(), |mut text, task| {
        let _ = write!(text, " (task {task})");
        text
    })
}

pub(super) fn steady(service: &ServiceName) -> String {
    format!("(service {service}) has reached a steady state.")
}

pub(super) fn completed(service: &ServiceName, deployment: &DeploymentId) -> String {
    format!("(service {service}) (deployment {deployment}) deployment completed.")
}

pub(super) fn impaired(service: &ServiceName) -> String {
    format!("(service {service}) is unable to consistently start tasks successfully.")
}

pub(super) fn configuration(service: &ServiceName) -> String {
    format!(
        "(service {service}) was unable to stop or start tasks during a deployment because of the service deployment \
         configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )
}

/// ECS's, for a service that has more protected tasks than it wants tasks.
pub(super) fn too_many_protected(service: &ServiceName) -> String {
    format!(
        "(service {service}) was unable to scale in. Reason: the number of protected tasks is more than the desired count."
    )
}

pub(super) fn protected(service: &ServiceName, tasks: u32) -> String {
    format!(
        "(service {service}) keeps {tasks} tasks of an older deployment, or on a draining instance, because they are protected. They are replaced once their protection is taken back or expires."
    )
}

pub(super) fn unregistered(service: &ServiceName, revision: &RevisionRef) -> String {
    let named = match revision.revision {
        0 => revision.family.to_string(),
        _ => revision.to_string(),
    };
    format!(
        "(service {service}) was unable to find the task definition {named}, and keeps what it runs. Name a revision that \
         is registered."
    )
}

/// In place of the middle of more events than a plan may bring.
pub(super) fn and_more(service: &ServiceName, more: usize) -> String {
    format!("(service {service}) has {more} more events of this moment, which are left out.")
}

pub(super) fn unplaced(service: &ServiceName, why: &NoFit) -> String {
    let reason = if why.is_empty() { "Reason: " } else { "" };
    format!(
        "(service {service}) was unable to place a task because no container instance met all of its requirements. \
         {reason}{why}"
    )
}

pub(super) fn in_progress(deployment: &DeploymentId) -> String {
    format!("ECS deployment {deployment} in progress.")
}

pub(super) fn rollout_completed(deployment: &DeploymentId) -> String {
    format!("ECS deployment {deployment} completed.")
}

pub(super) fn superseded(deployment: &DeploymentId, by: &DeploymentId) -> String {
    format!("ECS deployment {deployment} superseded by {by}.")
}

/// Why a task ended by itself, in one clause: what its agent said, which container was at fault, its last words.
pub(super) fn end(status: &TaskStatus, spec: Option<&TaskSpec>) -> String {
    let mut text = status.stopped_reason.clone().unwrap_or_else(|| {
        match status.stop_code {
            Some(StopCode::TaskFailedToStart) => "Task failed to start",
            _ => "Essential container in task exited",
        }
        .to_owned()
    });
    if let Some(container) = at_fault(status, spec) {
        let mut details = Vec::new();
        if let Some(code) = container.exit_code {
            details.push(format!("exit code {code}"));
        }
        if let Some(reason) = &container.reason
            && !text.contains(reason.as_str())
        {
            details.push(reason.clone());
        }
        if !details.is_empty() {
            text.push_str(&format!(
                " (container {}: {})",
                container.name,
                details.join(", ")
            ));
        }
    }
    text
}

/// `(service X) (task T) stopped: …` with the first and the last of its last log lines.
pub(super) fn died(
    service: &ServiceName,
    task: &TaskRecord,
    status: &TaskStatus,
    spec: Option<&TaskSpec>,
) -> String {
    let mut text = format!(
        "(service {service}) (task {}) stopped: {}.",
        task.id,
        end(status, spec).trim_end_matches('.')
    );
    let mut lines = status
        .last_log_lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty());
    if let Some(first) = lines.next() {
        text.push_str(&format!(" Its last log lines: {}", shorten(first)));
        if let Some(last) = lines.next_back() {
            text.push_str(&format!(" … {}", shorten(last)));
        }
    }
    text
}

pub(super) fn unhealthy(service: &ServiceName, task: &TaskId) -> String {
    format!("(service {service}) (task {task}) failed container health checks.")
}

/// The container that ended the task: the essential one that ended first, else the first with a reason.
fn at_fault<'a>(status: &'a TaskStatus, spec: Option<&TaskSpec>) -> Option<&'a ContainerStatus> {
    let essential = |container: &&ContainerStatus| {
        spec.is_none_or(|spec| {
            spec.container(&container.name)
                .is_none_or(|spec| spec.essential)
        })
    };
    let ended =
        |container: &&ContainerStatus| container.exit_code.is_some() || container.reason.is_some();
    status
        .containers
        .iter()
        .filter(ended)
        .filter(essential)
        .min_by_key(|container| (container.finished_at.is_none(), container.finished_at))
        .or_else(|| status.containers.iter().find(|c| c.reason.is_some()))
}

fn shorten(line: &str) -> String {
    let clean: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LOG_LINE)
        .collect();
    if line.chars().count() > LOG_LINE {
        format!("{clean}…")
    } else {
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn started_and_stopped_tasks_are_listed_as_ecs_lists_them() {
        let tasks = [TaskId::new("a"), TaskId::new("b")];
        assert_eq!(
            started(&"web".into(), &tasks),
            "(service web) has started 2 tasks: (task a) (task b)."
        );
        assert_eq!(
            stopped(&"web".into(), &tasks[..1]),
            "(service web) has stopped 1 running tasks: (task a)."
        );
    }

    #[test]
    fn the_container_that_ended_first_is_named_with_its_exit_code_and_reason() {
        let container = |name: &str, code, at, reason: Option<&str>| ContainerStatus {
            name: name.to_owned(),
            exit_code: Some(code),
            finished_at: Some(crate::model::Timestamp::from_millis(at)),
            reason: reason.map(str::to_owned),
            ..ContainerStatus::default()
        };
        let status = TaskStatus {
            containers: vec![
                container("sidecar", 143, 9, None),
                container(
                    "app",
                    137,
                    5,
                    Some("OutOfMemoryError: Container killed due to memory usage"),
                ),
            ],
            stop_code: Some(StopCode::EssentialContainerExited),
            ..TaskStatus::default()
        };
        assert_eq!(
            end(&status, None),
            "Essential container in task exited (container app: exit code 137, OutOfMemoryError: Container killed due \
             to memory usage)"
        );
    }

    #[test]
    fn control_characters_of_a_container_never_reach_an_event() {
        assert_eq!(shorten("a\u{1b}[31mb\n"), "a [31mb ");
        assert_eq!(shorten(&"x".repeat(300)).chars().count(), LOG_LINE + 1);
    }
}
