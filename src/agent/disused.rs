//! Which images nobody needs any more (the ECS agent's `ECS_IMAGE_CLEANUP_*`, semantics §5). Pure.
//!
//! Only an image that a pull of this agent's brought is removed, the longest unused first, and only by the names that it was
//! pulled as: whatever else somebody calls it keeps it. An image that any container was created from is in use, whoever
//! made that container and whether or not it runs, and so is one that a task is about to be created from.
//!
//! With `includeUntracked` all other images follow, once they have been seen unused for the minimum age: an engine tells when
//! an image was built, not since when it is there, so that is counted from the first look. Longshore's own pause image stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::reference::Reference;
use crate::engine::{ListedImage, pause};
use crate::model::{ImageCleanup, PulledImage, PulledImages, Timestamp};

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    /// The cluster's settings.
    pub cleanup: &'a ImageCleanup,
    /// Every image that the engine has.
    pub listed: &'a [ListedImage],
    /// Ids of the images that containers were created from.
    pub used: &'a BTreeSet<String>,
    /// References that tasks are about to be created from.
    pub wanted: &'a BTreeSet<String>,
    /// Since when untracked images have been seen unused, as the last look left it.
    pub untracked: &'a BTreeMap<String, Timestamp>,
    /// When the engine was asked for all that. What was pulled later is not in it.
    pub at: Timestamp,
}

/// An image that is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Removal {
    /// The engine's id of it.
    pub id: String,
    /// The names that are to go, in that order; its id where it has none.
    pub references: Vec<String>,
    /// Since when nothing uses it.
    pub unused_since: Timestamp,
}

/// What follows from a look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Disused {
    /// The longest unused first, those that were pulled before those that were not.
    pub removals: Vec<Removal>,
    /// What was pulled and is there, with what the look has shown of it.
    pub pulled: PulledImages,
    /// [`Look::untracked`] for the next look.
    pub untracked: BTreeMap<String, Timestamp>,
}

/// Decides which images go now.
pub(super) fn disused(pulled: &PulledImages, look: &Look<'_>) -> Disused {
    let mut result = Disused::default();
    let fresh = pulled
        .0
        .iter()
        .filter(|(_, entry)| entry.pulled_at >= look.at);
    for (id, entry) in fresh {
        result.pulled.0.insert(id.clone(), entry.clone());
    }
    let wanted: BTreeSet<String> = look.wanted.iter().map(|name| familiar(name)).collect();
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for image in look.listed {
        if result.pulled.0.contains_key(&image.id) {
            continue;
        }
        let used = look.used.contains(&image.id) || image.names().any(|name| wanted.contains(name));
        let entry = pulled.0.get(&image.id);
        if let Some(entry) = entry.filter(|entry| !names_of(entry, image).is_empty()) {
            let mut entry = entry.clone();
            entry.unused_since = (!used).then(|| entry.unused_since.unwrap_or(look.at));
            if let (Some(since), true) = (entry.unused_since, entry.brought) {
                let removal = Removal {
                    id: image.id.clone(),
                    references: names_of(&entry, image),
                    unused_since: since,
                };
                if is_old_enough(entry.pulled_at, look) {
                    ours.push(removal);
                }
            }
            let brought = entry.brought;
            result.pulled.0.insert(image.id.clone(), entry);
            if brought {
                continue;
            }
        }
        if look.cleanup.include_untracked && !used && !is_kept(image, &look.cleanup.exclude) {
            let since = *look.untracked.get(&image.id).unwrap_or(&look.at);
            result.untracked.insert(image.id.clone(), since);
            if is_old_enough(since, look) {
                others.push(Removal {
                    id: image.id.clone(),
                    references: all_names_of(image),
                    unused_since: since,
                });
            }
        }
    }
    for removals in [&mut ours, &mut others] {
        removals.sort_by(|a, b| (a.unused_since, &a.id).cmp(&(b.unused_since, &b.id)));
    }
    result.removals = ours;
    result.removals.extend(others);
    result.removals.truncate(look.cleanup.per_cycle as usize);
    result
}

