//! The instances that may still take a task, in the order in which they are preferred.
//!
//! A tree: a level for each attribute that tasks are spread over first, and at its leaves the instances by their own rank. A
//! task that is placed changes the counts along one path and the rank of one instance, so finding the next one costs what
//! the logarithm of their number does.

use std::collections::{BTreeMap, BTreeSet};

/// Smaller is better. It begins with what strategies say and ends with the instance's place in the order of names, so that
/// no two are equal.
pub(super) type Rank = Vec<u64>;

#[derive(Debug)]
pub(super) struct Candidates {
    root: Node,
    /// By instance.
    places: Vec<Place>,
}

#[derive(Debug, Default)]
struct Place {
    /// Which child, at each level.
    path: Vec<usize>,
    /// The rank under which it stands at its leaf, if it does.
    rank: Option<Rank>,
    /// Whether it can ever stand there.
    member: bool,
}

#[derive(Debug)]
enum Node {
    Groups {
        /// With the number of tasks of each.
        children: Vec<(u32, Node)>,
        /// Those that have a candidate, the emptiest first.
        order: BTreeSet<(u32, usize)>,
    },
    Leaf(BTreeSet<(Rank, usize)>),
}

/// An instance that a tree is made of.
pub(super) struct Entry<'a> {
    /// Its values of the attributes that tasks are spread over, by level.
    pub values: Vec<&'a str>,
    /// Tasks that it has.
    pub tasks: u32,
    /// Its rank; none for one that is no candidate and only counts.
    pub rank: Option<Rank>,
}

impl Candidates {
    pub fn new(entries: Vec<Entry<'_>>) -> Self {
        let mut places: Vec<Place> = Vec::new();
        places.resize_with(entries.len(), Place::default);
        let all: Vec<usize> = (0..entries.len()).collect();
        let levels = entries.first().map_or(0, |entry| entry.values.len());
        let root = Node::build(&entries, &all, levels, 0, &mut places);
        let mut candidates = Self { root, places };
        for (at, entry) in entries.into_iter().enumerate() {
            candidates.places[at].member = entry.rank.is_some();
            if let Some(rank) = entry.rank {
                candidates.insert(at, rank);
            }
        }
        candidates
    }

    /// The best candidate; `rank` tells what each is worth by now. A rank that was handed in may have become worse since,
    /// but never better without [`insert`](Self::insert).
    pub fn best(&mut self, rank: impl Fn(usize) -> Rank) -> Option<usize> {
        loop {
            let (known, at) = self.root.first()?;
            let (at, now) = (*at, rank(*at));
            if now <= *known {
                return Some(at);
            }
            self.insert(at, now);
        }
    }

    /// Puts a member under a new rank.
    pub fn insert(&mut self, at: usize, rank: Rank) {
        self.remove(at);
        let place = &mut self.places[at];
        self.root.insert(&place.path, (rank.clone(), at));
        place.rank = Some(rank);
    }

    /// It is no candidate for now.
    pub fn remove(&mut self, at: usize) {
        let place = &mut self.places[at];
        if let Some(rank) = place.rank.take() {
            self.root.remove(&place.path, &(rank, at));
        }
    }

    /// One task more is on it.
    pub fn count(&mut self, at: usize) {
        self.root.count(&self.places[at].path);
    }

    /// Whether it can ever be a candidate.
    pub fn is_member(&self, at: usize) -> bool {
        self.places[at].member
    }
}

impl Node {
    fn build(
        entries: &[Entry<'_>],
        of: &[usize],
        levels: usize,
        level: usize,
        places: &mut [Place],
    ) -> Self {
        if level == levels {
            return Self::Leaf(BTreeSet::new());
        }
        let mut values: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for at in of {
            values
                .entry(entries[*at].values[level])
                .or_default()
                .push(*at);
        }
        let mut children = Vec::with_capacity(values.len());
        for (child, members) in values.into_values().enumerate() {
            for at in &members {
                places[*at].path.push(child);
            }
            let tasks = members.iter().map(|at| entries[*at].tasks).sum();
            let below = Self::build(entries, &members, levels, level + 1, places);
            children.push((tasks, below));
        }
        let order = BTreeSet::new();
        Self::Groups { children, order }
    }

    fn first(&self) -> Option<&(Rank, usize)> {
        match self {
            Self::Groups { children, order } => children[order.first()?.1].1.first(),
            Self::Leaf(pages) => pages.first(),
        }
    }

    fn insert(&mut self, path: &[usize], page: (Rank, usize)) {
        match (self, path) {
            (Self::Groups { children, order }, [child, rest @ ..]) => {
                let (tasks, below) = &mut children[*child];
                order.insert((*tasks, *child));
                below.insert(rest, page);
            }
            (Self::Leaf(pages), _) => {
                pages.insert(page);
            }
            (Self::Groups { .. }, []) => {}
        }
    }

    /// Returns whether nothing is left here.
    fn remove(&mut self, path: &[usize], page: &(Rank, usize)) -> bool {
        match (self, path) {
            (Self::Groups { children, order }, [child, rest @ ..]) => {
                let (tasks, below) = &mut children[*child];
                if below.remove(rest, page) {
                    order.remove(&(*tasks, *child));
                }
                order.is_empty()
            }
            (Self::Leaf(pages), _) => {
                pages.remove(page);
                pages.is_empty()
            }
            (Self::Groups { order, .. }, []) => order.is_empty(),
        }
    }

    fn count(&mut self, path: &[usize]) {
        if let (Self::Groups { children, order }, [child, rest @ ..]) = (self, path) {
            let (tasks, below) = &mut children[*child];
            let there = order.remove(&(*tasks, *child));
            *tasks += 1;
            if there {
                order.insert((*tasks, *child));
            }
            below.count(rest);
        }
    }
}
