//! What the simulation saw besides the engines' own history: what was committed and when, what the folder said and when, what was
//! reached, and the trace that two runs of one seed must share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore::clock::SharedClock;
use longshore::model::{LastStatus, ServiceRecord, StopCode, Timestamp};
use longshore::store::{Op, Revision};

use super::folder::{Folder, Service};
use super::oracles::Finding;
use super::scenario::Weather;

/// When a task was ordered, and when to stop.
#[derive(Debug, Clone)]
pub struct Order {
    pub instance: String,
    pub started: Timestamp,
    pub stopped: Option<(Timestamp, StopCode)>,
    /// Its instance drained when it was ordered to stop.
    pub drained: bool,
    /// After the store was lost: the instances that had been heard of again when it was ordered.
    pub heard: Option<BTreeSet<String>>,
}

/// A rollout that failed, as its service's record tells it.
#[derive(Debug, Clone)]
pub struct Failed {
    pub service: String,
    /// From when until when it was told.
    pub since: Timestamp,
    pub until: Option<Timestamp>,
    pub reason: String,
    /// The last lines of the task that was one too many.
    pub lines: Vec<String>,
}

/// A time in which some of the folder could not be taken.
#[derive(Debug, Clone, Copy)]
pub struct Broken {
    pub from: Timestamp,
    pub until: Option<Timestamp>,
}

pub struct Seen {
    pub weather: Weather,
    pub trace: Vec<(Timestamp, String)>,
    pub orders: BTreeMap<String, Order>,
    pub statuses: BTreeMap<String, LastStatus>,
    /// Tasks whose health check fails, as far as is recorded.
    pub unhealthy: BTreeSet<String>,
    /// Tasks that were given up, and when.
    pub given_up: BTreeMap<String, Timestamp>,
    /// Until when tasks are protected, by Longshore's clock.
    pub protected: BTreeMap<String, Timestamp>,
    /// Services that are suspended.
    pub suspended: BTreeSet<String>,
    /// Instances that drain, by cluster and name.
    pub draining: BTreeSet<(String, String)>,
    pub services: BTreeMap<String, ServiceRecord>,
    /// Rollouts that failed, by the task that was one too many.
    pub failed: BTreeMap<String, Failed>,
    /// What was not kept, as it happened.
    pub found: Vec<Finding>,
    /// What each service was to be from when on; `None`: not at all.
    pub configs: BTreeMap<String, Vec<(Timestamp, Option<Service>)>>,
    pub broken: Vec<Broken>,
    /// Instances that the folder had taking tasks, by cluster and name, from when on.
    pub active: Vec<(Timestamp, BTreeSet<(String, String)>)>,
    /// When engines went away, and came back, by name.
    pub away: BTreeMap<String, Vec<(Timestamp, Option<Timestamp>)>>,
    /// Whether engines fail by themselves, or did.
    pub engines_fail: bool,
    pub stores_lost: u64,
    /// Instances that were heard of since the store was lost last.
    pub heard: BTreeSet<String>,
    /// When Longshore's clock jumped, and by how much.
    pub jumps: Vec<(Timestamp, i64)>,
    /// When a Longshore began to watch.
    pub boots: Vec<Timestamp>,
    /// How often what was reached.
    pub reached: BTreeMap<&'static str, u64>,
    /// Everything that passed the fence, as one number.
    pub passages: u64,
    /// The same one by one, where it is wanted.
    pub all_passages: Option<Vec<(Timestamp, String)>>,
}

pub struct Record {
    pub clock: SharedClock,
    /// Longshore's clock, which jumps.
    pub theirs: SharedClock,
    seen: Mutex<Seen>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record")
    }
}

