//! The tools that are compared, all asked for the same: so many containers of one image, each with a memory limit, and a
//! version in a label.

use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use longshore::engine::docker::DockerEngine;
use longshore::engine::{CreateBody, Engine, NetworkBody};

use super::IMAGE;
use super::rig::Rig;
use super::watch::{RUN, VERSION};

/// Calls that the raw runs have under way at once: the best of 2, 4, 8 and 16 on two cores.
const RAW_AT_ONCE: usize = 8;

/// Something that runs containers.
#[async_trait]
pub trait Tool {
    /// The value of the label [`RUN`] on its containers.
    fn run(&self) -> &str;
    /// Brings it to so many containers of that version; they may come later than this returns.
    async fn set(&mut self, count: usize, version: u32);
    /// Says again what was said last, and waits for the tool to be content.
    async fn again(&mut self, count: usize, version: u32);
    /// Removes all of it.
    async fn remove(&mut self);
}

/// Runs a command of a peer to its end; what it said last where it failed.
fn attempt(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim_end().lines().last().unwrap_or_default();
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program} {}: {last}", arguments.join(" "))),
    }
}

fn call(program: &str, arguments: &[&str]) {
    if let Err(failure) = attempt(program, arguments) {
        panic!("{failure}");
    }
}

/// Whether a command can be run at all.
pub fn is_there(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Longshore as it is used: running, and the folder is edited.
pub struct Longshore(Rig);

impl Longshore {
    pub fn new(name: &str) -> Self {
        let mut rig = Rig::new(name);
        rig.start();
        rig.steady();
        Self(rig)
    }
}

#[async_trait]
impl Tool for Longshore {
    fn run(&self) -> &str {
        &self.0.cluster
    }

    async fn set(&mut self, count: usize, version: u32) {
        self.0.service(count, version);
    }

    async fn again(&mut self, count: usize, version: u32) {
        self.0.service(count, version);
        self.0.steady();
    }

    async fn remove(&mut self) {
        self.0.down();
    }
}

/// The engine's calls and nothing else: the floor.
pub struct Raw {
    engine: Arc<DockerEngine>,
    run: String,
    /// Id and version, oldest first.
    containers: Vec<(String, u32)>,
    created: usize,
    network: bool,
}

impl Raw {
    pub fn new(engine: &Arc<DockerEngine>, name: &str) -> Self {
        Self {
            engine: Arc::clone(engine),
            run: format!("bench-{name}-{}", std::process::id()),
            containers: Vec::new(),
            created: 0,
            network: false,
        }
    }

    fn body(&self, version: u32) -> CreateBody {
        serde_json::from_value(serde_json::json!({
            "Image": IMAGE,
            "Cmd": ["sleep", "100000"],
            "StopTimeout": 1,
            "Labels": {RUN: self.run, VERSION: version.to_string()},
            "HostConfig": {
                "NetworkMode": self.run,
                "CpuShares": 2,
                "Memory": 16 << 20,
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
                "RestartPolicy": {"Name": "no"},
            },
            "NetworkingConfig": {"EndpointsConfig": {&self.run: {"Aliases": ["s"]}}},
        }))
        .expect("a body")
    }

    async fn drop_all(&self, ids: Vec<String>) {
        let engine = &self.engine;
        stream::iter(ids)
            .for_each_concurrent(RAW_AT_ONCE, |id| async move {
                let _ = engine.stop_container(&id, 1).await;
                let _ = engine.remove_container(&id).await;
            })
            .await;
    }
}

#[async_trait]
impl Tool for Raw {
    fn run(&self) -> &str {
        &self.run
    }

    async fn set(&mut self, count: usize, version: u32) {
        if !std::mem::replace(&mut self.network, true) {
            let body = NetworkBody {
                name: self.run.clone(),
                driver: "bridge".to_owned(),
                ..NetworkBody::default()
            };
            self.engine.create_network(&body).await.expect("a network");
        }
        let current = self
            .containers
            .iter()
            .filter(|(_, v)| *v == version)
            .count();
        let body = self.body(version);
        let (engine, run, body) = (&self.engine, &self.run, &body);
        let first = self.created;
        let missing = count.saturating_sub(current);
        let ids: Vec<String> = stream::iter(first..first + missing)
            .map(|index| async move {
                let name = format!("{run}-{index}");
                let id = engine.create_container(&name, body).await.expect("created");
                engine.start_container(&id).await.expect("started");
                id
            })
            .buffer_unordered(RAW_AT_ONCE)
            .collect()
            .await;
        self.created += missing;
        let old: Vec<String> = self
            .containers
            .iter()
            .filter(|(_, v)| *v != version)
            .map(|(id, _)| id.clone())
            .collect();
        self.containers.retain(|(_, v)| *v == version);
        self.containers
            .extend(ids.into_iter().map(|id| (id, version)));
        self.drop_all(old).await;
    }

    async fn again(&mut self, _: usize, _: u32) {}

    async fn remove(&mut self) {
        let ids = std::mem::take(&mut self.containers);
        self.drop_all(ids.into_iter().map(|(id, _)| id).collect())
            .await;
        let _ = self.engine.remove_network(&self.run).await;
    }
}

impl Raw {
    /// What healing costs at least: one container more.
    pub async fn add_one(&mut self, version: u32) {
        let count = self.containers.len();
        self.set(count + 1, version).await;
    }
}

/// docker-compose, whichever is installed.
pub struct Compose {
    dir: tempfile::TempDir,
    run: String,
}

impl Compose {
    pub fn new(name: &str) -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary folder"),
            run: format!("bench{name}{}", std::process::id()),
        }
    }

    fn compose(&self, arguments: &[&str]) -> Result<(), String> {
        let file = self.dir.path().join("compose.yaml").display().to_string();
        let mut all = vec!["-p", &self.run, "-f", &file];
        all.extend(arguments);
        attempt("docker-compose", &all)
    }

    fn up(&self, count: usize, version: u32) {
        let run = &self.run;
        let text = format!(
            "version: '2.4'\nservices:\n  s:\n    image: '{IMAGE}'\n    command: [sleep, '100000']\n    mem_limit: 16m\n    \
             stop_grace_period: 1s\n    restart: always\n    labels: {{{RUN}: '{run}', {VERSION}: '{version}'}}\n"
        );
        std::fs::write(self.dir.path().join("compose.yaml"), text).expect("written");
        let scale = format!("s={count}");
        self.compose(&["up", "-d", "--scale", &scale]).expect("up");
    }
}

