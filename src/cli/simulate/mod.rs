//! `longshore simulate [DIR]`: what a folder would do, in virtual time. Touches no engine, and changes nothing.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{CommandResult, Failure, Globals, output};
use crate::diagnostic::Diagnostic;
use crate::manifest::source::{self, FolderState, Scan};
use crate::simulate::scenario::{self, Scenario, Unread};
use crate::simulate::{self, History, Prepared, Report, Request, Unready, time};

mod text;

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Format {
    /// A summary, a timeline and findings
    #[default]
    Text,
    /// Everything, as one JSON document
    Json,
}

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 everything converges and what is expected holds, 1 findings, 2 could not run. \
                  docs/simulate.md says what is simulated and how scenarios are written."
)]
pub struct SimulateArgs {
    /// Folder of manifests
    #[arg(default_value = "manifests", value_name = "DIR")]
    dir: PathBuf,
    /// What happens meanwhile, and what is expected: a YAML file (`longshore schema scenario`)
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// The folder that runs before, such as the main branch's: DIR takes its place once it has converged
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Virtual time to simulate, such as 30m; 10m where the scenario says nothing
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// What chance is a function of; 1 where the scenario says nothing
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Also say what the loss of each container instance would do, one at a time
    #[arg(long)]
    each_instance_down: bool,
    /// Cores of container instances whose size the scenario does not say [default: 4]
    #[arg(long, value_name = "CORES", value_parser = clap::value_parser!(u32).range(1..=4096))]
    cpu: Option<u32>,
    /// Memory of these, such as 512MiB or 8GiB [default: 16GiB]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// Draw it, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

fn duration(text: &str) -> Result<Duration, String> {
    let time = time::parse(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| "write a number with a unit: 30s, 10m, 2h".to_owned())
}

fn memory(text: &str) -> Result<u64, String> {
    scenario::memory(text).ok_or_else(|| "write, for example, 512MiB or 16GiB".to_owned())
}

/// Exit 0: everything converges; 1: it does not, or the folder is not valid; 2: could not run.
pub async fn run(args: SimulateArgs, globals: &Globals) -> CommandResult {
    let scan = scan(&args.dir)?;
    let before = args.from.as_deref().map(scan_of).transpose()?;
    let mut scenario = match &args.scenario {
        Some(path) => read(path, globals)?,
        None => Scenario::default(),
    };
    let size = &mut scenario.assume.size;
    size.cpus = args.cpu.unwrap_or(size.cpus);
    size.memory = args.memory.unwrap_or(size.memory);
    let request = Request {
        scan,
        before,
        scenario,
        duration: args.duration,
        seed: args.seed,
    };
    let prepared = simulate::prepare(request).map_err(|unready| refused(unready, globals))?;
    let (report, history) = run_aside(prepared, args.each_instance_down).await?;
    if let Some(path) = &args.svg {
        let drawn = simulate::draw(&report, &history);
        std::fs::write(path, drawn).map_err(|error| {
            Failure::could_not_run(format!("{} cannot be written: {error}", path.display()))
        })?;
    }
    match args.output {
        Format::Json => {
            let mut text = serde_json::to_string_pretty(&report).map_err(Failure::could_not_run)?;
            text.push('\n');
            output::write_stdout(text.as_bytes());
        }
        Format::Text => text::print(&report, globals),
    }
    match report.unexpected().count() {
        0 => Ok(()),
        findings => Err(Failure::findings(output::count(findings, "finding"))),
    }
}

fn scan_of(path: &std::path::Path) -> Result<Scan, Failure> {
    let scan = source::scan(path);
    match &scan.state {
        FolderState::Present => Ok(scan),
        FolderState::Unreadable(why) => Err(Failure::could_not_run(format!(
            "{} cannot be read: {why}",
            path.display()
        ))),
        FolderState::Missing | FolderState::NotADirectory => Err(Failure::could_not_run(format!(
            "there is no folder {}",
            path.display()
        ))),
    }
}

fn scan(path: &std::path::Path) -> Result<Scan, Failure> {
    let scan = scan_of(path)?;
    match scan.files.is_empty() {
        true => Err(Failure::could_not_run(format!(
            "{} holds no manifest (*.yaml, *.yml, *.json)",
            path.display()
        ))),
        false => Ok(scan),
    }
}

fn read(path: &std::path::Path, globals: &Globals) -> Result<Scenario, Failure> {
    scenario::read(path).map_err(|unread| match unread {
        Unread::File(why) => Failure::could_not_run(why),
        Unread::Invalid(found) => {
            show(&found, globals);
            Failure::could_not_run("the scenario is not valid")
        }
    })
}

fn refused(unready: Unready, globals: &Globals) -> Failure {
    match unready {
        Unready::Folder(found) => {
            show(&found, globals);
            Failure::findings("the folder is not valid, so nothing was simulated")
        }
        Unready::Scenario(found) => {
            show(&found, globals);
            Failure::could_not_run("the scenario does not fit the folder")
        }
    }
}

fn show(found: &[Diagnostic], globals: &Globals) {
    let text = super::validate::human(found, globals.colour_on_stderr());
    output::write_stderr(text.as_bytes());
}

/// Virtual time has a runtime of its own, on a thread of its own; here it is told how far that is, once it takes long.
async fn run_aside(prepared: Prepared, losses: bool) -> Result<(Report, History), Failure> {
    const QUIET: Duration = Duration::from_secs(1);
    let progress = Arc::new(AtomicU64::new(0));
    let (told, length) = (Arc::clone(&progress), prepared.duration);
    let mut work = tokio::task::spawn_blocking(move || {
        let (mut report, history) = simulate::run(&prepared, &told)?;
        if losses {
            report.add(simulate::losses(&prepared)?);
        }
        Ok::<_, std::io::Error>((report, history))
    });
    let drawn = std::io::stderr().is_terminal();
    let mut said = false;
    let done = loop {
        if let Ok(done) = tokio::time::timeout(QUIET, &mut work).await {
            break done;
        }
        let passed = Duration::from_millis(progress.load(Ordering::Relaxed));
        let line = format!(
            "simulated {} of {}",
            time::show(passed.min(length)),
            time::show(length)
        );
        match drawn {
            true => output::write_stderr(format!("\r{line}   ").as_bytes()),
            false if !said => output::message("simulating; this takes a while"),
            false => {}
        }
        said = true;
    };
    if said && drawn {
        output::write_stderr(b"\r\x1b[K");
    }
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Failure::could_not_run(error)),
        Err(error) => Err(Failure::could_not_run(format!(
            "the simulation failed: {error}"
        ))),
    }
}
