//! A run: engines, a store and a user on one side of the fence, the process on the other, in virtual time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore::clock::{SeededIds, SharedClock, TokioClock};
use longshore::engine::body::CreateBody;
use longshore::engine::simulated::{SimEvent, SimImage, SimOptions, Simulated};
use longshore::engine::{Engine, labels};
use longshore::manifest::watch::simulated::{Noticed, SimFolder};
use longshore::model::Timestamp;
use longshore::simulate::process::Process;
use longshore::store::Memory;
use longshore::store::redb::SimDisk;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::dice::Dice;
use super::folder::{Folder, SECRET};
use super::images::Image;
use super::judge::judge;
use super::oracles::{Finding, Oracle, secrets};
use super::order::{Jumpy, Order};
use super::process::{OWNER, Outside, ROOT};
use super::record::Record;
use super::scenario::Scenario;
use super::store::{Kept, Refused};
use super::user::User;

/// What a run came to.
#[derive(Default)]
pub struct Outcome {
    pub found: Vec<Finding>,
    pub trace: Vec<String>,
    /// Virtual time that passed.
    pub took: Duration,
    /// How often what was reached.
    pub reached: BTreeMap<&'static str, u64>,
    /// What passed the fence, one by one, where it was asked for.
    pub passages: Vec<(Timestamp, String)>,
}

/// What happens by itself at a time.
#[derive(Debug)]
pub enum Later {
    /// A container's health check says again what it finds.
    Heal(usize, String),
    /// The second half of a file is written.
    Finish(String, String, Noticed),
    /// The disk has room again.
    Room,
    /// The other Longshore ends.
    EndRival,
    /// An engine that was away is back, by position.
    Back(usize),
}

pub struct World {
    pub outside: Outside,
    pub folder: Folder,
    pub process: Option<Process>,
    rival: Option<Process>,
    /// When a dead process comes back.
    back_at: Option<Instant>,
    /// How long the process is away once it dies.
    pub down: Duration,
    /// What a power cut leaves of what was not synced, of 256.
    pub odds: u64,
    pub later: Vec<(Instant, Later)>,
    pub store_faults: u64,
    pub found: Vec<Finding>,
    /// Requests of the user so far, by which what is throttled may begin anew.
    pub requests: u64,
}

impl World {
    pub async fn new(scenario: &Scenario) -> Self {
        let clock: SharedClock = TokioClock::starting_at(Timestamp::from_millis(1_700_000_000_000));
        let jumpy = Jumpy::new(Arc::clone(&clock));
        let dice = Dice::new(scenario.seed, 2);
        let mut engines = Vec::new();
        for (n, name) in scenario.engines.iter().enumerate() {
            let options = SimOptions {
                id: format!("SIMU:{name}"),
                name: name.clone(),
                seed: dice.bits(),
                read_time: Duration::from_millis(dice.between(1, 8)),
                change_time: Duration::from_millis(dice.between(5, 80)),
                ..SimOptions::default()
            };
            let ids = SeededIds::new(dice.bits() ^ n as u64);
            let engine = Simulated::new(Arc::clone(&clock), ids, options);
            Image::teach(&engine);
            add_foreign(&engine, name).await;
            engines.push((name.clone(), engine));
        }
        let theirs = Arc::clone(&jumpy) as SharedClock;
        let record = Record::new(Arc::clone(&clock), theirs, scenario.weather);
        let record = Arc::new(record);
        let kept = match scenario.on_disk {
            true => Kept::Disk(SimDisk::new(SeededIds::new(dice.bits()))),
            false => Kept::Memory(Memory::new()),
        };
        let outside = Outside {
            engines,
            kept,
            ids: SeededIds::new(dice.bits()),
            order: Order::new(scenario.order, Arc::clone(&record)),
            record,
            dice: Dice::new(scenario.seed, 3),
            clock,
            jumpy,
            refused: Arc::new(Refused::default()),
            dark: Arc::new(Notify::new()),
            folder: SimFolder::new(Path::new(ROOT)),
            store: Mutex::new(None),
        };
        for (name, text) in scenario.first.files() {
            outside.folder.replace(&name, &text, Noticed::Told);
        }
        outside.record.edited(&scenario.first);
        Self {
            outside,
            folder: scenario.first.clone(),
            process: None,
            rival: None,
            back_at: None,
            down: Duration::ZERO,
            odds: 256,
            later: Vec::new(),
            store_faults: scenario.store_faults,
            found: Vec::new(),
            requests: 0,
        }
    }