#[async_trait]
impl Tool for Compose {
    fn run(&self) -> &str {
        &self.run
    }

    async fn set(&mut self, count: usize, version: u32) {
        self.up(count, version);
    }

    async fn again(&mut self, count: usize, version: u32) {
        self.up(count, version);
    }

    async fn remove(&mut self) {
        let down = || self.compose(&["down", "-t", "1"]);
        // With 200 tasks it may come to the network before the engine has let go of their endpoints.
        if let Err(failure) = down() {
            eprintln!("  {failure}; once more");
            down().expect("down");
        }
    }
}

/// A Swarm service. The engine is a swarm of one while this exists.
pub struct Swarm {
    run: String,
    /// The version that it runs; none before it was created.
    version: Option<u32>,
}

impl Swarm {
    pub fn new(name: &str) -> Self {
        call(
            "docker",
            &["swarm", "init", "--advertise-addr", "127.0.0.1"],
        );
        Self {
            run: format!("bench-{name}-{}", std::process::id()),
            version: None,
        }
    }

    /// Whether this engine can be a swarm of one, and is not one already that belongs to somebody.
    pub fn is_possible() -> bool {
        let output = Command::new("docker")
            .args(["info", "--format", "{{.Swarm.LocalNodeState}}"])
            .output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == "inactive")
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["swarm", "leave", "--force"])
            .output();
    }
}

#[async_trait]
impl Tool for Swarm {
    fn run(&self) -> &str {
        &self.run
    }

    async fn set(&mut self, count: usize, version: u32) {
        let replicas = format!("--replicas={count}");
        let label = format!("{VERSION}={version}");
        match self.version.replace(version) {
            None => {
                let run = format!("{RUN}={}", self.run);
                let arguments = [
                    "service",
                    "create",
                    "--detach",
                    "--quiet",
                    "--name",
                    &self.run,
                    &replicas,
                    "--container-label",
                    &run,
                    "--container-label",
                    &label,
                    "--limit-memory",
                    "16m",
                    "--stop-grace-period",
                    "1s",
                    "--restart-delay",
                    "0s",
                    "--endpoint-mode",
                    "dnsrr",
                    "--update-parallelism",
                    "0",
                    "--update-order",
                    "start-first",
                    "--update-monitor",
                    "1s",
                    "--no-resolve-image",
                    IMAGE,
                    "sleep",
                    "100000",
                ];
                call("docker", &arguments);
            }
            Some(old) if old == version => {
                call(
                    "docker",
                    &[
                        "service", "update", "--detach", "--quiet", &replicas, &self.run,
                    ],
                );
            }
            Some(_) => {
                call(
                    "docker",
                    &[
                        "service",
                        "update",
                        "--detach",
                        "--quiet",
                        "--container-label-add",
                        &label,
                        &self.run,
                    ],
                );
            }
        }
    }

    async fn again(&mut self, count: usize, version: u32) {
        self.set(count, version).await;
    }

    async fn remove(&mut self) {
        call("docker", &["service", "rm", &self.run]);
    }
}
