//! Where an engine is: what the `docker` command itself would use, or an explicit address.
//!
//! The order is docker's own: an explicit address, then `DOCKER_HOST` (which switches contexts off), then
//! `DOCKER_CONTEXT`, then `currentContext` of docker's `config.json`, then the default socket. For an address that is not
//! a context's, TLS comes from `DOCKER_TLS_VERIFY`, `DOCKER_TLS` and `DOCKER_CERT_PATH`; a context brings its own. All of
//! it is a function of an [`Environment`], so the rules are tested without touching a machine's real configuration.

mod address;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use address::parse;

use crate::model::{EngineEndpoint, hex_sha256};

/// Docker's default socket.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// What the rules read: environment variables and files.
pub trait Environment: Send + Sync {
    /// A variable; one that is set but empty is `None`, as docker takes it.
    fn variable(&self, name: &str) -> Option<String>;

    /// A file's bytes; `None` when there is no such file.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// The directory of docker's own configuration: `DOCKER_CONFIG`, else `~/.docker`; `None` when there is no home.
    fn docker_config_dir(&self) -> Option<PathBuf> {
        self.variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(self.variable("HOME")?).join(".docker")))
    }
}

/// This process's own environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// An engine's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(TcpEndpoint),
    /// The engine of a machine that `ssh` reaches, by way of `docker system dial-stdio` there.
    Ssh(SshEndpoint),
}

/// A TCP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpEndpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// Port: 2375 unless said otherwise, 2376 with TLS.
    pub port: u16,
    /// What stands before `/v1.41` in every path; empty, or with a leading and no trailing slash.
    pub path: String,
    /// TLS, where it is used.
    pub tls: Option<TlsFiles>,
}

/// Which files TLS takes, and whether the engine's certificate is verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// Authorities to trust beside the machine's own.
    pub ca: Option<PathBuf>,
    /// The client's certificate chain.
    pub cert: Option<PathBuf>,
    /// The client's key.
    pub key: Option<PathBuf>,
    /// Whether the engine's certificate must be valid for its name.
    pub verify: bool,
}

/// A machine to reach through `ssh`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshEndpoint {
    /// User; absent: what ssh's configuration says.
    pub user: Option<String>,
    /// Host, or an alias of ssh's configuration.
    pub host: String,
    /// Port; absent: what ssh's configuration says.
    pub port: Option<u16>,
    /// The engine's socket over there; absent: its default.
    pub socket: Option<String>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(tcp) => {
                let (open, close) = if tcp.host.contains(':') {
                    ("[", "]")
                } else {
                    ("", "")
                };
                write!(
                    f,
                    "tcp://{open}{}{close}:{}{}",
                    tcp.host, tcp.port, tcp.path
                )
            }
            Self::Ssh(ssh) => {
                f.write_str("ssh://")?;
                if let Some(user) = &ssh.user {
                    write!(f, "{user}@")?;
                }
                if ssh.host.contains(':') {
                    write!(f, "[{}]", ssh.host)?;
                } else {
                    f.write_str(&ssh.host)?;
                }
                if let Some(port) = ssh.port {
                    write!(f, ":{port}")?;
                }
                f.write_str(ssh.socket.as_deref().unwrap_or_default())
            }
        }
    }
}

/// What made an endpoint the one to use; for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was asked for.
    Address,
    /// `DOCKER_HOST`.
    DockerHost,
    /// A docker context, and what chose it: `DOCKER_CONTEXT`, or the path of `config.json`.
    Context {
        /// Its name.
        name: String,
        /// What chose it.
        chosen_by: String,
    },
    /// Nothing says otherwise.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("as given"),
            Self::DockerHost => f.write_str("from DOCKER_HOST"),
            Self::Context { name, chosen_by } => {
                write!(f, "from the docker context {name:?}, chosen by {chosen_by}")
            }
            Self::Default => f.write_str("the default socket"),
        }
    }
}

