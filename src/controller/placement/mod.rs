//! Choosing a container instance and host ports for a task.
//!
//! In order (semantics §3c): what an instance must offer (`refusal`), then the fewest tasks of the service, then the most
//! free memory, then the name, so that equal inputs give equal placements. [`Books`] is what is booked where; a copy of it
//! answers "would it fit if those tasks were gone".

mod books;
mod ports;
mod refusal;
#[cfg(test)]
mod tests;

pub use books::InstanceView;
pub(super) use books::{Books, Placed, Request};
pub(super) use refusal::{NoFit, Refusal};
