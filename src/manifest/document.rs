//! Which documents of a file are manifests, and of what: the envelope, plain ECS, or what `aws ecs describe-…` prints.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::report::{self, Reporting, finding, listed, nearest};
use super::schema;
use super::shape::{Place, check_metadata};
use super::types::{API_VERSION, Kind};
use super::yaml::{Node, Value};
use crate::diagnostic::{Diagnostic, Severity, SourceFile, Span, codes};

/// The members of the envelope.
const ENVELOPE: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// One manifest of a file, not yet checked beyond its envelope.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file that it is in.
    pub file: Arc<SourceFile>,
    /// The whole YAML document.
    root: Arc<Node>,
    /// JSON pointer of the spec in `root`.
    at: String,
    /// What it declares.
    pub kind: Kind,
    /// The resource's name, unless it is missing or no text.
    pub name: Option<String>,
    /// Where the name is written, or would be.
    pub name_span: Span,
    /// `metadata` as JSON; of a plain document, its name.
    pub metadata: Map<String, Json>,
    /// The spec as strict JSON: no `null`, no output-only members, the name in it.
    pub spec: Json,
    /// Whether it has no envelope.
    pub plain: bool,
}

impl Document {
    /// Line and column where the document begins.
    pub fn start(&self) -> Span {
        match self.root.pointer(&self.at) {
            Some(node) if self.plain => report::head(&self.file, node),
            _ => report::head(&self.file, &self.root),
        }
    }

    /// Where the value at a JSON pointer of the spec is written, or what is nearest above it.
    pub fn value(&self, pointer: &str) -> Span {
        report::value_span(&self.file, &self.root, &format!("{}{pointer}", self.at))
    }

    /// Where the key at a JSON pointer of the spec is written, or what is nearest above it.
    pub fn key(&self, pointer: &str) -> Span {
        report::key_span(&self.file, &self.root, &format!("{}{pointer}", self.at))
    }

    /// The JSON pointer, in the whole YAML document, of what is at `pointer` of the spec.
    pub fn pointer(&self, pointer: &str) -> String {
        format!("{}{pointer}", self.at)
    }

    /// The node at a JSON pointer of the spec.
    pub fn node(&self, pointer: &str) -> Option<&Node> {
        self.root.pointer(&format!("{}{pointer}", self.at))
    }

