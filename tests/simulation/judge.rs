//! The judge. It looks at what happened on the engines, in the engines' own words, and at when the orders for it were given;
//! it never asks Longshore how things are.
//!
//! Faults that were put into the code once, to see that they are caught (of 100 seeds each):
//!
//! * floor: `Rolling::may_stop` allows everything (16 seeds); an agent that is settled before it has looked (1);
//! * cap: `Rolling::start_missing` takes room for given (47);
//! * orphans, in `rest`: an agent's worker never clears what has no record (34);
//! * broken folders: the last good version is forgotten, and what is missing counts as removed (15);
//! * throttle: its delay is always nothing.
//!
//! The floor, the cap and stops without an order found what the first runs found: a takeover that compared with the wrong
//! revision, and services that an unreadable folder did not show.
//!
//! What Longshore cannot know yet is not held against it: a task that fell by itself less than [`Weather::lag`] before an
//! order was given, or after it, counts as if it still stood.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore::engine::labels;
use longshore::engine::simulated::{Cause, SimEvent, SimEventKind};
use longshore::model::Timestamp;

use super::folder::{HEALTHY_AFTER, Service};
use super::record::Seen;
use super::scenario::Weather;
use super::timeline::before;

/// The label that tells contents of a task definition apart.
pub const VERSION: &str = "app.version";

/// A task as the engines' history tells it.
#[derive(Debug, Default)]
struct Task {
    service: String,
    version: u64,
    running: BTreeSet<String>,
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
    was_maimed: bool,
    /// When it last fell by itself.
    fell: Option<Timestamp>,
}

/// See the module.
pub struct Judge<'a> {
    seen: &'a Seen,
    lag: Duration,
    tasks: BTreeMap<String, Task>,
    versions: BTreeMap<u64, Service>,
    /// Services that were at rest when the folder broke, by the position in [`Seen::broken`].
    at_rest: BTreeMap<usize, BTreeSet<String>>,
    created: BTreeMap<u64, BTreeSet<String>>,
    wrong: Vec<String>,
}

impl<'a> Judge<'a> {
    pub fn new(seen: &'a Seen, weather: Weather) -> Self {
        let versions = seen
            .configs
            .0
            .values()
            .flatten()
            .filter_map(|(_, service)| Some((service.as_ref()?.version, service.clone()?)))
            .collect();
        Self {
            seen,
            lag: weather.lag(),
            tasks: BTreeMap::new(),
            versions,
            at_rest: BTreeMap::new(),
            created: BTreeMap::new(),
            wrong: seen.wrong.clone(),
        }
    }

    /// What was wrong in all that happened, `events` in the order of time.
    pub fn judge(mut self, events: &[SimEvent]) -> Vec<String> {
        let mut breaks = self.seen.broken.iter().enumerate().peekable();
        for event in events {
            while let Some((at, broken)) = breaks.next_if(|(_, broken)| broken.from <= event.at) {
                let at_rest = self.at_rest(broken.from);
                self.at_rest.insert(at, at_rest);
            }
            self.take(event);
        }
        self.starts();
        self.wrong
    }

    fn take(&mut self, event: &SimEvent) {
        let label = |name: &str| event.labels.get(name).cloned();
        let asked = |cause: Cause| cause == Cause::Asked;
        let ours = match event.kind {
            SimEventKind::Exited { cause, .. } | SimEventKind::Removed { cause } => asked(cause),
            _ => false,
        };
        if label(labels::OWNER).is_none() {
            if ours {
                self.wrong.push(format!(
                    "P2: {} {} was touched, and is not ours",
                    event.at, event.name
                ));
            }
            return;
        }
        let (Some(id), Some(container)) = (label(labels::TASK), label(labels::CONTAINER)) else {
            return;
        };
        let task = self.tasks.entry(id.clone()).or_default();
        if let Some(service) = label(labels::SERVICE) {
            task.service = service;
        }
        if let Some(version) = label(VERSION).and_then(|version| version.parse().ok()) {
            task.version = version;
        }
        let was_healthy = self.is_healthy(&id, event.at);
        self.apply(&id, &container, event);
        if event.kind == SimEventKind::Started {
            self.started(&id, event.at);
        }
        if was_healthy && !self.is_healthy(&id, event.at) {
            match ours {
                true => self.stopped(&id, event.at),
                false => {
                    if let Some(task) = self.tasks.get_mut(&id) {
                        task.fell = Some(event.at);
                    }
                }
            }
        }
    }

