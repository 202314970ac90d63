//! `longshore apply [DIR]`: converges once.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::live::Live;
use super::start::{StartArgs, asked_to_stop, held};
use super::{CommandResult, Failure, Globals, logging, output, services};
use crate::api::client::Client;
use crate::api::{self, FolderStatus, PullStatus, ServiceSummary, StatusReport};
use crate::clock::{Clock, SystemClock};
use crate::daemon::preview::{self, PlanDocument};
use crate::daemon::{self, Daemon, End, Mode, StartError};
use crate::manifest::source;
use crate::model::{DesiredStatus, Timestamp};
use crate::store::TaskEntry;
use crate::store::dir::known_as;

/// How often a running Longshore is asked how far it is.
const ASK: Duration = Duration::from_millis(250);

/// How long a Longshore may be silent that has the state open.
const STARTING: Duration = Duration::from_secs(10);

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    start: StartArgs,
    /// Seconds until a service that is not steady is a failure
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    timeout: u64,
    /// Do what this plan says (`longshore plan --out FILE`), or refuse if folder or state have moved since
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

/// How far it is, whoever does the work.
#[derive(Debug, Clone, Default)]
struct Progress {
    folder: Arc<FolderStatus>,
    services: Vec<ServiceSummary>,
    pulls: Vec<PullStatus>,
    /// Engines that are waited for.
    waiting: Vec<String>,
    /// Services of which nothing is decided yet.
    held_up: Vec<String>,
}

impl Progress {
    fn of(daemon: &Daemon, waiting: Vec<String>) -> Self {
        let shared = daemon.shared();
        let services = api::summaries(&shared.view.read(), shared.clock.now());
        Self {
            folder: Arc::new(shared.status.borrow().clone()),
            services,
            pulls: shared.pulls.all(),
            waiting,
            held_up: daemon
                .held_up()
                .into_iter()
                .map(|(cluster, name)| format!("{cluster}/{name}"))
                .collect(),
        }
    }

    /// Whether nothing more comes of the folder by itself.
    fn is_settled(&self) -> bool {
        // Where no engine answers, nothing is known of any service, which is not the same as none being there.
        let unknown = self.services.is_empty() && !self.waiting.is_empty();
        self.folder.applied
            && !unknown
            && self.held_up.is_empty()
            && self
                .services
                .iter()
                .all(|s| s.is_settled() || s.status == "INACTIVE")
    }

    /// What does not run as the folder says, and why.
    fn differs(&self) -> Vec<String> {
        let all = self.services.iter().filter(|s| s.status != "INACTIVE");
        all.flat_map(|service| {
            let mut lines: Vec<String> = service
                .differs()
                .into_iter()
                .map(|why| format!("service {}: {why}", service.name))
                .collect();
            let said = service.failed.iter().flat_map(|f| f.last_words());
            lines.extend(said.map(|line| format!("  | {line}")));
            lines
        })
        .collect()
    }
}

impl From<StatusReport> for Progress {
    fn from(report: StatusReport) -> Self {
        Self {
            folder: Arc::new(report.folder),
            services: report.services,
            pulls: report.pulls,
            waiting: report.stale.into_iter().collect(),
            held_up: report.held_up,
        }
    }
}

/// Exit 0 when every service is steady at what the folder says; 1 with the cause and the last log lines when one is not, also
/// when it was rolled back and serves, or a manifest is invalid.
pub async fn run(mut args: ApplyArgs, globals: &Globals) -> CommandResult {
    let plan = args.plan.as_deref().map(read_plan).transpose()?;
    if let (None, Some(plan)) = (&args.start.dir, &plan) {
        args.start.dir = Some(PathBuf::from(&plan.folder));
    }
    check(args.start.dir(), globals)?;
    let mut options = args.start.options(globals, Mode::Follow)?;
    if let (Some(file), Some(plan)) = (&args.plan, plan) {
        options.only = Some(still_holds(plan, file, args.start.dir(), globals).await?);
    }
    if args.start.engine == super::start::EngineName::Simulated {
        tracing::warn!("the engine is simulated: nothing real runs");
    }
    match Daemon::start(options).await {
        Ok(daemon) => {
            let result = here(&daemon, &args, globals).await;
            let left = daemon
                .shared()
                .view
                .read()
                .tasks
                .values()
                .any(|task| is_ours(task));
            daemon.stop().await;
            // Where another one holds the cluster, nothing of it is ours, and that one keeps it.
            let real = args.start.engine != super::start::EngineName::Simulated;
            if left && real && !matches!(result, Err(Failure::CouldNotRun(_))) {
                output::message(&format!(
                    "nothing supervises these tasks now: a task that ends is not replaced. `longshore run {}` keeps them",
                    args.start.dir().display()
                ));
            }
            result
        }
        Err(StartError::InUse(_)) => there(&args, globals).await,
        Err(error @ (StartError::Other(_) | StartError::Ended)) => {
            Err(Failure::could_not_run(error))
        }
    }
}

