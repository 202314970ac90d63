//! P3, and what of P1 is about containers: floor, cap, one an instance, and nothing without an order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore::model::{StopCode, Timestamp};

use super::super::folder::{Kind, Service};
use super::super::record::{Seen, before};
use super::tasks::Tasks;
use super::{Finding, Oracle};

/// The band of every service.
pub struct Band<'a> {
    seen: &'a Seen,
    lag: Duration,
    /// Services that were at rest when the folder broke, by the position in [`Seen::broken`].
    at_rest: BTreeMap<usize, BTreeSet<String>>,
}

impl<'a> Band<'a> {
    pub fn new(seen: &'a Seen) -> Self {
        Self {
            seen,
            lag: seen.weather.lag(),
            at_rest: BTreeMap::new(),
        }
    }

    /// The `nth` time in which the folder is broken begins.
    pub fn breaks(&mut self, nth: usize, at: Timestamp, tasks: &Tasks<'_>) {
        let at_rest = self.services_at_rest(at, tasks);
        self.at_rest.insert(nth, at_rest);
    }

    /// A task that starts was ordered, and has room.
    pub fn started(&self, id: &str, at: Timestamp, tasks: &Tasks<'_>) -> Option<Finding> {
        let task = tasks.all.get(id)?;
        let service = task.service.as_str();
        let Some(order) = self.seen.orders.get(id) else {
            let what = format!("{at} task {id} of {service:?} started, and nobody ordered it");
            return Some(Oracle::Ordered.broken(what));
        };
        if service.is_empty() {
            return None;
        }
        // With the store went what it knew of a task, and with its container, which somebody removed, what its labels told; or
        // its engine was not heard of since. One that was given up counts no more, whatever still runs of it.
        let counts = |id: &str, task: &super::tasks::Task| {
            let heard = order.heard.as_ref();
            let unheard = heard.is_some_and(|heard| !heard.contains(&task.instance));
            let is_unknown = unheard || task.was_maimed && self.seen.stores_lost > 0;
            let given_up = self.seen.given_up.contains_key(id);
            !task.running.is_empty() && !is_unknown && !given_up
        };
        let there: Vec<_> = tasks
            .of_service(service)
            .filter(|(id, task)| counts(id, task))
            .collect();
        // What edits allow after the order counts as well.
        let from = before(order.started, self.lag);
        let configs = self.seen.in_force(service, from, at);
        let kinds: BTreeSet<bool> = configs
            .iter()
            .flatten()
            .map(|service| service.kind == Kind::Daemon)
            .collect();
        if kinds.contains(&true) {
            let here = there.iter().filter(|(_, t)| t.instance == task.instance);
            let here = here.count();
            return (here > 1 && kinds.len() == 1).then(|| {
                let what = format!("{at} {here} tasks of {service} on {}", task.instance);
                Oracle::OneEach.broken(what)
            });
        }
        let cap = configs.iter().flatten().map(Service::cap).max();
        let (exist, cap) = (there.len(), cap.unwrap_or(0));
        (exist > cap as usize).then(|| {
            let what =
                format!("{at} {service} has {exist} tasks and may have {cap} ({id} started)");
            Oracle::Cap.broken(what)
        })
    }

    /// Longshore itself stopped a healthy task.
    pub fn stopped(&self, id: &str, at: Timestamp, tasks: &Tasks<'_>) -> Option<Finding> {
        let task = tasks.all.get(id)?;
        let service = task.service.as_str();
        let order = self.seen.orders.get(id);
        let given_up = self.seen.given_up.contains_key(id);
        let Some((ordered, code)) = order.and_then(|order| order.stopped) else {
            let what = format!(
                "{at} task {id} of {service:?} was healthy and was stopped without an order"
            );
            return (!given_up).then(|| Oracle::Ordered.broken(what));
        };
        if service.is_empty() || given_up || code == StopCode::UserInitiated {
            return None;
        }
        // One that came up only after it was ordered to stop was not counted on.
        if tasks.healthy_since(id).is_none_or(|since| since > ordered) {
            return None;
        }
        let from = before(ordered, self.lag);
        let fell = |fell: Option<Timestamp>| fell.is_some_and(|fell| fell >= from);
        // Whom the user stopped, or will have stopped, could be counted on.
        let by_user = |id: &str| {
            let order = self.seen.orders.get(id).and_then(|order| order.stopped);
            order.is_some_and(|(at, code)| code == StopCode::UserInitiated && at >= from)
        };
        let left = tasks
            .of_service(service)
            .filter(|(other, task)| {
                let stands = tasks.is_healthy(other, at) || fell(task.fell) || by_user(other);
                *other != id && stands
            })
            .count();
        let configs = self.seen.in_force(service, from, at);
        let floor = |service: &Option<Service>| match service {
            None => 0,
            Some(service) if service.kind == Kind::Daemon => 0,
            Some(service) => service.floor(),
        };
        let floor = configs.iter().map(floor).min().unwrap_or(0);
        if left < floor as usize {
            let what = format!(
                "{at} {service} has {left} healthy and needs {floor} ({id} was stopped, ordered {ordered})"
            );
            return Some(Oracle::Floor.broken(what));
        }
        self.broken_folder(id, service, (ordered, at), left)
    }

    /// While the folder is broken, what is at rest stays.
    fn broken_folder(
        &self,
        id: &str,
        service: &str,
        (ordered, at): (Timestamp, Timestamp),
        left: usize,
    ) -> Option<Finding> {
        let mut broken = self.seen.broken.iter().enumerate();
        let (nth, broken) = broken.find(|(_, broken)| {
            broken.from <= ordered && broken.until.is_none_or(|until| ordered < until)
        })?;
        let was_at_rest = self.at_rest.get(&nth)?.contains(service);
        let configs = self.seen.in_force(service, broken.from, at);
        let [Some(config)] = configs.as_slice() else {
            return None;
        };
        // What the cluster's own file says is another matter.
        let order = self.seen.orders.get(id)?;
        let from = before(broken.from, Duration::from_secs(60));
        if self.seen.had_to_leave(config.cluster, order, (from, at)) {
            return None;
        }
        let is_replica = config.kind == Kind::Replica;
        (was_at_rest && is_replica && left < config.desired as usize).then(|| {
            let what = format!("{at} the folder is broken, and {id} of {service} was stopped");
            Oracle::BrokenFolder.broken(what)
        })
    }

    /// Services of which exactly what is wanted is there and healthy.
    fn services_at_rest(&self, at: Timestamp, tasks: &Tasks<'_>) -> BTreeSet<String> {
        let is_at_rest = |name: &str, service: &Service| {
            let there = || {
                let all = tasks.of_service(name);
                all.filter(|(_, task)| !task.running.is_empty())
            };
            let good = |(id, task): (&String, &super::tasks::Task)| {
                task.version == service.version && tasks.is_healthy(id, at)
            };
            there().all(good) && there().count() == service.desired as usize
        };
        let minute_ago = before(at, Duration::from_secs(60));
        let names = self.seen.configs.keys();
        names
            .filter(|name| {
                let configs = self.seen.in_force(name, minute_ago, at);
                matches!(configs.as_slice(), [Some(service)] if is_at_rest(name, service))
            })
            .cloned()
            .collect()
    }
}
