//! From what happened to what is said about it.

use std::time::Duration;

use super::{
    Dip, ExpectationReport, Extreme, Finding, FindingKind, InstanceReport, LossOfService,
    LossReport, NOT_SIMULATED, Report, RolloutReport, Seconds, ServiceReport, StepReport,
    TimelineReport,
};
use crate::model::NoticeKind;
use crate::simulate::expected::{at_time, in_words, look};
use crate::simulate::folder::ServiceKey;
use crate::simulate::history::{
    History, Outcome, Reader, Rollout, Sample, ServiceHistory, without_ids,
};
use crate::simulate::prepare::{Deed, Prepared};
use crate::simulate::scenario::What;
use crate::simulate::time;
use crate::simulate::timeline::Subject;
use crate::simulate::world::Recording;

/// Reads a recording of what was prepared.
pub fn history(prepared: &Prepared, recording: &mut Recording) -> History {
    let zero = recording.zero;
    let steps: Vec<_> = prepared
        .steps
        .iter()
        .filter(|step| !matches!(step.deed, Deed::Expect(_)))
        .map(|step| {
            let declared = match &step.deed {
                Deed::Read(_, desired) => Some(desired.clone()),
                _ => None,
            };
            (zero.plus(step.at), declared, step.shown.clone())
        })
        .collect();
    Reader::read(
        zero,
        recording.end,
        prepared.first.1.clone(),
        std::mem::take(&mut recording.facts),
        &recording.events,
        &steps,
    )
}

/// What is to be said about it.
pub fn report(prepared: &Prepared, recording: &Recording, history: &History) -> Report {
    let end = recording.end.since(recording.zero);
    let services: Vec<ServiceReport> = history
        .services
        .iter()
        .filter(|(_, service)| service.samples.iter().any(|s| s.declared || s.tasks() > 0))
        .map(|(key, service)| of_service(key, service))
        .collect();
    let mut expectations = Vec::new();
    let mut came_true = Vec::new();
    for step in &prepared.steps {
        let Deed::Expect(expected) = &step.deed else {
            continue;
        };
        let verdict = look(history, expected, step.at, end);
        if verdict.held && !expected.expectation.not {
            came_true.push(expected.clone());
        }
        let place = step.place.as_ref().map(|place| {
            let span = place.span;
            format!("{}:{}:{}", place.file.path, span.line, span.column)
        });
        expectations.push(ExpectationReport {
            at: seconds(step.at),
            expected: expected.expectation.to_string(),
            held: verdict.held,
            instead: (!verdict.held).then_some(verdict.instead),
            place,
        });
    }
    let mut findings = findings(prepared, recording, history);
    for finding in &mut findings {
        let wanted: &[What] = match finding.kind {
            FindingKind::RolloutFailed => &[What::RolledBack, What::Failed],
            FindingKind::Unplaceable => &[What::Unplaceable],
            FindingKind::NotConverged => &[What::RolledBack, What::Failed, What::Unplaceable],
            _ => &[],
        };
        finding.expected = came_true.iter().any(|expected| {
            let of = expected.service.as_ref().map(named);
            wanted.contains(&expected.expectation.what) && (of.is_none() || of == finding.service)
        });
    }
    for failed in expectations.iter().filter(|expectation| !expectation.held) {
        let place = failed.place.as_ref().map(|place| format!("{place}: "));
        findings.push(Finding {
            kind: FindingKind::Expectation,
            service: None,
            message: format!(
                "{}{} ({})",
                place.unwrap_or_default(),
                failed.expected,
                failed.instead.as_deref().unwrap_or_default()
            ),
            expected: false,
        });
    }
    let lines = history.timeline.lines();
    Report {
        ok: findings.iter().all(|finding| finding.expected),
        folder: prepared.first.0.root.display().to_string(),
        seed: prepared.seed,
        duration: seconds(end),
        before: recording.settled.map(|settled| seconds(settled.after)),
        converged_at: all_converged(history, Duration::ZERO, end).map(seconds),
        instances: instances(prepared),
        services,
        steps: steps(prepared, history, end),
        expectations,
        losses: Vec::new(),
        timeline: lines
            .into_iter()
            .map(|line| TimelineReport {
                at: seconds(line.at),
                subject: match &line.subject {
                    Subject::Scenario => None,
                    Subject::Instance((_, name)) => Some(name.to_string()),
                    Subject::Service((_, name)) => Some(name.to_string()),
                },
                text: line.text,
            })
            .collect(),
        findings,
        assumed: assumed(prepared),
        not_simulated: NOT_SIMULATED.map(str::to_owned).to_vec(),
    }
}

