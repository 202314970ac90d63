//! A service at a glance: counts, steadiness, and the one word a table shows. Pure functions of the state and the time, so that
//! `get`, `describe`, `apply`, the live table and the API all say the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::conditions::notice_condition;
use super::failures::{TaskFailure, newest_failure};
use super::standing::{Counts, desired_count};
use crate::model::{
    BlockedRevision, ClusterName, NoticeKind, RevisionRef, RolloutState, ServiceOverrides,
    ServiceRecord, ServiceStatus, Timestamp,
};
use crate::store::State;

/// How a service is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// One deployment, COMPLETED, and as many healthy tasks as desired.
    Steady,
    /// A deployment is under way.
    #[default]
    Deploying,
    /// The deployment is done, but tasks are missing, unhealthy or too many.
    Converging,
    /// Starts are held back, because tasks ended by themselves again and again.
    Throttled,
    /// The newest deployment was given up, and there is nothing to go back to.
    Failed,
    /// What the folder asks for failed, and an earlier revision is being gone back to.
    RollingBack,
    /// What the folder asks for failed, and an earlier revision runs in its place.
    RolledBack,
    /// An earlier revision was gone back to, whatever the folder says, and all is well with it.
    Undone,
    /// Its rollout is paused.
    Paused,
    /// It is suspended: nothing of it is started or stopped.
    Suspended,
    /// It was removed from the folder; its tasks are going.
    Draining,
    /// It was removed, and its tasks are gone.
    Inactive,
}

impl Phase {
    /// As a table shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Deploying => "deploying",
            Self::Converging => "converging",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
            Self::RollingBack => "rolling back",
            Self::RolledBack => "rolled back",
            Self::Undone => "undone",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::Draining => "draining",
            Self::Inactive => "inactive",
        }
    }
}

/// A deployment that was given up, while what it rolled out is still what the folder, or an undo, asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutFailure {
    /// What failed, `web:3`.
    pub revision: String,
    /// The deployment that failed, `ecs-svc/<n>`.
    pub deployment: String,
    /// Its tasks that had failed.
    pub failed_tasks: u32,
    /// Why the last of them did.
    pub reason: String,
    /// When it was given up.
    #[serde(with = "super::time::rfc3339_option")]
    pub at: Option<Timestamp>,
    /// The last lines that this task wrote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_log_lines: Vec<String>,
    /// What runs in its place, `web:2`; absent: it is not gone back from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<String>,
    /// That task has not ended yet: more may become known about it, its last lines above all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub still_ends: bool,
    /// Whether its service's circuit breaker goes back at all, where there is something to go back to.
    pub rolls_back: bool,
    /// What was gone back to and failed as well, if nothing else runs in their place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub went_back: Option<Box<RolloutFailure>>,
}

impl RolloutFailure {
    /// `; going back to web:2 failed as well: …`, where it did.
    pub(super) fn went_back_in_words(&self) -> Option<String> {
        let second = self.went_back.as_ref()?;
        Some(format!(
            "going back to {} failed as well, after {} failed tasks, the last: {}",
            second.revision,
            second.failed_tasks,
            second.reason.trim_end_matches('.')
        ))
    }

    /// The last lines of the tasks that failed last: of what failed, and of what was gone back to.
    pub fn last_words(&self) -> impl Iterator<Item = &String> {
        let second = self
            .went_back
            .iter()
            .flat_map(|second| &second.last_log_lines);
        self.last_log_lines.iter().chain(second)
    }

    fn of(state: &State, blocked: &BlockedRevision, cluster: &ClusterName) -> Self {
        let task = blocked
            .task
            .as_ref()
            .and_then(|id| state.task(cluster, id))
            .filter(|task| task.lost.is_none());
        let status = task.and_then(|task| task.status.as_ref());
        // The controller takes them over a moment after the agent has told.
        let lines = match status {
            Some(status) if blocked.last_log_lines.is_empty() => &status.value.last_log_lines,
            _ => &blocked.last_log_lines,
        };
        Self {
            revision: blocked.revision.to_string(),
            deployment: blocked.deployment.to_string(),
            failed_tasks: blocked.failed_tasks,
            reason: blocked.reason.clone(),
            at: Some(blocked.at),
            last_log_lines: lines.clone(),
            rolled_back_to: None,
            rolls_back: false,
            went_back: None,
            still_ends: task.is_some() && !status.is_some_and(|s| s.value.is_stopped()),
        }
    }
}

