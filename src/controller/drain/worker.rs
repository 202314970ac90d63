//! Recording it.

use std::time::Duration;

use super::{DrainError, decide};
use crate::controller::Controller;
use crate::model::{Asked, ClusterName, InstanceDesired, InstanceId};
use crate::store::{Revision, StoreError};

/// How long a request waits for the folder to be read for the first time.
const FOLDER_WITHIN: Duration = Duration::from_secs(30);
/// Commits that may meet somebody else's before a request is given up.
const ATTEMPTS: u32 = 40;
/// Pause after one that did.
const PAUSE: Duration = Duration::from_millis(5);

impl Controller {
    /// Makes an instance ACTIVE or DRAINING until its manifest says something new about that. Returns the revision that it can be
    /// seen at, once the view holds it.
    ///
    /// # Errors
    /// See [`DrainError`]; nothing was recorded, but see [`DrainError::Store`].
    pub async fn set_instance(
        &self,
        cluster: &ClusterName,
        instance: &InstanceId,
        wanted: InstanceDesired,
        mut asked: Asked,
    ) -> Result<Revision, DrainError> {
        let mut following = self.following.subscribe();
        let targets = tokio::time::timeout(FOLDER_WITHIN, following.wait_for(Option::is_some))
            .await
            .map_err(|_| DrainError::NotReady)?
            .map_err(|_| DrainError::Ending)?
            .clone()
            .ok_or(DrainError::NotReady)?;
        let mut attempt = 1;
        loop {
            asked.at = self.clock.now();
            let txn = {
                let state = self.view.read();
                let subject = (cluster, instance);
                match decide(&state, &targets, subject, (wanted, &asked), &self.epoch)? {
                    Some(txn) => txn,
                    None => return Ok(state.revision),
                }
            };
            match txn.commit(&self.store).await {
                Ok(revision) => {
                    let seen = self.view.caught_up(revision).await;
                    seen.map_err(|_| DrainError::Ending)?;
                    tracing::info!(%cluster, %instance, by = %asked.by, "is {wanted:?} from now on");
                    return Ok(revision);
                }
                Err(StoreError::Conflict { .. }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(DrainError::Store(error)),
            }
        }
    }
}
