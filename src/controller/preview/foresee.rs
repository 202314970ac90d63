//! What follows from a plan if all goes well: every ordered task starts and becomes healthy, every other one stops, and the next
//! plan is made of that, until nothing more is to be done.
//!
//! It is the real plan that is asked each time, so percentages, ports, books and overrides decide here as they do when it is done.

use std::sync::Arc;
use std::time::Duration;

use crate::controller::commit::settled;
use crate::controller::decision::{Decision, Plan};
use crate::controller::inputs::{Inputs, view};
use crate::controller::observe::{Phase, standing};
use crate::model::{
    DesiredStatus, HealthStatus, LastStatus, RolloutState, StopOrder, TaskId, TaskLost, TaskRecord,
    TaskStatus, Timestamp,
};
use crate::store::Stored;
use crate::store::state::TaskEntry;

/// What the ids of tasks begin with that are only foreseen.
pub const FORESEEN: &str = "foreseen-";

/// Plans that are looked ahead at most: a rollout in steps of a percent has a hundred, and some to stop what was replaced.
const MOST: usize = 400;

/// A throttle never holds starts up for longer (semantics §4.23).
const LONGEST_WAIT: Duration = Duration::from_secs(28 * 60);

/// What happens together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// In the order in which they are recorded.
    pub decisions: Vec<Decision>,
    /// Tasks that stay and are healthy before anything that is started now is.
    pub healthy: u32,
}

/// A service's way from here to where it rests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Course {
    /// What is done now, and then what is done after each step once it has come to its end. None is empty.
    pub steps: Vec<Step>,
    /// Healthy tasks at the beginning.
    pub healthy: u32,
    /// Whether it ends with every task of the newest deployment there, healthy, and no other.
    pub arrives: bool,
    /// There are more steps than are looked at.
    pub more: bool,
    /// What stands in the way at the end, as the service's events say it.
    pub obstacles: Vec<String>,
}

impl Course {
    /// The fewest healthy tasks at any time.
    pub fn lowest(&self) -> u32 {
        let steps = self.steps.iter().map(|step| step.healthy);
        steps
            .min()
            .map_or(self.healthy, |lowest| lowest.min(self.healthy))
    }
}

/// Follows a service from `now` on. `inputs` are then as they are at the end.
pub(super) fn course(inputs: &mut Inputs, first: Plan, at_most: usize, now: Timestamp) -> Course {
    let mut course = Course {
        healthy: healthy(inputs, now),
        ..Course::default()
    };
    let mut now = now;
    let mut plan = first;
    let mut ids = 0;
    let mut idle = 0;
    for _ in 0..MOST {
        let still = plan.decisions.is_empty() && plan.record.is_none();
        record(inputs, &plan, now, &mut ids);
        if !plan.decisions.is_empty() {
            course.steps.push(Step {
                healthy: healthy(inputs, now),
                decisions: plan.decisions,
            });
        }
        let arrived = arrives(inputs);
        if plan.forget || (still && (arrived || inputs.desired.is_none())) {
            course.arrives = true;
            return course;
        }
        let next = now.plus(settle(inputs, now));
        let wake = plan.wake_at.filter(|at| at.since(now) <= LONGEST_WAIT);
        if still {
            idle += 1;
            if idle > 2 {
                break;
            }
        } else {
            idle = 0;
        }
        now = match wake {
            Some(at) if still => at.max(next),
            _ => next,
        };
        plan = inputs.plan_at_most(at_most, now);
    }
    course.more = idle <= 2;
    course.obstacles = obstacles(inputs);
    course
}

fn obstacles(inputs: &Inputs) -> Vec<String> {
    let notices = inputs
        .record
        .iter()
        .flat_map(|record| record.notices.values());
    notices.map(|notice| notice.message.clone()).collect()
}

fn stored<T>(value: T) -> Stored<T> {
    Stored {
        value: Arc::new(value),
        revision: 0,
    }
}

/// Tasks that stay and are healthy.
fn healthy(inputs: &Inputs, now: Timestamp) -> u32 {
    let grace = inputs
        .desired
        .as_ref()
        .map_or(0, |spec| spec.health_check_grace_period);
    let after = inputs.cluster.healthy_after;
    let healthy = inputs.tasks.values().filter(|(entry, spec)| {
        standing(&view(entry, spec.as_deref()), after, grace, now) == Phase::Healthy
    });
    u32::try_from(healthy.count()).unwrap_or(u32::MAX)
}