/// A service at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSummary {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its name.
    pub name: String,
    /// ACTIVE, DRAINING or INACTIVE.
    pub status: String,
    /// Tasks wanted.
    pub desired: u32,
    /// Tasks that run.
    pub running: u32,
    /// Tasks on their way to running.
    pub pending: u32,
    /// Tasks that run, are to go on running and count as healthy.
    pub healthy: u32,
    /// What its newest deployment rolls out, `web:3`.
    pub revision: String,
    /// Deployments there are: 1, or more during a rollout.
    pub deployments: u32,
    /// The newest deployment's `rolloutState`.
    pub rollout: String,
    /// ECS's sentence for it.
    pub rollout_reason: String,
    /// One deployment, COMPLETED, healthy == desired.
    pub steady: bool,
    /// The same and more in a word.
    pub phase: Phase,
    /// No task is started before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(with = "super::time::rfc3339_option")]
    pub throttled_until: Option<Timestamp>,
    /// What it said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event: Option<String>,
    /// When it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(with = "super::time::rfc3339_option")]
    pub last_event_at: Option<Timestamp>,
    /// What is wrong at present, as it was said: the condition's name and its sentence.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notices: BTreeMap<String, String>,
    /// The newest failed task of the newest deployment, while the service is not steady (P7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<TaskFailure>,
    /// What failed and is not started again, until its manifest or task definition changes or somebody says so. What runs is
    /// then not what the folder says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<RolloutFailure>,
    /// It is suspended: by whom, since when and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// Its rollout is paused: by whom, since when and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// An earlier revision was gone back to: which, by whom, since when and why. What runs is then not what the folder says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undone: Option<String>,
}

impl ServiceSummary {
    /// Why what runs is not what the folder says, and stays so until somebody does something about it; a sentence for each
    /// reason (P7).
    pub fn differs(&self) -> Vec<String> {
        let name = &self.name;
        let failed = self.failed.iter().map(|failed| {
            let now = match &failed.rolled_back_to {
                Some(revision) => format!("{revision} runs in its place"),
                None if failed.went_back.is_some() => format!(
                    "{}, and no task of either is started",
                    failed.went_back_in_words().unwrap_or_default()
                ),
                None if failed.rolls_back => {
                    "there is nothing to go back to, and no task of it is started".to_owned()
                }
                None => format!(
                    "its circuit breaker has no `rollback`, so nothing is gone back to (`longshore rollout undo {name}` \
                     does), and no task of it is started"
                ),
            };
            format!(
                "{} failed: {} of its tasks did, the last: {}; {now}. Change its manifest or task definition, or say \
                 `longshore retry {name}`",
                failed.revision,
                failed.failed_tasks,
                failed.reason.trim_end_matches('.')
            )
        });
        let suspended = self.suspended.iter().map(|asked| {
            // The notice says the same, and what would be done without it.
            let start = format!("(service {name}) is suspended {asked}: ");
            let notice = self.notices.get("Suspended");
            let drift = notice.and_then(|notice| notice.strip_prefix(&start));
            let drift = drift.map(|drift| format!(": {}", drift.trim_end_matches('.')));
            format!(
                "it is suspended {asked}{}; `longshore resume {name}` takes that back",
                drift.unwrap_or_default()
            )
        });
        let paused = self.paused.iter().map(|asked| {
            format!(
                "the rollout of {} is paused {asked}; `longshore rollout resume {name}` lets it go on",
                self.revision
            )
        });
        let undone = self.taken_back().map(|taken| {
            format!(
                "{taken}, whatever the folder says; change its manifest or task definition to go on"
            )
        });
        suspended
            .chain(failed)
            .chain(paused)
            .chain(undone)
            .collect()
    }

    /// That an earlier revision was gone back to, or was asked for and does not run yet.
    pub(super) fn taken_back(&self) -> Option<String> {
        let undone = self.undone.as_ref()?;
        let there = undone
            .strip_prefix(self.revision.as_str())
            .is_some_and(|rest| rest.starts_with(' '));
        Some(match there {
            true => format!("it was taken back to {undone}"),
            false => format!("it was asked to go back to {undone}"),
        })
    }

    /// Whether nothing more comes of it by itself: it is steady, or stands still until somebody does something.
    pub fn is_settled(&self) -> bool {
        match self.phase {
            Phase::Failed => !self.failed.as_ref().is_some_and(|failed| {
                failed.still_ends || failed.went_back.iter().any(|second| second.still_ends)
            }),
            Phase::Steady
            | Phase::RolledBack
            | Phase::Undone
            | Phase::Paused
            | Phase::Suspended
            | Phase::Inactive => true,
            Phase::Deploying
            | Phase::Converging
            | Phase::Throttled
            | Phase::RollingBack
            | Phase::Draining => false,
        }
    }
}

