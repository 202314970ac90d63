//! Taking a folder's content in: task definitions get their numbers, clusters and their instances' wanted states are
//! written down. Pure: the commits are returned.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::inputs::{Resolved, Targets};
use super::registry;
use crate::model::{
    ClusterName, ClusterSpec, Desired, Family, InstanceDesired, InstanceId, RegisteredDefinition,
    SpecHash, TaskDefinitionRecord, Timestamp,
};
use crate::store::state::{InstanceEntry, seen};
use crate::store::{Epoch, State, Txn, keys};

/// What `desired` comes down to, and what has to be written before services may follow it.
pub(super) fn register(
    state: &State,
    desired: &Arc<Desired>,
    epoch: &Epoch,
    now: Timestamp,
) -> (Targets, Vec<Txn>) {
    let mut registrar = Registrar {
        state,
        epoch,
        now,
        families: BTreeMap::new(),
        clusters: BTreeMap::new(),
        written: BTreeSet::new(),
        parts: Vec::new(),
    };
    // That is looked for among all tasks, and only where there is a new definition.
    let highest = LazyCell::new(|| highest_numbers(state));
    for (family, (definition, _)) in &desired.task_definitions {
        let highest = || highest.get(family).copied().unwrap_or(0);
        registrar.definition(family, definition, highest);
    }
    if !desired.incomplete {
        registrar.deregister(desired);
    }
    registrar.clusters(desired);
    let targets = Targets {
        desired: Arc::clone(desired),
        families: registrar.families,
        clusters: registrar.clusters,
    };
    (targets, packed(registrar.parts, epoch))
}

/// The highest revision of each family that any task carries: after a lost store, more than what is registered.
fn highest_numbers(state: &State) -> BTreeMap<Family, u32> {
    let mut highest: BTreeMap<Family, u32> = BTreeMap::new();
    for task in state.tasks.values() {
        let known = highest.entry(task.record.family.clone()).or_default();
        *known = (*known).max(task.record.value.revision);
    }
    highest
}

/// An instance's cluster and name.
type At<'a> = (&'a ClusterName, &'a InstanceId);

struct Registrar<'a> {
    state: &'a State,
    epoch: &'a Epoch,
    now: Timestamp,
    families: BTreeMap<Family, Resolved>,
    clusters: BTreeMap<ClusterName, Arc<ClusterSpec>>,
    /// Specifications that are written already in these parts.
    written: BTreeSet<SpecHash>,
    /// Each in one piece; any number of them may share a commit.
    parts: Vec<Txn>,
}

