//! ECS `deploymentConfiguration`.

use schemars::JsonSchema;
use serde::Deserialize;

/// How a change is rolled out.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentConfiguration {
    /// Give up on a deployment whose tasks keep failing.
    pub deployment_circuit_breaker: Option<DeploymentCircuitBreaker>,
    /// The most tasks during a rollout, as a percentage of `desiredCount`, rounded down. Default: 200, for a DAEMON 100.
    #[schemars(range(max = 1000))]
    pub maximum_percent: Option<u32>,
    /// The fewest healthy tasks during a rollout, as a percentage of `desiredCount`, rounded up. Default: 100, for a
    /// DAEMON 0.
    #[schemars(range(max = 100))]
    pub minimum_healthy_percent: Option<u32>,
    /// CloudWatch alarms that fail a deployment.
    pub alarms: Option<DeploymentAlarms>,
    /// How tasks of the new revision take over.
    #[schemars(extend("default" = "ROLLING"))]
    pub strategy: Option<DeploymentStrategy>,
    /// Minutes that both revisions run after all traffic was shifted.
    pub bake_time_in_minutes: Option<u32>,
    /// What is called, or waited for, between the stages of a deployment.
    #[serde(default)]
    pub lifecycle_hooks: Vec<DeploymentLifecycleHook>,
    /// Steps of a LINEAR deployment.
    pub linear_configuration: Option<LinearConfiguration>,
    /// Steps of a CANARY deployment.
    pub canary_configuration: Option<CanaryConfiguration>,
    /// When a deployment counts as done before its last task is healthy.
    pub early_success_criteria: Option<DeploymentEarlySuccessCriteria>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentStrategy {
    Rolling,
    BlueGreen,
    Linear,
    Canary,
}

/// Give up on a deployment whose tasks keep failing.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentCircuitBreaker {
    /// Whether it is on.
    pub enable: bool,
    /// Whether a failed deployment goes back to the last one that completed.
    pub rollback: bool,
    /// Whether a task that becomes healthy sets the count back to zero.
    #[schemars(extend("default" = true))]
    pub reset_on_healthy_task: Option<bool>,
    /// How many failures are too many.
    pub threshold_configuration: Option<ThresholdConfiguration>,
}

/// How many failures are too many.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ThresholdConfiguration {
    /// A number, or a percentage of `desiredCount` with or without bounds.
    #[serde(rename = "type")]
    pub kind: ThresholdType,
    /// The number or percentage.
    pub value: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ThresholdType {
    Count,
    BoundedPercent,
    UnboundedPercent,
}

/// CloudWatch alarms that fail a deployment.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentAlarms {
    /// The alarms' names.
    pub alarm_names: Vec<String>,
    /// Whether a failed deployment goes back to the last one that completed.
    pub rollback: bool,
    /// Whether they are watched.
    pub enable: bool,
}

/// What is called, or waited for, between two stages.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentLifecycleHook {
    /// A Lambda function, or a pause until somebody continues.
    #[schemars(extend("default" = "AWS_LAMBDA"))]
    pub target_type: Option<HookTargetType>,
    /// ARN of the function.
    pub hook_target_arn: Option<String>,
    /// IAM role that may call it.
    pub role_arn: Option<String>,
    /// The stages at which it happens.
    #[serde(default)]
    pub lifecycle_stages: Vec<LifecycleStage>,
    /// Anything that the function is to be given.
    pub hook_details: Option<serde_json::Value>,
    /// How long to wait, and what then.
    pub timeout_configuration: Option<HookTimeoutConfiguration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookTargetType {
    AwsLambda,
    Pause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleStage {
    ReconcileService,
    PreScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    PreProductionTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
}

/// How long a hook may take.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HookTimeoutConfiguration {
    /// Minutes.
    #[schemars(range(min = 1, max = 20160), extend("default" = 1440))]
    pub timeout_in_minutes: Option<u32>,
    /// What happens then.
    #[schemars(extend("default" = "ROLLBACK"))]
    pub action: Option<HookTimeoutAction>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HookTimeoutAction {
    Rollback,
    Continue,
}

/// Steps of a LINEAR deployment.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinearConfiguration {
    /// Percentage of the traffic that each step shifts.
    #[schemars(range(min = 3.0, max = 100.0), extend("default" = 10.0))]
    pub step_percent: Option<f64>,
    /// Minutes between steps.
    #[schemars(range(max = 1440), extend("default" = 6))]
    pub step_bake_time_in_minutes: Option<u32>,
}

/// Steps of a CANARY deployment.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CanaryConfiguration {
    /// Percentage of the traffic that the first step shifts.
    #[schemars(range(min = 0.1, max = 100.0), extend("default" = 5.0))]
    pub canary_percent: Option<f64>,
    /// Minutes before the rest follows.
    #[schemars(range(max = 1440), extend("default" = 10))]
    pub canary_bake_time_in_minutes: Option<u32>,
}

/// When a deployment counts as done before its last task is healthy.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentEarlySuccessCriteria {
    /// Whether they hold.
    pub enable: bool,
    /// The percentage of `desiredCount` that must be healthy; not below `minimumHealthyPercent`.
    #[schemars(range(max = 100))]
    pub healthy_percent: Option<u32>,
    /// Whether the deployment waits for old tasks to go.
    pub source_service_revision_cleanup: Option<RevisionCleanup>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RevisionCleanup {
    Blocking,
    Deferred,
}
