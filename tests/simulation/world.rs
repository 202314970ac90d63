//! A run: engines, a store and a user on one side of the fence, the process on the other, in virtual time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longshore::clock::{SharedClock, TokioClock};
use longshore::engine::body::CreateBody;
use longshore::engine::simulated::{Probe, SimImage, SimOptions, Simulated};
use longshore::engine::{ContainerState, Engine, ObservedContainer, labels};
use longshore::model::Timestamp;
use longshore::simulate::process::Process;
use longshore::store::Memory;
use tokio::time::{Instant, sleep_until};

use super::dice::Dice;
use super::folder::{Folder, Image};
use super::judge::Judge;
use super::process::{OWNER, Outside, Refused};
use super::record::Record;
use super::rest;
use super::scenario::{Act, Scenario};

/// How long after the last fault everything must be at rest: the longest pause of the start throttle (27 minutes), and some.
const REST_WITHIN: Duration = Duration::from_secs(35 * 60);
/// For how long nothing may change then.
const STILL: Duration = Duration::from_secs(5 * 60);

/// What a run came to.
pub struct Outcome {
    pub wrong: Vec<String>,
    pub trace: Vec<String>,
    /// Virtual time that passed.
    pub took: Duration,
}

struct World {
    outside: Outside,
    folder: Folder,
    process: Option<Process>,
    /// When a dead process comes back, and whether its store is lost by then.
    back_at: Option<Instant>,
    /// How long the process is away once it dies.
    down: Duration,
    healing: Vec<(Instant, usize, String)>,
    store_faults: u64,
    wrong: Vec<String>,
}

/// Plays the scenario and judges it.
pub async fn play(scenario: &Scenario) -> Outcome {
    let began = Instant::now();
    let mut world = World::new(scenario).await;
    world.boot();
    for (at, act) in &scenario.acts {
        world.wait_until(began + *at).await;
        world.act(act);
    }
    world.calm();
    let rests = world
        .folder
        .services
        .values()
        .all(|service| service.image.settles());
    if rests {
        world.comes_to_rest().await;
        world.stays_at_rest("at rest").await;
        world.process_dies(Duration::from_secs(3));
        world
            .wait_until(Instant::now() + Duration::from_secs(4))
            .await;
        world.stays_at_rest("after a restart of the process").await;
    } else {
        world.pass(STILL).await;
    }
    world.finish(scenario, began.elapsed())
}

/// A folder is edited while the store takes nothing for a moment; then everything must come to rest at the edit.
pub async fn edit_while_the_store_refuses(scenario: &Scenario, edited: Folder) -> Vec<String> {
    let mut world = World::new(scenario).await;
    world.boot();
    world.comes_to_rest().await;
    world.outside.refused.set(3);
    world.act(&Act::Edit(edited));
    world.comes_to_rest().await;
    world.wrong
}

impl World {
    async fn new(scenario: &Scenario) -> Self {
        let clock: SharedClock = TokioClock::starting_at(Timestamp::from_millis(1_700_000_000_000));
        let dice = Dice::new(scenario.seed, 2);
        let mut engines = Vec::new();
        for (n, name) in scenario.first.engines.iter().enumerate() {
            let options = SimOptions {
                id: format!("SIMU:{name}"),
                name: name.clone(),
                seed: dice.bits(),
                read_time: Duration::from_millis(dice.between(1, 8)),
                change_time: Duration::from_millis(dice.between(5, 80)),
                ..SimOptions::default()
            };
            let ids = longshore::clock::SeededIds::new(dice.bits() ^ n as u64);
            let engine = Simulated::new(Arc::clone(&clock), ids, options);
            Image::teach(&engine);
            add_foreign(&engine).await;
            engines.push((name.clone(), engine));
        }
        let record = Arc::new(Record::new(Arc::clone(&clock)));
        let outside = Outside {
            engines,
            store: Memory::new(),
            ids: longshore::clock::SeededIds::new(dice.bits()),
            record,
            dice: Dice::new(scenario.seed, 3),
            clock,
            refused: Arc::new(Refused::default()),
        };
        outside.record.edited(&scenario.first);
        Self {
            outside,
            folder: scenario.first.clone(),
            process: None,
            back_at: None,
            down: Duration::ZERO,
            healing: Vec::new(),
            store_faults: scenario.store_faults,
            wrong: Vec::new(),
        }
    }