/// What the loss of an engine comes to, in a simulation that began with it.
pub fn loss(prepared: &Prepared, engine: usize, history: &History, end: Duration) -> LossReport {
    let names = prepared.engines[engine].instances.iter();
    let names: Vec<String> = names
        .map(|(cluster, name)| format!("{cluster}/{name}"))
        .collect();
    let mut services = Vec::new();
    for (key, service) in &history.services {
        let last = at_time(service, end);
        let lowest = service.samples.iter().map(|s| s.healthy).min().unwrap_or(0);
        let converged = converged_since(service);
        if !last.declared || (lowest >= last.desired && converged == Some(Duration::ZERO)) {
            continue;
        }
        services.push(LossOfService {
            service: named(key),
            desired: last.desired,
            lowest,
            healthy: last.healthy,
            converged_at: converged.map(seconds),
            because: converged.is_none().then(|| because(key, service, &last)),
        });
    }
    LossReport {
        instance: names.join(", "),
        settled_after: all_converged(history, Duration::ZERO, end).map(seconds),
        services,
    }
}

/// `cluster/name`, as findings and scenarios have it.
pub fn named((cluster, name): &ServiceKey) -> String {
    format!("{cluster}/{name}")
}

fn seconds(time: Duration) -> Seconds {
    // Whole milliseconds: the same text on every machine.
    time.as_millis() as f64 / 1000.0
}

fn of_service(key: &ServiceKey, service: &ServiceHistory) -> ServiceReport {
    let last = service.samples.last().copied().unwrap_or_default();
    let promised = service.samples.iter().filter(|s| s.declared && s.promised);
    let lowest = promised
        .min_by_key(|s| (i64::from(s.healthy) - i64::from(s.floor), s.healthy, s.at))
        .map(|s| Extreme {
            tasks: s.healthy,
            promised: s.floor,
            at: seconds(s.at),
        });
    let most = service
        .samples
        .iter()
        .filter(|s| s.declared)
        .max_by_key(|s| (s.tasks(), std::cmp::Reverse(s.at)))
        .map(|s| Extreme {
            tasks: s.tasks(),
            promised: s.cap,
            at: seconds(s.at),
        });
    let converged = converged_since(service);
    let open = service.troubles.iter().rev();
    let mut open = open.filter(|t| t.until.is_none() && t.kind == NoticeKind::Placement);
    ServiceReport {
        cluster: key.0.to_string(),
        name: key.1.to_string(),
        desired: last.desired,
        converged_at: converged.map(seconds),
        lowest,
        most,
        dips: dips(service),
        rollouts: service
            .rollouts
            .iter()
            .filter(|rollout| !rollout.before)
            .map(of_rollout)
            .collect(),
        unplaceable: open
            .next()
            .map(|trouble| without_ids(&trouble.message, key)),
        because: (converged.is_none() && last.declared).then(|| because(key, service, &last)),
    }
}

fn of_rollout(rollout: &Rollout) -> RolloutReport {
    RolloutReport {
        deployment: rollout.deployment.clone(),
        revision: rollout.revision.clone(),
        from: seconds(rollout.from),
        until: rollout.until.map(seconds),
        outcome: rollout.outcome,
        reason: rollout.reason.clone(),
    }
}

fn dips(service: &ServiceHistory) -> Vec<Dip> {
    let mut dips: Vec<Dip> = Vec::new();
    let mut open = false;
    for sample in &service.samples {
        let below = sample.declared && sample.promised && sample.healthy < sample.floor;
        match (open, below) {
            (false, true) => dips.push(Dip {
                from: seconds(sample.at),
                until: None,
                healthy: sample.healthy,
                floor: sample.floor,
            }),
            (true, true) => {
                if let Some(dip) = dips.last_mut().filter(|dip| sample.healthy < dip.healthy) {
                    (dip.healthy, dip.floor) = (sample.healthy, sample.floor);
                }
            }
            (true, false) => {
                if let Some(dip) = dips.last_mut() {
                    dip.until = Some(seconds(sample.at));
                }
            }
            (false, false) => {}
        }
        open = below;
    }
    dips
}

/// Since when a service has been as declared, to the end.
fn converged_since(service: &ServiceHistory) -> Option<Duration> {
    let is = |sample: &&Sample| sample.converged || (!sample.declared && sample.tasks() == 0);
    let run = service.samples.iter().rev().take_while(is);
    run.last().map(|sample| sample.at)
}

/// Since when, between these, all of them have been, to the end of it.
fn all_converged(history: &History, from: Duration, until: Duration) -> Option<Duration> {
    let mut since = from;
    for service in history.services.values() {
        let within = service.samples.iter().rev().filter(|s| s.at <= until);
        let is = |sample: &&Sample| sample.converged || (!sample.declared && sample.tasks() == 0);
        let first = within.take_while(is).last()?;
        since = since.max(first.at);
    }
    Some(since)
}

fn steps(prepared: &Prepared, history: &History, end: Duration) -> Vec<StepReport> {
    let acting: Vec<_> = prepared
        .steps
        .iter()
        .filter(|step| !matches!(step.deed, Deed::Expect(_)))
        .collect();
    let reports = acting.iter().enumerate().map(|(n, step)| {
        let mut later = acting.iter().skip(n + 1).map(|next| next.at);
        // What happens at the same time is one disturbance.
        let next = later.find(|at| *at > step.at);
        let until = next.map_or(end, |next| next.saturating_sub(Duration::from_millis(1)));
        let settled = all_converged(history, step.at, until);
        StepReport {
            at: seconds(step.at),
            what: step.shown.clone(),
            settled_after: settled.map(|at| seconds(at.saturating_sub(step.at))),
        }
    });
    reports.collect()
}

