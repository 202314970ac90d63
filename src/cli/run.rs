//! `longshore run [DIR]`: the long-running reconciler.

use std::io::IsTerminal;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::live::{Live, size};
use super::start::{StartArgs, asked_to_stop, held, start};
use super::{CommandResult, Failure, Globals, logging, services};
use crate::daemon::{Daemon, End, EngineChoice, Mode, Options, Shared};
use crate::model::EventLevel;
use crate::store::keys::Key;
use crate::store::view::Changed;

/// Pause between standing down and standing by.
const BETWEEN: Duration = Duration::from_secs(1);

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    start: StartArgs,
}

/// Runs until SIGTERM or SIGINT; containers keep running. Where others share the store it stands by, leads, and stands by again when
/// it has lost the lead.
pub async fn run(args: RunArgs, globals: &Globals) -> CommandResult {
    let options = Options {
        stand_by: true,
        ..args.start.options(globals, Mode::Follow)?
    };
    // From the very beginning: a signal between two lives must not be missed.
    let mut asked = pin!(asked_to_stop());
    loop {
        let daemon = tokio::select! {
            daemon = start(options.clone()) => daemon?,
            () = &mut asked => {
                tracing::info!("stopped while standing by");
                return Ok(());
            }
        };
        let Some(why) = live(daemon, globals, asked.as_mut()).await? else {
            return Ok(());
        };
        tracing::warn!("{why}; standing down, and by. Containers keep running");
        tokio::time::sleep(BETWEEN).await;
    }
}

/// One life as the one that decides; returns why another may decide by now, where that is why it ended.
async fn live(
    daemon: Daemon,
    globals: &Globals,
    asked: Pin<&mut impl Future<Output = ()>>,
) -> Result<Option<String>, Failure> {
    let shared = Arc::clone(daemon.shared());
    tracing::info!(
        folder = %shared.folder.display(),
        owner = %shared.owner,
        "longshore {} follows this folder",
        env!("CARGO_PKG_VERSION")
    );
    let events = tokio::spawn(say_events(Arc::clone(&shared)));
    let live = (std::io::stderr().is_terminal() && globals.verbose == 0)
        .then(|| tokio::spawn(show_table(Arc::clone(&shared), globals.colour_on_stderr())));

    let result = wait(&daemon, asked).await;

    events.abort();
    if let Some(live) = live {
        live.abort();
        let _ = live.await;
        logging::redirect(None);
    }
    let running = shared
        .view
        .read()
        .tasks
        .values()
        .filter(|t| crate::api::standing::is_running(t))
        .count();
    daemon.stop().await;
    if matches!(result, Ok(None)) && running > 0 {
        tracing::info!("{}", last_words(shared.options.engine, running));
    }
    result
}

/// What becomes of the tasks that ran.
fn last_words(engine: EngineChoice, running: usize) -> String {
    match (engine, running) {
        (EngineChoice::Simulated, _) => "stopped; what was simulated is gone with it".to_owned(),
        (EngineChoice::Docker, 1) => {
            "stopped; 1 task keeps running. `longshore down` removes it".to_owned()
        }
        (EngineChoice::Docker, many) => {
            format!("stopped; {many} tasks keep running. `longshore down` removes them")
        }
    }
}

async fn wait(
    daemon: &Daemon,
    asked: Pin<&mut impl Future<Output = ()>>,
) -> Result<Option<String>, Failure> {
    let mut instances = daemon.instances();
    let refused = async {
        loop {
            if let Some(reason) = held(&instances.borrow_and_update()) {
                return reason;
            }
            if instances.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        () = asked => Ok(None),
        end = daemon.ended() => match end {
            End::Asked => Ok(None),
            End::StoodDown(why) => Ok(Some(why)),
            End::Failed(why) => Err(Failure::could_not_run(why)),
        },
        reason = refused => Err(Failure::could_not_run(reason)),
    }
}

/// Says each service event once, as a message of the program.
async fn say_events(shared: Arc<Shared>) {
    let mut changes = shared.view.subscribe();
    loop {
        match changes.recv().await {
            Ok(Changed::Key(change)) => {
                let Key::Event(cluster, service, seq) = change.key else {
                    continue;
                };
                let event = {
                    let state = shared.view.read();
                    state
                        .events
                        .get(&(cluster.clone(), service))
                        .and_then(|events| events.get(&seq).cloned())
                };
                let Some(event) = event else { continue };
                match event.level {
                    EventLevel::Info => tracing::info!(cluster = %cluster, "{}", *event),
                    EventLevel::Warn => tracing::warn!(cluster = %cluster, "{}", *event),
                    EventLevel::Error => tracing::error!(cluster = %cluster, "{}", *event),
                }
            }
            Ok(Changed::Everything) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Keeps the table of services at the bottom of the terminal, and messages above it.
async fn show_table(shared: Arc<Shared>, colour: bool) {
    let (sender, mut messages) = mpsc::unbounded_channel();
    logging::redirect(Some(Box::new(move |line| {
        let _ = sender.send(line);
    })));
    let mut live = Live::default();
    let mut changes = shared.view.subscribe();
    let mut status = shared.status.subscribe();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut shown = Vec::new();
    let mut wide = size();
    loop {
        let mut said = Vec::new();
        tokio::select! {
            line = messages.recv() => said.extend(line),
            _ = changes.recv() => {}
            _ = status.changed() => {}
            _ = second.tick() => {}
        }
        // Many changes at once are one drawing.
        tokio::time::sleep(Duration::from_millis(30)).await;
        while changes.try_recv().is_ok() {}
        while let Ok(line) = messages.try_recv() {
            said.push(line);
        }
        let block = services::table(&shared, colour, size().0);
        let now = size();
        if said.is_empty() && block == shown && now == wide {
            continue;
        }
        live.messages(&said, &block);
        shown = block;
        wide = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_said_to_keep_running_only_where_they_are_real() {
        let docker = |count| last_words(EngineChoice::Docker, count);
        assert!(docker(1).contains("1 task keeps running"));
        assert!(docker(2).contains("2 tasks keep running"));
        assert!(!last_words(EngineChoice::Simulated, 2).contains("running"));
    }
}
