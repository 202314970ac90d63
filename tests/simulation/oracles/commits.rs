//! What every commit must keep to, checked as it is applied.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore::model::{
    DesiredStatus, HealthStatus, InstanceDesired, ServiceOverrides, ServiceRecord, StopCode,
    TaskLost, TaskProtection, TaskRecord, TaskStatus, Timestamp,
};
use longshore::store::{Key, Op};
use serde::de::DeserializeOwned;

use super::super::folder::{LOST_AFTER, SECRET};
use super::super::record::{Failed, Order, Seen, before};
use super::Oracle;

/// How often, at least, an engine is asked whether it answers, and a second for the answer.
const ASKED_EVERY: Duration = Duration::from_secs(11);

impl Seen {
    /// Takes a commit in: `theirs` is Longshore's own time.
    pub fn commit(&mut self, ops: &[Op], now: Timestamp, theirs: Timestamp) {
        // Orders first: they follow from what was so before this commit.
        let mut puts: Vec<(Key, &str, &[u8])> = Vec::new();
        for op in ops {
            match op {
                Op::Put(key, value) => {
                    if std::str::from_utf8(value).is_ok_and(|text| text.contains(SECRET)) {
                        let what = format!("{now} {key} holds a secret");
                        self.found.push(Oracle::Secret.broken(what));
                    }
                    puts.extend(Key::parse(key).map(|parsed| (parsed, key.as_str(), &value[..])));
                }
                Op::Delete(key) => self.deleted(key, now),
            }
        }
        puts.sort_by_key(|(key, ..)| !matches!(key, Key::Task(..)));
        for (key, name, value) in puts {
            self.put(&key, name, value, (now, theirs));
        }
    }

    fn deleted(&mut self, key: &str, now: Timestamp) {
        match Key::parse(key) {
            Some(Key::TaskStatus(_, id)) => {
                self.statuses.remove(id.as_str());
            }
            Some(Key::TaskProtection(_, id)) => {
                self.protected.remove(id.as_str());
            }
            Some(Key::ServiceOverrides(_, service)) => {
                self.suspended.remove(service.as_str());
            }
            Some(Key::InstanceDesired(cluster, instance)) => {
                let key = (cluster.to_string(), instance.to_string());
                self.draining.remove(&key);
            }
            Some(Key::Service(_, service)) => {
                self.forgets_failures(service.as_str(), &BTreeSet::new(), now);
            }
            _ => {}
        }
    }

    fn put(&mut self, key: &Key, name: &str, value: &[u8], times: (Timestamp, Timestamp)) {
        match key {
            Key::Task(..) => {
                if let Some(record) = self.read::<TaskRecord>(name, value) {
                    self.ordered(&record, times);
                }
            }
            Key::TaskStatus(_, id) => {
                if let Some(status) = self.read::<TaskStatus>(name, value) {
                    match status.health == HealthStatus::Unhealthy {
                        true => self.unhealthy.insert(id.to_string()),
                        false => self.unhealthy.remove(id.as_str()),
                    };
                    let before = self.statuses.insert(id.to_string(), status.last_status);
                    if before.is_some_and(|before| before > status.last_status) {
                        let now = status.last_status;
                        let what = format!("task {id} went back from {before:?} to {now:?}");
                        self.found.push(Oracle::Forward.broken(what));
                    }
                }
            }
            Key::TaskLost(_, id) => {
                let lost = self.read::<TaskLost>(name, value);
                if lost.is_some() {
                    self.lost(id.as_str(), times.0);
                }
            }
            Key::TaskProtection(_, id) => {
                if let Some(protection) = self.read::<TaskProtection>(name, value) {
                    self.protected.insert(id.to_string(), protection.expires_at);
                }
            }
            Key::ServiceOverrides(_, service) => {
                if let Some(overrides) = self.read::<ServiceOverrides>(name, value) {
                    match overrides.suspended {
                        Some(_) => self.suspended.insert(service.to_string()),
                        None => self.suspended.remove(service.as_str()),
                    };
                }
            }
            Key::Instance(_, instance) => {
                self.heard.insert(instance.to_string());
            }
            Key::InstanceDesired(cluster, instance) => {
                let key = (cluster.to_string(), instance.to_string());
                match self.read::<InstanceDesired>(name, value) {
                    Some(InstanceDesired::Draining) => self.draining.insert(key),
                    _ => self.draining.remove(&key),
                };
            }
            Key::Service(_, service) => {
                if let Some(record) = self.read::<ServiceRecord>(name, value) {
                    self.explains(service.as_str(), &record, times.0);
                    self.services.insert(service.to_string(), record);
                }
            }
            _ => {}
        }
    }

    fn read<T: DeserializeOwned>(&mut self, key: &str, value: &[u8]) -> Option<T> {
        let read = serde_json::from_slice(value).ok();
        if read.is_none() {
            let what = format!("{key} cannot be read");
            self.found.push(Oracle::Forward.broken(what));
        }
        read
    }

