//! P3, judged by the engine's own events: how many tasks of a service were healthy, and how many there were, at each instant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use longshore::engine::{Engine, EngineEvent, labels};
use tokio::task::JoinHandle;

use crate::rig::Rig;

/// A recording of one service's container events.
pub struct Recording {
    events: Arc<Mutex<Vec<EngineEvent>>>,
    reader: JoinHandle<()>,
}

/// The least healthy tasks and the most tasks that there ever were between the first moment with `from` healthy ones and
/// the end.
#[derive(Debug, PartialEq, Eq)]
pub struct Extremes {
    pub least_healthy: usize,
    pub most_tasks: usize,
}

impl Recording {
    /// Begins to record.
    pub async fn of(rig: &Rig, service: &'static str) -> Self {
        let mut stream = rig.engine.events(None).await.expect("events");
        let cluster = rig.cluster.clone();
        let events = Arc::new(Mutex::new(Vec::new()));
        let reader = tokio::spawn({
            let events = Arc::clone(&events);
            async move {
                while let Some(Ok(event)) = stream.next().await {
                    let of = |label: &str| event.attributes.get(label).map(String::as_str);
                    let ours = of(labels::CLUSTER) == Some(&cluster)
                        && of(labels::SERVICE) == Some(service)
                        && of(labels::CONTAINER) == Some("main");
                    if ours {
                        events.lock().expect("no panic").push(event);
                    }
                }
            }
        });
        Self { events, reader }
    }

    /// How much has happened so far, health checks left out.
    pub fn len(&self) -> usize {
        let events = self.events.lock().expect("no panic");
        let actions = events.iter().map(|event| &event.action);
        actions.filter(|a| !a.starts_with("exec_")).count()
    }

    /// What has happened to a container so far, in order.
    pub fn actions(&self, id: &str) -> Vec<String> {
        let events = self.events.lock().expect("no panic");
        let its = events.iter().filter(|event| event.id == id);
        its.map(|event| event.action.clone()).collect()
    }

    /// Ends the recording and judges it. A task without a health check counts as healthy from its start on; that is kinder
    /// than ECS to the number of new tasks, and as strict with the old ones. A container that was created and never started
    /// is no task that runs: its task was stopped before, and what is left of it is kept as its record.
    pub fn judge(self, from: usize, checked: bool) -> Extremes {
        self.reader.abort();
        let mut events = self.events.lock().expect("no panic").clone();
        events.sort_by_key(|e| e.at_nanos);
        let started: BTreeSet<String> = events
            .iter()
            .filter(|event| event.action == "start")
            .map(|event| event.id.clone())
            .collect();
        let mut healthy: BTreeMap<String, bool> = BTreeMap::new();
        let mut existing: BTreeSet<String> = BTreeSet::new();
        let (mut least, mut most) = (usize::MAX, 0);
        let mut begun = false;
        for event in events {
            match event.action.as_str() {
                "create" if started.contains(&event.id) => {
                    existing.insert(event.id.clone());
                }
                "start" => {
                    healthy.insert(event.id.clone(), !checked);
                }
                "health_status: healthy" => {
                    healthy.insert(event.id.clone(), true);
                }
                "health_status: unhealthy" => {
                    healthy.insert(event.id.clone(), false);
                }
                // The order to stop is what Longshore answers for; the end follows it.
                "kill" => {
                    healthy.remove(&event.id);
                }
                "die" => {
                    healthy.remove(&event.id);
                    existing.remove(&event.id);
                }
                "destroy" => {
                    existing.remove(&event.id);
                }
                _ => {}
            }
            let count = healthy.values().filter(|h| **h).count();
            begun |= count >= from;
            most = most.max(existing.len());
            if begun {
                least = least.min(count);
            }
        }
        Extremes {
            least_healthy: least,
            most_tasks: most,
        }
    }
}
