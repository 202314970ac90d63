//! `${ECS_AGENT_URI}/fault/v1/<fault>/<action>`: a task makes its own network worse, to see how it copes (semantics §5).
//!
//! `request` reads and checks what is asked as ECS does, `commands` says what is done about it in the task's network namespace
//! (both pure), `run` does it. Nothing is remembered: whether a fault runs is asked of the namespace, so that a restart of
//! Longshore changes nothing, and a fault ends with its task at the latest.

mod commands;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod request;
mod run;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;

use self::request::{Action, Fault, Kind};
use super::serve::{Caller, caller, json_response};
use crate::agent::shared::Shared;
use crate::engine::labels::PAUSE_CONTAINER;
use crate::model::{ClusterName, NetworkMode, TaskSpec, arn};
use crate::store::State as Stored;

/// Why nothing was done, as ECS answers it: `{"Error": …}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    /// The request cannot be granted as it is.
    fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
        }
    }

    /// This host cannot do it.
    fn impossible(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_IMPLEMENTED,
            message: message.into(),
        }
    }

    /// It should have worked.
    fn failed(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: message.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        json_response(self.status, &json!({"Error": self.message}))
    }
}

/// Whether tasks of that definition may ask for faults: it says so, and so does its cluster.
pub(super) fn enabled(state: &Stored, cluster: &ClusterName, spec: &TaskSpec) -> bool {
    spec.enable_fault_injection && allowed(state, cluster)
}

fn allowed(state: &Stored, cluster: &ClusterName) -> bool {
    state
        .clusters
        .get(cluster)
        .is_some_and(|cluster| cluster.fault_injection)
}

/// What `POST …/fault/v1/<fault>/<action>` answers.
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    Path((id, kind, action)): Path<(String, String, String)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    body: Bytes,
) -> Result<Response, Response> {
    let (Some(kind), Some(action)) = (Kind::parse(&kind), Action::parse(&action)) else {
        let message = format!("there is no fault {kind} that can be asked to {action}");
        let status = StatusCode::NOT_FOUND;
        return Err(Refusal { status, message }.into_response());
    };
    let fault = request::read(kind, action, &body).map_err(IntoResponse::into_response)?;
    let caller = caller(&shared, &id, peer.ip()).await.map_err(|refusal| {
        let message = refusal.message().to_owned();
        let status = refusal.status();
        Refusal { status, message }.into_response()
    })?;
    let told = act(&shared, &caller, fault.as_ref(), kind, action).await;
    let word = told.map_err(IntoResponse::into_response)?;
    Ok(json_response(StatusCode::OK, &json!({"Status": word})))
}

/// Does what is asked; returns ECS's word for what holds then.
async fn act(
    shared: &Shared,
    caller: &Caller,
    fault: Option<&Fault>,
    kind: Kind,
    action: Action,
) -> Result<&'static str, Refusal> {
    check(shared, caller)?;
    let Some(metadata) = shared.metadata.get() else {
        return Err(Refusal::failed("there is no endpoint"));
    };
    // One at a time: two requests must not take turns in one namespace.
    let _turn = metadata.faults.lock().await;
    let namespace = run::Namespace::open(shared, &caller.observed, PAUSE_CONTAINER).await?;
    let target = commands::Target {
        kind,
        fault,
        endpoint: (caller.place.gateway, caller.place.port),
    };
    let runs = namespace.runs(&target).await?;
    match action {
        Action::Status if runs => Ok("running"),
        Action::Status => Ok("not-running"),
        Action::Start => {
            if runs {
                // A port is blocked or it is not; of the others there is one, and another one would replace it silently.
                return match kind {
                    Kind::BlackholePort => Ok("running"),
                    Kind::Latency | Kind::PacketLoss => Err(Refusal {
                        status: StatusCode::CONFLICT,
                        message: format!("there is already one {kind} fault running"),
                    }),
                };
            }
            namespace.start(&target).await?;
            tracing::info!(task = %caller.entry.record.id, fault = %kind, "a task asked for a fault in its network");
            Ok("running")
        }
        Action::Stop => {
            if runs {
                namespace.stop(&target).await?;
                tracing::info!(task = %caller.entry.record.id, fault = %kind, "a task ended a fault in its network");
            }
            Ok("stopped")
        }
    }
}

/// Whether the task may ask for faults at all.
fn check(shared: &Shared, caller: &Caller) -> Result<(), Refusal> {
    let record = &caller.entry.record;
    let task = arn::task(&record.cluster, &record.id);
    if !caller.spec.enable_fault_injection {
        return Err(Refusal::invalid(format!(
            "enableFaultInjection is not enabled for task: {task}"
        )));
    }
    if !allowed(&shared.view.read(), &record.cluster) {
        return Err(Refusal::invalid(format!(
            "fault injection is not enabled in cluster {}: set faultInjection in its manifest",
            record.cluster
        )));
    }
    match caller.spec.network_mode {
        NetworkMode::Awsvpc => Ok(()),
        NetworkMode::Host => Err(Refusal::invalid(
            "host mode is not supported here: the fault would be the whole host's, and outlive the task. Use awsvpc mode.",
        )),
        NetworkMode::Bridge => Err(Refusal::invalid(
            "bridge mode is not supported. Please use awsvpc mode.",
        )),
        NetworkMode::None => Err(Refusal::invalid(
            "none mode is not supported. Please use awsvpc mode.",
        )),
    }
}
