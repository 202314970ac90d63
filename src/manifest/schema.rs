//! The JSON Schemas of manifests: generated from [`types`](super::types), committed under `schemas/`, embedded, and used to
//! validate.
//!
//! There are two forms of each. The *strict* one knows no `null`, because `null` means absent and is taken out before
//! validation. The *published* one, which editors read, allows `null` wherever a member may be left out.
//! [`validator`] is compiled from the published file, made strict again, so that what is shipped is what is checked.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use jsonschema::Validator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::types::{API_VERSION, Cluster, Kind, Metadata, Service, TaskDefinition};

/// One published schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaFile {
    /// The kind that it describes; none: every kind.
    pub kind: Option<Kind>,
    /// Its file name under `schemas/`.
    pub name: &'static str,
    /// Its content.
    pub text: &'static str,
}

/// Every published schema, as embedded.
pub const FILES: [SchemaFile; 4] = [
    SchemaFile {
        kind: None,
        name: "longshore.schema.json",
        text: include_str!("../../schemas/longshore.schema.json"),
    },
    SchemaFile {
        kind: Some(Kind::Cluster),
        name: "cluster.schema.json",
        text: include_str!("../../schemas/cluster.schema.json"),
    },
    SchemaFile {
        kind: Some(Kind::TaskDefinition),
        name: "task-definition.schema.json",
        text: include_str!("../../schemas/task-definition.schema.json"),
    },
    SchemaFile {
        kind: Some(Kind::Service),
        name: "service.schema.json",
        text: include_str!("../../schemas/service.schema.json"),
    },
];

/// The published schema of that name, as embedded: `longshore` for every kind, or a kind as people write it
/// (`TaskDefinition`, `task-definition`, `task-definitions`).
pub fn embedded(name: &str) -> Option<&'static str> {
    let plain = |text: &str| {
        let letters: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
        letters.to_ascii_lowercase()
    };
    let wanted = plain(name);
    FILES
        .iter()
        .find(|file| {
            let name = plain(file.name.trim_end_matches(".schema.json"));
            wanted == name || wanted.strip_suffix('s') == Some(&name)
        })
        .map(|file| file.text)
}

/// The validator of the `spec` of one kind, compiled once.
pub fn validator(kind: Kind) -> &'static Validator {
    static COMPILED: [OnceLock<Validator>; 3] = [const { OnceLock::new() }; 3];
    COMPILED[kind as usize].get_or_init(|| compile(kind, kind.as_str()))
}

/// The validator of `metadata`, compiled once.
pub fn metadata_validator() -> &'static Validator {
    static COMPILED: OnceLock<Validator> = OnceLock::new();
    COMPILED.get_or_init(|| compile(Kind::Cluster, "Metadata"))
}

fn compile(kind: Kind, definition: &str) -> Validator {
    let text = embedded(kind.as_str()).unwrap_or_default();
    let mut schema: Value = serde_json::from_str(text)
        .unwrap_or_else(|error| panic!("the embedded schema of {kind} is JSON: {error}"));
    forbid_null(&mut schema);
    let root = json!({ "$ref": format!("#/$defs/{definition}"), "$defs": schema["$defs"] });
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .build(&root)
        .unwrap_or_else(|error| panic!("the embedded schema of {kind} compiles: {error}"))
}

/// What `aws ecs describe-…` prints beyond the input of the operation that makes the resource. Dropped from plain ECS
/// documents; in an envelope they are unknown members.
pub const fn output_only(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::TaskDefinition => &[
            "taskDefinitionArn",
            "revision",
            "status",
            "requiresAttributes",
            "compatibilities",
            "registeredAt",
            "registeredBy",
            "deregisteredAt",
            "deleteRequestedAt",
        ],
        Kind::Service => &[
            "clusterArn",
            "createdAt",
            "createdBy",
            "currentServiceDeployment",
            "currentServiceRevisions",
            "deployments",
            "events",
            "pendingCount",
            "platformFamily",
            "resourceManagementType",
            "roleArn",
            "runningCount",
            "serviceArn",
            "status",
            "taskSets",
        ],
        Kind::Cluster => &[
            "clusterArn",
            "status",
            "registeredContainerInstancesCount",
            "runningTasksCount",
            "pendingTasksCount",
            "activeServicesCount",
            "statistics",
            "attachments",
            "attachmentsStatus",
        ],
    }
}

