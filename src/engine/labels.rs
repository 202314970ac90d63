//! The labels on everything that Longshore creates on an engine.
//!
//! They hold what never changes about an object (who made it, for what); whatever changes is in the store. The agent of
//! ECS sets the five `com.amazonaws.ecs.*` ones, and other tools (log shippers, metric collectors) read those, so a task
//! carries them too.

/// Version of this set of labels. Present on every object of Longshore, so it is also how they are found.
pub const SCHEMA: &str = "longshore.schema";
/// The value of [`SCHEMA`] that this build writes.
pub const SCHEMA_VERSION: &str = "1";
/// The state directory's random id, 16 hexadecimal digits: whose object it is.
pub const OWNER: &str = "longshore.owner";
/// Id of the container instance that the object belongs to.
pub const INSTANCE: &str = "longshore.instance";
/// Name of the cluster.
pub const CLUSTER: &str = "longshore.cluster";
/// Name of the service; absent on a task that no service started.
pub const SERVICE: &str = "longshore.service";
/// The task's group, where no service started it (`family:web`).
pub const GROUP: &str = "longshore.group";
/// The task's id, 32 hexadecimal digits.
pub const TASK: &str = "longshore.task";
/// The container's name in its task definition; [`PAUSE_CONTAINER`] for the one that owns the task's namespaces.
pub const CONTAINER: &str = "longshore.container";
/// The task definition's family.
pub const FAMILY: &str = "longshore.family";
/// The task definition's revision.
pub const REVISION: &str = "longshore.revision";
/// Id of the deployment that started the task.
pub const DEPLOYMENT: &str = "longshore.deployment";
/// Hash of the spec that the object was made from, with the hash's own version.
pub const SPEC_HASH: &str = "longshore.spec-hash";
/// The store's revision at which the object was decided on.
pub const SEQ: &str = "longshore.seq";
/// On one container a task: JSON of its spec and its record, from which a lost store is made again. Never a secret.
pub const SPEC: &str = "longshore.spec";
/// On a lease container and nothing else: `1`. Such a container is no part of any task.
pub const LEASE: &str = "longshore.lease";

/// The ECS agent's: the task's ARN.
pub const ECS_TASK_ARN: &str = "com.amazonaws.ecs.task-arn";
/// The ECS agent's: the container's name in its task definition.
pub const ECS_CONTAINER_NAME: &str = "com.amazonaws.ecs.container-name";
/// The ECS agent's: the task definition's family.
pub const ECS_TASK_DEFINITION_FAMILY: &str = "com.amazonaws.ecs.task-definition-family";
/// The ECS agent's: the task definition's revision.
pub const ECS_TASK_DEFINITION_VERSION: &str = "com.amazonaws.ecs.task-definition-version";
/// The ECS agent's: the cluster, by name.
pub const ECS_CLUSTER: &str = "com.amazonaws.ecs.cluster";

/// Value of [`CONTAINER`] on the container that owns a task's namespaces; the ECS agent's own name for it, which no
/// container of a task definition can have (`~` is not allowed there).
pub const PAUSE_CONTAINER: &str = "~internal~ecs~pause";
