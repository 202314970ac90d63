//! From the view's state to what a plan takes: one service's share, held by cheap clones, so that no lock is held while a
//! plan is made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::commit::Tasks;
use super::decision::Plan;
use super::observe::TaskView;
use super::placement::InstanceView;
use super::plan::{Definition, PlanInput, most_decisions, plan};
use crate::model::{
    Booked, ClusterName, ClusterSpec, Desired, DesiredStatus, Family, Instance, InstanceDesired,
    InstanceId, PlacementConstraint, Query, Reserved, RevisionRef, ServiceEvent, ServiceName,
    ServiceOverrides, ServiceRecord, ServiceSpec, ServiceStatus, SpecHash, TaskSpec, Timestamp,
};
use crate::store::state::{InstanceEntry, ServiceKey, TaskEntry};
use crate::store::{Epoch, Revision, State, Stored};

/// A revision with what it resolves to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resolved {
    pub revision: RevisionRef,
    pub hash: SpecHash,
    pub spec: Arc<TaskSpec>,
}

/// What the folder asks for, its task definitions registered.
#[derive(Debug)]
pub(super) struct Targets {
    pub desired: Arc<Desired>,
    pub families: BTreeMap<Family, Resolved>,
    /// The declared clusters, shared with whoever plans in them: one may have a thousand instances.
    pub clusters: BTreeMap<ClusterName, Arc<ClusterSpec>>,
}

impl Targets {
    pub fn service(&self, key: &ServiceKey) -> Option<&ServiceSpec> {
        let (spec, _) = self.desired.services.get(&key.0)?.get(&key.1)?;
        Some(spec)
    }

    /// The revision that a service is to run, where it is known.
    pub fn resolve(&self, state: &State, spec: &ServiceSpec) -> Option<Resolved> {
        self.revision(state, &spec.family, spec.revision)
    }

    /// The revision of that number, or without one what the folder says now, else the newest; where it is known.
    pub fn revision(
        &self,
        state: &State,
        family: &Family,
        number: Option<u32>,
    ) -> Option<Resolved> {
        let current = self.families.get(family);
        match number {
            None => match current {
                Some(current) => Some(current.clone()),
                None => {
                    let newest = state.newest_revision(family)?;
                    stored(state, &newest.id, &newest.spec)
                }
            },
            Some(number) => {
                if let Some(current) = current.filter(|c| c.revision.revision == number) {
                    return Some(current.clone());
                }
                let id = RevisionRef {
                    family: family.clone(),
                    revision: number,
                };
                let record = state.revisions.get(&id)?;
                stored(state, &id, &record.spec)
            }
        }
    }

    /// Every service that the folder or the store knows, also those of which only tasks are left.
    pub fn services(&self, state: &State) -> BTreeSet<ServiceKey> {
        let declared = self
            .desired
            .services
            .iter()
            .flat_map(|(cluster, services)| {
                services
                    .keys()
                    .map(move |name| (cluster.clone(), name.clone()))
            });
        let recorded = state.services.keys().cloned();
        let left = state.services_with_tasks().cloned();
        declared.chain(recorded).chain(left).collect()
    }

    /// The clusters that only one of both declares, or that they declare otherwise.
    pub fn clusters_changed<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a ClusterName> {
        let same = |name: &ClusterName| match (self.clusters.get(name), other.clusters.get(name)) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs) || ours == theirs,
            _ => false,
        };
        let all = self.clusters.keys().chain(other.clusters.keys());
        all.filter(|name| !same(name)).collect()
    }

    /// Whether both want the same of that service. Its cluster's settings, which decide about health and ports, are not asked.
    pub fn agrees_on(&self, other: &Self, state: &State, key: &ServiceKey) -> bool {
        match (self.service(key), other.service(key)) {
            (None, None) => self.desired.incomplete == other.desired.incomplete,
            (Some(a), Some(b)) => a == b && self.resolve(state, a) == other.resolve(state, b),
            _ => false,
        }
    }

    pub fn cluster(&self, state: &State, name: &ClusterName) -> Arc<ClusterSpec> {
        if let Some(spec) = self.clusters.get(name) {
            return Arc::clone(spec);
        }
        match state.clusters.get(name) {
            Some(stored) => Arc::clone(&stored.value),
            None => Arc::new(ClusterSpec::named(name.clone())),
        }
    }
}

/// A task as a plan sees it.
pub(super) fn view<'a>(entry: &'a TaskEntry, spec: Option<&'a TaskSpec>) -> TaskView<'a> {
    TaskView {
        record: &entry.record,
        status: entry.status.as_deref(),
        lost: entry.lost.as_ref().map(|lost| lost.at),
        spec,
        protected_until: entry.protection.as_ref().map(|p| p.expires_at),
    }
}

