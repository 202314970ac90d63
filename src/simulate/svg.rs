//! A simulation as a picture: a lane for each service, a bar for each task, by revision and state, with the floor and the
//! ceiling that are promised and the line of healthy tasks between them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::history::{History, Outcome, Sample, ServiceHistory};
use super::report::Report;
use super::tasks::Phase;
use super::time;

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 80.0;
const TOP: f64 = 92.0;
const GAP: f64 = 30.0;
/// Most that a lane's bars are high together, and the limits of one.
const LANE: f64 = 132.0;
const ROW: (f64, f64) = (2.0, 15.0);
const AXIS: f64 = 26.0;
const STEP_LINE: f64 = 16.0;
/// Colours of revisions, in the order in which a service has them.
const REVISIONS: [&str; 6] = [
    "#3b6fb6", "#d9822b", "#2a9d8f", "#8a5cb8", "#6b8e23", "#b5567a",
];
const UNHEALTHY: &str = "#c62828";
const STOPPING: &str = "#9aa0a6";
const INK: &str = "#1f2328";
const FAINT: &str = "#656d76";

/// Draws it, as SVG.
pub fn draw(report: &Report, history: &History) -> String {
    let services: Vec<_> = history
        .services
        .iter()
        .filter(|(_, service)| {
            !service.tasks.is_empty() || service.samples.iter().any(|s| s.declared)
        })
        .collect();
    let scale = Scale::of(
        report,
        &services.iter().map(|(_, s)| *s).collect::<Vec<_>>(),
    );
    let mut lanes = String::new();
    let mut y = TOP + AXIS;
    for ((cluster, name), service) in &services {
        let several = services.iter().any(|((other, _), _)| other != cluster);
        let title = match several {
            true => format!("{cluster}/{name}"),
            false => name.to_string(),
        };
        y += lane(&mut lanes, y, &title, service, &scale) + GAP;
    }
    let bottom = y - GAP + 8.0;
    let steps: Vec<_> = report.steps.iter().collect();
    let height = bottom + AXIS + 20.0 + STEP_LINE * steps.len() as f64;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         font-family=\"system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"{INK}\">"
    );
    out.push_str(
        "<defs><pattern id=\"pending\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"2\" height=\"6\" fill=\"#ffffff\" fill-opacity=\"0.75\"/></pattern></defs>\n",
    );
    let _ = writeln!(
        out,
        "<rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#ffffff\"/>"
    );
    heading(&mut out, report);
    axis(&mut out, TOP + AXIS - 8.0, bottom, &scale);
    out.push_str(&lanes);
    marks(&mut out, report, &scale, bottom);
    out.push_str("</svg>\n");
    out
}

/// From times to places.
struct Scale {
    end: f64,
    /// Whether nothing changes from the end of what is drawn to the end of the simulation.
    cut: bool,
}

impl Scale {
    fn of(report: &Report, services: &[&ServiceHistory]) -> Self {
        let samples = services.iter().flat_map(|service| &service.samples);
        let last = samples
            .map(|sample| sample.at.as_secs_f64())
            .fold(0.0, f64::max);
        let steps = report.steps.iter().map(|step| step.at);
        let last = steps.fold(last, f64::max);
        let wanted = (last * 1.12).max(last + 2.0).max(10.0);
        Self {
            end: wanted.min(report.duration.max(1.0)),
            cut: wanted < report.duration,
        }
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds / self.end).clamp(0.0, 1.0)
    }

    fn at(&self, time: Duration) -> f64 {
        self.x(time.as_secs_f64())
    }
}

