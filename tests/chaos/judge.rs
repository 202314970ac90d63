//! The judge of a run. It goes by what the engines told, and by when the orders for it were recorded.
//!
//! * **P3, the floor**: where Longshore itself stops a healthy task, enough healthy ones stay. What it could not know when the
//!   order was recorded is not held against it: a task that fell less than [`LAG`] before, or after, counts as if it still stood,
//!   and so does one whose engine, or disk, had not returned by then.
//! * **P3, the cap**: a task that starts has room beside those that exist.
//! * Nothing is started or stopped that was not ordered, and nothing is ordered for a service that is suspended. Who asks for
//!   everything to go orders every task to stop at that moment.
//! * **P2**: nothing of anybody else is touched.
//!
//! `trials` shows what it finds and what it lets pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore::engine::{ContainerState, EngineEvent, ObservedContainer, labels};
use longshore::model::{HealthStatus, StopCode, Timestamp};

use crate::common;
use crate::folder::{APP, Service};
use crate::timeline::before;
use crate::witness::{Fact, Order, Seen};

/// For how long Longshore may not know of what happened, on a machine that is busy with all of this.
pub const LAG: Duration = Duration::from_secs(5);
/// How long a task without a health check runs before it counts as healthy (`healthyAfterSeconds`), a little less: Longshore
/// counts from what the engine says of the start, which is before the event.
const HEALTHY_AFTER: Duration = Duration::from_millis(700);

/// A task as the engines told of it.
#[derive(Debug, Default)]
struct Task {
    engine: u32,
    service: String,
    running: BTreeSet<String>,
    /// Containers that ever started.
    started: BTreeSet<String>,
    app_is_healthy: bool,
    /// When its health check last said healthy.
    healthy_at: Option<Timestamp>,
    /// Since when it runs, all of it.
    up_since: Option<Timestamp>,
    /// Longshore has begun to stop it.
    leaves: bool,
    ever_started: bool,
    /// A user asked for its end.
    unwanted: bool,
    /// When it last fell, by somebody else's doing.
    fell: Option<Timestamp>,
}

/// How the tasks of a service are made; no edit changes that.
#[derive(Debug, Clone, Copy)]
struct Shape {
    check: bool,
    essential: &'static [&'static str],
    others: &'static [&'static str],
}

/// See the module.
pub struct Judge<'a> {
    seen: &'a Seen,
    shapes: BTreeMap<&'a str, Shape>,
    tasks: BTreeMap<String, Task>,
    struck: BTreeSet<String>,
    /// Engines that were ended by us and are not back.
    ended: BTreeSet<u32>,
    /// Starts and stops of Longshore's that were looked at.
    judged: (usize, usize),
    wrong: Vec<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Verdict {
    pub wrong: Vec<String>,
    pub starts: usize,
    /// Of healthy tasks.
    pub stops: usize,
}

impl<'a> Judge<'a> {
    pub fn new(seen: &'a Seen) -> Self {
        let shape = |(name, all): (&'a String, &'a Vec<(Timestamp, Option<Service>)>)| {
            let service = all.iter().find_map(|(_, service)| service.as_ref())?;
            let shape = Shape {
                check: service.check,
                essential: service.essential(),
                others: service.others(),
            };
            Some((name.as_str(), shape))
        };
        Self {
            seen,
            shapes: seen.configs.0.iter().filter_map(shape).collect(),
            tasks: BTreeMap::new(),
            struck: BTreeSet::new(),
            ended: BTreeSet::new(),
            judged: (0, 0),
            wrong: Vec::new(),
        }
    }

    pub fn judge(mut self) -> Verdict {
        let mut facts: Vec<&(Timestamp, Fact)> = self.seen.facts.iter().collect();
        facts.sort_by_key(|(at, _)| *at);
        for (at, fact) in facts {
            match fact {
                Fact::Event(engine, event) => self.event(*engine, event),
                Fact::Listed(engine, containers) => self.listed(*at, *engine, containers),
                Fact::EngineEnds(engine) => {
                    self.ended.insert(*engine);
                    self.fall(*at, |task| task.engine == *engine);
                }
                Fact::Struck(container) => {
                    self.struck.insert(container.clone());
                }
                Fact::AskedToStop(id) => {
                    self.tasks.entry(id.clone()).or_default().unwanted = true;
                }
            }
        }
        self.suspended();
        let (starts, stops) = self.judged;
        Verdict {
            wrong: self.wrong,
            starts,
            stops,
        }
    }

    /// Everything of these tasks ends, and it is not Longshore's doing.
    fn fall(&mut self, at: Timestamp, which: impl Fn(&Task) -> bool) {
        for task in self.tasks.values_mut().filter(|task| which(task)) {
            if !task.running.is_empty() {
                task.fell = Some(at);
            }
            task.running.clear();
            task.up_since = None;
            task.app_is_healthy = false;
        }
    }