/// Every service at a glance, by cluster and name.
pub fn summaries(state: &State, now: Timestamp) -> Vec<ServiceSummary> {
    state
        .services
        .values()
        .map(|record| summary(state, record, now))
        .collect()
}

/// One service at a glance.
pub fn summary(state: &State, record: &ServiceRecord, now: Timestamp) -> ServiceSummary {
    let (cluster, name) = (&record.spec.cluster, &record.spec.name);
    let counts = Counts::of(
        state,
        state.tasks_of_service(cluster, name).map(|(_, task)| task),
        now,
    );
    let desired = desired_count(record);
    let primary = record.primary();
    let steady = record.status == ServiceStatus::Active
        && record.deployments.len() == 1
        && primary.is_some_and(|d| d.rollout == RolloutState::Completed)
        && counts.healthy == desired
        && counts.running == desired;
    let overrides = state.overrides.get(&(cluster.clone(), name.clone()));
    let asked = overrides.map(|stored| &*stored.value);
    let suspended = asked.and_then(|o| o.suspended.as_ref());
    let paused = asked.and_then(|o| o.paused.as_ref());
    let pending = paused.is_none() && asked.is_some_and(|asked| is_pending_in(record, asked));
    let undone = asked.and_then(|o| o.undo.as_ref());
    // What somebody went back from may have failed: that is dealt with, unless what was gone back to failed as well.
    let undone_well = undone.is_some_and(|undo| !record.is_blocked(&undo.spec, undo.generation));
    let gives_up = primary.is_some_and(|d| d.rollout == RolloutState::Failed);
    // What was given up is not started at any time.
    let throttled_until = record
        .throttle
        .not_before
        .filter(|at| *at > now && !steady && !gives_up);
    let back_to = match gives_up {
        true => about_to_go_back(state, record),
        false => primary.map(|primary| &primary.revision),
    };
    let second = record.blocked.iter().skip(1).next_back();
    let second = second.filter(|_| gives_up && back_to.is_none());
    let second = second.map(|second| Box::new(RolloutFailure::of(state, second, cluster)));
    let failed = record.failure().map(|failed| RolloutFailure {
        rolled_back_to: back_to.map(ToString::to_string),
        went_back: second,
        rolls_back: record.spec.circuit_breaker.is_some_and(|b| b.rollback),
        ..RolloutFailure::of(state, failed, cluster)
    });
    let going_back = failed.is_some() && !undone_well;
    let phase = match record.status {
        _ if suspended.is_some() => Phase::Suspended,
        ServiceStatus::Draining => Phase::Draining,
        ServiceStatus::Inactive => Phase::Inactive,
        ServiceStatus::Active if pending => Phase::Deploying,
        ServiceStatus::Active if steady && going_back => Phase::RolledBack,
        ServiceStatus::Active if steady && undone.is_some() => Phase::Undone,
        ServiceStatus::Active if steady => Phase::Steady,
        ServiceStatus::Active => match primary.map(|d| d.rollout) {
            Some(RolloutState::Failed) if back_to.is_some() => Phase::RollingBack,
            Some(RolloutState::Failed) => Phase::Failed,
            Some(RolloutState::InProgress) if paused.is_some() => Phase::Paused,
            Some(RolloutState::InProgress) if going_back => Phase::RollingBack,
            _ if throttled_until.is_some() => Phase::Throttled,
            Some(RolloutState::Completed) if record.deployments.len() == 1 => Phase::Converging,
            _ => Phase::Deploying,
        },
    };
    let last = state
        .events
        .get(&(cluster.clone(), name.clone()))
        .and_then(|events| events.values().next_back());
    ServiceSummary {
        cluster: cluster.clone(),
        name: name.to_string(),
        status: record.status.as_str().to_owned(),
        desired,
        running: counts.running,
        pending: counts.pending,
        healthy: counts.healthy,
        revision: primary.map(|d| d.revision.to_string()).unwrap_or_default(),
        deployments: u32::try_from(record.deployments.len()).unwrap_or(u32::MAX),
        rollout: primary
            .map(|d| d.rollout.as_str().to_owned())
            .unwrap_or_default(),
        rollout_reason: primary
            .map(|d| d.rollout_reason.clone())
            .unwrap_or_default(),
        steady,
        phase,
        throttled_until,
        last_event: last.map(|event| event.to_string()),
        last_event_at: last.map(|event| event.last_at),
        notices: record
            .notices
            .iter()
            .map(|(kind, notice)| (notice_condition(*kind).to_owned(), notice.message.clone()))
            .collect(),
        failure: if steady {
            None
        } else {
            newest_failure(state, record)
        },
        failed,
        suspended: suspended.map(ToString::to_string),
        paused: paused.map(|pause| pause.asked.to_string()),
        undone: undone.map(|undo| format!("{} {}", undo.revision, undo.asked)),
    }
}

