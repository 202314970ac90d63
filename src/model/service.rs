//! Services, their deployments, and the arithmetic of percentages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::EventName;
use super::ids::{ClusterName, DeploymentId, Family, RevisionRef, ServiceName, SpecHash, TaskId};
use super::query::Query;
use super::rollout::{
    BlockedRevision, CircuitBreaker, EarlySuccess, EndedDeployment, HISTORY_KEPT, is_zero,
};
use super::task::TaskRecord;
use super::time::Timestamp;

/// The fewest healthy tasks that a rollout may leave: `ceil(desired × percent / 100)` (semantics §3b).
pub fn ceil_percent(desired: u32, percent: u32) -> u32 {
    let product = u64::from(desired) * u64::from(percent);
    u32::try_from(product.div_ceil(100)).unwrap_or(u32::MAX)
}

/// The most tasks that may exist at once: `floor(desired × percent / 100)` (semantics §3b).
pub fn floor_percent(desired: u32, percent: u32) -> u32 {
    let product = u64::from(desired) * u64::from(percent);
    u32::try_from(product / 100).unwrap_or(u32::MAX)
}

/// ECS `schedulingStrategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchedulingStrategy {
    /// `desiredCount` tasks.
    #[default]
    Replica,
    /// One task an ACTIVE instance.
    Daemon,
}

/// A Service manifest, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its name, unique in the cluster.
    pub name: ServiceName,
    /// The family it runs.
    pub family: Family,
    /// A fixed revision; absent: the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// How many tasks (REPLICA).
    pub desired_count: u32,
    /// REPLICA or DAEMON.
    #[serde(default)]
    pub scheduling: SchedulingStrategy,
    /// ECS default: 100 (REPLICA), 0 (DAEMON).
    pub minimum_healthy_percent: u32,
    /// ECS default: 200 (REPLICA), 100 (DAEMON).
    pub maximum_percent: u32,
    /// Gives a deployment up whose tasks keep failing; absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// When a deployment is done before all of its tasks are healthy; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_success: Option<EarlySuccess>,
    /// Seconds after a task started during which an unhealthy verdict is ignored.
    #[serde(default)]
    pub health_check_grace_period: u32,
    /// `memberOf` expressions and `distinctInstance`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement_constraints: Vec<PlacementConstraint>,
    /// Which instances are preferred, in this order; none: ECS's default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement_strategy: Vec<PlacementStrategy>,
    /// Which capacity providers its tasks go to; none: the cluster's default, unless it names a launch type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capacity_providers: Vec<ProviderShare>,
    /// Whether its tasks are moved until availability zones have equal numbers of them, as far as may be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zone_rebalancing: bool,
    /// Whether it names a launch type, which takes the cluster's default strategy out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub names_launch_type: bool,
    /// ECS `tags`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// `metadata.labels`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether `exec` is allowed (ECS `enableExecuteCommand`); Longshore's own `exec` does not ask for it.
    #[serde(default)]
    pub enable_execute_command: bool,
    /// Hash of the manifest's content. A new one resets the start throttle.
    pub manifest_hash: String,
}

/// ECS placement constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "expression", rename_all = "camelCase")]
pub enum PlacementConstraint {
    /// Each task on an instance of its own.
    DistinctInstance,
    /// The instance meets a cluster query expression.
    MemberOf(Query),
}

/// ECS placement strategy: which of the instances that take a task is preferred.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", content = "field", rename_all = "lowercase")]
pub enum PlacementStrategy {
    /// Any of them.
    Random,
    /// The one with the fewest tasks of the service for its value of that field.
    Spread(SpreadField),
    /// The one with the least left of that.
    Binpack(BinpackField),
}

/// One share of a capacity provider strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderShare {
    /// The capacity provider.
    pub provider: String,
    /// Its share of the tasks above every `base`, relative to the other weights.
    #[serde(default)]
    pub weight: u32,
    /// How many tasks it gets before weights count.
    #[serde(default)]
    pub base: u32,
}

impl ProviderShare {
    /// How many of `count` tasks each gets, in the order of `shares`: first the base, then one by one whoever is furthest
    /// below its weight. One more task never takes any from another provider.
    pub fn targets(shares: &[Self], count: u32) -> Vec<u32> {
        let mut left = count;
        let mut targets: Vec<u32> = shares
            .iter()
            .map(|share| {
                let base = share.base.min(left);
                left -= base;
                base
            })
            .collect();
        // Where nobody has a weight, the first has it all, as a single one has on ECS.
        let weightless = shares.iter().all(|share| share.weight == 0);
        let weight = |at: usize| match (weightless, at) {
            (true, 0) => 1,
            _ => u64::from(shares[at].weight),
        };
        let mut by_weight = vec![0_u64; shares.len()];
        for _ in 0..left {
            let next = (0..shares.len())
                .filter(|at| weight(*at) > 0)
                .min_by(|a, b| {
                    // The smaller (n + 1) / weight comes first; of equals the first in the list.
                    let (of_a, of_b) = (
                        (by_weight[*a] + 1) * weight(*b),
                        (by_weight[*b] + 1) * weight(*a),
                    );
                    of_a.cmp(&of_b)
                });
            let Some(next) = next else { break };
            by_weight[next] += 1;
            targets[next] += 1;
        }
        targets
    }
}

