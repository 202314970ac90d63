//! Benchmarks on a real Docker Engine: every figure is a ratio to raw engine calls, or a time, taken in this one run.
//!
//! `cargo bench --bench engine [-- SECTION…]`, sections `rollout`, `reaction`, `heal`, `validate`, `idle`; `make bench` writes
//! the table to docs/benchmarks.md. It needs the image `busybox:1.36.1` on the engine (`scripts/ensure-image.sh`).
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use longshore::engine::docker::{DockerEngine, Limits};
use longshore::engine::endpoint::{Endpoint, ProcessEnvironment, resolve};
use longshore::engine::{CreateBody, Engine, NetworkBody, labels};
use longshore::model::EngineEndpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

const IMAGE: &str = "busybox:1.36.1";
const TASKS: usize = 40;
const PAIRS: usize = 5;

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let engine = Arc::new(connect().await);
    let mut table = Table::default();
    if wants("rollout") {
        rollout(&engine, &mut table).await;
    }
    if wants("reaction") {
        reaction(&engine, &mut table).await;
    }
    if wants("heal") {
        heal(&engine, &mut table).await;
    }
    if wants("validate") {
        validate(&mut table);
    }
    if wants("idle") {
        idle(&engine, &mut table).await;
    }
    println!("{}", table.0);
}

/// Markdown rows: what, figure, how.
struct Table(String);

impl Default for Table {
    fn default() -> Self {
        Self("| What | Measured | How |\n|---|---|---|\n".to_owned())
    }
}

impl Table {
    fn row(&mut self, what: &str, measured: &str, how: &str) {
        eprintln!("{what}: {measured}");
        let _ = writeln!(self.0, "| {what} | {measured} | {how} |");
    }
}

async fn connect() -> DockerEngine {
    let found = resolve(&EngineEndpoint::Local, &ProcessEnvironment).expect("an engine address");
    DockerEngine::connect(&found.endpoint, Limits::default())
        .await
        .expect("a Docker Engine answers")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn now_ms() -> i64 {
    i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_millis(),
    )
    .expect("fits")
}

/// A folder of manifests, a state directory and a Longshore that follows it; all gone when dropped.
struct Rig {
    dir: tempfile::TempDir,
    cluster: String,
    child: Option<Child>,
    host: Option<String>,
}