/// Generates the published schema of one kind, or of all. [`FILES`] holds what this returned when they were written.
pub fn generate(kind: Option<Kind>) -> Value {
    let kinds: &[Kind] = match &kind {
        Some(kind) => std::slice::from_ref(kind),
        None => &Kind::ALL,
    };
    let mut defs = Map::new();
    for kind in kinds {
        let (_, more) = strict(*kind);
        defs.extend(more);
        let plain = plain(*kind, &defs[kind.as_str()]);
        defs.insert(format!("Plain{kind}"), plain);
    }
    for name in [
        "apiVersion",
        "kind",
        "clusterName",
        "serviceName",
        "containerDefinitions",
    ] {
        defs.insert(
            format!("has-{name}"),
            json!({ "type": "object", "required": [name] }),
        );
    }
    let title = kind.map_or("Longshore manifest".to_owned(), |kind| {
        format!("Longshore {kind} manifest")
    });
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": "A resource in Longshore's envelope (`apiVersion`, `kind`, `metadata`, `spec`), or plain ECS JSON or YAML.",
        "type": "object",
        "if": { "anyOf": [{ "$ref": "#/$defs/has-apiVersion" }, { "$ref": "#/$defs/has-kind" }] },
        "then": envelope(kinds),
        "else": plain_documents(kinds),
        "$defs": defs,
    });
    if let Some(defs) = schema["$defs"].as_object_mut() {
        for (name, def) in defs {
            if !name.starts_with("has-") {
                allow_null(def);
            }
        }
    }
    schema
}

/// A generated schema as its file has it.
pub fn render(schema: &Value) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

fn envelope(kinds: &[Kind]) -> Value {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let by_kind: Vec<Value> = kinds
        .iter()
        .map(|kind| {
            json!({
                "if": { "properties": { "kind": { "const": kind.as_str() } }, "required": ["kind"] },
                "then": { "properties": { "spec": { "$ref": format!("#/$defs/{kind}") } } },
            })
        })
        .collect();
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": { "const": API_VERSION, "description": "The format of the manifest." },
            "kind": { "enum": names, "description": "What the manifest declares." },
            "metadata": { "$ref": "#/$defs/Metadata" },
            "spec": { "type": "object", "description": "The resource, with ECS's own members." },
            "status": { "description": "What `longshore get -o yaml` adds; ignored when it is read." },
        },
        "allOf": by_kind,
    })
}

/// A chain of if/then/else by the member that tells plain ECS documents apart.
fn plain_documents(kinds: &[Kind]) -> Value {
    kinds.iter().fold(wrapped(kinds), |otherwise, kind| {
        let member = match kind {
            Kind::Cluster => "clusterName",
            Kind::TaskDefinition => "containerDefinitions",
            Kind::Service => "serviceName",
        };
        json!({
            "if": { "$ref": format!("#/$defs/has-{member}") },
            "then": { "$ref": format!("#/$defs/Plain{kind}") },
            "else": otherwise,
        })
    })
}

/// What `aws ecs describe-task-definition`, `describe-services` and `describe-clusters` print.
fn wrapped(kinds: &[Kind]) -> Value {
    let mut properties = Map::new();
    for kind in kinds {
        let item = json!({ "$ref": format!("#/$defs/Plain{kind}") });
        match kind {
            Kind::TaskDefinition => {
                properties.insert("taskDefinition".into(), item);
                properties.insert("tags".into(), json!({ "type": "array" }));
            }
            Kind::Service => {
                properties.insert("services".into(), json!({ "type": "array", "items": item }));
            }
            Kind::Cluster => {
                properties.insert("clusters".into(), json!({ "type": "array", "items": item }));
            }
        }
    }
    properties.insert("failures".into(), json!({ "type": "array" }));
    json!({
        "type": "object",
        "minProperties": 1,
        "additionalProperties": false,
        "properties": properties,
        "description": "The output of `aws ecs describe-…`.",
    })
}

/// The spec of a kind with its name required and the output-only members allowed.
fn plain(kind: Kind, spec: &Value) -> Value {
    let mut plain = spec.clone();
    for member in output_only(kind) {
        plain["properties"][member] =
            json!({ "description": "Printed by `aws ecs describe-…`; ignored." });
    }
    let required = plain["required"].as_array().cloned().unwrap_or_default();
    plain["required"] = Value::Array(
        std::iter::once(Value::from(kind.name_member()))
            .chain(required)
            .collect(),
    );
    plain
}

/// The strict schema of the spec of a kind, and every definition that it and the envelope refer to (itself included).
pub fn strict(kind: Kind) -> (Value, Map<String, Value>) {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let root = match kind {
        Kind::Cluster => generator.subschema_for::<Cluster>(),
        Kind::TaskDefinition => generator.subschema_for::<TaskDefinition>(),
        Kind::Service => generator.subschema_for::<Service>(),
    };
    generator.subschema_for::<Metadata>();
    let mut defs = generator.take_definitions(true);
    for def in defs.values_mut() {
        tidy(def);
        forbid_null(def);
    }
    (root.to_value(), defs)
}

/// The strict schema of another type that people write files of, whole, with its title.
pub fn of<T: schemars::JsonSchema>(title: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    forbid_null(&mut schema);
    schema["title"] = json!(title);
    schema
}

/// Every member of a schema that [`of`] made.
pub fn members_of(schema: &Value) -> Vec<Member> {
    let defs = schema["$defs"].as_object().cloned().unwrap_or_default();
    let mut found = Vec::new();
    collect(&resolved(schema, &defs), "", &defs, &mut found);
    found
}

