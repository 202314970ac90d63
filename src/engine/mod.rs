//! A container engine, as Longshore needs one.
//!
//! Two things implement [`Engine`]: `docker` (a Docker Engine by way of bollard, which nothing else names) and
//! `simulated` (virtual time and faults). The same conformance tests run on both. Every call is one engine request or a
//! read made of several; none retries, none decides. What a failure means is in [`EngineError`].

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use crate::model::{HealthStatus, Protocol, Timestamp};

pub mod body;
pub mod credentials;
pub mod docker;
pub mod endpoint;
pub mod error;
pub mod labels;
pub mod lease;
pub mod pause;
pub mod reference;
pub mod registry;
pub mod simulated;
pub mod translate;

pub use body::CreateBody;
pub use error::{EngineError, ErrorKind};

/// An engine, as it is handed around.
pub type SharedEngine = Arc<dyn Engine>;

/// The result of an engine call.
pub type EngineResult<T> = Result<T, EngineError>;

/// A stream of an engine's messages; it ends after an error, and may end or fall silent without one.
pub type EngineStream<T> = Pin<Box<dyn Stream<Item = EngineResult<T>> + Send>>;

/// What an engine says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineInfo {
    /// Stable over restarts.
    pub id: String,
    /// Host name.
    pub name: String,
    /// Engine version.
    pub version: String,
    /// The API version in use, as negotiated.
    pub api_version: String,
    /// The newest and oldest API version the engine speaks.
    pub api_range: (String, String),
    /// Docker's name for the architecture (`amd64`, `arm64`).
    pub architecture: String,
    /// `linux` or `windows`.
    pub os: String,
    /// Logical CPUs.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// `cgroupfs`, `systemd` or `none`.
    pub cgroup_driver: String,
    /// The default log driver.
    pub logging_driver: String,
    /// Log drivers that exist.
    pub log_drivers: Vec<String>,
    /// `rootless`, `userns`, `seccomp`, …
    pub security_options: Vec<String>,
    /// Directory of the engine's data.
    pub root_dir: String,
    /// Warnings that the engine itself gives.
    pub warnings: Vec<String>,
    /// What time it is there, as far as it says.
    pub clock: Option<Timestamp>,
    /// Whether it runs on this very host: reached over a socket here, of this host's name, its data directory at hand.
    pub is_here: bool,
}

/// One run of an engine's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineRun {
    /// When it began, by the engine's own clock: a container that was started before then and does not run ended with an earlier
    /// run. Before the last start where containers outlived it (`live-restore`); absent where the engine does not tell.
    pub began: Option<Timestamp>,
}

/// What state a container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerState {
    /// Created, never started.
    Created,
    /// Running.
    Running,
    /// Paused by somebody.
    Paused,
    /// Between two runs (only with an engine's restart policy, which Longshore never sets).
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// The engine could not remove it.
    Dead,
}

/// A container as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedContainer {
    /// The engine's id.
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    /// The image reference it was created from.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Its state.
    pub state: ContainerState,
    /// Meaningful once it has ended.
    pub exit_code: Option<i64>,
    /// Whether the kernel killed it for its memory.
    pub oom_killed: bool,
    /// The engine's own error for it; empty when there is none.
    pub error: String,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When it last started; absent when it never did.
    pub started_at: Option<Timestamp>,
    /// When it last ended; absent when it never did.
    pub finished_at: Option<Timestamp>,
    /// The verdict of its health check; `Unknown` also while it is starting and when it has none.
    pub health: HealthStatus,
    /// Output of the last failed health check, cut to 512 bytes.
    pub health_output: Option<String>,
    /// Host process id while running, else 0.
    pub pid: i64,
    /// Its address by network name.
    pub addresses: BTreeMap<String, String>,
    /// Published ports while running: container port, transport, host address, host port.
    pub ports: Vec<PublishedPort>,
    /// Names of the volumes it mounts.
    pub volumes: Vec<String>,
}

/// A port as the engine publishes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedPort {
    /// Port inside.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// Address on the host.
    pub host_ip: String,
    /// Port on the host.
    pub host_port: u16,
}

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageInfo {
    /// `sha256:…` of its configuration.
    pub id: String,
    /// `name@sha256:…`, one a registry it came from or went to.
    pub repo_digests: Vec<String>,
    /// `name:tag`.
    pub repo_tags: Vec<String>,
    /// Docker's architecture name.
    pub architecture: String,
    /// Bytes.
    pub size: u64,
    /// Its `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// Its `CMD`.
    pub cmd: Vec<String>,
}

