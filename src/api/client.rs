//! Asking a running Longshore over its socket.

use std::fs;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio_util::codec::Framed;

use super::context::Identity;
use super::documents::Document;
use super::ecs;
use super::frame::FrameCodec;
use super::server::{
    BackupRequest, DownLine, DownRequest, ManifestQuery, Manifests, RolloutAnswer, RolloutRequest,
};
use super::socket::{check_own_directory, is_live, runtime_dirs};
use super::status::StatusReport;
use super::streams::changes::ChangeLine;
use super::streams::events::{EventLine, EventQuery};
use super::streams::exec::{ExecRequest, PROTOCOL};
use super::streams::logs::{LogHeader, LogLine, LogQuery};
use crate::model::{Asked, ClusterName, RolloutVerb, ServiceName};
use crate::store::dir::known_as;

/// Which running Longshore is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lookup {
    /// The one that listens there.
    pub socket: Option<PathBuf>,
    /// The one whose state is there.
    pub state_dir: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing runs that could be asked.
    #[error("no Longshore is running{at}; start one with `longshore run DIR`")]
    NotRunning {
        /// ` at PATH` or ` for DIR`, where somebody said which.
        at: String,
    },
    /// Several run, and nobody said which.
    #[error("several Longshores are running; say which with --socket:\n{}", .0.iter().map(|(path, folder)| format!("  --socket {}  ({folder})", path.display())).collect::<Vec<_>>().join("\n"))]
    Several(Vec<(PathBuf, String)>),
    /// The socket is not ours to use.
    #[error("{path}: {source}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It answered, and refused.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// ECS's exception, where it is one.
        exception: Option<String>,
        /// Its words.
        message: String,
    },
    /// The connection broke, or the answer makes no sense.
    #[error("the running Longshore's answer broke off: {0}")]
    Broken(String),
}

impl ClientError {
    /// Whether there is nothing to ask.
    pub fn is_not_running(&self) -> bool {
        matches!(self, Self::NotRunning { .. })
    }

    /// Whether it went away, or goes away, with the question: its successor may be asked again.
    pub fn went_away(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::Broken(_))
    }

    /// Whether what was named is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// Whether two paths are one directory; for what is not there, whether they are one path.
fn is_same_directory(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| known_as(path));
    real(one) == real(other)
}