fn heading(out: &mut String, report: &Report) {
    let shown = |seconds: f64| time::show(Duration::from_secs_f64(seconds.max(0.0)));
    let verdict = match (report.converged_at, report.unexpected().count()) {
        (Some(at), 0) => format!("converged at {}, no findings", shown(at)),
        (Some(at), 1) => format!("converged at {}, 1 finding", shown(at)),
        (Some(at), n) => format!("converged at {}, {n} findings", shown(at)),
        (None, 1) => "not converged, 1 finding".to_owned(),
        (None, n) => format!("not converged, {n} findings"),
    };
    let colour = if report.ok { "#1a7f37" } else { UNHEALTHY };
    let _ = writeln!(
        out,
        "<text x=\"20\" y=\"30\" font-size=\"17\" font-weight=\"600\">{}</text>",
        escaped(&report.folder)
    );
    let _ = writeln!(
        out,
        "<text x=\"20\" y=\"50\" fill=\"{FAINT}\">{} of virtual time, seed {}: <tspan fill=\"{colour}\" \
         font-weight=\"600\">{verdict}</tspan></text>",
        shown(report.duration),
        report.seed
    );
    let mut x = 20.0;
    let base = REVISIONS[0];
    for (words, style, pending) in [
        (
            "pending",
            format!("fill=\"{base}\" fill-opacity=\"0.45\""),
            true,
        ),
        (
            "starting",
            format!("fill=\"{base}\" fill-opacity=\"0.45\""),
            false,
        ),
        ("healthy", format!("fill=\"{base}\""), false),
        ("unhealthy", format!("fill=\"{UNHEALTHY}\""), false),
        ("stopping", format!("fill=\"{STOPPING}\""), false),
    ] {
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"66\" width=\"18\" height=\"10\" {style}/>"
        );
        if pending {
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"66\" width=\"18\" height=\"10\" fill=\"url(#pending)\"/>"
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"75\" fill=\"{FAINT}\">{words}</text>",
            x + 23.0
        );
        x += 34.0 + 7.0 * words.len() as f64;
    }
    for (words, style) in [
        (
            "healthy tasks",
            format!("stroke=\"{INK}\" stroke-width=\"1.6\""),
        ),
        (
            "floor",
            format!("stroke=\"{UNHEALTHY}\" stroke-dasharray=\"5 3\""),
        ),
        (
            "ceiling",
            format!("stroke=\"{FAINT}\" stroke-dasharray=\"1.5 3\""),
        ),
    ] {
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"71\" x2=\"{:.1}\" y2=\"71\" {style}/>\
             <text x=\"{:.1}\" y=\"75\" fill=\"{FAINT}\">{words}</text>",
            x + 20.0,
            x + 25.0
        );
        x += 36.0 + 7.0 * words.len() as f64;
    }
}

fn axis(out: &mut String, top: f64, bottom: f64, scale: &Scale) {
    let every = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
    ];
    let every = every
        .into_iter()
        .find(|every| scale.end / every <= 12.0)
        .unwrap_or(7200.0);
    let mut n = 0.0;
    while n * every <= scale.end {
        let (x, seconds) = (scale.x(n * every), n * every);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#e7eaee\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\" fill=\"{FAINT}\">{}</text>",
            top - 5.0,
            time::show(Duration::from_secs_f64(seconds))
        );
        n += 1.0;
    }
    if scale.cut {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" fill=\"{FAINT}\">unchanged</text>",
            WIDTH - RIGHT + 8.0,
            top - 5.0
        );
    }
}

