//! What is booked on each instance, and which of them takes a task.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::candidates::{Candidates, Entry, Rank};
use super::page::{Held, InstanceView, Page};
use super::ports::Rotation;
use super::random;
use super::refusal::{NoFit, Refusal};
use super::request::{Needs, Offer, Placed, Request, Share};
use crate::controller::observe::TaskView;
use crate::model::{
    BinpackField, InstanceId, PlacementStrategy, Query, Resources, SpreadField, TaskRecord,
};

/// See the [module's documentation](super). Never copied, which would cost more than any plan needs: what is only tried is
/// taken back.
#[derive(Debug)]
pub(in crate::controller) struct Books<'a> {
    /// In order of the instances' names.
    pub(super) pages: Vec<Page<'a>>,
    /// Decides what is to look random.
    seed: String,
    rotation: Rotation,
    /// What was found out for the last request.
    search: Option<Box<Search>>,
}

/// What a service has in an availability zone.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::controller) struct Zone {
    /// Its tasks that stay.
    pub tasks: u32,
    /// Whether any instance there takes tasks at all.
    pub takes: bool,
}

/// What is known for requests that are alike.
#[derive(Debug)]
struct Search {
    needs: Needs,
    /// One for each capacity provider, in the order of the strategy; without one, a single one of all instances.
    pools: Vec<Pool>,
    /// Attributes that tasks are spread over where other strategies come first: tasks by value.
    counts: BTreeMap<String, BTreeMap<String, u32>>,
    /// Of all instances, by name.
    names: Rc<[InstanceId]>,
    /// Why those that are no candidates are none.
    refused: Rc<BTreeMap<usize, Refusal>>,
}

/// The instances of a capacity provider.
#[derive(Debug)]
struct Pool {
    provider: Option<String>,
    /// Most tasks of the service.
    target: u32,
    base: u32,
    /// Those that it has.
    tasks: u32,
    candidates: Candidates,
}

/// An instance that takes a task.
struct Found {
    at: usize,
    offer: Offer,
    rotation: Rotation,
    pool: Option<usize>,
}

impl<'a> Books<'a> {
    /// The books as stored. `tasks` are the service's own, each with whether it is gone (then it holds nothing any more)
    /// and whether it stays.
    pub fn new(
        seed: &str,
        instances: &'a [InstanceView<'a>],
        tasks: &[(TaskView<'a>, bool, bool)],
    ) -> Self {
        let mut pages: Vec<Page<'a>> = instances.iter().map(Page::new).collect();
        pages.sort_by_key(|page| &page.view.instance.id);
        let mut books = Self {
            pages,
            seed: seed.to_owned(),
            rotation: Rotation::default(),
            search: None,
        };
        for (task, gone, stays) in tasks {
            if let Some(at) = books.at(&task.record.instance) {
                let page = &mut books.pages[at];
                match gone {
                    true => page.bury(&task.record.id),
                    false => page.adopt(task, *stays),
                }
            }
        }
        let dynamic = |task: &TaskRecord, port: u16| {
            books.at(&task.instance).is_some_and(|at| {
                let instance = books.pages[at].view.instance;
                instance.dynamic_ports.contains(port)
            })
        };
        let all = tasks.iter().map(|(task, gone, _)| (task.record, *gone));
        books.rotation = Rotation::new(seed, all, dynamic);
        books
    }

    /// No instance at all.
    pub fn none() -> Self {
        Self {
            pages: Vec::new(),
            seed: String::new(),
            rotation: Rotation::default(),
            search: None,
        }
    }

    /// The instances that do not meet the constraints, with the one that each does not: none that tasks decide about, where
    /// the service has a task already.
    pub fn outside(&self, request: &Request<'_>) -> BTreeMap<InstanceId, Query> {
        let needs = Needs::of(request);
        let unmet = |page: &Page<'_>| {
            let query = page.outside(&needs)?;
            Some((page.view.instance.id.clone(), query))
        };
        self.pages.iter().filter_map(unmet).collect()
    }

