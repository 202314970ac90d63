//! ECS `TaskDefinition`: what was registered, with what ECS adds to it.

use serde_json::{Map, Value, json};

use crate::model::{TaskDefinitionRecord, arn};

use super::{Epoch, Tag};

/// A task definition as ECS describes it: the registered input, without its tags (ECS answers those beside it), and
/// with the revision, its status, and those members of containers that ECS fills in.
pub fn of(record: &TaskDefinitionRecord) -> Value {
    let mut definition = match &record.input {
        Value::Object(members) => members.clone(),
        _ => Map::new(),
    };
    definition.remove("tags");
    let set = |definition: &mut Map<String, Value>, name: &str, value: Value| {
        definition.insert(name.to_owned(), value);
    };
    set(&mut definition, "family", json!(record.id.family));
    set(
        &mut definition,
        "taskDefinitionArn",
        json!(arn::task_definition(&record.id)),
    );
    set(&mut definition, "revision", json!(record.id.revision));
    set(&mut definition, "status", json!(status(record)));
    set(
        &mut definition,
        "registeredAt",
        json!(Epoch::from(record.registered_at)),
    );
    if let Some(at) = record.deregistered_at {
        set(&mut definition, "deregisteredAt", json!(Epoch::from(at)));
    }
    for (name, value) in [
        ("volumes", json!([])),
        ("placementConstraints", json!([])),
        ("compatibilities", json!(["EC2"])),
    ] {
        definition.entry(name).or_insert(value);
    }
    let containers = definition
        .get_mut("containerDefinitions")
        .and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        let Some(container) = container.as_object_mut() else {
            continue;
        };
        for (name, value) in [
            ("cpu", json!(0)),
            ("portMappings", json!([])),
            ("essential", json!(true)),
            ("environment", json!([])),
            ("mountPoints", json!([])),
            ("volumesFrom", json!([])),
        ] {
            container.entry(name).or_insert(value);
        }
    }
    Value::Object(definition)
}

/// `ACTIVE`, or `INACTIVE` once it was deregistered.
pub fn status(record: &TaskDefinitionRecord) -> &'static str {
    if record.deregistered_at.is_some() {
        "INACTIVE"
    } else {
        "ACTIVE"
    }
}

/// The tags it was registered with.
pub fn tags(record: &TaskDefinitionRecord) -> Vec<Tag> {
    let text = |tag: &Value, member: &str| {
        tag.get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    record
        .input
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|tag| Tag {
            key: text(tag, "key"),
            value: text(tag, "value"),
        })
        .collect()
}
