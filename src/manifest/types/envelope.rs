//! The envelope around a manifest: which kind it is, and what it is called.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The format that this Longshore reads.
pub const API_VERSION: &str = "longshore/v1";

/// What a manifest declares.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Kind {
    Cluster,
    TaskDefinition,
    Service,
}

impl Kind {
    /// Every kind, in the order in which they refer to each other.
    pub const ALL: [Self; 3] = [Self::Cluster, Self::TaskDefinition, Self::Service];

    /// As `kind:` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::TaskDefinition => "TaskDefinition",
            Self::Service => "Service",
        }
    }

    /// As a sentence has it.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::TaskDefinition => "task definition",
            Self::Service => "service",
        }
    }

    /// The member of `spec` that is the resource's name.
    pub const fn name_member(self) -> &'static str {
        match self {
            Self::Cluster => "clusterName",
            Self::TaskDefinition => "family",
            Self::Service => "serviceName",
        }
    }

    /// Reads `kind:`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The resource's name and what people attach to it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The family's, service's or cluster's name.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub name: String,
    /// Labels to find it by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Notes that Longshore keeps and does not read.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}
