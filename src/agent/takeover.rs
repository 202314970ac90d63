//! What a lost or restored store is made from again: the labels of the containers that its owner runs (design §6).
//!
//! Pure. Whoever starts the daemon lists every engine, calls [`recover`], keeps of it what the store
//! [lost](Recovered::lost_from), commits that, and only then lets anything act. The tasks' agents find the containers
//! running and report so: no healthy one is restarted.

use std::collections::BTreeMap;

use super::cache::identity;
use super::known::is_up;
use crate::engine::translate::Recovery;
use crate::engine::{ContainerState, ObservedContainer, labels};
use crate::model::{
    ClusterName, DeploymentId, DesiredStatus, RevisionRef, ServiceName, SpecHash, StopCode,
    StopOrder, TaskId, TaskRecord, TaskSpec, Timestamp,
};
use crate::store::{Revision, State};

/// What containers tell of the store that they were made from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recovered {
    /// Tasks by id.
    pub tasks: BTreeMap<TaskId, RecoveredTask>,
    /// What they run, by hash.
    pub specs: BTreeMap<SpecHash, TaskSpec>,
    /// Revisions that were registered, as far as tasks show.
    pub revisions: BTreeMap<RevisionRef, SpecHash>,
    /// Services that had tasks.
    pub services: BTreeMap<(ClusterName, ServiceName), ServiceHint>,
    /// Tasks that have containers and none that says what the task was. Without a record they are left over.
    pub unknown: Vec<TaskId>,
    /// The highest revision of the store that any container was made at.
    pub max_seq: u64,
}

/// A task as its containers tell of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveredTask {
    /// Its record. Desired RUNNING while any container of it runs or has yet to start; else STOPPED, so that what ended
    /// unseen is neither started nor counted as a failure.
    pub record: TaskRecord,
    /// The highest revision of the store that a container of it was made at.
    pub seq: u64,
}

/// A service as its tasks tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceHint {
    /// Deployments that its tasks belong to.
    pub deployments: BTreeMap<DeploymentId, DeploymentHint>,
}

/// A deployment as its tasks tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentHint {
    /// What it rolled out.
    pub revision: RevisionRef,
    /// What its tasks run.
    pub spec: SpecHash,
    /// When its oldest task was ordered.
    pub since: Timestamp,
    /// Tasks of it that run, or have yet to start.
    pub live_tasks: u32,
}

/// Reads what these containers tell. They are all of one owner; what is no container of a task is passed over.
pub fn recover(observed: &[ObservedContainer]) -> Recovered {
    let mut by_task: BTreeMap<TaskId, Vec<&ObservedContainer>> = BTreeMap::new();
    for container in observed {
        if let Some((task, _)) = identity(&container.labels) {
            by_task.entry(task).or_default().push(container);
        }
    }
    let mut recovered = Recovered::default();
    for (id, containers) in by_task {
        let seq = containers.iter().filter_map(|c| seq(c)).max().unwrap_or(0);
        recovered.max_seq = recovered.max_seq.max(seq);
        match containers.iter().find_map(|c| told(c, &id)) {
            Some(told) => recovered.take(told, seq, &containers),
            None => recovered.unknown.push(id),
        }
    }
    recovered
}

impl Recovered {
    /// The part that `state` lost: tasks that it does not have, and that were ordered after the revision `found_at` at which the
    /// store was found when the process started, or before the store was made. A task that it knew and has no more was
    /// deleted, and stays so.
    ///
    /// Not the state's own revision: it rises while one engine after another is looked at.
    #[must_use]
    pub fn lost_from(&self, state: &State, found_at: Revision) -> Self {
        let mut lost = Self {
            max_seq: self.max_seq,
            unknown: self.unknown.clone(),
            ..Self::default()
        };
        for task in self.tasks.values() {
            let known = state.task(&task.record.cluster, &task.record.id).is_some();
            let made = state.meta.as_ref().map(|meta| meta.created_at);
            let is_older = made.is_some_and(|made| task.record.created_at < made);
            if known || (task.seq <= found_at && !is_older) {
                continue;
            }
            if let Some(spec) = self.specs.get(&task.record.spec) {
                lost.add(task.clone(), spec.clone());
            }
        }
        lost
    }

    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    fn take(&mut self, told: Recovery, seq: u64, containers: &[&ObservedContainer]) {
        let mut record = told.record;
        let lives = containers
            .iter()
            .any(|c| is_up(c.state) || c.state == ContainerState::Created);
        if lives {
            (record.desired, record.stop) = (DesiredStatus::Running, None);
        } else {
            let ended = containers.iter().filter_map(|c| c.finished_at).max();
            // Nobody replaces a standalone task: that it ended is all there is to say of it.
            let code = match record.service {
                Some(_) => StopCode::ServiceSchedulerInitiated,
                None => StopCode::EssentialContainerExited,
            };
            record.desired = DesiredStatus::Stopped;
            record.stop = Some(StopOrder {
                code,
                reason: "the task had ended when the store was restored".to_owned(),
                at: ended.unwrap_or(record.created_at),
            });
        }
        self.add(RecoveredTask { record, seq }, told.spec);
    }

