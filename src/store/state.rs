//! The tree, typed: what [`View`](super::View) keeps and everybody reads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::Arc;

use super::decoded::{Decoded, Update};
use super::keys::{Key, LastGoodKey};
use super::{Change, Listing, Meta, Revision};
use crate::model::{
    Booked, ClusterName, ClusterSpec, Instance, InstanceDesired, InstanceId, InstanceOverride,
    MetadataEndpoint, PulledImages, Reserved, RevisionRef, ServiceEvent, ServiceName,
    ServiceOverrides, ServiceRecord, SpecHash, TaskDefinitionRecord, TaskId, TaskLost,
    TaskProtection, TaskRecord, TaskSpec, TaskStatus,
};

/// A value with the revision it was last written at: what a guard compares. Cloning is cheap.
#[derive(Debug, PartialEq)]
pub struct Stored<T> {
    /// The value.
    pub value: Arc<T>,
    /// When it was last written.
    pub revision: Revision,
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            revision: self.revision,
        }
    }
}

impl<T> Deref for Stored<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The revision to hand to [`Txn::expect`](super::Txn::expect): `None` where there is no value.
pub fn seen<T>(stored: Option<&Stored<T>>) -> Option<Revision> {
    stored.map(|stored| stored.revision)
}

/// A task: what was ordered and what its agent reported. Cloning is cheap.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEntry {
    /// As ordered.
    pub record: Stored<TaskRecord>,
    /// As reported; `None` until the agent first reports.
    pub status: Option<Stored<TaskStatus>>,
    /// There when the controller gave the task up with its instance.
    pub lost: Option<Stored<TaskLost>>,
    /// There when its service may not choose it to go; it may have expired.
    pub protection: Option<Stored<TaskProtection>>,
}

impl TaskEntry {
    /// When the record was last written.
    pub fn record_revision(&self) -> Revision {
        self.record.revision
    }

    /// When the status was last written; `None` when there is none.
    pub fn status_revision(&self) -> Option<Revision> {
        seen(self.status.as_ref())
    }
}

/// A container instance: each part is written on its own and may be there without the others. Cloning is cheap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InstanceEntry {
    /// As its agent registered it.
    pub instance: Option<Stored<Instance>>,
    /// Where its tasks' metadata endpoint listens.
    pub endpoint: Option<Stored<MetadataEndpoint>>,
    /// ACTIVE or DRAINING, as the controller wants it.
    pub desired: Option<Stored<InstanceDesired>>,
    /// What somebody asked for on top of the manifest.
    pub asked: Option<Stored<InstanceOverride>>,
    /// What its tasks hold.
    pub reserved: Option<Stored<Reserved>>,
    /// The sums of `reserved`.
    pub booked: Arc<Booked>,
    /// The images that its agent has pulled.
    pub images: Option<Stored<PulledImages>>,
}

impl InstanceEntry {
    fn is_empty(&self) -> bool {
        self.instance.is_none()
            && self.endpoint.is_none()
            && self.desired.is_none()
            && self.asked.is_none()
            && self.reserved.is_none()
            && self.images.is_none()
    }
}

/// What is there of a task whose record is not.
#[derive(Debug, Clone, Default, PartialEq)]
struct Orphan {
    status: Option<Stored<TaskStatus>>,
    lost: Option<Stored<TaskLost>>,
    protection: Option<Stored<TaskProtection>>,
}

/// The parts of a task that are written on their own, wherever they stand.
struct TaskParts<'a> {
    status: &'a mut Option<Stored<TaskStatus>>,
    lost: &'a mut Option<Stored<TaskLost>>,
    protection: &'a mut Option<Stored<TaskProtection>>,
}

/// A key whose value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptValue {
    /// Why.
    pub message: String,
    /// When it was last written.
    pub revision: Revision,
}

/// A cluster's name and a task's id.
pub type TaskKey = (ClusterName, TaskId);
/// A cluster's name and a service's.
pub type ServiceKey = (ClusterName, ServiceName);
/// A cluster's name and an instance's.
pub type InstanceKey = (ClusterName, InstanceId);

