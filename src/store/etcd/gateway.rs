//! HTTP to etcd's JSON gateway.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::address::{Options, User};
use super::failure::Failure;
use super::tls;

/// How long etcd may take to accept a connection, and to answer a request.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(10);
/// A watch may be silent for ever: a machine that vanished is noticed by probes, after about 25 seconds.
const PROBE_AFTER: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;
/// Idle connections that are kept.
const IDLE: usize = 4;

type Connection = SendRequest<Full<Bytes>>;

/// A connection's bytes.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A client of one etcd, by any of its endpoints.
#[derive(Debug)]
pub(super) struct Gateway {
    /// `host:port`.
    addresses: Vec<String>,
    /// Which of them is tried first; it moves on when that one fails.
    first: AtomicUsize,
    tls: Option<Arc<ClientConfig>>,
    user: Option<User>,
    /// What etcd gave us for the password.
    token: Mutex<Option<String>>,
    idle: Mutex<Vec<(String, Connection)>>,
}

impl Gateway {
    /// A client that has not connected yet; says what is wrong with the endpoints or the TLS files.
    pub(super) fn new(options: &Options) -> Result<Self, String> {
        if options.endpoints.is_empty() {
            return Err("etcd needs at least one endpoint, HOST:PORT".to_owned());
        }
        let tls = options.tls.as_ref().map(tls::client_config).transpose()?;
        Ok(Self {
            addresses: options.endpoints.clone(),
            first: AtomicUsize::new(0),
            tls: tls.map(Arc::new),
            user: options.user.clone(),
            token: Mutex::default(),
            idle: Mutex::default(),
        })
    }

    /// Asks one question and reads the whole answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        self.call_within(ANSWER, path, body).await
    }

    /// The same with another limit to how long the answer may take.
    pub(super) async fn call_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        path: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        let asked = async {
            self.login(false).await?;
            match self.ask(path, body).await {
                // It did nothing, so it may be asked again.
                Err(failure) if self.user.is_some() && failure.wants_login() => {
                    self.login(true).await?;
                    self.ask(path, body).await
                }
                answered => answered,
            }
        };
        let late = || Failure::after_sending(format!("{} did not answer in time", self.address()));
        let answered = tokio::time::timeout(limit, asked).await;
        self.judged(answered.unwrap_or_else(|_| Err(late())))
    }

    /// Asks for a stream of answers: the caller reads the body, and drops it to end the stream. The connection serves
    /// nothing else.
    pub(super) async fn stream(&self, path: &str, body: &Value) -> Result<Incoming, Failure> {
        let asked = async {
            self.login(false).await?;
            match self.open(path, body).await {
                Err(failure) if self.user.is_some() && failure.wants_login() => {
                    self.login(true).await?;
                    self.open(path, body).await
                }
                opened => opened,
            }
        };
        let late = || Failure::after_sending(format!("{} did not answer in time", self.address()));
        let opened = tokio::time::timeout(ANSWER, asked).await;
        self.judged(opened.unwrap_or_else(|_| Err(late())))
    }

    /// etcd's version, `3.4.23`, of whichever member answers.
    pub(super) async fn version(&self) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Version {
            etcdserver: String,
        }
        let asked = async {
            let sent = self.send(Method::GET, "/version", Bytes::new()).await;
            let sent = sent.map_err(|failure| match self.tls {
                // So ends what is said in clear to an etcd that serves TLS only.
                None => failure.where_said(
                    "closed before message completed",
                    ": is it etcds:// and not etcd://?",
                ),
                Some(_) => failure,
            })?;
            let (address, connection, response) = sent;
            let status = response.status();
            let bytes = whole(response).await?;
            self.keep(address.clone(), connection);
            read::<Version>(status, &bytes)
                .map_err(|_| Failure::refused(format!("what answers at {address} is no etcd")))
        };
        let late = || Failure::refused(format!("{} did not answer in time", self.address()));
        let answered = tokio::time::timeout(ANSWER, asked).await;
        let answered = self.judged(answered.unwrap_or_else(|_| Err(late())));
        answered.map(|version| version.etcdserver)
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        let bytes = Bytes::from(body.to_string());
        let (address, connection, response) = self
            .send(Method::POST, &format!("/v3/{path}"), bytes)
            .await?;
        let status = response.status();
        let bytes = whole(response).await?;
        self.keep(address, connection);
        read(status, &bytes)
    }

    async fn open(&self, path: &str, body: &Value) -> Result<Incoming, Failure> {
        let bytes = Bytes::from(body.to_string());
        let (_, _, response) = self
            .send(Method::POST, &format!("/v3/{path}"), bytes)
            .await?;
        if response.status() == StatusCode::OK {
            return Ok(response.into_body());
        }
        let status = response.status();
        let bytes = whole(response).await?;
        Err(match read::<Value>(status, &bytes) {
            Err(failure) => failure,
            Ok(_) => Failure::after_sending(format!("etcd answered {status}")),
        })
    }

    /// Gets a token for the user, where there is a user and no token, or a new one is wanted.
    async fn login(&self, anew: bool) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Token {
            token: String,
        }
        let Some(user) = &self.user else {
            return Ok(());
        };
        if self.token().is_some() && !anew {
            return Ok(());
        }
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let body = json!({"name": user.name, "password": user.password});
        match self.ask::<Token>("auth/authenticate", &body).await {
            Ok(Token { token }) => {
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
                Ok(())
            }
            // A user is given and none is asked for.
            Err(failure) if failure.is_auth_off() => Ok(()),
            Err(failure) => Err(failure.before_asking()),
        }
    }

    fn token(&self) -> Option<String> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.clone()
    }

    /// After a failure that is a member's own another one is asked first from then on.
    fn judged<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        if result.as_ref().is_err_and(Failure::is_of_the_member) {
            self.first.fetch_add(1, Ordering::Relaxed);
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.clear();
        }
        result
    }

    /// The endpoint that is tried first.
    fn address(&self) -> &str {
        let first = self.first.load(Ordering::Relaxed);
        &self.addresses[first % self.addresses.len()]
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        bytes: Bytes,
    ) -> Result<(String, Connection, Response<Incoming>), Failure> {
        // A connection that was idle may be closed by now. Only a request that never left is sent again.
        while let Some((address, mut connection)) = self.take_idle() {
            let request = self.request(&method, &address, path, bytes.clone())?;
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((address, connection, response)),
                Err(mut error) => {
                    if error.take_message().is_none() {
                        let why = chain(&error.into_error());
                        return Err(Failure::after_sending(format!("{address}: {why}")));
                    }
                }
            }
        }
        let (address, mut connection) = self.connect().await?;
        let request = self.request(&method, &address, path, bytes)?;
        match connection.send_request(request).await {
            Ok(response) => Ok((address, connection, response)),
            Err(error) => Err(Failure::after_sending(format!(
                "{address}: {}",
                chain(&error)
            ))),
        }
    }

    fn request(
        &self,
        method: &Method,
        address: &str,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, address)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = self.token() {
            request = request.header(header::AUTHORIZATION, token);
        }
        let request = request.body(Full::new(body));
        request.map_err(|error| Failure::refused(error.to_string()))
    }

    /// Connects to the first endpoint that lets us, beginning with the one that did last.
    async fn connect(&self) -> Result<(String, Connection), Failure> {
        let mut failures = Vec::new();
        let (first, count) = (self.first.load(Ordering::Relaxed), self.addresses.len());
        for n in first..first + count {
            let address = &self.addresses[n % count];
            match self.connect_to(address).await {
                Ok(connection) => {
                    self.first.store(n % count, Ordering::Relaxed);
                    return Ok((address.clone(), connection));
                }
                Err(message) => failures.push(format!("{address}: {message}")),
            }
        }
        Err(Failure::refused(failures.join("; ")))
    }

    async fn connect_to(&self, address: &str) -> Result<Connection, String> {
        let connected = async {
            let stream = TcpStream::connect(address)
                .await
                .map_err(|e| e.to_string())?;
            probe(&stream).map_err(|error| error.to_string())?;
            let Some(config) = &self.tls else {
                return Ok::<_, String>(Box::new(stream) as Box<dyn Stream>);
            };
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            let host = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            let name = ServerName::try_from(host)
                .map_err(|_| "it is no name that TLS can verify".to_owned())?;
            let connector = TlsConnector::from(Arc::clone(config));
            let encrypted = connector
                .connect(name, stream)
                .await
                .map_err(|e| distrust(&e))?;
            Ok(Box::new(encrypted) as Box<dyn Stream>)
        };
        let stream = tokio::time::timeout(CONNECT, connected)
            .await
            .map_err(|_| "no connection in time".to_owned())??;
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

/// An error with its causes: hyper's own words leave out what TLS said.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    if text.contains("CertificateRequired") || text.contains("BadCertificate") {
        text.push_str(
            ". It wants a client's certificate that it trusts: give --store-cert and --store-key",
        );
    }
    text
}

