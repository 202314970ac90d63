//! `longshore diff SERVICE`: what the folder says of it beside what runs. Changes nothing (P6).

use std::path::PathBuf;

use super::output::Tone;
use super::preview::{Format, PreviewArgs};
use super::subject::{Subject, folder, or_errors};
use super::{CommandResult, Failure, Globals, output};
use crate::clock::{Clock, SystemClock};
use crate::daemon::preview::diff::{Differ, MemberDiff, ServiceDiff};
use crate::daemon::preview::look;
use crate::diagnostic::Severity;

/// What lines begin with, and what that means.
const MARKS: [(char, &str); 5] = [
    ('~', "changed (running → folder)"),
    ('+', "new in the folder"),
    ('-', "gone from the folder"),
    ('=', "done with tasks"),
    ('!', "stands in the way, or is different for another reason"),
];

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`~` is changed (running → folder), `+` is new in the folder, `-` is gone from it; `=` tells what is done with \
tasks, `!` in what else the service is not as the folder says. Defaults are filled in, so what means the same is no \
difference. Secrets are compared by reference; their values are never read.\n\n\
Exit codes: 0 done, 1 there is no such service, or its manifests are invalid, 2 could not run.\nWith --exit-code: 0 no \
difference, 2 a difference, 1 anything wrong."
)]
pub struct DiffArgs {
    /// The service: `web`, or `prod/web`
    service: String,
    /// Folder of manifests [default: manifests here, else the running Longshore's]
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    preview: PreviewArgs,
}

/// Prints the differences.
pub async fn run(args: DiffArgs, globals: &Globals) -> CommandResult {
    args.preview.ended(show(&args, globals).await)
}

async fn show(args: &DiffArgs, globals: &Globals) -> Result<bool, Failure> {
    let subject = Subject::parse(&args.service, globals)?;
    let dir = folder(args.dir.as_deref(), globals).await;
    let looked = look(&dir, &globals.into(), globals.store()?)
        .await
        .map_err(Failure::could_not_run)?;
    let differ = Differ::new(&looked.scan, &looked.state, SystemClock.now());
    let key = subject.among(differ.services(), |(cluster, name)| {
        (cluster.as_str(), name.as_str())
    });
    let key = or_errors(key, differ.diagnostics())?;
    let diff = differ.of(&key);
    for note in &looked.notes {
        output::message(note);
    }
    match args.preview.output {
        Format::Json => {
            let text = serde_json::to_string_pretty(&diff).map_err(Failure::could_not_run)?;
            output::line(&text);
        }
        Format::Text => {
            if let Some(text) = legend(&diff) {
                output::message(&text);
            }
            let colour = globals.colour_on_stdout();
            for line in lines(&diff) {
                output::line(&line.0.paint(&line.1, colour));
            }
        }
    }
    if diff.is_empty() {
        output::message(&format!(
            "no difference: {}/{} is as the folder says, at {}",
            diff.cluster,
            diff.name,
            diff.running.as_deref().unwrap_or("nothing")
        ));
    }
    let errors = differ
        .diagnostics()
        .iter()
        .filter(|d| d.severity == Severity::Error);
    if let Some(first) = errors.clone().next() {
        return Err(Failure::findings(format!(
            "{} in the folder, the first: {first}",
            output::count(errors.count(), "error")
        )));
    }
    Ok(!diff.is_empty())
}

/// What is compared, and what the marks mean that follow; `None` where none do.
fn legend(diff: &ServiceDiff) -> Option<String> {
    if diff.is_empty() {
        return None;
    }
    let marks: Vec<char> = lines(diff)
        .iter()
        .filter_map(|(_, line)| line.chars().next())
        .collect();
    let told = MARKS
        .iter()
        .filter(|(mark, _)| marks.contains(mark))
        .map(|(mark, meaning)| format!("{mark} {meaning}"));
    let running = diff.running.as_deref().unwrap_or("nothing");
    Some(format!(
        "{}/{}: {running} runs.  {}",
        diff.cluster,
        diff.name,
        told.collect::<Vec<_>>().join(" · ")
    ))
}

/// What is printed, with what it is of.
fn lines(diff: &ServiceDiff) -> Vec<(Tone, String)> {
    let mut lines = Vec::new();
    let of_member = |member: &MemberDiff| {
        let at = member.at.as_deref().map(|at| format!("{at}; "));
        let tone = match (&member.running, &member.folder) {
            (None, _) => Tone::Good,
            (_, None) => Tone::Bad,
            _ => Tone::Warn,
        };
        (
            tone,
            format!(
                "{}  ({}{})",
                member.line(),
                at.unwrap_or_default(),
                member.effect
            ),
        )
    };
    lines.extend(diff.members.iter().map(of_member));
    lines.extend(
        diff.tasks
            .iter()
            .map(|line| (Tone::Plain, format!("= {line}"))),
    );
    lines.extend(
        diff.drift
            .iter()
            .map(|line| (Tone::Bad, format!("! {line}"))),
    );
    lines
}
