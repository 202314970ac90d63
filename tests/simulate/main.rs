//! `longshore simulate`, as a user runs it: what it prints, what it finds, and how it ends. No engine is needed.

use std::path::Path;
use std::process::Command;

mod faults;
mod scenarios;
mod texts;

/// A directory with folders of manifests.
pub struct Home(tempfile::TempDir);

/// How a command ended.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The report, of `-o json`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out, self.err))
    }

    /// Ended with that code; else everything is shown.
    #[track_caller]
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }
}

impl Home {
    pub fn empty() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A home with this in `manifests/all.yaml`.
    pub fn of(text: &str) -> Self {
        let home = Self::empty();
        home.write("manifests/all.yaml", text);
        home
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    /// `longshore simulate` with these arguments, without an engine, a state or a socket.
    pub fn simulate(&self, arguments: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_longshore"))
            .arg("simulate")
            .args(arguments)
            .current_dir(self.path())
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .env("LONGSHORE_STATE_DIR", "/nonexistent/state")
            .env("LONGSHORE_SOCKET", "/nonexistent/socket")
            .output()
            .expect("it runs");
        Ended {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same with this scenario, and the report as JSON.
    pub fn play(&self, scenario: &str) -> Ended {
        self.write("scenario.yaml", scenario);
        self.simulate(&["--scenario", "scenario.yaml", "-o", "json"])
    }
}

/// Two instances, and a service of so many tasks.
pub fn web(tasks: u32, image: &str, more: &str) -> String {
    format!(
        "apiVersion: longshore/v1
kind: Cluster
metadata: {{name: default}}
spec:
  healthyAfterSeconds: 5
  containerInstances:
  - {{name: a, endpoint: 'tcp://a.example:2375'}}
  - {{name: b, endpoint: 'tcp://b.example:2375'}}
---
apiVersion: longshore/v1
kind: TaskDefinition
metadata: {{name: web}}
spec:
  containerDefinitions:
  - name: app
    image: {image}
    memory: 256
    stopTimeout: 5
    healthCheck: {{command: [CMD-SHELL, 'curl -f http://localhost/'], interval: 5, retries: 2}}
---
apiVersion: longshore/v1
kind: Service
metadata: {{name: web}}
spec:
  taskDefinition: web
  desiredCount: {tasks}
{more}"
    )
}

/// One service of a report.
pub fn service<'a>(report: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let all = report["services"].as_array().expect("services");
    all.iter()
        .find(|service| service["name"] == name)
        .unwrap_or_else(|| panic!("no service {name} in {report:#}"))
}

/// The kinds of the findings that nobody expected.
pub fn findings(report: &serde_json::Value) -> Vec<&str> {
    let all = report["findings"].as_array().expect("findings");
    all.iter()
        .filter(|finding| finding["expected"] != true)
        .filter_map(|finding| finding["kind"].as_str())
        .collect()
}
