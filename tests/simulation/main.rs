//! The whole system in virtual time: the daemon's core (folder, takeover, agents, controller) on simulated engines, with a user
//! who edits and everything that can go wrong, judged by the engines' own history.
//!
//! A run is a function of its seed: what the user does and when, what fails, where the process dies, which ids things get, how
//! long calls take. Tasks of the runtime are polled in the order in which they were woken, and branches of a `select` in the
//! order in which they are written, so nothing is left to tokio's own dice; that order itself is therefore always the same, and
//! what varies from seed to seed is the timing. What is not simulated: the state file's disk (the file store has tests of its
//! own for power cuts; here a crash falls before or after a commit, never within), notifications of the file system, the socket.
//!
//! * `LONGSHORE_SIM_SEEDS=n` runs seeds 1 to n instead of 1 to 200.
//! * `LONGSHORE_SIM_SEED=k` runs seed k and prints its trace; `LONGSHORE_SIM_LOG=debug` adds what Longshore itself says.

mod dice;
mod folder;
mod judge;
mod process;
mod record;
mod rest;
mod scenario;
#[path = "../common/timeline.rs"]
mod timeline;
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scenario::Scenario;
use world::Outcome;

const SEEDS: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: {text:?} is not a number")),
    )
}

fn virtual_time() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

/// Runs one seed. A panic in it is a finding like any other.
fn run(seed: u64) -> Outcome {
    let scenario = Scenario::new(seed);
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| {
        virtual_time().block_on(world::play(&scenario))
    }));
    played.unwrap_or_else(|_| Outcome {
        wrong: vec!["it panicked (see above)".to_owned()],
        trace: Vec::new(),
        took: Duration::ZERO,
    })
}

fn report(seed: u64, outcome: &Outcome) -> String {
    let mut text = format!("seed {seed} ({:?}):\n", Scenario::new(seed).weather);
    for wrong in outcome.wrong.iter().take(8) {
        text.push_str(&format!("  {wrong}\n"));
    }
    text.push_str(&format!(
        "  again: LONGSHORE_SIM_SEED={seed} cargo test --test simulation -- --nocapture\n"
    ));
    text
}

#[test]
fn whatever_happens_the_promises_hold() {
    if let Some(seed) = number("LONGSHORE_SIM_SEED") {
        if let Ok(filter) = std::env::var("LONGSHORE_SIM_LOG") {
            tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_writer(std::io::stderr)
                .init();
        }
        let outcome = run(seed);
        for line in &outcome.trace {
            println!("{line}");
        }
        assert!(outcome.wrong.is_empty(), "{}", report(seed, &outcome));
        return;
    }
    let seeds = number("LONGSHORE_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(1);
    let (failures, virtual_millis) = (Mutex::new(Vec::new()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        return;
                    }
                    let outcome = run(seed);
                    virtual_millis.fetch_add(outcome.took.as_millis() as u64, Ordering::Relaxed);
                    if !outcome.wrong.is_empty() {
                        let text = report(seed, &outcome);
                        eprint!("{text}");
                        failures
                            .lock()
                            .expect("no panic while it is held")
                            .push((seed, text));
                    }
                }
            });
        }
    });
    let hours = virtual_millis.into_inner() as f64 / 3_600_000.0;
    eprintln!("{seeds} seeds, {hours:.1} virtual hours");
    let mut failures = failures.into_inner().expect("no thread panicked");
    failures.sort();
    let texts: Vec<String> = failures.into_iter().map(|(_, text)| text).collect();
    assert!(
        texts.is_empty(),
        "{} of {seeds} seeds failed:\n{}",
        texts.len(),
        texts.concat()
    );
}

#[test]
fn an_edit_that_the_store_could_not_take_is_taken_soon_after() {
    let mut scenario = Scenario::new(1);
    scenario.store_faults = 0;
    let mut edited = scenario.first.clone();
    for service in edited.services.values_mut() {
        service.version += 1_000;
    }
    let wrong = virtual_time().block_on(world::edit_while_the_store_refuses(&scenario, edited));
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    for seed in [3, 7, 11, 19, 23] {
        let (first, second) = (run(seed).trace, run(seed).trace);
        let differs = first.iter().zip(&second).position(|(a, b)| a != b);
        if let Some(at) = differs {
            panic!("seed {seed}, line {at}:\n{}\n{}", first[at], second[at]);
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
        assert!(first.len() > 20, "seed {seed}: something happened");
    }
}
