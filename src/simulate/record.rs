//! What a simulation sees while it runs: every commit of the store, with its time. What it means is worked out afterwards,
//! in [`history`](super::history).

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::folder::{InstanceKey, ServiceKey};
use crate::clock::SharedClock;
use crate::model::{
    EventLevel, Instance, ServiceEvent, ServiceRecord, SpecHash, TaskId, TaskRecord, TaskSpec,
    TaskStatus, Timestamp,
};
use crate::store::{Change, Key, Memory, Store, WatchEvent};

/// Something that was written.
#[derive(Debug, Clone)]
pub enum Fact {
    /// A service's record; none: it was forgotten.
    Service(ServiceKey, Option<Arc<ServiceRecord>>),
    /// What a task runs.
    Spec(SpecHash, Arc<TaskSpec>),
    /// A task as ordered.
    Task(Arc<TaskRecord>),
    /// A task was forgotten.
    Forgotten(TaskId),
    /// A task as reported.
    Status(TaskId, Arc<TaskStatus>),
    /// A task was given up with its instance.
    Lost(TaskId),
    /// A service said something that is no good news.
    Said(ServiceKey, String),
    /// Whether an instance is connected.
    Connected(InstanceKey, bool),
}

/// All that was written, in its order.
#[derive(Debug, Default)]
pub struct Facts(Mutex<Vec<(Timestamp, Fact)>>);

impl Facts {
    /// Takes what there is.
    pub fn take(&self) -> Vec<(Timestamp, Fact)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, at: Timestamp, fact: Fact) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((at, fact));
    }
}

/// Writes down what is committed, for as long as the runtime lives.
pub async fn record(store: Arc<Memory>, clock: SharedClock, facts: Arc<Facts>) {
    let Ok(mut watch) = store.watch("", 0).await else {
        return;
    };
    while let Some(Ok(WatchEvent::Commit(commit))) = watch.next().await {
        let now = clock.now();
        for change in &commit.changes {
            if let Some(fact) = read(change) {
                facts.push(now, fact);
            }
        }
    }
}

fn read(change: &Change) -> Option<Fact> {
    let value = match change {
        Change::Put(item) => Some(item.value.as_slice()),
        Change::Delete(_) => None,
    };
    Some(match (Key::parse(change.key())?, value) {
        (Key::Service(cluster, name), None) => Fact::Service((cluster, name), None),
        (Key::Service(cluster, name), Some(value)) => {
            Fact::Service((cluster, name), Some(of(value)?))
        }
        (Key::Spec(hash), Some(value)) => Fact::Spec(hash, of(value)?),
        (Key::Task(..), Some(value)) => Fact::Task(of(value)?),
        (Key::Task(_, id), None) => Fact::Forgotten(id),
        (Key::TaskStatus(_, id), Some(value)) => Fact::Status(id, of(value)?),
        (Key::TaskLost(_, id), Some(_)) => Fact::Lost(id),
        (Key::Event(cluster, service, _), Some(value)) => {
            let event: Arc<ServiceEvent> = of(value)?;
            (event.level > EventLevel::Info)
                .then(|| Fact::Said((cluster, service), event.message.clone()))?
        }
        (Key::Instance(cluster, id), Some(value)) => {
            let instance: Arc<Instance> = of(value)?;
            Fact::Connected((cluster, id), instance.connected)
        }
        _ => return None,
    })
}

fn of<T: DeserializeOwned>(value: &[u8]) -> Option<Arc<T>> {
    serde_json::from_slice(value).ok().map(Arc::new)
}
