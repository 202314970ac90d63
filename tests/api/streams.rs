//! Events and logs as they happen.

use std::time::Duration;

use longshore::api::client::{ClientError, JsonLines};
use longshore::api::streams::events::{EventLine, EventQuery};
use longshore::api::streams::logs::{LogHeader, LogLine, LogQuery};
use longshore::engine::Engine;
use longshore::model::{LastStatus, Timestamp};
use longshore::store::keys;
use serde::de::DeserializeOwned;

use crate::fixture::{NOW, World, id, status};

/// The next object, or a failure if none comes: a stream that stays silent must not hang the tests.
async fn next<T: DeserializeOwned>(lines: &mut JsonLines<T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(20), lines.next())
        .await
        .expect("the stream stays silent")
        .unwrap()
}

async fn all<T: DeserializeOwned>(mut lines: JsonLines<T>) -> Vec<T> {
    let mut found = Vec::new();
    while let Some(line) = next(&mut lines).await {
        found.push(line);
    }
    found
}

async fn logs(world: &World, query: LogQuery) -> (LogHeader, JsonLines<LogLine>) {
    world.client.logs(&query).await.unwrap()
}

fn of_web() -> LogQuery {
    LogQuery {
        cluster: Some("default".to_owned()),
        service: Some("web".to_owned()),
        ..LogQuery::default()
    }
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines
        .iter()
        .filter_map(|line| line.line.as_deref())
        .collect()
}

