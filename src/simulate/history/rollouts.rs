//! What a service's record says of its rollouts, from one record to the next.

use std::time::Duration;

use super::{Outcome, Rollout, ServiceHistory};
use crate::model::{RolloutState, ServiceDeploymentStatus, ServiceRecord};

/// Takes what a record says of deployments; returns what is new about them.
pub(super) fn rollouts(
    history: &mut ServiceHistory,
    record: &ServiceRecord,
    at: Duration,
    before: bool,
) -> Vec<String> {
    let mut said = Vec::new();
    for deployment in &record.deployments {
        let id = deployment.id.as_str();
        if !history.rollouts.iter().any(|known| known.deployment == id) {
            said.push(format!("rollout of {} begins", deployment.revision));
            history.rollouts.push(Rollout {
                deployment: id.to_owned(),
                revision: deployment.revision.to_string(),
                from: at,
                until: None,
                outcome: Outcome::InProgress,
                reason: None,
                before: false,
            });
        }
    }
    for known in &mut history.rollouts {
        let mut all = record.deployments.iter();
        let deployment = all.find(|of| of.id.as_str() == known.deployment);
        let mut all = record.history.iter();
        let ended = all.find(|of| of.id.as_str() == known.deployment);
        let outcome = match (
            ended.map(|ended| ended.status),
            deployment.map(|d| d.rollout),
        ) {
            (Some(ServiceDeploymentStatus::RollbackSuccessful), _) => Outcome::RolledBack,
            (
                Some(
                    ServiceDeploymentStatus::RollbackFailed
                    | ServiceDeploymentStatus::RollbackInProgress,
                ),
                _,
            )
            | (_, Some(RolloutState::Failed)) => Outcome::Failed,
            (Some(ServiceDeploymentStatus::Successful), _) | (_, Some(RolloutState::Completed)) => {
                Outcome::Completed
            }
            (_, Some(RolloutState::InProgress)) if known.outcome == Outcome::InProgress => continue,
            // A deployment that had its say and is gone.
            _ if matches!(
                known.outcome,
                Outcome::Completed | Outcome::Failed | Outcome::RolledBack
            ) =>
            {
                continue;
            }
            (Some(ServiceDeploymentStatus::Stopped), _) | (_, None) => Outcome::Superseded,
            _ => continue,
        };
        if outcome == known.outcome {
            continue;
        }
        known.outcome = outcome;
        known.until = Some(at);
        known.before = before;
        let failure = record
            .blocked
            .iter()
            .find(|of| of.deployment.as_str() == known.deployment);
        known.reason = failure
            .map(|failure| failure.reason.clone())
            .or_else(|| ended.map(|ended| ended.reason.clone()))
            .filter(|_| matches!(outcome, Outcome::Failed | Outcome::RolledBack));
        said.push(format!(
            "rollout of {} {}",
            known.revision,
            outcome.as_str()
        ));
    }
    said
}
