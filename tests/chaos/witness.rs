//! What there is to judge by: every engine's own events from the first to the last, what the test itself did to containers, engines,
//! disk and folder, and when Longshore recorded which order. Nothing of what Longshore says about how things are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use longshore::api::client::Client;
use longshore::clock::{Clock, SystemClock};
use longshore::engine::docker::{DockerEngine, Limits};
use longshore::engine::endpoint::Endpoint;
use longshore::engine::{ContainerState, Engine, EngineEvent, ObservedContainer, labels};
use longshore::model::{ServiceEvent, StopOrder, TaskLost, TaskRecord, Timestamp};
use longshore::store::Key;
use serde_json::{Map, Value};
use tokio_util::task::AbortOnDropHandle;

use crate::common;
use crate::folder::{Folder, Service};
use crate::timeline::Timeline;

/// How often the orders that Longshore recorded are looked at. It remembers tasks that began, and events, for longer.
const LOOK: Duration = Duration::from_secs(1);
/// Pause between attempts to read an engine's events.
const RETRY: Duration = Duration::from_millis(50);

/// Something that happened, in the order in which it is told.
#[derive(Debug, Clone)]
pub enum Fact {
    /// An engine tells of a container.
    Event(u32, EngineEvent),
    /// An engine's events are read anew, and these are its containers.
    Listed(u32, Vec<ObservedContainer>),
    /// From here on an engine is ended, or killed, by us; what happens on it is not Longshore's doing.
    EngineEnds(u32),
    /// A container was struck by us.
    Struck(String),
    /// A user asked for this task to be stopped.
    AskedToStop(String),
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(engine, event) => {
                let name = event.attributes.get("name").map_or("", String::as_str);
                let signal = event.attributes.get("signal").map_or("", String::as_str);
                write!(f, "engine {engine}: {} {name} {signal}", event.action)
            }
            Self::Listed(engine, containers) => {
                let running = containers
                    .iter()
                    .filter(|c| c.state == ContainerState::Running)
                    .count();
                write!(f, "engine {engine}: {running} containers run")
            }
            Self::EngineEnds(engine) => write!(f, "fault: engine {engine} ends"),
            Self::Struck(container) => write!(f, "fault: {container} is struck"),
            Self::AskedToStop(task) => write!(f, "user: stop {task}"),
        }
    }
}

/// An order that Longshore recorded.
#[derive(Debug, Clone)]
pub struct Order {
    pub service: String,
    pub started: Timestamp,
    pub stop: Option<StopOrder>,
    /// When it was given up with its instance, if it was.
    pub lost: Option<Timestamp>,
}

/// A time span that may not have ended.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub from: Timestamp,
    pub until: Option<Timestamp>,
}

impl Span {
    pub fn has(&self, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| at <= until)
    }
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub facts: Vec<(Timestamp, Fact)>,
    pub orders: BTreeMap<String, Order>,
    /// What each service was to be.
    pub configs: Timeline<Service>,
    /// When an engine could not be reached, by its number.
    pub away: Vec<(u32, Span)>,
    /// When nothing could be written down.
    pub disk_full: Vec<Span>,
    /// When a service was suspended.
    pub suspended: Vec<(String, Span)>,
    /// When Longshore was asked to remove everything. It forgets orders once they are carried out, sooner than they are looked at.
    pub down: Option<Timestamp>,
}

/// See the module. Clones are the same witness.
#[derive(Debug, Clone)]
pub struct Witness {
    seen: Arc<Mutex<Seen>>,
    /// The cluster that is looked at.
    cluster: String,
}

pub fn now() -> Timestamp {
    SystemClock.now()
}

