//! The manifests as they are written: every member of RegisterTaskDefinition, CreateService and CreateCluster, with ECS's
//! names, whether Longshore honours it yet or not (`fates` says which).
//!
//! These types are the one source of the JSON Schemas (`schema`), and their doc comments become its descriptions. They say
//! what may be written, not what it means: `resolve` turns them into the model. Bounds that ECS publishes for a single
//! member stand here as schema constraints; rules between members live in `rules`.

mod cluster;
mod common;
mod container;
mod deployment;
mod envelope;
mod linux;
mod service;
mod service_connect;
mod task_definition;
mod volume;

pub use cluster::*;
pub use common::*;
pub use container::*;
pub use deployment::*;
pub use envelope::*;
pub use linux::*;
pub use service::*;
pub use service_connect::*;
pub use task_definition::*;
pub use volume::*;
