//! Scenarios: what happens to a folder's clusters in a simulation, and what is expected of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{SourceFile, Span};

mod expect;
mod read;
mod types;

pub use expect::{Expectation, Operator, What, When};
pub use read::{Unread, memory, parse, read};
pub use types::{ScenarioFile, Start};

/// The JSON Schema of scenarios, as embedded; `longshore schema scenario` prints it.
pub const SCHEMA: &str = include_str!("../../../schemas/scenario.schema.json");

/// The same, made from the types. A test fails when they drift apart.
pub fn generate_schema() -> serde_json::Value {
    crate::manifest::schema::of::<ScenarioFile>("Longshore scenario")
}

/// How long a simulation goes on unless told.
pub const DURATION: Duration = Duration::from_secs(10 * 60);

/// A scenario, read.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    /// What it begins with.
    pub start: Start,
    /// How long it goes on.
    pub duration: Option<Duration>,
    /// What chance is a function of.
    pub seed: Option<u64>,
    /// What is assumed where nothing else is said.
    pub assume: Assume,
    /// Sizes of instances, by name or `cluster/name`.
    pub sizes: Vec<(Named, Size)>,
    /// How certain containers behave.
    pub behaviors: Vec<Behavior>,
    /// In the order of their times.
    pub steps: Vec<Step>,
}

/// Assumptions; `docs/simulate.md` has them as a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assume {
    /// A pull.
    pub pull: Duration,
    /// A container's start.
    pub start: Duration,
    /// From SIGTERM to the end.
    pub stop: Duration,
    /// The run of a container that others wait to end.
    pub run: Duration,
    /// From the start until health checks pass.
    pub healthy_after: Duration,
    /// An instance.
    pub size: Size,
}

impl Default for Assume {
    fn default() -> Self {
        Self {
            pull: Duration::from_secs(2),
            start: Duration::from_millis(500),
            stop: Duration::from_secs(1),
            run: Duration::from_secs(1),
            healthy_after: Duration::ZERO,
            size: Size {
                cpus: 4,
                memory: 16 << 30,
            },
        }
    }
}

/// What an instance has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Cores.
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
}

/// A name in a scenario, and where it is written.
#[derive(Debug, Clone)]
pub struct Named {
    /// `name` or `cluster/name`.
    pub name: String,
    /// Where.
    pub place: Place,
}

/// Somewhere in a scenario.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Where in it.
    pub span: Span,
}

/// How the containers behave that fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Behavior {
    /// Of this family, if named.
    pub family: Option<String>,
    /// Of this name, if named.
    pub container: Option<String>,
    /// Of this image, if named.
    pub image: Option<String>,
    /// From the start until its health check passes.
    pub healthy_after: Option<Duration>,
    /// It ends by itself so long after its start, with this code.
    pub ends: Option<(Duration, i64)>,
    /// From SIGTERM to its end; `Some(None)`: it has no handler.
    pub stop: Option<Option<Duration>>,
    /// The pull of its image.
    pub pull: Option<Duration>,
}

/// Something that happens at a time.
#[derive(Debug, Clone)]
pub struct Step {
    /// After time 0.
    pub at: Duration,
    /// What.
    pub act: Act,
    /// Where it is written.
    pub place: Place,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Act {
    /// The folder is edited.
    Edit(Edit),
    /// An instance loses power.
    InstanceDown(String),
    /// It is back, or can be reached again.
    InstanceUp(String),
    /// It cannot be reached.
    Partition(String),
    /// It is DRAINING from now on.
    Drain(String),
    /// It is ACTIVE from now on.
    Activate(String),
    /// An image is bad or good from now on.
    Image(String, Fails),
    /// Running tasks of a service crash.
    Crash(String, u32),
    /// The process is killed, and starts again.
    Kill,
    /// This must hold.
    Expect(Expectation),
}

/// What becomes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    /// Nothing: it works.
    No,
    /// No registry has it.
    Pull,
    /// The engine cannot start it.
    Start,
    /// It ends at once, with code 1.
    Crash,
    /// Its health check never passes.
    Unhealthy,
    /// Pull and health take so long.
    Slow(Duration),
}

/// How the folder is edited.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Members of a service and of its task definition.
    Service {
        /// `name` or `cluster/name`.
        service: String,
        /// What is set.
        set: Set,
    },
    /// Files are laid over it.
    Overlay(PathBuf),
    /// Another takes its place.
    Folder(PathBuf),
}

/// Members that an edit sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    /// The image of a container.
    pub image: Option<String>,
    /// Which; absent: the only essential one.
    pub container: Option<String>,
    /// `desiredCount`.
    pub desired_count: Option<u32>,
    /// `minimumHealthyPercent`.
    pub minimum_healthy_percent: Option<u32>,
    /// `maximumPercent`.
    pub maximum_percent: Option<u32>,
}

impl Act {
    /// Whether it is only looked at, and changes nothing.
    pub const fn is_expectation(&self) -> bool {
        matches!(self, Self::Expect(_))
    }
}

impl std::fmt::Display for Act {
    /// As timelines show it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Edit(Edit::Service { service, set }) => {
                write!(f, "edit: {service}")?;
                let number = |number: Option<u32>| number.map(|number| number.to_string());
                let parts = [
                    ("image", set.image.clone()),
                    ("desiredCount", number(set.desired_count)),
                    ("minimumHealthyPercent", number(set.minimum_healthy_percent)),
                    ("maximumPercent", number(set.maximum_percent)),
                ];
                for (name, value) in parts {
                    if let Some(value) = value {
                        write!(f, " {name}={value}")?;
                    }
                }
                Ok(())
            }
            Self::Edit(Edit::Overlay(path)) => write!(f, "edit: overlay {}", path.display()),
            Self::Edit(Edit::Folder(path)) => write!(f, "edit: folder {}", path.display()),
            Self::InstanceDown(name) => write!(f, "instance {name} goes down"),
            Self::InstanceUp(name) => write!(f, "instance {name} is back"),
            Self::Partition(name) => write!(f, "instance {name} is cut off"),
            Self::Drain(name) => write!(f, "instance {name} is set to DRAINING"),
            Self::Activate(name) => write!(f, "instance {name} is set to ACTIVE"),
            Self::Image(name, fails) => match fails {
                Fails::No => write!(f, "image {name} works"),
                Fails::Pull => write!(f, "image {name} cannot be pulled"),
                Fails::Start => write!(f, "image {name} cannot be started"),
                Fails::Crash => write!(f, "image {name} crashes"),
                Fails::Unhealthy => write!(f, "image {name} never becomes healthy"),
                Fails::Slow(time) => {
                    write!(
                        f,
                        "image {name} takes {} longer",
                        crate::simulate::time::show(*time)
                    )
                }
            },
            Self::Crash(service, 1) => write!(f, "a task of {service} crashes"),
            Self::Crash(service, tasks) => write!(f, "{tasks} tasks of {service} crash"),
            Self::Kill => f.write_str("Longshore is killed and starts again"),
            Self::Expect(expectation) => write!(f, "expected: {expectation}"),
        }
    }
}