/// Whether a task is one that somebody has to look after.
fn is_ours(task: &TaskEntry) -> bool {
    task.record.desired == DesiredStatus::Running && task.record.service.is_some()
}

/// A folder with errors is refused as a whole: whoever applies once wants all of it or none.
fn check(dir: &Path, globals: &Globals) -> CommandResult {
    let loaded = super::validate::load(&[dir.to_owned()]);
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|d| d.severity == crate::diagnostic::Severity::Error)
        .count();
    if !dir.is_dir() {
        return Err(Failure::could_not_run(format!(
            "{} is no folder. `longshore init` writes one",
            dir.display()
        )));
    }
    if errors > 0 {
        let text = super::validate::human(&loaded.diagnostics, globals.colour_on_stderr());
        output::write_stderr(text.as_bytes());
        return Err(Failure::findings(
            "nothing was changed: the manifests have errors",
        ));
    }
    Ok(())
}

/// What `plan --out` wrote.
fn read_plan(file: &Path) -> Result<PlanDocument, Failure> {
    let could_not = |error: &dyn std::fmt::Display| {
        Failure::could_not_run(format!("{}: {error}", file.display()))
    };
    let text = std::fs::read_to_string(file).map_err(|error| could_not(&error))?;
    PlanDocument::parse(&text).map_err(|error| could_not(&error))
}

/// The hash of the folder that a plan is of, where the plan would be the same now.
async fn still_holds(
    plan: PlanDocument,
    file: &Path,
    dir: &Path,
    globals: &Globals,
) -> Result<String, Failure> {
    let shown = file.display();
    let looked = preview::look(dir, &globals.into(), globals.store()?)
        .await
        .map_err(Failure::could_not_run)?;
    let now = PlanDocument::of(&preview::of(&looked), &looked.scan);
    let moved = plan.moved(&now);
    if moved.is_empty() {
        return Ok(plan.folder_hash);
    }
    Err(Failure::findings(format!(
        "nothing was changed: the plan in {shown} does not hold any more\n  {}\nmake a new one: longshore plan {} --out {shown}",
        moved.join("\n  "),
        dir.display()
    )))
}

/// Does it in this process.
async fn here(daemon: &Daemon, args: &ApplyArgs, globals: &Globals) -> CommandResult {
    let shared = Arc::clone(daemon.shared());
    let mut instances = daemon.instances();
    let (sender, receiver) = watch::channel(Progress::default());
    let look = async {
        let mut changes = shared.view.subscribe();
        let mut folder = shared.status.subscribe();
        let mut tick = tokio::time::interval(ASK);
        loop {
            let reports = instances.borrow_and_update().clone();
            if let Some(reason) = held(&reports) {
                return Err(Failure::could_not_run(reason));
            }
            let waiting = reports
                .iter()
                .filter_map(daemon::InstanceReport::waits_for)
                .collect();
            sender.send_replace(Progress::of(daemon, waiting));
            tokio::select! {
                _ = changes.recv() => while changes.try_recv().is_ok() {},
                _ = folder.changed() => {}
                _ = instances.changed() => {}
                _ = tick.tick() => {}
            }
        }
    };
    tokio::select! {
        result = look => result,
        result = follow(receiver, args.timeout, globals) => result,
        end = daemon.ended() => Err(Failure::could_not_run(match end {
            End::Asked => "it was asked to end".to_owned(),
            End::Failed(why) | End::StoodDown(why) => why,
        })),
    }
}

