//! Every code that a diagnostic can carry, with the page that `longshore explain` shows.
//!
//! To add one, write one entry in the file of its range. The entry makes the constant that diagnostics use
//! (`codes::DUPLICATE_KEY`) and its [`Page`]; tests check that codes are unique, in their file's range, used somewhere, and
//! that their examples are what they claim. A number is never used for anything else again.
//!
//! | Range  | About                                              | File |
//! |--------|----------------------------------------------------|------|
//! | LS00xx | files and the folder                               | [`files`] |
//! | LS01xx | YAML and JSON syntax                               | [`syntax`] |

use super::Severity;

/// What `longshore explain CODE` shows, and what the CI formats give as a rule's help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// `LS0102`.
    pub code: &'static str,
    /// What a finding of this code is unless the rule says otherwise.
    pub severity: Severity,
    /// One line, no full stop.
    pub title: &'static str,
    /// Why it is a finding and what to do, as Markdown paragraphs.
    pub why: &'static str,
    /// An example that raises it; empty where a manifest cannot show it (an unreadable file).
    pub wrong: &'static str,
    /// The same example put right.
    pub right: &'static str,
}

/// Declares the codes of one range: a constant and a page each.
macro_rules! codes {
    ($pages:ident $($name:ident $code:literal $severity:ident $title:literal why $why:literal wrong $wrong:literal right $right:literal)+) => {
        $(#[doc = $title] pub const $name: &str = $code;)+
        /// The pages of this range, in order of their codes.
        pub const $pages: &[$crate::diagnostic::codes::Page] = &[$($crate::diagnostic::codes::Page {
            code: $code,
            severity: $crate::diagnostic::Severity::$severity,
            title: $title,
            why: $why,
            wrong: $wrong,
            right: $right,
        },)+];
    };
}

pub mod files;
pub mod syntax;

pub use files::*;
pub use syntax::*;

/// Every page, in order of the codes.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    [FILES, SYNTAX].into_iter().flatten()
}
