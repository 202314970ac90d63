//! A run: engines and a store on one side, the process on the other, in virtual time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::folder::ServiceKey;
use super::habits::Moods;
use super::history::is_taken;
use super::prepare::{Deed, Prepared};
use super::process::{OWNER, Outside, Process};
use super::record::{Fact, Facts, record};
use crate::clock::{IdGen, SeededIds, SharedClock, SharedIds, TokioClock};
use crate::engine::simulated::{SimEvent, SimOptions, Simulated};
use crate::engine::{ContainerState, ObservedContainer, labels};
use crate::manifest::source::Scan;
use crate::model::{Desired, EngineEndpoint, Timestamp};
use crate::store::{Memory, View};

/// When every simulation begins: 2024-01-01T00:00:00Z.
const BEGINNING: Timestamp = Timestamp::from_millis(1_704_067_200_000);
/// How long an instance is away that nobody brings back.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Between two looks at how far virtual time is.
const TICK: Duration = Duration::from_secs(5);
/// How long a call of an engine takes that reads, and one that changes something.
const READ: Duration = Duration::from_millis(2);
const CHANGE: Duration = Duration::from_millis(30);

/// What a run came to, as it was seen.
#[derive(Debug)]
pub struct Recording {
    /// Time 0.
    pub zero: Timestamp,
    /// The end.
    pub end: Timestamp,
    /// Whether what ran first had converged at time 0; `None`: it was not waited for.
    pub settled: Option<Settled>,
    /// What was written.
    pub facts: Vec<(Timestamp, Fact)>,
    /// What happened on the engines, in the order of time.
    pub events: Vec<SimEvent>,
    /// Why the process gave up, if it did.
    pub gave_up: Option<String>,
}

/// How what ran first came to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// How long it took, or was waited for.
    pub after: Duration,
    /// Whether it did.
    pub did: bool,
}

/// Runs a simulation on a runtime of its own, with virtual time. `progress` is told how many milliseconds of it have passed.
///
/// # Errors
/// The system has no means for a runtime.
pub fn run(prepared: &Prepared, progress: &AtomicU64) -> std::io::Result<Recording> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    // What it would log is told by the report, and its times are not those of a log.
    let quiet = tracing::subscriber::NoSubscriber::new();
    Ok(tracing::subscriber::with_default(quiet, || {
        runtime.block_on(play(prepared, progress))
    }))
}

struct World<'a> {
    prepared: &'a Prepared,
    progress: &'a AtomicU64,
    began: Instant,
    engines: Vec<(EngineEndpoint, Arc<Simulated>)>,
    store: Arc<Memory>,
    clock: SharedClock,
    ids: SharedIds,
    moods: Arc<Moods>,
    scan: Scan,
    process: Process,
}

async fn play(prepared: &Prepared, progress: &AtomicU64) -> Recording {
    let clock: SharedClock = TokioClock::starting_at(BEGINNING);
    let store = Memory::new();
    let facts = Arc::new(Facts::default());
    tokio::spawn(record(
        Arc::clone(&store),
        Arc::clone(&clock),
        Arc::clone(&facts),
    ));
    // Behind no fence: it outlives the process.
    let watched: crate::store::SharedStore = store.clone();
    let view = View::start(watched, CancellationToken::new());
    let mut world = World::new(prepared, progress, clock, store);
    let settled = match prepared.settles_first {
        true => {
            let settled = world.settle(&view, &prepared.first.1).await;
            // What settled it was still before time 0.
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some(settled)
        }
        false => None,
    };
    let zero = world.clock.now();
    let from = Instant::now();
    for step in &prepared.steps {
        world.wait_until(from + step.at).await;
        world.act(&step.deed);
    }
    world.wait_until(from + prepared.duration).await;
    let mut events: Vec<SimEvent> = world
        .engines
        .iter()
        .flat_map(|(_, engine)| engine.history())
        .collect();
    events.sort_by_key(|event| event.at);
    Recording {
        zero,
        end: world.clock.now(),
        settled,
        facts: facts.take(),
        events,
        gave_up: world.process.gave_up(),
    }
}

impl<'a> World<'a> {
    fn new(
        prepared: &'a Prepared,
        progress: &'a AtomicU64,
        clock: SharedClock,
        store: Arc<Memory>,
    ) -> Self {
        let dice = SeededIds::new(prepared.seed);
        let moods = prepared.moods();
        let assume = prepared.scenario.assume;
        let engines = prepared.engines.iter().map(|setup| {
            let names: BTreeSet<&str> = setup.instances.iter().map(|(_, i)| i.as_str()).collect();
            let name = names.into_iter().collect::<Vec<_>>().join("+");
            let options = SimOptions {
                id: format!("SIMU:{name}"),
                name,
                seed: dice.bits(),
                cpus: setup.size.cpus,
                memory: setup.size.memory,
                pull_time: assume.pull,
                read_time: READ,
                change_time: CHANGE,
                start_time: Some(assume.start),
                ..SimOptions::default()
            };
            let ids = SeededIds::new(dice.bits());
            let engine = Simulated::new(Arc::clone(&clock), ids, options);
            engine.set_habits(moods.habits());
            moods.teach(&engine);
            (setup.endpoint.clone(), engine)
        });
        let engines: Vec<_> = engines.collect();
        let ids: SharedIds = SeededIds::new(dice.bits());
        let scan = prepared.first.0.clone();
        let process = start(&engines, &store, &clock, &ids, scan.clone());
        Self {
            prepared,
            progress,
            began: Instant::now(),
            engines,
            store,
            clock,
            ids,
            moods,
            scan,
            process,
        }
    }

