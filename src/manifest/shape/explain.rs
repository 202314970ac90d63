//! What a validator found, in sentences: where it is written, what is wrong, and what to write.

use std::collections::BTreeSet;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value as Json;

use super::catalogue::{Catalogue, table_path};
use super::{About, Place};
use crate::diagnostic::{Diagnostic, Severity, SourceFile, codes};
use crate::manifest::document::in_words;
use crate::manifest::report::{Reporting, finding, listed, nearest};
use crate::manifest::schema::{self, Member};
use crate::manifest::types::Kind;
use crate::manifest::yaml::{Node, Value};

pub(super) fn report_all(
    validator: &Validator,
    about: About<'_>,
    place: &Place<'_>,
    json: &Json,
    found: &mut Vec<Diagnostic>,
) {
    // Nearly all documents are good, and to say so is much cheaper than to list what is wrong.
    if validator.is_valid(json) {
        return;
    }
    let mut findings = Vec::new();
    let mut meant = BTreeSet::new();
    for error in validator.iter_errors(json) {
        explain(&error, about, place, &mut findings, &mut meant);
    }
    // A member that is missing because its name is mistyped has been reported as mistyped.
    findings.retain(|(missing, _)| missing.as_ref().is_none_or(|path| !meant.contains(path)));
    findings.sort_by_key(|(_, diagnostic)| diagnostic.primary.span.start);
    found.extend(findings.into_iter().map(|(_, diagnostic)| diagnostic));
}

/// A finding, with the pointer of the member that is missing if that is what it is about.
type Found = (Option<String>, Diagnostic);

fn explain(
    error: &ValidationError<'_>,
    about: About<'_>,
    place: &Place<'_>,
    findings: &mut Vec<Found>,
    meant: &mut BTreeSet<String>,
) {
    let pointer = error.instance_path().to_string();
    let member = about
        .catalogue()
        .and_then(|catalogue| catalogue.member(&pointer));
    let called = called(&pointer);
    let mut push = |code, span, message: String, help: Vec<String>| {
        let diagnostic = finding(code, Severity::Error, place.file, span, message);
        findings.push((None, help.into_iter().fold(diagnostic, Diagnostic::help)));
    };
    let instance = error.instance().as_ref();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            for name in unexpected {
                let (help, near) = unknown(name, about, &pointer);
                let span = place.key(&format!("{pointer}/{}", escaped(name)));
                let of = if pointer.is_empty() {
                    about.noun()
                } else {
                    called.clone()
                };
                push(
                    codes::UNKNOWN_FIELD,
                    span,
                    format!("{of} has no member `{name}`"),
                    help,
                );
                meant.extend(near.map(|near| format!("{pointer}/{near}")));
            }
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let path = format!("{pointer}/{name}");
            let help = about
                .catalogue()
                .and_then(|catalogue| catalogue.member(&path))
                .map(|member| member.description().to_owned())
                .filter(|text| !text.is_empty())
                .map_or_else(
                    || format!("add `{name}`"),
                    |text| format!("add `{name}`: {}", lower_first(text.trim_end_matches('.'))),
                );
            let diagnostic = finding(
                codes::MISSING_FIELD,
                Severity::Error,
                place.file,
                place.value(&pointer),
                format!("`{name}` is missing"),
            )
            .help(help);
            findings.push((Some(path), diagnostic));
        }
        ValidationErrorKind::Type { kind: expected } => {
            let node = place.node(&pointer);
            let (expected, help) = wrong_type(expected, node, place.file);
            push(
                codes::WRONG_TYPE,
                place.value(&pointer),
                format!(
                    "{called} is {expected}, and this is {}",
                    node.map_or("nothing", |n| in_words(&n.value))
                ),
                help.into_iter().collect(),
            );
        }
        ValidationErrorKind::Enum { options } => {
            // Of another type: that has been said.
            let Json::String(text) = instance else { return };
            let options: Vec<&str> = options
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Json::as_str)
                .collect();
            let near = nearest(text, options.iter().copied())
                .map(|near| format!("did you mean `{near}`?"));
            push(
                codes::WRONG_VALUE,
                place.value(&pointer),
                format!("{called} cannot be `{text}`"),
                near.into_iter()
                    .chain([format!("write {}", one_of(&options))])
                    .collect(),
            );
        }
        ValidationErrorKind::Minimum { limit }
        | ValidationErrorKind::ExclusiveMinimum { limit } => {
            push(
                codes::OUT_OF_BOUNDS,
                place.value(&pointer),
                format!("{called} is at least {limit}, and this is {instance}"),
                bounds(member).into_iter().collect(),
            );
        }
        ValidationErrorKind::Maximum { limit }
        | ValidationErrorKind::ExclusiveMaximum { limit } => {
            push(
                codes::OUT_OF_BOUNDS,
                place.value(&pointer),
                format!("{called} is at most {limit}, and this is {instance}"),
                bounds(member).into_iter().collect(),
            );
        }
        ValidationErrorKind::Pattern { pattern } => {
            let text = instance.as_str().unwrap_or_default();
            if !text.is_empty() {
                push(
                    codes::PATTERN,
                    place.value(&pointer),
                    format!("{called} cannot be `{text}`"),
                    form(pattern, text),
                );
            }
        }
        ValidationErrorKind::MinLength { .. } | ValidationErrorKind::MinItems { .. } => push(
            codes::TOO_SHORT,
            place.value(&pointer),
            format!("{called} must not be empty"),
            Vec::new(),
        ),
        ValidationErrorKind::MaxLength { limit } => push(
            codes::TOO_LONG,
            place.value(&pointer),
            format!(
                "{called} has at most {limit} characters, and this has {}",
                instance.as_str().unwrap_or_default().chars().count()
            ),
            Vec::new(),
        ),
        ValidationErrorKind::MaxItems { limit } => push(
            codes::TOO_MANY,
            place.value(&pointer),
            format!(
                "{called} has at most {limit} items, and this has {}",
                instance.as_array().map_or(0, Vec::len)
            ),
            Vec::new(),
        ),
        // The schemas use no other keyword (a test says so); should one be added, it is at least not silent.
        other => push(
            codes::WRONG_VALUE,
            place.value(&pointer),
            format!(
                "{called} is not as the schema's `{}` wants it",
                other.keyword()
            ),
            Vec::new(),
        ),
    }
}

