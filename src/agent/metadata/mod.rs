//! The task metadata endpoint: what ECS's agent answers to the containers of a task over HTTP (semantics §5).
//!
//! Each container is given addresses in its environment: `ECS_CONTAINER_METADATA_URI_V4` (and the older
//! `ECS_CONTAINER_METADATA_URI`) and `ECS_AGENT_URI`. In them stands an id of that container alone ([`key`]), which nobody can
//! guess and which is the same after a restart of Longshore.
//!
//! `access` decides where to listen and keeps it; `serve` is the server: it finds who asks, and asks `response` (pure: what
//! ECS shows of a task and its containers), `stats`, `protection` and `fault`; `limit` bounds how often anybody may ask.
//!
//! Invariants:
//!
//! * It listens on the host's address on the cluster's network and on loopback, nowhere else. Where the network's bridge is
//!   not on this machine (a remote engine, Longshore in a container) it does not listen, and containers get no variables that
//!   would lead nowhere.
//! * The port is recorded before the first container is given it, so a restart finds the same one.
//! * An id answers about its own task, and only to that task's own addresses.

mod access;
mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod key;
mod limit;
mod protection;
mod response;
mod serve;
mod stats;

pub use key::EndpointKey;
pub use protection::Protector;

pub(super) use access::run;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use self::access::{Access, Place};
use self::limit::Limits;
use self::stats::Samples;
use super::execute::Order;
use super::shared::Shared;
use crate::engine::labels::PAUSE_CONTAINER;
use crate::engine::translate::Additions;
use crate::engine::{EngineError, EngineResult, ErrorKind};
use crate::model::{NetworkMode, TaskSpec};

/// How long a container's creation waits for the endpoint to listen.
const PATIENCE: Duration = Duration::from_secs(15);

/// What an agent keeps of its tasks' metadata endpoint.
#[derive(Debug)]
pub(super) struct Metadata {
    key: EndpointKey,
    protector: Arc<dyn Protector>,
    access: watch::Sender<Access>,
    /// A container is about to be created that needs it.
    wanted: Notify,
    limits: Mutex<Limits>,
    samples: Samples,
    /// Held while a fault is started, stopped or asked about.
    faults: tokio::sync::Mutex<()>,
    /// Whether it was said that there is none.
    told: AtomicBool,
}

