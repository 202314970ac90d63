//! Findings as one SARIF 2.1.0 document, for code scanning. The rules are the codes that occur, each with its whole page.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::codes::{self, Page};
use super::{Diagnostic, Label, Severity, in_order};

const SCHEMA: &str = "https://raw.githubusercontent.com/oasis-tcs/sarif-spec/master/Schemata/sarif-schema-2.1.0.json";

/// The document, ending in a line break.
pub fn render(diagnostics: &[Diagnostic]) -> String {
    let ordered = in_order(diagnostics);
    let mut rules: BTreeMap<&str, usize> = ordered.iter().map(|d| (d.code, 0)).collect();
    for (index, place) in rules.values_mut().enumerate() {
        *place = index;
    }
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "longshore",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.keys().map(|code| rule(code)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": ordered.iter().map(|d| result(d, rules[d.code])).collect::<Vec<_>>(),
        }],
    });
    format!("{document:#}\n")
}

fn rule(code: &str) -> Value {
    let Some(page) = codes::page(code) else {
        return json!({"id": code});
    };
    json!({
        "id": code,
        "name": pascal_case(page.name),
        "shortDescription": {"text": page.title},
        "fullDescription": {"text": page.why},
        "help": {"text": page.to_string(), "markdown": markdown(page)},
        "defaultConfiguration": {"level": level(page.severity)},
    })
}

fn markdown(page: &Page) -> String {
    let mut text = page.why.to_owned();
    for (heading, example) in [("Wrong", page.wrong), ("Right", page.right)] {
        if !example.is_empty() {
            text.push_str(&format!("\n\n{heading}:\n\n```yaml\n{example}```"));
        }
    }
    text
}

/// `DUPLICATE_KEY` as `DuplicateKey`.
fn pascal_case(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            [first.to_uppercase(), rest.to_lowercase()]
        })
        .collect()
}

fn level(severity: Severity) -> &'static str {
    severity.as_str()
}

fn result(diagnostic: &Diagnostic, rule: usize) -> Value {
    let mut result = json!({
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": level(diagnostic.severity),
        "message": {"text": diagnostic.message_with_help()},
        "locations": [{"physicalLocation": physical(&diagnostic.primary)}],
    });
    if !diagnostic.related.is_empty() {
        let related = diagnostic.related.iter().enumerate().map(|(id, label)| {
            json!({
                "id": id,
                "physicalLocation": physical(label),
                "message": {"text": if label.text.is_empty() { "related" } else { &label.text }},
            })
        });
        result["relatedLocations"] = related.collect();
    }
    result
}

fn physical(label: &Label) -> Value {
    let (end_line, end_column) = label.span.end_in(&label.file.text);
    json!({
        "artifactLocation": {"uri": uri(&label.file.path)},
        "region": {
            "startLine": label.span.line,
            "startColumn": label.span.column,
            "endLine": end_line,
            "endColumn": end_column,
        },
    })
}

/// A path as a URI reference (RFC 3986): relative as it is, absolute as a `file` URI.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