/// Whether something was asked for that the very next plan takes up: what the record says is about to be no longer so.
fn is_pending_in(record: &ServiceRecord, asked: &ServiceOverrides) -> bool {
    // Of what the folder asks for nothing is known: nothing is taken up either.
    if record.notices.contains_key(&NoticeKind::Definition) {
        return false;
    }
    let Some(primary) = record.primary() else {
        return false;
    };
    let restart = asked.restart.as_ref().is_some_and(|restart| {
        restart.spec == primary.spec
            && restart.generation > primary.generation
            && !record.is_blocked(&restart.spec, restart.generation)
    });
    let undo = asked.undo.as_ref().is_some_and(|undo| {
        undo.spec != primary.spec && !record.is_blocked(&undo.spec, undo.generation)
    });
    asked.retry.is_some() || restart || undo
}

/// What a deployment that was given up is about to go back to: the very next plan will say so.
fn about_to_go_back<'a>(state: &State, record: &'a ServiceRecord) -> Option<&'a RevisionRef> {
    let completed = record.last_completed.as_ref()?;
    let failed = record.is_blocked(&completed.spec, completed.generation);
    let rolls_back = record.spec.circuit_breaker.is_some_and(|b| b.rollback);
    (rolls_back && !failed && state.specs.contains_key(&completed.spec))
        .then_some(&completed.revision)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::conditions::conditions;
    use crate::model::{Asked, Restart, Retry, ServiceSpec, SpecHash, Undo};

    fn hash(of: &str) -> SpecHash {
        SpecHash::new(of)
    }

    /// A service of no tasks that is completed at `web:2`, `b`.
    fn completed() -> ServiceRecord {
        let spec: ServiceSpec = serde_json::from_value(serde_json::json!({
            "cluster": "default", "name": "web", "family": "web", "desired_count": 0, "scheduling": "REPLICA",
            "minimum_healthy_percent": 100, "maximum_percent": 200, "manifest_hash": "",
        }))
        .expect("a service");
        let mut record = ServiceRecord::new(spec, Timestamp::default());
        record.deployments = vec![
            serde_json::from_value(serde_json::json!({
                "id": "ecs-svc/2", "status": "PRIMARY", "revision": {"family": "web", "revision": 2}, "spec": "b",
                "rollout": "COMPLETED", "rollout_reason": "", "desired_count": 0, "created_at": 0, "updated_at": 0,
            }))
            .expect("a deployment"),
        ];
        record
    }

    fn blocked(spec: &str) -> BlockedRevision {
        serde_json::from_value(serde_json::json!({
            "basis": "", "deployment": "ecs-svc/3", "revision": {"family": "web", "revision": 3}, "spec": spec,
            "failed_tasks": 3, "reason": "exit code 1", "at": 0,
        }))
        .expect("a failure")
    }

    fn phase(record: &ServiceRecord, asked: ServiceOverrides) -> Phase {
        let mut state = State::default();
        let key = (record.spec.cluster.clone(), record.spec.name.clone());
        let revision = 1;
        let value = Arc::new(asked);
        state
            .overrides
            .insert(key, crate::store::Stored { value, revision });
        summary(&state, record, Timestamp::default()).phase
    }

    #[test]
    fn what_was_just_asked_for_is_not_taken_for_done_or_failed_before_it_has_begun() {
        let mut record = completed();
        assert_eq!(phase(&record, ServiceOverrides::default()), Phase::Steady);
        let restart = ServiceOverrides {
            restart: Some(Restart {
                spec: hash("b"),
                generation: 1,
                asked: Asked::default(),
            }),
            ..ServiceOverrides::default()
        };
        assert_eq!(phase(&record, restart.clone()), Phase::Deploying);
        record.deployments[0].generation = 1;
        assert_eq!(phase(&record, restart), Phase::Steady, "it is done");
        record.blocked.push(blocked("c"));
        assert_eq!(
            phase(&record, ServiceOverrides::default()),
            Phase::RolledBack
        );
        let retry = ServiceOverrides {
            retry: Some(Retry {
                basis: String::new(),
                asked: Asked::default(),
            }),
            ..ServiceOverrides::default()
        };
        assert_eq!(phase(&record, retry), Phase::Deploying);
    }

    #[test]
    fn going_back_by_hand_from_what_failed_is_done_once_the_earlier_revision_runs() {
        let mut record = completed();
        record.blocked.push(blocked("c"));
        let undo = |spec: &str| ServiceOverrides {
            undo: Some(Undo {
                basis: String::new(),
                revision: record.deployments[0].revision.clone(),
                spec: hash(spec),
                generation: 0,
                images: BTreeMap::new(),
                asked: Asked::default(),
            }),
            ..ServiceOverrides::default()
        };
        assert_eq!(phase(&record, undo("b")), Phase::Undone);
        assert_eq!(phase(&record, undo("a")), Phase::Deploying, "not yet");
        assert_eq!(
            phase(&record, undo("c")),
            Phase::RolledBack,
            "that failed as well"
        );
    }

    #[test]
    fn what_was_rolled_back_is_settled_and_says_what_failed_and_what_to_do() {
        let mut summary = ServiceSummary {
            name: "web".to_owned(),
            revision: "web:1".to_owned(),
            phase: Phase::RolledBack,
            steady: true,
            failed: Some(RolloutFailure {
                revision: "web:2".to_owned(),
                failed_tasks: 3,
                reason: "exit code 1.".to_owned(),
                last_log_lines: vec!["cannot bind".to_owned()],
                rolled_back_to: Some("web:1".to_owned()),
                ..RolloutFailure::default()
            }),
            ..ServiceSummary::default()
        };
        assert!(summary.is_settled());
        assert_eq!(
            summary.differs(),
            [
                "web:2 failed: 3 of its tasks did, the last: exit code 1; web:1 runs in its place. Change its manifest or \
                 task definition, or say `longshore retry web`"
            ]
        );
        let told = conditions(&summary, &[]);
        let failed = told.iter().find(|c| c.kind == "DeploymentFailed");
        let failed = failed.expect("a condition");
        assert_eq!(
            (failed.status.as_str(), failed.reason.as_str()),
            ("True", "RolledBack")
        );
        assert!(failed.message.ends_with("Its last log line: cannot bind"));
        summary.phase = Phase::RollingBack;
        assert!(!summary.is_settled(), "it is on its way");
        summary.failed = None;
        assert!(summary.differs().is_empty());
    }

    #[test]
    fn a_rollback_that_failed_as_well_says_why_with_its_own_last_words() {
        let mut record = completed();
        record.spec.circuit_breaker = Some(crate::model::CircuitBreaker {
            rollback: true,
            reset_on_healthy_task: true,
            threshold: crate::model::Threshold::default(),
        });
        record.deployments[0].rollout = RolloutState::Failed;
        let second = BlockedRevision {
            revision: record.deployments[0].revision.clone(),
            spec: hash("b"),
            failed_tasks: 4,
            reason: "no space left.".to_owned(),
            last_log_lines: vec!["disk full".to_owned()],
            ..blocked("c")
        };
        record.blocked = vec![blocked("c"), second];
        let summary = summary(&State::default(), &record, Timestamp::default());
        assert_eq!(
            summary.differs(),
            [
                "web:3 failed: 3 of its tasks did, the last: exit code 1; going back to web:2 failed as well, after 4 failed \
                 tasks, the last: no space left, and no task of either is started. Change its manifest or task definition, or \
                 say `longshore retry web`"
            ]
        );
        let told = conditions(&summary, &[]);
        let failed = told.iter().find(|c| c.kind == "DeploymentFailed");
        let failed = failed.expect("a condition");
        assert_eq!(failed.reason, "RollbackFailed");
        assert!(
            failed.message.ends_with(
                "; going back to web:2 failed as well, after 4 failed tasks, the last: no space left. Its last log line: disk full"
            ),
            "{}",
            failed.message
        );
        let failed = summary.failed.expect("a failure");
        assert_eq!(failed.last_words().collect::<Vec<_>>(), ["disk full"]);
    }

    #[test]
    fn what_failed_is_settled_once_its_last_task_has_told_why() {
        let mut summary = ServiceSummary {
            phase: Phase::Failed,
            failed: Some(RolloutFailure {
                still_ends: true,
                ..RolloutFailure::default()
            }),
            ..ServiceSummary::default()
        };
        assert!(!summary.is_settled());
        summary.failed = Some(RolloutFailure::default());
        assert!(summary.is_settled());
    }
}
