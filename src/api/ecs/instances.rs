//! ListContainerInstances, DescribeContainerInstances.

use serde::Deserialize;
use serde_json::json;

use crate::api::shapes::{ContainerInstance, Failure};
use crate::model::arn::{self, Named};
use crate::model::{InstanceDesired, InstanceId};
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
