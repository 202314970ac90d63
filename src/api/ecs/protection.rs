//! GetTaskProtection, UpdateTaskProtection.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::context::ApiContext;
use crate::api::shapes::{Epoch, Failure};
use crate::model::arn::{self, Named};
use crate::model::{ClusterName, ProtectionError, ProtectionRequest, TaskId, TaskProtection};

use super::{EcsError, EcsResult, check_length, cluster_of};

/// Most tasks that one request may name (ECS).
const MOST: usize = 10;

/// ECS `ProtectedTask`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProtectedTask {
    task_arn: String,
    protection_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_date: Option<Epoch>,
}

/// What came of each task.
#[derive(Debug, Default)]
struct Told {
    tasks: Vec<ProtectedTask>,
    failures: Vec<Failure>,
}

impl Told {
    fn take(
        &mut self,
        arn: String,
        told: Result<Option<TaskProtection>, ProtectionError>,
    ) -> Result<(), EcsError> {
        match told {
            Ok(protection) => self.tasks.push(ProtectedTask {
                task_arn: arn,
                protection_enabled: protection.is_some(),
                expiration_date: protection.map(|protection| protection.expires_at.into()),
            }),
            Err(ProtectionError::Refused(failure)) => self.failures.push(Failure {
                arn,
                reason: failure.reason.to_owned(),
                detail: Some(failure.detail),
            }),
            Err(ProtectionError::Failed(message)) => return Err(EcsError::client(message)),
        }
        Ok(())
    }

    fn answer(self) -> EcsResult {
        Ok(json!({"protectedTasks": self.tasks, "failures": self.failures}))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Get {
    cluster: Option<String>,
    tasks: Vec<String>,
}

pub(super) fn get(context: &ApiContext, request: &Get) -> EcsResult {
    let cluster = cluster_of(&context.view.read(), request.cluster.as_deref())?;
    check_length("Tasks", &request.tasks, MOST)?;
    let mut told = Told::default();
    for id in ids(&cluster, &request.tasks) {
        let protection = context.control.protection(&cluster, &id);
        told.take(arn::task(&cluster, &id), protection)?;
    }
    told.answer()
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Update {
    cluster: Option<String>,
    tasks: Vec<String>,
    protection_enabled: Option<bool>,
    expires_in_minutes: Option<i64>,
}

pub(super) async fn update(context: &ApiContext, request: &Update) -> EcsResult {
    let cluster = cluster_of(&context.view.read(), request.cluster.as_deref())?;
    check_length("Tasks", &request.tasks, MOST)?;
    let enabled = request
        .protection_enabled
        .ok_or_else(|| EcsError::invalid_parameter("protectionEnabled cannot be empty."))?;
    let wanted = ProtectionRequest::new(enabled, request.expires_in_minutes)
        .map_err(EcsError::invalid_parameter)?;
    let mut told = Told::default();
    for id in ids(&cluster, &request.tasks) {
        let protection = context.control.protect(&cluster, &id, wanted).await;
        told.take(arn::task(&cluster, &id), protection)?;
    }
    told.answer()
}

/// The tasks that are named, by id or ARN. One of another cluster is not found in this one.
fn ids(cluster: &ClusterName, tasks: &[String]) -> Vec<TaskId> {
    let id = |text: &String| {
        let named = Named::parse(text);
        TaskId::new(if named.fits("task", cluster) {
            named.name
        } else {
            text
        })
    };
    tasks.iter().map(id).collect()
}
