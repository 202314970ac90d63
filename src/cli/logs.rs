//! `longshore logs [SERVICE|TASK]`: what tasks wrote, their stdout to stdout and their stderr to stderr.

use std::time::Duration;

use super::client_common::{Meant, failure, find, meant, now};
use super::output::{message, write_stderr, write_stdout};
use super::{CommandResult, Failure, Globals};
use crate::api::streams::logs::{LogHeader, LogLine, LogQuery};
use crate::model::Timestamp;

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// A service, or a task by the beginning of its id; without it all services
    #[arg(value_name = "SERVICE|TASK")]
    name: Option<String>,
    /// Go on as lines are written, also those of tasks that start later
    #[arg(short, long)]
    follow: bool,
    /// Only containers of this name
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Only lines since then: a time (RFC 3339) or a duration before now (90s, 5m, 1h30m, 2d)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only the last so many lines of each container
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<u32>,
    /// Write each line's time in front of it
    #[arg(short, long)]
    timestamps: bool,
}

/// Prints the lines.
pub async fn run(args: LogsArgs, globals: &Globals) -> CommandResult {
    let since = match &args.since {
        None => None,
        Some(text) => Some(
            since(text, now())
                .ok_or_else(|| {
                    Failure::could_not_run(format!(
                        "--since {text}: write a time (2026-01-02T03:04:05Z) or a duration (90s, 5m, 1h30m, 2d)"
                    ))
                })?
                .to_string(),
        ),
    };
    let client = find(globals).await?;
    let mut query = LogQuery {
        cluster: globals.cluster.clone(),
        container: args.container.clone(),
        follow: args.follow,
        since,
        tail: args.tail,
        ..LogQuery::default()
    };
    match &args.name {
        None => {}
        Some(name) => match meant(&client, globals, name).await? {
            Meant::Service(cluster, service) => {
                query.cluster = Some(cluster);
                query.service = Some(service);
            }
            Meant::Task(cluster, task) => {
                query.cluster = Some(cluster);
                query.task = Some(task);
            }
        },
    }
    let one_task = query.task.is_some();
    let (header, mut lines) = client.logs(&query).await.map_err(failure)?;
    let style = Style {
        prefix: needs_prefix(header, one_task),
        timestamps: args.timestamps,
        colour: globals.colour_on_stdout(),
    };
    let mut unreadable = false;
    while let Some(line) = lines.next().await.map_err(failure)? {
        if let Some(error) = &line.error {
            unreadable = true;
            message(&format!("{}: {error}", name_of(&line)));
            continue;
        }
        let text = style.line(&line);
        if line.stream == "stderr" {
            write_stderr(&text);
        } else if !write_stdout(&text) {
            return Ok(());
        }
    }
    if args.follow && !one_task {
        return Err(super::client_common::ended());
    }
    if unreadable && !args.follow {
        return Err(Failure::Findings(String::new()));
    }
    Ok(())
}

/// Whether lines must say whose they are: not when there is, and will be, only one container.
fn needs_prefix(header: LogHeader, one_task: bool) -> bool {
    let others_may_join = header.more && !one_task;
    header.containers > 1 || others_may_join
}

/// `service/task container`
fn name_of(line: &LogLine) -> String {
    let task = line.task.get(..6).unwrap_or(&line.task);
    match &line.service {
        Some(service) => format!("{service}/{task} {}", line.container),
        None => format!("{task} {}", line.container),
    }
}

/// How lines are written.
pub(super) struct Style {
    /// Each says whose it is.
    pub prefix: bool,
    /// Each says when it was written.
    pub timestamps: bool,
    /// Whose it is stands in the task's colour.
    pub colour: bool,
}

/// Colours for tasks: those that can be read on dark and light ground, and are neither red nor yellow.
const COLOURS: [u8; 8] = [36, 35, 34, 32, 96, 95, 94, 92];

impl Style {
    /// The line as it is written, its end with it.
    pub fn line(&self, line: &LogLine) -> Vec<u8> {
        let mut text = Vec::new();
        if self.prefix {
            let name = format!("{} |", name_of(line));
            if self.colour {
                let colour = COLOURS[colour_of(&line.task)];
                text.extend(format!("\u{1b}[{colour}m{name}\u{1b}[0m ").into_bytes());
            } else {
                text.extend(format!("{name} ").into_bytes());
            }
        }
        if let Some(at) = line.at.as_ref().filter(|_| self.timestamps) {
            text.extend_from_slice(at.as_bytes());
            text.push(b' ');
        }
        match (&line.line, &line.bytes) {
            (Some(line), _) => text.extend_from_slice(line.as_bytes()),
            (None, Some(bytes)) => text.extend_from_slice(bytes),
            (None, None) => {}
        }
        text.push(b'\n');
        text
    }
}

/// A task has one colour in every run, by its id.
fn colour_of(task: &str) -> usize {
    let sum = task.bytes().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    sum % COLOURS.len()
}

/// A time, or a duration before `now`.
fn since(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp::from_millis(at.as_millisecond()));
    }
    let ago = i64::try_from(duration(text)?.as_millis()).ok()?;
    Some(Timestamp::from_millis(now.as_millis().saturating_sub(ago)))
}

/// `1h30m`: numbers with a unit each, of `d`, `h`, `m`, `s`; a number alone is seconds.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (mut total, mut digits) = (0_u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            'd' => 86_400,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        let count: u64 = digits.parse().ok()?;
        total = total.checked_add(count.checked_mul(unit)?)?;
        digits.clear();
    }
    (digits.is_empty() && !text.is_empty()).then(|| Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> LogLine {
        LogLine {
            service: Some("web".into()),
            task: "0123456789abcdef0123456789abcdef".into(),
            container: "app".into(),
            stream: "stdout".into(),
            at: Some("2026-01-02T03:04:05.000000006Z".into()),
            line: Some("hello".into()),
            ..LogLine::default()
        }
    }

    fn printed(prefix: bool, timestamps: bool) -> String {
        let style = Style {
            prefix,
            timestamps,
            colour: false,
        };
        String::from_utf8(style.line(&line())).unwrap()
    }

    #[test]
    fn a_line_says_whose_it_is_only_where_there_are_several() {
        assert_eq!(printed(true, false), "web/012345 app | hello\n");
        assert_eq!(printed(false, false), "hello\n");
        assert_eq!(
            printed(false, true),
            "2026-01-02T03:04:05.000000006Z hello\n"
        );
        let one = LogHeader {
            containers: 1,
            more: false,
        };
        let followed = LogHeader {
            containers: 1,
            more: true,
        };
        let two = LogHeader {
            containers: 2,
            more: false,
        };
        assert!(!needs_prefix(one, false) && !needs_prefix(followed, true));
        assert!(needs_prefix(followed, false) && needs_prefix(two, true));
    }

    #[test]
    fn since_is_a_time_or_a_duration_before_now() {
        let now = Timestamp::from_millis(10_000_000);
        let millis = |text: &str| since(text, now).map(Timestamp::as_millis);
        assert_eq!(millis("5m"), Some(10_000_000 - 300_000));
        assert_eq!(millis("1h30m"), Some(10_000_000 - 5_400_000));
        assert_eq!(millis("90"), Some(10_000_000 - 90_000));
        assert_eq!(millis("1970-01-01T00:00:01Z"), Some(1000));
        for wrong in ["", "m", "5x", "1h30", "yesterday", "99999999999999999999d"] {
            assert_eq!(since(wrong, now), None, "{wrong}");
        }
    }
}
