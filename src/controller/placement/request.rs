//! What is to be placed, and what that comes down to for an instance.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::ports::{HostPort, Want, wanted};
use crate::model::{
    ClusterSpec, Gpus, InstanceId, PlacementConstraint, PlacementStrategy, PortClaim, PortSet,
    ProviderShare, Query, Reservation, Resources, SpreadField, TaskSpec,
};

/// What is to be placed.
#[derive(Debug, Clone)]
pub(in crate::controller) struct Request<'a> {
    pub spec: &'a TaskSpec,
    /// Its group: `service:<name>` of a service.
    pub group: Cow<'a, str>,
    /// Those of the service or of RunTask; those of the specification hold as well.
    pub constraints: &'a [PlacementConstraint],
    /// Which instances are preferred; empty: ECS's default.
    pub strategy: &'a [PlacementStrategy],
    /// Which capacity providers tasks go to; empty: any instance.
    pub providers: &'a [ProviderShare],
    /// How many tasks of the service, or of RunTask, there are to be in the end.
    pub wanted: u32,
    /// Its settings, and whose its instances are.
    pub cluster: &'a ClusterSpec,
    /// Only here.
    pub only: Option<&'a InstanceId>,
}

/// Where a task goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) struct Placed {
    pub instance: InstanceId,
    /// The capacity provider whose share it is.
    pub provider: Option<String>,
    pub ports: Vec<PortClaim>,
    /// By container.
    pub gpus: BTreeMap<String, Vec<String>>,
}

/// What a task would get of an instance besides its CPU and memory.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub ports: Vec<PortClaim>,
    pub gpus: BTreeMap<String, Vec<String>>,
}

impl Offer {
    pub fn reservation(&self, resources: Resources) -> Reservation {
        let mut held = Reservation::of(None, &self.ports, &self.gpus);
        held.resources = resources;
        held
    }
}

/// All that placement looks at of a request, so that requests that are alike share what was found out for the first.
#[derive(Debug, PartialEq)]
pub(super) struct Needs {
    pub resources: Resources,
    pub ports: Vec<Want>,
    /// Host ports that it must have; its dynamic ones must not take them.
    pub fixed: PortSet,
    /// By container.
    pub gpus: Vec<(String, Gpus)>,
    pub architecture: Option<String>,
    pub log_drivers: Vec<String>,
    /// The member of it that needs the engine's own host.
    pub host: Option<&'static str>,
    /// Each task on an instance of its own.
    pub distinct: bool,
    /// `memberOf`: the same answer for every task.
    pub constant: Vec<Query>,
    /// `memberOf`: another answer once a task is placed.
    pub changing: Vec<Query>,
    pub group: String,
    /// Never empty.
    pub strategy: Vec<PlacementStrategy>,
    /// Empty: any instance will do.
    pub shares: Vec<Share>,
}

/// What one capacity provider is to have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub provider: String,
    /// Tasks of the service, at most.
    pub target: u32,
    /// Those that it gets before others get any.
    pub base: u32,
    /// Its instances; none: all of them.
    pub instances: Option<BTreeSet<InstanceId>>,
}

impl Share {
    fn all(request: &Request<'_>) -> Vec<Self> {
        let targets = ProviderShare::targets(request.providers, request.wanted);
        let shares = request.providers.iter().zip(targets);
        shares
            .map(|(share, target)| Self {
                target,
                base: share.base,
                instances: (!request.cluster.is_everywhere(&share.provider)).then(|| {
                    let all = request.cluster.instances.iter();
                    all.filter(|spec| spec.capacity_provider.as_ref() == Some(&share.provider))
                        .map(|spec| spec.name.clone())
                        .collect()
                }),
                provider: share.provider.clone(),
            })
            .collect()
    }
}

impl Needs {
    pub fn of(request: &Request<'_>) -> Self {
        let ports = wanted(request.spec, request.cluster.publish_awsvpc_ports);
        let fixed = ports.iter().filter_map(|want| match want.host {
            HostPort::Fixed(port) => Some((want.protocol, port)),
            HostPort::Dynamic | HostPort::Engine => None,
        });
        let expression = |constraint: &PlacementConstraint| match constraint {
            PlacementConstraint::MemberOf(query) => Some(query.clone()),
            PlacementConstraint::DistinctInstance => None,
        };
        let (changing, constant) = request
            .constraints
            .iter()
            .filter_map(expression)
            .chain(request.spec.placement_constraints.iter().cloned())
            .partition(Query::is_about_tasks);
        let logs = request.spec.containers.iter().flat_map(|c| &c.log);
        let zone = || SpreadField::Attribute(SpreadField::ZONE.to_owned());
        Self {
            resources: Resources::needed_by(request.spec),
            fixed: fixed.collect(),
            gpus: request
                .spec
                .containers
                .iter()
                .filter_map(|c| Some((c.name.clone(), c.gpus?)))
                .collect(),
            architecture: request.spec.architecture.clone(),
            log_drivers: logs
                .map(
                    |log| match log.on_engine(&request.cluster.log_drivers).driver {
                        // The engine hands the output over to the task's own router.
                        firelens if firelens == "awsfirelens" => "fluentd".to_owned(),
                        driver => driver,
                    },
                )
                .collect(),
            host: (request.cluster.fault_injection && request.spec.enable_fault_injection)
                .then_some("enableFaultInjection"),
            distinct: request
                .constraints
                .contains(&PlacementConstraint::DistinctInstance),
            constant,
            changing,
            group: request.group.to_string(),
            strategy: match request.strategy {
                [] => vec![PlacementStrategy::Spread(zone())],
                some => some.to_vec(),
            },
            shares: Share::all(request),
            ports,
        }
    }
}
