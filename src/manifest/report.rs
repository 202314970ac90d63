//! How the checks of this module write down what they find.

use std::sync::Arc;

use super::yaml::{Node, Value};
use crate::diagnostic::{Diagnostic, Label, Severity, SourceFile, Span};

/// A finding at one place.
pub fn finding(
    code: &'static str,
    severity: Severity,
    file: &Arc<SourceFile>,
    span: Span,
    message: impl Into<String>,
) -> Diagnostic {
    Diagnostic {
        code,
        severity,
        message: message.into(),
        primary: Label {
            file: Arc::clone(file),
            span,
            text: String::new(),
        },
        related: Vec::new(),
        help: Vec::new(),
    }
}

/// Adding to a finding, in the order in which it reads.
pub trait Reporting: Sized {
    /// Another place that matters.
    fn related(self, file: &Arc<SourceFile>, span: Span, text: impl Into<String>) -> Self;
    /// What to do; nothing when empty.
    fn help(self, text: impl Into<String>) -> Self;
}

impl Reporting for Diagnostic {
    fn related(mut self, file: &Arc<SourceFile>, span: Span, text: impl Into<String>) -> Self {
        self.related.push(Label {
            file: Arc::clone(file),
            span,
            text: text.into(),
        });
        self
    }

    fn help(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.help.push(text);
        }
        self
    }
}

/// The place of a value as people point at it: all of it when it is on one line, else its first key or item.
pub fn head(file: &SourceFile, node: &Node) -> Span {
    let on_one_line = file
        .text
        .get(node.span.start..node.span.end)
        .is_none_or(|text| !text.contains('\n'));
    if on_one_line {
        return node.span;
    }
    match &node.value {
        Value::Map(entries) => entries.first().map_or(node.span, |entry| entry.key_span),
        Value::Seq(items) => items.first().map_or(node.span, |item| head(file, item)),
        _ => node.span,
    }
}

/// The place of the node at a JSON pointer, or of the nearest node above it that is written.
pub fn value_span(file: &SourceFile, root: &Node, pointer: &str) -> Span {
    let mut pointer = pointer;
    loop {
        if let Some(node) = root.pointer(pointer) {
            return head(file, node);
        }
        match pointer.rsplit_once('/') {
            Some((above, _)) => pointer = above,
            None => return head(file, root),
        }
    }
}

/// The place of the key at a JSON pointer; of an item of a list, the item; of what is not written, what is above it.
pub fn key_span(file: &SourceFile, root: &Node, pointer: &str) -> Span {
    root.key_span(pointer)
        .unwrap_or_else(|| match root.pointer(pointer) {
            Some(node) => head(file, node),
            None => match pointer.rsplit_once('/') {
                Some((above, _)) => key_span(file, root, above),
                None => head(file, root),
            },
        })
}

/// The candidate nearest to a name, if one is near enough to be what was meant: a letter or two in a word, more in a long
/// one; capitals do not count.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let other = candidate.to_lowercase();
            let steps = strsim::damerau_levenshtein(&other, &lower);
            (steps, lower.len().max(other.len()), candidate)
        })
        .filter(|(steps, length, _)| *steps <= (length / 3).max(1) && steps * 2 <= *length)
        .min_by_key(|(steps, ..)| *steps)
        .map(|(_, _, candidate)| candidate)
}

/// `a, b and c`, each in backticks.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one_that_a_slip_of_the_finger_would_give() {
        let names = ["command", "cpu", "dependsOn", "desiredCount"];
        assert_eq!(nearest("comand", names), Some("command"));
        assert_eq!(nearest("desiredcount", names), Some("desiredCount"));
        assert_eq!(nearest("dependOn", names), Some("dependsOn"));
        assert_eq!(nearest("replicas", names), None);
        assert_eq!(nearest("wbe", ["web", "worker"]), Some("web"));
    }

    #[test]
    fn names_are_listed_as_in_a_sentence() {
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
