//! ECS's API: JSON 1.1, an operation a request, named in `X-Amz-Target`.
//!
//! Reading operations answer from the store's view. Of the writing ones RunTask, StopTask, UpdateTaskProtection,
//! UpdateContainerInstancesState and a bare `forceNewDeployment` are honoured; the others are refused with the file to edit, because the folder is the truth. A name is taken wherever ECS takes an ARN or a name.

mod clusters;
mod definitions;
mod error;
mod instances;
mod page;
mod protection;
mod refuse;
mod run;
mod services;
mod tasks;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::arn::Named;
use crate::model::{ClusterName, ServiceName, ServiceRecord};
use crate::store::{State, Stored};

use super::context::ApiContext;
use super::shapes::cluster::names;

pub use error::EcsError;

/// The part of `X-Amz-Target` before the operation.
pub const TARGET_PREFIX: &str = "AmazonEC2ContainerServiceV20141113.";
/// The content type of requests and answers.
pub const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// An operation's answer.
pub type EcsResult = Result<Value, EcsError>;

/// Answers one operation.
pub async fn dispatch(context: &ApiContext, operation: &str, body: &[u8]) -> EcsResult {
    let input = read_body(body)?;
    match operation {
        "RunTask" => return run::run(context, read(input)?).await,
        "StopTask" => return tasks::stop(context, read(input)?).await,
        "GetTaskProtection" => return protection::get(context, &read(input)?),
        "UpdateService" if services::only_restarts(&input) => {
            return services::restart(context, &read(input)?).await;
        }
        "StopServiceDeployment" => {
            return services::stop_deployment(context, &read(input)?).await;
        }
        "UpdateContainerInstancesState" => {
            return instances::update(context, &read(input)?).await;
        }
        "UpdateTaskProtection" => return protection::update(context, &read(input)?).await,
        _ => {}
    }
    let now = context.clock.now();
    let state = context.view.read();
    let state = &*state;
    match operation {
        "ListClusters" => clusters::list(state, &read(input)?),
        "DescribeClusters" => clusters::describe(state, &read(input)?),
        "ListServices" => services::list(state, &read(input)?),
        "DescribeServices" => services::describe(state, &read(input)?, now),
        "ListServiceDeployments" => services::list_deployments(state, &read(input)?),
        "DescribeServiceDeployments" => services::describe_deployments(state, &read(input)?, now),
        "DescribeServiceRevisions" => services::describe_revisions(state, &read(input)?),
        "ListTasks" => tasks::list(state, &read(input)?),
        "DescribeTasks" => tasks::describe(state, &read(input)?),
        "ListTaskDefinitions" => definitions::list(state, &read(input)?),
        "ListTaskDefinitionFamilies" => definitions::list_families(state, &read(input)?),
        "DescribeTaskDefinition" => definitions::describe(state, &read(input)?),
        "ListContainerInstances" => instances::list(state, &read(input)?),
        "DescribeContainerInstances" => instances::describe(state, &read(input)?),
        "ListTagsForResource" => clusters::list_tags(state, &read(input)?),
        other => Err(refuse::refusal(
            state,
            &context.identity.folder,
            other,
            &input,
        )),
    }
}

fn read_body(body: &[u8]) -> EcsResult {
    if body.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_slice(body) {
        Ok(input @ Value::Object(_)) => Ok(input),
        Ok(_) => Err(EcsError::serialization("the request is not a JSON object")),
        Err(error) => Err(EcsError::serialization(format!(
            "the request is not JSON: {error}"
        ))),
    }
}

fn read<T: DeserializeOwned>(input: Value) -> Result<T, EcsError> {
    serde_json::from_value(input).map_err(|error| EcsError::serialization(error.to_string()))
}

/// The cluster that a request means: by name or ARN, `default` when it names none.
fn cluster_of(state: &State, cluster: Option<&str>) -> Result<ClusterName, EcsError> {
    let name = match cluster.filter(|text| !text.is_empty()) {
        None => ClusterName::default(),
        Some(text) => {
            let named = Named::parse(text);
            if named.kind.is_some_and(|kind| kind != "cluster") {
                return Err(EcsError::invalid_parameter(format!("{text} is no cluster")));
            }
            ClusterName::new(named.name)
        }
    };
    if names(state).contains(&name) {
        Ok(name)
    } else {
        Err(EcsError::cluster_not_found())
    }
}

/// The service of that name or ARN in a cluster.
fn service_of<'a>(
    state: &'a State,
    cluster: &ClusterName,
    service: &str,
) -> Option<&'a Stored<ServiceRecord>> {
    let named = Named::parse(service);
    if !named.fits("service", cluster) {
        return None;
    }
    state.service(cluster, &ServiceName::new(named.name))
}

/// Refuses an empty list and one that is longer than the operation takes.
fn check_length(what: &str, items: &[String], most: usize) -> Result<(), EcsError> {
    if items.is_empty() {
        return Err(EcsError::invalid_parameter(format!(
            "{what} cannot be empty."
        )));
    }
    if items.len() > most {
        return Err(EcsError::invalid_parameter(format!(
            "{what}: {} are more than the {most} that one request may name.",
            items.len()
        )));
    }
    Ok(())
}

/// Whether `include` holds this word.
fn includes(include: &[String], word: &str) -> bool {
    include.iter().any(|entry| entry == word)
}
