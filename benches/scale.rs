//! What deciding costs in large clusters: the real controller over a store in memory, with instances and statuses that are only
//! written down. No engine is needed.
//!
//! `cargo bench --bench scale`; `make bench` writes the table to docs/benchmarks.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore::clock::{Clock, SeededIds, SystemClock};
use longshore::controller::{
    Controller, Definition, InstanceView, Plan, PlanInput, TaskView, plan,
};
use longshore::manifest::load::{LastGood, LoadOptions, load};
use longshore::manifest::source;
use longshore::model::{
    ClusterName, Desired, Instance, InstanceDesired, InstanceId, LastStatus, Resources,
    SchedulingStrategy, ServiceName, ServiceSpec, TaskId, TaskRecord, TaskStatus, Timestamp,
};
use longshore::store::{Epoch, Limits, Memory, SharedStore, State, TaskEntry, Txn, View, keys};
use mimalloc::MiMalloc;
use tokio_util::sync::CancellationToken;

/// As the command has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const TASKS_OF_SERVICE: u32 = 1_000;
/// Most decisions of the plans that are timed.
const MOST: usize = 90;
/// Instances and services of the clusters that are compared: growing together, then only the services.
const SIZES: [(u32, u32); 5] = [(20, 1), (200, 10), (1_000, 1), (1_000, 10), (1_000, 50)];

#[tokio::main]
async fn main() {
    println!(
        "\n## Deciding in large clusters\n\n| Cluster | all tasks placed | memory | plan, nothing to do | plan, 90 tasks to start | \
         plan, DAEMON | one service's change |\n|---|---|---|---|---|---|---|"
    );
    for (instances, services) in SIZES {
        let world = World::new(instances, services).await;
        let placed = world.place_all().await;
        let memory = resident();
        world.run_all().await;
        let idle = world.time_plan(TASKS_OF_SERVICE);
        let growing = world.time_plan(TASKS_OF_SERVICE + 90);
        let daemon = world.time_daemon_plan();
        let change = world.time_change().await;
        println!(
            "| {instances} instances, {} tasks, {} services | {:.2} s | {memory:.0} MiB | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms |",
            services * TASKS_OF_SERVICE,
            services,
            placed.as_secs_f64(),
            millis(idle),
            millis(growing),
            millis(daemon),
            millis(change),
        );
        world.cancel.cancel();
    }
    println!(
        "\nServices of {TASKS_OF_SERVICE} tasks with a dynamic port each, spread over all instances. *Placed*: from the folder's content \
         to the last task recorded, as many a commit as the embedded store takes. *Plan*: the pure decision for one service, median of 50; DAEMON: a task on each instance, nothing to do. *Change*: one \
         service's desiredCount raised by one, from the folder's content to the task recorded and seen, median of 20."
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|l| l.split_whitespace().next()?.parse().ok())
        .expect("VmRSS");
    kib / 1024.0
}

struct World {
    instances: u32,
    services: u32,
    store: SharedStore,
    view: Arc<View>,
    controller: Arc<Controller>,
    agent: Epoch,
    cluster: ClusterName,
    desired: Arc<Desired>,
    cancel: CancellationToken,
}

impl World {
    async fn new(instances: u32, services: u32) -> Self {
        let store: SharedStore = Arc::new(Memory::with_limits(Limits::EMBEDDED));
        let cancel = CancellationToken::new();
        let view = View::start(Arc::clone(&store), cancel.clone());
        let epoch = store.acquire("controller").await.expect("an epoch");
        let agent = store.acquire("agent").await.expect("an epoch");
        let controller = Controller::new(
            Arc::clone(&store),
            Arc::clone(&view),
            epoch,
            Arc::new(SystemClock),
            SeededIds::new(1),
        );
        let world = Self {
            instances,
            services,
            cluster: ClusterName::new("large"),
            desired: Arc::new(declared(instances, services)),
            store,
            view,
            controller,
            agent,
            cancel,
        };
        world.register().await;
        let (controller, cancel) = (Arc::clone(&world.controller), world.cancel.clone());
        tokio::spawn(async move { controller.run(cancel).await });
        world
    }

    fn name(&self, index: u32) -> String {
        format!("i-{index:04}")
    }

