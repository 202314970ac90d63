//! Attributes that decide where tasks are placed, against those that the instances of a cluster have. A name that none of them
//! has is no error, because an instance may come that has it; but most of the time it is misspelt, and then tasks wait for ever
//! or are spread over nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::cross::Subject;
use super::placement::within;
use crate::diagnostic::{Diagnostic, Span, codes};
use crate::manifest::document::Document;
use crate::manifest::report::{Reporting, nearest};
use crate::manifest::resolve::spread_field;
use crate::manifest::types::{Cluster, PlacementStrategyType, Service, Switch, TaskDefinition};
use crate::model::{ClusterName, Instance, Query, SpreadField};

/// Attributes that ECS gives to instances on AWS, and that no engine knows: here they are what the manifest says.
const ON_AWS: [&str; 5] = [
    SpreadField::ZONE,
    "ecs.ami-id",
    "ecs.instance-type",
    "ecs.subnet-id",
    "ecs.vpc-id",
];

/// The attributes that instances of a cluster have by their manifest.
#[derive(Debug, Clone, Default)]
pub struct Declared(BTreeSet<String>);

impl Declared {
    /// Those of a cluster; one that no document declares has the local engine, and nothing is declared of that.
    pub fn of(cluster: &Cluster) -> Self {
        let instances = cluster.container_instances.iter();
        Self(
            instances
                .flat_map(|i| i.attributes.keys().cloned())
                .collect(),
        )
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(name) || Instance::is_built_in(name)
    }

    /// What may have been meant by a name that no instance has.
    fn nearest(&self, name: &str) -> Option<&str> {
        let known = self.0.iter().map(String::as_str);
        nearest(name, known.chain(Instance::BUILT_IN).chain(ON_AWS))
    }
}

/// The attributes of the instances of each declared cluster.
pub type Known = BTreeMap<ClusterName, Declared>;

/// Attributes of services and definitions that no instance has: of the cluster that the service is of; of those in which a definition
/// is run, or of any cluster where no service runs it.
pub fn check(
    definitions: &[(&Document, &TaskDefinition)],
    subjects: &[Subject<'_>],
    known: &Known,
    found: &mut Vec<Diagnostic>,
) {
    let implied = Declared::default();
    let of = |cluster: &ClusterName| match known.get(cluster) {
        Some(declared) => Some(declared),
        // Any other that nobody declares is an error of its own.
        None => (*cluster == ClusterName::default()).then_some(&implied),
    };
    for subject in subjects {
        if let Some(declared) = of(&subject.cluster) {
            let place = Place {
                document: subject.document,
                declared,
                whose: format!("cluster `{}`", subject.cluster),
            };
            place.service(subject.service, found);
        }
    }
    for (document, definition) in definitions {
        if definition.placement_constraints.is_empty() {
            continue;
        }
        let runs = |subject: &&Subject<'_>| {
            let of_this = subject.definition.and_then(|d| d.document);
            of_this.is_some_and(|of| std::ptr::eq(of, *document))
        };
        let runs_in: BTreeSet<&ClusterName> =
            subjects.iter().filter(runs).map(|s| &s.cluster).collect();
        let all = known
            .values()
            .flat_map(|declared| declared.0.iter().cloned());
        let all = Declared(all.collect());
        let places = match runs_in.is_empty() {
            true => vec![(&all, "any cluster".to_owned())],
            false => {
                let each = runs_in.into_iter();
                each.filter_map(|cluster| Some((of(cluster)?, format!("cluster `{cluster}`"))))
                    .collect()
            }
        };
        for (declared, whose) in places {
            let place = Place {
                document,
                declared,
                whose,
            };
            for (index, constraint) in definition.placement_constraints.iter().enumerate() {
                place.expression(index, constraint.expression.as_deref(), found);
            }
        }
    }
}

