//! Which of what was read is taken: pure, in time that is handed in.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::manifest::source::{FileContent, FolderState, ReadProblem, Scan};

/// Two readings this far apart that agree are believed.
pub(super) const CONFIRM: Duration = Duration::from_millis(100);
/// A file whose writer still has it open, or that is empty, must stay as it is for this long instead.
pub(super) const OPEN_CONFIRM: Duration = Duration::from_secs(5);
/// A folder that comes back must be at rest for this long: while it is filled again, what is not there yet is not deleted.
pub(super) const RETURN_CONFIRM: Duration = Duration::from_secs(1);
/// A folder that comes back and never rests is taken as it is after this time.
pub(super) const RETURN_PATIENCE: Duration = Duration::from_secs(30);
/// For how long a deletion that is not certain yet holds everything else back, so that a rename is one change.
pub(super) const HOLD: Duration = Duration::from_secs(1);

/// What is known about a file's writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// It closed the file, or renamed it into place, before the file was read.
    Finished,
    /// It wrote and has not closed the file.
    Open,
    /// Nothing.
    Unknown,
}

/// What came of a reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// The scan to hand on, if it differs from the last one.
    pub(super) scan: Option<Scan>,
    /// Look again this long after the reading, because something is not certain.
    pub(super) again: Option<Duration>,
}

#[derive(Default)]
pub(super) struct Gate {
    /// What is believed.
    taken: Option<Scan>,
    /// What was handed on last.
    given: Option<Scan>,
    /// The last reading, and since when all readings have been like it.
    last: Option<(Scan, Instant)>,
    /// Contents that are not believed yet, and since when they have been read.
    unsure: BTreeMap<String, (FileContent, Instant)>,
    /// Since when an uncertain deletion holds the rest back.
    held: Option<Instant>,
    /// Since when the folder is back.
    back: Option<Instant>,
}

impl Gate {
    /// Takes in a reading that began at `started` and ended at `ended`.
    pub(super) fn offer(
        &mut self,
        read: &Scan,
        started: Instant,
        ended: Instant,
        write: impl Fn(&str) -> Write,
    ) -> Offer {
        let rest = self.rest(read, started, ended);
        let Some(taken) = &mut self.taken else {
            self.taken = Some(read.clone());
            self.given = Some(read.clone());
            return Offer {
                scan: Some(read.clone()),
                again: None,
            };
        };
        let mut again = Again(None);
        let was_gone = taken.state != FolderState::Present || taken.files.is_empty();
        let is_gone = read.state != FolderState::Present || read.files.is_empty();
        let mut hold = false;
        if was_gone || is_gone {
            if *taken == *read {
                self.back = None;
            } else {
                let need = if is_gone { CONFIRM } else { RETURN_CONFIRM };
                let back = *self.back.get_or_insert(ended);
                let tired = !is_gone && started.duration_since(back) >= RETURN_PATIENCE;
                if rest >= need || tired {
                    *taken = read.clone();
                    self.back = None;
                } else {
                    again.after(need - rest);
                    hold = true;
                }
            }
            self.unsure.clear();
        } else {
            self.back = None;
            for (name, content) in &read.files {
                if taken.files.get(name) == Some(content) {
                    self.unsure.remove(name);
                    continue;
                }
                if *content == FileContent::Problem(ReadProblem::Vanished) {
                    // Neither there nor certainly gone.
                    again.after(CONFIRM);
                    continue;
                }
                let write = write(name);
                let since = match self.unsure.get(name) {
                    Some((unsure, since)) if unsure == content => *since,
                    _ => ended,
                };
                let need = match write {
                    Write::Finished => Duration::ZERO,
                    Write::Open => OPEN_CONFIRM,
                    Write::Unknown if *content == FileContent::Problem(ReadProblem::Empty) => {
                        OPEN_CONFIRM
                    }
                    Write::Unknown => CONFIRM,
                };
                let age = started.saturating_duration_since(since);
                if age >= need {
                    self.unsure.remove(name);
                    taken.files.insert(name.clone(), content.clone());
                } else {
                    self.unsure.insert(name.clone(), (content.clone(), since));
                    again.after(need - age);
                }
            }
            self.unsure.retain(|name, _| read.files.contains_key(name));
            let gone: Vec<String> = taken
                .files
                .keys()
                .filter(|name| !read.files.contains_key(*name))
                .cloned()
                .collect();
            if !gone.is_empty() {
                if rest >= CONFIRM {
                    for name in gone {
                        taken.files.remove(&name);
                    }
                } else {
                    again.after(CONFIRM - rest);
                    let held = *self.held.get_or_insert(ended);
                    hold = started.saturating_duration_since(held) < HOLD;
                }
            }
        }
        if !hold {
            self.held = None;
        }
        let differs = self.given.as_ref() != Some(taken);
        let scan = (!hold && differs).then(|| taken.clone());
        if scan.is_some() {
            self.given.clone_from(&scan);
        }
        Offer {
            scan,
            again: again.0,
        }
    }

