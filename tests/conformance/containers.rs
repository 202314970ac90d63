//! Containers: created, started, stopped, removed.

use futures_util::future::join_all;
use longshore::engine::{ContainerState, CreateBody, Engine, ErrorKind};

use super::{ended, gone, kind, running, started};
use crate::common::{IMAGE, Namespace};

pub async fn an_engine_describes_itself_the_same_way_twice(engine: &dyn Engine, ns: &Namespace) {
    let info = engine.info().await.expect("an answer");
    assert!(!info.id.is_empty() && !info.version.is_empty(), "{info:?}");
    assert!(info.cpus > 0 && info.memory > 0, "{info:?}");
    assert_eq!(info.os, "linux");
    let again = engine.info().await.expect("an answer");
    assert_eq!((again.id, again.cpus), (info.id, info.cpus));
    // Whatever it started, it started in the run that it tells of.
    let run = engine.greet().await.expect("an answer");
    let id = running(engine, ns, "greeted", &["sleep", "1000"]).await;
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert!(
        run.began.is_some() && run.began <= seen.started_at,
        "{run:?} {seen:?}"
    );
    assert_eq!(engine.greet().await, Ok(run), "the same run");
}

pub async fn a_created_container_is_as_it_was_asked_for(engine: &dyn Engine, ns: &Namespace) {
    let mut body = ns.body(&["sleep", "1000"]);
    body.labels
        .insert("longshore-test.other".to_owned(), "x=y, \"z\"".to_owned());
    let name = ns.name("plain");
    let id = engine
        .create_container(&name, &body)
        .await
        .expect("created");

    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(
        (seen.id.as_str(), seen.name.as_str(), seen.image.as_str()),
        (id.as_str(), name.as_str(), IMAGE)
    );
    let image = engine
        .image(IMAGE)
        .await
        .expect("an answer")
        .expect("an image");
    assert_eq!(seen.image_id, image.id);
    assert_eq!(seen.labels, body.labels);
    assert_eq!(seen.state, ContainerState::Created);
    assert_eq!(
        (seen.exit_code, seen.started_at, seen.finished_at),
        (None, None, None)
    );
    assert!(seen.created_at.is_some());
    assert_eq!((seen.pid, seen.error.as_str()), (0, ""));
    assert_eq!(
        engine.inspect_container(&name).await.expect("by name"),
        seen
    );

    engine.start_container(&id).await.expect("started");
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.state, ContainerState::Running);
    assert_eq!((seen.exit_code, seen.finished_at), (None, None));
    assert!(
        seen.started_at >= seen.created_at && seen.pid > 0,
        "{seen:?}"
    );
}

pub async fn labels_select_containers(engine: &dyn Engine, ns: &Namespace) {
    for (name, color) in [("a", "red"), ("b", "blue")] {
        let mut body = ns.body(&["sleep", "1000"]);
        body.labels
            .insert("longshore-test.color".to_owned(), color.to_owned());
        engine
            .create_container(&ns.name(name), &body)
            .await
            .expect("created");
    }
    let names = async |color: &str| {
        let mut filter = ns.filter();
        filter.push(("longshore-test.color".to_owned(), color.to_owned()));
        let mut names: Vec<String> = engine
            .list_containers(&filter)
            .await
            .expect("a list")
            .into_iter()
            .map(|container| container.name)
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("red").await, [ns.name("a")]);
    assert_eq!(names("").await, [ns.name("a"), ns.name("b")]);
    assert!(names("green").await.is_empty());

    let listed = engine.list_containers(&ns.filter()).await.expect("a list");
    for container in listed {
        let inspected = engine.inspect_container(&container.id).await;
        assert_eq!(inspected.expect("it exists"), container);
    }
}

pub async fn a_missing_image_is_not_found(engine: &dyn Engine, ns: &Namespace) {
    let body = CreateBody {
        image: "longshore-test/there-is-no-such-image:1".to_owned(),
        ..ns.body(&["true"])
    };
    let result = engine.create_container(&ns.name("none"), &body).await;
    assert_eq!(kind(result), ErrorKind::NotFound);
}

pub async fn a_taken_name_is_a_conflict_that_names_the_owner(engine: &dyn Engine, ns: &Namespace) {
    let (name, body) = (ns.name("twice"), ns.body(&["sleep", "1000"]));
    let id = engine
        .create_container(&name, &body)
        .await
        .expect("created");
    let error = engine
        .create_container(&name, &body)
        .await
        .expect_err("the name is taken");
    assert_eq!(error.kind, ErrorKind::NameConflict);
    assert!(error.message.contains(&id), "{error}");
}

pub async fn an_invalid_name_is_refused(engine: &dyn Engine, ns: &Namespace) {
    let body = ns.body(&["true"]);
    for name in ["-begins-with-a-dash", "has a blank"] {
        let result = engine.create_container(name, &body).await;
        assert_eq!(kind(result), ErrorKind::Invalid, "{name}");
    }
}

pub async fn too_little_memory_is_refused(engine: &dyn Engine, ns: &Namespace) {
    let mut body = ns.body(&["true"]);
    body.host_config.memory = Some(1_000_000);
    let result = engine.create_container(&ns.name("tiny"), &body).await;
    assert_eq!(kind(result), ErrorKind::Invalid);
}

pub async fn a_program_that_does_not_exist_fails_the_start_and_leaves_the_reason(
    engine: &dyn Engine,
    ns: &Namespace,
) {
    for (name, program) in [("path", "/no/such/program"), ("word", "no-such-program")] {
        let id = engine
            .create_container(&ns.name(name), &ns.body(&[program]))
            .await
            .expect("created");
        assert_eq!(kind(engine.start_container(&id).await), ErrorKind::Invalid);
        let seen = engine.inspect_container(&id).await.expect("it exists");
        assert_eq!(
            (seen.state, seen.started_at),
            (ContainerState::Created, None)
        );
        assert!(seen.error.contains(program), "{seen:?}");
    }
}

