//! What went wrong at an engine, and what may be done about it: decided here and nowhere else.

use std::fmt;

/// The kinds of failure that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// The object does not exist (404).
    NotFound,
    /// A container or network of that name exists (409 on create).
    NameConflict,
    /// The object's state forbids it: a volume in use, an image in use, exec in a stopped container (409).
    Conflict,
    /// The request can never work (400, and errors that name the request's own content).
    Invalid,
    /// A host port is taken.
    PortInUse,
    /// The registry wants other credentials.
    Unauthorized,
    /// The image does not exist in its registry.
    ImageNotFound,
    /// The image exists, but not for the platform that is asked for.
    NoPlatform,
    /// The registry limits us.
    RateLimited,
    /// The registry cannot be reached, or answers nonsense.
    RegistryUnavailable,
    /// The engine has no room left (disk, address pools).
    Exhausted,
    /// The engine cannot be reached: nothing was applied.
    Unreachable,
    /// No rights on the engine's socket.
    PermissionDenied,
    /// The engine took longer than a call may: it *may have been applied*.
    TimedOut,
    /// The engine failed (500, cut reply): it *may have been applied*.
    Unknown,
    /// This engine cannot do it (API too old, feature missing).
    Unsupported,
    /// What the call needs besides the definition could not be had (a secret, a file of variables): the engine was not asked.
    Unresolved,
}

impl ErrorKind {
    /// Whether the same call may succeed later without anybody changing anything.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::TimedOut
                | Self::Unknown
                | Self::RateLimited
                | Self::RegistryUnavailable
                | Self::Exhausted
                | Self::PortInUse
        )
    }

    /// Whether the call may have been applied all the same; then observe before anything else.
    pub const fn may_have_been_applied(self) -> bool {
        matches!(self, Self::TimedOut | Self::Unknown)
    }
}

/// A failed engine call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct EngineError {
    /// What was tried: `create container`.
    pub operation: &'static str,
    /// On what: a name, an id, an image.
    pub target: String,
    /// Which kind of failure.
    pub kind: ErrorKind,
    /// The engine's own words, one line.
    pub message: String,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.target, self.message)
    }
}

impl EngineError {
    /// A failure of `operation` on `target`.
    pub fn new(
        operation: &'static str,
        target: impl Into<String>,
        kind: ErrorKind,
        message: impl Into<String>,
    ) -> Self {
        Self {
            operation,
            target: target.into(),
            kind,
            message: message.into(),
        }
    }
}
