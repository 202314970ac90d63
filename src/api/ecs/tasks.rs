//! ListTasks, DescribeTasks, StopTask.

use serde::Deserialize;
use serde_json::json;

use crate::api::context::ApiContext;
use crate::api::shapes::{Failure, LAUNCH_TYPE, Task};
use crate::api::standing::desired_status;
use crate::controller::StopError;
use crate::model::arn::{self, Named};
use crate::model::{ClusterName, DesiredStatus, TaskId};
use crate::store::{State, TaskEntry};

use super::page::PageRequest;
use super::{EcsError, EcsResult, check_length, cluster_of, includes, service_of};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct List {
    cluster: Option<String>,
    container_instance: Option<String>,
    family: Option<String>,
    started_by: Option<String>,
    service_name: Option<String>,
    desired_status: Option<String>,
    launch_type: Option<String>,
    #[serde(flatten)]
    page: PageRequest,
}

pub(super) fn list(state: &State, request: &List) -> EcsResult {
    let cluster = cluster_of(state, request.cluster.as_deref())?;
    // ECS takes PENDING too, and finds nothing by it, because no task is ever wanted PENDING.
    let desired = match request.desired_status.as_deref() {
        None | Some("RUNNING") => Some(DesiredStatus::Running),
        Some("STOPPED") => Some(DesiredStatus::Stopped),
        Some("PENDING") => None,
        Some(other) => {
            return Err(EcsError::invalid_parameter(format!(
                "desiredStatus is {other:?}; it is RUNNING, PENDING or STOPPED"
            )));
        }
    };
    let service = match &request.service_name {
        None => None,
        Some(name) => Some(
            service_of(state, &cluster, name)
                .ok_or_else(EcsError::service_not_found)?
                .spec
                .name
                .clone(),
        ),
    };
    let instance = request
        .container_instance
        .as_deref()
        .map(|text| Named::parse(text).name);
    if let Some(id) = instance
        && state.instance(&cluster, &id.into()).is_none()
    {
        return Err(EcsError::invalid_parameter(format!(
            "cluster {cluster} has no container instance {id:?}"
        )));
    }
    let wanted = |task: &TaskEntry| {
        let record = &task.record;
        Some(desired_status(task)) == desired
            && request
                .launch_type
                .as_deref()
                .is_none_or(|launch| launch == LAUNCH_TYPE)
            && service
                .as_ref()
                .is_none_or(|name| record.service.as_ref() == Some(name))
            && instance.is_none_or(|id| record.instance.as_str() == id)
            && request
                .family
                .as_deref()
                .is_none_or(|family| record.family.as_str() == family)
            && request
                .started_by
                .as_deref()
                .is_none_or(|by| record.started_by() == Some(by))
    };
    let arns = state
        .tasks_of_cluster(&cluster)
        .filter(|(_, task)| wanted(task))
        .map(|(id, _)| arn::task(&cluster, id))
        .collect();
    let page = request.page.page(arns, 100)?;
    Ok(json!({"taskArns": page.items, "nextToken": page.next_token}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Describe {
    cluster: Option<String>,
    tasks: Vec<String>,
    include: Vec<String>,
}

pub(super) fn describe(state: &State, request: &Describe) -> EcsResult {
    let cluster = cluster_of(state, request.cluster.as_deref())?;
    check_length("Tasks", &request.tasks, 100)?;
    let with_tags = includes(&request.include, "TAGS");
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for text in &request.tasks {
        match find(state, &cluster, text) {
            Ok((_, task)) => tasks.push(Task::of(state, task, with_tags)),
            Err(id) => failures.push(Failure::missing(arn::task(&cluster, &id))),
        }
    }
    Ok(json!({"tasks": tasks, "failures": failures}))
}

fn find<'a>(
    state: &'a State,
    cluster: &ClusterName,
    text: &str,
) -> Result<(TaskId, &'a TaskEntry), TaskId> {
    let named = Named::parse(text);
    let id = TaskId::new(named.name);
    if !named.fits("task", cluster) {
        return Err(id);
    }
    match state.task(cluster, &id) {
        Some(task) => Ok((id, task)),
        None => Err(id),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Stop {
    #[serde(default)]
    cluster: Option<String>,
    task: String,
    #[serde(default)]
    reason: Option<String>,
}

pub(super) async fn stop(context: &ApiContext, request: Stop) -> EcsResult {
    let not_found = || EcsError::invalid_parameter("The referenced task was not found.");
    let (cluster, id) = {
        let state = context.view.read();
        let cluster = cluster_of(&state, request.cluster.as_deref())?;
        let (id, _) = find(&state, &cluster, &request.task).map_err(|_| not_found())?;
        (cluster, id)
    };
    let reason = request
        .reason
        .unwrap_or_else(|| "Task stopped by user".to_owned());
    let order = context.control.stop_task(&cluster, &id, &reason).await;
    let revision = order.map_err(|error| match error {
        StopError::Unknown => not_found(),
        StopError::Store(_) | StopError::Ending => EcsError::server(error.to_string()),
    })?;
    // A view that was stopped answers with what it has; the process is ending.
    let _ = context.view.caught_up(revision).await;
    let state = context.view.read();
    let task = state.task(&cluster, &id).ok_or_else(not_found)?;
    Ok(json!({"task": Task::of(&state, task, false)}))
}
