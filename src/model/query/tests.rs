use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// An instance as plain data.
#[derive(Default)]
struct Host {
    id: &'static str,
    connected: bool,
    version: &'static str,
    attributes: BTreeMap<&'static str, &'static str>,
    registered_at: i64,
    groups: Vec<&'static str>,
}

impl InstanceFacts for Host {
    fn id(&self) -> &str {
        self.id
    }

    fn connected(&self) -> bool {
        self.connected
    }

    fn agent_version(&self) -> &str {
        self.version
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).copied()
    }

    fn registered_at(&self) -> Timestamp {
        Timestamp::from_millis(self.registered_at)
    }

    fn running_tasks(&self) -> u64 {
        self.groups.len() as u64
    }

    fn has_group(&self, which: &dyn Fn(&str) -> bool) -> bool {
        self.groups.iter().any(|group| which(group))
    }
}

fn g2() -> Host {
    Host {
        id: "i-1",
        connected: true,
        version: "1.10.0",
        attributes: BTreeMap::from([
            ("ecs.instance-type", "g2.2xlarge"),
            ("ecs.availability-zone", "us-east-1a"),
            ("stack", "prod"),
            ("rack", "7"),
            ("ssd", ""),
            ("note", "it's here"),
        ]),
        // 2018-06-18T22:28:28.250Z
        registered_at: 1_529_360_908_250,
        groups: vec!["service:web", "database"],
    }
}

fn holds(text: &str) -> bool {
    let query = Query::new(text);
    assert!(query.expr().is_ok(), "{text}: {:?}", query.expr());
    query.matches(&g2())
}

fn all_hold(texts: &[&str]) {
    let not: Vec<&&str> = texts.iter().filter(|text| !holds(text)).collect();
    assert!(not.is_empty(), "{not:?}");
}

fn none_holds(texts: &[&str]) {
    let held: Vec<&&str> = texts.iter().filter(|text| holds(text)).collect();
    assert!(held.is_empty(), "{held:?}");
}

#[test]
fn section_3c_the_examples_of_ecs_are_read_and_decided() {
    all_hold(&[
        "attribute:ecs.instance-type =~ g2.* and attribute:ecs.availability-zone != us-east-1d",
        "attribute:ecs.availability-zone in [us-east-1a, us-east-1b]",
        "runningTasksCount == 2",
        "task:group == service:web",
        "not(task:group == queue)",
        "agentConnected == true",
    ]);
    none_holds(&[
        "not(task:group == database)",
        "attribute:ecs.instance-type == t2.small",
        "ec2InstanceId in ['i-abcd1234', 'i-wxyx7890']",
    ]);
}

#[test]
fn the_attributes_that_an_expression_names_are_told_with_whether_an_instance_must_have_them() {
    let of = |text: &str| -> Vec<(String, bool)> {
        let query = Query::new(text);
        let expr = query.expr().expect("an expression");
        let named = expr.attributes().into_iter();
        named.map(|(name, must)| (name.to_owned(), must)).collect()
    };
    let all = "attribute:a == 1 and (attribute:b !exists or not(attribute:c in [1])) and attribute:a =~ x";
    let expected = [("a", true), ("b", false), ("c", false), ("a", true)];
    assert_eq!(
        of(all),
        expected.map(|(name, must)| (name.to_owned(), must))
    );
    let denied =
        "not(attribute:a != 1) and !attribute:b !in [1] and attribute:c > 2 and attribute:d !~ x";
    let must = of(denied).into_iter().map(|(_, must)| must);
    assert_eq!(must.collect::<Vec<_>>(), [true, true, true, false]);
    assert!(of("runningTasksCount == 2 and task:group == a").is_empty());
}

#[test]
fn section_3c_every_operator_has_a_sign_and_a_word() {
    all_hold(&[
        "attribute:stack == prod",
        "attribute:stack equals prod",
        "attribute:stack != test",
        "attribute:stack not_equals test",
        "runningTasksCount > 1",
        "runningTasksCount greater_than 1",
        "runningTasksCount >= 2",
        "runningTasksCount greater_than_equal 2",
        "runningTasksCount < 3",
        "runningTasksCount less_than 3",
        "runningTasksCount <= 2",
        "runningTasksCount less_than_equal 2",
        "attribute:ssd exists",
        "attribute:gpu !exists",
        "attribute:gpu not_exists",
        "attribute:stack in [test, prod]",
        "attribute:stack !in [test]",
        "attribute:stack not_in [test]",
        "attribute:stack =~ pr.d",
        "attribute:stack matches pr.d",
        "attribute:stack !~ test",
        "attribute:stack not_matches test",
        "attribute:stack == prod && runningTasksCount > 0",
        "attribute:stack == test || attribute:stack == prod",
        "!attribute:stack == test",
    ]);
}

