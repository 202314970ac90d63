//! Semantics §3a, *capacityProviderStrategy*, over groups of instances.

use super::*;
use crate::model::{InstanceSpec, ProviderShare, TaskId};

fn share(provider: &str, base: u32, weight: u32) -> ProviderShare {
    ProviderShare {
        provider: provider.to_owned(),
        weight,
        base,
    }
}

/// Instances named after their provider, as `spot1`.
fn owned(count: u32, instances: &[&str], shares: &[ProviderShare]) -> World {
    let mut world = World::of(count, sized(10, 10));
    world.instances.clear();
    world.cluster.instances.clear();
    for name in instances {
        world.add_instance(name);
        let provider = name.trim_end_matches(|c: char| c.is_ascii_digit());
        world.cluster.instances.push(InstanceSpec {
            name: (*name).into(),
            capacity_provider: Some(provider.to_owned()),
            ..InstanceSpec::local()
        });
    }
    world.manifest().capacity_providers = shares.to_vec();
    world
}

fn by_provider(world: &World) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for task in world.tasks.values() {
        let over = task.status.as_ref().is_some_and(|s| s.is_stopped());
        if !over {
            let provider = task.record.capacity_provider.clone();
            *counts.entry(provider.unwrap_or_default()).or_default() += 1;
        }
    }
    counts
}

fn counts(of: &[(&str, u32)]) -> BTreeMap<String, u32> {
    of.iter()
        .map(|(name, n)| ((*name).to_owned(), *n))
        .collect()
}

#[test]
fn section_3a_the_base_is_placed_first_and_the_rest_by_weight() {
    let shares = [share("fix", 2, 1), share("spot", 0, 3)];
    let mut world = owned(10, &["fix1", "fix2", "spot1", "spot2"], &shares);
    let placed = places(&world);
    assert!(
        placed[..2].iter().all(|at| at.starts_with("fix")),
        "{placed:?}"
    );
    world.settle();
    assert_eq!(by_provider(&world), counts(&[("fix", 4), ("spot", 6)]));
    // The tasks are spread within each provider.
    let out = spread_out(&world);
    assert_eq!(
        (out["fix1"], out["fix2"], out["spot1"], out["spot2"]),
        (2, 2, 3, 3)
    );
}

#[test]
fn section_3a_a_share_that_finds_no_room_is_left_unplaced_and_goes_to_no_other_provider() {
    let shares = [share("fix", 0, 1), share("spot", 0, 1)];
    let mut world = owned(6, &["fix1", "spot1"], &shares);
    world
        .instances
        .get_mut("spot1")
        .expect("spot1")
        .0
        .registered
        .cpu = 10;
    let said = world.said();
    assert_eq!(by_provider(&world), counts(&[("fix", 3), ("spot", 1)]));
    assert!(
        said.contains(
            "The closest matching container-instance spot1 has insufficient CPU units available. Of 2: 1 short of CPU, 1 \
             whose capacity provider has its share."
        ),
        "{said}"
    );
}

#[test]
fn instances_of_no_provider_in_the_strategy_get_nothing() {
    let mut world = owned(2, &["fix1", "other1"], &[share("fix", 0, 1)]);
    assert_eq!(places(&world), ["fix1", "fix1"]);
    world.instances.remove("fix1");
    let said = world.said();
    assert!(
        said.contains("other1 belongs to none of the capacity providers of the strategy"),
        "{said}"
    );
}

#[test]
fn a_scale_in_takes_from_the_provider_that_has_more_than_its_share() {
    let shares = [share("fix", 2, 0), share("spot", 0, 1)];
    let mut world = owned(6, &["fix1", "spot1"], &shares);
    world.steady();
    world.manifest().desired_count = 3;
    assert_eq!(taken(&world), ["spot1", "spot1", "spot1"]);
    world.settle();
    assert_eq!(world.plan().decisions, [], "and that is all");
}

#[test]
fn the_clusters_default_strategy_counts_where_neither_strategy_nor_launch_type_is_named() {
    let mut world = owned(2, &["fix1", "spot1"], &[]);
    assert_eq!(places(&world), ["fix1", "spot1"], "any instance");
    world.cluster.default_strategy = vec![share("spot", 0, 1)];
    assert_eq!(places(&world), ["spot1", "spot1"]);
    world.manifest().names_launch_type = true;
    assert_eq!(places(&world), ["fix1", "spot1"]);
}

#[test]
fn fargate_is_every_instance_as_long_as_none_is_said_to_be_it() {
    let shares = [share("FARGATE", 1, 1), share("FARGATE_SPOT", 0, 3)];
    let mut world = owned(5, &["fix1", "spot1"], &shares);
    world.settle();
    assert_eq!(
        by_provider(&world),
        counts(&[("FARGATE", 2), ("FARGATE_SPOT", 3)])
    );
    assert!(spread_out(&world).values().all(|n| *n >= 2));
}

#[test]
fn a_task_that_failed_is_replaced_within_the_share_that_it_was_of() {
    let shares = [share("fix", 0, 1), share("spot", 0, 1)];
    let mut world = owned(4, &["fix1", "spot1"], &shares);
    world.steady();
    let of_spot: Vec<TaskId> =
        world.ids(|task| task.record.capacity_provider.as_deref() == Some("spot"));
    world.exit(&of_spot[0], 1);
    assert_eq!(places(&world), ["spot1"]);
}
