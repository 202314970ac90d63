//! Changing one value of a manifest where it is written: every other byte of the file stays, comments and order with it. Pure.
//!
//! The bytes of the value alone are replaced, in the way it is written (plain, in single or in double quotes) as far as the new
//! one can be written so. What came out is read again, and taken only if it is the old file with that one value changed: so a
//! value that is repeated elsewhere by an alias, or that cannot be written there, is refused and never half changed.

use std::sync::Arc;

use serde_json::Value as Json;

use super::yaml::{self, Node, Parsed, Value};
use crate::diagnostic::{Severity, SourceFile, Span};

/// A file with a value changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The file as it is to be.
    pub file: Arc<SourceFile>,
    /// Where the value is written in it.
    pub at: Span,
}

/// Why a value is not changed. Each says where, and what to do by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such value.
    #[error("there is no {what} to change here")]
    Absent {
        /// The nearest place that is written.
        at: Span,
        /// The member.
        what: String,
    },
    /// It is a mapping or a list.
    #[error("this is no single value")]
    NoScalar {
        /// Where it is.
        at: Span,
    },
    /// It stands there by an alias.
    #[error(
        "this comes from the alias `{alias}`, and is written elsewhere: change it by hand where its anchor is"
    )]
    Alias {
        /// Where the alias is.
        at: Span,
        /// As it is written.
        alias: String,
    },
    /// It is a block of lines (`|` or `>`).
    #[error("this is written as a block of lines: write it on one line, or change it by hand")]
    Block {
        /// Where it is.
        at: Span,
    },
    /// An alias repeats it elsewhere.
    #[error(
        "this is repeated by an alias in line {}, which would change with it: change it by hand",
        .repeated.line
    )]
    Repeated {
        /// Where it is.
        at: Span,
        /// Where it is repeated.
        repeated: Span,
    },
    /// No way to write it gives the new value and nothing else.
    #[error("{to} cannot be written here so that everything else stays: change it by hand")]
    Unwritable {
        /// Where it is.
        at: Span,
        /// The value.
        to: String,
    },
}

impl Refusal {
    /// Where in the file.
    pub fn at(&self) -> Span {
        match self {
            Self::Absent { at, .. }
            | Self::NoScalar { at }
            | Self::Alias { at, .. }
            | Self::Block { at }
            | Self::Repeated { at, .. }
            | Self::Unwritable { at, .. } => *at,
        }
    }
}

/// The value at a JSON pointer of the `document`th document that [`yaml::parse`] finds, changed to `to`, which is text or a
/// number.
///
/// # Errors
/// See [`Refusal`].
pub fn set(
    file: &SourceFile,
    document: usize,
    pointer: &str,
    to: &Json,
) -> Result<Edited, Refusal> {
    let before = parse(file);
    let what = pointer.rsplit('/').next().unwrap_or_default().to_owned();
    let Some(root) = before.documents.get(document) else {
        let at = Span::default();
        return Err(Refusal::Absent { at, what });
    };
    let (above, value) = path(root, pointer);
    for node in above.iter().copied().chain(value) {
        if let Some(alias) = alias(file, node) {
            return Err(Refusal::Alias {
                at: node.span,
                alias: alias.to_owned(),
            });
        }
    }
    let Some(value) = value else {
        let at = above.last().map_or(root.span, |node| first(node));
        return Err(Refusal::Absent { at, what });
    };
    if matches!(value.value, Value::Map(_) | Value::Seq(_)) {
        return Err(Refusal::NoScalar { at: first(value) });
    }
    let written = slice(file, value.span);
    if is_block(file, value.span) {
        return Err(Refusal::Block { at: value.span });
    }
    let style = Style::of(written);
    let wanted = with(&before, document, pointer, to);
    let mut repeated = None;
    for style in style.alternatives(file, to) {
        let Some(mut text) = style.write(to) else {
            continue;
        };
        // `image:` with nothing behind it.
        if written.is_empty() && !file.text[..value.span.start].ends_with([' ', '\t']) {
            text.insert(0, ' ');
        }
        let edited = replaced(file, value.span, &text);
        let after = parse(&edited);
        if same(&before, &after, &wanted) {
            let leading = text.len() - text.trim_start_matches(' ').len();
            let column = value.span.column + u32::try_from(leading).unwrap_or_default();
            return Ok(Edited {
                at: Span {
                    start: value.span.start + leading,
                    end: value.span.start + text.len(),
                    line: value.span.line,
                    column,
                },
                file: Arc::new(edited),
            });
        }
        if repeated.is_none() {
            repeated = elsewhere(file, &before, &after, document, pointer);
        }
    }
    let at = value.span;
    Err(match repeated {
        Some(repeated) => Refusal::Repeated { at, repeated },
        None => Refusal::Unwritable { at, to: shown(to) },
    })
}

