//! One request to an engine: the API version before the path, a connection from the pool or a new one.
//!
//! bollard builds most requests and reads most answers; this carries them. It exists because bollard 0.21 sends no API
//! version, opens a connection a request, and encodes registry credentials with the wrong alphabet.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::dial::{DialError, Dialer};
use super::errors::dial_error;
use super::version::ApiVersion;
use crate::engine::ErrorKind;

/// The body that bollard sends.
pub(super) type Body =
    Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>>>;

/// Idle connections to keep: as many as calls run at once in practice.
const IDLE_MOST: usize = 8;
/// How long a connection may have been idle and still be used. What lies between may forget it silently after that.
const IDLE_LONGEST: Duration = Duration::from_secs(30);

/// How long a connection through `ssh` may take until the engine answers.
const PROBE_LIMIT: Duration = Duration::from_secs(40);

/// See the [module's documentation](self).
pub(super) struct Transport {
    dialer: Dialer,
    host: HeaderValue,
    /// What stands before the version in every path.
    base: String,
    /// The version that was agreed on; 0 while none is.
    version: AtomicU16,
    idle: Mutex<Vec<(SendRequest<Body>, Instant)>>,
}

impl Transport {
    pub(super) fn new(dialer: Dialer, base: String) -> Result<Arc<Self>, String> {
        let host = HeaderValue::try_from(dialer.host_header())
            .map_err(|_| "the engine's host name cannot stand in a header".to_owned())?;
        Ok(Arc::new(Self {
            dialer,
            host,
            base,
            version: AtomicU16::new(0),
            idle: Mutex::new(Vec::new()),
        }))
    }

    /// The version in use, once there is one.
    pub(super) fn version(&self) -> Option<ApiVersion> {
        match self.version.load(Ordering::Acquire) {
            0 => None,
            minor => Some(ApiVersion(minor)),
        }
    }

    /// Sets the version to use, or forgets it.
    pub(super) fn set_version(&self, version: Option<ApiVersion>) {
        self.version
            .store(version.map_or(0, |version| version.0), Ordering::Release);
    }

    /// Sends a request whose URI has the path that Docker's documentation gives, without version.
    pub(super) async fn send(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, BollardError> {
        self.carry(request, false).await
    }

    /// As [`send`](Self::send), on a connection that is opened for it.
    pub(super) async fn send_anew(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, BollardError> {
        self.carry(request, true).await
    }

    async fn carry(
        self: Arc<Self>,
        mut request: Request<Body>,
        anew: bool,
    ) -> Result<Response<Incoming>, BollardError> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let prefix = self
            .version()
            .map_or_else(String::new, |version| format!("/v{version}"));
        *request.uri_mut() = format!("{}{prefix}{path}", self.base).parse::<Uri>()?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if let Some(value) = headers.get_mut("X-Registry-Auth") {
            *value = url_safe(value);
        }
        loop {
            let idle = match anew {
                true => None,
                false => self.take_idle(),
            };
            let (mut sender, pooled) = match idle {
                Some(sender) => (sender, true),
                None => (self.connect().await?, false),
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep_when_free(sender);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    // The connection had died in the pool, and nothing was sent.
                    Some(unsent) if pooled => request = unsent,
                    _ => return Err(error.into_error().into()),
                },
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, BollardError> {
        let stream = self.dialer.dial().await.map_err(dial_failed)?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection.with_upgrades());
        if self.dialer.wants_probe() {
            self.probe(&mut sender).await.map_err(dial_failed)?;
        }
        Ok(sender)
    }

    /// Asks something harmless. Whatever goes wrong then, no request of anybody's was sent.
    async fn probe(&self, sender: &mut SendRequest<Body>) -> Result<(), DialError> {
        let asked = async {
            let mut request = Request::new(bollard::body_full(Bytes::new()));
            *request.uri_mut() = Uri::from_static("/_ping");
            request.headers_mut().insert(HOST, self.host.clone());
            let response = sender.send_request(request).await?;
            response.into_body().collect().await?;
            sender.ready().await
        };
        match tokio::time::timeout(PROBE_LIMIT, asked).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(dial_error(&error).cloned().unwrap_or_else(|| DialError {
                kind: ErrorKind::Unreachable,
                message: format!(
                    "cannot reach the Docker Engine at {}: {error}",
                    self.dialer.describe()
                ),
            })),
            Err(_) => Err(DialError {
                kind: ErrorKind::Unreachable,
                message: format!(
                    "{} did not answer within {PROBE_LIMIT:?}",
                    self.dialer.describe()
                ),
            }),
        }
    }

    fn take_idle(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        idle.retain(|(sender, since)| !sender.is_closed() && now - *since < IDLE_LONGEST);
        idle.pop().map(|(sender, _)| sender)
    }

    /// Puts the connection back once its answer has been read. One whose answer was dropped, or that was upgraded, closes.
    fn keep_when_free(self: Arc<Self>, mut sender: SendRequest<Body>) {
        tokio::spawn(async move {
            if sender.ready().await.is_err() {
                return;
            }
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_MOST {
                idle.push((sender, Instant::now()));
            }
        });
    }
}

fn dial_failed(error: DialError) -> BollardError {
    BollardError::IOError {
        err: io::Error::other(error),
    }
}

/// Credentials in the alphabet that engines decode. With the standard one an engine finds them broken, and goes on without
/// any.
fn url_safe(value: &HeaderValue) -> HeaderValue {
    let bytes: Vec<u8> = value
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        })
        .collect();
    let mut safe = HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| value.clone());
    safe.set_sensitive(true);
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_sent_in_the_alphabet_that_engines_decode() {
        let safe = url_safe(&HeaderValue::from_static("a+b/c=="));
        assert_eq!(safe.as_bytes(), b"a-b_c==");
        assert!(safe.is_sensitive());
    }
}
