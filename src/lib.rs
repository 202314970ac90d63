//! Longshore: Amazon ECS's model on plain Docker Engines, from a folder of manifests.

pub mod agent;
pub mod api;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod daemon;
pub mod diagnostic;
pub mod engine;
pub mod manifest;
pub mod model;
pub mod store;
