//! A folder of manifests, a state directory and a Longshore that follows it; all gone when dropped.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::IMAGE;
use super::watch::{RUN, VERSION};

/// How soon a Longshore listens.
const STARTED_WITHIN: Duration = Duration::from_secs(30);

/// See the module.
pub struct Rig {
    pub dir: tempfile::TempDir,
    pub cluster: String,
    child: Option<Child>,
    /// What `DOCKER_HOST` is for it.
    pub host: Option<String>,
}

impl Rig {
    pub fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("m")).expect("a folder");
        let cluster = format!("bench-{name}-{}", std::process::id());
        let rig = Self {
            dir,
            cluster,
            child: None,
            host: None,
        };
        rig.write(
            "cluster.yaml",
            &format!(
                "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: {}}}\nspec: {{healthyAfterSeconds: 1}}\n",
                rig.cluster
            ),
        );
        rig
    }

    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("m")
    }

    /// Written beside and renamed over, as an editor or git does.
    pub fn write(&self, name: &str, text: &str) {
        let new = self.dir.path().join("new");
        fs::write(&new, text).expect("written");
        fs::rename(new, self.folder().join(name)).expect("renamed");
    }

    /// One service of that many tasks; a new version rolls over, old and new side by side.
    pub fn service(&self, count: usize, version: u32) {
        let cluster = &self.cluster;
        self.write(
            "service.yaml",
            &format!(
                "apiVersion: longshore/v1\nkind: TaskDefinition\nmetadata: {{name: t}}\nspec:\n  containerDefinitions:\n    \
                 - name: c\n      image: '{IMAGE}'\n      command: [sleep, '100000']\n      memory: 16\n      stopTimeout: 1\n      \
                 dockerLabels: {{{RUN}: '{cluster}', {VERSION}: '{version}'}}\n---\n\
                 apiVersion: longshore/v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{cluster: {cluster}, taskDefinition: t, \
                 desiredCount: {count}, deploymentConfiguration: {{minimumHealthyPercent: 100, maximumPercent: 200}}}}\n"
            ),
        );
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command
            .args(arguments)
            .arg("--state-dir")
            .arg(self.dir.path().join("state"))
            .arg("--socket")
            .arg(self.dir.path().join("s.sock"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::null());
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    pub fn start(&mut self) {
        let folder = self.folder();
        let child = self
            .command(&["run", &folder.display().to_string()])
            .spawn()
            .expect("longshore starts");
        self.child = Some(child);
        // An `apply` that comes before it would do the work by itself, and hold the state.
        let socket = self.dir.path().join("s.sock");
        let begun = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(begun.elapsed() < STARTED_WITHIN, "longshore does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("started").id()
    }

    /// Waits until the running Longshore has brought this folder to a steady state.
    pub fn steady(&self) {
        let folder = self.folder();
        let status = self
            .command(&["apply", &folder.display().to_string(), "--timeout", "300"])
            .status()
            .expect("apply runs");
        assert!(status.success(), "not steady");
    }

    /// Removes everything that it created.
    pub fn down(&mut self) {
        let folder = self.folder();
        let _ = self
            .command(&["down", &folder.display().to_string(), "--volumes"])
            .status();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.down();
        }
    }
}
