//! What runs, from the engine's own events: no polling that would compete with what is measured.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use longshore::engine::docker::DockerEngine;
use longshore::engine::{Engine, EngineEvent};
use tokio::sync::mpsc;

/// Label of every container that is measured: whose it is.
pub const RUN: &str = "bench.run";
/// Label of every container that is measured: which version of the service.
pub const VERSION: &str = "bench.version";

/// How long anything may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// The containers of one run.
pub struct Watch {
    events: mpsc::UnboundedReceiver<EngineEvent>,
    run: String,
    /// Running ones, with their version.
    pub running: BTreeMap<String, String>,
    /// Those that exist.
    pub existing: BTreeSet<String>,
    /// Calls that changed one of them.
    pub changes: u64,
}

impl Watch {
    /// Follows a run of which nothing exists yet.
    pub async fn begin(engine: &DockerEngine, run: &str) -> Self {
        let mut stream = engine.events(None).await.expect("events");
        let (sender, events) = mpsc::unbounded_channel();
        // Read at once: the engine drops what a slow reader leaves lying.
        tokio::spawn(async move {
            while let Some(Ok(event)) = stream.next().await {
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self {
            events,
            run: run.to_owned(),
            running: BTreeMap::new(),
            existing: BTreeSet::new(),
            changes: 0,
        }
    }

    /// Waits until `reached` holds, and returns when the event happened that made it so, in nanoseconds.
    pub async fn until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) -> i64 {
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the stream goes on");
                if self.take(&event) && reached(self) {
                    return event.at_nanos;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(at) => at,
            Err(_) => panic!(
                "{}: {what} did not happen; {} run, {} exist",
                self.run,
                self.running.len(),
                self.existing.len()
            ),
        }
    }

    /// Waits until `count` containers of that version run, and none of another.
    pub async fn until_run(&mut self, count: usize, version: u32) -> i64 {
        let version = version.to_string();
        self.until("the wanted count", move |seen| {
            seen.running.len() == count && seen.running.values().all(|v| *v == version)
        })
        .await
    }

    /// Takes in what happens until nothing has for so long.
    pub async fn until_quiet(&mut self, quiet: Duration) {
        while let Ok(Some(event)) = tokio::time::timeout(quiet, self.events.recv()).await {
            self.take(&event);
        }
    }

    fn take(&mut self, event: &EngineEvent) -> bool {
        if event.kind != "container" || event.attributes.get(RUN) != Some(&self.run) {
            return false;
        }
        let id = event.id.clone();
        match event.action.as_str() {
            "create" => {
                self.existing.insert(id);
            }
            "start" => {
                let version = event.attributes.get(VERSION).cloned();
                self.running.insert(id, version.unwrap_or_default());
            }
            "die" => {
                self.running.remove(&id);
            }
            "destroy" => {
                self.running.remove(&id);
                self.existing.remove(&id);
            }
            _ => return false,
        }
        self.changes += 1;
        true
    }
}
