//! Why a task fits nowhere, counted, in ECS's words (semantics §4.30).

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::model::{Instance, InstanceId, Protocol, Query, Reserved, TaskId};

/// Why an instance does not take a task, in the order of the filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) enum Refusal {
    Draining,
    /// Its engine does not answer.
    Disconnected,
    /// It belongs to none of the capacity providers that the tasks go to.
    Provider,
    /// Its capacity provider has all the tasks that the strategy gives it.
    Share(String),
    /// It does not meet that expression.
    Constraint(Query),
    Architecture,
    /// Its engine has no such log driver.
    LogDriver(String),
    /// Longshore is on another host, and the task has that member, which needs the engine's own.
    NeedsHost(&'static str),
    Cpu,
    Memory,
    /// Too few GPUs are free.
    Gpu {
        /// How many the instance has in all.
        has: usize,
    },
    /// A fixed port is taken, by that task where one of ours holds it.
    Port(Protocol, u16, Option<TaskId>),
    /// No dynamic port is left.
    Ports,
    DistinctInstance,
    /// No more can be written down of what its tasks hold.
    Full,
}

impl Refusal {
    /// How many filters an instance has passed: the greatest is the closest match.
    fn distance(&self) -> u8 {
        match self {
            Self::Draining => 0,
            Self::Disconnected => 1,
            Self::Provider => 2,
            Self::Share(_) => 3,
            Self::Constraint(_) => 4,
            Self::Architecture => 5,
            Self::LogDriver(_) => 6,
            Self::NeedsHost(_) => 7,
            Self::Cpu => 8,
            Self::Memory => 9,
            Self::Gpu { .. } => 10,
            Self::Port(..) => 11,
            Self::Ports => 12,
            Self::DistinctInstance => 13,
            Self::Full => 14,
        }
    }

    /// ECS's word for it in `failures[].reason` of RunTask.
    pub fn ecs_reason(&self) -> &'static str {
        match self {
            Self::Draining => "INACTIVE",
            Self::Disconnected => "AGENT",
            Self::Provider | Self::Share(_) => "CAPACITY_PROVIDER",
            Self::Constraint(_) => "memberOf placement constraint unsatisfied.",
            Self::Architecture | Self::LogDriver(_) | Self::NeedsHost(_) => "ATTRIBUTE",
            Self::Gpu { .. } => "RESOURCE:GPU",
            Self::Cpu => "RESOURCE:CPU",
            Self::Memory => "RESOURCE:MEMORY",
            Self::Port(..) | Self::Ports => "RESOURCE:PORTS",
            Self::DistinctInstance => "distinctInstance placement constraint unsatisfied.",
            Self::Full => "RESOURCE:TASKS",
        }
    }

    fn short(&self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Disconnected => "whose engine does not answer",
            Self::Provider => "of another capacity provider",
            Self::Share(_) => "whose capacity provider has its share",
            Self::Constraint(_) => "outside of a memberOf constraint",
            Self::Architecture => "of another CPU architecture",
            Self::LogDriver(_) => "without the log driver",
            Self::NeedsHost(_) => "on another host",
            Self::Cpu => "short of CPU",
            Self::Memory => "short of memory",
            Self::Gpu { has: 0 } => "without a GPU",
            Self::Gpu { .. } => "short of GPUs",
            Self::Port(..) => "whose port is taken",
            Self::Ports => "without a free port",
            Self::DistinctInstance => "with a task of the service already",
            Self::Full => "with as many tasks as one can have",
        }
    }
}