/// A member that is not there yet, added to the mapping at a JSON pointer: on a line of its own after `after`, where that is a
/// member on one line, else before the first one.
///
/// # Errors
/// See [`Refusal`].
pub fn add(
    file: &SourceFile,
    document: usize,
    mapping: &str,
    member: &str,
    to: &Json,
    after: &str,
) -> Result<Edited, Refusal> {
    let before = parse(file);
    let absent = |at| Refusal::Absent {
        at,
        what: member.to_owned(),
    };
    let root = before.documents.get(document);
    let root = root.ok_or_else(|| absent(Span::default()))?;
    let (above, value) = path(root, mapping);
    for node in above.iter().copied().chain(value) {
        if let Some(alias) = alias(file, node) {
            return Err(Refusal::Alias {
                at: node.span,
                alias: alias.to_owned(),
            });
        }
    }
    let map = value.ok_or_else(|| absent(root.span))?;
    let Value::Map(entries) = &map.value else {
        return Err(Refusal::NoScalar { at: map.span });
    };
    let json = is_json(file);
    let key = if json || slice(file, map.span).starts_with("{\"") {
        Json::from(member).to_string()
    } else {
        member.to_owned()
    };
    let pair = format!("{key}: {}", shown(to));
    let one_line = |entry: &&yaml::Entry| {
        let value = &entry.value;
        let scalar = !matches!(value.value, Value::Map(_) | Value::Seq(_));
        scalar && !slice(file, value.span).contains('\n')
    };
    let flow = slice(file, map.span).starts_with('{');
    let neighbour = entries
        .iter()
        .filter(one_line)
        .find(|entry| entry.key == after)
        .or_else(|| entries.iter().find(one_line));
    let (at, text) = match neighbour {
        Some(entry) if !flow => {
            let rest = &file.text[entry.value.span.end..];
            let line = rest.find(['\r', '\n']).unwrap_or(rest.len());
            let ending = if file.text.contains("\r\n") {
                "\r\n"
            } else {
                "\n"
            };
            let indent = " ".repeat(indent(&file.text[..entry.key_span.start]));
            (
                entry.value.span.end + line,
                format!("{ending}{indent}{pair}"),
            )
        }
        Some(entry) => (entry.key_span.start, format!("{pair}, ")),
        None if flow => (map.span.start + 1, pair.clone()),
        None => return Err(absent(map.span)),
    };
    let point = Span {
        start: at,
        end: at,
        ..map.span
    };
    let edited = replaced(file, point, &text);
    let after = parse(&edited);
    let pointer = format!("{mapping}/{member}");
    let mut wanted: Vec<Json> = before.documents.iter().map(Node::to_json).collect();
    if let Some(members) = wanted[document]
        .pointer_mut(mapping)
        .and_then(Json::as_object_mut)
    {
        members.insert(member.to_owned(), to.clone());
    }
    let written = after
        .documents
        .get(document)
        .and_then(|d| d.pointer(&pointer));
    match written {
        Some(node) if same(&before, &after, &wanted) => Ok(Edited {
            at: node.span,
            file: Arc::new(edited),
        }),
        _ => Err(Refusal::Unwritable {
            at: map.span,
            to: pair,
        }),
    }
}

/// How a single value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
}

impl Style {
    fn of(written: &str) -> Self {
        match written.bytes().next() {
            Some(b'\'') => Self::Single,
            Some(b'"') => Self::Double,
            _ => Self::Plain,
        }
    }

    /// The ways to try, that in which it is written first. A number has no quotes, and JSON has only double ones.
    fn alternatives(self, file: &SourceFile, to: &Json) -> Vec<Self> {
        if !to.is_string() {
            return vec![Self::Plain];
        }
        if is_json(file) {
            return vec![Self::Double];
        }
        let mut all = vec![self];
        all.extend(
            [Self::Double, Self::Single]
                .into_iter()
                .filter(|s| *s != self),
        );
        all
    }

    fn write(self, to: &Json) -> Option<String> {
        let text = to.as_str();
        match self {
            Self::Plain => Some(shown(to)),
            Self::Single => Some(format!("'{}'", text?.replace('\'', "''"))),
            Self::Double => Some(to.to_string()),
        }
    }
}

/// Whether a value is a block of lines: its indicator is the last word of the line above them, or all that there is.
fn is_block(file: &SourceFile, at: Span) -> bool {
    let indicates = |word: &str| {
        let rest = word.strip_prefix(['|', '>']);
        rest.is_some_and(|rest| rest.chars().all(|c| matches!(c, '-' | '+' | '0'..='9')))
    };
    let above = file.text[..at.start].trim_end();
    let line = above.rsplit('\n').next().unwrap_or_default();
    let line = line.split(" #").next().unwrap_or_default();
    indicates(slice(file, at)) || line.split_whitespace().next_back().is_some_and(indicates)
}

