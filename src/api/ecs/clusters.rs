//! ListClusters, DescribeClusters, ListTagsForResource.

use serde::Deserialize;
use serde_json::json;

use crate::api::shapes::cluster::{Include, names};
use crate::api::shapes::{Cluster, Failure, tags, task_definition};
use crate::model::arn::{self, Named};
use crate::model::{ClusterName, TaskId};
use crate::store::State;

use super::page::PageRequest;
use super::{EcsError, EcsResult, check_length, includes, service_of};

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(flatten)]
    page: PageRequest,
}

pub(super) fn list(state: &State, request: &List) -> EcsResult {
    let arns = names(state).iter().map(arn::cluster).collect();
    let page = request.page.page(arns, 100)?;
    Ok(json!({"clusterArns": page.items, "nextToken": page.next_token}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Describe {
    clusters: Vec<String>,
    include: Vec<String>,
}

pub(super) fn describe(state: &State, request: &Describe) -> EcsResult {
    let default = [ClusterName::default().to_string()];
    let asked = if request.clusters.is_empty() {
        &default[..]
    } else {
        &request.clusters
    };
    check_length("Clusters", asked, 100)?;
    let include = Include {
        statistics: includes(&request.include, "STATISTICS"),
        tags: includes(&request.include, "TAGS"),
    };
    let known = names(state);
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for text in asked {
        let named = Named::parse(text);
        let name = ClusterName::new(named.name);
        if named.kind.is_none_or(|kind| kind == "cluster") && known.contains(&name) {
            clusters.push(Cluster::of(state, &name, include));
        } else {
            failures.push(Failure::missing(arn::cluster(&name)));
        }
    }
    Ok(json!({"clusters": clusters, "failures": failures}))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTags {
    resource_arn: String,
}

pub(super) fn list_tags(state: &State, request: &ListTags) -> EcsResult {
    let named = Named::parse(&request.resource_arn);
    let cluster = ClusterName::new(named.cluster.unwrap_or("default"));
    let found = match named.kind {
        Some("cluster") => {
            let name = ClusterName::new(named.name);
            names(state).contains(&name).then(|| {
                state
                    .clusters
                    .get(&name)
                    .map(|spec| tags(&spec.tags))
                    .unwrap_or_default()
            })
        }
        Some("service") => service_of(state, &cluster, &request.resource_arn)
            .map(|service| tags(&service.spec.tags)),
        Some("task-definition") => {
            super::definitions::find(state, named.name).map(task_definition::tags)
        }
        Some("task") => state
            .task(&cluster, &TaskId::new(named.name))
            .map(crate::api::shapes::task::tags_of),
        Some("container-instance") => state
            .instance(&cluster, &named.name.into())
            .map(|_| Vec::new()),
        _ => {
            return Err(EcsError::invalid_parameter(format!(
                "{:?} is no ARN of a resource that has tags",
                request.resource_arn
            )));
        }
    };
    let tags = found.ok_or_else(EcsError::resource_not_found)?;
    Ok(json!({"tags": tags}))
}
