//! RunTask.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::context::ApiContext;
use crate::api::kinds::nearest;
use crate::api::shapes::{Failure, Task};
use crate::controller::{RunError, RunOutcome, RunRequest};
use crate::manifest::quantity::{cpu_units, memory_mib};
use crate::manifest::resolve::{definition_reference, gpus, placement_strategy, shares};
use crate::manifest::types::{self as raw, ResourceRequirement, ResourceType};
use crate::model::{
    ClusterName, ContainerOverride, Family, PlacementConstraint, PlacementStrategy, ProviderShare,
    Query, TaskOverrides, arn,
};

use super::{EcsError, EcsResult, cluster_of};

/// Most tasks of one request (ECS).
const MOST: i64 = 10;
/// Most placement constraints (ECS).
const MOST_CONSTRAINTS: usize = 10;
/// Most placement strategies (ECS).
const MOST_STRATEGIES: usize = 5;
/// Most capacity providers of a strategy (ECS).
const MOST_PROVIDERS: usize = 20;
/// Most characters of `overrides` as JSON (ECS).
const LONGEST_OVERRIDES: usize = 8192;

/// The request. A member that is not here is an error that names it: what is silently left out is not what was asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Run {
    task_definition: String,
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    count: Option<i64>,
    #[serde(default)]
    overrides: Value,
    #[serde(default)]
    client_token: Option<String>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    started_by: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    propagate_tags: Option<String>,
    #[serde(default)]
    placement_constraints: Vec<raw::PlacementConstraint>,
    #[serde(default)]
    placement_strategy: Vec<raw::PlacementStrategy>,
    #[serde(default)]
    capacity_provider_strategy: Vec<raw::CapacityProviderStrategyItem>,
    #[serde(default)]
    volume_configurations: Vec<Value>,
    #[serde(default)]
    launch_type: Option<String>,
    // As in a Service manifest these have no effect here.
    #[serde(default, rename = "networkConfiguration")]
    _network_configuration: Option<Value>,
    #[serde(default, rename = "platformVersion")]
    _platform_version: Option<String>,
    #[serde(default, rename = "enableECSManagedTags")]
    _managed_tags: Option<bool>,
    #[serde(default, rename = "enableExecuteCommand")]
    _execute_command: Option<bool>,
    #[serde(default, rename = "referenceId")]
    _reference_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Overrides {
    container_overrides: Vec<OfContainer>,
    cpu: Option<String>,
    memory: Option<String>,
    inference_accelerator_overrides: Vec<Value>,
    // As in a task definition these have no effect here.
    #[serde(rename = "executionRoleArn")]
    _execution_role: Option<String>,
    #[serde(rename = "taskRoleArn")]
    _task_role: Option<String>,
    #[serde(rename = "ephemeralStorage")]
    _ephemeral_storage: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfContainer {
    name: String,
    #[serde(default)]
    command: Option<Vec<String>>,
    #[serde(default)]
    environment: Vec<Variable>,
    #[serde(default)]
    environment_files: Vec<Value>,
    #[serde(default)]
    resource_requirements: Vec<ResourceRequirement>,
    #[serde(default)]
    cpu: Option<u32>,
    #[serde(default)]
    memory: Option<u32>,
    #[serde(default)]
    memory_reservation: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
}

fn invalid(message: impl Into<String>) -> EcsError {
    EcsError::invalid_parameter(message)
}

impl Run {
    /// The request as the controller takes it.
    fn read(self, cluster: ClusterName) -> Result<RunRequest, EcsError> {
        self.refuse()?;
        let (family, revision) = definition_reference(&self.task_definition).ok_or_else(|| {
            invalid(format!(
                "taskDefinition is {:?}; it is a family, family:revision, or the ARN of one",
                self.task_definition
            ))
        })?;
        let count = self.count.unwrap_or(1);
        if !(1..=MOST).contains(&count) {
            return Err(invalid(format!("count is {count}; it is 1 to {MOST}")));
        }
        let overrides = overrides(self.overrides)?;
        check_text("startedBy", self.started_by.as_deref(), 128)?;
        check_text("group", self.group.as_deref(), 255)?;
        check_text("clientToken", self.client_token.as_deref(), 64)?;
        if self
            .group
            .as_deref()
            .is_some_and(|group| group.starts_with("service:"))
        {
            return Err(invalid(
                "group begins with service:, which only the tasks of a service have",
            ));
        }
        Ok(RunRequest {
            cluster,
            family,
            revision,
            count: u32::try_from(count).unwrap_or(1),
            group: self.group.filter(|group| !group.is_empty()),
            started_by: self.started_by.filter(|by| !by.is_empty()),
            token: self.client_token.filter(|token| !token.is_empty()),
            overrides,
            tags: tags(self.tags)?,
            propagate_tags: self.propagate_tags.as_deref() == Some("TASK_DEFINITION"),
            constraints: constraints(&self.placement_constraints)?,
            strategy: strategies(&self.placement_strategy)?,
            providers: providers(&self.capacity_provider_strategy, &self.launch_type)?,
            names_launch_type: self.launch_type.is_some(),
        })
    }

    /// Refuses by name what is not done here.
    fn refuse(&self) -> Result<(), EcsError> {
        let refused = |member: &str, why: &str| {
            Err(EcsError::unsupported(format!("RunTask: {member}: {why}")))
        };
        if !self.volume_configurations.is_empty() {
            return refused("volumeConfigurations", "there is no EBS here");
        }
        if self.launch_type.as_deref() == Some("MANAGED_INSTANCES") {
            return refused(
                "launchType",
                "managed instances exist on AWS only; write EC2",
            );
        }
        match self.propagate_tags.as_deref() {
            None | Some("NONE" | "TASK_DEFINITION") => Ok(()),
            Some(other) => Err(invalid(format!(
                "propagateTags is {other:?}; a task of no service takes TASK_DEFINITION or NONE"
            ))),
        }
    }
}

fn constraints(written: &[raw::PlacementConstraint]) -> Result<Vec<PlacementConstraint>, EcsError> {
    let wrong = |why: &str| invalid(format!("placementConstraints: {why}"));
    if written.len() > MOST_CONSTRAINTS {
        return Err(wrong(&format!("at most {MOST_CONSTRAINTS}")));
    }
    let read = |constraint: &raw::PlacementConstraint| match (
        constraint.kind,
        constraint.expression.as_deref(),
    ) {
        (Some(raw::PlacementConstraintType::DistinctInstance), None) => {
            Ok(PlacementConstraint::DistinctInstance)
        }
        (Some(raw::PlacementConstraintType::DistinctInstance), Some(_)) => {
            Err(wrong("distinctInstance takes no expression"))
        }
        (Some(raw::PlacementConstraintType::MemberOf), Some(text)) => {
            let query = Query::new(text);
            match query.expr() {
                Ok(_) => Ok(PlacementConstraint::MemberOf(query)),
                Err(error) if error.help.is_empty() => Err(wrong(&format!("expression: {error}"))),
                Err(error) => Err(wrong(&format!("expression: {error}; {}", error.help))),
            }
        }
        (Some(raw::PlacementConstraintType::MemberOf), None) => {
            Err(wrong("memberOf needs an expression"))
        }
        (None, _) => Err(wrong("type is missing")),
    };
    written.iter().map(read).collect()
}

fn strategies(written: &[raw::PlacementStrategy]) -> Result<Vec<PlacementStrategy>, EcsError> {
    if written.len() > MOST_STRATEGIES {
        return Err(invalid(format!(
            "placementStrategy: at most {MOST_STRATEGIES}"
        )));
    }
    let read = |strategy: &raw::PlacementStrategy| {
        placement_strategy(strategy).ok_or_else(|| {
            invalid(
                "placementStrategy: type is random, spread (field: instanceId, host or attribute:NAME) or binpack (field: cpu or \
                 memory)",
            )
        })
    };
    written.iter().map(read).collect()
}

fn providers(
    written: &[raw::CapacityProviderStrategyItem],
    launch_type: &Option<String>,
) -> Result<Vec<ProviderShare>, EcsError> {
    let wrong = |why: &str| Err(invalid(format!("capacityProviderStrategy: {why}")));
    let shares = shares(written);
    let beyond = |share: &ProviderShare| share.weight > 1000 || share.base > 100_000;
    if shares.len() > MOST_PROVIDERS {
        return wrong(&format!("at most {MOST_PROVIDERS}"));
    }
    if !shares.is_empty() && launch_type.is_some() {
        return wrong("it and launchType exclude each other; remove one of the two");
    }
    if shares.iter().any(beyond) {
        return wrong("a weight is 0 to 1000, a base 0 to 100000");
    }
    if shares.iter().filter(|share| share.base > 0).count() > 1 {
        return wrong("only one capacity provider may have a base");
    }
    if shares.len() > 1 && shares.iter().all(|share| share.weight == 0) {
        return wrong("at least one has a weight above 0");
    }
    Ok(shares)
}

fn check_text(member: &str, text: Option<&str>, most: usize) -> Result<(), EcsError> {
    let Some(text) = text else { return Ok(()) };
    if text.chars().count() > most || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid(format!(
            "{member} is {text:?}; it is up to {most} letters, digits and signs, with no space"
        )));
    }
    Ok(())
}

