//! The examples on the pages of `longshore explain` are what they claim to be: the wrong one raises the page's code, the
//! right one is a folder that can run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use longshore::diagnostic::codes::{self, Page};
use longshore::diagnostic::{Diagnostic, Severity, SourceFile};
use longshore::manifest::load::{LastGood, LoadOptions};
use longshore::manifest::source::{FileContent, FolderState, Scan};
use longshore::manifest::{load, yaml};
use longshore::model::Timestamp;

fn source(text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile {
        path: "example.yaml".into(),
        text: text.into(),
    })
}

/// What is found in a folder of this one file.
fn findings(text: &str) -> Vec<Diagnostic> {
    let file = FileContent::Text(source(text));
    let scan = Scan {
        root: PathBuf::from("manifests"),
        state: FolderState::Present,
        files: BTreeMap::from([("example.yaml".to_owned(), file)]),
    };
    let options = LoadOptions {
        allow_empty: false,
        now: Timestamp::from_millis(0),
    };
    load(&scan, &LastGood::default(), &options).diagnostics
}

fn with_examples(syntax: bool) -> impl Iterator<Item = &'static Page> {
    codes::pages()
        .filter(|page| !page.wrong.is_empty())
        .filter(move |page| page.code.starts_with("LS01") == syntax)
}

#[test]
fn wrong_examples_raise_the_code_of_their_page_and_right_ones_run() {
    let mut faults = Vec::new();
    for page in with_examples(false) {
        let wrong = findings(page.wrong);
        if !wrong
            .iter()
            .any(|d| d.code == page.code && d.severity == page.severity)
        {
            faults.push(format!("{} wrong: {wrong:#?}", page.code));
        }
        let right = findings(page.right);
        if right
            .iter()
            .any(|d| d.code == page.code || d.severity == Severity::Error)
        {
            faults.push(format!("{} right: {right:#?}", page.code));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn examples_of_syntax_raise_theirs_and_are_fragments_otherwise_right() {
    for page in with_examples(true) {
        let codes = |text: &str| -> Vec<&str> {
            let parsed = yaml::parse(&source(text));
            parsed.diagnostics.iter().map(|d| d.code).collect()
        };
        assert_eq!(codes(page.wrong)[0], page.code);
        assert_eq!(codes(page.right), [] as [&str; 0], "{}", page.code);
    }
}
