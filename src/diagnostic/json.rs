//! Findings as one JSON document, for scripts. [`SCHEMA`] describes it; within a version, members are only ever added.

use serde_json::{Value, json};

use super::{Diagnostic, Label, Summary, in_order};

/// The version of the document's shape.
pub const VERSION: u32 = 1;

/// The JSON Schema (2020-12) of the document.
pub const SCHEMA: &str = include_str!("findings.schema.json");

/// The document, ending in a line break. `checked` are the paths of all files that were looked at.
pub fn render(diagnostics: &[Diagnostic], checked: &[String]) -> String {
    let summary = Summary::of(diagnostics);
    let document = json!({
        "version": VERSION,
        "tool": {"name": "longshore", "version": env!("CARGO_PKG_VERSION")},
        "summary": {
            "checked": checked.len(),
            "errors": summary.errors,
            "warnings": summary.warnings,
            "files": summary.files,
        },
        "diagnostics": in_order(diagnostics).into_iter().map(finding).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn finding(diagnostic: &Diagnostic) -> Value {
    let mut finding = place(&diagnostic.primary);
    let members = json!({
        "code": diagnostic.code,
        "severity": diagnostic.severity.as_str(),
        "message": diagnostic.message,
        "related": diagnostic.related.iter().map(place).collect::<Vec<_>>(),
        "help": diagnostic.help,
    });
    if let (Value::Object(finding), Value::Object(members)) = (&mut finding, members) {
        finding.extend(members);
    }
    finding
}

fn place(label: &Label) -> Value {
    let (end_line, end_column) = label.span.end_in(&label.file.text);
    json!({
        "file": label.file.path,
        "line": label.span.line,
        "column": label.span.column,
        "endLine": end_line,
        "endColumn": end_column,
        "label": label.text,
    })
}
