//! What people may ask for on top of the folder: [`grant`] decides, purely;
//! [`Controller::rollout`](super::Controller::rollout) records, and the service's next plan follows it.

#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeMap;

use super::inputs::Targets;
use crate::model::{
    Asked, Deployment, DeploymentId, Pause, Restart, Retry, RevisionRef, RolloutState, RolloutVerb,
    ServiceDeploymentStatus, ServiceName, ServiceOverrides, ServiceRecord, ServiceStatus, SpecHash,
    Timestamp, Undo, basis,
};
use crate::store::state::ServiceKey;
use crate::store::{Revision, State, StoreError};

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutOutcome {
    /// What holds from now on, as a sentence.
    pub message: String,
    /// Whether that is new.
    pub changed: bool,
    /// The store's revision that it can be seen at.
    pub revision: Revision,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// There is no such service.
    #[error("there is no service {1} in cluster {0}")]
    NoSuchService(String, String),
    /// There is no such revision to go back to.
    #[error("{0}")]
    NoSuchRevision(String),
    /// It makes no sense as things are.
    #[error("{0}")]
    NotNow(String),
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

/// What is to be recorded, and what to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Granted {
    pub overrides: ServiceOverrides,
    pub message: String,
}

/// What a service's overrides become when `verb` is granted now.
pub(super) fn grant(
    state: &State,
    targets: &Targets,
    key: &ServiceKey,
    verb: &RolloutVerb,
    asked: &Asked,
) -> Result<Granted, RolloutError> {
    let record = state
        .services
        .get(key)
        .ok_or_else(|| RolloutError::NoSuchService(key.0.to_string(), key.1.to_string()))?;
    let overrides = state.overrides.get(key);
    let mut overrides = overrides.map_or_else(ServiceOverrides::default, |o| (*o.value).clone());
    let name = &key.1;
    let said = |overrides: ServiceOverrides, message: String| Ok(Granted { overrides, message });
    match verb {
        RolloutVerb::Suspend => {
            let since = overrides.suspended.get_or_insert_with(|| asked.clone());
            let message = format!(
                "service {name} is suspended {since}: nothing of it is started or stopped until it is resumed"
            );
            return said(overrides, message);
        }
        RolloutVerb::Resume => {
            let message = match overrides.suspended.take() {
                Some(_) => format!("service {name} is kept at what the folder says again"),
                None => format!("service {name} was not suspended"),
            };
            return said(overrides, message);
        }
        _ => {}
    }
    let wanted = targets
        .service(key)
        .filter(|_| record.status == ServiceStatus::Active)
        .ok_or_else(|| {
            RolloutError::NotNow(format!("service {name} was removed from the folder"))
        })?;
    let definition = targets.resolve(state, wanted);
    let basis = basis(wanted, definition.as_ref().map(|d| &d.hash));
    overrides = overrides.holding(&basis);
    let asked = asked.clone();
    let primary = record.primary().ok_or_else(|| {
        RolloutError::NotNow(format!("nothing of service {name} was rolled out yet"))
    })?;
    match verb {
        RolloutVerb::Suspend | RolloutVerb::Resume => said(overrides, String::new()),
        RolloutVerb::Pause => {
            if overrides.paused.is_none() && primary.rollout != RolloutState::InProgress {
                return Err(RolloutError::NotNow(format!(
                    "no rollout of service {name} is under way: {} is {}",
                    primary.revision,
                    primary.rollout.as_str()
                )));
            }
            let pause = overrides.paused.get_or_insert(Pause {
                basis,
                desired: Some(wanted.desired_count),
                asked,
            });
            let message = format!(
                "the rollout of {} is paused {}: tasks that end are replaced from their own revision, and nothing else \
                 is started or stopped",
                primary.revision, pause.asked
            );
            said(overrides, message)
        }
        RolloutVerb::Unpause => {
            let paused = overrides.paused.take();
            let message = match (&paused, &overrides.undo) {
                (Some(_), Some(undo)) if undo.spec != primary.spec => format!(
                    "the pause is over, and service {name} goes back to {}{}",
                    undo.revision,
                    held_up(&overrides, name)
                ),
                (Some(_), _) => format!(
                    "the rollout of {} goes on{}",
                    primary.revision,
                    held_up(&overrides, name)
                ),
                (None, _) => format!("the rollout of {} was not paused", primary.revision),
            };
            said(overrides, message)
        }
        RolloutVerb::Restart => {
            let generation = 1 + newest_generation(state, key, record, &overrides, &primary.spec);
            overrides.restart = Some(Restart {
                spec: primary.spec.clone(),
                generation,
                asked,
            });
            let message = format!(
                "every task of {} is replaced by a new one, and its images' tags are resolved anew{}",
                primary.revision,
                held_up(&overrides, name)
            );
            said(overrides, message)
        }
        RolloutVerb::Undo { .. } | RolloutVerb::Stop { .. } => {
            let to = match verb {
                RolloutVerb::Undo { to } => *to,
                RolloutVerb::Stop { deployment } => {
                    check_under_way(record, primary, deployment)?;
                    None
                }
                _ => None,
            };
            // What an earlier request goes back to may not run yet: then what does can still be chosen instead.
            let undone = overrides.undo.as_ref();
            let away = undone.is_some_and(|undo| undo.spec != primary.spec);
            let back = back_to(state, record, primary, away, to)?;
            let failed = record.blocked.iter().find(|blocked| {
                blocked.basis == basis
                    && blocked.spec == back.spec
                    && blocked.generation == back.generation
            });
            if let Some(blocked) = failed {
                return Err(RolloutError::NotNow(format!(
                    "{} failed ({}); `longshore retry {name}` starts it again",
                    back.revision, blocked.reason
                )));
            }
            let own = definition.is_some_and(|definition| definition.hash == back.spec);
            let message = format!(
                "service {name} goes {} {}{}",
                if own { "on to" } else { "back to" },
                back.revision,
                if own {
                    ", as the folder says"
                } else {
                    ", until its manifest or task definition changes"
                }
            ) + &held_up(&overrides, name);
            overrides.retry = None;
            overrides.undo = (!own).then_some(Undo {
                basis,
                revision: back.revision,
                spec: back.spec,
                generation: back.generation,
                images: back.images,
                asked,
            });
            said(overrides, message)
        }
        RolloutVerb::Retry => {
            let held_back = record.throttle.gate(asked.at).is_some();
            let message = match record.failure() {
                Some(failed) => format!("{} is rolled out again", failed.revision),
                None if held_back => {
                    format!("tasks of {} are started again at once", primary.revision)
                }
                None => {
                    return Err(RolloutError::NotNow(format!(
                        "nothing of service {name} failed, and nothing is held back"
                    )));
                }
            };
            let message = message + &held_up(&overrides, name);
            overrides.retry = Some(Retry { basis, asked });
            said(overrides, message)
        }
    }
}

