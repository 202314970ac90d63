//! HTTP to etcd's JSON gateway.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::store::StoreError;

/// How long etcd may take to accept a connection, and to answer a request.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(10);
/// A watch may be silent for ever: a machine that vanished is noticed by probes, after about 25 seconds.
const PROBE_AFTER: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;
/// Idle connections that are kept.
const IDLE: usize = 4;

/// gRPC's codes, as far as they tell whether something was done.
mod code {
    pub(super) const INVALID_ARGUMENT: u32 = 3;
    pub(super) const PERMISSION_DENIED: u32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(super) const OUT_OF_RANGE: u32 = 11;
    pub(super) const UNAUTHENTICATED: u32 = 16;
}

/// Why a request failed.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    /// gRPC's code, where etcd answered.
    code: Option<u32>,
    /// Whether etcd may have got the request.
    sent: bool,
    maybe_applied: bool,
}

impl Failure {
    /// A failure before anything was asked of etcd, or in reading its answer to a question.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: None,
            sent: false,
            maybe_applied: false,
        }
    }

    fn after_sending(message: impl Into<String>) -> Self {
        Self {
            sent: true,
            ..Self::refused(message)
        }
    }

    fn answered(message: String, code: u32) -> Self {
        Self {
            code: Some(code),
            sent: true,
            ..Self::refused(message)
        }
    }

    /// The same failure of a request that changes something: unless it is certain that etcd did nothing, it may have.
    pub(super) fn maybe_applied(mut self) -> Self {
        let did_nothing = matches!(
            self.code,
            Some(
                code::INVALID_ARGUMENT
                    | code::PERMISSION_DENIED
                    | code::RESOURCE_EXHAUSTED
                    | code::OUT_OF_RANGE
                    | code::UNAUTHENTICATED
            )
        );
        self.maybe_applied = self.sent && !did_nothing;
        self
    }

    /// Whether the revision that was asked about is no longer known.
    pub(super) fn is_compacted(&self) -> bool {
        self.code == Some(code::OUT_OF_RANGE) && self.message.contains("compacted")
    }

    pub(super) fn into_error(self, operation: &'static str) -> StoreError {
        StoreError::Unavailable {
            operation,
            message: self.message,
            maybe_applied: self.maybe_applied,
        }
    }
}

type Connection = SendRequest<Full<Bytes>>;

/// A client of one etcd, by any of its endpoints.
#[derive(Debug)]
pub(super) struct Gateway {
    /// `host:port`.
    addresses: Vec<String>,
    idle: Mutex<Vec<(String, Connection)>>,
}

impl Gateway {
    /// Takes `http://host:port` endpoints; says what is wrong with any other.
    pub(super) fn new(endpoints: &[String]) -> Result<Self, String> {
        let addresses: Vec<String> = endpoints
            .iter()
            .map(|endpoint| {
                let rest = endpoint.strip_prefix("http://").ok_or_else(|| {
                    format!("{endpoint}: only http://host:port is supported for etcd as yet")
                })?;
                let address = rest.trim_end_matches('/');
                if address.contains(['/', '@', '?', '#']) || !address.contains(':') {
                    return Err(format!("{endpoint}: etcd's endpoint is http://host:port"));
                }
                Ok(address.to_owned())
            })
            .collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err("etcd needs at least one endpoint, http://host:port".to_owned());
        }
        Ok(Self {
            addresses,
            idle: Mutex::default(),
        })
    }

    /// Asks one question and reads the whole answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        let asked = async {
            let (address, connection, response) = self.send(path, body).await?;
            let status = response.status();
            let bytes = whole(response).await?;
            self.keep(address, connection);
            read(status, &bytes)
        };
        tokio::time::timeout(ANSWER, asked)
            .await
            .unwrap_or_else(|_| Err(Failure::after_sending("etcd did not answer in time")))
    }

    /// Asks for a stream of answers: the caller reads the body, and drops it to end the stream. The connection serves
    /// nothing else.
    pub(super) async fn stream(&self, path: &str, body: &Value) -> Result<Incoming, Failure> {
        let asked = async {
            let (_, _, response) = self.send(path, body).await?;
            if response.status() == StatusCode::OK {
                return Ok(response.into_body());
            }
            let status = response.status();
            let bytes = whole(response).await?;
            Err(match read::<Value>(status, &bytes) {
                Err(failure) => failure,
                Ok(_) => Failure::after_sending(format!("etcd answered {status}")),
            })
        };
        tokio::time::timeout(ANSWER, asked)
            .await
            .unwrap_or_else(|_| Err(Failure::after_sending("etcd did not answer in time")))
    }

    async fn send(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<(String, Connection, Response<Incoming>), Failure> {
        let bytes = Bytes::from(body.to_string());
        // A connection that was idle may be closed by now. Only a request that never left is sent again.
        while let Some((address, mut connection)) = self.take_idle() {
            let request = request(&address, path, bytes.clone())?;
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((address, connection, response)),
                Err(mut error) => {
                    if error.take_message().is_none() {
                        return Err(Failure::after_sending(error.into_error().to_string()));
                    }
                }
            }
        }
        let (address, mut connection) = self.connect().await?;
        let request = request(&address, path, bytes)?;
        match connection.send_request(request).await {
            Ok(response) => Ok((address, connection, response)),
            Err(error) => Err(Failure::after_sending(format!("{address}: {error}"))),
        }
    }

    async fn connect(&self) -> Result<(String, Connection), Failure> {
        let mut failures = Vec::new();
        for address in &self.addresses {
            match connect(address).await {
                Ok(connection) => return Ok((address.clone(), connection)),
                Err(message) => failures.push(format!("{address}: {message}")),
            }
        }
        Err(Failure::refused(failures.join("; ")))
    }

    fn take_idle(&self) -> Option<(String, Connection)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((address, connection)) = idle.pop() {
            if connection.is_ready() {
                return Some((address, connection));
            }
        }
        None
    }

    fn keep(&self, address: String, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE && !connection.is_closed() {
            idle.push((address, connection));
        }
    }
}

fn request(address: &str, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    Request::post(format!("/v3/{path}"))
        .header(header::HOST, address)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| Failure::refused(error.to_string()))
}

async fn connect(address: &str) -> Result<Connection, String> {
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect(address))
        .await
        .map_err(|_| "no connection in time".to_owned())?
        .map_err(|error| error.to_string())?;
    probe(&stream).map_err(|error| error.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to etcd ended");
        }
    });
    Ok(sender)
}

/// Has the kernel notice a peer that vanished, and send small requests at once.
fn probe(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)?;
    Ok(())
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = response.into_body().collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| Failure::after_sending(error.to_string()))
}

fn read<T: DeserializeOwned>(status: StatusCode, bytes: &[u8]) -> Result<T, Failure> {
    #[derive(Deserialize)]
    struct Refusal {
        message: Option<String>,
        code: Option<u32>,
    }
    if status == StatusCode::OK {
        return serde_json::from_slice(bytes).map_err(|error| {
            Failure::after_sending(format!("etcd's answer cannot be read: {error}"))
        });
    }
    match serde_json::from_slice(bytes) {
        Ok(Refusal {
            message: Some(message),
            code: Some(code),
        }) => Err(Failure::answered(message, code)),
        _ => Err(Failure::after_sending(format!("etcd answered {status}"))),
    }
}
