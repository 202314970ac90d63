//! Amazon resource names: how ECS's API names things, and how Longshore answers in it.
//!
//! The account is `000000000000` and the region `local`. Names are accepted wherever an ARN is, as on ECS; an ARN of another
//! account or region is taken for what its last part says.

use super::ids::{ClusterName, DeploymentId, InstanceId, RevisionRef, ServiceName, TaskId};

const PREFIX: &str = "arn:aws:ecs:local:000000000000";

/// `cluster/<name>`
pub fn cluster(cluster: &ClusterName) -> String {
    format!("{PREFIX}:cluster/{cluster}")
}

/// `service/<cluster>/<name>`
pub fn service(cluster: &ClusterName, service: &ServiceName) -> String {
    format!("{PREFIX}:service/{cluster}/{service}")
}

/// `task/<cluster>/<id>`
pub fn task(cluster: &ClusterName, task: &TaskId) -> String {
    format!("{PREFIX}:task/{cluster}/{task}")
}

/// `container/<cluster>/<task>/<name>`; ECS has an opaque id in place of the name.
pub fn container(cluster: &ClusterName, task: &TaskId, name: &str) -> String {
    format!("{PREFIX}:container/{cluster}/{task}/{name}")
}

/// `container-instance/<cluster>/<id>`
pub fn container_instance(cluster: &ClusterName, instance: &InstanceId) -> String {
    format!("{PREFIX}:container-instance/{cluster}/{instance}")
}

/// `task-definition/<family>:<revision>`
pub fn task_definition(revision: &RevisionRef) -> String {
    format!("{PREFIX}:task-definition/{revision}")
}

/// `service-deployment/<cluster>/<service>/<number>`: the deployment `ecs-svc/<number>`.
pub fn service_deployment(
    cluster: &ClusterName,
    service: &ServiceName,
    deployment: &DeploymentId,
) -> String {
    format!(
        "{PREFIX}:service-deployment/{cluster}/{service}/{}",
        deployment_number(deployment)
    )
}

/// `service-revision/<cluster>/<service>/<number>`: what the deployment `ecs-svc/<number>` rolls out.
pub fn service_revision(
    cluster: &ClusterName,
    service: &ServiceName,
    deployment: &DeploymentId,
) -> String {
    format!(
        "{PREFIX}:service-revision/{cluster}/{service}/{}",
        deployment_number(deployment)
    )
}

/// A deployment's id without `ecs-svc/`.
pub fn deployment_number(deployment: &DeploymentId) -> &str {
    let id = deployment.as_str();
    id.rsplit_once('/').map_or(id, |(_, number)| number)
}

/// What somebody called a thing: by its ARN, or by its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// What kind of ARN it was (`service`); absent for a bare name.
    pub kind: Option<&'a str>,
    /// The cluster, where the ARN says one.
    pub cluster: Option<&'a str>,
    /// The name, id, or `family:revision`.
    pub name: &'a str,
}

impl<'a> Named<'a> {
    /// Reads an ARN of any kind or a bare name. ECS's old forms without a cluster (`task/<id>`) are read too. A deployment's
    /// ARN keeps `<service>/<number>` as its name.
    pub fn parse(text: &'a str) -> Self {
        let Some(resource) = text
            .strip_prefix("arn:")
            .and_then(|rest| rest.splitn(5, ':').nth(4))
        else {
            return Self {
                kind: None,
                cluster: None,
                name: text,
            };
        };
        let (kind, rest) = resource.split_once('/').unwrap_or(("", resource));
        let (cluster, name) = match kind {
            "cluster" | "task-definition" => (None, rest),
            _ => match rest.split_once('/') {
                Some((cluster, name)) => (Some(cluster), name),
                None => (None, rest),
            },
        };
        Self {
            kind: Some(kind),
            cluster,
            name,
        }
    }

    /// Whether it may be meant for a thing of this kind in this cluster.
    pub fn fits(&self, kind: &str, cluster: &ClusterName) -> bool {
        self.kind.is_none_or(|k| k == kind) && self.cluster.is_none_or(|c| c == cluster.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_read_back_as_what_it_was_made_of() {
        let (c, s) = (ClusterName::from("prod"), ServiceName::from("web"));
        let arn = service(&c, &s);
        assert_eq!(arn, "arn:aws:ecs:local:000000000000:service/prod/web");
        let named = Named::parse(&arn);
        assert_eq!(
            (named.kind, named.cluster, named.name),
            (Some("service"), Some("prod"), "web")
        );
        assert!(named.fits("service", &c) && !named.fits("task", &c));
        assert!(!named.fits("service", &ClusterName::default()));

        let revision = RevisionRef {
            family: "web".into(),
            revision: 3,
        };
        assert_eq!(Named::parse(&task_definition(&revision)).name, "web:3");
        assert_eq!(Named::parse(&cluster(&c)).name, "prod");
        let deployment = DeploymentId::from("ecs-svc/0000000000000000007");
        assert_eq!(
            Named::parse(&service_deployment(&c, &s, &deployment)).name,
            "web/0000000000000000007"
        );
    }

    #[test]
    fn names_and_arns_of_other_accounts_and_old_forms_are_read() {
        assert_eq!(
            Named::parse("web"),
            Named {
                kind: None,
                cluster: None,
                name: "web"
            }
        );
        let old = Named::parse("arn:aws:ecs:us-east-1:123456789012:task/abc");
        assert_eq!(
            (old.kind, old.cluster, old.name),
            (Some("task"), None, "abc")
        );
        assert_eq!(Named::parse("arn:").name, "arn:");
    }
}
