//! Task-level `cpu` and `memory`: limits on all containers of a task together.
//!
//! ECS puts a task's containers below one control group and limits that (semantics §2a, *cpu*, *memory*). So does Longshore
//! where it may: on the engine's own host, with the right to make groups. Elsewhere the nearest thing is that each container
//! is bound by the task's figures by itself. For a task of one container that is the same; of several, all together may
//! exceed them.

use super::Context;
use crate::model::{TaskRecord, TaskSpec};

/// How long a period is of which a task may run its share, in microseconds (ECS's default, and the kernel's).
pub const CPU_PERIOD: u64 = 100_000;
/// The shortest share of a period that the kernel takes, in microseconds.
const LEAST_QUOTA: u64 = 1_000;

/// What manages the control groups of an engine whose groups may be made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupManager {
    /// Folders below `/sys/fs/cgroup`.
    Files,
    /// systemd's slices.
    Systemd,
}

/// The control group of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskCgroup {
    /// What containers name as their parent: a path from the root, or the name of a slice.
    pub parent: String,
    /// Microseconds of each [`CPU_PERIOD`]; absent: no bound.
    pub cpu_quota: Option<u64>,
    /// The task's weight against others where it has no bound: what its containers have together.
    pub cpu_shares: u64,
    /// Bytes; absent: no bound.
    pub memory: Option<u64>,
}

/// The control group that the task's containers are created in. None where the definition limits containers only, or where
/// no group can be made.
pub fn task_cgroup(spec: &TaskSpec, record: &TaskRecord, context: &Context) -> Option<TaskCgroup> {
    let cpu = spec.cpu.filter(|units| *units > 0).map(u64::from);
    let memory = spec.memory.filter(|mib| *mib > 0).map(u64::from);
    if cpu.is_none() && memory.is_none() {
        return None;
    }
    let containers = spec.containers.iter();
    Some(TaskCgroup {
        parent: parent(context.facts.cgroups?, &context.owner, &record.id),
        cpu_quota: cpu.map(|units| (units * CPU_PERIOD / 1024).max(LEAST_QUOTA)),
        cpu_shares: cpu.unwrap_or_else(|| {
            containers
                .map(|c| u64::from(c.cpu.unwrap_or(0)).max(2))
                .sum()
        }),
        memory: memory.map(|mib| mib << 20),
    })
}

/// The name of a task's group: a function of the task, and below one of the owner's, so that nobody else's is met.
pub fn parent(manager: CgroupManager, owner: &str, task: &crate::model::TaskId) -> String {
    let group = group(owner);
    match manager {
        CgroupManager::Files => format!("/{group}/{task}"),
        // A dash is one level: this lies below the slice `<group>.slice`.
        CgroupManager::Systemd => format!("{}-{task}.slice", group.replace('-', "_")),
    }
}

/// The group above those of all tasks of an owner.
pub fn group(owner: &str) -> String {
    format!("longshore-{}", owner.get(..8).unwrap_or(owner))
}
