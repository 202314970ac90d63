//! Chaos on real engines of the test's own: containers are killed and removed, Longshore and the engines are killed, stopped and
//! started, networks are cut, the state's disk is full, the folder is edited, broken and mended, and orders are given, all of it
//! drawn from a seed. Then faults stop: within [`REST_WITHIN`] everything must be at rest, an audit holds containers, networks, volumes
//! and the store against the folder, another pass changes nothing, and after `down` nothing is left. What happened meanwhile is
//! judged by the engines' own events.
//!
//! * `LONGSHORE_CHAOS_SEED=k` draws another run than [`SEED`]; what is done and when is the same each time, what it meets is not.
//! * `LONGSHORE_CHAOS_SECONDS=n` lets faults happen for so long; CI sets 120. Without it only the judge is tried.
//!
//! Everything that was seen is in `target/tmp/chaos-<engines>-<seed>.txt` afterwards, with Longshore's log. [`trials`] tries the judge itself.

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../simulation/dice.rs"]
mod dice;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../engines/engines.rs"]
mod engines;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../engines/machines.rs"]
mod machines;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../e2e/rig.rs"]
mod rig;
#[path = "../common/timeline.rs"]
mod timeline;

mod audit;
mod folder;
mod foreign;
mod hands;
mod judge;
mod plan;
mod quiet;
mod trials;
mod witness;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use audit::Audit;
use engines::Engines;
use foreign::Foreign;
use hands::Hands;
use judge::{Judge, Verdict};
use machines::{Machines, Member};
use plan::Plan;
use witness::{Seen, Witness};

/// The seed of a run that none is given for.
const SEED: u64 = 1;
/// How soon everything must be at rest once they have stopped: what an engine has and nobody knows is kept for a minute.
const REST_WITHIN: Duration = Duration::from_secs(150);