    /// Calls `check` with where the spec is written.
    pub fn with_place<T>(&self, check: impl FnOnce(&Place<'_>) -> T) -> T {
        check(&Place {
            file: &self.file,
            root: &self.root,
            at: &self.at,
        })
    }

    /// An error at a place of this document.
    pub fn error(&self, code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        finding(code, Severity::Error, &self.file, span, message)
    }

    /// A warning at a place of this document.
    pub fn warning(
        &self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> Diagnostic {
        finding(code, Severity::Warning, &self.file, span, message)
    }

    /// The document in the envelope, as it is kept as last good. Its order of keys is always the same.
    pub fn enveloped(&self) -> Json {
        json!({
            "apiVersion": API_VERSION,
            "kind": self.kind.as_str(),
            "metadata": self.metadata,
            "spec": self.spec,
        })
    }

    /// `metadata.labels`.
    pub fn labels(&self) -> BTreeMap<String, String> {
        labels_of(&self.metadata)
    }
}

/// The labels of a `metadata` object.
pub fn labels_of(metadata: &Map<String, Json>) -> BTreeMap<String, String> {
    metadata
        .get("labels")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Reads one YAML document: no manifest (with the reason in `found`), one, or the several of a `describe-…` answer.
pub fn read(file: &Arc<SourceFile>, root: Node, found: &mut Vec<Diagnostic>) -> Vec<Document> {
    let root = Arc::new(root);
    let Value::Map(entries) = &root.value else {
        found.push(
            finding(
                codes::NOT_A_MANIFEST,
                Severity::Error,
                file,
                report::head(file, &root),
                format!(
                    "a manifest is a mapping, and this is {}",
                    in_words(&root.value)
                ),
            )
            .help("put other files outside of the folder, or begin their names with a dot"),
        );
        return Vec::new();
    };
    let has = |key: &str| root.get(key).is_some();
    if has("apiVersion") || has("kind") || (has("metadata") && has("spec")) {
        return envelope(file, &root, found).into_iter().collect();
    }
    let is_map = |key: &str| matches!(root.get(key).map(|n| &n.value), Some(Value::Map(_)));
    let is_list = |key: &str| matches!(root.get(key).map(|n| &n.value), Some(Value::Seq(_)));
    let plain = |kind, at: &str, found: &mut Vec<Diagnostic>| {
        plain_document(file, &root, kind, at.to_owned(), found)
    };
    for (kind, one, many) in [
        (Kind::TaskDefinition, "taskDefinition", "taskDefinitions"),
        (Kind::Service, "service", "services"),
        (Kind::Cluster, "cluster", "clusters"),
    ] {
        if is_map(one) && !has("containerDefinitions") {
            return plain(kind, &format!("/{one}"), found).into_iter().collect();
        }
        if is_list(many) {
            let count = match root.get(many).map(|node| &node.value) {
                Some(Value::Seq(items)) => items.len(),
                _ => 0,
            };
            return (0..count)
                .filter_map(|i| plain(kind, &format!("/{many}/{i}"), found))
                .collect();
        }
    }
    let kind = if has("containerDefinitions") || has("family") {
        Kind::TaskDefinition
    } else if has("serviceName") {
        Kind::Service
    } else if has("clusterName") {
        Kind::Cluster
    } else {
        let names = entries.iter().map(|entry| entry.key.as_str());
        let near = names
            .filter_map(|name| {
                nearest(
                    name,
                    [
                        "apiVersion",
                        "kind",
                        "containerDefinitions",
                        "family",
                        "serviceName",
                    ],
                )
            })
            .next();
        found.push(
            finding(
                codes::NOT_A_MANIFEST,
                Severity::Error,
                file,
                report::head(file, &root),
                "this is neither a manifest in Longshore's envelope nor a task definition, service or cluster of ECS",
            )
            .help(near.map(|name| format!("did you mean `{name}`?")).unwrap_or_default())
            .help(format!("begin it with `apiVersion: {API_VERSION}` and `kind: …`"))
            .help("put other files outside of the folder, or begin their names with a dot"),
        );
        return Vec::new();
    };
    plain(kind, "", found).into_iter().collect()
}

/// A value in words, for *…, and this is a list*.
pub fn in_words(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::String(_) => "text",
        Value::Seq(_) => "a list",
        Value::Map(_) => "a mapping",
    }
}

fn envelope(
    file: &Arc<SourceFile>,
    root: &Arc<Node>,
    found: &mut Vec<Diagnostic>,
) -> Option<Document> {
    let start = report::head(file, root);
    let error = |code, span, message: String| finding(code, Severity::Error, file, span, message);
    let present = |key: &str| root.get(key).filter(|node| node.value != Value::Null);

    match present("apiVersion") {
        None => found.push(
            error(
                codes::MISSING_FIELD,
                start,
                "`apiVersion` is missing".into(),
            )
            .help(format!("add `apiVersion: {API_VERSION}`")),
        ),
        Some(node) if node.as_str() == Some(API_VERSION) => {}
        Some(node) => {
            let span = report::head(file, node);
            let problem = match node.as_str() {
                Some(other) if other.starts_with("longshore/") => error(
                    codes::NEWER_VERSION,
                    span,
                    format!("this Longshore does not know the format `{other}`"),
                )
                .help(format!("update Longshore, or write `{API_VERSION}`")),
                Some(other) => error(
                    codes::UNKNOWN_API_VERSION,
                    span,
                    format!("`{other}` is no apiVersion of Longshore's"),
                )
                .help(format!(
                    "write `{API_VERSION}`, or put the file outside of the folder"
                )),
                None => error(
                    codes::WRONG_TYPE,
                    span,
                    format!(
                        "`apiVersion` is text, and this is {}",
                        in_words(&node.value)
                    ),
                )
                .help(format!("write `{API_VERSION}`")),
            };
            // Whatever else is in it may mean something else in that format.
            found.push(problem);
            return None;
        }
    }
    if let Value::Map(entries) = &root.value {
        for entry in entries {
            if !ENVELOPE.contains(&entry.key.as_str()) {
                let near = nearest(&entry.key, ENVELOPE).map_or(
                    "members of the resource stand under `spec`".into(),
                    |name| format!("did you mean `{name}`?"),
                );
                found.push(
                    error(
                        codes::UNKNOWN_FIELD,
                        entry.key_span,
                        format!("a manifest has no member `{}`", entry.key),
                    )
                    .help(near)
                    .help(format!("its members are {}", listed(ENVELOPE))),
                );
            }
        }
    }
    let kind = match present("kind") {
        None => {
            found.push(
                error(codes::MISSING_FIELD, start, "`kind` is missing".into()).help(format!(
                    "add `kind`: {}",
                    listed(Kind::ALL.map(Kind::as_str))
                )),
            );
            None
        }
        Some(node) => match node.as_str() {
            Some(text) => {
                let kind = Kind::parse(text);
                if kind.is_none() {
                    let near = nearest(text, Kind::ALL.map(Kind::as_str))
                        .map(|name| format!("did you mean `{name}`?"))
                        .unwrap_or_default();
                    found.push(
                        error(
                            codes::UNKNOWN_KIND,
                            report::head(file, node),
                            format!("there is no kind `{text}`"),
                        )
                        .help(near)
                        .help(format!("kinds are {}", listed(Kind::ALL.map(Kind::as_str)))),
                    );
                }
                kind
            }
            None => {
                found.push(error(
                    codes::WRONG_TYPE,
                    report::head(file, node),
                    format!("`kind` is text, and this is {}", in_words(&node.value)),
                ));
                None
            }
        },
    };
    let before_metadata = found.len();
    let metadata_node = present("metadata");
    let metadata = match metadata_node {
        None => {
            found.push(
                error(codes::MISSING_FIELD, start, "`metadata` is missing".into())
                    .help("add `metadata` with the resource's `name`"),
            );
            Json::Null
        }
        Some(node) => {
            let json = strict_json(node);
            let place = Place {
                file,
                root: node,
                at: "",
            };
            check_metadata(&place, &json, found);
            json
        }
    };
    let name_is_good = found.len() == before_metadata;
    if present("spec").is_none() {
        found.push(
            error(codes::MISSING_FIELD, start, "`spec` is missing".into())
                .help("add `spec` with ECS's members, or `spec: {}`"),
        );
    }
    let (kind, spec_node) = (kind?, present("spec")?);
    let name = metadata
        .get("name")
        .and_then(Json::as_str)
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    let name_span = match metadata_node {
        Some(node) => report::value_span(file, node, "/name"),
        None => start,
    };
    let mut spec = strict_json(spec_node);
    let member = kind.name_member();
    if let (Some(name), Some(own)) = (&name, spec.get(member).and_then(Json::as_str))
        && name != own
    {
        let place = report::value_span(file, spec_node, &format!("/{member}"));
        found.push(
            error(
                codes::NAME_DISAGREES,
                place,
                format!("`{member}` is `{own}`, and `metadata.name` is `{name}`"),
            )
            .related(file, name_span, "the name of the manifest")
            .help(format!("remove `{member}`, or make the two the same")),
        );
    }
    // A name that is wrong has been reported where it stands.
    if let (Some(name), Some(members), true) = (&name, spec.as_object_mut(), name_is_good) {
        members.insert(member.to_owned(), Json::String(name.clone()));
    }
    Some(Document {
        file: Arc::clone(file),
        root: Arc::clone(root),
        at: "/spec".into(),
        kind,
        name,
        name_span,
        metadata: metadata.as_object().cloned().unwrap_or_default(),
        spec,
        plain: false,
    })
}

fn plain_document(
    file: &Arc<SourceFile>,
    root: &Arc<Node>,
    kind: Kind,
    at: String,
    found: &mut Vec<Diagnostic>,
) -> Option<Document> {
    let node = root.pointer(&at)?;
    let mut spec = strict_json(node);
    let Some(members) = spec.as_object_mut() else {
        found.push(finding(
            codes::WRONG_TYPE,
            Severity::Error,
            file,
            report::head(file, node),
            format!(
                "a {} is a mapping, and this is {}",
                kind.noun(),
                in_words(&node.value)
            ),
        ));
        return None;
    };
    if kind == Kind::Service
        && let Some(cluster) = members.get("clusterArn").cloned()
    {
        members.entry("cluster").or_insert(cluster);
    }
    for member in schema::output_only(kind) {
        members.remove(*member);
    }
    // `describe-task-definition --include TAGS` prints the tags beside the definition.
    if at == "/taskDefinition"
        && let Some(tags) = root.get("tags")
    {
        let tags = strict_json(tags);
        if tags.as_array().is_some_and(|tags| !tags.is_empty()) {
            members.entry("tags").or_insert(tags);
        }
    }
    let member = kind.name_member();
    let name = members
        .get(member)
        .and_then(Json::as_str)
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    if !members.contains_key(member) {
        found.push(
            finding(
                codes::MISSING_FIELD,
                Severity::Error,
                file,
                report::head(file, node),
                format!("`{member}` is missing"),
            )
            .help(format!("add `{member}`: it is the {}'s name", kind.noun())),
        );
    }
    let name_span = report::value_span(file, root, &format!("{at}/{member}"));
    let metadata = name
        .iter()
        .map(|name| ("name".to_owned(), Json::String(name.clone())))
        .collect();
    Some(Document {
        file: Arc::clone(file),
        root: Arc::clone(root),
        at,
        kind,
        name,
        name_span,
        metadata,
        spec,
        plain: true,
    })
}

/// A node as JSON in which `null` members are absent and whole numbers are integers, so that what means the same is the
/// same. A `null` in a list stays, and is found by the schema.
pub fn strict_json(node: &Node) -> Json {
    match &node.value {
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => {
            Json::from(*number as i64)
        }
        Value::Seq(items) => Json::Array(items.iter().map(strict_json).collect()),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .filter(|entry| entry.value.value != Value::Null)
                .map(|entry| (entry.key.clone(), strict_json(&entry.value)))
                .collect(),
        ),
        _ => node.to_json(),
    }
}
