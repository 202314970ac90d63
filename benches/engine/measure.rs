//! Clocks, medians, and the table that a run prints.

use std::fmt::Write as _;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Markdown rows, a section at a time.
#[derive(Default)]
pub struct Table(String);

impl Table {
    /// Begins a section with its columns.
    pub fn section(&mut self, title: &str, columns: &[&str]) {
        let _ = writeln!(self.0, "\n## {title}\n\n| {} |", columns.join(" | "));
        let _ = writeln!(self.0, "|{}", "---|".repeat(columns.len()));
    }

    /// Adds a row to the last section, and says it.
    pub fn row(&mut self, cells: &[String]) {
        eprintln!("{}", cells.join("  "));
        let _ = writeln!(self.0, "| {} |", cells.join(" | "));
    }

    /// A paragraph below the last section.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.0, "\n{text}");
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// The middle value; of an even number the upper one.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that `share` of all lie below.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (sorted.len() as f64 * share).floor() as usize;
    sorted[at.min(last)]
}

fn since_1970() -> std::time::Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
}

/// Nanoseconds since 1970, as the engine's events have them.
pub fn now_nanos() -> i64 {
    i64::try_from(since_1970().as_nanos()).expect("fits")
}

/// Microseconds since 1970.
pub fn now_micros() -> i64 {
    now_nanos() / 1000
}

/// Seconds from one instant to another.
pub fn seconds(from: i64, to: i64) -> f64 {
    (to - from) as f64 / 1e9
}

/// CPU time of a process in clock ticks, and its resident memory in KiB.
pub fn usage(pid: u32) -> (u64, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .expect("fields")
        .split_whitespace()
        .collect();
    let ticks =
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let rss = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .and_then(|l| l.split_whitespace().next()?.parse().ok())
        .expect("VmRSS");
    (ticks, rss)
}