    /// Waits until what is declared first has converged, at most as long as the simulation goes on.
    async fn settle(&self, view: &View, desired: &Desired) -> Settled {
        let began = Instant::now();
        let until = began + self.prepared.duration;
        let mut changes = view.subscribe();
        let converged = || {
            let state = view.read();
            let mut all = desired.services.iter().flat_map(|(cluster, services)| {
                services
                    .iter()
                    .map(move |(name, (spec, _))| (cluster, name, spec))
            });
            all.all(|(cluster, name, spec)| {
                let record = state.service(cluster, name);
                record.is_some_and(|record| record.steady && is_taken(record, spec, desired))
            })
        };
        loop {
            self.tell();
            if converged() {
                return Settled {
                    after: began.elapsed(),
                    did: true,
                };
            }
            let next = (Instant::now() + TICK).min(until);
            let change = timeout_at(next, changes.recv()).await;
            if Instant::now() >= until || matches!(change, Ok(Err(RecvError::Closed))) {
                return Settled {
                    after: began.elapsed(),
                    did: converged(),
                };
            }
        }
    }

    fn tell(&self) {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progress.store(passed, Ordering::Relaxed);
    }

    async fn wait_until(&self, until: Instant) {
        while Instant::now() < until {
            sleep_until((Instant::now() + TICK).min(until)).await;
            self.tell();
        }
    }

    fn act(&mut self, deed: &Deed) {
        match deed {
            Deed::Read(scan, _) => {
                self.scan = scan.clone();
                self.process.read(scan.clone());
            }
            Deed::Down(engine) => self.engines[*engine].1.restart_engine(FOR_EVER),
            Deed::Cut(engine) => {
                let engine = &self.engines[*engine].1;
                engine.unreachable_for(FOR_EVER);
                engine.silence_events();
            }
            Deed::Up(engine) => {
                let engine = &self.engines[*engine].1;
                engine.reachable();
                // Whoever listened would never hear of what was missed.
                engine.cut_events();
            }
            Deed::Image(image, fails) => {
                let engines: Vec<_> = self.engines.iter().map(|(_, e)| Arc::clone(e)).collect();
                self.moods.set(image, *fails, &engines);
            }
            Deed::Crash(service, tasks) => self.crash(service, *tasks),
            Deed::Kill => {
                self.process.fence().kill();
                self.process = start(
                    &self.engines,
                    &self.store,
                    &self.clock,
                    &self.ids,
                    self.scan.clone(),
                );
            }
            Deed::Expect(_) => {}
        }
    }

    /// An essential container of so many running tasks ends with code 1.
    fn crash(&self, (cluster, service): &ServiceKey, tasks: u32) {
        let is = |container: &ObservedContainer, label: &str, value: &str| {
            container.labels.get(label).is_some_and(|of| of == value)
        };
        let mut victims: Vec<(String, &Simulated, String)> = Vec::new();
        for (_, engine) in &self.engines {
            for container in engine.containers() {
                if container.state == ContainerState::Running
                    && is(&container, labels::CLUSTER, cluster.as_str())
                    && is(&container, labels::SERVICE, service.as_str())
                    && self.moods.is_essential(&container.labels)
                    && let Some(task) = container.labels.get(labels::TASK)
                {
                    victims.push((task.clone(), engine, container.id.clone()));
                }
            }
        }
        victims.sort_by(|(a, _, x), (b, _, y)| (a, x).cmp(&(b, y)));
        victims.dedup_by(|(a, ..), (b, ..)| a == b);
        let many = usize::try_from(tasks).unwrap_or(usize::MAX);
        for (_, engine, container) in victims.into_iter().take(many) {
            engine.kill_container(&container, 1);
        }
    }
}

fn start(
    engines: &[(EngineEndpoint, Arc<Simulated>)],
    store: &Arc<Memory>,
    clock: &SharedClock,
    ids: &SharedIds,
    scan: Scan,
) -> Process {
    let outside = Outside {
        engines,
        store: store.clone(),
        clock: Arc::clone(clock),
        ids: Arc::clone(ids),
        owner: OWNER,
        secrets: None,
        warden: None,
    };
    Process::start(&outside, scan)
}
