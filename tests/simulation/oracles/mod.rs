//! What must be so, each promise a predicate of its own. They look at what happened on the engines, in the engines' own words, at what
//! was committed and when, and at what the user asked for; never at how Longshore says that things are, except where what it
//! says is the promise.
//!
//! `docs/simulation.md` lists for each the fault that was put into the code to see that it is caught
//! (`make sim-mutants`).
//!
//! What Longshore cannot know yet is not held against it: a task that fell by itself less than
//! [`Weather::lag`](super::scenario::Weather::lag) before an order was given, or after it, counts as if it still stood.

pub mod band;
pub mod commits;
pub mod engines;
pub mod explained;
pub mod secrets;
pub mod tasks;
pub mod throttle;

use std::fmt;

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oracle {
    /// P1: what a broken folder said last stays in force, and stops nothing.
    BrokenFolder,
    /// P1: and that is told.
    ServesLastGood,
    /// P2: what is not Longshore's is never touched.
    Foreign,
    /// P3: never fewer healthy tasks than the minimum, by Longshore's own doing.
    Floor,
    /// P3: never more tasks than the maximum.
    Cap,
    /// P3: nothing is started or stopped without a recorded order.
    Ordered,
    /// P4: everything comes to rest at what the folder says, within a bound after the last fault.
    Converges,
    /// P4: nothing is left over that nobody remembers.
    Leftovers,
    /// P4: what is recorded of a task only goes forward.
    Forward,
    /// P4: a task is given up only when its engine was away for long enough.
    GivenUp,
    /// P5: nothing is changed at rest, and a plan then has nothing to do.
    Quiet,
    /// P6: a plan changes nothing.
    PlanIsPure,
    /// P7: what failed says why.
    Explained,
    /// P8: two Longshores never work on one cluster.
    Single,
    /// P9: secrets reach their containers and nothing else.
    Secret,
    /// What cannot start is started less and less often.
    Throttle,
    /// One task of a DAEMON service an instance.
    OneEach,
    /// Nothing is started or stopped of a service that is suspended.
    Suspended,
    /// Nothing is placed on an instance that drains.
    Draining,
    /// A protected task is not chosen to go.
    Protected,
    /// Nobody gives up, and nothing panics.
    Alive,
}

impl Oracle {
    /// As it is reported.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BrokenFolder => "P1 broken-folder",
            Self::ServesLastGood => "P1 serves-last-good",
            Self::Foreign => "P2 foreign",
            Self::Floor => "P3 floor",
            Self::Cap => "P3 cap",
            Self::Ordered => "P3 ordered",
            Self::Converges => "P4 converges",
            Self::Leftovers => "P4 leftovers",
            Self::Forward => "P4 forward",
            Self::GivenUp => "P4 given-up",
            Self::Quiet => "P5 quiet",
            Self::PlanIsPure => "P6 plan-is-pure",
            Self::Explained => "P7 explained",
            Self::Single => "P8 single",
            Self::Secret => "P9 secret",
            Self::Throttle => "throttle",
            Self::OneEach => "one-each",
            Self::Suspended => "suspended",
            Self::Draining => "draining",
            Self::Protected => "protected",
            Self::Alive => "alive",
        }
    }

    /// A finding.
    pub fn broken(self, what: String) -> Finding {
        Finding { oracle: self, what }
    }
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub oracle: Oracle,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle.name(), self.what)
    }
}