    pub fn boot(&mut self) {
        self.back_at = None;
        let record = &self.outside.record;
        record.say("the process starts".to_owned());
        let now = record.clock.now();
        record.seen().boots.push(now);
        match self.outside.start(self.store_faults) {
            Ok(process) => self.process = Some(process),
            Err(error) => {
                // Whoever keeps the service up starts it again.
                record.say(format!("it cannot start: {error}"));
                self.process = None;
                self.back_at = Some(Instant::now() + Duration::from_secs(1));
            }
        }
    }

    /// Lets time pass: the process dies and comes back in it, containers get well.
    pub async fn wait_until(&mut self, until: Instant) {
        loop {
            if self.is_dead() && self.back_at.is_none() {
                self.bury();
            }
            let due = self.later.iter().map(|(at, _)| *at).min();
            let next = [self.back_at, due].into_iter().flatten();
            let next = next.fold(until, Instant::min);
            let dark = Arc::clone(&self.outside.dark);
            match self.process.as_ref().filter(|_| self.back_at.is_none()) {
                Some(process) => tokio::select! {
                    biased;
                    () = process.fence().died() => continue,
                    () = dark.notified() => {
                        process.fence().kill();
                        continue;
                    }
                    () = sleep_until(next) => {}
                },
                None => sleep_until(next).await,
            }
            let now = Instant::now();
            if self.back_at.is_some_and(|at| at <= now) {
                self.boot();
            }
            let due: Vec<_> = self.later.extract_if(.., |(at, _)| *at <= now).collect();
            for (_, later) in due {
                self.now(later);
            }
            if now >= until {
                return;
            }
        }
    }

    pub async fn pass(&mut self, time: Duration) {
        self.wait_until(Instant::now() + time).await;
    }

