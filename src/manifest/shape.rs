//! Is a document what its schema says? Every finding of the validator, in words, at its place.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value as Json;

use super::document::{Document, in_words};
use super::report::{self, Reporting, finding, listed, nearest};
use super::schema::{self, Member};
use super::types::Kind;
use super::yaml::{Node, Value};
use crate::diagnostic::{Diagnostic, Severity, SourceFile, Span, codes};

/// What a document is, for sentences about it and for what to suggest.
#[derive(Clone, Copy)]
enum About<'a> {
    /// The spec of a manifest.
    Kind(Kind),
    /// The `metadata` of one.
    Metadata,
    /// No manifest.
    Other(&'a OtherShape),
}

impl<'a> About<'a> {
    fn catalogue(self) -> Option<&'a Catalogue> {
        match self {
            Self::Kind(kind) => Some(Catalogue::of(kind)),
            Self::Metadata => None,
            Self::Other(other) => Some(&other.catalogue),
        }
    }

    fn noun(self) -> String {
        match self {
            Self::Kind(kind) => format!("a {}", kind.noun()),
            Self::Metadata => "`metadata`".to_owned(),
            Self::Other(other) => format!("a {}", other.noun),
        }
    }

    fn the(self) -> String {
        match self {
            Self::Kind(kind) => format!("the {}", kind.noun()),
            Self::Metadata => "`metadata`".to_owned(),
            Self::Other(other) => format!("the {}", other.noun),
        }
    }

    /// What `longshore schema` calls it.
    fn schema(self) -> String {
        match self {
            Self::Kind(kind) => kind.to_string(),
            Self::Metadata => String::new(),
            Self::Other(other) => other.noun.to_owned(),
        }
    }
}

/// The shape of files that people write and that are no manifests, checked in the same words.
pub struct OtherShape {
    noun: &'static str,
    validator: Validator,
    catalogue: Catalogue,
}

impl OtherShape {
    /// What people call such a file, and its schema as [`schema::of`] makes it.
    ///
    /// # Panics
    /// When that is no schema.
    pub fn new(noun: &'static str, schema: &Json) -> Self {
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .build(schema)
            .unwrap_or_else(|error| panic!("the schema of a {noun} compiles: {error}"));
        Self {
            noun,
            validator,
            catalogue: Catalogue::from(schema::members_of(schema)),
        }
    }

    /// Checks a document; `true` when it is of this shape.
    pub fn check(&self, file: &Arc<SourceFile>, root: &Node, found: &mut Vec<Diagnostic>) -> bool {
        let mut json = root.to_json();
        remove_null(&mut json);
        let (place, before) = (Place { file, root, at: "" }, found.len());
        report_all(&self.validator, About::Other(self), &place, &json, found);
        found.len() == before
    }
}

/// Where what is validated is written.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The file.
    pub file: &'a Arc<SourceFile>,
    /// A node of it.
    pub root: &'a Node,
    /// JSON pointer from `root` to what is validated.
    pub at: &'a str,
}

impl Place<'_> {
    fn value(&self, pointer: &str) -> Span {
        report::value_span(self.file, self.root, &format!("{}{pointer}", self.at))
    }

    fn key(&self, pointer: &str) -> Span {
        report::key_span(self.file, self.root, &format!("{}{pointer}", self.at))
    }

    fn node(&self, pointer: &str) -> Option<&Node> {
        self.root.pointer(&format!("{}{pointer}", self.at))
    }
}

/// What is left of a spec whose shape is wrong.
pub struct Damage {
    /// The spec without what does not fit.
    pub mended: Json,
    /// JSON pointers of what was mended: members of the spec, and items of its lists.
    parts: BTreeSet<String>,
    /// Whether members of the spec itself were mended, added or taken out.
    whole: bool,
}

/// Rules about containers that look at members of the task itself.
const RULES_OF_THE_TASK: [&str; 11] = [
    codes::NO_MEMORY,
    codes::UNKNOWN_VOLUME,
    codes::HOST_PORT_DIFFERS,
    codes::PORTS_WITHOUT_NETWORK,
    codes::LINKS_OUTSIDE_BRIDGE,
    codes::HOST_NAME_IN_AWSVPC,
    codes::PORT_CLASH_IN_TASK,
    codes::PORT_RANGE,
    codes::HOST_IPC_SYSCTL,
    codes::SWAP_WITHOUT_MEMORY,
    codes::FARGATE,
];

impl Damage {
    /// Whether a finding of a rule stands although the spec is damaged: it is about what is whole.
    pub fn spares(&self, document: &Document, diagnostic: &Diagnostic) -> bool {
        let code = diagnostic.code;
        let may_follow = RULES_OF_THE_TASK.contains(&code)
            || (code == codes::MISSING_FIELD && document.kind != Kind::TaskDefinition);
        if self.whole && may_follow {
            return false;
        }
        let spans: Vec<Span> = self
            .parts
            .iter()
            .filter_map(|part| document.node(part))
            .map(|node| node.span)
            .collect();
        std::iter::once(&diagnostic.primary)
            .chain(&diagnostic.related)
            .all(|label| {
                !spans
                    .iter()
                    .any(|span| span.start <= label.span.start && label.span.start < span.end)
            })
    }
}