fn is_old_enough(since: Timestamp, look: &Look<'_>) -> bool {
    look.at.since(since) >= Duration::from_secs(u64::from(look.cleanup.minimum_age))
}

/// The names of an image that it was pulled as and still has. Tags first: a repository's digests go with its last tag.
fn names_of(entry: &PulledImage, image: &ListedImage) -> Vec<String> {
    let pulled: BTreeSet<String> = entry.references.iter().map(|name| familiar(name)).collect();
    image
        .names()
        .filter(|name| pulled.contains(*name))
        .map(str::to_owned)
        .collect()
}

fn all_names_of(image: &ListedImage) -> Vec<String> {
    let names: Vec<String> = image.names().map(str::to_owned).collect();
    if names.is_empty() {
        vec![image.id.clone()]
    } else {
        names
    }
}

/// As an engine lists it: with the tag that is implied, without what is implied of Docker Hub's, by its digest where it has
/// one.
fn familiar(name: &str) -> String {
    match Reference::parse(name) {
        Ok(Reference {
            digest: Some(digest),
            domain,
            path,
            ..
        }) => Reference {
            domain,
            path,
            tag: None,
            digest: None,
        }
        .at_digest(&digest),
        Ok(reference) => reference.with_default_tag().to_string(),
        Err(_) => name.to_owned(),
    }
}

