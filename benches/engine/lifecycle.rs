//! Up, again, more, over, heal, down: the same of every tool, in turns.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore::engine::docker::DockerEngine;

use super::measure::{Table, median, now_nanos, seconds};
use super::tools::{Compose, Longshore, Raw, Swarm, Tool, is_there};
use super::watch::{RUN, Watch};

/// Rounds; each has every tool once.
const ROUNDS: usize = 3;

/// What is compared, in the order in which it is written.
const WHO: [&str; 4] = ["raw calls", "Longshore", "docker-compose", "Swarm"];

/// Seconds by what was done and by whom.
#[derive(Default)]
struct Figures(BTreeMap<(&'static str, &'static str), Vec<f64>>);

impl Figures {
    fn add(&mut self, what: &'static str, who: &'static str, seconds: f64) {
        eprintln!("  {what}, {who}: {seconds:.3} s");
        self.0.entry((what, who)).or_default().push(seconds);
    }

    fn of(&self, what: &'static str, who: &'static str) -> Option<f64> {
        self.0.get(&(what, who)).map(|all| median(all))
    }

    fn row(&self, table: &mut Table, what: &'static str) {
        let ours = self.of(what, "Longshore");
        let cell = |who: &'static str| match (self.of(what, who), ours) {
            (None, _) => "–".to_owned(),
            (Some(theirs), Some(ours)) if who != "Longshore" => {
                format!("{theirs:.2} s ({:.2}×)", ours / theirs)
            }
            (Some(seconds), _) => format!("**{seconds:.2} s**"),
        };
        let mut cells = vec![what.to_owned()];
        cells.extend(WHO.map(cell));
        table.row(&cells);
    }
}

/// Which tools are there.
fn tools(engine: &Arc<DockerEngine>, name: &str, who: &str) -> Option<Box<dyn Tool>> {
    match who {
        "raw calls" => Some(Box::new(Raw::new(engine, name))),
        "Longshore" => Some(Box::new(Longshore::new(name))),
        "docker-compose" if is_there("docker-compose", &["version"]) => {
            Some(Box::new(Compose::new(name)))
        }
        "Swarm" if Swarm::is_possible() => Some(Box::new(Swarm::new(name))),
        _ => None,
    }
}

/// Everything that is done with a service, by every tool.
pub async fn measure(engine: &Arc<DockerEngine>, table: &mut Table) {
    let mut figures = Figures::default();
    let rounds = std::env::var("LONGSHORE_BENCH_ROUNDS")
        .map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"));
    for round in 0..rounds {
        for who in WHO {
            eprintln!("round {}: {who}", round + 1);
            for (count, up, again, down) in [
                (40, "40 tasks up", "", "40 tasks down"),
                (
                    200,
                    "200 tasks up",
                    "the same 200 once more",
                    "200 tasks down",
                ),
            ] {
                up_and_down(engine, &mut figures, who, count, (up, again, down)).await;
            }
            changes(engine, &mut figures, who).await;
        }
    }
    let mut columns = vec!["What"];
    columns.extend(WHO);
    table.section("One service, from nothing to nothing", &columns);
    for what in [
        "40 tasks up",
        "200 tasks up",
        "the same 200 once more",
        "10 to 40 tasks",
        "20 tasks to a new version",
        "one task healed",
        "40 tasks down",
        "200 tasks down",
    ] {
        figures.row(table, what);
    }
    table.note(&format!(
        "Medians of {rounds} rounds, all tools in each, by the engine's own events; in brackets, Longshore's time over theirs. *Up* \
         ends with the last start, *a new version* when the last old one has ended, *healed* (after `kill -9`) with the \
         replacement's start, *down* with the last removal. Raw calls have eight under way at once. Longshore is running and its \
         folder is edited; Compose and Swarm are commanded. Compose restarts a killed container in place (restart: always) and \
         stops a container before it starts its successor; Swarm is set to start first, all at once, with no restart delay."
    ));
}