/// Only what is being rolled out can be stopped, and only where it is another revision than the one that would be gone back to.
fn check_under_way(
    record: &ServiceRecord,
    primary: &Deployment,
    deployment: &DeploymentId,
) -> Result<(), RolloutError> {
    let name = &record.spec.name;
    if primary.id != *deployment || primary.rollout != RolloutState::InProgress {
        return Err(RolloutError::NotNow(format!(
            "deployment {deployment} of service {name} is not under way"
        )));
    }
    let completed = record.last_completed.as_ref();
    if completed.is_some_and(|completed| completed.spec == primary.spec) {
        return Err(RolloutError::NotNow(format!(
            "deployment {deployment} of service {name} starts {} anew: there is no other revision to go back to. \
             `longshore rollout pause {name}` has it stand still",
            primary.revision
        )));
    }
    Ok(())
}

/// What has to be taken back before anything comes of a request, as the end of a sentence.
fn held_up(overrides: &ServiceOverrides, name: &ServiceName) -> String {
    let taken_back = match (&overrides.suspended, &overrides.paused) {
        (None, None) => return String::new(),
        (Some(_), None) => format!("it is suspended: once `longshore resume {name}` is said"),
        (None, Some(_)) => {
            format!("its rollouts are paused: once `longshore rollout resume {name}` is said")
        }
        (Some(_), Some(_)) => format!(
            "it is suspended and its rollouts are paused: once `longshore resume {name}` and `longshore rollout resume \
             {name}` are said"
        ),
    };
    format!("; {taken_back}")
}