    /// The availability zones of the instances, with what the service has there. Instances without one are not in it.
    pub fn zones(&self) -> BTreeMap<String, Zone> {
        let mut zones: BTreeMap<String, Zone> = BTreeMap::new();
        for page in &self.pages {
            let name = attribute(page, SpreadField::ZONE);
            if !name.is_empty() {
                let zone = zones.entry(name.to_owned()).or_default();
                zone.tasks += page.staying;
                zone.takes |= page.takes();
            }
        }
        zones
    }

    /// An instance's availability zone.
    pub fn zone_of(&self, instance: &InstanceId) -> Option<&'a str> {
        let page = &self.pages[self.at(instance)?];
        let zone = page.view.instance.attributes.get(SpreadField::ZONE)?;
        Some(zone.as_str())
    }

    fn at(&self, instance: &InstanceId) -> Option<usize> {
        self.pages
            .binary_search_by(|page| page.view.instance.id.cmp(instance))
            .ok()
    }

    /// Books a task where it fits best.
    pub fn place(&mut self, request: &Request<'_>) -> Result<Placed, NoFit> {
        let needs = Needs::of(request);
        let resources = needs.resources;
        let found = self.find(request, needs)?;
        self.rotation = found.rotation;
        let pool = self
            .search
            .as_mut()
            .zip(found.pool)
            .and_then(|(search, at)| search.pools.get_mut(at));
        let provider = pool.and_then(|pool| {
            pool.tasks += 1;
            pool.provider.clone()
        });
        let page = &mut self.pages[found.at];
        page.book(resources, &found.offer, provider.as_ref());
        let instance = page.view.instance.id.clone();
        self.recount(found.at);
        Ok(Placed {
            instance,
            provider,
            ports: found.offer.ports,
            gpus: found.offer.gpus,
        })
    }

    /// Whether a task would fit if those of the service were gone.
    pub fn would_fit_without(
        &mut self,
        gone: &[&'a TaskRecord],
        request: &Request<'_>,
    ) -> Result<(), NoFit> {
        let held: Vec<Option<Held<'a>>> = gone.iter().map(|task| self.release(task)).collect();
        let found = self.find(request, Needs::of(request)).map(|_| ());
        for (task, held) in gone.iter().zip(held) {
            self.restore(task, held);
        }
        found
    }

    /// Gives back what a task of the service holds, and returns it.
    pub fn release(&mut self, task: &TaskRecord) -> Option<Held<'a>> {
        let at = self.at(&task.instance)?;
        let held = self.pages[at].release(&task.id);
        self.reconsider(at);
        held
    }

    /// Takes a release back.
    pub fn restore(&mut self, task: &'a TaskRecord, held: Option<Held<'a>>) {
        if let (Some(held), Some(at)) = (held, self.at(&task.instance)) {
            self.pages[at].restore(&task.id, held);
            self.reconsider(at);
        }
    }

    /// Where a task fits best, and what it would get there.
    fn find(&mut self, request: &Request<'_>, needs: Needs) -> Result<Found, NoFit> {
        if let Some(only) = request.only {
            return self.try_only(only, &needs);
        }
        let mut search = match self.search.take() {
            Some(search) if search.needs == needs => search,
            _ => Box::new(Search::new(&self.pages, &self.seed, needs)),
        };
        let mut found = None;
        for pool in search.in_need() {
            found = self.find_in(&mut search, pool);
            if found.is_some() {
                break;
            }
        }
        let found = found.ok_or_else(|| search.no_fit());
        self.search = Some(search);
        found
    }

    fn find_in(&self, search: &mut Search, pool: usize) -> Option<Found> {
        loop {
            let Search {
                needs,
                pools,
                counts,
                ..
            } = search;
            let rank = |at: usize| rank(needs, counts, &self.seed, &self.pages, at);
            let at = pools.get_mut(pool)?.candidates.best(rank)?;
            let mut rotation = self.rotation.clone();
            match self.pages[at].offer(&search.needs, &mut rotation) {
                Ok(offer) => {
                    return Some(Found {
                        at,
                        offer,
                        rotation,
                        pool: Some(pool),
                    });
                }
                Err(refusal) => search.refuse(at, refusal),
            }
        }
    }

    fn try_only(&self, only: &InstanceId, needs: &Needs) -> Result<Found, NoFit> {
        let Some(at) = self.at(only) else {
            return Err(NoFit::default());
        };
        let page = &self.pages[at];
        let mut rotation = self.rotation.clone();
        let offer = match page.refuses(needs) {
            Some(refusal) => Err(refusal),
            None => page.offer(needs, &mut rotation),
        };
        match offer {
            Ok(offer) => Ok(Found {
                at,
                offer,
                rotation,
                pool: None,
            }),
            Err(refusal) => {
                let refusals = BTreeMap::from([(0, refusal)]);
                Err(NoFit::new(Rc::from([only.clone()]), Rc::new(refusals)))
            }
        }
    }

    /// One task more is on that instance.
    fn recount(&mut self, at: usize) {
        let Some(search) = &mut self.search else {
            return;
        };
        for (name, counts) in &mut search.counts {
            let value = attribute(&self.pages[at], name).to_owned();
            *counts.entry(value).or_default() += 1;
        }
        for pool in &mut search.pools {
            pool.candidates.count(at);
        }
        if !search.refused.contains_key(&at) {
            search.enter(&self.pages, &self.seed, at);
        }
    }

    /// Something was given back there, or taken back: what refused a task may have gone.
    fn reconsider(&mut self, at: usize) {
        let Some(search) = &mut self.search else {
            return;
        };
        if search.is_member(at) && search.refused.contains_key(&at) {
            Rc::make_mut(&mut search.refused).remove(&at);
        }
        search.enter(&self.pages, &self.seed, at);
    }
}