/// The whole tree as of one revision. Values that cannot be read are kept out and named in `corrupt`; keys that this version
/// does not know are passed over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Everything up to and including this revision is in here. 0 before the first listing.
    pub revision: Revision,
    /// Why the store cannot be followed at present, and this state may be old; `None` while it is followed.
    pub stale: Option<String>,
    /// The store's own description.
    pub meta: Option<Stored<Meta>>,
    /// Clusters as declared.
    pub clusters: BTreeMap<ClusterName, Stored<ClusterSpec>>,
    /// Container instances.
    pub instances: BTreeMap<InstanceKey, InstanceEntry>,
    /// Tasks that have a record.
    pub tasks: BTreeMap<TaskKey, Arc<TaskEntry>>,
    /// Services.
    pub services: BTreeMap<ServiceKey, Stored<ServiceRecord>>,
    /// What people asked for on top of the folder, by service.
    pub overrides: BTreeMap<ServiceKey, Stored<ServiceOverrides>>,
    /// Registered revisions, a family's in order.
    pub revisions: BTreeMap<RevisionRef, Stored<TaskDefinitionRecord>>,
    /// Resolved specifications.
    pub specs: BTreeMap<SpecHash, Arc<TaskSpec>>,
    /// Last valid documents, as they were written.
    pub last_good: BTreeMap<LastGoodKey, Stored<serde_json::Value>>,
    /// Events of each service by number.
    pub events: BTreeMap<ServiceKey, BTreeMap<u64, Stored<ServiceEvent>>>,
    /// Keys whose values cannot be read.
    pub corrupt: BTreeMap<String, CorruptValue>,
    orphans: BTreeMap<TaskKey, Orphan>,
    /// With what they are: a plan reads all tasks of its service, and looking each up among all others would cost more than the rest.
    by_service: BTreeMap<ServiceKey, BTreeMap<TaskId, Arc<TaskEntry>>>,
    standalone: BTreeMap<ClusterName, BTreeSet<TaskId>>,
    by_instance: BTreeMap<InstanceKey, BTreeSet<TaskId>>,
    /// Tasks that were given up with their instance.
    lost: BTreeMap<InstanceKey, BTreeSet<TaskId>>,
    /// The instances that an engine is, by the engine's own id.
    by_engine: HashMap<String, BTreeSet<InstanceKey>>,
}

impl State {
    /// The tree as a listing of everything says.
    pub fn of(listing: Listing) -> Self {
        let mut state = Self {
            revision: listing.revision,
            ..Self::default()
        };
        for item in listing.items {
            if let Some(decoded) = Decoded::read(&Change::Put(item)) {
                state.apply(decoded);
            }
        }
        state
    }

    /// A cluster's task.
    pub fn task(&self, cluster: &ClusterName, id: &TaskId) -> Option<&TaskEntry> {
        self.tasks
            .get(&(cluster.clone(), id.clone()))
            .map(Arc::as_ref)
    }

    /// A cluster's service.
    pub fn service(
        &self,
        cluster: &ClusterName,
        name: &ServiceName,
    ) -> Option<&Stored<ServiceRecord>> {
        self.services.get(&(cluster.clone(), name.clone()))
    }

    /// A cluster's instance.
    pub fn instance(&self, cluster: &ClusterName, id: &InstanceId) -> Option<&InstanceEntry> {
        self.instances.get(&(cluster.clone(), id.clone()))
    }

    /// The services that have tasks, also where nothing else is known of them; costs only what they are.
    pub fn services_with_tasks(&self) -> impl Iterator<Item = &ServiceKey> {
        self.by_service.keys()
    }

    /// The clusters that have standalone tasks; costs only what they are.
    pub fn clusters_with_standalone_tasks(&self) -> impl Iterator<Item = &ClusterName> {
        self.standalone.keys()
    }

    /// The tasks of a cluster that belong to no service, by id; costs only what they are.
    pub fn standalone_tasks(
        &self,
        cluster: &ClusterName,
    ) -> impl Iterator<Item = (&TaskId, &TaskEntry)> {
        self.pick(cluster, self.standalone.get(cluster))
    }

