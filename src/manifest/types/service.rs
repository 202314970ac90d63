//! CreateService's input.

use schemars::JsonSchema;
use serde::Deserialize;

use super::common::{CapacityProviderStrategyItem, PropagateTags, Switch, Tag};
use super::deployment::DeploymentConfiguration;
use super::service_connect::{
    GatewayConnector, ServiceConnectConfiguration, VpcLatticeConfiguration,
};

/// A service: so many tasks of a task definition, kept running and rolled over when it changes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// The cluster's name or ARN.
    #[schemars(length(min = 1), extend("default" = "default"))]
    pub cluster: Option<String>,
    /// The service's name, unique in its cluster. With an envelope it is `metadata.name` and may be left out.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub service_name: Option<String>,
    /// What it runs: `family` (its newest revision), `family:revision`, or the ARN of either.
    #[schemars(length(min = 1))]
    pub task_definition: Option<String>,
    /// Whether tasks are moved to even out availability zones.
    #[schemars(extend("default" = "ENABLED"))]
    pub availability_zone_rebalancing: Option<Switch>,
    /// Load balancers that send traffic to the tasks.
    #[serde(default)]
    pub load_balancers: Vec<LoadBalancer>,
    /// Cloud Map registries that list the tasks.
    #[serde(default)]
    #[schemars(length(max = 1))]
    pub service_registries: Vec<ServiceRegistry>,
    /// How many tasks, at most 5000 (ECS's quota for a service); required unless the service is a DAEMON.
    #[schemars(range(max = 5000))]
    pub desired_count: Option<u32>,
    /// Makes a repeated request to AWS harmless.
    #[schemars(length(max = 36), regex(pattern = r"^[!-~]*$"))]
    pub client_token: Option<String>,
    /// Where tasks run on AWS.
    pub launch_type: Option<LaunchType>,
    /// Capacity providers and their shares; not together with `launchType`.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    /// Fargate's platform version.
    pub platform_version: Option<String>,
    /// IAM role that would register tasks with a load balancer on AWS.
    pub role: Option<String>,
    /// How a change is rolled out.
    pub deployment_configuration: Option<DeploymentConfiguration>,
    /// What an instance must meet to be given a task.
    #[serde(default)]
    #[schemars(length(max = 10))]
    pub placement_constraints: Vec<PlacementConstraint>,
    /// Which of the possible instances are preferred.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub placement_strategy: Vec<PlacementStrategy>,
    /// Subnets and security groups of `awsvpc` tasks on AWS.
    pub network_configuration: Option<NetworkConfiguration>,
    /// Seconds after a task's start in which its health checks are ignored.
    #[schemars(extend("default" = 0))]
    pub health_check_grace_period_seconds: Option<u32>,
    /// `REPLICA`: `desiredCount` tasks. `DAEMON`: one task on every ACTIVE instance.
    #[schemars(extend("default" = "REPLICA"))]
    pub scheduling_strategy: Option<SchedulingStrategy>,
    /// Who rolls out changes.
    pub deployment_controller: Option<DeploymentController>,
    /// Tags of the service.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub tags: Vec<Tag>,
    /// Whether tasks get AWS's own tags.
    #[serde(rename = "enableECSManagedTags")]
    #[schemars(extend("default" = false))]
    pub enable_ecs_managed_tags: Option<bool>,
    /// Whose tags tasks get.
    #[schemars(extend("default" = "NONE"))]
    pub propagate_tags: Option<PropagateTags>,
    /// Whether commands may be run in the tasks' containers.
    #[schemars(extend("default" = false))]
    pub enable_execute_command: Option<bool>,
    /// Service Connect.
    pub service_connect_configuration: Option<ServiceConnectConfiguration>,
    /// What volumes with `configuredAtLaunch` are.
    #[serde(default)]
    pub volume_configurations: Vec<ServiceVolumeConfiguration>,
    /// VPC Lattice target groups.
    #[serde(default)]
    pub vpc_lattice_configurations: Vec<VpcLatticeConfiguration>,
    /// Gateways that send traffic to the tasks.
    #[serde(default)]
    #[schemars(length(max = 1))]
    pub gateway_connectors: Vec<GatewayConnector>,
    /// Metrics that AWS records more often.
    pub monitoring: Option<MonitoringConfiguration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LaunchType {
    Ec2,
    Fargate,
    External,
    ManagedInstances,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchedulingStrategy {
    Replica,
    Daemon,
}

/// A load balancer that sends traffic to the tasks.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadBalancer {
    /// ARN of the target group.
    pub target_group_arn: Option<String>,
    /// Name of a Classic Load Balancer.
    pub load_balancer_name: Option<String>,
    /// The container that receives the traffic.
    pub container_name: Option<String>,
    /// Its port.
    pub container_port: Option<u16>,
    /// Settings for blue/green deployments.
    pub advanced_configuration: Option<AdvancedConfiguration>,
}

