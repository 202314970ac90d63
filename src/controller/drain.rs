//! ACTIVE and DRAINING on request, on top of the manifest (ECS UpdateContainerInstancesState). What was asked for holds until the
//! manifest's own `status` of the instance is changed: the folder's newest word wins.

mod worker;

use super::inputs::Targets;
use crate::model::{Asked, ClusterName, InstanceDesired, InstanceId, InstanceOverride};
use crate::store::state::seen;
use crate::store::{Epoch, State, StoreError, Txn, keys};

/// Why an instance was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// There is none of that name.
    #[error("there is no container instance {0}")]
    Unknown(InstanceId),
    /// It leaves the cluster already.
    #[error(
        "container instance {0} is not in its cluster's manifest any more: it drains until its tasks are gone"
    )]
    Undeclared(InstanceId),
    /// The folder was not read yet.
    #[error("the folder was not read yet; try again")]
    NotReady,
    /// The controller ends.
    #[error("Longshore is ending")]
    Ending,
    /// The store refused, or could not be reached.
    #[error("it could not be recorded: {0}")]
    Store(StoreError),
}

/// What is to be written for `wanted`; `None`: it is so already.
fn decide(
    state: &State,
    targets: &Targets,
    (cluster, id): (&ClusterName, &InstanceId),
    (wanted, asked): (InstanceDesired, &Asked),
    epoch: &Epoch,
) -> Result<Option<Txn>, DrainError> {
    let entry = state
        .instance(cluster, id)
        .filter(|entry| entry.instance.is_some())
        .ok_or_else(|| DrainError::Unknown(id.clone()))?;
    let declared = targets.cluster(state, cluster);
    let declared = declared.instances.iter().find(|i| i.name == *id);
    let basis = declared
        .ok_or_else(|| DrainError::Undeclared(id.clone()))?
        .desired;
    let known = entry.asked.as_ref();
    let desired = entry.desired.as_ref();
    if desired.is_some_and(|desired| *desired.value == wanted) {
        return Ok(None);
    }
    let key = keys::instance_override(cluster, id);
    let at = keys::instance_desired(cluster, id);
    let txn = Txn::new(epoch)
        .expect(&key, seen(known))
        .expect(&at, seen(desired))
        .put_json(&at, &wanted);
    Ok(Some(match wanted == basis {
        true if known.is_none() => txn,
        true => txn.delete(&key),
        false => txn.put_json(
            &key,
            &InstanceOverride {
                desired: wanted,
                basis,
                asked: asked.clone(),
            },
        ),
    }))
}
