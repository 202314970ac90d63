//! What becomes of each member of ECS's inputs here: one table, which drives the warnings and refusals at a member's
//! position and the generated `docs/task-definition.md`.
//!
//! Every member that is honoured stands in the table itself. A member that is not honoured stands for all members below
//! it. A test holds the table against the schemas, so a new member cannot be forgotten.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::types::Kind;

mod tables;

/// What becomes of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// As on ECS.
    Honoured,
    /// Honoured, but for a difference that has a name. No warning.
    Differs(&'static str),
    /// Accepted; nothing here could make use of it. Warned, with the reason.
    NoEffect(&'static str),
    /// Accepted; a later version will honour it. Warned, with what happens until then.
    NotYet(&'static str),
    /// Refused until it is honoured, because a container without it would be another one. With what to write instead.
    Refused(&'static str),
    /// Refused: plain Docker cannot give it. With what to write instead.
    Unsupported(&'static str),
}

impl Fate {
    /// One word for tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Differs(_) => "differs",
            Self::NoEffect(_) => "no effect",
            Self::NotYet(_) => "not yet",
            Self::Refused(_) => "refused",
            Self::Unsupported(_) => "not possible",
        }
    }

    /// The words about it; empty for [`Fate::Honoured`].
    pub const fn text(self) -> &'static str {
        match self {
            Self::Honoured => "",
            Self::Differs(text)
            | Self::NoEffect(text)
            | Self::NotYet(text)
            | Self::Refused(text)
            | Self::Unsupported(text) => text,
        }
    }

    /// Whether the member is put to use, so that its own members have fates of their own.
    pub const fn is_used(self) -> bool {
        matches!(self, Self::Honoured | Self::Differs(_))
    }
}

/// The fate of one member, and of single values of it that fare otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The member's path, `containerDefinitions[].image`.
    pub path: &'static str,
    /// Its fate.
    pub fate: Fate,
    /// Values with a fate of their own.
    pub values: &'static [(&'static str, Fate)],
}

/// The table of one kind.
pub const fn table(kind: Kind) -> &'static [Row] {
    match kind {
        Kind::Cluster => tables::CLUSTER,
        Kind::TaskDefinition => tables::TASK_DEFINITION,
        Kind::Service => tables::SERVICE,
    }
}

/// The row of a member, or of the nearest member above it.
pub fn row(kind: Kind, path: &str) -> Option<&'static Row> {
    let rows = index(kind);
    let mut path = path;
    loop {
        if let Some(row) = rows.get(path) {
            return Some(row);
        }
        path = path.rsplit_once('.')?.0.trim_end_matches("[]");
    }
}

fn index(kind: Kind) -> &'static HashMap<&'static str, &'static Row> {
    static INDEX: [OnceLock<HashMap<&'static str, &'static Row>>; 3] =
        [const { OnceLock::new() }; 3];
    INDEX[kind as usize].get_or_init(|| table(kind).iter().map(|row| (row.path, row)).collect())
}

/// A member of a document that is not simply honoured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// JSON pointer to it, from the spec.
    pub pointer: String,
    /// Its own name.
    pub member: String,
    /// The value whose fate it is, where it is a single value's.
    pub value: Option<String>,
    /// What becomes of it.
    pub fate: Fate,
}

/// Every member of `spec` (strict JSON, without `null`) whose fate wants a word. A member that says no more than its
/// absence would is not among them.
pub fn judge(kind: Kind, spec: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    walk(
        index(kind),
        spec,
        &mut String::new(),
        &mut String::new(),
        &mut found,
    );
    found
}

fn walk(
    rows: &HashMap<&str, &'static Row>,
    value: &Value,
    path: &mut String,
    pointer: &mut String,
    found: &mut Vec<Finding>,
) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let (path_before, pointer_before) = (path.len(), pointer.len());
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                // A member without a row is a key of a map, or unknown and reported as such.
                if let Some(row) = rows.get(path.as_str()) {
                    judge_member(row, name, member, pointer, found);
                    if row.fate.is_used() {
                        walk(rows, member, path, pointer, found);
                    }
                }
                path.truncate(path_before);
                pointer.truncate(pointer_before);
            }
        }
        Value::Array(items) => {
            let (path_before, pointer_before) = (path.len(), pointer.len());
            path.push_str("[]");
            for (position, item) in items.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&position.to_string());
                walk(rows, item, path, pointer, found);
                pointer.truncate(pointer_before);
            }
            path.truncate(path_before);
        }
        _ => {}
    }
}

