//! Opening a connection to an engine: a unix socket, TCP with or without TLS, or `ssh`.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::tls;
use crate::engine::ErrorKind;
use crate::engine::endpoint::{Endpoint, SshEndpoint};

/// A connection's bytes.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How long a socket or a TCP connection may take to open, TLS included.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

/// How long the other side of a TCP connection may say nothing, not even that it is there.
const SILENCE: Duration = Duration::from_secs(30);

/// No connection could be made, so nothing was sent. Travels through bollard inside an I/O error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(super) struct DialError {
    /// `Unreachable` or `PermissionDenied`.
    pub kind: ErrorKind,
    /// What was tried, what went wrong, what to do.
    pub message: String,
}

/// A way to an engine, ready to be used any number of times.
pub(super) enum Dialer {
    Unix(PathBuf),
    Tcp {
        host: String,
        port: u16,
    },
    Tls {
        host: String,
        port: u16,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    },
    Ssh {
        program: PathBuf,
        to: SshEndpoint,
    },
}

impl Dialer {
    /// Prepares the way to `endpoint`. Reads TLS files; opens nothing.
    pub(super) fn new(endpoint: &Endpoint, ssh_program: PathBuf) -> Result<Self, String> {
        Ok(match endpoint {
            Endpoint::Unix(path) => Self::Unix(path.clone()),
            Endpoint::Ssh(ssh) => Self::Ssh {
                program: ssh_program,
                to: ssh.clone(),
            },
            Endpoint::Tcp(tcp) => match &tcp.tls {
                None => Self::Tcp {
                    host: tcp.host.clone(),
                    port: tcp.port,
                },
                Some(files) => Self::Tls {
                    host: tcp.host.clone(),
                    port: tcp.port,
                    config: Arc::new(tls::client_config(files)?),
                    name: ServerName::try_from(tcp.host.clone())
                        .map_err(|_| format!("{:?} is no name that TLS can verify", tcp.host))?,
                },
            },
        })
    }

    /// The `Host` header for it.
    pub(super) fn host_header(&self) -> String {
        match self {
            Self::Unix(_) | Self::Ssh { .. } => "docker".to_owned(),
            Self::Tcp { host, port } | Self::Tls { host, port, .. } if host.contains(':') => {
                format!("[{host}]:{port}")
            }
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => format!("{host}:{port}"),
        }
    }

    /// Opens a connection.
    pub(super) async fn dial(&self) -> Result<Box<dyn Stream>, DialError> {
        match tokio::time::timeout(DIAL_LIMIT, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(DialError {
                kind: ErrorKind::Unreachable,
                message: format!("{} did not answer within {DIAL_LIMIT:?}", self.describe()),
            }),
        }
    }

    async fn open(&self) -> Result<Box<dyn Stream>, DialError> {
        match self {
            Self::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(self.failed(&error)),
            },
            Self::Tcp { host, port } => Ok(Box::new(self.tcp(host, *port).await?)),
            Self::Tls {
                host,
                port,
                config,
                name,
            } => {
                let stream = self.tcp(host, *port).await?;
                TlsConnector::from(Arc::clone(config))
                    .connect(name.clone(), stream)
                    .await
                    .map(|stream| Box::new(stream) as Box<dyn Stream>)
                    .map_err(|error| self.failed(&error))
            }
            // Only starts the command; how long it takes to reach the machine is its own limit.
            Self::Ssh { program, to } => ssh_stream(program, to),
        }
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|error| self.failed(&error))?;
        let _ = stream.set_nodelay(true);
        notice_silence(&stream);
        Ok(stream)
    }

    /// Whether an open connection says nothing yet about the engine: `ssh` has only been started. A request that fails on such
    /// a connection may or may not have arrived, so something harmless has to be asked first.
    pub(super) fn wants_probe(&self) -> bool {
        matches!(self, Self::Ssh { .. })
    }

    fn failed(&self, error: &io::Error) -> DialError {
        let place = self.describe();
        let (kind, message) = match (self, error.kind()) {
            (Self::Unix(path), io::ErrorKind::PermissionDenied) => (
                ErrorKind::PermissionDenied,
                format!(
                    "no permission to use {}: run as a user of the group that owns it (usually `docker`)",
                    path.display()
                ),
            ),
            (Self::Unix(_), io::ErrorKind::NotFound) => (
                ErrorKind::Unreachable,
                format!(
                    "no Docker Engine answers at {place}: there is no such socket; is it installed and running?"
                ),
            ),
            (_, io::ErrorKind::ConnectionRefused) => (
                ErrorKind::Unreachable,
                format!("no Docker Engine answers at {place}: connection refused; is it running?"),
            ),
            _ => (
                ErrorKind::Unreachable,
                format!("cannot connect to the Docker Engine at {place}: {error}"),
            ),
        };
        DialError { kind, message }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Unix(path) => format!("unix://{}", path.display()),
            Self::Tcp { .. } => format!("tcp://{}", self.host_header()),
            Self::Tls { .. } => format!("tcp://{} (TLS)", self.host_header()),
            Self::Ssh { to, .. } => Endpoint::Ssh(to.clone()).to_string(),
        }
    }
}

