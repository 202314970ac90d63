//! How often anybody may ask: the ECS agent's 40 requests a second with bursts of 60 (semantics §5), for each task by itself.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::{TaskId, Timestamp};

/// Requests a second.
const RATE: u64 = 40;
/// Requests at once.
const BURST: u64 = 60;
/// Above so many askers, those that have not asked for a while are forgotten.
const MANY: usize = 256;
/// A request, in the unit in which buckets are filled: thousandths, one a millisecond and request a second.
const ONE: u64 = 1000;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    /// A container of this task.
    Task(TaskId),
    /// Somebody at this address whose id is none.
    Stranger(IpAddr),
}

/// Everybody who asked lately.
#[derive(Debug, Default)]
pub(super) struct Limits(HashMap<Asker, Bucket>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Thousandths of requests that are left.
    left: u64,
    at: Timestamp,
}

impl Bucket {
    fn at(self, now: Timestamp) -> Self {
        let millis = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let left = self.left.saturating_add(millis.saturating_mul(RATE));
        Self {
            left: left.min(BURST * ONE),
            at: now,
        }
    }
}

impl Limits {
    /// Whether `asker` may ask now. One that may has asked.
    pub fn take(&mut self, asker: Asker, now: Timestamp) -> bool {
        if self.0.len() >= MANY {
            // A full bucket is as good as none.
            self.0.retain(|_, bucket| bucket.at(now).left < BURST * ONE);
        }
        let bucket = self.0.entry(asker).or_insert(Bucket {
            left: BURST * ONE,
            at: now,
        });
        *bucket = bucket.at(now);
        let may = bucket.left >= ONE;
        if may {
            bucket.left -= ONE;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(limits: &mut Limits, task: &str, times: u32, millis: i64) -> usize {
        let asker = || Asker::Task(TaskId::new(task));
        (0..times)
            .filter(|_| limits.take(asker(), Timestamp::from_millis(millis)))
            .count()
    }

    #[test]
    fn a_task_may_ask_60_times_at_once_and_40_times_a_second_after() {
        let mut limits = Limits::default();
        assert_eq!(asked(&mut limits, "a", 100, 0), 60);
        assert_eq!(asked(&mut limits, "a", 100, 1000), 40);
        assert_eq!(asked(&mut limits, "a", 100, 1025), 1);
        assert_eq!(asked(&mut limits, "a", 100, 3_600_000), 60);
    }

    #[test]
    fn one_task_takes_nothing_from_another() {
        let mut limits = Limits::default();
        assert_eq!(asked(&mut limits, "a", 100, 0), 60);
        assert_eq!(asked(&mut limits, "b", 100, 0), 60);
    }

    #[test]
    fn who_has_not_asked_for_a_while_is_forgotten() {
        let mut limits = Limits::default();
        for n in 0..1000 {
            asked(&mut limits, &n.to_string(), 1, i64::from(n) * 1000);
        }
        assert!(limits.0.len() <= MANY, "{}", limits.0.len());
    }
}
