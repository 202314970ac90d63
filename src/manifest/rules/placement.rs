//! Rules of what decides where tasks are placed: constraints, strategies, capacity providers.

use crate::diagnostic::{Diagnostic, Span, codes};
use crate::manifest::document::Document;
use crate::manifest::report::{Reporting, nearest};
use crate::manifest::resolve::{Percentages, spread_field, spreads_over_zones};
use crate::manifest::types::{
    CapacityProviderStrategyItem, Cluster, ContainerInstance, PlacementConstraintType,
    PlacementStrategyType, SchedulingStrategy, Service, Switch, TaskDefinition,
};
use crate::model::{BinpackField, Query};

/// Those of a service.
pub fn of_service(document: &Document, service: &Service, found: &mut Vec<Diagnostic>) {
    for (index, constraint) in service.placement_constraints.iter().enumerate() {
        let pointer = format!("/placementConstraints/{index}");
        match (constraint.kind, &constraint.expression) {
            (Some(PlacementConstraintType::DistinctInstance), Some(_)) => found.push(
                document
                    .error(
                        codes::EXCLUSIVE_FIELDS,
                        document.key(&format!("{pointer}/expression")),
                        "`distinctInstance` takes no expression",
                    )
                    .related(
                        &document.file,
                        document.value(&format!("{pointer}/type")),
                        "its type",
                    )
                    .help("remove it, or write `type: memberOf`"),
            ),
            (Some(PlacementConstraintType::DistinctInstance), None) => {}
            (Some(PlacementConstraintType::MemberOf), text) => {
                member_of(document, &pointer, text.as_deref(), found);
            }
            (None, _) => found.push(document.error(
                codes::MISSING_FIELD,
                document.value(&pointer),
                "`type` is missing",
            )),
        }
    }
    strategies(document, service, found);
    rebalancing(document, service, found);
    providers(document, service, found);
}

/// Those of a task definition.
pub fn of_task(document: &Document, definition: &TaskDefinition, found: &mut Vec<Diagnostic>) {
    for (index, constraint) in definition.placement_constraints.iter().enumerate() {
        let pointer = format!("/placementConstraints/{index}");
        member_of(document, &pointer, constraint.expression.as_deref(), found);
    }
}

/// Those of a cluster.
pub fn of_cluster(document: &Document, cluster: &Cluster, found: &mut Vec<Diagnostic>) {
    let listed = &cluster.capacity_providers;
    for (index, instance) in cluster.container_instances.iter().enumerate() {
        let Some(name) = &instance.capacity_provider_name else {
            continue;
        };
        if listed.is_empty() || listed.contains(name) {
            continue;
        }
        let near = nearest(name, listed.iter().map(String::as_str));
        found.push(
            document
                .error(
                    codes::UNKNOWN_PROVIDER,
                    document.value(&format!("/containerInstances/{index}/capacityProviderName")),
                    format!("the cluster lists no capacity provider `{name}`"),
                )
                .related(
                    &document.file,
                    document.key("/capacityProviders"),
                    "its capacity providers",
                )
                .help(match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "add it to `capacityProviders`".to_owned(),
                }),
        );
    }
    let strategy = &cluster.default_capacity_provider_strategy;
    let pointer = "/defaultCapacityProviderStrategy";
    if !strategy.is_empty() {
        shares(document, pointer, strategy, found);
    }
    unknown_providers(document, pointer, strategy, Some(cluster), found);
}

/// Shares of capacity providers that no instance of the cluster belongs to: their tasks could never be placed.
pub fn unknown_providers(
    document: &Document,
    pointer: &str,
    strategy: &[CapacityProviderStrategyItem],
    cluster: Option<&Cluster>,
    found: &mut Vec<Diagnostic>,
) {
    let instances = cluster.map_or(&[][..], |cluster| &cluster.container_instances);
    let has = |name: &str| {
        let own =
            |instance: &ContainerInstance| instance.capacity_provider_name.as_deref() == Some(name);
        matches!(name, "FARGATE" | "FARGATE_SPOT") || instances.iter().any(own)
    };
    for (index, item) in strategy.iter().enumerate() {
        let name = item.capacity_provider.as_str();
        if has(name) {
            continue;
        }
        let known = instances
            .iter()
            .filter_map(|instance| instance.capacity_provider_name.as_deref());
        found.push(
            document
                .error(
                    codes::UNKNOWN_PROVIDER,
                    document.value(&format!("{pointer}/{index}/capacityProvider")),
                    format!("no instance of the cluster belongs to a capacity provider `{name}`"),
                )
                .help(match nearest(name, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "write `capacityProviderName: {name}` at those of the cluster's `containerInstances` that are it"
                    ),
                }),
        );
    }
}

/// The expression of a constraint.
fn member_of(document: &Document, pointer: &str, text: Option<&str>, found: &mut Vec<Diagnostic>) {
    let Some(text) = text else {
        found.push(
            document
                .error(
                    codes::MISSING_FIELD,
                    document.value(pointer),
                    "`expression` is missing",
                )
                .help(
                    "add `expression`: what instances must meet, such as `attribute:stack == prod`",
                ),
        );
        return;
    };
    let query = Query::new(text);
    let Err(error) = query.expr() else { return };
    let place = document.value(&format!("{pointer}/expression"));
    let (span, message) = match within(document, place, text, &error.at) {
        Some(span) => (span, error.message.clone()),
        // It is written over several lines, or with escapes: then its own characters are counted.
        None => (place, error.to_string()),
    };
    found.push(
        document
            .error(codes::QUERY, span, message)
            .help(error.help.clone()),
    );
}

