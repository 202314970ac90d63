//! Names and identities. Newtypes, so that a cluster's name is never passed for a service's. Copies share their text: plans and
//! views copy them by the thousand.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is; whoever reads it from outside has validated it.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A cluster's name: 1–255 letters, digits, `-`, `_`. The cluster `default` exists without a manifest, as on ECS.
    ClusterName
}
name! {
    /// A service's name, unique in its cluster: 1–255 letters, digits, `-`, `_`.
    ServiceName
}
name! {
    /// A task definition's family: 1–255 letters, digits, `-`, `_`.
    Family
}
name! {
    /// A task's id: 32 lower-case hexadecimal digits, as ECS writes it.
    TaskId
}
name! {
    /// A container instance's name in its cluster; `local` for the engine that is used when a cluster names none.
    InstanceId
}
name! {
    /// A deployment's id, `ecs-svc/` and 19 digits, as ECS writes it. Tasks carry it as `startedBy`.
    DeploymentId
}
name! {
    /// The versioned hash of a resolved task specification: `v1-` and 64 hexadecimal digits.
    SpecHash
}

impl TaskId {
    /// The first 12 digits, as people read them in tables; Docker shortens container ids likewise.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl Default for ClusterName {
    fn default() -> Self {
        Self("default".into())
    }
}

/// One numbered version of a family. Numbers start at 1 and are never used twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RevisionRef {
    /// The family.
    pub family: Family,
    /// Its revision's number, from 1.
    pub revision: u32,
}

impl fmt::Display for RevisionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.family, self.revision)
    }
}
