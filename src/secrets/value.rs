//! Values, which are shown to nobody, and the texts that they are taken out of.

use std::fmt;

/// Stands where a value stood.
const HIDDEN: &str = "[hidden]";
/// A piece of a value of this many characters is taken out of a text too: what reports a fault often quotes the part at
/// fault.
const PIECE: usize = 6;
/// Pieces are sought of values up to this many bytes; a longer one is sought as a whole and line by line.
const LONGEST: usize = 4096;

/// A secret's value. `Debug` does not show it, and it has no `Display` (P9).
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(String);

impl SecretValue {
    /// A value of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text itself, when it is handed over.
    pub fn into_exposed(self) -> String {
        self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue")
    }
}

/// `text` without `values`: whole ones, their lines, how they look inside quotes, and pieces of them of six characters and
/// more. One of less than four characters is taken out only where it stands as a word: it may be part of anything.
pub fn redact<'v>(text: &str, values: impl IntoIterator<Item = &'v str>) -> String {
    let mut text = text.to_owned();
    let mut whole: Vec<String> = Vec::new();
    for value in values {
        let quoted = format!("{value:?}");
        let lines = value.lines().map(str::trim).map(str::to_owned);
        whole.extend([value.to_owned(), quoted[1..quoted.len() - 1].to_owned()]);
        whole.extend(lines);
    }
    whole.retain(|value| !value.is_empty());
    whole.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    whole.dedup();
    for value in &whole {
        text = if value.chars().count() < 4 {
            without_word(&text, value)
        } else {
            text.replace(value.as_str(), HIDDEN)
        };
    }
    without_pieces(&text, &whole)
}

/// `text` without `word` where nothing that belongs to a word is beside it.
fn without_word(text: &str, word: &str) -> String {
    let mut rest = text;
    let mut found = String::with_capacity(text.len());
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let beside = [before.chars().last(), after.chars().next()];
        found.push_str(before);
        let inside = beside.into_iter().flatten().any(char::is_alphanumeric);
        found.push_str(if inside { word } else { HIDDEN });
        rest = after;
    }
    found + rest
}

fn without_pieces(text: &str, values: &[String]) -> String {
    let values: Vec<&String> = values
        .iter()
        .filter(|value| value.len() <= LONGEST)
        .collect();
    let starts: Vec<usize> = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    let mut found = String::with_capacity(text.len());
    let mut at = 0;
    while at + 1 < starts.len() {
        let piece = |length: usize| {
            let end = *starts.get(at + length)?;
            let piece = &text[starts[at]..end];
            values
                .iter()
                .any(|value| value.contains(piece))
                .then_some(())
        };
        if piece(PIECE).is_some() {
            let mut length = PIECE;
            while piece(length + 1).is_some() {
                length += 1;
            }
            found.push_str(HIDDEN);
            at += length;
        } else {
            found.push_str(&text[starts[at]..starts[at + 1]]);
            at += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_shown_by_debug() {
        let value = SecretValue::new("planted");
        assert_eq!(
            format!("{value:?} {:?}", Some(&value)),
            "SecretValue Some(SecretValue)"
        );
        assert_eq!(value.expose(), "planted");
    }

    #[test]
    fn values_and_pieces_of_them_are_taken_out_of_a_text() {
        let of = |text: &str, value: &str| redact(text, [value]);
        assert_eq!(
            of("token s3cr3t! is bad", "s3cr3t!"),
            "token [hidden] is bad"
        );
        assert_eq!(
            of("parse \"tcp://u:pa\\nss@h\": bad", "tcp://u:pa\nss@h"),
            "parse \"[hidden]\": bad"
        );
        assert_eq!(
            of(
                "invalid port \":98765x\" after host",
                "tcp://db.internal:98765x"
            ),
            "invalid port \"[hidden]\" after host"
        );
        assert_eq!(of("line two: BBBB", "AAAA\nBBBB\n"), "line two: [hidden]");
        assert_eq!(of("nothing of it", "planted"), "nothing of it");
        assert_eq!(of("anything", ""), "anything");
        assert_eq!(of("größe: grüße aus", "grüße"), "größe: [hidden] aus");
    }

    #[test]
    fn a_short_value_is_taken_out_where_it_is_a_word() {
        assert_eq!(
            redact("exit code 12, 120 lines", ["12"]),
            "exit code [hidden], 120 lines"
        );
        assert_eq!(redact("a cat: 'a'", ["a"]), "[hidden] cat: '[hidden]'");
    }

    #[test]
    fn the_longest_of_several_values_goes_first() {
        assert_eq!(redact("is abcdefgh", ["abcd", "abcdefgh"]), "is [hidden]");
    }
}
