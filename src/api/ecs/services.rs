//! ListServices, DescribeServices, ListServiceDeployments, DescribeServiceDeployments.

use serde::Deserialize;
use serde_json::json;

use crate::api::shapes::deployment;
use crate::api::shapes::{
    Failure, LAUNCH_TYPE, Service, ServiceDeployment, ServiceDeploymentBrief,
};
use crate::model::arn::{self, Named};
use crate::model::{
    ClusterName, Deployment, SchedulingStrategy, ServiceName, ServiceRecord, ServiceStatus,
    Timestamp,
};
use crate::store::State;

use super::page::PageRequest;
use super::{EcsError, EcsResult, check_length, cluster_of, includes, service_of};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct List {
    cluster: Option<String>,
    launch_type: Option<String>,
    scheduling_strategy: Option<SchedulingStrategy>,
    #[serde(flatten)]
    page: PageRequest,
}

pub(super) fn list(state: &State, request: &List) -> EcsResult {
    let cluster = cluster_of(state, request.cluster.as_deref())?;
    let launched_here = request
        .launch_type
        .as_deref()
        .is_none_or(|launch| launch == LAUNCH_TYPE);
    let arns = state
        .services_of_cluster(&cluster)
        .filter(|(_, service)| {
            launched_here
                && service.status != ServiceStatus::Inactive
                && request
                    .scheduling_strategy
                    .is_none_or(|wanted| service.spec.scheduling == wanted)
        })
        .map(|(name, _)| arn::service(&cluster, name))
        .collect();
    // ECS's default here is 10, unlike that of its other lists.
    let page = request.page.page(arns, 10)?;
    Ok(json!({"serviceArns": page.items, "nextToken": page.next_token}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Describe {
    cluster: Option<String>,
    services: Vec<String>,
    include: Vec<String>,
}

pub(super) fn describe(state: &State, request: &Describe, now: Timestamp) -> EcsResult {
    let cluster = cluster_of(state, request.cluster.as_deref())?;
    check_length("Services", &request.services, 10)?;
    let with_tags = includes(&request.include, "TAGS");
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for text in &request.services {
        match service_of(state, &cluster, text) {
            Some(record) => services.push(Service::of(state, record, with_tags, now)),
            None => {
                let name = ServiceName::new(Named::parse(text).name);
                failures.push(Failure::missing(arn::service(&cluster, &name)));
            }
        }
    }
    Ok(json!({"services": services, "failures": failures}))
}

/// Bounds on when a deployment was made, both exclusive of nothing: seconds since the epoch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CreatedAt {
    after: Option<f64>,
    before: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListDeployments {
    service: String,
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    status: Vec<String>,
    #[serde(default)]
    created_at: CreatedAt,
    #[serde(flatten)]
    page: PageRequest,
}

pub(super) fn list_deployments(state: &State, request: &ListDeployments) -> EcsResult {
    let named = Named::parse(&request.service);
    let cluster = cluster_of(state, request.cluster.as_deref().or(named.cluster))?;
    let record =
        service_of(state, &cluster, &request.service).ok_or_else(EcsError::service_not_found)?;
    let wanted: Vec<&Deployment> = record
        .deployments
        .iter()
        .filter(|d| {
            let made = d.created_at.as_secs_f64();
            (request.status.is_empty() || request.status.iter().any(|s| s == deployment::status(d)))
                && request.created_at.after.is_none_or(|after| made >= after)
                && request
                    .created_at
                    .before
                    .is_none_or(|before| made <= before)
        })
        .collect();
    let arn_of = |d: &Deployment| arn::service_deployment(&cluster, &record.spec.name, &d.id);
    let page = request
        .page
        .page(wanted.iter().map(|d| arn_of(d)).collect(), 20)?;
    let briefs: Vec<_> = wanted
        .iter()
        .filter(|d| page.items.contains(&arn_of(d)))
        .map(|d| ServiceDeploymentBrief::of(record, d))
        .collect();
    Ok(json!({"serviceDeployments": briefs, "nextToken": page.next_token}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DescribeDeployments {
    service_deployment_arns: Vec<String>,
}

pub(super) fn describe_deployments(
    state: &State,
    request: &DescribeDeployments,
    now: Timestamp,
) -> EcsResult {
    check_length(
        "ServiceDeploymentArns",
        &request.service_deployment_arns,
        20,
    )?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in &request.service_deployment_arns {
        match find_deployment(state, text) {
            Some((record, deployment)) => {
                found.push(ServiceDeployment::of(state, record, deployment, now));
            }
            None => failures.push(Failure::missing(text.clone())),
        }
    }
    Ok(json!({"serviceDeployments": found, "failures": failures}))
}

fn find_deployment<'a>(
    state: &'a State,
    text: &str,
) -> Option<(&'a ServiceRecord, &'a Deployment)> {
    let named = Named::parse(text);
    if named.kind != Some("service-deployment") {
        return None;
    }
    let (service, number) = named.name.split_once('/')?;
    let record = state.service(
        &ClusterName::new(named.cluster?),
        &ServiceName::new(service),
    )?;
    let deployment = record
        .deployments
        .iter()
        .find(|d| arn::deployment_number(&d.id) == number)?;
    Some((record, deployment))
}