/// Draws a lane and returns how high it is.
fn lane(out: &mut String, top: f64, title: &str, service: &ServiceHistory, scale: &Scale) -> f64 {
    let slots = slots(service);
    let used = slots.iter().map(|slot| slot + 1).max().unwrap_or(0);
    let most = |of: fn(&Sample) -> u32| service.samples.iter().map(of).max().unwrap_or(0) as usize;
    // A ceiling far above what is ever used would leave the bars no room.
    let cap = most(|sample| sample.cap).min(used.max(1) * 2);
    let rows = used.max(cap).max(most(|sample| sample.desired)).max(1);
    let row = (LANE / rows as f64).clamp(ROW.0, ROW.1);
    let height = (row * rows as f64).max(44.0);
    let base = top + height;
    let y = |count: f64| base - row * count;
    let _ = writeln!(
        out,
        "<rect x=\"{LEFT:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"#f6f8fa\" fill-opacity=\"0.6\"/>\
         <line x1=\"20\" y1=\"{base:.1}\" x2=\"{:.1}\" y2=\"{base:.1}\" stroke=\"#d0d7de\"/>",
        WIDTH - LEFT - RIGHT,
        WIDTH - RIGHT
    );
    let _ = writeln!(
        out,
        "<text x=\"20\" y=\"{:.1}\" font-size=\"14\" font-weight=\"600\">{}</text>",
        top + 14.0,
        escaped(title)
    );
    let mut colours: BTreeMap<&str, &str> = BTreeMap::new();
    let mut line = top + 31.0;
    for task in &service.tasks {
        let known = colours.len();
        if colours.contains_key(task.revision.as_str()) {
            continue;
        }
        let colour = REVISIONS[known % REVISIONS.len()];
        colours.insert(&task.revision, colour);
        if line < base + 2.0 {
            let _ = writeln!(
                out,
                "<rect x=\"20\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"36\" y=\"{line:.1}\" fill=\"{FAINT}\">{}</text>",
                line - 9.0,
                escaped(&task.revision)
            );
        }
        line += 16.0;
    }
    for (task, slot) in service.tasks.iter().zip(&slots) {
        let colour = colours
            .get(task.revision.as_str())
            .copied()
            .unwrap_or(REVISIONS[0]);
        let _ = write!(
            out,
            "<g><title>{} on {}, task {}</title>",
            escaped(&task.revision),
            escaped(&task.instance),
            escaped(task.id.get(..8).unwrap_or(&task.id))
        );
        for pair in task.phases.windows(2) {
            let [(from, phase), (until, _)] = pair else {
                continue;
            };
            let (x, until) = (scale.at(*from), scale.at(*until));
            let place = format!(
                "x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"",
                y(*slot as f64 + 1.0) + row * 0.08,
                (until - x).max(0.6),
                row * 0.84
            );
            let fill = match phase {
                Phase::Healthy => format!("fill=\"{colour}\""),
                Phase::Unhealthy => format!("fill=\"{UNHEALTHY}\""),
                Phase::Stopping => format!("fill=\"{STOPPING}\""),
                Phase::Pending | Phase::Starting => {
                    format!("fill=\"{colour}\" fill-opacity=\"0.45\"")
                }
                Phase::Over => continue,
            };
            let _ = write!(out, "<rect {place} {fill}/>");
            if *phase == Phase::Pending {
                let _ = write!(out, "<rect {place} fill=\"url(#pending)\"/>");
            }
        }
        out.push_str("</g>\n");
    }
    let path = |of: &dyn Fn(&Sample) -> f64| {
        let mut path = String::new();
        for (n, sample) in service.samples.iter().enumerate() {
            let (x, y) = (scale.at(sample.at), y(of(sample)));
            let _ = match n {
                0 => write!(path, "M{x:.1} {y:.1}"),
                _ => write!(path, "H{x:.1}V{y:.1}"),
            };
        }
        let _ = write!(path, "H{:.1}", WIDTH - RIGHT);
        path
    };
    let ceiling = path(&|sample| f64::from(sample.cap).min(rows as f64));
    let floor = path(&|sample| f64::from(sample.floor));
    let healthy = path(&|sample| f64::from(sample.healthy));
    let _ = writeln!(
        out,
        "<path d=\"{ceiling}\" fill=\"none\" stroke=\"{FAINT}\" stroke-dasharray=\"1.5 3\"/>\
         <path d=\"{healthy}\" fill=\"none\" stroke=\"{INK}\" stroke-width=\"1.6\"/>\
         <path d=\"{floor}\" fill=\"none\" stroke=\"{UNHEALTHY}\" stroke-dasharray=\"5 3\"/>"
    );
    if let Some(last) = service.samples.last().filter(|last| last.declared) {
        let x = WIDTH - RIGHT + 8.0;
        // Two labels at one height would cover each other.
        let (cap, floor) = (
            y(f64::from(last.cap).min(rows as f64)),
            y(f64::from(last.floor)),
        );
        let floor = if (floor - cap).abs() < 12.0 {
            cap + 12.0
        } else {
            floor
        };
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"11\" fill=\"{FAINT}\">ceiling {}</text>\
             <text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"11\" fill=\"{UNHEALTHY}\">floor {}</text>",
            cap + 4.0,
            last.cap,
            floor + 4.0,
            last.floor
        );
    }
    for rollout in service.rollouts.iter().filter(|rollout| !rollout.before) {
        let Some(until) = rollout.until else { continue };
        let (mark, colour) = match rollout.outcome {
            Outcome::Completed => ("✓", "#1a7f37"),
            Outcome::Failed | Outcome::RolledBack => ("✗", UNHEALTHY),
            Outcome::InProgress | Outcome::Superseded => continue,
        };
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{colour}\" font-weight=\"600\"><title>{} {}</title>{mark}</text>",
            scale.at(until),
            top - 3.0,
            escaped(&rollout.revision),
            rollout.outcome.as_str()
        );
    }
    height
}

