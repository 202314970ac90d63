//! Every code that a diagnostic can carry, with the page that `longshore explain` shows.
//!
//! To add one, write one entry in the file of its range. The entry makes the constant that diagnostics use
//! (`codes::DUPLICATE_KEY`) and its [`Page`]; tests check that codes are unique, in their file's range, used somewhere, and
//! that their examples are YAML. A number is never used for anything else again.
//!
//! | Range  | About                                              | File                 |
//! |--------|----------------------------------------------------|----------------------|
//! | LS00xx | files and the folder                               | [`files`]            |
//! | LS01xx | YAML and JSON syntax                               | [`syntax`]           |
//! | LS02xx | the shape of a document                            | [`shape`]            |
//! | LS03xx | the rules of one task definition; from 21, values  | [`task`], [`values`] |
//! | LS04xx | what documents say about each other                | [`cross`]  |
//! | LS05xx | what means less here than on ECS                   | [`effect`] |
//! | LS06xx | scenarios of `longshore simulate`                  | [`scenario`] |

use std::fmt;

use super::Severity;

/// What `longshore explain CODE` shows, and what the CI formats give as a rule's help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The name of the constant, `DUPLICATE_KEY`.
    pub name: &'static str,
    /// `LS0102`.
    pub code: &'static str,
    /// What a finding of this code is unless the rule says otherwise.
    pub severity: Severity,
    /// One line, no full stop.
    pub title: &'static str,
    /// Why it is a finding and what to do, as Markdown paragraphs.
    pub why: &'static str,
    /// Whole documents that raise it; empty where a manifest cannot show it, or not briefly.
    pub wrong: &'static str,
    /// The same put right.
    pub right: &'static str,
}

/// Declares the codes of one range: a constant and a page each.
macro_rules! codes {
    ($pages:ident $($name:ident $code:literal $severity:ident $title:literal why $why:literal wrong $wrong:literal right $right:literal)+) => {
        $(#[doc = $title] pub const $name: &str = $code;)+
        /// The pages of this range, in order of their codes.
        pub const $pages: &[$crate::diagnostic::codes::Page] = &[$($crate::diagnostic::codes::Page {
            name: stringify!($name),
            code: $code,
            severity: $crate::diagnostic::Severity::$severity,
            title: $title,
            why: $why,
            wrong: $wrong,
            right: $right,
        },)+];
    };
}

pub mod cross;
pub mod effect;
pub mod files;
pub mod scenario;
pub mod shape;
pub mod syntax;
pub mod task;
pub mod values;

pub use cross::*;
pub use effect::*;
pub use files::*;
pub use scenario::*;
pub use shape::*;
pub use syntax::*;
pub use task::*;
pub use values::*;

/// Every page, in order of the codes.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    [FILES, SYNTAX, SHAPE, TASK, VALUES, CROSS, EFFECT, SCENARIO]
        .into_iter()
        .flatten()
}

/// The page of a code as people type it: `LS0102`, `ls0102` and `102` are one.
pub fn page(code: &str) -> Option<&'static Page> {
    let code = canonical(code);
    pages().find(|page| page.code == code)
}

/// The page whose code is nearest to one that does not exist; none if nothing is near.
pub fn nearest(code: &str) -> Option<&'static Page> {
    let code = canonical(code);
    pages()
        .map(|page| (strsim::damerau_levenshtein(&code, page.code), page))
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, page)| (*distance, page.code))
        .map(|(_, page)| page)
}

fn canonical(code: &str) -> String {
    let code = code.trim().to_ascii_uppercase();
    let digits = code.strip_prefix("LS").unwrap_or(&code);
    match digits.parse::<u16>() {
        Ok(number) => format!("LS{number:04}"),
        Err(_) => code,
    }
}