async fn up_and_down(
    engine: &Arc<DockerEngine>,
    figures: &mut Figures,
    who: &'static str,
    count: usize,
    (up, again, down): (&'static str, &'static str, &'static str),
) {
    let Some(mut tool) = tools(engine, &format!("up{count}"), who) else {
        return;
    };
    let mut watch = Watch::begin(engine, tool.run()).await;
    let begun = now_nanos();
    tool.set(count, 1).await;
    let done = watch.until_run(count, 1).await;
    figures.add(up, who, seconds(begun, done));
    watch.until_quiet(Duration::from_secs(3)).await;
    if !again.is_empty() && who != "raw calls" && who != "Swarm" {
        let before = watch.changes;
        let begun = Instant::now();
        tool.again(count, 1).await;
        let took = begun.elapsed().as_secs_f64();
        watch.until_quiet(Duration::from_secs(1)).await;
        assert_eq!(watch.changes, before, "{who} changed something");
        figures.add(again, who, took);
    }
    let begun = now_nanos();
    tool.remove().await;
    // What is removed may have been told already.
    let done = match watch.existing.is_empty() {
        true => now_nanos(),
        false => {
            watch
                .until("its end", |seen| seen.existing.is_empty())
                .await
        }
    };
    figures.add(down, who, seconds(begun, done));
}

async fn changes(engine: &Arc<DockerEngine>, figures: &mut Figures, who: &'static str) {
    let Some(mut tool) = tools(engine, "change", who) else {
        return;
    };
    let mut watch = Watch::begin(engine, tool.run()).await;
    tool.set(10, 1).await;
    watch.until_run(10, 1).await;
    watch.until_quiet(Duration::from_secs(3)).await;

    let begun = now_nanos();
    tool.set(40, 1).await;
    let done = watch.until_run(40, 1).await;
    figures.add("10 to 40 tasks", who, seconds(begun, done));
    watch.until_quiet(Duration::from_secs(3)).await;

    tool.set(20, 1).await;
    if who != "raw calls" {
        watch.until_run(20, 1).await;
        watch.until_quiet(Duration::from_secs(3)).await;
        let begun = now_nanos();
        tool.set(20, 2).await;
        let done = watch.until_run(20, 2).await;
        figures.add("20 tasks to a new version", who, seconds(begun, done));
        watch.until_quiet(Duration::from_secs(3)).await;
        let (begun, done) = heal(&mut watch).await;
        figures.add("one task healed", who, seconds(begun, done));
    }
    tool.remove().await;
    if who == "raw calls" {
        raw_changes(engine, figures).await;
    }
}

/// The floor of a new version and of healing.
async fn raw_changes(engine: &Arc<DockerEngine>, figures: &mut Figures) {
    let mut raw = Raw::new(engine, "rawchange");
    let mut watch = Watch::begin(engine, raw.run()).await;
    raw.set(20, 1).await;
    watch.until_run(20, 1).await;
    let begun = now_nanos();
    raw.set(20, 2).await;
    let done = watch.until_run(20, 2).await;
    figures.add(
        "20 tasks to a new version",
        "raw calls",
        seconds(begun, done),
    );
    let begun = now_nanos();
    raw.add_one(2).await;
    let done = watch.until_run(21, 2).await;
    figures.add("one task healed", "raw calls", seconds(begun, done));
    raw.remove().await;
}

/// Kills one container; when, and when there were as many again.
async fn heal(watch: &mut Watch) -> (i64, i64) {
    let count = watch.running.len();
    let victim = watch.running.keys().next().expect("one runs").clone();
    let output = Command::new("docker")
        .args(["inspect", "--format", "{{.State.Pid}}", &victim])
        .output()
        .expect("docker runs");
    let pid = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let begun = now_nanos();
    let killed = Command::new("kill").args(["-9", &pid]).status();
    assert!(killed.is_ok_and(|status| status.success()), "killed");
    watch
        .until("the death", |seen| seen.running.len() < count)
        .await;
    let done = watch
        .until("the replacement", |seen| seen.running.len() == count)
        .await;
    (begun, done)
}

/// Whether anything of an earlier run is left.
pub fn nothing_left() -> bool {
    let output = Command::new("docker")
        .args(["ps", "-aq", "--filter", &format!("label={RUN}")])
        .output()
        .expect("docker runs");
    output.stdout.is_empty()
}
