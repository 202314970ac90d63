//! What only the simulated engine has: time that a test owns, faults, and a history. What every engine has is in
//! `engine_conformance.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use longshore::clock::{SeededIds, TokioClock};
use longshore::engine::body::{Empty, HealthcheckBody, PortBinding};
use longshore::engine::simulated::{
    Behaviour, Cause, FaultPlan, HINT, Operation, Probe, RegistryAnswer, SimEventKind, SimOptions,
    Simulated,
};
use longshore::engine::{
    ContainerState, CreateBody, Engine, EngineResult, ErrorKind, LogOptions, NetworkBody,
};
use longshore::model::{HealthStatus, Protocol, Timestamp};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn engine(seed: u64) -> Arc<Simulated> {
    let options = SimOptions {
        seed,
        max_networks: 3,
        ..SimOptions::default()
    };
    let engine = Simulated::new(
        TokioClock::starting_at(Timestamp::from_millis(1_800_000_000_000)),
        SeededIds::new(seed),
        options,
    );
    engine
        .pull_image("app", None, None, &|_| ())
        .await
        .expect("pulled");
    engine
}

fn app() -> CreateBody {
    CreateBody {
        image: "app".to_owned(),
        ..CreateBody::default()
    }
}

fn hinted(hint: &str) -> CreateBody {
    CreateBody {
        env: vec![format!("{HINT}={hint}")],
        ..app()
    }
}

fn kind<T>(result: EngineResult<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind)
}

async fn start(engine: &Simulated, name: &str, body: &CreateBody) -> String {
    let id = engine.create_container(name, body).await.expect("created");
    engine.start_container(&id).await.expect("started");
    id
}

async fn state(engine: &Simulated, id: &str) -> (ContainerState, Option<i64>) {
    let seen = engine.inspect_container(id).await.expect("it exists");
    (seen.state, seen.exit_code)
}

#[tokio::test(start_paused = true)]
async fn an_image_that_nobody_described_is_a_server_that_ends_when_asked() {
    let engine = engine(1).await;
    let id = start(&engine, "web", &app()).await;
    tokio::time::sleep(secs(86_400)).await;
    assert_eq!(state(&engine, &id).await, (ContainerState::Running, None));
    engine.stop_container(&id, 30).await.expect("stopped");
    assert_eq!(
        state(&engine, &id).await,
        (ContainerState::Exited, Some(143))
    );
}

#[tokio::test(start_paused = true)]
async fn a_hint_in_the_environment_decides_what_a_container_does() {
    let engine = engine(1).await;
    let id = start(
        &engine,
        "job",
        &hinted("print done after 4s; exit 3 after 5s"),
    )
    .await;
    tokio::time::sleep(secs(6)).await;
    assert_eq!(state(&engine, &id).await, (ContainerState::Exited, Some(3)));
    let mut log = engine
        .logs(&id, &LogOptions::default())
        .await
        .expect("a log");
    let line = log.next().await.expect("a line").expect("no error");
    assert_eq!(line.bytes.as_ref(), b"done\n");

    let id = start(&engine, "greedy", &hinted("oom after 1s")).await;
    tokio::time::sleep(secs(2)).await;
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!((seen.exit_code, seen.oom_killed), (Some(137), true));

    let result = engine.create_container("odd", &hinted("fly")).await;
    assert_eq!(kind(result), Some(ErrorKind::Invalid));
}

#[tokio::test(start_paused = true)]
async fn a_behaviour_of_an_image_holds_from_the_next_start_on() {
    let engine = engine(1).await;
    let id = start(&engine, "web", &app()).await;
    engine.set_behaviour("app", Behaviour::exits(secs(1), 9));
    tokio::time::sleep(secs(5)).await;
    assert_eq!(state(&engine, &id).await.0, ContainerState::Running);
    engine.stop_container(&id, 1).await.expect("stopped");
    engine.start_container(&id).await.expect("started");
    tokio::time::sleep(secs(2)).await;
    assert_eq!(state(&engine, &id).await, (ContainerState::Exited, Some(9)));
    engine.set_behaviour("app", Behaviour::cannot_start("no"));
    assert_eq!(
        kind(engine.start_container(&id).await),
        Some(ErrorKind::Invalid)
    );
}