fn stored(state: &State, id: &RevisionRef, hash: &SpecHash) -> Option<Resolved> {
    Some(Resolved {
        revision: id.clone(),
        hash: hash.clone(),
        spec: Arc::clone(state.specs.get(hash)?),
    })
}

/// An instance's share of the inputs.
#[derive(Debug, Clone)]
pub(super) struct InstanceInput {
    pub instance: Arc<Instance>,
    pub desired: InstanceDesired,
    pub reserved: Arc<Reserved>,
    /// The sums of `reserved`.
    pub booked: Arc<Booked>,
    /// When `reserved` was last written; `None`: never.
    pub reserved_at: Option<Revision>,
    /// What tasks of other clusters hold on the same engine.
    pub others: Vec<Arc<Reserved>>,
    /// Its tasks that are wanted to run, by group, where a constraint asks for them.
    pub groups: Option<BTreeMap<String, u32>>,
    /// When its agent last registered it; `None`: never.
    pub registered_at: Option<Revision>,
}

impl InstanceInput {
    /// Supposes that its tasks hold this.
    pub fn set_reserved(&mut self, reserved: Reserved) {
        self.booked = Arc::new(Booked::of(&reserved));
        self.reserved = Arc::new(reserved);
    }

    /// As a plan sees it.
    pub fn view(&self) -> InstanceView<'_> {
        InstanceView {
            instance: &self.instance,
            desired: self.desired,
            reserved: &self.reserved,
            booked: Some(&self.booked),
            groups: self.groups.as_ref(),
            others: self.others.iter().map(Arc::as_ref).collect(),
        }
    }
}

/// One service's share of the state.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    pub key: ServiceKey,
    pub cluster: Arc<ClusterSpec>,
    pub desired: Option<ServiceSpec>,
    /// Whether the service may be declared where the folder could not be read.
    pub unknown: bool,
    pub definition: Option<Resolved>,
    pub unregistered: Option<RevisionRef>,
    pub record: Option<Stored<ServiceRecord>>,
    pub overrides: Option<Stored<ServiceOverrides>>,
    /// What can be gone back to.
    pub specs: BTreeMap<SpecHash, Arc<TaskSpec>>,
    pub tasks: Tasks,
    pub instances: BTreeMap<InstanceId, InstanceInput>,
    /// The service's events by number.
    pub events: BTreeMap<u64, Stored<ServiceEvent>>,
    /// Whether `specs/` has what is to be run.
    pub spec_stored: bool,
    /// Since when this process has looked at the instances: before, nobody waited for an answer.
    pub watching_since: Timestamp,
}

impl Inputs {
    pub fn read(state: &State, targets: &Targets, key: &ServiceKey) -> Self {
        let (cluster, name) = key;
        let record = state.services.get(key).cloned();
        let overrides = state.overrides.get(key).cloned();
        let desired = targets.service(key).cloned();
        let mut definition = desired
            .as_ref()
            .and_then(|spec| targets.resolve(state, spec));
        let mut unregistered = None;
        if let (Some(spec), None) = (&desired, &definition) {
            unregistered = Some(RevisionRef {
                family: spec.family.clone(),
                revision: spec.revision.unwrap_or_default(),
            });
            // What it runs goes on.
            definition = record
                .as_ref()
                .and_then(|record| record.primary())
                .and_then(|primary| stored(state, &primary.revision, &primary.spec));
        }
        let tasks = state
            .shared_tasks_of_service(cluster, name)
            .map(|(id, entry)| {
                let spec = state.specs.get(&entry.record.spec).cloned();
                (id.clone(), (Arc::clone(entry), spec))
            })
            .collect();
        let about_tasks = asks_about_tasks(
            desired
                .as_ref()
                .map_or(&[], |spec| &spec.placement_constraints),
            definition.as_ref().map(|resolved| resolved.spec.as_ref()),
        );
        Self {
            key: key.clone(),
            cluster: targets.cluster(state, cluster),
            unknown: desired.is_none()
                && targets.desired.incomplete
                && record
                    .as_ref()
                    .is_none_or(|record| record.status == ServiceStatus::Active),
            desired,
            unregistered,
            specs: known_specs(state, record.as_deref(), overrides.as_deref()),
            record,
            overrides,
            tasks,
            instances: instances(state, cluster, about_tasks),
            events: state.events.get(key).cloned().unwrap_or_default(),
            spec_stored: definition
                .as_ref()
                .is_none_or(|definition| state.specs.contains_key(&definition.hash)),
            definition,
            watching_since: Timestamp::default(),
        }
    }

