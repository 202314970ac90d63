//! Which tasks may go so that a new one fits, and the floor below which nothing may go (P3).

use std::collections::BTreeSet;

use super::observe::Phase;
use super::placement::{Books, Request};
use super::plan::{Draft, Seen};
use crate::model::{InstanceId, SpecHash};

/// What would stay if the tasks that were looked at were stopped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    healthy: u32,
    serving: u32,
    /// Whether stopping them is bound by the floor of healthy tasks, and by that of serving ones.
    costs_health: bool,
    costs_service: bool,
}

impl Left {
    pub fn of(draft: &Draft<'_>) -> Self {
        Self {
            healthy: draft.count(Seen::healthy),
            serving: draft.count(Seen::serves),
            costs_health: false,
            costs_service: false,
        }
    }

    /// One more is stopped.
    fn without(self, seen: &Seen<'_>) -> Self {
        let phase = seen.phase;
        // What does not answer may be healthy: it is not given for something that has only started.
        let costs_health = seen.silent || matches!(phase, Phase::Healthy | Phase::Starting);
        Self {
            healthy: self
                .healthy
                .saturating_sub(u32::from(phase == Phase::Healthy)),
            serving: self.serving.saturating_sub(u32::from(phase.serves())),
            costs_health: self.costs_health || costs_health,
            costs_service: self.costs_service || phase.serves(),
        }
    }

    /// Those that were stopped so far are settled; what is asked next is only about others.
    fn settled(self) -> Self {
        Self {
            costs_health: false,
            costs_service: false,
            ..self
        }
    }

    /// Whether the floor holds. A task that is still warming up is spared in the same way: it may be all that serves.
    fn reaches(self, floor: u32) -> bool {
        (!self.costs_health || self.healthy >= floor)
            && (!self.costs_service || self.serving >= floor)
    }
}

/// The search for tasks to stop: what would be there once those that were found so far were gone and replaced.
pub(super) struct Search<'d> {
    pub books: Books<'d>,
    pub existing: u32,
    pub cap: u32,
    pub floor: u32,
    pub left: Left,
}

impl<'d> Search<'d> {
    /// One task that is enough by itself.
    pub fn one(
        &mut self,
        draft: &Draft<'d>,
        request: &Request<'_>,
        free: &[usize],
    ) -> Option<usize> {
        if self.existing.saturating_sub(1) >= self.cap {
            return None;
        }
        // Tasks of which one was tried already.
        let mut hopeless: BTreeSet<(&InstanceId, &SpecHash)> = BTreeSet::new();
        for at in free {
            let task = draft.seen[*at].view.record;
            let left = self.left.without(&draft.seen[*at]);
            let kind = (&task.instance, &task.spec);
            if !left.reaches(self.floor) || hopeless.contains(&kind) {
                continue;
            }
            let held = self.books.release(task);
            match self.books.place(request) {
                Ok(_) => {
                    self.left = left.settled();
                    return Some(*at);
                }
                Err(no_fit) => {
                    // Another one like it gives back as much, but for which ports these are.
                    if !no_fit.is_about_ports(&task.instance) {
                        hopeless.insert(kind);
                    }
                    drop(no_fit);
                    self.books.restore(task, held);
                }
            }
        }
        None
    }

    /// As many as it takes; none where all are not enough.
    pub fn several(
        &mut self,
        draft: &Draft<'d>,
        request: &Request<'_>,
        free: &[usize],
    ) -> Option<Vec<usize>> {
        let mut left = self.left;
        let mut some = Vec::new();
        let mut released = Vec::new();
        for at in free {
            let seen = &draft.seen[*at];
            let without = left.without(seen);
            if !without.reaches(self.floor) {
                continue;
            }
            left = without;
            some.push(*at);
            released.push((seen.view.record, self.books.release(seen.view.record)));
            let existing = self.existing.saturating_sub(count(&some));
            if existing < self.cap && self.books.place(request).is_ok() {
                self.left = left.settled();
                return Some(some);
            }
        }
        for (task, held) in released {
            self.books.restore(task, held);
        }
        None
    }
}

pub(super) fn count(tasks: &[usize]) -> u32 {
    u32::try_from(tasks.len()).unwrap_or(u32::MAX)
}
