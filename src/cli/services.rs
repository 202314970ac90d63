//! The table of services that `run` keeps on the screen and `apply` shows its progress with.

use super::output::{Tone, age};
use crate::api::conditions::{self, Phase, ServiceSummary};
use crate::daemon::Shared;

/// The services of a running daemon as lines: a header, a service a line, what is wrong with the folder, pulls.
pub fn table(shared: &Shared, colour: bool) -> Vec<String> {
    let now = shared.clock.now();
    let summaries = {
        let state = shared.view.read();
        conditions::summaries(&state, now)
    };
    let mut lines = lines(&summaries, now, colour);
    let status = shared.status.borrow();
    for held in &status.held {
        lines.push(Tone::Bad.paint(
            &format!(
                "{} {}: serving last good since {}, because {}",
                held.kind, held.name, held.since, held.because
            ),
            colour,
        ));
    }
    drop(status);
    for pull in shared.pulls.all() {
        lines.push(pulling(&pull));
    }
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
                Phase::Failed | Phase::Throttled => Tone::Bad,
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
