//! Which containers a request for logs or exec means.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::api::kinds::nearest;
use crate::api::shapes::cluster::names;
use crate::api::shapes::task::containers;
use crate::model::arn::Named;
use crate::model::{ClusterName, ContainerStatus, InstanceId, ServiceName, TaskId};
use crate::store::{State, TaskEntry};

/// A request that is not done, with its reason for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub status: StatusCode,
    /// Why.
    pub message: String,
}

impl Refused {
    /// With this status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// What was named is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"message": self.message}))).into_response()
    }
}

/// A cluster that is not there is a mistake, and would only ever be empty.
pub(in crate::api) fn check_cluster(state: &State, cluster: Option<&str>) -> Result<(), Refused> {
    let Some(name) = cluster.filter(|c| !c.is_empty()) else {
        return Ok(());
    };
    let known = names(state);
    let name = Named::parse(name).name;
    if known.iter().any(|k| k.as_str() == name) {
        return Ok(());
    }
    let hint = nearest(name, known.iter().map(ClusterName::as_str))
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default();
    Err(Refused::not_found(format!(
        "there is no cluster {name}{hint}"
    )))
}

/// A container of a task, as an engine is asked about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The cluster.
    pub cluster: ClusterName,
    /// The service, where one started the task.
    pub service: Option<ServiceName>,
    /// The task.
    pub task: TaskId,
    /// The instance whose engine has it.
    pub instance: InstanceId,
    /// The container's name in the task definition.
    pub container: String,
    /// The engine's id of it.
    pub runtime_id: String,
}

impl Target {
    fn of(task: &TaskEntry, container: &ContainerStatus) -> Option<Self> {
        Some(Self {
            cluster: task.record.cluster.clone(),
            service: task.record.service.clone(),
            task: task.record.id.clone(),
            instance: task.record.instance.clone(),
            container: container.name.clone(),
            runtime_id: container.runtime_id.clone()?,
        })
    }
}

/// What of the tree is meant: a task, a service, or everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One task.
    Task(ClusterName, TaskId),
    /// One service's tasks.
    Service(ClusterName, ServiceName),
    /// The tasks of a cluster, or of all.
    All(Option<ClusterName>),
}

impl Scope {
    /// Finds what a request names: a task by its id, the beginning of it, or its ARN; a service by its name or ARN; in one
    /// cluster, or sought in all.
    ///
    /// # Errors
    /// Nothing is called so, or several things are.
    pub fn find(
        state: &State,
        cluster: Option<&str>,
        service: Option<&str>,
        task: Option<&str>,
    ) -> Result<Self, Refused> {
        check_cluster(state, cluster)?;
        let wanted = cluster.filter(|c| !c.is_empty());
        let here = |c: &ClusterName, named: &Named<'_>| {
            wanted.is_none_or(|w| Named::parse(w).name == c.as_str())
                && named.cluster.is_none_or(|n| n == c.as_str())
        };
        if let Some(text) = task.filter(|t| !t.is_empty()) {
            let named = Named::parse(text);
            let mut hits = state
                .tasks
                .keys()
                .filter(|(c, id)| here(c, &named) && id.as_str().starts_with(named.name));
            let Some(first) = hits.next() else {
                return Err(Refused::not_found(format!("there is no task {text}")));
            };
            if let Some(second) = hits.next() {
                return Err(Refused::new(
                    StatusCode::CONFLICT,
                    format!("{text} may be task {} or {}", first.1, second.1),
                ));
            }
            return Ok(Self::Task(first.0.clone(), first.1.clone()));
        }
        if let Some(text) = service.filter(|s| !s.is_empty()) {
            let named = Named::parse(text);
            let mut hits = state
                .services
                .keys()
                .filter(|(c, name)| here(c, &named) && name.as_str() == named.name);
            let Some(first) = hits.next() else {
                return Err(Refused::not_found(format!("there is no service {text}")));
            };
            if let Some(second) = hits.next() {
                return Err(Refused::new(
                    StatusCode::CONFLICT,
                    format!(
                        "service {text} is in the clusters {} and {}; say which",
                        first.0, second.0
                    ),
                ));
            }
            return Ok(Self::Service(first.0.clone(), first.1.clone()));
        }
        Ok(Self::All(
            wanted.map(|w| ClusterName::new(Named::parse(w).name)),
        ))
    }

    /// The tasks that it means at present, the oldest first.
    pub fn tasks<'a>(&self, state: &'a State) -> Vec<&'a TaskEntry> {
        let mut tasks: Vec<&TaskEntry> = match self {
            Self::Task(cluster, id) => state.task(cluster, id).into_iter().collect(),
            Self::Service(cluster, name) => state
                .tasks_of_service(cluster, name)
                .map(|(_, task)| task)
                .collect(),
            Self::All(Some(cluster)) => state
                .tasks_of_cluster(cluster)
                .map(|(_, task)| task)
                .collect(),
            Self::All(None) => state.tasks.values().map(AsRef::as_ref).collect(),
        };
        tasks.sort_by(|a, b| {
            let key = |t: &TaskEntry| (t.record.created_at, t.record.id.clone());
            key(a).cmp(&key(b))
        });
        tasks
    }

    /// The containers of them that an engine has, of that name where one is given.
    pub fn targets(&self, state: &State, container: Option<&str>) -> Vec<Target> {
        self.tasks(state)
            .into_iter()
            .flat_map(|task| {
                let reported = task.status.iter().flat_map(|s| &s.containers);
                reported
                    .filter(|c| container.is_none_or(|name| c.name == name))
                    .filter_map(|c| Target::of(task, c))
            })
            .collect()
    }
}

/// The container of a task to run a command in: the one that is named, else the only one, else the only essential one.
///
/// # Errors
/// There is none of that name, or no single one to choose, or it does not run.
pub fn exec_target(
    state: &State,
    cluster: &ClusterName,
    id: &TaskId,
    container: Option<&str>,
) -> Result<Target, Refused> {
    let task = state
        .task(cluster, id)
        .ok_or_else(|| Refused::not_found(format!("there is no task {id}")))?;
    let spec = state.specs.get(&task.record.spec).map(AsRef::as_ref);
    let all = containers(task, spec);
    let names = || {
        all.iter()
            .map(|c| c.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let essential = |c: &&ContainerStatus| {
        spec.and_then(|spec| spec.container(&c.name))
            .is_some_and(|declared| declared.essential)
    };
    let chosen = match container {
        Some(name) => all.iter().find(|c| c.name == name).ok_or_else(|| {
            Refused::not_found(format!(
                "task {} has no container {name}; it has {}",
                id.short(),
                names()
            ))
        })?,
        None => {
            let one = |found: Vec<&'_ ContainerStatus>| match found.as_slice() {
                [only] => Some((*only).clone()),
                _ => None,
            };
            &one(all.iter().collect())
                .or_else(|| one(all.iter().filter(essential).collect()))
                .ok_or_else(|| {
                    Refused::new(
                        StatusCode::CONFLICT,
                        format!(
                            "task {} has several containers: {}; say which with --container",
                            id.short(),
                            names()
                        ),
                    )
                })?
        }
    };
    let target = Target::of(task, chosen)
        .filter(|_| crate::api::shapes::task::container_status(chosen.last_status) == "RUNNING");
    target.ok_or_else(|| {
        Refused::new(
            StatusCode::CONFLICT,
            format!(
                "container {} of task {} does not run: it is {}",
                chosen.name,
                id.short(),
                crate::api::shapes::task::container_status(chosen.last_status)
            ),
        )
    })
}
