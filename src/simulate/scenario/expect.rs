//! What is expected, as it is written: `[not] WHAT[(SERVICE)] [OPERATOR NUMBER] [within TIME | for TIME | always]`.

use std::fmt;
use std::time::Duration;

use crate::simulate::time;

/// What may be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// What runs is what the folder asks for, and is steady.
    Converged,
    /// The last rollout was given up and rolled back.
    RolledBack,
    /// The last rollout was given up.
    Failed,
    /// A task finds no place.
    Unplaceable,
    /// There are at least as many healthy tasks as the service promises.
    FloorKept,
    /// There are at most as many tasks as the service promises.
    CapKept,
    /// So many tasks are healthy.
    Healthy,
    /// So many tasks run, healthy or not.
    Running,
    /// So many tasks exist.
    Tasks,
}

impl What {
    const ALL: [Self; 9] = [
        Self::Converged,
        Self::RolledBack,
        Self::Failed,
        Self::Unplaceable,
        Self::FloorKept,
        Self::CapKept,
        Self::Healthy,
        Self::Running,
        Self::Tasks,
    ];

    /// As scenarios write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::RolledBack => "rolledBack",
            Self::Failed => "failed",
            Self::Unplaceable => "unplaceable",
            Self::FloorKept => "floorKept",
            Self::CapKept => "capKept",
            Self::Healthy => "healthy",
            Self::Running => "running",
            Self::Tasks => "tasks",
        }
    }

    /// Whether it is a number to be compared.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Healthy | Self::Running | Self::Tasks)
    }
}

/// How numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
}

impl Operator {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Equal => "==",
        }
    }

    /// Whether `left` stands so to `right`.
    pub const fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Self::AtLeast => left >= right,
            Self::AtMost => left <= right,
            Self::Equal => left == right,
        }
    }
}

/// When it must hold, from its step on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Then.
    Now,
    /// At some time within so long.
    Within(Duration),
    /// All the time for so long.
    For(Duration),
    /// All the time to the end.
    Always,
}

/// An expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Whether the contrary is expected.
    pub not: bool,
    /// Of what.
    pub what: What,
    /// Of which service, as `name` or `cluster/name`; none: of all of them.
    pub service: Option<String>,
    /// With which number.
    pub number: Option<(Operator, u32)>,
    /// When.
    pub when: When,
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.not {
            f.write_str("not ")?;
        }
        f.write_str(self.what.as_str())?;
        if let Some(service) = &self.service {
            write!(f, "({service})")?;
        }
        if let Some((operator, number)) = self.number {
            write!(f, " {} {number}", operator.as_str())?;
        }
        match self.when {
            When::Now => Ok(()),
            When::Within(time) => write!(f, " within {}", time::show(time)),
            When::For(time) => write!(f, " for {}", time::show(time)),
            When::Always => f.write_str(" always"),
        }
    }
}