/// Waits until a container has written so many lines.
async fn written(world: &World, container: &str, lines: usize) {
    let query = LogQuery {
        container: Some(container.to_owned()),
        ..of_web()
    };
    while all(logs(world, query.clone()).await.1).await.len() < lines {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn events_come_in_the_order_in_which_they_were_last_said() {
    let world = World::start().await;
    world
        .say("default", "web", 1, 10, "(service web) again and again.")
        .await;
    world
        .say("prod", "worker", 2, 1, "(service worker) once.")
        .await;
    let ask = async |query: EventQuery| {
        let events: Vec<EventLine> = all(world.client.events(&query).await.unwrap()).await;
        events
            .into_iter()
            .map(|e| (e.service, e.count))
            .collect::<Vec<_>>()
    };
    let both = ask(EventQuery::default()).await;
    assert_eq!(both, [("worker".to_owned(), 1), ("web".to_owned(), 10)]);
    let service = Some("worker".to_owned());
    let one = ask(EventQuery {
        service,
        ..EventQuery::default()
    })
    .await;
    assert_eq!(one, [("worker".to_owned(), 1)]);
}

#[tokio::test]
async fn a_service_of_two_clusters_is_ambiguous_and_an_unknown_one_is_not_found() {
    let world = World::start().await;
    let ask = async |cluster: Option<&str>, service: &str| {
        let query = EventQuery {
            cluster: cluster.map(str::to_owned),
            service: Some(service.to_owned()),
            follow: false,
        };
        world.client.events(&query).await.map(|_| ())
    };
    match ask(None, "web").await.unwrap_err() {
        ClientError::Refused {
            status: 409,
            message,
            ..
        } => {
            assert!(message.contains("default and prod"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert!(ask(None, "wbe").await.unwrap_err().is_not_found());
    ask(Some("prod"), "web").await.unwrap();
}

#[tokio::test]
async fn followed_events_tell_new_ones_and_repeats_and_end_with_the_daemon() {
    let world = World::start().await;
    world.say("default", "web", 1, 1, "one").await;
    let query = EventQuery {
        follow: true,
        ..EventQuery::default()
    };
    let mut events = world.client.events(&query).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap().message, "one");
    world.say("default", "web", 2, 1, "two").await;
    assert_eq!(next(&mut events).await.unwrap().message, "two");
    world.say("default", "web", 2, 2, "two").await;
    assert_eq!(next(&mut events).await.unwrap().count, 2);
    world.stop();
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test]
async fn lines_of_all_tasks_come_in_order_of_time_and_say_whose_they_are() {
    let world = World::start().await;
    world.running(&id("aa"), &["first", "second"]).await;
    written(&world, "web", 2).await;
    world.running(&id("bb"), &["third"]).await;
    written(&world, "web", 3).await;
    let (header, lines) = logs(&world, LogQuery::default()).await;
    assert_eq!(
        header,
        LogHeader {
            containers: 4,
            more: false
        }
    );
    let lines = all(lines).await;
    assert_eq!(texts(&lines), ["first", "second", "third"]);
    let whose = |line: &LogLine| {
        (
            line.service.clone(),
            line.task.clone(),
            line.container.clone(),
        )
    };
    assert_eq!(
        whose(&lines[2]),
        (
            Some("web".to_owned()),
            id("bb").to_string(),
            "web".to_owned()
        )
    );
    assert_eq!(lines[0].stream, "stdout");
    let at: Vec<&String> = lines.iter().filter_map(|line| line.at.as_ref()).collect();
    assert!(at.is_sorted() && at.len() == 3, "{at:?}");
}

#[tokio::test]
async fn lines_are_chosen_by_task_container_tail_and_time() {
    let world = World::start().await;
    world.running(&id("aa"), &["one", "two", "three"]).await;
    world.running(&id("bb"), &["four"]).await;
    written(&world, "web", 4).await;
    let ask = async |query: LogQuery| all(logs(&world, query).await.1).await;
    let task = || LogQuery {
        task: Some("bb".to_owned()),
        ..LogQuery::default()
    };
    assert_eq!(texts(&ask(task()).await), ["four"]);
    let clock = LogQuery {
        container: Some("clock".to_owned()),
        ..of_web()
    };
    assert_eq!(texts(&ask(clock).await), Vec::<&str>::new());
    let tail = LogQuery {
        task: Some("aa".to_owned()),
        tail: Some(2),
        ..LogQuery::default()
    };
    assert_eq!(texts(&ask(tail).await), ["two", "three"]);
    let future = Some("2100-01-01T00:00:00Z".to_owned());
    let none = LogQuery {
        since: future,
        ..of_web()
    };
    assert_eq!(texts(&ask(none).await), Vec::<&str>::new());

    let refused = async |query: LogQuery| world.client.logs(&query).await.unwrap_err().to_string();
    let unknown = LogQuery {
        container: Some("wbe".to_owned()),
        ..of_web()
    };
    assert_eq!(
        refused(unknown).await,
        "there is no container wbe; there are clock, web"
    );
    let wrong = LogQuery {
        since: Some("yesterday".to_owned()),
        ..of_web()
    };
    assert!(refused(wrong).await.starts_with("since: "));
    let missing = LogQuery {
        task: Some("ff".to_owned()),
        ..LogQuery::default()
    };
    assert_eq!(refused(missing).await, "there is no task ff");
}

#[tokio::test]
async fn a_task_whose_containers_are_gone_gives_the_lines_that_its_agent_kept() {
    let world = World::start().await;
    world.failed(&id("cc")).await;
    let lines = all(logs(&world, of_web()).await.1).await;
    assert_eq!(texts(&lines), ["cannot open /nowhere"]);
    assert_eq!(lines[0].container, "web");
}

#[tokio::test]
async fn followed_lines_go_on_with_tasks_that_start_later() {
    let world = World::start().await;
    world.running(&id("aa"), &["early"]).await;
    let query = LogQuery {
        follow: true,
        tail: Some(0),
        ..of_web()
    };
    written(&world, "web", 1).await;
    let (header, mut lines) = logs(&world, query).await;
    assert_eq!(
        header,
        LogHeader {
            containers: 2,
            more: true
        }
    );
    // What was written before is not asked for, but all that a new task writes is.
    world.running(&id("bb"), &["late"]).await;
    let line = next(&mut lines).await.unwrap();
    assert_eq!(
        (line.line.as_deref(), line.task),
        (Some("late"), id("bb").to_string())
    );
    world.stop();
    assert_eq!(next(&mut lines).await, None);
}

#[tokio::test]
async fn a_container_that_is_restarted_in_place_is_read_on_with_nothing_twice() {
    let world = World::start().await;
    let container = world.container("again", "echo run; exit 0").await;
    let task = id("aa");
    world
        .report(&task, &status(Some(container.clone()), None))
        .await;
    let query = LogQuery {
        task: Some(task.to_string()),
        container: Some("web".to_owned()),
        follow: true,
        ..LogQuery::default()
    };
    let (_, mut lines) = logs(&world, query).await;
    assert_eq!(next(&mut lines).await.unwrap().line.as_deref(), Some("run"));
    while world
        .engine
        .inspect_container(&container)
        .await
        .unwrap()
        .exit_code
        .is_none()
    {
        tokio::task::yield_now().await;
    }
    world.engine.start_container(&container).await.unwrap();
    let second = next(&mut lines).await.unwrap();
    assert_eq!(second.line.as_deref(), Some("run"));
    // A single task is followed to its end.
    let mut over = status(Some(container), None);
    over.last_status = LastStatus::Stopped;
    let txn = world
        .txn()
        .put_json(keys::task_status(&"default".into(), &task), &over);
    world.commit(txn).await;
    assert_eq!(next(&mut lines).await, None);
}

#[tokio::test]
async fn an_instance_without_an_engine_is_said_so_and_the_others_are_read() {
    let world = World::start().await;
    world.running(&id("aa"), &["hello"]).await;
    written(&world, "web", 1).await;
    let mut elsewhere = world.ordered(&id("bb"));
    elsewhere.instance = "far".into();
    elsewhere.created_at = Timestamp::from_millis(NOW);
    let txn = world
        .txn()
        .put_json(keys::task(&"default".into(), &elsewhere.id), &elsewhere)
        .put_json(
            keys::task_status(&"default".into(), &elsewhere.id),
            &status(Some("x".to_owned()), None),
        );
    world.commit(txn).await;
    let lines = all(logs(&world, of_web()).await.1).await;
    assert_eq!(texts(&lines), ["hello"]);
    let errors: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.error.as_deref())
        .collect();
    assert_eq!(errors, ["there is no engine far at present"]);
}
