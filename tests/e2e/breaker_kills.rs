//! P4 in the middle of giving a version up: Longshore is killed again and again, each time right after it wrote a decision (or a
//! part of one) to its state file or right after the engine did something; in the end the story is the same as without.

use std::time::{Duration, SystemTime};

use longshore::clock::{Clock, IdGen, SeededIds, SystemClock};
use longshore::model::Timestamp;

use crate::guarded::{
    self, COUNT, CRASHES, CRASHES_LATER, Guarded, NEVER_HEALTHY, NO_IMAGE, THRESHOLD, Version,
    is_told, record_of, tasks_of,
};
use crate::rig::{PATIENCE, Rig};

/// How often Longshore is killed while it gives one version up.
const KILLS: usize = 10;

/// How long a Longshore lives that neither writes nor does anything: it waits for a health check, or for time to pass.
const QUIET: Duration = Duration::from_millis(1200);

/// What a life of Longshore's ends after.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// So many writes to the state file.
    Writes(u64),
    /// So many things that happened to containers of the service.
    Events(usize),
}

/// Lets Longshore live until then, and a little longer.
async fn live(rig: &Rig, service: &Guarded, until: Until, longer: Duration) {
    let file = rig.state_dir().join("state.redb");
    let written = || std::fs::metadata(&file).and_then(|f| f.modified()).ok();
    let mut last: Option<SystemTime> = written();
    let before = service.recording.len();
    let mut writes = 0;
    // Each millisecond: what is waited for is over sooner than any notice of it would come.
    let reached = async {
        loop {
            let now = written();
            if now != last {
                (last, writes) = (now, writes + 1);
            }
            let enough = match until {
                Until::Writes(number) => writes >= number,
                Until::Events(number) => service.recording.len() >= before + number,
            };
            if enough {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let _ = tokio::time::timeout(QUIET, reached).await;
    tokio::time::sleep(longer).await;
}

async fn is_given_up_though_killed(name: &str, bad: Version, other: u64) {
    let Some(mut rig) = Rig::new(name).await else {
        return;
    };
    let seed = std::env::var("LONGSHORE_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(11);
    eprintln!("LONGSHORE_SEED={seed}");
    let random = SeededIds::new(seed + other);
    let service = Guarded::start(&mut rig, &bad).await;
    guarded::write(&rig, &bad, COUNT);
    let (mut kills, mut happened) = (Vec::new(), Vec::new());
    for _ in 0..KILLS {
        let until = match random.bits() % 4 {
            0 => Until::Events(1 + (random.bits() % 3) as usize),
            _ => Until::Writes(1 + random.bits() % 24),
        };
        live(
            &rig,
            &service,
            until,
            Duration::from_millis(random.bits() % 20),
        )
        .await;
        rig.kill();
        kills.push(SystemClock.now());
        happened.push(service.recording.len());
        rig.spawn(&[]);
    }
    rig.kill();
    rig.start();
    is_told(&rig, &rig.apply(PATIENCE.as_secs()), &bad, 2);
    service.serves_as_ever(&rig).await;

    // Each failure was counted once, and no task was started that would not have been.
    let dump = rig.json(&["state", "dump"]);
    let record = record_of(&dump);
    let tried = tasks_of(&dump, 2);
    assert!(
        (THRESHOLD..THRESHOLD + COUNT).contains(&tried.len()),
        "{tried:?}\n{record}"
    );
    let blocked = record["blocked"].as_array().expect("blocked");
    assert_eq!(blocked.len(), 1, "{record}");
    assert_eq!(blocked[0]["failed_tasks"], THRESHOLD, "{record}");
    let ended: Vec<(u64, &str)> = record["history"]
        .as_array()
        .expect("a history")
        .iter()
        .map(|ended| {
            let number = ended["revision"]["revision"].as_u64().unwrap_or_default();
            (number, ended["status"].as_str().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        ended,
        [(2, "ROLLBACK_SUCCESSFUL"), (1, "SUCCESSFUL")],
        "{record}"
    );
    let over: Timestamp = serde_json::from_value(record["history"][0]["rollback"]["at"].clone())
        .expect("when it was gone back from");
    let meanwhile = kills.iter().filter(|at| **at < over).count();
    eprintln!(
        "{name}: killed {meanwhile} of {KILLS} times before it was gone back from, after so many events of the engine: \
         {happened:?}"
    );
    assert!(meanwhile > 0, "it was never killed in the middle of it");
    guarded::nothing_left_over(&rig).await;

    // And that is all: another Longshore finds nothing to do.
    let happened = service.recording.len();
    rig.kill();
    rig.start();
    is_told(&rig, &rig.apply(PATIENCE.as_secs()), &bad, 2);
    assert_eq!(service.recording.len(), happened);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_gives_up_a_version_without_an_image_it_ends_the_same() {
    is_given_up_though_killed("kill-no-image", NO_IMAGE, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_gives_up_a_version_that_ends_at_once_it_ends_the_same() {
    is_given_up_though_killed("kill-crashes", CRASHES, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_gives_up_a_version_that_ends_later_it_ends_the_same() {
    is_given_up_though_killed("kill-later", CRASHES_LATER, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_gives_up_a_version_that_is_never_healthy_it_ends_the_same() {
    is_given_up_though_killed("kill-unhealthy", NEVER_HEALTHY, 3).await;
}
