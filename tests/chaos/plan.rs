//! What is done to a cluster in a run, and when: edits, orders, and misfortune. All of it is a function of the seed; what it meets
//! is not, because engines and processes take the time that they take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::dice::Dice;
use crate::folder::{Folder, Program, Service, Spoilt};

/// The services that a run may have.
pub const NAMES: [&str; 3] = ["api", "web", "worker"];

/// What happens to a container; which one, chance decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// `docker kill`
    Kill,
    /// `docker rm -f`
    Remove,
    /// `kill -9` of its process.
    Process,
    /// Its health check fails from now on.
    Sicken,
}

/// How Longshore ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Killed,
    Terminated,
    /// Killed, started again, and killed while it starts.
    KilledTwice,
}

/// How an engine goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// `kill -9` of the daemon and its containerd; the containers stay.
    Killed,
    /// Ended in order.
    Stopped,
    /// Its network is cut, and it runs on.
    Cut,
}

/// An order to the running Longshore about a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Restart,
    Pause,
    Unpause,
    Suspend,
    Resume,
    Retry,
    Undo,
}

impl Verb {
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Restart => &["rollout", "restart"],
            Self::Pause => &["rollout", "pause"],
            Self::Unpause => &["rollout", "resume"],
            Self::Suspend => &["suspend"],
            Self::Resume => &["resume"],
            Self::Retry => &["retry"],
            Self::Undo => &["rollout", "undo"],
        }
    }
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Act {
    /// The user saves this; the text says what kind of edit it is.
    Edit(&'static str, Folder),
    /// On the engine of that number.
    Container(Blow, u32, u64),
    /// Longshore ends, and comes back after so long.
    Longshore(End, Duration),
    /// An engine goes away for so long.
    Engine(u32, Outage, Duration),
    Verb(Verb, String),
    /// `longshore stop` of some task on that engine.
    StopTask(u32, u64),
    Drain(u64),
    Activate(u64),
    /// The disk that the state is on is full.
    DiskFull,
    DiskFree,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub first: Folder,
    pub acts: Vec<(Duration, Act)>,
    /// The folder at the end: everything is valid, and works.
    pub last: Folder,
}

/// What can be dealt. Each comes up as often as it stands in the deck before any comes up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    Blow(Blow),
    End(End),
    Outage(Outage),
    Verb(Verb),
    StopTask,
    Drain,
    Disk,
    Scale,
    Percentages,
    Release,
    Crashing,
    NeverHealthy,
    NoImage,
    Break,
    HalfWrite,
    Rename,
    Revert,
    Remove,
}

const DECK: [(Card, usize); 28] = [
    (Card::Blow(Blow::Kill), 2),
    (Card::Blow(Blow::Remove), 2),
    (Card::Blow(Blow::Process), 1),
    (Card::Blow(Blow::Sicken), 1),
    (Card::End(End::Killed), 2),
    (Card::End(End::Terminated), 1),
    (Card::End(End::KilledTwice), 1),
    (Card::Outage(Outage::Killed), 1),
    (Card::Outage(Outage::Stopped), 1),
    (Card::Verb(Verb::Restart), 1),
    (Card::Verb(Verb::Pause), 1),
    (Card::Verb(Verb::Suspend), 1),
    (Card::Verb(Verb::Undo), 1),
    (Card::StopTask, 1),
    (Card::Drain, 1),
    (Card::Disk, 1),
    (Card::Scale, 2),
    (Card::Percentages, 1),
    (Card::Release, 3),
    (Card::Crashing, 1),
    (Card::NeverHealthy, 1),
    (Card::Break, 1),
    (Card::HalfWrite, 1),
    (Card::Rename, 1),
    (Card::NoImage, 1),
    (Card::Revert, 1),
    (Card::Remove, 1),
    (Card::Verb(Verb::Retry), 1),
];

/// How long an engine takes to end and to start.
const RESTART: Duration = Duration::from_secs(6);
/// How long Longshore takes to start.
const START: Duration = Duration::from_secs(1);

/// What is due at a time.
#[derive(Debug, Clone)]
enum Due {
    /// The next card.
    Card,
    /// One that came up while what it is about was away.
    Again(Card),
    /// The end of what began before.
    Act(Act),
    Finish(String),
    Restore(String, Box<Service>),
}

struct Author {
    dice: Dice,
    engines: usize,
    folder: Folder,
    /// Every content that a service has had.
    past: Vec<(String, Service)>,
    versions: u64,
    deck: Vec<Card>,
    due: BTreeMap<(Duration, u64), Due>,
    dues: u64,
    /// Services whose user went back to an earlier revision.
    undone: BTreeSet<String>,
    /// Until when Longshore, and each engine, is away by what was planned so far.
    away: Duration,
    engines_away: Vec<Duration>,
}

