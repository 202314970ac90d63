//! Tests of the spanned tree.

use super::*;
use crate::diagnostic::{Severity, codes};
use proptest::prelude::*;
use serde_json::json;

fn parsed(text: &str) -> Parsed {
    parse(&Arc::new(SourceFile {
        path: "a.yaml".into(),
        text: text.into(),
    }))
}

/// The only document of a text without findings.
fn clean(text: &str) -> Node {
    let parsed = parsed(text);
    assert_eq!(parsed.diagnostics, [], "{text:?}");
    assert_eq!(parsed.documents.len(), 1, "{text:?}");
    parsed.documents.into_iter().next().unwrap()
}

fn json_of(text: &str) -> serde_json::Value {
    clean(text).to_json()
}

/// `line:column code message` of each finding.
fn findings(text: &str) -> Vec<String> {
    parsed(text)
        .diagnostics
        .iter()
        .map(|d| {
            let span = d.primary.span;
            format!("{}:{} {} {}", span.line, span.column, d.code, d.message)
        })
        .collect()
}

fn written(text: &str, span: Span) -> &str {
    &text[span.start..span.end]
}

#[test]
fn scalars_follow_the_core_schema() {
    assert_eq!(
        json_of("[no, yes, on, off, NO, y, n]"),
        json!(["no", "yes", "on", "off", "NO", "y", "n"])
    );
    assert_eq!(
        json_of("[~, null, Null, NULL, true, FALSE, True]"),
        json!([null, null, null, null, true, false, true])
    );
    assert_eq!(
        json_of("[010, 0o10, 0x1F, -7, +7, 1.5, .5, 1., 1e3, -1.5E-2, 1:30, 0b1, 1_000, 1.2.3]"),
        json!([
            10, 8, 31, -7, 7, 1.5, 0.5, 1.0, 1000.0, -0.015, "1:30", "0b1", "1_000", "1.2.3"
        ])
    );
    assert_eq!(
        json_of("['1', \"true\", !!str 1, ! 2, !!int 3, !!float 4]"),
        json!(["1", "true", "1", "2", 3, 4.0])
    );
    assert_eq!(json_of("a:\nb: ''\n"), json!({"a": null, "b": ""}));
    assert_eq!(json_of("[., +., e3, -.x]")[0], json!("."));
    assert_eq!(
        json_of("[-9223372036854775808, 9223372036854775807]"),
        json!([i64::MIN, i64::MAX])
    );
}

#[test]
fn a_number_that_json_cannot_hold_is_an_error_and_never_rounded() {
    for text in [
        "9223372036854775808",
        "-9223372036854775809",
        "0xFFFFFFFFFFFFFFFF",
        ".inf",
        "-.INF",
        ".nan",
        "1e999",
    ] {
        let found = parsed(&format!("a: {text}"));
        assert_eq!(found.diagnostics[0].code, codes::NUMBER_RANGE, "{text}");
        assert_eq!(found.broken, [0]);
    }
}

#[test]
fn json_is_read_as_it_is() {
    let text = "{\n\t\"a\" : 1,\n\t\"b\":[true,null,\"\\u00e9\\/\\ud83d\\ude00\\n\"],\"c\":{\"d\":-1.5e-3}\n}";
    assert_eq!(
        json_of(text),
        json!({"a": 1, "b": [true, null, "é/😀\n"], "c": {"d": -0.0015}})
    );
    assert_eq!(json_of("{\"a\":\"x\"}\r\n"), json!({"a": "x"}));
    assert_eq!(
        json_of("{\n  \"cmd\": [\n    \"-c\",\n    \"a: b #c\"\n  ]\n}\n"),
        json!({"cmd": ["-c", "a: b #c"]})
    );
}

