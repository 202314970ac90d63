//! `docs/ecs-rules.md` has every rule, and the tests that it names exist. `LONGSHORE_BLESS=1` adds those that are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rules of the scheduler that have a number, as the tests' names have it.
const NUMBERED: std::ops::RangeInclusive<u32> = 19..=38;

/// Rules without one, by their headings.
const NAMED: &[&str] = &[
    "minimumHealthyPercent",
    "maximumPercent",
    "deploymentCircuitBreaker",
    "alarms",
    "strategy",
    "bakeTimeInMinutes",
    "linearConfiguration",
    "canaryConfiguration",
    "lifecycleHooks",
    "earlySuccessCriteria",
    "Order",
    "Strategies",
    "Constraints",
    "Groups",
    "Grammar",
    "Subjects and operators",
    "Attributes",
    "Clusters",
    "Container instances",
    "Resources",
    "Deployments",
    "Service deployments",
];

/// What begins the line of a rule's tests.
const TESTS: &str = "Tests: ";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> PathBuf {
    root().join("docs/ecs-rules.md")
}

/// A rule of the page.
#[derive(Debug)]
struct Rule {
    heading: String,
    text: String,
    tests: Vec<String>,
}

impl Rule {
    fn number(&self) -> Option<u32> {
        self.heading.split_once('.')?.0.parse().ok()
    }
}

fn rules(page: &str) -> Vec<Rule> {
    let parts = page.split("\n### ").skip(1);
    parts
        .map(|part| {
            let (heading, text) = part.split_once('\n').expect("a text");
            let text = text.split("\n## ").next().unwrap_or(text);
            let line = text.lines().find_map(|line| line.strip_prefix(TESTS));
            let names = line.into_iter().flat_map(|line| line.split(", "));
            Rule {
                heading: heading.to_owned(),
                text: text.to_owned(),
                tests: names
                    .map(|name| name.trim_matches('`').to_owned())
                    .collect(),
            }
        })
        .collect()
}

/// The names of all tests of the tree.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![root().join("src"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                collect(&fs::read_to_string(&path).expect("text"), &mut names);
            }
        }
    }
    names
}

/// Functions that a test attribute stands before, be it of the standard library, of tokio or in `proptest!`.
fn collect(text: &str, names: &mut BTreeSet<String>) {
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line
            .strip_prefix("async fn ")
            .or_else(|| line.strip_prefix("fn "))
        {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if std::mem::take(&mut is_test) {
                names.insert(name);
            }
        }
    }
}

/// The tests that are named after a rule with a number: `rule_24_…`.
fn named_after(tests: &BTreeSet<String>) -> BTreeMap<u32, Vec<&str>> {
    let mut by_rule: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for test in tests {
        let number = test
            .strip_prefix("rule_")
            .and_then(|rest| rest.split_once('_'))
            .and_then(|(number, _)| number.parse().ok());
        if let Some(number) = number.filter(|number| NUMBERED.contains(number)) {
            by_rule.entry(number).or_default().push(test);
        }
    }
    by_rule
}

#[test]
fn every_rule_is_on_the_page_once_with_what_is_done_and_what_is_not() {
    let page = fs::read_to_string(page()).expect("the page");
    let rules = rules(&page);
    let numbers: Vec<u32> = rules.iter().filter_map(Rule::number).collect();
    assert_eq!(numbers, NUMBERED.collect::<Vec<u32>>());
    let named: Vec<&str> = rules
        .iter()
        .filter(|rule| rule.number().is_none())
        .map(|rule| rule.heading.as_str())
        .collect();
    assert_eq!(named, NAMED);
    for rule in &rules {
        let said = rule.text.trim().lines().next().unwrap_or_default();
        let left_out = said.starts_with("Left out: ");
        assert!(
            said.ends_with('.') && !said.starts_with(TESTS),
            "{}: nothing is said of it",
            rule.heading
        );
        assert!(
            left_out || !rule.tests.is_empty(),
            "{}: no test holds it",
            rule.heading
        );
    }
}

#[test]
fn every_test_that_the_page_names_exists() {
    let page = fs::read_to_string(page()).expect("the page");
    let tests = tests();
    for rule in rules(&page) {
        for test in &rule.tests {
            assert!(
                tests.contains(test),
                "rule {:?} names {test}, which is no test",
                rule.heading
            );
        }
        let unique: BTreeSet<&String> = rule.tests.iter().collect();
        assert_eq!(unique.len(), rule.tests.len(), "{}", rule.heading);
    }
}

#[test]
fn every_test_that_is_named_after_a_rule_is_on_the_page() {
    let mut page_text = fs::read_to_string(page()).expect("the page");
    let tests = tests();
    let mut missing = Vec::new();
    for rule in rules(&page_text) {
        let Some(all) = rule
            .number()
            .and_then(|n| named_after(&tests).get(&n).cloned())
        else {
            continue;
        };
        let new: Vec<&str> = all
            .into_iter()
            .filter(|test| !rule.tests.iter().any(|t| t == test))
            .collect();
        if new.is_empty() {
            continue;
        }
        missing.extend(new.iter().map(|test| (*test).to_owned()));
        let old = rule.text.lines().find(|line| line.starts_with(TESTS));
        if let Some(old) = old {
            let added: String = new.iter().map(|test| format!(", `{test}`")).collect();
            page_text = page_text.replace(old, &format!("{old}{added}"));
        }
    }
    if std::env::var_os("LONGSHORE_BLESS").is_some() {
        fs::write(page(), page_text).expect("written");
        return;
    }
    assert!(
        missing.is_empty(),
        "not on docs/ecs-rules.md (`make bless` adds them): {missing:?}"
    );
}
