//! A folder of manifests, a Longshore of the test's own, and the engine to look at what it does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use longshore::clock::{IdGen, RandomIds};
use longshore::engine::docker::DockerEngine;
use longshore::engine::{ContainerState, Engine, ObservedContainer, labels};
use serde_json::Value;

use crate::common;

/// How long anything may take before the test fails. Generous: the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// See the module.
pub struct Rig {
    dir: tempfile::TempDir,
    /// The cluster of the test; `<cluster>-b` is its own, too.
    pub cluster: String,
    pub engine: Arc<DockerEngine>,
    /// What Longshore, and the docker that cleans up, get beside the test's own environment.
    environment: Vec<(String, String)>,
    /// The program, and what it is run by where that is not the test itself.
    program: Vec<OsString>,
    child: Option<Child>,
}

/// How a command of the program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Rig {
    /// A rig with an empty folder but for its cluster's manifest; `None` where no engine answers (not with `CI=true`).
    pub async fn new(name: &str) -> Option<Self> {
        let engine = common::docker().await?;
        Some(Self::on(engine, name, Vec::new()))
    }

    /// The same on this engine, which the environment leads to.
    pub fn on(engine: Arc<DockerEngine>, name: &str, environment: Vec<(String, String)>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("manifests")).expect("a folder");
        let cluster = format!("e2e-{name}-{:08x}", RandomIds.bits() >> 32);
        let rig = Self {
            dir,
            cluster,
            engine,
            environment,
            program: vec![env!("CARGO_BIN_EXE_longshore").into()],
            child: None,
        };
        rig.write(
            "cluster.yaml",
            &format!(
                "apiVersion: longshore/v1\nkind: Cluster\nmetadata:\n  name: {}\nspec:\n  healthyAfterSeconds: 1\n",
                rig.cluster
            ),
        );
        rig
    }

    /// From here on Longshore is run by this user, in this group and no other, from a folder that belongs to that user.
    pub fn run_by(&mut self, user: u32, group: u32) {
        let program = self.dir.path().join("longshore");
        std::fs::copy(env!("CARGO_BIN_EXE_longshore"), &program).expect("copied");
        let owned = Command::new("chown")
            .args(["-R", &format!("{user}:{group}")])
            .arg(self.dir.path())
            .status()
            .expect("chown runs");
        assert!(owned.success(), "the folder is given to user {user}");
        self.program = vec![
            "setpriv".into(),
            format!("--reuid={user}").into(),
            format!("--regid={group}").into(),
            "--clear-groups".into(),
            program.into(),
        ];
        self.environment
            .push(("HOME".to_owned(), self.dir.path().display().to_string()));
    }

    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("manifests")
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("s.sock")
    }

    /// Writes a manifest beside the folder and renames it into it, as git and editors do.
    pub fn write(&self, name: &str, text: &str) {
        let new = self.dir.path().join("unfinished");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(new, self.folder().join(name)).expect("renamed");
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder().join(name)).expect("removed");
    }

    /// Writes a service and its task definition of one container `main`, which runs a script in a shell.
    pub fn declare(&self, name: &str, what: &Declared<'_>) {
        let indented = |by: usize, text: &str| -> String {
            let lines = text.lines().map(|line| format!("{:by$}{line}\n", ""));
            lines.collect()
        };
        let text = format!(
            "apiVersion: longshore/v1
kind: TaskDefinition
metadata: {{name: {name}}}
spec:
  networkMode: {mode}
  containerDefinitions:
    - name: main
      image: '{image}'
      entryPoint: [sh, -c]
      command:
        - |
{script}      memory: 32
{container}---
apiVersion: longshore/v1
kind: Service
metadata: {{name: {name}}}
spec:
  cluster: {cluster}
  taskDefinition: {name}
{service}",
            mode = what.mode,
            image = what.image,
            script = indented(10, what.script),
            container = indented(6, what.container),
            cluster = self.cluster,
            service = indented(2, what.service),
        );
        self.write(&format!("{name}.yaml"), &text);
    }

    /// Writes a service of a program that says `version` and waits.
    pub fn service(&self, name: &str, service: &Service) {
        let health = if service.health {
            "healthCheck: {command: [CMD-SHELL, 'test -e /tmp/up'], interval: 5, timeout: 2, retries: 2}"
        } else {
            ""
        };
        let container = format!(
            "environment: [{{name: VERSION, value: '{}'}}]\nstopTimeout: 1\n{health}",
            service.version
        );
        let (min, max) = service.percent;
        let members = format!(
            "desiredCount: {}\ndeploymentConfiguration: {{minimumHealthyPercent: {min}, maximumPercent: {max}}}",
            service.count
        );
        self.declare(
            name,
            &Declared {
                mode: service.mode,
                script: service.command,
                container: &container,
                service: &members,
                ..Declared::default()
            },
        );
    }

    /// A command of the program, with this rig's state and socket.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program[0]);
        command
            .args(&self.program[1..])
            .envs(self.environment.iter().cloned())
            .args(["--state-dir".as_ref(), self.state_dir().as_os_str()])
            .args(["--socket".as_ref(), self.socket().as_os_str()])
            .args(arguments)
            .env_remove("GITHUB_ACTIONS")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments)
            .output()
            .expect("longshore runs")
            .into()
    }

    /// Starts a Longshore that follows the folder.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same with these flags.
    pub fn start_with(&mut self, flags: &[&str]) {
        self.spawn(flags);
        self.listening();
    }

    /// The same, without waiting for anything.
    pub fn spawn(&mut self, flags: &[&str]) {
        assert!(self.child.is_none(), "one is enough");
        let folder = self.folder();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .expect("a log");
        let child = self
            .command(flags)
            .args(["run".as_ref(), folder.as_os_str()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("longshore starts");
        self.child = Some(child);
    }

    /// Waits until it answers, so that a command that follows does not start one of its own.
    pub fn listening(&self) {
        let socket = self.socket();
        let mut rest = PATIENCE;
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(!rest.is_zero(), "it does not listen\nlog: {}", self.log());
            let step = Duration::from_millis(20);
            std::thread::sleep(step);
            rest = rest.saturating_sub(step);
        }
    }

    /// What the running Longshore has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The process id of the running Longshore.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it was started").id()
    }

    /// Kills Longshore as `kill -9` does.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it was started");
        child.kill().expect("killed");
        child.wait().expect("reaped");
    }

    /// Asks Longshore to end, as systemd does.
    pub fn ask_to_end(&self) {
        Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()
            .expect("kill runs");
    }

    /// Ends Longshore as systemd does, and returns its exit code.
    pub fn terminate(&mut self) -> i32 {
        self.ask_to_end();
        let mut child = self.child.take().expect("it was started");
        child.wait().expect("reaped").code().unwrap_or(-1)
    }

    /// Whether one was started, and its end was not seen yet.
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Its exit code, if it has ended by now.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.as_mut()?.try_wait().expect("a child")?;
        self.child = None;
        Some(status.code().unwrap_or(-1))
    }

    /// Waits until the running Longshore has ended by itself.
    pub async fn ends(&mut self) {
        let mut child = self.child.take().expect("it was started");
        let ended = tokio::task::spawn_blocking(move || child.wait());
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        assert!(ended.is_ok(), "it goes on\nlog: {}", self.log());
    }

    /// Waits until the running Longshore has taken the folder as it is now, and every service is steady.
    #[track_caller]
    pub fn steady(&self) {
        let ended = self.apply(PATIENCE.as_secs());
        assert_eq!(
            ended.code,
            0,
            "not steady: {}\n{}\nlog: {}",
            ended.stdout,
            ended.stderr,
            self.log()
        );
    }

    /// `apply` on the folder.
    pub fn apply(&self, timeout: u64) -> Ended {
        let folder = self.folder().display().to_string();
        self.run(&["apply", &folder, "--timeout", &timeout.to_string()])
    }

    /// The JSON that a command prints.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
        serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", ended.stdout))
    }

    /// Every container of this rig's cluster that belongs to a task.
    pub async fn containers(&self) -> Vec<ObservedContainer> {
        let mine = [
            (labels::CLUSTER.to_owned(), self.cluster.clone()),
            (labels::TASK.to_owned(), String::new()),
        ];
        self.engine.list_containers(&mine).await.expect("a list")
    }

    /// The running ones of a service, pause containers left out.
    pub async fn running(&self, service: &str) -> Vec<ObservedContainer> {
        self.containers()
            .await
            .into_iter()
            .filter(|c| c.state == ContainerState::Running)
            .filter(|c| c.labels.get(labels::SERVICE).is_some_and(|s| s == service))
            .filter(|c| {
                c.labels
                    .get(labels::CONTAINER)
                    .is_some_and(|name| !name.starts_with('~'))
            })
            .collect()
    }

    /// Waits until a look at the engine satisfies `enough`.
    pub async fn until<F>(&self, what: &str, mut enough: F)
    where
        F: AsyncFnMut(&Self) -> bool,
    {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !enough(self).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        if waited.await.is_err() {
            panic!("waited in vain until {what}\nlog: {}", self.log());
        }
    }
}

