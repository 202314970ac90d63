//! What a container gets besides its definition, found right before it is created.

use super::execute::Order;
use super::metadata;
use super::shared::Shared;
use crate::engine::EngineResult;
use crate::engine::translate::Additions;

/// Finds everything that one container of a task is given besides its definition.
///
/// # Errors
/// What is missing, as an error of the create call: it fails the container with that reason.
pub(super) async fn find(
    shared: &Shared,
    order: &Order,
    container: &str,
) -> EngineResult<Additions> {
    let mut additions = Additions::default();
    metadata::variables(shared, order, container, &mut additions).await?;
    Ok(additions)
}
