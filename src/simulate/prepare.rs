//! From folder and scenario to what is to be done when: every edit made and checked, every name looked up, before any time
//! passes. Reads no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::folder::{
    InstanceKey, ServiceKey, edited, instance_of, load, service_of, with_instance,
};
use super::habits::Moods;
use super::scenario::{
    Act, DURATION, Expectation, Fails, Place, Scenario, Size, Start, Step, When,
};
use crate::diagnostic::{Diagnostic, Severity, codes};
use crate::manifest::report::finding;
use crate::manifest::source::Scan;
use crate::model::{ClusterName, Desired, EngineEndpoint, InstanceDesired};

/// What is asked of a simulation.
#[derive(Debug, Clone)]
pub struct Request {
    /// The folder.
    pub scan: Scan,
    /// What runs before it, if that is asked for.
    pub before: Option<Scan>,
    /// What happens.
    pub scenario: Scenario,
    /// How long; else the scenario's, else [`DURATION`].
    pub duration: Option<Duration>,
    /// The seed; else the scenario's, else 1.
    pub seed: Option<u64>,
}

/// Why nothing can be simulated.
#[derive(Debug)]
pub enum Unready {
    /// The folder, or the one before it, is not valid.
    Folder(Vec<Diagnostic>),
    /// The scenario does not fit the folder.
    Scenario(Vec<Diagnostic>),
}

/// An engine that is to be simulated.
#[derive(Debug, Clone)]
pub struct EngineSetup {
    /// Where it is.
    pub endpoint: EngineEndpoint,
    /// The container instances that it is.
    pub instances: BTreeSet<InstanceKey>,
    /// What it has.
    pub size: Size,
}

/// Something to be done.
#[derive(Debug, Clone)]
pub enum Deed {
    /// The folder reads so, and declares this.
    Read(Scan, Arc<Desired>),
    /// That engine loses power.
    Down(usize),
    /// It is back.
    Up(usize),
    /// It is cut off.
    Cut(usize),
    /// An image is bad, or good.
    Image(String, Fails),
    /// Tasks crash.
    Crash(ServiceKey, u32),
    /// The process dies.
    Kill,
    /// Nothing: it is looked at afterwards.
    Expect(Expected),
}

/// An expectation of services that are there.
#[derive(Debug, Clone)]
pub struct Expected {
    /// As written.
    pub expectation: Expectation,
    /// Of which service; none: of all.
    pub service: Option<ServiceKey>,
}

/// A step, ready.
#[derive(Debug, Clone)]
pub struct ReadyStep {
    /// After time 0.
    pub at: Duration,
    /// As timelines show it.
    pub shown: String,
    /// Where it is written; none: it was not.
    pub place: Option<Place>,
    /// What.
    pub deed: Deed,
}

/// Everything that a run needs. It can be run many times.
#[derive(Clone)]
pub struct Prepared {
    /// The folder that runs first.
    pub first: (Scan, Arc<Desired>),
    /// Whether time 0 is when that has converged.
    pub settles_first: bool,
    /// What is done, in the order of time.
    pub steps: Vec<ReadyStep>,
    /// On what.
    pub engines: Vec<EngineSetup>,
    /// What is assumed of containers.
    pub scenario: Scenario,
    /// Everything that is declared at some time.
    pub declared: Vec<Arc<Desired>>,
    /// How long.
    pub duration: Duration,
    /// What chance is a function of.
    pub seed: u64,
}

impl Prepared {
    /// New moods for a run.
    pub fn moods(&self) -> Arc<Moods> {
        Moods::new(
            self.scenario.assume,
            self.scenario.behaviors.clone(),
            self.declared.iter().map(AsRef::as_ref),
        )
    }

    /// The engine that an instance is.
    pub fn engine_of(&self, instance: &InstanceKey) -> Option<usize> {
        let mut all = self.engines.iter();
        all.position(|engine| engine.instances.contains(instance))
    }

    /// What is declared at the end.
    pub fn last(&self) -> &Arc<Desired> {
        let mut read = self.steps.iter().rev();
        read.find_map(|step| match &step.deed {
            Deed::Read(_, desired) => Some(desired),
            _ => None,
        })
        .unwrap_or(&self.first.1)
    }
}

