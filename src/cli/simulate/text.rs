//! A report as text: for a terminal with a drawn table, for a pipe the same on every machine.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use crate::cli::Globals;
use crate::cli::output::{Table, Tone, cell, count, write_stdout};
use crate::simulate::report::{Extreme, LossReport, Report, ServiceReport, TimelineReport};
use crate::simulate::{Outcome, time};

/// Prints it.
pub fn print(report: &Report, globals: &Globals) {
    let drawn = std::io::stdout().is_terminal();
    let colour = globals.colour_on_stdout();
    write_stdout(render(report, drawn, colour).as_bytes());
}

/// The text. `drawn`: tables as terminals show them.
pub fn render(report: &Report, drawn: bool, colour: bool) -> String {
    let mut out = String::new();
    head(&mut out, report, colour);
    let table = |table: &Table| match drawn {
        true => table.drawn(colour),
        false => table.plain(),
    };
    if !report.services.is_empty() {
        let _ = write!(out, "\n{}", table(&services(report)));
    }
    for service in &report.services {
        dips(&mut out, report, service);
    }
    if !report.losses.is_empty() {
        let _ = write!(
            out,
            "\nLoss of one instance\n{}",
            table(&losses(&report.losses))
        );
        for loss in &report.losses {
            for service in loss.services.iter().filter(|s| s.because.is_some()) {
                let because = service.because.as_deref().unwrap_or_default();
                let _ = writeln!(
                    out,
                    "  without {}: {}: {because}",
                    loss.instance, service.service
                );
            }
        }
    }
    timeline(&mut out, report);
    if !report.expectations.is_empty() {
        out.push_str("\nExpected\n");
    }
    for expectation in &report.expectations {
        let (word, tone) = match expectation.held {
            true => ("held", Tone::Good),
            false => ("FAILED", Tone::Bad),
        };
        let instead = expectation
            .instead
            .as_ref()
            .map(|instead| format!(" ({instead})"));
        let _ = writeln!(
            out,
            "  {:>8}  {}  {}{}",
            offset(expectation.at),
            tone.paint(&format!("{word:<6}"), colour),
            expectation.expected,
            instead.unwrap_or_default()
        );
    }
    findings(&mut out, report, colour);
    out.push_str("\nAssumed\n");
    for line in &report.assumed {
        let _ = writeln!(out, "  {line}");
    }
    out.push_str("Not simulated\n");
    for line in &report.not_simulated {
        let _ = writeln!(out, "  {line}");
    }
    out
}

fn shown(seconds: f64) -> String {
    time::show(Duration::from_secs_f64(seconds.max(0.0)))
}

fn offset(seconds: f64) -> String {
    time::offset(Duration::from_secs_f64(seconds.max(0.0)))
}

fn head(out: &mut String, report: &Report, colour: bool) {
    let services = report
        .services
        .iter()
        .filter(|service| service.desired > 0 || service.because.is_none());
    let _ = writeln!(
        out,
        "Simulated {} of {}: {} on {}, seed {}",
        shown(report.duration),
        report.folder,
        count(services.count(), "service"),
        count(report.instances.len(), "instance"),
        report.seed
    );
    if let Some(before) = report.before {
        let _ = writeln!(
            out,
            "What ran before had converged after {}; times count from then.",
            shown(before)
        );
    }
    let unexpected = report.unexpected().count();
    let (text, tone) = match (report.converged_at, unexpected) {
        (Some(at), 0) => (format!("Converged at {}", shown(at)), Tone::Good),
        (Some(at), n) => (
            format!("Converged at {}, with {}", shown(at), count(n, "finding")),
            Tone::Bad,
        ),
        (None, 0) => ("Not converged, as expected".to_owned(), Tone::Good),
        (None, n) => (format!("Not converged: {}", count(n, "finding")), Tone::Bad),
    };
    let _ = writeln!(out, "{}", tone.paint(&text, colour));
}

fn services(report: &Report) -> Table {
    let mut table = Table::new(&[
        "SERVICE",
        "TASKS",
        "CONVERGED",
        "LOWEST HEALTHY",
        "MOST TASKS",
        "ROLLOUTS",
    ])
    .wrapping_from(5);
    for service in &report.services {
        let converged = match service.converged_at {
            Some(at) => (shown(at), Tone::Good),
            None => ("no".to_owned(), Tone::Bad),
        };
        let extreme =
            |extreme: Option<Extreme>, word: &str, bad: fn(&Extreme) -> bool| match extreme {
                None => cell(""),
                Some(extreme) => {
                    let tone = if bad(&extreme) {
                        Tone::Warn
                    } else {
                        Tone::Plain
                    };
                    (
                        format!("{} ({word} {})", extreme.tasks, extreme.promised),
                        tone,
                    )
                }
            };
        let rollouts: Vec<String> = service
            .rollouts
            .iter()
            .map(|rollout| {
                let took = rollout.until.map(|until| until - rollout.from);
                match (rollout.outcome, took) {
                    (Outcome::InProgress, _) | (_, None) => {
                        format!("{} {}", rollout.revision, rollout.outcome.as_str())
                    }
                    (outcome, Some(took)) => {
                        format!(
                            "{} {} after {}",
                            rollout.revision,
                            outcome.as_str(),
                            shown(took)
                        )
                    }
                }
            })
            .collect();
        let bad = service
            .rollouts
            .iter()
            .any(|r| matches!(r.outcome, Outcome::Failed | Outcome::RolledBack));
        table.row(vec![
            cell(name(report, service)),
            cell(service.desired),
            converged,
            extreme(service.lowest, "floor", |e| e.tasks < e.promised),
            extreme(service.most, "cap", |e| e.tasks > e.promised),
            (
                rollouts.join(", "),
                if bad { Tone::Bad } else { Tone::Plain },
            ),
        ]);
    }
    table
}

