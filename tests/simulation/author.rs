//! Who writes a scenario from a seed.

use std::time::Duration;

use longshore::engine::simulated::FaultPlan;
use longshore::manifest::watch::simulated::Noticed;
use longshore::model::RolloutVerb;

use super::dice::Dice;
use super::folder::{Folder, Instance, Kind, MAIN, Service};
use super::images::Image;
use super::scenario::{Act, Saves, Scenario, Weather};

/// The services there may be of [`MAIN`].
const NAMES: [&str; 4] = ["api", "web", "worker", "probe"];
/// The other cluster, which has one instance, on an engine that [`MAIN`] has too.
const SIDE: &str = "side";

struct Author {
    dice: Dice,
    weather: Weather,
    engines: Vec<String>,
    folder: Folder,
    /// Every content that a service has had.
    past: Vec<(String, Service)>,
    next_version: u64,
}

pub fn write(seed: u64) -> Scenario {
    let dice = Dice::new(seed, 1);
    let weather = *dice.pick(&[
        Weather::Fair,
        Weather::Windy,
        Weather::Windy,
        Weather::Stormy,
        Weather::Stormy,
        Weather::Stormy,
    ]);
    let count = *dice.pick(&[1, 1, 2, 2, 3, 4]);
    let engines: Vec<String> = ["one", "two", "three", "four"]
        .into_iter()
        .take(count)
        .map(str::to_owned)
        .collect();
    let zones = dice.chance(30);
    let mut author = Author {
        folder: Folder::default(),
        dice: dice.clone(),
        weather,
        engines: engines.clone(),
        past: Vec::new(),
        next_version: 1,
    };
    author.folder.instances = engines
        .iter()
        .enumerate()
        .map(|(n, engine)| Instance {
            zone: zones.then_some(["a", "b"][n % 2]),
            ..instance(MAIN, engine)
        })
        .collect();
    for name in NAMES {
        if name == "web" || dice.chance(45) {
            author.create(name, MAIN);
        }
    }
    if dice.chance(20) {
        let engine = dice.pick(&engines).clone();
        author.folder.instances.push(instance(SIDE, &engine));
        author.create("aside", SIDE);
    }
    let first = author.folder.clone();
    let mut acts = Vec::new();
    let mut at = Duration::ZERO;
    for _ in 0..dice.between(4, 18) {
        // Often things happen close together, sometimes there is time to come to rest between them.
        at += match dice.below(4) {
            0 => Duration::from_millis(dice.between(1, 3_000)),
            1 | 2 => Duration::from_millis(dice.between(1_000, 20_000)),
            _ => Duration::from_secs(dice.between(20, 90)),
        };
        acts.push((at, author.act()));
    }
    at += Duration::from_secs(dice.between(1, 60));
    acts.push((at, author.mend()));
    let store_faults = match weather {
        Weather::Stormy if dice.chance(50) => 20,
        _ => 0,
    };
    Scenario {
        seed,
        order: seed,
        weather,
        engines,
        first,
        acts,
        store_faults,
        on_disk: dice.chance(40),
    }
}

fn instance(cluster: &'static str, engine: &str) -> Instance {
    Instance {
        cluster,
        name: engine.to_owned(),
        engine: engine.to_owned(),
        draining: false,
        zone: None,
    }
}

impl Author {
    fn act(&mut self) -> Act {
        let dice = self.dice.clone();
        let chance = dice.below(100);
        match self.weather {
            Weather::Fair if chance < 70 => self.edit(),
            Weather::Fair => self.request(),
            _ if chance < 30 => self.edit(),
            _ if chance < 46 => self.request(),
            _ if chance < 60 => self.accident(),
            Weather::Windy => self.crash(),
            _ if chance < 70 => self.crash(),
            _ => self.disaster(),
        }
    }

    /// Somebody asks for something.
    fn request(&mut self) -> Act {
        let dice = self.dice.clone();
        let verb = |verb| Act::Ask(self.some_service(), verb);
        match dice.below(100) {
            0..14 => verb(RolloutVerb::Restart),
            14..20 => verb(RolloutVerb::Pause),
            20..26 => verb(RolloutVerb::Unpause),
            26..32 => verb(RolloutVerb::Suspend),
            32..38 => verb(RolloutVerb::Resume),
            38..46 => verb(RolloutVerb::Undo { to: None }),
            46..52 => verb(RolloutVerb::Retry),
            52..60 => Act::Drain(dice.bits(), true),
            60..66 => Act::Drain(dice.bits(), false),
            66..74 => Act::RunTask(dice.bits()),
            74..80 => Act::StopTask(dice.bits()),
            80..92 => Act::Protect(dice.bits(), *dice.pick(&[0, 1, 5, 10])),
            _ => Act::Plan,
        }
    }