/// The row of each task's bar: the lowest that is free then. So there are as many rows as there were tasks at once.
fn slots(service: &ServiceHistory) -> Vec<usize> {
    let mut free_from: Vec<Duration> = Vec::new();
    let mut slots = Vec::new();
    for task in &service.tasks {
        let from = task.phases.first().map_or(Duration::ZERO, |(at, _)| *at);
        let until = task.phases.last().map_or(Duration::ZERO, |(at, _)| *at);
        let slot = match free_from.iter().position(|free| *free <= from) {
            Some(slot) => slot,
            None => {
                free_from.push(Duration::ZERO);
                free_from.len() - 1
            }
        };
        free_from[slot] = until;
        slots.push(slot);
    }
    slots
}

/// What the scenario did, as numbered lines, and as text below. Steps too near to each other share their number's place.
fn marks(out: &mut String, report: &Report, scale: &Scale, bottom: f64) {
    let mut groups: Vec<(f64, usize, usize)> = Vec::new();
    for (n, step) in report.steps.iter().enumerate() {
        let x = scale.x(step.at);
        match groups.last_mut() {
            Some((at, _, last)) if x - *at < 22.0 => *last = n + 1,
            _ => groups.push((x, n + 1, n + 1)),
        }
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"{INK}\" stroke-opacity=\"0.35\"/>",
            TOP + AXIS - 8.0,
            bottom + 4.0
        );
        let settled = match step.settled_after {
            Some(0.0) => "converged at once".to_owned(),
            Some(after) => format!(
                "converged {} later",
                time::show(Duration::from_secs_f64(after))
            ),
            None => "not converged by the next step, or the end".to_owned(),
        };
        let _ = writeln!(
            out,
            "<text x=\"20\" y=\"{:.1}\">{}. <tspan fill=\"{FAINT}\">{}</tspan> {} <tspan fill=\"{FAINT}\">({settled})</tspan></text>",
            bottom + AXIS + 14.0 + STEP_LINE * n as f64,
            n + 1,
            time::offset(Duration::from_secs_f64(step.at)),
            escaped(&step.what)
        );
    }
    for (x, first, last) in groups {
        let label = match first == last {
            true => first.to_string(),
            false => format!("{first}–{last}"),
        };
        let width = 10.0 + 6.0 * label.chars().count() as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"16\" rx=\"8\" fill=\"{INK}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\" fill=\"#ffffff\">{label}</text>",
            x - width / 2.0,
            bottom + 3.0,
            bottom + 14.5
        );
    }
}

/// As XML takes text.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
