//! What Longshore says about a file: one [`Diagnostic`] a finding, with its position, its cause and what to do.
//!
//! [`codes`] has every code and its page. The renderers take any findings, put them in order (file, line, column, code) and
//! leave none out: [`human`] for people, [`json`] and [`sarif`] as one document, [`junit`] as a test report, [`github`] as
//! annotations of a workflow.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub mod codes;
pub mod github;
pub mod human;
pub mod json;
pub mod junit;
pub mod sarif;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The document is taken; something in it has no effect here or will surprise.
    Warning,
    /// The document is refused.
    Error,
}

/// A stretch of a file. Lines and columns are 1-based; columns count characters. Byte offsets index the file's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Line of `start`.
    pub line: u32,
    /// Column of `start`.
    pub column: u32,
}

impl Span {
    /// Line and column one past the last character, 1-based as in the span. A file whose text is not known has its
    /// findings end where they begin.
    pub fn end_in(&self, text: &str) -> (u32, u32) {
        let (mut line, mut column) = (self.line, self.column);
        let written = text.get(self.start..self.end).unwrap_or_default();
        let mut characters = written.chars().peekable();
        while let Some(character) = characters.next() {
            let breaks = character == '\n'
                || (character == '\r' && characters.peek().is_some_and(|next| *next != '\n'));
            if breaks {
                line = line.saturating_add(1);
                column = 1;
            } else if character != '\r' {
                column = column.saturating_add(1);
            }
        }
        (line, column)
    }
}

/// A file that was read: its path as shown to people and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the folder, or as given on the command line.
    pub path: String,
    /// Its content, as UTF-8.
    pub text: String,
}

/// A stretch of a file with words about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Where in it.
    pub span: Span,
    /// What is to be said about this place; may be empty for the primary one.
    pub text: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// A stable code, `LS0101`; `longshore explain LS0101` has its page.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// One sentence without a full stop: what is wrong.
    pub message: String,
    /// The place at fault. A file that could not be read has an empty text and a span at 1:1.
    pub primary: Label,
    /// Other places that matter: the first of two duplicates, the other side of a reference.
    pub related: Vec<Label>,
    /// What to do about it, as short imperative sentences.
    pub help: Vec<String>,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// How many findings there are, and in how many files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Findings that refuse a document.
    pub errors: usize,
    /// Findings that do not.
    pub warnings: usize,
    /// Files that have a finding.
    pub files: usize,
}

impl Summary {
    /// Counts.
    pub fn of(diagnostics: &[Diagnostic]) -> Self {
        let files: BTreeSet<&str> = diagnostics.iter().map(Diagnostic::path).collect();
        let errors = diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count();
        Self {
            errors,
            warnings: diagnostics.len() - errors,
            files: files.len(),
        }
    }
}

impl fmt::Display for Summary {
    /// `2 errors and 1 warning in 3 files`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: usize, what: &str| {
            let plural = if number == 1 { "" } else { "s" };
            format!("{number} {what}{plural}")
        };
        let errors = count(self.errors, "error");
        let warnings = count(self.warnings, "warning");
        match (self.errors, self.warnings) {
            (0, 0) => return f.write_str("no errors and no warnings"),
            (_, 0) => f.write_str(&errors)?,
            (0, _) => f.write_str(&warnings)?,
            _ => write!(f, "{errors} and {warnings}")?,
        }
        write!(f, " in {}", count(self.files, "file"))
    }
}

/// The findings in the order in which they are shown: by file, line, column and code.
pub fn in_order(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut ordered: Vec<&Diagnostic> = diagnostics.iter().collect();
    ordered.sort_by(|a, b| a.order().cmp(&b.order()));
    ordered
}

impl Diagnostic {
    /// The path of the file at fault.
    pub fn path(&self) -> &str {
        &self.primary.file.path
    }

    fn order(&self) -> (&str, u32, u32, &str, &str) {
        let span = self.primary.span;
        (
            self.path(),
            span.line,
            span.column,
            self.code,
            &self.message,
        )
    }

    /// The message, and below it a line for each thing to do.
    fn message_with_help(&self) -> String {
        let mut text = self.message.clone();
        for help in &self.help {
            text.push_str("\nhelp: ");
            text.push_str(help);
        }
        text
    }
}

impl fmt::Display for Diagnostic {
    /// `file:line:col: error[LS0101]: message`, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = self.severity.as_str();
        write!(
            f,
            "{}:{}:{}: {severity}[{}]: {}",
            self.primary.file.path,
            self.primary.span.line,
            self.primary.span.column,
            self.code,
            self.message
        )
    }
}

#[cfg(test)]
mod tests;
