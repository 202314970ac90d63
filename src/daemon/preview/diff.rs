//! How a service that runs differs from what the folder says of it: member by member, with what each difference does. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::compare::{Difference, differences, text};
use crate::controller::{self, Decision, ServicePreview};
use crate::manifest::document::{self, Document};
use crate::manifest::load::{LoadOptions, Loaded, Pruning};
use crate::manifest::resolve;
use crate::manifest::source::{FileContent, Scan};
use crate::manifest::types::{Kind, TaskDefinition};
use crate::manifest::yaml;
use crate::model::{
    ClusterName, DesiredStatus, Family, NoticeKind, RolloutState, SchedulingStrategy,
    ServiceRecord, ServiceSpec, ServiceStatus, SpecHash, Timestamp,
};
use crate::store::State;
use crate::store::state::ServiceKey;

/// What a difference does, in words.
const REPLACES: &str = "another revision: tasks are replaced";
const SAME: &str = "means the same: no task is replaced";

/// A member that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberDiff {
    /// The manifest it is a member of: `Service` or `TaskDefinition`.
    pub of: String,
    /// As manifests name it: `containerDefinitions[app].image`.
    pub member: String,
    /// What runs; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Json>,
    /// What the folder says; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<Json>,
    /// What comes of it.
    pub effect: String,
    /// Where the folder says it, or would: `file:line:column`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl MemberDiff {
    /// `~ member: old → new`, with `+` for what is new and `-` for what is gone.
    pub fn line(&self) -> String {
        let member = &self.member;
        match (&self.running, &self.folder) {
            (Some(old), Some(new)) => format!("~ {member}: {} → {}", text(old), text(new)),
            (None, Some(new)) => format!("+ {member}: {}", text(new)),
            (Some(old), None) => format!("- {member}: {}", text(old)),
            (None, None) => format!("~ {member}"),
        }
    }
}

/// What would have to change in `written` so that it is `wanted`: running is what is written, folder what is wanted.
pub fn between(written: &Json, wanted: &Json) -> Vec<MemberDiff> {
    let found = differences(written, wanted).into_iter();
    found
        .map(|found| MemberDiff {
            of: Kind::TaskDefinition.as_str().to_owned(),
            member: found.member,
            running: found.old,
            folder: found.new,
            effect: String::new(),
            at: None,
        })
        .collect()
}

/// A service's differences.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceDiff {
    /// Its cluster.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// What its newest deployment rolls out, `web:3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    /// What it would roll out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<String>,
    /// Member by member, the service's own first.
    pub members: Vec<MemberDiff>,
    /// What would be done with its tasks.
    pub tasks: Vec<String>,
    /// In what else it is not as the folder says, and why.
    pub drift: Vec<String>,
}

impl ServiceDiff {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.tasks.is_empty() && self.drift.is_empty()
    }
}

/// A folder's reading beside a state.
#[derive(Debug)]
pub struct Differ<'a> {
    loaded: Loaded,
    documents: Vec<Document>,
    previews: Vec<ServicePreview>,
    state: &'a State,
    now: Timestamp,
}

impl<'a> Differ<'a> {
    /// Reads the folder against the state.
    pub fn new(scan: &Scan, state: &'a State, now: Timestamp) -> Self {
        let options = LoadOptions {
            allow_empty: false,
            now,
        };
        let loaded = crate::manifest::load(scan, &super::last_good(state), &options);
        let mut documents = Vec::new();
        for content in scan.files.values() {
            if let FileContent::Text(file) = content {
                for root in yaml::parse(file).documents {
                    documents.extend(document::read(file, root, &mut Vec::new()));
                }
            }
        }
        let previews = controller::preview(&Arc::new(loaded.desired.clone()), state, now);
        Self {
            loaded,
            documents,
            previews,
            state,
            now,
        }
    }

