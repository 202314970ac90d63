//! `longshore schema [KIND]`.

use super::{CommandResult, Failure};
use crate::manifest::schema;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// cluster, service or task-definition; without one, the schema of all kinds
    kind: Option<String>,
}

/// Prints the JSON Schema (2020-12).
pub fn run(args: &SchemaArgs) -> CommandResult {
    let kind = args.kind.as_deref().unwrap_or("longshore");
    let Some(text) = schema::embedded(kind) else {
        return Err(Failure::could_not_run(format!(
            "there is no kind {kind}. Kinds: cluster, service, task-definition"
        )));
    };
    super::output::write_stdout(text.as_bytes());
    Ok(())
}
