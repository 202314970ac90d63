//! The controller: keeps services at what their manifests say.
//!
//! [`plan`] is pure and looks at one service: what is wanted, what was recorded, what was seen, and the time go in; what to
//! record comes out. In reading order: `observe` (what a task is worth), `plan` (the steps), `service` (deployments and
//! their states), `target` and `succession` (which revision, one after another), `breaker` (when it failed), `rolling`, `victims` and `daemon`
//! (which tasks to start and stop), `hold` and `suspend` (none), `placement` (where), `rebalance` (over zones), `instances` (which of them vanished), `throttle`, `retention`,
//! `events` (what is said).
//!
//! `standalone` holds the tasks that no service started.
//!
//! The effects are around it: `worker` (which service is looked at when), `inputs` (from the view to a plan's input), `commit`
//! (from a plan to a commit), `overrides` (what people ask for on top of the folder), `protection` (who may be protected), `registrar` and `registry` (numbering task definitions), `queue`. [`preview`] plans and records nothing.

mod breaker;
mod commit;
mod daemon;
mod decision;
mod drain;
pub mod events;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_rollouts;
mod hold;
#[cfg(test)]
mod hold_tests;
mod images;
mod inputs;
mod instances;
#[cfg(test)]
mod instances_tests;
#[cfg(test)]
mod limits;
mod observe;
mod overrides;
mod placement;
mod plan;
mod preview;
#[cfg(test)]
mod properties;
mod protection;
mod queue;
mod rebalance;
mod registrar;
mod registry;
mod retention;
mod rolling;
#[cfg(test)]
mod rollouts;
#[cfg(test)]
mod rules;
mod service;
mod standalone;
#[cfg(test)]
mod steering;
mod succession;
mod suspend;
mod target;
#[cfg(test)]
mod testing;
mod throttle;
mod victims;
mod worker;
#[cfg(test)]
mod worker_tests;

pub use commit::EVENTS_KEPT;
pub use decision::{Decision, NewEvent, Plan};
pub use drain::DrainError;
pub use observe::{Phase, TaskView, standing};
pub use overrides::{RolloutError, RolloutOutcome};
pub use placement::InstanceView;
pub use plan::{Definition, PlanInput, most_decisions, plan};
pub use preview::{Course, FORESEEN, ServicePreview, Step, preview};
pub use protection::protection;
pub use registry::{Registered, register};
pub use retention::{AFTER_REMOVAL, KEPT, MOST_OF_SERVICE, REMEMBERED};
pub use standalone::{MOST_KEPT, NotPlaced, RunError, RunOutcome, RunRequest, StopError};
pub use throttle::delay;
pub use worker::{Controller, ControllerError};