/// An endpoint and why it is the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What made it the one.
    pub origin: Origin,
}

/// Why no endpoint could be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// An address that cannot be used.
    #[error("{address:?} is no engine address: {problem}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// A context that does not exist.
    #[error("the docker context {name:?} (chosen by {chosen_by}) does not exist: there is no {path}", path = path.display())]
    NoContext {
        /// Its name.
        name: String,
        /// What chose it.
        chosen_by: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file of docker's configuration that cannot be used.
    #[error("cannot use {path}: {problem}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
}

/// Finds the engine that `wanted` stands for.
///
/// # Errors
/// An address that docker would refuse too, a context that does not exist, or configuration that cannot be read.
pub fn resolve(
    wanted: &EngineEndpoint,
    environment: &dyn Environment,
) -> Result<Resolved, EndpointError> {
    resolve_below(wanted, environment, Path::new(""))
}

/// The same, where paths in the address's settings begin at `folder`.
///
/// # Errors
/// As [`resolve`], and TLS files that are not there.
pub fn resolve_below(
    wanted: &EngineEndpoint,
    environment: &dyn Environment,
    folder: &Path,
) -> Result<Resolved, EndpointError> {
    match wanted {
        EngineEndpoint::Tls {
            address,
            certificates,
            verify,
        } => Ok(Resolved {
            endpoint: parse(
                address,
                Some(tls_files(&folder.join(certificates), *verify, environment)?),
            )?,
            origin: Origin::Address,
        }),
        EngineEndpoint::Address(address) => Ok(Resolved {
            endpoint: parse(address, tls_of_environment(environment)?)?,
            origin: Origin::Address,
        }),
        EngineEndpoint::Local => resolve_local(environment),
    }
}

fn resolve_local(environment: &dyn Environment) -> Result<Resolved, EndpointError> {
    if let Some(address) = environment.variable("DOCKER_HOST") {
        return Ok(Resolved {
            endpoint: parse(&address, tls_of_environment(environment)?)?,
            origin: Origin::DockerHost,
        });
    }
    let chosen = match environment.variable("DOCKER_CONTEXT") {
        Some(name) => Some((name, "DOCKER_CONTEXT".to_owned())),
        None => current_context(environment)?,
    };
    match chosen {
        Some((name, chosen_by)) if name != "default" => context(&name, &chosen_by, environment),
        _ => Ok(Resolved {
            endpoint: Endpoint::Unix(PathBuf::from(DEFAULT_SOCKET)),
            origin: Origin::Default,
        }),
    }
}

/// `currentContext` of `config.json`, and that file's path.
fn current_context(
    environment: &dyn Environment,
) -> Result<Option<(String, String)>, EndpointError> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default, rename = "currentContext")]
        current_context: String,
    }
    let Some(directory) = environment.docker_config_dir() else {
        return Ok(None);
    };
    let path = directory.join("config.json");
    let Some(config) = read_json::<Config>(&path, environment)? else {
        return Ok(None);
    };
    Ok((!config.current_context.is_empty())
        .then(|| (config.current_context, path.display().to_string())))
}