    /// Something happens to a container.
    fn accident(&self) -> Act {
        let dice = &self.dice;
        match dice.below(100) {
            0..45 => Act::Kill(dice.bits()),
            45..55 => Act::OutOfMemory(dice.bits()),
            55..78 => Act::Remove(dice.bits()),
            _ => {
                let time = Duration::from_secs(dice.between(5, 40));
                Act::Sicken(dice.bits(), time)
            }
        }
    }

    fn crash(&self) -> Act {
        // Mostly within what it is just doing.
        let passages = match self.dice.chance(70) {
            true => self.dice.below(60),
            false => 0,
        };
        let down = Duration::from_millis(self.dice.between(10, 15_000));
        Act::Crash { passages, down }
    }

    /// Something happens to engines, store, machine.
    fn disaster(&mut self) -> Act {
        let dice = self.dice.clone();
        let secs = |from, to| Duration::from_secs(dice.between(from, to));
        match dice.below(100) {
            0..8 => Act::LoseStore { down: secs(10, 20) },
            8..14 => Act::CutEvents,
            14..20 => Act::SilenceEvents,
            20..30 => Act::RestartEngine(dice.bits(), secs(1, 15)),
            30..40 => Act::RestartEngine(dice.bits(), secs(40, 150)),
            40..46 => Act::Unreachable(dice.bits(), secs(1, 40)),
            46..53 => Act::CutOff(dice.bits(), secs(1, 20)),
            53..63 => Act::CutOff(dice.bits(), secs(40, 150)),
            63..73 => Act::PowerCut {
                change: dice.below(60),
                odds: *dice.pick(&[0, 64, 128, 256]),
                down: secs(2, 15),
            },
            73..79 => Act::FullDisk(secs(1, 40)),
            79..85 => {
                let size = dice.between(1, 600) as i64;
                Act::Jump(if dice.chance(50) { size } else { -size })
            }
            85..90 => Act::Rival(secs(5, 40)),
            _ => Act::Faults(match dice.chance(75) {
                true => FaultPlan::rough(),
                false => FaultPlan::default(),
            }),
        }
    }

    fn some_service(&self) -> String {
        let names: Vec<&String> = self.folder.services.keys().collect();
        match names.is_empty() {
            true => "web".to_owned(),
            false => (*self.dice.pick(&names)).clone(),
        }
    }

    fn edit(&mut self) -> Act {
        let name = self.some_service();
        match self.dice.below(100) {
            0..18 => self.with(&name, |dice, service| {
                service.desired = dice.between(0, 6) as u32;
                fit(service);
            }),
            18..44 => self.release(&name, true),
            44..52 => self.release(&name, false),
            52..58 => self.revert(&name),
            58..63 => self.with(&name, |dice, service| {
                (service.minimum, service.maximum) = dice.percentages();
                fit(service);
            }),
            63..66 => self.with(&name, |_, service| service.renamed += 1),
            66..73 => {
                self.folder.services.remove(&name);
                self.folder.spoilt.retain(|spoilt| *spoilt != name);
            }
            73..80 => {
                let mut all = NAMES.into_iter();
                let missing = all.find(|name| !self.folder.services.contains_key(*name));
                match missing {
                    Some(name) => self.create(name, MAIN),
                    None => self.release(&name, true),
                }
            }
            80..89 => self.instances(),
            89..95 => self.spoil(&name),
            95..98 => self.folder.spoilt.clear(),
            _ => self.folder.gone = !self.folder.gone,
        }
        self.save()
    }

    /// One instance is added, removed, drained or activated.
    fn instances(&mut self) {
        let dice = self.dice.clone();
        let declared: Vec<usize> = (0..self.folder.instances.len())
            .filter(|n| self.folder.instances[*n].cluster == MAIN)
            .collect();
        let missing: Vec<String> = self
            .engines
            .iter()
            .filter(|engine| !self.folder.of_cluster(MAIN).any(|i| i.name == **engine))
            .cloned()
            .collect();
        let at = *dice.pick(&declared);
        match dice.below(3) {
            0 if !missing.is_empty() => {
                let engine = dice.pick(&missing).clone();
                self.folder.instances.insert(0, instance(MAIN, &engine));
            }
            1 if declared.len() > 1 => {
                self.folder.instances.remove(at);
            }
            _ => {
                let instance = &mut self.folder.instances[at];
                instance.draining = !instance.draining;
            }
        }
    }

