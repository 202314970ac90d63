//! Requests and upkeep against a store in memory, in virtual time. An agent is played where one is needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{MOST_KEPT, RunError, RunOutcome, RunRequest};
use crate::clock::{SeededIds, SharedClock, TokioClock};
use crate::controller::testing::{app, instance, service_spec, task_spec, with_port};
use crate::controller::{Controller, REMEMBERED};
use crate::model::{
    ClusterName, ClusterSpec, ContainerOverride, Desired, DesiredStatus, InstanceDesired,
    LastStatus, RegisteredDefinition, Reserved, Source, StopCode, TaskId, TaskOverrides,
    TaskRecord, TaskSpec, TaskStatus, Timestamp,
};
use crate::store::{Epoch, Memory, SharedStore, Txn, View, keys};

struct Fixture {
    store: SharedStore,
    view: Arc<View>,
    clock: SharedClock,
    controller: Arc<Controller>,
    agent: Epoch,
    cancel: CancellationToken,
}

fn default() -> ClusterName {
    ClusterName::default()
}

fn folder(families: &[(&str, TaskSpec)], services: &[&str]) -> Arc<Desired> {
    let mut desired = Desired::default();
    let cluster = (ClusterSpec::named(default()), Source::default());
    desired.clusters.insert(default(), cluster);
    for (family, spec) in families {
        let mut spec = spec.clone();
        spec.family = (*family).into();
        let definition = RegisteredDefinition {
            input: serde_json::json!({"family": family}),
            hash: spec.hash(),
            spec: Arc::new(spec),
            labels: BTreeMap::new(),
        };
        desired
            .task_definitions
            .insert((*family).into(), (definition, Source::default()));
    }
    for name in services {
        let mut service = service_spec(1);
        (service.name, service.family) = ((*name).into(), (*name).into());
        let services = desired.services.entry(default()).or_default();
        services.insert((*name).into(), (service, Source::default()));
    }
    Arc::new(desired)
}

fn job() -> TaskSpec {
    let mut spec = task_spec("busybox");
    app(&mut spec).memory = Some(1024);
    spec
}

fn request(family: &str, count: u32) -> RunRequest {
    RunRequest {
        cluster: default(),
        family: family.into(),
        revision: None,
        count,
        group: None,
        started_by: None,
        token: None,
        overrides: TaskOverrides::default(),
        tags: BTreeMap::new(),
        propagate_tags: false,
        constraints: Vec::new(),
        strategy: Vec::new(),
        providers: Vec::new(),
        names_launch_type: false,
    }
}

fn saying(words: &str) -> TaskOverrides {
    TaskOverrides {
        containers: vec![ContainerOverride {
            name: "app".to_owned(),
            command: Some(vec!["echo".to_owned(), words.to_owned()]),
            ..ContainerOverride::default()
        }],
        ..TaskOverrides::default()
    }
}

/// One instance of 8 GiB, `local`, and a controller that follows this folder.
async fn fixture(desired: Arc<Desired>) -> Fixture {
    let store: SharedStore = Memory::new();
    let agent = store.acquire("agent/local").await.expect("acquire");
    let local = keys::instance(&default(), &"local".into());
    let registered = Txn::new(&agent).put_json(local, &instance("local"));
    registered.commit(&store).await.expect("commit");
    fixture_on(store, agent, desired).await
}

async fn fixture_on(store: SharedStore, agent: Epoch, desired: Arc<Desired>) -> Fixture {
    let clock: SharedClock = TokioClock::starting_at(Timestamp::from_millis(1_000_000));
    let cancel = CancellationToken::new();
    let view = View::start(Arc::clone(&store), cancel.clone());
    let epoch = store.acquire("controller").await.expect("acquire");
    let controller = Controller::new(
        Arc::clone(&store),
        Arc::clone(&view),
        epoch,
        Arc::clone(&clock),
        SeededIds::new(store_revision(&view)),
    );
    controller.set_desired(desired);
    tokio::spawn({
        let (controller, cancel) = (Arc::clone(&controller), cancel.clone());
        async move { controller.run(cancel).await }
    });
    Fixture {
        store,
        view,
        clock,
        controller,
        agent,
        cancel,
    }
}

