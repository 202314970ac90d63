//! The whole system in virtual time: the daemon's core (watcher, folder, takeover, agents, controller) on simulated engines and a
//! simulated disk, with a user who edits and asks, and everything that can go wrong, judged by the engines' own history.
//!
//! A run is a function of its seed: what the user does and when, what fails, where the process dies, which ids things get, how
//! long calls take, and in which order tasks that are ready are polled ([`order`]). What is not simulated: the socket's protocol
//! (requests are made where it would make them), and Docker itself, whose model the conformance tests hold to the real one.
//!
//! * `LONGSHORE_SIM_SEEDS=n` runs seeds 1 to n instead of 1 to 60; `LONGSHORE_SIM_FROM=m` begins at m.
//! * `LONGSHORE_SIM_UNTIL='P3 floor'` ends at the first seed in which that promise is broken, and says which it was.
//! * `LONGSHORE_SIM_SEED=k` runs seed k and prints its trace; `LONGSHORE_SIM_ONLY=2,5` leaves out all that happens in it but the
//!   third and the sixth thing; `LONGSHORE_SIM_LOG=debug` adds what Longshore itself says.

mod acts;
mod author;
mod dice;
mod folder;
mod images;
mod judge;
mod oracles;
mod order;
mod play;
mod process;
mod reach;
mod record;
mod rest;
mod scenario;
mod shrink;
mod store;
mod user;
mod world;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};

use oracles::Oracle;
use scenario::Scenario;
use world::Outcome;

/// What a run of all tests takes of them: about half a minute on two cores.
const SEEDS: u64 = 60;
/// So many reach everything that must be reached.
const REACH_ALL: u64 = 200;
/// Failures that are made smaller; the others are only told.
const SHRUNK: usize = 3;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: {text:?} is not a number")),
    )
}

thread_local! {
    /// Panics on this thread, those within tasks included.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Counts panics: the runtime catches those of tasks, and whoever waits for them may not care.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
}

fn virtual_time() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

/// Runs a scenario. A panic in it is a finding like any other.
fn run(scenario: &Scenario) -> Outcome {
    run_keeping(scenario, false)
}

fn run_keeping(scenario: &Scenario, passages: bool) -> Outcome {
    count_panics();
    let before = PANICS.get();
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| {
        virtual_time().block_on(play::play(scenario, passages))
    }));
    let mut outcome = played.unwrap_or_default();
    if PANICS.get() != before {
        let what = "it panicked (see above)".to_owned();
        outcome.found.push(Oracle::Alive.broken(what));
    }
    outcome
}

fn fails(scenario: &Scenario, oracle: Oracle) -> bool {
    let found = run(scenario).found;
    found.iter().any(|finding| finding.oracle == oracle)
}

fn report(scenario: &Scenario, outcome: &Outcome, shrinks: bool) -> String {
    let seed = scenario.seed;
    let mut text = format!("seed {seed} ({:?}):\n", scenario.weather);
    for finding in outcome.found.iter().take(8) {
        text.push_str(&format!("  {finding}\n"));
    }
    text.push_str(&format!(
        "  again: LONGSHORE_SIM_SEED={seed} cargo test --test simulation -- --nocapture\n"
    ));
    let Some(first) = outcome.found.first().filter(|_| shrinks) else {
        return text;
    };
    let left = shrink::shrink(scenario, first.oracle, fails);
    let numbers: Vec<String> = left.iter().map(ToString::to_string).collect();
    text.push_str(&format!(
        "  the same with {} of {} happenings: LONGSHORE_SIM_ONLY={} and that\n",
        left.len(),
        scenario.acts.len() - 1,
        match numbers.is_empty() {
            true => "none".to_owned(),
            false => numbers.join(","),
        }
    ));
    for n in left {
        let (at, act) = &scenario.acts[n];
        text.push_str(&format!("    {n} after {at:?}: {act}\n"));
    }
    text
}

/// What is left of a scenario by `LONGSHORE_SIM_ONLY`.
fn only(scenario: Scenario) -> Scenario {
    let Ok(text) = std::env::var("LONGSHORE_SIM_ONLY") else {
        return scenario;
    };
    let numbers: Vec<usize> = text.split(',').filter_map(|n| n.parse().ok()).collect();
    scenario.only(|n| numbers.contains(&n))
}

