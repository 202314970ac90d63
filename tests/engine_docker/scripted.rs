//! An engine that answers as a test says: just enough HTTP on a unix socket, on TCP or under TLS.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use longshore::engine::endpoint::{Endpoint, TcpEndpoint, TlsFiles};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

/// What an engine was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `GET /v1.41/info`.
    pub line: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }
}

/// What it answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status and a body.
    Status(u16, String),
    /// The headers of a longer answer, and then the end of the connection.
    Cut,
    /// Nothing at all, for ever.
    Silence,
}

impl Reply {
    pub fn json(value: &Value) -> Self {
        Self::Status(200, value.to_string())
    }

    pub fn failure(status: u16, message: &str) -> Self {
        Self::Status(status, json!({ "message": message }).to_string())
    }

    /// The answer to `/version`.
    pub fn version(newest: &str, oldest: &str) -> Self {
        Self::json(&json!({
            "Version": "test", "ApiVersion": newest, "MinAPIVersion": oldest, "Os": "linux", "Arch": "amd64"
        }))
    }
}

type Script = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// See the [module's documentation](self).
pub struct ScriptedEngine {
    pub endpoint: Endpoint,
    state: Arc<State>,
    server: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

struct State {
    script: Script,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl ScriptedEngine {
    fn state(
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> (Arc<State>, tempfile::TempDir) {
        let state = State {
            script: Arc::new(script),
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
        };
        (Arc::new(state), tempfile::tempdir().unwrap())
    }

    /// One on a unix socket.
    pub fn on_a_socket(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let (state, directory) = Self::state(script);
        let path = directory.path().join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let served = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&served)));
            }
        });
        Self {
            endpoint: Endpoint::Unix(path),
            state,
            server,
            _directory: directory,
        }
    }

    /// One on a TCP port of this machine, under TLS where there is an acceptor.
    pub async fn on_a_port(
        acceptor: Option<TlsAcceptor>,
        files: Option<TlsFiles>,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (state, directory) = Self::state(script);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = Arc::clone(&served);
                match acceptor.clone() {
                    None => {
                        tokio::spawn(serve(stream, served));
                    }
                    Some(acceptor) => {
                        tokio::spawn(async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, served).await;
                            }
                        });
                    }
                }
            }
        });
        Self {
            endpoint: Endpoint::Tcp(TcpEndpoint {
                host: "127.0.0.1".into(),
                port,
                path: String::new(),
                tls: files,
            }),
            state,
            server,
            _directory: directory,
        }
    }

    /// All that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        let asked = self.state.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines of all that was asked so far.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    state.connections.fetch_add(1, Ordering::SeqCst);
    let mut buffer = Vec::new();
    while let Some(asked) = read_request(&mut stream, &mut buffer).await {
        let reply = (state.script)(&asked);
        {
            let mut all = state.asked.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(asked);
        }
        let answer = match reply {
            Reply::Status(status, body) => format!(
                "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
            Reply::Cut => {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"Id\":")
                    .await;
                return;
            }
            Reply::Silence => std::future::pending().await,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request of a connection; `None` when it ends.
async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Option<Asked> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    buffer.drain(..head_end + 4);
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer.drain(..length).collect();
    Some(Asked {
        line,
        headers,
        body,
    })
}