/// Makes what the generator says read as this project wants it: one-line descriptions, no Rust number formats, and the
/// bounds of ECS's integers, which have 32 bits.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            let is_number = object.get("type").is_some_and(|t| {
                t.to_string().contains("integer") || t.to_string().contains("number")
            });
            if is_number && let Some(format) = object.remove("format") {
                let (least, most) = match format.as_str() {
                    Some("uint32") => (Some(0), Some(i64::from(i32::MAX))),
                    Some("int32") => (Some(i64::from(i32::MIN)), Some(i64::from(i32::MAX))),
                    _ => (None, None),
                };
                for (key, bound) in [("minimum", least), ("maximum", most)] {
                    if let Some(bound) = bound {
                        object.entry(key).or_insert_with(|| json!(bound));
                    }
                }
            }
            // An absent list or map is not worth a default in an editor's hover.
            if object
                .get("default")
                .is_some_and(|d| d.is_null() || d == &json!([]) || d == &json!({}))
            {
                object.remove("default");
            }
            object.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

/// Takes `null` out of every type, enumeration and alternative.
fn forbid_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(forbid_null),
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(options)) = object.get_mut("enum") {
                options.retain(|option| !option.is_null());
            }
            if let Some(Value::Array(alternatives)) = object.get_mut("anyOf") {
                alternatives.retain(|alternative| alternative != &json!({ "type": "null" }));
                if let [Value::Object(only)] = alternatives.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    object.extend(only);
                }
            }
            object.values_mut().for_each(forbid_null);
        }
        _ => {}
    }
}

/// Allows `null` for every member of an object that need not be there.
fn allow_null(schema: &mut Value) {
    let required: BTreeSet<String> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for (name, member) in properties {
        if required.contains(name) {
            continue;
        }
        let Some(object) = member.as_object_mut() else {
            continue;
        };
        if let Some(target) = object.remove("$ref") {
            object.insert(
                "anyOf".into(),
                json!([{ "$ref": target }, { "type": "null" }]),
            );
        }
        match object.get_mut("type") {
            Some(Value::Array(types)) => types.push(json!("null")),
            Some(single) => *single = json!([single.clone(), "null"]),
            None => {}
        }
        if let Some(Value::Array(options)) = object.get_mut("enum") {
            options.push(Value::Null);
        }
    }
}

/// One member of a kind's spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its path, `containerDefinitions[].portMappings[].hostPort`.
    pub path: String,
    /// Its type in words: `text`, `integer`, `list of text`, `object` …
    pub kind: String,
    /// Whether it must be there.
    pub required: bool,
    /// Its own schema, strict, with references resolved one level.
    pub schema: Map<String, Value>,
    /// Whether it is Longshore's own.
    pub longshore: bool,
}

impl Member {
    /// What its type's doc comment says.
    pub fn description(&self) -> &str {
        self.schema
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The words that it may be.
    pub fn options(&self) -> Vec<&str> {
        let items = self.schema.get("items").and_then(|items| items.get("enum"));
        self.schema
            .get("enum")
            .or(items)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }
}

/// Every member of a kind's spec, at any depth, in the order of the types; parents come before their members.
pub fn members(kind: Kind) -> Vec<Member> {
    let (root, defs) = strict(kind);
    let mut found = Vec::new();
    collect(&resolved(&root, &defs), "", &defs, &mut found);
    found
}

fn collect(
    object: &Map<String, Value>,
    prefix: &str,
    defs: &Map<String, Value>,
    found: &mut Vec<Member>,
) {
    let required: Vec<&str> = object
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, member) in object
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let mut schema = resolved(member, defs);
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        let item = schema.get("items").map(|items| resolved(items, defs));
        if let Some(item) = &item {
            schema.insert("items".into(), Value::Object(item.clone()));
        }
        found.push(Member {
            kind: in_words(&schema),
            required: required.contains(&name.as_str()),
            longshore: schema.get("x-longshore") == Some(&json!(true)),
            path: path.clone(),
            schema: schema.clone(),
        });
        match item {
            Some(item) => collect(&item, &format!("{path}[]"), defs, found),
            None => collect(&schema, &path, defs, found),
        }
    }
}

/// The schema with its `$ref` followed; what stands beside the reference wins over what it refers to.
fn resolved(schema: &Value, defs: &Map<String, Value>) -> Map<String, Value> {
    let own = schema.as_object().cloned().unwrap_or_default();
    let Some(target) = own.get("$ref").and_then(Value::as_str) else {
        return own;
    };
    let mut found = target
        .strip_prefix("#/$defs/")
        .and_then(|name| defs.get(name))
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    found.extend(own.into_iter().filter(|(key, _)| key != "$ref"));
    found
}

fn in_words(schema: &Map<String, Value>) -> String {
    let one = |name: &str| match name {
        "string" => "text".to_owned(),
        "array" => match schema.get("items").and_then(Value::as_object) {
            Some(items) => format!("list of {}", in_words(items)),
            None => "list".to_owned(),
        },
        "object" if schema.contains_key("properties") => "object".to_owned(),
        "object" => "map".to_owned(),
        other => other.to_owned(),
    };
    match schema.get("type") {
        Some(Value::String(name)) => one(name),
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .map(one)
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "anything".to_owned(),
    }
}

#[cfg(test)]
#[path = "schema/tests.rs"]
mod tests;
