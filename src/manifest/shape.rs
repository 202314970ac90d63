//! Is a document what its schema says? Every finding of the validator, in words, at its place.

use std::sync::Arc;

use jsonschema::Validator;
use serde_json::Value as Json;

use super::document::Document;
use super::report;
use super::schema;
use super::types::Kind;
use super::yaml::Node;
use crate::diagnostic::{Diagnostic, SourceFile, Span};

mod catalogue;
mod damage;
mod explain;

pub use damage::Damage;

use catalogue::Catalogue;
use damage::{mend, remove_null};
use explain::report_all;

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

#[cfg(test)]
#[path = "shape/tests.rs"]
mod tests;
