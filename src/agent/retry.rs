//! Whether and when a failed call is made again. From the kind of its failure and how often it failed; nothing else.
//!
//! What a failure *is* was settled in [`ErrorKind`]; here is what an agent does about it:
//!
//! * An engine that cannot be reached is waited for, however long.
//! * What can never work (a bad request, missing rights, a name that somebody else holds) is not tried again.
//! * What may pass is tried again after a pause that doubles, a few times where a task waits for it to start (its service
//!   then decides what comes next, and how fast), without end where something is to be stopped or removed.
//! * A registry that limits pulls and says for how long is left alone for that long.
//! * *May have been applied*: the runner looks before it lets the next step decide, so nothing is done twice.

use std::time::Duration;

use super::action::Verb;
use super::facts::Attempt;
use crate::engine::{ErrorKind, registry};
use crate::model::Timestamp;

/// Longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(30);
/// Longest pause where the engine could not be reached: its return is noticed by listening, this is the second net.
const LONGEST_UNREACHABLE: Duration = Duration::from_secs(5);

/// What to do about a call that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Make it.
    Now,
    /// Not before then.
    At(Timestamp),
    /// Give it up.
    Never,
}

/// What to do about a `verb` that is wanted at `now` and failed like `attempt` before.
pub fn verdict(verb: Verb, attempt: Option<&Attempt>, now: Timestamp) -> Verdict {
    let Some(attempt) = attempt else {
        return Verdict::Now;
    };
    if limit(verb, attempt.kind).is_some_and(|limit| attempt.failures >= limit) {
        return Verdict::Never;
    }
    let at = attempt.at.plus(pause(verb, attempt));
    if at <= now {
        Verdict::Now
    } else {
        Verdict::At(at)
    }
}

/// How many failures of this kind in a row are the end; `None`: none are.
const fn limit(verb: Verb, kind: ErrorKind) -> Option<u32> {
    match verb {
        // Undoing never gives up: what is left over would be an orphan.
        Verb::Stop | Verb::Remove | Verb::RemoveVolume | Verb::ReadLogs => return None,
        _ => {}
    }
    match kind {
        ErrorKind::Unreachable => None,
        // The object the call needs went away between two looks, or is on its way out: look again a few times.
        ErrorKind::NotFound | ErrorKind::Conflict => match verb {
            Verb::Create | Verb::Start | Verb::CreateNetwork => Some(3),
            _ => Some(1),
        },
        // A port that its last holder is just letting go of.
        ErrorKind::PortInUse => Some(5),
        ErrorKind::TimedOut
        | ErrorKind::Unknown
        | ErrorKind::Exhausted
        | ErrorKind::RateLimited
        | ErrorKind::RegistryUnavailable => Some(3),
        ErrorKind::NameConflict
        | ErrorKind::Invalid
        | ErrorKind::Unauthorized
        | ErrorKind::ImageNotFound
        | ErrorKind::NoPlatform
        | ErrorKind::PermissionDenied
        | ErrorKind::Unsupported
        // The service's own pauses between tasks are the retry.
        | ErrorKind::Unresolved => Some(1),
    }
}

fn pause(verb: Verb, attempt: &Attempt) -> Duration {
    let first = match verb {
        Verb::Pull => Duration::from_secs(1),
        _ => Duration::from_millis(250),
    };
    let longest = match attempt.kind {
        ErrorKind::Unreachable => LONGEST_UNREACHABLE,
        _ => LONGEST,
    };
    let doublings = attempt.failures.saturating_sub(1).min(16);
    let pause = first.saturating_mul(1 << doublings).min(longest);
    match attempt.kind {
        ErrorKind::RateLimited => {
            pause.max(registry::asked_to_wait(&attempt.message).unwrap_or_default())
        }
        _ => pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(verb: Verb, kind: ErrorKind, failures: u32) -> Verdict {
        let attempt = Attempt {
            failures,
            at: Timestamp::from_millis(1_000),
            kind,
            message: String::new(),
        };
        verdict(verb, Some(&attempt), Timestamp::from_millis(1_000))
    }

    fn at(millis: i64) -> Verdict {
        Verdict::At(Timestamp::from_millis(1_000 + millis))
    }

    #[test]
    fn a_first_attempt_is_made_at_once_and_a_retry_after_its_pause() {
        let now = Timestamp::from_millis(9);
        assert_eq!(verdict(Verb::Start, None, now), Verdict::Now);
        assert_eq!(after(Verb::Start, ErrorKind::Unknown, 1), at(250));
        assert_eq!(after(Verb::Start, ErrorKind::Unknown, 2), at(500));
        let due = Attempt {
            failures: 1,
            at: Timestamp::from_millis(0),
            kind: ErrorKind::Unknown,
            message: String::new(),
        };
        let due = verdict(Verb::Start, Some(&due), Timestamp::from_millis(250));
        assert_eq!(due, Verdict::Now);
    }

    #[test]
    fn what_can_never_work_is_not_tried_again() {
        for kind in [
            ErrorKind::Invalid,
            ErrorKind::NameConflict,
            ErrorKind::ImageNotFound,
            ErrorKind::Unauthorized,
        ] {
            assert_eq!(after(Verb::Create, kind, 1), Verdict::Never);
        }
    }

    #[test]
    fn an_engine_that_cannot_be_reached_is_waited_for_without_end() {
        assert_eq!(
            after(Verb::Create, ErrorKind::Unreachable, 1_000),
            at(5_000)
        );
    }

    #[test]
    fn stopping_and_removing_are_tried_without_end() {
        for verb in [Verb::Stop, Verb::Remove, Verb::RemoveVolume] {
            assert_eq!(after(verb, ErrorKind::Invalid, 1_000), at(30_000));
        }
    }

    #[test]
    fn a_registry_that_says_how_long_to_wait_is_not_asked_before() {
        let limited = |failures: u32, message: &str| {
            let attempt = Attempt {
                failures,
                at: Timestamp::from_millis(1_000),
                kind: ErrorKind::RateLimited,
                message: message.to_owned(),
            };
            verdict(Verb::Pull, Some(&attempt), Timestamp::from_millis(1_000))
        };
        assert_eq!(
            limited(1, "toomanyrequests: retry-after: 5m0s"),
            at(300_000)
        );
        assert_eq!(limited(2, "toomanyrequests: retry-after: 10ms"), at(2_000));
        assert_eq!(limited(1, "toomanyrequests"), at(1_000));
    }

    #[test]
    fn transient_failures_of_a_start_end_after_a_few() {
        assert_eq!(
            after(Verb::Pull, ErrorKind::RegistryUnavailable, 2),
            at(2_000)
        );
        assert_eq!(
            after(Verb::Pull, ErrorKind::RegistryUnavailable, 3),
            Verdict::Never
        );
        assert_eq!(after(Verb::Start, ErrorKind::PortInUse, 4), at(2_000));
        assert_eq!(after(Verb::Start, ErrorKind::PortInUse, 5), Verdict::Never);
    }
}