    /// Every service that the folder or the state knows, but for those that are gone.
    pub fn services(&self) -> Vec<ServiceKey> {
        let gone = |key: &ServiceKey| {
            let record = self.state.services.get(key);
            record.is_some_and(|record| record.status == ServiceStatus::Inactive)
        };
        let known = self.previews.iter().map(|preview| preview.key.clone());
        known
            .filter(|key| !gone(key) || self.wanted(key).is_some())
            .collect()
    }

    /// What is wrong with the folder.
    pub fn diagnostics(&self) -> &[crate::diagnostic::Diagnostic] {
        &self.loaded.diagnostics
    }

    fn wanted(&self, (cluster, name): &ServiceKey) -> Option<&ServiceSpec> {
        let services = self.loaded.desired.services.get(cluster)?;
        services.get(name).map(|(spec, _)| spec)
    }

    /// The differences of one service.
    pub fn of(&self, key: &ServiceKey) -> ServiceDiff {
        let record = self.state.services.get(key).map(|stored| &*stored.value);
        let record = record.filter(|record| record.status == ServiceStatus::Active);
        let preview = self.previews.iter().find(|preview| preview.key == *key);
        let shown = |revision: &crate::model::RevisionRef| revision.to_string();
        let mut diff = ServiceDiff {
            cluster: key.0.to_string(),
            name: key.1.to_string(),
            running: preview.and_then(|p| p.running.as_ref()).map(shown),
            planned: preview.and_then(|p| p.planned.as_ref()).map(shown),
            ..ServiceDiff::default()
        };
        match (record, self.wanted(key)) {
            (Some(record), Some(wanted)) => {
                diff.members = self.service(record, wanted);
                diff.members.extend(self.definition(record, wanted));
            }
            (None, Some(_)) => diff.drift.push("it does not run yet".to_owned()),
            (Some(_), None) if matches!(self.loaded.pruning, Pruning::Withheld(_)) => diff
                .drift
                .push("the folder does not declare it, and is not whole: it is kept".to_owned()),
            (Some(_), None) => diff
                .drift
                .push("the folder does not declare it any more: it is removed".to_owned()),
            (None, None) => {}
        }
        diff.tasks = preview.map(tasks).unwrap_or_default();
        diff.drift.extend(self.drift(key, record));
        diff
    }

    /// The differences of the service's own manifest. None of them replaces a task by itself.
    fn service(&self, record: &ServiceRecord, wanted: &ServiceSpec) -> Vec<MemberDiff> {
        let found = differences(&members(&record.spec), &members(wanted));
        let to_member = |d: Difference| {
            let effect = self.effect_of_service(&d.member, record, wanted);
            self.member(
                Kind::Service,
                Some(&wanted.cluster),
                wanted.name.as_str(),
                d,
                effect,
            )
        };
        found.into_iter().map(to_member).collect()
    }

    fn effect_of_service(
        &self,
        member: &str,
        record: &ServiceRecord,
        wanted: &ServiceSpec,
    ) -> String {
        let effect = match member {
            "desiredCount" => "scaling only: no new deployment",
            "taskDefinition" => {
                let runs = record.primary().map(|primary| &primary.spec);
                match self.definition_of(wanted) {
                    Some((_, hash)) if runs == Some(&hash) => SAME,
                    Some(_) => REPLACES,
                    None => "it is not registered",
                }
            }
            "labels" | "tags" => "no task is replaced",
            _ if member.starts_with("deploymentConfiguration") => {
                "for rollouts from now on: no task is replaced"
            }
            _ if member.starts_with("placement") || member.starts_with("capacity") => {
                "for tasks that are started from now on"
            }
            _ => "no task is replaced",
        };
        effect.to_owned()
    }

    /// What the folder has its tasks run: as written, and as a hash.
    fn definition_of(&self, wanted: &ServiceSpec) -> Option<(Json, SpecHash)> {
        if let (None, Some((declared, _))) = (
            wanted.revision,
            self.loaded.desired.task_definitions.get(&wanted.family),
        ) {
            return Some((declared.input.clone(), declared.hash.clone()));
        }
        let mut registered = self.state.revisions.values();
        let known = match wanted.revision {
            Some(number) => registered
                .find(|r| r.id.family == wanted.family && r.id.revision == number)
                .map(|stored| Arc::clone(&stored.value)),
            None => self
                .state
                .newest_revision(&wanted.family)
                .map(|newest| Arc::clone(&newest.value)),
        }?;
        Some((known.input.clone(), known.spec.clone()))
    }