impl fmt::Display for Refusal {
    /// Continues `The closest matching container-instance I `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining => f.write_str("is DRAINING."),
            Self::Disconnected => f.write_str("encountered error \"AGENT\"."),
            Self::Provider => f.write_str(
                "belongs to none of the capacity providers of the strategy (`capacityProviderName` of the cluster's \
                 `containerInstances`).",
            ),
            Self::Share(provider) => write!(
                f,
                "belongs to the capacity provider {provider}, which has all the tasks that the strategy gives it."
            ),
            Self::Constraint(query) => {
                write!(f, "does not meet the placement constraint memberOf `{query}`.")?;
                match query.expr() {
                    Ok(_) => Ok(()),
                    Err(error) => write!(f, " No instance does, because it cannot be read: {error}."),
                }
            }
            Self::Architecture => {
                f.write_str("is missing an attribute required by your task (ecs.cpu-architecture).")
            }
            Self::LogDriver(driver) => write!(
                f,
                "is missing an attribute required by your task ({}{driver}): its engine has no log driver `{driver}`, and \
                 `logDriverOverrides` of the cluster names no other.",
                Instance::LOG_DRIVER,
            ),
            Self::NeedsHost(member) => write!(
                f,
                "is missing an attribute required by your task (longshore.host): `{member}` needs the engine's own host, and \
                 Longshore is on another: what the engine's API can do is all that it can do there."
            ),
            Self::Cpu => f.write_str("has insufficient CPU units available."),
            Self::Memory => f.write_str("has insufficient memory available."),
            Self::Gpu { has: 0 } => f.write_str(
                "has insufficient GPU units available: it has no GPU, as far as is known (`containerInstances[].gpus` of \
                 the cluster names them where its agent does not find them).",
            ),
            Self::Gpu { .. } => f.write_str("has insufficient GPU units available."),
            Self::Port(protocol, port, holder) => {
                write!(
                    f,
                    "is already using a port required by your task. Port {port}/{} is ",
                    protocol.as_str()
                )?;
                match holder {
                    Some(task) => write!(f, "held by task {task}."),
                    None => f.write_str("reserved on the instance."),
                }
            }
            Self::Ports => f.write_str("has no free port left for a dynamic port mapping."),
            Self::DistinctInstance => {
                f.write_str("already has a task of the service (distinctInstance).")
            }
            Self::Full => write!(
                f,
                "has as many tasks as one can have: what they hold is written in one piece of at most {} KiB. Add another \
                 instance.",
                Reserved::MOST_BYTES >> 10
            ),
        }
    }
}

/// Why no instance takes a task. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::controller) struct NoFit {
    /// The instances, by name.
    names: Rc<[InstanceId]>,
    /// By their place among them.
    refusals: Rc<BTreeMap<usize, Refusal>>,
}

impl NoFit {
    pub(super) fn new(names: Rc<[InstanceId]>, refusals: Rc<BTreeMap<usize, Refusal>>) -> Self {
        Self { names, refusals }
    }

    /// Each instance with its reason, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&InstanceId, &Refusal)> {
        let all = self.refusals.iter();
        all.filter_map(|(at, refusal)| Some((self.names.get(*at)?, refusal)))
    }

    /// Whether there is no instance at all.
    pub fn is_empty(&self) -> bool {
        self.refusals.is_empty()
    }

    /// Whether it is about which ports are free on that instance.
    pub fn is_about_ports(&self, on: &InstanceId) -> bool {
        let at = self.names.binary_search(on).ok();
        let refusal = at.and_then(|at| self.refusals.get(&at));
        matches!(refusal, Some(Refusal::Port(..) | Refusal::Ports))
    }
}

impl fmt::Display for NoFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of equals the first by name.
        let closest = self
            .iter()
            .min_by_key(|(_, refusal)| std::cmp::Reverse(refusal.distance()));
        let Some((id, refusal)) = closest else {
            return f.write_str("No Container Instances were found in your cluster.");
        };
        write!(f, "The closest matching container-instance {id} {refusal}")?;
        if self.refusals.len() > 1 {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for (_, refusal) in self.iter() {
                *counts.entry(refusal.short()).or_default() += 1;
            }
            let counts: Vec<String> = counts
                .iter()
                .map(|(short, count)| format!("{count} {short}"))
                .collect();
            write!(f, " Of {}: {}.", self.refusals.len(), counts.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_instance_is_named_and_the_others_are_counted() {
        let refusals = |all: &[(&str, Refusal)]| {
            let all: BTreeMap<InstanceId, Refusal> = all
                .iter()
                .map(|(id, refusal)| ((*id).into(), refusal.clone()))
                .collect();
            let names = all.keys().cloned().collect();
            let refusals = all.into_values().enumerate().collect();
            NoFit::new(names, Rc::new(refusals)).to_string()
        };
        assert_eq!(
            refusals(&[("a", Refusal::Cpu)]),
            "The closest matching container-instance a has insufficient CPU units available."
        );
        assert_eq!(
            refusals(&[
                ("a", Refusal::Draining),
                ("c", Refusal::Memory),
                ("b", Refusal::Memory),
            ]),
            "The closest matching container-instance b has insufficient memory available. Of 3: 1 draining, 2 short of \
             memory."
        );
        assert_eq!(
            refusals(&[]),
            "No Container Instances were found in your cluster."
        );
    }

    #[test]
    fn a_taken_port_is_named_with_its_holder() {
        let refusal = Refusal::Port(Protocol::Tcp, 80, Some(TaskId::new("t")));
        assert_eq!(
            refusal.to_string(),
            "is already using a port required by your task. Port 80/tcp is held by task t."
        );
    }
}