    pub fn is_dead(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.fence().is_dead())
    }

    /// The process has died.
    fn bury(&mut self) {
        self.outside.record.say("the process is dead".to_owned());
        self.back_at = Some(Instant::now() + self.down);
        self.end_rival();
        // Nobody is told of the old darkness any more.
        self.outside.dark = Arc::default();
        if let Kept::Disk(disk) = &self.outside.kept {
            match disk.has_power() {
                true => disk.let_go(),
                false => {
                    disk.lose_power(self.odds);
                    self.outside.record.reach("a power cut within a write");
                }
            }
        }
        self.outside.record.reach("a death of the process");
    }

    /// What was to happen later happens.
    pub fn now(&mut self, later: Later) {
        match later {
            Later::Heal(engine, container) => {
                self.outside.engines[engine].1.set_health(&container, None);
            }
            Later::Finish(name, text, noticed) => {
                self.outside.folder.close(&name, &text, noticed);
            }
            Later::Room => {
                if let Kept::Disk(disk) = &self.outside.kept {
                    disk.fill(false);
                }
            }
            Later::EndRival => self.end_rival(),
            Later::Back(engine) => {
                let (name, engine) = &self.outside.engines[engine];
                if engine.is_reachable() {
                    self.outside.record.engine(name, false);
                }
            }
        }
    }

    pub fn start_rival(&mut self) {
        let alive = self.process.is_some() && !self.is_dead();
        if alive && self.rival.is_none() && self.back_at.is_none() {
            self.outside.record.reach("another Longshore");
            self.rival = Some(self.outside.start_rival(&self.folder));
        }
    }

    /// It would take what is ours once nobody holds it.
    pub fn end_rival(&mut self) {
        if let Some(rival) = self.rival.take() {
            rival.fence().kill();
        }
    }

    pub fn engines(&self) -> impl Iterator<Item = &Arc<Simulated>> {
        self.outside.engines.iter().map(|(_, engine)| engine)
    }

    /// The process is dead from now on, for so long.
    pub fn process_dies(&mut self, down: Duration) {
        self.down = down;
        if let Some(process) = &self.process {
            process.fence().kill();
        }
    }

    /// Whoever can ask it.
    pub fn user(&self) -> Option<User> {
        let process = self.process.as_ref()?;
        Some(User {
            control: process.control()?,
            fence: Arc::clone(process.fence()),
            record: Arc::clone(&self.outside.record),
        })
    }

    /// From now on nothing goes wrong.
    pub fn calm(&mut self) {
        self.outside.record.say("the weather is calm".to_owned());
        for (name, engine) in &self.outside.engines {
            engine.clear_faults();
            engine.reachable();
            self.outside.record.engine(name, false);
        }
        for (_, later) in std::mem::take(&mut self.later) {
            self.now(later);
        }
        if let Kept::Disk(disk) = &self.outside.kept {
            disk.fill(false);
            disk.cut_power_at(u64::MAX / 2);
        }
        // A crash that waits for its passage would come later.
        if let Some(process) = &self.process {
            process.fence().kill_at(u64::MAX);
        }
        self.store_faults = 0;
        self.end_rival();
    }

    pub fn finish(mut self, took: Duration) -> Outcome {
        if let Some(why) = self.process.as_ref().and_then(Process::gave_up) {
            let what = format!("the process gave up: {why}");
            self.found.push(Oracle::Alive.broken(what));
        }
        if let Some(status) = self.process.as_ref().and_then(Process::folder) {
            let text = format!("{status:?}");
            self.found
                .extend(secrets::in_text("the folder's status", &text));
        }
        self.reach_what_engines_saw();
        let histories: Vec<Vec<SimEvent>> = self.engines().map(|engine| engine.history()).collect();
        let mut seen = self.outside.record.seen();
        let mut lines: Vec<(Timestamp, String)> = seen.trace.clone();
        for (history, (name, engine)) in histories.iter().zip(&self.outside.engines) {
            for event in history {
                lines.push((
                    event.at,
                    format!("  {name}: {} {:?}", event.name, event.kind),
                ));
            }
            for call in engine.changing_call_log() {
                let call_of = (
                    call.at,
                    format!("  {name}: {} {}", call.operation, call.target),
                );
                lines.push(call_of);
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        self.found.extend(judge(&seen, &histories, self.requests));
        let mut trace: Vec<String> = lines
            .into_iter()
            .map(|(at, line)| format!("{at} {line}"))
            .collect();
        trace.push(format!("passages {:016x}", seen.passages));
        Outcome {
            found: std::mem::take(&mut self.found),
            trace,
            took,
            reached: std::mem::take(&mut seen.reached),
            passages: seen.all_passages.take().unwrap_or_default(),
        }
    }

    /// Counts what can be seen of the parts that must have run.
    fn reach_what_engines_saw(&self) {
        let record = &self.outside.record;
        let (looks, hints) = self.outside.folder.seen();
        let add = |what: &'static str, count: u64| {
            *record.seen().reached.entry(what).or_default() += count;
        };
        add("the watcher's looks", looks);
        add("the watcher's hints", hints);
        if let Kept::Disk(disk) = &self.outside.kept {
            add("syncs of the file store", disk.syncs());
        }
        for engine in self.engines() {
            let given = engine
                .containers()
                .iter()
                .filter(|container| engine.environment(&container.id).contains(SECRET))
                .count();
            add("a container given its secret", given as u64);
            for (operation, count) in engine.calls() {
                add(operation.as_str(), count);
            }
        }
    }
}

/// Containers that are not ours: one with labels that look a little like it, and one that a Longshore of the past has left.
async fn add_foreign(engine: &Simulated, instance: &str) {
    engine.add_image("foreign:1", SimImage::default());
    let theirs = [
        (labels::OWNER, "51e00000000000ff"),
        (labels::CLUSTER, "default"),
        (labels::INSTANCE, instance),
        (labels::TASK, "00000000000000000000000000000001"),
        (labels::CONTAINER, "app"),
    ];
    let looks_like_it = [("com.amazonaws.ecs.cluster", "default")];
    for (name, labels) in [
        ("longshore-looks-like-it", &looks_like_it[..]),
        // By a name like those that Longshore gives: what tells it apart is its owner alone.
        ("longshore-web-1-app-000000000000", &theirs[..]),
    ] {
        let labels = labels.iter();
        let body = CreateBody {
            image: "foreign:1".to_owned(),
            cmd: Some(vec!["sleep".to_owned(), "100000000".to_owned()]),
            labels: labels
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..CreateBody::default()
        };
        let id = engine.create_container(name, &body).await;
        let id = id.expect("a new engine creates it");
        let started = engine.start_container(&id).await;
        started.expect("a new engine starts it");
    }
}

/// Whether a container is this owner's.
pub fn is_ours(labels_: &BTreeMap<String, String>) -> bool {
    labels_
        .get(labels::OWNER)
        .is_some_and(|owner| owner == OWNER)
}
