//! The table of services that `run` keeps on the screen and `apply` shows its progress with.

use super::output::{Tone, age};
use crate::api::summary::{self, Phase, ServiceSummary};
use crate::daemon::Shared;

/// The services of a running daemon as lines: a header, a service a line, what is wrong with the folder, pulls. What is wrong is
/// wrapped to `columns`, since it tells what to mend; the rest may be cut.
pub fn table(shared: &Shared, colour: bool, columns: usize) -> Vec<String> {
    let now = shared.clock.now();
    let summaries = {
        let state = shared.view.read();
        summary::summaries(&state, now)
    };
    let mut lines = lines(&summaries, now, colour);
    for summary in &summaries {
        for why in summary.differs() {
            let why = format!("{}: {why}", summary.name);
            let wrapped = wrap(&why, columns).into_iter();
            lines.extend(wrapped.map(|line| Tone::Bad.paint(&line, colour)));
        }
    }
    let status = shared.status.borrow();
    for held in &status.held {
        let because = format!("because {}", held.because);
        let wrapped = wrap(&because, columns.saturating_sub(2))
            .into_iter()
            .map(|line| format!("  {line}"));
        for line in std::iter::once(held.standing()).chain(wrapped) {
            lines.push(Tone::Bad.paint(&line, colour));
        }
    }
    // What was never taken is kept by nothing, and its message has scrolled away by now.
    let told = |error: String| status.held.iter().any(|held| held.because.contains(&error));
    if status.errors().any(|error| !told(error.to_string()))
        && let Some(why) = status.not_taken(&shared.folder.display().to_string())
    {
        let wrapped = wrap(&why, columns).into_iter();
        lines.extend(wrapped.map(|line| Tone::Bad.paint(&line, colour)));
    }
    drop(status);
    for pull in shared.pulls.all() {
        lines.push(pulling(&pull));
    }
    lines
}

/// The text in lines of at most so many characters, parted at spaces where there are any.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if used > 0 && used + 1 + width > columns {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            if used == columns {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += 1;
        }
    }
    lines.push(line);
    lines
}

/// One line for a pull that is under way.
pub fn pulling(pull: &crate::api::PullStatus) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    if pull.total > 0 {
        format!(
            "pulling {}: {} of {} MiB",
            pull.image,
            mib(pull.current),
            mib(pull.total)
        )
    } else {
        format!("pulling {}: {}", pull.image, pull.status)
    }
}

/// A header and a line a service, in aligned columns.
pub fn lines(
    summaries: &[ServiceSummary],
    now: crate::model::Timestamp,
    colour: bool,
) -> Vec<String> {
    let mut rows = vec![
        [
            "SERVICE", "DESIRED", "RUNNING", "HEALTHY", "REVISION", "STATE",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    let several = summaries.iter().any(|s| s.cluster != summaries[0].cluster);
    for s in summaries {
        let name = if several {
            format!("{}/{}", s.cluster, s.name)
        } else {
            s.name.clone()
        };
        rows.push(vec![
            name,
            s.desired.to_string(),
            s.running.to_string(),
            s.healthy.to_string(),
            s.revision.clone(),
            s.phase.as_str().to_owned(),
        ]);
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    rows.iter()
        .enumerate()
        .map(|(index, row)| {
            let mut line = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect::<Vec<_>>()
                .join("  ");
            let Some(summary) = index.checked_sub(1).and_then(|i| summaries.get(i)) else {
                return format!("{line}  LAST EVENT");
            };
            let tone = match summary.phase {
                Phase::Steady => Tone::Good,
                Phase::Failed | Phase::RollingBack | Phase::RolledBack | Phase::Throttled => {
                    Tone::Bad
                }
                _ => Tone::Warn,
            };
            line = tone.paint(&line, colour);
            if let (Some(event), Some(at)) = (&summary.last_event, summary.last_event_at) {
                line = format!("{line}  {} ago: {event}", age(now.since(at)));
            }
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn a_cause_is_wrapped_at_spaces_and_never_cut() {
        assert_eq!(wrap("a bc def", 4), ["a bc", "def"]);
        assert_eq!(
            wrap("a /very/long/path b", 6),
            ["a", "/very/", "long/p", "ath b"]
        );
        assert_eq!(wrap("", 4), [""]);
    }
}
