//! `longshore schema [KIND]`.

use super::{CommandResult, Failure};
use crate::manifest::schema;
use crate::simulate::scenario;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// cluster, service or task-definition, or scenario; without one, the schema of all kinds of manifests
    kind: Option<String>,
}

/// Prints the JSON Schema (2020-12).
pub fn run(args: &SchemaArgs) -> CommandResult {
    let kind = args.kind.as_deref().unwrap_or("longshore");
    let text = match kind {
        "scenario" => Some(scenario::SCHEMA),
        kind => schema::embedded(kind),
    };
    let Some(text) = text else {
        return Err(Failure::could_not_run(format!(
            "there is no kind {kind}. Kinds: cluster, service, task-definition; and scenario, of `longshore simulate`"
        )));
    };
    super::output::write_stdout(text.as_bytes());
    Ok(())
}
