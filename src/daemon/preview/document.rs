//! A plan as a document: what `plan -o json` prints, `plan --out` keeps, and `apply --plan` compares with what is then.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Preview;
use crate::controller::{Decision, ServicePreview};
use crate::manifest::source::{FileContent, Scan};
use crate::model::{TaskId, hex_sha256};

/// The format that is written and read.
const FORMAT: u32 = 1;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    /// Of this document: 1.
    pub format_version: u32,
    /// The folder, as an absolute path.
    pub folder: String,
    /// Of all that is in it.
    pub folder_hash: String,
    /// Of each file in it: SHA-256.
    pub files: BTreeMap<String, String>,
    /// When it was made, RFC 3339.
    pub planned_at: String,
    /// Whether anything would be done.
    pub changes: bool,
    /// Every service, by cluster and name.
    pub services: Vec<PlannedService>,
    /// What is kept at its last good version, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<String>,
    /// What else to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What would become of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedService {
    /// Its cluster.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// The state's revision at which it, or a task of it, was last written; 0: it is new.
    pub state_revision: u64,
    /// What its newest deployment rolls out at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    /// What it is to roll out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<String>,
    /// How many tasks it is to have; absent: it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_count: Option<u32>,
    /// Its manifest is another than the one that was taken last.
    pub manifest_changes: bool,
    /// Healthy tasks at present.
    pub healthy: u32,
    /// The fewest of them at any time on the way, if all goes well.
    pub lowest_healthy: u32,
    /// Whether it comes to rest that way.
    pub arrives: bool,
    /// What to be warned of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What is done now, and then after each step once all of it is done.
    pub steps: Vec<Vec<PlannedAction>>,
}

/// One start or stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedAction {
    /// `start`, `stop` or `giveUp`.
    pub action: String,
    /// What the task runs.
    pub task_definition: String,
    /// Where.
    pub instance: String,
    /// The task that is stopped; absent where it does not exist yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Why.
    pub cause: String,
    /// All of it in one line, as the log says it.
    pub text: String,
}

impl PlannedAction {
    fn of(decision: &Decision) -> Option<Self> {
        let (action, revision, instance, task, cause) = match decision {
            Decision::StartTask {
                revision,
                instance,
                cause,
                ..
            } => ("start", revision, instance, None, cause),
            Decision::StopTask {
                id,
                revision,
                instance,
                cause,
                ..
            } => ("stop", revision, instance, Some(id), cause),
            Decision::GiveUpTask {
                id,
                revision,
                instance,
                reason,
            } => ("giveUp", revision, instance, Some(id), reason),
            // That a task which is over is forgotten is nobody's plan.
            Decision::DeleteTask { .. } => return None,
        };
        let is_known = |id: &&TaskId| !id.as_str().starts_with(crate::controller::FORESEEN);
        let task = task.filter(is_known);
        let text = match (task, action) {
            (None, "stop") => format!("stop a task of {revision} on {instance}: {cause}"),
            _ => decision.to_string(),
        };
        Some(Self {
            action: action.to_owned(),
            task_definition: revision.to_string(),
            instance: instance.to_string(),
            task: task.map(ToString::to_string),
            cause: cause.clone(),
            text,
        })
    }
}

impl PlannedService {
    /// As a document.
    pub fn of(preview: &ServicePreview) -> Self {
        let (cluster, name) = &preview.key;
        let course = &preview.course;
        let steps = course.steps.iter().map(|step| {
            let actions = step.decisions.iter().filter_map(PlannedAction::of);
            actions.collect::<Vec<_>>()
        });
        let mut warnings: Vec<String> = preview.downtime.iter().cloned().collect();
        if !course.arrives {
            let stays = match (course.more, course.obstacles.is_empty()) {
                (true, _) => vec!["there is more to it than is shown".to_owned()],
                (false, true) => vec!["it does not come to rest that way".to_owned()],
                (false, false) => course.obstacles.clone(),
            };
            warnings.extend(stays);
        }
        Self {
            cluster: cluster.to_string(),
            name: name.to_string(),
            state_revision: preview.revision,
            running: preview.running.as_ref().map(ToString::to_string),
            planned: preview.planned.as_ref().map(ToString::to_string),
            desired_count: preview.desired,
            manifest_changes: preview.manifest_changes,
            healthy: course.healthy,
            lowest_healthy: course.lowest(),
            arrives: course.arrives,
            warnings,
            steps: steps.filter(|step| !step.is_empty()).collect(),
        }
    }