/// What tasks are spread over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SpreadField {
    /// The instances themselves.
    InstanceId,
    /// The values of an attribute; instances without it are one more value.
    Attribute(String),
}

impl SpreadField {
    /// The attribute that availability zones are.
    pub const ZONE: &'static str = "ecs.availability-zone";
}

/// What instances are filled by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BinpackField {
    /// CPU units.
    Cpu,
    /// Memory.
    Memory,
}

impl BinpackField {
    /// Reads ECS's `field`, in capitals too.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "cpu" => Some(Self::Cpu),
            "memory" => Some(Self::Memory),
            _ => None,
        }
    }
}

/// A service's own state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ServiceStatus {
    /// It is kept at what its manifest says.
    #[default]
    Active,
    /// It was removed from the folder; its tasks are going.
    Draining,
    /// Its last task is gone.
    Inactive,
}

impl ServiceStatus {
    /// As ECS writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// ECS deployment status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DeploymentStatus {
    /// The newest.
    Primary,
    /// An older one that still has tasks.
    Active,
}

/// ECS `rolloutState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RolloutState {
    /// Under way.
    InProgress,
    /// Its tasks are all there and healthy, and older ones are gone.
    Completed,
    /// Given up.
    Failed,
}

impl RolloutState {
    /// As ECS writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// One deployment of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// `ecs-svc/<n>`.
    pub id: DeploymentId,
    /// PRIMARY or ACTIVE.
    pub status: DeploymentStatus,
    /// The family and number it rolls out.
    pub revision: RevisionRef,
    /// What its tasks run.
    pub spec: SpecHash,
    /// Its tasks' generation: rises when they are to be started anew though nothing else changes (ECS `forceNewDeployment`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
    /// IN_PROGRESS until steady.
    pub rollout: RolloutState,
    /// ECS's sentence for it.
    pub rollout_reason: String,
    /// How many tasks are wanted of it (ECS `desiredCount`): the service's count for the PRIMARY, what is still needed of it
    /// for an ACTIVE one.
    #[serde(default)]
    pub desired_count: u32,
    /// Tasks of it that ended by themselves, or were stopped as unhealthy, before they were counted healthy, since one of them
    /// last was.
    #[serde(default)]
    pub failed_tasks: u32,
    /// When the last of them ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// The digest that each container's tag was resolved to, by the first of its tasks that told (ECS
    /// `versionConsistency`). Every later task runs these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Deployment {
    /// Whether `task` is one of its tasks. What a task runs decides, not who started it: a task that already runs what a
    /// revert asks for is kept.
    pub fn owns(&self, task: &TaskRecord) -> bool {
        self.runs(&task.spec, task.generation)
    }

    /// Whether it rolls out that generation of that specification.
    pub fn runs(&self, spec: &SpecHash, generation: u32) -> bool {
        self.spec == *spec && self.generation == generation
    }
}

/// A deployment that was COMPLETED: what a later one can be rolled back to (semantics §4.26).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedDeployment {
    /// Its id.
    pub id: DeploymentId,
    /// What it rolled out.
    pub revision: RevisionRef,
    /// What its tasks ran.
    pub spec: SpecHash,
    /// The generation of its tasks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
    /// The digests it was pinned to, by container: going back to it runs these, whatever the tags mean by then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// When it was completed.
    pub at: Timestamp,
}

/// Why and until when no further task of a revision is started (semantics §4.23).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Throttle {
    /// Rounds in a row in which tasks ended by themselves, or were stopped as unhealthy, before they were counted healthy: a task that was started before
    /// the last failure was counted belongs to that failure's round.
    pub failures: u32,
    /// When the last round was counted, by the controller's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// Starts that wait for `not_before`; others, such as those for tasks that had been healthy, do not.
    pub held: u32,
    /// No start before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Failed tasks that were counted already; a failure counts once (design §6).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<TaskId>,
    /// The manifest and specification that the count is about; another pair starts anew.
    pub about: String,
}

/// What a service has said and does not repeat while it lasts (semantics §4.29).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoticeKind {
    /// A task fits on no container instance.
    Placement,
    /// Its tasks keep failing before they are healthy.
    Impaired,
    /// Its percentages allow neither a start nor a stop.
    Configuration,
    /// It names a revision that is not registered.
    Definition,
    /// Tasks that are to go are protected.
    Protected,
    /// It is suspended, and what would be done otherwise.
    Suspended,
    /// Tasks were given up with an instance that vanished, and may still run there.
    Lost,
    /// Its count is not followed while its rollout is paused.
    Scaling,
}

impl NoticeKind {
    /// ECS's name for the event that says it, where ECS has one.
    pub const fn event_name(self) -> Option<EventName> {
        match self {
            Self::Placement => Some(EventName::ServiceTaskPlacementFailure),
            Self::Impaired => Some(EventName::ServiceTaskStartImpaired),
            _ => None,
        }
    }
}

/// Something that lasts, as it was last said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The event's message.
    pub message: String,
    /// When it was said.
    pub at: Timestamp,
}