#[test]
fn a_negative_operator_holds_where_the_positive_one_does_not_also_without_the_attribute() {
    all_hold(&[
        "attribute:gpu != a",
        "attribute:gpu !in [a]",
        "attribute:gpu !~ a",
        "task:group != queue",
    ]);
    none_holds(&[
        "attribute:gpu == a",
        "attribute:gpu > a",
        "attribute:gpu in [a]",
        "attribute:gpu =~ .*",
        "attribute:gpu exists",
        "task:group != database",
    ]);
}

#[test]
fn and_binds_closer_than_or_and_parentheses_closer_than_both() {
    let (yes, no) = ("attribute:stack == prod", "attribute:stack == test");
    assert!(holds(&format!("{yes} or {no} and {no}")));
    assert!(!holds(&format!("({yes} or {no}) and {no}")));
    assert!(holds(&format!("not {no} and {yes}")));
    assert!(!holds(&format!("not({no} or {yes})")));
}

#[test]
fn numbers_are_compared_as_numbers_versions_by_their_parts_and_dates_as_instants() {
    all_hold(&[
        "attribute:rack < 10",
        "agentVersion > 1.9.3",
        "agentVersion == 1.10",
        "registeredAt == 2018-06-18T22:28:28+00:00",
        "registeredAt == 2018-06-19T00:28:28+02:00",
        "registeredAt == 2018-06-18T22:28:28",
        "registeredAt > 2018-06-18",
        "registeredAt < 2018-06-19",
        "attribute:stack > alpha",
    ]);
}

#[test]
fn a_pattern_must_match_the_whole_value() {
    all_hold(&[
        "attribute:ecs.instance-type =~ g[12]\\.(2xlarge|8xlarge)",
        "attribute:ecs.instance-type =~ 't2.*|g2.*'",
        "(attribute:ecs.instance-type =~ (t2|g2).*)",
        "attribute:note =~ 'it''s .*'",
    ]);
    none_holds(&[
        "attribute:ecs.instance-type =~ g2",
        "attribute:ecs.instance-type =~ 'g2|t2'",
    ]);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_what_to_write() {
    let said = |text: &str| {
        let query = Query::new(text);
        assert!(!query.matches(&g2()), "{text}: no instance meets it");
        let error = query.expr().expect_err(text).clone();
        format!(
            "{}..{} {} | {}",
            error.at.start, error.at.end, error.message, error.help
        )
    };
    let mut all = String::new();
    for text in [
        "",
        "attribute:stack",
        "attribute:stack = prod",
        "attribute:stack == ",
        "attribute:stack == a b",
        "attribute:stack == a AND attribute:x == b",
        "attribute:stack == 'prod",
        "attribute:stack == \"prod\"",
        "attribute:stack in prod",
        "attribute:stack in [prod",
        "attribute:stack in [a b]",
        "attribute:stack is prod",
        "attribute:stack exist",
        "attribute: == a",
        "(attribute:stack == a",
        "attribute:stack == a)",
        "attribute:stack =~ (",
        "attribute:stack =~ '(?=a)b'",
        "runningTaskCount > 1",
        "runningTasksCount > many",
        "runningTasksCount =~ 1.*",
        "task:group > a",
        "agentConnected == yes",
        "registeredAt > yesterday",
        "stack == prod",
        "attribute:a == b and",
        "😀 == a",
    ] {
        all.push_str(&format!("{text}\n    {}\n", said(text)));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn length_and_depth_are_bounded() {
    let long = |n: usize| format!("attribute:a == {}", "x".repeat(n - 15));
    assert!(Query::new(long(LONGEST)).expr().is_ok());
    let error = Query::new(long(LONGEST + 1))
        .expr()
        .unwrap_err()
        .to_string();
    assert!(error.contains("at most 2000 characters"), "{error}");
    let deep = |n: usize| format!("{}attribute:a exists{}", "(".repeat(n), ")".repeat(n));
    assert!(Query::new(deep(DEEPEST)).expr().is_ok());
    assert!(Query::new(deep(DEEPEST + 1)).expr().is_err());
    assert!(Query::new("!".repeat(1999)).expr().is_err());
}

#[test]
fn what_is_nested_too_deep_at_the_end_of_the_text_is_found_in_the_text() {
    for text in [
        "!".repeat(DEEPEST + 1),
        format!("{}ä", "!".repeat(DEEPEST + 1)),
    ] {
        let query = Query::new(text.as_str());
        let at = query.expr().expect_err("it is too deep").at.clone();
        assert!(
            text.get(at.clone()).is_some(),
            "{at:?} of {} bytes",
            text.len()
        );
    }
}

#[test]
fn negations_nested_to_the_limit_read_back_as_they_print() {
    let query = Query::new(format!("{}attribute:a exists", "!".repeat(DEEPEST)));
    let printed = query.expr().expect("it is not too deep").to_string();
    assert_eq!(Query::new(printed).expr(), query.expr());
}

#[test]
fn an_expression_is_stored_as_its_text_also_where_it_is_wrong() {
    for text in ["attribute:a exists", "rubbish ("] {
        let json = serde_json::to_string(&Query::new(text)).unwrap();
        assert_eq!(json, format!("{text:?}"));
        let query: Query = serde_json::from_str(&json).unwrap();
        assert_eq!(query, Query::new(text));
    }
}

#[test]
fn only_expressions_about_tasks_change_with_each_task() {
    let about = |text: &str| Query::new(text).is_about_tasks();
    assert!(about("attribute:a exists or not(task:group == x)"));
    assert!(about("runningTasksCount < 5"));
    assert!(!about("attribute:a exists and agentConnected == true"));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.-]{1,8}",
        "[ -~]{0,8}",
        Just("and".to_owned()),
        Just("in".to_owned())
    ]
}

fn test() -> impl Strategy<Value = Expr> {
    let named = "[A-Za-z0-9_./\\\\-]{1,12}".prop_map(Subject::Attribute);
    let subject = prop_oneof![
        3 => named,
        1 => Just(Subject::Ec2InstanceId),
        1 => Just(Subject::AgentVersion),
    ];
    let literal = || {
        text().prop_map(|text| Literal {
            text,
            value: Value::Text,
        })
    };
    let how = prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::NotEqual),
        Just(Comparison::Greater),
        Just(Comparison::LessOrEqual),
    ];
    let pattern = "[a-z.*'| ]{0,6}".prop_filter_map("compiles", |text| {
        let whole = regex::Regex::new(&format!(r"\A(?:{text})\z")).ok()?;
        Some(Pattern { text, whole })
    });
    let operation = prop_oneof![
        (how, literal()).prop_map(|(how, literal)| Operation::Compare(how, literal)),
        any::<bool>().prop_map(Operation::Exists),
        (any::<bool>(), proptest::collection::vec(literal(), 1..4))
            .prop_map(|(positive, values)| Operation::In(positive, values)),
        (any::<bool>(), pattern)
            .prop_map(|(positive, pattern)| Operation::Matches(positive, pattern)),
    ];
    (subject, operation).prop_map(|(subject, operation)| Expr::Test(subject, operation))
}