/// An image in a list of all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedImage {
    /// `sha256:…` of its configuration.
    pub id: String,
    /// `name:tag`.
    pub repo_tags: Vec<String>,
    /// `name@sha256:…`.
    pub repo_digests: Vec<String>,
}

impl ListedImage {
    /// Everything that it is called: tags, then digests. An engine that has no name for it writes `<none>`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.repo_tags.iter().chain(&self.repo_digests);
        names
            .map(String::as_str)
            .filter(|name| !name.contains("<none>"))
    }
}

/// Credentials for a registry.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RegistryAuth {
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
    /// Identity token, in place of both.
    pub identity_token: String,
    /// The registry.
    pub server: String,
}

impl fmt::Debug for RegistryAuth {
    /// Never shows the password (P9).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryAuth({} at {})", self.username, self.server)
    }
}

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PullProgress {
    /// Bytes that have arrived.
    pub current: u64,
    /// Bytes in all, as far as known.
    pub total: u64,
    /// The engine's word for what it does.
    pub status: String,
}

/// A network to create.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkBody {
    /// Name.
    pub name: String,
    /// `bridge` unless said otherwise.
    pub driver: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
}

/// A network that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedNetwork {
    /// The engine's id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Its subnets, CIDR.
    pub subnets: Vec<String>,
    /// The addresses of the engine's host on it, one a subnet that has one.
    pub gateways: Vec<String>,
}

/// A volume to create.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumeBody {
    /// Name.
    pub name: String,
    /// Driver; empty: the engine's default.
    pub driver: String,
    /// Driver options.
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedVolume {
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where it is on the host.
    pub mountpoint: String,
}

/// One event of the engine. It says which object to look at; what happened is to be observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    /// `container`, `network`, `volume`, `image`, …
    pub kind: String,
    /// `create`, `start`, `die`, `destroy`, `oom`, `health_status: healthy`, …
    pub action: String,
    /// Id of the object.
    pub id: String,
    /// Labels and more (`name`, `image`, `exitCode`).
    pub attributes: BTreeMap<String, String>,
    /// When the engine says that it happened.
    pub at: Timestamp,
    /// The same in nanoseconds, which orders events of one millisecond.
    pub at_nanos: i64,
}

/// Which log lines to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogOptions {
    /// Go on as lines are written.
    pub follow: bool,
    /// Only lines at or after this instant.
    pub since: Option<Timestamp>,
    /// Only the last so many; absent: all.
    pub tail: Option<u32>,
    /// Start each line with its RFC 3339 time.
    pub timestamps: bool,
}

/// Which stream a piece of output was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output; all output of a container with a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputChunk {
    /// Where it was written.
    pub stream: OutputStream,
    /// The bytes; not necessarily whole lines.
    pub bytes: Bytes,
}

/// A command to run in a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecOptions {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Attach standard input.
    pub stdin: bool,
    /// Give it a terminal, of these columns and rows.
    pub tty: Option<(u16, u16)>,
}

/// A command that runs in a container.
pub struct ExecSession {
    /// The engine's id of it, for its exit code and to resize its terminal.
    pub id: String,
    /// Its standard input; dropping it closes it.
    pub input: Pin<Box<dyn tokio::io::AsyncWrite + Send>>,
    /// Its output; ends when it does.
    pub output: EngineStream<OutputChunk>,
}

impl fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecSession({})", self.id)
    }
}

/// An attachment to a container's standard input. Dropping it ends the attachment, and so does the process' death.
#[async_trait]
pub trait Attachment: Send + Sync + 'static {
    /// Returns when the connection or the container has ended.
    async fn ended(&mut self);
}

/// Labels to select by: all must be there; an empty value means any value.
pub type LabelFilter = [(String, String)];

