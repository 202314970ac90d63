//! Tests of the renderers: each format by its published schema or a reader of it, and by eye once, as a snapshot.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::manifest::yaml;

fn file(path: &str, text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile {
        path: path.into(),
        text: text.into(),
    })
}

/// The label of the first `what` in a file.
fn label(file: &Arc<SourceFile>, what: &str, text: &str) -> Label {
    let start = file.text.find(what).expect("it is in the text");
    let before = &file.text[..start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Label {
        file: Arc::clone(file),
        span: Span {
            start,
            end: start + what.len(),
            line: u32::try_from(before.matches('\n').count() + 1).unwrap(),
            column: u32::try_from(before[line_start..].chars().count() + 1).unwrap(),
        },
        text: text.into(),
    }
}

/// Findings of every form, out of order: two files, a related place in each, a file without text, odd characters, a span
/// over two lines, one at the end of the text.
fn samples() -> Vec<Diagnostic> {
    let web = file(
        "shop/web, 1:new.yaml",
        "kind: Service\nmetadata:\n  name: wéb\nspec:\n  desiredCount: 1\n\ttaskDefinition: wbe\n  desiredCount: 3\n",
    );
    let tasks = file("tasks.yaml", "family: web\r\ncpu: |\r\n  é1\r\n  2\r\n");
    let end = Span {
        start: tasks.text.len(),
        end: tasks.text.len(),
        line: 5,
        column: 1,
    };
    let mut duplicate = label(&web, "desiredCount: 3", "the second");
    duplicate.span.end = duplicate.span.start + "desiredCount".len();
    let diagnostic = |code, severity, message: &str, primary, related, help: &[&str]| Diagnostic {
        code,
        severity,
        message: message.into(),
        primary,
        related,
        help: help.iter().map(|&line| line.into()).collect(),
    };
    vec![
        diagnostic(
            codes::WRONG_TYPE,
            Severity::Warning,
            "`cpu` takes a number, 100% of the time",
            label(&tasks, "é1\r\n  2", ""),
            vec![],
            &[],
        ),
        diagnostic(
            codes::DUPLICATE_KEY,
            Severity::Error,
            "the key `desiredCount` is here twice",
            duplicate,
            vec![label(&web, "desiredCount", "the first is here")],
            &["keep one of the two"],
        ),
        diagnostic(
            codes::UNKNOWN_TASK_DEFINITION,
            Severity::Error,
            "no task definition is called `wbe`",
            label(&web, "wbe", "not known\u{1b}[31m"),
            vec![label(&tasks, "web", "this one is")],
            &["write `web`", "or declare `wbe`"],
        ),
        diagnostic(
            codes::UNREADABLE_FILE,
            Severity::Error,
            "the file cannot be read: permission denied",
            Label {
                file: file("gone <&>.yaml", ""),
                span: Span {
                    line: 1,
                    column: 1,
                    ..Span::default()
                },
                text: String::new(),
            },
            vec![],
            &["let this user read it"],
        ),
        diagnostic(
            codes::MISSING_FIELD,
            Severity::Error,
            "`containerDefinitions` is missing",
            Label {
                file: Arc::clone(&tasks),
                span: end,
                text: String::new(),
            },
            vec![],
            &[],
        ),
    ]
}

fn checked() -> Vec<String> {
    [
        "gone <&>.yaml",
        "good.yaml",
        "shop/web, 1:new.yaml",
        "tasks.yaml",
    ]
    .map(String::from)
    .to_vec()
}

#[test]
fn people_see_the_line_a_caret_the_other_places_and_what_to_do() {
    insta::assert_snapshot!(human::render(&samples(), human::Options::default()));
}

#[test]
fn colours_are_there_only_when_asked_for_and_never_from_a_file() {
    let options = human::Options::default();
    assert!(!human::render(&samples(), options).contains('\u{1b}'));
    let colored = human::render(
        &samples(),
        human::Options {
            color: true,
            ..options
        },
    );
    assert!(colored.contains("\u{1b}["));
    assert!(!colored.contains("\u{1b}[31mX"));
    assert_eq!(human::render(&[], options), "");
}

#[test]
fn a_long_line_is_cut_around_the_caret() {
    let text = format!("{{\"a\": [{}], \"oops\": 1}}", vec!["1"; 50_000].join(", "));
    let source = file("min.json", &text);
    let mut diagnostic = samples().swap_remove(0);
    diagnostic.primary = label(&source, "\"oops\"", "here");
    let shown = human::render(
        &[diagnostic],
        human::Options {
            color: false,
            width: 100,
        },
    );
    assert!(
        shown.lines().all(|line| line.chars().count() <= 110),
        "{shown}"
    );
    assert!(shown.contains("oops"));
}

#[test]
fn a_byte_order_mark_moves_no_caret_and_no_column_that_people_see() {
    let with = yaml::parse(&file("a.yaml", "\u{feff}a: *b\n")).diagnostics;
    let without = yaml::parse(&file("a.yaml", "a: *b\n")).diagnostics;
    let shown = human::render(&with, human::Options::default());
    assert_eq!(shown, human::render(&without, human::Options::default()));
    assert!(shown.contains("--> a.yaml:1:4\n"), "{shown}");
}

#[test]
fn the_summary_counts_findings_and_the_files_that_have_them() {
    let all = samples();
    assert_eq!(
        Summary::of(&all).to_string(),
        "4 errors and 1 warning in 3 files"
    );
    assert_eq!(Summary::of(&all[..1]).to_string(), "1 warning in 1 file");
    assert_eq!(Summary::of(&all[1..3]).to_string(), "2 errors in 1 file");
    assert_eq!(Summary::of(&[]).to_string(), "no errors and no warnings");
}

#[test]
fn findings_are_ordered_by_file_line_column_and_code() {
    let all = samples();
    let order: Vec<_> = in_order(&all)
        .iter()
        .map(|d| (d.path(), d.primary.span.line, d.primary.span.column))
        .collect();
    assert_eq!(
        order,
        [
            ("gone <&>.yaml", 1, 1),
            ("shop/web, 1:new.yaml", 6, 18),
            ("shop/web, 1:new.yaml", 7, 3),
            ("tasks.yaml", 3, 3),
            ("tasks.yaml", 5, 1),
        ]
    );
}

#[test]
fn the_end_of_a_span_counts_lines_of_every_kind_and_characters() {
    let end = |text: &str| {
        let span = Span {
            start: 0,
            end: text.len(),
            line: 3,
            column: 7,
        };
        span.end_in(text)
    };
    assert_eq!(end("é1"), (3, 9));
    assert_eq!(end("a\nbc"), (4, 3));
    assert_eq!(end("a\r\nbc"), (4, 3));
    assert_eq!(end("a\rbc"), (4, 3));
    assert_eq!(end(""), (3, 7));
    assert_eq!(
        Span {
            start: 5,
            end: 9,
            line: 1,
            column: 1
        }
        .end_in("é"),
        (1, 1)
    );
}

#[test]
fn json_is_one_document_of_its_published_shape() {
    let schema: Value = serde_json::from_str(json::SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = json::render(&samples(), &checked());
    let document: Value = serde_json::from_str(&text).unwrap();
    validator.validate(&document).unwrap();
    assert!(validator.is_valid(&serde_json::from_str(&json::render(&[], &[])).unwrap()));
    assert_eq!(document["summary"]["checked"], 4);
    assert_eq!(document["summary"]["errors"], 4);
    let finding = &document["diagnostics"][1];
    assert_eq!(finding["code"], "LS0403");
    assert_eq!(finding["related"][0]["file"], "tasks.yaml");
    assert_eq!(
        (&finding["endLine"], &finding["endColumn"]),
        (&6.into(), &21.into())
    );
    let mut wrong = document.clone();
    wrong["diagnostics"][0]["line"] = 0.into();
    assert!(!validator.is_valid(&wrong), "the schema can fail");
}

#[test]
fn sarif_follows_the_schema_of_its_standard() {
    // As published, one pattern is no regular expression: it has a bracket too many.
    let schema = include_str!("../../tests/data/sarif-schema-2.1.0.json")
        .replace("-[a-zA-Z]{2}]?$", "-[a-zA-Z]{2}$");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    for findings in [samples(), vec![]] {
        let document: Value = serde_json::from_str(&sarif::render(&findings)).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, [] as [String; 0]);
        let run = &document["runs"][0];
        assert_eq!(run["results"].as_array().unwrap().len(), findings.len());
        for result in run["results"].as_array().unwrap() {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(
                run["tool"]["driver"]["rules"][index]["id"],
                result["ruleId"]
            );
        }
    }
    let document: Value = serde_json::from_str(&sarif::render(&samples())).unwrap();
    let mut wrong = document.clone();
    wrong["runs"][0]["results"][0]["level"] = "fatal".into();
    assert!(!validator.is_valid(&wrong), "the schema can fail");
    let location = &document["runs"][0]["results"][1]["locations"][0]["physicalLocation"];
    assert_eq!(
        location["artifactLocation"]["uri"],
        "shop/web%2C%201%3Anew.yaml"
    );
    insta::assert_json_snapshot!(document["runs"][0]["results"]);
    insta::assert_json_snapshot!(document["runs"][0]["tool"]["driver"]["rules"][1]);
}

#[test]
fn junit_has_a_case_for_every_file_and_reads_back() {
    for strict in [false, true] {
        let xml = junit::render(&samples(), &checked(), strict).unwrap();
        let report = quick_junit::Report::deserialize_from_str(&xml).unwrap();
        let suite = &report.test_suites[0];
        assert_eq!((suite.tests, suite.failures, suite.errors), (4, 3, 0));
        let failed = |case: &quick_junit::TestCase| {
            matches!(case.status, quick_junit::TestCaseStatus::NonSuccess { .. })
        };
        let by_name: Vec<_> = suite
            .test_cases
            .iter()
            .map(|case| (case.name.as_str().to_owned(), failed(case)))
            .collect();
        let expected = checked().into_iter().map(|path| {
            let failed = path != "good.yaml";
            (path, failed)
        });
        assert_eq!(by_name, expected.collect::<Vec<_>>());
        if !strict {
            insta::assert_snapshot!(xml);
        }
    }
    let warning = &samples()[..1];
    for (strict, failures) in [(false, 0), (true, 1)] {
        let xml = junit::render(warning, &checked(), strict).unwrap();
        let report = quick_junit::Report::deserialize_from_str(&xml).unwrap();
        assert_eq!(report.test_suites[0].failures, failures);
    }
}

/// A line as GitHub's runner reads it (`ActionCommand.TryParseV2` and its unescaping): command, properties, data.
fn read_command(line: &str) -> (String, Vec<(String, String)>, String) {
    let rest = line.strip_prefix("::").expect("a command begins with ::");
    let end = rest.find("::").expect("its head ends with ::");
    let (head, data) = (&rest[..end], &rest[end + 2..]);
    let (command, properties) = head.split_once(' ').unwrap_or((head, ""));
    let unescape = |text: &str| {
        text.replace("%0D", "\r")
            .replace("%0A", "\n")
            .replace("%25", "%")
    };
    let properties = properties
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            let value = value
                .replace("%0D", "\r")
                .replace("%0A", "\n")
                .replace("%3A", ":")
                .replace("%2C", ",")
                .replace("%25", "%");
            (name.to_owned(), value)
        })
        .collect();
    (command.to_owned(), properties, unescape(data))
}