#[test]
fn every_key_and_value_knows_its_place() {
    let text = "kind: Service\nspec:\n  names:\n    - é: x\n    - \"q\"\n  text: |\n    one\n    two\n\nlast: {a: [1, 2] }  # note\n";
    let node = clean(text);
    let span = |pointer: &str| node.pointer(pointer).unwrap().span;
    assert_eq!(written(text, span("/kind")), "Service");
    assert_eq!((span("/kind").line, span("/kind").column), (1, 7));
    assert_eq!(
        written(text, node.key_span("/spec/names").unwrap()),
        "names"
    );
    assert_eq!(written(text, span("/spec/names/0")), "é: x");
    let x = span("/spec/names/0/é");
    assert_eq!((written(text, x), x.line, x.column), ("x", 4, 10));
    assert_eq!(written(text, span("/spec/names/1")), "\"q\"");
    assert_eq!(written(text, span("/spec/text")), "one\n    two");
    assert_eq!(written(text, span("/last")), "{a: [1, 2] }");
    assert_eq!(written(text, span("/last/a")), "[1, 2]");
    assert_eq!(
        written(text, node.span),
        text.split("  # note").next().unwrap()
    );
    assert_eq!(node.key_span(""), None);
    assert_eq!(node.key_span("/spec/names/0"), None);
    assert_eq!(node.pointer("/spec/names/9"), None);
    assert_eq!(node.pointer("spec"), None);
}

#[test]
fn pointers_unescape_slashes_and_tildes() {
    let node = clean("a/b: {\"c~d\": 1, c~1d: 2}\n");
    assert_eq!(node.pointer("/a~1b/c~0d").unwrap().value, Value::Int(1));
    assert_eq!(node.pointer("/a~1b/c~01d").unwrap().value, Value::Int(2));
}

#[test]
fn a_missing_value_is_null_right_where_it_is_missing() {
    let text = "a:\n  b:\n  c: 1\n";
    let node = clean(text);
    let b = node.pointer("/a/b").unwrap();
    assert_eq!(b.value, Value::Null);
    assert_eq!(b.span.start, b.span.end);
    assert!(text[..b.span.start].starts_with("a:\n  b:"));
    assert_eq!(b.span.line, 2, "{:?}", b.span);
}

#[test]
fn what_is_missing_behind_a_key_of_two_lines_is_missing_on_the_second() {
    for text in ["{a: 1, x\n  y}", "{a: 1, \"x\r\n  y\"}", "{a: 1, x\r  y}"] {
        let node = clean(text);
        let span = node.pointer("/x y").unwrap().span;
        assert_eq!((span.line, span.start), (2, text.len() - 1), "{text:?}");
        assert_eq!(
            span.column as usize,
            text.len() - text.rfind(['\n', '\r']).unwrap() - 1
        );
    }
}

#[test]
fn byte_order_marks_and_carriage_returns_move_no_position() {
    let text = "\u{feff}a: 1\r\nb:\r\n  - c\r\n";
    let node = clean(text);
    let at = |pointer: &str| {
        let span = node.pointer(pointer).unwrap().span;
        (span.line, span.column, written(text, span).to_owned())
    };
    assert_eq!(at("/a"), (1, 4, "1".into()));
    assert_eq!(node.key_span("/a").unwrap().column, 1);
    assert_eq!(at("/b/0"), (3, 5, "c".into()));
}

#[test]
fn a_byte_order_mark_inside_a_file_sends_nobody_to_the_column_before() {
    for (text, pointer, line, column) in [
        ("a: 1\n...\n\u{feff}b: 2\nc: 3\n", "/b", 3, 5),
        ("a: 1\r\n...\r\n\u{feff}b: 2\r\nc: 3\r\n", "/b", 3, 5),
        ("a: 1\r...\r\u{feff}\u{feff}b: 2\rc: 3\r", "/b", 3, 6),
        ("a: 1\n...\n\u{feff}b: 2\nc: 3\n", "/c", 4, 4),
        ("\u{feff}a: 1\n...\n\u{feff}b: é\n", "/b", 3, 5),
        ("[\"x\n  \u{feff}y\", z]\n", "/1", 2, 8),
        ("[\"x\n\u{feff}y\", z]\n", "/1", 2, 6),
    ] {
        let parsed = parsed(text);
        let span = parsed
            .documents
            .last()
            .unwrap()
            .pointer(pointer)
            .unwrap()
            .span;
        assert_eq!((span.line, span.column), (line, column), "{text:?}");
    }
    assert_eq!(
        findings("a: 1\n...\n\u{feff}b: *c\n"),
        ["3:5 LS0103 the alias `*c` names no anchor"]
    );
    assert!(findings("a: 1\n...\n\u{feff}b: ]\n")[0].starts_with("3:5 "));
}

