//! `longshore validate [PATH…]`: checks manifests and changes nothing.

use std::path::PathBuf;

use super::{CommandResult, Failure, Globals, output};
use crate::clock::{Clock, SystemClock};
use crate::diagnostic::{Diagnostic, Severity, codes, github, human, json, junit, sarif};
use crate::manifest::load::{LastGood, LoadOptions, Loaded};
use crate::manifest::source::{self, FolderState};

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: the line with a caret, and what to do
    Human,
    /// One JSON document
    Json,
    /// SARIF 2.1.0, one document
    Sarif,
    /// JUnit XML
    Junit,
    /// Workflow commands of GitHub Actions; the default where GITHUB_ACTIONS is set
    Github,
}

/// Arguments of `validate`.
#[derive(Debug, clap::Args)]
pub struct ValidateArgs {
    /// Folders and files; `-` is standard input
    #[arg(default_value = "manifests", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to write the findings
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Warnings are findings, too
    #[arg(long)]
    strict: bool,
}

/// Reads and checks folders and files, as `run` would with nothing remembered.
pub fn load(paths: &[PathBuf]) -> Loaded {
    let scan = source::scan_paths(paths, std::io::stdin());
    let options = LoadOptions {
        allow_empty: true,
        now: SystemClock.now(),
    };
    crate::manifest::load(&scan, &LastGood::default(), &options)
}

/// Exit 0: clean; 1: findings; 2: could not run, as where a path is not there; what the others hold is shown all the same.
pub fn run(args: &ValidateArgs, globals: &Globals) -> CommandResult {
    let scan = source::scan_paths(&args.paths, std::io::stdin());
    let files: Vec<String> = scan.files.keys().cloned().collect();
    let options = LoadOptions {
        allow_empty: true,
        now: SystemClock.now(),
    };
    let loaded = crate::manifest::load(&scan, &LastGood::default(), &options);
    let format = args.format.unwrap_or_else(default_format);
    let findings = &loaded.diagnostics;
    let text = match format {
        Format::Human => human(findings, globals.colour_on_stdout()),
        Format::Json => json::render(findings, &files),
        Format::Sarif => sarif::render(findings),
        Format::Junit => {
            junit::render(findings, &files, args.strict).map_err(Failure::could_not_run)?
        }
        Format::Github => github::render(findings),
    };
    output::write_stdout(text.as_bytes());
    if files.is_empty() && scan.state == FolderState::Present {
        output::message("no manifests found (*.yaml, *.yml, *.json)");
    } else if format == Format::Human && findings.is_empty() {
        let are = if files.len() == 1 { "is" } else { "are" };
        output::message(&format!(
            "{} {are} valid",
            output::count(files.len(), "file")
        ));
    }
    let missing: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.code == codes::FOLDER_MISSING)
        .map(|finding| finding.primary.file.path.as_str())
        .collect();
    if !missing.is_empty() {
        return Err(Failure::could_not_run(format!(
            "there is nothing at {}",
            missing.join(", ")
        )));
    }
    if is_finding(findings, args.strict) {
        return Err(Failure::Findings(String::new()));
    }
    Ok(())
}

/// For people, as wide as their terminal.
pub fn human(diagnostics: &[Diagnostic], color: bool) -> String {
    let width =
        crossterm::terminal::size().map_or(120, |(columns, _)| usize::from(columns).max(60));
    human::render(diagnostics, human::Options { color, width })
}

fn is_finding(diagnostics: &[Diagnostic], strict: bool) -> bool {
    diagnostics
        .iter()
        .any(|d| strict || d.severity == Severity::Error)
}

fn default_format() -> Format {
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        Format::Github
    } else {
        Format::Human
    }
}