    fn boot(&mut self) {
        self.back_at = None;
        self.outside.record.say("the process starts".to_owned());
        let process = self.outside.start(&self.folder, self.store_faults);
        self.process = Some(process);
    }

    /// Lets time pass: the process dies and comes back in it, containers get well.
    async fn wait_until(&mut self, until: Instant) {
        loop {
            let dead = self
                .process
                .as_ref()
                .is_some_and(|process| process.fence().is_dead());
            if dead && self.back_at.is_none() {
                self.outside.record.say("the process is dead".to_owned());
                self.back_at = Some(Instant::now() + self.down);
            }
            let healed = self.healing.iter().map(|(at, ..)| *at).min();
            let next = [self.back_at, healed]
                .into_iter()
                .flatten()
                .fold(until, Instant::min);
            match self.process.as_ref().filter(|_| !dead) {
                Some(process) => tokio::select! {
                    biased;
                    () = process.fence().died() => continue,
                    () = sleep_until(next) => {}
                },
                None => sleep_until(next).await,
            }
            let now = Instant::now();
            if self.back_at.is_some_and(|at| at <= now) {
                self.boot();
            }
            let well: Vec<_> = self.healing.extract_if(.., |(at, ..)| *at <= now).collect();
            for (_, engine, container) in well {
                self.outside.engines[engine].1.set_health(&container, None);
            }
            if now >= until {
                return;
            }
        }
    }

    async fn pass(&mut self, time: Duration) {
        self.wait_until(Instant::now() + time).await;
    }

    fn act(&mut self, act: &Act) {
        self.outside.record.say(format!("act: {act:?}"));
        let engine = |pick: u64| {
            let at = usize::try_from(pick % self.outside.engines.len() as u64).unwrap_or(0);
            Arc::clone(&self.outside.engines[at].1)
        };
        match act {
            Act::Edit(folder) => {
                self.folder = folder.clone();
                self.outside.record.edited(folder);
                if let Some(process) = &self.process {
                    process.read(folder.scan());
                }
            }
            Act::Kill(pick) => {
                if let Some((engine, container)) = self.victim(*pick) {
                    self.outside.engines[engine]
                        .1
                        .kill_container(&container.id, 137);
                }
            }
            Act::Remove(pick) => {
                if let Some((engine, container)) = self.victim(*pick) {
                    self.outside.engines[engine]
                        .1
                        .remove_behind_back(&container.id);
                }
            }
            Act::Sicken(pick, time) => {
                if let Some((engine, container)) = self.victim(*pick) {
                    self.outside.engines[engine]
                        .1
                        .set_health(&container.id, Some(Probe::Fail));
                    self.healing
                        .push((Instant::now() + *time, engine, container.id));
                }
            }
            Act::CutEvents => self.engines().for_each(|engine| engine.cut_events()),
            Act::SilenceEvents => self.engines().for_each(|engine| engine.silence_events()),
            Act::RestartEngine(pick, away) => engine(*pick).restart_engine(*away),
            Act::Unreachable(pick, away) => engine(*pick).unreachable_for(*away),
            Act::Faults(plan) => self
                .engines()
                .for_each(|engine| engine.set_faults(plan.clone())),
            Act::Crash { calls, down } => {
                self.down = *down;
                if let Some(process) = &self.process {
                    process.fence().kill_at(*calls);
                }
            }
            Act::LoseStore { down } => {
                self.process_dies(*down);
                self.outside.store = Memory::new();
                self.outside.record.store_lost();
            }
        }
    }

    fn engines(&self) -> impl Iterator<Item = &Arc<Simulated>> {
        self.outside.engines.iter().map(|(_, engine)| engine)
    }

    /// The process is dead from now on, for so long.
    fn process_dies(&mut self, down: Duration) {
        self.down = down;
        if let Some(process) = &self.process {
            process.fence().kill();
        }
    }

    /// A running container of ours.
    fn victim(&self, pick: u64) -> Option<(usize, ObservedContainer)> {
        let mut all: Vec<(usize, ObservedContainer)> = self
            .engines()
            .enumerate()
            .flat_map(|(n, engine)| {
                engine
                    .containers()
                    .into_iter()
                    .map(move |container| (n, container))
            })
            .filter(|(_, container)| {
                container.labels.contains_key(labels::TASK)
                    && container.state == ContainerState::Running
            })
            .collect();
        all.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let at = usize::try_from(pick % all.len().max(1) as u64).ok()?;
        (at < all.len()).then(|| all.swap_remove(at))
    }