/// Whether the newest deployment is all there is, and done.
fn arrives(inputs: &Inputs) -> bool {
    let deployments = inputs
        .record
        .as_ref()
        .map(|record| record.deployments.as_slice());
    matches!(deployments, Some([only]) if only.rollout == RolloutState::Completed)
}

/// As if the plan were recorded.
fn record(inputs: &mut Inputs, plan: &Plan, now: Timestamp, ids: &mut u32) {
    if let Some(record) = &plan.record {
        inputs.record = Some(stored(record.clone()));
    }
    if let Some(overrides) = &plan.overrides {
        inputs.overrides = Some(stored(overrides.clone()));
    }
    for decision in &plan.decisions {
        match decision {
            Decision::StartTask { .. } => {
                *ids += 1;
                let id = TaskId::new(format!("{FORESEEN}{ids}"));
                order(inputs, decision, id, now);
            }
            Decision::StopTask {
                id, code, reason, ..
            } => {
                if let Some((entry, _)) = inputs.tasks.get_mut(id) {
                    let mut record = TaskRecord::clone(&entry.record);
                    record.desired = DesiredStatus::Stopped;
                    record.stop = Some(StopOrder {
                        code: *code,
                        reason: reason.clone(),
                        at: now,
                    });
                    Arc::make_mut(entry).record = stored(record);
                }
            }
            Decision::GiveUpTask { id, reason, .. } => {
                if let Some((entry, _)) = inputs.tasks.get_mut(id) {
                    let reason = reason.clone();
                    Arc::make_mut(entry).lost = Some(stored(TaskLost { at: now, reason }));
                }
            }
            Decision::DeleteTask { id, .. } => {
                inputs.tasks.remove(id);
            }
        }
    }
    book(inputs);
}

/// Adds the task that a decision starts.
fn order(inputs: &mut Inputs, decision: &Decision, id: TaskId, now: Timestamp) {
    let key = (&inputs.key.0, &inputs.key.1);
    let Some(record) = decision.ordered(id.clone(), key, now) else {
        return;
    };
    let wanted = inputs.definition.as_ref().filter(|d| d.hash == record.spec);
    let spec = match wanted {
        Some(definition) => Some(Arc::clone(&definition.spec)),
        None => inputs.specs.get(&record.spec).cloned().or_else(|| {
            let mut tasks = inputs.tasks.values();
            let like = tasks.find(|(entry, _)| entry.record.spec == record.spec);
            like.and_then(|(_, spec)| spec.clone())
        }),
    };
    let entry = TaskEntry {
        record: stored(record),
        status: None,
        lost: None,
        protection: None,
    };
    inputs.tasks.insert(id, (Arc::new(entry), spec));
}

fn book(inputs: &mut Inputs) {
    let books = settled(&inputs.instances, &inputs.tasks).into_changed();
    for (id, reserved) in books {
        if let Some(input) = inputs.instances.get_mut(&id) {
            input.set_reserved(reserved);
        }
    }
}

/// All goes well: what was ordered to stop is gone, what was started runs and is healthy once the time is up that this returns.
fn settle(inputs: &mut Inputs, now: Timestamp) -> Duration {
    for (entry, spec) in inputs.tasks.values_mut() {
        let mut status = entry
            .status
            .as_ref()
            .map_or_else(TaskStatus::default, |status| TaskStatus::clone(status));
        if status.is_stopped() || entry.lost.is_some() {
            continue;
        }
        let ends = status.last_status > LastStatus::Running || status.stop_code.is_some();
        if entry.record.desired == DesiredStatus::Stopped || ends {
            status.last_status = LastStatus::Stopped;
            status.stopped_at = Some(now);
        } else {
            let checked = spec.as_ref().is_some_and(|spec| spec.has_health_check());
            if status.last_status < LastStatus::Running {
                status.last_status = LastStatus::Running;
                status.started_at = Some(now);
            }
            if checked && status.health == HealthStatus::Unknown {
                status.health = HealthStatus::Healthy;
                status.healthy_at = Some(now);
            }
        }
        Arc::make_mut(entry).status = Some(stored(status));
    }
    book(inputs);
    Duration::from_secs(u64::from(inputs.cluster.healthy_after) + 1)
}
