//! Benchmarks on a real Docker Engine: figures of one run on one machine, beside those of raw engine calls and of other tools.
//!
//! `cargo bench --bench engine [-- SECTION…]`, sections `lifecycle`, `reaction`, `idle`, `validate`; `make bench` writes
//! docs/benchmarks.md. LONGSHORE_BENCH_ROUNDS is how often the tools take turns, 3 unless told. It needs the image `busybox:1.36.1` on the engine (`scripts/ensure-image.sh`); docker-compose and
//! check-jsonschema are compared with where they are installed, and Swarm where the engine is not in a swarm already.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod lifecycle;
mod measure;
mod quiet;
mod rig;
mod tools;
mod validate;
mod watch;

use std::sync::Arc;

use longshore::engine::docker::{DockerEngine, Limits};
use longshore::engine::endpoint::{ProcessEnvironment, resolve};
use longshore::model::EngineEndpoint;
use measure::Table;

/// What every container runs.
pub const IMAGE: &str = "busybox:1.36.1";

/// Tasks of the idle figures.
const IDLE_TASKS: usize = 200;

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let found = resolve(&EngineEndpoint::Local, &ProcessEnvironment).expect("an engine address");
    let engine = DockerEngine::connect(&found.endpoint, Limits::default())
        .await
        .expect("a Docker Engine answers");
    let engine = Arc::new(engine);
    assert!(
        lifecycle::nothing_left(),
        "containers of an earlier run are left: docker rm -f $(docker ps -aq --filter label={})",
        watch::RUN
    );
    let mut table = Table::default();
    if wants("lifecycle") {
        lifecycle::measure(&engine, &mut table).await;
    }
    if wants("reaction") || wants("idle") || wants("validate") {
        table.section("Longshore by itself", &["What", "Measured", "How"]);
    }
    if wants("reaction") {
        quiet::reaction(&engine, &mut table).await;
    }
    if wants("idle") {
        quiet::idle(&engine, &mut table, IDLE_TASKS).await;
    }
    if wants("validate") {
        validate::measure(&mut table);
    }
    println!("{}", table.text());
}
