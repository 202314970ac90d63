//! What is left of a spec whose shape is wrong, so that whatever else is wrong in it can be found in the same go.

use std::collections::BTreeSet;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value as Json;

use super::catalogue::Catalogue;
use crate::diagnostic::{Diagnostic, Span, codes};
use crate::manifest::document::Document;
use crate::manifest::schema::Member;
use crate::manifest::types::Kind;

/// What is left of a spec whose shape is wrong.
pub struct Damage {
    /// The spec without what does not fit.
    pub mended: Json,
    /// JSON pointers of what was mended: members of the spec, and items of its lists.
    parts: BTreeSet<String>,
    /// Whether members of the spec itself were mended, added or taken out.
    whole: bool,
}

/// Rules about containers that look at members of the task itself.
const RULES_OF_THE_TASK: [&str; 11] = [
    codes::NO_MEMORY,
    codes::UNKNOWN_VOLUME,
    codes::HOST_PORT_DIFFERS,
    codes::PORTS_WITHOUT_NETWORK,
    codes::LINKS_OUTSIDE_BRIDGE,
    codes::HOST_NAME_IN_AWSVPC,
    codes::PORT_CLASH_IN_TASK,
    codes::PORT_RANGE,
    codes::HOST_IPC_SYSCTL,
    codes::SWAP_WITHOUT_MEMORY,
    codes::FARGATE,
];

impl Damage {
    /// Whether a finding of a rule stands although the spec is damaged: it is about what is whole.
    pub fn spares(&self, document: &Document, diagnostic: &Diagnostic) -> bool {
        let code = diagnostic.code;
        let may_follow = RULES_OF_THE_TASK.contains(&code)
            || (code == codes::MISSING_FIELD && document.kind != Kind::TaskDefinition);
        if self.whole && may_follow {
            return false;
        }
        let spans: Vec<Span> = self
            .parts
            .iter()
            .filter_map(|part| document.node(part))
            .map(|node| node.span)
            .collect();
        std::iter::once(&diagnostic.primary)
            .chain(&diagnostic.related)
            .all(|label| {
                !spans
                    .iter()
                    .any(|span| span.start <= label.span.start && label.span.start < span.end)
            })
    }
}

/// Takes out what does not fit, puts in what must be there, and remembers where.
pub(super) fn mend(kind: Kind, validator: &Validator, spec: &Json) -> Damage {
    let mut mended = spec.clone();
    let mut parts = BTreeSet::new();
    let mut whole = false;
    for error in validator.iter_errors(spec) {
        let pointer = error.instance_path().to_string();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                if let Some(Json::Object(members)) = mended.pointer_mut(&pointer) {
                    members.retain(|name, _| !unexpected.contains(name));
                }
            }
            ValidationErrorKind::Type { .. } | ValidationErrorKind::Enum { .. } => {
                if let Some(value) = mended.pointer_mut(&pointer) {
                    *value = match value.as_str().map(str::parse::<i64>) {
                        Some(Ok(number)) => Json::from(number),
                        _ => Json::Null,
                    };
                }
            }
            // The type still reads it.
            _ => {}
        }
        let tokens: Vec<&str> = pointer.split('/').skip(1).take(2).collect();
        match tokens.as_slice() {
            [list, index] if index.parse::<usize>().is_ok() => {
                parts.insert(format!("/{list}/{index}"));
            }
            [member, ..] => {
                parts.insert(format!("/{member}"));
                whole = true;
            }
            [] => whole = true,
        }
    }
    remove_null(&mut mended);
    fill(Catalogue::of(kind), validator, &mut mended);
    Damage {
        mended,
        parts,
        whole,
    }
}

/// How often an object that was filled in may lack something in turn.
const FILLINGS: usize = 8;

/// Puts something of the right type where a member must be that is missing, or was taken out: without it the whole document
/// could not be read, and nothing else that is wrong in it would be found.
fn fill(catalogue: &Catalogue, validator: &Validator, mended: &mut Json) {
    for _ in 0..FILLINGS {
        let missing: Vec<(String, String)> = validator
            .iter_errors(mended)
            .filter_map(|error| match error.kind() {
                ValidationErrorKind::Required { property } => Some((
                    error.instance_path().to_string(),
                    property.as_str()?.to_owned(),
                )),
                _ => None,
            })
            .collect();
        if missing.is_empty() {
            return;
        }
        for (pointer, name) in missing {
            let member = catalogue.member(&format!("{pointer}/{name}"));
            if let Some(Json::Object(members)) = mended.pointer_mut(&pointer) {
                members.insert(name, member.map_or_else(empty_text, filler));
            }
        }
    }
}

fn empty_text() -> Json {
    Json::String(String::new())
}

/// The least that a member's type reads.
fn filler(member: &Member) -> Json {
    let first = member.schema.get("enum").and_then(|options| options.get(0));
    if let Some(first) = first {
        return first.clone();
    }
    let kind = member.schema.get("type");
    // Of several types any will do.
    let kind = kind.and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    match kind {
        Some("integer" | "number") => member.schema.get("minimum").cloned().unwrap_or(0.into()),
        Some("boolean") => Json::Bool(false),
        Some("array") => Json::Array(Vec::new()),
        Some("object") => Json::Object(serde_json::Map::new()),
        _ => empty_text(),
    }
}

pub(super) fn remove_null(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(remove_null);
        }
        Json::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(remove_null);
        }
        _ => {}
    }
}
