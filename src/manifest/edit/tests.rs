use proptest::prelude::*;
use serde_json::json;

use super::*;

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

fn set_in(path: &str, text: &str, pointer: &str, to: &str) -> Result<(String, u32, u32), Refusal> {
    set(&file(path, text), 0, pointer, &json!(to))
        .map(|edited| (edited.file.text.clone(), edited.at.line, edited.at.column))
}

fn yaml(text: &str, pointer: &str, to: &str) -> Result<String, Refusal> {
    set_in("a.yaml", text, pointer, to).map(|(text, ..)| text)
}

#[test]
fn only_the_value_is_replaced_and_its_quotes_comments_and_order_stay() {
    for (before, after) in [
        (
            "b: 1\nimage:   web:1   # why\na: 2\n",
            "b: 1\nimage:   web:2   # why\na: 2\n",
        ),
        (
            "image: 'web:1' # it's\r\nx: y\r\n",
            "image: 'web:2' # it's\r\nx: y\r\n",
        ),
        ("image: \"web:1\"", "image: \"web:2\""),
        (
            "{\"image\":\"web:1\",\"x\":[1]}",
            "{\"image\":\"web:2\",\"x\":[1]}",
        ),
        ("{image: web:1, x: [1]}\n", "{image: web:2, x: [1]}\n"),
        ("? image\n: web:1\n", "? image\n: web:2\n"),
        ("image: !!str web:1\n", "image: !!str web:2\n"),
        ("image: &used web:1 # once\n", "image: &used web:2 # once\n"),
        ("\u{feff}image: web:1\n", "\u{feff}image: web:2\n"),
        ("image:\nx: 1\n", "image: web:2\nx: 1\n"),
        ("image: ~\nx: 1\n", "image: web:2\nx: 1\n"),
        ("image: >-\n", "image: >-\n"),
        ("image: \"web\n  :1\"\nx: 1\n", "image: \"web:2\"\nx: 1\n"),
    ] {
        match yaml(before, "/image", "web:2") {
            Ok(text) => assert_eq!(text, after),
            Err(refusal) => assert!(
                matches!(refusal, Refusal::Block { .. }),
                "{before:?}: {refusal}"
            ),
        }
    }
}

#[test]
fn a_value_that_cannot_be_plain_is_put_in_quotes_and_json_has_double_ones() {
    assert_eq!(
        yaml("image: web\n", "/image", "1.20").unwrap(),
        "image: \"1.20\"\n"
    );
    assert_eq!(
        yaml("image: web\n", "/image", "*x").unwrap(),
        "image: \"*x\"\n"
    );
    assert_eq!(
        yaml("image: 'a'\n", "/image", "it's").unwrap(),
        "image: 'it''s'\n"
    );
    assert_eq!(yaml("[a, b]\n", "/0", "x,y").unwrap(), "[\"x,y\", b]\n");
    let (text, ..) = set_in("a.json", "{\"image\": null}", "/image", "web:2").unwrap();
    assert_eq!(text, "{\"image\": \"web:2\"}");
}

#[test]
fn the_place_of_the_new_value_is_told() {
    let (_, line, column) = set_in("a.yaml", "x: 1\nimage:\ny: 2\n", "/image", "web:2").unwrap();
    assert_eq!((line, column), (2, 8));
    let (_, line, column) = set_in("a.yaml", "x: 1\nimage: 'a'\n", "/image", "web:2").unwrap();
    assert_eq!((line, column), (2, 8));
}

#[test]
fn what_stands_there_by_an_alias_is_refused_and_the_alias_named() {
    let text = "a: &image web:1\nimage: *image\n";
    let refusal = yaml(text, "/image", "web:2").unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Alias { alias, .. } if alias == "*image"),
        "{refusal:?}"
    );
    assert_eq!(refusal.at().line, 2);
    let text = "a: &c {image: web:1}\nlist:\n- *c\n";
    let refusal = yaml(text, "/list/0/image", "web:2").unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Alias { alias, .. } if alias == "*c"),
        "{refusal:?}"
    );
}

#[test]
fn what_an_alias_repeats_elsewhere_is_refused_and_the_line_named() {
    for text in [
        "image: &image web:1\nother:\n- *image\n",
        "c: &c {image: web:1}\n\nd: *c\n",
    ] {
        let pointer = if text.starts_with("image") {
            "/image"
        } else {
            "/c/image"
        };
        let refusal = yaml(text, pointer, "web:2").unwrap_err();
        assert!(refusal.to_string().contains("in line 3"), "{refusal}");
    }
}

#[test]
fn blocks_mappings_and_what_is_not_there_are_refused() {
    let refused = |text: &str, pointer: &str| yaml(text, pointer, "web:2").unwrap_err();
    assert!(matches!(
        refused("image: |\n  web:1\n", "/image"),
        Refusal::Block { .. }
    ));
    assert!(matches!(
        refused("image: {a: b}\n", "/image"),
        Refusal::NoScalar { .. }
    ));
    assert!(matches!(
        refused("a: 1\n", "/image"),
        Refusal::Absent { .. }
    ));
    assert!(matches!(refused("", "/image"), Refusal::Absent { .. }));
    assert!(matches!(
        refused("image: web\n", "/image/x/y"),
        Refusal::Absent { .. }
    ));
}

