//! The reader of YAML.

use serde_json::Value as Json;

use super::{file, position, text, well_placed};
use crate::diagnostic::SourceFile;
use crate::manifest::yaml::{self, Node, Value};

/// Every place is where it says, JSON is read as JSON, what is written out is read back, and reading twice gives the same.
pub fn check(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let file = file("a.yaml", text);
    let parsed = yaml::parse(&file);
    assert_eq!(parsed, yaml::parse(&file));
    well_placed(&parsed.diagnostics);
    assert!(parsed.broken.iter().all(|at| *at < parsed.documents.len()));
    for root in &parsed.documents {
        assert!(depth(root) <= yaml::MAX_DEPTH);
        well_placed_node(&file, root);
    }
    if !parsed.diagnostics.is_empty() {
        return;
    }
    let documents: Vec<Json> = parsed.documents.iter().map(Node::to_json).collect();
    // YAML is a superset of JSON; a number that is not held exactly is an error above.
    if let Ok(json) = serde_json::from_str::<Json>(text) {
        let [document] = documents.as_slice() else {
            panic!("{} documents of JSON", documents.len());
        };
        assert!(alike(document, &json), "{document} is not {json}");
    }
    let written = crate::manifest::export::to_yaml(&documents);
    let read = yaml::parse(&super::file("b.yaml", &written));
    let shown = &read.diagnostics;
    assert!(shown.is_empty(), "{shown:?} in {written:?}");
    let read: Vec<Json> = read.documents.iter().map(Node::to_json).collect();
    assert_eq!(read, documents, "{written:?}");
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Seq(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
        _ => 0,
    }
}

/// Each node lies in its text where it says, and in the node around it, unless an alias put it there.
fn well_placed_node(file: &SourceFile, node: &Node) {
    let span = node.span;
    let written = file.text.get(span.start..span.end);
    let written = written.unwrap_or_else(|| panic!("{span:?} is no place in {:?}", file.text));
    assert_eq!((span.line, span.column), position(&file.text, span.start));
    if written.starts_with('*') {
        return;
    }
    let within = |inner: &Node| {
        assert!(
            inner.span.start >= span.start && inner.span.end <= span.end,
            "{:?} is not in {span:?} of {:?}",
            inner.span,
            file.text
        );
        well_placed_node(file, inner);
    };
    match &node.value {
        Value::Seq(items) => items.iter().for_each(within),
        Value::Map(entries) => {
            for (at, entry) in entries.iter().enumerate() {
                let before = &entries[..at];
                assert!(before.iter().all(|other| other.key != entry.key));
                assert!(
                    file.text
                        .get(entry.key_span.start..entry.key_span.end)
                        .is_some()
                );
                within(&entry.value);
            }
        }
        _ => {}
    }
}

/// The same, where numbers may differ in how they are kept and in their last digit: `serde_json` rounds more coarsely.
fn alike(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(x), Some(y)) => (x - y).abs() <= x.abs() * 1e-12,
            _ => false,
        },
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        _ => a == b,
    }
}
