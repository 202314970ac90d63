//! From the parser's marks to places in the text of a file.

use std::collections::HashMap;

use granit_parser::Marker;

use crate::diagnostic::Span;

/// At the beginning of a file it is no character of it, as in editors; anywhere else it is one.
const BYTE_ORDER_MARK: char = '\u{feff}';

pub(super) struct Places<'f> {
    text: &'f str,
    /// Of each line after the first that begins with a byte-order mark, the number of its first character. Before a
    /// document the parser takes such a mark for no column, and an editor would be sent to the character before.
    marked: HashMap<usize, usize>,
}

impl<'f> Places<'f> {
    pub(super) fn of(text: &'f str) -> Self {
        Self {
            text,
            marked: marked(text),
        }
    }

    pub(super) fn span(&self, at: granit_parser::Span) -> Span {
        let start = self.point(&at.start);
        let end = at.end.byte_offset().unwrap_or(start.start);
        Span {
            end: end.clamp(start.start, self.text.len()),
            ..start
        }
    }

    /// One character at a mark, or nothing at the end of the text.
    pub(super) fn point(&self, mark: &Marker) -> Span {
        let length = self.text.len();
        let start = mark.byte_offset().unwrap_or(length).min(length);
        let rest = self.text.get(start..);
        let width = rest
            .and_then(|rest| rest.chars().next())
            .map_or(0, char::len_utf8);
        let before = match self.marked.get(&mark.line()) {
            Some(first) => mark.index().saturating_sub(*first),
            None => mark.col(),
        };
        Span {
            start,
            end: start + width,
            line: u32::try_from(mark.line()).unwrap_or(u32::MAX),
            column: u32::try_from(before + 1).unwrap_or(u32::MAX),
        }
    }
}

fn marked(text: &str) -> HashMap<usize, usize> {
    let mut found = HashMap::new();
    if !text
        .trim_start_matches(BYTE_ORDER_MARK)
        .contains(BYTE_ORDER_MARK)
    {
        return found;
    }
    let (mut line, mut begins) = (1, false);
    let mut characters = text.chars().enumerate().peekable();
    while let Some((index, character)) = characters.next() {
        if begins && character == BYTE_ORDER_MARK {
            found.insert(line, index);
        }
        let next = characters.peek().map(|(_, next)| *next);
        begins = character == '\n' || (character == '\r' && next != Some('\n'));
        line += usize::from(begins);
    }
    found
}