/// Attributes that a cluster's manifest gives to its instances and that look like a slip: those that begin as ECS's own do, and are
/// none.
pub fn of_cluster(document: &Document, cluster: &Cluster, found: &mut Vec<Diagnostic>) {
    for (index, instance) in cluster.container_instances.iter().enumerate() {
        for name in instance
            .attributes
            .keys()
            .filter(|name| name.starts_with("ecs."))
        {
            let near = Declared::default().nearest(name).map(str::to_owned);
            let Some(near) = near.filter(|near| near != name) else {
                continue;
            };
            let token = name.replace('~', "~0").replace('/', "~1");
            let at = document.key(&format!("/containerInstances/{index}/attributes/{token}"));
            let message = format!("ECS knows no attribute `{name}`");
            found.push(
                document
                    .warning(codes::UNKNOWN_ATTRIBUTE, at, message)
                    .help(format!("did you mean `{near}`?")),
            );
        }
    }
}

/// A document, and what the instances have that its tasks may be placed on.
struct Place<'a> {
    document: &'a Document,
    declared: &'a Declared,
    /// Whose instances.
    whose: String,
}

impl Place<'_> {
    fn service(&self, service: &Service, found: &mut Vec<Diagnostic>) {
        for (index, constraint) in service.placement_constraints.iter().enumerate() {
            self.expression(index, constraint.expression.as_deref(), found);
        }
        let mut spread = false;
        for (index, strategy) in service.placement_strategy.iter().enumerate() {
            let field = strategy.field.as_deref().and_then(spread_field);
            if let (Some(PlacementStrategyType::Spread), Some(SpreadField::Attribute(name))) =
                (strategy.kind, field)
                && !self.declared.has(&name)
            {
                spread |= name == SpreadField::ZONE;
                let at = self
                    .document
                    .value(&format!("/placementStrategy/{index}/field"));
                found.push(self.unknown(at, &name, ", so tasks are not spread by it"));
            }
        }
        let zone = SpreadField::ZONE;
        if service.availability_zone_rebalancing == Some(Switch::Enabled)
            && !spread
            && !self.declared.has(zone)
        {
            let at = self.document.value("/availabilityZoneRebalancing");
            found.push(self.unknown(at, zone, ", so there is nothing to rebalance"));
        }
    }

    fn expression(&self, index: usize, text: Option<&str>, found: &mut Vec<Diagnostic>) {
        let Some(text) = text else { return };
        let query = Query::new(text);
        let Ok(expr) = query.expr() else { return };
        let place = self
            .document
            .value(&format!("/placementConstraints/{index}/expression"));
        let mut after = 0;
        let mut said = BTreeSet::new();
        for (name, wanted) in expr.attributes() {
            let part = written(text, name, after);
            after = part.end;
            // That an instance lacks what is excluded may well be meant, unless it looks like a slip.
            let meant = !wanted && self.declared.nearest(name).is_none();
            if self.declared.has(name) || meant || !said.insert(name) {
                continue;
            }
            let at = within(self.document, place, text, &part).unwrap_or(place);
            found.push(self.unknown(at, name, ""));
        }
    }

    fn unknown(&self, at: Span, name: &str, so: &str) -> Diagnostic {
        let message = format!(
            "no instance of {} has an attribute `{name}`{so}",
            self.whose
        );
        let diagnostic = self.document.warning(codes::UNKNOWN_ATTRIBUTE, at, message);
        let write = |name: &str| {
            format!(
                "write `attributes: {{{name}: VALUE}}` at those of the cluster's `containerInstances` that have it"
            )
        };
        match self.declared.nearest(name).filter(|near| *near != name) {
            Some(near) if self.declared.has(near) => {
                diagnostic.help(format!("did you mean `{near}`?"))
            }
            Some(near) => diagnostic
                .help(format!("did you mean `{near}`?"))
                .help(format!("no instance has that one either: {}", write(near))),
            None => diagnostic.help(write(name)),
        }
    }
}

/// Where an expression names an attribute, from a byte on; empty where it does not, which cannot be.
fn written(text: &str, name: &str, after: usize) -> std::ops::Range<usize> {
    const SUBJECT: &str = "attribute:";
    let goes_on = |c: char| c.is_ascii_alphanumeric() || "-_./\\:".contains(c);
    let mut places = text
        .match_indices(SUBJECT)
        .map(|(at, _)| at + SUBJECT.len());
    places
        .find(|at| {
            *at >= after
                && text[*at..]
                    .strip_prefix(name)
                    .is_some_and(|rest| !rest.starts_with(goes_on))
        })
        .map_or(after..after, |at| at..at + name.len())
}
