//! The nouns of Longshore and their arithmetic; no I/O, no clock.
//!
//! Everything here is plain data: what the store holds (as JSON, additive across versions: every field that was not there
//! in the first format has a default), what decisions take, and what they return. Manifest types (raw, all of ECS's
//! members) live in `manifest`, what an engine reports in `engine`, what the API answers in `api`; explicit functions
//! convert between them.

pub mod arn;
pub mod cluster;
pub mod desired;
pub mod event;
pub mod ids;
pub mod image;
pub mod instance;
pub mod protection;
pub mod query;
pub mod reference;
pub mod rollout;
pub mod service;
pub mod standalone;
pub mod task;
pub mod task_definition;
pub mod task_spec;
pub mod time;

pub use cluster::{ClusterSpec, EngineEndpoint, InstanceSpec, NfsExport};
pub use desired::{Desired, RegisteredDefinition, Source};
pub use event::{EventLevel, EventName, ServiceEvent};
pub use ids::{
    ClusterName, DeploymentId, Family, InstanceId, RevisionRef, ServiceName, SpecHash, TaskId,
};
pub use image::{ImageCleanup, ImagePolicy, PullBehavior, PulledImage, PulledImages};
pub use instance::{
    Booked, Instance, InstanceDesired, InstanceOverride, MetadataEndpoint, PortClaim, PortRange,
    PortSet, Reservation, Reserved, Resources, fixed_host_ports,
};
pub use protection::{ProtectionError, ProtectionFailure, ProtectionRequest, TaskProtection};
pub use query::{InstanceFacts, Query, QueryError};
pub use reference::{
    EnvironmentFileKind, EnvironmentFileRef, EnvironmentFileSource, SecretProvider, SecretRef,
    SecretSources,
};
pub use rollout::{
    Asked, BlockedRevision, CircuitBreaker, EarlySuccess, EndedDeployment, Pause, Restart, Retry,
    Rollback, RolloutVerb, ServiceDeploymentStatus, ServiceOverrides, Threshold, Undo, basis,
};
pub use service::{
    BinpackField, CompletedDeployment, Deployment, DeploymentStatus, Notice, NoticeKind,
    PlacementConstraint, PlacementStrategy, ProviderShare, RolloutState, SchedulingStrategy,
    ServiceRecord, ServiceSpec, ServiceStatus, SpreadField, Throttle, ceil_percent, floor_percent,
};
pub use standalone::{ContainerOverride, OverrideError, RunToken, Standalone, TaskOverrides};
pub use task::{
    ContainerStatus, DesiredStatus, HealthStatus, LastStatus, NetworkBinding, StopCode, StopOrder,
    TaskLost, TaskRecord, TaskStatus,
};
pub use task_definition::TaskDefinitionRecord;
pub use task_spec::{
    Condition, ContainerSpec, Dependency, Firelens, Gpus, HealthCheck, LinuxSpec, LogConfig,
    MountPoint, NamespaceMode, NetworkMode, PortMapping, Protocol, RestartPolicy, Router, TaskSpec,
    Ulimit, VolumeKind, VolumeSpec, hex_sha256,
};
pub use time::Timestamp;
