//! Restart in place (semantics §4.17).

use std::time::Duration;

use crate::engine::ObservedContainer;
use crate::model::RestartPolicy;

/// Whether the policy starts this ended container again: its exit code is not one that is let be, and it ran for at least
/// `restartAttemptPeriod` since its last start. Both ends of that duration are the engine's own, so neither a stopped
/// Longshore nor two clocks change it; and the answer stays the same until the container runs again, so nothing need be
/// remembered between deciding and doing.
pub(super) fn wanted(policy: Option<&RestartPolicy>, ended: &ObservedContainer) -> bool {
    let Some(policy) = policy else {
        return false;
    };
    let (Some(started), Some(finished)) = (ended.started_at, ended.finished_at) else {
        return false;
    };
    let ignored = ended
        .exit_code
        .is_some_and(|code| policy.ignored_exit_codes.contains(&code));
    let period = Duration::from_secs(u64::from(policy.restart_attempt_period));
    !ignored && finished.since(started) >= period
}
