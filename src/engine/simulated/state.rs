//! Everything the simulated engine knows, behind one lock, and the timers that move it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::SimOptions;
use super::behaviour::{Behaviour, Habits};
use super::events::Events;
use super::faults::Faults;
use super::health::Health;
use super::history::{Cause, History, SimEventKind};
use super::images::{Image, RegistryAnswer};
use super::networks::{Endpoint, Network};
use super::output::{Exec, Log};
use super::process::Process;
use crate::clock::{SharedClock, SharedIds};
use crate::engine::body::CreateBody;
use crate::engine::{ContainerState, ErrorKind, LabelFilter, PublishedPort};
use crate::model::{Protocol, Timestamp};

/// Why the engine refuses; the call adds what was tried on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub kind: ErrorKind,
    pub message: String,
}

impl Refusal {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub fn no_container(target: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("No such container: {target}"))
    }
}

pub(super) type Answer<T> = Result<T, Refusal>;

/// A container's standard input.
#[derive(Debug, Default)]
pub(super) struct Stdin {
    pub buffer: Vec<u8>,
    pub ended: bool,
}

/// A mounted volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub volume: String,
    pub anonymous: bool,
}

/// Whose network namespace a container is in, when it is not its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    /// Id of the owner.
    pub owner: String,
    /// The owner's run whose namespace was joined; a later run has another namespace.
    pub run: u64,
}

#[derive(Debug)]
pub(super) struct Container {
    pub id: String,
    pub name: String,
    pub body: CreateBody,
    pub image_id: String,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub state: ContainerState,
    pub exit_code: Option<i64>,
    pub oom_killed: bool,
    pub error: String,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// When the present run began.
    pub since: Instant,
    /// How often it was started. Timers of an earlier run are void.
    pub run: u64,
    pub pid: i64,
    pub process: Option<Process>,
    pub behaviour: Option<Behaviour>,
    pub health: Health,
    pub network_mode: String,
    pub endpoints: BTreeMap<String, Endpoint>,
    pub joined: Option<Joined>,
    pub ports: Vec<PublishedPort>,
    pub mounts: Vec<Mount>,
    pub files: BTreeMap<String, String>,
    pub stdin: Stdin,
    pub log: Log,
    /// The number of ends and removals so far; whoever waits for one watches it.
    pub ended: watch::Sender<u64>,
    /// Who asked for the end that is about to come.
    pub ending: Option<Cause>,
}

impl Container {
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Paused)
    }

    pub fn uses_volume(&self, volume: &str) -> bool {
        self.mounts.iter().any(|mount| mount.volume == volume)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    pub name: String,
    pub driver: String,
    pub labels: BTreeMap<String, String>,
}

/// What happens at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Timer {
    /// The process of that run goes on.
    Step { container: String, run: u64 },
    /// The process of that run ends after a signal.
    End {
        container: String,
        run: u64,
        code: i64,
    },
    /// The health check of that run is due.
    Probe { container: String, run: u64 },
    /// The health check of that run has its result.
    Verdict {
        container: String,
        run: u64,
        passed: bool,
        output: String,
    },
    /// The removal of a container is done.
    Destroy { container: String },
    /// A command goes on.
    ExecStep { exec: String },
    /// Whoever held the standard input of that run let go of it.
    Detach { container: String, ends: u64 },
    /// It is no longer cut off: connections from before turn out to be dead.
    Rejoin,
    /// The engine restarts by itself (a fault plan asked for it), to be back after that long.
    Restart { back_after: Duration },
    /// The engine that was told to end has ended, to be back after that long.
    Down { back_after: Duration },
}