/// Whether one of an image's names is among those to keep: a whole repository, or one of its tags.
fn is_kept(image: &ListedImage, keep: &[String]) -> bool {
    let names: Vec<Reference> = image
        .names()
        .filter_map(|name| Reference::parse(name).ok())
        .collect();
    let own = [pause::REPOSITORY.to_owned()];
    let keep = keep.iter().chain(&own);
    let mut keep = keep.filter_map(|name| Reference::parse(name).ok());
    keep.any(|keep| {
        names.iter().any(|name| {
            let all = keep.tag.is_none() && keep.digest.is_none();
            let same = name.domain == keep.domain && name.path == keep.path;
            same && (all || (name.tag == keep.tag && name.digest == keep.digest))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + minutes * 60_000)
    }

    fn digest(of: u8) -> String {
        format!("app@sha256:{}", format!("{of:02x}").repeat(32))
    }

    /// An engine with images 1 to 7, pulled one a minute from 1 on as `app:<n>`, and what its agent knows.
    struct World {
        cleanup: ImageCleanup,
        pulled: PulledImages,
        listed: Vec<ListedImage>,
        used: BTreeSet<String>,
        wanted: BTreeSet<String>,
        untracked: BTreeMap<String, Timestamp>,
    }

    impl World {
        fn new() -> Self {
            let numbers = 1..=7_u8;
            Self {
                cleanup: ImageCleanup::default(),
                pulled: PulledImages(
                    numbers
                        .clone()
                        .map(|n| {
                            let pulled = PulledImage {
                                references: [format!("app:{n}"), digest(n)].into(),
                                brought: true,
                                pulled_at: at(i64::from(n)),
                                unused_since: Some(at(10 - i64::from(n))),
                            };
                            (format!("sha256:{n}"), pulled)
                        })
                        .collect(),
                ),
                listed: numbers
                    .map(|n| ListedImage {
                        id: format!("sha256:{n}"),
                        repo_tags: vec![format!("app:{n}")],
                        repo_digests: vec![digest(n)],
                    })
                    .collect(),
                used: BTreeSet::new(),
                wanted: BTreeSet::new(),
                untracked: BTreeMap::new(),
            }
        }

        /// Looks, and keeps what follows for the next look.
        fn look(&mut self, minutes: i64) -> Vec<String> {
            let result = disused(
                &self.pulled,
                &Look {
                    cleanup: &self.cleanup,
                    listed: &self.listed,
                    used: &self.used,
                    wanted: &self.wanted,
                    untracked: &self.untracked,
                    at: at(minutes),
                },
            );
            (self.pulled, self.untracked) = (result.pulled, result.untracked);
            let names = |removal: Removal| removal.references.join(" ");
            result.removals.into_iter().map(names).collect()
        }

        fn foreign(&mut self, id: &str, tag: &str) {
            self.listed.push(ListedImage {
                id: id.to_owned(),
                repo_tags: vec![tag.to_owned()],
                repo_digests: Vec::new(),
            });
        }
    }

    fn both(numbers: &[u8]) -> Vec<String> {
        let names = |n: &u8| format!("app:{n} {}", digest(*n));
        numbers.iter().map(names).collect()
    }

    #[test]
    fn the_longest_unused_go_first_and_no_more_than_a_cycle_takes() {
        let mut world = World::new();
        assert_eq!(world.look(300), both(&[7, 6, 5, 4, 3]));
        world.cleanup.per_cycle = 1;
        assert_eq!(world.look(300), both(&[7]));
    }

    #[test]
    fn an_image_is_not_removed_before_it_is_as_old_as_it_must_be() {
        let mut world = World::new();
        // Pulled at minutes 1 to 7, an hour at least.
        assert_eq!(world.look(62), both(&[2, 1]));
        assert_eq!(world.look(60), Vec::<String>::new());
    }

    #[test]
    fn what_a_container_was_created_from_or_a_task_waits_for_is_in_use() {
        let mut world = World::new();
        world
            .used
            .extend(["sha256:7".to_owned(), "sha256:5".to_owned()]);
        world
            .wanted
            .extend([digest(6), "docker.io/library/app:4".to_owned()]);
        assert_eq!(world.look(300), both(&[3, 2, 1]));
        // It counts as unused from when it is first seen so.
        world.used.clear();
        world.wanted.clear();
        assert_eq!(world.look(400), both(&[3, 2, 1, 4, 5]));
        assert_eq!(world.pulled.0["sha256:7"].unused_since, Some(at(400)));
    }

    #[test]
    fn an_image_that_was_there_before_its_pull_is_kept_and_so_is_a_name_that_somebody_else_gave() {
        let mut world = World::new();
        world.listed.truncate(2);
        if let Some(found) = world.pulled.0.get_mut("sha256:1") {
            found.brought = false;
        }
        world.listed[1].repo_tags.push("mine:1".to_owned());
        assert_eq!(world.look(300), both(&[2]));
        assert_eq!(world.pulled.0.len(), 2, "what is not there is forgotten");
        // Its tag means another image by now: its digest is left of it.
        world.listed[1].repo_tags.clear();
        assert_eq!(world.look(300), [digest(2)]);
    }

    #[test]
    fn what_was_pulled_while_the_engine_was_asked_is_left_as_it_is() {
        let mut world = World::new();
        world.listed.clear();
        world.cleanup.minimum_age = 0;
        assert!(world.look(4).is_empty());
        let kept: Vec<&String> = world.pulled.0.keys().collect();
        assert_eq!(kept, ["sha256:4", "sha256:5", "sha256:6", "sha256:7"]);
    }

    #[test]
    fn untracked_images_go_only_if_asked_for_and_after_they_were_seen_unused_for_long_enough() {
        let mut world = World::new();
        world.listed.clear();
        world.pulled = PulledImages::default();
        world.foreign("sha256:a", "theirs:1");
        world.foreign("sha256:b", "theirs:2");
        world.foreign("sha256:c", "db:1");
        world.foreign("sha256:d", "longshore/pause:1-amd64");
        world.listed.push(ListedImage {
            id: "sha256:e".to_owned(),
            repo_tags: vec!["<none>:<none>".to_owned()],
            repo_digests: vec!["<none>@<none>".to_owned()],
        });
        assert!(world.look(0).is_empty() && world.look(300).is_empty());
        world.cleanup.include_untracked = true;
        world.cleanup.exclude = vec!["db".to_owned(), "theirs:2".to_owned()];
        assert!(
            world.look(300).is_empty(),
            "they are seen for the first time"
        );
        world.used.insert("sha256:a".to_owned());
        assert_eq!(world.look(359), Vec::<String>::new());
        world.used.clear();
        // Used in between: it begins anew.
        assert_eq!(world.look(360), ["sha256:e"]);
        assert_eq!(world.look(420), ["sha256:e", "theirs:1"]);
    }
}