    /// The tasks of a service, by id; costs only what they are, however many others there are.
    pub fn tasks_of_service(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> impl Iterator<Item = (&TaskId, &TaskEntry)> {
        let tasks = self.shared_tasks_of_service(cluster, service);
        tasks.map(|(id, entry)| (id, entry.as_ref()))
    }

    /// The same, for whoever keeps them.
    pub fn shared_tasks_of_service(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> impl Iterator<Item = (&TaskId, &Arc<TaskEntry>)> {
        let key = (cluster.clone(), service.clone());
        self.by_service.get(&key).into_iter().flatten()
    }

    /// The tasks placed on an instance, by id; costs only what they are.
    pub fn tasks_of_instance(
        &self,
        cluster: &ClusterName,
        instance: &InstanceId,
    ) -> impl Iterator<Item = (&TaskId, &TaskEntry)> {
        let key = (cluster.clone(), instance.clone());
        self.pick(cluster, self.by_instance.get(&key))
    }

    /// The tasks that were given up with an instance, by id; costs only what they are, and most often there are none.
    pub fn lost_tasks_of_instance(
        &self,
        cluster: &ClusterName,
        instance: &InstanceId,
    ) -> impl Iterator<Item = (&TaskId, &TaskEntry)> {
        let key = (cluster.clone(), instance.clone());
        self.pick(cluster, self.lost.get(&key))
    }

    /// The tasks of a cluster, by id.
    pub fn tasks_of_cluster(
        &self,
        cluster: &ClusterName,
    ) -> impl Iterator<Item = (&TaskId, &TaskEntry)> {
        let first = (cluster.clone(), TaskId::new(""));
        self.tasks
            .range(first..)
            .take_while(move |((of, _), _)| of == cluster)
            .map(|((_, id), entry)| (id, entry.as_ref()))
    }

    /// The services of a cluster, by name.
    pub fn services_of_cluster(
        &self,
        cluster: &ClusterName,
    ) -> impl Iterator<Item = (&ServiceName, &Stored<ServiceRecord>)> {
        let first = (cluster.clone(), ServiceName::new(""));
        self.services
            .range(first..)
            .take_while(move |((of, _), _)| of == cluster)
            .map(|((_, name), record)| (name, record))
    }

    /// The instances of a cluster, by id.
    pub fn instances_of_cluster(
        &self,
        cluster: &ClusterName,
    ) -> impl Iterator<Item = (&InstanceId, &InstanceEntry)> {
        let first = (cluster.clone(), InstanceId::new(""));
        self.instances
            .range(first..)
            .take_while(move |((of, _), _)| of == cluster)
            .map(|((_, id), entry)| (id, entry))
    }

    /// The instances of other clusters that are the engine of that id.
    pub fn neighbours(
        &self,
        cluster: &ClusterName,
        engine_id: &str,
    ) -> impl Iterator<Item = &InstanceEntry> {
        let keys = self.by_engine.get(engine_id).into_iter().flatten();
        keys.filter(move |(other, _)| other != cluster)
            .filter_map(|key| self.instances.get(key))
    }

    /// The newest revision of a family.
    pub fn newest_revision(
        &self,
        family: &crate::model::Family,
    ) -> Option<&Stored<TaskDefinitionRecord>> {
        let bound = |revision| RevisionRef {
            family: family.clone(),
            revision,
        };
        self.revisions
            .range(bound(0)..=bound(u32::MAX))
            .next_back()
            .map(|(_, record)| record)
    }

    fn pick<'a>(
        &'a self,
        cluster: &ClusterName,
        ids: Option<&'a BTreeSet<TaskId>>,
    ) -> impl Iterator<Item = (&'a TaskId, &'a TaskEntry)> + use<'a> {
        let cluster = cluster.clone();
        ids.into_iter().flatten().filter_map(move |id| {
            let entry = self.tasks.get(&(cluster.clone(), id.clone()))?;
            Some((id, entry.as_ref()))
        })
    }

    /// Takes one decoded change in.
    pub(super) fn apply(&mut self, change: Decoded) -> Touched {
        let Decoded { text, key, outcome } = change;
        self.corrupt.remove(&text);
        let update = match outcome {
            Ok(update) => update,
            Err(corrupt) => {
                tracing::error!(key = %text, revision = corrupt.revision, error = %corrupt.message, "a stored value cannot be read and is passed over");
                self.corrupt.insert(text, corrupt);
                // What was there before is no longer what the store says: take it out.
                match Update::read(&key, None) {
                    Ok(update) => update,
                    Err(_) => return Touched::default(),
                }
            }
        };
        self.set(key, update)
    }