fn tags(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, EcsError> {
    let count = tags.len();
    let all: BTreeMap<String, String> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    if count > 50 || all.len() < count {
        return Err(invalid("tags: at most 50, each key once"));
    }
    let bad = all.iter().find(|(key, value)| {
        !(1..=128).contains(&key.chars().count())
            || value.chars().count() > 256
            || key.to_ascii_lowercase().starts_with("aws:")
    });
    match bad {
        Some((key, _)) => Err(invalid(format!(
            "tags: {key:?}: a key has 1 to 128 characters and does not begin with aws:, a value has up to 256"
        ))),
        None => Ok(all),
    }
}

fn overrides(written: Value) -> Result<TaskOverrides, EcsError> {
    if written.is_null() {
        return Ok(TaskOverrides::default());
    }
    let length = written.to_string().chars().count();
    if length > LONGEST_OVERRIDES {
        return Err(invalid(format!(
            "overrides: {length} characters are more than the {LONGEST_OVERRIDES} that they may have as JSON"
        )));
    }
    let read: Overrides = serde_json::from_value(written)
        .map_err(|error| EcsError::serialization(format!("overrides: {error}")))?;
    if !read.inference_accelerator_overrides.is_empty() {
        return Err(EcsError::unsupported(
            "RunTask: overrides.inferenceAcceleratorOverrides: there are no such devices here",
        ));
    }
    let amount = |member: &str, text: Option<String>, read: fn(&str) -> Option<u32>| match text {
        None => Ok(None),
        Some(text) => match read(&text) {
            Some(amount) => Ok(Some(amount)),
            None => Err(invalid(format!(
                "overrides.{member} is {text:?}; it is a number, or `1 vCPU`, `2 GB`"
            ))),
        },
    };
    Ok(TaskOverrides {
        containers: read
            .container_overrides
            .into_iter()
            .map(OfContainer::read)
            .collect::<Result<_, _>>()?,
        cpu: amount("cpu", read.cpu, cpu_units)?,
        memory: amount("memory", read.memory, memory_mib)?,
    })
}

impl OfContainer {
    fn read(self) -> Result<ContainerOverride, EcsError> {
        let name = &self.name;
        let refused = |what: &str| {
            Err(EcsError::unsupported(format!(
                "RunTask: overrides of container {name}: {what}; write it into the task definition"
            )))
        };
        if !self.environment_files.is_empty() {
            return refused("environmentFiles cannot be overridden here");
        }
        let gpus = gpus(&self.resource_requirements);
        let only_gpus = |wanted: &ResourceRequirement| {
            wanted.kind == ResourceType::Gpu && wanted.sharing_strategy.is_none()
        };
        if !self.resource_requirements.iter().all(only_gpus)
            || (gpus.is_none() && !self.resource_requirements.is_empty())
        {
            return refused("resourceRequirements can only be GPUs, so many or ALL");
        }
        if let Some(bad) = self
            .environment
            .iter()
            .find(|v| v.name.is_empty() || v.name.contains(['=', '\0']) || v.value.contains('\0'))
        {
            return Err(invalid(format!(
                "overrides of container {name}: {:?} cannot be a variable's name",
                bad.name
            )));
        }
        Ok(ContainerOverride {
            command: self.command,
            environment: self
                .environment
                .into_iter()
                .map(|variable| (variable.name, variable.value))
                .collect(),
            cpu: self.cpu,
            memory: self.memory,
            memory_reservation: self.memory_reservation,
            gpus,
            name: self.name,
        })
    }
}

pub(super) async fn run(context: &ApiContext, request: Run) -> EcsResult {
    let cluster = cluster_of(&context.view.read(), request.cluster.as_deref())?;
    let request = request.read(cluster)?;
    let outcome = context.control.run_task(&request).await;
    let outcome = outcome.map_err(refusal)?;
    // A view that was stopped answers with what it has; the process is ending.
    let _ = context.view.caught_up(outcome.revision).await;
    let state = context.view.read();
    let tasks: Vec<Task> = outcome
        .tasks
        .iter()
        .filter_map(|id| state.task(&request.cluster, id))
        .map(|task| Task::of(&state, task, true))
        .collect();
    Ok(json!({"tasks": tasks, "failures": failures(&request, &outcome)}))
}

/// A task that finds no place is no exception (semantics §4.38): one failure an instance, with what it lacks.
fn failures(request: &RunRequest, outcome: &RunOutcome) -> Vec<Failure> {
    outcome
        .refusals
        .iter()
        .map(|refusal| Failure {
            arn: arn::container_instance(&request.cluster, &refusal.instance),
            reason: refusal.reason.to_owned(),
            detail: Some(format!(
                "{} {} of {} tasks were not placed.",
                refusal.detail, outcome.missing, request.count
            )),
        })
        .collect()
}

fn refusal(error: RunError) -> EcsError {
    let message = error.to_string();
    match error {
        RunError::Unknown(name, families) => {
            let family = name.split(':').next().unwrap_or(&name);
            let known = families.iter().map(Family::as_str);
            let hint = nearest(family, known)
                .filter(|near| *near != family)
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            EcsError::client(format!("TaskDefinition not found: {message}{hint}"))
        }
        RunError::Inactive(_) => EcsError::client(message),
        RunError::NoInstances | RunError::Overrides(_) => EcsError::invalid_parameter(message),
        RunError::TokenReused(_) => EcsError::conflict(message),
        RunError::NotReady | RunError::Store(_) | RunError::Ending => EcsError::server(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Gpus;

    fn read(body: Value) -> Result<RunRequest, String> {
        let run: Run = serde_json::from_value(body).map_err(|error| error.to_string())?;
        run.read(ClusterName::default())
            .map_err(|error| format!("{}: {}", error.kind, error.message))
    }

    #[test]
    fn a_request_is_read_with_ecs_defaults() {
        let request = read(json!({"taskDefinition": "job"})).unwrap();
        assert_eq!((request.count, request.revision), (1, None));
        assert_eq!(request.group(), "family:job");
        assert!(request.overrides.is_empty());
        let arn = "arn:aws:ecs:local:000000000000:task-definition/job:7";
        let request = read(json!({
            "taskDefinition": arn, "count": 10, "group": "nightly", "startedBy": "cron", "clientToken": "t",
            "tags": [{"key": "a", "value": "b"}], "propagateTags": "TASK_DEFINITION", "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}, "enableExecuteCommand": true,
            "placementConstraints": [{"type": "distinctInstance"}, {"type": "memberOf", "expression": "attribute:a exists"}],
            "placementStrategy": [{"type": "binpack", "field": "memory"}],
            "overrides": {"cpu": "1 vCPU", "memory": "512", "taskRoleArn": "arn:aws:iam::1:role/x",
                "containerOverrides": [{"name": "main", "command": ["true"], "environment": [{"name": "A", "value": "b"}],
                    "resourceRequirements": [{"type": "GPU", "value": "2"}]}]}
        }))
        .unwrap();
        assert_eq!((request.count, request.revision), (10, Some(7)));
        assert_eq!(request.group(), "nightly");
        let constraints = [
            PlacementConstraint::DistinctInstance,
            PlacementConstraint::MemberOf(Query::new("attribute:a exists")),
        ];
        assert_eq!(request.constraints, constraints);
        let memory = PlacementStrategy::Binpack(crate::model::BinpackField::Memory);
        assert_eq!(request.strategy, [memory]);
        assert!(request.propagate_tags);
        assert_eq!(request.overrides.cpu, Some(1024));
        let main = &request.overrides.containers[0];
        assert_eq!(main.environment, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(main.gpus, Some(Gpus::Count(2)));
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused_by_its_name() {
        for (member, value, exception) in [
            ("count", json!(11), "InvalidParameterException"),
            ("count", json!(0), "InvalidParameterException"),
            ("taskDefinition", json!("a b"), "InvalidParameterException"),
            (
                "clientToken",
                json!("x".repeat(65)),
                "InvalidParameterException",
            ),
            ("group", json!("service:web"), "InvalidParameterException"),
            (
                "propagateTags",
                json!("SERVICE"),
                "InvalidParameterException",
            ),
            (
                "tags",
                json!([{"key": "aws:x"}]),
                "InvalidParameterException",
            ),
            (
                "placementConstraints",
                json!([{"type": "memberOf", "expression": "attribute:a = b"}]),
                "InvalidParameterException",
            ),
            (
                "placementStrategy",
                json!([{"type": "spread", "field": "rack"}]),
                "InvalidParameterException",
            ),
            (
                "capacityProviderStrategy",
                json!([{"capacityProvider": "x", "base": 1}, {"capacityProvider": "y", "base": 1}]),
                "InvalidParameterException",
            ),
            (
                "volumeConfigurations",
                json!([{"name": "x"}]),
                "UnsupportedFeatureException",
            ),
            (
                "launchType",
                json!("MANAGED_INSTANCES"),
                "UnsupportedFeatureException",
            ),
        ] {
            let mut body = json!({"taskDefinition": "job"});
            body[member] = value;
            let error = read(body).unwrap_err();
            assert!(error.starts_with(exception), "{member}: {error}");
            assert!(error.contains(member), "{member}: {error}");
        }
        let unknown = read(json!({"taskDefinition": "job", "counts": 2})).unwrap_err();
        assert!(unknown.contains("unknown field `counts`"), "{unknown}");
    }

    #[test]
    fn overrides_have_at_most_8192_characters() {
        let of = |n: usize| {
            let over = json!({"containerOverrides": [{"name": "m", "command": ["x".repeat(n)]}]});
            (
                over.to_string().len(),
                read(json!({"taskDefinition": "job", "overrides": over})),
            )
        };
        let (frame, _) = of(0);
        let (length, fits) = of(8192 - frame);
        assert_eq!(length, 8192);
        assert!(fits.is_ok());
        let (_, long) = of(8193 - frame);
        assert!(
            long.unwrap_err()
                .contains("8193 characters are more than the 8192")
        );
    }

    #[test]
    fn members_of_overrides_that_are_not_honoured_are_refused() {
        for over in [
            json!({"inferenceAcceleratorOverrides": [{"deviceName": "x"}]}),
            json!({"containerOverrides": [{"name": "m", "environmentFiles": [{"type": "s3", "value": "x"}]}]}),
            json!({"containerOverrides": [{"name": "m", "resourceRequirements": [{"type": "NeuronDevice", "value": "1"}]}]}),
            json!({"containerOverrides": [{"name": "m", "resourceRequirements": [{"type": "GPU", "value": "some"}]}]}),
        ] {
            let error = read(json!({"taskDefinition": "job", "overrides": over})).unwrap_err();
            assert!(error.starts_with("UnsupportedFeatureException"), "{error}");
        }
        let error = read(
            json!({"taskDefinition": "job", "overrides": {"containerOverrides": [{"name": "m", "image": "x"}]}}),
        );
        assert!(error.unwrap_err().contains("unknown field `image`"));
    }
}
