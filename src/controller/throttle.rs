//! Holding back tasks that keep failing: at once the first time, then after 1 s, doubling up to 27 min (semantics §4.23).
//!
//! What counts is a task of the PRIMARY deployment that ended by itself, or was stopped because its health check fails,
//! before it was ever counted healthy. Tasks that were started before the last failure was counted belong to that failure's
//! round, so that forty replicas that crash together are one step, not forty. A task that had been healthy is always replaced
//! at once.

use std::time::Duration;

use crate::model::{TaskId, Throttle, Timestamp};

/// The longest pause.
pub const LONGEST: Duration = Duration::from_secs(27 * 60);

/// Rounds after which a service is said to be unable to start tasks consistently.
pub(super) const IMPAIRED: u32 = 3;

/// How long to wait before the next start after that many failed rounds.
pub fn delay(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(2) else {
        return Duration::ZERO;
    };
    let seconds = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(LONGEST)
}

impl Throttle {
    /// Starts anew when the manifest or what it resolves to has changed since the count began.
    pub(super) fn rebase(&mut self, about: &str) {
        if self.about != about {
            *self = Self {
                about: about.to_owned(),
                counted: std::mem::take(&mut self.counted),
                ..Self::default()
            };
        }
    }

    /// Forgets the failures, but not whose they were.
    pub(super) fn clear(&mut self) {
        *self = Self {
            about: std::mem::take(&mut self.about),
            counted: std::mem::take(&mut self.counted),
            ..Self::default()
        };
    }

    /// Whether that task's end was counted already.
    pub(super) fn has_counted(&self, id: &TaskId) -> bool {
        self.counted.contains(id)
    }

    /// Takes one failure in: a task, started at `created`, that ended before it was healthy.
    pub(super) fn fail(&mut self, created: Timestamp, now: Timestamp) {
        if self.failed_at.is_none_or(|last| created >= last) {
            self.failures = self.failures.saturating_add(1);
            self.failed_at = Some(now);
            let wait = delay(self.failures);
            self.not_before = (!wait.is_zero()).then(|| now.plus(wait));
        }
        if self.gate(now).is_some() {
            self.held += 1;
        }
    }

    /// Takes in that a task, started at `created`, is healthy. Only one that was started after the last failure proves
    /// anything.
    pub(super) fn succeed(&mut self, created: Timestamp) -> bool {
        let reset = self.failed_at.is_some_and(|last| created >= last);
        if reset {
            self.failures = 0;
            self.failed_at = None;
            self.not_before = None;
            self.held = 0;
        }
        reset
    }

    /// Until when held starts wait, if they still do.
    pub(super) fn gate(&self, now: Timestamp) -> Option<Timestamp> {
        self.not_before.filter(|until| *until > now)
    }

    /// How many of `missing` tasks may be started now.
    pub(super) fn allowed(&mut self, missing: u32, now: Timestamp) -> u32 {
        if self.gate(now).is_none() {
            self.held = 0;
        }
        self.held = self.held.min(missing);
        missing - self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_pause_is_none_then_one_second_doubling_to_27_minutes() {
        let seconds: Vec<u64> = (0..16).map(|n| delay(n).as_secs()).collect();
        assert_eq!(
            seconds,
            [
                0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1620, 1620, 1620
            ]
        );
        assert_eq!(delay(u32::MAX), LONGEST);
    }

    #[test]
    fn tasks_that_crash_together_are_one_step() {
        let mut throttle = Throttle::default();
        for _ in 0..40 {
            throttle.fail(at(0), at(5));
        }
        assert_eq!((throttle.failures, throttle.not_before), (1, None));
        assert_eq!(throttle.allowed(40, at(5)), 40);
        // Their replacements crash as well: the second round.
        throttle.fail(at(5), at(9));
        throttle.fail(at(5), at(9));
        assert_eq!(throttle.failures, 2);
        assert_eq!(throttle.not_before, Some(at(10)));
        assert_eq!(throttle.allowed(2, at(9)), 0);
        assert_eq!(throttle.allowed(2, at(10)), 2);
    }

    #[test]
    fn only_what_failed_waits() {
        let mut throttle = Throttle::default();
        throttle.fail(at(0), at(5));
        throttle.fail(at(5), at(6));
        assert_eq!(throttle.allowed(3, at(6)), 2, "one of three failed");
    }

    #[test]
    fn a_healthy_task_that_is_older_than_the_failure_proves_nothing() {
        let mut throttle = Throttle::default();
        throttle.fail(at(0), at(5));
        assert!(!throttle.succeed(at(1)));
        assert!(throttle.succeed(at(5)));
        assert_eq!(throttle, Throttle::default());
    }

    #[test]
    fn a_new_manifest_starts_anew_but_counts_no_old_failure_again() {
        let mut throttle = Throttle {
            about: "one".to_owned(),
            counted: vec![TaskId::new("a")],
            ..Throttle::default()
        };
        throttle.fail(at(0), at(5));
        throttle.rebase("one");
        assert_eq!(throttle.failures, 1);
        throttle.rebase("two");
        assert_eq!(throttle.failures, 0);
        assert!(throttle.has_counted(&TaskId::new("a")));
    }
}
