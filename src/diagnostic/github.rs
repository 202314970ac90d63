//! Findings as commands of GitHub Actions' runner: printed by a workflow's step, they become annotations of the lines.

use super::{Diagnostic, in_order};

/// A command a line.
pub fn render(diagnostics: &[Diagnostic]) -> String {
    in_order(diagnostics).into_iter().map(command).collect()
}

fn command(diagnostic: &Diagnostic) -> String {
    let label = &diagnostic.primary;
    let (end_line, end_column) = label.span.end_in(&label.file.text);
    let mut message = diagnostic.message_with_help();
    for related in &diagnostic.related {
        let (path, span) = (&related.file.path, related.span);
        message.push_str(&format!(
            "\n{path}:{}:{}: {}",
            span.line, span.column, related.text
        ));
    }
    format!(
        "::{} file={},line={},col={},endLine={end_line},endColumn={end_column},title={}::{}\n",
        diagnostic.severity.as_str(),
        property(&label.file.path),
        label.span.line,
        label.span.column,
        property(&format!("longshore {}", diagnostic.code)),
        data(&message),
    )
}

/// What comes after the last `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The value of a property, which ends at a comma or a colon.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
