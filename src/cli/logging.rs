//! Messages of the program itself: `tracing`, to stderr, as text or as JSON lines.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::Globals;
use super::globals::LogFormat;

/// Where a line goes while a live table is on the screen.
type Sink = Box<dyn Fn(String) + Send>;

static SINK: OnceLock<Mutex<Option<Sink>>> = OnceLock::new();

/// Sends whole lines to `sink` instead of stderr, until it is taken back with `None`.
pub fn redirect(sink: Option<Sink>) {
    let slot = SINK.get_or_init(|| Mutex::new(None));
    if let Ok(mut current) = slot.lock() {
        *current = sink;
    }
}

/// Installs the subscriber. bollard is held at `info`: below that it logs request bodies, and those carry secrets (P9).
pub fn init(globals: &Globals) {
    let level = match globals.verbose {
        0 => "info",
        1 => "longshore=debug,info",
        _ => "longshore=trace,debug",
    };
    let filter = std::env::var("LONGSHORE_LOG").unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::try_new(format!(
        "{filter},bollard=info,hyper=info,hyper_util=info,rustls=info"
    ))
    .unwrap_or_else(|_| EnvFilter::new("info,bollard=info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines)
        .with_target(false);
    // A second initialisation (tests that call commands in one process) keeps the first subscriber.
    let _ = match globals.log_format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_ansi(false)
            .try_init(),
        LogFormat::Text => builder
            .with_ansi(globals.colour_on_stderr())
            .with_timer(Seconds)
            .try_init(),
    };
}

/// The time of day, UTC, to the second: what a person at a terminal wants of it.
struct Seconds;

impl tracing_subscriber::fmt::time::FormatTime for Seconds {
    fn format_time(&self, w: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        use crate::clock::{Clock, SystemClock};
        let now = SystemClock.now().to_string();
        w.write_str(now.get(..19).unwrap_or(&now))?;
        w.write_char('Z')
    }
}

#[derive(Clone, Copy)]
struct Lines;

struct LineWriter(Vec<u8>);

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.0);
        let text = text.trim_end_matches('\n');
        if text.is_empty() {
            return;
        }
        if let Some(slot) = SINK.get()
            && let Ok(sink) = slot.lock()
            && let Some(sink) = sink.as_ref()
        {
            sink(text.to_owned());
            return;
        }
        // Nobody to tell when stderr is gone.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter(Vec::with_capacity(160))
    }
}
