//! The engine's events: a ring of the last 256, and streams of what comes.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::mpsc;

use super::faults::WrongEvents;
use super::state::State;
use crate::engine::{EngineEvent, EngineResult};
use crate::model::Timestamp;

/// Events that an engine remembers (Docker's number).
const RING: usize = 256;

#[derive(Debug)]
struct Subscriber {
    sender: mpsc::UnboundedSender<EngineResult<EngineEvent>>,
    silent: bool,
}

#[derive(Debug, Default)]
pub(super) struct Events {
    ring: VecDeque<EngineEvent>,
    subscribers: Vec<Subscriber>,
}

impl Events {
    /// What is remembered from `since` on (inclusive), then what comes.
    pub fn subscribe(
        &mut self,
        since: Option<Timestamp>,
    ) -> mpsc::UnboundedReceiver<EngineResult<EngineEvent>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Some(since) = since {
            for event in self.ring.iter().filter(|event| event.at >= since) {
                let _ = sender.send(Ok(event.clone()));
            }
        }
        self.subscribers.push(Subscriber {
            sender,
            silent: false,
        });
        receiver
    }

    fn publish(&mut self, event: EngineEvent) {
        self.subscribers.retain(|subscriber| {
            if subscriber.silent {
                return !subscriber.sender.is_closed();
            }
            subscriber.sender.send(Ok(event.clone())).is_ok()
        });
        if self.ring.len() == RING {
            self.ring.pop_front();
        }
        self.ring.push_back(event);
    }

    /// Ends every stream.
    pub fn cut(&mut self) {
        self.subscribers.clear();
    }

    /// Every open stream stays open and says nothing more.
    pub fn silence(&mut self) {
        for subscriber in &mut self.subscribers {
            subscriber.silent = true;
        }
    }

    /// Ends every stream and empties the ring.
    pub fn forget(&mut self) {
        self.cut();
        self.ring.clear();
    }
}

impl State {
    /// Tells of something that happened to an object.
    pub fn emit(
        &mut self,
        kind: &str,
        action: &str,
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let (at, at_nanos) = self.stamp();
        self.events.publish(EngineEvent {
            kind: kind.to_owned(),
            action: action.to_owned(),
            id: id.to_owned(),
            attributes,
            at,
            at_nanos,
        });
        match self.faults.of_event() {
            Some(WrongEvents::Cut) => self.events.cut(),
            Some(WrongEvents::Silent) => self.events.silence(),
            None => {}
        }
    }

    /// Tells of something that happened to a container; `more` goes beside its labels, name and image.
    pub fn emit_container(&mut self, id: &str, action: &str, more: &[(&str, String)]) {
        let Some(container) = self.containers.get(id) else {
            return;
        };
        let mut attributes = container.body.labels.clone();
        attributes.insert("name".to_owned(), container.name.clone());
        attributes.insert("image".to_owned(), container.body.image.clone());
        for (name, value) in more {
            attributes.insert((*name).to_owned(), value.clone());
        }
        self.emit("container", action, id, attributes);
    }

    /// Tells of something that happened to a network or a volume, by way of a container where there is one.
    pub fn emit_resource(&mut self, kind: &str, action: &str, id: &str, more: &[(&str, &str)]) {
        let attributes = more
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.emit(kind, action, id, attributes);
    }
}
