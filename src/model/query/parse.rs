//! From text to an expression. Recursion and length are bounded, and nothing here panics, whatever it is given.

use std::ops::Range;

use super::{
    Comparison, DEEPEST, Expr, LONGEST, Literal, Operation, Pattern, QueryError, Subject, Value,
};
use crate::model::time::Timestamp;

/// Most bytes that a compiled regular expression may take.
const PATTERN_BYTES: usize = 1 << 20;

const SUBJECTS: [(&str, Subject); 6] = [
    ("agentConnected", Subject::AgentConnected),
    ("agentVersion", Subject::AgentVersion),
    ("ec2InstanceId", Subject::Ec2InstanceId),
    ("registeredAt", Subject::RegisteredAt),
    ("runningTasksCount", Subject::RunningTasksCount),
    ("task:group", Subject::TaskGroup),
];

/// An operator before its argument was read.
#[derive(Clone, Copy)]
enum Operator {
    Compare(Comparison),
    Exists(bool),
    In(bool),
    Matches(bool),
}

/// Those of signs; of two that begin alike the longer one comes first.
const SIGNS: [(&str, Operator); 8] = [
    ("==", Operator::Compare(Comparison::Equal)),
    ("!=", Operator::Compare(Comparison::NotEqual)),
    (">=", Operator::Compare(Comparison::GreaterOrEqual)),
    ("<=", Operator::Compare(Comparison::LessOrEqual)),
    ("=~", Operator::Matches(true)),
    ("!~", Operator::Matches(false)),
    (">", Operator::Compare(Comparison::Greater)),
    ("<", Operator::Compare(Comparison::Less)),
];

/// Those of words.
const WORDS: [(&str, Operator); 14] = [
    ("equals", Operator::Compare(Comparison::Equal)),
    ("not_equals", Operator::Compare(Comparison::NotEqual)),
    ("greater_than", Operator::Compare(Comparison::Greater)),
    (
        "greater_than_equal",
        Operator::Compare(Comparison::GreaterOrEqual),
    ),
    ("less_than", Operator::Compare(Comparison::Less)),
    (
        "less_than_equal",
        Operator::Compare(Comparison::LessOrEqual),
    ),
    ("exists", Operator::Exists(true)),
    ("not_exists", Operator::Exists(false)),
    ("!exists", Operator::Exists(false)),
    ("in", Operator::In(true)),
    ("not_in", Operator::In(false)),
    ("!in", Operator::In(false)),
    ("matches", Operator::Matches(true)),
    ("not_matches", Operator::Matches(false)),
];

const OPERATORS: &str = "write one of ==, !=, >, >=, <, <=, =~, !~, in, !in, exists, !exists";

type Result<T> = std::result::Result<T, QueryError>;

/// Reads a whole expression.
pub(super) fn parse(text: &str) -> Result<Expr> {
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        let message = format!("an expression has at most {LONGEST} characters");
        return Err(error(at..text.len(), message, ""));
    }
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
    };
    let expr = parser.or()?;
    parser.space();
    match parser.rest() {
        "" => Ok(expr),
        rest if rest.starts_with(')') => {
            Err(parser.wrong(1, "there is no `(` for this `)`", "remove it"))
        }
        rest => {
            let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let help = match rest.get(..word).map(str::to_ascii_lowercase).as_deref() {
                Some(lower @ ("and" | "or")) => format!("write it in small letters: `{lower}`"),
                _ => "a value with spaces or signs stands in single quotes; expressions are joined by `and` or `or`".to_owned(),
            };
            Err(parser.wrong(word, "the expression should have ended here", help))
        }
    }
}

