//! The server: finds who asks, and gives each its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::access::{Access, Place};
use super::limit::Asker;
use super::response::{self, Subject};
use super::{Metadata, fault, key, protection};
use crate::agent::known::is_up;
use crate::agent::shared::Shared;
use crate::engine::labels::PAUSE_CONTAINER;
use crate::engine::{EngineResult, ObservedContainer};
use crate::model::{NetworkMode, TaskId, TaskSpec};
use crate::store::TaskEntry;

/// Longest body of a request, bytes.
const BODY: usize = 64 << 10;

/// Servers that end when this is dropped.
pub(super) struct Serving {
    _servers: JoinSet<()>,
    _stop: DropGuard,
}

/// Answers on these.
pub(super) fn start(shared: &Arc<Shared>, listeners: Vec<TcpListener>) -> Serving {
    let stop = CancellationToken::new();
    let router = router(Arc::clone(shared));
    let mut servers = JoinSet::new();
    for listener in listeners {
        let service = router
            .clone()
            .into_make_service_with_connect_info::<SocketAddr>();
        let server =
            axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
        servers.spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the task metadata endpoint failed");
            }
        });
    }
    Serving {
        _servers: servers,
        _stop: stop.drop_guard(),
    }
}

type Context = State<Arc<Shared>>;
type Peer = ConnectInfo<SocketAddr>;

fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    // The older version's answers have fewer members; who knows only those does not mind the others.
    for version in ["/v4", "/v3"] {
        router = router
            .route(&format!("{version}/{{id}}"), get(container))
            .route(&format!("{version}/{{id}}/"), get(container))
            .route(&format!("{version}/{{id}}/task"), get(task))
            .route(
                &format!("{version}/{{id}}/taskWithTags"),
                get(task_with_tags),
            )
            .route(&format!("{version}/{{id}}/stats"), get(container_stats))
            .route(&format!("{version}/{{id}}/task/stats"), get(task_stats));
    }
    router
        .route(
            "/api/{id}/task-protection/v1/state",
            get(protection::get).put(protection::put),
        )
        .route("/api/{id}/fault/v1/{fault}/{action}", post(fault::post))
        .fallback(no_such_path)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(shared)
}

async fn no_such_path() -> Response {
    text(StatusCode::NOT_FOUND, "there is nothing at this path")
}

/// Who asks: a container whose id and address were found right.
pub(super) struct Caller {
    pub entry: TaskEntry,
    pub spec: Arc<TaskSpec>,
    pub container: String,
    pub place: Place,
    /// The task's containers on the engine, by name.
    pub observed: BTreeMap<String, ObservedContainer>,
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No container has that id, or it is not the one that asks.
    Unknown,
    /// It has asked too often.
    TooOften,
}

impl Refusal {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::TooOften => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::Unknown => "no container of this task has this endpoint id",
            Self::TooOften => "too many requests: a task may make 40 a second",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        text(self.status(), self.message())
    }
}

/// Finds who asks.
///
/// # Errors
/// The same one for an id that is none and for another task's, so that nothing can be learned by trying.
pub(super) async fn caller(shared: &Shared, id: &str, peer: IpAddr) -> Result<Caller, Refusal> {
    let metadata = shared.metadata.get().ok_or(Refusal::Unknown)?;
    let Access::Open(place) = metadata.access.borrow().clone() else {
        return Err(Refusal::Unknown);
    };
    let now = shared.clock.now();
    let found = find(shared, metadata, id);
    let asker = match &found {
        Some((task, ..)) => Asker::Task(task.clone()),
        None => Asker::Stranger(peer),
    };
    if !metadata.limits().take(asker, now) {
        return Err(Refusal::TooOften);
    }
    let (task, entry, spec, container) = found.ok_or(Refusal::Unknown)?;
    let network = shared.surroundings.network_name();
    let mut observed = shared.cache.of_task(&task);
    if !current(&observed, &container) || !comes_from(&spec, &container, &observed, &network, peer)
    {
        // A container may ask before anybody has looked at it since it started.
        look(shared, &observed).await;
        observed = shared.cache.of_task(&task);
        if !comes_from(&spec, &container, &observed, &network, peer) {
            return Err(Refusal::Unknown);
        }
    }
    Ok(Caller {
        entry,
        spec,
        container,
        place,
        observed,
    })
}