/// What a failed TLS handshake means to whoever chose the files.
fn distrust(error: &io::Error) -> String {
    let text = error.to_string();
    if text.contains("UnknownIssuer") {
        format!(
            "its certificate is signed by no authority that is trusted ({text}): give etcd's with --store-ca"
        )
    } else if ["InvalidContentType", "corrupt message", "eof"]
        .iter()
        .any(|sign| text.contains(sign))
    {
        format!("it does not speak TLS ({text}): is it etcd:// and not etcds://?")
    } else if text.contains("NotValidForName") {
        format!("its certificate is for other names ({text}): use one of those as the host")
    } else {
        format!("TLS: {text}")
    }
}

/// Has the kernel notice a peer that vanished, and send small requests at once.
fn probe(stream: &TcpStream) -> io::Result<()> {
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

pub(super) fn read<T: DeserializeOwned>(status: StatusCode, bytes: &[u8]) -> Result<T, Failure> {
    #[derive(Deserialize)]
    struct Refusal {
        message: Option<String>,
        error: Option<String>,
        code: Option<u32>,
    }
    if status == StatusCode::OK {
        return serde_json::from_slice(bytes).map_err(|error| {
            Failure::after_sending(format!("etcd's answer cannot be read: {error}"))
        });
    }
    if let Ok(Refusal {
        message,
        error,
        code: Some(code),
    }) = serde_json::from_slice(bytes)
        && let Some(message) = message.or(error)
    {
        return Err(Failure::answered(message, code));
    }
    let hint = match status {
        StatusCode::NOT_FOUND => {
            ": its JSON gateway is switched off (--enable-grpc-gateway=false), or it is no etcd"
        }
        // Go's server says so to whoever speaks HTTP to its TLS port.
        StatusCode::BAD_REQUEST => ": is it etcds:// and not etcd://?",
        _ => "",
    };
    Err(Failure::after_sending(format!(
        "etcd answered {status}{hint}"
    )))
}