impl fmt::Display for Page {
    /// The whole page as plain text, ending in a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = self.severity.as_str();
        writeln!(f, "{} ({severity}): {}", self.code, self.title)?;
        writeln!(f, "\n{}", self.why)?;
        for (heading, example) in [("Wrong:", self.wrong), ("Right:", self.right)] {
            if !example.is_empty() {
                writeln!(f, "\n{heading}\n")?;
                for line in example.lines() {
                    writeln!(f, "    {line}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The text of every Rust file under `src`, this folder left out.
    fn sources() -> Vec<(String, String)> {
        fn walk(folder: &Path, into: &mut Vec<(String, String)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.ends_with("diagnostic/codes") {
                    continue;
                }
                if path.is_dir() {
                    walk(&path, into);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    into.push((
                        path.display().to_string(),
                        fs::read_to_string(&path).unwrap(),
                    ));
                }
            }
        }
        let mut all = Vec::new();
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
        all
    }

    #[test]
    fn codes_ascend_and_lie_in_their_range() {
        for (prefix, pages) in [
            ("LS00", FILES),
            ("LS01", SYNTAX),
            ("LS02", SHAPE),
            ("LS03", TASK),
            ("LS03", VALUES),
            ("LS04", CROSS),
            ("LS05", EFFECT),
            ("LS06", SCENARIO),
        ] {
            assert!(pages.is_sorted_by(|a, b| a.code < b.code), "{prefix}");
            for page in pages {
                assert!(
                    page.code.starts_with(prefix) && page.code.len() == 6,
                    "{page:?}"
                );
            }
        }
        let names: BTreeSet<_> = pages().map(|page| page.name).collect();
        assert_eq!(names.len(), pages().count());
    }

    #[test]
    fn every_code_written_in_the_sources_has_a_page() {
        for (path, text) in sources() {
            for (at, _) in text.match_indices("LS0") {
                let code: String = text[at..].chars().take(6).collect();
                if code.len() == 6 && code[2..].bytes().all(|b| b.is_ascii_digit()) {
                    assert!(page(&code).is_some(), "{path} names {code}");
                }
            }
        }
    }

    #[test]
    fn every_page_is_whole() {
        for page in pages() {
            assert!(
                !page.title.ends_with('.') && page.title.len() < 90,
                "{page:?}"
            );
            assert!(page.why.ends_with(['.', ')']), "{page:?}");
            assert!(
                page.why.lines().all(|line| line.chars().count() <= 120),
                "{page:?}"
            );
            assert_eq!(page.wrong.is_empty(), page.right.is_empty(), "{page:?}");
            assert_ne!((page.wrong, page.wrong.is_empty()), (page.right, false));
        }
    }

    #[test]
    fn every_page_is_of_a_code_that_is_used() {
        let sources = sources();
        let used = |page: &Page| {
            let name = format!("codes::{}", page.name);
            sources
                .iter()
                .filter(|(path, _)| !path.ends_with("tests.rs"))
                .any(|(_, text)| {
                    text.match_indices(&name).any(|(at, _)| {
                        let next = text[at + name.len()..].chars().next();
                        !next.is_some_and(|c| c == '_' || c.is_ascii_alphanumeric())
                    })
                })
        };
        let unused: Vec<_> = pages()
            .filter(|page| !used(page))
            .map(|page| page.name)
            .collect();
        assert_eq!(unused, [] as [&str; 0]);
    }

    #[test]
    fn a_code_is_found_however_it_is_typed_and_a_near_one_is_suggested() {
        for typed in ["LS0102", "ls0102", "102", " ls102 "] {
            assert_eq!(
                page(typed).map(|page| page.name),
                Some("DUPLICATE_KEY"),
                "{typed}"
            );
        }
        assert_eq!(page("LS9999"), None);
        assert_eq!(nearest("LS0120").map(|page| page.code), Some("LS0102"));
        assert_eq!(nearest("E0502").map(|page| page.code), Some("LS0502"));
        assert_eq!(nearest("banana"), None);
    }

    #[test]
    fn a_page_reads_from_the_title_to_the_right_example() {
        insta::assert_snapshot!(page(DUPLICATE_KEY).unwrap());
    }
}
