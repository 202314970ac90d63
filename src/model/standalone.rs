//! What a task is asked for with that no service starts (ECS RunTask), and what its overrides make of a specification.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::task_spec::{ContainerSpec, Gpus, TaskSpec};

/// The part of a [`TaskRecord`](super::TaskRecord) that only a task of RunTask has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Standalone {
    /// ECS `startedBy`, as the caller gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// ECS `tags`, those of the definition among them where the caller had them propagated.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What it runs otherwise than its revision says; the record's `spec` has it applied.
    #[serde(skip_serializing_if = "TaskOverrides::is_empty")]
    pub overrides: TaskOverrides,
    /// The request that started it, where its caller may ask again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RunToken>,
}

/// By what a repeated request is known (ECS `clientToken`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunToken {
    /// The caller's token.
    pub token: String,
    /// Hash of everything else that was asked for: the same token with something else is a mistake.
    pub content: String,
}

/// ECS `TaskOverride`, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskOverrides {
    /// One a container at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerOverride>,
    /// Task-level CPU in ECS units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Task-level memory, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
}

/// ECS `ContainerOverride`, resolved. What is absent stays as the definition has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerOverride {
    /// The container's name.
    pub name: String,
    /// In place of the definition's `command`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Added to the definition's, or in place of a variable of the same name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(String, String)>,
    /// CPU units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Hard memory limit, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// Soft memory limit, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<u32>,
    /// GPUs (ECS `resourceRequirements`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Gpus>,
}

/// Why overrides cannot be applied, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OverrideError(String);

impl TaskOverrides {
    /// Whether nothing is overridden.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The specification that a task with these overrides runs: one of its own, with a hash of its own.
    ///
    /// # Errors
    /// A container is named that the definition has not, or twice; or the amounts of memory contradict each other.
    pub fn apply(&self, spec: &TaskSpec) -> Result<TaskSpec, OverrideError> {
        let mut overridden = spec.clone();
        let mut named = BTreeSet::new();
        for over in &self.containers {
            if !named.insert(over.name.as_str()) {
                return Err(OverrideError(format!(
                    "container {} is overridden twice",
                    over.name
                )));
            }
            let names: Vec<&str> = spec.containers.iter().map(|c| c.name.as_str()).collect();
            let container = overridden
                .containers
                .iter_mut()
                .find(|container| container.name == over.name)
                .ok_or_else(|| {
                    OverrideError(format!(
                        "Override for container named {} is not a container in the TaskDefinition. It has {}",
                        over.name,
                        names.join(", ")
                    ))
                })?;
            over.apply(container);
        }
        overridden.cpu = self.cpu.or(overridden.cpu);
        overridden.memory = self.memory.or(overridden.memory);
        if !self.is_empty() {
            check_memory(&overridden)?;
        }
        Ok(overridden)
    }
}

impl ContainerOverride {
    fn apply(&self, container: &mut ContainerSpec) {
        if self.command.is_some() {
            container.command.clone_from(&self.command);
        }
        for (name, value) in &self.environment {
            container.environment.retain(|(known, _)| known != name);
            container.environment.push((name.clone(), value.clone()));
        }
        let amount = |over: Option<u32>, was: Option<u32>| over.filter(|n| *n > 0).or(was);
        container.cpu = amount(self.cpu, container.cpu);
        container.memory = amount(self.memory, container.memory);
        container.memory_reservation =
            amount(self.memory_reservation, container.memory_reservation);
        container.gpus = self.gpus.or(container.gpus);
    }
}

/// The rules that a definition's own amounts of memory keep to.
fn check_memory(spec: &TaskSpec) -> Result<(), OverrideError> {
    for container in &spec.containers {
        let name = &container.name;
        if let (Some(hard), Some(soft)) = (container.memory, container.memory_reservation)
            && soft >= hard
        {
            return Err(OverrideError(format!(
                "container {name}: memory ({hard} MiB) must be more than memoryReservation ({soft} MiB)"
            )));
        }
        if let (Some(hard), Some(task)) = (container.memory, spec.memory)
            && hard > task
        {
            return Err(OverrideError(format!(
                "container {name}: memory ({hard} MiB) is more than the task's ({task} MiB)"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    fn spec() -> TaskSpec {
        serde_json::from_value(json!({"family": "job", "memory": 512, "containers": [
            {"name": "main", "image": "busybox", "essential": true, "command": ["true"], "memory": 128,
             "environment": [["A", "1"], ["B", "2"]]},
            {"name": "side", "image": "busybox", "essential": false}
        ]}))
        .unwrap()
    }

    fn of(value: serde_json::Value) -> TaskOverrides {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_override_replaces_the_command_and_adds_to_the_environment() {
        let over = of(json!({"containers": [
            {"name": "main", "command": ["sh", "-c", "exit 3"], "environment": [["B", "3"], ["C", "4"]]}
        ]}));
        let task = over.apply(&spec()).unwrap();
        let main = &task.containers[0];
        assert_eq!(
            main.command.as_deref(),
            Some(["sh".into(), "-c".into(), "exit 3".into()].as_slice())
        );
        let environment: Vec<String> = main
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(environment, ["A=1", "B=3", "C=4"]);
        assert_eq!(task.containers[1], spec().containers[1]);
        assert_ne!(task.hash(), spec().hash());
    }

    #[test]
    fn amounts_of_the_task_and_of_containers_are_replaced() {
        let over = of(json!({"cpu": 256, "memory": 1024,
            "containers": [{"name": "main", "cpu": 64, "memory": 600, "memory_reservation": 300}]}));
        let task = over.apply(&spec()).unwrap();
        assert_eq!((task.cpu, task.memory), (Some(256), Some(1024)));
        let main = &task.containers[0];
        assert_eq!(
            (main.cpu, main.memory, main.memory_reservation),
            (Some(64), Some(600), Some(300))
        );
    }

    #[test]
    fn nothing_overridden_is_the_very_specification_of_the_revision() {
        assert_eq!(TaskOverrides::default().apply(&spec()).unwrap(), spec());
    }

    #[test]
    fn what_cannot_be_overridden_so_is_an_error_that_names_it() {
        let error = |value| of(value).apply(&spec()).unwrap_err().to_string();
        assert_eq!(
            error(json!({"containers": [{"name": "mian"}]})),
            "Override for container named mian is not a container in the TaskDefinition. It has main, side"
        );
        assert_eq!(
            error(json!({"containers": [{"name": "main"}, {"name": "main"}]})),
            "container main is overridden twice"
        );
        assert_eq!(
            error(json!({"containers": [{"name": "main", "memory": 600}]})),
            "container main: memory (600 MiB) is more than the task's (512 MiB)"
        );
        assert_eq!(
            error(json!({"containers": [{"name": "main", "memory_reservation": 128}]})),
            "container main: memory (128 MiB) must be more than memoryReservation (128 MiB)"
        );
    }
}