pub async fn starting_what_runs_is_no_error(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "runs", &["sleep", "1000"]).await;
    let before = engine.inspect_container(&id).await.expect("it exists");
    engine.start_container(&id).await.expect("no error");
    let after = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(after.started_at, before.started_at);
}

pub async fn stopping_what_does_not_run_is_no_error(engine: &dyn Engine, ns: &Namespace) {
    let id = engine
        .create_container(&ns.name("still"), &ns.body(&["true"]))
        .await
        .expect("created");
    engine.stop_container(&id, 1).await.expect("never started");
    engine.start_container(&id).await.expect("started");
    ended(engine, &id).await;
    engine
        .stop_container(&id, 1)
        .await
        .expect("ended by itself");
}

pub async fn the_exit_code_of_an_ended_container_is_seen(engine: &dyn Engine, ns: &Namespace) {
    for (name, command, code) in [
        ("zero", ["sh", "-c", "exit 0"], 0),
        ("three", ["sh", "-c", "exit 3"], 3),
        ("high", ["sh", "-c", "exit 255"], 255),
    ] {
        let id = running(engine, ns, name, &command).await;
        let seen = ended(engine, &id).await;
        assert_eq!(
            (seen.exit_code, seen.oom_killed, seen.pid),
            (Some(code), false, 0)
        );
        assert!(seen.finished_at >= seen.started_at && seen.started_at.is_some());
    }
}

pub async fn a_process_without_a_handler_is_killed_at_the_stop_timeout(
    engine: &dyn Engine,
    ns: &Namespace,
) {
    let id = running(engine, ns, "deaf", &["sleep", "1000"]).await;
    engine.stop_container(&id, 1).await.expect("stopped");
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(
        (seen.state, seen.exit_code),
        (ContainerState::Exited, Some(137))
    );
}

pub async fn a_process_with_a_handler_ends_with_its_own_code(engine: &dyn Engine, ns: &Namespace) {
    let script = "trap 'exit 7' TERM; touch /tmp/ready; sleep 1000 & wait";
    let mut body = ns.body(&["sh", "-c", script]);
    body.healthcheck = Some(super::health::check("test -f /tmp/ready", 1));
    let id = started(engine, &ns.name("polite"), &body).await;
    super::health::until_healthy(engine, &id).await;
    engine.stop_container(&id, 60).await.expect("stopped");
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(
        (seen.state, seen.exit_code),
        (ContainerState::Exited, Some(7))
    );
}

pub async fn an_init_process_passes_the_signal_on(engine: &dyn Engine, ns: &Namespace) {
    let mut body = ns.body(&["sleep", "1000"]);
    body.host_config.init = Some(true);
    body.healthcheck = Some(super::health::check("true", 1));
    let id = started(engine, &ns.name("init"), &body).await;
    super::health::until_healthy(engine, &id).await;
    engine.stop_container(&id, 60).await.expect("stopped");
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.exit_code, Some(143));
}

pub async fn an_ended_container_starts_again(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "again", &["sh", "-c", "sleep 1; exit 3"]).await;
    let first = ended(engine, &id).await;
    engine.start_container(&id).await.expect("started again");
    let second = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(
        (second.state, second.exit_code),
        (ContainerState::Running, None)
    );
    assert!(second.started_at > first.started_at);
    let third = ended(engine, &id).await;
    assert!(third.finished_at > first.finished_at);
}

pub async fn a_removed_container_is_not_found(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "brief", &["true"]).await;
    ended(engine, &id).await;
    engine.remove_container(&id).await.expect("removed");
    assert_eq!(
        kind(engine.remove_container(&id).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(engine.inspect_container(&id).await),
        ErrorKind::NotFound
    );
    assert_eq!(kind(engine.start_container(&id).await), ErrorKind::NotFound);
    assert_eq!(
        kind(engine.stop_container(&id, 1).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        engine.list_containers(&ns.filter()).await.expect("a list"),
        []
    );
}

pub async fn a_running_container_is_removed_by_force(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "busy", &["sleep", "1000"]).await;
    engine.remove_container(&id).await.expect("removed");
    assert_eq!(
        kind(engine.inspect_container(&id).await),
        ErrorKind::NotFound
    );
    let body = ns.body(&["true"]);
    engine
        .create_container(&ns.name("busy"), &body)
        .await
        .expect("the name is free");
}

pub async fn removals_at_once_leave_nothing(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "popular", &["sleep", "1000"]).await;
    let results = join_all((0..3).map(|_| engine.remove_container(&id))).await;
    assert!(results.iter().any(Result::is_ok), "{results:?}");
    for result in results {
        assert!(
            result.is_ok() || kind(result.clone()) == ErrorKind::NotFound,
            "{result:?}"
        );
    }
    assert_eq!(
        kind(engine.inspect_container(&id).await),
        ErrorKind::NotFound
    );
}

pub async fn a_container_that_removes_itself_frees_its_name(engine: &dyn Engine, ns: &Namespace) {
    let mut body = ns.body(&["sh", "-c", "exit 3"]);
    body.host_config.auto_remove = Some(true);
    let id = started(engine, &ns.name("fleeting"), &body).await;
    gone(engine, &id).await;
    engine
        .create_container(&ns.name("fleeting"), &body)
        .await
        .expect("the name is free");
}
