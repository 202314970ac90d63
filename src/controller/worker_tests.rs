//! The controller against a store in memory and agents that do as they are told, in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::testing::{instance, service_spec, task_spec, with_port};
use super::{Controller, ControllerError};
use crate::clock::{Clock, SeededIds, SharedClock};
use crate::model::{
    ClusterName, ClusterSpec, ContainerStatus, Desired, DesiredStatus, LastStatus,
    RegisteredDefinition, ServiceName, Source, StopCode, TaskDefinitionRecord, TaskId, TaskSpec,
    TaskStatus, Timestamp,
};
use crate::store::{
    Changed, Epoch, Guard, Key, Listing, Memory, Op, Revision, SharedStore, Store, StoreError, Txn,
    View, Watch, keys,
};

mod previews;

/// The wall clock of tokio's paused time.
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_000_000).plus(self.0.elapsed())
    }
}

pub(super) struct Fixture {
    store: SharedStore,
    pub(super) view: Arc<View>,
    clock: SharedClock,
    pub(super) controller: Arc<Controller>,
    cancel: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), ControllerError>>,
    agent: Epoch,
}

pub(super) fn default() -> ClusterName {
    ClusterName::default()
}

pub(super) fn folder(services: &[(&str, u32, TaskSpec)]) -> Arc<Desired> {
    let mut desired = Desired::default();
    let cluster = ClusterSpec::named(default());
    desired
        .clusters
        .insert(default(), (cluster, Source::default()));
    for (name, count, spec) in services {
        let mut spec = spec.clone();
        spec.family = (*name).into();
        let definition = RegisteredDefinition {
            input: serde_json::json!({"family": name}),
            hash: spec.hash(),
            spec: Arc::new(spec),
            labels: BTreeMap::new(),
        };
        desired
            .task_definitions
            .insert((*name).into(), (definition, Source::default()));
        let mut service = service_spec(*count);
        service.name = (*name).into();
        service.family = (*name).into();
        desired
            .services
            .entry(default())
            .or_default()
            .insert((*name).into(), (service, Source::default()));
    }
    Arc::new(desired)
}

pub(super) async fn fixture() -> Fixture {
    fixture_on(Memory::new()).await
}

async fn fixture_on(store: SharedStore) -> Fixture {
    let clock: SharedClock = Arc::new(VirtualClock(Instant::now()));
    let cancel = CancellationToken::new();
    let view = View::start(Arc::clone(&store), cancel.clone());
    let agent = store.acquire("agent/local").await.expect("acquire");
    Txn::new(&agent)
        .put_json(
            keys::instance(&default(), &"local".into()),
            &instance("local"),
        )
        .commit(&store)
        .await
        .expect("commit");
    let epoch = store.acquire("controller").await.expect("acquire");
    let controller = Controller::new(
        Arc::clone(&store),
        Arc::clone(&view),
        epoch,
        Arc::clone(&clock),
        SeededIds::new(7),
    );
    let running = tokio::spawn({
        let (controller, cancel) = (Arc::clone(&controller), cancel.clone());
        async move { controller.run(cancel).await }
    });
    Fixture {
        store,
        view,
        clock,
        controller,
        cancel,
        running,
        agent,
    }
}

