//! Why a task fits nowhere, counted, in ECS's words (semantics §4.30).

use std::collections::BTreeMap;
use std::fmt;

use crate::model::{Instance, InstanceId, Protocol, Reserved, TaskId};

/// Why an instance does not take a task; the order is that of the filters, so the greatest is the closest match.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::controller) enum Refusal {
    Draining,
    /// Its engine does not answer.
    Disconnected,
    Architecture,
    /// Its engine has no such log driver.
    LogDriver(String),
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
    /// ECS's word for it in `failures[].reason` of RunTask.
    pub fn ecs_reason(&self) -> &'static str {
        match self {
            Self::Draining => "INACTIVE",
            Self::Disconnected => "AGENT",
            Self::Architecture | Self::LogDriver(_) => "ATTRIBUTE",
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
            Self::Architecture => "of another CPU architecture",
            Self::LogDriver(_) => "without the log driver",
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
            Self::Architecture => {
                f.write_str("is missing an attribute required by your task (ecs.cpu-architecture).")
            }
            Self::LogDriver(driver) => write!(
                f,
                "is missing an attribute required by your task ({}{driver}): its engine has no log driver `{driver}`, and \
                 `logDriverOverrides` of the cluster names no other.",
                Instance::LOG_DRIVER,
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

/// Why no instance takes a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) struct NoFit(pub Vec<(InstanceId, Refusal)>);

impl NoFit {
    /// Whether there is no instance at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is about which ports are free on that instance.
    pub fn is_about_ports(&self, on: &InstanceId) -> bool {
        let of_ports = |refusal: &Refusal| matches!(refusal, Refusal::Port(..) | Refusal::Ports);
        let mut all = self.0.iter();
        all.any(|(instance, refusal)| instance == on && of_ports(refusal))
    }
}

impl fmt::Display for NoFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closest = self
            .0
            .iter()
            .max_by(|(a_id, a), (b_id, b)| a.cmp(b).then_with(|| b_id.cmp(a_id)));
        let Some((id, refusal)) = closest else {
            return f.write_str("No Container Instances were found in your cluster.");
        };
        write!(f, "The closest matching container-instance {id} {refusal}")?;
        if self.0.len() > 1 {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for (_, refusal) in &self.0 {
                *counts.entry(refusal.short()).or_default() += 1;
            }
            let counts: Vec<String> = counts
                .iter()
                .map(|(short, count)| format!("{count} {short}"))
                .collect();
            write!(f, " Of {}: {}.", self.0.len(), counts.join(", "))?;
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
            let all = all.iter().map(|(id, r)| ((*id).into(), r.clone()));
            NoFit(all.collect()).to_string()
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
