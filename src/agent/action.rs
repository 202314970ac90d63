//! What an agent can do about a task: engine calls, one an action, each with its cause.

use std::fmt;

use crate::engine::labels::PAUSE_CONTAINER;

/// One engine call (a read made of several where the engine needs it), and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Make sure that the cluster's network is there.
    CreateNetwork,
    /// Make sure that the pause image is there.
    ImportPauseImage,
    /// Pull an image.
    Pull {
        /// As the definition writes it.
        image: String,
        /// `linux/arm64`, where the definition asks for an architecture.
        platform: Option<String>,
    },
    /// Create a volume of the task, or a shared one that the definition provisions.
    CreateVolume {
        /// Its name in the definition.
        volume: String,
    },
    /// Look for a shared volume that somebody else must have made.
    FindVolume {
        /// Its name, in the definition and on the engine.
        volume: String,
    },
    /// Create a container.
    Create {
        /// Its name in the definition.
        container: String,
    },
    /// Start a container, for the first time or again.
    Start {
        /// Its name in the definition.
        container: String,
        /// The engine's id.
        id: String,
    },
    /// Stop a container.
    Stop {
        /// Its name in the definition.
        container: String,
        /// The engine's id.
        id: String,
        /// Seconds until it is killed.
        timeout: u32,
    },
    /// Remove a container by force.
    Remove {
        /// Its name in the definition.
        container: String,
        /// The engine's id.
        id: String,
    },
    /// Remove a volume of the task.
    RemoveVolume {
        /// Its name on the engine.
        volume: String,
    },
    /// Read the last lines that a container wrote.
    ReadLogs {
        /// Its name in the definition.
        container: String,
        /// The engine's id.
        id: String,
        /// Whether it has ended, so that these are its very last; kept with them in
        /// [`LogFact::ended`](super::LogFact::ended).
        ended: bool,
    },
}

/// What kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// [`Call::CreateNetwork`]
    CreateNetwork,
    /// [`Call::ImportPauseImage`]
    ImportPauseImage,
    /// [`Call::Pull`]
    Pull,
    /// [`Call::CreateVolume`]
    CreateVolume,
    /// [`Call::FindVolume`]
    FindVolume,
    /// [`Call::Create`]
    Create,
    /// [`Call::Start`]
    Start,
    /// [`Call::Stop`]
    Stop,
    /// [`Call::Remove`]
    Remove,
    /// [`Call::RemoveVolume`]
    RemoveVolume,
    /// [`Call::ReadLogs`]
    ReadLogs,
}

/// The identity of a call within its task: what attempts are counted by, and what is never done twice at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey {
    /// What kind of call.
    pub verb: Verb,
    /// On what: an image, a volume, a container; empty where there is only one.
    pub target: String,
}

impl CallKey {
    /// `verb` on `target`.
    pub fn new(verb: Verb, target: impl Into<String>) -> Self {
        Self {
            verb,
            target: target.into(),
        }
    }
}

impl Call {
    /// Its identity.
    pub fn key(&self) -> CallKey {
        let (verb, target) = match self {
            Self::CreateNetwork => (Verb::CreateNetwork, ""),
            Self::ImportPauseImage => (Verb::ImportPauseImage, ""),
            Self::Pull { image, .. } => (Verb::Pull, image.as_str()),
            Self::CreateVolume { volume } => (Verb::CreateVolume, volume.as_str()),
            Self::FindVolume { volume } => (Verb::FindVolume, volume.as_str()),
            Self::Create { container } => (Verb::Create, container.as_str()),
            Self::Start { container, .. } => (Verb::Start, container.as_str()),
            Self::Stop { container, .. } => (Verb::Stop, container.as_str()),
            Self::Remove { container, .. } => (Verb::Remove, container.as_str()),
            Self::RemoveVolume { volume } => (Verb::RemoveVolume, volume.as_str()),
            Self::ReadLogs { container, .. } => (Verb::ReadLogs, container.as_str()),
        };
        CallKey::new(verb, target)
    }

    /// The container that it changes or whose change it would race with.
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::Create { container }
            | Self::Start { container, .. }
            | Self::Stop { container, .. }
            | Self::Remove { container, .. } => Some(container),
            _ => None,
        }
    }

    /// Whether it changes anything on the engine.
    pub fn changes(&self) -> bool {
        !matches!(self, Self::FindVolume { .. } | Self::ReadLogs { .. })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateNetwork => f.write_str("create the cluster's network"),
            Self::ImportPauseImage => f.write_str("import the pause image"),
            Self::Pull {
                image,
                platform: None,
            } => write!(f, "pull {image}"),
            Self::Pull {
                image,
                platform: Some(platform),
            } => write!(f, "pull {image} for {platform}"),
            Self::CreateVolume { volume } => write!(f, "create volume {volume}"),
            Self::FindVolume { volume } => write!(f, "find volume {volume}"),
            Self::Create { container } => write!(f, "create {}", named(container)),
            Self::Start { container, .. } => write!(f, "start {}", named(container)),
            Self::Stop {
                container, timeout, ..
            } => write!(f, "stop {} within {timeout} s", named(container)),
            Self::Remove { container, .. } => write!(f, "remove {}", named(container)),
            Self::RemoveVolume { volume } => write!(f, "remove volume {volume}"),
            Self::ReadLogs { container, .. } => write!(f, "read logs of {}", named(container)),
        }
    }
}

fn named(container: &str) -> String {
    if container == PAUSE_CONTAINER {
        "the pause container".to_owned()
    } else {
        format!("container {container}")
    }
}

/// A call that is to be made now, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The call.
    pub call: Call,
    /// Why, for people.
    pub cause: String,
}

impl Action {
    /// `call` because of `cause`.
    pub fn new(call: Call, cause: impl Into<String>) -> Self {
        Self {
            call,
            cause: cause.into(),
        }
    }
}

impl fmt::Display for Action {
    /// One line that stays the same across versions as far as it can: golden tests, the log and `-v` show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.cause)
    }
}
