//! Numbering task definitions: equal content is the same revision, also after a revert; numbers are never used twice.

use std::collections::BTreeMap;

use crate::model::{Family, RevisionRef, SpecHash};

/// What a definition comes down to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its revision.
    pub revision: RevisionRef,
    /// Whether the number is new and has to be written down.
    pub new: bool,
}

/// The revision of a definition with the content `hash`: the newest known one that is equal, else the next number.
///
/// `existing` are all revisions of the family ever registered, those that are INACTIVE included; `highest_seen` tells the
/// highest number that anything else speaks of, such as tasks that outlived a lost store. It is asked for a new number only.
/// After the last number of all there is no other.
pub fn register(
    family: &Family,
    existing: &BTreeMap<u32, SpecHash>,
    highest_seen: impl FnOnce() -> u32,
    hash: &SpecHash,
) -> Registered {
    let equal = existing.iter().rev().find(|(_, known)| *known == hash);
    let (number, new) = match equal {
        Some((number, _)) => (*number, false),
        None => {
            let last = existing.keys().next_back().copied().unwrap_or(0);
            (last.max(highest_seen()).saturating_add(1), true)
        }
    };
    Registered {
        revision: RevisionRef {
            family: family.clone(),
            revision: number,
        },
        new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(all: &[(u32, &str)]) -> BTreeMap<u32, SpecHash> {
        all.iter()
            .map(|(number, hash)| (*number, SpecHash::new(*hash)))
            .collect()
    }

    fn registered(all: &[(u32, &str)], highest: u32, hash: &str) -> (u32, bool) {
        let found = register(&"web".into(), &known(all), || highest, &SpecHash::new(hash));
        (found.revision.revision, found.new)
    }

    #[test]
    fn a_familys_first_definition_is_revision_1() {
        assert_eq!(registered(&[], 0, "a"), (1, true));
    }

    #[test]
    fn content_that_differs_gets_the_next_number() {
        assert_eq!(registered(&[(1, "a"), (2, "b")], 0, "c"), (3, true));
    }

    #[test]
    fn equal_content_is_the_same_revision_also_after_a_revert() {
        assert_eq!(registered(&[(1, "a"), (2, "b")], 0, "b"), (2, false));
        assert_eq!(registered(&[(1, "a"), (2, "b")], 0, "a"), (1, false));
    }

    #[test]
    fn a_number_that_tasks_of_a_lost_store_carry_is_not_used_again() {
        assert_eq!(registered(&[], 7, "a"), (8, true));
        assert_eq!(registered(&[(9, "b")], 7, "a"), (10, true));
    }

    #[test]
    fn numbers_do_not_begin_anew_after_the_last_one() {
        assert_eq!(registered(&[], u32::MAX, "a"), (u32::MAX, true));
    }
}
