//! One Longshore a cluster and engine (P8), by a container that lives as long as its holder.
//!
//! The container has a fixed name, which is the lock, and reads a standard input that its holder keeps attached. Whatever
//! ends the holder, `kill -9` included, ends that connection; the input ends, the container ends, and the engine removes it.
//! So nothing has to expire, and no clock is compared.
//!
//! The order is create, attach, start: a container that started unattached would never end. What a crash can leave behind
//! is told from a lease that is held, and taken away: one that ended and was not removed; one that was created and, for as
//! long as [`PATIENCE`], never started; one with the very labels of whoever asks (its engine restarted, and kept the container
//! running without it); one of a process of this machine that is gone; and one of an earlier leader of the same owner, which leads no
//! more but may be stopped in its tracks and keep its connection. Removal is by id, so nobody's newer lease goes with it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::body::{CreateBody, HostConfig};
use super::{
    Attachment, ContainerState, Engine, EngineError, ErrorKind, ObservedContainer, SharedEngine,
    labels, pause,
};

/// How long a lease that somebody holds is asked for again before it is refused; and how long a lease may stay created
/// without being started.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is asked for in that time.
const RETRY: Duration = Duration::from_millis(100);

const PID: &str = "longshore.lease-pid";
const HOST: &str = "longshore.lease-host";
const FOLDER: &str = "longshore.lease-folder";
const PROCESS: &str = "longshore.lease-process";
const TERM: &str = "longshore.lease-term";
const STARTED: &str = "longshore.lease-started";

/// Who holds a cluster, or wants to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// The state directory's owner id.
    pub owner: String,
    /// Process id, as the process itself sees it.
    pub pid: u32,
    /// Name of its machine.
    pub host: String,
    /// The manifest folder, as an absolute path.
    pub folder: String,
    /// When it began to hold, RFC 3339; for people.
    pub started: String,
    /// What tells the process from every other there ever was: the boot, the PID namespace, the process id and its start.
    /// Empty where the system does not say; then no lease of it is ever taken to be left behind.
    pub process: String,
    /// Where several share a store, the term of this leader, which rises with every leader; 0 where only one can be.
    pub term: u64,
}

impl Holder {
    /// This process, holding `folder` for `owner` since `started`.
    pub fn this_process(owner: &str, folder: &str, started: &str) -> Self {
        let pid = std::process::id();
        Self {
            owner: owner.to_owned(),
            pid,
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            folder: folder.to_owned(),
            started: started.to_owned(),
            process: process_identity(pid).unwrap_or_default(),
            term: 0,
        }
    }

    /// The same as the leader of that term.
    #[must_use]
    pub fn leading(self, term: u64) -> Self {
        Self { term, ..self }
    }

    /// Whether it leads the same store by a later term, and therefore has the better right.
    pub fn succeeds(&self, other: &Self) -> bool {
        self.owner == other.owner && self.term > other.term && other.term > 0
    }

    fn labels(&self, cluster: &str) -> BTreeMap<String, String> {
        [
            (labels::SCHEMA, labels::SCHEMA_VERSION.to_owned()),
            (labels::LEASE, "1".to_owned()),
            (labels::CLUSTER, cluster.to_owned()),
            (labels::OWNER, self.owner.clone()),
            (PID, self.pid.to_string()),
            (HOST, self.host.clone()),
            (FOLDER, self.folder.clone()),
            (STARTED, self.started.clone()),
            (PROCESS, self.process.clone()),
            (TERM, self.term.to_string()),
        ]
        .into_iter()
        .filter(|(name, value)| *name != TERM || value != "0")
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    fn of(container: &ObservedContainer) -> Self {
        let label = |name: &str| container.labels.get(name).cloned().unwrap_or_default();
        Self {
            owner: label(labels::OWNER),
            pid: label(PID).parse().unwrap_or(0),
            host: label(HOST),
            folder: label(FOLDER),
            started: label(STARTED),
            process: label(PROCESS),
            term: label(TERM).parse().unwrap_or(0),
        }
    }

    /// Whether the process is certainly gone: only ever true of a process of this machine.
    fn is_gone(&self) -> bool {
        let Some(ours) = process_identity(std::process::id()) else {
            return false;
        };
        // The same boot and PID namespace, or its process ids mean nothing here.
        let machine = |process: &str| process.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ");
        !self.process.is_empty()
            && machine(&self.process) == machine(&ours)
            && process_is_gone(self.pid, &self.process)
    }
}

/// Whether no process has that id any more, or another one took it.
fn process_is_gone(pid: u32, process: &str) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        Ok(_) => process_identity(pid).is_some_and(|now| now != process),
    }
}

