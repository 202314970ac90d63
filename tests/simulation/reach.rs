//! What a run of many seeds must have reached: parts of the system that would otherwise go untested unnoticed, and faults that would
//! have stopped happening. Seen by what they did to store, disk, folder and engines, never by asking them.

use std::collections::BTreeMap;

/// Parts of the system.
const PARTS: &[&str] = &[
    "the controller's worker",
    "an agent's runner",
    "the folder's follower",
    "the watcher's looks",
    "the watcher's hints",
    "syncs of the file store",
    "rest",
];

/// What happens to them, is asked of them and comes of it.
const MUST: &[&str] = &[
    "last good told",
    "a plan",
    "a plan at rest",
    "a line that was logged",
    "a container given its secret",
    // Requests.
    "suspend",
    "resume",
    "pause",
    "unpause",
    "restart",
    "undo",
    "retry",
    "a task run once",
    "a task stopped by the user",
    "a protection",
    "an instance drained or activated",
    // What came of it.
    "a rollout that failed",
    "a task given up",
    "a death of the process",
    "a power cut within a write",
    "a commit that failed",
    "a disk that failed",
    "another Longshore",
    // What happened.
    "act: a broken edit",
    "act: a crash",
    "act: a full disk",
    "act: a health check fails",
    "act: a kill",
    "act: a power cut",
    "act: a removal",
    "act: an edit",
    "act: an edit of which hints overflow",
    "act: an edit that nobody tells of",
    "act: an edit, slowly",
    "act: an engine dies",
    "act: an engine is cut off",
    "act: an engine refuses",
    "act: engines fail",
    "act: event streams are cut",
    "act: event streams fall silent",
    "act: out of memory",
    "act: the clock jumps",
    "act: the folder goes away",
    "act: the store is lost",
    // What the agents did to the engines.
    "pull image",
    "create container",
    "start container",
    "stop container",
    "remove container",
    "remove volume",
];

/// What should have been reached and was not.
pub fn missed(reached: &BTreeMap<&str, u64>) -> Vec<&'static str> {
    let mut missed = missed_parts(reached);
    missed.extend(among(MUST, reached));
    missed
}

/// The parts that did nothing.
pub fn missed_parts(reached: &BTreeMap<&str, u64>) -> Vec<&'static str> {
    among(PARTS, reached).collect()
}

fn among(
    all: &'static [&'static str],
    reached: &BTreeMap<&str, u64>,
) -> impl Iterator<Item = &'static str> {
    let missed = all.iter().copied();
    missed.filter(|what| reached.get(what).is_none_or(|count| *count == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_did_nothing_is_missed() {
        let must = PARTS.iter().chain(MUST);
        let mut all: BTreeMap<&str, u64> = must.map(|what| (*what, 1)).collect();
        assert!(missed(&all).is_empty());
        for part in [
            "the controller's worker",
            "an agent's runner",
            "the watcher's looks",
            "syncs of the file store",
        ] {
            let before = all.insert(part, 0);
            assert_eq!(missed(&all), [part]);
            all.insert(part, before.unwrap_or(1));
        }
    }
}
