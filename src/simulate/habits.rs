//! How simulated containers behave: what is assumed, what a scenario says, and which images are bad just now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::scenario::{Assume, Behavior, Fails};
use crate::engine::labels;
use crate::engine::reference::Reference;
use crate::engine::simulated::{Behaviour, Habits, OnTerm, Probe, RegistryAnswer, Simulated};
use crate::model::{Condition, Desired, SpecHash};

/// How long a container of an image that crashes runs.
const CRASHES_AFTER: Duration = Duration::from_secs(1);

/// What a definition says about a container that matters to how it behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Role {
    family: String,
    /// As written.
    image: String,
    /// Whether others wait for its end.
    awaited: bool,
    essential: bool,
}

/// See the [module's documentation](self).
pub struct Moods {
    assume: Assume,
    behaviors: Vec<Behavior>,
    roles: BTreeMap<(SpecHash, String), Role>,
    /// By [`same`].
    fails: Mutex<BTreeMap<String, Fails>>,
}

impl Moods {
    /// Moods of everything that these declare.
    pub fn new<'a>(
        assume: Assume,
        behaviors: Vec<Behavior>,
        declared: impl Iterator<Item = &'a Desired>,
    ) -> Arc<Self> {
        let mut roles = BTreeMap::new();
        for (definition, _) in declared.flat_map(|desired| desired.task_definitions.values()) {
            let all = &definition.spec.containers;
            for container in all {
                let awaits = |condition: &Condition| {
                    matches!(condition, Condition::Complete | Condition::Success)
                };
                let awaited = all
                    .iter()
                    .flat_map(|other| &other.depends_on)
                    .any(|on| on.container == container.name && awaits(&on.condition));
                let role = Role {
                    family: definition.spec.family.to_string(),
                    image: container.image.clone(),
                    awaited,
                    essential: container.essential,
                };
                roles.insert((definition.hash.clone(), container.name.clone()), role);
            }
        }
        Arc::new(Self {
            assume,
            behaviors,
            roles,
            fails: Mutex::default(),
        })
    }

    fn fails(&self) -> MutexGuard<'_, BTreeMap<String, Fails>> {
        self.fails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For an engine.
    pub fn habits(self: &Arc<Self>) -> Habits {
        let moods = Arc::clone(self);
        Arc::new(move |of, _| moods.of(of))
    }

    fn role<'s>(&'s self, of: &'s BTreeMap<String, String>) -> Option<(&'s Role, &'s str)> {
        let container = of.get(labels::CONTAINER)?;
        let hash = SpecHash::new(of.get(labels::SPEC_HASH)?.as_str());
        let role = self.roles.get(&(hash, container.clone()))?;
        Some((role, container))
    }

    /// Whether the container of those labels ends its task when it ends.
    pub fn is_essential(&self, of: &BTreeMap<String, String>) -> bool {
        self.role(of).is_some_and(|(role, _)| role.essential)
    }

    /// What a container of those labels does; none for one that is Longshore's own.
    fn of(&self, of: &BTreeMap<String, String>) -> Option<Behaviour> {
        let (role, container) = self.role(of)?;
        let assume = &self.assume;
        let mut healthy_after = assume.healthy_after;
        let mut ends = role.awaited.then_some((assume.run, 0));
        let mut stop = Some(assume.stop);
        let fits =
            |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        for behavior in &self.behaviors {
            let image = behavior.image.as_deref();
            if fits(&behavior.family, &role.family)
                && fits(&behavior.container, container)
                && image.is_none_or(|image| same(image) == same(&role.image))
            {
                healthy_after = behavior.healthy_after.unwrap_or(healthy_after);
                ends = behavior.ends.or(ends);
                stop = behavior.stop.unwrap_or(stop);
            }
        }
        let fails = self.fails().get(&same(&role.image)).copied();
        let mut behaviour = match ends {
            Some((after, code)) => Behaviour::exits(after, code),
            None => Behaviour::forever(),
        };
        behaviour.on_term = match stop {
            Some(after) => OnTerm::Exit { after, code: 143 },
            None => OnTerm::Ignore,
        };
        match fails {
            Some(Fails::Start) => {
                return Some(Behaviour::cannot_start(
                    "the scenario says that it cannot be started",
                ));
            }
            Some(Fails::Crash) => behaviour.run = Behaviour::exits(CRASHES_AFTER, 1).run,
            Some(Fails::Unhealthy) => {
                return Some(behaviour.probe_after(Duration::ZERO, Probe::Fail));
            }
            Some(Fails::Slow(time)) => healthy_after += time,
            Some(Fails::No | Fails::Pull) | None => {}
        }
        Some(behaviour.probe_after(healthy_after, Probe::Pass))
    }

    /// An image is bad from now on, or good.
    pub fn set(&self, image: &str, fails: Fails, engines: &[Arc<Simulated>]) {
        self.fails().insert(same(image), fails);
        let pull = self.pull_of(image);
        let answer = match fails {
            Fails::Pull => RegistryAnswer::Missing,
            Fails::Slow(time) => RegistryAnswer::Found { after: pull + time },
            _ => RegistryAnswer::Found { after: pull },
        };
        for engine in engines {
            engine.set_registry(image, answer.clone());
        }
    }

    /// Tells an engine's registry how long images take.
    pub fn teach(&self, engine: &Simulated) {
        for behavior in &self.behaviors {
            if let (Some(image), Some(after)) = (&behavior.image, behavior.pull) {
                engine.set_registry(image, RegistryAnswer::Found { after });
            }
        }
    }

    fn pull_of(&self, image: &str) -> Duration {
        let mut own = self.behaviors.iter().rev().filter(|behavior| {
            let of = behavior.image.as_deref();
            of.is_some_and(|of| same(of) == same(image))
        });
        own.find_map(|behavior| behavior.pull)
            .unwrap_or(self.assume.pull)
    }
}

/// A reference in the one way to write it.
pub fn same(image: &str) -> String {
    match Reference::parse(image) {
        Ok(reference) => reference.with_default_tag().to_string(),
        Err(_) => image.to_owned(),
    }
}
