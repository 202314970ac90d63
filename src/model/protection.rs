//! Scale-in protection of a task (semantics §4.32).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// `clusters/<c>/tasks/<id>/protection`: until when its service does not choose a task to go. Written by the controller only;
/// absent: not protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProtection {
    /// From then on it is as if there were none.
    pub expires_at: Timestamp,
}

impl TaskProtection {
    /// Whether it still protects.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }
}

/// What somebody asks for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtectionRequest {
    /// Protection from now on, that many minutes long; what there was is replaced.
    Protect {
        /// One of [`ProtectionRequest::MINUTES`].
        minutes: u32,
    },
    /// None any more.
    Release,
}

impl ProtectionRequest {
    /// How long a task can be protected by one request, in minutes (ECS).
    pub const MINUTES: std::ops::RangeInclusive<i64> = 1..=2880;
    /// How long it is where the request does not say (ECS).
    pub const DEFAULT_MINUTES: u32 = 120;

    /// Reads ECS's two members.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub fn new(enabled: bool, minutes: Option<i64>) -> Result<Self, String> {
        if !enabled {
            return Ok(Self::Release);
        }
        let minutes = match minutes {
            None => Self::DEFAULT_MINUTES,
            Some(minutes) => u32::try_from(minutes)
                .ok()
                .filter(|_| Self::MINUTES.contains(&minutes))
                .ok_or_else(|| {
                    format!(
                        "expiresInMinutes is {minutes}; it is between {} and {}",
                        Self::MINUTES.start(),
                        Self::MINUTES.end()
                    )
                })?,
        };
        Ok(Self::Protect { minutes })
    }

    /// What is to be recorded when it is granted at `now`.
    pub fn granted(self, now: Timestamp) -> Option<TaskProtection> {
        match self {
            Self::Release => None,
            Self::Protect { minutes } => Some(TaskProtection {
                expires_at: now.plus(Duration::from_secs(60 * u64::from(minutes))),
            }),
        }
    }
}

/// Why a task is not protected though somebody asked, as ECS names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectionFailure {
    /// `MISSING`, `TASK_NOT_VALID` or `DEPLOYMENT_BLOCKED`.
    pub reason: &'static str,
    /// For people.
    pub detail: String,
}

/// Why protection was not changed or told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtectionError {
    /// By ECS's rules.
    Refused(ProtectionFailure),
    /// Because something does not work, as a sentence.
    Failed(String),
}

impl From<ProtectionFailure> for ProtectionError {
    fn from(failure: ProtectionFailure) -> Self {
        Self::Refused(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protection_lasts_two_hours_unless_it_is_asked_for_a_minute_to_two_days() {
        let protect = |minutes| Ok(ProtectionRequest::Protect { minutes });
        assert_eq!(ProtectionRequest::new(true, None), protect(120));
        for minutes in [1, 60, 2880] {
            let asked = ProtectionRequest::new(true, Some(i64::from(minutes)));
            assert_eq!(asked, protect(minutes));
        }
        for minutes in [0, -1, 2881, i64::MAX] {
            assert!(ProtectionRequest::new(true, Some(minutes)).is_err());
        }
        let release = ProtectionRequest::new(false, Some(-1));
        assert_eq!(release, Ok(ProtectionRequest::Release));
    }

    #[test]
    fn protection_ends_at_its_expiry() {
        let now = Timestamp::from_millis(1000);
        let asked = ProtectionRequest::Protect { minutes: 1 };
        let protection = asked.granted(now).expect("granted");
        assert!(protection.holds(Timestamp::from_millis(60_999)));
        assert!(!protection.holds(Timestamp::from_millis(61_000)));
        assert_eq!(ProtectionRequest::Release.granted(now), None);
    }
}