fn name(report: &Report, service: &ServiceReport) -> String {
    let several = report
        .services
        .iter()
        .any(|other| other.cluster != service.cluster);
    match several {
        true => format!("{}/{}", service.cluster, service.name),
        false => service.name.clone(),
    }
}

fn dips(out: &mut String, report: &Report, service: &ServiceReport) {
    /// More of them would be a flood.
    const SHOWN: usize = 3;
    for dip in service.dips.iter().take(SHOWN) {
        let how_long = match dip.until {
            Some(until) => format!("for {}", shown(until - dip.from)),
            None => "to the end".to_owned(),
        };
        let _ = writeln!(
            out,
            "  {} was below its floor from {} {how_long}: {} of {} healthy",
            name(report, service),
            offset(dip.from),
            dip.healthy,
            dip.floor
        );
    }
    if service.dips.len() > SHOWN {
        let more = count(service.dips.len() - SHOWN, "time");
        let _ = writeln!(
            out,
            "  {} was below its floor {more} more",
            name(report, service)
        );
    }
}

fn losses(losses: &[LossReport]) -> Table {
    let mut table = Table::new(&["WITHOUT", "CONVERGED", "SERVICES TOUCHED"]).wrapping_from(2);
    for loss in losses {
        let settled = match loss.settled_after {
            Some(after) if loss.services.is_empty() => (shown(after), Tone::Good),
            Some(after) => (format!("after {}", shown(after)), Tone::Good),
            None => ("no".to_owned(), Tone::Bad),
        };
        let services: Vec<String> = loss
            .services
            .iter()
            .map(|service| {
                let back = match service.converged_at {
                    Some(at) => format!("whole after {}", shown(at)),
                    None => format!("{} in the end", service.healthy),
                };
                format!(
                    "{} (lowest {} of {}, {back})",
                    service.service, service.lowest, service.desired
                )
            })
            .collect();
        let touched = match services.is_empty() {
            true => "none".to_owned(),
            false => services.join(", "),
        };
        table.row(vec![cell(&loss.instance), settled, cell(touched)]);
    }
    table
}

fn timeline(out: &mut String, report: &Report) {
    if report.timeline.is_empty() {
        return;
    }
    out.push_str("\nTimeline\n");
    let widest = report
        .timeline
        .iter()
        .filter_map(|line| line.subject.as_ref());
    let width = widest
        .map(|subject| subject.chars().count())
        .max()
        .unwrap_or(0)
        .min(30);
    let mut steps: Vec<_> = report.steps.iter().collect();
    let mut lines = report.timeline.iter().peekable();
    while let Some(line) = lines.next() {
        let at = offset(line.at);
        let Some(subject) = &line.subject else {
            let step = steps.iter().position(|step| step.what == line.text);
            let settled = step
                .map(|n| steps.remove(n))
                .map(|step| match step.settled_after {
                    Some(0.0) => " -- converged at once".to_owned(),
                    Some(after) => format!(" -- converged {} later", shown(after)),
                    None => String::new(),
                });
            let _ = writeln!(
                out,
                "  {at:>8}  == {}{}",
                line.text,
                settled.unwrap_or_default()
            );
            continue;
        };
        // What is said of one thing at one time is one line.
        let mut text = line.text.trim_end_matches('.').to_owned();
        let same = |next: &&TimelineReport| next.subject == line.subject && offset(next.at) == at;
        while let Some(next) = lines.next_if(same) {
            text.push_str("; ");
            text.push_str(next.text.trim_end_matches('.'));
        }
        let _ = writeln!(out, "  {at:>8}  {subject:<width$}  {text}");
    }
}

fn findings(out: &mut String, report: &Report, colour: bool) {
    if report.findings.is_empty() {
        return;
    }
    out.push_str("\nFindings\n");
    for finding in &report.findings {
        let of = finding.service.as_deref();
        // The name alone is enough where there is one cluster.
        let several = report
            .services
            .iter()
            .any(|s| s.cluster != report.services[0].cluster);
        let of = of.map(|of| match (several, of.split_once('/')) {
            (false, Some((_, name))) => name,
            _ => of,
        });
        let of = of.map(|of| format!("{of}: ")).unwrap_or_default();
        let (word, tone) = match finding.expected {
            true => (
                format!("{} (as expected)", finding.kind.as_str()),
                Tone::Faint,
            ),
            false => (finding.kind.as_str().to_owned(), Tone::Bad),
        };
        let _ = writeln!(
            out,
            "  {}: {of}{}",
            tone.paint(&word, colour),
            finding.message
        );
    }
}
