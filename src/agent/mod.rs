//! The container agent: one for each container instance. It runs the tasks that the controller placed there, on that
//! instance's engine, and reports how they are.
//!
//! [`step()`] decides about one task, purely, from what is ordered and what is observed; everything around it carries the
//! decision out. In reading order: [`facts`] (what a step looks at), [`step`](mod@step), then how a task comes up
//! (`start`), in which order (`order`), when it stops (`stop`), restarts in place (`restart`), what is reported
//! (`status`), and whether a failed call is made again ([`retry`]).
//!
//! [`Agent`] is the running half: `observe` watches the engine and fills the `cache`, `worker` steps one task and
//! `execute`s its calls, `report` writes statuses, `cleanup` removes what has no record and `sweep` images that nobody uses;
//! `settle` says when what was found at the beginning is in the store.
//!
//! Invariants:
//!
//! * An agent never invents a task and never stops a healthy one: it acts on the controller's orders, and ends a task by
//!   itself only when the task has ended by itself.
//! * A container that ran is never started again, except by its own restart policy. A task that is over is replaced by the
//!   controller, with a new id.
//! * Nothing is remembered that cannot be seen again: containers carry their identity in labels, and names are functions of
//!   it.
//!
//! Images: `pulling` says when a registry is asked, and `images` asks it, once for all tasks that wait for the answer.

pub mod action;
mod additions;
mod cache;
mod cgroups;
pub mod cleanup;
mod disused;
mod execute;
pub mod facts;
mod gate;
mod greeting;
mod host;
mod images;
mod known;
mod metadata;
mod observe;
mod order;
mod plan;
mod pulling;
mod register;
mod report;
mod restart;
pub mod retry;
pub mod runner;
mod settle;
mod shared;
mod start;
mod status;
pub mod step;
mod stop;
mod surroundings;
mod sweep;
pub mod takeover;
mod worker;

#[cfg(test)]
mod tests;

pub use action::{Action, Call, CallKey, Verb};
pub use facts::{Attempt, Facts, ImageFact, LogFact, Readiness, Step, StepInput};
pub use images::Credentials;
#[cfg(any(test, fuzzing))]
pub(crate) use metadata::fuzz;
pub use metadata::{EndpointKey, Protector};
pub use runner::{Agent, AgentError};
pub use settle::Settled;
pub use shared::{AgentConfig, Connection, Tuning};
pub use step::step;
pub use takeover::{Recovered, recover};