fn expr() -> impl Strategy<Value = Expr> {
    test().prop_recursive(5, 24, 3, |inner| {
        let some = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            some.clone().prop_map(Expr::Or),
            some.prop_map(Expr::And),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

/// Pieces of which expressions are made, in any order.
fn rubble() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "attribute:a",
        "task:group",
        "runningTasksCount",
        "registeredAt",
        "==",
        "=~",
        "!~",
        "!in",
        "in",
        "[",
        "]",
        ",",
        "(",
        ")",
        "'",
        "''",
        "not",
        "!",
        "and",
        "&&",
        "or",
        "||",
        " ",
        "\n",
        "x",
        "5",
        "2026-01-01",
        "\\",
        "é",
        "[a-",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES), 0..40)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_printed_expression_reads_back_as_the_same(expr in expr()) {
        let printed = expr.to_string();
        prop_assume!(printed.chars().count() <= LONGEST);
        let read = Query::new(&printed);
        prop_assert_eq!(read.expr(), Ok(&expr), "{}", printed);
    }

    #[test]
    fn no_text_makes_reading_panic_and_a_mistake_lies_within_it(text in prop_oneof![any::<String>(), rubble()]) {
        let query = Query::new(&text);
        match query.expr() {
            Err(error) => {
                prop_assert!(error.at.end <= text.len() && error.at.start <= error.at.end);
                prop_assert!(text.get(error.at.clone()).is_some());
                prop_assert!(!query.matches(&g2()));
            }
            Ok(expr) => {
                let printed = expr.to_string();
                if printed.chars().count() <= LONGEST {
                    let again = Query::new(&printed);
                    prop_assert_eq!(again.matches(&g2()), query.matches(&g2()), "{}", printed);
                }
            }
        }
    }

    #[test]
    fn not_turns_every_answer_around(expr in expr()) {
        let inner = expr.holds(&g2());
        let outer = Expr::Not(Box::new(expr)).holds(&g2());
        prop_assert_ne!(inner, outer);
    }
}

#[test]
fn every_subject_is_named_once() {
    let named: BTreeSet<String> = [
        Subject::AgentConnected,
        Subject::AgentVersion,
        Subject::Ec2InstanceId,
        Subject::RegisteredAt,
        Subject::RunningTasksCount,
        Subject::TaskGroup,
        Subject::Attribute("x".to_owned()),
    ]
    .iter()
    .map(Subject::to_string)
    .collect();
    assert_eq!(named.len(), 7);
}

#[test]
fn what_is_wrong_with_an_expression_of_several_lines_is_told_in_one() {
    for (text, told) in [
        (
            "attribute:x =~ 'a(\r\nb'",
            "`a(  b` is no regular expression: ",
        ),
        ("runningTasksCount < 'a\nb'", "`a b` is no number of tasks"),
    ] {
        let query = Query::new(text);
        let error = query.expr().expect_err("it is wrong");
        assert!(error.message.starts_with(told), "{}", error.message);
    }
}