/// A name as a segment of a path.
fn path_segment(name: &str) -> String {
    use std::fmt::Write as _;
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

fn broken(error: impl std::fmt::Display) -> ClientError {
    ClientError::Broken(error.to_string())
}

/// Every socket of this user that somebody answers on.
pub fn live_sockets() -> Vec<PathBuf> {
    let mut live = Vec::new();
    for dir in runtime_dirs() {
        let trusted =
            fs::symlink_metadata(&dir).is_ok_and(|meta| check_own_directory(&dir, &meta).is_ok());
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        if !trusted {
            continue;
        }
        let sockets = entries.flatten().map(|entry| entry.path()).filter(|path| {
            path.extension().is_some_and(|e| e == "sock")
                && fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
                && is_live(path)
        });
        live.extend(sockets);
    }
    live.sort();
    live.dedup();
    live
}

/// A running Longshore. Each request has a connection of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// The one that listens on this socket, whether or not it does.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The one that is meant: the socket that is named; else of those that run the one with this state; else the only one.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub async fn find(lookup: impl Into<Lookup>) -> Result<Self, ClientError> {
        Self::find_for(lookup, None).await
    }

    /// As [`Client::find`], of those that follow `folder` where it is given.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub async fn find_for(
        lookup: impl Into<Lookup>,
        folder: Option<&Path>,
    ) -> Result<Self, ClientError> {
        let lookup = lookup.into();
        if let Some(path) = lookup.socket {
            return match std::os::unix::net::UnixStream::connect(&path) {
                Ok(_) => Ok(Self::at(path)),
                Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                    Err(ClientError::Socket { path, source })
                }
                Err(_) => Err(ClientError::NotRunning {
                    at: format!(" at {}", path.display()),
                }),
            };
        }
        let mut found = Self::running(lookup.state_dir.as_deref(), folder).await;
        match found.len() {
            0 => Err(ClientError::NotRunning {
                at: folder
                    .or(lookup.state_dir.as_deref())
                    .map(|dir| format!(" for {}", dir.display()))
                    .unwrap_or_default(),
            }),
            1 => Ok(found.swap_remove(0).0),
            _ => Err(ClientError::Several(
                found
                    .into_iter()
                    .map(|(client, identity)| (client.path, identity.folder))
                    .collect(),
            )),
        }
    }

    /// All that run: of those on this state, where it is given, the ones that follow this folder, where it is given.
    pub async fn running(state_dir: Option<&Path>, folder: Option<&Path>) -> Vec<(Self, Identity)> {
        let mut found = Vec::new();
        for path in live_sockets() {
            let client = Self::at(path);
            // One that ends just now is as good as ended.
            let Ok(status) = client.status().await else {
                continue;
            };
            let identity = status.identity;
            let on_state =
                state_dir.is_none_or(|dir| is_same_directory(dir, Path::new(&identity.state_dir)));
            let follows =
                folder.is_none_or(|folder| known_as(folder) == Path::new(&identity.folder));
            if on_state && follows {
                found.push((client, identity));
            }
        }
        found
    }

    /// The one that can tell of `folder`, whose state is in `directory` unless it was started with another: the socket that is
    /// named, where somebody answers on it; else of those that follow the folder the one on the state that is named, or the
    /// only one, or the one on `directory`. None where nothing runs for it: then the state's file tells.
    ///
    /// # Errors
    /// There is more than one, or the named socket is not ours to use.
    pub async fn telling(
        lookup: &Lookup,
        folder: &Path,
        directory: &Path,
    ) -> Result<Option<Self>, ClientError> {
        if lookup.socket.is_some() {
            match Self::find(lookup.clone()).await {
                Err(error) if error.is_not_running() => {}
                found => return found.map(Some),
            }
        }
        let mut found = Self::running(lookup.state_dir.as_deref(), Some(folder)).await;
        if found.len() > 1 {
            let own = found
                .iter()
                .position(|(_, identity)| {
                    is_same_directory(directory, Path::new(&identity.state_dir))
                })
                .ok_or_else(|| {
                    let all = found.iter();
                    ClientError::Several(
                        all.map(|(client, identity)| {
                            (client.path.clone(), identity.folder.clone())
                        })
                        .collect(),
                    )
                })?;
            return Ok(Some(found.swap_remove(own).0));
        }
        Ok(found.pop().map(|(client, _)| client))
    }

    /// `GET /v1/status`
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&self) -> Result<StatusReport, ClientError> {
        self.get_json("/v1/status".to_owned()).await
    }

    /// `GET /v1/manifests`
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn manifests(&self, query: &ManifestQuery) -> Result<Vec<Document>, ClientError> {
        let answer: Manifests = self.get_json(with_query("/v1/manifests", query)).await?;
        Ok(answer.items)
    }

    /// One of ECS's operations.
    ///
    /// # Errors
    /// See [`ClientError`]; ECS's exceptions are [`ClientError::Refused`].
    pub async fn ecs(&self, operation: &str, input: &Value) -> Result<Value, ClientError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("X-Amz-Target", format!("{}{operation}", ecs::TARGET_PREFIX))
            .header(CONTENT_TYPE, ecs::CONTENT_TYPE);
        let response = self.send(request, input.to_string().into()).await?;
        read_json(response).await
    }

    /// All pages of one of ECS's List operations: what `member` of them holds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ecs_list(
        &self,
        operation: &str,
        mut input: Value,
        member: &str,
    ) -> Result<Vec<String>, ClientError> {
        let mut items = Vec::new();
        loop {
            let mut page = self.ecs(operation, &input).await?;
            let these: Vec<String> = serde_json::from_value(page[member].take()).map_err(broken)?;
            items.extend(these);
            match page["nextToken"].take() {
                Value::Null => return Ok(items),
                token => input["nextToken"] = token,
            }
        }
    }

    /// `GET /v1/changes`
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn changes(&self) -> Result<JsonLines<ChangeLine>, ClientError> {
        self.get_lines("/v1/changes".to_owned()).await
    }

    /// `GET /v1/events`
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, query: &EventQuery) -> Result<JsonLines<EventLine>, ClientError> {
        self.get_lines(with_query("/v1/events", query)).await
    }

    /// `GET /v1/logs`
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn logs(
        &self,
        query: &LogQuery,
    ) -> Result<(LogHeader, JsonLines<LogLine>), ClientError> {
        let mut lines: JsonLines<LogHeader> = self.get_lines(with_query("/v1/logs", query)).await?;
        let header = lines
            .next()
            .await?
            .ok_or_else(|| broken("it ended before it began"))?;
        Ok((header, lines.go_on()))
    }

    /// `POST /v1/exec`: the session, as frames.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn exec(&self, request: &ExecRequest) -> Result<ExecFrames, ClientError> {
        let body = serde_json::to_vec(request).map_err(broken)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/exec")
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, PROTOCOL);
        let response = self.send(request, body.into()).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(broken("it did not switch protocols"));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
        Ok(Framed::new(TokioIo::new(upgraded), FrameCodec))
    }

    /// `POST /v1/services/{cluster}/{name}/{verb}`: asks for something about a service's rollouts.
    ///
    /// # Errors
    /// See [`ClientError`]. Refused with 404: there is no such service or revision; with 409: it makes no sense as things are.
    pub async fn rollout(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        verb: &RolloutVerb,
        asked: &Asked,
    ) -> Result<RolloutAnswer, ClientError> {
        let to_revision = match verb {
            RolloutVerb::Undo { to } => *to,
            _ => None,
        };
        let body = serde_json::to_vec(&RolloutRequest {
            by: asked.by.clone(),
            reason: asked.reason.clone(),
            to_revision,
        });
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!(
                "/v1/services/{}/{}/{}",
                path_segment(cluster.as_str()),
                path_segment(service.as_str()),
                verb.as_str()
            ))
            .header(CONTENT_TYPE, "application/json");
        let response = self.send(request, body.map_err(broken)?.into()).await?;
        read_json(response).await
    }

    /// `POST /v1/down`: removes everything that the running Longshore owns, and ends it. `say` is told each step. Returns what could not be
    /// removed, and why.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn down(
        &self,
        volumes: bool,
        mut say: impl FnMut(&str),
    ) -> Result<Vec<String>, ClientError> {
        let body = serde_json::to_vec(&DownRequest { volumes }).map_err(broken)?;
        let request = Request::builder().method(Method::POST).uri("/v1/down");
        let mut lines: JsonLines<DownLine> =
            JsonLines::new(self.send(request, body.into()).await?.into_body());
        while let Some(line) = lines.next().await? {
            match line {
                DownLine::Message(message) => say(&message),
                DownLine::Done(left) => return Ok(left),
                DownLine::Error(message) => {
                    return Err(ClientError::Refused {
                        status: StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
                        exception: None,
                        message,
                    });
                }
            }
        }
        Err(broken("it ended before all was removed"))
    }

    /// `GET /v1/state`
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn state(&self) -> Result<Value, ClientError> {
        self.get_json("/v1/state".to_owned()).await
    }

    /// `POST /v1/state/backup`
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn backup(&self, to: &Path) -> Result<(), ClientError> {
        let body = serde_json::to_vec(&BackupRequest { to: to.to_owned() }).map_err(broken)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/state/backup")
            .header("content-type", "application/json");
        self.send(request, Bytes::from(body)).await.map(|_| ())
    }

    /// `POST /v1/shutdown`: ends the running Longshore; containers keep running.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn shutdown(&self) -> Result<(), ClientError> {
        let request = Request::builder().method(Method::POST).uri("/v1/shutdown");
        self.send(request, Bytes::new()).await.map(|_| ())
    }

    async fn get_json<T: DeserializeOwned>(&self, path: String) -> Result<T, ClientError> {
        let response = self
            .send(Request::builder().uri(path), Bytes::new())
            .await?;
        read_json(response).await
    }

    async fn get_lines<T: DeserializeOwned>(
        &self,
        path: String,
    ) -> Result<JsonLines<T>, ClientError> {
        let response = self
            .send(Request::builder().uri(path), Bytes::new())
            .await?;
        Ok(JsonLines::new(response.into_body()))
    }

    async fn send(
        &self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream =
            UnixStream::connect(&self.path)
                .await
                .map_err(|source| match source.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                        ClientError::NotRunning {
                            at: format!(" at {}", self.path.display()),
                        }
                    }
                    _ => ClientError::Socket {
                        path: self.path.clone(),
                        source,
                    },
                })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // It ends with the response's body, or with the upgraded stream; its errors are the body's.
        tokio::spawn(connection.with_upgrades());
        let request = request
            .header(HOST, "longshore")
            .body(Full::new(body))
            .map_err(broken)?;
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(broken)?
            .to_bytes();
        let answer: Value = serde_json::from_slice(&body).unwrap_or_else(
            |_| json!({"message": String::from_utf8_lossy(&body).trim().to_owned()}),
        );
        let text = |member: &str| answer[member].as_str().map(str::to_owned);
        Err(ClientError::Refused {
            status,
            exception: text("__type"),
            message: text("message").unwrap_or_else(|| format!("it answered with status {status}")),
        })
    }
}

