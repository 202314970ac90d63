//! Whether an instance meets an expression.

use std::cmp::Ordering;

use super::{Comparison, Expr, Literal, Operation, Subject, Value};
use crate::model::time::Timestamp;

/// What an expression may ask of an instance.
pub trait InstanceFacts {
    /// Its name.
    fn id(&self) -> &str;
    /// Whether its engine answers.
    fn connected(&self) -> bool;
    /// The version of its agent.
    fn agent_version(&self) -> &str;
    /// An attribute's value, which may be empty; none: it has no such attribute.
    fn attribute(&self, name: &str) -> Option<&str>;
    /// When it was first registered.
    fn registered_at(&self) -> Timestamp;
    /// How many of its tasks are wanted to run.
    fn running_tasks(&self) -> u64;
    /// Whether any of its tasks that are wanted to run is in such a group.
    fn has_group(&self, which: &dyn Fn(&str) -> bool) -> bool;
}

impl Expr {
    pub(super) fn holds(&self, instance: &dyn InstanceFacts) -> bool {
        match self {
            Self::Or(all) => all.iter().any(|one| one.holds(instance)),
            Self::And(all) => all.iter().all(|one| one.holds(instance)),
            Self::Not(inner) => !inner.holds(instance),
            Self::Test(subject, operation) => operation.holds(subject, instance),
        }
    }
}

impl Operation {
    fn holds(&self, subject: &Subject, instance: &dyn InstanceFacts) -> bool {
        let any = |which: &dyn Fn(&Fact<'_>) -> bool| subject.has(instance, which);
        match self {
            Self::Exists(positive) => any(&|_| true) == *positive,
            Self::In(positive, values) => {
                let equal = |fact: &Fact<'_>| values.iter().any(|value| fact.order(value).is_eq());
                any(&equal) == *positive
            }
            Self::Matches(positive, pattern) => {
                let matched = |fact: &Fact<'_>| match fact {
                    Fact::Text(text) | Fact::Version(text) => pattern.whole.is_match(text),
                    Fact::Bool(_) | Fact::Number(_) | Fact::Instant(_) => false,
                };
                any(&matched) == *positive
            }
            Self::Compare(how, value) => {
                let ordered =
                    |fits: &dyn Fn(Ordering) -> bool| any(&|fact| fits(fact.order(value)));
                match how {
                    Comparison::Equal => ordered(&Ordering::is_eq),
                    Comparison::NotEqual => !ordered(&Ordering::is_eq),
                    Comparison::Greater => ordered(&Ordering::is_gt),
                    Comparison::GreaterOrEqual => ordered(&Ordering::is_ge),
                    Comparison::Less => ordered(&Ordering::is_lt),
                    Comparison::LessOrEqual => ordered(&Ordering::is_le),
                }
            }
        }
    }
}

/// One thing about an instance.
enum Fact<'a> {
    Text(&'a str),
    Version(&'a str),
    Bool(bool),
    Number(u64),
    Instant(Timestamp),
}

impl Subject {
    /// Whether the instance has such a thing: its tasks may be in several groups, and it may lack an attribute.
    fn has(&self, instance: &dyn InstanceFacts, which: &dyn Fn(&Fact<'_>) -> bool) -> bool {
        match self {
            Self::AgentConnected => which(&Fact::Bool(instance.connected())),
            Self::AgentVersion => which(&Fact::Version(instance.agent_version())),
            Self::Attribute(name) => instance
                .attribute(name)
                .is_some_and(|value| which(&Fact::Text(value))),
            Self::Ec2InstanceId => which(&Fact::Text(instance.id())),
            Self::RegisteredAt => {
                // Expressions know no milliseconds.
                which(&Fact::Instant(instance.registered_at().whole_seconds()))
            }
            Self::RunningTasksCount => which(&Fact::Number(instance.running_tasks())),
            Self::TaskGroup => instance.has_group(&|group| which(&Fact::Text(group))),
        }
    }
}

impl Fact<'_> {
    fn order(&self, literal: &Literal) -> Ordering {
        match (self, literal.value) {
            (Self::Bool(has), Value::Bool(wanted)) => has.cmp(&wanted),
            (Self::Number(has), Value::Number(wanted)) => has.cmp(&wanted),
            (Self::Instant(has), Value::Instant(wanted)) => has.cmp(&wanted),
            (Self::Version(has), _) => versions(has, &literal.text),
            (Self::Text(has), _) => texts(has, &literal.text),
            // The parser pairs no others.
            _ => Ordering::Less,
        }
    }
}

/// Two numbers as numbers, anything else as text; equal are only texts that are the same.
fn texts(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    match (number(a), number(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y).then_with(|| a.cmp(b)),
        _ => a.cmp(b),
    }
}

fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let begins = digits.starts_with(|c: char| c.is_ascii_digit());
    begins.then(|| text.parse().ok())?
}

/// By the parts between dots.
fn versions(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<String> {
        let bare = text.strip_prefix('v').unwrap_or(text);
        bare.split('.').map(str::to_owned).collect()
    };
    let (a, b) = (parts(a), parts(b));
    let none = "0".to_owned();
    (0..a.len().max(b.len()))
        .map(|at| texts(a.get(at).unwrap_or(&none), b.get(at).unwrap_or(&none)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}
