//! Where an engine is: what the `docker` command itself would use, or an explicit address.
//!
//! The order is docker's own: an explicit address, then `DOCKER_HOST` (which switches contexts off), then
//! `DOCKER_CONTEXT`, then `currentContext` of docker's `config.json`, then the default socket. For an address that is not
//! a context's, TLS comes from `DOCKER_TLS_VERIFY`, `DOCKER_TLS` and `DOCKER_CERT_PATH`; a context brings its own. All of
//! it is a function of an [`Environment`], so the rules are tested without touching a machine's real configuration.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

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
                f.write_str(&ssh.host)?;
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
    match wanted {
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

/// Reads an address as `docker --host` does; `tls` applies to a TCP address and to no other.
///
/// # Errors
/// A scheme that is not `unix`, `tcp` or `ssh`, and addresses that docker refuses.
pub fn parse(address: &str, tls: Option<TlsFiles>) -> Result<Endpoint, EndpointError> {
    let fail = |problem: &str| EndpointError::Address {
        address: address.to_owned(),
        problem: problem.to_owned(),
    };
    let trimmed = address.trim();
    let (scheme, rest) = match trimmed.split_once("://") {
        Some(parts) => parts,
        None if trimmed.is_empty() => ("unix", ""),
        None => ("tcp", trimmed),
    };
    match scheme {
        "unix" if rest.is_empty() => Ok(Endpoint::Unix(PathBuf::from(DEFAULT_SOCKET))),
        "unix" => Ok(Endpoint::Unix(PathBuf::from(rest))),
        "tcp" => parse_tcp(rest, tls)
            .map(Endpoint::Tcp)
            .map_err(|problem| fail(&problem)),
        "ssh" => parse_ssh(rest)
            .map(Endpoint::Ssh)
            .map_err(|problem| fail(&problem)),
        "http" | "https" => Err(fail(
            "write tcp://; TLS is switched on by DOCKER_TLS_VERIFY or by a docker context",
        )),
        "npipe" => Err(fail(
            "named pipes exist on Windows only; use tcp:// or ssh://",
        )),
        _ => Err(fail(
            "write unix:///path, tcp://host:port or ssh://user@host",
        )),
    }
}

fn parse_tcp(rest: &str, tls: Option<TlsFiles>) -> Result<TcpEndpoint, String> {
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (host, port) = split_port(authority)?;
    if host.contains('@') {
        return Err("an engine's TCP address has no user".to_owned());
    }
    Ok(TcpEndpoint {
        host: if host.is_empty() {
            "localhost".to_owned()
        } else {
            host.to_owned()
        },
        port: port.unwrap_or(if tls.is_some() { 2376 } else { 2375 }),
        path: path.trim_end_matches('/').to_owned(),
        tls,
    })
}

fn parse_ssh(rest: &str) -> Result<SshEndpoint, String> {
    if rest.contains(['?', '#']) {
        return Err("an ssh address has no query and no fragment".to_owned());
    }
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err("a password cannot stand in an ssh address; use a key".to_owned());
    }
    let (host, port) = split_port(host)?;
    // Both become arguments of a command: nothing that it would take for an option.
    if host.is_empty() || host.starts_with('-') {
        return Err("an ssh address needs a host".to_owned());
    }
    if user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
        return Err("that is no user name".to_owned());
    }
    Ok(SshEndpoint {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
        socket: (!path.trim_end_matches('/').is_empty()).then(|| path.to_owned()),
    })
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if let Some(inner) = authority.strip_prefix('[') {
        let (host, after) = inner
            .split_once(']')
            .ok_or("a bracket of the address is not closed")?;
        match after.strip_prefix(':') {
            Some(port) => (host, port),
            None if after.is_empty() => (host, ""),
            None => return Err("after the bracket only a port may stand".to_owned()),
        }
    } else {
        match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("write an IPv6 address in brackets".to_owned());
            }
            Some(parts) => parts,
            None => (authority, ""),
        }
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let number = port
        .parse::<u16>()
        .ok()
        .filter(|number| *number != 0)
        .ok_or_else(|| format!("{port:?} is no port from 1 to 65535"))?;
    Ok((host, Some(number)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Default)]
    struct Fake {
        variables: BTreeMap<String, String>,
        files: BTreeMap<PathBuf, Vec<u8>>,
    }

    impl Fake {
        fn new(variables: &[(&str, &str)]) -> Self {
            let mut fake = Self::default();
            fake.variables.insert("HOME".into(), "/home/me".into());
            for (name, value) in variables {
                fake.variables.insert((*name).into(), (*value).into());
            }
            fake
        }

        fn file(mut self, path: &str, text: &str) -> Self {
            self.files.insert(path.into(), text.into());
            self
        }

        /// A context as docker 28 wrote it.
        fn context(self, name: &str, host: &str, skip: bool, tls: &[&str]) -> Self {
            let hash = hex_sha256(name.as_bytes());
            let mut fake = self.file(
                &format!("/home/me/.docker/contexts/meta/{hash}/meta.json"),
                &format!(
                    r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":{skip}}}}}}}"#
                ),
            );
            for file in tls {
                fake = fake.file(
                    &format!("/home/me/.docker/contexts/tls/{hash}/docker/{file}"),
                    "pem",
                );
            }
            fake
        }

        fn local(&self) -> Result<Resolved, EndpointError> {
            resolve(&EngineEndpoint::Local, self)
        }
    }

    impl Environment for Fake {
        fn variable(&self, name: &str) -> Option<String> {
            self.variables.get(name).filter(|v| !v.is_empty()).cloned()
        }

        fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
            Ok(self.files.get(path).cloned())
        }
    }

    fn shown(address: &str) -> String {
        parse(address, None).map_or_else(|e| e.to_string(), |e| e.to_string())
    }

    #[test]
    fn the_default_socket_is_used_when_nothing_says_otherwise() {
        let resolved = Fake::new(&[]).local().unwrap();
        assert_eq!(resolved.endpoint.to_string(), "unix:///var/run/docker.sock");
        assert_eq!(resolved.origin, Origin::Default);
    }

    #[test]
    fn docker_host_wins_over_every_context() {
        let resolved = Fake::new(&[("DOCKER_HOST", "tcp://a"), ("DOCKER_CONTEXT", "far")])
            .context("far", "ssh://far", false, &[])
            .local()
            .unwrap();
        assert_eq!(resolved.endpoint.to_string(), "tcp://a:2375");
        assert_eq!(resolved.origin, Origin::DockerHost);
    }

    #[test]
    fn docker_context_wins_over_the_current_context() {
        let config = r#"{"currentContext":"near","auths":{}}"#;
        let fake = Fake::new(&[])
            .file("/home/me/.docker/config.json", config)
            .context("near", "unix:///near.sock", false, &[])
            .context("far", "ssh://me@far:2222/run/x.sock", false, &[]);
        let current = fake.local().unwrap();
        assert_eq!(current.endpoint.to_string(), "unix:///near.sock");
        assert_eq!(
            current.origin.to_string(),
            "from the docker context \"near\", chosen by /home/me/.docker/config.json"
        );

        let mut fake = fake;
        fake.variables.insert("DOCKER_CONTEXT".into(), "far".into());
        assert_eq!(
            fake.local().unwrap().endpoint,
            Endpoint::Ssh(SshEndpoint {
                user: Some("me".into()),
                host: "far".into(),
                port: Some(2222),
                socket: Some("/run/x.sock".into()),
            })
        );
        fake.variables
            .insert("DOCKER_CONTEXT".into(), "default".into());
        assert_eq!(fake.local().unwrap().origin, Origin::Default);
    }

    #[test]
    fn a_context_that_does_not_exist_is_an_error_that_says_who_chose_it() {
        let error = Fake::new(&[("DOCKER_CONTEXT", "gone")])
            .local()
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("\"gone\" (chosen by DOCKER_CONTEXT)"),
            "{text}"
        );
        assert!(text.contains("/home/me/.docker/contexts/meta/"), "{text}");
    }

    #[test]
    fn a_context_brings_its_own_tls_files() {
        let fake = Fake::new(&[("DOCKER_CONTEXT", "safe")]).context(
            "safe",
            "tcp://10.0.0.1",
            false,
            &["ca.pem", "cert.pem", "key.pem"],
        );
        let Endpoint::Tcp(tcp) = fake.local().unwrap().endpoint else {
            panic!("not tcp")
        };
        let tls = tcp.tls.unwrap();
        assert!(tls.verify && tls.cert.is_some() && tls.key.is_some());
        assert!(tls.ca.unwrap().ends_with("docker/ca.pem"));
        assert_eq!(tcp.port, 2376);

        let fake = Fake::new(&[("DOCKER_CONTEXT", "skip")]).context("skip", "tcp://a", true, &[]);
        let Endpoint::Tcp(tcp) = fake.local().unwrap().endpoint else {
            panic!("not tcp")
        };
        assert_eq!(tcp.tls, Some(TlsFiles::default()));

        let fake = Fake::new(&[("DOCKER_CONTEXT", "bare")]).context("bare", "tcp://a", false, &[]);
        let Endpoint::Tcp(tcp) = fake.local().unwrap().endpoint else {
            panic!("not tcp")
        };
        assert_eq!(tcp.tls, None);
    }

    #[test]
    fn tls_of_the_environment_applies_to_docker_host_and_explicit_addresses() {
        let fake = Fake::new(&[
            ("DOCKER_HOST", "tcp://a:99"),
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_CERT_PATH", "/certs"),
        ])
        .file("/certs/ca.pem", "pem")
        .file("/certs/cert.pem", "pem");
        let expected = TlsFiles {
            ca: Some("/certs/ca.pem".into()),
            cert: Some("/certs/cert.pem".into()),
            key: None,
            verify: true,
        };
        for resolved in [
            fake.local().unwrap(),
            resolve(&EngineEndpoint::Address("tcp://b".into()), &fake).unwrap(),
        ] {
            let Endpoint::Tcp(tcp) = resolved.endpoint else {
                panic!("not tcp")
            };
            assert_eq!(tcp.tls.as_ref(), Some(&expected));
        }
    }

    #[test]
    fn verifying_without_an_authority_is_refused_as_docker_refuses_it() {
        let error = Fake::new(&[("DOCKER_HOST", "tcp://a"), ("DOCKER_TLS_VERIFY", "1")])
            .local()
            .unwrap_err();
        assert!(error.to_string().contains("/home/me/.docker/ca.pem"));
    }

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        assert_eq!(shown("tcp://"), "tcp://localhost:2375");
        assert_eq!(shown("tcp://:99"), "tcp://localhost:99");
        assert_eq!(shown("localhost:1"), "tcp://localhost:1");
        assert_eq!(shown("1.2.3.4"), "tcp://1.2.3.4:2375");
        assert_eq!(shown("tcp://[::1]:5"), "tcp://[::1]:5");
        assert_eq!(shown("tcp://a/"), "tcp://a:2375");
        assert_eq!(shown("tcp://a/p/"), "tcp://a:2375/p");
        assert_eq!(shown("unix://"), "unix:///var/run/docker.sock");
        assert_eq!(shown("  "), "unix:///var/run/docker.sock");
        assert_eq!(shown("ssh://h"), "ssh://h");
        assert_eq!(shown("ssh://h/"), "ssh://h");
        assert_eq!(shown("ssh://me@h:22/s.sock"), "ssh://me@h:22/s.sock");
    }

    #[test]
    fn addresses_that_docker_refuses_are_refused_with_what_to_write() {
        for (address, word) in [
            ("http://a", "write tcp://"),
            ("ssh://u:p@h", "password"),
            ("ssh://h?x=1", "query"),
            ("ssh://-oProxyCommand=x", "needs a host"),
            ("ssh://-l@h", "no user name"),
            ("tcp://a:http", "no port"),
            ("tcp://::1", "brackets"),
            ("tcp://[::1", "not closed"),
            ("npipe:////./pipe/x", "Windows"),
            ("fd://", "unix:///path"),
        ] {
            let text = shown(address);
            assert!(text.contains("is no engine address"), "{address}: {text}");
            assert!(text.contains(word), "{address}: {text}");
        }
    }

    #[test]
    fn a_broken_config_json_is_named() {
        let error = Fake::new(&[])
            .file("/home/me/.docker/config.json", "{")
            .local()
            .unwrap_err();
        assert!(error.to_string().contains("/home/me/.docker/config.json"));
    }
}
