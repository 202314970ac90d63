//! What was last seen of each container, by task. Reads of an engine overlap; here the later one wins, however late an
//! earlier one comes back.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{ContainerState, EngineEvent, ObservedContainer, labels};
use crate::model::{TaskId, Timestamp};

/// When a read began. A later ticket has seen everything that an earlier one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Ticket(u64);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last_ticket: u64,
    /// That of the last list. Reads that are in flight at the next one began after it.
    last_list: Ticket,
    /// By the engine's id. One that is gone stays for a while as a tombstone, against late reads.
    entries: BTreeMap<String, Entry>,
    by_task: HashMap<TaskId, BTreeMap<String, String>>,
    /// Containers on which a call of ours is under way; it looks when it is done.
    in_call: HashSet<(TaskId, String)>,
    /// Containers to which something happened that was not looked at yet, by the engine's id.
    inspecting: HashMap<String, Inspection>,
}

#[derive(Debug)]
struct Inspection {
    task: TaskId,
    container: String,
    /// Something more happened since it began.
    again: bool,
}

#[derive(Debug)]
struct Entry {
    ticket: Ticket,
    seen: Option<ObservedContainer>,
}

/// The task and the name in its definition that a container's labels say. `None`: it is no container of a task.
pub(super) fn identity(labels_: &BTreeMap<String, String>) -> Option<(TaskId, &str)> {
    if labels_.contains_key(labels::LEASE) {
        return None;
    }
    let task = labels_.get(labels::TASK)?;
    let container = labels_.get(labels::CONTAINER)?;
    Some((TaskId::new(task.as_str()), container))
}

/// What to do about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Inspect the container, then say so to [`Cache::inspected`].
    Inspect,
    /// Nothing: it is known already, or will be looked at anyway.
    Nothing,
}

impl Cache {
    /// A ticket for a read that begins now.
    pub fn ticket(&self) -> Ticket {
        let mut inner = self.lock();
        inner.last_ticket += 1;
        Ticket(inner.last_ticket)
    }

    /// Takes in what a read saw. Returns the task to look at, unless a later read came first.
    pub fn put(&self, ticket: Ticket, seen: ObservedContainer) -> Option<TaskId> {
        self.lock().put(ticket, seen)
    }

    /// Takes in that a read found the container gone.
    pub fn gone(&self, ticket: Ticket, id: &str) -> Option<TaskId> {
        self.lock().gone(ticket, id)
    }

    /// Whether it has ended and that is news.
    pub fn is_new_end(&self, seen: &ObservedContainer) -> bool {
        let ended = |state| matches!(state, ContainerState::Exited | ContainerState::Dead);
        let inner = self.lock();
        let known = inner.entries.get(&seen.id).and_then(|e| e.seen.as_ref());
        ended(seen.state) && known.is_none_or(|known| !ended(known.state))
    }