/// The highest generation that any task or deployment of that specification has, or was ordered.
fn newest_generation(
    state: &State,
    (cluster, name): &ServiceKey,
    record: &ServiceRecord,
    overrides: &ServiceOverrides,
    spec: &SpecHash,
) -> u32 {
    let of_deployments = record
        .deployments
        .iter()
        .filter(|deployment| deployment.spec == *spec)
        .map(|deployment| deployment.generation);
    let of_blocked = record
        .blocked
        .iter()
        .filter(|blocked| blocked.spec == *spec)
        .map(|blocked| blocked.generation);
    let of_tasks = state
        .tasks_of_service(cluster, name)
        .filter(|(_, task)| task.record.spec == *spec)
        .map(|(_, task)| task.record.generation);
    let ordered = overrides
        .restart
        .iter()
        .filter(|restart| restart.spec == *spec)
        .map(|restart| restart.generation);
    of_deployments
        .chain(of_blocked)
        .chain(of_tasks)
        .chain(ordered)
        .max()
        .unwrap_or(0)
}

/// What can be gone back to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Back {
    revision: RevisionRef,
    spec: SpecHash,
    generation: u32,
    images: BTreeMap<String, String>,
    at: Timestamp,
}

/// The revision of that number, or without one what was completed before the PRIMARY deployment began. The PRIMARY's own is one to
/// go back to only when it is about to be gone `away` from.
fn back_to(
    state: &State,
    record: &ServiceRecord,
    primary: &Deployment,
    away: bool,
    to: Option<u32>,
) -> Result<Back, RolloutError> {
    let ended = record
        .history
        .iter()
        .filter(|ended| ended.status == ServiceDeploymentStatus::Successful)
        .map(|ended| Back {
            revision: ended.revision.clone(),
            spec: ended.spec.clone(),
            generation: ended.generation,
            images: ended.images.clone(),
            at: ended.finished_at,
        });
    let completed = record.last_completed.iter().map(|completed| Back {
        revision: completed.revision.clone(),
        spec: completed.spec.clone(),
        generation: completed.generation,
        images: completed.images.clone(),
        at: completed.at,
    });
    let mut known: Vec<Back> = ended.chain(completed).collect();
    known.sort_by_key(|back| std::cmp::Reverse(back.at));
    known.retain(|back| state.specs.contains_key(&back.spec));
    let Some(number) = to else {
        return known
            .into_iter()
            .find(|back| back.spec != primary.spec)
            .ok_or_else(|| {
                RolloutError::NoSuchRevision(format!(
                    "there is nothing to go back to: no other revision of service {} was ever completed",
                    record.spec.name
                ))
            });
    };
    let wanted = RevisionRef {
        family: record.spec.family.clone(),
        revision: number,
    };
    if primary.revision == wanted && !away {
        return Err(RolloutError::NotNow(format!(
            "{wanted} is what is rolled out"
        )));
    }
    if let Some(back) = known.into_iter().find(|back| back.revision == wanted) {
        return Ok(back);
    }
    let registered = state.revisions.get(&wanted);
    match registered.filter(|registered| state.specs.contains_key(&registered.spec)) {
        Some(registered) => Ok(Back {
            revision: wanted,
            spec: registered.spec.clone(),
            generation: 0,
            images: BTreeMap::new(),
            at: registered.registered_at,
        }),
        None => Err(RolloutError::NoSuchRevision(format!(
            "there is no revision {wanted}; `longshore rollout history` tells of those that there are"
        ))),
    }
}