    /// `cluster/name`
    pub fn key(&self) -> String {
        format!("{}/{}", self.cluster, self.name)
    }

    /// Whether anything would be done.
    pub fn changes(&self) -> bool {
        self.manifest_changes || !self.steps.is_empty()
    }

    /// Lines that tell what is done, in order; those of later steps begin with `then`.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            for action in step {
                lines.push(match index {
                    0 => action.text.clone(),
                    1 => format!("then {}", action.text),
                    _ => format!("then ({}) {}", index + 1, action.text),
                });
            }
        }
        if lines.is_empty() && self.manifest_changes {
            lines.push("its manifest is taken; no task is started or stopped".to_owned());
        }
        lines
    }

    fn first(&self) -> Vec<(&str, &str, &str, Option<&str>)> {
        let actions = self.steps.first().into_iter().flatten();
        actions
            .map(|a| {
                (
                    a.action.as_str(),
                    a.task_definition.as_str(),
                    a.instance.as_str(),
                    a.task.as_deref(),
                )
            })
            .collect()
    }
}

impl PlanDocument {
    /// As a document.
    pub fn of(preview: &Preview, scan: &Scan) -> Self {
        let files = scan.files.iter().map(|(path, content)| {
            let hash = match content {
                FileContent::Text(file) => hex_sha256(file.text.as_bytes()),
                FileContent::Problem(problem) => format!("{problem:?}"),
            };
            (path.clone(), hash)
        });
        Self {
            format_version: FORMAT,
            folder: preview.folder.clone(),
            folder_hash: scan.hash(),
            files: files.collect(),
            planned_at: preview.at.to_string(),
            changes: preview.services.iter().any(PlannedService::changes),
            services: preview.services.clone(),
            held: preview.held.clone(),
            notes: preview.notes.clone(),
        }
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// It is no plan, or one of another version.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("it is no plan: {error}"))?;
        match value["formatVersion"].as_u64() {
            Some(1) => {
                serde_json::from_value(value).map_err(|error| format!("it is no plan: {error}"))
            }
            Some(other) => Err(format!("its format {other} is not known to this Longshore")),
            None => Err("it is no plan: `longshore plan --out FILE` writes one".to_owned()),
        }
    }

    /// What has changed until `now` was made: a line for each thing. None: that plan is this one.
    pub fn moved(&self, now: &Self) -> Vec<String> {
        let mut moved = Vec::new();
        if self.folder != now.folder {
            moved.push(format!(
                "the plan is of {}, not of {}",
                self.folder, now.folder
            ));
            return moved;
        }
        let paths: BTreeSet<&String> = self.files.keys().chain(now.files.keys()).collect();
        for path in paths {
            match (self.files.get(path), now.files.get(path)) {
                (Some(then), Some(now)) if then != now => moved.push(format!("{path} was changed")),
                (Some(_), None) => moved.push(format!("{path} was removed")),
                (None, Some(_)) => moved.push(format!("{path} was added")),
                _ => {}
            }
        }
        if moved.is_empty() && self.folder_hash != now.folder_hash {
            moved.push("the folder was changed".to_owned());
        }
        let folder_moved = !moved.is_empty();
        let of = |plan: &'_ Self| -> BTreeMap<String, PlannedService> {
            let services = plan.services.iter();
            services
                .map(|service| (service.key(), service.clone()))
                .collect()
        };
        let (then, now) = (of(self), of(now));
        let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        for key in keys {
            match (then.get(key), now.get(key)) {
                (Some(then), Some(now)) if then.state_revision != now.state_revision => {
                    moved.push(format!(
                        "{key} was at revision {} of the state, and is at {}",
                        then.state_revision, now.state_revision
                    ));
                }
                (Some(then), Some(now)) if !folder_moved && then.first() != now.first() => {
                    moved.push(format!("for {key} something else would be done now"));
                }
                (Some(_), None) if !folder_moved => moved.push(format!("{key} is gone")),
                (None, Some(_)) if !folder_moved => moved.push(format!("{key} is new")),
                _ => {}
            }
        }
        moved
    }
}
