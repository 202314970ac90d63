//! `meta`: whose store this is.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// What a store says about itself. Written by the controller when it first takes the store, and when it is taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The version of the values' layout; a newer one is refused.
    pub format: u32,
    /// The absolute path of the folder of manifests that it belongs to.
    pub folder: String,
    /// The owner that everything on the engines is labelled with: 16 hexadecimal digits.
    pub owner: String,
    /// When the store was first taken.
    pub created_at: Timestamp,
    /// The version of Longshore that wrote this.
    #[serde(default)]
    pub written_by: String,
}
