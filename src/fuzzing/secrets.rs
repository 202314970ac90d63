//! What secrets are read from, and how their values are kept out of texts (P9).

use std::collections::BTreeSet;

use super::first_line;
use crate::secrets::{age, env_file, redact};

/// An identity that `age-keygen` made for tests; the corpus has a file that is encrypted to it, and there is no other.
const IDENTITY: &str = "AGE-SECRET-KEY-15TNAE33HTFN4JVVZ8HLRP6TGPV7LFEUXK0TAD3AED24PK0VKH3WQRTJ0UX";
/// What may come out of a file that is encrypted to it.
const CONTENTS: [&[u8]; 3] = [b"correct horse\n", b"", b"to both"];

/// The first byte chooses the reader.
pub fn check(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    match (which, std::str::from_utf8(rest)) {
        (b'e', _) => encrypted(rest),
        (b'i', Ok(text)) => identities(text),
        (b'v', Ok(text)) => variables(text),
        (b'r', Ok(text)) => redacted(text),
        _ => {}
    }
}

/// A file opens to what was put into it, or does not open.
fn encrypted(file: &[u8]) {
    let Ok(identities) = age::identities(IDENTITY) else {
        panic!("the identity is one");
    };
    if let Ok(content) = age::decrypt(file, &identities) {
        assert!(CONTENTS.contains(&content.as_slice()), "{content:?}");
    }
}

fn identities(text: &str) {
    match age::identities(text) {
        Ok(found) => assert!(!found.is_empty() && found.len() <= text.lines().count()),
        Err(line) => assert!(line <= text.lines().count()),
    }
}

/// Each name once, each value as it stands in a line.
fn variables(text: &str) {
    let found = env_file::parse(text);
    let names: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), found.len());
    for (name, value) in &found {
        assert!(!name.is_empty() && !name.contains(['=', '\n']) && !value.contains('\n'));
        assert!(text.contains(&format!("{name}={value}")));
    }
    let written: String = found.iter().map(|(n, v)| format!("{n}={v}\n")).collect();
    // A line's own end may be part of a value where it is a lone carriage return.
    if !found.iter().any(|(_, value)| value.ends_with('\r')) {
        assert_eq!(env_file::parse(&written), found);
    }
}

/// The first line is a secret, the rest a text around it: it is not in what comes out.
fn redacted(text: &str) {
    let (secret, text) = first_line(text);
    let (before, after) = first_line(text);
    if secret.chars().count() < 4 || secret.len() + text.len() > 2048 {
        return;
    }
    let said = format!("{before}{secret}{after}");
    let shown = redact(&said, [secret]);
    // What stands for a value may itself be a piece of one.
    let hidden = "[hidden]";
    let by_itself = (0..secret.len()).any(|at| {
        secret.get(at..).is_some_and(|rest| {
            hidden.contains(&rest[..rest.chars().next().map_or(0, char::len_utf8)])
        })
    });
    if !by_itself {
        assert!(!shown.contains(secret), "{secret:?} in {shown:?}");
    }
    assert!(shown.contains(hidden), "{shown:?}");
    assert!(shown.len() <= said.len() * (hidden.len() + 1));
    assert_eq!(redact(&said, []), said);
}