    /// Takes in a whole list. Returns what it did not have and the cache has: to be looked at before it is taken for gone,
    /// because a list takes a while and may be older than a create.
    pub fn list(&self, ticket: Ticket, all: Vec<ObservedContainer>) -> Vec<String> {
        let mut inner = self.lock();
        let old = std::mem::replace(&mut inner.last_list, ticket);
        inner
            .entries
            .retain(|_, entry| entry.seen.is_some() || entry.ticket > old);
        let listed: HashSet<String> = all.iter().map(|c| c.id.clone()).collect();
        for seen in all {
            inner.put(ticket, seen);
        }
        inner
            .entries
            .iter()
            .filter(|(id, entry)| entry.seen.is_some() && !listed.contains(*id))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The containers of a task, by their name in the definition.
    pub fn of_task(&self, task: &TaskId) -> BTreeMap<String, ObservedContainer> {
        let inner = self.lock();
        let Some(names) = inner.by_task.get(task) else {
            return BTreeMap::new();
        };
        names
            .iter()
            .filter_map(|(name, id)| {
                let seen = inner.entries.get(id)?.seen.clone()?;
                Some((name.clone(), seen))
            })
            .collect()
    }

    /// Containers of a task to which something happened that was not looked at yet: nothing may be decided about them.
    pub fn unseen(&self, task: &TaskId) -> BTreeSet<String> {
        self.lock()
            .inspecting
            .values()
            .filter(|inspection| inspection.task == *task)
            .map(|inspection| inspection.container.clone())
            .collect()
    }

    /// Every task that has a container.
    pub fn tasks(&self) -> Vec<TaskId> {
        self.lock().by_task.keys().cloned().collect()
    }

    /// A call of ours on a container begins: until [`end_call`](Self::end_call) its events are not looked at.
    pub fn begin_call(&self, task: &TaskId, container: &str) {
        self.lock()
            .in_call
            .insert((task.clone(), container.to_owned()));
    }

    /// The call ended, and the container was looked at after it.
    pub fn end_call(&self, task: &TaskId, container: &str) {
        self.lock()
            .in_call
            .remove(&(task.clone(), container.to_owned()));
    }

    /// What to do about an event of the container `id` of this task.
    pub fn react(&self, event: &EngineEvent, task: &TaskId, container: &str) -> Reaction {
        let mut inner = self.lock();
        if inner
            .in_call
            .contains(&(task.clone(), container.to_owned()))
        {
            return Reaction::Nothing;
        }
        if let Some(inspection) = inner.inspecting.get_mut(&event.id) {
            inspection.again = true;
            return Reaction::Nothing;
        }
        let seen = inner
            .entries
            .get(&event.id)
            .and_then(|entry| entry.seen.as_ref());
        let known = seen.is_some_and(|seen| match event.action.as_str() {
            "create" => true,
            // No later event waits to be looked at, so this is the start that was seen.
            "start" => {
                seen.state == ContainerState::Running && is_not_after(seen.started_at, event.at)
            }
            _ => false,
        });
        if known {
            return Reaction::Nothing;
        }
        let inspection = Inspection {
            task: task.clone(),
            container: container.to_owned(),
            again: false,
        };
        inner.inspecting.insert(event.id.clone(), inspection);
        Reaction::Inspect
    }

    /// An inspection that [`react`](Self::react) asked for is done. Whether it is to be made again, because something
    /// happened meanwhile.
    pub fn inspected(&self, id: &str) -> bool {
        let mut inner = self.lock();
        match inner.inspecting.get_mut(id) {
            Some(inspection) if inspection.again => {
                inspection.again = false;
                true
            }
            _ => {
                inner.inspecting.remove(id);
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_not_after(started: Option<Timestamp>, event: Timestamp) -> bool {
    started.is_some_and(|started| started <= event)
}

impl Inner {
    fn is_late(&self, ticket: Ticket, id: &str) -> bool {
        self.entries
            .get(id)
            .is_some_and(|entry| entry.ticket >= ticket)
    }

    fn put(&mut self, ticket: Ticket, seen: ObservedContainer) -> Option<TaskId> {
        let (task, container) = identity(&seen.labels)?;
        // Longshore's own names begin like this; anything else only borrowed its labels.
        if !seen.name.starts_with("longshore-") || self.is_late(ticket, &seen.id) {
            return None;
        }
        let container = container.to_owned();
        self.by_task
            .entry(task.clone())
            .or_default()
            .insert(container, seen.id.clone());
        self.entries.insert(
            seen.id.clone(),
            Entry {
                ticket,
                seen: Some(seen),
            },
        );
        Some(task)
    }

    fn gone(&mut self, ticket: Ticket, id: &str) -> Option<TaskId> {
        if self.is_late(ticket, id) {
            return None;
        }
        let entry = self.entries.get_mut(id)?;
        entry.ticket = ticket;
        let seen = entry.seen.take()?;
        let (task, container) = identity(&seen.labels)?;
        if let Some(names) = self.by_task.get_mut(&task) {
            if names.get(container).is_some_and(|known| known == id) {
                names.remove(container);
            }
            if names.is_empty() {
                self.by_task.remove(&task);
            }
        }
        Some(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::{created, running};

    fn container(name: &str) -> ObservedContainer {
        labelled(running(name, 1), name)
    }

    fn labelled(mut seen: ObservedContainer, name: &str) -> ObservedContainer {
        seen.labels.insert(labels::TASK.to_owned(), "t".to_owned());
        seen.labels
            .insert(labels::CONTAINER.to_owned(), name.to_owned());
        seen
    }

    fn event(action: &str, id: &str, at: i64) -> EngineEvent {
        EngineEvent {
            kind: "container".to_owned(),
            action: action.to_owned(),
            id: id.to_owned(),
            attributes: BTreeMap::new(),
            at: crate::agent::tests::at(at),
            at_nanos: 0,
        }
    }

    fn names(cache: &Cache) -> Vec<String> {
        cache.of_task(&"t".into()).into_keys().collect()
    }

    #[test]
    fn a_read_that_comes_back_late_changes_nothing() {
        let cache = Cache::default();
        let early = cache.ticket();
        let late = cache.ticket();
        assert!(cache.put(late, container("web")).is_some());
        let old = labelled(created("web"), "web");
        assert!(cache.put(early, old).is_none());
        let seen = cache.of_task(&"t".into());
        assert_eq!(seen["web"].state, ContainerState::Running);
        assert!(cache.gone(early, "id-web").is_none());
        assert_eq!(names(&cache), ["web"]);
    }

    #[test]
    fn a_list_that_began_before_a_create_does_not_lose_its_container() {
        let cache = Cache::default();
        let listing = cache.ticket();
        cache.put(cache.ticket(), container("new"));
        assert_eq!(cache.list(listing, vec![container("old")]), ["id-new"]);
        assert_eq!(names(&cache), ["new", "old"]);
    }

    #[test]
    fn a_list_that_began_before_a_removal_does_not_bring_its_container_back() {
        let cache = Cache::default();
        cache.put(cache.ticket(), container("web"));
        let listing = cache.ticket();
        assert!(cache.gone(cache.ticket(), "id-web").is_some());
        assert!(cache.list(listing, vec![container("web")]).is_empty());
        assert_eq!(names(&cache), Vec::<String>::new());
    }

    #[test]
    fn events_during_a_call_of_ours_and_of_what_is_known_ask_for_nothing() {
        let cache = Cache::default();
        let (task, start) = (TaskId::new("t"), event("start", "id-web", 5));
        cache.begin_call(&task, "web");
        assert_eq!(cache.react(&start, &task, "web"), Reaction::Nothing);
        cache.put(cache.ticket(), container("web"));
        cache.end_call(&task, "web");
        assert_eq!(cache.react(&start, &task, "web"), Reaction::Nothing);
        let die = event("die", "id-web", 6);
        assert_eq!(cache.react(&die, &task, "web"), Reaction::Inspect);
    }

    #[test]
    fn an_event_during_an_inspection_asks_for_another_one() {
        let cache = Cache::default();
        let task = TaskId::new("t");
        cache.put(cache.ticket(), container("web"));
        let die = event("die", "id-web", 6);
        assert_eq!(cache.react(&die, &task, "web"), Reaction::Inspect);
        // The start of a second run: were it skipped because of the first run's start, a late answer would stand.
        let start = event("start", "id-web", 7);
        assert_eq!(cache.react(&start, &task, "web"), Reaction::Nothing);
        assert_eq!(cache.unseen(&task), BTreeSet::from(["web".to_owned()]));
        assert!(cache.inspected("id-web"));
        assert!(!cache.inspected("id-web"));
        assert!(cache.unseen(&task).is_empty());
        assert_eq!(cache.react(&die, &task, "web"), Reaction::Inspect);
    }

    #[test]
    fn leases_and_containers_that_only_borrowed_labels_are_no_part_of_a_task() {
        let cache = Cache::default();
        let mut lease = container("web");
        lease
            .labels
            .insert(labels::LEASE.to_owned(), "1".to_owned());
        let mut borrowed = container("web");
        borrowed.name = "mine".to_owned();
        assert!(cache.put(cache.ticket(), lease).is_none());
        assert!(cache.put(cache.ticket(), borrowed).is_none());
        assert!(cache.tasks().is_empty());
    }
}