fn run_one(seed: u64) {
    if let Ok(filter) = std::env::var("LONGSHORE_SIM_LOG") {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
    let scenario = only(Scenario::new(seed));
    let outcome = run(&scenario);
    for line in &outcome.trace {
        println!("{line}");
    }
    let text = report(&scenario, &outcome, false);
    assert!(outcome.found.is_empty(), "{text}");
}

#[test]
fn whatever_happens_the_promises_hold() {
    if let Some(seed) = number("LONGSHORE_SIM_SEED") {
        return run_one(seed);
    }
    let first = number("LONGSHORE_SIM_FROM").unwrap_or(1);
    let seeds = number("LONGSHORE_SIM_SEEDS").unwrap_or(SEEDS);
    let until = std::env::var("LONGSHORE_SIM_UNTIL").ok();
    let began = tokio::time::Instant::now();
    let next = AtomicU64::new(first);
    let (failures, virtual_millis) = (Mutex::new(Vec::new()), AtomicU64::new(0));
    let reached: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let scenario = Scenario::new(seed);
                    let outcome = run(&scenario);
                    virtual_millis.fetch_add(outcome.took.as_millis() as u64, Ordering::Relaxed);
                    let mut all = reached.lock().expect("no panic while it is held");
                    for (what, count) in &outcome.reached {
                        *all.entry(what).or_default() += count;
                    }
                    drop(all);
                    if let Some(name) = &until {
                        let mut found = outcome.found.iter();
                        if found.any(|finding| finding.oracle.name() == name) {
                            println!("found by seed {seed}: {name}");
                            next.store(u64::MAX / 2, Ordering::Relaxed);
                        }
                        continue;
                    }
                    if !outcome.found.is_empty() {
                        let mut all = failures.lock().expect("no panic while it is held");
                        all.push(seed);
                        let shrinks = all.len() <= SHRUNK;
                        drop(all);
                        eprint!("{}", report(&scenario, &outcome, shrinks));
                    }
                }
            });
        }
    });
    if until.is_some() {
        return;
    }
    let hours = virtual_millis.into_inner() as f64 / 3_600_000.0;
    // Past the harness, which keeps what a test that passes prints to itself.
    let took = began.elapsed().as_secs_f64();
    let done = format!("{seeds} seeds from {first} on, {hours:.1} virtual hours, in {took:.1} s\n");
    let _ = std::io::stderr().write_all(done.as_bytes());
    let reached = reached.into_inner().expect("no thread panicked");
    if std::env::var_os("LONGSHORE_SIM_REACHED").is_some() {
        for (what, count) in &reached {
            eprintln!("  {count:>9} {what}");
        }
    }
    let mut failures = failures.into_inner().expect("no thread panicked");
    failures.sort_unstable();
    assert!(
        failures.is_empty(),
        "{} of {seeds} seeds failed (see above): {failures:?}",
        failures.len(),
    );
    if seeds >= SEEDS {
        let missed = match seeds >= REACH_ALL {
            true => reach::missed(&reached),
            // Fewer seeds may miss a kind of fault, but no part.
            false => reach::missed_parts(&reached),
        };
        assert!(missed.is_empty(), "never reached: {missed:?}");
    }
}

#[test]
fn an_edit_that_the_store_could_not_take_is_taken_soon_after() {
    let mut scenario = Scenario::new(1);
    scenario.store_faults = 0;
    let mut edited = scenario.first.clone();
    for service in edited.services.values_mut() {
        service.version += 1_000;
    }
    let playing = play::edit_while_the_store_refuses(&scenario, edited);
    let found = virtual_time().block_on(playing);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    for seed in [3, 7, 11, 19, 23, 31] {
        let scenario = Scenario::new(seed);
        let (first, second) = (run(&scenario).trace, run(&scenario).trace);
        let differs = first.iter().zip(&second).position(|(a, b)| a != b);
        if let Some(at) = differs {
            panic!("seed {seed}, line {at}:\n{}\n{}", first[at], second[at]);
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
        assert!(first.len() > 20, "seed {seed}: something happened");
    }
}

/// One scenario under two orders: what passes the fence at the same instant is the same and comes in another order, somewhere.
#[test]
fn another_order_seed_polls_tasks_in_another_order() {
    let mut scenario = Scenario::new(2);
    scenario.acts.drain(..scenario.acts.len() - 1);
    let passages = |order: u64| {
        let ordered = Scenario {
            order,
            ..scenario.clone()
        };
        run_keeping(&ordered, true).passages
    };
    let first = passages(1);
    assert!(first == passages(1), "the same order twice");
    let second = passages(2);
    // Up to where they part, times and passages are the same; at that instant only their order differs.
    let parts = first.iter().zip(&second).position(|(a, b)| a != b);
    let parts = parts.expect("another order");
    let instant = first[parts].0;
    let at = |all: &[(longshore::model::Timestamp, String)]| {
        let here = all.iter().filter(|(when, _)| *when == instant);
        let here: Vec<String> = here.map(|(_, what)| what.clone()).collect();
        here
    };
    let (mut a, mut b) = (at(&first), at(&second));
    assert_ne!(a, b, "at {instant}");
    a.sort();
    b.sort();
    let common = a.iter().filter(|what| b.contains(what)).count();
    assert!(common >= 2, "at {instant}: {a:?} and {b:?}");
}
