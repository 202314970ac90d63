//! What happens in a run: a folder, edits of it, requests, and misfortune. All of it is a function of the seed.

use std::fmt;
use std::time::Duration;

use longshore::engine::simulated::FaultPlan;
use longshore::manifest::watch::simulated::Noticed;
use longshore::model::RolloutVerb;

use super::author;
use super::folder::Folder;

/// How bad a run may be; what the oracles may expect depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Only edits and requests.
    Fair,
    /// Containers die and are removed, files are written slowly, the process dies; what happened is told at once.
    Windy,
    /// Engines fail, are slow, lose answers, fall silent, are cut off and die; the store fails and fills up; the state is lost; clocks
    /// jump.
    Stormy,
}

impl Weather {
    /// For how long Longshore may not know what happened on an engine, or in the folder.
    pub fn lag(self) -> Duration {
        match self {
            Self::Fair => Duration::from_secs(1),
            // A file that is being written is left alone until its writer closes it.
            Self::Windy => Duration::from_secs(5),
            // An event stream that fell silent is noticed at the next list, and that may fail and be slow.
            Self::Stormy => Duration::from_secs(150),
        }
    }
}

/// How the user's editor saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saves {
    /// A finished file is renamed into place.
    Moved,
    /// The file is written over, and closed.
    InPlace,
    /// So much time passes between the first half and the second.
    Slowly(Duration),
}

/// What happens. Numbers without a name pick a victim among those there are.
#[derive(Debug, Clone)]
pub enum Act {
    /// The user saves this.
    Edit(Folder, Saves, Noticed),
    /// The user asks for something about a service's rollouts.
    Ask(String, RolloutVerb),
    /// The user makes an instance DRAINING, or ACTIVE.
    Drain(u64, bool),
    /// The user runs a task once.
    RunTask(u64),
    /// The user stops a task.
    StopTask(u64),
    /// A task asks for protection, for so many minutes; 0: no more.
    Protect(u64, u32),
    /// The user asks what would be done.
    Plan,
    /// A container's process is killed.
    Kill(u64),
    /// The kernel kills a container for its memory.
    OutOfMemory(u64),
    /// A container is removed by somebody.
    Remove(u64),
    /// A container's health check fails for so long.
    Sicken(u64, Duration),
    /// Event streams end.
    CutEvents,
    /// Event streams say nothing more.
    SilenceEvents,
    /// An engine dies with all that runs on it, and is back after so long.
    RestartEngine(u64, Duration),
    /// An engine refuses connections for so long.
    Unreachable(u64, Duration),
    /// An engine is cut off from its agent for so long.
    CutOff(u64, Duration),
    /// Engines fail like this from now on.
    Faults(FaultPlan),
    /// The process dies after so many passages, and is away for so long.
    Crash { passages: u64, down: Duration },
    /// The power goes at the `change`th write from now, and what was not synced may be lost.
    PowerCut {
        change: u64,
        odds: u64,
        down: Duration,
    },
    /// The process dies, and its store is gone when it comes back.
    LoseStore { down: Duration },
    /// The disk is full for so long.
    FullDisk(Duration),
    /// The clock of Longshore's machine jumps by so many seconds.
    Jump(i64),
    /// Another Longshore is started for the same clusters, and runs for so long.
    Rival(Duration),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Edit(folder, saves, noticed) = self else {
            return write!(f, "{self:?}");
        };
        write!(f, "Edit {saves:?} {noticed:?}:")?;
        if folder.gone {
            return write!(f, " the folder is away");
        }
        for i in &folder.instances {
            let draining = if i.draining { " DRAINING" } else { "" };
            write!(f, " {}/{}{draining}", i.cluster, i.name)?;
        }
        for (name, s) in &folder.services {
            let spoilt = match folder.spoilt.contains(name) {
                true => " SPOILT",
                false => "",
            };
            write!(
                f,
                "; {name} {:?} v{} {:?} {}x {}-{}%{spoilt}",
                s.kind, s.version, s.image, s.desired, s.minimum, s.maximum
            )?;
            if let Some(rollback) = s.breaker {
                write!(f, " breaker({rollback})")?;
            }
        }
        Ok(())
    }
}

/// A run.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    /// What the order in which tasks are polled is a function of.
    pub order: u64,
    pub weather: Weather,
    /// Names of the engines there are.
    pub engines: Vec<String>,
    pub first: Folder,
    /// When what happens, in order; the last one is the edit that mends everything.
    pub acts: Vec<(Duration, Act)>,
    /// Commits of a thousand whose answer is an error.
    pub store_faults: u64,
    /// Whether the store is a file, on a disk in memory.
    pub on_disk: bool,
}

impl Scenario {
    pub fn new(seed: u64) -> Self {
        author::write(seed)
    }

    /// The same with only those of its happenings that `keep` says; the last one stays.
    pub fn only(&self, keep: impl Fn(usize) -> bool) -> Self {
        let last = self.acts.len().saturating_sub(1);
        let kept = self.acts.iter().enumerate();
        let kept = kept.filter(|(n, _)| *n == last || keep(*n));
        Self {
            acts: kept.map(|(_, act)| act.clone()).collect(),
            ..self.clone()
        }
    }
}