/// Where a part of a text stands in the file, if the text stands there as it is.
pub(super) fn within(
    document: &Document,
    place: Span,
    text: &str,
    part: &std::ops::Range<usize>,
) -> Option<Span> {
    let written = document.file.text.get(place.start..place.end)?;
    let begin = written.find(text)?;
    let before = written.get(..begin + part.start)?;
    if written.contains('\n') {
        return None;
    }
    let start = place.start + before.len();
    let columns = u32::try_from(before.chars().count()).unwrap_or(0);
    Some(Span {
        start,
        end: start + (part.end - part.start),
        line: place.line,
        column: place.column + columns,
    })
}

fn strategies(document: &Document, service: &Service, found: &mut Vec<Diagnostic>) {
    for (index, strategy) in service.placement_strategy.iter().enumerate() {
        let pointer = format!("/placementStrategy/{index}");
        let Some(kind) = strategy.kind else {
            found.push(document.error(
                codes::MISSING_FIELD,
                document.value(&pointer),
                "`type` is missing",
            ));
            continue;
        };
        let field = strategy.field.as_deref();
        let (good, name, help) = match kind {
            PlacementStrategyType::Random => continue,
            PlacementStrategyType::Spread => (
                field.and_then(spread_field).is_some(),
                "spread",
                "write `instanceId`, or an attribute as `attribute:ecs.availability-zone`",
            ),
            PlacementStrategyType::Binpack => (
                field.and_then(BinpackField::parse).is_some(),
                "binpack",
                "write `cpu` or `memory`",
            ),
        };
        if good {
            continue;
        }
        let diagnostic = match field {
            None => document.error(
                codes::MISSING_FIELD,
                document.value(&pointer),
                "`field` is missing",
            ),
            Some(field) => document.error(
                codes::PLACEMENT_FIELD,
                document.value(&format!("{pointer}/field")),
                format!("`{name}` knows no field `{field}`"),
            ),
        };
        found.push(diagnostic.help(help));
    }
}

/// Rebalancing that is asked for where it could never move a task.
fn rebalancing(document: &Document, service: &Service, found: &mut Vec<Diagnostic>) {
    if service.availability_zone_rebalancing != Some(Switch::Enabled) {
        return;
    }
    let at = document.value("/availabilityZoneRebalancing");
    let mut wrong = |other: &str, message: &str, help: &str| {
        found.push(
            document
                .error(codes::REBALANCING, at, message)
                .related(&document.file, document.value(other), "because of this")
                .help(help),
        );
    };
    if service.scheduling_strategy == Some(SchedulingStrategy::Daemon) {
        wrong(
            "/schedulingStrategy",
            "a DAEMON runs on every instance, so its tasks cannot be moved",
            "remove it",
        );
    } else if !spreads_over_zones(service) {
        wrong(
            "/placementStrategy/0",
            "the first placement strategy is not the spread over availability zones",
            "put `{type: spread, field: \"attribute:ecs.availability-zone\"}` first, or write DISABLED",
        );
    } else if Percentages::of(service).maximum <= 100 {
        wrong(
            "/deploymentConfiguration/maximumPercent",
            "with `maximumPercent: 100` no task can start before the one that it takes the place of stops",
            "raise `maximumPercent`, or write DISABLED",
        );
    }
}

fn providers(document: &Document, service: &Service, found: &mut Vec<Diagnostic>) {
    let strategy = &service.capacity_provider_strategy;
    if strategy.is_empty() {
        return;
    }
    if service.launch_type.is_some() {
        found.push(
            document
                .error(
                    codes::EXCLUSIVE_FIELDS,
                    document.key("/capacityProviderStrategy"),
                    "`capacityProviderStrategy` and `launchType` exclude each other",
                )
                .related(&document.file, document.key("/launchType"), "the other one")
                .help("remove one of the two"),
        );
    }
    shares(document, "/capacityProviderStrategy", strategy, found);
}

/// Whether the shares of a capacity provider strategy add up.
pub(super) fn shares(
    document: &Document,
    pointer: &str,
    strategy: &[CapacityProviderStrategyItem],
    found: &mut Vec<Diagnostic>,
) {
    for (index, item) in strategy.iter().enumerate() {
        let same = |other: &CapacityProviderStrategyItem| {
            other.capacity_provider == item.capacity_provider
        };
        let first = strategy.iter().position(same).unwrap_or(index);
        let at = |index: usize| document.value(&format!("{pointer}/{index}/capacityProvider"));
        if first < index {
            found.push(
                document
                    .error(
                        codes::PROVIDER_SHARES,
                        at(index),
                        format!("`{}` has two shares", item.capacity_provider),
                    )
                    .related(&document.file, at(first), "the first one")
                    .help("remove one of them"),
            );
        }
    }
    let mut with_base = strategy
        .iter()
        .enumerate()
        .filter(|(_, item)| item.base.is_some_and(|base| base > 0))
        .map(|(index, _)| document.value(&format!("{pointer}/{index}/base")));
    if let (Some(first), Some(second)) = (with_base.next(), with_base.next()) {
        found.push(
            document
                .error(
                    codes::PROVIDER_SHARES,
                    second,
                    "only one capacity provider may have a `base`",
                )
                .related(&document.file, first, "the other one")
                .help("remove one of them"),
        );
    }
    // A single provider without a weight gets everything, as on ECS.
    if strategy.len() > 1 && strategy.iter().all(|item| item.weight.unwrap_or(0) == 0) {
        found.push(
            document
                .error(
                    codes::PROVIDER_SHARES,
                    document.key(pointer),
                    "no capacity provider has a `weight` above 0",
                )
                .help("add `weight: 1` to one of them"),
        );
    }
}
