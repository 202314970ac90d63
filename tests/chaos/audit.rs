//! What there is when everything is at rest, held against the folder: containers, networks and volumes on the engines, and the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

use longshore::engine::translate::limits;
use longshore::engine::{
    ContainerState, Engine, ObservedContainer, ObservedNetwork, ObservedVolume, labels,
};
use longshore::model::{DesiredStatus, HealthStatus, LastStatus, Reserved, TaskRecord, TaskStatus};
use longshore::store::Key;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::common;
use crate::folder::{APP, Folder, VERSION};
use crate::foreign::Foreign;
use crate::hands::Hands;
use crate::witness;

/// How long the engine may take to let go of the lease.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);

/// A thing that was looked at.
#[derive(Debug)]
struct Row {
    what: String,
    wanted: String,
    found: String,
}

/// All things that were looked at.
#[derive(Debug, Default)]
pub struct Audit(Vec<Row>);

impl Audit {
    pub fn row(&mut self, what: impl Into<String>, wanted: impl Display, found: impl Display) {
        self.0.push(Row {
            what: what.into(),
            wanted: wanted.to_string(),
            found: found.to_string(),
        });
    }

    /// Of this there must be nothing.
    pub fn nothing(&mut self, what: impl Into<String>, found: &[String]) {
        let shown = match found {
            [] => "0".to_owned(),
            some => format!("{}: {}", some.len(), some.join(", ")),
        };
        self.row(what, 0, shown);
    }

    /// What is not as it should be.
    pub fn wrong(&self) -> Vec<String> {
        let wrong = self.0.iter().filter(|row| row.wanted != row.found);
        let text = |row: &Row| format!("{}: wanted {}, found {}", row.what, row.wanted, row.found);
        wrong.map(text).collect()
    }

    pub fn table(&self) -> String {
        let mut text = format!("{:<66} {:>7}  {}\n", "LOOKED AT", "WANTED", "FOUND");
        for row in &self.0 {
            text.push_str(&format!(
                "{:<66} {:>7}  {}\n",
                row.what, row.wanted, row.found
            ));
        }
        text
    }
}

/// An engine's part.
struct OnEngine {
    number: u32,
    containers: Vec<ObservedContainer>,
    networks: Vec<ObservedNetwork>,
    volumes: Vec<ObservedVolume>,
}

impl OnEngine {
    /// What carries Longshore's labels there, but for what the test put beside it.
    async fn of(hands: &Hands, number: u32) -> Self {
        let client = hands.machines.client(number);
        let ours = [(labels::SCHEMA.to_owned(), String::new())];
        let foreign = |of: &BTreeMap<String, String>| of.contains_key(common::RUN_LABEL);
        let mut containers = client.list_containers(&ours).await.expect("a list");
        containers.retain(|c| !foreign(&c.labels));
        let mut networks = client.list_networks(&ours).await.expect("a list");
        networks.retain(|n| !foreign(&n.labels));
        let mut volumes = client.list_volumes(&ours).await.expect("a list");
        volumes.retain(|v| !foreign(&v.labels));
        Self {
            number,
            containers,
            networks,
            volumes,
        }
    }

    async fn all(hands: &Hands) -> Vec<Self> {
        let mut all = Vec::new();
        for member in &hands.machines.members {
            all.push(Self::of(hands, member.engine).await);
        }
        all
    }
}

/// A task as the store has it.
#[derive(Debug, Default)]
struct Stored {
    record: Option<TaskRecord>,
    status: Option<TaskStatus>,
}

impl Stored {
    fn is_over(&self) -> bool {
        self.status.as_ref().is_some_and(TaskStatus::is_stopped)
    }

    fn is_wanted(&self) -> bool {
        let record = self.record.as_ref();
        record.is_some_and(|record| record.desired == DesiredStatus::Running)
    }
}

/// The part of the store that is held against the engines.
#[derive(Debug, Default)]
struct Store {
    tasks: BTreeMap<String, Stored>,
    services: BTreeSet<String>,
    /// Tasks that hold something of an instance.
    booked: BTreeSet<String>,
}

impl Store {
    fn of(dump: &Value) -> Self {
        let mut store = Self::default();
        for (key, entry) in dump["items"].as_object().into_iter().flatten() {
            let task = |store: &mut Self, id: &str, change: &dyn Fn(&mut Stored)| {
                change(store.tasks.entry(id.to_owned()).or_default());
            };
            match Key::parse(key) {
                Some(Key::Task(_, id)) => {
                    task(&mut store, id.as_str(), &|t| {
                        t.record = Some(witness::read(entry))
                    });
                }
                Some(Key::TaskStatus(_, id)) => {
                    task(&mut store, id.as_str(), &|t| {
                        t.status = Some(witness::read(entry))
                    });
                }
                Some(Key::Service(_, name)) if entry["value"]["status"] != "INACTIVE" => {
                    store.services.insert(name.to_string());
                }
                Some(Key::InstanceReserved(..)) => {
                    let reserved: Reserved = witness::read(entry);
                    store
                        .booked
                        .extend(reserved.0.keys().map(ToString::to_string));
                }
                _ => {}
            }
        }
        store
    }
}

