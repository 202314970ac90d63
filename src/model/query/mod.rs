//! ECS's Cluster Query Language: what `memberOf` says of the instances that a task may be placed on (semantics §3c).
//!
//! ```text
//! expr    = and { ("||" | "or") and }
//! and     = not { ("&&" | "and") not }
//! not     = { "!" | "not" } primary
//! primary = "(" expr ")" | subject operator [ argument ]
//! ```
//!
//! A literal is bare or in single quotes; a quote inside of quotes is written twice. What semantics §3c leaves open is
//! settled so:
//!
//! * A negative operator holds exactly where its positive one does not: `attribute:rack != a` holds for an instance that has
//!   no such attribute.
//! * `==`, `in` and `=~` about `task:group` hold where any task of the instance is in such a group.
//! * A regular expression must match the whole value, as Java's `String.matches` has it. The syntax is that of the `regex`
//!   crate, which is Java's without look-around and references back; it never takes more than linear time. Bare, it may hold
//!   balanced brackets.
//! * `>` and its like compare numbers as numbers, versions by their parts, and anything else as text.
//! * `ec2InstanceId` is the name of the instance. A date without an offset is UTC.

mod eval;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use eval::InstanceFacts;

use super::time::Timestamp;

/// Most characters of an expression (ECS).
pub const LONGEST: usize = 2000;
/// How deep parentheses and negations may be nested.
pub const DEEPEST: usize = 64;

/// A cluster query expression as written, parsed once. Cloning is cheap; equal is what is written alike.
#[derive(Clone)]
pub struct Query(Arc<Parsed>);

struct Parsed {
    text: String,
    expr: Result<Expr, QueryError>,
    tasks: bool,
}

impl Query {
    /// Reads an expression. One that is wrong is kept too, with what is wrong with it, and no instance meets it.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let expr = parse::parse(&text);
        let tasks = expr.as_ref().is_ok_and(Expr::is_about_tasks);
        Self(Arc::new(Parsed { text, expr, tasks }))
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What it says, or what is wrong with it.
    pub fn expr(&self) -> Result<&Expr, &QueryError> {
        self.0.expr.as_ref()
    }

    /// Whether tasks decide about it, so that each one that is placed may change the answer.
    pub fn is_about_tasks(&self) -> bool {
        self.0.tasks
    }

    /// Whether an instance meets it.
    pub fn matches(&self, instance: &dyn InstanceFacts) -> bool {
        self.0.expr.as_ref().is_ok_and(|expr| expr.holds(instance))
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.text() == other.text()
    }
}

impl Eq for Query {}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text(), f)
    }
}

impl fmt::Display for Query {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for Query {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(String::deserialize(deserializer)?))
    }
}

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at character {})", .at.start + 1)]
pub struct QueryError {
    /// The bytes of the expression that are at fault; empty where something is missing.
    pub at: Range<usize>,
    /// One sentence without a full stop.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
}

/// An expression. What stands between parentheses is no node of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Any of these, at least two.
    Or(Vec<Expr>),
    /// All of these, at least two.
    And(Vec<Expr>),
    /// Not that.
    Not(Box<Expr>),
    /// Something about the instance.
    Test(Subject, Operation),
}

impl Expr {
    /// The attributes that it names, in the order in which they are written, each time; and whether an instance must have it
    /// for that part to hold. `attribute:a != b` and `not(attribute:a exists)` hold where there is none.
    pub fn attributes(&self) -> Vec<(&str, bool)> {
        let mut found = Vec::new();
        self.name_attributes(true, &mut found);
        found
    }

    fn name_attributes<'a>(&'a self, positive: bool, found: &mut Vec<(&'a str, bool)>) {
        match self {
            Self::Or(all) | Self::And(all) => {
                for one in all {
                    one.name_attributes(positive, found);
                }
            }
            Self::Not(inner) => inner.name_attributes(!positive, found),
            Self::Test(Subject::Attribute(name), operation) => {
                found.push((name, operation.needs_one() == positive));
            }
            Self::Test(..) => {}
        }
    }