impl Record {
    pub fn new(clock: SharedClock, theirs: SharedClock, weather: Weather) -> Self {
        Self {
            clock,
            theirs,
            seen: Mutex::new(Seen::new(weather)),
        }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the trace.
    pub fn say(&self, line: String) {
        let now = self.clock.now();
        self.seen().trace.push((now, line));
    }

    /// Something was reached.
    pub fn reach(&self, what: &'static str) {
        *self.seen().reached.entry(what).or_default() += 1;
    }

    pub fn found(&self, finding: Finding) {
        self.seen().found.push(finding);
    }

    /// Something passed the fence.
    pub fn passed(&self, what: &str, whom: &str) {
        let now = self.clock.now();
        let mut seen = self.seen();
        let mut hash = seen.passages ^ now.as_millis().unsigned_abs();
        for byte in what.bytes().chain(whom.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        seen.passages = hash;
        if let Some(all) = &mut seen.all_passages {
            all.push((now, format!("{what} {whom}")));
        }
    }

    /// A commit was applied.
    pub fn committed(&self, writer: &str, revision: Revision, ops: &[Op]) {
        let keys: Vec<String> = ops
            .iter()
            .map(|op| match op {
                Op::Put(key, _) => key.clone(),
                Op::Delete(key) => format!("-{key}"),
            })
            .collect();
        self.say(format!("store {revision} {writer}: {}", keys.join(" ")));
        self.reach(match writer.split('/').next() {
            Some("controller") => "the controller's worker",
            Some("agent") => "an agent's runner",
            Some("folder") => "the folder's follower",
            _ => "another writer",
        });
        let (now, theirs) = (self.clock.now(), self.theirs.now());
        self.seen().commit(ops, now, theirs);
    }

    /// The store is lost, with all that was in it.
    pub fn store_lost(&self) {
        let now = self.clock.now();
        let mut seen = self.seen();
        for failed in seen.failed.values_mut() {
            failed.until.get_or_insert(now);
        }
        seen.statuses.clear();
        seen.protected.clear();
        seen.suspended.clear();
        seen.draining.clear();
        seen.services.clear();
        seen.heard.clear();
        seen.stores_lost += 1;
    }

    /// The engine went away, or came back.
    pub fn engine(&self, name: &str, is_away: bool) {
        let now = self.clock.now();
        let mut seen = self.seen();
        let all = seen.away.entry(name.to_owned()).or_default();
        let open = all.last_mut().filter(|(_, back)| back.is_none());
        match (open, is_away) {
            (None, true) => all.push((now, None)),
            (Some((_, back)), false) => *back = Some(now),
            _ => {}
        }
    }

    /// The folder was edited: what can be taken of it is in force from now on, the rest stays as it was (P1).
    pub fn edited(&self, folder: &Folder) {
        let now = self.clock.now();
        let mut seen = self.seen();
        for (name, service) in &folder.services {
            if !folder.gone && !folder.spoilt.contains(name) {
                seen.configure(name, now, Some(service.clone()));
            }
        }
        if !folder.gone {
            let active = folder.instances.iter().filter(|i| !i.draining);
            let active = active.map(|i| (i.cluster.to_owned(), i.name.clone()));
            let active = active.collect();
            seen.active.push((now, active));
        }
        let names: Vec<String> = seen.configs.keys().cloned().collect();
        for name in names {
            if folder.is_valid() && !folder.services.contains_key(&name) {
                seen.configure(&name, now, None);
            }
        }
        let open = seen
            .broken
            .last_mut()
            .filter(|broken| broken.until.is_none());
        match (open, folder.is_valid()) {
            (Some(open), true) => open.until = Some(now),
            (None, false) => seen.broken.push(Broken {
                from: now,
                until: None,
            }),
            _ => {}
        }
    }
}

impl Seen {
    fn new(weather: Weather) -> Self {
        Self {
            weather,
            trace: Vec::new(),
            orders: BTreeMap::new(),
            statuses: BTreeMap::new(),
            unhealthy: BTreeSet::new(),
            given_up: BTreeMap::new(),
            protected: BTreeMap::new(),
            suspended: BTreeSet::new(),
            draining: BTreeSet::new(),
            services: BTreeMap::new(),
            failed: BTreeMap::new(),
            found: Vec::new(),
            configs: BTreeMap::new(),
            broken: Vec::new(),
            active: Vec::new(),
            away: BTreeMap::new(),
            engines_fail: false,
            stores_lost: 0,
            heard: BTreeSet::new(),
            jumps: Vec::new(),
            boots: Vec::new(),
            reached: BTreeMap::new(),
            passages: 0,
            all_passages: None,
        }
    }

    fn configure(&mut self, name: &str, now: Timestamp, service: Option<Service>) {
        let all = self.configs.entry(name.to_owned()).or_default();
        if all.last().map(|(_, last)| last) != Some(&service) {
            all.push((now, service));
        }
    }

    /// What the service was to be at some time within these, ends included.
    pub fn in_force(&self, name: &str, from: Timestamp, until: Timestamp) -> Vec<Option<Service>> {
        let all = self.configs.get(name).map_or(&[][..], Vec::as_slice);
        let before = all.iter().rposition(|(at, _)| *at <= from);
        let mut found: Vec<_> = all
            .iter()
            .enumerate()
            .filter(|(n, (at, _))| *at <= until && before.is_none_or(|before| *n >= before))
            .map(|(_, (_, service))| service.clone())
            .collect();
        if before.is_none() {
            found.push(None);
        }
        found
    }

    /// Whether an edit within these times had the order's instance leave, or somebody asked for it.
    pub fn had_to_leave(
        &self,
        cluster: &str,
        order: &Order,
        (from, until): (Timestamp, Timestamp),
    ) -> bool {
        let place = (cluster.to_owned(), order.instance.clone());
        let edits = self.active.iter();
        let mut edits = edits.filter(|(at, _)| *at >= from && *at <= until);
        let asked = self
            .reached
            .contains_key("an instance drained or activated");
        edits.any(|(_, active)| !active.contains(&place)) || order.drained && asked
    }

    /// Whether an engine was away then.
    pub fn is_away(&self, engine: &str, at: Timestamp) -> bool {
        let mut away = self.away.get(engine).into_iter().flatten();
        away.any(|(from, back)| *from <= at && back.is_none_or(|back| back > at))
    }
}

/// So much before `at`.
pub fn before(at: Timestamp, by: Duration) -> Timestamp {
    let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis() - millis)
}