pub(super) struct State {
    pub clock: SharedClock,
    pub ids: SharedIds,
    pub options: SimOptions,
    pub containers: BTreeMap<String, Container>,
    pub names: BTreeMap<String, String>,
    pub images: BTreeMap<String, Image>,
    pub tags: BTreeMap<String, String>,
    pub registry: BTreeMap<String, RegistryAnswer>,
    pub pushes: BTreeMap<String, u64>,
    pub behaviours: BTreeMap<String, Behaviour>,
    pub habits: Option<Habits>,
    pub networks: BTreeMap<String, Network>,
    pub volumes: BTreeMap<String, Volume>,
    pub execs: BTreeMap<String, Exec>,
    pub occupied_ports: BTreeSet<(Protocol, u16)>,
    pub events: Events,
    pub history: History,
    pub faults: Faults,
    pub unreachable_until: Option<Instant>,
    /// When this run of the engine began.
    pub began: Timestamp,
    /// It was told to end: it takes no new connections.
    pub closing: bool,
    /// Nothing comes through in either direction until then.
    pub cut_off_until: Option<Instant>,
    /// Bumped when the engine restarts: calls in progress are cut.
    pub generation: CancellationToken,
    timers: BTreeMap<(Instant, u64), Timer>,
    timer_count: u64,
    last_nanos: i64,
    next_pid: i64,
    pub next_port: u16,
}

impl State {
    pub fn new(clock: SharedClock, ids: SharedIds, options: SimOptions) -> Self {
        let faults = Faults::new(options.seed);
        let mut state = Self {
            clock,
            ids,
            options,
            containers: BTreeMap::new(),
            names: BTreeMap::new(),
            images: BTreeMap::new(),
            tags: BTreeMap::new(),
            registry: BTreeMap::new(),
            pushes: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            habits: None,
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            execs: BTreeMap::new(),
            occupied_ports: BTreeSet::new(),
            events: Events::default(),
            history: History::default(),
            faults,
            unreachable_until: None,
            began: Timestamp::default(),
            closing: false,
            cut_off_until: None,
            generation: CancellationToken::new(),
            timers: BTreeMap::new(),
            timer_count: 0,
            last_nanos: 0,
            next_pid: 1000,
            next_port: super::networks::FIRST_DYNAMIC_PORT,
        };
        state.began = state.clock.now();
        state.add_builtin_networks();
        state
    }

    /// 64 hexadecimal digits, as the engine names containers, networks and anonymous volumes.
    pub fn fresh_id(&self) -> String {
        (0..4)
            .map(|_| format!("{:016x}", self.ids.bits()))
            .collect()
    }

    pub fn fresh_pid(&mut self) -> i64 {
        self.next_pid += 1;
        self.next_pid
    }

    /// Now, and the same in nanoseconds, which differ between any two calls.
    pub fn stamp(&mut self) -> (Timestamp, i64) {
        let nanos = self.clock.now().as_millis().saturating_mul(1_000_000);
        self.last_nanos = nanos.max(self.last_nanos.saturating_add(1));
        (
            Timestamp::from_millis(self.last_nanos / 1_000_000),
            self.last_nanos,
        )
    }

    pub fn record(&mut self, container: &str, kind: SimEventKind) {
        let (at, _) = self.stamp();
        if let Some(container) = self.containers.get(container) {
            self.history.record(at, container, kind);
        }
    }

    /// The id of the container of that name, id or beginning of an id.
    pub fn find(&self, target: &str) -> Answer<String> {
        if let Some(id) = self.names.get(target.trim_start_matches('/')) {
            return Ok(id.clone());
        }
        let mut hits = self
            .containers
            .range(target.to_owned()..)
            .take_while(|(id, _)| !target.is_empty() && id.starts_with(target));
        match (hits.next(), hits.next()) {
            (Some((id, _)), None) => Ok(id.clone()),
            (Some((id, _)), Some(_)) if id == target => Ok(id.clone()),
            (Some(_), Some(_)) => Err(Refusal::new(
                ErrorKind::Invalid,
                format!("Multiple IDs found with provided prefix: {target}"),
            )),
            (None, _) => Err(Refusal::no_container(target)),
        }
    }

    pub fn container(&self, target: &str) -> Answer<&Container> {
        let id = self.find(target)?;
        self.containers
            .get(&id)
            .ok_or_else(|| Refusal::no_container(target))
    }

