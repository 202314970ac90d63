//! What things of a name were to be, and from when on.

use std::collections::BTreeMap;

use longshore::model::Timestamp;

/// By name, what it was to be from each moment on; `None`: not at all.
#[derive(Debug)]
pub struct Timeline<T>(pub BTreeMap<String, Vec<(Timestamp, Option<T>)>>);

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Clone + PartialEq> Timeline<T> {
    /// From `now` on it is to be this.
    pub fn set(&mut self, name: &str, now: Timestamp, thing: Option<T>) {
        let all = self.0.entry(name.to_owned()).or_default();
        if all.last().map(|(_, last)| last) != Some(&thing) {
            all.push((now, thing));
        }
    }

    /// From `now` on nothing is to be but what `stays` says of a name.
    pub fn keep(&mut self, now: Timestamp, stays: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.0.keys().filter(|n| !stays(n)).cloned().collect();
        for name in gone {
            self.set(&name, now, None);
        }
    }

    /// What it was to be at some time within these, ends included.
    pub fn in_force(&self, name: &str, from: Timestamp, until: Timestamp) -> Vec<Option<T>> {
        let all = self.0.get(name).map_or(&[][..], Vec::as_slice);
        let before = all.iter().rposition(|(at, _)| *at <= from);
        let mut found: Vec<_> = all
            .iter()
            .enumerate()
            .filter(|(n, (at, _))| *at <= until && before.is_none_or(|before| *n >= before))
            .map(|(_, (_, thing))| thing.clone())
            .collect();
        if before.is_none() {
            found.push(None);
        }
        found
    }
}

/// So much before `at`.
pub fn before(at: Timestamp, by: std::time::Duration) -> Timestamp {
    let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis() - millis)
}