/// A load balancer's settings for blue/green deployments.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdvancedConfiguration {
    /// ARN of the other target group.
    pub alternate_target_group_arn: Option<String>,
    /// ARN of the listener rule for production traffic.
    pub production_listener_rule: Option<String>,
    /// ARN of the listener rule for test traffic.
    pub test_listener_rule: Option<String>,
    /// IAM role that may change them.
    pub role_arn: Option<String>,
}

/// A Cloud Map registry.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRegistry {
    /// Its ARN.
    pub registry_arn: Option<String>,
    /// The port that SRV records name.
    pub port: Option<u16>,
    /// The container that is registered.
    pub container_name: Option<String>,
    /// Its port.
    pub container_port: Option<u16>,
}

/// A condition that an instance must meet.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlacementConstraint {
    /// `distinctInstance`: each task on an instance of its own. `memberOf`: instances that meet the expression.
    #[serde(rename = "type")]
    pub kind: Option<PlacementConstraintType>,
    /// A cluster query expression; only with `memberOf`.
    #[schemars(length(max = 2000))]
    pub expression: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PlacementConstraintType {
    DistinctInstance,
    MemberOf,
}

/// Which of the possible instances are preferred.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlacementStrategy {
    /// `random`, `spread` over values of a field, or `binpack` by what is left of it.
    #[serde(rename = "type")]
    pub kind: Option<PlacementStrategyType>,
    /// The field: `instanceId`, `host` or an attribute (`spread`), `cpu` or `memory` (`binpack`).
    pub field: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlacementStrategyType {
    Random,
    Spread,
    Binpack,
}

/// Network of `awsvpc` tasks on AWS.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkConfiguration {
    /// Subnets and security groups.
    pub awsvpc_configuration: Option<AwsvpcConfiguration>,
}

/// Subnets and security groups on AWS.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsvpcConfiguration {
    /// Ids of subnets.
    #[schemars(length(max = 16))]
    pub subnets: Vec<String>,
    /// Ids of security groups.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub security_groups: Vec<String>,
    /// Whether tasks get a public address.
    #[schemars(extend("default" = "DISABLED"))]
    pub assign_public_ip: Option<Switch>,
}

/// Who rolls out changes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentController {
    /// `ECS` is the only one that Longshore is.
    #[serde(rename = "type")]
    pub kind: DeploymentControllerType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentControllerType {
    Ecs,
    CodeDeploy,
    External,
}

/// What a volume with `configuredAtLaunch` is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceVolumeConfiguration {
    /// Name of the volume in the task definition.
    pub name: String,
    /// An Amazon EBS volume.
    #[serde(rename = "managedEBSVolume")]
    pub managed_ebs_volume: Option<ServiceManagedEbsVolumeConfiguration>,
}

/// An Amazon EBS volume.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceManagedEbsVolumeConfiguration {
    /// Whether it is encrypted.
    pub encrypted: Option<bool>,
    /// The key that it is encrypted with.
    pub kms_key_id: Option<String>,
    /// EBS's volume type.
    pub volume_type: Option<String>,
    /// GiB.
    #[serde(rename = "sizeInGiB")]
    pub size_in_gib: Option<u32>,
    /// The snapshot that it starts from.
    pub snapshot_id: Option<String>,
    /// MiB/s at which a snapshot is fetched.
    pub volume_initialization_rate: Option<u32>,
    /// I/O operations per second.
    pub iops: Option<u32>,
    /// MiB/s.
    pub throughput: Option<u32>,
    /// Tags of the volume.
    #[serde(default)]
    pub tag_specifications: Vec<EbsTagSpecification>,
    /// IAM role that makes the volume.
    pub role_arn: String,
    /// File system that it is formatted with.
    pub filesystem_type: Option<FilesystemType>,
}

/// Tags of an EBS volume.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EbsTagSpecification {
    /// What is tagged.
    pub resource_type: EbsResourceType,
    /// The tags.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub tags: Vec<Tag>,
    /// Whose tags it gets too.
    pub propagate_tags: Option<PropagateTags>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EbsResourceType {
    Volume,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FilesystemType {
    Ext3,
    Ext4,
    Xfs,
    Ntfs,
}

/// Metrics that AWS records more often.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MonitoringConfiguration {
    /// Which, and how often.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub metric_configurations: Vec<MetricConfiguration>,
}

/// Metrics with their resolution.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricConfiguration {
    /// The metrics' names.
    #[schemars(length(min = 1, max = 5))]
    pub metric_names: Vec<String>,
    /// Seconds between two values.
    #[schemars(range(min = 20, max = 60))]
    pub resolution_seconds: u32,
}
