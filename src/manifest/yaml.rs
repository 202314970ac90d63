//! YAML 1.2 core (and so JSON) as a tree in which every key and value knows its place.
//!
//! Stricter than most readers where leniency hides mistakes: a duplicate key is an error, `yes`, `no`, `on` and `off` are
//! strings, there is no merge key, tags other than YAML's own are refused, and numbers that JSON cannot hold are errors.
//! Aliases are expanded within a bound, and nesting is bounded. Nothing here knows what a manifest is.

use std::sync::Arc;

use granit_parser::Parser;

use crate::diagnostic::{Diagnostic, SourceFile, Span};

mod build;
mod place;
mod scalar;
mod syntax;

use build::Builder;

/// How deep mappings and lists may be nested, aliases expanded.
pub const MAX_DEPTH: usize = 128;

/// How many bytes the anchors and aliases of one file may expand to; a value counts 32 and its text.
pub const MAX_EXPANSION: usize = 8 * 1024 * 1024;

/// A value and where it is written. An alias's own place is the alias; what is inside of it is at the anchor.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it is written; of a block mapping or list, from its first key to the end of its last value.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// A YAML value by the core schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer; one beyond 64 bits is an error, never rounded.
    Int(i64),
    /// Any other number; always finite.
    Float(f64),
    /// Text, quoted or plain.
    String(String),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping in the order written; keys are unique.
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key's text; a number or boolean is the text as written.
    pub key: String,
    /// Where the key is written.
    pub key_span: Span,
    /// Its value.
    pub value: Node,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parsed {
    /// Its documents in order, the empty ones left out. A document that broke off at a syntax error is not here; one
    /// with another finding is, so that whatever else is wrong with it can be found in the same go.
    pub documents: Vec<Node>,
    /// Indices into `documents` of those that must not be used, because an error lies in them.
    pub broken: Vec<usize>,
    /// What was found, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Node {
    /// The value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of `key`, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The node at a JSON pointer (RFC 6901); the empty pointer is this node.
    pub fn pointer(&self, json_pointer: &str) -> Option<&Node> {
        let mut node = self;
        for token in tokens(json_pointer)? {
            node = match &node.value {
                Value::Map(_) => node.get(&token)?,
                Value::Seq(items) => items.get(token.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// Where the last key of a JSON pointer is written; none for the empty pointer and for an item of a list.
    pub fn key_span(&self, json_pointer: &str) -> Option<Span> {
        let (parent, _) = json_pointer.rsplit_once('/')?;
        let last = tokens(json_pointer)?.pop()?;
        Some(self.pointer(parent)?.entry(&last)?.key_span)
    }

    /// The same value as JSON, without the places.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            Value::Float(value) => Json::from(*value),
            Value::String(text) => Json::String(text.clone()),
            Value::Seq(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_json()))
                    .collect(),
            ),
        }
    }

    /// Bytes that a copy counts for, and how deep it is.
    fn measure(&self) -> (usize, usize) {
        match &self.value {
            Value::String(text) => (32 + text.len(), 0),
            Value::Seq(items) => {
                let (weight, depth) = items.iter().map(Node::measure).fold((32, 0), both);
                (weight, depth + 1)
            }
            Value::Map(entries) => {
                let (weight, depth) = entries
                    .iter()
                    .map(|entry| {
                        let (weight, depth) = entry.value.measure();
                        (weight + 32 + entry.key.len(), depth)
                    })
                    .fold((32, 0), both);
                (weight, depth + 1)
            }
            _ => (32, 0),
        }
    }
}

fn both((weight, depth): (usize, usize), (more, below): (usize, usize)) -> (usize, usize) {
    (weight + more, depth.max(below))
}

/// The unescaped tokens of a JSON pointer; none if it is not one.
fn tokens(json_pointer: &str) -> Option<Vec<String>> {
    if json_pointer.is_empty() {
        return Some(Vec::new());
    }
    Some(
        json_pointer
            .strip_prefix('/')?
            .split('/')
            .map(|token| token.replace("~1", "/").replace("~0", "~"))
            .collect(),
    )
}

/// Reads every document of a file. Never fails: what is wrong is in `diagnostics`.
pub fn parse(file: &Arc<SourceFile>) -> Parsed {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut parser = Parser::new_from_str_with_options(&file.text, options);
    let mut builder = Builder::new(file);
    loop {
        match parser.next_event() {
            None => break,
            Some(Ok((event, span))) => {
                if builder.event(event, span).is_err() {
                    builder.abandon();
                    if !matches!(parser.proceed_next_document(), Ok(true)) {
                        break;
                    }
                }
            }
            Some(Err(error)) => {
                builder.syntax_error(error.kind(), error.marker());
                builder.abandon();
                // A second failure while looking for the next document would be about the same place.
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    builder.parsed
}

#[cfg(test)]
mod tests;