/// `<boot> <PID namespace> <pid> <start in clock ticks after boot>`; `None` where the system does not say.
fn process_identity(pid: u32) -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may hold anything.
    let start = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    Some(format!(
        "{} {} {pid} {start}",
        boot.trim(),
        namespace.display()
    ))
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "process {} on {} with the folder {}, since {}",
            self.pid, self.host, self.folder, self.started
        )
    }
}

/// Why a lease was not had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Another Longshore has it.
    #[error(
        "the cluster {cluster:?} on this engine is held by another Longshore: {holder}. Stop that one first, or wait until it \
         has ended"
    )]
    HeldBy {
        /// The cluster.
        cluster: String,
        /// Who.
        holder: Box<Holder>,
    },
    /// Something that is no lease has its name.
    #[error(
        "the container {name} has the name of a lease and is none: Longshore did not make it. Rename or remove it"
    )]
    NotALease {
        /// The container's name.
        name: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// A cluster on an engine, held. Dropping it lets go, and so does the end of the process.
pub struct Lease {
    engine: SharedEngine,
    container: String,
    lost: watch::Receiver<bool>,
    watcher: tokio::task::JoinHandle<()>,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.container)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// The name of a cluster's lease container.
pub fn container_name(cluster: &str) -> String {
    format!("longshore-lease-{cluster}")
}

/// Who holds the cluster on that engine; `None` when nobody does.
///
/// # Errors
/// The engine's own, and [`LeaseError::NotALease`].
pub async fn holder(engine: &dyn Engine, cluster: &str) -> Result<Option<Holder>, LeaseError> {
    Ok(current(engine, cluster)
        .await?
        .filter(|container| container.state == ContainerState::Running)
        .map(|container| Holder::of(&container)))
}

async fn current(
    engine: &dyn Engine,
    cluster: &str,
) -> Result<Option<ObservedContainer>, LeaseError> {
    let name = container_name(cluster);
    match engine.inspect_container(&name).await {
        Ok(container) if !container.labels.contains_key(labels::LEASE) => {
            Err(LeaseError::NotALease { name })
        }
        Ok(container) => Ok(Some(container)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Lease {
    /// Takes the cluster on that engine, makes the pause image where it is missing, and returns once the lease is held.
    /// Waits up to [`PATIENCE`] for another holder to end. A lease of exactly this `holder` is taken to be its own, lost: make
    /// one [`Holder`] a process, and use it for every attempt.
    ///
    /// # Errors
    /// [`LeaseError::HeldBy`] with the other holder, [`LeaseError::NotALease`], or the engine's own error.
    pub async fn acquire(
        engine: &SharedEngine,
        cluster: &str,
        holder: &Holder,
    ) -> Result<Self, LeaseError> {
        let image = pause::ensure(engine.as_ref()).await?;
        let body = CreateBody {
            image,
            entrypoint: Some(vec![pause::LEASE.to_owned()]),
            labels: holder.labels(cluster),
            network_disabled: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(true),
            // An engine that shuts down need not wait for it.
            stop_timeout: Some(0),
            host_config: HostConfig {
                network_mode: Some("none".to_owned()),
                auto_remove: Some(true),
                ..HostConfig::default()
            },
            ..CreateBody::default()
        };
        let name = container_name(cluster);
        let begun = Instant::now();
        // A lease that was created and not started, and since when it has been seen so.
        let mut unstarted: Option<(String, Instant)> = None;
        loop {
            match engine.create_container(&name, &body).await {
                Ok(id) => return Self::hold(engine, id).await,
                Err(error) if error.kind == ErrorKind::NameConflict => {}
                Err(error) => return Err(error.into()),
            }
            let Some(other) = current(engine.as_ref(), cluster).await? else {
                continue;
            };
            let other_holder = Holder::of(&other);
            let left_behind = match other.state {
                ContainerState::Exited | ContainerState::Dead => true,
                _ if other_holder == *holder
                    || other_holder.is_gone()
                    || holder.succeeds(&other_holder) =>
                {
                    true
                }
                ContainerState::Created => {
                    let since = match &unstarted {
                        Some((id, since)) if *id == other.id => *since,
                        _ => {
                            let now = Instant::now();
                            unstarted = Some((other.id.clone(), now));
                            now
                        }
                    };
                    since.elapsed() >= PATIENCE
                }
                _ => false,
            };
            if left_behind {
                match engine.remove_container(&other.id).await {
                    Err(error) if error.kind != ErrorKind::NotFound => return Err(error.into()),
                    _ => continue,
                }
            }
            // One more round after an unstarted lease has had its time.
            if begun.elapsed() >= PATIENCE + RETRY * 2 {
                return Err(LeaseError::HeldBy {
                    cluster: cluster.to_owned(),
                    holder: Box::new(other_holder),
                });
            }
            sleep(RETRY).await;
        }
    }

    /// Attaches to the new container, then starts it.
    async fn hold(engine: &SharedEngine, id: String) -> Result<Self, LeaseError> {
        let started = async {
            let attachment = engine.attach_stdin(&id).await?;
            engine.start_container(&id).await?;
            Ok::<_, EngineError>(attachment)
        };
        let mut attachment: Box<dyn Attachment> = match started.await {
            Ok(attachment) => attachment,
            Err(error) => {
                // Whether or not it started: it is nobody's.
                let _ = engine.remove_container(&id).await;
                return Err(error.into());
            }
        };
        let (sender, lost) = watch::channel(false);
        let watcher = tokio::spawn(async move {
            attachment.ended().await;
            let _ = sender.send(true);
        });
        Ok(Self {
            engine: Arc::clone(engine),
            container: id,
            lost,
            watcher,
        })
    }

    /// Returns once the lease is no longer held: its connection or its container ended, as at a restart of the engine.
    /// Whoever held it must stop acting, and may ask for it again.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        // An error means that the watcher is gone, and the connection with it.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// Whether it is held, as far as is known.
    pub fn is_held(&self) -> bool {
        !*self.lost.borrow() && !self.watcher.is_finished()
    }

    /// Lets go, and returns once the next holder can have it.
    ///
    /// # Errors
    /// The engine's; the lease ends all the same, with the connection.
    pub async fn release(self) -> Result<(), EngineError> {
        match self.engine.remove_container(&self.container).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_survives_its_labels() {
        let holder = Holder::this_process("0123456789abcdef", "/srv/manifests", "2024-05-01");
        let container = ObservedContainer {
            id: "1".into(),
            name: container_name("default"),
            image: String::new(),
            image_id: String::new(),
            labels: holder.labels("default"),
            state: ContainerState::Running,
            exit_code: None,
            oom_killed: false,
            error: String::new(),
            created_at: None,
            started_at: None,
            finished_at: None,
            health: crate::model::HealthStatus::Unknown,
            health_output: None,
            pid: 0,
            addresses: BTreeMap::new(),
            ports: Vec::new(),
            volumes: Vec::new(),
        };
        assert_eq!(Holder::of(&container), holder);
        assert_eq!(container.labels[labels::LEASE], "1");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_a_process_of_this_machine_that_is_gone_has_left_its_lease_behind() {
        let ours = Holder::this_process("", "", "");
        assert!(!ours.is_gone(), "this process itself");

        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let mut other = Holder {
            pid: child.id(),
            process: process_identity(child.id()).unwrap(),
            ..ours.clone()
        };
        assert!(!other.is_gone(), "it runs");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(other.is_gone(), "it has ended");

        let elsewhere = other.process.replacen(' ', "0 ", 1);
        other.process = elsewhere;
        assert!(!other.is_gone(), "another machine's, nobody knows");
        other.process = String::new();
        assert!(!other.is_gone(), "it did not say");

        let reused = Holder {
            process: format!("{}0", ours.process),
            ..ours
        };
        assert!(reused.is_gone(), "another process has its id now");
    }
}
