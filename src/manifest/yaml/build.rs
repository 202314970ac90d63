//! From the parser's events to the tree: what is awaited, what is complete, and what is wrong with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Marker, ScalarStyle, Tag};

use super::place::Places;
use super::scalar::{OutOfRange, resolve};
use super::syntax::syntax;
use super::{Entry, MAX_DEPTH, MAX_EXPANSION, Node, Parsed, Value};
use crate::diagnostic::{Diagnostic, Label, Severity, SourceFile, Span, codes};

/// The document cannot be read on; why is already among the diagnostics.
pub(super) struct Abandoned;

/// An anchored value that is complete.
struct Anchored {
    node: Node,
    /// The text as written, if it is a scalar: as a key, `1.0` is `1.0`.
    text: Option<String>,
    weight: usize,
    depth: usize,
}

/// A collection whose end has not come yet.
struct Frame {
    start: Span,
    end: usize,
    anchor: usize,
    flow: bool,
    content: Content,
}

enum Content {
    Seq(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        /// Made when the mapping is large, so that it does not take the square of its size.
        index: HashMap<String, usize>,
        key: Key,
    },
}

/// What a mapping awaits next.
enum Key {
    Awaited,
    Read(String, Span),
    /// The key was refused: its value is read and dropped.
    Refused,
}

pub(super) struct Builder<'f> {
    file: &'f Arc<SourceFile>,
    places: Places<'f>,
    pub(super) parsed: Parsed,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    names: BTreeMap<String, usize>,
    /// Bytes that anchors and aliases have expanded to, over the whole file.
    expanded: usize,
    too_large: bool,
    errors_before: usize,
    root: Option<Node>,
}

const LARGE_MAP: usize = 16;

impl<'f> Builder<'f> {
    pub(super) fn new(file: &'f Arc<SourceFile>) -> Self {
        Self {
            file,
            places: Places::of(&file.text),
            parsed: Parsed::default(),
            stack: Vec::new(),
            anchors: HashMap::new(),
            names: BTreeMap::new(),
            expanded: 0,
            too_large: false,
            errors_before: 0,
            root: None,
        }
    }

    /// Forgets the document that is being read.
    pub(super) fn abandon(&mut self) {
        self.stack.clear();
        self.anchors.clear();
        self.names.clear();
        self.root = None;
    }