    /// An engine is back, or heard of for the first time: what it has is what there is.
    fn listed(&mut self, at: Timestamp, engine: u32, containers: &[ObservedContainer]) {
        self.ended.remove(&engine);
        let runs = |container: &&ObservedContainer| container.state == ContainerState::Running;
        let alive: BTreeSet<&str> = containers
            .iter()
            .filter(runs)
            .filter_map(|container| Some(container.labels.get(labels::TASK)?.as_str()))
            .collect();
        let gone: BTreeSet<String> = self
            .tasks
            .iter()
            .filter(|(id, task)| task.engine == engine && !alive.contains(id.as_str()))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            let task = self.tasks.entry(id).or_default();
            if !task.running.is_empty() {
                task.fell = Some(at);
            }
            task.running.clear();
            task.up_since = None;
        }
        for container in containers.iter().filter(runs) {
            let Some((id, name)) = self.belongs(engine, &container.labels) else {
                continue;
            };
            let task = self.tasks.entry(id.clone()).or_default();
            task.ever_started = true;
            task.running.insert(name.clone());
            task.started.insert(name.clone());
            if name == APP && container.health == HealthStatus::Healthy {
                task.app_is_healthy = true;
                task.healthy_at = Some(at);
            }
            self.up(&id, at);
        }
    }

    /// The task and the container that these labels are of.
    fn belongs(&mut self, engine: u32, of: &BTreeMap<String, String>) -> Option<(String, String)> {
        // Somebody else's may look as if it were of a task.
        if of.contains_key(common::RUN_LABEL) {
            return None;
        }
        let (id, name) = (of.get(labels::TASK)?, of.get(labels::CONTAINER)?);
        let task = self.tasks.entry(id.clone()).or_default();
        task.engine = engine;
        if let Some(service) = of.get(labels::SERVICE) {
            task.service.clone_from(service);
        }
        Some((id.clone(), name.clone()))
    }

    fn event(&mut self, engine: u32, event: &EngineEvent) {
        let at = event.at;
        if event.attributes.contains_key(common::RUN_LABEL) {
            return self.foreign(engine, event);
        }
        let Some((id, name)) = self.belongs(engine, &event.attributes) else {
            return;
        };
        let was_healthy = self.is_healthy(&id, at);
        let task = self.tasks.entry(id.clone()).or_default();
        let mut ours = false;
        match event.action.as_str() {
            "start" => {
                task.running.insert(name.clone());
                task.started.insert(name.clone());
                if name == APP {
                    task.app_is_healthy = false;
                }
            }
            "health_status: healthy" if name == APP => {
                task.app_is_healthy = true;
                task.healthy_at = Some(at);
            }
            "health_status: unhealthy" if name == APP => task.app_is_healthy = false,
            "kill" if !self.struck.contains(&event.id) && !self.ended.contains(&engine) => {
                task.leaves = true;
                ours = true;
            }
            "die" | "destroy" => {
                task.running.remove(&name);
            }
            _ => return,
        }
        self.up(&id, at);
        if event.action == "start" {
            self.started(&id, at);
        }
        if was_healthy && !self.is_healthy(&id, at) {
            match ours {
                true => self.stopped(&id, at),
                false => self.tasks.entry(id).or_default().fell = Some(at),
            }
        }
    }

    /// A task runs once every container of it has started, also one that is not essential.
    fn up(&mut self, id: &str, at: Timestamp) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        let up = self.shapes.get(task.service.as_str()).is_some_and(|shape| {
            let mut essential = shape.essential.iter();
            essential.all(|name| task.running.contains(*name))
                && shape.others.iter().all(|name| task.started.contains(*name))
        });
        task.up_since = up.then(|| task.up_since.unwrap_or(at));
    }

    fn is_healthy(&self, id: &str, at: Timestamp) -> bool {
        let Some(task) = self.tasks.get(id).filter(|task| !task.leaves) else {
            return false;
        };
        let has_check = self.has_check(task);
        task.up_since.is_some_and(|since| match has_check {
            true => task.app_is_healthy,
            false => at.since(since) >= HEALTHY_AFTER,
        })
    }

    fn has_check(&self, task: &Task) -> bool {
        self.shapes
            .get(task.service.as_str())
            .is_some_and(|shape| shape.check)
    }

    /// Since when a task that was healthy until now has been so, at the earliest.
    fn healthy_since(&self, task: &Task) -> Option<Timestamp> {
        match self.has_check(task) {
            true => task.healthy_at,
            false => task.up_since.map(|since| since.plus(HEALTHY_AFTER)),
        }
    }

    fn of_service<'s>(&'s self, service: &'s str) -> impl Iterator<Item = (&'s String, &'s Task)> {
        let all = self.tasks.iter();
        all.filter(move |(_, task)| task.service == service)
    }

    /// By when Longshore knows of what happened on an engine, and can have written it down.
    fn known(&self, happened: Timestamp, engine: u32) -> Timestamp {
        let away = self.seen.away.iter();
        let away = away.filter(|(number, _)| *number == engine);
        let mut spans: Vec<_> = away.map(|(_, span)| *span).collect();
        spans.extend(&self.seen.disk_full);
        spans.sort_by_key(|span| span.from);
        let mut by = happened.plus(LAG);
        for span in spans {
            if span.from <= by && span.until.is_none_or(|until| happened <= until) {
                let end = span.until.unwrap_or(Timestamp::from_millis(i64::MAX / 2));
                by = by.max(end.plus(LAG));
            }
        }
        by
    }

    /// From when on edits may have been in force when an order was recorded.
    fn since(&self, ordered: Timestamp) -> Timestamp {
        let mut from = before(ordered, LAG);
        for span in self.seen.disk_full.iter().rev() {
            if span.has(from) || span.from >= from && span.from <= ordered {
                from = from.min(before(span.from, LAG));
            }
        }
        from
    }

    /// P3, the cap.
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
        self.judged.0 += 1;
        let is_given_up = |id: &str| {
            let order: Option<&Order> = self.seen.orders.get(id);
            order.is_some_and(|order| order.lost.is_some_and(|lost| lost <= at))
        };
        let exist = self
            .of_service(&service)
            .filter(|(id, task)| !task.running.is_empty() && !is_given_up(id))
            .count();
        // What edits allow after the order counts as well.
        let from = self.since(order.started);
        let configs = self.seen.configs.in_force(&service, from, at);
        let cap = configs.iter().flatten().map(Service::cap).max();
        let cap = cap.unwrap_or(0);
        if exist > cap {
            self.wrong.push(format!(
                "P3: {at} {service} has {exist} tasks and may have {cap} ({id} started, ordered {})",
                order.started
            ));
        }
    }

    /// P3, the floor: Longshore itself began to stop a healthy task.
    fn stopped(&mut self, id: &str, at: Timestamp) {
        let Some(task) = self.tasks.get(id) else {
            return;
        };
        let service = task.service.clone();
        let order = self.seen.orders.get(id);
        let lost = order.and_then(|order| order.lost);
        let stop = order.and_then(|order| order.stop.as_ref());
        let down = self.seen.down.filter(|down| *down <= at);
        let stop = stop.map(|stop| (stop.at, stop.reason.as_str()));
        let Some((ordered, reason)) = stop.or(down.map(|down| (down, "down"))) else {
            if lost.is_none() {
                self.wrong.push(format!(
                    "P3: {at} task {id} of {service} was healthy and was stopped without an order"
                ));
            }
            return;
        };
        // One that came up only after it was ordered to stop was not counted on.
        let counted = self
            .healthy_since(task)
            .is_some_and(|since| since <= ordered);
        if !counted || task.unwanted || lost.is_some() {
            return;
        }
        self.judged.1 += 1;
        let left: Vec<&String> = self
            .of_service(&service)
            .filter(|(other, task)| {
                let stood = |fell: Timestamp| self.known(fell, task.engine) >= ordered;
                *other != id && (self.is_healthy(other, at) || task.fell.is_some_and(stood))
            })
            .map(|(other, _)| other)
            .collect();
        // What edits allow after the order counts as well.
        let from = self.since(ordered);
        let configs = self.seen.configs.in_force(&service, from, at);
        let floor = configs
            .iter()
            .map(|service| service.as_ref().map_or(0, Service::floor))
            .min()
            .unwrap_or(0);
        if left.len() < floor {
            self.wrong.push(format!(
                "P3: {at} {service} has {} healthy and needs {floor} ({id} was stopped, ordered {ordered}: {reason}; left: {left:?})",
                left.len(),
            ));
        }
    }

    /// P2.
    fn foreign(&mut self, engine: u32, event: &EngineEvent) {
        let harmless = ["create", "start", "attach", "resize", "top"];
        if !self.ended.contains(&engine) && !harmless.contains(&event.action.as_str()) {
            let name = event.attributes.get("name");
            self.wrong.push(format!(
                "P2: {} {} of {name:?}, which is not Longshore's",
                event.at, event.action
            ));
        }
    }

    /// Nothing is ordered for a service that is suspended.
    fn suspended(&mut self) {
        for (name, span) in &self.seen.suspended {
            for (id, order) in &self.seen.orders {
                let stop = order.stop.as_ref();
                let stop = stop.filter(|stop| stop.code == StopCode::ServiceSchedulerInitiated);
                let ordered = [Some(order.started), stop.map(|stop| stop.at)];
                let ordered = ordered.into_iter().flatten().find(|at| span.has(*at));
                if let Some(at) = ordered.filter(|_| order.service == *name) {
                    self.wrong.push(format!(
                        "{at} {name} is suspended, and an order was given for {id}"
                    ));
                }
            }
        }
    }
}
