//! Tasks as the engines' history tells them: what runs, what is healthy since when, what fell.

use std::collections::{BTreeMap, BTreeSet};

use longshore::engine::labels;
use longshore::engine::simulated::{Cause, SimEvent, SimEventKind};
use longshore::model::Timestamp;

use super::super::folder::{HEALTHY_AFTER, Service};
use super::super::record::Seen;

/// The label that tells contents of a task definition apart.
pub const VERSION: &str = "app.version";

/// A task.
#[derive(Debug, Default)]
pub struct Task {
    /// Empty for one that no service started.
    pub service: String,
    pub instance: String,
    pub version: u64,
    pub running: BTreeSet<String>,
    /// Containers that ever started.
    started: BTreeSet<String>,
    app_is_healthy: bool,
    /// Since when it runs, all of it.
    up_since: Option<Timestamp>,
    /// The same, of the last time that it ran.
    was_up_since: Option<Timestamp>,
    /// When its health check last said healthy.
    healthy_at: Option<Timestamp>,
    ever_started: bool,
    /// Somebody removed a container of it.
    pub was_maimed: bool,
    /// Its program ended, and nobody made it.
    pub ended_alone: bool,
    /// When it last fell by itself.
    pub fell: Option<Timestamp>,
}

/// What an event came to.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// The first container of a task started.
    Started(String),
    /// A healthy task is no longer, by a call of the API.
    Stopped(String),
}

/// All tasks there ever were.
pub struct Tasks<'a> {
    seen: &'a Seen,
    pub all: BTreeMap<String, Task>,
    pub versions: BTreeMap<u64, Service>,
    /// Tasks that were created, by version.
    pub created: BTreeMap<u64, BTreeSet<String>>,
}

impl<'a> Tasks<'a> {
    pub fn new(seen: &'a Seen) -> Self {
        let versions = seen
            .configs
            .values()
            .flatten()
            .filter_map(|(_, service)| Some((service.as_ref()?.version, service.clone()?)))
            .collect();
        Self {
            seen,
            all: BTreeMap::new(),
            versions,
            created: BTreeMap::new(),
        }
    }

    /// Takes an event of our own in.
    pub fn take(&mut self, event: &SimEvent) -> Vec<News> {
        let label = |name: &str| event.labels.get(name).cloned();
        let (Some(id), Some(container)) = (label(labels::TASK), label(labels::CONTAINER)) else {
            return Vec::new();
        };
        let task = self.all.entry(id.clone()).or_default();
        if let Some(service) = label(labels::SERVICE) {
            task.service = service;
        }
        if let Some(instance) = label(labels::INSTANCE) {
            task.instance = instance;
        }
        if let Some(version) = label(VERSION).and_then(|version| version.parse().ok()) {
            task.version = version;
        }
        let was_healthy = self.is_healthy(&id, event.at);
        self.apply(&id, &container, event);
        let mut news = Vec::new();
        if event.kind == SimEventKind::Started
            && let Some(task) = self.all.get_mut(&id)
            && !std::mem::replace(&mut task.ever_started, true)
        {
            news.push(News::Started(id.clone()));
        }
        if was_healthy && !self.is_healthy(&id, event.at) {
            match is_asked(event) {
                true => news.push(News::Stopped(id)),
                false => {
                    if let Some(task) = self.all.get_mut(&id) {
                        task.fell = Some(event.at);
                    }
                }
            }
        }
        news
    }

    fn apply(&mut self, id: &str, container: &str, event: &SimEvent) {
        let Some(task) = self.all.get_mut(id) else {
            return;
        };
        match event.kind {
            SimEventKind::Created if container == "app" => {
                let of_version = self.created.entry(task.version).or_default();
                of_version.insert(id.to_owned());
            }
            SimEventKind::Created => {}
            SimEventKind::Started => {
                task.running.insert(container.to_owned());
                task.started.insert(container.to_owned());
                if container == "app" {
                    task.app_is_healthy = false;
                }
            }
            SimEventKind::Healthy if container == "app" => {
                task.app_is_healthy = true;
                task.healthy_at = Some(event.at);
            }
            SimEventKind::Unhealthy if container == "app" => task.app_is_healthy = false,
            SimEventKind::Healthy | SimEventKind::Unhealthy => {}
            SimEventKind::Exited { .. } | SimEventKind::Removed { .. } => {
                if let SimEventKind::Removed {
                    cause: Cause::Injected,
                } = event.kind
                {
                    task.was_maimed = true;
                }
                let of_its_own =
                    matches!(event.kind, SimEventKind::Exited { cause, .. } if cause == Cause::Own);
                task.ended_alone |= of_its_own && container == "app";
                task.running.remove(container);
            }
        }
        // A task runs once every container of it has started, also one that is not essential.
        let up = self.versions.get(&task.version).is_some_and(|service| {
            let essential = service.essential().iter();
            essential.clone().all(|name| task.running.contains(*name))
                && service
                    .others()
                    .iter()
                    .all(|name| task.started.contains(*name))
        });
        task.up_since = match up {
            true => task.up_since.or(Some(event.at)),
            false => None,
        };
        task.was_up_since = task.up_since.or(task.was_up_since);
    }

    /// Since when a task that was healthy until now has been so.
    pub fn healthy_since(&self, id: &str) -> Option<Timestamp> {
        let task = self.all.get(id)?;
        let was_up = task.was_up_since?;
        match self.has_check(task) {
            true => task.healthy_at.map(|healthy| healthy.max(was_up)),
            false => Some(was_up.plus(HEALTHY_AFTER)),
        }
    }

    fn has_check(&self, task: &Task) -> bool {
        self.versions
            .get(&task.version)
            .is_some_and(|service| service.check)
    }

    pub fn is_healthy(&self, id: &str, at: Timestamp) -> bool {
        let Some(task) = self.all.get(id) else {
            return false;
        };
        let has_check = self.has_check(task);
        task.up_since.is_some_and(|since| match has_check {
            true => task.app_is_healthy,
            // By a clock that jumped they have been up for as long as it likes.
            false => at.since(since) >= HEALTHY_AFTER || !self.seen.jumps.is_empty(),
        })
    }

    pub fn of_service<'s>(
        &'s self,
        service: &'s str,
    ) -> impl Iterator<Item = (&'s String, &'s Task)> {
        let all = self.all.iter();
        all.filter(move |(_, task)| task.service == service && !service.is_empty())
    }
}

/// Whether a call of the API ended or removed it.
pub fn is_asked(event: &SimEvent) -> bool {
    match event.kind {
        SimEventKind::Exited { cause, .. } | SimEventKind::Removed { cause } => {
            cause == Cause::Asked
        }
        _ => false,
    }
}
