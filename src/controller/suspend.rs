//! A suspended service: nothing is decided for it, and what would be is said.

use super::decision::{Decision, Plan};
use super::events;
use super::plan::{Draft, PlanInput, act};
use crate::model::{Asked, EventLevel, NoticeKind};

/// Decides nothing. What the service would do if it were resumed is its notice, so that the drift can be seen.
pub(super) fn plan(input: &PlanInput<'_>, asked: &Asked) -> Plan {
    let Some(record) = input.record else {
        return Plan::default();
    };
    let drift = drift(&act(input));
    let mut draft = Draft::new(input, record.clone(), 0);
    let message = events::suspended(input.service, asked, drift);
    draft.notice(NoticeKind::Suspended, EventLevel::Warn, Some(message));
    let mut plan = draft.finish();
    // It is about what is not done.
    plan.wake_at = None;
    plan
}

/// How many tasks would be started and stopped.
fn drift(plan: &Plan) -> (usize, usize) {
    let count = |which: fn(&Decision) -> bool| plan.decisions.iter().filter(|d| which(d)).count();
    let starts = count(|decision| matches!(decision, Decision::StartTask { .. }));
    (starts, count(Decision::stops_for_the_service))
}