impl Search {
    fn new(pages: &[Page<'_>], seed: &str, needs: Needs) -> Self {
        let (spread, rest) = needs.levels();
        let mut counts: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
        for strategy in rest {
            if let PlacementStrategy::Spread(SpreadField::Attribute(name)) = strategy {
                let of_value = counts.entry(name.clone()).or_default();
                for page in pages {
                    let value = attribute(page, name).to_owned();
                    *of_value.entry(value).or_default() += page.staying;
                }
            }
        }
        let refusals: Vec<Option<Refusal>> =
            pages.iter().map(|page| page.refuses(&needs)).collect();
        let pool_of = |share: Option<&Share>| {
            let belongs = |page: &Page<'_>| {
                let own = share.and_then(|share| share.instances.as_ref());
                own.is_none_or(|own| own.contains(&page.view.instance.id))
            };
            let entries = pages.iter().zip(&refusals).enumerate();
            let entries = entries.map(|(at, (page, refusal))| Entry {
                values: spread.iter().map(|name| attribute(page, name)).collect(),
                tasks: page.staying,
                rank: (refusal.is_none() && belongs(page))
                    .then(|| rank(&needs, &counts, seed, pages, at)),
            });
            let tasks = share.map_or(0, |share| {
                let of_page = |page: &Page<'_>| -> u32 {
                    let of_share = |provider: &Option<String>| match provider {
                        Some(provider) => *provider == share.provider,
                        // Older than the strategy: it counts for the provider that its instance belongs to.
                        None => share.instances.is_some() && belongs(page),
                    };
                    let all = page.by_provider.iter();
                    all.filter(|(provider, _)| of_share(provider))
                        .map(|(_, count)| count)
                        .sum()
                };
                pages.iter().map(of_page).sum()
            });
            Pool {
                provider: share.map(|share| share.provider.clone()),
                target: share.map_or(u32::MAX, |share| share.target),
                base: share.map_or(0, |share| share.base),
                tasks,
                candidates: Candidates::new(entries.collect()),
            }
        };
        let pools: Vec<Pool> = match needs.shares.as_slice() {
            [] => vec![pool_of(None)],
            shares => shares.iter().map(|share| pool_of(Some(share))).collect(),
        };
        let refused = refusals.into_iter().enumerate();
        let mut refused: BTreeMap<usize, Refusal> = refused
            .filter_map(|(at, refusal)| Some((at, refusal?)))
            .collect();
        for at in 0..pages.len() {
            if !pools.iter().any(|pool| pool.candidates.is_member(at)) {
                refused.entry(at).or_insert(Refusal::Provider);
            }
        }
        let names = pages.iter().map(|page| page.view.instance.id.clone());
        Self {
            names: names.collect(),
            needs,
            pools,
            counts,
            refused: Rc::new(refused),
        }
    }

    /// The capacity providers that may have one task more, the one that lacks most of its share first: those below their
    /// base, then the one with the smallest part of its target.
    fn in_need(&self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.pools.len())
            .filter(|at| self.pools[*at].tasks < self.pools[*at].target)
            .collect();
        all.sort_by(|a, b| {
            let (a, b) = (&self.pools[*a], &self.pools[*b]);
            let part = |of: &Pool, other: &Pool| u64::from(of.tasks) * u64::from(other.target);
            let below = |pool: &Pool| pool.tasks >= pool.base;
            (below(a), part(a, b)).cmp(&(below(b), part(b, a)))
        });
        all
    }

    fn is_member(&self, at: usize) -> bool {
        self.pools.iter().any(|pool| pool.candidates.is_member(at))
    }

    /// Puts an instance where it belongs by what it is worth now.
    fn enter(&mut self, pages: &[Page<'_>], seed: &str, at: usize) {
        for pool in &mut self.pools {
            if pool.candidates.is_member(at) {
                let rank = rank(&self.needs, &self.counts, seed, pages, at);
                pool.candidates.insert(at, rank);
            }
        }
    }

    fn refuse(&mut self, at: usize, refusal: Refusal) {
        for pool in &mut self.pools {
            pool.candidates.remove(at);
        }
        Rc::make_mut(&mut self.refused).insert(at, refusal);
    }

    fn no_fit(&self) -> NoFit {
        let mut refused = Rc::clone(&self.refused);
        for pool in &self.pools {
            let Some(provider) = &pool.provider else {
                continue;
            };
            // What is still a candidate there is so because the share was reached before it was asked.
            for at in 0..self.names.len() {
                if pool.candidates.is_member(at) && !refused.contains_key(&at) {
                    let share = Refusal::Share(provider.clone());
                    Rc::make_mut(&mut refused).insert(at, share);
                }
            }
        }
        NoFit::new(Rc::clone(&self.names), refused)
    }
}

