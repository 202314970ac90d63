//! The server: which request goes where.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path as UrlPath, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::context::{ApiContext, Serving};
use super::documents::{Document, Selection, documents};
use super::ecs::{self, CONTENT_TYPE, EcsError, TARGET_PREFIX};
use super::kinds::Kind;
use super::socket::{self, BoundSocket, SocketError};
use super::status::{StatusReport, report};
use super::streams::changes::changes;
use super::streams::events::{EventQuery, events};
use super::streams::exec::exec;
use super::streams::logs::{LogQuery, logs};
use super::streams::{Lines, Refused, check_cluster};
use crate::controller::RolloutError;
use crate::model::{Asked, ClusterName, RolloutVerb, ServiceName};

/// How long open connections may take to end once the daemon ends.
const GRACE: Duration = Duration::from_secs(2);

/// A server whose socket is listened on.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    socket: BoundSocket,
    context: ApiContext,
}

/// Listens on `path`; whoever connects is answered once [`Server::run`] runs.
///
/// # Errors
/// See [`socket::bind`].
pub fn bind(path: &Path, context: ApiContext) -> Result<Server, SocketError> {
    let (listener, socket) = socket::bind(path)?;
    Ok(Server {
        listener,
        socket,
        context,
    })
}

impl Server {
    /// Where it listens.
    pub fn path(&self) -> &Path {
        self.socket.path()
    }

    /// Answers until `stop`; then streams end, connections shortly after, and the socket is removed.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            listener,
            socket,
            context,
        } = self;
        let router = router(Serving::new(context, stop.clone()));
        let serving = axum::serve(listener, router)
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future();
        let ended = tokio::select! {
            ended = serving => Some(ended),
            () = async {
                stop.cancelled().await;
                tokio::time::sleep(GRACE).await;
            } => None,
        };
        match ended {
            Some(Err(error)) => tracing::error!(%error, "the API's socket failed"),
            Some(Ok(())) => {}
            None => tracing::debug!("a client of the API did not let go"),
        }
        drop(socket);
    }
}

pub(super) fn router(context: Serving) -> Router {
    Router::new()
        .route("/", post(ecs_request))
        .route("/v1/status", get(status_request))
        .route("/v1/manifests", get(manifests_request))
        .route("/v1/changes", get(changes_request))
        .route("/v1/events", get(events_request))
        .route("/v1/logs", get(logs_request))
        .route("/v1/exec", post(exec_request))
        .route(
            "/v1/services/{cluster}/{name}/{verb}",
            post(rollout_request),
        )
        .route("/v1/state", get(state_request))
        .route("/v1/state/backup", post(backup_request))
        .route("/v1/down", post(down_request))
        .route("/v1/shutdown", post(shutdown_request))
        .fallback(no_such_path)
        .with_state(context)
}

async fn no_such_path(request: Request) -> Refused {
    Refused::not_found(format!(
        "there is nothing at {}; see /v1/status",
        request.uri().path()
    ))
}

async fn ecs_request(State(context): State<Serving>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let result = match target.strip_prefix(TARGET_PREFIX) {
        Some(operation) => ecs::dispatch(&context, operation, &body).await,
        None => Err(EcsError::unknown_operation(target)),
    };
    let (status, body) = match result {
        Ok(answer) => (StatusCode::OK, without_nulls(answer)),
        Err(error) => (
            StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
            error.body(),
        ),
    };
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if let Ok(id) = HeaderValue::from_str(&request_id(&context)) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

/// An absent `nextToken` is left out, as ECS does.
fn without_nulls(mut answer: Value) -> Value {
    if let Some(members) = answer.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    answer
}

/// In the form of AWS's own: unique in this process, which is all that it is for.
fn request_id(context: &ApiContext) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}-0000-4000-8000-{number:012x}", context.identity.pid)
}

async fn status_request(State(context): State<Serving>) -> Json<StatusReport> {
    Json(report(&context))
}

async fn state_request(State(context): State<Serving>) -> Result<Json<Value>, Refused> {
    let dump = context.control.dump().await;
    dump.map(Json)
        .map_err(|why| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why))
}

/// The body of `POST /v1/state/backup`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct BackupRequest {
    /// The file to write, absolute; it must not exist.
    pub to: std::path::PathBuf,
}

async fn backup_request(
    State(context): State<Serving>,
    Json(request): Json<BackupRequest>,
) -> Result<Json<()>, Refused> {
    let done = context.control.backup(&request.to).await;
    done.map(Json)
        .map_err(|why| Refused::new(StatusCode::BAD_REQUEST, why))
}

/// The query of `GET /v1/manifests`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ManifestQuery {
    /// The kind, however it is written.
    pub kind: String,
    /// Only of this cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Only of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Stopped tasks, services that are gone and older revisions too.
    pub all: bool,
}