/// The member at a pointer, as sentences call it: `` `containerPort` `` or `` an item of `dnsServers` ``.
fn called(pointer: &str) -> String {
    let mut names = pointer.rsplit('/').filter(|token| !token.is_empty());
    match names.next() {
        None => "the document".to_owned(),
        Some(last) if last.parse::<usize>().is_ok() => match names.next() {
            Some(list) => format!("an item of `{}`", unescaped(list)),
            None => "an item".to_owned(),
        },
        Some(last) => format!("`{}`", unescaped(last)),
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn unescaped(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        // An abbreviation or a quoted word stays as it is.
        Some(first) if !letters.clone().next().is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

fn one_of(options: &[&str]) -> String {
    let quoted: Vec<String> = options.iter().map(|option| format!("`{option}`")).collect();
    match quoted.split_last() {
        None => "nothing".into(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

fn bounds(member: Option<&Member>) -> Option<String> {
    let schema = &member?.schema;
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) if most.as_i64() != Some(i64::from(i32::MAX)) => {
            Some(format!("write a number from {least} to {most}"))
        }
        _ => None,
    }
}

fn form(pattern: &str, text: &str) -> Vec<String> {
    let (words, fits): (_, fn(char) -> bool) = match pattern {
        "^[A-Za-z0-9_-]+$" => ("letters, digits, `-` and `_`", |c| {
            c.is_ascii_alphanumeric() || c == '-' || c == '_'
        }),
        "^[A-Za-z0-9_.-]+$" => ("letters, digits, `-`, `_` and `.`", |c| {
            c.is_ascii_alphanumeric() || "-_.".contains(c)
        }),
        "^[a-z0-9_][a-z0-9_-]*$" => (
            "lower-case letters, digits, `_` and, not in front, `-`",
            |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_',
        ),
        other => return vec![format!("its form is `{other}`")],
    };
    let better: String = text
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect();
    let better = better.trim_matches('-');
    let mut help = vec![format!("it consists of {words}")];
    // Of `..` nothing is left to suggest.
    if !better.is_empty() {
        help.push(format!("write, for example, `{better}`"));
    }
    help
}

fn wrong_type(
    expected: &TypeKind,
    node: Option<&Node>,
    file: &SourceFile,
) -> (String, Option<String>) {
    let types: Vec<String> = match expected {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(several) => several.iter().map(|one| one.to_string()).collect(),
    };
    let words: Vec<&str> = types
        .iter()
        .map(|name| match name.as_str() {
            "string" => "text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            "array" => "a list",
            "object" => "a mapping",
            _ => "something else",
        })
        .collect();
    let wants = |name: &str| types.iter().any(|t| t == name);
    let help = node.and_then(|node| {
        let written = file
            .text
            .get(node.span.start..node.span.end)
            .unwrap_or_default();
        match &node.value {
            Value::String(text) if wants("integer") || wants("number") => text
                .trim()
                .parse::<i64>()
                .ok()
                .map(|number| format!("write {number}, without quotes")),
            Value::String(text) if wants("boolean") => match text.to_lowercase().as_str() {
                "true" | "yes" | "on" => Some("write true".to_owned()),
                "false" | "no" | "off" => Some("write false".to_owned()),
                _ => None,
            },
            Value::Int(_) | Value::Float(_) | Value::Bool(_) if wants("string") => {
                Some(format!("put it in quotes: \"{written}\""))
            }
            Value::Null if wants("string") => {
                Some("write \"\" for no text, or remove it".to_owned())
            }
            Value::String(text) if wants("array") => {
                let items: Vec<String> = text
                    .split_whitespace()
                    .map(|word| format!("{word:?}"))
                    .collect();
                (items.len() < 12).then(|| format!("write it as a list: [{}]", items.join(", ")))
            }
            Value::Int(_) | Value::Bool(_) | Value::Map(_) if wants("array") => {
                Some("write it as a list, with `-` in front".to_owned())
            }
            _ => None,
        }
    });
    (words.join(" or "), help)
}

/// What to do about an unknown member, and the pointer token of the member that was meant.
fn unknown(name: &str, about: About<'_>, pointer: &str) -> (Vec<String>, Option<String>) {
    let Some(catalogue) = about.catalogue() else {
        let near = nearest(name, ["name", "labels", "annotations"]);
        return (
            vec![near.map_or_else(
                || {
                    format!(
                        "its members are {}",
                        listed(["name", "labels", "annotations"])
                    )
                },
                |near| format!("did you mean `{near}`?"),
            )],
            near.map(str::to_owned),
        );
    };
    let here = table_path(pointer);
    let siblings = catalogue.children.get(here.as_str());
    let siblings = siblings.into_iter().flatten().map(String::as_str);
    if let Some(near) = nearest(name, siblings.clone()) {
        return (
            vec![format!("did you mean `{near}`?")],
            Some(near.to_owned()),
        );
    }
    if let About::Kind(kind) = about
        && here.is_empty()
        && schema::output_only(kind).contains(&name)
    {
        return (
            vec!["ECS prints it but does not take it: remove it".into()],
            None,
        );
    }
    let elsewhere = catalogue
        .by_path
        .keys()
        .filter(|path| path.rsplit('.').next() == Some(name))
        .min_by_key(|path| (path.matches('.').count(), path.len()));
    if let Some(path) = elsewhere {
        let help = match path.rsplit_once('.') {
            Some((above, _)) => format!("`{name}` stands under `{above}`"),
            None => format!("`{name}` is a member of {} itself", about.the()),
        };
        return (vec![help], None);
    }
    let other = Kind::ALL
        .into_iter()
        .filter(|_| matches!(about, About::Kind(_)))
        .find(|other| Catalogue::of(*other).by_path.contains_key(name));
    if let Some(other) = other {
        return (
            vec![format!("`{name}` is a member of a {}", other.noun())],
            None,
        );
    }
    let all: Vec<&str> = siblings.collect();
    let help = if all.len() <= 12 {
        format!("its members are {}", listed(all))
    } else {
        format!("`longshore schema {}` prints what there is", about.schema())
    };
    (vec![help], None)
}
