//! Whether what was expected came true. Pure.

use std::time::Duration;

use super::folder::ServiceKey;
use super::history::{History, Sample, ServiceHistory};
use super::prepare::Expected;
use super::scenario::{Expectation, What, When};
use super::time;

/// Where an expectation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it held.
    pub held: bool,
    /// When it came true, or when it broke.
    pub at: Option<Duration>,
    /// How it was instead, where it did not hold.
    pub instead: String,
}

/// Looks at an expectation of a step at `from`; the simulation ends at `end`.
pub fn look(history: &History, expected: &Expected, from: Duration, end: Duration) -> Verdict {
    let expectation = &expected.expectation;
    let services: Vec<&ServiceHistory> = match &expected.service {
        Some(key) => history.services.get(key).into_iter().collect(),
        None => history.services.values().collect(),
    };
    let (until, all) = match expectation.when {
        When::Now => (from, true),
        When::Within(time) => (from + time, false),
        When::For(time) => (from + time, true),
        When::Always => (end, true),
    };
    let mut instants: Vec<Duration> = services
        .iter()
        .flat_map(|service| &service.samples)
        .map(|sample| sample.at)
        .filter(|at| *at > from && *at <= until)
        .collect();
    instants.push(from);
    instants.sort_unstable();
    instants.dedup();
    let holds = |at: Duration| {
        let now: Vec<Sample> = services
            .iter()
            .map(|service| at_time(service, at))
            .collect();
        of_all(expectation, &now) != expectation.not
    };
    // Of what must hold all the time the first time that it does not; of the rest the first time that it does.
    let found = instants.into_iter().find(|at| holds(*at) != all);
    match (all, found) {
        (true, None) | (false, Some(_)) => Verdict {
            held: true,
            at: found,
            instead: String::new(),
        },
        (true, Some(at)) => Verdict {
            held: false,
            at: Some(at),
            instead: instead(history, expected, at),
        },
        (false, None) => Verdict {
            held: false,
            at: Some(until),
            instead: instead(history, expected, until),
        },
    }
}

/// A service as it is at that time.
pub fn at_time(service: &ServiceHistory, at: Duration) -> Sample {
    let after = service.samples.partition_point(|sample| sample.at <= at);
    match after.checked_sub(1).and_then(|n| service.samples.get(n)) {
        Some(sample) => *sample,
        None => Sample::default(),
    }
}

/// Whether it holds, before a `not`: of one service, or of as many as there are.
fn of_all(expectation: &Expectation, services: &[Sample]) -> bool {
    let mut all = services.iter();
    match expectation.what {
        What::Converged => all.all(|s| s.converged || !s.declared && s.tasks() == 0),
        What::FloorKept => all.all(|s| !s.declared || !s.promised || s.healthy >= s.floor),
        What::CapKept => all.all(|s| !s.declared || s.tasks() <= s.cap),
        What::RolledBack => all.any(|s| s.rolled_back),
        What::Failed => all.any(|s| s.failed),
        What::Unplaceable => all.any(|s| s.unplaceable),
        What::Healthy | What::Running | What::Tasks => {
            let Some((operator, number)) = expectation.number else {
                return false;
            };
            let count = services.iter().map(|s| match expectation.what {
                What::Healthy => s.healthy,
                What::Running => s.running(),
                _ => s.tasks(),
            });
            operator.holds(count.sum(), number)
        }
    }
}

fn instead(history: &History, expected: &Expected, at: Duration) -> String {
    let chosen = |key: &ServiceKey| expected.service.as_ref().is_none_or(|of| of == key);
    let is_wrong = |sample: &Sample| match expected.expectation.service {
        Some(_) => true,
        None => of_all(&expected.expectation, &[*sample]) == expected.expectation.not,
    };
    let mut parts = Vec::new();
    for (key, service) in history.services.iter().filter(|(key, _)| chosen(key)) {
        let sample = at_time(service, at);
        if is_wrong(&sample) {
            parts.push(format!("{} has {}", key.1, in_words(&sample)));
        }
    }
    let more = parts.len().saturating_sub(3);
    parts.truncate(3);
    let mut text = format!("at {}: {}", time::offset(at), parts.join(", "));
    if more > 0 {
        text.push_str(&format!(", and {more} more"));
    }
    text
}