    fn spoil(&mut self, name: &str) {
        // While this is so, what else is removed is not believed either.
        let names: Vec<String> = self.folder.services.keys().cloned().collect();
        let is_there = names.iter().any(|there| there == name);
        if is_there && !self.folder.spoilt.iter().any(|spoilt| spoilt == name) {
            self.folder.spoilt.push(name.to_owned());
        }
        if names.len() > 1 && self.dice.chance(30) {
            let other = self.dice.pick(&names).clone();
            if !self.folder.spoilt.contains(&other) {
                self.folder.services.remove(&other);
            }
        }
    }

    fn save(&self) -> Act {
        let dice = &self.dice;
        let saves = match dice.below(3) {
            0 => Saves::InPlace,
            1 if self.weather != Weather::Fair => {
                Saves::Slowly(Duration::from_millis(dice.between(20, 3_000)))
            }
            _ => Saves::Moved,
        };
        // What else is removed with an edit that spoils a file is removed for good if it is seen before the file is spoilt.
        let saves = match self.folder.is_valid() {
            true => saves,
            false => Saves::Moved,
        };
        let noticed = match self.weather {
            Weather::Stormy => *dice.pick(&[
                Noticed::Told,
                Noticed::Told,
                Noticed::Lost,
                Noticed::Overflown,
            ]),
            _ => Noticed::Told,
        };
        Act::Edit(self.folder.clone(), saves, noticed)
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
            *service = Service {
                // A scheduling strategy cannot be changed, and a service that was made anew may have another.
                kind: service.kind,
                ..self.dice.pick(&past).clone()
            };
            fit(service);
        }
    }

    fn create(&mut self, name: &str, cluster: &'static str) {
        let (minimum, maximum) = self.dice.percentages();
        let dice = self.dice.clone();
        let kind = match name {
            "probe" => Kind::Daemon,
            _ => Kind::Replica,
        };
        let strategies = [
            None,
            Some(("spread", "instanceId")),
            Some(("binpack", "memory")),
        ];
        let mut service = Service {
            cluster,
            kind,
            desired: dice.between(1, 6) as u32,
            minimum,
            maximum,
            image: *dice.pick(&Image::GOOD),
            version: self.version(),
            check: dice.chance(60),
            pod: dice.chance(40),
            secret: dice.chance(40),
            breaker: dice.chance(35).then(|| dice.chance(70)),
            strategy: *dice.pick(&strategies),
            renamed: 0,
        };
        fit(&mut service);
        self.past.push((name.to_owned(), service.clone()));
        self.folder.services.insert(name.to_owned(), service);
    }

    /// At the end everything is valid, mostly good, and anew: what was paused, undone or blocked is over.
    fn mend(&mut self) -> Act {
        self.folder.spoilt.clear();
        self.folder.gone = false;
        let mut active = self.folder.instances.iter().filter(|i| i.cluster == MAIN);
        if active.all(|i| i.draining)
            && let Some(first) = self.folder.instances.iter_mut().find(|i| i.cluster == MAIN)
        {
            first.draining = false;
        }
        let keep_bad = self.dice.chance(15);
        let names: Vec<String> = self.folder.services.keys().cloned().collect();
        for name in names {
            let service = &self.folder.services[&name];
            if service.image.settles() || !keep_bad {
                self.release(&name, true);
            }
        }
        Act::Edit(self.folder.clone(), Saves::Moved, Noticed::Told)
    }
}

/// Percentages that allow neither a start nor a stop would never come to rest, on ECS neither.
fn fit(service: &mut Service) {
    match service.kind {
        // One an instance, and the old one goes first: with a single instance any floor would be in the way.
        Kind::Daemon => (service.minimum, service.maximum) = (0, 100),
        Kind::Replica if service.cap() <= service.desired && service.floor() >= service.desired => {
            (service.minimum, service.maximum) = (100, 200);
        }
        Kind::Replica => {}
    }
}
