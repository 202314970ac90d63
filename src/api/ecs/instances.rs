//! ListContainerInstances, DescribeContainerInstances, UpdateContainerInstancesState.

use serde::Deserialize;
use serde_json::json;

use crate::api::context::ApiContext;
use crate::api::shapes::{ContainerInstance, Failure};
use crate::controller::DrainError;
use crate::model::arn::{self, Named};
use crate::model::{Asked, InstanceDesired, InstanceId};
use crate::store::State;

use super::page::PageRequest;
use super::{EcsError, EcsResult, check_length, cluster_of, includes};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct List {
    cluster: Option<String>,
    filter: Option<String>,
    status: Option<String>,
    #[serde(flatten)]
    page: PageRequest,
}

pub(super) fn list(state: &State, request: &List) -> EcsResult {
    let cluster = cluster_of(state, request.cluster.as_deref())?;
    if request.filter.as_deref().is_some_and(|f| !f.is_empty()) {
        return Err(EcsError::unsupported(
            "Longshore does not read cluster query expressions here; list without a filter",
        ));
    }
    let wanted = match request.status.as_deref() {
        None => None,
        Some("ACTIVE") => Some(Some(InstanceDesired::Active)),
        Some("DRAINING") => Some(Some(InstanceDesired::Draining)),
        // An instance is one of the two from the moment it is registered until it is gone.
        Some("REGISTERING" | "DEREGISTERING" | "REGISTRATION_FAILED") => Some(None),
        Some(other) => {
            return Err(EcsError::invalid_parameter(format!(
                "container instances have no status {other:?}"
            )));
        }
    };
    let arns = state
        .instances_of_cluster(&cluster)
        .filter(|(_, entry)| entry.instance.is_some())
        .filter(|(_, entry)| {
            let desired = entry.desired.as_ref().map(|d| *d.value).unwrap_or_default();
            wanted.is_none_or(|wanted| wanted == Some(desired))
        })
        .map(|(id, _)| arn::container_instance(&cluster, id))
        .collect();
    let page = request.page.page(arns, 100)?;
    Ok(json!({"containerInstanceArns": page.items, "nextToken": page.next_token}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Describe {
    cluster: Option<String>,
    container_instances: Vec<String>,
    include: Vec<String>,
}

pub(super) fn describe(state: &State, request: &Describe) -> EcsResult {
    let cluster = cluster_of(state, request.cluster.as_deref())?;
    check_length("Container instances", &request.container_instances, 100)?;
    let with_tags = includes(&request.include, "TAGS");
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in &request.container_instances {
        let named = Named::parse(text);
        let id = InstanceId::new(named.name);
        let instance = named
            .fits("container-instance", &cluster)
            .then(|| state.instance(&cluster, &id))
            .flatten()
            .and_then(|entry| ContainerInstance::of(state, &cluster, &id, entry, with_tags));
        match instance {
            Some(instance) => found.push(instance),
            None => failures.push(Failure::missing(arn::container_instance(&cluster, &id))),
        }
    }
    Ok(json!({"containerInstances": found, "failures": failures}))
}

/// Most instances that one request may name (ECS).
const MOST_UPDATED: usize = 10;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Update {
    cluster: Option<String>,
    container_instances: Vec<String>,
    status: String,
    /// Who asks; Longshore's own, like the next.
    asked_by: Option<String>,
    /// Why.
    reason: Option<String>,
}

/// ACTIVE or DRAINING, until the cluster's manifest says something new about the instance.
pub(super) async fn update(context: &ApiContext, request: &Update) -> EcsResult {
    let cluster = cluster_of(&context.view.read(), request.cluster.as_deref())?;
    check_length(
        "Container instances",
        &request.container_instances,
        MOST_UPDATED,
    )?;
    let wanted = match request.status.as_str() {
        "ACTIVE" => InstanceDesired::Active,
        "DRAINING" => InstanceDesired::Draining,
        other => {
            return Err(EcsError::invalid_parameter(format!(
                "container instances can be made ACTIVE or DRAINING, not {other:?}"
            )));
        }
    };
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in &request.container_instances {
        let named = Named::parse(text);
        let id = InstanceId::new(named.name);
        let arn = arn::container_instance(&cluster, &id);
        if !named.fits("container-instance", &cluster) {
            failures.push(Failure::missing(arn));
            continue;
        }
        let asked = Asked {
            by: request
                .asked_by
                .clone()
                .unwrap_or_else(|| "UpdateContainerInstancesState".to_owned()),
            reason: request.reason.clone(),
            ..Asked::default()
        };
        let done = context
            .control
            .set_instance(&cluster, &id, wanted, asked)
            .await;
        match done {
            Ok(_) => {
                let state = context.view.read();
                let entry = state.instance(&cluster, &id);
                found.extend(
                    entry.and_then(|entry| {
                        ContainerInstance::of(&state, &cluster, &id, entry, false)
                    }),
                );
            }
            Err(DrainError::Unknown(_)) => failures.push(Failure::missing(arn)),
            Err(error @ DrainError::Undeclared(_)) => failures.push(Failure {
                arn,
                reason: "INACTIVE".to_owned(),
                detail: Some(error.to_string()),
            }),
            Err(error) => return Err(EcsError::server(error.to_string())),
        }
    }
    Ok(json!({"containerInstances": found, "failures": failures}))
}
