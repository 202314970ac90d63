//! P2 and P8: what is not ours is never touched, and nobody else works where we do.

use std::collections::{BTreeMap, BTreeSet};

use longshore::engine::labels;
use longshore::engine::simulated::{SimEvent, SimEventKind};

use super::super::process::OWNER;
use super::tasks::is_asked;
use super::{Finding, Oracle};

/// The other Longshore.
pub const RIVAL: &str = "51e0000000000002";

/// Who holds which cluster on one engine.
#[derive(Debug, Default)]
pub struct Holders {
    running: BTreeMap<String, BTreeSet<String>>,
}

impl Holders {
    /// What is wrong with an event of one engine.
    pub fn take(&mut self, event: &SimEvent) -> Option<Finding> {
        let label = |name: &str| event.labels.get(name).map(String::as_str);
        let (at, name) = (event.at, &event.name);
        let owner = label(labels::OWNER).unwrap_or_default();
        if ![OWNER, RIVAL].contains(&owner) {
            let what = format!("{at} {name} was touched, and is not ours");
            return is_asked(event).then(|| Oracle::Foreign.broken(what));
        }
        if label(labels::LEASE).is_none() {
            let created = event.kind == SimEventKind::Created;
            let what = format!("{at} the other Longshore made {name}");
            return (created && owner == RIVAL).then(|| Oracle::Single.broken(what));
        }
        let cluster = label(labels::CLUSTER).unwrap_or_default();
        let running = self.running.entry(cluster.to_owned()).or_default();
        match event.kind {
            SimEventKind::Started => {
                running.insert(event.container.clone());
            }
            SimEventKind::Exited { .. } | SimEventKind::Removed { .. } => {
                running.remove(&event.container);
            }
            _ => {}
        }
        let held = running.len();
        (held > 1).then(|| {
            let what = format!("{at} cluster {cluster} is held {held} times on one engine");
            Oracle::Single.broken(what)
        })
    }
}
