//! Two Longshores on one store in etcd, on copies of one folder, and a real Docker Engine: one leads, and whatever becomes of it the
//! other takes over, with nothing done twice, nothing left over and nothing touched that need not be.
//!
//! etcd, the cluster and everything on the engine are each test's own, and go with it however it ends.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/etcd.rs"]
mod etcd;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use longshore::clock::{IdGen, RandomIds};
use longshore::engine::docker::DockerEngine;
use longshore::engine::{ContainerState, Engine, ObservedContainer, labels};
use serde_json::Value;

use etcd::Server;

/// How long anything may take before a test fails; the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    dir: tempfile::TempDir,
    cluster: String,
    engine: Arc<DockerEngine>,
    etcd: Server,
    running: BTreeMap<&'static str, Child>,
}

impl World {
    /// Two copies of a folder with nothing but its cluster; `None` where no engine or no etcd is.
    async fn new(name: &str) -> Option<Self> {
        let engine = common::docker().await?;
        let etcd = Server::start()?;
        let world = Self {
            dir: tempfile::tempdir().expect("a directory"),
            cluster: format!("two-{name}-{:08x}", RandomIds.bits() >> 32),
            engine,
            etcd,
            running: BTreeMap::new(),
        };
        for member in ["a", "b"] {
            std::fs::create_dir_all(world.folder(member)).expect("a folder");
        }
        let cluster = &world.cluster;
        world.write(
            &["a", "b"],
            "cluster.yaml",
            &format!(
                "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: {cluster}}}\nspec: {{healthyAfterSeconds: 1}}\n"
            ),
        );
        Some(world)
    }

    fn folder(&self, member: &str) -> PathBuf {
        self.dir.path().join(member).join("manifests")
    }

    fn write(&self, members: &[&str], name: &str, text: &str) {
        for member in members {
            let new = self.dir.path().join("unfinished");
            std::fs::write(&new, text).expect("written");
            std::fs::rename(new, self.folder(member).join(name)).expect("renamed");
        }
    }

    fn service(&self, members: &[&str], name: &str, version: &str, count: u32) {
        let (cluster, image) = (&self.cluster, common::IMAGE);
        let text = format!(
            "apiVersion: longshore/v1
kind: TaskDefinition
metadata: {{name: {name}}}
spec:
  networkMode: bridge
  containerDefinitions:
    - name: main
      image: '{image}'
      entryPoint: [sh, -c]
      command: ['trap \"exit 0\" TERM; sleep 100000 & wait']
      environment: [{{name: VERSION, value: '{version}'}}]
      memory: 32
      stopTimeout: 2
---
apiVersion: longshore/v1
kind: Service
metadata: {{name: {name}}}
spec: {{cluster: {cluster}, taskDefinition: {name}, desiredCount: {count}}}
"
        );
        self.write(members, &format!("{name}.yaml"), &text);
    }

    fn command(&self, member: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        let home = self.dir.path().join(member);
        command
            .arg("--store")
            .arg(format!("etcd://{}/{}", self.etcd.endpoint(), self.cluster))
            .arg("--state-dir")
            .arg(home.join("state"))
            .arg("--socket")
            .arg(home.join("s.sock"))
            .stdin(Stdio::null());
        command
    }

    fn start(&mut self, member: &'static str) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join(member).join("log"))
            .expect("a log");
        let child = self
            .command(member)
            .arg("run")
            .arg(self.folder(member))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("longshore starts");
        self.running.insert(member, child);
    }

