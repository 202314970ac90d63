//! Removal of what belongs to a task that has no record: because the controller deleted it, or because there never was one.

use std::collections::{BTreeMap, BTreeSet};

use super::CallKey;
use super::action::{Action, Call};
use super::facts::Attempt;
use super::retry::{Verdict, verdict};
use crate::engine::translate::Recovery;
use crate::engine::{ContainerState, ObservedContainer, labels};
use crate::model::Timestamp;

/// Seconds that a container is given to end where its definition is not known.
const STOP_TIMEOUT: u32 = 30;

/// What is left of a task without a record.
#[derive(Debug, Clone, Copy)]
pub struct CleanupInput<'a> {
    /// Its containers, by their name in the definition.
    pub observed: &'a BTreeMap<String, ObservedContainer>,
    /// Its volumes, by their name on the engine.
    pub volumes: &'a BTreeSet<String>,
    /// Calls that failed and have not succeeded since.
    pub attempts: &'a BTreeMap<CallKey, Attempt>,
    /// Containers on which a call is under way.
    pub busy: &'a BTreeSet<String>,
    /// The present instant.
    pub now: Timestamp,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleanup {
    /// In a stable order.
    pub actions: Vec<Action>,
    /// When to look again though nothing happens.
    pub wake_at: Option<Timestamp>,
    /// Nothing of the task is left.
    pub done: bool,
}

/// Stops what runs, removes all containers and then the task's volumes.
pub fn cleanup(input: &CleanupInput<'_>, cause: &str) -> Cleanup {
    let mut result = Cleanup {
        actions: Vec::new(),
        wake_at: None,
        done: input.observed.is_empty() && input.volumes.is_empty() && input.busy.is_empty(),
    };
    let spec = input
        .observed
        .values()
        .find_map(|container| Recovery::parse(container.labels.get(labels::SPEC)?))
        .map(|recovery| recovery.spec);
    for (name, found) in input.observed {
        if input.busy.contains(name) {
            continue;
        }
        let (container, id) = (name.clone(), found.id.clone());
        let runs = matches!(
            found.state,
            ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
        );
        // The pause program has nothing to finish.
        let call = if runs && name != labels::PAUSE_CONTAINER {
            let timeout = spec
                .as_ref()
                .and_then(|spec| spec.container(name)?.stop_timeout)
                .unwrap_or(STOP_TIMEOUT)
                .max(1);
            Call::Stop {
                container,
                id,
                timeout,
            }
        } else if name == labels::PAUSE_CONTAINER && input.observed.len() > 1 {
            // Last, so that the others keep their network while they end.
            continue;
        } else {
            Call::Remove { container, id }
        };
        want(call, cause, input, &mut result);
    }
    if input.observed.is_empty() && input.busy.is_empty() {
        for volume in input.volumes {
            let volume = volume.clone();
            want(Call::RemoveVolume { volume }, cause, input, &mut result);
        }
    }
    result
}

fn want(call: Call, cause: &str, input: &CleanupInput<'_>, result: &mut Cleanup) {
    let key = call.key();
    match verdict(key.verb, input.attempts.get(&key), input.now) {
        Verdict::Now => result.actions.push(Action::new(call, cause)),
        Verdict::At(at) => {
            result.wake_at = Some(result.wake_at.map_or(at, |wake| wake.min(at)));
        }
        Verdict::Never => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::{at, exited, running};

    #[test]
    fn what_runs_is_stopped_then_all_is_removed_the_pause_container_and_volumes_last() {
        let mut observed: BTreeMap<String, ObservedContainer> = [
            ("a".to_owned(), running("a", 1)),
            ("b".to_owned(), exited("b", 0, 1, 2)),
            (
                labels::PAUSE_CONTAINER.to_owned(),
                running(labels::PAUSE_CONTAINER, 1),
            ),
        ]
        .into();
        let volumes = BTreeSet::from(["v".to_owned()]);
        let mut done = Vec::new();
        for _ in 0..10 {
            let step = cleanup(
                &CleanupInput {
                    observed: &observed,
                    volumes: &volumes,
                    attempts: &BTreeMap::new(),
                    busy: &BTreeSet::new(),
                    now: at(0),
                },
                "gone",
            );
            for action in step.actions {
                done.push(action.to_string());
                match action.call {
                    Call::Stop { container, .. } => {
                        observed.insert(container.clone(), exited(&container, 0, 1, 2));
                    }
                    Call::Remove { container, .. } => {
                        observed.remove(&container);
                    }
                    _ => assert!(observed.is_empty()),
                }
            }
            if observed.is_empty() && done.last().is_some_and(|l| l.contains("volume")) {
                break;
            }
        }
        assert_eq!(
            done,
            [
                "stop container a within 30 s: gone",
                "remove container b: gone",
                "remove container a: gone",
                "remove the pause container: gone",
                "remove volume v: gone"
            ]
        );
    }
}