fn error(at: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> QueryError {
    // What is quoted of an expression of several lines would make several of them.
    let line = |text: String| text.replace(|c: char| c.is_control(), " ");
    QueryError {
        at,
        message: line(message.into()),
        help: line(help.into()),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// What a word is made of: keywords, subjects and the names of attributes.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_./\\:".contains(c)
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// What is wrong with the next so many bytes.
    fn wrong(
        &self,
        bytes: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> QueryError {
        error(self.at..self.at + bytes, message, help)
    }

    /// Takes `sign` if it is next.
    fn takes(&mut self, sign: &str) -> bool {
        let there = self.rest().starts_with(sign);
        if there {
            self.at += sign.len();
        }
        there
    }

    /// Takes the keyword if it is next, and ends there.
    fn takes_word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let there = rest
            .strip_prefix(word)
            .is_some_and(|after| !after.starts_with(is_word));
        if there {
            self.at += word.len();
        }
        there
    }

    /// The word that is next, which may be empty.
    fn word(&self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEEPEST {
            let message = format!("more than {DEEPEST} levels are nested here");
            let next = self.rest().chars().next().map_or(0, char::len_utf8);
            return Err(self.wrong(next, message, "write it with fewer parentheses"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn or(&mut self) -> Result<Expr> {
        self.joined(&["||"], "or", Self::and, Expr::Or)
    }

    fn and(&mut self) -> Result<Expr> {
        self.joined(&["&&"], "and", Self::not, Expr::And)
    }

    fn joined(
        &mut self,
        signs: &[&str],
        word: &str,
        one: fn(&mut Self) -> Result<Expr>,
        all: fn(Vec<Expr>) -> Expr,
    ) -> Result<Expr> {
        let mut found = vec![one(self)?];
        loop {
            self.space();
            let goes_on = signs.iter().any(|sign| self.takes(sign)) || self.takes_word(word);
            if !goes_on {
                break;
            }
            found.push(one(self)?);
        }
        Ok(match found.len() {
            1 => found.remove(0),
            _ => all(found),
        })
    }

    fn not(&mut self) -> Result<Expr> {
        self.space();
        if self.takes("!") || self.takes_word("not") {
            let inner = self.deeper(Self::not)?;
            return Ok(Expr::Not(Box::new(inner)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Expr> {
        let opened = self.at;
        if self.takes("(") {
            let inner = self.deeper(Self::or)?;
            self.space();
            if !self.takes(")") {
                return Err(error(
                    opened..opened + 1,
                    "this `(` is not closed",
                    "add `)`, and put a value with spaces or signs in single quotes",
                ));
            }
            return Ok(inner);
        }
        let subject = self.subject()?;
        self.space();
        let operation = self.operation(&subject)?;
        Ok(Expr::Test(subject, operation))
    }

    fn subject(&mut self) -> Result<Subject> {
        let word = self.word();
        if let Some(name) = word.strip_prefix("attribute:") {
            if !(1..=128).contains(&name.len()) || name.contains(':') {
                let message = format!("`{name}` is no name of an attribute");
                let help = "1 to 128 letters, digits, `-`, `_`, `.`, `/` and `\\`";
                return Err(self.wrong(word.len(), message, help));
            }
            self.at += word.len();
            return Ok(Subject::Attribute(name.to_owned()));
        }
        if let Some((name, subject)) = SUBJECTS.iter().find(|(name, _)| *name == word) {
            self.at += name.len();
            return Ok(subject.clone());
        }
        let known = SUBJECTS
            .iter()
            .map(|(name, _)| *name)
            .chain(["attribute:NAME"]);
        if word.is_empty() {
            let message = match self.rest().chars().next() {
                None => "a condition is missing here".to_owned(),
                Some(other) => format!("a condition cannot begin with `{other}`"),
            };
            let help = format!("begin with one of {}", known.collect::<Vec<_>>().join(", "));
            let bytes = self.rest().chars().next().map_or(0, char::len_utf8);
            return Err(self.wrong(bytes, message, help));
        }
        let help = match nearest(word, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if !word.contains(':') => format!(
                "write one of {}; an attribute is `attribute:{word}`",
                known.collect::<Vec<_>>().join(", ")
            ),
            None => format!("write one of {}", known.collect::<Vec<_>>().join(", ")),
        };
        Err(self.wrong(word.len(), format!("there is no subject `{word}`"), help))
    }

    fn operator(&mut self) -> Result<Operator> {
        if let Some((sign, operator)) = SIGNS.iter().find(|(sign, _)| self.rest().starts_with(sign))
        {
            self.at += sign.len();
            return Ok(*operator);
        }
        if let Some((_, operator)) = WORDS.iter().find(|(word, _)| self.takes_word(word)) {
            return Ok(*operator);
        }
        let word = self.word();
        let names = WORDS.iter().map(|(word, _)| *word);
        let (bytes, message) = match (word, self.rest().chars().next()) {
            ("", None) => (0, "an operator is missing here".to_owned()),
            ("", Some('=')) => {
                return Err(self.wrong(1, "there is no operator `=`", "write `==`"));
            }
            ("", Some(other)) => (other.len_utf8(), format!("there is no operator `{other}`")),
            (word, _) => (word.len(), format!("there is no operator `{word}`")),
        };
        let help = match nearest(word, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => OPERATORS.to_owned(),
        };
        Err(self.wrong(bytes, message, help))
    }

    fn operation(&mut self, subject: &Subject) -> Result<Operation> {
        let begin = self.at;
        let operator = self.operator()?;
        if let Some(why) = unfit(subject, operator) {
            return Err(error(begin..self.at, why, ""));
        }
        self.space();
        Ok(match operator {
            Operator::Exists(positive) => Operation::Exists(positive),
            Operator::Compare(how) => Operation::Compare(how, self.literal(subject)?),
            Operator::In(positive) => Operation::In(positive, self.list(subject)?),
            Operator::Matches(positive) => Operation::Matches(positive, self.pattern()?),
        })
    }

    fn list(&mut self, subject: &Subject) -> Result<Vec<Literal>> {
        let opened = self.at;
        if !self.takes("[") {
            return Err(self.wrong(0, "a list is missing here", "write it as `[a, b]`"));
        }
        let mut values = Vec::new();
        loop {
            self.space();
            values.push(self.literal(subject)?);
            self.space();
            if self.takes("]") {
                return Ok(values);
            }
            if !self.takes(",") {
                let closed = error(opened..opened + 1, "this `[` is not closed", "add `]`");
                let comma = self.wrong(0, "a `,` or `]` is missing here", "");
                return Err(if self.rest().is_empty() {
                    closed
                } else {
                    comma
                });
            }
        }
    }

    fn literal(&mut self, subject: &Subject) -> Result<Literal> {
        let begin = self.at;
        let text = match self.quoted()? {
            Some(text) => text,
            None => self.bare()?,
        };
        let place = begin..self.at;
        let value = value(subject, &text).map_err(|(message, help)| error(place, message, help))?;
        Ok(Literal { text, value })
    }

    /// A value in single quotes, if one is next.
    fn quoted(&mut self) -> Result<Option<String>> {
        let opened = self.at;
        if !self.takes("'") {
            return Ok(None);
        }
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find('\'') else {
                let message = "this quote is not closed";
                return Err(error(opened..opened + 1, message, "add `'` where it ends"));
            };
            text.push_str(rest.get(..end).unwrap_or_default());
            self.at += end + 1;
            if !self.takes("'") {
                return Ok(Some(text));
            }
            text.push('\'');
        }
    }

    fn bare(&mut self) -> Result<String> {
        let rest = self.rest();
        let ends = |(at, c): (usize, char)| {
            let joins = |two: &str| rest.get(at..).is_some_and(|rest| rest.starts_with(two));
            (c.is_whitespace() || "()[],'\"".contains(c) || joins("&&") || joins("||"))
                .then_some(at)
        };
        let end = rest.char_indices().find_map(ends).unwrap_or(rest.len());
        if end == 0 {
            let help = match rest.chars().next() {
                Some('"') => "values stand in single quotes",
                Some('[') => "a list belongs to `in`",
                _ => "write a value, in single quotes if it has spaces or signs",
            };
            return Err(self.wrong(0, "a value is missing here", help));
        }
        self.at += end;
        Ok(rest.get(..end).unwrap_or_default().to_owned())
    }

    fn pattern(&mut self) -> Result<Pattern> {
        let begin = self.at;
        let text = match self.quoted()? {
            Some(text) => text,
            None => self.bare_pattern()?,
        };
        let compiled = |text: &str| {
            regex::RegexBuilder::new(text)
                .size_limit(PATTERN_BYTES)
                .build()
        };
        // By itself first: what is wrong with it is not to be said of what is put around it.
        let whole = compiled(&text).and_then(|_| compiled(&format!(r"\A(?:{text})\z")));
        match whole {
            Ok(whole) => Ok(Pattern { text, whole }),
            Err(wrong) => {
                let told = wrong.to_string();
                let told = told.lines().last().unwrap_or_default();
                let told = told.trim_start_matches("error: ");
                let message = format!("`{text}` is no regular expression: {told}");
                Err(error(
                    begin..self.at,
                    message,
                    "one with spaces stands in single quotes",
                ))
            }
        }
    }

    /// Up to a space, or a bracket that was opened before it; brackets of its own are in pairs.
    fn bare_pattern(&mut self) -> Result<String> {
        let rest = self.rest();
        let mut open = 0_usize;
        let mut escaped = false;
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            let joins = |two: &str| rest.get(at..).is_some_and(|rest| rest.starts_with(two));
            match c {
                _ if escaped => {
                    escaped = false;
                    continue;
                }
                '\\' => escaped = true,
                '(' | '[' => open += 1,
                ')' | ']' if open > 0 => open -= 1,
                _ => {
                    let stops = c.is_whitespace() || matches!(c, ')' | ']' | '\'');
                    if open == 0 && (stops || joins("&&") || joins("||")) {
                        end = at;
                        break;
                    }
                }
            }
        }
        if end == 0 {
            let message = "a regular expression is missing here";
            return Err(self.wrong(0, message, "in single quotes if it has spaces"));
        }
        self.at += end;
        Ok(rest.get(..end).unwrap_or_default().to_owned())
    }
}

/// Why an operator makes no sense with a subject.
fn unfit(subject: &Subject, operator: Operator) -> Option<String> {
    let equality = |how| matches!(how, Comparison::Equal | Comparison::NotEqual);
    let (ordered, matched) = match subject {
        Subject::AgentConnected => (false, false),
        Subject::TaskGroup => (false, true),
        Subject::RegisteredAt | Subject::RunningTasksCount => (true, false),
        Subject::AgentVersion | Subject::Attribute(_) | Subject::Ec2InstanceId => (true, true),
    };
    match operator {
        Operator::Compare(how) if !ordered && !equality(how) => {
            Some(format!("`{subject}` is not greater or less than anything"))
        }
        Operator::Matches(_) if !matched => {
            Some(format!("`{subject}` is no text that a pattern could match"))
        }
        _ => None,
    }
}

/// A value as its subject takes it, or what is wrong with it and what to write.
fn value(subject: &Subject, text: &str) -> std::result::Result<Value, (String, &'static str)> {
    match subject {
        Subject::AgentConnected => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err((format!("`{text}` is neither `true` nor `false`"), "")),
        },
        Subject::RunningTasksCount => text
            .parse()
            .map(Value::Number)
            .map_err(|_| (format!("`{text}` is no number of tasks"), "write digits")),
        Subject::RegisteredAt => instant(text).map(Value::Instant).ok_or_else(|| {
            let help = "write `2026-01-31` or `2026-01-31T08:15:00+00:00`";
            (format!("`{text}` is no date"), help)
        }),
        Subject::AgentVersion
        | Subject::Attribute(_)
        | Subject::Ec2InstanceId
        | Subject::TaskGroup => Ok(Value::Text),
    }
}

/// An ISO date or date and time; without an offset it is UTC.
fn instant(text: &str) -> Option<Timestamp> {
    let with_offset = || text.parse::<jiff::Timestamp>().ok();
    let in_utc = || {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    let at = with_offset().or_else(in_utc)?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// The candidate that a slip of the finger would make of the word.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    candidates
        .map(|candidate| {
            let steps = strsim::damerau_levenshtein(&candidate.to_ascii_lowercase(), &lower);
            (steps, candidate)
        })
        .filter(|(steps, candidate)| *steps <= (candidate.len() / 4).max(1) && *steps < lower.len())
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate)
}