/// Checks a document's spec against the schema of its kind. None when it is of that shape.
pub fn check(document: &Document, found: &mut Vec<Diagnostic>) -> Option<Damage> {
    let kind = document.kind;
    let validator = schema::validator(kind);
    if validator.is_valid(&document.spec) {
        return None;
    }
    document
        .with_place(|place| report_all(validator, About::Kind(kind), place, &document.spec, found));
    Some(mend(kind, validator, &document.spec))
}

/// Checks `metadata`.
pub fn check_metadata(place: &Place<'_>, metadata: &Json, found: &mut Vec<Diagnostic>) {
    report_all(
        schema::metadata_validator(),
        About::Metadata,
        place,
        metadata,
        found,
    );
}

/// A spec without what does not fit its schema.
pub fn mended(kind: Kind, spec: &Json) -> Json {
    mend(kind, schema::validator(kind), spec).mended
}

/// Takes out what does not fit, puts in what must be there, and remembers where.
fn mend(kind: Kind, validator: &Validator, spec: &Json) -> Damage {
    let mut mended = spec.clone();
    let mut parts = BTreeSet::new();
    let mut whole = false;
    for error in validator.iter_errors(spec) {
        let pointer = error.instance_path().to_string();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                if let Some(Json::Object(members)) = mended.pointer_mut(&pointer) {
                    members.retain(|name, _| !unexpected.contains(name));
                }
            }
            ValidationErrorKind::Type { .. } | ValidationErrorKind::Enum { .. } => {
                if let Some(value) = mended.pointer_mut(&pointer) {
                    *value = match value.as_str().map(str::parse::<i64>) {
                        Some(Ok(number)) => Json::from(number),
                        _ => Json::Null,
                    };
                }
            }
            // The type still reads it.
            _ => {}
        }
        let tokens: Vec<&str> = pointer.split('/').skip(1).take(2).collect();
        match tokens.as_slice() {
            [list, index] if index.parse::<usize>().is_ok() => {
                parts.insert(format!("/{list}/{index}"));
            }
            [member, ..] => {
                parts.insert(format!("/{member}"));
                whole = true;
            }
            [] => whole = true,
        }
    }
    remove_null(&mut mended);
    fill(Catalogue::of(kind), validator, &mut mended);
    Damage {
        mended,
        parts,
        whole,
    }
}

/// How often an object that was filled in may lack something in turn.
const FILLINGS: usize = 8;

/// Puts something of the right type where a member must be that is missing, or was taken out: without it the whole document
/// could not be read, and nothing else that is wrong in it would be found.
fn fill(catalogue: &Catalogue, validator: &Validator, mended: &mut Json) {
    for _ in 0..FILLINGS {
        let missing: Vec<(String, String)> = validator
            .iter_errors(mended)
            .filter_map(|error| match error.kind() {
                ValidationErrorKind::Required { property } => Some((
                    error.instance_path().to_string(),
                    property.as_str()?.to_owned(),
                )),
                _ => None,
            })
            .collect();
        if missing.is_empty() {
            return;
        }
        for (pointer, name) in missing {
            let member = catalogue.member(&format!("{pointer}/{name}"));
            if let Some(Json::Object(members)) = mended.pointer_mut(&pointer) {
                members.insert(name, member.map_or_else(empty_text, filler));
            }
        }
    }
}

fn empty_text() -> Json {
    Json::String(String::new())
}

/// The least that a member's type reads.
fn filler(member: &Member) -> Json {
    let first = member.schema.get("enum").and_then(|options| options.get(0));
    if let Some(first) = first {
        return first.clone();
    }
    let kind = member.schema.get("type");
    // Of several types any will do.
    let kind = kind.and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    match kind {
        Some("integer" | "number") => member.schema.get("minimum").cloned().unwrap_or(0.into()),
        Some("boolean") => Json::Bool(false),
        Some("array") => Json::Array(Vec::new()),
        Some("object") => Json::Object(serde_json::Map::new()),
        _ => empty_text(),
    }
}

fn remove_null(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(remove_null);
        }
        Json::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(remove_null);
        }
        _ => {}
    }
}

fn report_all(
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

/// The path in tables of what is at a JSON pointer.
fn table_path(pointer: &str) -> String {
    pointer
        .split('/')
        .skip(1)
        .fold(String::new(), |mut path, token| {
            if token.parse::<usize>().is_ok() {
                path.push_str("[]");
            } else {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(token);
            }
            path
        })
}

/// The members of a kind, ready to be looked up when something is wrong.
struct Catalogue {
    by_path: HashMap<String, Member>,
    children: HashMap<String, Vec<String>>,
}

impl Catalogue {
    fn of(kind: Kind) -> &'static Self {
        static ALL: [OnceLock<Catalogue>; 3] = [const { OnceLock::new() }; 3];
        ALL[kind as usize].get_or_init(|| Self::from(schema::members(kind)))
    }

    fn from(members: Vec<Member>) -> Self {
        let mut children: HashMap<String, Vec<String>> = HashMap::new();
        let mut by_path = HashMap::new();
        for member in members {
            let (above, name) = member.path.rsplit_once('.').unwrap_or(("", &member.path));
            children
                .entry(above.to_owned())
                .or_default()
                .push(name.to_owned());
            by_path.insert(member.path.clone(), member);
        }
        Self { by_path, children }
    }

    fn member(&self, pointer: &str) -> Option<&Member> {
        self.by_path.get(&table_path(pointer))
    }
}

#[cfg(test)]
#[path = "shape/tests.rs"]
mod tests;