    fn definition(&self, record: &ServiceRecord, wanted: &ServiceSpec) -> Vec<MemberDiff> {
        let Some(primary) = record.primary() else {
            return Vec::new();
        };
        let Some(running) = self.state.revisions.get(&primary.revision) else {
            return Vec::new();
        };
        let Some((folder, hash)) = self.definition_of(wanted) else {
            return Vec::new();
        };
        let family = &wanted.family;
        let found = differences(&running.input, &folder);
        let to_member = |d: Difference| {
            let effect = if hash == primary.spec || !replaces(&running.input, &folder, &d, family) {
                SAME
            } else {
                REPLACES
            };
            let effect = effect.to_owned();
            self.member(Kind::TaskDefinition, None, family.as_str(), d, effect)
        };
        found.into_iter().map(to_member).collect()
    }

    fn member(
        &self,
        kind: Kind,
        cluster: Option<&ClusterName>,
        name: &str,
        found: Difference,
        effect: String,
    ) -> MemberDiff {
        let document = self.documents.iter().find(|document| {
            let within = resolve::cluster_reference(document.spec["cluster"].as_str());
            document.kind == kind
                && document.name.as_deref() == Some(name)
                && cluster.is_none_or(|cluster| *cluster == within)
        });
        let at = document.map(|document| {
            let span = document.value(&found.new_at);
            format!("{}:{}:{}", document.file.path, span.line, span.column)
        });
        MemberDiff {
            of: kind.as_str().to_owned(),
            member: found.member,
            running: found.old,
            folder: found.new,
            effect,
            at,
        }
    }

    fn drift(&self, key: &ServiceKey, record: Option<&ServiceRecord>) -> Vec<String> {
        let mut drift = Vec::new();
        let held = self
            .loaded
            .held
            .iter()
            .filter(|(resource, _)| match resource.kind {
                Kind::Service => {
                    resource.name == key.1.as_str() && resource.cluster.as_ref() == Some(&key.0)
                }
                Kind::TaskDefinition => {
                    record.is_some_and(|record| record.spec.family.as_str() == resource.name)
                }
                Kind::Cluster => resource.name == key.0.as_str(),
            });
        drift.extend(held.map(|(resource, held)| {
            format!(
                "{} {} is kept at its last good version, because {}",
                resource.kind, resource.name, held.because
            )
        }));
        let Some(record) = record else {
            return drift;
        };
        let Some(primary) = record.primary() else {
            return drift;
        };
        let summary = crate::api::summary::summary(self.state, record, self.now);
        drift.extend(summary.differs());
        match primary.rollout {
            RolloutState::InProgress if summary.paused.is_none() => {
                drift.push(format!("the rollout of {} is under way", primary.revision));
            }
            RolloutState::Failed if summary.failed.is_none() => drift.push(format!(
                "the rollout of {} failed: {}",
                primary.revision, primary.rollout_reason
            )),
            _ => {}
        }
        let mut others: BTreeMap<String, usize> = BTreeMap::new();
        for (_, task) in self.state.tasks_of_service(&key.0, &key.1) {
            let over = task.lost.is_some() || task.status.as_ref().is_some_and(|s| s.is_stopped());
            if !over && task.record.desired == DesiredStatus::Running && !primary.owns(&task.record)
            {
                let revision = task.record.revision_ref().to_string();
                *others.entry(revision).or_default() += 1;
            }
        }
        drift.extend(others.into_iter().map(|(revision, count)| match count {
            1 => format!("1 task is of {revision}"),
            _ => format!("{count} tasks are of {revision}"),
        }));
        let others = record.notices.iter();
        let others = others.filter(|(kind, _)| **kind != NoticeKind::Suspended);
        drift.extend(others.map(|(_, notice)| notice.message.clone()));
        drift
    }
}

