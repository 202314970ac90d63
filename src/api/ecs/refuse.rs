//! What is answered to the operations that Longshore does not do: which file to edit, where there is one.

use serde_json::Value;

use crate::api::documents::source_of;
use crate::model::ClusterName;
use crate::model::arn::Named;
use crate::store::State;

use super::EcsError;

/// What a writing operation is about.
struct Subject {
    /// The manifest's kind.
    kind: &'static str,
    /// Members of the request that name it, the first that is there.
    names: &'static [&'static str],
}

const SERVICE: Subject = Subject {
    kind: "Service",
    names: &["serviceName", "service"],
};
const TASK_DEFINITION: Subject = Subject {
    kind: "TaskDefinition",
    names: &["family", "taskDefinition"],
};
const CLUSTER: Subject = Subject {
    kind: "Cluster",
    names: &["clusterName", "cluster"],
};

/// Operations of ECS that a manifest stands for.
fn subject(operation: &str) -> Option<&'static Subject> {
    match operation {
        "CreateService" | "UpdateService" | "DeleteService" => Some(&SERVICE),
        "RegisterTaskDefinition" | "DeregisterTaskDefinition" | "DeleteTaskDefinitions" => {
            Some(&TASK_DEFINITION)
        }
        "CreateCluster"
        | "DeleteCluster"
        | "UpdateCluster"
        | "UpdateClusterSettings"
        | "RegisterContainerInstance"
        | "DeregisterContainerInstance"
        | "PutAttributes"
        | "DeleteAttributes" => Some(&CLUSTER),
        _ => None,
    }
}

/// ECS's other operations, none of which Longshore does.
const OTHERS: &[&str] = &[
    "ContinueServiceDeployment",
    "CreateCapacityProvider",
    "CreateDaemon",
    "CreateExpressGatewayService",
    "CreateGateway",
    "CreateTaskSet",
    "DeleteAccountSetting",
    "DeleteCapacityProvider",
    "DeleteDaemon",
    "DeleteDaemonTaskDefinition",
    "DeleteExpressGatewayService",
    "DeleteGateway",
    "DeleteTaskSet",
    "DescribeCapacityProviders",
    "DescribeDaemon",
    "DescribeDaemonDeployments",
    "DescribeDaemonRevisions",
    "DescribeDaemonTaskDefinition",
    "DescribeExpressGatewayService",
    "DescribeGateway",
    "DescribeGatewayResources",
    "DescribeGatewayRoute",
    "DescribeTaskSets",
    "DiscoverPollEndpoint",
    "AssociateGatewayWithCluster",
    "DisassociateGatewayFromCluster",
    "ListAccountSettings",
    "ListAttributes",
    "ListDaemonDeployments",
    "ListDaemonTaskDefinitions",
    "ListDaemons",
    "ListGatewayClusterAssociations",
    "ListGatewayRoutes",
    "ListGateways",
    "ListServicesByNamespace",
    "PutAccountSetting",
    "PutAccountSettingDefault",
    "PutClusterCapacityProviders",
    "RegisterDaemonTaskDefinition",
    "SubmitAttachmentStateChanges",
    "SubmitContainerStateChange",
    "SubmitTaskStateChange",
    "UpdateCapacityProvider",
    "UpdateContainerAgent",
    "UpdateDaemon",
    "UpdateExpressGatewayService",
    "UpdateGateway",
    "UpdateServicePrimaryTaskSet",
    "UpdateTaskSet",
];

/// Why `operation` is not done.
pub(super) fn refusal(state: &State, folder: &str, operation: &str, input: &Value) -> EcsError {
    if let Some(subject) = subject(operation) {
        return EcsError::unsupported(edit_a_file(state, folder, operation, input, subject));
    }
    match operation {
        "StartTask" => EcsError::unsupported(
            "StartTask: Longshore chooses the container instance itself; use RunTask, or `longshore run-task FAMILY`",
        ),
        "ExecuteCommand" => EcsError::unsupported(
            "ExecuteCommand: there is no session service here; use `longshore exec TASK -- COMMAND`",
        ),
        "TagResource" | "UntagResource" => EcsError::unsupported(format!(
            "{operation}: tags are kept in manifests. Edit the `tags` of the resource in {folder}"
        )),
        other if OTHERS.contains(&other) => {
            EcsError::unsupported(format!("{other}: Longshore does not do this operation"))
        }
        other => EcsError::unknown_operation(other),
    }
}

fn edit_a_file(
    state: &State,
    folder: &str,
    operation: &str,
    input: &Value,
    subject: &Subject,
) -> String {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let truth =
        format!("{operation}: the folder {folder} is the truth, and running containers follow it.");
    let Some(named) = subject
        .names
        .iter()
        .find_map(|member| text(member))
        .map(Named::parse)
    else {
        return format!("{truth} Edit the {} manifest there.", subject.kind);
    };
    // A revision is no resource of its own in a folder; its family is.
    let name = match subject.kind {
        "TaskDefinition" => named.name.split(':').next().unwrap_or(named.name),
        _ => named.name,
    };
    let cluster = (subject.kind == "Service").then(|| {
        let of_request = text("cluster").map(|c| Named::parse(c).name);
        ClusterName::new(named.cluster.or(of_request).unwrap_or("default"))
    });
    match source_of(state, subject.kind, cluster.as_ref(), name) {
        Some(source) => format!(
            "{truth} {} {name} is declared at {source}: edit it there.",
            subject.kind
        ),
        None => format!(
            "{truth} Write a {} manifest named {name} into it.",
            subject.kind
        ),
    }
}
