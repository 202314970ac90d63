//! `longshore rollout status SERVICE`: follows a rollout to its end.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use super::Service;
use crate::api::{FolderStatus, Phase, PullStatus, ServiceSummary};
use crate::cli::client_common::failure;
use crate::cli::live::Live;
use crate::cli::start::asked_to_stop;
use crate::cli::{CommandResult, Failure, Globals, output, services};
use crate::clock::{Clock, SystemClock};
use crate::manifest::source;

/// How often the running Longshore is asked how far it is.
const ASK: Duration = Duration::from_millis(250);

/// How long it is waited for that the folder as it is now is taken: the watch sees an edit in milliseconds, and polls every two
/// seconds where it cannot.
const TAKEN: Duration = Duration::from_secs(10);

/// How long a service must have come to rest before that is the end of what was just asked for: the controller hears of it in
/// milliseconds, and until then the service is as it was.
const REST: Duration = Duration::from_millis(1500);

/// Arguments of `rollout status`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 it is completed (with --no-watch also: under way); 1 it failed, was rolled back, stands still or \
takes too long, with the reason and the last log lines; 2 could not run."
)]
pub struct StatusArgs {
    /// The service: `web`, or `prod/web`
    service: String,
    /// Say how it is now, and do not wait
    #[arg(long)]
    no_watch: bool,
    /// Seconds until it is a failure that it has not come to its end
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    timeout: u64,
}

/// Follows it, or says how it is.
pub async fn run(args: &StatusArgs, globals: &Globals) -> CommandResult {
    let service = Service::find(&args.service, globals).await?;
    if !args.no_watch {
        return show(&service, args.timeout, Duration::ZERO, globals).await;
    }
    let summary = service.summary().await.map_err(failure)?;
    let summary = summary.ok_or_else(|| gone(&service))?;
    output::message(&line(&summary));
    verdict(&summary).unwrap_or(Ok(()))
}

/// Follows what was just asked for to its end.
pub async fn follow(service: &Service, seconds: u64, globals: &Globals) -> CommandResult {
    show(service, seconds, REST, globals).await
}

/// Shows how far it is until it has come to its end. Where it does not move at all, it must have rested for so long.
async fn show(service: &Service, seconds: u64, rest: Duration, globals: &Globals) -> CommandResult {
    let mut screen = Screen::new(globals);
    let mut last = None;
    let ended = tokio::select! {
        result = watch(service, rest, &mut screen, &mut last) => Some(result),
        () = tokio::time::sleep(Duration::from_secs(seconds)) => None,
        () = asked_to_stop() => {
            return Err(Failure::findings("interrupted; the rollout goes on"));
        }
    };
    screen.end();
    match ended {
        Some(result) => result,
        None => {
            let how = last.map_or_else(|| "nothing is known of it".to_owned(), |s| explain(&s));
            Err(Failure::findings(format!(
                "it is not done after {seconds} s, and goes on:\n{how}"
            )))
        }
    }
}

async fn watch(
    service: &Service,
    rest: Duration,
    screen: &mut Screen,
    last: &mut Option<ServiceSummary>,
) -> CommandResult {
    let mut wanted: Option<String> = None;
    let mut waited = Duration::ZERO;
    let (mut rested, mut moved) = (Duration::ZERO, false);
    loop {
        let report = service.client.status().await.map_err(failure)?;
        let folder = PathBuf::from(&report.identity.folder);
        // An edit that was made just before is to be seen, not the rollout before it.
        let wanted = wanted.get_or_insert_with(|| source::scan(&folder).hash());
        let taken = report.folder.applied && report.folder.folder_hash == *wanted;
        let summary = report
            .services
            .iter()
            .find(|s| s.cluster.as_str() == service.cluster && s.name == service.name);
        let Some(summary) = summary else {
            return Err(gone(service));
        };
        screen.show(summary, &report.pulls);
        *last = Some(summary.clone());
        if summary.is_settled() {
            rested += ASK;
        } else {
            moved = true;
        }
        if (taken || waited >= TAKEN)
            && (moved || rested > rest)
            && let Some(result) = verdict(summary)
        {
            screen.end();
            held(&report.folder, service)?;
            return result;
        }
        tokio::time::sleep(ASK).await;
        waited += ASK;
    }
}

fn gone(service: &Service) -> Failure {
    Failure::findings(format!(
        "there is no service {} in cluster {} any more",
        service.name, service.cluster
    ))
}

/// A folder of which not everything could be taken has rolled out something older than what it says.
fn held(folder: &FolderStatus, service: &Service) -> CommandResult {
    let of_it = |held: &&crate::api::HeldResource| {
        let within = held
            .cluster
            .as_ref()
            .is_none_or(|c| c.as_str() == service.cluster);
        held.kind == "Service" && held.name == service.name && within
    };
    match folder.held.iter().find(of_it) {
        Some(held) => Err(Failure::findings(format!(
            "service {}: {}, because {}",
            service.name,
            held.standing(),
            held.because
        ))),
        None => Ok(()),
    }
}

/// How it ended; none while it goes on.
fn verdict(summary: &ServiceSummary) -> Option<CommandResult> {
    match summary.phase {
        Phase::Steady | Phase::Undone => {
            output::line(&format!(
                "the rollout of {} is completed: {} of {} tasks are healthy",
                summary.revision, summary.healthy, summary.desired
            ));
            for why in summary.differs() {
                output::message(&format!("service {}: {why}", summary.name));
            }
            Some(Ok(()))
        }
        Phase::Inactive => {
            output::line("it was removed, and its tasks are gone");
            Some(Ok(()))
        }
        _ if summary.is_settled() => Some(Err(Failure::findings(explain(summary)))),
        _ => None,
    }
}

/// Why it is as it is: what failed with its last log lines (P7), else what stands in the way.
fn explain(summary: &ServiceSummary) -> String {
    let mut lines = summary.differs();
    if let Some(failed) = &summary.failed {
        lines.extend(failed.last_words().map(|line| format!("  | {line}")));
    } else if let Some(failure) = &summary.failure {
        lines.push(format!(
            "task {} of {} failed: {}",
            failure.task, failure.revision, failure.reason
        ));
        lines.extend(
            failure
                .last_log_lines
                .iter()
                .map(|line| format!("  | {line}")),
        );
    }
    lines.extend(summary.notices.values().cloned());
    lines.join("\n")
}

fn line(s: &ServiceSummary) -> String {
    format!(
        "{}/{} {}: {} of {} running, {} healthy, {}",
        s.cluster,
        s.name,
        s.revision,
        s.running,
        s.desired,
        s.healthy,
        s.phase.as_str()
    )
}

/// The service's row in a terminal, redrawn; in a pipe a line whenever it changes.
struct Screen {
    live: Option<Live>,
    colour: bool,
    said: Option<String>,
}

impl Screen {
    fn new(globals: &Globals) -> Self {
        Self {
            live: std::io::stderr().is_terminal().then(Live::default),
            colour: globals.colour_on_stderr(),
            said: None,
        }
    }

    fn show(&mut self, summary: &ServiceSummary, pulls: &[PullStatus]) {
        if let Some(live) = &mut self.live {
            let now = SystemClock.now();
            let mut block = services::lines(std::slice::from_ref(summary), now, self.colour);
            block.extend(pulls.iter().map(services::pulling));
            live.draw(&block);
            return;
        }
        let line = line(summary);
        if self.said.as_ref() != Some(&line) {
            output::message(&line);
            self.said = Some(line);
        }
    }

    fn end(&mut self) {
        if let Some(live) = &mut self.live {
            live.finish();
        }
    }
}