/// How long faults are to happen, if at all.
fn storm() -> Option<Duration> {
    let seconds = number("LONGSHORE_CHAOS_SECONDS");
    if seconds.is_none() {
        eprintln!(
            "not run: chaos on real engines (LONGSHORE_CHAOS_SECONDS is not set; make chaos)"
        );
    }
    seconds.map(Duration::from_secs)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: {text:?} is not a number")),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_engine_whatever_happens_it_comes_to_rest_and_nothing_is_left_over() {
    let Some(storm) = storm() else { return };
    let Some(engines) = Engines::up(1, "") else {
        return;
    };
    let host = format!("unix://{}", engines.socket(1).display());
    let environment = vec![("DOCKER_HOST".to_owned(), host)];
    let mut machines = Machines::on(engines, 1, "chaos", environment).await;
    // No endpoint: the engine that docker itself would use.
    machines.members = vec![Member {
        name: "local",
        engine: 1,
        entry: "attributes: {rack: r1}".to_owned(),
        status: "ACTIVE",
    }];
    chaos(machines, storm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_two_engines_whatever_happens_it_comes_to_rest_and_nothing_is_left_over() {
    let Some(storm) = storm() else { return };
    let Some(engines) = Engines::up(2, "2") else {
        return;
    };
    let mut machines = Machines::on(engines, 2, "chaos", Vec::new()).await;
    machines.members = vec![machines.member("a", 1), machines.member("b", 2)];
    chaos(machines, storm).await;
}

async fn chaos(machines: Machines, storm: Duration) {
    let seed = number("LONGSHORE_CHAOS_SEED").unwrap_or(SEED);
    let engines = machines.members.len();
    let plan = Plan::new(seed, engines, storm);
    machines.declare();
    let foreign = Foreign::add(&machines).await;
    let witness = Witness::new(&machines.rig.cluster);
    let mut followers = vec![witness.follow_orders(machines.rig.socket())];
    for member in &machines.members {
        followers.push(witness.follow(member.engine, machines.engines.socket(member.engine)));
    }
    let mut hands = Hands::new(machines, witness.clone());
    println!("[{engines} engines] LONGSHORE_CHAOS_SEED={seed}, faults for {storm:?}");
    hands.save(&plan.first);
    hands.machines.rig.start();
    hands.machines.rig.steady();

    hands.play(&plan).await;
    hands.say("faults stop");
    hands.calm(&plan.last).await;
    for number in 1..=u32::try_from(engines).expect("few") {
        hands.machines.reconnect(number).await;
    }
    foreign.revive(&hands.machines).await;
    let (mut audit, rested) = rest(&hands, &plan, &foreign).await;
    hands.say(&match rested {
        Some(after) => format!("at rest after {after:.1?}"),
        None => format!("not at rest after {REST_WITHIN:?}"),
    });
    if rested.is_some() {
        quiet::watch(&mut hands, &mut audit).await;
    }
    let asked = witness.look_at_orders(&hands.client()).await;
    audit.row("Longshore tells its orders", true, asked);
    let tasks: BTreeSet<String> = witness.seen().orders.keys().cloned().collect();
    let folder = hands.machines.rig.folder().display().to_string();
    witness.down();
    let down = hands.machines.rig.run(&["down", &folder, "--volumes"]);
    audit.row("exit code of down", 0, down.code);
    let left = audit::after_down(&hands, &foreign, &tasks).await;
    followers.clear();

    let log = hands.machines.rig.log();
    let seen = witness.seen();
    let verdict = Judge::new(&seen).judge();
    write_down(engines, seed, &seen, &log);
    let mut wrong = hands.wrong.clone();
    wrong.extend(verdict.wrong.iter().cloned());
    wrong.extend(audit.wrong());
    wrong.extend(left.wrong());
    let panicked = |line: &&str| line.contains("panicked at");
    wrong.extend(log.lines().filter(panicked).map(str::to_owned));
    println!(
        "{}",
        report(&hands, seed, storm, rested, &verdict, &[audit, left])
    );
    assert!(
        wrong.is_empty(),
        "seed {seed} on {engines} engines:\n  {}\n  again: make chaos SEED={seed} MINUTES={}",
        wrong.join("\n  "),
        storm.as_secs().div_ceil(60)
    );
}

/// Waits until all is as it should be; what was seen last, and after how long.
async fn rest(hands: &Hands, plan: &Plan, foreign: &Foreign) -> (Audit, Option<Duration>) {
    let began = Instant::now();
    loop {
        let audit = audit::audit(hands, &plan.last, foreign).await;
        if audit.wrong().is_empty() {
            return (audit, Some(began.elapsed()));
        }
        if began.elapsed() > REST_WITHIN {
            return (audit, None);
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn report(
    hands: &Hands,
    seed: u64,
    storm: Duration,
    rested: Option<Duration>,
    verdict: &Verdict,
    audits: &[Audit],
) -> String {
    let mut text = format!(
        "\nChaos, seed {seed}, {} engines, faults for {} s; {}\n\n{:<58} {:>5} {:>9}\n",
        hands.machines.members.len(),
        storm.as_secs(),
        rested.map_or("never at rest".to_owned(), |after| format!(
            "at rest {:.1} s later",
            after.as_secs_f32()
        )),
        "WHAT WAS DONE",
        "TIMES",
        "COULD NOT"
    );
    for (what, count) in &hands.counts {
        let _ = writeln!(text, "{what:<58} {:>5} {:>9}", count.done, count.not);
    }
    let _ = writeln!(
        text,
        "\njudged by the engines' events: {} starts, {} stops of healthy tasks; {} wrong\n",
        verdict.starts,
        verdict.stops,
        verdict.wrong.len()
    );
    for audit in audits {
        text.push_str(&audit.table());
    }
    text
}

/// Everything that was seen, for whoever looks for a cause.
fn write_down(engines: usize, seed: u64, seen: &Seen, log: &str) {
    let mut lines: Vec<(longshore::model::Timestamp, String)> = Vec::new();
    for (at, fact) in &seen.facts {
        lines.push((*at, fact.to_string()));
    }
    for (id, order) in &seen.orders {
        lines.push((
            order.started,
            format!("order: start {id} of {}", order.service),
        ));
        if let Some(stop) = &order.stop {
            lines.push((
                stop.at,
                format!("order: stop {id}: {:?}, {}", stop.code, stop.reason),
            ));
        }
        if let Some(lost) = order.lost {
            lines.push((lost, format!("order: give up {id}")));
        }
    }
    for (name, configs) in &seen.configs.0 {
        for (at, config) in configs {
            lines.push((*at, format!("folder: {name} {config:?}")));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut text = String::new();
    for (at, line) in lines {
        let _ = writeln!(text, "{at} {line}");
    }
    let _ = writeln!(
        text,
        "\naway: {:?}\ndisk full: {:?}\nsuspended: {:?}\ndown: {:?}\n\n{log}",
        seen.away, seen.disk_full, seen.suspended, seen.down
    );
    let path = format!("{}/chaos-{engines}-{seed}.txt", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, text).expect("written");
    println!("[{engines} engines] everything that was seen: {path}");
}
