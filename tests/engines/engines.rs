//! Several Docker Engines on this machine, by `engines.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use longshore::clock::{IdGen, RandomIds};
use longshore::engine::docker::{DockerEngine, Limits};
use longshore::engine::endpoint::Endpoint;

use crate::common;

/// Engines of a test's own, numbered from 1. Dropped, nothing of them is left; those of a test that was killed go when the next
/// ones are started.
pub struct Engines {
    dir: PathBuf,
}

impl Engines {
    /// Starts that many, with TLS those that `tls` names (`2,3`); `None`, said aloud, where that cannot be done (not with `CI=true`).
    pub fn up(count: u32, tls: &str) -> Option<Self> {
        if let Err(why) = possible() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "engines cannot be started, and with CI=true that is a failure: {why}"
            );
            eprintln!("not run: {why}");
            return None;
        }
        let all = std::env::temp_dir().join("longshore-engines");
        std::fs::create_dir_all(&all).expect("a folder");
        let engines = Self {
            dir: all.join(format!("{:08x}", RandomIds.bits() >> 32)),
        };
        engines.sh(&["up", &count.to_string(), tls]);
        Some(engines)
    }

    /// A command of the script.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/engines.sh");
        let mut command = Command::new(script);
        command
            .arg(&self.dir)
            .args(arguments)
            .env("ENGINES_OWNER", std::process::id().to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        command
    }

    /// Runs a command of the script to its end; returns what it prints.
    pub fn sh(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the script runs");
        assert!(output.status.success(), "engines.sh {arguments:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `tcp://ADDRESS:PORT` of an engine.
    pub fn address(&self, number: u32) -> String {
        self.sh(&["address", &number.to_string()])
    }

    /// The address of an engine's host.
    pub fn host(&self, number: u32) -> String {
        let address = self.address(number);
        let (host, _) = address["tcp://".len()..].split_once(':').expect("a port");
        host.to_owned()
    }

    pub fn socket(&self, number: u32) -> PathBuf {
        self.dir.join(number.to_string()).join("d.sock")
    }

    /// A client of an engine by its socket, which no cut concerns; the image of the tests is there.
    pub async fn client(&self, number: u32) -> Arc<DockerEngine> {
        let endpoint = Endpoint::Unix(self.socket(number));
        let engine = DockerEngine::connect(&endpoint, Limits::default()).await;
        let engine = Arc::new(engine.expect("the engine answers"));
        common::ensure_busybox(&*engine).await;
        engine
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for number in 1..=9 {
                let log = self.dir.join(format!("{number}/log"));
                let Ok(log) = std::fs::read_to_string(log) else {
                    break;
                };
                let lines: Vec<&str> = log.lines().rev().take(8).collect();
                eprintln!("engine {number}, newest first:\n{}", lines.join("\n"));
            }
            self.try_down();
        } else {
            self.sh(&["down"]);
        }
    }
}

impl Engines {
    fn try_down(&self) {
        let _ = self.command(&["down"]).status();
    }
}

/// Whether this process can start engines, and if not, why.
fn possible() -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    if !std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        return Err("engines of a test's own: only root can start them".to_owned());
    }
    for program in ["ip", "nsenter", "dockerd", "docker", "openssl"] {
        if !there_is(program) {
            return Err(format!(
                "engines of a test's own: there is no {program} on this machine"
            ));
        }
    }
    let name = format!("ls-probe-{:08x}", RandomIds.bits() >> 32);
    let made = Command::new("ip").args(["netns", "add", &name]).output();
    let _ = Command::new("ip").args(["netns", "del", &name]).output();
    match made {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "engines of a test's own: no network namespace can be made: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Err(format!("engines of a test's own: {error}")),
    }
}

/// Whether a program is on the path, or where Debian keeps those of the administrator.
pub fn there_is(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}