/// `2 of 3 tasks healthy, 1 pending, rolled back`.
pub fn in_words(sample: &Sample) -> String {
    let mut text = format!("{} of {} tasks healthy", sample.healthy, sample.desired);
    for (count, what) in [
        (sample.starting, "starting"),
        (sample.pending, "pending"),
        (sample.unhealthy, "unhealthy"),
        (sample.stopping, "stopping"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    for (is, what) in [
        (sample.unplaceable, "unplaceable"),
        (sample.rolled_back, "rolled back"),
        (sample.failed && !sample.rolled_back, "its rollout failed"),
    ] {
        if is {
            text.push_str(", ");
            text.push_str(what);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::scenario::Operator;
    use super::*;

    fn history(samples: &[(u64, u32, bool)]) -> History {
        let samples = samples.iter().map(|(at, healthy, converged)| Sample {
            at: Duration::from_secs(*at),
            healthy: *healthy,
            desired: 3,
            floor: 2,
            cap: 4,
            declared: true,
            promised: true,
            converged: *converged,
            ..Sample::default()
        });
        let service = ServiceHistory {
            samples: samples.collect(),
            ..ServiceHistory::default()
        };
        let key = ("default".into(), "web".into());
        History {
            services: [(key, service)].into(),
            ..History::default()
        }
    }

    fn verdict(what: What, number: Option<u32>, when: When, not: bool) -> (bool, Option<u64>) {
        let expected = Expected {
            expectation: Expectation {
                not,
                what,
                service: Some("web".to_owned()),
                number: number.map(|number| (Operator::AtLeast, number)),
                when,
            },
            service: Some(("default".into(), "web".into())),
        };
        let history = history(&[(0, 3, true), (10, 1, false), (20, 3, true)]);
        let secs = Duration::from_secs;
        let verdict = look(&history, &expected, secs(5), secs(60));
        (verdict.held, verdict.at.map(|at| at.as_secs()))
    }

    #[test]
    fn an_expectation_holds_now_within_a_time_for_a_time_or_always() {
        let secs = Duration::from_secs;
        let healthy = |when| verdict(What::Healthy, Some(2), when, false);
        assert_eq!(healthy(When::Now), (true, None));
        assert_eq!(healthy(When::For(secs(5))), (false, Some(10)));
        assert_eq!(healthy(When::For(secs(4))), (true, None));
        assert_eq!(healthy(When::Always), (false, Some(10)));
        assert_eq!(healthy(When::Within(secs(1))), (true, Some(5)));
        let broken = |when| verdict(What::FloorKept, None, when, true);
        assert_eq!(broken(When::Within(secs(4))), (false, Some(9)));
        assert_eq!(broken(When::Within(secs(9))), (true, Some(10)));
        assert_eq!(
            verdict(What::Converged, None, When::Now, false),
            (true, None)
        );
        assert_eq!(
            verdict(What::CapKept, None, When::Always, false),
            (true, None)
        );
    }

    #[test]
    fn what_did_not_hold_is_told_as_it_was() {
        let expected = Expected {
            expectation: Expectation {
                not: false,
                what: What::FloorKept,
                service: None,
                number: None,
                when: When::Always,
            },
            service: None,
        };
        let history = history(&[(0, 3, true), (10, 1, false)]);
        let verdict = look(&history, &expected, Duration::ZERO, Duration::from_secs(60));
        assert_eq!(verdict.instead, "at 0:10.0: web has 1 of 3 tasks healthy");
    }
}