/// A `run` holds the folder: waits until that one has this folder's content and is steady.
async fn there(args: &ApplyArgs, globals: &Globals) -> CommandResult {
    let folder = known_as(args.start.dir());
    let state = daemon::state_directory(globals.state_dir.as_deref(), &folder)
        .map_err(Failure::could_not_run)?;
    let socket = globals
        .socket
        .clone()
        .unwrap_or_else(|| api::socket_path(&daemon::state_name(&state)));
    let client = Client::at(socket);
    let wanted = source::scan(&folder).hash();
    let (sender, receiver) = watch::channel(Progress::default());
    let ask = async {
        let mut silent = Duration::ZERO;
        loop {
            match client.status().await {
                Ok(report) => {
                    silent = Duration::ZERO;
                    let mut progress = Progress::from(report);
                    if progress.folder.folder_hash != wanted {
                        progress.folder = Arc::new(FolderStatus::default());
                    }
                    sender.send_replace(progress);
                }
                // It has the state open and is about to listen, or is being restarted.
                Err(error) if error.is_not_running() && silent < STARTING => silent += ASK,
                Err(error) => return Err(Failure::could_not_run(error)),
            }
            tokio::time::sleep(ASK).await;
        }
    };
    tokio::select! {
        result = ask => result,
        result = follow(receiver, args.timeout, globals) => result,
    }
}

/// Shows progress until all is steady, time is up or the user has enough.
async fn follow(
    mut progress: watch::Receiver<Progress>,
    seconds: u64,
    globals: &Globals,
) -> CommandResult {
    let mut screen = Screen::new(globals);
    let mut messages = Messages::intercept();
    let settled = async {
        loop {
            let now = progress.borrow_and_update().clone();
            screen.show(&now);
            if now.is_settled() {
                return now;
            }
            tokio::select! {
                changed = progress.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                line = messages.next() => screen.say(line),
            }
        }
    };
    let result = tokio::select! {
        done = settled => Ok(done),
        () = tokio::time::sleep(Duration::from_secs(seconds)) => Err("time is up"),
        () = asked_to_stop() => Err("interrupted"),
    };
    drop(messages);
    screen.end();
    match result {
        Ok(done) if !done.differs().is_empty() => Err(Failure::findings(format!(
            "what runs is not what the folder says\n{}",
            done.differs().join("\n")
        ))),
        Ok(done) => {
            let count = done
                .services
                .iter()
                .filter(|s| s.status != "INACTIVE")
                .count();
            output::message(&format!("steady: {}", output::count(count, "service")));
            Ok(())
        }
        Err(why) => {
            let last = progress.borrow().clone();
            Err(Failure::findings(format!(
                "{why} after {seconds} s\n{}",
                explain(&last)
            )))
        }
    }
}

/// Why it is not steady: each service with its cause and the last lines of the task that failed (P7).
fn explain(progress: &Progress) -> String {
    let mut lines = Vec::new();
    lines.extend(
        progress
            .waiting
            .iter()
            .map(|w| format!("waiting for the engine: {w}")),
    );
    if !progress.folder.applied {
        lines.push("the folder as it is now was not taken yet".to_owned());
    }
    if !progress.held_up.is_empty() {
        lines.push(format!(
            "nothing is decided about {} until it is known what runs in its cluster (longshore get instances)",
            progress.held_up.join(", ")
        ));
    }
    for service in progress
        .services
        .iter()
        .filter(|s| !s.steady && s.status != "INACTIVE")
    {
        lines.push(format!(
            "service {} is {}: desired {}, running {}, healthy {}, {}",
            service.name,
            service.phase.as_str(),
            service.desired,
            service.running,
            service.healthy,
            service.rollout_reason
        ));
        if let Some(event) = &service.last_event {
            lines.push(format!("  last event: {event}"));
        }
        if let Some(failure) = &service.failure {
            lines.push(format!(
                "  task {} of {} failed: {}",
                failure.task, failure.revision, failure.reason
            ));
            lines.extend(
                failure
                    .last_log_lines
                    .iter()
                    .map(|line| format!("  | {line}")),
            );
        }
    }
    lines.join("\n")
}

/// A table that is redrawn in a terminal; in a pipe, a line for each service that changed.
struct Screen {
    live: Option<Live>,
    colour: bool,
    said: Vec<String>,
    /// What is below the messages in a terminal.
    block: Vec<String>,
    messages: Folded,
}

/// The program's own messages, which would else be written into the table.
struct Messages(mpsc::UnboundedReceiver<String>);

impl Messages {
    fn intercept() -> Self {
        let (to, messages) = mpsc::unbounded_channel();
        logging::redirect(Some(Box::new(move |line| {
            let _ = to.send(line);
        })));
        Self(messages)
    }