impl Witness {
    pub fn new(cluster: &str) -> Self {
        Self {
            seen: Arc::default(),
            cluster: cluster.to_owned(),
        }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tell(&self, fact: Fact) {
        self.seen().facts.push((now(), fact));
    }

    /// The folder is about to be like this: what can be taken of it is in force soon, the rest stays as it was (P1).
    pub fn edited(&self, folder: &Folder) {
        let mut seen = self.seen();
        let now = now();
        for (name, service) in &folder.services {
            if !folder.spoilt.contains_key(name) {
                seen.configs.set(name, now, Some(service.clone()));
            }
        }
        if folder.is_valid() {
            let stays = |name: &str| folder.services.contains_key(name);
            seen.configs.keep(now, stays);
        }
    }

    /// Everything is about to be asked to go.
    pub fn down(&self) {
        self.edited(&Folder::default());
        self.seen().down = Some(now());
    }

    /// An engine goes away. Where the engine itself ends, it ends its containers.
    pub fn away(&self, engine: u32, ends: bool) {
        let from = now();
        let mut seen = self.seen();
        seen.away.push((engine, Span { from, until: None }));
        if ends {
            seen.facts.push((from, Fact::EngineEnds(engine)));
        }
    }

    pub fn back(&self, engine: u32) {
        let mut seen = self.seen();
        let last = seen.away.iter_mut().rfind(|(number, _)| *number == engine);
        if let Some((_, span)) = last {
            span.until = Some(now());
        }
    }

    pub fn disk(&self, full: bool) {
        let mut seen = self.seen();
        let from = now();
        match full {
            true => seen.disk_full.push(Span { from, until: None }),
            false => {
                if let Some(last) = seen.disk_full.last_mut() {
                    last.until.get_or_insert(from);
                }
            }
        }
    }

    /// From now on the service is suspended, or no more.
    pub fn suspended(&self, service: &str, is: bool) {
        let from = now();
        let mut seen = self.seen();
        match is {
            true => seen
                .suspended
                .push((service.to_owned(), Span { from, until: None })),
            false => {
                let all = seen.suspended.iter_mut();
                for (_, span) in all.filter(|(name, _)| name == service) {
                    span.until.get_or_insert(from);
                }
            }
        }
    }

    /// Follows an engine's events for as long as the handle lives, across its ends and returns.
    pub fn follow(&self, engine: u32, socket: PathBuf) -> AbortOnDropHandle<()> {
        let witness = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut since: Option<Timestamp> = None;
            let mut told = BTreeSet::new();
            loop {
                witness.read(engine, &socket, &mut since, &mut told).await;
                tokio::time::sleep(RETRY).await;
            }
        }))
    }

    async fn read(
        &self,
        engine: u32,
        socket: &std::path::Path,
        since: &mut Option<Timestamp>,
        told: &mut BTreeSet<(i64, String, String)>,
    ) -> Option<()> {
        let endpoint = Endpoint::Unix(socket.to_owned());
        let client = DockerEngine::connect(&endpoint, Limits::default())
            .await
            .ok()?;
        let mut events = client.events(*since).await.ok()?;
        let listed_at = now();
        let containers = client.list_containers(&[]).await.ok()?;
        self.seen()
            .facts
            .push((listed_at, Fact::Listed(engine, containers)));
        while let Some(Ok(event)) = events.next().await {
            *since = Some(event.at);
            // `since` has its own moment in it.
            if told.insert((event.at_nanos, event.id.clone(), event.action.clone()))
                && event.kind == "container"
                && self.concerns(&event)
            {
                let at = event.at;
                self.seen().facts.push((at, Fact::Event(engine, event)));
            }
        }
        Some(())
    }

    /// Whether it is about a container of this cluster, or one of somebody else's that the test looks after.
    fn concerns(&self, event: &EngineEvent) -> bool {
        let of = |label: &str| event.attributes.get(label);
        of(labels::CLUSTER) == Some(&self.cluster) || of(common::RUN_LABEL).is_some()
    }

    /// Looks at the orders that the Longshore at this socket records, for as long as the handle lives.
    pub fn follow_orders(&self, socket: PathBuf) -> AbortOnDropHandle<()> {
        let witness = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let client = Client::at(socket);
            loop {
                witness.look_at_orders(&client).await;
                tokio::time::sleep(LOOK).await;
            }
        }))
    }

    /// Looks once; whether there was an answer.
    pub async fn look_at_orders(&self, client: &Client) -> bool {
        let Ok(state) = client.state().await else {
            return false;
        };
        let Some(items) = state["items"].as_object() else {
            return false;
        };
        self.seen().take_orders(items);
        true
    }
}

impl Seen {
    /// The orders that the items of a store tell of. One that was called off before its task began may be forgotten at once; its
    /// service's events, which are recorded with it, tell of it for longer.
    pub fn take_orders(&mut self, items: &Map<String, Value>) {
        for (key, entry) in items {
            match Key::parse(key) {
                Some(Key::Task(_, id)) => {
                    let record: TaskRecord = read(entry);
                    let lost = self.orders.get(id.as_str()).and_then(|order| order.lost);
                    let order = Order {
                        service: record.service.map_or(String::new(), |s| s.to_string()),
                        started: record.created_at,
                        stop: record.stop,
                        lost,
                    };
                    self.orders.insert(id.to_string(), order);
                }
                Some(Key::TaskLost(_, id)) => {
                    let lost: TaskLost = read(entry);
                    if let Some(order) = self.orders.get_mut(id.as_str()) {
                        order.lost = Some(lost.at);
                    }
                }
                Some(Key::Event(_, service, _)) => {
                    let event: ServiceEvent = read(entry);
                    for id in started_by(&event.message) {
                        let order = Order {
                            service: service.to_string(),
                            started: event.at,
                            stop: None,
                            lost: None,
                        };
                        self.orders.entry(id.to_owned()).or_insert(order);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The tasks that an event says were started.
fn started_by(message: &str) -> Vec<&str> {
    let (_, tasks) = message.split_once(" has started ").unwrap_or_default();
    let tasks = tasks.split("(task ").skip(1);
    tasks
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .collect()
}

/// A value of the store's dump.
pub fn read<T: serde::de::DeserializeOwned>(entry: &Value) -> T {
    serde_json::from_value(entry["value"].clone()).expect("a value of the store can be read")
}