    fn ordered(&mut self, record: &TaskRecord, (now, theirs): (Timestamp, Timestamp)) {
        let id = record.id.to_string();
        let service = record.service.as_ref().map(ToString::to_string);
        let service = service.unwrap_or_default();
        let stop = record.stop.as_ref().map(|stop| stop.code);
        let stops = record.desired == DesiredStatus::Stopped;
        let stop = stops.then(|| (now, stop.unwrap_or(StopCode::UserInitiated)));
        let place = (record.cluster.to_string(), record.instance.to_string());
        let Some(order) = self.orders.get_mut(&id) else {
            if self.suspended.contains(&service) && !stops {
                let what = format!("{now} {service} is suspended, and task {id} was ordered");
                self.found.push(Oracle::Suspended.broken(what));
            }
            if self.draining.contains(&place) && !stops && !service.is_empty() {
                let what = format!("{now} {} drains, and task {id} was placed on it", place.1);
                self.found.push(Oracle::Draining.broken(what));
            }
            let order = Order {
                instance: place.1,
                started: now,
                stopped: stop,
                drained: false,
                heard: (self.stores_lost > 0).then(|| self.heard.clone()),
            };
            self.orders.insert(id, order);
            return;
        };
        match (order.stopped, stop) {
            (None, Some((_, code))) => {
                order.stopped = stop;
                order.drained = self.draining.contains(&place);
                let by_service = code == StopCode::ServiceSchedulerInitiated;
                if by_service && self.suspended.contains(&service) {
                    let what =
                        format!("{now} {service} is suspended, and {id} was ordered to stop");
                    self.found.push(Oracle::Suspended.broken(what));
                }
                let protected = self.protected.get(&id).is_some_and(|until| *until > theirs);
                if by_service && protected {
                    self.reached.entry("a protected task goes").or_insert(0);
                    self.stops_protected(&id, record, now);
                }
            }
            // A lost store loses orders to stop with it.
            (Some(_), None) if self.stores_lost == 0 => {
                let what = format!("task {id} was ordered to stop and then to run");
                self.found.push(Oracle::Forward.broken(what));
            }
            (Some(_), None) => order.stopped = None,
            _ => {}
        }
    }

    /// Only what does not work is replaced though it is protected, or what belongs to a service that is gone.
    fn stops_protected(&mut self, id: &str, record: &TaskRecord, now: Timestamp) {
        let reason = record.stop.as_ref().map_or("", |stop| &stop.reason);
        let may = ["health", "removed", "deleted", "given up", "INACTIVE"];
        let gone = record
            .service
            .as_ref()
            .and_then(|service| self.configs.get(service.as_str()))
            .is_none_or(|all| all.iter().any(|(_, service)| service.is_none()));
        if !gone && !self.unhealthy.contains(id) && !may.iter().any(|word| reason.contains(word)) {
            let what = format!("{now} task {id} is protected and was ordered to stop: {reason}");
            self.found.push(Oracle::Protected.broken(what));
        }
    }

    /// A task is given up.
    fn lost(&mut self, id: &str, now: Timestamp) {
        let first = self.given_up.insert(id.to_owned(), now).is_none();
        let Some(order) = self.orders.get(id).filter(|_| first) else {
            return;
        };
        // It counts from its last answer, and it is asked every ten seconds at least.
        let long_enough = before(now, LOST_AFTER.saturating_sub(ASKED_EVERY));
        let was_away = self.is_away(&order.instance, long_enough);
        // A call that hangs is no answer either.
        if !was_away && self.jumps.is_empty() && !self.engines_fail {
            let what = format!(
                "{now} task {id} was given up, and {} was not away for {LOST_AFTER:?}",
                order.instance
            );
            self.found.push(Oracle::GivenUp.broken(what));
        }
        *self.reached.entry("a task given up").or_default() += 1;
    }

    /// P7: what is blocked says why; the last words are judged later, since they come a moment after.
    fn explains(&mut self, service: &str, record: &ServiceRecord, now: Timestamp) {
        let names: BTreeSet<&str> = record
            .blocked
            .iter()
            .filter_map(|blocked| Some(blocked.task.as_ref()?.as_str()))
            .collect();
        self.forgets_failures(service, &names, now);
        for blocked in &record.blocked {
            *self.reached.entry("a rollout that failed").or_default() += 1;
            if blocked.reason.trim().is_empty() {
                let what = format!(
                    "{service}: {} failed, and nothing says why",
                    blocked.revision
                );
                self.found.push(Oracle::Explained.broken(what));
            }
            let Some(task) = &blocked.task else {
                continue;
            };
            let failed = self.failed.entry(task.to_string()).or_insert(Failed {
                service: service.to_owned(),
                since: now,
                until: None,
                reason: blocked.reason.clone(),
                lines: Vec::new(),
            });
            failed.until = None;
            failed.lines.clone_from(&blocked.last_log_lines);
        }
    }

    /// Of the service's failures only these are remembered from now on.
    fn forgets_failures(&mut self, service: &str, kept: &BTreeSet<&str>, now: Timestamp) {
        for (task, failed) in &mut self.failed {
            if failed.service == service && !kept.contains(task.as_str()) {
                failed.until.get_or_insert(now);
            }
        }
    }
}
