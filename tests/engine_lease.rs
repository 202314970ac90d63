//! One holder a cluster (P8), on the simulated engine and on the Docker Engine that answers here.

mod common;

use std::future::Future;
use std::io::{BufRead, BufReader, Write as _};
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use common::Namespace;
use futures_util::FutureExt;
use longshore::clock::{SeededIds, TokioClock};
use longshore::engine::lease::{Holder, Lease, LeaseError, container_name, holder};
use longshore::engine::simulated::{SimOptions, Simulated};
use longshore::engine::{ContainerState, CreateBody, ErrorKind, SharedEngine, labels, pause};
use longshore::model::Timestamp;

/// Somebody who holds a cluster; not this process, as far as the labels tell.
fn somebody(folder: &str) -> Holder {
    Holder {
        owner: "0123456789abcdef".into(),
        pid: 1,
        host: "there".into(),
        folder: folder.into(),
        started: "2024-05-01T10:00:00Z".into(),
        process: String::new(),
        term: 0,
    }
}

/// Runs a test with a cluster of its own, and removes that cluster's lease however it ended.
async fn with_cluster<F: Future<Output = ()>>(
    engine: SharedEngine,
    test: impl FnOnce(SharedEngine, String) -> F,
) {
    let cluster = Namespace::new().name("lease");
    let outcome = AssertUnwindSafe(test(Arc::clone(&engine), cluster.clone()))
        .catch_unwind()
        .await;
    match engine.remove_container(&container_name(&cluster)).await {
        Err(error) if error.kind != ErrorKind::NotFound => panic!("not cleaned up: {error}"),
        _ => {}
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

async fn the_second_is_refused_and_told_who_holds(engine: SharedEngine, cluster: String) {
    let first = somebody("/first");
    let lease = Lease::acquire(&engine, &cluster, &first).await.unwrap();
    assert!(lease.is_held());
    assert_eq!(
        holder(engine.as_ref(), &cluster).await.unwrap(),
        Some(first.clone())
    );

    let refused = Lease::acquire(&engine, &cluster, &somebody("/second"))
        .await
        .unwrap_err();
    let LeaseError::HeldBy { holder, .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!(**holder, first);
    assert!(refused.to_string().contains("/first"), "{refused}");
    assert!(lease.is_held(), "the first is not disturbed");
}

async fn a_released_cluster_is_free_at_once(engine: SharedEngine, cluster: String) {
    let lease = Lease::acquire(&engine, &cluster, &somebody("/first"))
        .await
        .unwrap();
    lease.release().await.unwrap();
    assert_eq!(holder(engine.as_ref(), &cluster).await.unwrap(), None);
    let next = Lease::acquire(&engine, &cluster, &somebody("/second"))
        .await
        .unwrap();
    assert!(next.is_held());
}

async fn a_dropped_lease_is_free_soon(engine: SharedEngine, cluster: String) {
    drop(
        Lease::acquire(&engine, &cluster, &somebody("/first"))
            .await
            .unwrap(),
    );
    let next = Lease::acquire(&engine, &cluster, &somebody("/second"))
        .await
        .unwrap();
    assert!(next.is_held());
}

async fn a_holder_learns_that_its_lease_is_lost_and_takes_it_again(
    engine: SharedEngine,
    cluster: String,
) {
    let me = somebody("/first");
    let lease = Lease::acquire(&engine, &cluster, &me).await.unwrap();
    // As at a restart of the engine.
    engine
        .remove_container(&container_name(&cluster))
        .await
        .unwrap();
    lease.lost().await;
    assert!(!lease.is_held());
    let again = Lease::acquire(&engine, &cluster, &me).await.unwrap();
    assert!(again.is_held());
}

async fn a_lease_that_runs_on_without_its_holder_is_taken_back_by_it(
    engine: SharedEngine,
    cluster: String,
) {
    // As after a restart of an engine that keeps containers running: nobody is attached, and it does not end.
    let me = somebody("/first");
    let lost = Lease::acquire(&engine, &cluster, &me).await.unwrap();
    let again = Lease::acquire(&engine, &cluster, &me).await.unwrap();
    lost.lost().await;
    assert!(again.is_held());
}

async fn a_later_leader_of_the_same_owner_takes_the_lease_and_an_earlier_one_does_not(
    engine: SharedEngine,
    cluster: String,
) {
    // The earlier one is stopped in its tracks: its connection stays, and with it its lease.
    let (earlier, later) = (somebody("/a").leading(7), somebody("/b").leading(9));
    let first = Lease::acquire(&engine, &cluster, &earlier).await.unwrap();
    let second = Lease::acquire(&engine, &cluster, &later).await.unwrap();
    first.lost().await;
    let refused = Lease::acquire(&engine, &cluster, &earlier).await;
    assert!(
        matches!(&refused, Err(LeaseError::HeldBy { holder, .. }) if **holder == later),
        "{refused:?}"
    );
    let stranger = Holder {
        owner: "fedcba9876543210".into(),
        ..somebody("/c").leading(11)
    };
    let refused = Lease::acquire(&engine, &cluster, &stranger).await;
    assert!(matches!(refused, Err(LeaseError::HeldBy { .. })));
    assert!(second.is_held(), "another owner's term says nothing");
}

async fn a_lease_that_was_never_started_is_taken_away(engine: SharedEngine, cluster: String) {
    let image = pause::ensure(engine.as_ref()).await.unwrap();
    let body = CreateBody {
        image,
        entrypoint: Some(vec![pause::LEASE.to_owned()]),
        labels: [(labels::LEASE.to_owned(), "1".to_owned())].into(),
        open_stdin: Some(true),
        ..CreateBody::default()
    };
    let left = engine
        .create_container(&container_name(&cluster), &body)
        .await
        .unwrap();
    let lease = Lease::acquire(&engine, &cluster, &somebody("/second"))
        .await
        .unwrap();
    assert!(lease.is_held());
    let gone = engine.inspect_container(&left).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound);
}

async fn a_lease_that_ended_and_stayed_is_taken_away(engine: SharedEngine, cluster: String) {
    let image = pause::ensure(engine.as_ref()).await.unwrap();
    let body = CreateBody {
        image,
        entrypoint: Some(vec![pause::LEASE.to_owned()]),
        labels: [(labels::LEASE.to_owned(), "1".to_owned())].into(),
        open_stdin: Some(true),
        stdin_once: Some(true),
        ..CreateBody::default()
    };
    let left = engine
        .create_container(&container_name(&cluster), &body)
        .await
        .unwrap();
    // Nothing removes this one when its input ends.
    let attachment = engine.attach_stdin(&left).await.unwrap();
    engine.start_container(&left).await.unwrap();
    drop(attachment);
    let lease = Lease::acquire(&engine, &cluster, &somebody("/second"))
        .await
        .unwrap();
    assert!(lease.is_held());
    let gone = engine.inspect_container(&left).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound);
}

async fn a_foreign_container_of_that_name_is_left_alone(engine: SharedEngine, cluster: String) {
    let image = pause::ensure(engine.as_ref()).await.unwrap();
    let body = CreateBody {
        image,
        ..CreateBody::default()
    };
    let foreign = engine
        .create_container(&container_name(&cluster), &body)
        .await
        .unwrap();
    let refused = Lease::acquire(&engine, &cluster, &somebody("/second"))
        .await
        .unwrap_err();
    assert!(matches!(refused, LeaseError::NotALease { .. }), "{refused}");
    let seen = engine.inspect_container(&foreign).await.unwrap();
    assert_eq!(seen.state, ContainerState::Created);
}

async fn of_many_at_once_exactly_one_holds(engine: SharedEngine, cluster: String) {
    let asking = (0..4).map(|number| {
        let (engine, cluster) = (Arc::clone(&engine), cluster.clone());
        async move { Lease::acquire(&engine, &cluster, &somebody(&format!("/{number}"))).await }
    });
    let all = futures_util::future::join_all(asking).await;
    let held: Vec<_> = all.iter().filter(|one| one.is_ok()).collect();
    assert_eq!(held.len(), 1, "{all:?}");
    for refused in all.iter().filter_map(|one| one.as_ref().err()) {
        assert!(matches!(refused, LeaseError::HeldBy { .. }), "{refused}");
    }
}

fn simulated() -> SharedEngine {
    Simulated::new(
        TokioClock::starting_at(Timestamp::from_millis(1_800_000_000_000)),
        SeededIds::new(7),
        SimOptions::default(),
    )
}

macro_rules! on_both_engines {
    ($($case:ident),* $(,)?) => {
        mod simulated {
            $(
                #[tokio::test(start_paused = true)]
                async fn $case() {
                    let engine = crate::simulated();
                    crate::with_cluster(engine, crate::$case).await;
                }
            )*
        }

        mod docker {
            $(
                #[tokio::test]
                async fn $case() {
                    if let Some(engine) = crate::common::docker().await {
                        crate::with_cluster(engine, crate::$case).await;
                    }
                }
            )*
        }
    };
}

on_both_engines! {
    the_second_is_refused_and_told_who_holds,
    a_released_cluster_is_free_at_once,
    a_dropped_lease_is_free_soon,
    a_holder_learns_that_its_lease_is_lost_and_takes_it_again,
    a_lease_that_runs_on_without_its_holder_is_taken_back_by_it,
    a_later_leader_of_the_same_owner_takes_the_lease_and_an_earlier_one_does_not,
    a_lease_that_was_never_started_is_taken_away,
    a_lease_that_ended_and_stayed_is_taken_away,
    a_foreign_container_of_that_name_is_left_alone,
    of_many_at_once_exactly_one_holds,
}

const CLUSTER: &str = "LONGSHORE_TEST_LEASE_CLUSTER";

/// Not a test: the other process of the one below.
#[tokio::test]
#[ignore = "no test of its own: the one below runs it as the other process"]
async fn holds_a_cluster_until_it_is_killed() {
    let cluster = std::env::var(CLUSTER).expect("set by the test that runs this");
    let engine: SharedEngine = common::docker().await.expect("the caller found an engine");
    let me = Holder::this_process("feedfacefeedface", "/other", "now");
    let _lease = Lease::acquire(&engine, &cluster, &me).await.unwrap();
    println!("\nHELD {}", std::process::id());
    std::io::stdout().flush().unwrap();
    std::future::pending::<()>().await;
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_killed_process_frees_its_cluster() {
    let Some(engine) = common::docker().await else {
        return;
    };
    with_cluster(engine, async |engine: SharedEngine, cluster: String| {
        let mut other = Killed(
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "holds_a_cluster_until_it_is_killed"])
                .args(["--ignored", "--nocapture"])
                .env(CLUSTER, &cluster)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let output = BufReader::new(other.0.stdout.take().unwrap());
        let held = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("HELD ")?.to_owned()))
            .expect("the other process holds the cluster");

        let me = Holder::this_process("0123456789abcdef", "/mine", "now");
        let refused = Lease::acquire(&engine, &cluster, &me).await.unwrap_err();
        let text = refused.to_string();
        assert!(text.contains(&format!("process {held} on")), "{text}");
        assert!(text.contains("/other"), "{text}");

        // SIGKILL: it can do nothing about its lease any more.
        other.0.kill().unwrap();
        let lease = Lease::acquire(&engine, &cluster, &me).await.unwrap();
        assert!(lease.is_held());
        lease.release().await.unwrap();
    })
    .await;
}