    fn apply(&mut self, id: &str, container: &str, event: &SimEvent) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        match event.kind {
            SimEventKind::Created if container == "app" => {
                self.created
                    .entry(task.version)
                    .or_default()
                    .insert(id.to_owned());
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
    fn healthy_since(&self, id: &str) -> Option<Timestamp> {
        let task = self.tasks.get(id)?;
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

    fn is_healthy(&self, id: &str, at: Timestamp) -> bool {
        let Some(task) = self.tasks.get(id) else {
            return false;
        };
        let has_check = self.has_check(task);
        task.up_since.is_some_and(|since| match has_check {
            true => task.app_is_healthy,
            false => at.since(since) >= HEALTHY_AFTER,
        })
    }

    fn of_service<'s>(&'s self, service: &'s str) -> impl Iterator<Item = (&'s String, &'s Task)> {
        self.tasks
            .iter()
            .filter(move |(_, task)| task.service == service)
    }

    /// P3, the cap: a task that starts must have room.
    fn started(&mut self, id: &str, at: Timestamp) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        if std::mem::replace(&mut task.ever_started, true) {
            return;
        }
        let service = task.service.clone();
        let Some(order) = self.seen.orders.get(id) else {
            self.wrong.push(format!(
                "{at} task {id} of {service} started, and nobody ordered it"
            ));
            return;
        };
        // With the store went what it knew of a task, and with its container, which somebody removed, what its labels told.
        let is_unknown = |task: &Task| task.was_maimed && self.seen.stores_lost > 0;
        let exist = self
            .of_service(&service)
            .filter(|(_, task)| !task.running.is_empty() && !is_unknown(task))
            .count();
        // What edits allow after the order counts as well.
        let configs = self
            .seen
            .configs
            .in_force(&service, before(order.started, self.lag), at);
        let cap = configs
            .iter()
            .flatten()
            .map(Service::cap)
            .max()
            .unwrap_or(0);
        if exist > cap as usize {
            self.wrong.push(format!(
                "P3: {at} {service} has {exist} tasks and may have {cap} ({id} started)"
            ));
        }
    }

    /// P3, the floor, and P1: Longshore itself stopped a healthy task.
    fn stopped(&mut self, id: &str, at: Timestamp) {
        let service = self
            .tasks
            .get(id)
            .map(|task| task.service.clone())
            .unwrap_or_default();
        let Some(ordered) = self.seen.orders.get(id).and_then(|order| order.stopped) else {
            self.wrong.push(format!(
                "P3: {at} task {id} of {service} was healthy and was stopped without an order"
            ));
            return;
        };
        // One that came up only after it was ordered to stop was not counted on.
        if self.healthy_since(id).is_none_or(|since| since > ordered) {
            return;
        }
        let from = before(ordered, self.lag);
        let left = self
            .of_service(&service)
            .filter(|(other, task)| {
                *other != id
                    && (self.is_healthy(other, at) || task.fell.is_some_and(|fell| fell >= from))
            })
            .count();
        // What edits allow after the order counts as well.
        let configs = self.seen.configs.in_force(&service, from, at);
        let floor = configs
            .iter()
            .map(|service| service.as_ref().map_or(0, Service::floor))
            .min()
            .unwrap_or(0);
        if left < floor as usize {
            self.wrong.push(format!("P3: {at} {service} has {left} healthy and needs {floor} ({id} was stopped, ordered {ordered})"));
        }
        let broken = self.seen.broken.iter().enumerate().find(|(_, broken)| {
            broken.from <= ordered && broken.until.is_none_or(|until| ordered < until)
        });
        if let Some((n, broken)) = broken
            && self
                .at_rest
                .get(&n)
                .is_some_and(|all| all.contains(&service))
            && let [Some(config)] = self
                .seen
                .configs
                .in_force(&service, broken.from, at)
                .as_slice()
            && left < config.desired as usize
        {
            self.wrong.push(format!(
                "P1: {at} the folder is broken, and {id} of {service} was stopped"
            ));
        }
    }

    /// Services of which exactly what is wanted is there and healthy.
    fn at_rest(&self, at: Timestamp) -> BTreeSet<String> {
        let is_at_rest = |name: &str, service: &Service| {
            let mut there = self
                .of_service(name)
                .filter(|(_, task)| !task.running.is_empty());
            let all_good = self
                .of_service(name)
                .filter(|(_, task)| !task.running.is_empty())
                .all(|(id, task)| task.version == service.version && self.is_healthy(id, at));
            all_good && there.by_ref().count() == service.desired as usize
        };
        self.seen
            .configs
            .0
            .keys()
            .filter(|name| {
                match self
                    .seen
                    .configs
                    .in_force(name, before(at, Duration::from_secs(60)), at)
                    .as_slice()
                {
                    [Some(service)] => is_at_rest(name, service),
                    _ => false,
                }
            })
            .cloned()
            .collect()
    }

    /// No more starts of what cannot start than the throttle allows: rounds at 0, 0, 1, 2, 4 … seconds, each of as many tasks
    /// as are wanted, anew with each edit.
    fn starts(&mut self) {
        let mut allowed: BTreeMap<u64, u64> = BTreeMap::new();
        let end = self
            .seen
            .trace
            .last()
            .map_or(Timestamp::default(), |(at, _)| *at);
        for all in self.seen.configs.0.values() {
            for (n, (from, service)) in all.iter().enumerate() {
                let Some(service) = service else {
                    continue;
                };
                let until = all.get(n + 1).map_or(end, |(at, _)| *at);
                let rounds = 6 + (until.since(*from).as_secs() + 1).ilog2();
                *allowed.entry(service.version).or_default() += u64::from(service.desired * rounds);
            }
        }
        for (version, created) in &self.created {
            let allowed = allowed.get(version).copied().unwrap_or(0) * (1 + self.seen.stores_lost);
            let throttled = self
                .versions
                .get(version)
                .is_some_and(|service| service.image.is_throttled());
            if throttled && created.len() as u64 > allowed {
                let count = created.len();
                self.wrong.push(format!(
                    "version {version} was started {count} times and may be {allowed} times"
                ));
            }
        }
    }
}
