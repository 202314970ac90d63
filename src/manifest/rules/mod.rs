//! What must hold between the members of one document. Each file is one group of rules; each rule reports every place at
//! which it is broken. Rules between documents are in [`cross`].

pub mod attributes;
pub mod cluster;
mod container;
pub mod cross;
mod dependencies;
mod fargate;
pub mod fate;
pub mod file_systems;
mod firelens;
mod network;
mod placement;
pub mod secrets;
pub mod service;
mod size;
mod values;
mod volumes;

pub(super) use placement::unknown_providers;

use super::document::Document;
use super::types::TaskDefinition;
use crate::diagnostic::Diagnostic;

/// A task definition that is being checked.
pub(super) struct Task<'a> {
    pub document: &'a Document,
    pub definition: &'a TaskDefinition,
}

/// Every rule of a task definition's own.
pub fn check_task_definition(
    document: &Document,
    definition: &TaskDefinition,
    found: &mut Vec<Diagnostic>,
) {
    let task = Task {
        document,
        definition,
    };
    container::check(&task, found);
    size::check(&task, found);
    network::check(&task, found);
    dependencies::check(&task, found);
    volumes::check(&task, found);
    values::check(&task, found);
    placement::of_task(document, definition, found);
    secrets::check(&task, found);
    fargate::check(&task, found);
    firelens::check(&task, found);
}

/// JSON pointer of a container's member.
fn of_container(index: usize, member: &str) -> String {
    format!("/containerDefinitions/{index}{member}")
}

#[cfg(test)]
mod tests;