fn find(
    shared: &Shared,
    metadata: &Metadata,
    id: &str,
) -> Option<(TaskId, TaskEntry, Arc<TaskSpec>, String)> {
    let task = key::task_of(id)?;
    let config = &shared.config;
    let (entry, spec) = {
        let state = shared.view.read();
        let entry = state.task(&config.cluster, &task)?.clone();
        let spec = Arc::clone(state.specs.get(&entry.record.spec)?);
        (entry, spec)
    };
    if entry.record.instance != config.instance.name {
        return None;
    }
    let container = spec
        .containers
        .iter()
        .find(|container| {
            metadata
                .key
                .opens(id, &config.cluster, &task, &container.name)
        })?
        .name
        .clone();
    Some((task, entry, spec, container))
}

/// Whether what is known of the container is from after it was started.
fn current(observed: &BTreeMap<String, ObservedContainer>, container: &str) -> bool {
    observed
        .get(container)
        .is_some_and(|found| is_up(found.state))
}

/// Whether a request from `peer` can be of that container: in `awsvpc` it has the pause container's address, in `bridge` its
/// own, in `host` it comes over loopback.
fn comes_from(
    spec: &TaskSpec,
    container: &str,
    observed: &BTreeMap<String, ObservedContainer>,
    network: &str,
    peer: IpAddr,
) -> bool {
    let holder = match spec.network_mode {
        NetworkMode::Host => return peer.is_loopback(),
        NetworkMode::None => return false,
        NetworkMode::Awsvpc => PAUSE_CONTAINER,
        NetworkMode::Bridge => container,
    };
    observed
        .get(holder)
        .and_then(|found| found.addresses.get(network))
        .is_some_and(|address| address.parse() == Ok(peer))
}

/// Looks at these again; whoever cannot be looked at stays as it was known.
async fn look(shared: &Shared, observed: &BTreeMap<String, ObservedContainer>) {
    for found in observed.values() {
        let _turn = shared.reads.acquire().await;
        let ticket = shared.cache.ticket();
        if let Ok(seen) = shared.engine.inspect_container(&found.id).await {
            shared.cache.put(ticket, seen);
        }
    }
}