    fn add(&mut self, task: RecoveredTask, spec: TaskSpec) {
        let record = &task.record;
        let lives = u32::from(record.desired == DesiredStatus::Running);
        // Should two specifications claim one number, the task that was ordered last is right.
        let newest = self
            .tasks
            .values()
            .filter(|other| other.record.revision_ref() == record.revision_ref())
            .all(|other| other.record.created_at <= record.created_at);
        if newest {
            self.revisions
                .insert(record.revision_ref(), record.spec.clone());
        }
        if let Some(service) = &record.service {
            let key = (record.cluster.clone(), service.clone());
            let hint = self.services.entry(key).or_default();
            if let Some(deployment) = &record.deployment {
                let fresh = DeploymentHint {
                    revision: record.revision_ref(),
                    spec: record.spec.clone(),
                    since: record.created_at,
                    live_tasks: 0,
                };
                let of = hint.deployments.entry(deployment.clone()).or_insert(fresh);
                of.since = of.since.min(record.created_at);
                of.live_tasks += lives;
            }
        }
        self.specs.insert(record.spec.clone(), spec);
        self.tasks.insert(record.id.clone(), task);
    }
}

/// The highest revision of a store that any of these containers was made at; a store that is older has lost something.
pub fn newest_seq(observed: &[ObservedContainer]) -> u64 {
    observed.iter().filter_map(seq).max().unwrap_or(0)
}

fn seq(container: &ObservedContainer) -> Option<u64> {
    container.labels.get(labels::SEQ)?.parse().ok()
}

