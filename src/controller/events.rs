//! What services say, in ECS's own words where ECS has some (semantics §4.20, 23, 27, 29, 30).

use std::collections::BTreeSet;

use super::decision::NewEvent;
use super::placement::NoFit;
use crate::model::{
    Asked, BlockedRevision, ContainerStatus, Deployment, DeploymentId, EventLevel, InstanceId,
    Query, RevisionRef, ServiceEvent, ServiceName, StopCode, TaskId, TaskRecord, TaskSpec,
    TaskStatus,
};

/// Most tasks that one event names.
const LISTED: usize = 10;

/// What comes between a message and a container's own output.
const LOG_LINES: &str = " Its last log lines: ";

/// From so many hexadecimal digits on, a word is an id: as many as Docker shows of one.
const SHORTEST_ID: usize = 12;

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

/// `(service X) has called off N tasks that did not run yet: (task a) (task b).`
pub fn called_off(service: &ServiceName, tasks: &[TaskId]) -> String {
    let list = list(tasks);
    format!(
        "(service {service}) has called off {} tasks that did not run yet:{list}.",
        tasks.len()
    )
}

fn list(tasks: &[TaskId]) -> String {
    use std::fmt::Write as _;
    let named = tasks.iter().take(LISTED);
    let mut text = named.fold(String::new(), |mut text, task| {
        let _ = write!(text, " (task {task})");
        text
    });
    if tasks.len() > LISTED {
        let _ = write!(text, " and {} more", tasks.len() - LISTED);
    }
    text
}

/// Whether `new` says of a service what `known` did, but of another task or with other ids in an engine's words: a failure
/// that comes again with each try is one event.
pub(super) fn repeats(known: &ServiceEvent, new: &NewEvent) -> bool {
    known.level == new.level
        && new.level > EventLevel::Info
        && gist(&known.message) == gist(&new.message)
}

/// A message without ids, and without what a container wrote.
fn gist(message: &str) -> String {
    let said = message.split(LOG_LINES).next().unwrap_or(message);
    let mut text = String::new();
    for word in said.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let core = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_id = core.len() >= SHORTEST_ID && core.chars().all(|c| c.is_ascii_hexdigit());
        text.push_str(if is_id { &word[core.len()..] } else { word });
    }
    text
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