#[test]
fn many_documents_and_empty_ones() {
    let parsed = parsed("# only a comment\n---\n---\na: 1\n---\n# nothing\n---\nb: 2\n...\n---\n");
    assert_eq!(parsed.diagnostics, []);
    let all: Vec<_> = parsed.documents.iter().map(Node::to_json).collect();
    assert_eq!(all, [json!({"a": 1}), json!({"b": 2})]);
    assert_eq!(super::tests::parsed("").documents, []);
    assert_eq!(super::tests::parsed("\u{feff}\n# x\n").documents, []);
}

#[test]
fn a_duplicate_key_is_an_error_that_shows_both_places() {
    let text = "a: 1\nb:\n  c: 1\n  d: 2\n  \"c\": 3\n---\nz: 1\n";
    let parsed = parsed(text);
    assert_eq!(findings(text), ["5:3 LS0102 the key `c` is here twice"]);
    let related = &parsed.diagnostics[0].related[0];
    assert_eq!((related.span.line, related.span.column), (3, 3));
    assert_eq!(parsed.broken, [0], "only the first document is broken");
    assert_eq!(
        parsed.documents[0].to_json(),
        json!({"a": 1, "b": {"c": 1, "d": 2}})
    );
    assert_eq!(
        findings("{1: a, '1': b}")[0],
        "1:8 LS0102 the key `1` is here twice"
    );
}

#[test]
fn duplicates_in_a_large_mapping_are_found_wherever_they_are() {
    for (first, second) in [(0, 40), (16, 17), (17, 18), (15, 39), (39, 40)] {
        let mut text = String::new();
        for i in 0..=40 {
            let key = if i == second { first } else { i };
            text.push_str(&format!("k{key}: {i}\n"));
        }
        let parsed = parsed(&text);
        assert_eq!(parsed.diagnostics.len(), 1, "{first} {second}");
        assert_eq!(parsed.diagnostics[0].primary.span.line, second + 1);
        assert_eq!(parsed.diagnostics[0].related[0].span.line, first + 1);
    }
}

#[test]
fn scalar_keys_become_their_text_and_others_are_refused() {
    assert_eq!(
        json_of("8080: a\n1.0: b\ntrue: c\n~: d\n99999999999999999999: e\n"),
        json!({"8080": "a", "1.0": "b", "true": "c", "~": "d", "99999999999999999999": "e"})
    );
    assert_eq!(
        json_of("a: &k 1.50\n*k : x\n"),
        json!({"a": 1.5, "1.50": "x"})
    );
    assert_eq!(
        findings("? [a, b]\n: {c: c, c: d}\ne: 1\n"),
        [
            "1:3 LS0106 a mapping or list cannot be a key",
            "2:10 LS0102 the key `c` is here twice",
        ]
    );
    let template = parsed("metadata:\n  name: {{ service }}\n");
    assert_eq!(template.diagnostics[0].code, codes::COMPLEX_KEY);
    assert!(template.diagnostics[0].help[0].contains("template"));
}

#[test]
fn merge_keys_are_refused_by_name_and_quoted_ones_are_keys() {
    assert_eq!(
        findings("a: &b {c: 1}\nd:\n  <<: *b\n  e: 2\n"),
        ["3:3 LS0107 `<<` is a merge key of YAML 1.1; YAML 1.2 has none"]
    );
    assert_eq!(json_of("'<<': 1"), json!({"<<": 1}));
}

#[test]
fn aliases_repeat_values_at_their_own_place() {
    let text = "a: &x {p: 1}\nb: *x\nc: [*x, *x]\n";
    let node = clean(text);
    assert_eq!(
        node.to_json(),
        json!({"a": {"p": 1}, "b": {"p": 1}, "c": [{"p": 1}, {"p": 1}]})
    );
    assert_eq!(written(text, node.pointer("/b").unwrap().span), "*x");
    assert_eq!(node.pointer("/b/p").unwrap().span.line, 1);
    assert_eq!(json_of("a: &x 1\nb: &x 2\nc: *x\n")["c"], json!(2));
}