/// The answer of `GET /v1/manifests`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Manifests {
    /// The documents.
    pub items: Vec<Document>,
}

async fn manifests_request(
    State(context): State<Serving>,
    Query(query): Query<ManifestQuery>,
) -> Result<Json<Manifests>, Refused> {
    let kind: Kind = query
        .kind
        .parse()
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, format!("{error}")))?;
    let selection = Selection {
        cluster: query.cluster.as_deref().map(ClusterName::new),
        all: query.all,
    };
    let now = context.clock.now();
    let folder = context.status.borrow().clone();
    let troubles = context.control.troubles().borrow().clone();
    let mut items = {
        let state = context.view.read();
        check_cluster(&state, query.cluster.as_deref())?;
        documents(&state, &folder.held, &troubles, kind, &selection, now)
    };
    if let Some(name) = query.name {
        items.retain(|document| document.metadata.name == name);
    }
    Ok(Json(Manifests { items }))
}

/// The body of `POST /v1/services/{cluster}/{name}/{verb}`; it may be empty.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutRequest {
    /// Who asks.
    pub by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of `undo`: the number of the revision to go back to; absent: the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_revision: Option<u32>,
}

/// The answer of `POST /v1/services/{cluster}/{name}/{verb}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutAnswer {
    /// What holds from now on, as a sentence.
    pub message: String,
    /// Whether that is new.
    pub changed: bool,
    /// The state's revision from which it holds.
    pub revision: u64,
}

async fn rollout_request(
    State(context): State<Serving>,
    UrlPath((cluster, name, verb)): UrlPath<(String, String, String)>,
    body: Bytes,
) -> Result<Json<RolloutAnswer>, Refused> {
    let request: RolloutRequest = if body.is_empty() {
        RolloutRequest::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.to_string()))?
    };
    let Some(wanted) = RolloutVerb::parse(&verb, request.to_revision) else {
        return Err(Refused::not_found(format!(
            "there is no {verb} of a service: suspend, resume, pause, unpause, restart, undo or retry"
        )));
    };
    check_cluster(&context.view.read(), Some(&cluster))?;
    let asked = Asked {
        by: request.by,
        reason: request.reason,
        ..Asked::default()
    };
    let (cluster, name) = (ClusterName::new(cluster), ServiceName::new(name));
    let done = context
        .control
        .rollout(&cluster, &name, &wanted, asked)
        .await;
    let done = done.map_err(|error| {
        let status = match error {
            RolloutError::NoSuchService(..) | RolloutError::NoSuchRevision(_) => {
                StatusCode::NOT_FOUND
            }
            RolloutError::NotNow(_) => StatusCode::CONFLICT,
            RolloutError::NotReady | RolloutError::Ending => StatusCode::SERVICE_UNAVAILABLE,
            RolloutError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refused::new(status, error.to_string())
    })?;
    Ok(Json(RolloutAnswer {
        message: done.message,
        changed: done.changed,
        revision: done.revision,
    }))
}

async fn changes_request(State(context): State<Serving>) -> Response {
    changes(&context)
}

async fn events_request(
    State(context): State<Serving>,
    Query(query): Query<EventQuery>,
) -> Result<Response, Refused> {
    events(&context, &query)
}

async fn logs_request(
    State(context): State<Serving>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Refused> {
    logs(&context, &query)
}

async fn exec_request(
    State(context): State<Serving>,
    request: axum::http::Request<Body>,
) -> Result<Response, Refused> {
    exec(&context, request).await
}

/// The body of `POST /v1/down`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct DownRequest {
    /// Remove its volumes too.
    pub volumes: bool,
}

/// A line of the answer to `POST /v1/down`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DownLine {
    /// What is being done.
    Message(String),
    /// What could not be removed, and why; empty: all is gone. The last line.
    Done(Vec<String>),
    /// What could not be done. The last line.
    Error(String),
}

async fn down_request(State(context): State<Serving>, body: Bytes) -> Result<Response, Refused> {
    let request: DownRequest = if body.is_empty() {
        DownRequest::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.to_string()))?
    };
    let (lines, response) = Lines::response();
    // It goes on when its caller goes away: half a removal serves nobody.
    tokio::spawn(async move {
        let (say, mut said) = mpsc::unbounded_channel();
        let (result, ()) = tokio::join!(context.control.down(request.volumes, say), async {
            while let Some(message) = said.recv().await {
                lines.send(&DownLine::Message(message)).await;
            }
        });
        let last = match result {
            Ok(left) => DownLine::Done(left),
            Err(error) => DownLine::Error(error),
        };
        lines.send(&last).await;
    });
    Ok(response)
}

async fn shutdown_request(State(context): State<Serving>) -> Json<Value> {
    context.control.shutdown();
    Json(json!({}))
}