impl Metadata {
    pub fn new(key: EndpointKey, protector: Arc<dyn Protector>) -> Self {
        Self {
            key,
            protector,
            access: watch::Sender::new(Access::Starting),
            wanted: Notify::new(),
            limits: Mutex::default(),
            samples: Samples::default(),
            faults: tokio::sync::Mutex::new(()),
            told: AtomicBool::new(false),
        }
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens; `None` where it cannot.
    async fn place(&self, shared: &Shared) -> EngineResult<Option<Place>> {
        let doubts = shared.surroundings.network.doubts();
        let known = |access: &Access| match access {
            Access::Starting => false,
            // Another network may have another address.
            Access::Open(place) => place.doubts >= doubts,
            Access::Closed(_) => true,
        };
        let mut access = self.access.subscribe();
        if !known(&access.borrow()) {
            self.wanted.notify_one();
        }
        let waited = tokio::time::timeout(PATIENCE, access.wait_for(known)).await;
        let access = match waited {
            Ok(Ok(access)) => access.clone(),
            Ok(Err(_)) | Err(_) => {
                return Err(EngineError::new(
                    "offer the task metadata endpoint on",
                    shared.config.instance.name.as_str(),
                    ErrorKind::Unknown,
                    format!("it does not listen after {} s", PATIENCE.as_secs()),
                ));
            }
        };
        match access {
            Access::Open(place) => Ok(Some(place)),
            Access::Starting => Ok(None),
            Access::Closed(why) => {
                if !self.told.swap(true, Ordering::AcqRel) {
                    tracing::warn!(cluster = %shared.config.cluster, instance = %shared.config.instance.name,
                        "tasks here have no metadata endpoint, and no ECS_CONTAINER_METADATA_URI_V4: {why}");
                }
                Ok(None)
            }
        }
    }
}

/// Adds the variables that ECS's agent gives a container: its region, where the cluster has one, and its endpoint. Waits for
/// the endpoint to listen where it does not yet.
///
/// # Errors
/// Where it should listen and does not.
pub(super) async fn variables(
    shared: &Shared,
    order: &Order,
    container: &str,
    additions: &mut Additions,
) -> EngineResult<()> {
    if container == PAUSE_CONTAINER {
        return Ok(());
    }
    if let Some(region) = &shared.cluster().aws_region {
        preset(
            additions,
            &[("AWS_REGION", region), ("AWS_DEFAULT_REGION", region)],
        );
    }
    let Some(metadata) = shared.metadata.get() else {
        return Ok(());
    };
    if !reaches(&order.spec, container) {
        return Ok(());
    }
    let Some(place) = metadata.place(shared).await? else {
        return Ok(());
    };
    let host = match order.spec.network_mode {
        NetworkMode::Host => std::net::Ipv4Addr::LOCALHOST,
        _ => place.gateway,
    };
    let base = format!("http://{host}:{}", place.port);
    let record = &order.record;
    let id = metadata.key.id(&record.cluster, &record.id, container);
    give(additions, &base, &id);
    Ok(())
}

/// The addresses win over whatever the definition says.
fn give(additions: &mut Additions, base: &str, id: &str) {
    for (name, path) in [
        ("ECS_CONTAINER_METADATA_URI", "v3"),
        ("ECS_CONTAINER_METADATA_URI_V4", "v4"),
        ("ECS_AGENT_URI", "api"),
    ] {
        let address = format!("{base}/{path}/{id}");
        additions.environment.push((name.to_owned(), address));
    }
    preset(additions, &[("AWS_EXECUTION_ENV", "AWS_ECS_EC2")]);
}

/// Wins over nothing that anybody has said, files of variables included.
fn preset(additions: &mut Additions, pairs: &[(&str, &str)]) {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    additions.defaults.splice(0..0, pairs);
}

/// Whether a container can connect to the host at all. The pause container asks for nothing.
fn reaches(spec: &TaskSpec, container: &str) -> bool {
    let cut_off = |spec: &TaskSpec| {
        spec.container(container)
            .is_some_and(|container| container.disable_networking)
    };
    container != PAUSE_CONTAINER
        && match spec.network_mode {
            NetworkMode::None => false,
            NetworkMode::Bridge => !cut_off(spec),
            NetworkMode::Awsvpc | NetworkMode::Host => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_win_over_everything_and_presets_over_nothing() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut additions = Additions {
            defaults: vec![pair("AWS_REGION", "of a file")],
            environment: vec![pair("ECS_AGENT_URI", "of a secret")],
            ..Additions::default()
        };
        give(&mut additions, "http://10.0.0.1:20000", "id");
        preset(
            &mut additions,
            &[("AWS_REGION", "eu"), ("AWS_DEFAULT_REGION", "eu")],
        );
        let last = |pairs: &[(String, String)], wanted: &str| {
            let found = pairs.iter().rev().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        assert_eq!(
            last(&additions.environment, "ECS_AGENT_URI"),
            "http://10.0.0.1:20000/api/id"
        );
        assert_eq!(
            last(&additions.environment, "ECS_CONTAINER_METADATA_URI_V4"),
            "http://10.0.0.1:20000/v4/id"
        );
        assert_eq!(last(&additions.defaults, "AWS_REGION"), "of a file");
        assert_eq!(last(&additions.defaults, "AWS_DEFAULT_REGION"), "eu");
        assert_eq!(
            last(&additions.defaults, "AWS_EXECUTION_ENV"),
            "AWS_ECS_EC2"
        );
    }

    #[test]
    fn who_cannot_connect_is_told_no_address() {
        let reached = |mode: &str, cut_off: bool| {
            let spec: TaskSpec = serde_json::from_value(serde_json::json!({
                "family": "web", "network_mode": mode,
                "containers": [{"name": "main", "image": "i", "essential": true, "disable_networking": cut_off}],
            }))
            .expect("a specification");
            (reaches(&spec, "main"), reaches(&spec, PAUSE_CONTAINER))
        };
        assert_eq!(reached("none", false), (false, false));
        assert_eq!(reached("bridge", true), (false, false));
        for mode in ["bridge", "awsvpc", "host"] {
            assert_eq!(reached(mode, false), (true, false), "{mode}");
        }
    }
}
