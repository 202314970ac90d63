//! What cannot start is started less and less often.

use std::collections::BTreeMap;

use longshore::model::Timestamp;

use super::super::folder::Kind;
use super::super::record::Seen;
use super::tasks::Tasks;
use super::{Finding, Oracle};

/// No more starts of what cannot start than the throttle allows: rounds at 0, 0, 1, 2, 4 … seconds, each of as many tasks as are
/// wanted, anew with each edit and each request of the user.
pub fn starts(seen: &Seen, tasks: &Tasks<'_>, requests: u64) -> Vec<Finding> {
    // A clock that jumps makes a pause as short as it likes.
    if !seen.jumps.is_empty() {
        return Vec::new();
    }
    let mut allowed: BTreeMap<u64, u64> = BTreeMap::new();
    let end = seen
        .trace
        .last()
        .map_or(Timestamp::default(), |(at, _)| *at);
    for all in seen.configs.values() {
        for (n, (from, service)) in all.iter().enumerate() {
            let Some(service) = service else {
                continue;
            };
            let until = all.get(n + 1).map_or(end, |(at, _)| *at);
            let rounds = 6 + (until.since(*from).as_secs() + 1).ilog2();
            let wanted = match service.kind {
                Kind::Replica => service.desired,
                Kind::Daemon => 4,
            };
            let starts = u64::from(wanted * rounds);
            *allowed.entry(service.version).or_default() += starts;
        }
    }
    let mut found = Vec::new();
    for (version, created) in &tasks.created {
        let allowed = allowed.get(version).copied().unwrap_or(0);
        let allowed = allowed * (1 + seen.stores_lost + requests);
        let throttled = tasks
            .versions
            .get(version)
            .is_some_and(|service| service.image.is_throttled());
        if throttled && created.len() as u64 > allowed {
            let count = created.len();
            let what =
                format!("version {version} was started {count} times and may be {allowed} times");
            found.push(Oracle::Throttle.broken(what));
        }
    }
    found
}
