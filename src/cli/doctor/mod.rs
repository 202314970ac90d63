//! `longshore doctor`: what could keep Longshore from working here. Changes nothing.

use std::path::PathBuf;

use serde_json::json;

use super::output::Tone;
use super::preview::Format;
use super::{CommandResult, Failure, Globals, output, subject};

mod engines;
mod host;
mod ports;
mod store;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Looks at the engine of each container instance, the folder, the state directory or the store in etcd (with --store), \
and at what runs already. Changes nothing.\n\nExit codes: 0 nothing is bad, 1 something is, 2 could not run."
)]
pub struct DoctorArgs {
    /// Folder of manifests [default: manifests here, else the running Longshore's]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Warning,
    Bad,
}

impl Verdict {
    /// As a line begins, how it is coloured, and as programs read it.
    const fn shown(self) -> (&'static str, Tone, &'static str) {
        match self {
            Self::Good => ("ok  ", Tone::Good, "good"),
            Self::Warning => ("warn", Tone::Warn, "warning"),
            Self::Bad => ("BAD ", Tone::Bad, "bad"),
        }
    }
}

/// What one check found.
struct Finding {
    verdict: Verdict,
    /// What was looked at.
    what: &'static str,
    found: String,
    /// What to do about it.
    help: Option<String>,
}

/// The checks' findings, in the order they were made.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(Verdict::Good, what, found.into(), None);
    }

    fn warn(&mut self, what: &'static str, found: impl Into<String>, help: impl Into<String>) {
        self.add(Verdict::Warning, what, found.into(), Some(help.into()));
    }

    fn bad(&mut self, what: &'static str, found: impl Into<String>, help: impl Into<String>) {
        self.add(Verdict::Bad, what, found.into(), Some(help.into()));
    }

    fn add(&mut self, verdict: Verdict, what: &'static str, found: String, help: Option<String>) {
        self.0.push(Finding {
            verdict,
            what,
            found,
            help,
        });
    }

    fn json(&self) -> serde_json::Value {
        let row = |f: &Finding| json!({"check": f.what, "verdict": f.verdict.shown().2, "found": f.found, "help": f.help});
        json!({"checks": self.0.iter().map(row).collect::<Vec<_>>()})
    }

    fn lines(&self, colour: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for Finding {
            verdict,
            what,
            found,
            help,
        } in &self.0
        {
            let (mark, tone, _) = verdict.shown();
            lines.push(format!("{} {what}: {found}", tone.paint(mark, colour)));
            lines.extend(help.iter().map(|help| format!("       {help}")));
        }
        lines
    }
}

/// Runs every check, and exits 1 when one of them is bad.
pub async fn run(args: DoctorArgs, globals: &Globals) -> CommandResult {
    let store = globals.store()?;
    let dir = subject::folder(args.dir.as_deref(), globals).await;
    let loaded = super::validate::load(std::slice::from_ref(&dir));
    let mut findings = Findings::default();
    engines::check(&mut findings, &loaded.desired, &dir).await;
    host::folder(&mut findings, &dir, &loaded.diagnostics);
    host::inotify(&mut findings);
    match store {
        Some(options) => store::check(&mut findings, options, &dir).await,
        None => host::state(&mut findings, globals.state_dir.as_deref(), &dir),
    }
    host::sockets(&mut findings);
    host::running(&mut findings).await;
    match args.output {
        Format::Json => {
            let text = serde_json::to_string_pretty(&findings.json());
            output::line(&text.map_err(Failure::could_not_run)?);
        }
        Format::Text => {
            for line in findings.lines(globals.colour_on_stdout()) {
                output::line(&line);
            }
        }
    }
    let bad = findings.0.iter().filter(|f| f.verdict == Verdict::Bad);
    match bad.count() {
        0 => Ok(()),
        bad => Err(Failure::findings(format!(
            "{bad} of {} {} bad",
            output::count(findings.0.len(), "check"),
            if bad == 1 { "is" } else { "are" }
        ))),
    }
}

/// `12 MiB`, `3.4 GiB`.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match bytes {
        0..MIB => format!("{} KiB", bytes.div_ceil(1024)),
        MIB..GIB => format!("{} MiB", bytes / MIB),
        _ => format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB),
    }
}

/// How much is free where a path is, for whom it must be enough.
struct Space {
    /// Free bytes that this user may take.
    free: u64,
    /// Whether no file can be made any more, however small.
    no_files: bool,
}

impl Space {
    /// Of the file system of a path; `None` where it cannot be told.
    fn at(path: &std::path::Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(path).ok()?;
        Some(Self {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            // A file system that makes them as needed counts none at all.
            no_files: stat.f_files > 0 && stat.f_favail == 0,
        })
    }

    /// Judges it: below `bad` bytes nothing works, below `low` soon.
    fn judge(&self, bad: u64, low: u64) -> Verdict {
        match self.free {
            _ if self.no_files => Verdict::Bad,
            free if free < bad => Verdict::Bad,
            free if free < low => Verdict::Warning,
            _ => Verdict::Good,
        }
    }

    /// `3.4 GiB are free`
    fn shown(&self) -> String {
        match self.no_files {
            true => format!(
                "{} are free, but no further file can be made (inodes)",
                size(self.free)
            ),
            false => format!("{} are free", size(self.free)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_at_a_glance() {
        let all = [0, 1500, 3 << 20, (3 << 30) + (1 << 29)].map(size);
        assert_eq!(all, ["0 KiB", "2 KiB", "3 MiB", "3.5 GiB"]);
    }

    #[test]
    fn little_room_is_warned_of_and_none_is_bad_also_where_only_files_are_used_up() {
        let of = |free: u64, no_files: bool| Space { free, no_files }.judge(10, 100);
        assert_eq!(of(9, false), Verdict::Bad);
        assert_eq!(of(99, false), Verdict::Warning);
        assert_eq!(of(100, false), Verdict::Good);
        assert_eq!(of(100, true), Verdict::Bad);
    }

    #[test]
    fn findings_are_lines_with_their_help_below_and_documents_for_programs() {
        let mut findings = Findings::default();
        findings.good("engine", "answers");
        findings.bad("port", "80/tcp is in use", "choose another");
        assert_eq!(
            findings.lines(false),
            [
                "ok   engine: answers",
                "BAD  port: 80/tcp is in use",
                "       choose another"
            ]
        );
        let json = findings.json();
        assert_eq!(json["checks"][1]["verdict"], "bad");
        assert_eq!(json["checks"][0]["help"], serde_json::Value::Null);
    }
}
