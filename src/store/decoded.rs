//! Reading what the store holds: from a change's key and bytes to a typed value, or to why it cannot be read.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::keys::Key;
use super::state::{CorruptValue, Stored};
use super::{Change, Meta, Revision};
use crate::model::{
    Booked, ClusterSpec, Instance, InstanceDesired, InstanceOverride, MetadataEndpoint,
    PulledImages, Reserved, ServiceEvent, ServiceOverrides, ServiceRecord, TaskDefinitionRecord,
    TaskLost, TaskProtection, TaskRecord, TaskSpec, TaskStatus,
};

/// A change of a known key, its value read. Reading is done before the state is locked.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) text: String,
    pub(super) key: Key,
    pub(super) outcome: Result<Update, CorruptValue>,
}

impl Decoded {
    /// `None` for a key that this version does not know.
    pub(super) fn read(change: &Change) -> Option<Self> {
        let text = change.key().to_owned();
        let Some(key) = Key::parse(&text) else {
            tracing::debug!(key = %text, "a key of an unknown kind is passed over");
            return None;
        };
        let (value, revision) = match change {
            Change::Put(item) => (Some((item.value.as_slice(), item.revision)), item.revision),
            Change::Delete(_) => (None, 0),
        };
        let outcome =
            Update::read(&key, value).map_err(|message| CorruptValue { message, revision });
        Some(Self { text, key, outcome })
    }
}

/// A value, read; `None`: the key was removed.
#[derive(Debug)]
pub(super) enum Update {
    Meta(Option<Stored<Meta>>),
    Revision(Option<Stored<TaskDefinitionRecord>>),
    Spec(Option<Stored<TaskSpec>>),
    LastGood(Option<Stored<serde_json::Value>>),
    Cluster(Option<Stored<ClusterSpec>>),
    Instance(Option<Stored<Instance>>),
    InstanceEndpoint(Option<Stored<MetadataEndpoint>>),
    InstanceDesired(Option<Stored<InstanceDesired>>),
    InstanceOverride(Option<Stored<InstanceOverride>>),
    InstanceReserved(Option<Stored<Reserved>>, Arc<Booked>),
    InstanceImages(Option<Stored<PulledImages>>),
    Task(Option<Stored<TaskRecord>>),
    TaskStatus(Option<Stored<TaskStatus>>),
    TaskLost(Option<Stored<TaskLost>>),
    TaskProtection(Option<Stored<TaskProtection>>),
    Service(Option<Stored<ServiceRecord>>),
    ServiceOverrides(Option<Stored<ServiceOverrides>>),
    Event(Option<Stored<ServiceEvent>>),
}

type Raw<'a> = Option<(&'a [u8], Revision)>;

impl Update {
    /// Reads what `key` holds. A value that names another key than the one it stands at is not read either.
    pub(super) fn read(key: &Key, raw: Raw<'_>) -> Result<Self, String> {
        Ok(match key {
            Key::Meta => Self::Meta(read(raw)?),
            Key::Revision(id) => {
                Self::Revision(read_of(raw, |r: &TaskDefinitionRecord| r.id == *id)?)
            }
            Key::Spec(_) => Self::Spec(read(raw)?),
            Key::LastGood(_) => Self::LastGood(read(raw)?),
            Key::Cluster(c) => Self::Cluster(read_of(raw, |s: &ClusterSpec| s.name == *c)?),
            Key::Instance(_, id) => Self::Instance(read_of(raw, |i: &Instance| i.id == *id)?),
            Key::InstanceEndpoint(..) => Self::InstanceEndpoint(read(raw)?),
            Key::InstanceDesired(..) => Self::InstanceDesired(read(raw)?),
            Key::InstanceOverride(..) => Self::InstanceOverride(read(raw)?),
            Key::InstanceReserved(..) => {
                let reserved: Option<Stored<Reserved>> = read(raw)?;
                let booked = reserved.as_deref().map(Booked::of).unwrap_or_default();
                Self::InstanceReserved(reserved, Arc::new(booked))
            }
            Key::InstanceImages(..) => Self::InstanceImages(read(raw)?),
            Key::Task(c, id) => Self::Task(read_of(raw, |r: &TaskRecord| {
                r.cluster == *c && r.id == *id
            })?),
            Key::TaskStatus(..) => Self::TaskStatus(read(raw)?),
            Key::TaskLost(..) => Self::TaskLost(read(raw)?),
            Key::TaskProtection(..) => Self::TaskProtection(read(raw)?),
            Key::Service(c, name) => Self::Service(read_of(raw, |r: &ServiceRecord| {
                r.spec.cluster == *c && r.spec.name == *name
            })?),
            Key::ServiceOverrides(..) => Self::ServiceOverrides(read(raw)?),
            Key::Event(c, service, seq) => Self::Event(read_of(raw, |e: &ServiceEvent| {
                e.cluster == *c && e.service == *service && e.seq == *seq
            })?),
        })
    }
}

fn read<T: DeserializeOwned>(raw: Raw<'_>) -> Result<Option<Stored<T>>, String> {
    read_of(raw, |_| true)
}

fn read_of<T: DeserializeOwned>(
    raw: Raw<'_>,
    belongs: impl FnOnce(&T) -> bool,
) -> Result<Option<Stored<T>>, String> {
    let Some((bytes, revision)) = raw else {
        return Ok(None);
    };
    let value: T = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if !belongs(&value) {
        return Err("it names another key than the one it stands at".to_owned());
    }
    Ok(Some(Stored {
        value: Arc::new(value),
        revision,
    }))
}