/// A context as `docker context create` stores it: `meta.json` in a directory named by the hash of its name, and TLS
/// files beside.
fn context(
    name: &str,
    chosen_by: &str,
    environment: &dyn Environment,
) -> Result<Resolved, EndpointError> {
    #[derive(Deserialize)]
    struct Meta {
        #[serde(default, rename = "Endpoints")]
        endpoints: Endpoints,
    }
    #[derive(Deserialize, Default)]
    struct Endpoints {
        docker: Option<DockerEndpoint>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct DockerEndpoint {
        #[serde(default)]
        host: String,
        #[serde(default, rename = "SkipTLSVerify")]
        skip_tls_verify: bool,
    }

    let hash = hex_sha256(name.as_bytes());
    let contexts = environment
        .docker_config_dir()
        .unwrap_or_default()
        .join("contexts");
    let path = contexts.join("meta").join(&hash).join("meta.json");
    let Some(meta) = read_json::<Meta>(&path, environment)? else {
        return Err(EndpointError::NoContext {
            name: name.to_owned(),
            chosen_by: chosen_by.to_owned(),
            path,
        });
    };
    let Some(endpoint) = meta.endpoints.docker else {
        return Err(EndpointError::File {
            path,
            problem: "the context has no docker endpoint".to_owned(),
        });
    };
    let directory = contexts.join("tls").join(&hash).join("docker");
    let files = TlsFiles {
        ca: existing(directory.join("ca.pem"), environment)?,
        cert: existing(directory.join("cert.pem"), environment)?,
        key: existing(directory.join("key.pem"), environment)?,
        verify: !endpoint.skip_tls_verify,
    };
    let has_material = files.ca.is_some() || files.cert.is_some() || files.key.is_some();
    let tls = (has_material || endpoint.skip_tls_verify).then_some(files);
    Ok(Resolved {
        endpoint: parse(&endpoint.host, tls)?,
        origin: Origin::Context {
            name: name.to_owned(),
            chosen_by: chosen_by.to_owned(),
        },
    })
}

/// TLS as the environment asks for it: `DOCKER_TLS_VERIFY` or `DOCKER_TLS`, with files of `DOCKER_CERT_PATH` or of
/// docker's configuration directory. The authority's file must exist then; a client's certificate and key need not.
fn tls_of_environment(environment: &dyn Environment) -> Result<Option<TlsFiles>, EndpointError> {
    let verify = environment.variable("DOCKER_TLS_VERIFY").is_some();
    if !verify && environment.variable("DOCKER_TLS").is_none() {
        return Ok(None);
    }
    let directory = environment
        .variable("DOCKER_CERT_PATH")
        .map(PathBuf::from)
        .or_else(|| environment.docker_config_dir())
        .unwrap_or_default();
    let ca = directory.join("ca.pem");
    let found = existing(ca.clone(), environment)?;
    if verify && found.is_none() {
        return Err(EndpointError::File {
            path: ca,
            problem: "DOCKER_TLS_VERIFY is set and there is no such file; put the certificate authority there, or set \
                      DOCKER_CERT_PATH"
                .to_owned(),
        });
    }
    Ok(Some(TlsFiles {
        ca: found,
        cert: existing(directory.join("cert.pem"), environment)?,
        key: existing(directory.join("key.pem"), environment)?,
        verify,
    }))
}

/// Docker's three files in a directory of an instance's own. All of them must be there, but for the authority's where nothing is
/// verified.
fn tls_files(
    directory: &Path,
    verify: bool,
    environment: &dyn Environment,
) -> Result<TlsFiles, EndpointError> {
    let needed = |name: &str, wanted: bool| {
        let path = directory.join(name);
        match existing(path.clone(), environment)? {
            None if wanted => Err(EndpointError::File {
                path,
                problem: "there is no such file; `tls.certPath` is the directory of ca.pem, cert.pem and key.pem"
                    .to_owned(),
            }),
            found => Ok(found),
        }
    };
    Ok(TlsFiles {
        ca: needed("ca.pem", verify)?,
        cert: needed("cert.pem", true)?,
        key: needed("key.pem", true)?,
        verify,
    })
}

fn existing(
    path: PathBuf,
    environment: &dyn Environment,
) -> Result<Option<PathBuf>, EndpointError> {
    match environment.read(&path) {
        Ok(found) => Ok(found.map(|_| path)),
        Err(error) => Err(EndpointError::File {
            path,
            problem: error.to_string(),
        }),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    environment: &dyn Environment,
) -> Result<Option<T>, EndpointError> {
    let fail = |problem: String| EndpointError::File {
        path: path.to_owned(),
        problem,
    };
    let bytes = environment.read(path).map_err(|e| fail(e.to_string()))?;
    bytes
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose()
        .map_err(|e| fail(format!("it is not the JSON that docker writes: {e}")))
}
