//! What Longshore says about a file: one [`Diagnostic`] a finding, with its position, its cause and what to do.

use std::fmt;
use std::sync::Arc;

pub mod codes;

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

impl fmt::Display for Diagnostic {
    /// `file:line:col: error[LS0101]: message`, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
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