#[test]
fn an_alias_without_anchor_names_the_nearest_and_reading_goes_on() {
    let text = "a: &base 1\nb: *bsae\nc: 1\nc: 2\n---\nd: *base\n";
    assert_eq!(
        findings(text),
        [
            "2:4 LS0103 the alias `*bsae` names no anchor",
            "4:1 LS0102 the key `c` is here twice",
            "6:4 LS0103 the alias `*base` names no anchor",
        ]
    );
    let help = &parsed(text).diagnostics[0].help;
    assert_eq!(help[0], "there is an anchor `&base`");
}

#[test]
fn an_alias_of_itself_is_refused() {
    assert_eq!(
        findings("a: &a [1, *a]\n"),
        ["1:11 LS0110 `*a` is inside of what it repeats"]
    );
    assert_eq!(findings("a: &a {*a : 1}\n").len(), 1);
}

#[test]
fn a_billion_laughs_are_refused_once_and_cheaply() {
    let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for i in 1..30 {
        let before = format!("*a{}", i - 1);
        text.push_str(&format!("a{i}: &a{i} [{}]\n", vec![before; 9].join(", ")));
    }
    let parsed = parsed(&text);
    assert_eq!(parsed.diagnostics.len(), 1);
    assert_eq!(parsed.diagnostics[0].code, codes::ALIAS_TOO_LARGE);
    assert_eq!(parsed.broken, [0]);
}

#[test]
fn long_text_repeated_counts_by_its_bytes() {
    let text = format!(
        "a: &a \"{}\"\nb: [{}]\n",
        "x".repeat(100_000),
        vec!["*a"; 200].join(", ")
    );
    assert_eq!(parsed(&text).diagnostics[0].code, codes::ALIAS_TOO_LARGE);
}

#[test]
fn nesting_is_bounded_also_through_aliases() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    clean(&nested(MAX_DEPTH));
    let too_deep = parsed(&format!("{}\n---\nok: 1\n", nested(MAX_DEPTH + 1)));
    assert_eq!(too_deep.diagnostics[0].code, codes::TOO_DEEP);
    assert_eq!(too_deep.documents.len(), 1, "the document after it is read");
    assert_eq!(
        parsed(&nested(100_000)).diagnostics[0].code,
        codes::TOO_DEEP
    );
    let block: String = (0..200).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert_eq!(parsed(&block).diagnostics[0].code, codes::TOO_DEEP);
    let mixed = format!(
        "{}b: {}\n",
        (0..100)
            .map(|i| format!("{}a:\n", " ".repeat(i)))
            .collect::<String>()
            + &" ".repeat(100),
        nested(100)
    );
    assert_eq!(parsed(&mixed).diagnostics[0].code, codes::TOO_DEEP);
    let chained = format!(
        "a: &a {}\nb: &b {}\nc: {}\n",
        nested(60),
        nested(60).replace('1', "*a"),
        nested(60).replace('1', "*b")
    );
    assert_eq!(parsed(&chained).diagnostics[0].code, codes::TOO_DEEP);
}

#[test]
fn foreign_tags_are_refused_where_they_stand() {
    assert_eq!(
        findings(
            "image: !Sub x\nlist: !Join [a]\nint: !!int x\nmap: !!map {a: 1}\nseq: !!map [1]\n"
        ),
        [
            "1:8 LS0108 the tag `!Sub` has no meaning here",
            "2:7 LS0108 the tag `!Join` has no meaning here",
            "3:6 LS0108 the tag `!!int` has no meaning here",
            "5:6 LS0108 the tag `!!map` has no meaning here",
        ]
    );
}

#[test]
fn another_yaml_version_is_a_warning_and_the_document_is_used() {
    let parsed = parsed("%YAML 1.1\n---\na: no\n");
    assert_eq!(parsed.diagnostics.len(), 1);
    assert_eq!(parsed.diagnostics[0].severity, Severity::Warning);
    assert_eq!(parsed.broken, [] as [usize; 0]);
    assert_eq!(parsed.documents[0].to_json(), json!({"a": "no"}));
}

