//! Tasks that no service started: ECS's standalone tasks, of RunTask.
//!
//! Their records are the controller's like those of services, and are written under the same guard on the books. In reading
//! order: `request` (what is asked for and what comes of it), `run` (deciding a request, purely, and the commit of it),
//! `upkeep` (what is booked and kept of them afterwards, purely), `worker` (both carried out).
//!
//! Nobody replaces such a task: it is started once, ends once, and is remembered for a while. A service's plan never sees it,
//! and a folder that drops its family does not stop it.

mod request;
mod run;
#[cfg(test)]
mod tests;
mod upkeep;
mod worker;

pub use request::{NotPlaced, RunError, RunOutcome, RunRequest, StopError};
pub use upkeep::MOST_KEPT;