/// A seed that no earlier controller on the same store had.
fn store_revision(view: &View) -> u64 {
    view.read().revision + 11
}

impl Fixture {
    async fn run(&self, request: &RunRequest) -> Result<RunOutcome, RunError> {
        self.controller.run_task(request).await
    }

    async fn started(&self, request: &RunRequest) -> Vec<TaskId> {
        let outcome = self.run(request).await.expect("recorded");
        assert_eq!(outcome.missing, 0, "{:?}", outcome.refusals);
        outcome.tasks
    }

    /// Writes a task's status as its agent does.
    async fn report(&self, id: &TaskId, status: LastStatus) {
        let status = TaskStatus {
            last_status: status,
            stopped_at: (status == LastStatus::Stopped).then(|| self.clock.now()),
            ..TaskStatus::default()
        };
        let txn = Txn::new(&self.agent).put_json(keys::task_status(&default(), id), &status);
        let revision = txn.commit(&self.store).await.expect("commit");
        self.view.caught_up(revision).await.expect("running");
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn settle(&self) {
        self.pass(Duration::from_secs(1)).await;
    }

    fn record(&self, id: &TaskId) -> Option<TaskRecord> {
        let state = self.view.read();
        let entry = state.task(&default(), id)?;
        Some(TaskRecord::clone(&entry.record))
    }

    fn tasks(&self) -> usize {
        self.view.read().tasks.len()
    }

    fn reserved(&self) -> Reserved {
        let state = self.view.read();
        let entry = state.instance(&default(), &"local".into());
        let reserved = entry.and_then(|entry| entry.reserved.as_ref());
        reserved.map_or_else(Reserved::default, |r| Reserved::clone(&r.value))
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_once_what_the_folder_says_of_its_family() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    let ids = f.started(&request("job", 3)).await;
    assert_eq!(ids.len(), 3);
    let record = f.record(&ids[0]).expect("recorded");
    assert_eq!(record.revision_ref().to_string(), "job:1");
    assert_eq!(record.group, "family:job");
    assert_eq!((record.service, record.deployment), (None, None));
    assert!(f.view.read().specs.contains_key(&record.spec));
    let held = f.reserved();
    assert_eq!(held.total().memory, 3 * 1024);
    assert!(ids.iter().all(|id| held.0.contains_key(id)));
}

#[tokio::test(start_paused = true)]
async fn a_service_never_counts_or_stops_it() {
    let f = fixture(folder(&[("web", job())], &["web"])).await;
    f.settle().await;
    assert_eq!(f.tasks(), 1, "the service's own");
    let ids = f.started(&request("web", 2)).await;
    f.pass(Duration::from_secs(120)).await;
    assert_eq!(f.tasks(), 3);
    for id in &ids {
        assert_eq!(
            f.record(id).map(|r| r.desired),
            Some(DesiredStatus::Running)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_drops_the_family_does_not_stop_a_task_but_starts_no_other() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    let ids = f.started(&request("job", 1)).await;
    f.controller.set_desired(folder(&[("other", job())], &[]));
    f.settle().await;
    assert_eq!(
        f.record(&ids[0]).map(|r| r.desired),
        Some(DesiredStatus::Running)
    );
    let error = f.run(&request("job", 1)).await.unwrap_err();
    assert!(matches!(error, RunError::Inactive(_)), "{error}");
    let mut numbered = request("job", 1);
    numbered.revision = Some(1);
    let error = f.run(&numbered).await.unwrap_err();
    assert!(error.to_string().contains("job:1 is INACTIVE"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_family_or_revision_is_named() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    let error = f.run(&request("jbo", 1)).await.unwrap_err();
    assert!(matches!(&error, RunError::Unknown(name, known) if name == "jbo" && known.len() == 1));
    let mut numbered = request("job", 1);
    numbered.revision = Some(7);
    let error = f.run(&numbered).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no task definition job:7");
}

#[tokio::test(start_paused = true)]
async fn an_older_revision_can_be_run_by_its_number() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    f.settle().await;
    let mut newer = job();
    app(&mut newer).image = "busybox:2".to_owned();
    f.controller.set_desired(folder(&[("job", newer)], &[]));
    f.settle().await;
    let newest = f.started(&request("job", 1)).await;
    assert_eq!(f.record(&newest[0]).map(|r| r.revision), Some(2));
    let mut first = request("job", 1);
    first.revision = Some(1);
    let first = f.started(&first).await;
    assert_eq!(f.record(&first[0]).map(|r| r.revision), Some(1));
}

#[tokio::test(start_paused = true)]
async fn tasks_that_find_no_place_are_counted_and_the_others_run() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    let outcome = f.run(&request("job", 10)).await.expect("recorded");
    assert_eq!((outcome.tasks.len(), outcome.missing), (8, 2));
    let refused = &outcome.refusals[0];
    assert_eq!(
        (refused.instance.as_str(), refused.reason),
        ("local", "RESOURCE:MEMORY")
    );
    assert_eq!(f.reserved().total().memory, 8 * 1024);
    let nothing = f.run(&request("job", 1)).await.expect("answered");
    assert_eq!((nothing.tasks.len(), nothing.missing), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fixed_port_is_given_once_and_distinct_tasks_want_instances_of_their_own() {
    let port = with_port(task_spec("busybox"), Some(8080));
    let f = fixture(folder(&[("port", port), ("job", job())], &[])).await;
    let outcome = f.run(&request("port", 2)).await.expect("recorded");
    assert_eq!(
        (outcome.tasks.len(), outcome.refusals[0].reason),
        (1, "RESOURCE:PORTS")
    );
    let mut distinct = request("job", 2);
    distinct.constraints = vec![crate::model::PlacementConstraint::DistinctInstance];
    let outcome = f.run(&distinct).await.expect("recorded");
    assert_eq!(outcome.tasks.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_draining_instance_takes_none_and_a_cluster_without_instances_is_an_error() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    let ids = f.started(&request("job", 1)).await;
    let mut draining = Desired::clone(&folder(&[("job", job())], &[]));
    let (cluster, _) = draining.clusters.get_mut(&default()).expect("declared");
    cluster.instances[0].desired = InstanceDesired::Draining;
    f.controller.set_desired(Arc::new(draining));
    f.settle().await;
    let outcome = f.run(&request("job", 1)).await.expect("answered");
    assert_eq!(
        (outcome.tasks.len(), outcome.refusals[0].reason),
        (0, "INACTIVE")
    );
    // What runs there stays (semantics §4.34).
    assert_eq!(
        f.record(&ids[0]).map(|r| r.desired),
        Some(DesiredStatus::Running)
    );
    let mut elsewhere = request("job", 1);
    elsewhere.cluster = "other".into();
    let error = f.run(&elsewhere).await.unwrap_err();
    assert!(matches!(error, RunError::NoInstances), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_token_is_recorded_once_also_by_the_next_controller() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    let mut asked = request("job", 2);
    asked.token = Some("t1".to_owned());
    let ids = f.started(&asked).await;
    assert_eq!(f.started(&asked).await, ids);
    f.cancel.cancel();
    let g = fixture_on(
        Arc::clone(&f.store),
        f.agent.clone(),
        folder(&[("job", job())], &[]),
    )
    .await;
    assert_eq!(g.started(&asked).await, ids);
    assert_eq!(g.tasks(), 2);
    asked.count = 1;
    let error = g.run(&asked).await.unwrap_err();
    assert!(matches!(error, RunError::TokenReused(of) if of == ids));
    asked.token = Some("t2".to_owned());
    assert_ne!(g.started(&asked).await, ids);
}

#[tokio::test(start_paused = true)]
async fn what_is_overridden_is_a_specification_of_its_own_that_goes_with_its_last_task() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    let mut asked = request("job", 1);
    asked.overrides = saying("one");
    let (one, same) = (f.started(&asked).await, f.started(&asked).await);
    let plain = f.started(&request("job", 1)).await;
    let spec_of = |id: &TaskId| f.record(id).map(|r| r.spec).expect("recorded");
    let (overridden, own) = (spec_of(&one[0]), spec_of(&plain[0]));
    assert_eq!(spec_of(&same[0]), overridden);
    assert_ne!(overridden, own);
    let stored = |hash| f.view.read().specs.contains_key(hash);
    assert!(stored(&overridden) && stored(&own));
    f.report(&one[0], LastStatus::Stopped).await;
    f.report(&plain[0], LastStatus::Stopped).await;
    f.pass(REMEMBERED + Duration::from_secs(1)).await;
    assert!(stored(&overridden), "a task still runs it");
    f.report(&same[0], LastStatus::Stopped).await;
    f.pass(REMEMBERED + Duration::from_secs(1)).await;
    assert_eq!(f.tasks(), 0);
    assert!(!stored(&overridden));
    assert!(stored(&own), "a revision is it");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_over_holds_nothing_and_is_remembered_for_an_hour() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    let ids = f.started(&request("job", 1)).await;
    f.report(&ids[0], LastStatus::Running).await;
    f.settle().await;
    assert_eq!(f.reserved().total().memory, 1024);
    f.report(&ids[0], LastStatus::Stopped).await;
    f.settle().await;
    assert_eq!(f.reserved(), Reserved::default());
    f.pass(REMEMBERED - Duration::from_secs(10)).await;
    assert_eq!(f.tasks(), 1);
    f.pass(Duration::from_secs(20)).await;
    assert_eq!(f.tasks(), 0);
    let rest = f.store.list(&keys::tasks_of(&default())).await;
    assert!(rest.expect("a listing").items.is_empty(), "its status too");
}

#[tokio::test(start_paused = true)]
async fn of_many_tasks_that_are_over_the_newest_hundred_are_remembered() {
    let f = fixture(folder(&[("job", task_spec("busybox"))], &[])).await;
    let mut all = Vec::new();
    for _ in 0..12 {
        for id in f.started(&request("job", 10)).await {
            f.report(&id, LastStatus::Stopped).await;
            all.push(id);
        }
        f.settle().await;
    }
    assert_eq!(f.tasks(), MOST_KEPT);
    assert!(all[..20].iter().all(|id| f.record(id).is_none()));
    assert!(all[20..].iter().all(|id| f.record(id).is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_taken_over_is_booked_again() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    let ids = f.started(&request("job", 1)).await;
    let key = keys::instance_reserved(&default(), &"local".into());
    let lost = Txn::new(&f.agent).delete(key);
    lost.commit(&f.store).await.expect("commit");
    f.report(&ids[0], LastStatus::Running).await;
    f.settle().await;
    assert_eq!(f.reserved().total().memory, 1024);
}

#[tokio::test(start_paused = true)]
async fn stopping_is_ordered_once_in_the_callers_words() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    let ids = f.started(&request("job", 1)).await;
    let order = |why: &'static str| {
        let (controller, id) = (&f.controller, &ids[0]);
        async move {
            controller
                .stop_task(&default(), id, why)
                .await
                .expect("ordered")
        }
    };
    let first = order("enough").await;
    assert_eq!(order("again").await, first);
    let stop = f.record(&ids[0]).and_then(|r| r.stop).expect("ordered");
    assert_eq!(
        (stop.code, stop.reason.as_str()),
        (StopCode::UserInitiated, "enough")
    );
    let unknown = f
        .controller
        .stop_task(&default(), &"none".into(), "x")
        .await;
    assert!(unknown.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ended_by_itself_is_not_said_to_have_been_stopped() {
    let f = fixture(folder(&[("job", job())], &[])).await;
    let ids = f.started(&request("job", 1)).await;
    f.report(&ids[0], LastStatus::Stopped).await;
    let stopped = f.controller.stop_task(&default(), &ids[0], "late").await;
    stopped.expect("nothing to do");
    assert_eq!(f.record(&ids[0]).and_then(|r| r.stop), None);
}
