//! A script's words and signs.

use std::collections::BTreeMap;

/// Stands for the output of a command substitution, which nobody ran and nobody knows. It is never printed.
pub(super) const SUBSTITUTED: char = '\u{FFFC}';

/// The script holds something that is not known here.
pub(super) struct NotUnderstood;

pub(super) type Parsed<T> = Result<T, NotUnderstood>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// `;` and line ends.
    Then,
    /// `&`.
    Background,
    And,
    Or,
    /// File descriptor, target (`None`: another descriptor's place), append.
    Redirect(Redirect),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Redirect {
    /// The descriptor goes to a file.
    File {
        descriptor: u8,
        path: String,
        append: bool,
    },
    /// The descriptor goes where another goes.
    Same { descriptor: u8, as_descriptor: u8 },
}

/// The words and signs of a script, variables replaced by their values.
pub(super) fn tokens(text: &str, env: &BTreeMap<String, String>) -> Parsed<Vec<Token>> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    let mut word: Option<String> = None;
    let finish = |word: &mut Option<String>, out: &mut Vec<Token>| {
        if let Some(word) = word.take() {
            out.push(Token::Word(word));
        }
    };
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => finish(&mut word, &mut out),
            '\n' | ';' => {
                finish(&mut word, &mut out);
                out.push(Token::Then);
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '&' | '|' => {
                finish(&mut word, &mut out);
                let doubled = chars.next_if_eq(&c).is_some();
                out.push(match (c, doubled) {
                    ('&', true) => Token::And,
                    ('&', false) => Token::Background,
                    ('|', true) => Token::Or,
                    _ => return Err(NotUnderstood),
                });
            }
            '<' | '(' | ')' => return Err(NotUnderstood),
            '>' => {
                let descriptor = match word.as_deref() {
                    Some("1") | None => 1,
                    Some("2") => 2,
                    Some(_) => {
                        finish(&mut word, &mut out);
                        1
                    }
                };
                word = None;
                let append = chars.next_if_eq(&'>').is_some();
                if chars.next_if_eq(&'&').is_some() {
                    let as_descriptor = chars
                        .next()
                        .and_then(|c| c.to_digit(10))
                        .and_then(|digit| u8::try_from(digit).ok())
                        .ok_or(NotUnderstood)?;
                    out.push(Token::Redirect(Redirect::Same {
                        descriptor,
                        as_descriptor,
                    }));
                } else {
                    while chars.next_if(|c| *c == ' ').is_some() {}
                    let mut path = String::new();
                    while let Some(c) = chars.next_if(|c| !" \t\n;&|".contains(*c)) {
                        path.push(c);
                    }
                    out.push(Token::Redirect(Redirect::File {
                        descriptor,
                        path,
                        append,
                    }));
                }
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(NotUnderstood),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('$') => expand(&mut chars, env, word)?,
                        Some('`') => return Err(NotUnderstood),
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err(NotUnderstood),
                        },
                        Some(c) => word.push(c),
                        None => return Err(NotUnderstood),
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(NotUnderstood),
            },
            '$' => expand(&mut chars, env, word.get_or_insert_default())?,
            '`' => return Err(NotUnderstood),
            c => word.get_or_insert_default().push(c),
        }
    }
    finish(&mut word, &mut out);
    Ok(out)
}

/// `$NAME`, `${NAME}`, `$!` and the like; `$(…)` becomes [`SUBSTITUTED`].
fn expand(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    env: &BTreeMap<String, String>,
    into: &mut String,
) -> Parsed<()> {
    match chars.peek() {
        Some('(') => {
            let mut depth = 0_u32;
            for c in chars.by_ref() {
                match c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    into.push(SUBSTITUTED);
                    return Ok(());
                }
            }
            Err(NotUnderstood)
        }
        Some('{') => {
            chars.next();
            let mut name = String::new();
            loop {
                match chars.next() {
                    Some('}') => break,
                    Some(c) => name.push(c),
                    None => return Err(NotUnderstood),
                }
            }
            into.push_str(env.get(&name).map_or("", String::as_str));
            Ok(())
        }
        Some('!' | '?' | '$' | '@' | '*') => {
            chars.next();
            Ok(())
        }
        _ => {
            let mut name = String::new();
            while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                name.push(c);
            }
            if name.is_empty() {
                into.push('$');
            } else {
                into.push_str(env.get(&name).map_or("", String::as_str));
            }
            Ok(())
        }
    }
}
