//! What Longshore costs by itself: how fast it reacts, what it takes when there is nothing to do.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use longshore::engine::docker::DockerEngine;
use longshore::engine::endpoint::{Endpoint, ProcessEnvironment, resolve};
use longshore::model::EngineEndpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::measure::{Table, median, now_micros, quantile, usage};
use super::rig::Rig;
use super::watch::Watch;

/// Edits whose first call is waited for.
const EDITS: usize = 60;
/// Seconds over which idling is measured.
const IDLE: u64 = 60;

/// What went through to the engine.
#[derive(Default)]
struct Traffic {
    /// When the first call since the last reset changed a container, in microseconds; 0: none has.
    first_change: AtomicI64,
    /// Requests of any kind.
    requests: AtomicU64,
}

/// Passes everything between Longshore and the engine on, and counts.
async fn proxy(listen: PathBuf, to: PathBuf, traffic: Arc<Traffic>) {
    let listener = UnixListener::bind(listen).expect("a socket");
    while let Ok((client, _)) = listener.accept().await {
        let (to, traffic) = (to.clone(), Arc::clone(&traffic));
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
                    note(&buffer[..n], &traffic);
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

fn note(bytes: &[u8], traffic: &Traffic) {
    let has = |part: &[u8]| bytes.windows(part.len()).any(|w| w == part);
    if has(b" HTTP/1.1\r\n") {
        traffic.requests.fetch_add(1, Ordering::Relaxed);
    }
    if bytes.starts_with(b"POST ") && (has(b"/containers/create") || has(b"/stop")) {
        let _ = traffic.first_change.compare_exchange(
            0,
            now_micros(),
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
    }
}

/// A Longshore behind the proxy.
fn behind_proxy(name: &str) -> Option<(Rig, Arc<Traffic>)> {
    let found = resolve(&EngineEndpoint::Local, &ProcessEnvironment).expect("an engine address");
    let Endpoint::Unix(path) = found.endpoint else {
        eprintln!("{name}: measured on a unix socket only");
        return None;
    };
    let mut rig = Rig::new(name);
    let socket = rig.dir.path().join("d.sock");
    let traffic = Arc::new(Traffic::default());
    tokio::spawn(proxy(socket.clone(), path, Arc::clone(&traffic)));
    rig.host = Some(format!("unix://{}", socket.display()));
    Some((rig, traffic))
}

/// From a finished write to the first call that changes something.
pub async fn reaction(engine: &Arc<DockerEngine>, table: &mut Table) {
    let Some((mut rig, traffic)) = behind_proxy("reaction") else {
        return;
    };
    let mut watch = Watch::begin(engine, &rig.cluster).await;
    rig.service(1, 1);
    rig.start();
    watch.until_run(1, 1).await;
    let mut times = Vec::new();
    for edit in 0..EDITS {
        rig.steady();
        let count = 2 - edit % 2;
        traffic.first_change.store(0, Ordering::SeqCst);
        let begun = now_micros();
        rig.service(count, 1);
        watch.until_run(count, 1).await;
        times.push((traffic.first_change.load(Ordering::SeqCst) - begun) as f64 / 1e3);
    }
    table.row(&[
        "From a finished write to the first changing engine call".to_owned(),
        format!(
            "{:.1} ms p50, {:.1} ms p99",
            median(&times),
            quantile(&times, 0.99)
        ),
        format!("{EDITS} edits of desiredCount, renamed into the folder; the call seen by a proxy before the engine's socket"),
    ]);
}

/// CPU, memory and calls while nothing happens.
pub async fn idle(engine: &Arc<DockerEngine>, table: &mut Table, tasks: usize) {
    let Some((mut rig, traffic)) = behind_proxy("idle") else {
        return;
    };
    let mut watch = Watch::begin(engine, &rig.cluster).await;
    rig.start();
    rig.service(tasks, 1);
    watch.until_run(tasks, 1).await;
    rig.steady();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before, _) = usage(rig.pid());
    let requests = traffic.requests.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(IDLE)).await;
    let (after, rss) = usage(rig.pid());
    let calls = traffic.requests.load(Ordering::Relaxed) - requests;
    // A clock tick is 10 ms on every Linux that Docker runs on.
    let percent = (after - before) as f64 / IDLE as f64;
    table.row(&[
        format!("Idle, {tasks} tasks"),
        format!(
            "{percent:.2} % of one CPU, {:.1} MiB resident, {calls} engine calls a minute",
            rss as f64 / 1024.0
        ),
        format!("over {IDLE} s, /proc/PID/stat and VmRSS, calls by the proxy"),
    ]);
}
