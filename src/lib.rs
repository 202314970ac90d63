//! Longshore: Amazon ECS's model on plain Docker Engines, from a folder of manifests.
//!
//! The map, in the order in which an edit travels:
//!
//! * [`manifest`] reads the folder and resolves it to [`model::Desired`], with [`diagnostic`]s at their line and column; what is
//!   broken keeps its last good version.
//! * [`controller`] plans each service: `plan` is pure, a worker records its decisions in the [`store`].
//! * [`agent`], one a container instance, steps each task: `step` is pure, a runner carries its actions out on the
//!   [`engine`] and reports to the store. What a definition names only by reference it gets from [`secrets`].
//! * [`api`] answers on a unix socket from the store's view; [`daemon`] wires all of it together, and [`simulate`] the same on
//!   simulated engines in virtual time; [`cli`] is all that prints.
//!
//! What holds everywhere, and what is deliberately absent:
//!
//! * No decision reads a clock, an engine or the store: time is an input ([`clock`] is for the workers).
//! * No event is believed for what it says; it names the key to look at.
//! * Nothing is only in memory: identity is in labels on the engine, whatever changes is in the store.
//! * Nothing but `engine::docker` names the Docker client library.
//!
//! `fuzzing` asserts what holds of every parser whatever it is given; it is in tests and fuzz targets only.
//!
//! `tests/architecture.rs` holds the tree to this; `docs/architecture.md` says why.

pub mod agent;
pub mod api;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod daemon;
pub mod diagnostic;
pub mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod manifest;
pub mod model;
pub mod secrets;
pub mod simulate;
pub mod store;
