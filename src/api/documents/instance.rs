//! Container instances as documents.

use std::collections::BTreeMap;

use super::{Document, InstanceStatusDoc, Kind, Metadata};
use crate::api::conditions::Condition;
use crate::api::context::InstanceTrouble;
use crate::api::standing::{is_pending, is_running};
use crate::model::{
    ClusterName, ClusterSpec, Instance, InstanceDesired, InstanceId, InstanceOverride, Reserved,
};
use crate::store::{InstanceEntry, State, TaskEntry};

/// Every instance of the clusters that are asked for: those that are registered, and those that should be.
pub(super) fn documents(
    state: &State,
    troubles: &[InstanceTrouble],
    here: impl Fn(&ClusterName) -> bool,
) -> Vec<Document> {
    let mut all: BTreeMap<(ClusterName, InstanceId), Document<InstanceStatusDoc>> = troubles
        .iter()
        .filter(|trouble| here(&trouble.cluster))
        .map(|trouble| {
            let key = (trouble.cluster.clone(), trouble.instance.clone());
            (key, unregistered(state, trouble))
        })
        .collect();
    for (key, entry) in &state.instances {
        if here(&key.0) {
            let trouble = troubles
                .iter()
                .find(|trouble| (&trouble.cluster, &trouble.instance) == (&key.0, &key.1));
            if let Some(known) = document(state, &key.0, key.1.as_str(), entry, trouble) {
                all.insert(key.clone(), known);
            }
        }
    }
    all.into_values().map(Document::untyped).collect()
}

/// What a cluster's own document says of its instances that do not work.
pub(super) fn missing(troubles: &[InstanceTrouble], cluster: &ClusterName) -> Option<Condition> {
    let mine = || {
        troubles
            .iter()
            .filter(|trouble| trouble.cluster == *cluster)
    };
    let said: Vec<String> = mine()
        .map(|trouble| format!("{}: {}", trouble.instance, trouble.why))
        .collect();
    let reason = match mine().any(|trouble| trouble.refused) {
        true => "Refused",
        false => "NotReached",
    };
    let message = said.join("; ");
    (!said.is_empty()).then(|| Condition::new("InstancesMissing", true, reason, message))
}

/// An instance that was never registered: what is declared of it, and what is wrong. The statuses are ECS's.
fn unregistered(state: &State, trouble: &InstanceTrouble) -> Document<InstanceStatusDoc> {
    let declared = state.clusters.get(&trouble.cluster);
    let declared = declared.and_then(|cluster| {
        let mut all = cluster.instances.iter();
        all.find(|instance| instance.name == trouble.instance)
    });
    let (status, reason) = match trouble.refused {
        true => ("REGISTRATION_FAILED", "Refused"),
        false => ("REGISTERING", "NeverReached"),
    };
    let status = InstanceStatusDoc {
        cluster: trouble.cluster.to_string(),
        id: trouble.instance.to_string(),
        status: status.to_owned(),
        reason: trouble.why.clone(),
        attributes: declared.map(|d| d.attributes.clone()).unwrap_or_default(),
        conditions: vec![Condition::new(
            "Connected",
            false,
            reason,
            trouble.why.clone(),
        )],
        ..InstanceStatusDoc::default()
    };
    let metadata = Metadata::named(trouble.instance.as_str());
    Document::new(Kind::ContainerInstance, metadata, None, status)
}

/// An instance; `None` until its agent has registered it.
fn document(
    state: &State,
    cluster: &ClusterName,
    id: &str,
    entry: &InstanceEntry,
    trouble: Option<&InstanceTrouble>,
) -> Option<Document<InstanceStatusDoc>> {
    let instance = entry.instance.as_ref()?;
    let reserved = entry
        .reserved
        .as_ref()
        .map(|reserved| Reserved::clone(&reserved.value))
        .unwrap_or_default();
    let tasks: Vec<&TaskEntry> = state
        .tasks_of_instance(cluster, &instance.id)
        .map(|(_, task)| task)
        .collect();
    let desired = entry.desired.as_ref().map(|d| *d.value).unwrap_or_default();
    let count = |which: fn(&TaskEntry) -> bool| tasks.iter().filter(|task| which(task)).count();
    let status = InstanceStatusDoc {
        cluster: cluster.to_string(),
        id: id.to_owned(),
        status: match desired {
            InstanceDesired::Active => "ACTIVE".to_owned(),
            InstanceDesired::Draining => "DRAINING".to_owned(),
        },
        connected: instance.connected,
        connected_at: Some(instance.connected_at.into()),
        registered_at: Some(instance.registered_at.into()),
        engine_id: instance.engine_id.clone(),
        engine_version: instance.engine_version.clone(),
        api_version: instance.api_version.clone(),
        registered: instance.registered,
        reserved: reserved.total(),
        reserved_ports: reserved
            .ports()
            .into_keys()
            .map(|(protocol, port)| format!("{port}/{}", protocol.as_str()))
            .collect(),
        running_tasks: count(is_running),
        pending_tasks: count(is_pending),
        attributes: instance.attributes.clone(),
        reason: trouble.map(|t| t.why.clone()).unwrap_or_default(),
        conditions: conditions(
            state.clusters.get(cluster).map(|c| &*c.value),
            (instance, trouble),
            (desired, entry.asked.as_ref().map(|asked| &*asked.value)),
            &tasks,
        ),
    };
    let metadata = Metadata::named(id);
    Some(Document::new(
        Kind::ContainerInstance,
        metadata,
        None,
        status,
    ))
}