/// Looks at everything while Longshore runs.
pub async fn audit(hands: &Hands, folder: &Folder, foreign: &Foreign) -> Audit {
    let mut audit = Audit::default();
    let engines = OnEngine::all(hands).await;
    let dump = hands.client().state().await.unwrap_or_default();
    let store = Store::of(&dump);
    services(&mut audit, &engines, &store, folder);
    strays(&mut audit, hands, &engines, &store);
    rest(&mut audit, &engines, &store, folder);
    let status = hands.client().status().await.unwrap_or_default();
    audit.row("Longshore calls every service steady", true, status.steady);
    audit.row("the folder is taken as it is", true, {
        status.folder.applied && status.folder.diagnostics.is_empty()
    });
    foreign.look(hands, &mut audit).await;
    audit
}

/// Each service against the engines, and the store against the folder.
fn services(audit: &mut Audit, engines: &[OnEngine], store: &Store, folder: &Folder) {
    let in_folder: Vec<&str> = folder.services.keys().map(String::as_str).collect();
    let in_store: Vec<&str> = store.services.iter().map(String::as_str).collect();
    audit.row(
        "services in the store",
        in_folder.join(" "),
        in_store.join(" "),
    );
    for (name, service) in &folder.services {
        let mut running: BTreeMap<&str, Vec<&ObservedContainer>> = BTreeMap::new();
        for container in engines.iter().flat_map(|engine| &engine.containers) {
            if container.state == ContainerState::Running
                && label(container, labels::SERVICE) == name
            {
                let of_task = running.entry(label(container, labels::TASK)).or_default();
                of_task.push(container);
            }
        }
        let whole = |containers: &&Vec<&ObservedContainer>| {
            let has = |wanted: &&&str| {
                let mut found = containers
                    .iter()
                    .filter(|c| label(c, labels::CONTAINER) == **wanted);
                found.next().is_some() && found.next().is_none()
            };
            let mut essential = service.essential().iter();
            essential.all(|name| has(&name))
        };
        let app = |containers: &&Vec<&ObservedContainer>| {
            let mut containers = containers.iter();
            let app = containers.find(|c| label(c, labels::CONTAINER) == APP);
            app.is_some_and(|app| {
                label(app, VERSION) == service.version.to_string()
                    && (!service.check || app.health == HealthStatus::Healthy)
            })
        };
        audit.row(
            format!("{name}: tasks of which anything runs"),
            service.desired,
            running.len(),
        );
        audit.row(
            format!("{name}: whole, healthy, and of the folder's version"),
            service.desired,
            running.values().filter(whole).filter(app).count(),
        );
        let wanted = store.tasks.values().filter(|task| {
            let record = task.record.as_ref();
            let status = task.status.as_ref();
            record.is_some_and(|record| record.service.as_ref().is_some_and(|s| s.as_str() == name))
                && task.is_wanted()
                && status.is_some_and(|status| status.last_status == LastStatus::Running)
        });
        audit.row(
            format!("{name}: tasks that the store wants and calls RUNNING"),
            service.desired,
            wanted.count(),
        );
    }
}

fn label<'a>(container: &'a ObservedContainer, name: &str) -> &'a str {
    container.labels.get(name).map_or("", String::as_str)
}

/// What is there that should not be, or is not as the store says.
fn strays(audit: &mut Audit, hands: &Hands, engines: &[OnEngine], store: &Store) {
    let owner = owner(hands);
    let (mut unknown, mut undead, mut twice, mut mislabelled) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut places = BTreeSet::new();
    for engine in engines {
        for container in &engine.containers {
            let id = label(container, labels::TASK);
            if id.is_empty() {
                continue;
            }
            let name = container.name.clone();
            if !places.insert((id, label(container, labels::CONTAINER))) {
                twice.push(name.clone());
            }
            let Some((record, task)) = store
                .tasks
                .get(id)
                .and_then(|task| Some((task.record.as_ref()?, task)))
            else {
                unknown.push(name);
                continue;
            };
            if task.is_over() && container.state == ContainerState::Running {
                undead.push(name.clone());
            }
            let here = hands.machines.members.iter();
            let mut here = here.filter(|member| member.engine == engine.number);
            let instance = here.next().map_or("", |member| member.name);
            mislabelled.extend(
                expected_labels(record, &owner, instance)
                    .into_iter()
                    .filter(|(key, value)| label(container, key) != value)
                    .map(|(key, value)| {
                        format!("{name} {key}={} and not {value}", label(container, key))
                    }),
            );
        }
    }
    audit.nothing("containers of tasks that nobody knows", &unknown);
    audit.nothing("running containers of tasks that are over", &undead);
    audit.nothing("containers of one task and name beside another", &twice);
    audit.nothing("labels that are not as the store says", &mislabelled);
}

