//! `${ECS_AGENT_URI}/task-protection/v1/state`: a task protects itself while it works (semantics §4.32).
//!
//! The agent only passes the request on, as ECS's does: whether it is granted is its service's matter, and recorded by the
//! controller.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::serve::{Caller, Refusal, caller, json_response};
use crate::agent::shared::Shared;
use crate::model::{
    ClusterName, ProtectionError, ProtectionRequest, TaskId, TaskProtection, Timestamp, arn,
};

/// Who grants protection: the controller, by way of the daemon.
#[async_trait]
pub trait Protector: Send + Sync + fmt::Debug + 'static {
    /// Whether a task is protected.
    ///
    /// # Errors
    /// It cannot be.
    fn protection(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
    ) -> Result<Option<TaskProtection>, ProtectionError>;

    /// Changes that; returns what holds from then on.
    ///
    /// # Errors
    /// ECS's reasons not to, or what does not work.
    async fn protect(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
        request: ProtectionRequest,
    ) -> Result<Option<TaskProtection>, ProtectionError>;
}

/// ECS's answer: one of its members.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Protection(Protection),
    Failure(Failure),
    Error(Error),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Protection {
    expiration_date: Option<String>,
    protection_enabled: bool,
    task_arn: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    arn: String,
    detail: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Error {
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
    code: &'static str,
    message: String,
}

impl Error {
    fn invalid(arn: Option<&str>, message: impl Into<String>) -> (StatusCode, Answer) {
        let error = Self {
            arn: arn.map(str::to_owned),
            code: "InvalidParameterException",
            message: message.into(),
        };
        (StatusCode::BAD_REQUEST, Answer::Error(error))
    }
}

/// The body of a PUT.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Request {
    protection_enabled: Option<bool>,
    expires_in_minutes: Option<i64>,
}

/// Reads a PUT's body.
///
/// # Errors
/// The answer to a body that asks for nothing.
fn read(body: &[u8], arn: &str) -> Result<ProtectionRequest, (StatusCode, Answer)> {
    let request: Request = serde_json::from_slice(body)
        .map_err(|error| Error::invalid(None, format!("the request cannot be read: {error}")))?;
    let enabled = request
        .protection_enabled
        .ok_or_else(|| Error::invalid(Some(arn), "the request has no member ProtectionEnabled"))?;
    ProtectionRequest::new(enabled, request.expires_in_minutes)
        .map_err(|why| Error::invalid(Some(arn), why))
}

/// What a body asks for, if it asks for something.
#[cfg(any(test, fuzzing))]
pub(super) fn reads(body: &[u8]) -> Option<ProtectionRequest> {
    read(body, "arn").ok()
}

fn answer(
    arn: String,
    told: Result<Option<TaskProtection>, ProtectionError>,
) -> (StatusCode, Answer) {
    match told {
        Ok(protection) => {
            let expires = protection.map(|protection| seconds(protection.expires_at));
            let answer = Answer::Protection(Protection {
                protection_enabled: expires.is_some(),
                expiration_date: expires,
                task_arn: arn,
            });
            (StatusCode::OK, answer)
        }
        // ECS's API was reached and said no: to the agent that is a success.
        Err(ProtectionError::Refused(failure)) => {
            let answer = Answer::Failure(Failure {
                arn,
                detail: failure.detail,
                reason: failure.reason,
            });
            (StatusCode::OK, answer)
        }
        Err(ProtectionError::Failed(message)) => {
            let error = Error {
                arn: Some(arn),
                code: "ServerException",
                message,
            };
            (StatusCode::INTERNAL_SERVER_ERROR, Answer::Error(error))
        }
    }
}

/// RFC 3339 with whole seconds, as ECS writes it.
fn seconds(at: Timestamp) -> String {
    at.whole_seconds().to_string().replace(".000Z", "Z")
}

fn refused(refusal: Refusal) -> Response {
    let code = match refusal {
        Refusal::Unknown => "ResourceNotFoundException",
        Refusal::TooOften => "ThrottlingException",
    };
    let error = Error {
        arn: None,
        code,
        message: refusal.message().to_owned(),
    };
    json_response(refusal.status(), &Answer::Error(error))
}

