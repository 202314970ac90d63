//! A Docker Engine behind one function: agree on the API version first, keep to a time limit, name the failure.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bollard::models::SystemVersion;
use bollard::{BollardRequest, ClientVersion, Docker};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};

use super::dial::Dialer;
use super::errors::{Asked, engine_error, is_version_refused, timed_out};
use super::transport::Transport;
use super::version::{self, Agreement};
use crate::engine::endpoint::Endpoint;
use crate::engine::{EngineError, EngineResult, ErrorKind};

/// How long calls may take. After it a call is [`ErrorKind::TimedOut`]: it may have been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Reads of one object, and what only touches the engine's own records.
    pub read: Duration,
    /// Lists, each of many reads.
    pub list: Duration,
    /// Creating a container: the engine may wait for its disk.
    pub create: Duration,
    /// Starting a container.
    pub start: Duration,
    /// Stopping one, beyond the time that the container itself is given.
    pub stop: Duration,
    /// Removing a container, and making or removing networks, volumes and images.
    pub change: Duration,
    /// A pull without any progress (the ECS agent's `ECS_IMAGE_PULL_INACTIVITY_TIMEOUT`).
    pub pull_silence: Duration,
    /// A whole pull (the ECS agent's `ECS_IMAGE_PULL_TIMEOUT`).
    pub pull: Duration,
    /// Importing an image.
    pub import: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            read: Duration::from_secs(30),
            list: Duration::from_secs(60),
            create: Duration::from_secs(240),
            start: Duration::from_secs(180),
            stop: Duration::from_secs(30),
            change: Duration::from_secs(120),
            pull_silence: Duration::from_secs(60),
            pull: Duration::from_secs(2 * 60 * 60),
            import: Duration::from_secs(300),
        }
    }
}

/// How an engine is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long calls may take.
    pub limits: Limits,
    /// The program that reaches `ssh://` addresses.
    pub ssh: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            ssh: PathBuf::from("ssh"),
        }
    }
}

impl From<Limits> for Options {
    fn from(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }
}

/// bollard's own limit covers headers only, in whole seconds; ours covers the call, so this only has to be longer.
const BOLLARD_LIMIT_SECONDS: u64 = 24 * 3600;

/// See the [module's documentation](self).
pub(super) struct Client {
    docker: Docker,
    transport: Arc<Transport>,
    place: String,
    pub(super) limits: Limits,
    /// Held while the version is being agreed on, so that it is asked once.
    agreeing: tokio::sync::Mutex<()>,
    agreement: Mutex<Option<Agreement>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.place)
    }
}

impl Client {
    /// Prepares a client; opens no connection.
    pub(super) fn new(endpoint: &Endpoint, options: Options) -> EngineResult<Self> {
        let place = endpoint.to_string();
        let invalid = |message: String| {
            EngineError::new("connect to", place.clone(), ErrorKind::Invalid, message)
        };
        let base = match endpoint {
            Endpoint::Tcp(tcp) => tcp.path.clone(),
            Endpoint::Unix(_) | Endpoint::Ssh(_) => String::new(),
        };
        let dialer = Dialer::new(endpoint, options.ssh).map_err(invalid)?;
        let transport = Transport::new(dialer, base).map_err(invalid)?;
        let carrier = Arc::clone(&transport);
        let docker = Docker::connect_with_custom_transport(
            move |request: BollardRequest| Arc::clone(&carrier).send(request),
            // The host never leaves this process: the transport sends the path alone.
            Some("http://engine"),
            BOLLARD_LIMIT_SECONDS,
            &ClientVersion {
                major_version: 1,
                minor_version: usize::from(version::NEWEST.0),
            },
        )
        .map_err(|error| engine_error(Asked::Other, "connect to", &place, &error))?;
        Ok(Self {
            docker,
            transport,
            place,
            limits: options.limits,
            agreeing: tokio::sync::Mutex::new(()),
            agreement: Mutex::new(None),
        })
    }

    /// What was agreed on with the engine, once it was.
    pub(super) fn agreement(&self) -> Option<Agreement> {
        self.agreement
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks the engine for its versions and agrees on one.
    pub(super) async fn agree(&self) -> EngineResult<SystemVersion> {
        let failed =
            |error: &BollardError| engine_error(Asked::Other, "connect to", &self.place, error);
        let asked = tokio::time::timeout(self.limits.read, self.docker.version()).await;
        let answer = match asked {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_) => return Err(timed_out("connect to", &self.place, self.limits.read)),
        };
        let agreed = version::agree(
            answer.api_version.as_deref().unwrap_or_default(),
            answer.min_api_version.as_deref().unwrap_or_default(),
        )
        .map_err(|problem| {
            EngineError::new("connect to", &self.place, ErrorKind::Unsupported, problem)
        })?;
        self.transport.set_version(Some(agreed.version));
        *self
            .agreement
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(agreed);
        Ok(answer)
    }

    async fn ensure_agreed(&self) -> EngineResult<()> {
        if self.transport.version().is_some() {
            return Ok(());
        }
        let _only_one = self.agreeing.lock().await;
        if self.transport.version().is_none() {
            self.agree().await?;
        }
        Ok(())
    }

