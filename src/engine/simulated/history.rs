//! What happened on the engine, for tests that judge it afterwards: every change of a container's state and every call
//! that changes something.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::faults::Operation;
use super::state::Container;
use crate::model::Timestamp;

/// Entries that are kept of each kind; older ones are forgotten, so that a long run needs bounded memory.
const KEPT: usize = 200_000;

/// Who is to blame for the end of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Its own process ended.
    Own,
    /// A call of the API ended or removed it.
    Asked,
    /// A test or a fault did, or the engine's restart.
    Injected,
}

/// What happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimEventKind {
    /// It was created.
    Created,
    /// It was started.
    Started,
    /// Its health check says healthy.
    Healthy,
    /// Its health check says unhealthy.
    Unhealthy,
    /// It ended.
    Exited {
        /// With this code.
        code: i64,
        /// Because of this.
        cause: Cause,
    },
    /// It was removed.
    Removed {
        /// Because of this.
        cause: Cause,
    },
}

/// One change of a container's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimEvent {
    /// When.
    pub at: Timestamp,
    /// The container's id.
    pub container: String,
    /// The container's name.
    pub name: String,
    /// Its labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// What.
    pub kind: SimEventKind,
}

/// One call of the API that changes something, whether it succeeded or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangingCall {
    /// When it arrived.
    pub at: Timestamp,
    /// What was to be done.
    pub operation: Operation,
    /// To what.
    pub target: String,
}

#[derive(Debug, Default)]
pub(super) struct History {
    events: VecDeque<SimEvent>,
    labels: BTreeMap<String, Arc<BTreeMap<String, String>>>,
    calls: BTreeMap<Operation, u64>,
    changing: VecDeque<ChangingCall>,
}

impl History {
    pub fn record(&mut self, at: Timestamp, container: &Container, kind: SimEventKind) {
        let labels = self
            .labels
            .entry(container.id.clone())
            .or_insert_with(|| Arc::new(container.body.labels.clone()));
        let event = SimEvent {
            at,
            container: container.id.clone(),
            name: container.name.clone(),
            labels: Arc::clone(labels),
            kind,
        };
        if matches!(kind, SimEventKind::Removed { .. }) {
            self.labels.remove(&container.id);
        }
        push(&mut self.events, event);
    }

    pub fn count(&mut self, at: Timestamp, operation: Operation, target: &str) {
        *self.calls.entry(operation).or_default() += 1;
        if operation.is_changing() {
            push(
                &mut self.changing,
                ChangingCall {
                    at,
                    operation,
                    target: target.to_owned(),
                },
            );
        }
    }

    pub fn events(&self) -> Vec<SimEvent> {
        self.events.iter().cloned().collect()
    }

    pub fn calls(&self) -> BTreeMap<Operation, u64> {
        self.calls.clone()
    }

    pub fn changing(&self) -> Vec<ChangingCall> {
        self.changing.iter().cloned().collect()
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == KEPT {
        queue.pop_front();
    }
    queue.push_back(item);
}
