//! The whole program on a real Docker Engine, driven as a user would: files are edited, commands are run, containers are
//! looked at through the engine. Every test has a cluster of its own, so they run side by side and beside anybody else's
//! containers; whatever a test creates is removed with it, however it ends.

#[path = "../common/mod.rs"]
mod common;
mod floor;
mod guarded;
#[allow(dead_code, reason = "other test binaries use the rest")]
mod rig;

mod breaker;
mod breaker_kills;
mod breaking;
mod clusters;
mod crash;
mod engine;
mod example;
mod faults;
mod load;
mod metadata;
mod placed;
mod protection;
mod reconcile;
mod rights;
mod rollout;
mod run_task;
mod samples;
mod secrets;