fn is_json(file: &SourceFile) -> bool {
    file.path.to_ascii_lowercase().ends_with(".json")
}

/// Text as it is, everything else as JSON writes it.
fn shown(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn parse(file: &SourceFile) -> Parsed {
    yaml::parse(&Arc::new(file.clone()))
}

fn slice(file: &SourceFile, span: Span) -> &str {
    file.text.get(span.start..span.end).unwrap_or_default()
}

fn replaced(file: &SourceFile, span: Span, text: &str) -> SourceFile {
    let (before, after) = (&file.text[..span.start], &file.text[span.end..]);
    SourceFile {
        path: file.path.clone(),
        text: format!("{before}{text}{after}"),
    }
}

/// How far a text's last line is indented: a byte-order mark before a document indents nothing.
fn indent(before: &str) -> usize {
    let line = before.rsplit(['\r', '\n']).next().unwrap_or_default();
    line.chars().filter(|c| *c != '\u{feff}').count()
}

/// The nodes above the one that a pointer names, the root first, and that one if it is there.
fn path<'n>(root: &'n Node, pointer: &str) -> (Vec<&'n Node>, Option<&'n Node>) {
    let mut above = Vec::new();
    let mut end = 0;
    loop {
        match root.pointer(&pointer[..end]) {
            Some(node) if end == pointer.len() => return (above, Some(node)),
            Some(node) => above.push(node),
            None => return (above, None),
        }
        end = pointer[end + 1..]
            .find('/')
            .map_or(pointer.len(), |next| end + 1 + next);
    }
}

/// The alias by which a node stands where it is: nothing else that is plain begins so.
fn alias<'f>(file: &'f SourceFile, node: &Node) -> Option<&'f str> {
    let written = slice(file, node.span);
    written.starts_with('*').then_some(written)
}

/// Where a node begins.
fn first(node: &Node) -> Span {
    match &node.value {
        Value::Map(entries) => entries.first().map_or(node.span, |entry| entry.key_span),
        Value::Seq(items) => items.first().map_or(node.span, first),
        _ => node.span,
    }
}

/// The file's documents with one value changed.
fn with(parsed: &Parsed, document: usize, pointer: &str, to: &Json) -> Vec<Json> {
    let mut all: Vec<Json> = parsed.documents.iter().map(Node::to_json).collect();
    if let Some(value) = all[document].pointer_mut(pointer) {
        *value = to.clone();
    }
    all
}

/// Whether what was read afterwards is what was wanted, with nothing wrong that was not wrong before.
fn same(before: &Parsed, after: &Parsed, wanted: &[Json]) -> bool {
    let errors = |parsed: &Parsed| {
        let all = parsed.diagnostics.iter();
        all.filter(|d| d.severity == Severity::Error).count()
    };
    errors(after) <= errors(before)
        && after.documents.len() == wanted.len()
        && after
            .documents
            .iter()
            .zip(wanted)
            .all(|(node, wanted)| node.to_json() == *wanted)
}

/// The alias by which a value changed that was not meant to, if all that is wrong is that.
fn elsewhere(
    file: &SourceFile,
    before: &Parsed,
    after: &Parsed,
    document: usize,
    pointer: &str,
) -> Option<Span> {
    let (old, new) = (
        before.documents.get(document)?,
        after.documents.get(document)?,
    );
    let mut found = Vec::new();
    differences(old, new, &mut String::new(), &mut found);
    let other = found.into_iter().find(|found| found != pointer)?;
    let (above, value) = path(old, &other);
    let mut nodes = above.into_iter().chain(value);
    nodes
        .find(|node| alias(file, node).is_some())
        .map(|node| node.span)
}

/// Pointers of the single values in which two trees of one shape differ.
fn differences(old: &Node, new: &Node, at: &mut String, found: &mut Vec<String>) {
    let mut below = |token: &str, old: &Node, new: &Node| {
        let length = at.len();
        at.push('/');
        at.push_str(&token.replace('~', "~0").replace('/', "~1"));
        differences(old, new, at, found);
        at.truncate(length);
    };
    match (&old.value, &new.value) {
        (Value::Map(old), Value::Map(new)) => {
            for entry in old {
                if let Some(other) = new.iter().find(|other| other.key == entry.key) {
                    below(&entry.key, &entry.value, &other.value);
                }
            }
        }
        (Value::Seq(old), Value::Seq(new)) => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                below(&index.to_string(), old, new);
            }
        }
        (old, new) if old != new => found.push(at.clone()),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