/// Reads an expectation; the error is a sentence about it and, where there is one, what to do.
pub fn parse(text: &str) -> Result<Expectation, (String, String)> {
    let wrong = |message: String, help: &str| Err((message, help.to_owned()));
    let spaced = spaced(text);
    let mut words = spaced.split_whitespace().peekable();
    let not = words.next_if_eq(&"not").is_some();
    let Some(name) = words.next() else {
        return wrong(
            "an expectation is empty".to_owned(),
            "write, for example, `converged within 60s`",
        );
    };
    // As it is called in other tools, and reads well.
    let (not, name) = match name {
        "noUnplaceable" => (!not, "unplaceable"),
        name => (not, name),
    };
    let Some(what) = What::ALL.into_iter().find(|what| what.as_str() == name) else {
        let names: Vec<&str> = What::ALL.into_iter().map(What::as_str).collect();
        return wrong(
            format!("nothing that is called `{name}` can be expected"),
            &format!("write one of {}", names.join(", ")),
        );
    };
    let mut service = None;
    if words.next_if_eq(&"(").is_some() {
        service = words.next_if(|word| *word != ")").map(str::to_owned);
        if service.is_none() || words.next() != Some(")") {
            return wrong(
                format!("`{name}(` needs a service and `)`"),
                "write, for example, `healthy(web) >= 3`",
            );
        }
    }
    let mut number = None;
    let operator = words.peek().and_then(|word| match *word {
        ">=" => Some(Operator::AtLeast),
        "<=" => Some(Operator::AtMost),
        "==" => Some(Operator::Equal),
        _ => None,
    });
    if let Some(operator) = operator {
        words.next();
        let Some(value) = words.next().and_then(|word| word.parse().ok()) else {
            return wrong(
                format!("`{}` needs a number after it", operator.as_str()),
                "",
            );
        };
        number = Some((operator, value));
    }
    if what.counts() != number.is_some() {
        return match what.counts() {
            true => wrong(
                format!("`{name}` is a number, and is compared with none"),
                "write `>=`, `<=` or `==` and a number after it",
            ),
            false => wrong(
                format!("`{name}` holds or does not, and is no number"),
                "leave the number out",
            ),
        };
    }
    if what.counts() && service.is_none() {
        return wrong(
            format!("`{name}` is counted for one service"),
            &format!("write `{name}(web)` with its name"),
        );
    }
    let when = match (words.next(), words.next()) {
        (None, _) => When::Now,
        (Some("always"), None) => When::Always,
        (Some(which @ ("within" | "for")), Some(text)) => match time::parse(text) {
            Some(time) if which == "within" => When::Within(time),
            Some(time) => When::For(time),
            None => {
                return wrong(
                    format!("`{text}` is no time"),
                    "write, for example, `30s` or `1m30s`",
                );
            }
        },
        (Some(word), _) => {
            return wrong(
                format!("`{word}` is not understood"),
                "write `within 60s`, `for 2m` or `always`, or nothing",
            );
        }
    };
    if let Some(more) = words.next() {
        return wrong(format!("`{more}` is not understood after the time"), "");
    }
    Ok(Expectation {
        not,
        what,
        service,
        number,
        when,
    })
}

/// With spaces around brackets and operators.
fn spaced(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '(' | ')' => out.extend([' ', character, ' ']),
            '<' | '>' | '=' if characters.next_if_eq(&'=').is_some() => {
                out.extend([' ', character, '=', ' ']);
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_reads_as_it_is_shown() {
        for text in [
            "converged",
            "converged within 1m",
            "not converged(web) always",
            "healthy(web) >= 3 always",
            "tasks(prod/web) <= 6 for 2m",
            "running(web) == 0",
            "rolledBack(web) within 5m",
            "not unplaceable",
        ] {
            let parsed = parse(text).unwrap_or_else(|(why, _)| panic!("{text}: {why}"));
            assert_eq!(parsed.to_string(), text);
        }
        let close = parse("healthy(web)>=3 within 60s").map(|e| e.to_string());
        assert_eq!(close, Ok("healthy(web) >= 3 within 1m".to_owned()));
        let none = parse("noUnplaceable").map(|e| e.to_string());
        assert_eq!(none, Ok("not unplaceable".to_owned()));
    }

    #[test]
    fn what_cannot_be_expected_is_refused_with_what_to_write() {
        let why = |text| parse(text).map(|_| ()).unwrap_err().0;
        assert_eq!(
            why("steady"),
            "nothing that is called `steady` can be expected"
        );
        assert_eq!(
            why("healthy(web)"),
            "`healthy` is a number, and is compared with none"
        );
        assert_eq!(why("healthy >= 3"), "`healthy` is counted for one service");
        assert_eq!(
            why("converged >= 3"),
            "`converged` holds or does not, and is no number"
        );
        assert_eq!(
            why("healthy(web >= 3"),
            "`healthy(` needs a service and `)`"
        );
        assert_eq!(why("healthy(web) >= x"), "`>=` needs a number after it");
        assert_eq!(why("converged soon"), "`soon` is not understood");
        assert_eq!(why("converged within soon"), "`soon` is no time");
        assert_eq!(why("converged always ever"), "`always` is not understood");
        assert_eq!(why(""), "an expectation is empty");
    }
}