fn expected_labels(
    record: &TaskRecord,
    owner: &str,
    instance: &str,
) -> Vec<(&'static str, String)> {
    let text = |value: Option<String>| value.unwrap_or_default();
    vec![
        (labels::SCHEMA, labels::SCHEMA_VERSION.to_owned()),
        (labels::OWNER, owner.to_owned()),
        (labels::INSTANCE, instance.to_owned()),
        (labels::CLUSTER, record.cluster.to_string()),
        (
            labels::SERVICE,
            text(record.service.as_ref().map(ToString::to_string)),
        ),
        (
            labels::DEPLOYMENT,
            text(record.deployment.as_ref().map(ToString::to_string)),
        ),
        (labels::FAMILY, record.family.to_string()),
        (labels::REVISION, record.revision.to_string()),
        (labels::SPEC_HASH, record.spec.to_string()),
        (
            labels::ECS_TASK_DEFINITION_FAMILY,
            record.family.to_string(),
        ),
        (
            labels::ECS_TASK_DEFINITION_VERSION,
            record.revision.to_string(),
        ),
        (labels::ECS_CLUSTER, record.cluster.to_string()),
    ]
}

/// Leases, networks, volumes, and the books.
fn rest(audit: &mut Audit, engines: &[OnEngine], store: &Store, folder: &Folder) {
    let containers = || engines.iter().flat_map(|engine| &engine.containers);
    let leases = containers()
        .filter(|c| c.labels.contains_key(labels::LEASE) && c.state == ContainerState::Running);
    audit.row("leases", engines.len(), leases.count());
    let other: Vec<String> = containers()
        .filter(|c| !c.labels.contains_key(labels::LEASE) && label(c, labels::TASK).is_empty())
        .map(|c| c.name.clone())
        .collect();
    audit.nothing("containers that are of no task and no lease", &other);
    let networks = |engine: &&OnEngine| engine.networks.len() > 1;
    let many = engines.iter().filter(networks).count();
    audit.row("engines with more than one network", 0, many);

    let is_over = |task: &str| store.tasks.get(task).is_none_or(Stored::is_over);
    let volumes = || engines.iter().flat_map(|engine| &engine.volumes);
    let of_task = |volume: &ObservedVolume| volume.labels.get(labels::TASK).cloned();
    let pods = folder.services.values().filter(|service| service.pod);
    let in_use = volumes().filter(|volume| of_task(volume).is_some_and(|task| !is_over(&task)));
    audit.row(
        "volumes of tasks that run",
        pods.map(|service| service.desired).sum::<u32>(),
        in_use.count(),
    );
    let orphans: Vec<String> = volumes()
        .filter(|volume| of_task(volume).is_none_or(|task| !store.tasks.contains_key(&task)))
        .map(|volume| volume.name.clone())
        .collect();
    audit.nothing("volumes of tasks that nobody knows", &orphans);

    let standing: BTreeSet<&String> = store
        .tasks
        .iter()
        .filter(|(_, task)| !task.is_over())
        .map(|(id, _)| id)
        .collect();
    let booked: BTreeSet<&String> = store.booked.iter().collect();
    let off: Vec<String> = standing
        .symmetric_difference(&booked)
        .map(ToString::to_string)
        .collect();
    audit.nothing(
        "tasks that the books have and the store has not, or not they",
        &off,
    );
}

/// What is left of Longshore once it was asked to remove everything. Its last container ends with its process, a moment later.
pub async fn after_down(hands: &Hands, foreign: &Foreign, tasks: &BTreeSet<String>) -> Audit {
    let began = Instant::now();
    loop {
        let audit = left(hands, foreign, tasks).await;
        if audit.wrong().is_empty() || began.elapsed() > LET_GO_WITHIN {
            return audit;
        }
        sleep(LET_GO_WITHIN / 20).await;
    }
}

async fn left(hands: &Hands, foreign: &Foreign, tasks: &BTreeSet<String>) -> Audit {
    let mut audit = Audit::default();
    let (mut containers, mut networks, mut volumes) = (Vec::new(), Vec::new(), Vec::new());
    for engine in OnEngine::all(hands).await {
        containers.extend(engine.containers.into_iter().map(|c| c.name));
        networks.extend(engine.networks.into_iter().map(|n| n.name));
        volumes.extend(engine.volumes.into_iter().map(|v| v.name));
    }
    audit.nothing("after down: containers", &containers);
    audit.nothing("after down: networks", &networks);
    audit.nothing("after down: volumes", &volumes);
    audit.nothing("after down: control groups", &groups(hands, tasks));
    foreign.look(hands, &mut audit).await;
    audit
}

/// Every control group of this Longshore's, and every one of a task of its.
fn groups(hands: &Hands, tasks: &BTreeSet<String>) -> Vec<String> {
    let above = format!("/{}", limits::group(&owner(hands)));
    let found = std::process::Command::new("find")
        .args(["/sys/fs/cgroup", "-maxdepth", "4", "-type", "d"])
        .output()
        .expect("find runs");
    String::from_utf8_lossy(&found.stdout)
        .lines()
        .filter(|line| {
            line.contains(&above) || tasks.iter().any(|task| line.ends_with(task.as_str()))
        })
        .map(str::to_owned)
        .collect()
}

/// The id in whose name this Longshore makes things.
fn owner(hands: &Hands) -> String {
    let text = std::fs::read_to_string(hands.machines.rig.state_dir().join("owner"));
    text.expect("an owner").trim().to_owned()
}
