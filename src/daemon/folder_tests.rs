//! Which reading of the folder is acted on, on the simulated engine and in virtual time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::testing::{World, web};
use crate::engine::simulated::Operation;

#[tokio::test(start_paused = true)]
async fn of_edits_that_come_while_an_engine_is_waited_for_only_the_last_is_acted_on() {
    let world = World::new().await;
    world
        .engine
        .slow_next(Operation::Info, Duration::from_secs(5));
    let (first, last) = (web(3), web(1));
    world.read(&first);
    world
        .until_said("the first reading", |said| {
            said.folder_hash == first.hash() && !said.applied
        })
        .await;
    world.read(&last);
    world
        .until_said("the last reading", |said| {
            said.folder_hash == last.hash() && said.applied
        })
        .await;
    let tasks = world.core.shared.view.read().tasks.len();
    assert_eq!(tasks, 1, "there were never to be more");
}

#[tokio::test(start_paused = true)]
async fn edits_that_keep_coming_wait_no_longer_for_an_engine_than_one_does() {
    let world = World::new().await;
    let for_ever = Duration::from_secs(3_600);
    world.engine.slow_next(Operation::Info, for_ever);
    let begun = Instant::now();
    let edits = async {
        for count in 1.. {
            world.read(&web(count));
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = edits => {}
        () = world.until_said("that it is taken", |said| said.applied) => {}
    }
    let waited = begun.elapsed();
    assert!(waited <= Duration::from_secs(12), "{waited:?}");
}
