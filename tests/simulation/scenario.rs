//! What happens in a run: a folder, edits of it, and misfortune. All of it is a function of the seed.

use std::time::Duration;

use longshore::engine::simulated::FaultPlan;

use super::dice::Dice;
use super::folder::{Folder, Image, Service};

/// How bad a run may be; what the judge may expect depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Only edits.
    Fair,
    /// Containers die and are removed, the process dies; what happened is told at once.
    Windy,
    /// The engine fails, is slow, loses answers and falls silent; the store loses answers; the state is lost.
    Stormy,
}

impl Weather {
    /// For how long Longshore may not know what happened on an engine, or in the folder.
    pub fn lag(self) -> Duration {
        match self {
            Self::Fair | Self::Windy => Duration::from_secs(1),
            // An event stream that fell silent is noticed at the next list, and that may fail and be slow.
            Self::Stormy => Duration::from_secs(150),
        }
    }
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Act {
    /// The user saves this.
    Edit(Folder),
    /// A container's process is killed; which one, chance decides.
    Kill(u64),
    /// A container is removed by somebody.
    Remove(u64),
    /// A container's health check fails for so long.
    Sicken(u64, Duration),
    /// Event streams end.
    CutEvents,
    /// Event streams say nothing more.
    SilenceEvents,
    /// An engine restarts, and is away for so long.
    RestartEngine(u64, Duration),
    /// An engine cannot be reached for so long.
    Unreachable(u64, Duration),
    /// Engines fail like this from now on.
    Faults(FaultPlan),
    /// The process dies after so many calls, and is away for so long.
    Crash { calls: u64, down: Duration },
    /// The process dies, and its store is gone when it comes back.
    LoseStore { down: Duration },
}

/// A run.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    pub weather: Weather,
    pub first: Folder,
    pub acts: Vec<(Duration, Act)>,
    /// Commits of a thousand whose answer is an error.
    pub store_faults: u64,
}

struct Author {
    dice: Dice,
    folder: Folder,
    /// Every content that a service has had.
    past: Vec<(String, Service)>,
    next_version: u64,
}

impl Scenario {
    pub fn new(seed: u64) -> Self {
        let dice = Dice::new(seed, 1);
        let weather = *dice.pick(&[
            Weather::Fair,
            Weather::Windy,
            Weather::Windy,
            Weather::Stormy,
            Weather::Stormy,
        ]);
        let engines = match dice.chance(30) {
            true => vec!["one".to_owned(), "two".to_owned()],
            false => vec!["one".to_owned()],
        };
        let mut author = Author {
            folder: Folder {
                engines,
                ..Folder::default()
            },
            dice: dice.clone(),
            past: Vec::new(),
            next_version: 1,
        };
        for name in ["api", "web", "worker"]
            .into_iter()
            .take(dice.between(1, 3) as usize)
        {
            author.create(name);
        }
        let first = author.folder.clone();
        let mut acts = Vec::new();
        let mut at = Duration::ZERO;
        for _ in 0..dice.between(4, 16) {
            // Often things happen close together, sometimes there is time to come to rest between them.
            at += match dice.below(4) {
                0 => Duration::from_millis(dice.between(1, 3_000)),
                1 | 2 => Duration::from_millis(dice.between(1_000, 20_000)),
                _ => Duration::from_secs(dice.between(20, 90)),
            };
            acts.push((at, author.act(weather)));
        }
        at += Duration::from_secs(dice.between(1, 60));
        acts.push((at, Act::Edit(author.mend())));
        let store_faults = match weather {
            Weather::Stormy if dice.chance(50) => 20,
            _ => 0,
        };
        Self {
            seed,
            weather,
            first,
            acts,
            store_faults,
        }
    }
}

impl Author {
    fn act(&mut self, weather: Weather) -> Act {
        let secs = Duration::from_secs;
        let dice = self.dice.clone();
        let chance = dice.below(100);
        match weather {
            Weather::Fair => self.edit(),
            _ if chance < 35 => self.edit(),
            _ if chance < 50 => Act::Kill(dice.bits()),
            _ if chance < 58 => Act::Remove(dice.bits()),
            _ if chance < 66 => Act::Sicken(dice.bits(), secs(dice.between(5, 40))),
            Weather::Windy => self.crash(),
            _ if chance < 74 => self.crash(),
            _ if chance < 79 => Act::LoseStore {
                down: secs(dice.between(10, 20)),
            },
            _ if chance < 82 => Act::CutEvents,
            _ if chance < 85 => Act::SilenceEvents,
            _ if chance < 88 => Act::RestartEngine(dice.bits(), secs(dice.between(1, 15))),
            _ if chance < 91 => Act::Unreachable(dice.bits(), secs(dice.between(1, 40))),
            _ => Act::Faults(match dice.chance(70) {
                true => FaultPlan::rough(),
                false => FaultPlan::default(),
            }),
        }
    }