/// See the [module's documentation](self).
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// The engine's own description. Also the cheapest proof that it answers.
    async fn info(&self) -> EngineResult<EngineInfo>;

    /// Opens a connection of its own and asks which run of the engine answers there. An engine that goes down ends its containers
    /// while it still answers on the connections that it has, and takes no new ones: so an answer says that it goes on.
    async fn greet(&self) -> EngineResult<EngineRun>;

    /// Every container, running or not, that has all the labels, each as [`Engine::inspect_container`] would show it.
    async fn list_containers(&self, labels: &LabelFilter) -> EngineResult<Vec<ObservedContainer>>;

    /// One container by id or name.
    async fn inspect_container(&self, id: &str) -> EngineResult<ObservedContainer>;

    /// Creates a container and returns its id. A taken name is [`ErrorKind::NameConflict`].
    async fn create_container(&self, name: &str, body: &CreateBody) -> EngineResult<String>;

    /// Starts it; no error when it runs already.
    async fn start_container(&self, id: &str) -> EngineResult<()>;

    /// Asks it to end with its stop signal, and kills it after `timeout` seconds; returns when it has ended. No error when it
    /// does not run.
    async fn stop_container(&self, id: &str, timeout: u32) -> EngineResult<()>;

    /// Removes it by force, with its anonymous volumes. [`ErrorKind::NotFound`] when it is gone already.
    async fn remove_container(&self, id: &str) -> EngineResult<()>;

    /// The image of that reference or id, if the engine has it.
    async fn image(&self, reference: &str) -> EngineResult<Option<ImageInfo>>;

    /// Every image that is no mere layer of another.
    async fn list_images(&self) -> EngineResult<Vec<ListedImage>>;

    /// Pulls an image, for `platform` (`linux/arm64`) where given. An error inside the engine's answer is an error here.
    async fn pull_image(
        &self,
        reference: &str,
        platform: Option<&str>,
        auth: Option<&RegistryAuth>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> EngineResult<()>;

    /// Unpacks a tar archive into a container, running or not, at the absolute path of a folder that is there.
    async fn upload(&self, id: &str, path: &str, archive: Bytes) -> EngineResult<()>;

    /// Makes an image `reference` of a root file system (an uncompressed tar) and Dockerfile `changes` (`ENTRYPOINT ["/pause"]`).
    async fn import_image(
        &self,
        reference: &str,
        rootfs: Bytes,
        changes: &[String],
    ) -> EngineResult<()>;

    /// Takes a name of an image away, and removes the image with its last one; by its id all of its names, if they are of one
    /// repository. [`ErrorKind::Conflict`] where a container uses it.
    async fn remove_image(&self, reference: &str) -> EngineResult<()>;

    /// Networks that have all the labels.
    async fn list_networks(&self, labels: &LabelFilter) -> EngineResult<Vec<ObservedNetwork>>;

    /// Creates a network and returns its id. A taken name is [`ErrorKind::NameConflict`].
    async fn create_network(&self, body: &NetworkBody) -> EngineResult<String>;

    /// Removes it; [`ErrorKind::NotFound`] when it is gone already.
    async fn remove_network(&self, id: &str) -> EngineResult<()>;

    /// Volumes that have all the labels.
    async fn list_volumes(&self, labels: &LabelFilter) -> EngineResult<Vec<ObservedVolume>>;

    /// One volume by name.
    async fn inspect_volume(&self, name: &str) -> EngineResult<ObservedVolume>;

    /// Creates a volume; no error when the same volume exists already.
    async fn create_volume(&self, body: &VolumeBody) -> EngineResult<()>;

    /// Removes it; [`ErrorKind::NotFound`] when it is gone already, [`ErrorKind::Conflict`] while it is in use.
    async fn remove_volume(&self, name: &str) -> EngineResult<()>;

    /// Events from `since` on (inclusive; from now on when absent) of everything on the engine.
    async fn events(&self, since: Option<Timestamp>) -> EngineResult<EngineStream<EngineEvent>>;

    /// Output of a container.
    async fn logs(&self, id: &str, options: &LogOptions)
    -> EngineResult<EngineStream<OutputChunk>>;

    /// What a container uses at this instant, as the engine writes it (Docker's `StatsJSON`). One sample: `precpu_stats` holds
    /// nothing. A container that does not run uses nothing.
    async fn stats(&self, id: &str) -> EngineResult<serde_json::Value>;

    /// Runs a command in a running container.
    async fn exec(&self, id: &str, options: &ExecOptions) -> EngineResult<ExecSession>;

    /// The exit code of a command that was run; absent while it runs.
    async fn exec_exit_code(&self, exec: &str) -> EngineResult<Option<i64>>;

    /// Changes the size of a command's terminal: columns, rows.
    async fn exec_resize(&self, exec: &str, size: (u16, u16)) -> EngineResult<()>;

    /// Attaches to a container's standard input and holds it. The container must have been created with `OpenStdin` and
    /// `StdinOnce`, and may be started before or after.
    async fn attach_stdin(&self, id: &str) -> EngineResult<Box<dyn Attachment>>;
}
