//! The engine itself goes away and comes back. It is one of the test's own, in a network namespace of its own: an engine that
//! shared the machine's would take its bridge and its rules for the rests of an earlier run, and remove them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use longshore::clock::{IdGen, RandomIds};
use longshore::engine::docker::{DockerEngine, Limits};
use longshore::engine::endpoint::Endpoint;
use longshore::engine::{ContainerState, labels};

use crate::common;
use crate::rig::{PATIENCE, Rig, Service, ids, values};

#[tokio::test]
async fn when_the_engine_is_restarted_the_tasks_are_replaced_and_the_cluster_is_still_held() {
    let Some(mut daemon) = Daemon::start().await else {
        return;
    };
    let engine = daemon.connect().await;
    common::ensure_busybox(&*engine).await;
    let environment = vec![("DOCKER_HOST".to_owned(), daemon.address())];
    // After the daemon, so that it is dropped before it.
    let mut rig = Rig::on(engine, "engine", environment);
    let web = Service {
        count: 3,
        mode: "awsvpc",
        health: true,
        ..Service::default()
    };
    rig.service("web", &web);
    rig.start();
    rig.steady();

    for how in ["restarted as an upgrade does it", "crashed"] {
        let before = rig.running("web").await;
        assert_eq!(before.len(), 3);
        let before = (ids(&before), values(&before, labels::TASK));
        if how == "crashed" {
            daemon.crash();
        } else {
            daemon.end("-TERM");
        }
        daemon.spawn();
        rig.engine = daemon.connect().await;
        rig.until(&format!("three new tasks run: {how}"), async |rig| {
            let now = rig.running("web").await;
            now.len() == 3 && ids(&now).iter().all(|id| !before.0.contains(id))
        })
        .await;
        rig.steady();

        let after = rig.running("web").await;
        assert_eq!(after.len(), 3, "{how}");
        let tasks = values(&after, labels::TASK);
        assert!(tasks.iter().all(|task| !before.1.contains(task)));
        let mut per_task: BTreeMap<String, usize> = BTreeMap::new();
        for container in rig.containers().await {
            if container.state == ContainerState::Running {
                *per_task
                    .entry(container.labels[labels::TASK].clone())
                    .or_default() += 1;
            }
        }
        assert_eq!(per_task.len(), 3, "{per_task:?}");
        assert!(per_task.values().all(|n| *n == 2), "{per_task:?}");
    }

    // It still follows its folder, and no other can take the cluster.
    rig.service("web", &Service { count: 1, ..web });
    rig.steady();
    assert_eq!(rig.running("web").await.len(), 1);
    let other = Command::new(env!("CARGO_BIN_EXE_longshore"))
        .arg("run")
        .arg(rig.folder())
        .arg("--state-dir")
        .arg(rig.path().join("other-state"))
        .arg("--socket")
        .arg(rig.path().join("other.sock"))
        .env("DOCKER_HOST", daemon.address())
        .stdin(Stdio::null())
        .output()
        .expect("it ends by itself");
    let said = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(2), "{said}");
    assert!(said.contains("held by"), "{said}");
}

/// An engine of this test's own. Dropped, nothing of it is left.
struct Daemon {
    dir: tempfile::TempDir,
    namespace: String,
    child: Option<Child>,
}