#[test]
fn of_several_documents_the_one_that_is_meant_is_changed() {
    let text = "image: a\n---\nimage: a\n";
    let edited = set(&file("a.yaml", text), 1, "/image", &json!("b")).unwrap();
    assert_eq!(edited.file.text, "image: a\n---\nimage: b\n");
}

#[test]
fn a_member_is_added_on_a_line_of_its_own_or_within_the_braces() {
    let added = |path: &str, text: &str, to: &str| {
        add(
            &file(path, text),
            0,
            to,
            "desiredCount",
            &json!(5),
            "taskDefinition",
        )
        .map(|edited| edited.file.text.clone())
    };
    assert_eq!(
        added(
            "a.yaml",
            "spec:\n  x: 1\n  taskDefinition: web # newest\n  y: {}\n",
            "/spec"
        )
        .unwrap(),
        "spec:\n  x: 1\n  taskDefinition: web # newest\n  desiredCount: 5\n  y: {}\n"
    );
    assert_eq!(
        added("a.yaml", "x: 1", "").unwrap(),
        "x: 1\ndesiredCount: 5"
    );
    let refusal = added("a.yaml", "spec: {x: {}}\n", "/spec").unwrap_err();
    assert!(!refusal.to_string().is_empty());
    assert_eq!(
        added("a.yaml", "spec: {}\n", "/spec").unwrap(),
        "spec: {desiredCount: 5}\n"
    );
    assert_eq!(
        added("a.json", "{\"spec\": {\"x\": 1}}", "/spec").unwrap(),
        "{\"spec\": {\"desiredCount\": 5, \"x\": 1}}"
    );
}

#[test]
fn a_member_is_added_to_a_document_behind_a_byte_order_mark() {
    let text = "a: 1\n...\n\u{feff}b: 2\n";
    let edited = add(&file("a.yaml", text), 1, "", "c", &json!(3), "b").unwrap();
    assert_eq!(edited.file.text, "a: 1\n...\n\u{feff}b: 2\nc: 3\n");
}

/// Documents with keys and values of every style, and comments.
fn documents() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[a-z][a-z0-9./:-]{0,8}[a-z0-9]",
        "'[a-z:# ]{0,8}'",
        "\"[a-z:# ]{0,8}\"",
        "[0-9]{1,4}",
        Just("~".to_owned()),
        Just(String::new()),
        "&n[0-9] [a-z]{1,4}",
        "\\{a: [a-z]{1,4}, b: 'x'\\}",
        "\\[[a-z]{1,4}, \"y\"\\]",
    ];
    proptest::collection::vec(("[a-z]{1,3}", value, "( # [a-z:' ]{0,6})?"), 1..8).prop_map(
        |lines| {
            let mut keys = std::collections::BTreeSet::new();
            lines
                .into_iter()
                .filter(|(key, ..)| keys.insert(key.clone()))
                .map(|(key, value, comment)| format!("{key}: {value}{comment}\n"))
                .collect()
        },
    )
}

/// Pointers of every single value.
fn scalars(value: &Json, at: &str, found: &mut Vec<String>) {
    match value {
        Json::Object(members) => {
            for (key, value) in members {
                scalars(value, &format!("{at}/{key}"), found);
            }
        }
        Json::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                scalars(value, &format!("{at}/{index}"), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

proptest! {
    #[test]
    fn an_edit_changes_that_value_and_nothing_else(
        text in documents(),
        which in any::<prop::sample::Index>(),
        to in "[ -~é]{1,20}",
    ) {
        let before = parse(&file("a.yaml", &text));
        prop_assume!(before.diagnostics.is_empty() && before.documents.len() == 1);
        let mut pointers = Vec::new();
        scalars(&before.documents[0].to_json(), "", &mut pointers);
        prop_assume!(!pointers.is_empty());
        let pointer = which.get(&pointers);
        let edited = set(&file("a.yaml", &text), 0, pointer, &json!(to)).unwrap();
        let after = parse(&edited.file);
        let mut wanted = before.documents[0].to_json();
        *wanted.pointer_mut(pointer).unwrap() = json!(to);
        prop_assert_eq!(after.documents[0].to_json(), wanted);
        // Its bytes alone: what is before and behind it is the same text.
        let span = before.documents[0].pointer(pointer).unwrap().span;
        prop_assert!(edited.file.text.starts_with(&text[..span.start]));
        prop_assert!(edited.file.text.ends_with(&text[span.end..]));
        // And it can be changed back.
        let old = before.documents[0].pointer(pointer).unwrap().to_json();
        if old.is_string() {
            let back = set(&edited.file, 0, pointer, &old).unwrap();
            prop_assert_eq!(parse(&back.file).documents[0].to_json(), before.documents[0].to_json());
        }
    }
}