/// Prepares a simulation.
///
/// # Errors
/// What is wrong with the folder, else what is wrong with the scenario.
pub fn prepare(request: Request) -> Result<Prepared, Unready> {
    let Request {
        scan,
        before,
        scenario,
        duration,
        seed,
    } = request;
    let wanted = valid(&scan)?;
    let mut steps = Vec::new();
    let settles_first = before.is_some() || scenario.start == Start::Converged;
    let first = match before {
        Some(before) => {
            let desired = valid(&before)?;
            steps.push(ReadyStep {
                at: Duration::ZERO,
                shown: "the folder takes the place of the one before".to_owned(),
                place: None,
                deed: Deed::Read(scan.clone(), Arc::clone(&wanted)),
            });
            // One Longshore has one folder, whatever is in it.
            let root = scan.root.clone();
            (Scan { root, ..before }, desired)
        }
        None => (scan.clone(), Arc::clone(&wanted)),
    };
    let mut preparing = Preparing {
        now: (scan, Arc::clone(&wanted)),
        declared: vec![Arc::clone(&first.1), wanted],
        engines: Vec::new(),
        found: Vec::new(),
    };
    let mut given = scenario.steps.clone();
    // An edit may declare what an earlier step names: engines are known only once all edits are.
    given.retain(|step| match preparing.edit(step) {
        Some(ready) => {
            steps.push(ready);
            false
        }
        None => true,
    });
    preparing.size(&scenario);
    for step in &given {
        steps.extend(preparing.step(step));
    }
    // Of one time, as written: edits were taken first.
    let order = |step: &ReadyStep| step.place.as_ref().map_or(0, |place| place.span.start);
    steps.sort_by_key(|step| (step.at, order(step)));
    if !preparing.found.is_empty() {
        return Err(Unready::Scenario(preparing.found));
    }
    let needed = steps.iter().map(|step| match &step.deed {
        Deed::Expect(expected) => match expected.expectation.when {
            When::Within(time) | When::For(time) => step.at + time,
            When::Now | When::Always => step.at,
        },
        _ => step.at,
    });
    let needed = needed.max().unwrap_or_default();
    Ok(Prepared {
        duration: duration
            .or(scenario.duration)
            .unwrap_or(DURATION)
            .max(needed),
        seed: seed.or(scenario.seed).unwrap_or(1),
        first,
        settles_first,
        steps,
        engines: preparing.engines,
        declared: preparing.declared,
        scenario,
    })
}

fn valid(scan: &Scan) -> Result<Arc<Desired>, Unready> {
    let loaded = load(scan);
    let is_error = |finding: &Diagnostic| finding.severity == Severity::Error;
    match loaded.diagnostics.iter().any(is_error) {
        true => Err(Unready::Folder(loaded.diagnostics)),
        false => Ok(Arc::new(loaded.desired)),
    }
}

/// The clusters that have instances: as the daemon sees it, the implied one only where something is in it.
fn instances(desired: &Desired) -> impl Iterator<Item = (InstanceKey, EngineEndpoint)> {
    let used = |name: &ClusterName| {
        let services = desired.services.get(name);
        services.is_some_and(|services| !services.is_empty())
    };
    desired
        .clusters
        .iter()
        .filter(move |(name, (spec, _))| !spec.manifest_hash.is_empty() || used(name))
        .flat_map(|(name, (spec, _))| {
            spec.instances.iter().map(|instance| {
                let key = (name.clone(), instance.name.clone());
                (key, instance.endpoint.clone())
            })
        })
}

struct Preparing {
    /// The folder as it is after the edits so far.
    now: (Scan, Arc<Desired>),
    declared: Vec<Arc<Desired>>,
    engines: Vec<EngineSetup>,
    found: Vec<Diagnostic>,
}

impl Preparing {
    fn error(&mut self, code: &'static str, place: &Place, message: String) {
        let found = finding(code, Severity::Error, &place.file, place.span, message);
        self.found.push(found);
    }

    /// The step, if it is an edit; what is wrong with it is noted.
    fn edit(&mut self, step: &Step) -> Option<ReadyStep> {
        let (scan, desired) = &self.now;
        let all = || instances(desired).map(|(key, _)| key);
        let status = |name: &str, status| {
            let key = instance_of(all(), name)?;
            with_instance(scan, desired, &key, status)
        };
        let done = match &step.act {
            Act::Edit(edit) => edited(scan, desired, edit),
            Act::Drain(name) => status(name, InstanceDesired::Draining),
            Act::Activate(name) => status(name, InstanceDesired::Active),
            _ => return None,
        };
        match done {
            Ok((scan, desired)) => {
                self.now = (scan, Arc::new(desired));
                self.declared.push(Arc::clone(&self.now.1));
            }
            Err(message) => self.error(codes::SCENARIO_EDIT, &step.place, message),
        }
        let (scan, desired) = self.now.clone();
        Some(ReadyStep {
            at: step.at,
            shown: step.act.to_string(),
            place: Some(step.place.clone()),
            deed: Deed::Read(scan, desired),
        })
    }

