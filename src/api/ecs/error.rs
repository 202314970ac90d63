//! ECS's exceptions.

use serde_json::{Value, json};

/// An exception as ECS throws it: HTTP 400, 500 for `ServerException`, and a body with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcsError {
    /// `ClusterNotFoundException`, …
    pub kind: &'static str,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl EcsError {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// There is no such cluster.
    pub fn cluster_not_found() -> Self {
        Self::new("ClusterNotFoundException", "Cluster not found.")
    }

    /// There is no such service.
    pub fn service_not_found() -> Self {
        Self::new("ServiceNotFoundException", "Service not found.")
    }

    /// There is no such service deployment.
    pub fn service_deployment_not_found() -> Self {
        Self::new(
            "ServiceDeploymentNotFoundException",
            "Service deployment not found.",
        )
    }

    /// There is no such resource to list tags of.
    pub fn resource_not_found() -> Self {
        Self::new(
            "ResourceNotFoundException",
            "The specified resource is not found.",
        )
    }

    /// A parameter cannot be what it is.
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    /// The caller asked for what cannot be done.
    pub fn client(message: impl Into<String>) -> Self {
        Self::new("ClientException", message)
    }

    /// The same token was used for something else.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new("ConflictException", message)
    }

    /// It could not be done now; asking again may help.
    pub fn server(message: impl Into<String>) -> Self {
        Self::new("ServerException", message)
    }

    /// ECS knows the operation, Longshore does not do it.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new("UnsupportedFeatureException", message)
    }

    /// ECS does not know the operation.
    pub fn unknown_operation(operation: &str) -> Self {
        Self::new(
            "UnknownOperationException",
            format!("ECS has no operation {operation:?}"),
        )
    }

    /// The request's body is not what the operation takes.
    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    /// The answer's HTTP status.
    pub fn status(&self) -> u16 {
        if self.kind == "ServerException" {
            500
        } else {
            400
        }
    }

    /// The body of the answer.
    pub fn body(&self) -> Value {
        json!({"__type": self.kind, "message": self.message})
    }
}