    /// The same, looked at by a process that has watched the instances since then.
    pub fn watched_since(self, watching_since: Timestamp) -> Self {
        Self {
            watching_since,
            ..self
        }
    }

    pub fn service(&self) -> &ServiceName {
        &self.key.1
    }

    /// The plan that is recorded next in the name of `epoch`.
    pub fn plan(&self, epoch: &Epoch, now: Timestamp) -> Plan {
        self.plan_at_most(most_decisions(epoch.limits), now)
    }

    /// The plan of so many decisions at most.
    pub fn plan_at_most(&self, most: usize, now: Timestamp) -> Plan {
        if self.unknown {
            return Plan::default();
        }
        let tasks: Vec<TaskView<'_>> = self
            .tasks
            .values()
            .map(|(entry, spec)| view(entry, spec.as_deref()))
            .collect();
        let instances: Vec<InstanceView<'_>> =
            self.instances.values().map(InstanceInput::view).collect();
        plan(&PlanInput {
            cluster: &self.cluster,
            service: self.service(),
            desired: self.desired.as_ref(),
            definition: self.definition.as_ref().map(|resolved| Definition {
                revision: &resolved.revision,
                hash: &resolved.hash,
                spec: &resolved.spec,
            }),
            unregistered: self.unregistered.as_ref(),
            record: self.record.as_deref(),
            overrides: self.overrides.as_deref(),
            specs: &self.specs,
            tasks: &tasks,
            instances: &instances,
            watching_since: self.watching_since,
            now,
            most,
        })
    }
}

/// What the record and the overrides name and the store still has.
fn known_specs(
    state: &State,
    record: Option<&ServiceRecord>,
    overrides: Option<&ServiceOverrides>,
) -> BTreeMap<SpecHash, Arc<TaskSpec>> {
    let deployments = record.iter().flat_map(|record| &record.deployments);
    let completed = record
        .iter()
        .filter_map(|record| record.last_completed.as_ref());
    let undo = overrides
        .iter()
        .filter_map(|overrides| overrides.undo.as_ref());
    deployments
        .map(|deployment| &deployment.spec)
        .chain(completed.map(|completed| &completed.spec))
        .chain(undo.map(|undo| &undo.spec))
        .filter_map(|hash| Some((hash.clone(), Arc::clone(state.specs.get(hash)?))))
        .collect()
}

/// Whether the tasks of an instance decide about these constraints, or those of a specification.
pub(super) fn asks_about_tasks(
    constraints: &[PlacementConstraint],
    spec: Option<&TaskSpec>,
) -> bool {
    let of_spec = spec
        .into_iter()
        .flat_map(|spec| &spec.placement_constraints);
    let of_service = constraints
        .iter()
        .filter_map(|constraint| match constraint {
            PlacementConstraint::MemberOf(query) => Some(query),
            PlacementConstraint::DistinctInstance => None,
        });
    of_service.chain(of_spec).any(Query::is_about_tasks)
}

/// The cluster's registered instances; with the groups of their tasks where these decide.
pub(super) fn instances(
    state: &State,
    cluster: &ClusterName,
    with_groups: bool,
) -> BTreeMap<InstanceId, InstanceInput> {
    let input = |(id, entry): (&InstanceId, &InstanceEntry)| {
        let instance = entry.instance.as_ref()?;
        let others = state
            .neighbours(cluster, &instance.engine_id)
            .filter_map(|other| Some(Arc::clone(&other.reserved.as_ref()?.value)))
            .collect();
        let input = InstanceInput {
            instance: Arc::clone(&instance.value),
            desired: entry
                .desired
                .as_ref()
                .map_or(InstanceDesired::Active, |desired| *desired.value),
            reserved: entry
                .reserved
                .as_ref()
                .map_or_else(Arc::default, |reserved| Arc::clone(&reserved.value)),
            booked: Arc::clone(&entry.booked),
            reserved_at: entry.reserved.as_ref().map(|reserved| reserved.revision),
            others,
            groups: with_groups.then(|| groups(state, cluster, id)),
            registered_at: Some(instance.revision),
        };
        Some((id.clone(), input))
    };
    let all = state.instances_of_cluster(cluster);
    all.filter_map(input).collect()
}

/// An instance's tasks that are wanted to run, by group.
fn groups(state: &State, cluster: &ClusterName, instance: &InstanceId) -> BTreeMap<String, u32> {
    let mut groups = BTreeMap::new();
    for (_, entry) in state.tasks_of_instance(cluster, instance) {
        let over = entry.status.as_ref().is_some_and(|s| s.is_stopped());
        let wanted = entry.record.desired == DesiredStatus::Running && entry.lost.is_none();
        if wanted && !over {
            *groups.entry(entry.record.group.clone()).or_default() += 1;
        }
    }
    groups
}
