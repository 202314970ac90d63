//! What the simulation saw besides the engines' own history: what was committed and when, what the folder said and when, and
//! the trace that two runs of one seed must share.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore::clock::SharedClock;
use longshore::model::{DesiredStatus, LastStatus, TaskRecord, TaskStatus, Timestamp};
use longshore::store::{Key, Op, Revision};

use super::folder::{Folder, Service};
use super::timeline::Timeline;

/// When a task was ordered, and when to stop.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub started: Timestamp,
    pub stopped: Option<Timestamp>,
}

/// A time in which some of the folder could not be taken.
#[derive(Debug, Clone, Copy)]
pub struct Broken {
    pub from: Timestamp,
    pub until: Option<Timestamp>,
}

#[derive(Default)]
pub struct Seen {
    pub trace: Vec<(Timestamp, String)>,
    pub orders: BTreeMap<String, Order>,
    statuses: BTreeMap<String, LastStatus>,
    /// What a store must never do, as it happened.
    pub wrong: Vec<String>,
    /// What each service was to be.
    pub configs: Timeline<Service>,
    pub broken: Vec<Broken>,
    pub stores_lost: u64,
}

pub struct Record {
    clock: SharedClock,
    seen: Mutex<Seen>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record")
    }
}

impl Record {
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            seen: Mutex::default(),
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

    /// A commit was applied.
    pub fn committed(&self, revision: Revision, ops: &[Op]) {
        let keys: Vec<String> = ops
            .iter()
            .map(|op| match op {
                Op::Put(key, _) => key.clone(),
                Op::Delete(key) => format!("-{key}"),
            })
            .collect();
        self.say(format!("store {revision}: {}", keys.join(" ")));
        let now = self.clock.now();
        let mut seen = self.seen();
        for op in ops {
            match op {
                Op::Put(key, value) => seen.put(key, value, now),
                Op::Delete(key) => {
                    if let Some(Key::TaskStatus(_, id)) = Key::parse(key) {
                        seen.statuses.remove(id.as_str());
                    }
                }
            }
        }
    }

    /// The store is lost, with all statuses in it.
    pub fn store_lost(&self) {
        let mut seen = self.seen();
        seen.statuses.clear();
        seen.stores_lost += 1;
    }

    /// The folder was edited: what can be taken of it is in force from now on, the rest stays as it was (P1).
    pub fn edited(&self, folder: &Folder) {
        let now = self.clock.now();
        let mut seen = self.seen();
        for (name, service) in &folder.services {
            if !folder.gone && !folder.spoilt.contains(name) {
                seen.configs.set(name, now, Some(service.clone()));
            }
        }
        if folder.is_valid() {
            let stays = |name: &str| folder.services.contains_key(name);
            seen.configs.keep(now, stays);
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
    fn put(&mut self, key: &str, value: &[u8], now: Timestamp) {
        match Key::parse(key) {
            Some(Key::Task(_, id)) => {
                let Ok(record) = serde_json::from_slice::<TaskRecord>(value) else {
                    self.wrong.push(format!("{key} cannot be read"));
                    return;
                };
                let stops = record.desired == DesiredStatus::Stopped;
                let order = self.orders.entry(id.to_string()).or_insert(Order {
                    started: now,
                    stopped: None,
                });
                match (order.stopped, stops) {
                    (None, true) => order.stopped = Some(now),
                    // A lost store loses orders to stop with it.
                    (Some(_), false) if self.stores_lost == 0 => {
                        self.wrong
                            .push(format!("task {id} was ordered to stop and then to run"));
                    }
                    (Some(_), false) => order.stopped = None,
                    _ => {}
                }
            }
            Some(Key::TaskStatus(_, id)) => {
                let Ok(status) = serde_json::from_slice::<TaskStatus>(value) else {
                    self.wrong.push(format!("{key} cannot be read"));
                    return;
                };
                let before = self.statuses.insert(id.to_string(), status.last_status);
                if before.is_some_and(|before| before > status.last_status) {
                    let now = status.last_status;
                    self.wrong
                        .push(format!("task {id} went back from {before:?} to {now:?}"));
                }
            }
            _ => {}
        }
    }
}