    async fn register(&self) {
        let all: Vec<u32> = (0..self.instances).collect();
        for some in all.chunks(90) {
            let mut txn = Txn::new(&self.agent);
            for index in some {
                let instance = Instance {
                    id: InstanceId::new(self.name(*index)),
                    engine_id: self.name(*index),
                    engine_version: "1".to_owned(),
                    api_version: "1.41".to_owned(),
                    agent_version: "1".to_owned(),
                    registered: Resources {
                        cpu: 65_536,
                        memory: 262_144,
                    },
                    reserved_ports: Default::default(),
                    dynamic_ports: Default::default(),
                    gpus: Default::default(),
                    attributes: [(
                        "ecs.availability-zone".to_owned(),
                        format!("zone-{}", index % 3),
                    )]
                    .into(),
                    registered_at: SystemClock.now(),
                    connected: true,
                    connected_at: SystemClock.now(),
                    spec: None,
                    remote: false,
                };
                txn = txn.put_json(keys::instance(&self.cluster, &instance.id), &instance);
            }
            self.commit(txn).await;
        }
    }

    async fn commit(&self, txn: Txn) {
        let revision = txn.commit(&self.store).await.expect("committed");
        self.view.caught_up(revision).await.expect("seen");
    }

    async fn until(&self, reached: impl Fn(&State) -> bool) {
        let mut changes = self.view.subscribe();
        while !reached(&self.view.read()) {
            let _ = changes.recv().await;
        }
    }

    async fn place_all(&self) -> Duration {
        let all = (self.services * TASKS_OF_SERVICE) as usize;
        let begun = Instant::now();
        self.controller.set_desired(Arc::clone(&self.desired));
        self.until(|state| state.tasks.len() == all).await;
        begun.elapsed()
    }

    /// Writes down that all tasks have long been RUNNING.
    async fn run_all(&self) {
        let now = SystemClock.now();
        let ids: Vec<TaskId> = {
            let state = self.view.read();
            state.tasks.keys().map(|(_, id)| id.clone()).collect()
        };
        let status = TaskStatus {
            last_status: LastStatus::Running,
            started_at: Some(Timestamp::from_millis(now.as_millis() - 3_600_000)),
            ..TaskStatus::default()
        };
        for some in ids.chunks(90) {
            let mut txn = Txn::new(&self.agent);
            for id in some {
                txn = txn.put_json(keys::task_status(&self.cluster, id), &status);
            }
            self.commit(txn).await;
        }
        self.until(|state| state.services.values().all(|record| record.steady))
            .await;
    }

    fn time_plan(&self, count: u32) -> Duration {
        let times = (0..50).map(|_| {
            let state = self.view.read();
            let (time, decided) = self.plan_one(&state, count);
            let wanted = (count - TASKS_OF_SERVICE).min(90) as usize;
            assert_eq!(decided.decisions.len(), wanted);
            time
        });
        median(times.collect())
    }

    /// A DAEMON service with its task on every instance, and nothing to do.
    fn time_daemon_plan(&self) -> Duration {
        let state = self.view.read();
        let instances = state.instances_of_cluster(&self.cluster);
        let records: Vec<TaskEntry> = state
            .tasks_of_service(&self.cluster, &ServiceName::new("s-0"))
            .zip(instances)
            .map(|((_, entry), (instance, _))| {
                let mut entry = entry.clone();
                let mut record = TaskRecord::clone(&entry.record);
                record.instance = instance.clone();
                entry.record.value = Arc::new(record);
                entry
            })
            .collect();
        let times = (0..50).map(|_| {
            let tasks = records.iter();
            let (time, decided) = self.plan_of(&state, SchedulingStrategy::Daemon, 0, tasks);
            assert_eq!(decided.decisions.len(), 0);
            time
        });
        median(times.collect())
    }

    /// The plan of one service, as a worker makes it, and what making it took.
    fn plan_one(&self, state: &State, count: u32) -> (Duration, Plan) {
        let name = ServiceName::new("s-0");
        let tasks = state.tasks_of_service(&self.cluster, &name);
        let tasks = tasks.map(|(_, entry)| entry);
        self.plan_of(state, SchedulingStrategy::Replica, count, tasks)
    }

