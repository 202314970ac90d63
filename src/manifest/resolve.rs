//! From manifests as written to the model: defaults filled in, units fixed, what ECS implies made explicit.
//!
//! Nothing here fails. What cannot be resolved has been reported and its document is not taken; for a document that was
//! last good under other rules, what cannot be resolved is left out.

use std::collections::BTreeMap;

use super::types as raw;
use crate::model::arn::Named;
use crate::model::{ClusterName, Family};

mod cluster;
mod definition;
mod service;

pub use cluster::{cluster, providers};
pub use definition::{file_system_key, gpus, port_range, task_definition};
pub use service::{
    Percentages, placement_strategy, service, shares, spread_field, spreads_over_zones,
};

/// The family and revision that `taskDefinition` names: `family`, `family:revision`, or the ARN of either. The revision in
/// an ARN of AWS counts AWS's revisions, so it says nothing here and is not taken. None if the text is no such name.
pub fn definition_reference(text: &str) -> Option<(Family, Option<u32>)> {
    let named = Named::parse(text);
    if named.kind.is_some_and(|kind| kind != "task-definition") {
        return None;
    }
    let (family, revision) = match named.name.split_once(':') {
        None => (named.name, None),
        Some((family, number)) => (family, Some(number.parse().ok().filter(|n| *n > 0)?)),
    };
    let good = (1..=255).contains(&family.len())
        && family
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let of_aws = named.kind.is_some() && !text.starts_with("arn:aws:ecs:local:");
    good.then(|| (Family::new(family), revision.filter(|_| !of_aws)))
}

/// The cluster that `cluster` names, by name or ARN; absent: `default`.
pub fn cluster_reference(text: Option<&str>) -> ClusterName {
    text.map_or_else(ClusterName::default, |text| {
        ClusterName::new(Named::parse(text).name)
    })
}

fn tags(tags: &[raw::Tag]) -> BTreeMap<String, String> {
    tags.iter()
        .map(|tag| (tag.key.clone(), tag.value.clone().unwrap_or_default()))
        .collect()
}

#[cfg(test)]
#[path = "resolve/tests.rs"]
mod tests;
