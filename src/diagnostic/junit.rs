//! Findings as a JUnit report: every file that was checked is a test case, and fails by its findings.

use std::collections::BTreeMap;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::{Diagnostic, Severity, in_order};

/// The report. `checked` are the paths of all files that were looked at; with `strict`, warnings fail a file like errors,
/// and without they are its output. The error is the XML writer's.
pub fn render(
    diagnostics: &[Diagnostic],
    checked: &[String],
    strict: bool,
) -> Result<String, SerializeError> {
    let mut cases: BTreeMap<&str, Vec<&Diagnostic>> = checked
        .iter()
        .map(|path| (path.as_str(), Vec::new()))
        .collect();
    for diagnostic in in_order(diagnostics) {
        cases.entry(diagnostic.path()).or_default().push(diagnostic);
    }
    let mut suite = TestSuite::new("longshore validate");
    for (path, findings) in cases {
        suite.add_test_case(case(path, &findings, strict));
    }
    let mut report = Report::new("longshore");
    report.add_test_suite(suite);
    report.to_string()
}

fn case(path: &str, findings: &[&Diagnostic], strict: bool) -> TestCase {
    let (failures, rest): (Vec<&Diagnostic>, Vec<&Diagnostic>) = findings
        .iter()
        .partition(|d| strict || d.severity == Severity::Error);
    let status = match failures.first() {
        None => TestCaseStatus::success(),
        Some(first) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let more = match failures.len() {
                1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            status
                .set_message(format!("{}{more}", first.message))
                .set_type(first.code)
                .set_description(lines(&failures));
            status
        }
    };
    let mut case = TestCase::new(path, status);
    case.set_classname("longshore.validate");
    if !rest.is_empty() {
        case.set_system_out(lines(&rest));
    }
    case
}

fn lines(findings: &[&Diagnostic]) -> String {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&format!("{finding}\n"));
        for label in &finding.related {
            let span = label.span;
            let path = &label.file.path;
            text.push_str(&format!(
                "  {path}:{}:{}: {}\n",
                span.line, span.column, label.text
            ));
        }
        for help in &finding.help {
            text.push_str(&format!("  help: {help}\n"));
        }
    }
    text
}