    fn is_about_tasks(&self) -> bool {
        match self {
            Self::Or(all) | Self::And(all) => all.iter().any(Self::is_about_tasks),
            Self::Not(inner) => inner.is_about_tasks(),
            Self::Test(subject, _) => {
                matches!(subject, Subject::RunningTasksCount | Subject::TaskGroup)
            }
        }
    }
}

/// What of an instance is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Whether its engine answers: `true` or `false`.
    AgentConnected,
    /// The version of its agent.
    AgentVersion,
    /// An attribute by name.
    Attribute(String),
    /// Its name.
    Ec2InstanceId,
    /// When it was first registered.
    RegisteredAt,
    /// How many of its tasks are wanted to run.
    RunningTasksCount,
    /// The groups of its tasks that are wanted to run.
    TaskGroup,
}

/// What is asked about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A comparison with one value.
    Compare(Comparison, Literal),
    /// Whether there is any such thing, or is not.
    Exists(bool),
    /// Whether it is one of these, or is not.
    In(bool, Vec<Literal>),
    /// Whether a regular expression matches the whole of it, or does not.
    Matches(bool, Pattern),
}

impl Operation {
    /// Whether it holds only where there is such a thing.
    const fn needs_one(&self) -> bool {
        match self {
            Self::Compare(how, _) => !matches!(how, Comparison::NotEqual),
            Self::Exists(positive) | Self::In(positive, _) | Self::Matches(positive, _) => {
                *positive
            }
        }
    }
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }
}

/// A value as it was written, and as its subject takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Without the quotes.
    pub text: String,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Text,
    Number(u64),
    Bool(bool),
    Instant(Timestamp),
}

/// A regular expression that is compiled.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    whole: regex::Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for Expr {
    /// In the language itself; it reads back as the same expression.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, all: &[Self], word: &str| {
            for (at, one) in all.iter().enumerate() {
                if at > 0 {
                    write!(f, " {word} ")?;
                }
                let bare = matches!(
                    (self, one),
                    (_, Self::Not(_) | Self::Test(..)) | (Self::Or(_), Self::And(_))
                );
                match bare {
                    true => write!(f, "{one}")?,
                    false => write!(f, "({one})")?,
                }
            }
            Ok(())
        };
        match self {
            Self::Or(all) => join(f, all, "or"),
            Self::And(all) => join(f, all, "and"),
            // As deep as it was written, or what is nested to the limit would not be read again.
            Self::Not(inner) => match **inner {
                Self::Not(_) | Self::Test(..) => write!(f, "not {inner}"),
                Self::Or(_) | Self::And(_) => write!(f, "not({inner})"),
            },
            Self::Test(subject, operation) => write!(f, "{subject} {operation}"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgentConnected => f.write_str("agentConnected"),
            Self::AgentVersion => f.write_str("agentVersion"),
            Self::Attribute(name) => write!(f, "attribute:{name}"),
            Self::Ec2InstanceId => f.write_str("ec2InstanceId"),
            Self::RegisteredAt => f.write_str("registeredAt"),
            Self::RunningTasksCount => f.write_str("runningTasksCount"),
            Self::TaskGroup => f.write_str("task:group"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |positive: &bool| if *positive { "" } else { "!" };
        match self {
            Self::Compare(how, value) => write!(f, "{} {value}", how.as_str()),
            Self::Exists(positive) => write!(f, "{}exists", not(positive)),
            Self::In(positive, values) => {
                write!(f, "{}in [", not(positive))?;
                for (at, value) in values.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str("]")
            }
            Self::Matches(true, pattern) => write!(f, "=~ {pattern}"),
            Self::Matches(false, pattern) => write!(f, "!~ {pattern}"),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+".contains(c);
        if !self.text.is_empty() && self.text.chars().all(plain) {
            f.write_str(&self.text)
        } else {
            quoted(f, &self.text)
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quoted(f, &self.text)
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "'{}'", text.replace('\'', "''"))
}