    pub(super) fn event(
        &mut self,
        event: Event<'_>,
        at: granit_parser::Span,
    ) -> Result<(), Abandoned> {
        match event {
            Event::DocumentStart(_, version) => {
                self.abandon();
                self.errors_before = self.parsed.diagnostics.len();
                if let Some(version) = version.filter(|v| (v.major, v.minor) != (1, 2)) {
                    let span = self.places.span(at);
                    self.report(
                        codes::YAML_VERSION,
                        Severity::Warning,
                        format!(
                            "`%YAML {}.{}`: the document is read as YAML 1.2",
                            version.major, version.minor
                        ),
                        span,
                        &["remove the `%YAML` line"],
                    );
                }
            }
            Event::DocumentEnd => {
                let broken = self.parsed.diagnostics[self.errors_before..]
                    .iter()
                    .any(|d| d.severity == Severity::Error);
                if let Some(root) = self.root.take() {
                    if broken {
                        self.parsed.broken.push(self.parsed.documents.len());
                    }
                    self.parsed.documents.push(root);
                }
                self.abandon();
            }
            Event::Anchor(id, name) => {
                self.names.insert(name.into_owned(), id);
            }
            Event::Alias(id) => self.alias(id, at)?,
            Event::UnresolvedAlias(name) => self.unresolved(&name, at),
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), at);
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", at);
                let flow = style == granit_parser::StructureStyle::Flow;
                self.open(Content::Seq(Vec::new()), flow, anchor, at)?;
            }
            Event::MappingStart(style, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", at);
                let content = Content::Map {
                    entries: Vec::new(),
                    index: HashMap::new(),
                    key: Key::Awaited,
                };
                let flow = style == granit_parser::StructureStyle::Flow;
                self.open(content, flow, anchor, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            _ => {}
        }
        Ok(())
    }

    fn open(
        &mut self,
        content: Content,
        flow: bool,
        anchor: usize,
        at: granit_parser::Span,
    ) -> Result<(), Abandoned> {
        let start = self.places.span(at);
        if self.stack.len() >= MAX_DEPTH {
            self.too_deep(start);
            return Err(Abandoned);
        }
        self.stack.push(Frame {
            start,
            end: start.start,
            anchor,
            flow,
            content,
        });
        Ok(())
    }

    fn close(&mut self, at: granit_parser::Span) {
        let Some(frame) = self.stack.pop() else {
            return;
        };
        // A block collection ends where its last value does, not where the next token begins.
        let end = if frame.flow {
            self.places.span(at).end
        } else {
            frame.end
        };
        let value = match frame.content {
            Content::Seq(items) => Value::Seq(items),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        let span = Span {
            end: end.max(frame.start.start),
            ..frame.start
        };
        self.attach(Node { span, value }, None, frame.anchor);
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: granit_parser::Span,
    ) {
        let mut span = self.places.span(at);
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            let written = self.file.text.get(span.start..span.end).unwrap_or_default();
            span.end = span.start + written.trim_end().len();
        }
        let plain = style == ScalarStyle::Plain;
        // The parser writes `~` for a value that is not there.
        let text = if plain && span.start == span.end {
            ""
        } else {
            text
        };
        if self.stack.is_empty() && plain && text.is_empty() && anchor == 0 && tag.is_none() {
            return; // An empty document.
        }
        if self.awaits_key() {
            if plain && text == "<<" && tag.is_none() {
                self.report(
                    codes::MERGE_KEY,
                    Severity::Error,
                    "`<<` is a merge key of YAML 1.1; YAML 1.2 has none".into(),
                    span,
                    &[
                        "write the members out here, or repeat a whole value with an alias",
                        "if a member is really called `<<`, put it in quotes",
                    ],
                );
                self.set_key(Key::Refused);
                return;
            }
            let node = Node {
                span,
                value: Value::String(text.to_owned()),
            };
            self.attach(node, Some(text.to_owned()), anchor);
            return;
        }
        if plain && text.is_empty() && tag.is_none() && anchor == 0 {
            span = self.after_key().unwrap_or(span);
        }
        let value = match tag {
            None if plain => self.plain(text, span),
            None => Value::String(text.to_owned()),
            Some(tag) => self.tagged(text, tag, at, span),
        };
        self.attach(Node { span, value }, Some(text.to_owned()), anchor);
    }

    /// A plain scalar by the core schema.
    fn plain(&mut self, text: &str, span: Span) -> Value {
        match resolve(text) {
            Ok(value) => value,
            Err(OutOfRange) => {
                self.report(
                    codes::NUMBER_RANGE,
                    Severity::Error,
                    format!("the number {text} cannot be held exactly"),
                    span,
                    &["put it in quotes if it is an identifier and no number"],
                );
                Value::Null
            }
        }
    }

    fn tagged(&mut self, text: &str, tag: &Tag, at: granit_parser::Span, span: Span) -> Value {
        let wanted = if tag.handle().is_empty() && tag.suffix() == "!" {
            Some("str") // `! x`: the non-specific tag makes any scalar a string.
        } else {
            tag.core_suffix()
        };
        let fits = match (wanted, resolve(text)) {
            (Some("str"), _) => return Value::String(text.to_owned()),
            (Some("null"), Ok(value @ Value::Null))
            | (Some("bool"), Ok(value @ Value::Bool(_)))
            | (Some("int"), Ok(value @ Value::Int(_)))
            | (Some("float"), Ok(value @ Value::Float(_))) => Some(value),
            #[expect(clippy::cast_precision_loss, reason = "the author asked for a float")]
            (Some("float"), Ok(Value::Int(value))) => Some(Value::Float(value as f64)),
            _ => None,
        };
        if let Some(value) = fits {
            return value;
        }
        self.bad_tag(tag, at, span);
        Value::String(text.to_owned())
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, wanted: &str, at: granit_parser::Span) {
        if let Some(tag) = tag
            && !tag.is_yaml_core_schema_tag(wanted)
            && !(tag.handle().is_empty() && tag.suffix() == "!")
        {
            let span = self.places.span(at);
            self.bad_tag(tag, at, span);
        }
    }

    fn bad_tag(&mut self, tag: &Tag, at: granit_parser::Span, span: Span) {
        let place = at.tag_span().map_or(span, |tag| self.places.span(tag));
        let written = tag.original();
        let help = if tag.is_custom() {
            "write the value itself: templates such as CloudFormation's are not evaluated"
        } else {
            "remove the tag, or write a value that fits it"
        };
        self.report(
            codes::UNKNOWN_TAG,
            Severity::Error,
            format!("the tag `{written}` has no meaning here"),
            place,
            &[help],
        );
    }

    fn alias(&mut self, id: usize, at: granit_parser::Span) -> Result<(), Abandoned> {
        let span = self.places.span(at);
        let Some(anchored) = self.anchors.get(&id) else {
            if !self.too_large {
                self.report(
                    codes::RECURSIVE_ALIAS,
                    Severity::Error,
                    format!("`{}` is inside of what it repeats", self.slice(span)),
                    span,
                    &["move the anchor to the part that is meant"],
                );
            }
            self.attach_null(span);
            return Ok(());
        };
        let (weight, depth) = (anchored.weight, anchored.depth);
        if self.stack.len() + depth > MAX_DEPTH {
            self.too_deep(span);
            return Err(Abandoned);
        }
        if !self.expand(weight, span) {
            self.attach_null(span);
            return Ok(());
        }
        let anchored = &self.anchors[&id];
        let (value, text) = (anchored.node.value.clone(), anchored.text.clone());
        self.attach(Node { span, value }, text, 0);
        Ok(())
    }

    fn unresolved(&mut self, name: &str, at: granit_parser::Span) {
        let span = self.places.span(at);
        let mut help = Vec::new();
        if let Some(near) = nearest(name, self.names.keys().map(String::as_str)) {
            help.push(format!("there is an anchor `&{near}`"));
        } else {
            help.push(format!(
                "mark the value to repeat with `&{name}`, earlier in this document"
            ));
        }
        help.push("put the value in quotes if it is meant to begin with `*`".to_owned());
        let help: Vec<&str> = help.iter().map(String::as_str).collect();
        self.report(
            codes::UNKNOWN_ALIAS,
            Severity::Error,
            format!("the alias `*{name}` names no anchor"),
            span,
            &help,
        );
        self.attach_null(span);
    }

    /// Books `weight` bytes of copies; false when that is too much, which is said once a file.
    fn expand(&mut self, weight: usize, span: Span) -> bool {
        self.expanded = self.expanded.saturating_add(weight);
        if self.expanded <= MAX_EXPANSION {
            return true;
        }
        if !self.too_large {
            self.too_large = true;
            self.report(
                codes::ALIAS_TOO_LARGE,
                Severity::Error,
                "anchors and aliases expand to more than 8 MiB".into(),
                span,
                &["write the values out, or repeat less"],
            );
        }
        false
    }

    /// In place of a value that cannot be had; as a key it is refused.
    fn attach_null(&mut self, span: Span) {
        if self.awaits_key() {
            self.set_key(Key::Refused);
        } else {
            let value = Value::Null;
            self.attach(Node { span, value }, None, 0);
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Frame {
                content: Content::Map {
                    key: Key::Awaited,
                    ..
                },
                ..
            })
        )
    }

    fn set_key(&mut self, to: Key) {
        if let Some(Frame {
            content: Content::Map { key, .. },
            ..
        }) = self.stack.last_mut()
        {
            *key = to;
        }
    }

    /// The place right after `key:`, where a value that is not written belongs.
    fn after_key(&self) -> Option<Span> {
        let Content::Map {
            key: Key::Read(_, key),
            ..
        } = &self.stack.last()?.content
        else {
            return None;
        };
        let rest = self.file.text.get(key.end..)?;
        let gap = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let colon = if rest[gap..].starts_with(':') {
            gap + 1
        } else {
            0
        };
        let at = key.end + colon;
        let (line, column) = key.end_in(&self.file.text);
        Some(Span {
            start: at,
            end: at,
            line,
            column: column.saturating_add(u32::try_from(colon).unwrap_or(u32::MAX)),
        })
    }

    /// Hands a complete value to the collection that it is in. `text` is its text, if it is a scalar.
    fn attach(&mut self, node: Node, text: Option<String>, anchor: usize) {
        if anchor != 0 {
            let (weight, depth) = node.measure();
            if self.expand(weight, node.span) {
                let anchored = Anchored {
                    node: node.clone(),
                    text: text.clone(),
                    weight,
                    depth,
                };
                self.anchors.insert(anchor, anchored);
            }
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        frame.end = frame.end.max(node.span.end);
        match &mut frame.content {
            Content::Seq(items) => items.push(node),
            Content::Map {
                entries,
                index,
                key,
            } => match std::mem::replace(key, Key::Awaited) {
                Key::Refused => {}
                Key::Read(name, key_span) => {
                    entries.push(Entry {
                        key: name,
                        key_span,
                        value: node,
                    });
                    if entries.len() > LARGE_MAP {
                        for (position, entry) in entries.iter().enumerate().skip(index.len()) {
                            index.insert(entry.key.clone(), position);
                        }
                    }
                }
                Key::Awaited => {
                    let Some(name) = text else {
                        *key = Key::Refused;
                        self.complex_key(node.span);
                        return;
                    };
                    let first = if entries.len() > LARGE_MAP {
                        index.get(&name).copied()
                    } else {
                        entries.iter().position(|entry| entry.key == name)
                    };
                    if let Some(first) = first {
                        let first = entries[first].key_span;
                        *key = Key::Refused;
                        self.duplicate_key(&name, node.span, first);
                    } else {
                        *key = Key::Read(name, node.span);
                    }
                }
            },
        }
    }

    fn duplicate_key(&mut self, name: &str, second: Span, first: Span) {
        self.report(
            codes::DUPLICATE_KEY,
            Severity::Error,
            format!("the key `{name}` is here twice"),
            second,
            &["keep one of the two"],
        );
        let file = Arc::clone(self.file);
        if let Some(diagnostic) = self.parsed.diagnostics.last_mut() {
            diagnostic.primary.text = "the second".into();
            diagnostic.related.push(Label {
                file,
                span: first,
                text: "the first is here".into(),
            });
        }
    }

    fn complex_key(&mut self, span: Span) {
        let template = self.file.text[..span.start].ends_with('{')
            && self.file.text[span.start..].starts_with('{');
        let help = if template {
            "render the template first: `{{ … }}` is a mapping to YAML"
        } else {
            "a key is a name: put it in quotes if it is meant as text"
        };
        self.report(
            codes::COMPLEX_KEY,
            Severity::Error,
            "a mapping or list cannot be a key".into(),
            span,
            &[help],
        );
    }

    fn too_deep(&mut self, span: Span) {
        self.report(
            codes::TOO_DEEP,
            Severity::Error,
            format!("nested deeper than {MAX_DEPTH}"),
            span,
            &["flatten the document"],
        );
    }

    pub(super) fn syntax_error(&mut self, kind: &ErrorKind, at: &Marker) {
        let span = self.places.point(at);
        if matches!(kind, ErrorKind::RecursionLimitExceeded) {
            self.too_deep(span);
            return;
        }
        let (message, help) = syntax(kind);
        self.report(codes::YAML_SYNTAX, Severity::Error, message, span, help);
    }

    fn report(
        &mut self,
        code: &'static str,
        severity: Severity,
        message: String,
        span: Span,
        help: &[&str],
    ) {
        self.parsed.diagnostics.push(Diagnostic {
            code,
            severity,
            message,
            primary: Label {
                file: Arc::clone(self.file),
                span,
                text: String::new(),
            },
            related: Vec::new(),
            help: help.iter().map(|&line| line.to_owned()).collect(),
        });
    }

    fn slice(&self, span: Span) -> &str {
        self.file.text.get(span.start..span.end).unwrap_or_default()
    }
}

/// The name of `names` that `name` was most likely meant to be.
fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
