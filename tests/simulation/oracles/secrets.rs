//! P9: secrets are in no label, in no answer and in nothing that is logged.

use std::fmt::{self, Write};
use std::sync::Arc;

use longshore::engine::simulated::SimEvent;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use super::super::folder::SECRET;
use super::super::record::Record;
use super::{Finding, Oracle};

/// A label that holds one.
pub fn in_labels(event: &SimEvent) -> Option<Finding> {
    let mut labels = event.labels.iter();
    let (name, _) = labels.find(|(_, value)| value.contains(SECRET))?;
    let what = format!("{} label {name} of {} holds a secret", event.at, event.name);
    Some(Oracle::Secret.broken(what))
}

/// A text for people that holds one.
pub fn in_text(what: &str, text: &str) -> Option<Finding> {
    let holds = text.contains(SECRET);
    holds.then(|| Oracle::Secret.broken(format!("{what} holds a secret")))
}

/// Reads everything that is logged, down to debug.
pub struct Log(pub Arc<Record>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::DEBUG && metadata.target().starts_with("longshore")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.reach("a line that was logged");
        if let Some(finding) = in_text("a line that was logged", &text.0) {
            self.0.found(finding);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