    fn log(&self, member: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(member).join("log")).unwrap_or_default()
    }

    fn logs(&self) -> String {
        format!("--- a\n{}--- b\n{}", self.log("a"), self.log("b"))
    }

    fn signal(&self, member: &str, signal: &str) {
        let pid = self.running[member].id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// `kill -9`
    fn kill(&mut self, member: &str) {
        let mut child = self.running.remove(member).expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("reaped");
    }

    fn run(&self, member: &str, arguments: &[&str]) -> Output {
        self.command(member)
            .args(arguments)
            .output()
            .expect("longshore runs")
    }

    fn json(&self, member: &str, arguments: &[&str]) -> Option<Value> {
        let output = self.run(member, arguments);
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Whether that one has the lead, by what it said last about it.
    fn leads(&self, member: &str) -> bool {
        let log = self.log(member);
        let last = log
            .lines()
            .rfind(|line| line.contains(" leading etcd://") || line.contains("standing by: "));
        last.is_some_and(|line| line.contains(" leading etcd://"))
    }

    async fn containers(&self) -> Vec<ObservedContainer> {
        let mine = [
            (labels::CLUSTER.to_owned(), self.cluster.clone()),
            (labels::TASK.to_owned(), String::new()),
        ];
        self.engine.list_containers(&mine).await.expect("a list")
    }

    /// Ids of the running containers of a service, with the value of VERSION that its revision stands for.
    async fn ids(&self, service: &str) -> Vec<String> {
        let mut ids: Vec<String> = self
            .containers()
            .await
            .into_iter()
            .filter(|c| c.state == ContainerState::Running)
            .filter(|c| c.labels.get(labels::SERVICE).is_some_and(|s| s == service))
            .filter(|c| !c.labels[labels::CONTAINER].starts_with('~'))
            .map(|c| c.id)
            .collect();
        ids.sort();
        ids
    }

    async fn revisions(&self, service: &str) -> Vec<String> {
        let mut found: Vec<String> = self
            .containers()
            .await
            .into_iter()
            .filter(|c| c.state == ContainerState::Running)
            .filter(|c| c.labels.get(labels::SERVICE).is_some_and(|s| s == service))
            .map(|c| c.labels[labels::REVISION].clone())
            .collect();
        found.sort();
        found
    }

    /// Whether the one that answers there says that every service runs so many tasks and is steady.
    fn is_steady(&self, member: &str, counts: &[(&str, u64)]) -> bool {
        let Some(Value::Array(services)) = self
            .json(member, &["get", "services", "-o", "json"])
            .map(|mut v| v["services"].take())
        else {
            return false;
        };
        counts.iter().all(|(name, count)| {
            services.iter().any(|service| {
                service["serviceName"] == *name
                    && service["runningCount"] == *count
                    && service["desiredCount"] == *count
                    && service["deployments"]
                        .as_array()
                        .is_some_and(|d| d.len() == 1)
                    && service["deployments"][0]["rolloutState"] == "COMPLETED"
            })
        })
    }

    async fn until(&self, what: &str, mut enough: impl AsyncFnMut(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !enough(self).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "waited in vain until {what}\n{}",
            self.logs()
        );
    }

    /// Starts both, the first one leading, and waits for the services.
    async fn both(&mut self, counts: &[(&str, u64)]) {
        self.start("a");
        self.until("a leads", async |w: &Self| w.leads("a")).await;
        self.start("b");
        self.until("b stands by", async |w: &Self| {
            w.log("b").contains("standing by: ")
        })
        .await;
        self.until("steady", async |w: &Self| w.is_steady("a", counts))
            .await;
    }

    /// Every running container is of a task that the store knows, and none of them is there twice.
    async fn nothing_twice_and_nothing_left(&self, member: &str) {
        let known = self.run(member, &["get", "tasks", "-o", "json"]);
        let known = String::from_utf8_lossy(&known.stdout).into_owned();
        let mut seen = BTreeMap::new();
        for container in self.containers().await {
            if container.state != ContainerState::Running {
                continue;
            }
            let task = container.labels[labels::TASK].clone();
            assert!(known.contains(&task), "{task} is nobody's\n{}", self.logs());
            *seen
                .entry((task, container.labels[labels::CONTAINER].clone()))
                .or_insert(0) += 1;
        }
        assert!(seen.values().all(|count| *count == 1), "{seen:?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let label = format!("label={}={}", labels::CLUSTER, self.cluster);
        for (list, remove) in [
            (["ps", "-aq"].as_slice(), ["rm", "-f"].as_slice()),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        ] {
            let found = Command::new("docker")
                .args(list)
                .args(["--filter", &label])
                .output();
            let found = found.map(|f| String::from_utf8_lossy(&f.stdout).into_owned());
            let found = found.unwrap_or_default();
            if !found.trim().is_empty() {
                let _ = Command::new("docker")
                    .args(remove)
                    .args(found.split_whitespace())
                    .output();
            }
        }
    }
}

#[tokio::test]
async fn a_leader_killed_in_the_middle_of_a_rollout_is_followed_by_the_one_that_stood_by() {
    let Some(mut world) = World::new("kill").await else {
        return;
    };
    world.service(&["a", "b"], "web", "1", 4);
    world.service(&["a", "b"], "still", "1", 2);
    world.both(&[("web", 4), ("still", 2)]).await;
    let (web, still) = (world.ids("web").await, world.ids("still").await);
    let status = world.run("b", &["get", "services"]);
    let said = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(
        said.contains("standing by: process ") && said.contains(" leads since "),
        "{said}"
    );
    assert!(
        String::from_utf8_lossy(&status.stdout).contains("still"),
        "it shows the state"
    );
    let stopped = world.run("b", &["down"]);
    assert_ne!(
        stopped.status.code(),
        Some(0),
        "who stands by changes nothing"
    );

    world.service(&["a", "b"], "web", "2", 4);
    world
        .until("the rollout is under way", async |w: &World| {
            w.ids("web").await.iter().any(|id| !web.contains(id))
        })
        .await;
    world.kill("a");
    world.until("b leads", async |w: &World| w.leads("b")).await;
    world
        .until("the rollout is finished", async |w: &World| {
            w.is_steady("b", &[("web", 4), ("still", 2)]) && w.revisions("web").await == ["2"; 4]
        })
        .await;
    assert_eq!(
        world.ids("still").await,
        still,
        "a steady service is not touched"
    );
    assert!(world.ids("web").await.iter().all(|id| !web.contains(id)));
    world.nothing_twice_and_nothing_left("b").await;

    // An orderly end gives the lead up at once, and everything of the other is as it was.
    let web = world.ids("web").await;
    world.start("a");
    world
        .until("a stands by", async |w: &World| {
            w.log("a").contains("standing by: ")
        })
        .await;
    world.signal("b", "-TERM");
    world
        .until("a leads again", async |w: &World| w.leads("a"))
        .await;
    world
        .until("steady", async |w: &World| {
            w.is_steady("a", &[("web", 4), ("still", 2)])
        })
        .await;
    assert_eq!(
        (world.ids("web").await, world.ids("still").await),
        (web, still)
    );
}

#[tokio::test]
async fn a_leader_that_is_held_up_is_replaced_and_harms_nothing_when_it_wakes_up() {
    let Some(mut world) = World::new("stop").await else {
        return;
    };
    world.service(&["a", "b"], "web", "1", 3);
    world.both(&[("web", 3)]).await;
    world.signal("a", "-STOP");
    world.until("b leads", async |w: &World| w.leads("b")).await;
    // The folder goes on, and with it the new leader; the old one has the old copy before its eyes.
    world.service(&["b"], "web", "2", 2);
    world
        .until("b works", async |w: &World| {
            w.is_steady("b", &[("web", 2)]) && w.revisions("web").await == ["2"; 2]
        })
        .await;
    let ids = world.ids("web").await;
    world.signal("a", "-CONT");
    world
        .until("a stands by", async |w: &World| {
            w.log("a").contains("standing down") && !w.leads("a")
        })
        .await;
    assert!(world.leads("b"), "it goes on\n{}", world.logs());
    assert_eq!(world.ids("web").await, ids);
    world.nothing_twice_and_nothing_left("b").await;

    // The copy of the one that was held up is behind: it does not go back to that when it leads again.
    world.kill("b");
    world.until("a leads", async |w: &World| w.leads("a")).await;
    world
        .until("a says that its copy is behind", async |w: &World| {
            w.log("a")
                .contains("this copy of the folder is as it was applied")
        })
        .await;
    assert!(world.is_steady("a", &[("web", 2)]), "{}", world.logs());
    assert_eq!(world.ids("web").await, ids);
    // It follows what is new.
    world.service(&["a"], "web", "3", 2);
    world
        .until("a follows its copy", async |w: &World| {
            w.revisions("web").await == ["3"; 2]
        })
        .await;
}

#[tokio::test]
async fn while_etcd_is_away_nothing_is_removed_and_it_goes_on_when_etcd_is_back_or_compacted() {
    let Some(mut world) = World::new("away").await else {
        return;
    };
    world.service(&["a", "b"], "web", "1", 2);
    world.both(&[("web", 2)]).await;
    let ids = world.ids("web").await;
    world.etcd.kill();
    world.service(&["a", "b"], "web", "1", 3);
    world
        .until("the leader has noticed", async |w: &World| {
            w.log("a").contains("Tasks are kept as they are")
        })
        .await;
    // For longer than a session lasts.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(world.ids("web").await, ids);
    world.etcd.start_again();
    world
        .until("it goes on", async |w: &World| {
            w.is_steady("a", &[("web", 3)]) || w.is_steady("b", &[("web", 3)])
        })
        .await;
    let now = world.ids("web").await;
    assert!(
        ids.iter().all(|id| now.contains(id)) && now.len() == 3,
        "{ids:?} {now:?}"
    );

    // All of its history gone, under everybody who watches.
    let answer = world.etcd.post("kv/range", r#"{"key":"AA=="}"#);
    let revision = answer
        .split("\"revision\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let revision = revision.expect("a revision").to_owned();
    let compacted = world.etcd.post(
        "kv/compaction",
        &format!(r#"{{"revision":"{revision}","physical":true}}"#),
    );
    assert!(compacted.starts_with("HTTP/1.1 200"), "{compacted}");
    world.service(&["a", "b"], "web", "1", 4);
    world
        .until("it follows the folder", async |w: &World| {
            w.ids("web").await.len() == 4
        })
        .await;
    assert!(now.iter().all(|id| !id.is_empty()));
}

#[tokio::test]
async fn apply_needs_the_lead_another_folder_is_refused_and_plan_and_state_only_look() {
    let Some(mut world) = World::new("apply").await else {
        return;
    };
    world.service(&["a", "b"], "web", "1", 1);
    let folder = world.folder("a").display().to_string();
    let applied = world.run("a", &["apply", &folder]);
    assert_eq!(
        applied.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&applied.stderr)
    );
    let ids = world.ids("web").await;

    let other = world.dir.path().join("other/manifests");
    std::fs::create_dir_all(&other).expect("a folder");
    std::fs::write(
        other.join("m.yaml"),
        "apiVersion: longshore/v1\nkind: TaskDefinition\nmetadata: {name: job}\nspec: {containerDefinitions: [{name: m, image: i, memory: 8}]}\n",
    )
    .expect("written");
    let other = other.display().to_string();
    let refused = world.run("b", &["apply", &other]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("--take-over"), "{said}");

    world.start("a");
    world.until("a leads", async |w: &World| w.leads("a")).await;
    let copy = world.folder("b").display().to_string();
    let refused = world.run("b", &["apply", &copy]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("leads this store since"), "{said}");

    world.service(&["b"], "web", "1", 2);
    let planned = world.run("b", &["plan", &copy]);
    let plan = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(plan.contains("start"), "{plan}");
    let dump = world
        .json("b", &["state", "dump", "--dir", &copy])
        .expect("a dump");
    assert!(
        dump["items"]["meta"]["value"]["owner"].is_string(),
        "{dump}"
    );
    assert!(!dump.to_string().contains("endpoint-key"));
    let backup = world.dir.path().join("backup").display().to_string();
    let backed_up = world.run("b", &["state", "backup", "--dir", &copy, &backup]);
    assert_eq!(
        backed_up.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&backed_up.stderr)
    );
    let from_backup = longshore::store::redb::dump(std::path::Path::new(&backup)).expect("a store");
    assert_eq!(from_backup["items"]["meta"], dump["items"]["meta"]);
    assert_eq!(world.ids("web").await, ids);
    world.signal("a", "-TERM");
    world
        .running
        .remove("a")
        .expect("it runs")
        .wait()
        .expect("it ends");
    let removed = world.run("a", &["down", &folder]);
    assert_eq!(
        removed.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&removed.stderr)
    );
    assert!(world.containers().await.is_empty());
}
