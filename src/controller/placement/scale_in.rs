//! Which tasks a scale-in takes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::books::{Books, attribute};
use super::page::Page;
use crate::model::{BinpackField, InstanceId, PlacementStrategy, Resources, SpreadField, TaskId};

/// A task that may be chosen to go, as placement sees it.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct Standing<'t> {
    pub id: &'t TaskId,
    pub instance: &'t InstanceId,
    /// The capacity provider whose share it is.
    pub provider: Option<&'t str>,
}

impl Books<'_> {
    /// Which `count` of `tasks` a scale-in takes, by their place there, and in which order (semantics §4.31). Of capacity
    /// providers that have so many tasks `beyond` their share these go first. Then what the strategies spread
    /// over stays balanced, then the availability zone with the most tasks of the service gives one, then the instance with
    /// the most. Where tasks are packed, the instance that ends with the most free does. Of equals the first in `tasks`.
    pub fn scale_in(
        &self,
        strategy: &[PlacementStrategy],
        beyond: &[(&str, usize)],
        tasks: &[Standing<'_>],
        count: usize,
    ) -> Vec<usize> {
        let mut chosen = Vec::new();
        for (provider, beyond) in beyond {
            let of_it: Vec<usize> = (0..tasks.len())
                .filter(|at| tasks[*at].provider == Some(*provider))
                .collect();
            let most = (*beyond).min(of_it.len()).min(count - chosen.len());
            chosen.extend(self.fullest(strategy, tasks, &of_it, most));
        }
        let gone: BTreeSet<usize> = chosen.iter().copied().collect();
        let rest: Vec<usize> = (0..tasks.len()).filter(|at| !gone.contains(at)).collect();
        let most = count - chosen.len();
        chosen.extend(self.fullest(strategy, tasks, &rest, most));
        chosen
    }

    /// Which `count` of the tasks named by `of` go.
    fn fullest(
        &self,
        strategy: &[PlacementStrategy],
        tasks: &[Standing<'_>],
        of: &[usize],
        count: usize,
    ) -> Vec<usize> {
        if count == 0 {
            return Vec::new();
        }
        let mut hosts: BTreeMap<&InstanceId, Host<'_>> = BTreeMap::new();
        for page in &self.pages {
            let host = Host {
                page: Some(page),
                tasks: page.staying,
                waiting: Vec::new(),
                freed: Resources::default(),
            };
            hosts.insert(&page.view.instance.id, host);
        }
        for at in of.iter().rev().copied() {
            let task = &tasks[at];
            let host = hosts.entry(task.instance).or_default();
            if host.page.is_none() {
                host.tasks += 1;
            }
            host.waiting.push(at);
        }
        let zone = SpreadField::Attribute(SpreadField::ZONE.to_owned());
        let mut levels: Vec<PlacementStrategy> = strategy.to_vec();
        // It has no say in what goes; then the zones even out.
        levels.retain(|strategy| *strategy != PlacementStrategy::Random);
        levels.push(PlacementStrategy::Spread(zone));
        levels.push(PlacementStrategy::Spread(SpreadField::InstanceId));
        let mut counts: Vec<BTreeMap<String, u64>> = vec![BTreeMap::new(); levels.len()];
        let keys: BTreeMap<&InstanceId, Vec<String>> = hosts
            .iter()
            .map(|(id, host)| (*id, host.keys(&levels)))
            .collect();
        for (id, host) in &hosts {
            for (level, key) in keys[id].iter().enumerate() {
                *counts[level].entry(key.clone()).or_default() += u64::from(host.tasks);
            }
        }
        let mut chosen = Vec::new();
        while chosen.len() < count {
            let worth = |id: &InstanceId, host: &Host<'_>| -> Option<(Vec<u64>, Reverse<usize>)> {
                let first = host.waiting.last()?;
                let task = &tasks[*first];
                let worth = levels
                    .iter()
                    .enumerate()
                    .map(|(level, strategy)| match strategy {
                        PlacementStrategy::Spread(_) => counts[level][&keys[id][level]],
                        PlacementStrategy::Binpack(field) => host.free_without(task.id, *field),
                        PlacementStrategy::Random => 0,
                    });
                Some((worth.collect(), Reverse(*first)))
            };
            let fullest = hosts
                .iter()
                .filter_map(|(id, host)| Some((worth(id, host)?, *id)))
                .max_by(|(a, _), (b, _)| a.cmp(b));
            let Some((_, id)) = fullest else { break };
            for (level, key) in keys[id].iter().enumerate() {
                if let Some(tasks) = counts[level].get_mut(key) {
                    *tasks = tasks.saturating_sub(1);
                }
            }
            if let Some(host) = hosts.get_mut(id)
                && let Some(at) = host.waiting.pop()
            {
                let held = host.page.and_then(|page| page.held_by(tasks[at].id));
                host.freed = host.freed.plus(held.unwrap_or_default());
                chosen.push(at);
            }
        }
        chosen
    }
}

/// An instance in the choice of what goes.
#[derive(Default)]
struct Host<'b> {
    /// None: it is not registered any more.
    page: Option<&'b Page<'b>>,
    tasks: u32,
    /// Those that may go, the next one last.
    waiting: Vec<usize>,
    freed: Resources,
}

impl Host<'_> {
    /// What its tasks are counted under, at each level: with what stands before it, so that the levels are nested.
    fn keys(&self, levels: &[PlacementStrategy]) -> Vec<String> {
        let mut path = String::new();
        let of_level = |strategy: &PlacementStrategy| {
            match (strategy, self.page) {
                (PlacementStrategy::Spread(SpreadField::Attribute(name)), Some(page)) => {
                    path.push_str(attribute(page, name));
                    path.push('\n');
                }
                (PlacementStrategy::Spread(SpreadField::InstanceId), Some(page)) => {
                    path.push_str(page.view.instance.id.as_str());
                    path.push('\n');
                }
                _ => {}
            }
            path.clone()
        };
        levels.iter().map(of_level).collect()
    }

    fn free_without(&self, task: &TaskId, field: BinpackField) -> u64 {
        let Some(page) = self.page else { return 0 };
        let held = page.held_by(task).unwrap_or_default();
        let left = page.left(Resources::default());
        let left = left.plus(self.freed).plus(held);
        match field {
            BinpackField::Cpu => left.cpu,
            BinpackField::Memory => left.memory,
        }
    }
}