/// As [`configuration`], of a service whose rollout stands still: paused, or `failed`.
pub(super) fn cannot_drain(service: &ServiceName, tasks: u32, failed: bool) -> String {
    let tasks = match tasks {
        1 => "1 task".to_owned(),
        more => format!("{more} tasks"),
    };
    let why = match failed {
        true => "its deployment has failed",
        false => "its rollout is paused",
    };
    format!(
        "(service {service}) was unable to move {tasks} off draining instances while {why}, because of the service deployment \
         configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )
}

/// Tasks that have to leave their instances, and in whose place nothing is started.
pub(super) fn failed_on_draining(
    service: &ServiceName,
    tasks: u32,
    revision: &RevisionRef,
) -> String {
    let tasks = match tasks {
        1 => "1 task".to_owned(),
        more => format!("{more} tasks"),
    };
    format!(
        "(service {service}) keeps {tasks} on draining instances: {revision} has failed, so nothing of it is started in their \
         place. Change its manifest or task definition, or say `longshore retry {service}`."
    )
}

/// A count that is not followed while a rollout is paused.
pub(super) fn not_scaled(service: &ServiceName, desired: u32, kept: u32) -> String {
    format!(
        "(service {service}) wants {desired} tasks and is kept at {kept} while its rollout is paused. \
         `longshore rollout resume {service}` lets it go on."
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

/// Tasks that were given up with their instances, and may still run.
pub(super) fn given_up(
    service: &ServiceName,
    tasks: usize,
    on: &BTreeSet<&InstanceId>,
    after: u32,
) -> String {
    let names: Vec<&str> = on.iter().map(|id| id.as_str()).collect();
    let tasks = match tasks {
        1 => "1 task".to_owned(),
        more => format!("{more} tasks"),
    };
    let (instances, engines) = match names.len() {
        1 => ("instance", "its engine has"),
        _ => ("instances", "their engines have"),
    };
    format!(
        "(service {service}) gave up {tasks} with container {instances} {}: {engines} not answered for {after} seconds. What is          cut off may run on beside its replacements until it is reached again, and is stopped then.",
        names.join(", ")
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

/// What a suspended service would do: start and stop so many tasks.
pub(super) fn suspended(
    service: &ServiceName,
    asked: &Asked,
    (starts, stops): (usize, usize),
) -> String {
    let drift = match (starts, stops) {
        (0, 0) => "there is nothing to do for it".to_owned(),
        (starts, 0) => format!("{starts} tasks would be started"),
        (0, stops) => format!("{stops} tasks would be stopped"),
        (starts, stops) => {
            format!("{starts} tasks would be started and {stops} stopped")
        }
    };
    format!("(service {service}) is suspended {asked}: {drift} now.")
}

/// In place of the middle of more events than a plan may bring.
pub(super) fn and_more(service: &ServiceName, more: usize) -> String {
    format!("(service {service}) has {more} more events of this moment, which are left out.")
}

/// Said of a DAEMON's task (ECS `SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED`).
pub(super) fn violates(
    service: &ServiceName,
    task: &TaskId,
    instance: &InstanceId,
    constraint: &Query,
) -> String {
    format!(
        "(service {service}) (task {task}) is stopped because container-instance {instance} does not meet its placement \
         constraint memberOf `{constraint}` any more."
    )
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

/// ECS's, of a deployment that was given up.
pub(super) fn breaker_tripped() -> String {
    "ECS deployment circuit breaker: tasks failed to start.".to_owned()
}

/// The same with how many tasks failed, and why the last of them did.
pub(super) fn breaker_tripped_by(failed: u32, why: &str) -> String {
    let why = why.trim_end_matches('.');
    format!("{} {failed} failed, the last: {why}.", breaker_tripped())
}

/// ECS's, of the deployment that is gone back to.
pub(super) fn rolling_back_to(deployment: &DeploymentId) -> String {
    format!("ECS deployment circuit breaker: rolling back to deploymentId {deployment}.")
}

/// Of a deployment that somebody goes back from before it is done.
pub(super) fn taken_back_to(deployment: &DeploymentId, asked: &Asked) -> String {
    format!("rolling back to deploymentId {deployment}, as it was asked for {asked}.")
}

/// A deployment was given up, after so many failed tasks, the last of them for that reason.
pub(super) fn deployment_failed(
    service: &ServiceName,
    deployment: &Deployment,
    threshold: u32,
    why: &str,
) -> String {
    format!(
        "(service {service}) (deployment {}) deployment failed: tasks failed to start. {} tasks of {} failed, and \
         {threshold} are too many; the last: {}.",
        deployment.id,
        deployment.failed_tasks,
        deployment.revision,
        why.trim_end_matches('.')
    )
}

/// What failed is gone back from.
pub(super) fn rolls_back(
    service: &ServiceName,
    failed: &BlockedRevision,
    to: &DeploymentId,
    revision: &RevisionRef,
) -> String {
    format!(
        "(service {service}) (deployment {}) is rolling back to (deployment {to}): {revision} in place of {}.",
        failed.deployment, failed.revision
    )
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
        text.push_str(&format!("{LOG_LINES}{}", shorten(first)));
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
    fn an_event_names_ten_tasks_and_counts_the_others() {
        let tasks: Vec<TaskId> = (0..97).map(|n| TaskId::new(format!("t{n}"))).collect();
        let text = called_off(&"web".into(), &tasks);
        assert!(
            text.starts_with(
                "(service web) has called off 97 tasks that did not run yet: (task t0) "
            )
        );
        assert!(text.ends_with(" (task t9) and 87 more."), "{text}");
        assert_eq!(text.matches("(task ").count(), 10);
    }

    #[test]
    fn a_failure_is_the_same_whatever_ids_the_engine_names() {
        let event = |task: &str, endpoint: &str, port: u16, level| NewEvent {
            name: None,
            level,
            message: format!(
                "(service web) (task {task}) stopped: CannotStartContainerError: driver failed programming external \
                 connectivity on endpoint ecs-web-1-app-{task} ({endpoint}): Bind for 0.0.0.0:{port} failed: port is \
                 already allocated. Its last log lines: {endpoint} at {task}"
            ),
        };
        let known = |new: NewEvent| ServiceEvent {
            name: new.name,
            cluster: "default".into(),
            service: "web".into(),
            seq: 1,
            at: crate::model::Timestamp::from_millis(0),
            last_at: crate::model::Timestamp::from_millis(0),
            count: 1,
            level: new.level,
            message: new.message,
        };
        let (a, b) = (
            "0123456789abcdef0123456789abcdef",
            "fedcba9876543210fedcba9876543210",
        );
        let warn = EventLevel::Warn;
        let first = known(event(a, &a.repeat(2), 8080, warn));
        assert!(repeats(&first, &event(b, &b.repeat(2), 8080, warn)));
        assert!(!repeats(&first, &event(b, &b.repeat(2), 8081, warn)));
        let told = known(event(a, a, 80, EventLevel::Info));
        assert!(!repeats(&told, &event(b, b, 80, EventLevel::Info)));
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
