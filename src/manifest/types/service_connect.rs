//! Service Connect, VPC Lattice and gateways: how traffic reaches a service on AWS.

use schemars::JsonSchema;
use serde::Deserialize;

use super::common::{LogConfiguration, Switch};

/// Service Connect: names for the service's ports inside a namespace, through a proxy.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConnectConfiguration {
    /// Whether it is used.
    pub enabled: bool,
    /// The Cloud Map namespace.
    pub namespace: Option<String>,
    /// Ports that others may reach.
    #[serde(default)]
    pub services: Vec<ServiceConnectService>,
    /// Where the proxy's log goes.
    pub log_configuration: Option<LogConfiguration>,
    /// How the proxy logs requests.
    pub access_log_configuration: Option<ServiceConnectAccessLogConfiguration>,
    /// Settings of the proxy.
    #[serde(default)]
    #[schemars(length(max = 10))]
    pub container_configurations: Vec<ServiceConnectContainerConfiguration>,
}

/// One port that others may reach.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConnectService {
    /// Name of a port mapping of the task definition.
    pub port_name: String,
    /// Its name in the namespace; absent: the port's.
    #[schemars(length(max = 64))]
    pub discovery_name: Option<String>,
    /// Names and ports that clients use.
    #[serde(default)]
    #[schemars(length(max = 1))]
    pub client_aliases: Vec<ServiceConnectClientAlias>,
    /// The proxy's port.
    pub ingress_port_override: Option<u16>,
    /// When the proxy gives up.
    pub timeout: Option<TimeoutConfiguration>,
    /// Encryption between proxies.
    pub tls: Option<ServiceConnectTlsConfiguration>,
}

/// A name and port that clients use.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConnectClientAlias {
    /// The port.
    pub port: u16,
    /// The name; absent: discovery name and namespace.
    #[schemars(length(max = 127))]
    pub dns_name: Option<String>,
    /// Which requests go to the new revision in a test.
    pub test_traffic_rules: Option<ServiceConnectTestTrafficRules>,
}

/// Which requests go to the new revision in a test.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConnectTestTrafficRules {
    /// By a header.
    pub header: ServiceConnectTestTrafficHeaderRules,
}

/// A header that marks test requests.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConnectTestTrafficHeaderRules {
    /// The header's name.
    pub name: String,
    /// What its value must be.
    pub value: Option<ServiceConnectTestTrafficHeaderMatchRules>,
}

/// What a header's value must be.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConnectTestTrafficHeaderMatchRules {
    /// This very text.
    pub exact: String,
}

/// When the proxy gives up.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimeoutConfiguration {
    /// Seconds without traffic; 0: never.
    pub idle_timeout_seconds: Option<u32>,
    /// Seconds for a request; 0: never.
    pub per_request_timeout_seconds: Option<u32>,
}

/// Encryption between proxies.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConnectTlsConfiguration {
    /// Who signs the certificates.
    pub issuer_certificate_authority: ServiceConnectTlsCertificateAuthority,
    /// The key that private keys are encrypted with.
    pub kms_key: Option<String>,
    /// IAM role that may use them.
    pub role_arn: Option<String>,
}

/// Who signs the certificates.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConnectTlsCertificateAuthority {
    /// ARN of an AWS private certificate authority.
    pub aws_pca_authority_arn: Option<String>,
}

/// How the proxy logs requests.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConnectAccessLogConfiguration {
    /// As text or JSON.
    pub format: AccessLogFormat,
    /// Whether query parameters are logged.
    pub include_query_parameters: Option<Switch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AccessLogFormat {
    Text,
    Json,
}

/// Settings of the proxy.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConnectContainerConfiguration {
    /// How much it logs.
    pub log_level: Option<ProxyLogLevel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyLogLevel {
    Debug,
    Info,
}

/// A VPC Lattice target group.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VpcLatticeConfiguration {
    /// IAM role that registers tasks.
    pub role_arn: String,
    /// ARN of the target group.
    pub target_group_arn: String,
    /// Name of a port mapping of the task definition.
    pub port_name: String,
    /// Settings for blue/green deployments.
    pub advanced_configuration: Option<VpcLatticeAdvancedConfiguration>,
}

/// VPC Lattice's settings for blue/green deployments.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VpcLatticeAdvancedConfiguration {
    /// ARN of the other target group.
    pub alternate_target_group_arn: Option<String>,
    /// ARN of the listener rule for production traffic.
    pub production_listener_rule: Option<String>,
    /// ARN of the listener rule for test traffic.
    pub test_listener_rule: Option<String>,
}

/// A gateway that sends traffic to a port.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayConnector {
    /// Name of a port mapping of the task definition.
    pub port_name: String,
    /// How the gateway checks tasks.
    pub health_check: Option<GatewayConnectorHealthCheck>,
    /// Which gateways may send traffic.
    pub filters: Option<GatewayConnectorFilters>,
    /// How long a task that goes may finish its requests.
    pub deregistration_delay: Option<GatewayConnectorDeregistrationDelay>,
}

/// How a gateway checks tasks.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayConnectorHealthCheck {
    /// The protocol.
    pub health_check_protocol: Option<HealthCheckProtocol>,
    /// The port.
    pub health_check_port: Option<u16>,
    /// The path.
    pub health_check_path: Option<String>,
    /// Seconds after which a check has failed.
    pub health_check_timeout_seconds: Option<u32>,
    /// Seconds between checks.
    pub health_check_interval_seconds: Option<u32>,
    /// Successes in a row that make a task healthy.
    pub healthy_threshold_count: Option<u32>,
    /// Failures in a row that make it unhealthy.
    pub unhealthy_threshold_count: Option<u32>,
    /// Answers that count as success.
    pub matcher: Option<GatewayConnectorHealthCheckMatcher>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthCheckProtocol {
    Http,
    Https,
}

/// Answers that count as success.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayConnectorHealthCheckMatcher {
    /// HTTP codes.
    pub http_code: Option<String>,
    /// gRPC codes.
    pub grpc_code: Option<String>,
}

/// Which gateways may send traffic.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayConnectorFilters {
    /// By who can reach them.
    #[serde(default)]
    #[schemars(length(max = 2))]
    pub access_types: Vec<AccessType>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AccessType {
    Public,
    Private,
}

/// How long a task that goes may finish its requests.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayConnectorDeregistrationDelay {
    /// Seconds.
    #[schemars(range(max = 3600))]
    pub timeout_seconds: Option<u32>,
}
