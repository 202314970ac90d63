//! `longshore plan [DIR]`: what `run` would do, in order. Changes nothing, ever (P6).

use std::path::PathBuf;

use super::output::Tone;
use super::preview::{Format, PreviewArgs};
use super::{CommandResult, Failure, Globals, output};
use crate::daemon::preview::{self, PlanDocument, PlannedService, Preview};
use crate::diagnostic::Severity;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Lines are in the order in which things are done: those without `then` at once, those with `then` once the step \
before is done, if all goes well. Warnings on stderr tell where fewer tasks than wanted are healthy on the way, or where \
a service does not come to rest.\n\n\
Exit codes: 0 done, 1 manifests are invalid, 2 could not run.\nWith --exit-code: 0 nothing to do, 2 something to do, 1 \
anything wrong."
)]
pub struct PlanArgs {
    /// Folder of manifests
    #[arg(default_value = "manifests", value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    preview: PreviewArgs,
    /// Keep the plan for `longshore apply --plan FILE`, which refuses once folder or state have moved
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Prints it. Exit 0 also when there is something to do, unless asked otherwise; 1 when manifests are invalid.
pub async fn run(args: PlanArgs, globals: &Globals) -> CommandResult {
    args.preview.ended(show(&args, globals).await)
}

/// Whether there is something to do.
async fn show(args: &PlanArgs, globals: &Globals) -> Result<bool, Failure> {
    let looked = preview::look(&args.dir, &globals.into(), globals.store()?)
        .await
        .map_err(Failure::could_not_run)?;
    let preview = preview::of(&looked);
    let document = PlanDocument::of(&preview, &looked.scan);
    say(&preview, globals);
    match args.preview.output {
        Format::Text => {
            for service in &preview.services {
                for line in service.lines() {
                    output::line(&format!("{}: {line}", service.key()));
                }
            }
        }
        Format::Json => output::line(&json(&document)?),
    }
    warn(&preview.services, globals.colour_on_stderr());
    let errors = preview
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .count();
    if !document.changes {
        output::message("nothing to do");
    }
    if errors > 0 {
        return Err(Failure::findings(format!(
            "{}: what they are in is kept as it was{}",
            output::count(errors, "error"),
            if args.out.is_some() {
                "; no plan was written"
            } else {
                ""
            }
        )));
    }
    if let Some(out) = &args.out {
        std::fs::write(out, json(&document)? + "\n").map_err(|error| {
            Failure::could_not_run(format!("cannot write {}: {error}", out.display()))
        })?;
        output::message(&format!(
            "`longshore apply --plan {}` does exactly this, or refuses",
            out.display()
        ));
    }
    if args.preview.exit_code && !document.changes && !preview.failed.is_empty() {
        return Err(Failure::findings(format!(
            "what the folder asks for was given up: {}",
            preview.failed.join(", ")
        )));
    }
    Ok(document.changes)
}

fn json(document: &PlanDocument) -> Result<String, Failure> {
    serde_json::to_string_pretty(document).map_err(Failure::could_not_run)
}

/// What there is to say before the plan.
fn say(preview: &Preview, globals: &Globals) {
    if !preview.diagnostics.is_empty() {
        output::write_stderr(
            super::validate::human(&preview.diagnostics, globals.colour_on_stderr()).as_bytes(),
        );
    }
    for held in &preview.held {
        output::message(&format!("kept at its last good version: {held}"));
    }
    for note in &preview.notes {
        output::message(note);
    }
}

/// What to look at before it is done.
fn warn(services: &[PlannedService], colour: bool) {
    for service in services {
        for warning in &service.warnings {
            let warning = format!("warning: {}: {warning}", service.key());
            output::message(&Tone::Warn.paint(&warning, colour));
        }
    }
}
