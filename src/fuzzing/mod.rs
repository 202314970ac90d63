//! What is asserted of every parser whatever it is given: the bodies of the fuzz targets (`fuzz/`), and what `cargo test`
//! replays on the committed corpus.
//!
//! Only in tests and under cargo-fuzz's `--cfg fuzzing`; the program has none of it. Each target takes any bytes and panics
//! where a promise about them is broken: spans that lie outside of their text, what is printed and does not read back, an answer
//! that depends on how the bytes were cut, work or output without bound. Targets of things that are private to a module
//! are beside them, in a module `fuzz`.

mod api;
mod credentials;
mod edit;
mod folder;
mod labels;
mod names;
mod plans;
mod query;
mod secrets;
mod store;
mod world;
mod yaml;

#[cfg(test)]
mod mutate;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Label, SourceFile};

/// A target: its name, and what it asserts of any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target; `fuzz/corpus` has a folder for each.
pub const TARGETS: [Target; 17] = [
    ("api", api::check),
    ("credentials", credentials::check),
    ("edit", edit::check),
    ("engine", crate::engine::docker::fuzz::answers),
    ("etcd", crate::store::etcd::fuzz::answers),
    ("faults", crate::agent::fuzz::requests),
    ("firelens", labels::router),
    ("folder", folder::check),
    ("labels", labels::check),
    ("names", names::check),
    ("plan", plans::plan),
    ("query", query::check),
    ("scenario", plans::scenario),
    ("secrets", secrets::check),
    ("store", store::check),
    ("streams", streams),
    ("yaml", yaml::check),
];

/// Whatever is cut into pieces on its way: frames of exec sessions, an engine's output and events, lines of logs.
fn streams(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    match first % 4 {
        0 => crate::api::fuzz::frames(rest),
        1 => crate::api::fuzz::lines(rest),
        2 => crate::engine::docker::fuzz::output(rest),
        _ => crate::engine::docker::fuzz::events(rest),
    }
}

/// The most text that a target looks at, in bytes: longer inputs find nothing that shorter ones do not, only later.
const LONGEST: usize = 16 << 10;

/// The bytes as text, if they are text, and not too much of it.
pub(crate) fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data)
        .ok()
        .filter(|text| text.len() <= LONGEST)
}

/// Takes the first line off.
pub(crate) fn first_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

/// The rest of the bytes in pieces whose sizes the first byte chooses: all the same, or one byte first.
pub(crate) fn pieces(data: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let Some((size, rest)) = data.split_first() else {
        return (data, Vec::new());
    };
    let size = usize::from(*size).max(1);
    (rest, rest.chunks(size).collect())
}

fn file(path: &str, text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    })
}

/// A finding points into its text, at characters, with the line and column that are there, and can be shown in every format.
fn well_placed(found: &[Diagnostic]) {
    use crate::diagnostic::{github, human, json, junit, sarif};

    let shown = human::render(found, human::Options::default());
    assert_eq!(shown.is_empty(), found.is_empty());
    for diagnostic in found {
        assert!(!diagnostic.message.is_empty(), "{diagnostic:?}");
        well_placed_label(&diagnostic.primary);
        diagnostic.related.iter().for_each(well_placed_label);
        // People are sent to the same place; a lone carriage return ends no line of what they are shown.
        let Label { file, span, .. } = &diagnostic.primary;
        let place = format!(":{}:{}\n", span.line, span.column);
        assert!(
            shown.contains(&place) || file.text.contains('\r'),
            "{place} is not in {shown}"
        );
    }
    let narrow = human::Options {
        color: true,
        width: 20,
    };
    human::render(found, narrow);
    github::render(found);
    for document in [json::render(found, &[]), sarif::render(found)] {
        let read: Result<serde_json::Value, _> = serde_json::from_str(&document);
        assert!(read.is_ok(), "{document}");
    }
    assert!(junit::render(found, &[], false).is_ok());
}

fn well_placed_label(label: &Label) {
    let (span, text) = (label.span, label.file.text.as_str());
    if text.is_empty() {
        return;
    }
    assert!(span.start <= span.end, "{label:?}");
    assert!(text.get(span.start..span.end).is_some(), "{label:?}");
    assert_eq!(
        (span.line, span.column),
        position(text, span.start),
        "{label:?}"
    );
}

/// Line and column of a byte, as YAML counts lines: `\n`, `\r\n` and `\r` end one.
fn position(text: &str, at: usize) -> (u32, u32) {
    let (mut line, mut column) = (1, 1);
    // With which a file begins, a byte-order mark is no character of it; anywhere else it is one.
    let mut characters = text[..at].trim_start_matches('\u{feff}').chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            // Of a break that is cut in two the first half is no end yet.
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' if characters.peek().is_none() && text[at..].starts_with('\n') => column += 1,
            '\n' | '\r' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
    }
    (line, column)
}