    fn plan_of<'a>(
        &self,
        state: &'a State,
        scheduling: SchedulingStrategy,
        count: u32,
        tasks: impl Iterator<Item = &'a TaskEntry>,
    ) -> (Duration, Plan) {
        let name = ServiceName::new("s-0");
        let (spec, _) = &self.desired.services[&self.cluster][&name];
        let spec = ServiceSpec {
            desired_count: count,
            scheduling,
            ..spec.clone()
        };
        let (cluster, _) = &self.desired.clusters[&self.cluster];
        let record = state.service(&self.cluster, &name).expect("recorded");
        let primary = record.primary().expect("a deployment");
        let begun = Instant::now();
        let run = &state.specs[&primary.spec];
        let tasks: Vec<TaskView<'_>> = tasks
            .map(|entry| TaskView {
                record: &entry.record,
                status: entry.status.as_deref(),
                lost: entry.lost.as_ref().map(|lost| lost.at),
                spec: Some(run),
                protected_until: None,
            })
            .collect();
        let instances: Vec<InstanceView<'_>> = state
            .instances_of_cluster(&self.cluster)
            .filter_map(|(_, entry)| {
                Some(InstanceView {
                    instance: entry.instance.as_ref()?,
                    desired: InstanceDesired::Active,
                    reserved: entry.reserved.as_ref()?,
                    booked: Some(&entry.booked),
                    others: Vec::new(),
                    groups: None,
                })
            })
            .collect();
        let decided = plan(&PlanInput {
            cluster,
            service: &name,
            desired: Some(&spec),
            definition: Some(Definition {
                revision: &primary.revision,
                hash: &primary.spec,
                spec: run,
            }),
            unregistered: None,
            record: Some(record),
            overrides: None,
            specs: &BTreeMap::new(),
            tasks: &tasks,
            instances: &instances,
            watching_since: SystemClock.now(),
            now: SystemClock.now(),
            most: MOST,
        });
        (begun.elapsed(), decided)
    }

    async fn time_change(&self) -> Duration {
        let mut times = Vec::new();
        let name = ServiceName::new("s-0");
        let before = self.view.read().tasks.len();
        for more in 1..=20 {
            let mut desired = Desired::clone(&self.desired);
            let services = desired.services.get_mut(&self.cluster).expect("services");
            let (spec, _) = services.get_mut(&name).expect("the service");
            spec.desired_count = TASKS_OF_SERVICE + more;
            let desired = Arc::new(desired);
            // What the last change left to look at is no part of this one.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let begun = Instant::now();
            self.controller.set_desired(desired);
            self.until(|state| state.tasks.len() == before + more as usize)
                .await;
            times.push(begun.elapsed());
        }
        median(times)
    }
}

/// What a folder with such a cluster asks for.
fn declared(instances: u32, services: u32) -> Desired {
    use std::fmt::Write as _;
    let mut text = String::from(
        "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: large}\nspec:\n  containerInstances:\n",
    );
    for index in 0..instances {
        let _ = writeln!(
            text,
            "    - {{name: i-{index:04}, endpoint: 'unix:///run/engine-{index}.sock'}}"
        );
    }
    text.push_str(
        "---\napiVersion: longshore/v1\nkind: TaskDefinition\nmetadata: {name: t}\nspec:\n  containerDefinitions:\n    - \
         {name: c, image: 'app:1', cpu: 64, memory: 256, portMappings: [{containerPort: 80}]}\n",
    );
    for service in 0..services {
        let _ = write!(
            text,
            "---\napiVersion: longshore/v1\nkind: Service\nmetadata: {{name: s-{service}}}\nspec: {{cluster: large, taskDefinition: t, \
             desiredCount: {TASKS_OF_SERVICE}}}\n"
        );
    }
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("all.yaml"), text).expect("written");
    let options = LoadOptions {
        allow_empty: false,
        now: SystemClock.now(),
    };
    let loaded = load(&source::scan(dir.path()), &LastGood::default(), &options);
    assert!(
        loaded.desired.all_services().count() > 0,
        "{:?}",
        loaded.diagnostics
    );
    loaded.desired
}