    /// From now on nothing goes wrong.
    fn calm(&mut self) {
        self.outside.record.say("the weather is calm".to_owned());
        self.engines().for_each(|engine| engine.clear_faults());
        for (_, engine, container) in std::mem::take(&mut self.healing) {
            self.outside.engines[engine].1.set_health(&container, None);
        }
        // A crash that waits for its call would come later.
        if let Some(process) = &self.process {
            process.fence().kill_at(u64::MAX);
        }
        self.store_faults = 0;
    }

    /// P4.
    async fn comes_to_rest(&mut self) {
        let began = Instant::now();
        loop {
            let Err(why) = rest::check(&self.outside, &self.folder) else {
                let took = began.elapsed();
                self.outside.record.say(format!("at rest after {took:?}"));
                return;
            };
            if began.elapsed() > REST_WITHIN {
                self.wrong
                    .push(format!("P4: not at rest after {REST_WITHIN:?}: {why}"));
                return;
            }
            self.pass(Duration::from_secs(5)).await;
        }
    }

    /// P5, and P4 still.
    async fn stays_at_rest(&mut self, when: &str) {
        let before: Vec<usize> = self
            .engines()
            .map(|engine| engine.changing_call_log().len())
            .collect();
        self.pass(STILL).await;
        for ((name, engine), before) in self.outside.engines.iter().zip(before) {
            let leases: BTreeSet<String> = engine
                .history()
                .iter()
                .filter(|event| event.labels.contains_key(labels::LEASE))
                .map(|event| event.container.clone())
                .collect();
            let calls = engine.changing_call_log();
            let changes: Vec<String> = calls
                .iter()
                .skip(before)
                .filter(|call| {
                    !leases.contains(&call.target) && !call.target.starts_with("longshore-lease")
                })
                .map(|call| format!("{} {} {}", call.at, call.operation, call.target))
                .collect();
            if !changes.is_empty() {
                self.wrong
                    .push(format!("P5: {when}, and on {name}: {}", changes.join("; ")));
            }
        }
        if let Err(why) = rest::check(&self.outside, &self.folder) {
            self.wrong.push(format!("P4: {when}, and later: {why}"));
        }
    }

    fn finish(mut self, scenario: &Scenario, took: Duration) -> Outcome {
        if let Some(why) = self.process.as_ref().and_then(Process::gave_up) {
            self.wrong.push(format!("the process gave up: {why}"));
        }
        let mut events: Vec<_> = self.engines().flat_map(|engine| engine.history()).collect();
        events.sort_by_key(|event| event.at);
        let seen = self.outside.record.seen();
        let mut lines: Vec<(Timestamp, String)> = seen.trace.clone();
        for event in &events {
            lines.push((event.at, format!("  {} {:?}", event.name, event.kind)));
        }
        for (name, engine) in &self.outside.engines {
            for call in engine.changing_call_log() {
                lines.push((
                    call.at,
                    format!("  {name}: {} {}", call.operation, call.target),
                ));
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        self.wrong
            .extend(Judge::new(&seen, scenario.weather).judge(&events));
        drop(seen);
        let trace = lines
            .into_iter()
            .map(|(at, line)| format!("{at} {line}"))
            .collect();
        Outcome {
            wrong: self.wrong,
            trace,
            took,
        }
    }
}

/// A container that is not ours, with labels that look a little like it.
async fn add_foreign(engine: &Simulated) {
    engine.add_image("foreign:1", SimImage::default());
    let body = CreateBody {
        image: "foreign:1".to_owned(),
        cmd: Some(vec!["sleep".to_owned(), "100000000".to_owned()]),
        labels: [("com.amazonaws.ecs.cluster".to_owned(), "default".to_owned())].into(),
        ..CreateBody::default()
    };
    let id = engine
        .create_container("longshore-looks-like-it", &body)
        .await
        .expect("a new engine creates it");
    engine
        .start_container(&id)
        .await
        .expect("a new engine starts it");
}

/// Whether a container is this owner's.
pub fn is_ours(labels_: &std::collections::BTreeMap<String, String>) -> bool {
    labels_
        .get(labels::OWNER)
        .is_some_and(|owner| owner == OWNER)
}