    /// The engines of all that is ever declared, with their sizes.
    fn size(&mut self, scenario: &Scenario) {
        let mut engines: Vec<EngineSetup> = Vec::new();
        for (key, endpoint) in self.declared.iter().flat_map(|desired| instances(desired)) {
            match engines
                .iter_mut()
                .find(|engine| engine.endpoint == endpoint)
            {
                Some(engine) => {
                    engine.instances.insert(key);
                }
                None => engines.push(EngineSetup {
                    endpoint,
                    instances: [key].into(),
                    size: scenario.assume.size,
                }),
            }
        }
        self.engines = engines;
        for (named, size) in &scenario.sizes {
            match self.engine(&named.name) {
                Ok(engine) => self.engines[engine].size = *size,
                Err(message) => self.error(codes::SCENARIO_NAME, &named.place, message),
            }
        }
    }

    fn engine(&self, name: &str) -> Result<usize, String> {
        let all = self.engines.iter().flat_map(|engine| &engine.instances);
        let unique: BTreeSet<InstanceKey> = all.cloned().collect();
        let key = instance_of(unique, name)?;
        let mut engines = self.engines.iter();
        engines
            .position(|engine| engine.instances.contains(&key))
            .ok_or_else(|| format!("there is no container instance {name}"))
    }

    fn service(&self, name: &str) -> Result<ServiceKey, String> {
        // At any time: the newest first, whose suggestions fit best.
        let mut newest_first = self.declared.iter().rev();
        let newest = newest_first.next().map(|desired| service_of(desired, name));
        let mut older = || newest_first.find_map(|desired| service_of(desired, name).ok());
        match newest {
            Some(Ok(key)) => Ok(key),
            Some(Err(why)) => older().ok_or(why),
            None => Err(format!("there is no service {name}")),
        }
    }

    fn step(&mut self, step: &Step) -> Option<ReadyStep> {
        let deed = match &step.act {
            Act::InstanceDown(name) => self.engine(name).map(Deed::Down),
            Act::InstanceUp(name) => self.engine(name).map(Deed::Up),
            Act::Partition(name) => self.engine(name).map(Deed::Cut),
            Act::Image(name, fails) => Ok(Deed::Image(name.clone(), *fails)),
            Act::Crash(service, tasks) => self.service(service).map(|key| Deed::Crash(key, *tasks)),
            Act::Kill => Ok(Deed::Kill),
            Act::Expect(expectation) => {
                let service = expectation.service.as_deref();
                let service = service.map(|name| self.service(name)).transpose();
                service.map(|service| {
                    Deed::Expect(Expected {
                        expectation: expectation.clone(),
                        service,
                    })
                })
            }
            Act::Edit(_) | Act::Drain(_) | Act::Activate(_) => return None,
        };
        match deed {
            Ok(deed) => Some(ReadyStep {
                at: step.at,
                shown: step.act.to_string(),
                place: Some(step.place.clone()),
                deed,
            }),
            Err(message) => {
                self.error(codes::SCENARIO_NAME, &step.place, message);
                None
            }
        }
    }
}

/// The same simulation with one engine that goes down when the folder has converged, and no other steps.
pub fn with_loss(prepared: &Prepared, engine: usize) -> Prepared {
    let mut lost = prepared.clone();
    let desired = Arc::clone(prepared.last());
    let scan = prepared
        .steps
        .iter()
        .rev()
        .find_map(|step| match &step.deed {
            Deed::Read(scan, _) => Some(scan.clone()),
            _ => None,
        });
    lost.first = (scan.unwrap_or_else(|| prepared.first.0.clone()), desired);
    lost.settles_first = true;
    let names = &prepared.engines[engine].instances;
    let names: BTreeMap<_, _> = names.iter().map(|(c, i)| (i.to_string(), c)).collect();
    let names: Vec<String> = names.into_keys().collect();
    lost.steps = vec![ReadyStep {
        at: Duration::ZERO,
        shown: format!("instance {} goes down", names.join(", ")),
        place: None,
        deed: Deed::Down(engine),
    }];
    lost
}
