//! Images: how a cluster's agents pull them and clean up behind themselves, and what they remember of those they pulled.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// When an agent asks a registry (the ECS agent's `ECS_IMAGE_PULL_BEHAVIOR`, semantics §4.18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullBehavior {
    /// For each task; where that fails, an image that the engine has is used.
    #[default]
    Default,
    /// For each task; where that fails, the task does.
    Always,
    /// For images that this agent has not pulled before, or that were cleaned up since; where that fails, the task does.
    Once,
    /// For images that the engine has not.
    PreferCached,
}

/// How a cluster's agents deal with images.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImagePolicy {
    /// When they are pulled.
    pub pull: PullBehavior,
    /// When they are removed.
    pub cleanup: ImageCleanup,
}

impl ImagePolicy {
    /// Whether images are cleaned up: unless told otherwise with every behaviour but `prefer-cached`, which is asked for to
    /// keep them.
    pub fn cleans_up(&self) -> bool {
        self.cleanup
            .enabled
            .unwrap_or(self.pull != PullBehavior::PreferCached)
    }
}

/// When images that nobody uses are removed (the ECS agent's `ECS_IMAGE_CLEANUP_*`, semantics §5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageCleanup {
    /// Whether they are; absent: as the pull behaviour has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Seconds between two cycles.
    pub interval: u32,
    /// Seconds since its pull before an image may go.
    pub minimum_age: u32,
    /// Most images that one cycle removes.
    pub per_cycle: u32,
    /// Also images that Longshore did not pull, once they have been seen unused for the minimum age.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub include_untracked: bool,
    /// References that are never removed for being untracked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

impl Default for ImageCleanup {
    fn default() -> Self {
        Self {
            enabled: None,
            interval: 30 * 60,
            minimum_age: 60 * 60,
            per_cycle: 5,
            include_untracked: false,
            exclude: Vec::new(),
        }
    }
}

/// `clusters/<c>/instances/<id>/images`: the images that an instance's agent has pulled, by the engine's id of them. Written
/// by the agent only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PulledImages(pub BTreeMap<String, PulledImage>);

/// An image that an agent pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulledImage {
    /// What it was pulled as, and the same repository with its digest: what is left of it once its tag means another image.
    pub references: BTreeSet<String>,
    /// Whether a pull brought it; otherwise it was there before, and it is not the agent's to remove.
    pub brought: bool,
    /// When it was last pulled, by the agent's clock.
    pub pulled_at: Timestamp,
    /// Since when it has been seen unused; absent while something uses it, or nobody has looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_since: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_cleaned_up_unless_they_are_to_be_kept() {
        let policy = |pull, enabled| ImagePolicy {
            pull,
            cleanup: ImageCleanup {
                enabled,
                ..ImageCleanup::default()
            },
        };
        assert!(policy(PullBehavior::Default, None).cleans_up());
        assert!(!policy(PullBehavior::PreferCached, None).cleans_up());
        assert!(policy(PullBehavior::PreferCached, Some(true)).cleans_up());
        assert!(!policy(PullBehavior::Always, Some(false)).cleans_up());
    }
}
