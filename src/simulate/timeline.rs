//! What there is to tell, grouped: what happens several times at once is one line, and what repeats is said three times and
//! then counted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::folder::{InstanceKey, ServiceKey};
use super::time;

/// What happens within so long of the first of its kind is one line with it.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Lines of one kind that are shown before they are counted.
const SHOWN: usize = 3;

/// Whom a line is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Somebody did something, as the scenario says.
    Scenario,
    /// An instance.
    Instance(InstanceKey),
    /// A service.
    Service(ServiceKey),
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// After time 0.
    pub at: Duration,
    /// Whom it is about.
    pub subject: Subject,
    /// In words.
    pub text: String,
}

#[derive(Debug, Clone)]
struct Entry {
    at: Duration,
    subject: Subject,
    /// With `{}` where the number of tasks goes.
    words: String,
    tasks: u32,
    times: u32,
}

/// See the [module's documentation](self).
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    entries: Vec<Entry>,
    /// The last entry of each kind.
    last: BTreeMap<(Subject, String), usize>,
}

impl Timeline {
    /// Something happened; `{}` in `words` is where the number of tasks goes that it happened to.
    pub fn add(&mut self, at: Duration, subject: Subject, words: &str, tasks: u32) {
        let kind = (subject.clone(), words.to_owned());
        if let Some(last) = self.last.get(&kind)
            && let Some(entry) = self.entries.get_mut(*last)
            && at.saturating_sub(entry.at) <= AT_ONCE
        {
            entry.tasks += tasks;
            entry.times += 1;
            return;
        }
        self.last.insert(kind, self.entries.len());
        self.entries.push(Entry {
            at,
            subject,
            words: words.to_owned(),
            tasks,
            times: 1,
        });
    }

    /// Forgets everything: it was before time 0.
    pub fn forget(&mut self) {
        self.entries.clear();
        self.last.clear();
    }

    /// The lines, in the order of time.
    pub fn lines(&self) -> Vec<Line> {
        let mut kinds: BTreeMap<(&Subject, &str), Vec<usize>> = BTreeMap::new();
        for (n, entry) in self.entries.iter().enumerate() {
            let all = kinds.entry((&entry.subject, entry.words.as_str()));
            all.or_default().push(n);
        }
        // What was said before the last of those that are shown stays, and stands for the rest.
        let mut more: BTreeMap<usize, String> = BTreeMap::new();
        let mut left_out = vec![false; self.entries.len()];
        for all in kinds.values() {
            let (Some(shown), Some(last)) = (all.get(SHOWN - 1), all.last()) else {
                continue;
            };
            let rest = all.len() - SHOWN;
            if rest == 0 {
                continue;
            }
            all.iter().skip(SHOWN).for_each(|n| left_out[*n] = true);
            let until = time::offset(self.entries[*last].at);
            let times = if rest == 1 { "once more" } else { "times more" };
            let text = match rest {
                1 => format!(" (and {times}, at {until})"),
                _ => format!(" (and {rest} {times}, until {until})"),
            };
            more.insert(*shown, text);
        }
        let lines = self.entries.iter().enumerate();
        lines
            .filter(|(n, _)| !left_out[*n])
            .map(|(n, entry)| Line {
                at: entry.at,
                subject: entry.subject.clone(),
                text: entry.text() + more.get(&n).map_or("", String::as_str),
            })
            .collect()
    }
}

impl Entry {
    fn text(&self) -> String {
        if self.words.contains("{}") {
            let noun = if self.tasks == 1 { "task" } else { "tasks" };
            return self.words.replace("{}", &format!("{} {noun}", self.tasks));
        }
        match self.times {
            1 => self.words.clone(),
            times => format!("{} (×{times})", self.words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> Subject {
        Subject::Service(("default".into(), "web".into()))
    }

    #[test]
    fn what_happens_at_once_is_one_line_and_what_repeats_is_counted() {
        let mut timeline = Timeline::default();
        for second in [0, 1, 10, 20, 30, 40] {
            timeline.add(Duration::from_secs(second), web(), "starts {} of web:1", 1);
        }
        timeline.add(Duration::from_secs(15), web(), "steady", 0);
        let lines = timeline.lines();
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "starts 2 tasks of web:1",
                "starts 1 task of web:1",
                "starts 1 task of web:1 (and 2 times more, until 0:40.0)",
                "steady",
            ]
        );
    }
}
