//! The controller: keeps services at what their manifests say.
//!
//! [`plan`] is pure and looks at one service: what is wanted, what was recorded, what was seen, and the time go in; what to
//! record comes out. In reading order: `observe` (what a task is worth), `plan` (the steps), `service` (deployments and
//! their states), `rolling` and `daemon` (which tasks to start and stop), `placement` (where), `throttle`, `retention`,
//! `events` (what is said).

mod daemon;
mod decision;
pub mod events;
#[cfg(test)]
mod golden;
mod observe;
mod placement;
mod plan;
#[cfg(test)]
mod properties;
mod registry;
mod retention;
mod rolling;
mod service;
#[cfg(test)]
mod testing;
mod throttle;

pub use decision::{Decision, NewEvent, Plan};
pub use observe::{Phase, TaskView};
pub use placement::InstanceView;
pub use plan::{Definition, PlanInput, plan};
pub use registry::{Registered, register};
pub use retention::{AFTER_REMOVAL, KEPT};
pub use throttle::delay;
