//! P7: what failed tells the last words of the task that was one too many.

use std::time::Duration;

use longshore::model::Timestamp;

use super::super::images::{Image, LAST_WORDS};
use super::super::record::{Failed, Seen};
use super::super::scenario::Weather;
use super::tasks::Tasks;
use super::{Finding, Oracle};

/// They are read once the task is over, maybe by the next process.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// Rollouts that failed because a program said something and ended, and nobody can read what it said.
pub fn last_words(seen: &Seen, tasks: &Tasks<'_>) -> Vec<Finding> {
    // What a container wrote can be had where engines answer.
    if seen.weather == Weather::Stormy {
        return Vec::new();
    }
    let end = seen
        .trace
        .last()
        .map_or(Timestamp::default(), |(at, _)| *at);
    let spoke = |id: &str| {
        let task = tasks.all.get(id).filter(|task| task.ended_alone);
        let service = task.and_then(|task| tasks.versions.get(&task.version));
        service.is_some_and(|service| service.image == Image::Crashes)
    };
    let lasted = |failed: &Failed| failed.until.unwrap_or(end).since(failed.since) >= READ_WITHIN;
    let told = |failed: &Failed| failed.lines.iter().any(|line| line.contains(LAST_WORDS));
    let all = seen.failed.iter();
    all.filter(|(id, failed)| spoke(id) && lasted(failed) && !told(failed))
        .map(|(id, failed)| {
            let what = format!(
                "{}: a rollout failed with {id} ({}), and its last words are not told: {:?}",
                failed.service, failed.reason, failed.lines
            );
            Oracle::Explained.broken(what)
        })
        .collect()
}