impl Needs {
    /// The attributes that tasks are spread over before anything else counts, and the strategies after them.
    fn levels(&self) -> (Vec<&str>, &[PlacementStrategy]) {
        let mut spread = Vec::new();
        let mut rest = self.strategy.as_slice();
        while let [
            PlacementStrategy::Spread(SpreadField::Attribute(name)),
            more @ ..,
        ] = rest
        {
            spread.push(name.as_str());
            rest = more;
        }
        (spread, rest)
    }
}

/// An instance's value of an attribute. Those that have none are alike.
pub(super) fn attribute<'p>(page: &'p Page<'_>, name: &str) -> &'p str {
    let attributes = &page.view.instance.attributes;
    attributes.get(name).map_or("", String::as_str)
}

/// What an instance is worth among those with the same values of the attributes that come first: by the strategies, then
/// with the fewest tasks of the service, then the most free memory, then the first by name.
fn rank(
    needs: &Needs,
    counts: &BTreeMap<String, BTreeMap<String, u32>>,
    seed: &str,
    pages: &[Page<'_>],
    at: usize,
) -> Rank {
    let page = &pages[at];
    let (_, strategies) = needs.levels();
    let mut rank: Rank = Vec::with_capacity(strategies.len() + 3);
    for strategy in strategies {
        rank.push(match strategy {
            PlacementStrategy::Random => {
                random::arrival(seed, page.view.instance.id.as_str(), page.staying)
            }
            PlacementStrategy::Spread(SpreadField::InstanceId) => u64::from(page.staying),
            PlacementStrategy::Spread(SpreadField::Attribute(name)) => {
                let count = counts
                    .get(name)
                    .and_then(|counts| counts.get(attribute(page, name)));
                u64::from(count.copied().unwrap_or(0))
            }
            PlacementStrategy::Binpack(BinpackField::Cpu) => page.left(needs.resources).cpu,
            PlacementStrategy::Binpack(BinpackField::Memory) => page.left(needs.resources).memory,
        });
    }
    let free = page.left(Resources::default()).memory;
    rank.extend([u64::from(page.staying), u64::MAX - free, at as u64]);
    rank
}