    async fn next(&mut self) -> String {
        match self.0.recv().await {
            Some(line) => line,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        logging::redirect(None);
        while let Ok(line) = self.0.try_recv() {
            output::message(&line);
        }
    }
}

/// Messages of which only the task and the time differ: every task of a service that cannot start says the same thing at every
/// try. The first is shown; the others are counted.
#[derive(Default)]
struct Folded {
    more: BTreeMap<String, usize>,
}

impl Folded {
    /// Whether it is to be shown.
    fn is_new(&mut self, line: &str) -> bool {
        match self.more.get_mut(&cause(line)) {
            Some(more) => {
                *more += 1;
                false
            }
            None => {
                self.more.insert(cause(line), 0);
                true
            }
        }
    }

    /// A line for each message that came again.
    fn again(&self) -> impl Iterator<Item = String> {
        let again = self.more.iter().filter(|(_, more)| **more > 0);
        again.map(|(cause, more)| format!("{more} more of: {cause}"))
    }
}

/// A message without its time, its colours and the task that it is about.
fn cause(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut escape = false;
    for c in line.chars() {
        if escape {
            escape = !c.is_ascii_alphabetic();
        } else if c == '\u{1b}' {
            escape = true;
        } else {
            plain.push(c);
        }
    }
    let mut words: Vec<&str> = plain.split_whitespace().collect();
    if words
        .first()
        .is_some_and(|word| Timestamp::parse_rfc3339(word).is_some())
    {
        words.remove(0);
    }
    words.retain(|word| !word.starts_with("task="));
    words.join(" ")
}

impl Screen {
    fn new(globals: &Globals) -> Self {
        Self {
            live: std::io::stderr().is_terminal().then(Live::default),
            colour: globals.colour_on_stderr(),
            said: Vec::new(),
            block: Vec::new(),
            messages: Folded::default(),
        }
    }

    /// A message of the program, above the table.
    fn say(&mut self, line: String) {
        if !self.messages.is_new(&line) {
            return;
        }
        match &mut self.live {
            Some(live) => live.messages(&[line], &self.block),
            None => output::message(&line),
        }
    }

    fn show(&mut self, progress: &Progress) {
        let now = SystemClock.now();
        if let Some(live) = &mut self.live {
            let mut block = services::lines(&progress.services, now, self.colour);
            block.extend(progress.pulls.iter().map(services::pulling));
            block.extend(
                progress
                    .waiting
                    .iter()
                    .map(|w| format!("waiting for the engine: {w}")),
            );
            live.draw(&block);
            self.block = block;
            return;
        }
        let mut lines: Vec<String> = progress
            .services
            .iter()
            .filter(|s| s.status != "INACTIVE")
            .map(|s| {
                format!(
                    "{} {}: {} of {} running, {} healthy, {}",
                    s.name,
                    s.revision,
                    s.running,
                    s.desired,
                    s.healthy,
                    s.phase.as_str()
                )
            })
            .collect();
        lines.extend(
            progress
                .pulls
                .iter()
                .map(|pull| format!("pulling {}", pull.image)),
        );
        lines.extend(
            progress
                .waiting
                .iter()
                .map(|w| format!("waiting for the engine: {w}")),
        );
        for line in &lines {
            if !self.said.contains(line) {
                output::message(line);
            }
        }
        self.said = lines;
    }

    fn end(&mut self) {
        if let Some(live) = &mut self.live {
            live.finish();
        }
        for line in self.messages.again() {
            output::message(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_comes_again_for_another_task_is_counted_and_not_shown() {
        let mut folded = Folded::default();
        let line = |second: u32, task: &str, image: &str| {
            format!(
                "2026-01-01T00:00:{second:02}Z \u{1b}[33m WARN\u{1b}[0m pull {image} failed: not found \u{1b}[3mtask\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"{task}\" kind=ImageNotFound"
            )
        };
        assert!(folded.is_new(&line(1, "aa", "web:9")));
        assert!(!folded.is_new(&line(1, "bb", "web:9")));
        assert!(!folded.is_new(&line(7, "aa", "web:9")));
        assert!(folded.is_new(&line(8, "cc", "db:9")));
        assert_eq!(
            folded.again().collect::<Vec<_>>(),
            ["2 more of: WARN pull web:9 failed: not found kind=ImageNotFound"]
        );
    }
}