impl Caller {
    /// Answers with what `of` makes of the task.
    fn answer<T: Serialize>(
        &self,
        shared: &Shared,
        of: impl FnOnce(&Subject<'_>) -> T,
    ) -> Response {
        let network = shared.surroundings.network_name();
        let gateway = self.place.gateway.to_string();
        let config = &shared.config;
        let (instance, fault_injection) = {
            let state = shared.view.read();
            let entry = state.instance(&config.cluster, &config.instance.name);
            (
                entry.and_then(|entry| entry.instance.clone()),
                fault::enabled(&state, &config.cluster, &self.spec),
            )
        };
        let nothing = BTreeMap::new();
        let log_driver = shared
            .info()
            .map(|info| info.logging_driver.clone())
            .unwrap_or_default();
        json_response(
            StatusCode::OK,
            &of(&Subject {
                record: &self.entry.record,
                spec: &self.spec,
                status: self.entry.status.as_deref(),
                observed: &self.observed,
                network: (&network, &self.place.subnet, &gateway),
                log_driver: &log_driver,
                fault_injection,
                attributes: instance.as_ref().map_or(&nothing, |i| &i.attributes),
            }),
        )
    }

    /// What one of its containers uses; nothing where that does not run.
    async fn stats(&self, shared: &Shared, name: &str) -> EngineResult<Value> {
        let metadata = shared.metadata.get();
        let running = self
            .observed
            .get(name)
            .filter(|found| is_up(found.state))
            .zip(metadata);
        let Some((found, metadata)) = running else {
            return Ok(Value::Null);
        };
        let (engine, clock) = (shared.engine.as_ref(), shared.clock.as_ref());
        metadata.samples.read(engine, clock, &found.id).await
    }
}

async fn container(
    State(shared): Context,
    Path(id): Path<String>,
    ConnectInfo(peer): Peer,
) -> Result<Response, Refusal> {
    let caller = caller(&shared, &id, peer.ip()).await?;
    Ok(caller.answer(&shared, |subject| {
        response::container(subject, &caller.container)
    }))
}

async fn task(
    State(shared): Context,
    Path(id): Path<String>,
    ConnectInfo(peer): Peer,
) -> Result<Response, Refusal> {
    let caller = caller(&shared, &id, peer.ip()).await?;
    Ok(caller.answer(&shared, |subject| response::task(subject, false)))
}

async fn task_with_tags(
    State(shared): Context,
    Path(id): Path<String>,
    ConnectInfo(peer): Peer,
) -> Result<Response, Refusal> {
    let caller = caller(&shared, &id, peer.ip()).await?;
    Ok(caller.answer(&shared, |subject| response::task(subject, true)))
}

async fn container_stats(
    State(shared): Context,
    Path(id): Path<String>,
    ConnectInfo(peer): Peer,
) -> Result<Response, Refusal> {
    let caller = caller(&shared, &id, peer.ip()).await?;
    let stats = caller.stats(&shared, &caller.container).await;
    Ok(engine_response(stats))
}

async fn task_stats(
    State(shared): Context,
    Path(id): Path<String>,
    ConnectInfo(peer): Peer,
) -> Result<Response, Refusal> {
    let caller = caller(&shared, &id, peer.ip()).await?;
    let each = caller.observed.iter().map(async |(name, found)| {
        let stats = caller.stats(&shared, name).await?;
        Ok((found.id.clone(), stats))
    });
    let all = futures_util::future::try_join_all(each).await;
    Ok(engine_response(all.map(|all| {
        all.into_iter().collect::<serde_json::Map<_, _>>().into()
    })))
}

fn engine_response(answer: EngineResult<Value>) -> Response {
    match answer {
        Ok(value) => json_response(StatusCode::OK, &value),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// An error as ECS's agent answers it: a JSON string.
fn text(status: StatusCode, message: &str) -> Response {
    json_response(status, &json!(message))
}

pub(super) fn json_response<T: Serialize>(status: StatusCode, body: &T) -> Response {
    let body =
        serde_json::to_string(body).unwrap_or_else(|error| json!(error.to_string()).to_string());
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::engine::ContainerState;

    fn spec(mode: &str) -> TaskSpec {
        serde_json::from_value(json!({
            "family": "web", "network_mode": mode,
            "containers": [{"name": "main", "image": "i", "essential": true}],
        }))
        .expect("a specification")
    }

    fn at(address: &str) -> ObservedContainer {
        ObservedContainer {
            id: "1".to_owned(),
            name: "1".to_owned(),
            image: "i".to_owned(),
            image_id: String::new(),
            labels: BTreeMap::new(),
            state: ContainerState::Running,
            exit_code: None,
            oom_killed: false,
            error: String::new(),
            created_at: None,
            started_at: None,
            finished_at: None,
            health: crate::model::HealthStatus::Unknown,
            health_output: None,
            pid: 1,
            addresses: BTreeMap::from([("net".to_owned(), address.to_owned())]),
            ports: Vec::new(),
            volumes: Vec::new(),
        }
    }

    #[test]
    fn a_request_must_come_from_its_own_tasks_address() {
        let from = |mode: &str, peer: &str, observed: &[(&str, &str)]| {
            let observed = observed
                .iter()
                .map(|(name, address)| ((*name).to_owned(), at(address)))
                .collect();
            let peer = peer.parse().expect("an address");
            comes_from(&spec(mode), "main", &observed, "net", peer)
        };
        let both = [("main", "10.0.0.2"), (PAUSE_CONTAINER, "10.0.0.3")];
        assert!(from("bridge", "10.0.0.2", &both));
        assert!(!from("bridge", "10.0.0.3", &both));
        assert!(from("awsvpc", "10.0.0.3", &both));
        assert!(!from("awsvpc", "10.0.0.2", &both));
        assert!(!from("awsvpc", "127.0.0.1", &both));
        assert!(from("host", "127.0.0.1", &both));
        assert!(!from("host", "10.0.0.2", &both));
        assert!(!from("none", "127.0.0.1", &both));
        assert!(!from("bridge", "10.0.0.2", &[]), "it is not there yet");
        assert!(!from("bridge", "10.0.0.2", &[("main", "")]));
    }
}
