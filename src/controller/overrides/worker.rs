//! Recording what people ask for.

use std::time::Duration;

use super::{RolloutError, RolloutOutcome, grant};
use crate::controller::Controller;
use crate::model::{Asked, ClusterName, RolloutVerb, ServiceName};
use crate::store::state::seen;
use crate::store::{StoreError, Txn, keys};

/// How long a request waits for the folder to be read for the first time.
const FOLDER_WITHIN: Duration = Duration::from_secs(30);
/// Commits that may meet somebody else's before a request is given up.
const ATTEMPTS: u32 = 40;
/// Pause after one that did.
const PAUSE: Duration = Duration::from_millis(5);

impl Controller {
    /// Records what somebody asks for about a service's rollouts. Returns once the view holds it; `asked.at` is set here.
    ///
    /// # Errors
    /// See [`RolloutError`]; nothing was recorded, but see [`RolloutError::Store`].
    pub async fn rollout(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        verb: &RolloutVerb,
        mut asked: Asked,
    ) -> Result<RolloutOutcome, RolloutError> {
        let mut following = self.following.subscribe();
        let wait = following.wait_for(Option::is_some);
        tokio::time::timeout(FOLDER_WITHIN, wait)
            .await
            .map_err(|_| RolloutError::NotReady)?
            .map_err(|_| RolloutError::Ending)?;
        let target = (cluster.clone(), service.clone());
        let key = keys::service_overrides(cluster, service);
        let mut attempt = 1;
        loop {
            let targets = self.following.borrow().clone();
            let targets = targets.ok_or(RolloutError::NotReady)?;
            asked.at = self.clock.now();
            let (message, txn) = {
                let state = self.view.read();
                let granted = grant(&state, &targets, &target, verb, &asked)?;
                let known = state.overrides.get(&target);
                let before = known
                    .map(|known| (*known.value).clone())
                    .unwrap_or_default();
                if before == granted.overrides {
                    return Ok(RolloutOutcome {
                        message: granted.message,
                        changed: false,
                        revision: state.revision,
                    });
                }
                let txn = Txn::new(&self.epoch)
                    .expect(
                        keys::service(cluster, service),
                        seen(state.services.get(&target)),
                    )
                    .expect(&key, seen(known));
                let txn = match granted.overrides.is_empty() {
                    true => txn.delete(&key),
                    false => txn.put_json(&key, &granted.overrides),
                };
                (granted.message, txn)
            };
            match txn.commit(&self.store).await {
                Ok(revision) => {
                    let seen = self.view.caught_up(revision).await;
                    seen.map_err(|_| RolloutError::Ending)?;
                    tracing::info!(%cluster, %service, by = %asked.by, "{}: {message}", verb.as_str());
                    return Ok(RolloutOutcome {
                        message,
                        changed: true,
                        revision,
                    });
                }
                Err(StoreError::Conflict { .. }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(RolloutError::Store(error)),
            }
        }
    }
}