/// Ids of containers, in order.
pub fn ids(containers: &[ObservedContainer]) -> Vec<String> {
    let mut ids: Vec<String> = containers.iter().map(|c| c.id.clone()).collect();
    ids.sort();
    ids
}

/// The value of a label of each container, in order, once each.
pub fn values(containers: &[ObservedContainer], label: &str) -> Vec<String> {
    let mut values: Vec<String> = containers
        .iter()
        .filter_map(|c| c.labels.get(label).cloned())
        .collect();
    values.sort();
    values.dedup();
    values
}

/// A service, as [`Rig::declare`] writes it.
pub struct Declared<'a> {
    /// Its definition's `networkMode`.
    pub mode: &'a str,
    /// What its container is made from.
    pub image: &'a str,
    /// What its shell runs.
    pub script: &'a str,
    /// Further members of the container, as YAML that is not indented.
    pub container: &'a str,
    /// Further members of the service, likewise.
    pub service: &'a str,
}

impl Default for Declared<'_> {
    fn default() -> Self {
        Self {
            mode: "bridge",
            image: common::IMAGE,
            script: "",
            container: "",
            service: "",
        }
    }
}

/// A service of a test.
pub struct Service {
    pub count: u32,
    pub version: &'static str,
    pub percent: (u32, u32),
    pub mode: &'static str,
    pub health: bool,
    pub command: &'static str,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            count: 1,
            version: "1",
            percent: (100, 200),
            mode: "bridge",
            health: false,
            command: "touch /tmp/up; echo version $VERSION; trap : TERM; sleep 100000 & wait",
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the Longshore at fault:\n{}", self.log());
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // Not by the program under test: what a test leaves behind must go even when that is broken.
        for cluster in [self.cluster.clone(), format!("{}-b", self.cluster)] {
            self.clean(&cluster);
        }
    }
}

impl Rig {
    /// Removes everything of a cluster.
    fn clean(&self, cluster: &str) {
        let label = format!("label={}={cluster}", labels::CLUSTER);
        for (list, remove) in [
            (["ps", "-aq"].as_slice(), ["rm", "-f"].as_slice()),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        ] {
            let Ok(found) = Command::new("docker")
                .args(list)
                .args(["--filter", &label])
                .envs(self.environment.iter().cloned())
                .output()
            else {
                continue;
            };
            let found = String::from_utf8_lossy(&found.stdout).into_owned();
            if !found.trim().is_empty() {
                let _ = Command::new("docker")
                    .args(remove)
                    .args(found.split_whitespace())
                    .envs(self.environment.iter().cloned())
                    .output();
            }
        }
    }
}
