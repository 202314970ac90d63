//! What goes wrong, and when: by a seeded plan, or as a test asks for the next call.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{IdGen, SeededIds};
use crate::engine::ErrorKind;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// One of the engine's calls.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            /// Every call there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As errors name it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

operations! {
    /// `info`.
    Info => "info",
    /// `greet`.
    Greet => "greet",
    /// `list_containers`.
    ListContainers => "list containers",
    /// `inspect_container`.
    InspectContainer => "inspect container",
    /// `create_container`.
    CreateContainer => "create container",
    /// `start_container`.
    StartContainer => "start container",
    /// `stop_container`.
    StopContainer => "stop container",
    /// `remove_container`.
    RemoveContainer => "remove container",
    /// `upload`.
    Upload => "copy files into container",
    /// `image`.
    InspectImage => "inspect image",
    /// `list_images`.
    ListImages => "list images",
    /// `pull_image`.
    PullImage => "pull image",
    /// `import_image`.
    ImportImage => "import image",
    /// `remove_image`.
    RemoveImage => "remove image",
    /// `list_networks`.
    ListNetworks => "list networks",
    /// `create_network`.
    CreateNetwork => "create network",
    /// `remove_network`.
    RemoveNetwork => "remove network",
    /// `list_volumes`.
    ListVolumes => "list volumes",
    /// `inspect_volume`.
    InspectVolume => "inspect volume",
    /// `create_volume`.
    CreateVolume => "create volume",
    /// `remove_volume`.
    RemoveVolume => "remove volume",
    /// `events`.
    Events => "events",
    /// `logs`.
    Logs => "logs",
    /// `exec`.
    Exec => "exec",
    /// `exec_exit_code`.
    InspectExec => "inspect exec",
    /// `exec_resize`.
    ResizeExec => "resize exec",
    /// `attach_stdin`.
    Attach => "attach",
    /// `stats`.
    Stats => "stats",
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Operation {
    /// Whether it creates, starts, stops or removes something.
    pub const fn is_changing(self) -> bool {
        matches!(
            self,
            Self::CreateContainer
                | Self::StartContainer
                | Self::StopContainer
                | Self::RemoveContainer
                | Self::PullImage
                | Self::ImportImage
                | Self::RemoveImage
                | Self::CreateNetwork
                | Self::RemoveNetwork
                | Self::CreateVolume
                | Self::RemoveVolume
        )
    }
}

/// How often what goes wrong. Rates are calls (or events) of a thousand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// Calls that fail and change nothing: a connection refused, or a 500.
    pub errors: u32,
    /// Calls that are done and whose answer is lost.
    pub lost_replies: u32,
    /// Calls that are done and answered with a 500.
    pub failed_done: u32,
    /// Calls that nothing is heard of any more; half of them are done.
    pub hung: u32,
    /// Calls that take longer, by up to [`FaultPlan::slowest`].
    pub slow: u32,
    /// The longest delay of a slow call.
    pub slowest: Duration,
    /// Events at which every event stream ends.
    pub cut_events: u32,
    /// Events from which on every event stream says nothing more.
    pub silent_events: u32,
    /// The engine restarts about this often.
    pub restart_every: Option<Duration>,
    /// How long it is away then.
    pub restart_takes: Duration,
}

impl FaultPlan {
    /// Some of everything except restarts.
    pub const fn rough() -> Self {
        Self {
            errors: 30,
            lost_replies: 30,
            failed_done: 15,
            hung: 4,
            slow: 50,
            slowest: Duration::from_secs(8),
            cut_events: 5,
            silent_events: 2,
            restart_every: None,
            restart_takes: Duration::from_secs(5),
        }
    }
}

/// What is wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It fails with this and changes nothing.
    Fails(ErrorKind),
    /// It is done, and the answer is lost.
    LosesReply,
    /// It is done, and the answer says that it failed.
    FailsDone,
    /// No answer ever comes.
    Hangs {
        /// Whether it is done.
        done: bool,
    },
    /// It takes so much longer.
    IsSlow(Duration),
}

/// What is wrong with the event streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrongEvents {
    Cut,
    Silent,
}

#[derive(Debug)]
pub(super) struct Faults {
    plan: FaultPlan,
    dice: Arc<SeededIds>,
    scripted: BTreeMap<Operation, VecDeque<Wrong>>,
}

impl Faults {
    pub fn new(seed: u64) -> Self {
        Self {
            plan: FaultPlan::default(),
            dice: SeededIds::new(seed ^ 0x5EED_FA17),
            scripted: BTreeMap::new(),
        }
    }

    pub fn set_plan(&mut self, plan: FaultPlan) {
        self.plan = plan;
    }

    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    pub fn script(&mut self, operation: Operation, wrong: Wrong) {
        self.scripted.entry(operation).or_default().push_back(wrong);
    }

    /// What is wrong with this call.
    pub fn of_call(&mut self, operation: Operation) -> Option<Wrong> {
        if let Some(wrong) = self
            .scripted
            .get_mut(&operation)
            .and_then(VecDeque::pop_front)
        {
            return Some(wrong);
        }
        if self.hits(self.plan.errors) {
            return Some(Wrong::Fails(self.error_of(operation)));
        }
        if self.hits(self.plan.lost_replies) {
            return Some(Wrong::LosesReply);
        }
        if self.hits(self.plan.failed_done) {
            return Some(Wrong::FailsDone);
        }
        if self.hits(self.plan.hung) {
            let done = self.dice.bits().is_multiple_of(2);
            return Some(Wrong::Hangs { done });
        }
        if self.hits(self.plan.slow) {
            return Some(Wrong::IsSlow(self.up_to(self.plan.slowest)));
        }
        None
    }

    pub fn of_event(&mut self) -> Option<WrongEvents> {
        if self.hits(self.plan.cut_events) {
            return Some(WrongEvents::Cut);
        }
        self.hits(self.plan.silent_events)
            .then_some(WrongEvents::Silent)
    }

    /// In how long the engine restarts next: between half of and one and a half times the plan's figure.
    pub fn next_restart(&mut self) -> Option<Duration> {
        let every = self.plan.restart_every?;
        Some(every / 2 + self.up_to(every))
    }

    fn error_of(&self, operation: Operation) -> ErrorKind {
        let kinds: &[ErrorKind] = match operation {
            Operation::PullImage => &[
                ErrorKind::RegistryUnavailable,
                ErrorKind::RateLimited,
                ErrorKind::Unreachable,
            ],
            _ => &[ErrorKind::Unknown, ErrorKind::Unreachable],
        };
        let index = self.dice.bits() % kinds.len() as u64;
        usize::try_from(index)
            .ok()
            .and_then(|index| kinds.get(index).copied())
            .unwrap_or(ErrorKind::Unknown)
    }

    fn hits(&self, rate: u32) -> bool {
        rate > 0 && self.dice.bits() % 1000 < u64::from(rate)
    }

    fn up_to(&self, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.dice.bits() % millis)
    }
}