    fn set(&mut self, key: Key, update: Update) -> Touched {
        match (key, update) {
            (Key::Meta, Update::Meta(value)) => self.meta = value,
            (Key::Revision(id), Update::Revision(value)) => set(&mut self.revisions, id, value),
            (Key::Spec(hash), Update::Spec(value)) => {
                set(&mut self.specs, hash, value.map(|stored| stored.value));
            }
            (Key::LastGood(id), Update::LastGood(value)) => set(&mut self.last_good, id, value),
            (Key::Cluster(c), Update::Cluster(value)) => set(&mut self.clusters, c, value),
            (Key::Instance(c, id), Update::Instance(value)) => {
                return self.set_registration((c, id), value);
            }
            (Key::InstanceEndpoint(c, id), Update::InstanceEndpoint(value)) => {
                return self.set_instance((c, id), |entry| entry.endpoint = value);
            }
            (Key::InstanceDesired(c, id), Update::InstanceDesired(value)) => {
                return self.set_instance((c, id), |entry| entry.desired = value);
            }
            (Key::InstanceOverride(c, id), Update::InstanceOverride(value)) => {
                return self.set_instance((c, id), |entry| entry.asked = value);
            }
            (Key::InstanceReserved(c, id), Update::InstanceReserved(value, booked)) => {
                return self.set_instance((c, id), |entry| {
                    entry.reserved = value;
                    entry.booked = booked;
                });
            }
            (Key::InstanceImages(c, id), Update::InstanceImages(value)) => {
                return self.set_instance((c, id), |entry| entry.images = value);
            }
            (Key::Task(c, id), Update::Task(value)) => return self.set_record((c, id), value),
            (Key::TaskStatus(c, id), Update::TaskStatus(value)) => {
                return self.set_task_part((c, id), |task| *task.status = value);
            }
            (Key::TaskLost(c, id), Update::TaskLost(value)) => {
                return self.set_task_part((c, id), |task| *task.lost = value);
            }
            (Key::TaskProtection(c, id), Update::TaskProtection(value)) => {
                return self.set_task_part((c, id), |task| *task.protection = value);
            }
            (Key::Service(c, name), Update::Service(value)) => {
                let key = (c, name);
                set(&mut self.services, key.clone(), value);
                return Touched::service(key);
            }
            (Key::ServiceOverrides(c, name), Update::ServiceOverrides(value)) => {
                let key = (c, name);
                set(&mut self.overrides, key.clone(), value);
                return Touched::service(key);
            }
            (Key::Event(c, service, seq), Update::Event(value)) => {
                let key = (c, service);
                let events = self.events.entry(key.clone()).or_default();
                set(events, seq, value);
                if events.is_empty() {
                    self.events.remove(&key);
                }
                return Touched::service(key);
            }
            // `Update::read` gives each key its own kind of update.
            (_, _) => {}
        }
        Touched::default()
    }

    fn set_instance(&mut self, key: InstanceKey, edit: impl FnOnce(&mut InstanceEntry)) -> Touched {
        let entry = self.instances.entry(key.clone()).or_default();
        edit(entry);
        if entry.is_empty() {
            self.instances.remove(&key);
        }
        Touched {
            service: None,
            instance: Some(key),
        }
    }

    fn set_registration(&mut self, key: InstanceKey, value: Option<Stored<Instance>>) -> Touched {
        let engine = |instance: &Stored<Instance>| instance.engine_id.clone();
        let known = self.instances.get(&key).and_then(|e| e.instance.as_ref());
        let (old, new) = (known.map(engine), value.as_ref().map(engine));
        if old != new {
            if let Some(keys) = old.and_then(|old| self.by_engine.get_mut(&old)) {
                keys.remove(&key);
            }
            if let Some(new) = new {
                self.by_engine.entry(new).or_default().insert(key.clone());
            }
            self.by_engine.retain(|_, keys| !keys.is_empty());
        }
        self.set_instance(key, |entry| entry.instance = value)
    }