#[test]
fn a_syntax_error_keeps_the_documents_around_it() {
    let parsed = parsed("a: 1\n---\nb: \"open\nc: [\n---\nd: 2\n");
    let all: Vec<_> = parsed.documents.iter().map(Node::to_json).collect();
    assert_eq!(all, [json!({"a": 1}), json!({"d": 2})]);
    assert_eq!(parsed.diagnostics.len(), 1);
    assert_eq!(parsed.broken, [] as [usize; 0]);
}

#[test]
fn syntax_errors_say_where_and_what_to_do() {
    let all: Vec<String> = [
        "a:\n\t- b\n",
        "kind: Service\nmetadata:\n  name: web\n spec: {}\n",
        "a: b: c\n",
        "a: [1, 2\n",
        "a: [1, 2}\n",
        "a: \"x\nb: 1\n",
        "a: @x\n",
        "a\nb: 1\n",
        "{\"a\": 1 \"b\": 2}",
        "[1 2, \"a\" \"b\"]",
        "a: \"\\q\"\n",
        "a: \"x\" y\n",
        "a: - b\n",
        "- a\nb: 1\n",
        "a: 1\n- b\n",
        "a: `x`\n",
        "a: %x\n",
        "a: \u{1}\n",
        "a: [-]\n",
        "a: 'x'#y\n",
    ]
    .iter()
    .flat_map(|text| findings(text))
    .collect();
    insta::assert_snapshot!(all.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_panic_and_every_place_lies_in_it(
        text in prop_oneof![
            any::<String>(),
            "[-a-c:\\[\\]{}&*!#'\"|>%@ \\t\\n\\r,?~<0-9.é\u{feff}]{0,60}",
            prop::collection::vec(prop_oneof![
                Just("a: "), Just("- "), Just("\n"), Just("  "), Just("&x "), Just("*x"), Just("{"), Just("}"),
                Just("["), Just("]"), Just(", "), Just("!!str "), Just("!t "), Just("\"s\""), Just("---\n"),
                Just("...\n"), Just("? "), Just(": "), Just("<<: "), Just("|\n"), Just("# c\n"), Just("1"), Just("\t"),
                Just("%YAML 1.1\n"), Just("é"), Just("\u{feff}"), Just("\r\n"),
            ], 0..40).prop_map(|parts| parts.concat()),
        ]
    ) {
        let parsed = parsed(&text);
        for diagnostic in &parsed.diagnostics {
            prop_assert!(text.get(diagnostic.primary.span.start..diagnostic.primary.span.end).is_some());
            prop_assert!(diagnostic.primary.span.line >= 1 && diagnostic.primary.span.column >= 1);
        }
        let mut nodes: Vec<&Node> = parsed.documents.iter().collect();
        while let Some(node) = nodes.pop() {
            prop_assert!(text.get(node.span.start..node.span.end).is_some(), "{:?}", node.span);
            match &node.value {
                Value::Seq(items) => nodes.extend(items),
                Value::Map(entries) => {
                    for entry in entries {
                        prop_assert!(text.get(entry.key_span.start..entry.key_span.end).is_some());
                        nodes.push(&entry.value);
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn json_text_reads_as_the_value_it_was_written_from(value in json_value()) {
        let expected = serde_json::from_str::<serde_json::Value>(&value.to_string()).unwrap();
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let parsed = parsed(&text);
            prop_assert_eq!(&parsed.diagnostics, &[]);
            prop_assert_eq!(&parsed.documents[0].to_json(), &expected);
        }
    }
}

/// YAML asks for escapes where JSON does not: for DEL, the C1 controls, byte-order marks and non-characters.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|&c| {
            c == '\n'
                || c == '\t'
                || !(c.is_control() || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
        })
        .collect()
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|i| json!(i)),
        (-1e9..1e9).prop_map(|f: f64| json!(f)),
        any::<String>().prop_map(|s| json!(printable(&s))),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|v| json!(v)),
            prop::collection::btree_map("[a-z<é 0-9]{1,8}", inner, 0..6).prop_map(|m| json!(m)),
        ]
    })
}
