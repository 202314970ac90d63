//! Changing a value of a manifest where it is written.

use serde_json::Value as Json;

use super::{file, first_line, position, text};
use crate::diagnostic::{Severity, SourceFile, Span};
use crate::manifest::edit::{self, Edited, Refusal};
use crate::manifest::yaml::{self, Node, Parsed, Value};

/// The first line says what is done (`yaml set 3 "value"`, `json add 0 member 7`), the rest is the manifest. What is changed is
/// one stretch of bytes, and the tree with that one value changed; what is refused is refused at a place in the file.
pub fn check(data: &[u8]) {
    let Some((first, manifest)) = text(data).map(first_line) else {
        return;
    };
    let mut words = first.splitn(4, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (format, how, which, to) = (word(), word(), word(), word());
    let path = if format == "json" { "a.json" } else { "a.yaml" };
    let before = file(path, manifest);
    let parsed = yaml::parse(&before);
    let which: usize = which.parse().unwrap_or(0);
    match how {
        "set" => set(&before, &parsed, which, to),
        "add" => add(&before, &parsed, which, to),
        _ => {}
    }
}

fn errors(parsed: &Parsed) -> usize {
    let all = parsed.diagnostics.iter();
    all.filter(|d| d.severity == Severity::Error).count()
}

/// Every pointer of a document's nodes, the ones above first, with the node.
fn nodes<'n>(node: &'n Node, at: &str, into: &mut Vec<(String, &'n Node)>) {
    into.push((at.to_owned(), node));
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let token = entry.key.replace('~', "~0").replace('/', "~1");
                nodes(&entry.value, &format!("{at}/{token}"), into);
            }
        }
        Value::Seq(items) => {
            for (index, item) in items.iter().enumerate() {
                nodes(item, &format!("{at}/{index}"), into);
            }
        }
        _ => {}
    }
}

fn all(parsed: &Parsed) -> Vec<(usize, String, &Node)> {
    let mut found = Vec::new();
    for (document, root) in parsed.documents.iter().enumerate() {
        let mut of = Vec::new();
        nodes(root, "", &mut of);
        found.extend(of.into_iter().map(|(at, node)| (document, at, node)));
    }
    found
}

fn set(before: &SourceFile, parsed: &Parsed, which: usize, to: &str) {
    let Ok(to @ (Json::String(_) | Json::Number(_))) = serde_json::from_str::<Json>(to) else {
        return;
    };
    let all = all(parsed);
    let Some((document, pointer, node)) = all.get(which % all.len().max(1)) else {
        return;
    };
    let edited = match edit::set(before, *document, pointer, &to) {
        Ok(edited) => edited,
        Err(refusal) => return refused(before, &refusal),
    };
    let (old, new) = (&before.text, &edited.file.text);
    assert!(new.starts_with(&old[..node.span.start]), "{old:?} {new:?}");
    assert!(new.ends_with(&old[node.span.end..]), "{old:?} {new:?}");
    let mut wanted: Vec<Json> = parsed.documents.iter().map(Node::to_json).collect();
    if let Some(value) = wanted[*document].pointer_mut(pointer) {
        *value = to.clone();
    }
    is_wanted(&edited, parsed, &wanted, *document, pointer);
    // Again: there is nothing left to do.
    let again = edit::set(&edited.file, *document, pointer, &to);
    assert_eq!(again.map(|again| again.file.text.clone()).as_ref(), Ok(new));
}

fn add(before: &SourceFile, parsed: &Parsed, which: usize, to: &str) {
    let Some((member, to)) = to.split_once(' ') else {
        return;
    };
    let Ok(to @ Json::Number(_)) = serde_json::from_str::<Json>(to) else {
        return;
    };
    let is_name = !member.is_empty() && member.bytes().all(|b| b.is_ascii_alphabetic());
    let all = all(parsed);
    let Some((document, pointer, node)) = all.get(which % all.len().max(1)) else {
        return;
    };
    // Only what is not there yet is added.
    if !is_name || node.get(member).is_some() {
        return;
    }
    let edited = match edit::add(before, *document, pointer, member, &to, "taskDefinition") {
        Ok(edited) => edited,
        Err(refusal) => return refused(before, &refusal),
    };
    let (old, new) = (&before.text, &edited.file.text);
    let same = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b);
    let same = same.count();
    assert!(new.as_bytes().ends_with(&old.as_bytes()[same..]));
    let mut wanted: Vec<Json> = parsed.documents.iter().map(Node::to_json).collect();
    if let Some(members) = wanted[*document].pointer_mut(pointer) {
        members[member] = to.clone();
    }
    let pointer = format!("{pointer}/{member}");
    is_wanted(&edited, parsed, &wanted, *document, &pointer);
}

fn is_wanted(edited: &Edited, before: &Parsed, wanted: &[Json], document: usize, pointer: &str) {
    let after = yaml::parse(&edited.file);
    let read: Vec<Json> = after.documents.iter().map(Node::to_json).collect();
    assert_eq!(read, wanted, "{:?}", edited.file.text);
    assert!(errors(&after) <= errors(before));
    let node = after.documents[document].pointer(pointer);
    assert_eq!(
        node.map(|node| node.span),
        Some(edited.at),
        "{:?}",
        edited.file.text
    );
    is_place(&edited.file, edited.at);
}

fn refused(file: &SourceFile, refusal: &Refusal) {
    assert!(!refusal.to_string().is_empty());
    if refusal.at() != Span::default() {
        is_place(file, refusal.at());
    }
}

fn is_place(file: &SourceFile, span: Span) {
    assert!(file.text.get(span.start..span.end).is_some(), "{span:?}");
    assert_eq!((span.line, span.column), position(&file.text, span.start));
}