fn findings(prepared: &Prepared, recording: &Recording, history: &History) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |kind, service: Option<&ServiceKey>, message: String| {
        found.push(Finding {
            kind,
            service: service.map(named),
            message,
            expected: false,
        });
    };
    if let Some(settled) = recording.settled.filter(|settled| !settled.did) {
        let message = format!(
            "what runs before had not converged after {}; the rest of this begins in that state",
            time::show(settled.after)
        );
        say(FindingKind::Before, None, message);
    }
    if let Some(why) = &recording.gave_up {
        say(FindingKind::GaveUp, None, why.clone());
    }
    for (key, service) in &history.services {
        let last = service.samples.last().copied().unwrap_or_default();
        let open = service.troubles.iter().rev().filter(|t| t.until.is_none());
        let open: Vec<_> = open.collect();
        for trouble in &open {
            if trouble.kind == NoticeKind::Placement && last.declared {
                let message = without_ids(&trouble.message, key);
                say(FindingKind::Unplaceable, Some(key), message);
            }
        }
        for rollout in &service.rollouts {
            if matches!(rollout.outcome, Outcome::Failed | Outcome::RolledBack) && !rollout.before {
                let reason = rollout.reason.as_deref().unwrap_or("no reason is given");
                let message = format!(
                    "{} {} at {}: {}",
                    rollout.revision,
                    match rollout.outcome {
                        Outcome::RolledBack => "was rolled back",
                        _ => "failed",
                    },
                    time::offset(rollout.until.unwrap_or_default()),
                    without_ids(reason, key)
                );
                say(FindingKind::RolloutFailed, Some(key), message);
            }
        }
        if converged_since(service).is_none() {
            let message = match last.declared {
                // Why a task finds no place has been said.
                true => because_of(key, service, &last, |kind| kind != NoticeKind::Placement),
                false => format!("it was removed, and {} of its tasks are left", last.tasks()),
            };
            say(FindingKind::NotConverged, Some(key), message);
        }
        for (at, words) in &service.broken {
            let message = format!("at {}: {words}", time::offset(*at));
            say(FindingKind::Promise, Some(key), message);
        }
    }
    let declared = &prepared.last().services;
    if declared.values().all(std::collections::BTreeMap::is_empty) && found.is_empty() {
        tracing::debug!("the folder declares no service");
    }
    found
}

/// What is in the way of a service.
fn because(key: &ServiceKey, service: &ServiceHistory, last: &Sample) -> String {
    because_of(key, service, last, |_| true)
}

fn because_of(
    key: &ServiceKey,
    service: &ServiceHistory,
    last: &Sample,
    of: fn(NoticeKind) -> bool,
) -> String {
    let mut text = in_words(last);
    let open = service.troubles.iter();
    let open = open.filter(|trouble| trouble.until.is_none() && of(trouble.kind));
    for trouble in open {
        text.push_str(": ");
        text.push_str(without_ids(&trouble.message, key).trim_end_matches('.'));
    }
    text
}

fn instances(prepared: &Prepared) -> Vec<InstanceReport> {
    let mut all: Vec<InstanceReport> = prepared
        .engines
        .iter()
        .flat_map(|engine| {
            engine
                .instances
                .iter()
                .map(|(cluster, name)| InstanceReport {
                    cluster: cluster.to_string(),
                    name: name.to_string(),
                    cpu: u64::from(engine.size.cpus) * 1024,
                    memory: engine.size.memory >> 20,
                })
        })
        .collect();
    all.sort_by(|a, b| (&a.cluster, &a.name).cmp(&(&b.cluster, &b.name)));
    all
}

fn assumed(prepared: &Prepared) -> Vec<String> {
    let assume = &prepared.scenario.assume;
    let sized: Vec<String> = prepared
        .engines
        .iter()
        .filter(|engine| engine.size == assume.size)
        .flat_map(|engine| engine.instances.iter().map(|(_, name)| name.to_string()))
        .collect();
    let mut all = Vec::new();
    if !sized.is_empty() {
        let of = if sized.len() > 4 {
            format!("each of {} instances", sized.len())
        } else {
            sized.join(", ")
        };
        all.push(format!(
            "{of}: {} cores and {} GiB (--cpu, --memory, or the scenario's `instances`)",
            assume.size.cpus,
            assume.size.memory as f64 / f64::from(1 << 30)
        ));
    }
    all.push(format!(
        "a pull takes {}, the start of a container {}, its end after SIGTERM {}",
        time::show(assume.pull),
        time::show(assume.start),
        time::show(assume.stop)
    ));
    let healthy = match assume.healthy_after.is_zero() {
        true => "health checks pass from the first one on".to_owned(),
        false => format!(
            "health checks pass from {} on",
            time::show(assume.healthy_after)
        ),
    };
    all.push(format!(
        "{healthy}; containers run for ever, those that others wait to end (SUCCESS, COMPLETE) for {}",
        time::show(assume.run)
    ));
    if !prepared.scenario.behaviors.is_empty() {
        all.push("the scenario's `behaviors`, where they say otherwise".to_owned());
    }
    all
}
