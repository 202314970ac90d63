//! Findings for people, in the manner of rustc: the line with a caret, the other places, what to do.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::{
    AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};

use super::{Diagnostic, Label, Severity, SourceFile, Summary, in_order};

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// With ANSI colours.
    pub color: bool,
    /// Columns of the terminal; longer lines of source are cut around what is shown.
    pub width: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            color: false,
            width: 120,
        }
    }
}

/// All findings, an empty line after each, and a summary in the last line. Nothing for no findings.
pub fn render(diagnostics: &[Diagnostic], options: Options) -> String {
    let renderer = if options.color {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
    .term_width(options.width);
    let mut out = String::new();
    for diagnostic in in_order(diagnostics) {
        out.push_str(&renderer.render(&[group(diagnostic)]));
        out.push_str("\n\n");
    }
    if !diagnostics.is_empty() {
        let _ = writeln!(out, "{}", Summary::of(diagnostics));
    }
    out
}

fn group(diagnostic: &Diagnostic) -> Group<'_> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(
        level
            .primary_title(diagnostic.message.as_str())
            .id(diagnostic.code),
    );
    // One excerpt a file: the one at fault first, the others by their paths.
    let own = &diagnostic.primary.file;
    let mut others: BTreeMap<&str, Vec<&Label>> = BTreeMap::new();
    let mut beside = Vec::new();
    for label in &diagnostic.related {
        if label.file.path == own.path {
            beside.push(label);
        } else {
            others.entry(&label.file.path).or_default().push(label);
        }
    }
    group = excerpt(group, own, Some(&diagnostic.primary), &beside);
    for labels in others.values() {
        group = excerpt(group, &labels[0].file, None, labels);
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(normalize_untrusted_str(help)));
    }
    group
}

fn excerpt<'d>(
    group: Group<'d>,
    file: &'d SourceFile,
    primary: Option<&'d Label>,
    related: &[&'d Label],
) -> Group<'d> {
    let path = normalize_untrusted_str(&file.path);
    let all = || primary.into_iter().chain(related.iter().copied());
    let Some(first) = all().min_by_key(|label| label.span.start) else {
        return group;
    };
    if file.text.is_empty() {
        // There is no line to show.
        let span = first.span;
        return group.element(
            Origin::path(path)
                .line(span.line as usize)
                .char_column(span.column as usize),
        );
    }
    // Only the lines in question: the file may be large, and so may the number of findings.
    let text = file.text.as_str();
    let line_start = |at: usize| text[..at].rfind('\n').map_or(0, |before| before + 1);
    let line_end = |at: usize| text[at..].find('\n').map_or(text.len(), |more| at + more);
    let from = line_start(clip(text, first).start).max(beginning(text));
    let to = all()
        .map(|label| line_end(clip(text, label).end))
        .max()
        .unwrap_or(text.len());
    let breaks = text[from..clip(text, first).start].matches('\n').count();
    let number = (first.span.line as usize).saturating_sub(breaks).max(1);
    // A carriage return that ends a line is no character of it; a blank keeps the offsets.
    let lines = text[from..to].replace("\r\n", " \n");
    let lines = lines.strip_suffix('\r').unwrap_or(&lines).to_owned();
    let mut snippet = Snippet::source(lines).line_start(number).path(path);
    for label in all() {
        let kind = match primary {
            Some(primary) if std::ptr::eq(primary, label) => AnnotationKind::Primary,
            Some(_) => AnnotationKind::Context,
            None => AnnotationKind::Primary,
        };
        let Range { start, end } = clip(text, label);
        let mut annotation = kind.span(start - from..end - from);
        if !label.text.is_empty() {
            annotation = annotation.label(normalize_untrusted_str(&label.text));
        }
        snippet = snippet.annotation(annotation);
    }
    group.element(snippet)
}

/// A label's bytes, inside of the text, on character boundaries, and only as far as its first line goes: a caret under
/// every line of a long mapping says less than one under its first.
fn clip(text: &str, label: &Label) -> Range<usize> {
    let inside = |at: usize| {
        let mut at = at.clamp(beginning(text), text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = inside(label.span.start);
    let end = inside(label.span.end.max(start));
    let line = text[start..end]
        .find(['\n', '\r'])
        .map_or(end, |more| start + more);
    start..line
}

/// Where a text begins: a byte-order mark before it has no column of its first line.
fn beginning(text: &str) -> usize {
    text.len() - text.trim_start_matches('\u{feff}').len()
}
