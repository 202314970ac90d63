//! Choosing a container instance and host ports for a task, and which tasks a scale-in takes.
//!
//! In order (semantics §3c): what an instance must offer (`page`, `refusal`), then the strategies, by default the spread over
//! availability zones, then the fewest tasks of the service, then the most free memory, then the name, so that equal inputs
//! give equal placements. [`Books`] is what is booked where; a release that is taken back answers "would it fit if those
//! tasks were gone".
//!
//! What does not change while a plan places its tasks is looked at once a plan (`request`, `candidates`): each further task
//! costs what finding one instance costs, however many there are.

mod books;
mod candidates;
mod page;
mod ports;
mod random;
mod refusal;
mod request;
mod scale_in;
#[cfg(test)]
mod tests;

pub(super) use books::Books;
pub use page::InstanceView;
pub(super) use refusal::{NoFit, Refusal};
pub(super) use request::{Placed, Request};
pub(super) use scale_in::Standing;