#[test]
fn github_reads_back_what_was_said_of_any_path_and_message() {
    let all = samples();
    let text = github::render(&all);
    insta::assert_snapshot!(text);
    assert_eq!(text.lines().count(), all.len());
    for (line, diagnostic) in text.lines().zip(in_order(&all)) {
        let (command, properties, data) = read_command(line);
        assert_eq!(command, diagnostic.severity.as_str());
        let property = |name: &str| {
            let found = properties.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        assert_eq!(property("file"), diagnostic.path());
        assert_eq!(property("line"), diagnostic.primary.span.line.to_string());
        assert_eq!(property("col"), diagnostic.primary.span.column.to_string());
        assert_eq!(property("title"), format!("longshore {}", diagnostic.code));
        assert!(data.starts_with(&diagnostic.message));
        for help in &diagnostic.help {
            assert!(data.contains(help.as_str()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_format_renders_whatever_a_file_holds(
        path in "[a-zé%:, <&\u{1}]{1,8}",
        text in "[-a-c:\\[\\]{}&*!#'\"|>%@ \\t\\n\\r,?~<0-9é\u{feff}\u{0}\u{1b}😀]{0,80}",
    ) {
        let diagnostics = yaml::parse(&file(&path, &text)).diagnostics;
        let shown = human::render(&diagnostics, human::Options::default());
        let escape = '\u{1b}';
        prop_assert!(!shown.contains(escape));
        prop_assert_eq!(github::render(&diagnostics).lines().count(), diagnostics.len());
        let document: Value = serde_json::from_str(&json::render(&diagnostics, &[])).unwrap();
        prop_assert_eq!(document["diagnostics"].as_array().unwrap().len(), diagnostics.len());
        let document: Value = serde_json::from_str(&sarif::render(&diagnostics)).unwrap();
        prop_assert_eq!(document["runs"][0]["results"].as_array().unwrap().len(), diagnostics.len());
        let xml = junit::render(&diagnostics, &[], true).unwrap();
        prop_assert!(quick_junit::Report::deserialize_from_str(&xml).is_ok(), "{}", xml);
    }
}