    fn crash(&self) -> Act {
        // Mostly within what it is just doing.
        let calls = match self.dice.chance(70) {
            true => self.dice.below(40),
            false => 0,
        };
        let down = Duration::from_millis(self.dice.between(10, 15_000));
        Act::Crash { calls, down }
    }

    fn edit(&mut self) -> Act {
        let names: Vec<String> = self.folder.services.keys().cloned().collect();
        let name = match names.is_empty() {
            true => "web".to_owned(),
            false => self.dice.pick(&names).clone(),
        };
        match self.dice.below(100) {
            0..20 => self.with(&name, |dice, service| {
                service.desired = dice.between(0, 6) as u32;
                fit(service);
            }),
            20..50 => self.release(&name, true),
            50..58 => self.release(&name, false),
            58..66 => self.revert(&name),
            66..72 => self.with(&name, |dice, service| {
                (service.minimum, service.maximum) = dice.percentages();
                fit(service);
            }),
            72..80 => {
                self.folder.services.remove(&name);
                self.folder.spoilt.retain(|spoilt| *spoilt != name);
            }
            80..88 => {
                let all = ["api", "web", "worker"];
                let missing = all
                    .into_iter()
                    .find(|name| !self.folder.services.contains_key(*name));
                match missing {
                    Some(name) => self.create(name),
                    None => self.release(&name, true),
                }
            }
            88..95 => {
                // While this is so, what else is removed is not believed either.
                if !self.folder.spoilt.contains(&name) && self.folder.services.contains_key(&name) {
                    self.folder.spoilt.push(name);
                }
                if names.len() > 1 && self.dice.chance(30) {
                    let other = self.dice.pick(&names).clone();
                    if !self.folder.spoilt.contains(&other) {
                        self.folder.services.remove(&other);
                    }
                }
            }
            95..98 => self.folder.spoilt.clear(),
            _ => self.folder.gone = !self.folder.gone,
        }
        Act::Edit(self.folder.clone())
    }

    fn with(&mut self, name: &str, change: impl FnOnce(&Dice, &mut Service)) {
        if let Some(service) = self.folder.services.get_mut(name) {
            change(&self.dice, service);
            self.past.push((name.to_owned(), service.clone()));
        }
    }

    fn version(&mut self) -> u64 {
        self.next_version += 1;
        self.next_version
    }

    fn release(&mut self, name: &str, good: bool) {
        let version = self.version();
        self.with(name, |dice, service| {
            service.version = version;
            service.image = match good {
                true => *dice.pick(&Image::GOOD),
                false => *dice.pick(&Image::BAD),
            };
        });
    }

    fn revert(&mut self, name: &str) {
        let past: Vec<Service> = self
            .past
            .iter()
            .filter(|(of, _)| of == name)
            .map(|(_, service)| service.clone())
            .collect();
        if let (false, Some(service)) = (past.is_empty(), self.folder.services.get_mut(name)) {
            *service = self.dice.pick(&past).clone();
        }
    }

    fn create(&mut self, name: &str) {
        let (minimum, maximum) = self.dice.percentages();
        let mut service = Service {
            desired: self.dice.between(1, 6) as u32,
            minimum,
            maximum,
            image: *self.dice.pick(&Image::GOOD),
            version: self.version(),
            check: self.dice.chance(60),
            pod: self.dice.chance(40),
        };
        fit(&mut service);
        self.past.push((name.to_owned(), service.clone()));
        self.folder.services.insert(name.to_owned(), service);
    }

    /// At the end everything is valid, and mostly good.
    fn mend(&mut self) -> Folder {
        self.folder.spoilt.clear();
        self.folder.gone = false;
        let keep_bad = self.dice.chance(15);
        let names: Vec<String> = self.folder.services.keys().cloned().collect();
        for name in names {
            let bad = self
                .folder
                .services
                .get(&name)
                .is_some_and(|service| !service.image.settles());
            if bad && !keep_bad {
                self.release(&name, true);
            }
        }
        self.folder.clone()
    }
}

/// Percentages that allow neither a start nor a stop would never come to rest, on ECS neither.
fn fit(service: &mut Service) {
    if service.cap() <= service.desired && service.floor() >= service.desired {
        (service.minimum, service.maximum) = (100, 200);
    }
}