    pub fn container_mut(&mut self, target: &str) -> Answer<&mut Container> {
        let id = self.find(target)?;
        self.containers
            .get_mut(&id)
            .ok_or_else(|| Refusal::no_container(target))
    }

    pub fn after(&mut self, time: Duration, timer: Timer) {
        self.timer_count += 1;
        let at = Instant::now() + time;
        self.timers.insert((at, self.timer_count), timer);
    }

    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    /// Lets everything happen that is due.
    pub fn settle(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                Timer::Step { container, run } => self.step(&container, run),
                Timer::End {
                    container,
                    run,
                    code,
                } => self.end_run(&container, run, code),
                Timer::Probe { container, run } => self.probe(&container, run),
                Timer::Verdict {
                    container,
                    run,
                    passed,
                    output,
                } => self.verdict(&container, run, passed, output),
                Timer::Destroy { container } => self.destroy(&container),
                Timer::ExecStep { exec } => self.step_exec(&exec),
                Timer::Detach { container, ends } => self.detach(&container, ends),
                Timer::Rejoin => {
                    if !self.is_cut_off() {
                        self.events.cut();
                    }
                }
                Timer::Restart { back_after } => {
                    if let Some(next) = self.faults.next_restart() {
                        self.after(next, Timer::Restart { back_after });
                        self.restart(back_after);
                    }
                }
                Timer::Down { back_after } => self.restart(back_after),
            }
        }
    }

    /// Whether the engine answers at all.
    pub fn is_reachable(&self) -> bool {
        self.unreachable_until
            .is_none_or(|until| until <= Instant::now())
            && !self.is_cut_off()
    }

    /// Whether nothing comes through.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off_until
            .is_some_and(|until| until > Instant::now())
    }

    /// Nothing comes through for that long: no call, no answer to one that is under way, no event. What runs goes on.
    pub fn cut_off(&mut self, time: Duration) {
        self.cut_off_until = Some(Instant::now() + time);
        self.events.silence();
        self.after(time, Timer::Rejoin);
    }

    /// The engine is told to end: it takes no new connections and asks every container to end. Who is connected is answered as
    /// before, for `lasting`.
    pub fn shut_down(&mut self, lasting: Duration, back_after: Duration) {
        self.closing = true;
        let running: Vec<String> = self
            .containers
            .values()
            .filter(|container| container.is_running())
            .map(|container| container.id.clone())
            .collect();
        for id in running {
            // It runs, so it can be asked.
            let _ = self.terminate(&id, Cause::Injected);
        }
        self.after(lasting, Timer::Down { back_after });
    }

    /// The engine's process ends and is back after `back_after`. Every container ends, whatever was connected is cut, and the
    /// engine's memory of events is gone.
    pub fn restart(&mut self, back_after: Duration) {
        self.unreachable_until = Some(Instant::now() + back_after);
        let running: Vec<String> = self
            .containers
            .values()
            .filter(|container| container.is_running())
            .map(|container| container.id.clone())
            .collect();
        for id in running {
            let Some(container) = self.containers.get_mut(&id) else {
                continue;
            };
            let code = container.process.as_mut().map_or(137, |process| {
                process.terminate().map_or(137, |(_, code)| code)
            });
            container.ending = Some(Cause::Injected);
            let run = container.run;
            self.end_run(&id, run, code);
        }
        self.closing = false;
        // What was started before did not run on.
        self.began = self.stamp().0;
        self.events.forget();
        self.execs.clear();
        for container in self.containers.values_mut() {
            container.log.cut();
        }
        std::mem::take(&mut self.generation).cancel();
    }
}

/// Whether an object's labels have all that the filter asks for; an empty value means any.
pub(super) fn has_labels(labels: &BTreeMap<String, String>, filter: &LabelFilter) -> bool {
    filter.iter().all(|(name, value)| {
        labels
            .get(name)
            .is_some_and(|found| value.is_empty() || found == value)
    })
}