impl Plan {
    /// Misfortune for `storm`, on so many engines.
    pub fn new(seed: u64, engines: usize, storm: Duration) -> Self {
        let mut author = Author {
            dice: Dice::new(seed, engines as u64),
            engines,
            folder: Folder::default(),
            past: Vec::new(),
            versions: 0,
            deck: Vec::new(),
            due: BTreeMap::new(),
            dues: 0,
            undone: BTreeSet::new(),
            away: Duration::ZERO,
            engines_away: vec![Duration::ZERO; engines],
        };
        for name in NAMES {
            author.create(name);
        }
        let first = author.folder.clone();
        author.later(Duration::from_millis(500), Due::Card);
        let mut acts = Vec::new();
        while let Some(((at, _), due)) = author.due.pop_first() {
            if at >= storm {
                break;
            }
            if matches!(due, Due::Card) {
                let pause = author.pause();
                author.later(at + pause, Due::Card);
            }
            acts.extend(author.take(at, due).map(|act| (at, act)));
        }
        Self {
            first,
            acts,
            last: author.mend(),
        }
    }
}

impl Author {
    /// Often things happen close together, sometimes there is time to come to rest between them.
    fn pause(&self) -> Duration {
        Duration::from_millis(match self.dice.below(8) {
            0..3 => self.dice.between(10, 800),
            3..7 => self.dice.between(800, 3_000),
            _ => self.dice.between(5_000, 9_000),
        })
    }

    fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.dice.between(from, to))
    }

    fn later(&mut self, at: Duration, due: Due) {
        self.dues += 1;
        self.due.insert((at, self.dues), due);
    }

    fn deal(&mut self) -> Card {
        if self.deck.is_empty() {
            self.deck = DECK
                .iter()
                .flat_map(|(card, count)| std::iter::repeat_n(*card, *count))
                .collect();
            if self.engines > 1 {
                self.deck.push(Card::Outage(Outage::Cut));
            }
            for at in (1..self.deck.len()).rev() {
                let other = self.dice.below(at as u64 + 1) as usize;
                self.deck.swap(at, other);
            }
        }
        self.deck.pop().unwrap_or(Card::Scale)
    }

    fn take(&mut self, at: Duration, due: Due) -> Option<Act> {
        match due {
            Due::Card => {
                let card = self.deal();
                self.play(at, card)
            }
            Due::Again(card) => self.play(at, card),
            Due::Act(act) => Some(act),
            Due::Finish(name) => {
                // Something else may have been saved in its place by now.
                let half = self.folder.spoilt.get(&name) == Some(&Spoilt::Half);
                half.then(|| {
                    self.folder.spoilt.remove(&name);
                    Act::Edit("half-written file finished", self.folder.clone())
                })
            }
            Due::Restore(name, service) => {
                self.folder.services.entry(name).or_insert(*service);
                Some(Act::Edit("service restored", self.folder.clone()))
            }
        }
    }

    fn play(&mut self, at: Duration, card: Card) -> Option<Act> {
        let free = match card {
            Card::Blow(_) | Card::Outage(_) => self.engines_away.iter().min().copied(),
            Card::End(_) | Card::Verb(_) | Card::StopTask | Card::Drain => Some(self.away),
            _ => None,
        };
        if let Some(free) = free.filter(|free| *free > at) {
            self.later(free, Due::Again(card));
            return None;
        }
        let pick = self.dice.bits();
        let name = self.some_service();
        let act = match card {
            Card::Blow(blow) => Act::Container(blow, self.engine(at, pick), pick),
            Card::End(end) => {
                let down = self.millis(0, 4_000);
                self.away = at + down * 2 + START;
                Act::Longshore(end, down)
            }
            Card::Outage(outage) => {
                // Where there is another one, sometimes for longer than it takes to be given up.
                let most = if self.engines > 1 { 14_000 } else { 6_000 };
                let away = self.millis(0, most);
                let engine = self.engine(at, pick);
                self.engines_away[engine as usize - 1] = at + away + RESTART;
                Act::Engine(engine, outage, away)
            }
            Card::Verb(verb) => {
                self.ends_later(at, verb, &name);
                Act::Verb(verb, name)
            }
            Card::StopTask => Act::StopTask(self.engine(at, pick), pick),
            Card::Drain => {
                let until = at + self.millis(3_000, 12_000);
                self.later(until, Due::Act(Act::Activate(pick)));
                Act::Drain(pick)
            }
            Card::Disk => {
                let until = at + self.millis(1_000, 6_000);
                self.later(until, Due::Act(Act::DiskFree));
                Act::DiskFull
            }
            card => return self.edit(at, card, &name),
        };
        Some(act)
    }

    /// One that is there, as far as was planned, if one is.
    fn engine(&self, at: Duration, pick: u64) -> u32 {
        let all = (1..).zip(&self.engines_away);
        let there: Vec<u32> = all
            .filter(|(_, away)| **away <= at)
            .map(|(n, _)| n)
            .collect();
        match there.len() as u64 {
            0 => 1,
            count => there[(pick % count) as usize],
        }
    }

    fn ends_later(&mut self, at: Duration, verb: Verb, name: &str) {
        let end = match verb {
            Verb::Pause => Verb::Unpause,
            Verb::Suspend => Verb::Resume,
            Verb::Undo => {
                self.undone.insert(name.to_owned());
                return;
            }
            _ => return,
        };
        let until = at + self.millis(2_000, 10_000);
        self.later(until, Due::Act(Act::Verb(end, name.to_owned())));
    }

    fn edit(&mut self, at: Duration, card: Card, name: &str) -> Option<Act> {
        let what = match card {
            Card::Scale => {
                self.with(name, |dice, service| {
                    service.desired = dice.between(0, if service.pod { 3 } else { 4 }) as u32;
                    fit(service);
                });
                "scaled"
            }
            Card::Percentages => {
                self.with(name, |dice, service| {
                    (service.minimum, service.maximum) = dice.percentages();
                    fit(service);
                });
                "percentages changed"
            }
            Card::Release => {
                let program = *self
                    .dice
                    .pick(&[Program::Good, Program::Good, Program::Stubborn]);
                self.release(name, program);
                "new version that works"
            }
            Card::Crashing => {
                self.release(name, Program::Crashes);
                "new version that crash-loops"
            }
            Card::NeverHealthy => {
                // Only what has a health check can fail it.
                self.release(
                    if name == "worker" { "web" } else { name },
                    Program::NeverHealthy,
                );
                "new version that is never healthy"
            }
            Card::NoImage => {
                self.release(name, Program::NoImage);
                "new version without an image"
            }
            Card::Break => {
                self.folder.spoilt.insert(name.to_owned(), Spoilt::Broken);
                "file broken"
            }
            Card::HalfWrite => {
                self.release(name, Program::Good);
                self.folder.spoilt.insert(name.to_owned(), Spoilt::Half);
                // Also for longer than a file may be open before it is read as it is.
                let until = at + self.millis(200, 7_000);
                self.later(until, Due::Finish(name.to_owned()));
                "file half-written"
            }
            Card::Rename => {
                let service = self.folder.services.get_mut(name)?;
                let (stem, number) = service.file.rsplit_once('-').unwrap_or((name, "0"));
                let number: u32 = number.parse().unwrap_or(0);
                service.file = format!("{stem}-{}", number + 1);
                "file renamed"
            }
            Card::Revert => {
                let past: Vec<Service> = self
                    .past
                    .iter()
                    .filter(|(of, _)| of == name)
                    .map(|(_, service)| service.clone())
                    .collect();
                let earlier = self.dice.pick(&past).clone();
                let service = self.folder.services.get_mut(name)?;
                *service = Service {
                    file: service.file.clone(),
                    ..earlier
                };
                self.folder.spoilt.remove(name);
                "reverted"
            }
            Card::Remove => {
                let service = self.folder.services.remove(name)?;
                self.folder.spoilt.remove(name);
                let until = at + self.millis(500, 12_000);
                self.later(until, Due::Restore(name.to_owned(), Box::new(service)));
                "service removed"
            }
            Card::Blow(_)
            | Card::End(_)
            | Card::Outage(_)
            | Card::Verb(_)
            | Card::StopTask
            | Card::Drain
            | Card::Disk => return None,
        };
        Some(Act::Edit(what, self.folder.clone()))
    }

    fn some_service(&self) -> String {
        let names: Vec<String> = self.folder.services.keys().cloned().collect();
        match names.is_empty() {
            true => NAMES[0].to_owned(),
            false => self.dice.pick(&names).clone(),
        }
    }

    /// Changes a service; its file is whole again with that.
    fn with(&mut self, name: &str, change: impl FnOnce(&Dice, &mut Service)) {
        if let Some(service) = self.folder.services.get_mut(name) {
            change(&self.dice, service);
            self.folder.spoilt.remove(name);
            self.past.push((name.to_owned(), service.clone()));
        }
    }

    fn release(&mut self, name: &str, program: Program) {
        self.versions += 1;
        let version = self.versions;
        self.undone.remove(name);
        self.with(name, |_, service| {
            service.version = version;
            service.program = program;
        });
    }

    fn create(&mut self, name: &str) {
        self.versions += 1;
        let (minimum, maximum) = self.dice.percentages();
        let pod = name == "api";
        let mut service = Service {
            file: name.to_owned(),
            desired: self.dice.between(1, 3) as u32,
            minimum,
            maximum,
            program: Program::Good,
            version: self.versions,
            check: name != "worker",
            pod,
            guarded: name != "web",
        };
        fit(&mut service);
        self.past.push((name.to_owned(), service.clone()));
        self.folder.services.insert(name.to_owned(), service);
    }

    /// At the end every service is there, its file is whole, and it works.
    fn mend(&mut self) -> Folder {
        for (_, due) in std::mem::take(&mut self.due) {
            if let Due::Restore(name, service) = due {
                self.folder.services.entry(name).or_insert(*service);
            }
        }
        self.folder.spoilt.clear();
        for name in NAMES {
            let service = &self.folder.services[name];
            if !service.program.works() || self.undone.contains(name) {
                self.release(name, Program::Good);
            }
        }
        self.folder.clone()
    }
}

/// Percentages that allow neither a start nor a stop would never come to rest, on ECS neither.
fn fit(service: &mut Service) {
    if service.cap() <= service.desired as usize && service.floor() >= service.desired as usize {
        (service.minimum, service.maximum) = (100, 200);
    }
}