/// What would be done with a service's tasks.
fn tasks(preview: &ServicePreview) -> Vec<String> {
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for decision in preview.course.steps.iter().flat_map(|step| &step.decisions) {
        let what = match decision {
            Decision::StartTask { revision, .. } => ("start", revision.to_string()),
            Decision::StopTask { revision, .. } => ("stop", revision.to_string()),
            Decision::GiveUpTask { revision, .. } => ("give up", revision.to_string()),
            Decision::DeleteTask { .. } => continue,
        };
        *counts.entry(what).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|((verb, revision), count)| format!("{verb} {count} of {revision}"))
        .collect()
}

/// Whether a difference of the definition makes another specification of what runs.
fn replaces(running: &Json, folder: &Json, difference: &Difference, family: &Family) -> bool {
    let mut changed = running.clone();
    let slot = difference
        .old_at
        .as_deref()
        .and_then(|at| changed.pointer_mut(at));
    match (slot, &difference.new) {
        (Some(slot), Some(new)) => *slot = new.clone(),
        _ => {
            // Where a member came or went, the whole of what it is in.
            let top = difference
                .member
                .split(['.', '[', ' '])
                .next()
                .unwrap_or_default();
            let Some(members) = changed.as_object_mut() else {
                return true;
            };
            match folder.get(top) {
                Some(value) => members.insert(top.to_owned(), value.clone()),
                None => members.remove(top),
            };
        }
    }
    let hash = |input: &Json| {
        let definition = TaskDefinition::deserialize(input).ok()?;
        Some(resolve::task_definition(family.clone(), &definition).hash())
    };
    match (hash(running), hash(&changed)) {
        (Some(before), Some(after)) => before != after,
        _ => true,
    }
}

/// A service as manifests write it, its defaults filled in.
fn members(spec: &ServiceSpec) -> Json {
    let Ok(Json::Object(fields)) = serde_json::to_value(spec) else {
        return Json::Null;
    };
    let mut members = Map::new();
    let mut deployment = Map::new();
    let definition = match spec.revision {
        Some(number) => format!("{}:{number}", spec.family),
        None => spec.family.to_string(),
    };
    members.insert("taskDefinition".to_owned(), definition.into());
    for (name, value) in fields {
        match name.as_str() {
            "cluster" | "name" | "family" | "revision" | "manifest_hash" => {}
            "desired_count" if spec.scheduling == SchedulingStrategy::Daemon => {}
            "scheduling" => {
                members.insert("schedulingStrategy".to_owned(), value);
            }
            "health_check_grace_period" => {
                members.insert("healthCheckGracePeriodSeconds".to_owned(), value);
            }
            "minimum_healthy_percent" | "maximum_percent" => {
                deployment.insert(camel(&name), value);
            }
            "circuit_breaker" => {
                deployment.insert("deploymentCircuitBreaker".to_owned(), camels(value));
            }
            "early_success" => {
                deployment.insert("earlySuccessCriteria".to_owned(), camels(value));
            }
            "tags" | "labels" => {
                members.insert(name, value);
            }
            _ => {
                members.insert(camel(&name), camels(value));
            }
        }
    }
    members.insert(
        "deploymentConfiguration".to_owned(),
        Json::Object(deployment),
    );
    Json::Object(members)
}

/// `desired_count` as `desiredCount`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut all, word| {
        let mut letters = word.chars();
        all.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        all.push_str(letters.as_str());
        all
    })
}

fn camels(value: Json) -> Json {
    match value {
        Json::Object(members) => {
            let renamed = members
                .into_iter()
                .map(|(name, value)| (camel(&name), camels(value)));
            Json::Object(renamed.collect())
        }
        Json::Array(items) => items.into_iter().map(camels).collect(),
        other => other,
    }
}
