//! Who may be protected (semantics §4.32): [`protection`] and [`grant`] decide, purely; [`Controller::protect`](super::Controller::protect)
//! records.

mod worker;

use crate::model::{
    ClusterName, DesiredStatus, ProtectionFailure, ProtectionRequest, SchedulingStrategy,
    ServiceName, TaskId, TaskProtection, Timestamp,
};
use crate::store::{State, TaskEntry};

/// Whether a task is protected.
///
/// # Errors
/// It is not there, or not one that can be.
pub fn protection(
    state: &State,
    cluster: &ClusterName,
    task: &TaskId,
    now: Timestamp,
) -> Result<Option<TaskProtection>, ProtectionFailure> {
    let (entry, _) = valid(state, cluster, task)?;
    Ok(held(entry, now))
}

/// What is to be recorded for a task when `request` is granted now; `None`: nothing.
///
/// # Errors
/// ECS's reasons not to.
pub fn grant(
    state: &State,
    cluster: &ClusterName,
    task: &TaskId,
    request: ProtectionRequest,
    now: Timestamp,
) -> Result<Option<TaskProtection>, ProtectionFailure> {
    let (entry, service) = valid(state, cluster, task)?;
    let asks = matches!(request, ProtectionRequest::Protect { .. });
    // A task that is protected may always ask for longer: it is in the middle of its work.
    if asks && held(entry, now).is_none() {
        let others = state
            .tasks_of_service(cluster, service)
            .filter(|(id, other)| *id != task && works(other) && held(other, now).is_some())
            .count();
        let desired = wanted(state, cluster, service);
        if others >= desired as usize {
            return Err(ProtectionFailure {
                reason: "DEPLOYMENT_BLOCKED",
                detail: format!(
                    "{others} tasks of service {service} are protected and {desired} are wanted: one more would block its deployment"
                ),
            });
        }
    }
    Ok(request.granted(now))
}

fn valid<'a>(
    state: &'a State,
    cluster: &ClusterName,
    task: &TaskId,
) -> Result<(&'a TaskEntry, &'a ServiceName), ProtectionFailure> {
    let failure = |reason, detail: String| Err(ProtectionFailure { reason, detail });
    let Some(entry) = state.task(cluster, task) else {
        return failure("MISSING", format!("there is no task {task}"));
    };
    let Some(service) = &entry.record.service else {
        return failure(
            "TASK_NOT_VALID",
            format!("task {task} belongs to no service: nothing scales it in"),
        );
    };
    if !works(entry) {
        return failure("TASK_NOT_VALID", format!("task {task} is stopping or over"));
    }
    Ok((entry, service))
}

/// Nothing makes it go.
fn works(entry: &TaskEntry) -> bool {
    entry.record.desired == DesiredStatus::Running
        && entry.lost.is_none()
        && !entry.status.as_ref().is_some_and(|s| s.is_stopped())
}

fn held(entry: &TaskEntry, now: Timestamp) -> Option<TaskProtection> {
    let protection = entry.protection.as_ref()?;
    Some(*protection.value).filter(|protection| protection.holds(now))
}

fn wanted(state: &State, cluster: &ClusterName, service: &ServiceName) -> u32 {
    let Some(record) = state.service(cluster, service) else {
        return 0;
    };
    match record.spec.scheduling {
        SchedulingStrategy::Replica => record.spec.desired_count,
        SchedulingStrategy::Daemon => record.primary().map_or(0, |primary| primary.desired_count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    use crate::controller::testing::service_spec;
    use crate::model::ServiceRecord;
    use crate::store::{Item, Listing, keys};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const PROTECT: ProtectionRequest = ProtectionRequest::Protect { minutes: 10 };

    /// Tasks `a`, `b`, `c` of a service that wants `desired`, and `alone`; of these some are protected until then.
    fn state(desired: u32, protected: &[(&str, i64)]) -> State {
        let cluster = ClusterName::default();
        let service = ServiceRecord::new(service_spec(desired), NOW);
        let mut items = vec![(
            keys::service(&cluster, &"web".into()),
            serde_json::to_value(service).expect("JSON"),
        )];
        for id in ["a", "b", "c", "alone"] {
            let mut record = json!({
                "id": id, "cluster": "default", "instance": "local", "group": "g", "family": "web",
                "revision": 1, "spec": "v1-0", "desired": "RUNNING", "created_at": 1,
            });
            if id != "alone" {
                record["service"] = json!("web");
            }
            items.push((keys::task(&cluster, &id.into()), record));
        }
        for (id, expires_at) in protected {
            let key = keys::task_protection(&cluster, &(*id).into());
            items.push((key, json!({"expires_at": expires_at})));
        }
        let item = |(key, value): (String, serde_json::Value)| Item {
            key,
            value: value.to_string().into_bytes(),
            revision: 1,
        };
        State::of(Listing {
            items: items.into_iter().map(item).collect(),
            revision: 1,
        })
    }

    fn refused(state: &State, task: &str, request: ProtectionRequest) -> Option<&'static str> {
        let answer = grant(state, &ClusterName::default(), &task.into(), request, NOW);
        answer.err().map(|failure| failure.reason)
    }

    const LATER: i64 = 2_000_000;
    const BEFORE: i64 = 999_999;

    #[test]
    fn rule_32_only_tasks_of_a_service_can_be_protected() {
        let state = state(3, &[]);
        assert_eq!(refused(&state, "a", PROTECT), None);
        assert_eq!(refused(&state, "alone", PROTECT), Some("TASK_NOT_VALID"));
        assert_eq!(refused(&state, "nobody", PROTECT), Some("MISSING"));
        let told = protection(&state, &ClusterName::default(), &"alone".into(), NOW);
        assert_eq!(
            told.err().map(|failure| failure.reason),
            Some("TASK_NOT_VALID")
        );
    }

    #[test]
    fn rule_32_a_second_request_counts_from_now_again() {
        let cluster = ClusterName::default();
        let state = state(1, &[("a", LATER)]);
        let granted = grant(&state, &cluster, &"a".into(), PROTECT, NOW);
        let expires_at = Timestamp::from_millis(1_600_000);
        assert_eq!(granted, Ok(Some(TaskProtection { expires_at })));
        let released = grant(
            &state,
            &cluster,
            &"a".into(),
            ProtectionRequest::Release,
            NOW,
        );
        assert_eq!(released, Ok(None));
    }

    #[test]
    fn rule_32_protection_of_more_tasks_than_are_wanted_would_block_the_deployment() {
        let full = state(2, &[("a", LATER), ("b", LATER)]);
        assert_eq!(refused(&full, "c", PROTECT), Some("DEPLOYMENT_BLOCKED"));
        assert_eq!(
            refused(&full, "a", PROTECT),
            None,
            "it only asks for longer"
        );
        assert_eq!(refused(&full, "c", ProtectionRequest::Release), None);
        let expired = state(2, &[("a", LATER), ("b", BEFORE)]);
        assert_eq!(refused(&expired, "c", PROTECT), None);
    }

    #[test]
    fn rule_32_protection_that_has_expired_is_none() {
        let state = state(2, &[("a", BEFORE), ("b", LATER)]);
        let told = |task: &str| protection(&state, &ClusterName::default(), &task.into(), NOW);
        assert_eq!(told("a"), Ok(None));
        assert_eq!(
            told("b").map(|p| p.map(|p| p.expires_at)),
            Ok(Some(Timestamp::from_millis(LATER)))
        );
    }
}