/// Lets a connection end whose other side is cut off: streams of events and output, and the lease, would wait for ever. Where it
/// cannot be set, the calls' own limits have to do.
fn notice_silence(stream: &TcpStream) {
    use rustix::net::sockopt;
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, SILENCE / 3);
    let _ = sockopt::set_tcp_keepintvl(stream, SILENCE / 6);
    let _ = sockopt::set_tcp_keepcnt(stream, 4);
    #[cfg(target_os = "linux")]
    let _ = sockopt::set_tcp_user_timeout(
        stream,
        1000 * u32::try_from(SILENCE.as_secs()).unwrap_or(30),
    );
}

/// The command that reaches an engine through `ssh`: what docker itself runs, but never asking for a password, since
/// nobody may be there to type one.
fn ssh_arguments(ssh: &SshEndpoint) -> Vec<String> {
    let mut arguments: Vec<String> = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-T"]
        .map(str::to_owned)
        .to_vec();
    if let Some(user) = &ssh.user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = ssh.port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.extend(["--".to_owned(), ssh.host.clone(), "docker".to_owned()]);
    if let Some(socket) = &ssh.socket {
        // A shell over there reads this.
        let quoted = format!("unix://{socket}").replace('\'', r"'\''");
        arguments.extend(["--host".to_owned(), format!("'{quoted}'")]);
    }
    arguments.extend(["system".to_owned(), "dial-stdio".to_owned()]);
    arguments
}

fn ssh_stream(program: &Path, ssh: &SshEndpoint) -> Result<Box<dyn Stream>, DialError> {
    let unreachable = |message: String| DialError {
        kind: ErrorKind::Unreachable,
        message,
    };
    let mut child = Command::new(program)
        .args(ssh_arguments(ssh))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            unreachable(format!(
                "cannot run {} to reach {}: {error}",
                program.display(),
                ssh.host
            ))
        })?;
    let (Some(stdin), Some(stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(unreachable("`ssh` was started without pipes".to_owned()));
    };
    let complaints = tokio::spawn(async move {
        let mut kept = Vec::new();
        let _ = (&mut stderr).take(4096).read_to_end(&mut kept).await;
        // What does not fit is read all the same, or ssh would block on it.
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        String::from_utf8_lossy(&kept).trim().to_owned()
    });
    Ok(Box::new(SshStream {
        _child: child,
        stdin: Some(stdin),
        stdout,
        complaints: Some(complaints),
        place: Endpoint::Ssh(ssh.clone()).to_string(),
        heard: false,
    }))
}

/// The standard input and output of an `ssh` that is connected to an engine. Dropping it ends the command.
struct SshStream {
    _child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// What ssh writes to its standard error; taken once it is used.
    complaints: Option<JoinHandle<String>>,
    place: String,
    /// Whether the engine has sent anything.
    heard: bool,
}

impl SshStream {
    /// The error of a connection that was never made, with ssh's own words.
    fn poll_complaint(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let text = match self.complaints.as_mut() {
            Some(complaints) => {
                std::task::ready!(Pin::new(complaints).poll(cx)).unwrap_or_default()
            }
            None => String::new(),
        };
        self.complaints = None;
        Poll::Ready(io::Error::other(DialError {
            kind: ErrorKind::Unreachable,
            message: format!("cannot reach the Docker Engine at {}: {text}", self.place),
        }))
    }
}

impl AsyncRead for SshStream {
    /// An end before the first byte is an error: no connection was ever made.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stdout).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                self.heard = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) if !self.heard => self.poll_complaint(cx).map(Err),
            other => other,
        }
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(stdin) = self.stdin.as_mut() else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        match Pin::new(stdin).poll_write(cx, buf) {
            Poll::Ready(Err(_)) if !self.heard => self.poll_complaint(cx).map(Err),
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stdin.as_mut() {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Closes ssh's standard input, which the other side sees as the end of what we send.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_run_as_docker_runs_it() {
        let ssh = SshEndpoint {
            user: Some("me".into()),
            host: "far".into(),
            port: Some(2222),
            socket: Some("/run/it's.sock".into()),
        };
        assert_eq!(
            ssh_arguments(&ssh).join(" "),
            r"-o BatchMode=yes -o ConnectTimeout=30 -T -l me -p 2222 -- far docker --host 'unix:///run/it'\''s.sock' system dial-stdio"
        );
    }

    #[test]
    fn a_socket_without_permission_is_told_from_one_that_is_not_there() {
        let dialer = Dialer::Unix(PathBuf::from("/run/x.sock"));
        let failed = |kind: io::ErrorKind| dialer.failed(&io::Error::from(kind));
        let denied = failed(io::ErrorKind::PermissionDenied);
        assert_eq!(denied.kind, ErrorKind::PermissionDenied);
        assert!(denied.message.contains("/run/x.sock") && denied.message.contains("group"));
        let missing = failed(io::ErrorKind::NotFound);
        assert_eq!(missing.kind, ErrorKind::Unreachable);
        assert!(missing.message.contains("no such socket"));
    }
}