#[tokio::test(start_paused = true)]
async fn health_follows_the_behaviour_and_then_the_test() {
    let engine = engine(1).await;
    let body = CreateBody {
        healthcheck: Some(HealthcheckBody {
            test: vec!["CMD-SHELL".to_owned(), "curl localhost".to_owned()],
            interval: Some(1_000_000_000),
            retries: Some(2),
            ..HealthcheckBody::default()
        }),
        ..hinted("healthy after 10s")
    };
    let id = start(&engine, "web", &body).await;
    let health = async || {
        let seen = engine.inspect_container(&id).await;
        seen.expect("it exists").health
    };
    tokio::time::sleep(secs(5)).await;
    assert_eq!(health().await, HealthStatus::Unhealthy);
    tokio::time::sleep(secs(7)).await;
    assert_eq!(health().await, HealthStatus::Healthy);
    engine.set_health(&id, Some(Probe::Fail));
    tokio::time::sleep(secs(3)).await;
    assert_eq!(health().await, HealthStatus::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn a_registry_answers_as_the_test_says() {
    let engine = engine(1).await;
    for (answer, expected) in [
        (RegistryAnswer::Missing, ErrorKind::ImageNotFound),
        (RegistryAnswer::Unauthorized, ErrorKind::Unauthorized),
        (RegistryAnswer::RateLimited, ErrorKind::RateLimited),
        (
            RegistryAnswer::RateLimitedFor(secs(9)),
            ErrorKind::RateLimited,
        ),
        (RegistryAnswer::OtherPlatform, ErrorKind::NoPlatform),
        (RegistryAnswer::Unavailable, ErrorKind::RegistryUnavailable),
    ] {
        engine.set_registry("other:1", answer);
        let result = engine.pull_image("other:1", None, None, &|_| ()).await;
        assert_eq!(kind(result), Some(expected));
        assert_eq!(engine.image("other:1").await.expect("an answer"), None);
    }
    engine.set_registry("other:1", RegistryAnswer::Found { after: secs(60) });
    let before = tokio::time::Instant::now();
    engine
        .pull_image("other:1", None, None, &|_| ())
        .await
        .expect("pulled");
    assert!(before.elapsed() >= secs(60));

    let first = engine.image("other:1").await.expect("an answer");
    engine.push("other:1");
    engine
        .pull_image("other:1", None, None, &|_| ())
        .await
        .expect("pulled");
    let second = engine.image("other:1").await.expect("an answer");
    assert_ne!(
        first.as_ref().map(|image| &image.repo_digests),
        second.as_ref().map(|image| &image.repo_digests)
    );
    // A digest still names the image that it always named.
    let pinned = first.expect("an image").repo_digests;
    let found = engine.image(&pinned[0]).await.expect("an answer");
    assert_eq!(found.map(|image| image.repo_digests), Some(pinned));
}

#[tokio::test(start_paused = true)]
async fn address_pools_run_out() {
    let engine = engine(1).await;
    let network = |name: &str| NetworkBody {
        name: name.to_owned(),
        ..NetworkBody::default()
    };
    let first = engine.create_network(&network("a")).await.expect("room");
    engine.create_network(&network("b")).await.expect("room");
    assert_eq!(
        kind(engine.create_network(&network("c")).await),
        Some(ErrorKind::Exhausted)
    );
    engine.remove_network(&first).await.expect("removed");
    engine.create_network(&network("c")).await.expect("room");
}

#[tokio::test(start_paused = true)]
async fn a_port_of_another_program_is_in_use() {
    let engine = engine(1).await;
    engine.occupy_port(Protocol::Tcp, 80);
    let mut body = app();
    body.exposed_ports.insert("80/tcp".to_owned(), Empty {});
    body.host_config.port_bindings = BTreeMap::from([(
        "80/tcp".to_owned(),
        vec![PortBinding {
            host_port: "80".to_owned(),
            ..PortBinding::default()
        }],
    )]);
    let id = engine
        .create_container("web", &body)
        .await
        .expect("created");
    assert_eq!(
        kind(engine.start_container(&id).await),
        Some(ErrorKind::PortInUse)
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_changes_nothing_and_a_lost_reply_hides_that_it_was_done() {
    let engine = engine(1).await;
    engine.fail_next(Operation::CreateContainer, ErrorKind::Unknown);
    let failed = engine.create_container("web", &app()).await;
    assert_eq!(kind(failed), Some(ErrorKind::Unknown));
    assert!(engine.containers().is_empty());

    engine.lose_reply_next(Operation::CreateContainer);
    let lost = engine.create_container("web", &app()).await;
    assert_eq!(kind(lost), Some(ErrorKind::Unknown));
    assert_eq!(engine.containers().len(), 1);
    assert_eq!(engine.changing_calls(), 3, "the pull and two creations");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_done_also_when_its_caller_is_gone() {
    let engine = engine(1).await;
    engine.slow_next(Operation::CreateContainer, secs(10));
    let body = app();
    let call = engine.create_container("web", &body);
    assert!(tokio::time::timeout(secs(1), call).await.is_err());
    assert!(engine.containers().is_empty());
    tokio::time::sleep(secs(10)).await;
    assert_eq!(engine.containers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_engine_ends_containers_streams_and_calls() {
    let engine = engine(1).await;
    let polite = start(&engine, "polite", &app()).await;
    let deaf = start(&engine, "deaf", &hinted("ignore term")).await;
    let mut events = engine.events(None).await.expect("events");
    let mut lease = engine.attach_stdin(&polite).await.expect("attached");
    engine.slow_next(Operation::CreateContainer, secs(60));
    let calling = {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { engine.create_container("late", &app()).await })
    };
    tokio::time::sleep(secs(1)).await;

    engine.restart_engine(secs(5));
    lease.ended().await;
    while events.next().await.is_some() {}
    assert_eq!(
        kind(calling.await.expect("no panic")),
        Some(ErrorKind::Unknown)
    );
    assert_eq!(kind(engine.info().await), Some(ErrorKind::Unreachable));
    tokio::time::sleep(secs(5)).await;
    assert_eq!(state(&engine, &polite).await.1, Some(143));
    assert_eq!(state(&engine, &deaf).await.1, Some(137));
    let mut later = engine
        .events(Some(Timestamp::from_millis(0)))
        .await
        .expect("events");
    engine.start_container(&deaf).await.expect("started");
    let first = later.next().await.expect("an event").expect("no error");
    assert_eq!(
        (first.kind.as_str(), first.action.as_str()),
        ("network", "connect")
    );
}

#[tokio::test(start_paused = true)]
async fn silent_events_stay_silent_and_a_new_stream_speaks() {
    let engine = engine(1).await;
    let mut old = engine.events(None).await.expect("events");
    engine.silence_events();
    let mut new = engine.events(None).await.expect("events");
    engine
        .create_container("web", &app())
        .await
        .expect("created");
    assert!(new.next().await.is_some());
    assert!(tokio::time::timeout(secs(3600), old.next()).await.is_err());
    engine.cut_events();
    assert!(new.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_ring_remembers_256_events() {
    let engine = engine(1).await;
    for number in 0..300 {
        engine
            .create_container(&format!("c{number}"), &app())
            .await
            .expect("created");
    }
    let mut events = engine
        .events(Some(Timestamp::from_millis(0)))
        .await
        .expect("events");
    engine.cut_events();
    let mut names = Vec::new();
    while let Some(event) = events.next().await {
        let event = event.expect("no error");
        names.extend(event.attributes.get("name").cloned());
    }
    assert_eq!(names.len(), 256);
    assert_eq!(names.last().map(String::as_str), Some("c299"));
}

#[tokio::test(start_paused = true)]
async fn the_history_says_who_ended_what() {
    let engine = engine(1).await;
    let asked = start(&engine, "asked", &app()).await;
    let own = start(&engine, "own", &hinted("exit 2 after 1s")).await;
    let injected = start(&engine, "injected", &app()).await;
    tokio::time::sleep(secs(2)).await;
    engine.stop_container(&asked, 30).await.expect("stopped");
    engine.kill_container(&injected, 1);
    engine.remove_behind_back(&injected);
    let ends: BTreeMap<String, Vec<SimEventKind>> = engine
        .history()
        .into_iter()
        .filter(|event| {
            matches!(
                event.kind,
                SimEventKind::Exited { .. } | SimEventKind::Removed { .. }
            )
        })
        .fold(BTreeMap::new(), |mut ends, event| {
            ends.entry(event.name).or_default().push(event.kind);
            ends
        });
    let exited = |code, cause| SimEventKind::Exited { code, cause };
    assert_eq!(ends["asked"], [exited(143, Cause::Asked)]);
    assert_eq!(ends["own"], [exited(2, Cause::Own)]);
    assert_eq!(
        ends["injected"],
        [
            exited(1, Cause::Injected),
            SimEventKind::Removed {
                cause: Cause::Injected
            }
        ]
    );
    assert_eq!(
        kind(engine.inspect_container(&injected).await),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        engine.inspect_container(&own).await.map(|c| c.state),
        Ok(ContainerState::Exited)
    );
}

/// A minute of containers that come and go while everything goes wrong.
async fn a_rough_minute(seed: u64) -> String {
    let engine = engine(seed).await;
    engine.set_faults(FaultPlan {
        restart_every: Some(secs(20)),
        ..FaultPlan::rough()
    });
    for number in 0..100 {
        let name = format!("c{}", number % 7);
        let _ = engine
            .create_container(&name, &hinted("exit 1 after 9s"))
            .await;
        let _ = engine.start_container(&name).await;
        if number % 3 == 0 {
            let _ = engine.remove_container(&name).await;
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    engine.clear_faults();
    format!("{:?}", engine.history())
}

#[tokio::test(start_paused = true)]
async fn a_run_is_a_function_of_its_seed() {
    let (first, second, other) = (
        a_rough_minute(1).await,
        a_rough_minute(1).await,
        a_rough_minute(2).await,
    );
    // Each run begins at the same instant of its own clock, so they can be compared as text.
    assert!(first.contains("Injected") && first.len() > 5000);
    assert_eq!(first, second);
    assert_ne!(first, other);
}

/// The kinds of command that the example folder has.
#[tokio::test(start_paused = true)]
async fn the_example_s_commands_do_what_they_do_on_a_real_engine() {
    let engine = engine(1).await;
    let shell = |script: &str| CreateBody {
        cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
        ..app()
    };
    let migrate = "mkdir -p /site && echo 1 > /site/schema && echo migrated to schema 1";
    let migrate = start(&engine, "migrate", &shell(migrate)).await;
    let serve = "echo \"$GREETING from $(hostname -i)\" > /site/index.html\nexec httpd -f -p 8080 -h /site\n";
    let serve = start(&engine, "serve", &shell(serve)).await;
    let work = "n=0; while true; do n=$((n+1)); echo \"job $n: $(wget -q -O - http://web:8080/ || echo no)\"; sleep 2; done";
    let work = CreateBody {
        healthcheck: Some(HealthcheckBody {
            test: ["CMD-SHELL", "test -n \"$(find /tmp/alive -mmin -1)\""]
                .map(str::to_owned)
                .to_vec(),
            interval: Some(5_000_000_000),
            ..HealthcheckBody::default()
        }),
        ..shell(work)
    };
    let work = start(&engine, "work", &work).await;
    tokio::time::sleep(secs(60)).await;
    assert_eq!(
        state(&engine, &migrate).await,
        (ContainerState::Exited, Some(0))
    );
    assert_eq!(state(&engine, &serve).await.0, ContainerState::Running);
    let seen = engine.inspect_container(&work).await.expect("it exists");
    assert_eq!(
        (seen.state, seen.health),
        (ContainerState::Running, HealthStatus::Healthy)
    );
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_cut_off_hears_and_says_nothing_until_it_is_back() {
    let engine = engine(1).await;
    let id = start(&engine, "web", &hinted("exit 1 after 20s")).await;
    let held = start(&engine, "held", &app()).await;
    let mut events = engine.events(None).await.expect("events");
    let in_flight = {
        let (engine, id) = (Arc::clone(&engine), held.clone());
        tokio::spawn(async move { engine.stop_container(&id, 5).await })
    };
    tokio::task::yield_now().await;
    engine.cut_off_for(secs(30));
    assert_eq!(kind(engine.info().await), Some(ErrorKind::Unreachable));
    // What was under way is done, and nobody hears of it.
    let in_flight = in_flight.await.expect("no panic");
    assert_eq!(kind(in_flight), Some(ErrorKind::TimedOut));
    assert!(engine.is_reachable());
    assert_eq!(state(&engine, &held).await.0, ContainerState::Exited);
    assert_eq!(state(&engine, &id).await, (ContainerState::Exited, Some(1)));
    assert!(
        events.next().await.is_none(),
        "the stream turns out to be dead"
    );
}

#[tokio::test(start_paused = true)]
async fn a_500_may_have_been_done_and_a_call_that_hangs_is_given_up() {
    let engine = engine(1).await;
    let every = |plan: FaultPlan| engine.set_faults(plan);
    every(FaultPlan {
        failed_done: 1000,
        ..FaultPlan::default()
    });
    let created = engine.create_container("web", &app()).await;
    assert_eq!(kind(created), Some(ErrorKind::Unknown));
    assert_eq!(engine.containers().len(), 1, "it was done");
    every(FaultPlan {
        hung: 1000,
        ..FaultPlan::default()
    });
    let began = tokio::time::Instant::now();
    let hung = engine.info().await;
    assert_eq!(kind(hung), Some(ErrorKind::TimedOut));
    assert!(began.elapsed() >= secs(60));
}
