//! ListTaskDefinitions, ListTaskDefinitionFamilies, DescribeTaskDefinition.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use crate::api::shapes::task_definition;
use crate::model::arn::{self, Named};
use crate::model::{Family, RevisionRef, TaskDefinitionRecord};
use crate::store::State;

use super::page::PageRequest;
use super::{EcsError, EcsResult, includes};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct List {
    family_prefix: Option<String>,
    status: Option<String>,
    sort: Option<String>,
    #[serde(flatten)]
    page: PageRequest,
}

pub(super) fn list(state: &State, request: &List) -> EcsResult {
    let status = match request.status.as_deref() {
        None => "ACTIVE",
        Some(status @ ("ACTIVE" | "INACTIVE" | "DELETE_IN_PROGRESS")) => status,
        Some(other) => return Err(bad_status(other)),
    };
    let descending = match request.sort.as_deref() {
        None | Some("ASC") => false,
        Some("DESC") => true,
        Some(other) => {
            return Err(EcsError::invalid_parameter(format!(
                "sort is {other:?}; it is ASC or DESC"
            )));
        }
    };
    // Despite its name the member is a whole family here, as on ECS.
    let mut revisions: Vec<&RevisionRef> = state
        .revisions
        .iter()
        .filter(|(id, record)| {
            task_definition::status(record) == status
                && request
                    .family_prefix
                    .as_deref()
                    .is_none_or(|family| id.family.as_str() == family)
        })
        .map(|(id, _)| id)
        .collect();
    if descending {
        revisions.reverse();
    }
    let arns = revisions.into_iter().map(arn::task_definition).collect();
    let page = request.page.page(arns, 100)?;
    Ok(json!({"taskDefinitionArns": page.items, "nextToken": page.next_token}))
}

fn bad_status(status: &str) -> EcsError {
    EcsError::invalid_parameter(format!("there is no status {status:?} here"))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListFamilies {
    family_prefix: Option<String>,
    status: Option<String>,
    #[serde(flatten)]
    page: PageRequest,
}

pub(super) fn list_families(state: &State, request: &ListFamilies) -> EcsResult {
    // A family is ACTIVE while one of its revisions is.
    let mut active: BTreeMap<&Family, bool> = BTreeMap::new();
    for (id, record) in &state.revisions {
        *active.entry(&id.family).or_default() |= record.deregistered_at.is_none();
    }
    let wanted = match request.status.as_deref() {
        None | Some("ALL") => None,
        Some("ACTIVE") => Some(true),
        Some("INACTIVE") => Some(false),
        Some(other) => return Err(bad_status(other)),
    };
    let families = active
        .into_iter()
        .filter(|(family, is_active)| {
            wanted.is_none_or(|wanted| wanted == *is_active)
                && request
                    .family_prefix
                    .as_deref()
                    .is_none_or(|prefix| family.as_str().starts_with(prefix))
        })
        .map(|(family, _)| family.to_string())
        .collect();
    let page = request.page.page(families, 100)?;
    Ok(json!({"families": page.items, "nextToken": page.next_token}))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    task_definition: String,
    #[serde(default)]
    include: Vec<String>,
}

pub(super) fn describe(state: &State, request: &Describe) -> EcsResult {
    let named = Named::parse(&request.task_definition);
    let record = named
        .kind
        .is_none_or(|kind| kind == "task-definition")
        .then(|| find(state, named.name))
        .flatten()
        .ok_or_else(|| EcsError::client("Unable to describe task definition."))?;
    let mut answer = json!({"taskDefinition": task_definition::of(record)});
    if includes(&request.include, "TAGS")
        && let Some(members) = answer.as_object_mut()
    {
        members.insert("tags".to_owned(), json!(task_definition::tags(record)));
    }
    Ok(answer)
}

/// `family:revision`, or a family's newest ACTIVE revision.
pub(super) fn find<'a>(state: &'a State, name: &str) -> Option<&'a TaskDefinitionRecord> {
    let bound = |family: &str, revision| RevisionRef {
        family: Family::new(family),
        revision,
    };
    if let Some((family, revision)) = name.split_once(':') {
        let id = bound(family, revision.parse().ok()?);
        return state.revisions.get(&id).map(|stored| &*stored.value);
    }
    state
        .revisions
        .range(bound(name, 0)..=bound(name, u32::MAX))
        .rev()
        .map(|(_, stored)| &*stored.value)
        .find(|record| record.deregistered_at.is_none())
}