/// What the container tells of its task, where it tells it of that very task.
fn told(container: &ObservedContainer, id: &TaskId) -> Option<Recovery> {
    let told = Recovery::parse(container.labels.get(labels::SPEC)?)?;
    let hash = container.labels.get(labels::SPEC_HASH)?;
    (told.record.id == *id && told.record.spec.as_str() == hash).then_some(told)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::agent::tests::{at, exited, record, running, task};
    use crate::engine::translate::{Additions, Context, EngineFacts, container_body};
    use crate::model::{RunToken, Standalone};
    use crate::store::{Meta, Stored};

    /// A container of the task with the labels that Longshore gives it, made at the store's revision `seq`.
    fn labelled(record: &TaskRecord, spec: &TaskSpec, name: &str, seq: u64) -> ObservedContainer {
        let context = Context {
            owner: "00112233445566ff".to_owned(),
            instance: "local".into(),
            network: "net".to_owned(),
            seq,
            pause_image: "pause".to_owned(),
            facts: EngineFacts {
                cgroup_version: 1,
                architecture: "amd64".to_owned(),
                logging_driver: "json-file".to_owned(),
                cpus: 2,
                root_dir: "/var/lib/docker".to_owned(),
                cgroups: None,
            },
            publish_awsvpc_ports: true,
            log_drivers: BTreeMap::new(),
            file_systems: BTreeMap::new(),
        };
        let container = spec.container(name).expect("a container of the task");
        ObservedContainer {
            labels: container_body(spec, record, container, &context, &Additions::default()).labels,
            ..running(name, 1)
        }
    }

    fn one(id: &str, number: u32, deployment: u32) -> (TaskRecord, TaskSpec) {
        let spec = task(json!([{"name": "web"}, {"name": "side", "essential": false}]));
        let record = TaskRecord {
            id: TaskId::new(id),
            revision: number,
            spec: spec.hash(),
            deployment: Some(DeploymentId::new(format!("ecs-svc/{deployment:019}"))),
            created_at: at(i64::from(number)),
            ..record(&spec)
        };
        (record, spec)
    }

    #[test]
    fn tasks_specs_revisions_services_and_the_counter_come_back_from_labels() {
        let (a, spec) = one("a", 1, 1);
        let (b, _) = one("b", 2, 2);
        let observed = [
            labelled(&a, &spec, "web", 5),
            labelled(&a, &spec, "side", 6),
            labelled(&b, &spec, "web", 9),
        ];
        let back = recover(&observed);
        assert_eq!(back.tasks[&a.id].record, a);
        assert_eq!(back.tasks[&a.id].seq, 6);
        assert_eq!(back.tasks[&b.id].record, b);
        assert_eq!(back.specs.get(&spec.hash()), Some(&spec));
        assert_eq!(back.revisions.len(), 2);
        assert_eq!(back.max_seq, 9);
        let hint = &back.services[&(a.cluster.clone(), "web".into())];
        let lives: Vec<u32> = hint.deployments.values().map(|d| d.live_tasks).collect();
        assert_eq!(lives, [1, 1]);
        assert_eq!(newest_seq(&observed), 9);
    }

    #[test]
    fn a_task_that_had_ended_comes_back_as_one_that_is_to_stop() {
        let (a, spec) = one("a", 1, 1);
        let mut ended = labelled(&a, &spec, "web", 5);
        let gone = exited("web", 1, 1, 2);
        (ended.state, ended.finished_at) = (gone.state, gone.finished_at);
        let back = recover(&[ended]);
        assert_eq!(back.tasks[&a.id].record.desired, DesiredStatus::Stopped);
        let hint = &back.services[&(a.cluster.clone(), "web".into())];
        assert!(hint.deployments.values().all(|d| d.live_tasks == 0));
    }

    #[test]
    fn a_standalone_task_comes_back_with_what_it_was_asked_for_and_is_not_run_again() {
        let (mut a, spec) = one("a", 1, 1);
        (a.service, a.deployment, a.group) = (None, None, "nightly".to_owned());
        a.standalone = Some(Standalone {
            started_by: Some("cron".to_owned()),
            request: Some(RunToken {
                token: "t1".to_owned(),
                content: "c".to_owned(),
            }),
            ..Standalone::default()
        });
        let runs = labelled(&a, &spec, "web", 5);
        let mut ended = runs.clone();
        let gone = exited("web", 3, 1, 2);
        (ended.state, ended.finished_at) = (gone.state, gone.finished_at);
        assert_eq!(recover(&[runs]).tasks[&a.id].record, a);
        let back = recover(&[ended]).tasks[&a.id].record.clone();
        assert_eq!(back.desired, DesiredStatus::Stopped);
        let code = back.stop.map(|stop| stop.code);
        assert_eq!(code, Some(StopCode::EssentialContainerExited));
        assert_eq!(back.standalone, a.standalone);
    }

    #[test]
    fn a_task_whose_telling_container_is_gone_is_named_and_not_invented() {
        let (a, spec) = one("a", 1, 1);
        let back = recover(&[labelled(&a, &spec, "side", 7)]);
        assert_eq!(back.unknown, [a.id]);
        assert!(back.is_empty());
        assert_eq!(back.max_seq, 7);
    }

    #[test]
    fn labels_that_tell_of_another_task_are_not_believed() {
        let (a, spec) = one("a", 1, 1);
        let mut copied = labelled(&a, &spec, "web", 5);
        copied
            .labels
            .insert(labels::TASK.to_owned(), "other".to_owned());
        assert!(recover(&[copied]).is_empty());
    }

    fn state_at(revision: u64) -> State {
        State::of(crate::store::Listing {
            items: Vec::new(),
            revision,
        })
    }

    #[test]
    fn only_what_is_newer_than_the_store_was_lost_from_it() {
        let (a, spec) = one("a", 1, 1);
        let (b, _) = one("b", 2, 2);
        let back = recover(&[labelled(&a, &spec, "web", 5), labelled(&b, &spec, "web", 9)]);
        let state = state_at(7);
        let lost = back.lost_from(&state, 7);
        assert_eq!(lost.tasks.keys().collect::<Vec<_>>(), [&b.id]);
        assert_eq!(lost.revisions.len(), 1);
        assert_eq!(lost.max_seq, 9);
        let newer = state_at(9);
        assert!(back.lost_from(&newer, 9).is_empty());
    }

    #[test]
    fn what_a_new_store_wrote_meanwhile_does_not_make_older_tasks_known() {
        let (a, spec) = one("a", 1, 1);
        let back = recover(&[labelled(&a, &spec, "web", 5)]);
        // Found empty; the tasks of another engine were taken over since.
        let lost = back.lost_from(&state_at(20), 0);
        assert_eq!(lost.tasks.keys().collect::<Vec<_>>(), [&a.id]);
    }

    #[test]
    fn a_task_that_is_older_than_the_store_was_lost_with_the_one_before() {
        let (a, spec) = one("a", 1, 1);
        let back = recover(&[labelled(&a, &spec, "web", 5)]);
        let made = |created_at: Timestamp| {
            let mut state = state_at(20);
            let meta = Meta {
                format: 1,
                folder: "/srv".to_owned(),
                owner: "0".repeat(16),
                created_at,
                written_by: String::new(),
                seen: Vec::new(),
            };
            state.meta = Some(Stored {
                value: Arc::new(meta),
                revision: 1,
            });
            state
        };
        let after = a.created_at.plus(Duration::from_secs(1));
        assert!(!back.lost_from(&made(after), 20).is_empty());
        assert!(back.lost_from(&made(a.created_at), 20).is_empty());
    }
}