impl Rig {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("m")).expect("a folder");
        let cluster = format!("bench-{name}-{}", std::process::id());
        let rig = Self {
            dir,
            cluster,
            child: None,
            host: None,
        };
        rig.write("cluster.yaml", &format!("apiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: {}}}\nspec: {{healthyAfterSeconds: 1}}\n", rig.cluster));
        rig
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("m")
    }

    /// Written beside and renamed over, as an editor or git does.
    fn write(&self, name: &str, text: &str) {
        let new = self.dir.path().join("new");
        fs::write(&new, text).expect("written");
        fs::rename(new, self.folder().join(name)).expect("renamed");
    }

    fn service(&self, count: usize) {
        self.write("service.yaml", &format!(
            "apiVersion: longshore/v1\nkind: TaskDefinition\nmetadata: {{name: t}}\nspec:\n  containerDefinitions:\n    - {{name: c, image: '{IMAGE}', command: [sleep, '100000'], memory: 16, stopTimeout: 1}}\n---\napiVersion: longshore/v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{cluster: {}, taskDefinition: t, desiredCount: {count}, deploymentConfiguration: {{minimumHealthyPercent: 0, maximumPercent: 200}}}}\n",
            self.cluster
        ));
    }

    fn command(&self, arguments: &[&str]) -> Command {
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

    fn start(&mut self) {
        let folder = self.folder();
        let child = self
            .command(&["run", &folder.display().to_string()])
            .spawn()
            .expect("longshore starts");
        self.child = Some(child);
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("started").id()
    }

    /// Waits until the running Longshore has brought this folder to a steady state.
    fn steady(&self) {
        let folder = self.folder();
        let status = self
            .command(&["apply", &folder.display().to_string(), "--timeout", "300"])
            .status()
            .expect("apply runs");
        assert!(status.success(), "not steady");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
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

async fn containers(
    engine: &DockerEngine,
    cluster: &str,
) -> Vec<longshore::engine::ObservedContainer> {
    let mine = [
        (labels::CLUSTER.to_owned(), cluster.to_owned()),
        (labels::TASK.to_owned(), String::new()),
    ];
    engine.list_containers(&mine).await.expect("a list")
}

/// When the last of `count` running containers started, once all of them run. Polls gently: the engine is the floor.
async fn last_start(engine: &DockerEngine, cluster: &str, count: usize) -> i64 {
    let mut events = engine.events(None).await.expect("events");
    loop {
        let _ = tokio::time::timeout(Duration::from_secs(5), async {
            let mut seen = 0;
            while seen < count {
                if let Some(Ok(event)) = events.next().await {
                    seen += usize::from(
                        event.action == "start"
                            && event
                                .attributes
                                .get(labels::CLUSTER)
                                .is_some_and(|c| c == cluster),
                    );
                }
            }
        })
        .await;
        let running: Vec<i64> = containers(engine, cluster)
            .await
            .into_iter()
            .filter(|c| c.pid > 0)
            .filter_map(|c| c.started_at)
            .map(longshore::model::Timestamp::as_millis)
            .collect();
        if running.len() >= count {
            return running.into_iter().max().expect("some");
        }
    }
}

/// The body that Longshore creates one of its tasks from, as near as the engine can tell it: read from a running task.
fn raw_body(container: &longshore::engine::ObservedContainer, network: &str) -> CreateBody {
    let mut body: CreateBody = serde_json::from_value(serde_json::json!({
        "Image": IMAGE,
        "Cmd": ["sleep", "100000"],
        "StopTimeout": 1,
        "HostConfig": {
            "NetworkMode": network,
            "CpuShares": 2,
            "Memory": 16 << 20,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            "RestartPolicy": {"Name": "no"},
        },
        "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": ["s"]}}},
    }))
    .expect("a body");
    body.labels = container.labels.clone();
    body.labels
        .insert(labels::CLUSTER.to_owned(), "bench-raw".to_owned());
    body.labels
        .insert(labels::OWNER.to_owned(), "bench-raw".to_owned());
    body
}

/// Creates and starts all bodies with so many calls at once; milliseconds to the last StartedAt.
async fn raw_run(engine: &DockerEngine, bodies: &[CreateBody], concurrency: usize) -> f64 {
    let begun = now_ms();
    let ids: Vec<String> = stream::iter(bodies.iter().enumerate())
        .map(|(index, body)| async move {
            let id = engine
                .create_container(&format!("bench-raw-{}-{index}", std::process::id()), body)
                .await
                .expect("created");
            engine.start_container(&id).await.expect("started");
            id
        })
        .buffer_unordered(concurrency)
        .collect()
        .await;
    let mut last = begun;
    for id in &ids {
        let seen = engine.inspect_container(id).await.expect("inspected");
        last = last.max(seen.started_at.expect("started").as_millis());
    }
    stream::iter(ids)
        .for_each_concurrent(4, |id| async move {
            let _ = engine.remove_container(&id).await;
        })
        .await;
    (last - begun) as f64
}