impl Daemon {
    /// Starts one; `None`, said aloud, where that cannot be done (not with `CI=true`).
    async fn start() -> Option<Self> {
        if let Err(why) = possible() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "an engine cannot be started, and with CI=true that is a failure: {why}"
            );
            eprintln!("not run: {why}");
            return None;
        }
        let daemon = Self {
            dir: tempfile::tempdir().expect("a temporary folder"),
            namespace: format!("ls-e2e-{:08x}", RandomIds.bits() >> 32),
            child: None,
        };
        run("ip", &["netns", "add", &daemon.namespace]);
        run("ip", &["-n", &daemon.namespace, "link", "set", "lo", "up"]);
        std::fs::write(daemon.path("daemon.json"), "{}").expect("written");
        let mut daemon = daemon;
        daemon.spawn();
        Some(daemon)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn address(&self) -> String {
        format!("unix://{}", self.path("d.sock").display())
    }

    /// Starts the process. Nothing outside the folder and the namespace is touched: the machine's own configuration, data
    /// and process id are left alone.
    fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a log");
        let child = Command::new("nsenter")
            .arg(format!("--net=/var/run/netns/{}", self.namespace))
            .args(["dockerd", "--config-file"])
            .arg(self.path("daemon.json"))
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("pid"))
            .args(["--bip", "10.213.0.1/24"])
            .args(["--default-address-pool", "base=10.214.0.0/16,size=24"])
            .args(["-H", &self.address()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("nsenter starts");
        self.child = Some(child);
    }

    /// A client of it, as soon as it answers.
    async fn connect(&mut self) -> Arc<DockerEngine> {
        let endpoint = Endpoint::Unix(self.path("d.sock"));
        let connected = tokio::time::timeout(PATIENCE, async {
            loop {
                let ended = self
                    .child
                    .as_mut()
                    .is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()));
                assert!(!ended, "the engine has ended: {}", self.log());
                if let Ok(engine) = DockerEngine::connect(&endpoint, Limits::default()).await {
                    return engine;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        match connected.await {
            Ok(engine) => Arc::new(engine),
            Err(_) => panic!("the engine does not answer: {}", self.log()),
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Ends the process with this signal, and waits for that.
    fn end(&mut self, signal: &str) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status();
            let _ = child.wait();
        }
    }

    /// Ends the engine as a crash does. Its containerd goes with it and the containers stay.
    fn crash(&mut self) {
        self.end("-KILL");
        let file = self.path("exec/containerd/containerd.pid");
        if let Ok(pid) = std::fs::read_to_string(&file)
            && self.owns(pid.trim())
        {
            let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
        }
        // To the next engine one that is dead, but not yet reaped, is one that runs, and it waits for that in vain.
        let _ = std::fs::remove_file(file);
    }

    /// Whether a process was started from this engine's folder.
    fn owns(&self, pid: &str) -> bool {
        let folder = self.dir.path().display().to_string();
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|command| command.contains(&folder))
    }

    /// Kills what an engine that could not end in order left behind: its containerd, the containers and their shims.
    fn kill_the_rest(&self) {
        let processes: Vec<String> = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.parse::<u32>().is_ok())
            .collect();
        let (ours, others): (Vec<_>, Vec<_>) =
            processes.into_iter().partition(|pid| self.owns(pid));
        // A container's process does not name the folder, but its parent, the shim, does.
        let children = others
            .into_iter()
            .filter(|pid| parent(pid).is_some_and(|parent| ours.contains(&parent)));
        for pid in children.collect::<Vec<_>>().iter().chain(&ours) {
            let _ = Command::new("kill")
                .args(["-KILL", pid])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// The parent of a process, by the fourth field of its `stat`; the second is a name in parentheses.
fn parent(pid: &str) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1).map(str::to_owned)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!(
                "last lines of the engine, newest first:\n{}",
                lines.join("\n")
            );
        }
        self.end("-TERM");
        let folder = self.dir.path().display().to_string();
        self.kill_the_rest();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mut ours: Vec<&str> = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .filter(|target| target.starts_with(&folder))
            .collect();
        ours.reverse();
        for target in ours {
            let _ = Command::new("umount").args(["-l", target]).status();
        }
        let _ = Command::new("ip")
            .args(["netns", "del", &self.namespace])
            .status();
    }
}

/// Whether this process can start an engine, and if not, why.
fn possible() -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    if !std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        return Err("only root can start an engine".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for program in ["ip", "nsenter", "dockerd"] {
        if !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
            return Err(format!("there is no {program} on this machine"));
        }
    }
    Ok(())
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program)
        .args(arguments)
        .status()
        .expect("it runs");
    assert!(status.success(), "{program} {arguments:?}: {status}");
}