    /// Makes one call of bollard's within `limit`.
    pub(super) async fn call<'a, T, F>(
        &'a self,
        what: What<'_>,
        limit: Duration,
        request: impl FnOnce(&'a Docker) -> F,
    ) -> EngineResult<T>
    where
        F: Future<Output = Result<T, BollardError>> + 'a,
    {
        let run = async {
            self.ensure_agreed().await?;
            request(&self.docker)
                .await
                .map_err(|error| what.failed(&error))
        };
        let result = match tokio::time::timeout(limit, run).await {
            Ok(result) => result,
            Err(_) => Err(timed_out(what.operation, what.target, limit)),
        };
        self.notice(result)
    }

    /// Makes a request that bollard cannot make, up to the answer's headers. `path` is Docker's, without version, its query
    /// encoded already.
    pub(super) async fn raw(
        &self,
        what: What<'_>,
        limit: Duration,
        raw: Raw<'_>,
    ) -> EngineResult<Response<Incoming>> {
        let run = async {
            self.ensure_agreed().await?;
            self.send_raw(&raw)
                .await
                .map_err(|error| what.failed(&error))
        };
        let result = match tokio::time::timeout(limit, run).await {
            Ok(result) => result,
            Err(_) => Err(timed_out(what.operation, what.target, limit)),
        };
        self.notice(result)
    }

    async fn send_raw(&self, raw: &Raw<'_>) -> Result<Response<Incoming>, BollardError> {
        let mut builder = Request::builder().method(raw.method.clone()).uri(raw.path);
        if raw.upgrade {
            builder = builder.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
        }
        let body = match &raw.body {
            Some(body) => {
                builder = builder.header(CONTENT_TYPE, "application/json");
                Bytes::from(serde_json::to_vec(body)?)
            }
            None => Bytes::new(),
        };
        let request = builder.body(bollard::body_full(body))?;
        let transport = Arc::clone(&self.transport);
        let response = match raw.anew {
            true => transport.send_anew(request).await?,
            false => transport.send(request).await?,
        };
        let status = response.status();
        if status.is_success()
            || status == StatusCode::SWITCHING_PROTOCOLS
            || status == StatusCode::NOT_MODIFIED
        {
            return Ok(response);
        }
        #[derive(serde::Deserialize)]
        struct Problem {
            message: String,
        }
        let body = response.into_body().collect().await?.to_bytes();
        let message = serde_json::from_slice::<Problem>(&body).map_or_else(
            |_| String::from_utf8_lossy(&body).into_owned(),
            |problem| problem.message,
        );
        Err(BollardError::DockerResponseServerError {
            status_code: status.as_u16(),
            message,
        })
    }

    /// Has the next call agree on a version again, where this one's was refused. Nothing was applied then, and the same call
    /// can succeed: for whoever made it the engine was away for a moment, as engines are while they are upgraded.
    pub(super) fn notice<T>(&self, result: EngineResult<T>) -> EngineResult<T> {
        result.map_err(|error| {
            if !is_version_refused(&error) {
                return error;
            }
            self.transport.set_version(None);
            EngineError {
                kind: ErrorKind::Unreachable,
                message: format!(
                    "the engine was replaced by one of other versions: {}",
                    error.message
                ),
                ..error
            }
        })
    }
}

/// What a call is about, for its error.
#[derive(Debug, Clone, Copy)]
pub(super) struct What<'a> {
    pub asked: Asked,
    pub operation: &'static str,
    pub target: &'a str,
}

impl<'a> What<'a> {
    pub(super) fn new(operation: &'static str, target: &'a str) -> Self {
        Self {
            asked: Asked::Other,
            operation,
            target,
        }
    }

    pub(super) fn asking(self, asked: Asked) -> Self {
        Self { asked, ..self }
    }

    pub(super) fn failed(&self, error: &BollardError) -> EngineError {
        engine_error(self.asked, self.operation, self.target, error)
    }

    /// Refuses a target that would turn into another path than the one meant.
    pub(super) fn check(&self) -> EngineResult<()> {
        let fits = !self.target.is_empty()
            && self
                .target
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-:/@".contains(&byte))
            && self
                .target
                .split('/')
                .all(|part| !matches!(part, "" | "." | ".."));
        if fits {
            return Ok(());
        }
        Err(EngineError::new(
            self.operation,
            self.target,
            ErrorKind::Invalid,
            "this is no name that an engine takes",
        ))
    }
}

/// A request that bollard cannot make.
#[derive(Debug, Clone)]
pub(super) struct Raw<'a> {
    pub method: Method,
    pub path: &'a str,
    pub body: Option<serde_json::Value>,
    /// Turn the connection into a plain stream of bytes.
    pub upgrade: bool,
    /// On no connection that is there already.
    pub anew: bool,
}

impl<'a> Raw<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            upgrade: false,
            anew: false,
        }
    }

    pub(super) fn post(path: &'a str, body: Option<serde_json::Value>) -> Self {
        Self {
            method: Method::POST,
            path,
            body,
            upgrade: false,
            anew: false,
        }
    }

    pub(super) fn anew(self) -> Self {
        Self { anew: true, ..self }
    }

    pub(super) fn upgraded(self) -> Self {
        Self {
            upgrade: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_change_the_path_is_refused() {
        for good in ["web", "1f3a", "a/b:1", "r:5000/a@sha256:00", "sha256:00"] {
            assert!(What::new("inspect", good).check().is_ok(), "{good}");
        }
        for bad in [
            "", "../info", "a/../b", "/a", "a//b", "a?x=1", "a b", "a%2fb", "a#b",
        ] {
            let error = What::new("inspect", bad).check().unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{bad}");
        }
    }
}
