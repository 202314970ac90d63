//! ListServices, DescribeServices, ListServiceDeployments, DescribeServiceDeployments, DescribeServiceRevisions, and a bare
//! `forceNewDeployment`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::context::ApiContext;
use crate::api::shapes::deployment::{self, ServiceRevisionShape, Told};
use crate::api::shapes::{
    Failure, LAUNCH_TYPE, Service, ServiceDeployment, ServiceDeploymentBrief,
};
use crate::controller::RolloutError;
use crate::model::arn::{self, Named};
use crate::model::{
    Asked, ClusterName, RolloutVerb, SchedulingStrategy, ServiceName, ServiceRecord, ServiceStatus,
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

/// UpdateService, where it asks for nothing but new tasks of what runs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Restart {
    cluster: Option<String>,
    service: String,
}

/// Whether an UpdateService changes nothing that a manifest says.
pub(super) fn only_restarts(input: &Value) -> bool {
    let known = ["cluster", "service", "forceNewDeployment"];
    input["forceNewDeployment"] == true
        && input
            .as_object()
            .is_some_and(|members| members.keys().all(|name| known.contains(&name.as_str())))
}

pub(super) async fn restart(context: &ApiContext, request: &Restart) -> EcsResult {
    let key = {
        let state = context.view.read();
        let named = Named::parse(&request.service);
        let cluster = cluster_of(&state, request.cluster.as_deref().or(named.cluster))?;
        let record = service_of(&state, &cluster, &request.service)
            .ok_or_else(EcsError::service_not_found)?;
        (cluster, record.spec.name.clone())
    };
    let asked = Asked {
        by: "UpdateService".to_owned(),
        ..Asked::default()
    };
    let done = context
        .control
        .rollout(&key.0, &key.1, &RolloutVerb::Restart, asked)
        .await;
    done.map_err(|error| match error {
        RolloutError::NoSuchService(..) => EcsError::service_not_found(),
        RolloutError::NotNow(why) | RolloutError::NoSuchRevision(why) => {
            EcsError::invalid_parameter(why)
        }
        other => EcsError::server(other.to_string()),
    })?;
    let state = context.view.read();
    let record = state
        .services
        .get(&key)
        .ok_or_else(EcsError::service_not_found)?;
    let service = Service::of(&state, record, false, context.clock.now());
    Ok(json!({"service": service}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StopDeployment {
    service_deployment_arn: String,
    stop_type: Option<String>,
}

/// Goes back from a deployment that is under way to what was completed last.
pub(super) async fn stop_deployment(context: &ApiContext, request: &StopDeployment) -> EcsResult {
    match request.stop_type.as_deref() {
        None | Some("ROLLBACK") => {}
        Some("ABORT") => {
            return Err(EcsError::unsupported(
                "a service that is neither rolled out nor back would not be what its manifest says; use stopType ROLLBACK, or \
                 `longshore rollout pause SERVICE`",
            ));
        }
        Some(other) => {
            return Err(EcsError::invalid_parameter(format!(
                "deployments can be stopped by ROLLBACK, not by {other:?}"
            )));
        }
    }
    let arn = &request.service_deployment_arn;
    let (cluster, service, deployment) = {
        let state = context.view.read();
        let (record, told) = find_deployment(&state, "service-deployment", arn)
            .ok_or_else(EcsError::service_deployment_not_found)?;
        let spec = &record.spec;
        (spec.cluster.clone(), spec.name.clone(), told.id.clone())
    };
    let asked = Asked {
        by: "StopServiceDeployment".to_owned(),
        ..Asked::default()
    };
    let verb = RolloutVerb::Stop { deployment };
    let done = context
        .control
        .rollout(&cluster, &service, &verb, asked)
        .await;
    done.map_err(|error| match error {
        RolloutError::NoSuchService(..) => EcsError::service_deployment_not_found(),
        RolloutError::NotNow(why) | RolloutError::NoSuchRevision(why) => EcsError::conflict(why),
        other => EcsError::server(other.to_string()),
    })?;
    Ok(json!({"serviceDeploymentArn": arn}))
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
    let all = deployment::all(record);
    let wanted: Vec<&Told<'_>> = all
        .iter()
        .filter(|d| {
            let made = d.created_at.as_secs_f64();
            (request.status.is_empty() || request.status.iter().any(|s| s == d.status.as_str()))
                && request.created_at.after.is_none_or(|after| made >= after)
                && request
                    .created_at
                    .before
                    .is_none_or(|before| made <= before)
        })
        .collect();
    let arn_of = |d: &Told<'_>| arn::service_deployment(&cluster, &record.spec.name, d.id);
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
        match find_deployment(state, "service-deployment", text) {
            Some((record, told)) => {
                found.push(ServiceDeployment::of(state, record, &told, now));
            }
            None => failures.push(Failure::missing(text.clone())),
        }
    }
    Ok(json!({"serviceDeployments": found, "failures": failures}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DescribeRevisions {
    service_revision_arns: Vec<String>,
}

pub(super) fn describe_revisions(state: &State, request: &DescribeRevisions) -> EcsResult {
    check_length("ServiceRevisionArns", &request.service_revision_arns, 20)?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in &request.service_revision_arns {
        match find_deployment(state, "service-revision", text) {
            Some((record, told)) => found.push(ServiceRevisionShape::of(state, record, &told)),
            None => failures.push(Failure::missing(text.clone())),
        }
    }
    Ok(json!({"serviceRevisions": found, "failures": failures}))
}

/// The deployment that an ARN of that kind is about: a service deployment and what it rolls out have the same number.
fn find_deployment<'a>(
    state: &'a State,
    kind: &str,
    text: &str,
) -> Option<(&'a ServiceRecord, Told<'a>)> {
    let named = Named::parse(text);
    if named.kind != Some(kind) {
        return None;
    }
    let (service, number) = named.name.split_once('/')?;
    let record = state.service(
        &ClusterName::new(named.cluster?),
        &ServiceName::new(service),
    )?;
    let mut all = deployment::all(record).into_iter();
    let told = all.find(|told| arn::deployment_number(told.id) == number)?;
    Some((record, told))
}