/// `Connected` always, the others when they are true.
fn conditions(
    cluster: Option<&ClusterSpec>,
    (instance, trouble): (&Instance, Option<&InstanceTrouble>),
    (desired, asked): (InstanceDesired, Option<&InstanceOverride>),
    tasks: &[&TaskEntry],
) -> Vec<Condition> {
    let left = |task: &&&TaskEntry| {
        task.lost.is_none() && !task.status.as_ref().is_some_and(|s| s.is_stopped())
    };
    let of_services = tasks
        .iter()
        .filter(left)
        .filter(|task| task.record.service.is_some());
    let of_services = of_services.count();
    let standalone = tasks.iter().filter(left).count() - of_services;
    let cut_off = tasks.iter().filter(|task| {
        task.lost.is_some() && !task.status.as_ref().is_some_and(|s| s.is_stopped())
    });
    let cut_off = cut_off.count();

    let lost_after = cluster.map_or(ClusterSpec::INSTANCE_LOST_AFTER, |c| c.instance_lost_after);
    let message = if instance.connected {
        "its engine answers".to_owned()
    } else {
        format!(
            "its engine has not answered since {}; after {lost_after} seconds its tasks are replaced on other instances, as far as \
             they fit there and any of those answers",
            instance.connected_at
        )
    };
    let (message, reason) = match trouble {
        Some(trouble) if trouble.refused => (format!("{}; {message}", trouble.why), "Refused"),
        Some(trouble) => (format!("{}; {message}", trouble.why), ""),
        None => (message, ""),
    };
    let mut all = vec![Condition::new(
        "Connected",
        instance.connected,
        reason,
        message,
    )];
    if cut_off > 0 {
        let message = format!(
            "{} given up with it and may still run there, beside their replacements; they are stopped before anything is \
             started once its engine answers",
            tasks_in_words(cut_off, "was", "were")
        );
        all.push(Condition::new("TasksGivenUp", true, "", message));
    }
    let declared = cluster.is_none_or(|c| c.instances.iter().any(|i| i.name == instance.id));
    if desired == InstanceDesired::Draining {
        let message = match (of_services, standalone) {
            (0, 0) => "no task is left on it".to_owned(),
            (services, 0) => format!(
                "{} replaced elsewhere, as their percentages allow",
                tasks_in_words(services, "of a service is being", "of services are being")
            ),
            (0, standalone) => format!(
                "{}; whoever started them can stop them",
                tasks_in_words(
                    standalone,
                    "that no service started runs on",
                    "that no service started run on"
                )
            ),
            (services, standalone) => format!(
                "{} replaced elsewhere, and {}",
                tasks_in_words(services, "of a service is being", "of services are being"),
                tasks_in_words(
                    standalone,
                    "that no service started runs on",
                    "that no service started run on"
                )
            ),
        };
        let message = match asked.filter(|_| declared) {
            Some(asked) => format!("{message}; it was asked for {}", asked.asked),
            None => message,
        };
        let done = of_services + standalone == 0;
        let reason = match (declared, done) {
            (false, _) => "NotDeclared",
            (true, true) => "Drained",
            (true, false) => "InProgress",
        };
        all.push(Condition::new("Draining", true, reason, message));
    }
    if !declared {
        let message = "its cluster's manifest does not name it any more; it is let go an hour after its last task was over"
            .to_owned();
        all.push(Condition::new("NotDeclared", true, "", message));
    }
    all
}

fn tasks_in_words(count: usize, one: &str, more: &str) -> String {
    match count {
        1 => format!("1 task {one}"),
        _ => format!("{count} tasks {more}"),
    }
}