    /// For how long, up to the start of this reading, all readings have been the same as it.
    fn rest(&mut self, read: &Scan, started: Instant, ended: Instant) -> Duration {
        match &self.last {
            Some((last, since)) if last == read => started.saturating_duration_since(*since),
            _ => {
                self.last = Some((read.clone(), ended));
                Duration::ZERO
            }
        }
    }
}

/// The shortest of the times to wait.
struct Again(Option<Duration>);

impl Again {
    fn after(&mut self, time: Duration) {
        // A timer that fires a moment early must not make the wait double.
        let time = time + Duration::from_millis(1);
        self.0 = Some(self.0.map_or(time, |shortest| shortest.min(time)));
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::diagnostic::SourceFile;

    fn content(text: &str) -> FileContent {
        FileContent::Text(Arc::new(SourceFile {
            path: "x".into(),
            text: text.into(),
        }))
    }

    fn scan(files: &[(&str, &str)]) -> Scan {
        Scan {
            root: PathBuf::from("m"),
            state: FolderState::Present,
            files: files
                .iter()
                .map(|(name, text)| ((*name).to_owned(), content(text)))
                .collect(),
        }
    }

    fn missing() -> Scan {
        Scan {
            state: FolderState::Missing,
            ..scan(&[])
        }
    }

    /// A gate in a time of its own.
    struct Timeline {
        gate: Gate,
        zero: Instant,
    }

    impl Timeline {
        fn starting_with(first: &Scan) -> Self {
            let mut timeline = Self {
                gate: Gate::default(),
                zero: Instant::now(),
            };
            let offer = timeline.at(0, first, Write::Unknown);
            assert_eq!(
                offer.scan.as_ref(),
                Some(first),
                "the first scan comes at once"
            );
            timeline
        }

        /// A reading at a millisecond, all of whose files have this writer.
        fn at(&mut self, millis: u64, read: &Scan, write: Write) -> Offer {
            self.with(millis, read, |_| write)
        }

        fn with(&mut self, millis: u64, read: &Scan, write: impl Fn(&str) -> Write) -> Offer {
            let at = self.zero + Duration::from_millis(millis);
            self.gate.offer(read, at, at, write)
        }
    }

    fn waits(offer: &Offer) -> bool {
        offer.scan.is_none() && offer.again.is_some()
    }

    #[test]
    fn a_closed_file_is_taken_at_once() {
        let mut time = Timeline::starting_with(&scan(&[("a", "1")]));
        let edited = scan(&[("a", "2"), ("b", "1")]);
        let offer = time.at(10, &edited, Write::Finished);
        assert_eq!(
            offer,
            Offer {
                scan: Some(edited.clone()),
                again: None
            }
        );
        assert_eq!(
            time.at(20, &edited, Write::Unknown),
            Offer {
                scan: None,
                again: None
            }
        );
    }

    #[test]
    fn a_file_of_unknown_state_is_taken_when_two_readings_apart_agree() {
        let mut time = Timeline::starting_with(&scan(&[("a", "desiredCount: 3")]));
        let half = scan(&[("a", "desiredCount: 1")]);
        let whole = scan(&[("a", "desiredCount: 10")]);
        assert!(waits(&time.at(10, &half, Write::Unknown)));
        assert!(waits(&time.at(60, &half, Write::Unknown)), "too soon");
        assert!(waits(&time.at(105, &whole, Write::Unknown)), "not the same");
        let last = time.at(206, &whole, Write::Unknown);
        assert_eq!(
            last,
            Offer {
                scan: Some(whole),
                again: None
            }
        );
    }

    #[test]
    fn a_file_that_its_writer_has_open_waits_for_the_close() {
        let mut time = Timeline::starting_with(&scan(&[("a", "1")]));
        let half = scan(&[("a", "2")]);
        for millis in [10, 200, 4000] {
            assert!(waits(&time.at(millis, &half, Write::Open)), "{millis}");
        }
        let offer = time.at(4100, &scan(&[("a", "23")]), Write::Finished);
        assert_eq!(offer.scan, Some(scan(&[("a", "23")])));
        assert!(waits(&time.at(5000, &half, Write::Open)));
        let patient = time.at(10_001, &half, Write::Open);
        assert_eq!(
            patient.scan,
            Some(half),
            "a writer that never closes is not waited for forever"
        );
    }

    #[test]
    fn an_empty_file_waits_like_one_that_is_being_written() {
        let mut time = Timeline::starting_with(&scan(&[("a", "1")]));
        let mut empty = scan(&[("a", "1"), ("b", "2")]);
        let none = FileContent::Problem(ReadProblem::Empty);
        empty.files.insert("a".into(), none);
        let offer = time.with(10, &empty, |name| {
            if name == "b" {
                Write::Finished
            } else {
                Write::Unknown
            }
        });
        assert_eq!(
            offer.scan,
            Some(scan(&[("a", "1"), ("b", "2")])),
            "others do not wait"
        );
        assert!(waits(&time.at(1000, &empty, Write::Unknown)));
        assert_eq!(time.at(5020, &empty, Write::Unknown).scan, Some(empty));
    }

    #[test]
    fn a_deletion_needs_a_second_look_at_a_folder_at_rest() {
        let mut time = Timeline::starting_with(&scan(&[("a", "1"), ("b", "1"), ("c", "1")]));
        assert!(waits(&time.at(10, &scan(&[("a", "1")]), Write::Unknown)));
        let refilled = scan(&[("a", "1"), ("b", "1")]);
        assert!(
            waits(&time.at(100, &refilled, Write::Unknown)),
            "something moves"
        );
        assert!(waits(&time.at(150, &refilled, Write::Unknown)));
        assert_eq!(time.at(205, &refilled, Write::Unknown).scan, Some(refilled));
    }

    #[test]
    fn a_rename_is_one_change() {
        let mut time = Timeline::starting_with(&scan(&[("old", "1")]));
        let renamed = scan(&[("new", "1")]);
        assert!(waits(&time.at(10, &renamed, Write::Finished)));
        assert_eq!(time.at(111, &renamed, Write::Unknown).scan, Some(renamed));
    }

    #[test]
    fn files_that_come_and_go_hold_others_back_for_a_second_only() {
        let mut time = Timeline::starting_with(&scan(&[("a", "1"), ("gone", "1")]));
        let mut given = None;
        for i in 0..30 {
            let other = format!("tmp{i}");
            let read = scan(&[("a", "2"), (&other, "x")]);
            let offer = time.with(10 + i * 50, &read, |name| {
                if name == "a" {
                    Write::Finished
                } else {
                    Write::Unknown
                }
            });
            if let Some(scan) = offer.scan {
                given = Some((i * 50, scan));
                break;
            }
        }
        let (after, given) = given.expect("the edit of a is given");
        assert_eq!(after, 1000);
        assert_eq!(
            given,
            scan(&[("a", "2"), ("gone", "1")]),
            "and nothing is deleted"
        );
    }

    #[test]
    fn a_vanishing_folder_needs_a_second_look() {
        let full = scan(&[("a", "1")]);
        for gone in [missing(), scan(&[])] {
            let mut time = Timeline::starting_with(&full);
            assert!(waits(&time.at(10, &gone, Write::Unknown)));
            assert_eq!(
                time.at(50, &full, Write::Unknown),
                Offer {
                    scan: None,
                    again: None
                }
            );
            assert!(waits(&time.at(60, &gone, Write::Unknown)));
            assert_eq!(time.at(161, &gone, Write::Unknown).scan, Some(gone));
        }
    }

    #[test]
    fn a_folder_that_is_filled_again_is_taken_when_it_rests() {
        for gone in [missing(), scan(&[])] {
            let mut time = Timeline::starting_with(&gone);
            for (millis, files) in [(10, 1), (300, 2), (1200, 3), (2100, 3)] {
                let all = [("a", "1"), ("b", "1"), ("c", "1")];
                let offer = time.at(millis, &scan(&all[..files]), Write::Finished);
                assert!(waits(&offer), "{millis}");
            }
            let full = scan(&[("a", "1"), ("b", "1"), ("c", "1")]);
            assert_eq!(time.at(2201, &full, Write::Unknown).scan, Some(full));
        }
    }

    #[test]
    fn a_folder_that_never_rests_is_taken_in_the_end() {
        let mut time = Timeline::starting_with(&missing());
        let mut taken = None;
        for i in 0..70 {
            let offer = time.at(i * 500, &scan(&[("a", &i.to_string())]), Write::Unknown);
            if offer.scan.is_some() {
                taken = Some(i * 500);
                break;
            }
        }
        assert_eq!(taken, Some(30_000));
    }

    #[test]
    fn a_file_that_vanishes_while_read_is_not_a_change() {
        let full = scan(&[("a", "1")]);
        let mut time = Timeline::starting_with(&full);
        let mut torn = full.clone();
        let vanished = FileContent::Problem(ReadProblem::Vanished);
        torn.files.insert("a".into(), vanished);
        for millis in [10, 200, 9000] {
            assert!(waits(&time.at(millis, &torn, Write::Finished)));
        }
        assert_eq!(
            time.at(9100, &full, Write::Unknown),
            Offer {
                scan: None,
                again: None
            }
        );
    }

    #[test]
    fn a_change_that_is_undone_before_it_is_believed_is_none() {
        let full = scan(&[("a", "1")]);
        let mut time = Timeline::starting_with(&full);
        assert!(waits(&time.at(10, &scan(&[("a", "2")]), Write::Unknown)));
        assert_eq!(
            time.at(50, &full, Write::Unknown),
            Offer {
                scan: None,
                again: None
            }
        );
        assert!(
            waits(&time.at(120, &scan(&[("a", "2")]), Write::Unknown)),
            "counted anew"
        );
    }
}
