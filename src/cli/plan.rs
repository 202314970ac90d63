//! `longshore plan [DIR]`: what `run` would do now. Changes nothing, ever (P6).

use std::path::PathBuf;

use super::{CommandResult, Failure, Globals, output};
use crate::daemon::preview;
use crate::diagnostic::Severity;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// Folder of manifests
    #[arg(default_value = "manifests", value_name = "DIR")]
    dir: PathBuf,
}

/// Prints one line an action, with its cause. Exit 0 also when there is something to do; 1 when manifests are invalid.
pub async fn run(args: PlanArgs, globals: &Globals) -> CommandResult {
    let preview = preview::of(&args.dir, &globals.into())
        .await
        .map_err(Failure::could_not_run)?;
    let errors = preview
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .count();
    if !preview.diagnostics.is_empty() {
        output::write_stderr(
            super::validate::human(&preview.diagnostics, globals.colour_on_stderr()).as_bytes(),
        );
    }
    for held in &preview.held {
        output::message(&format!("kept at its last good version: {held}"));
    }
    for (service, lines) in &preview.services {
        for line in lines {
            output::line(&format!("{service}: {line}"));
        }
    }
    for note in &preview.notes {
        output::message(note);
    }
    if preview.services.iter().all(|(_, lines)| lines.is_empty()) {
        output::message("nothing to do");
    }
    if errors > 0 {
        return Err(Failure::findings(format!(
            "{}: what they are in is kept as it was",
            output::count(errors, "error")
        )));
    }
    Ok(())
}