/// An exec session.
pub type ExecFrames = Framed<TokioIo<Upgraded>, FrameCodec>;

fn with_query(path: &str, query: &impl Serialize) -> String {
    let query = match serde_json::to_value(query) {
        Ok(Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    let mut uri = path.to_owned();
    for (name, value) in query {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        uri.push(if uri.len() == path.len() { '?' } else { '&' });
        uri.push_str(&name);
        uri.push('=');
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                uri.push(char::from(byte));
            } else {
                uri.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    uri
}

async fn read_json<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ClientError> {
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(broken)?
        .to_bytes();
    serde_json::from_slice(&body).map_err(broken)
}

/// An answer of a JSON object a line, as it comes.
#[derive(Debug)]
pub struct JsonLines<T> {
    body: Incoming,
    buffer: BytesMut,
    kind: PhantomData<fn() -> T>,
}

impl<T> JsonLines<T> {
    fn new(body: Incoming) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            kind: PhantomData,
        }
    }

    /// The rest of the answer, whose lines are of another kind.
    fn go_on<U>(self) -> JsonLines<U> {
        JsonLines {
            body: self.body,
            buffer: self.buffer,
            kind: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> JsonLines<T> {
    /// The next object; `None` at the end. Safe to be cancelled.
    ///
    /// # Errors
    /// The connection broke, or a line is none of these objects.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        let mut searched = 0;
        loop {
            let new = self.buffer.get(searched..).unwrap_or_default();
            if let Some(end) = new.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(searched + end + 1);
                return serde_json::from_slice(&line).map(Some).map_err(broken);
            }
            searched = self.buffer.len();
            match self.body.frame().await {
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(broken("its last line is not whole")),
                Some(Err(error)) => return Err(broken(error)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_escaped_and_leaves_out_what_is_absent() {
        let query = LogQuery {
            service: Some("a b/ü".to_owned()),
            tail: Some(3),
            ..LogQuery::default()
        };
        assert_eq!(
            with_query("/v1/logs", &query),
            "/v1/logs?follow=false&service=a%20b%2F%C3%BC&tail=3"
        );
    }

    #[tokio::test]
    async fn a_socket_that_nobody_listens_on_says_what_to_start() {
        let dir = tempfile::tempdir().unwrap();
        let lookup = Lookup {
            socket: Some(dir.path().join("none.sock")),
            state_dir: None,
        };
        let error = Client::find(lookup).await.unwrap_err();
        assert!(error.is_not_running());
        assert!(error.to_string().contains("longshore run DIR"), "{error}");
    }
}