impl Fixture {
    /// An agent that brings tasks up and down as soon as it is told.
    pub(super) fn obedient_agent(&self) -> tokio::task::JoinHandle<()> {
        let (store, view) = (Arc::clone(&self.store), Arc::clone(&self.view));
        let (clock, epoch) = (Arc::clone(&self.clock), self.agent.clone());
        tokio::spawn(async move {
            let mut changes = view.subscribe();
            loop {
                let mut txn = Txn::new(&epoch);
                for ((cluster, id), task) in &view.read().tasks {
                    let status = task.status.as_deref().cloned().unwrap_or_default();
                    let wanted = match task.record.desired {
                        _ if status.is_stopped() => continue,
                        DesiredStatus::Running if status.last_status == LastStatus::Running => {
                            continue;
                        }
                        DesiredStatus::Running => TaskStatus {
                            last_status: LastStatus::Running,
                            started_at: Some(clock.now()),
                            ..status
                        },
                        DesiredStatus::Stopped => TaskStatus {
                            last_status: LastStatus::Stopped,
                            stopped_at: Some(clock.now()),
                            ..status
                        },
                    };
                    if txn.len() < 90 {
                        txn = txn.put_json(keys::task_status(cluster, id), &wanted);
                    }
                }
                if txn.is_empty() {
                    if matches!(changes.recv().await, Err(_) | Ok(Changed::Everything)) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                } else if let Ok(revision) = txn.commit(&store).await {
                    let _ = view.caught_up(revision).await;
                } else {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        })
    }

    pub(super) async fn crash(&self, id: &TaskId) {
        let now = self.clock.now();
        let old = {
            let state = self.view.read();
            let task = state.task(&default(), id).expect("a task");
            task.status.as_deref().cloned().unwrap_or_default()
        };
        let status = TaskStatus {
            last_status: LastStatus::Stopped,
            stop_code: Some(StopCode::EssentialContainerExited),
            stopped_reason: Some("Essential container in task exited".to_owned()),
            execution_stopped_at: Some(now),
            stopped_at: Some(now),
            containers: vec![ContainerStatus {
                name: "app".to_owned(),
                exit_code: Some(1),
                ..ContainerStatus::default()
            }],
            ..old
        };
        Txn::new(&self.agent)
            .put_json(keys::task_status(&default(), id), &status)
            .commit(&self.store)
            .await
            .expect("commit");
    }

    /// Lets everything run for that long in virtual time.
    pub(super) async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn tasks(&self, service: &str, which: fn(DesiredStatus) -> bool) -> Vec<TaskId> {
        let state = self.view.read();
        state
            .tasks_of_service(&default(), &service.into())
            .filter(|(_, task)| which(task.record.desired))
            .filter(|(_, task)| !task.status.as_ref().is_some_and(|s| s.is_stopped()))
            .map(|(id, _)| id.clone())
            .collect()
    }

    pub(super) fn wanted(&self, service: &str) -> Vec<TaskId> {
        self.tasks(service, |desired| desired == DesiredStatus::Running)
    }

    pub(super) fn steady(&self, service: &str) -> bool {
        let state = self.view.read();
        state
            .service(&default(), &service.into())
            .is_some_and(|record| record.steady)
    }

    fn events(&self, service: &str) -> Vec<String> {
        let key = (default(), ServiceName::new(service));
        let state = self.view.read();
        let events = state.events.get(&key).into_iter().flatten();
        events.map(|(_, event)| event.to_string()).collect()
    }

    fn revision(&self) -> Revision {
        self.view.read().revision
    }
}

#[tokio::test(start_paused = true)]
async fn forty_tasks_are_ordered_in_one_commit_after_the_folder_is_registered() {
    let f = fixture().await;
    f.pass(1).await;
    let before = f.revision();
    f.controller
        .set_desired(folder(&[("web", 40, with_port(task_spec("a"), None))]));
    let mut changes = f.view.subscribe();
    while f.wanted("web").len() < 40 {
        changes.recv().await.expect("the view lives");
    }
    assert_eq!(f.revision() - before, 2, "registered, then ordered");
    let state = f.view.read();
    let local = state.instance(&default(), &"local".into()).expect("local");
    let reserved = local.reserved.as_ref().expect("booked");
    assert_eq!(reserved.0.len(), 40);
    assert_eq!(reserved.ports().len(), 40, "a port for each");
    let task = state.tasks.values().next().expect("a task");
    assert_eq!(task.record.dns_names, ["web"]);
    assert_eq!(task.record.group, "service:web");
    assert!(state.specs.contains_key(&task.record.spec));
}

#[tokio::test(start_paused = true)]
async fn a_folder_becomes_steady_services_and_then_nothing_is_written_any_more() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    let desired = folder(&[("web", 3, task_spec("a")), ("api", 2, task_spec("b"))]);
    f.controller.set_desired(Arc::clone(&desired));
    f.pass(60).await;
    assert!(f.steady("web") && f.steady("api"));
    assert_eq!((f.wanted("web").len(), f.wanted("api").len()), (3, 2));
    let events = f.events("api");
    assert_eq!(events.len(), 4, "{events:#?}");
    assert!(events[1].starts_with("(service api) has started 2 tasks: (task "));
    assert_eq!(events[3], "(service api) has reached a steady state.");

    let revision = f.revision();
    for _ in 0..20 {
        f.controller.set_desired(Arc::new(Desired::clone(&desired)));
        f.pass(600).await;
    }
    assert_eq!(f.revision(), revision);
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_new_revision_replaces_the_tasks_and_a_revert_finds_the_old_number() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    let mut numbers = Vec::new();
    for image in ["a", "b", "a", "c"] {
        f.controller
            .set_desired(folder(&[("web", 2, task_spec(image))]));
        f.pass(120).await;
        assert!(f.steady("web"));
        let state = f.view.read();
        let record = state.service(&default(), &"web".into()).expect("a record");
        assert_eq!(record.deployments.len(), 1);
        numbers.push(record.deployments[0].revision.revision);
    }
    assert_eq!(numbers, [1, 2, 1, 3]);
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_left_the_folder_is_drained_and_after_an_hour_all_of_it_is_gone() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    f.controller
        .set_desired(folder(&[("web", 3, task_spec("a"))]));
    f.pass(60).await;
    f.controller.set_desired(folder(&[]));
    f.pass(60).await;
    {
        let state = f.view.read();
        let record = state.service(&default(), &"web".into()).expect("kept");
        assert_eq!(record.status.as_str(), "INACTIVE");
        let local = state.instance(&default(), &"local".into()).expect("local");
        assert!(local.reserved.as_ref().expect("written").0.is_empty());
        let revision = state.revisions.values().next().expect("kept");
        assert!(
            revision.deregistered_at.is_some(),
            "its family left as well"
        );
    }
    assert!(f.wanted("web").is_empty());
    f.pass(3600).await;
    let state = f.view.read();
    assert!(state.services.is_empty() && state.tasks.is_empty() && state.events.is_empty());
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_service_is_removed_only_once_the_whole_folder_was_read() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    f.controller
        .set_desired(folder(&[("web", 3, task_spec("a"))]));
    f.pass(60).await;
    let nothing = folder(&[]);
    let incomplete = Desired {
        incomplete: true,
        ..Desired::clone(&nothing)
    };
    f.controller.set_desired(Arc::new(incomplete));
    f.pass(60).await;
    assert_eq!(f.wanted("web").len(), 3);
    let active = |revision: &TaskDefinitionRecord| revision.deregistered_at.is_none();
    assert!(
        f.view
            .read()
            .revisions
            .values()
            .all(|stored| active(stored))
    );
    f.controller.set_desired(nothing);
    f.pass(60).await;
    assert!(f.wanted("web").is_empty());
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_crashed_task_is_replaced_and_its_room_is_given_back() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    f.controller
        .set_desired(folder(&[("web", 2, with_port(task_spec("a"), None))]));
    f.pass(60).await;
    let victim = f.wanted("web")[0].clone();
    f.crash(&victim).await;
    f.pass(1).await;
    assert_eq!(f.wanted("web").len(), 2);
    let events = f.events("web");
    assert!(
        events.iter().any(|event| event.contains(&format!(
            "(task {victim}) stopped: Essential container in task exited (container app: exit code 1)"
        ))),
        "{events:#?}"
    );
    let state = f.view.read();
    let local = state.instance(&default(), &"local".into()).expect("local");
    let reserved = local.reserved.as_ref().expect("booked");
    assert_eq!(reserved.0.len(), 2);
    assert!(!reserved.0.contains_key(&victim));
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_costs_few_starts_and_at_most_a_hundred_events_are_kept() {
    let f = fixture().await;
    f.controller
        .set_desired(folder(&[("web", 1, task_spec("a"))]));
    let mut crashes = 0;
    for _ in 0..(6 * 3600) {
        f.pass(1).await;
        for id in f.wanted("web") {
            f.crash(&id).await;
            crashes += 1;
        }
    }
    // About 27 minutes of doubling pauses, then two an hour.
    assert!(
        (20..=30).contains(&crashes),
        "{crashes} crashes in six hours"
    );
    let known = f.view.read().tasks.len();
    assert!(
        known <= super::KEPT + 1,
        "{known} tasks are kept, those of the last hour among them"
    );
    for n in 0..200 {
        let mut desired = Desired::clone(&folder(&[("web", 1, task_spec("a"))]));
        let services = desired.services.get_mut(&default()).expect("services");
        services.get_mut("web").expect("web").0.manifest_hash = format!("m{n}");
        f.controller.set_desired(Arc::new(desired));
        f.pass(1).await;
        for id in f.wanted("web") {
            f.crash(&id).await;
        }
    }
    let events = f.events("web");
    assert_eq!(events.len(), super::EVENTS_KEPT);
}

#[tokio::test(start_paused = true)]
async fn more_tasks_than_one_commit_holds_are_ordered_in_several_and_never_too_many() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    let mut changes = f.view.subscribe();
    f.controller
        .set_desired(folder(&[("web", 230, task_spec("a"))]));
    let mut orders: BTreeMap<Revision, usize> = BTreeMap::new();
    while orders.values().sum::<usize>() < 230 {
        if let Ok(Changed::Key(change)) = changes.recv().await
            && matches!(change.key, Key::Task(..))
        {
            *orders.entry(change.revision).or_default() += 1;
        }
    }
    assert!((3..=5).contains(&orders.len()), "{orders:?}");
    f.pass(60).await;
    assert!(f.steady("web"));
    assert_eq!(f.wanted("web").len(), 230);
    f.controller.set_desired(folder(&[]));
    f.pass(2 * 3600).await;
    assert!(f.view.read().services.is_empty());
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn services_that_start_together_never_share_a_port() {
    let f = fixture().await;
    let names: Vec<String> = (0..30).map(|n| format!("s{n}")).collect();
    let services: Vec<(&str, u32, TaskSpec)> = names
        .iter()
        .map(|name| (name.as_str(), 3, with_port(task_spec("a"), None)))
        .collect();
    f.controller.set_desired(folder(&services));
    f.pass(5).await;
    let state = f.view.read();
    assert_eq!(state.tasks.len(), 90);
    let ports: std::collections::BTreeSet<u16> = state
        .tasks
        .values()
        .map(|task| task.record.ports[0].host_port)
        .collect();
    assert_eq!(ports.len(), 90);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_looked_at_when_another_service_gives_some_back() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    let port = || with_port(task_spec("a"), Some(8080));
    f.controller.set_desired(folder(&[("one", 1, port())]));
    f.pass(60).await;
    f.controller
        .set_desired(folder(&[("one", 1, port()), ("two", 1, port())]));
    f.pass(60).await;
    assert!(f.wanted("two").is_empty());
    assert!(
        f.events("two")
            .iter()
            .any(|e| e.contains("Port 8080/tcp is held by task"))
    );
    f.controller.set_desired(folder(&[("two", 1, port())]));
    f.pass(1).await;
    assert_eq!(f.wanted("two").len(), 1);
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn an_event_that_repeats_the_newest_is_folded_into_it() {
    let f = fixture().await;
    let mut spec = task_spec("a");
    spec.memory = Some(1 << 20);
    let desired = folder(&[("web", 1, spec)]);
    f.controller.set_desired(Arc::clone(&desired));
    f.pass(60).await;
    let before = f.events("web");
    assert!(
        before
            .last()
            .is_some_and(|e| e.contains("insufficient memory"))
    );
    f.pass(6 * 3600).await;
    let mut again = Desired::clone(&desired);
    let services = again.services.get_mut(&default()).expect("services");
    services.get_mut("web").expect("web").0.manifest_hash = "m2".to_owned();
    f.controller.set_desired(Arc::new(again));
    f.pass(1).await;
    let after = f.events("web");
    assert_eq!(after.len(), before.len());
    assert!(
        after.last().is_some_and(|e| e.ends_with("(×2)")),
        "{after:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_comes_again_with_every_try_is_one_event() {
    let f = fixture().await;
    f.controller
        .set_desired(folder(&[("web", 1, task_spec("a"))]));
    let mut last = None;
    for _ in 0..5 {
        f.pass(30).await;
        for id in f.wanted("web") {
            f.crash(&id).await;
            last = Some(id);
        }
    }
    f.pass(1).await;
    let events = f.events("web");
    let told: Vec<&String> = events
        .iter()
        .filter(|e| e.contains(") stopped: "))
        .collect();
    let last = last.expect("a crash");
    assert_eq!(told.len(), 1, "{events:#?}");
    assert!(told[0].contains(last.as_str()) && told[0].ends_with("(×5)"));
}

#[tokio::test(start_paused = true)]
async fn tasks_that_are_stopped_before_they_ran_are_not_said_to_have_been_running() {
    let f = fixture().await;
    f.controller
        .set_desired(folder(&[("web", 30, task_spec("a"))]));
    f.pass(1).await;
    f.controller
        .set_desired(folder(&[("web", 2, task_spec("a"))]));
    f.pass(1).await;
    let events = f.events("web");
    let last = events.last().expect("events");
    assert!(
        last.starts_with("(service web) has called off 28 tasks that did not run yet: (task "),
        "{last}"
    );
    assert!(last.ends_with(" and 18 more."), "{last}");
}

#[tokio::test(start_paused = true)]
async fn books_of_more_instances_than_one_commit_takes_are_written_all_the_same() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    let mut txn = Txn::new(&f.agent);
    let names: Vec<String> = (0..80).map(|n| format!("i{n}")).collect();
    for name in &names {
        let key = keys::instance(&default(), &name.as_str().into());
        txn = txn.put_json(key, &instance(name));
    }
    txn.commit(&f.store).await.expect("commit");
    f.controller
        .set_desired(folder(&[("web", 81, task_spec("a"))]));
    f.pass(60).await;
    assert!(f.steady("web"));
    let booked = || {
        let state = f.view.read();
        let entries = state.instances.values();
        let held = entries.map(|e| e.reserved.as_ref().map_or(0, |r| r.0.len()));
        held.sum::<usize>()
    };
    assert_eq!(booked(), 81, "one on each");
    f.controller
        .set_desired(folder(&[("web", 0, task_spec("a"))]));
    f.pass(60).await;
    assert_eq!(booked(), 0);
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_controller_whose_epoch_is_over_stops_with_an_error() {
    let f = fixture().await;
    f.pass(1).await;
    f.store.acquire("controller").await.expect("acquire");
    f.controller
        .set_desired(folder(&[("web", 1, task_spec("a"))]));
    let ended = f.running.await.expect("no panic");
    assert!(
        matches!(ended, Err(ControllerError::Superseded(_))),
        "{ended:?}"
    );
    f.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_cancelled_ends_without_an_error() {
    let f = fixture().await;
    f.cancel.cancel();
    assert!(f.running.await.expect("no panic").is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_removed_before_the_folder_was_read() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    f.controller
        .set_desired(folder(&[("web", 2, task_spec("a"))]));
    f.pass(60).await;
    f.running.abort();
    let revision = f.revision();
    let epoch = f.store.acquire("controller").await.expect("acquire");
    let next = Controller::new(
        Arc::clone(&f.store),
        Arc::clone(&f.view),
        epoch,
        Arc::clone(&f.clock),
        SeededIds::new(8),
    );
    let running = tokio::spawn({
        let (next, cancel) = (Arc::clone(&next), f.cancel.clone());
        async move { next.run(cancel).await }
    });
    f.pass(600).await;
    assert_eq!(f.revision(), revision);
    next.set_desired(folder(&[("web", 2, task_spec("a"))]));
    f.pass(600).await;
    assert_eq!(
        f.revision(),
        revision,
        "and the same folder changes nothing"
    );
    running.abort();
    agent.abort();
}

/// Refuses most commits, and says of some that it does not know.
#[derive(Debug)]
struct Flaky {
    inner: SharedStore,
    calls: AtomicU32,
}

#[async_trait]
impl Store for Flaky {
    async fn acquire(&self, name: &str) -> Result<Epoch, StoreError> {
        self.inner.acquire(name).await
    }

    async fn commit(
        &self,
        epoch: &Epoch,
        guards: &[Guard],
        ops: Vec<Op>,
    ) -> Result<Revision, StoreError> {
        let lost = |maybe_applied| StoreError::Unavailable {
            operation: "commit",
            message: "no route".to_owned(),
            maybe_applied,
        };
        if epoch.name != "controller" {
            return self.inner.commit(epoch, guards, ops).await;
        }
        match self.calls.fetch_add(1, Ordering::SeqCst) % 3 {
            0 => Err(lost(false)),
            1 => {
                self.inner.commit(epoch, guards, ops).await?;
                Err(lost(true))
            }
            _ => self.inner.commit(epoch, guards, ops).await,
        }
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.inner.list(prefix).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        self.inner.watch(prefix, after).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_and_loses_replies_gets_no_task_twice() {
    let store = Arc::new(Flaky {
        inner: Memory::new(),
        calls: AtomicU32::new(0),
    });
    let f = fixture_on(store).await;
    let agent = f.obedient_agent();
    f.controller.set_desired(folder(&[
        ("web", 5, task_spec("a")),
        ("api", 5, with_port(task_spec("b"), None)),
    ]));
    f.pass(120).await;
    assert!(f.steady("web") && f.steady("api"));
    assert_eq!(f.view.read().tasks.len(), 10);
    f.controller
        .set_desired(folder(&[("web", 5, task_spec("c"))]));
    f.pass(300).await;
    assert!(f.steady("web"));
    assert_eq!(f.wanted("web").len(), 5);
    assert!(f.wanted("api").is_empty());
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_about_a_closed_cluster_until_it_opens() {
    let f = fixture().await;
    let _agent = f.obedient_agent();
    f.controller.set_closed([default()].into());
    f.controller
        .set_desired(folder(&[("web", 2, task_spec("a"))]));
    f.pass(60).await;
    assert!(
        f.wanted("web").is_empty(),
        "it is not known what runs there"
    );
    f.controller.set_closed([].into());
    f.pass(60).await;
    assert_eq!(f.wanted("web").len(), 2);

    f.controller.set_closed([default()].into());
    f.pass(1).await;
    f.controller
        .set_desired(folder(&[("web", 5, task_spec("a"))]));
    f.pass(60).await;
    assert_eq!(f.wanted("web").len(), 2);
    f.controller.set_closed([].into());
    f.pass(60).await;
    assert_eq!(
        f.wanted("web").len(),
        5,
        "what happened meanwhile is made up for"
    );
}
