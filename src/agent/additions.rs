//! What a container gets besides its definition, found right before it is created.

use super::execute::Order;
use super::shared::Shared;
use crate::engine::EngineResult;
use crate::engine::translate::Additions;

/// Finds everything that one container of a task is given besides its definition.
///
/// # Errors
/// What is missing, as an error of the create call: it fails the container with that reason.
#[allow(clippy::unused_async, reason = "sources are asked here")]
pub(super) async fn find(
    _shared: &Shared,
    _order: &Order,
    _container: &str,
) -> EngineResult<Additions> {
    Ok(Additions::default())
}
