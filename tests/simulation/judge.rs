//! The judge: takes the engines' history through the oracles that need all of it.

use longshore::engine::simulated::SimEvent;

use super::oracles::band::Band;
use super::oracles::engines::Holders;
use super::oracles::tasks::{News, Tasks};
use super::oracles::{Finding, explained, secrets, throttle};
use super::process::OWNER;
use super::record::Seen;

/// What was not kept in all that happened; `histories` are the engines', `requests` how often the user asked for something.
pub fn judge(seen: &Seen, histories: &[Vec<SimEvent>], requests: u64) -> Vec<Finding> {
    let mut found = seen.found.clone();
    for history in histories {
        let mut holders = Holders::default();
        for event in history {
            found.extend(holders.take(event));
            found.extend(secrets::in_labels(event));
        }
    }
    let mut events: Vec<&SimEvent> = histories.iter().flatten().collect();
    events.sort_by_key(|event| event.at);
    let mut tasks = Tasks::new(seen);
    let mut band = Band::new(seen);
    let mut breaks = seen.broken.iter().enumerate().peekable();
    for event in events {
        while let Some((nth, broken)) = breaks.next_if(|(_, broken)| broken.from <= event.at) {
            band.breaks(nth, broken.from, &tasks);
        }
        let owner = event.labels.get(longshore::engine::labels::OWNER);
        if owner.is_none_or(|owner| owner != OWNER) {
            continue;
        }
        for news in tasks.take(event) {
            found.extend(match news {
                News::Started(id) => band.started(&id, event.at, &tasks),
                News::Stopped(id) => band.stopped(&id, event.at, &tasks),
            });
        }
    }
    found.extend(throttle::starts(seen, &tasks, requests));
    found.extend(explained::last_words(seen, &tasks));
    found
}