/// Waits until the containers of earlier tasks are removed: the raw calls must not share the engine with removals.
async fn quiet(engine: &DockerEngine, cluster: &str) {
    let mut last = usize::MAX;
    loop {
        let now = containers(engine, cluster).await.len();
        if now == last {
            return;
        }
        last = now;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn raw_network(engine: &DockerEngine) -> String {
    let name = format!("bench-raw-{}", std::process::id());
    let body = NetworkBody {
        name: name.clone(),
        driver: "bridge".to_owned(),
        ..NetworkBody::default()
    };
    engine.create_network(&body).await.expect("a network");
    name
}

async fn rollout(engine: &Arc<DockerEngine>, table: &mut Table) {
    let mut rig = Rig::new("rollout");
    rig.service(1);
    rig.start();
    rig.steady();
    let network = raw_network(engine).await;
    let sample = containers(engine, &rig.cluster).await.remove(0);
    let bodies: Vec<CreateBody> = (0..TASKS).map(|_| raw_body(&sample, &network)).collect();
    let _ = raw_run(engine, &bodies[..4], 4).await;
    let mut by_concurrency = BTreeMap::new();
    for concurrency in [2, 4, 8, 16] {
        by_concurrency.insert(concurrency, raw_run(engine, &bodies, concurrency).await);
    }
    let best = *by_concurrency
        .iter()
        .min_by(|a, b| a.1.total_cmp(b.1))
        .expect("some")
        .0;
    eprintln!("raw, by concurrency: {by_concurrency:?}; best {best}");

    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        rig.service(0);
        rig.steady();
        while !containers(engine, &rig.cluster)
            .await
            .iter()
            .all(|c| c.pid == 0)
        {}
        let begun = now_ms();
        rig.service(TASKS);
        let last = last_start(engine, &rig.cluster, TASKS).await;
        ours.push((last - begun) as f64);
        rig.service(0);
        rig.steady();
        quiet(engine, &rig.cluster).await;
        raw.push(raw_run(engine, &bodies, best).await);
        eprintln!("pair {pair}: ours {} ms, raw {} ms", ours[pair], raw[pair]);
    }
    let ratio = median(ours.iter().zip(&raw).map(|(o, r)| o / r).collect());
    table.row(
        &format!("{TASKS} one-container tasks, from the edit to the last StartedAt"),
        &format!("{:.2} s against {:.2} s raw: **{ratio:.2}×**", median(ours) / 1e3, median(raw) / 1e3),
        &format!("median of {PAIRS} alternating pairs; raw: the same create bodies, {best} calls at once (the best of 2, 4, 8, 16)"),
    );
    drop(rig);
    let _ = engine.remove_network(&network).await;
}

/// Passes everything between Longshore and the engine on, and notes when the first container is asked for.
async fn proxy(listen: PathBuf, to: PathBuf, first_create: Arc<AtomicI64>) {
    let listener = UnixListener::bind(listen).expect("a socket");
    while let Ok((client, _)) = listener.accept().await {
        let (to, first_create) = (to.clone(), Arc::clone(&first_create));
        tokio::spawn(async move {
            let Ok(server) = UnixStream::connect(to).await else {
                return;
            };
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let up = async {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(n) = from_client.read(&mut buffer).await {
                    if n == 0 {
                        break;
                    }
                    if buffer[..n].windows(18).any(|w| w == b"/containers/create") {
                        let _ = first_create.compare_exchange(
                            0,
                            micros(),
                            Ordering::SeqCst,
                            Ordering::SeqCst,
                        );
                    }
                    if to_server.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
                let _ = to_server.shutdown().await;
            };
            let down = async {
                let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                let _ = to_client.shutdown().await;
            };
            tokio::join!(up, down);
        });
    }
}

fn micros() -> i64 {
    i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_micros(),
    )
    .expect("fits")
}

async fn reaction(engine: &Arc<DockerEngine>, table: &mut Table) {
    let found = resolve(&EngineEndpoint::Local, &ProcessEnvironment).expect("an engine address");
    let Endpoint::Unix(path) = found.endpoint else {
        eprintln!("reaction: measured on a unix socket only");
        return;
    };
    let mut rig = Rig::new("reaction");
    let socket = rig.dir.path().join("d.sock");
    let first = Arc::new(AtomicI64::new(0));
    tokio::spawn(proxy(socket.clone(), path, Arc::clone(&first)));
    rig.host = Some(format!("unix://{}", socket.display()));
    rig.service(1);
    rig.start();
    rig.steady();
    let mut times = Vec::new();
    for count in 2..12 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        first.store(0, Ordering::SeqCst);
        let begun = micros();
        rig.service(count);
        let _ = last_start(engine, &rig.cluster, count).await;
        times.push((first.load(Ordering::SeqCst) - begun) as f64 / 1e3);
    }
    let worst = times.iter().copied().fold(0.0, f64::max);
    table.row(
        "From a finished write to the first engine call",
        &format!(
            "{:.1} ms median, {worst:.1} ms worst of {}",
            median(times.clone()),
            times.len()
        ),
        "file renamed into the folder; the call seen by a proxy before the engine's socket",
    );
}