async fn find(
    shared: &Shared,
    id: &str,
    peer: SocketAddr,
) -> Result<(Caller, Arc<dyn Protector>), Response> {
    let caller = caller(shared, id, peer.ip()).await.map_err(refused)?;
    match shared.metadata.get() {
        Some(metadata) => Ok((caller, Arc::clone(&metadata.protector))),
        None => Err(refused(Refusal::Unknown)),
    }
}

pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> Result<Response, Response> {
    let (caller, protector) = find(&shared, &id, peer).await?;
    let record = &caller.entry.record;
    let told = protector.protection(&record.cluster, &record.id);
    let (status, answer) = answer(arn::task(&record.cluster, &record.id), told);
    Ok(json_response(status, &answer))
}

pub(super) async fn put(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    body: Bytes,
) -> Result<Response, Response> {
    let (caller, protector) = find(&shared, &id, peer).await?;
    let record = &caller.entry.record;
    let arn = arn::task(&record.cluster, &record.id);
    let (status, answer) = match read(&body, &arn) {
        Ok(request) => {
            let told = protector
                .protect(&record.cluster, &record.id, request)
                .await;
            answer(arn, told)
        }
        Err(refused) => refused,
    };
    Ok(json_response(status, &answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::{Value, json};

    use crate::model::ProtectionFailure;

    fn asked(body: &str) -> Result<ProtectionRequest, (u16, Value)> {
        read(body.as_bytes(), "arn:t").map_err(|(status, answer)| {
            let answer = serde_json::to_value(answer).expect("JSON");
            (status.as_u16(), answer)
        })
    }

    #[test]
    fn a_request_is_read_as_ecs_reads_it() {
        let protect = |minutes| Ok(ProtectionRequest::Protect { minutes });
        assert_eq!(asked(r#"{"ProtectionEnabled":true}"#), protect(120));
        assert_eq!(
            asked(r#"{"ProtectionEnabled":true,"ExpiresInMinutes":5}"#),
            protect(5)
        );
        assert_eq!(
            asked(r#"{"ProtectionEnabled":false}"#),
            Ok(ProtectionRequest::Release)
        );
    }

    #[test]
    fn what_asks_for_nothing_or_something_unknown_is_an_invalid_parameter() {
        for body in [
            "",
            "{}",
            "[]",
            r#"{"ProtectionEnabled":"yes"}"#,
            r#"{"ProtectionEnabled":true,"Minutes":5}"#,
            r#"{"ProtectionEnabled":true,"ExpiresInMinutes":0}"#,
            r#"{"ProtectionEnabled":true,"ExpiresInMinutes":2881}"#,
        ] {
            let Err((status, answer)) = asked(body) else {
                panic!("{body} was taken");
            };
            assert_eq!(status, 400, "{body}");
            assert_eq!(
                answer["error"]["Code"], "InvalidParameterException",
                "{body}"
            );
            assert!(answer["error"]["Message"].is_string(), "{body}");
        }
    }

    #[test]
    fn answers_have_ecs_shapes() {
        let told = |told| {
            let (status, answer) = answer("arn:t".to_owned(), told);
            (status.as_u16(), serde_json::to_value(answer).expect("JSON"))
        };
        let expires_at = Timestamp::from_millis(1_700_000_000_999);
        assert_eq!(
            told(Ok(Some(TaskProtection { expires_at }))),
            (
                200,
                json!({"protection": {
                    "ExpirationDate": "2023-11-14T22:13:20Z", "ProtectionEnabled": true, "TaskArn": "arn:t",
                }})
            )
        );
        assert_eq!(
            told(Ok(None)),
            (
                200,
                json!({"protection": {"ExpirationDate": null, "ProtectionEnabled": false, "TaskArn": "arn:t"}})
            )
        );
        let failure = ProtectionFailure {
            reason: "TASK_NOT_VALID",
            detail: "why".to_owned(),
        };
        assert_eq!(
            told(Err(failure.into())),
            (
                200,
                json!({"failure": {"Arn": "arn:t", "Reason": "TASK_NOT_VALID", "Detail": "why"}})
            )
        );
        assert_eq!(
            told(Err(ProtectionError::Failed("disk".to_owned()))),
            (
                500,
                json!({"error": {"Arn": "arn:t", "Code": "ServerException", "Message": "disk"}})
            )
        );
    }
}