fn judge_member(row: &Row, name: &str, value: &Value, pointer: &str, found: &mut Vec<Finding>) {
    let by_value = |value: &Value| {
        let text = value.as_str()?;
        let (_, fate) = row.values.iter().find(|(word, _)| *word == text)?;
        Some((text.to_owned(), *fate))
    };
    let mut add = |pointer: String, value: Option<String>, fate: Fate| {
        if !fate.is_used() {
            found.push(Finding {
                pointer,
                member: name.to_owned(),
                value,
                fate,
            });
        }
    };
    if let (Value::Array(items), false) = (value, row.values.is_empty()) {
        for (position, item) in items.iter().enumerate() {
            match by_value(item) {
                Some((text, fate)) => add(format!("{pointer}/{position}"), Some(text), fate),
                None => add(format!("{pointer}/{position}"), None, row.fate),
            }
        }
        return;
    }
    match by_value(value) {
        Some((text, fate)) => add(pointer.to_owned(), Some(text), fate),
        None if !says_nothing(value) => {
            let text = row.values.first().and(value.as_str()).map(str::to_owned);
            add(pointer.to_owned(), text, row.fate);
        }
        None => {}
    }
}

/// Whether a value means the same as the member's absence.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => {
            ["enable", "enabled"]
                .iter()
                .any(|switch| members.get(*switch) == Some(&Value::Bool(false)))
                || members.values().all(says_nothing)
        }
        Value::Bool(true) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::schema;

    #[test]
    fn every_member_has_a_fate_of_its_own_or_below_one_that_is_not_used() {
        for kind in Kind::ALL {
            for member in schema::members(kind) {
                let row = row(kind, &member.path)
                    .unwrap_or_else(|| panic!("{kind}: {} has no fate", member.path));
                assert!(
                    row.path == member.path || !row.fate.is_used(),
                    "{kind}: {} has no fate, and {} above it is {}",
                    member.path,
                    row.path,
                    row.fate.word()
                );
            }
        }
    }

    #[test]
    fn every_row_is_about_a_member_that_exists_and_values_that_it_may_have() {
        for kind in Kind::ALL {
            let members: HashMap<_, _> = schema::members(kind)
                .into_iter()
                .map(|member| (member.path.clone(), member))
                .collect();
            let mut seen = std::collections::BTreeSet::new();
            for row in table(kind) {
                assert!(seen.insert(row.path), "{kind}: {} stands twice", row.path);
                let member = members
                    .get(row.path)
                    .unwrap_or_else(|| panic!("{kind}: there is no {}", row.path));
                for (value, _) in row.values {
                    assert!(
                        member.options().is_empty() || member.options().contains(value),
                        "{kind}: {} is never {value}",
                        row.path
                    );
                }
            }
        }
    }

    #[test]
    fn every_fate_that_is_not_plain_says_why_in_one_clause() {
        for kind in Kind::ALL {
            for row in table(kind) {
                for fate in row.values.iter().map(|(_, fate)| *fate).chain([row.fate]) {
                    let text = fate.text();
                    assert!(
                        fate == Fate::Honoured || (text.len() > 10 && !text.ends_with('.')),
                        "{kind}: {}: {text:?}",
                        row.path
                    );
                }
            }
        }
    }

    fn found(kind: Kind, spec: &Value) -> Vec<(String, &'static str)> {
        judge(kind, spec)
            .into_iter()
            .map(|finding| (finding.pointer, finding.fate.word()))
            .collect()
    }

    #[test]
    fn what_says_no_more_than_its_absence_is_not_mentioned() {
        let spec = json!({
            "family": "web",
            "taskRoleArn": "",
            "inferenceAccelerators": [],
            "enableFaultInjection": false,
            "containerDefinitions": [{
                "name": "web", "image": "busybox", "secrets": [], "privileged": false,
                "versionConsistency": "disabled", "firelensConfiguration": {},
            }],
            "runtimePlatform": {"operatingSystemFamily": "LINUX"},
        });
        assert_eq!(found(Kind::TaskDefinition, &spec), []);
        let service = json!({
            "deploymentController": {"type": "ECS"},
            "propagateTags": "NONE",
            "deploymentConfiguration": {
                "strategy": "ROLLING", "bakeTimeInMinutes": 0,
                "deploymentCircuitBreaker": {"enable": false, "rollback": true},
            },
        });
        assert_eq!(found(Kind::Service, &service), []);
    }

    #[test]
    fn each_fate_is_found_where_it_is_written() {
        let spec = json!({
            "taskRoleArn": "arn:aws:iam::1:role/x",
            "requiresCompatibilities": ["EC2", "MANAGED_INSTANCES"],
            "containerDefinitions": [
                {"name": "a", "dockerLabels": {"secrets": "no member"}},
                {"name": "b", "credentialSpecs": ["x"],
                 "portMappings": [{"containerPort": 1, "appProtocol": "grpc"}]},
            ],
        });
        assert_eq!(
            found(Kind::TaskDefinition, &spec),
            [
                (
                    "/containerDefinitions/1/credentialSpecs".to_owned(),
                    "not possible"
                ),
                (
                    "/containerDefinitions/1/portMappings/0/appProtocol".to_owned(),
                    "not yet"
                ),
                ("/requiresCompatibilities/1".to_owned(), "not possible"),
                ("/taskRoleArn".to_owned(), "no effect"),
            ]
        );
    }
}