    fn set_record(&mut self, key: TaskKey, record: Option<Stored<TaskRecord>>) -> Touched {
        let mut touched = Touched::default();
        let orphan = match self.tasks.remove(&key) {
            Some(old) => {
                touched = Touched::task(&old.record);
                self.unindex(&key, &touched);
                let old = Arc::unwrap_or_clone(old);
                Orphan {
                    status: old.status,
                    lost: old.lost,
                    protection: old.protection,
                }
            }
            None => self.orphans.remove(&key).unwrap_or_default(),
        };
        match record {
            Some(record) => {
                touched = Touched::task(&record);
                let Orphan {
                    status,
                    lost,
                    protection,
                } = orphan;
                self.index_lost(&key, &touched, lost.is_some());
                let entry = Arc::new(TaskEntry {
                    record,
                    status,
                    lost,
                    protection,
                });
                self.index(&key, &touched, &entry);
                self.tasks.insert(key, entry);
            }
            None if orphan != Orphan::default() => {
                self.orphans.insert(key, orphan);
            }
            None => {}
        }
        touched
    }

    fn set_task_part(&mut self, key: TaskKey, edit: impl FnOnce(TaskParts<'_>)) -> Touched {
        if let Some(shared) = self.tasks.get_mut(&key) {
            let mut entry = TaskEntry::clone(shared);
            edit(TaskParts {
                status: &mut entry.status,
                lost: &mut entry.lost,
                protection: &mut entry.protection,
            });
            let (touched, lost) = (Touched::task(&entry.record), entry.lost.is_some());
            let entry = Arc::new(entry);
            *shared = Arc::clone(&entry);
            self.index(&key, &touched, &entry);
            self.index_lost(&key, &touched, lost);
            return touched;
        }
        let orphan = self.orphans.entry(key.clone()).or_default();
        edit(TaskParts {
            status: &mut orphan.status,
            lost: &mut orphan.lost,
            protection: &mut orphan.protection,
        });
        if *orphan == Orphan::default() {
            self.orphans.remove(&key);
        }
        Touched::default()
    }

    fn index(&mut self, (cluster, id): &TaskKey, touched: &Touched, entry: &Arc<TaskEntry>) {
        match &touched.service {
            Some(service) => {
                let of = self.by_service.entry(service.clone()).or_default();
                of.insert(id.clone(), Arc::clone(entry));
            }
            None => {
                let of = self.standalone.entry(cluster.clone()).or_default();
                of.insert(id.clone());
            }
        }
        if let Some(instance) = &touched.instance {
            let ids = self.by_instance.entry(instance.clone()).or_default();
            ids.insert(id.clone());
        }
    }

    fn index_lost(&mut self, (_, id): &TaskKey, touched: &Touched, lost: bool) {
        match &touched.instance {
            Some(instance) if lost => {
                let ids = self.lost.entry(instance.clone()).or_default();
                ids.insert(id.clone());
            }
            instance => take(&mut self.lost, instance.as_ref(), id),
        }
    }

    fn unindex(&mut self, (cluster, id): &TaskKey, touched: &Touched) {
        if let Some(service) = &touched.service
            && let Some(tasks) = self.by_service.get_mut(service)
        {
            tasks.remove(id);
            if tasks.is_empty() {
                self.by_service.remove(service);
            }
        }
        take(&mut self.standalone, Some(cluster), id);
        take(&mut self.by_instance, touched.instance.as_ref(), id);
        take(&mut self.lost, touched.instance.as_ref(), id);
    }
}

/// Takes a task out of an index.
fn take<K: Ord>(index: &mut BTreeMap<K, BTreeSet<TaskId>>, key: Option<&K>, id: &TaskId) {
    let Some(key) = key else { return };
    let Some(ids) = index.get_mut(key) else {
        return;
    };
    ids.remove(id);
    if ids.is_empty() {
        index.remove(key);
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => {
            map.insert(key, value);
        }
        None => {
            map.remove(&key);
        }
    }
}

/// Whose business a change is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) service: Option<ServiceKey>,
    pub(super) instance: Option<InstanceKey>,
}

impl Touched {
    fn service(key: ServiceKey) -> Self {
        Self {
            service: Some(key),
            instance: None,
        }
    }

    fn task(record: &TaskRecord) -> Self {
        let of = |service: &ServiceName| (record.cluster.clone(), service.clone());
        Self {
            service: record.service.as_ref().map(of),
            instance: Some((record.cluster.clone(), record.instance.clone())),
        }
    }
}