async fn heal(engine: &Arc<DockerEngine>, table: &mut Table) {
    let mut rig = Rig::new("heal");
    rig.service(3);
    rig.start();
    rig.steady();
    let network = raw_network(engine).await;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        // Healthy again, so that the replacement is not held back by the throttle.
        rig.steady();
        let running: Vec<_> = containers(engine, &rig.cluster)
            .await
            .into_iter()
            .filter(|c| c.pid > 0)
            .collect();
        let victim = running.first().expect("a running task");
        let body = raw_body(victim, &network);
        raw.push(raw_run(engine, &[body], 1).await);
        let known: Vec<String> = running.iter().map(|c| c.id.clone()).collect();
        let begun = now_ms();
        Command::new("kill")
            .args(["-9", &victim.pid.to_string()])
            .status()
            .expect("kill runs");
        let started = loop {
            let fresh = containers(engine, &rig.cluster)
                .await
                .into_iter()
                .find(|c| c.pid > 0 && !known.contains(&c.id))
                .and_then(|c| c.started_at);
            if let Some(at) = fresh {
                break at.as_millis();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        ours.push((started - begun) as f64);
    }
    let ratio = median(ours.iter().zip(&raw).map(|(o, r)| o / r).collect());
    table.row(
        "Heal: from the kill of a container to its replacement's StartedAt",
        &format!(
            "{:.0} ms against {:.0} ms raw create+start: **{ratio:.2}×**",
            median(ours),
            median(raw)
        ),
        "median of 7, `kill -9` of the container's process",
    );
    drop(rig);
    let _ = engine.remove_network(&network).await;
}

fn validate(table: &mut Table) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/web.yaml");
    let text = fs::read_to_string(example).expect("the example");
    for n in 0..1000 {
        let text = text
            .replace(
                "metadata:\n  name: web\n",
                &format!("metadata:\n  name: web-{n}\n"),
            )
            .replace("taskDefinition: web", &format!("taskDefinition: web-{n}"));
        fs::write(dir.path().join(format!("web-{n}.yaml")), text).expect("written");
    }
    let mut times = Vec::new();
    for _ in 0..7 {
        let begun = Instant::now();
        let status = Command::new(env!("CARGO_BIN_EXE_longshore"))
            .arg("validate")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("validate runs");
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        assert!(status.success(), "the files are valid");
    }
    table.row(
        "`validate` of 1,000 files (2,000 documents)",
        &format!("{:.0} ms", median(times)),
        "median of 7, process start included",
    );
}

/// CPU time of a process in clock ticks, and its resident memory in KiB.
fn usage(pid: u32) -> (u64, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .expect("fields")
        .split_whitespace()
        .collect();
    let ticks =
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let rss = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .and_then(|l| l.split_whitespace().next()?.parse().ok())
        .expect("VmRSS");
    (ticks, rss)
}

async fn idle(engine: &Arc<DockerEngine>, table: &mut Table) {
    let mut rig = Rig::new("idle");
    rig.service(50);
    rig.start();
    rig.steady();
    assert_eq!(
        containers(engine, &rig.cluster)
            .await
            .iter()
            .filter(|c| c.pid > 0)
            .count(),
        50
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before, _) = usage(rig.pid());
    let seconds = 60;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (after, rss) = usage(rig.pid());
    // A clock tick is 10 ms on every Linux that Docker runs on.
    let percent = (after - before) as f64 / seconds as f64;
    table.row(
        "Idle, 50 tasks",
        &format!(
            "{percent:.2} % of one CPU, {:.1} MiB resident",
            rss as f64 / 1024.0
        ),
        &format!("over {seconds} s, /proc/PID/stat and VmRSS"),
    );
}