/// `clusters/<c>/services/<name>`: a service as the controller remembers it. Written by the controller only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// The manifest it follows, as last accepted.
    pub spec: ServiceSpec,
    /// ACTIVE, DRAINING or INACTIVE.
    #[serde(default)]
    pub status: ServiceStatus,
    /// Newest first; exactly one is PRIMARY while the service is ACTIVE.
    #[serde(default)]
    pub deployments: Vec<Deployment>,
    /// Numbers given to deployments so far.
    #[serde(default)]
    pub deployment_counter: u64,
    /// Numbers given to events so far.
    #[serde(default)]
    pub event_counter: u64,
    /// Why starts are held back, if they are.
    #[serde(default)]
    pub throttle: Throttle,
    /// Whether the service was steady when it was last looked at, so that "has reached a steady state" is said once.
    #[serde(default)]
    pub steady: bool,
    /// The newest deployment that was COMPLETED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_completed: Option<CompletedDeployment>,
    /// Deployments that are over, newest first; at most [`HISTORY_KEPT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<EndedDeployment>,
    /// What failed, and is not started again for what the folder asks for at present; the folder's own first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<BlockedRevision>,
    /// While its rollout is paused: how many tasks of the PRIMARY deployment there were when that began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<u32>,
    /// When the task was started that is being moved to another availability zone, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalancing: Option<Timestamp>,
    /// What is wrong at present, as it was said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notices: BTreeMap<NoticeKind, Notice>,
    /// Tasks that are ending by themselves and whose end is still to be told, once all is known about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dying: Vec<TaskId>,
    /// When the service was first seen.
    pub created_at: Timestamp,
    /// When its last task was gone after it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactive_at: Option<Timestamp>,
}

impl ServiceRecord {
    /// The record of a service that has done nothing yet.
    pub fn new(spec: ServiceSpec, created_at: Timestamp) -> Self {
        Self {
            spec,
            status: ServiceStatus::Active,
            deployments: Vec::new(),
            deployment_counter: 0,
            event_counter: 0,
            throttle: Throttle::default(),
            steady: false,
            last_completed: None,
            history: Vec::new(),
            blocked: Vec::new(),
            paused_at: None,
            rebalancing: None,
            notices: BTreeMap::new(),
            dying: Vec::new(),
            created_at,
            inactive_at: None,
        }
    }

    /// The deployment that is being, or was last, rolled out.
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments
            .iter()
            .find(|d| d.status == DeploymentStatus::Primary)
    }

    /// Writes down that a deployment is over. What was known of the same one is replaced.
    pub fn remember(&mut self, ended: EndedDeployment) {
        self.history.retain(|known| known.id != ended.id);
        self.history.insert(0, ended);
        self.history.truncate(HISTORY_KEPT);
    }

    /// Whether tasks of that specification and generation failed, and are not started again.
    pub fn is_blocked(&self, spec: &SpecHash, generation: u32) -> bool {
        let mut blocked = self.blocked.iter();
        blocked.any(|blocked| blocked.spec == *spec && blocked.generation == generation)
    }

    /// What failed and keeps the folder's own wish, or an undo's, from being rolled out.
    pub fn failure(&self) -> Option<&BlockedRevision> {
        self.blocked.first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(shares: &[(u32, u32)], count: u32) -> Vec<u32> {
        let shares: Vec<ProviderShare> = shares
            .iter()
            .map(|(base, weight)| ProviderShare {
                provider: String::new(),
                weight: *weight,
                base: *base,
            })
            .collect();
        ProviderShare::targets(&shares, count)
    }

    #[test]
    fn section_3a_the_base_comes_first_and_then_the_weights_share() {
        assert_eq!(targets(&[(2, 1), (0, 3)], 1), [1, 0]);
        assert_eq!(targets(&[(2, 1), (0, 3)], 6), [3, 3]);
        assert_eq!(targets(&[(0, 1), (0, 4)], 10), [2, 8]);
        assert_eq!(targets(&[(0, 1), (0, 1)], 3), [2, 1]);
        assert_eq!(
            targets(&[(3, 0), (0, 1)], 5),
            [3, 2],
            "no weight: the base alone"
        );
        assert_eq!(targets(&[(0, 0)], 4), [4], "a single one has it all");
        assert_eq!(targets(&[], 4), [] as [u32; 0]);
    }

    #[test]
    fn one_task_more_takes_none_from_a_provider() {
        let shares = [(1, 3), (0, 5), (0, 7)];
        for count in 0..60 {
            let (few, more) = (targets(&shares, count), targets(&shares, count + 1));
            assert!(few.iter().zip(&more).all(|(few, more)| few <= more));
            assert_eq!(more.iter().sum::<u32>(), count + 1);
        }
    }

    #[test]
    fn the_floor_rounds_up_and_the_ceiling_rounds_down() {
        assert_eq!(ceil_percent(2, 75), 2);
        assert_eq!(floor_percent(3, 125), 3);
        assert_eq!(ceil_percent(0, 100), 0);
        assert_eq!(floor_percent(u32::MAX, 200), u32::MAX);
    }
}