impl Registrar<'_> {
    fn definition(
        &mut self,
        family: &Family,
        definition: &RegisteredDefinition,
        highest: impl FnOnce() -> u32,
    ) {
        let bound = |revision| crate::model::RevisionRef {
            family: family.clone(),
            revision,
        };
        let existing: BTreeMap<u32, SpecHash> = self
            .state
            .revisions
            .range(bound(0)..=bound(u32::MAX))
            .map(|(id, record)| (id.revision, record.spec.clone()))
            .collect();
        let registered = registry::register(family, &existing, highest, &definition.hash);
        let id = registered.revision.clone();
        let mut part = Txn::new(self.epoch);
        let stored = self.state.revisions.get(&id);
        let key = keys::revision(&id);
        match stored {
            None => {
                let record = TaskDefinitionRecord {
                    id: id.clone(),
                    input: definition.input.clone(),
                    spec: definition.hash.clone(),
                    labels: definition.labels.clone(),
                    registered_at: self.now,
                    deregistered_at: None,
                };
                part = part.expect_absent(&key).put_json(&key, &record);
            }
            Some(known) if known.deregistered_at.is_some() => {
                let mut record = TaskDefinitionRecord::clone(known);
                record.deregistered_at = None;
                part = part
                    .expect_unchanged(&key, known.revision)
                    .put_json(&key, &record);
            }
            Some(_) => {}
        }
        if !self.state.specs.contains_key(&definition.hash)
            && self.written.insert(definition.hash.clone())
        {
            part = part.put_json(keys::spec(&definition.hash), definition.spec.as_ref());
        }
        self.add(part);
        let resolved = Resolved {
            revision: id,
            hash: definition.hash.clone(),
            spec: Arc::clone(&definition.spec),
        };
        self.families.insert(family.clone(), resolved);
    }

    /// Families that left the folder: their revisions turn INACTIVE; services that run one go on (semantics §4.36).
    fn deregister(&mut self, desired: &Desired) {
        for (id, known) in &self.state.revisions {
            if known.deregistered_at.is_none() && !desired.task_definitions.contains_key(&id.family)
            {
                let mut record = TaskDefinitionRecord::clone(known);
                record.deregistered_at = Some(self.now);
                let key = keys::revision(id);
                let part = Txn::new(self.epoch)
                    .expect_unchanged(&key, known.revision)
                    .put_json(&key, &record);
                self.add(part);
            }
        }
    }

    fn clusters(&mut self, desired: &Desired) {
        for (name, (spec, _)) in &desired.clusters {
            let key = keys::cluster(name);
            let stored = self.state.clusters.get(name);
            let shared = match stored.filter(|stored| *stored.value == *spec) {
                Some(same) => Arc::clone(&same.value),
                None => {
                    let part = Txn::new(self.epoch)
                        .expect(&key, seen(stored))
                        .put_json(&key, spec);
                    self.add(part);
                    Arc::new(spec.clone())
                }
            };
            self.clusters.insert(name.clone(), shared);
            // One look at all of them: a cluster may have a thousand.
            let mut known: BTreeMap<&InstanceId, &InstanceEntry> =
                self.state.instances_of_cluster(name).collect();
            for instance in &spec.instances {
                let at = (name, &instance.name);
                let entry = known.remove(&instance.name);
                let asked = self.asked(at, entry, instance.desired);
                self.want(at, entry, asked.unwrap_or(instance.desired));
            }
            for (id, entry) in known {
                self.leave((name, id), entry);
            }
        }
        for ((cluster, id), entry) in &self.state.instances {
            if !desired.clusters.contains_key(cluster) {
                self.leave((cluster, id), entry);
            }
        }
        for (name, stored) in &self.state.clusters {
            let used = desired.clusters.contains_key(name)
                || self.state.services_of_cluster(name).next().is_some()
                || self.state.tasks_of_cluster(name).next().is_some();
            if !used {
                let key = keys::cluster(name);
                let part = Txn::new(self.epoch)
                    .expect_unchanged(&key, stored.revision)
                    .delete(key);
                self.add(part);
            }
        }
    }

    /// What is no longer declared takes no new tasks, and those that it has move away; then it is forgotten.
    fn leave(&mut self, (cluster, id): At<'_>, entry: &InstanceEntry) {
        if self.state.tasks_of_instance(cluster, id).next().is_none() {
            self.forget(cluster, id, entry);
        } else {
            self.want((cluster, id), Some(entry), InstanceDesired::Draining);
        }
    }

    fn forget(&mut self, cluster: &ClusterName, id: &InstanceId, entry: &InstanceEntry) {
        let desired = keys::instance_desired(cluster, id);
        let reserved = keys::instance_reserved(cluster, id);
        // Nobody placed anything on it in the meantime.
        let part = Txn::new(self.epoch)
            .expect(&reserved, seen(entry.reserved.as_ref()))
            .delete(reserved)
            .delete(desired)
            .delete(keys::instance_override(cluster, id))
            .delete(keys::instance_endpoint(cluster, id))
            .delete(keys::instance_images(cluster, id))
            .delete(keys::instance(cluster, id));
        self.add(part);
    }

    /// What somebody asked for, as long as the manifest says what it said then.
    fn asked(
        &mut self,
        (cluster, id): At<'_>,
        entry: Option<&InstanceEntry>,
        declared: InstanceDesired,
    ) -> Option<InstanceDesired> {
        let asked = entry?.asked.as_ref()?;
        if let Some(desired) = asked.over(declared) {
            return Some(desired);
        }
        let at = keys::instance_override(cluster, id);
        let part = Txn::new(self.epoch)
            .expect_unchanged(&at, asked.revision)
            .delete(at);
        self.add(part);
        None
    }

    fn want(
        &mut self,
        (cluster, id): At<'_>,
        entry: Option<&InstanceEntry>,
        wanted: InstanceDesired,
    ) {
        let stored = entry.and_then(|entry| entry.desired.as_ref());
        if stored.is_none_or(|stored| *stored.value != wanted) {
            let at = keys::instance_desired(cluster, id);
            let part = Txn::new(self.epoch)
                .expect(&at, seen(stored))
                .put_json(&at, &wanted);
            self.add(part);
        }
    }

    fn add(&mut self, part: Txn) {
        if !part.is_empty() {
            self.parts.push(part);
        }
    }
}

/// The parts in as few commits as a store's limits allow.
fn packed(parts: Vec<Txn>, epoch: &Epoch) -> Vec<Txn> {
    let mut all = Vec::new();
    let mut open = Txn::new(epoch);
    for part in parts {
        let fits = open.has_room(part.len(), part.bytes());
        if fits || open.is_empty() {
            open = open.and(part);
        } else {
            all.push(std::mem::replace(&mut open, part));
        }
    }
    if !open.is_empty() {
        all.push(open);
    }
    all
}
